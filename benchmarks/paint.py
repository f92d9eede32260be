"""Time the first paint of the built pages, opened from disk, and weigh what they load.

    python benchmarks/paint.py [REPEATS]

Needs `make book` and a Chromium or Chrome; prints the median of the repeats, each in a new context.
"""

import shutil
import statistics
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import sync_playwright

HTML = Path(__file__).parent.parent / "_build" / "html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAINT = """() => new Promise((done) => new PerformanceObserver((list) => {
  const first = list.getEntriesByName("first-contentful-paint");
  if (first.length) done(first[0].startTime);
}).observe({ type: "paint", buffered: true }))"""


def opened(browser, path):
    """Return the milliseconds to the first paint, and the bytes of each file that was loaded."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    tab = context.new_page()
    loaded = {path.as_uri()}
    tab.on("request", lambda request: loaded.add(request.url.partition("?")[0]))
    tab.goto(path.as_uri(), wait_until="networkidle")
    paint = tab.evaluate(PAINT)
    context.close()
    files = [Path(unquote(urlsplit(url).path)) for url in loaded if url.startswith("file:")]
    return paint, {file.name: file.stat().st_size for file in files}


def main(repeats=5):
    """Print a row a page."""
    executable = next(filter(None, map(shutil.which, BROWSERS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        print(f"{'page':24} {'first paint, ms':>15} {'bytes':>10}  heaviest")
        for path in sorted(HTML.rglob("*.html")):
            if "_static" in path.parts:
                continue
            visits = [opened(browser, path) for _ in range(repeats)]
            sizes = visits[-1][1]
            heaviest = sorted(sizes, key=sizes.get)[:-4:-1]
            print(
                f"{path.stem:24} {statistics.median(paint for paint, _ in visits):15.0f} "
                f"{sum(sizes.values()):10,}  "
                + ", ".join(f"{name} {sizes[name]:,}" for name in heaviest)
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
