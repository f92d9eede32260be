"""The built pages in a real browser: what everyone's page must do, and a machine can see.

Each page is opened once, from disk, and then looked at wide and narrow, light and dark, from the
keyboard and on paper. A check returns one sentence a problem.
"""

import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from helpers import HTML, not_built, refuse

WIDE, NARROW, PAPER = 1280, 390, 718  # pixels; paper is A4 with margins of a centimetre
HEAVIEST = 3_000_000  # bytes: a page and all that it loads
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")

# Unfolds everything, and leaves one of the code's tokens of a kind: they are all coloured alike,
# and a chapter has thousands.
PREPARE = """() => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const motion of document.getAnimations()) motion.finish();
  const seen = new Set();
  for (const token of document.querySelectorAll(".highlight pre span")) {
    const paper = getComputedStyle(token.closest(".highlight")).backgroundColor;
    const kind = [token.className, token.closest("[class*=highlight-]")?.className, paper].join();
    if (seen.has(kind)) token.replaceWith(token.textContent);
    else seen.add(kind);
  }
}"""

# What is serious of what axe finds, by rule; a name of rules runs those alone.
FIND = """async (rules) => {
  const options = { preload: false, resultTypes: ["violations"], ...(rules && { runOnly: rules }) };
  const { violations } = await axe.run(document, options);
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 120)).join(" and ")}`);
}"""

SETTLE = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

# Remembers how every control looks, and hears which of them the focus comes to.
LISTEN = """() => {
  const style = document.createElement("style");
  style.textContent = "* { transition: none !important; animation: none !important }";
  document.head.append(style);
  const looks = (node) => [node, node.nextElementSibling, node.parentElement].map((near) => {
    const s = near ? getComputedStyle(near) : {};
    const line = s.outlineStyle === "none" ? "" : s.outlineStyle + s.outlineWidth + s.outlineColor;
    return [line, s.boxShadow, s.backgroundColor, s.color, s.textDecorationLine, s.borderColor];
  }).join();
  const seen = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const operated = [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, [role=button], [role=slider], [onclick]")];
  window.waiting = new Map(operated
    .filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.disabled)
    .filter((node) => node.getBoundingClientRect().width && !node.closest("[aria-hidden=true]"))
    .filter((node) => node.type !== "radio" || node.checked)
    .map((node) => [node, looks(node)]));
  window.faint = [];
  document.addEventListener("focusin", ({ target: node }) => {
    if (!waiting.has(node)) return;
    // What is as transparent as an unchecked radio button is shown by its neighbour.
    const shown = seen(node) || node.type === "radio";
    if (!shown || looks(node) === waiting.get(node)) faint.push(node.outerHTML.slice(0, 120));
    waiting.delete(node);
  });
  document.activeElement.blur();
  window.getSelection().removeAllRanges();
  return waiting.size;
}"""
HEARD = """() => [
  ...[...waiting.keys()].map((node) => `not reached by Tab: ${node.outerHTML.slice(0, 120)}`),
  ...faint.map((html) => `the focus does not show: ${html}`),
]"""

# What a sheet of paper must not have. Inline formulas are a little wider than their boxes.
PRINTED = """(width) => {
  const wrong = [];
  const shown = { visibilityProperty: true, opacityProperty: true };
  const visible = (node) => node.checkVisibility(shown)
    && node.getBoundingClientRect().width > 1;
  for (const node of document.querySelectorAll("body *")) {
    if (!visible(node)) continue;
    const name = `${node.tagName.toLowerCase()}.${node.className}`;
    if (node.matches("button, input, select, nav:not(#jb-print-toc nav), .headerlink, .live"))
      wrong.push(`${name} is printed`);
    if (node.matches("mjx-container *, .math, svg *, .still *")) continue;
    const { right } = node.getBoundingClientRect();
    if (right > width + 1) wrong.push(`${name} ends ${Math.round(right)} pixels to the right`);
    const cut = getComputedStyle(node).overflowX !== "visible" && node.clientWidth > 1;
    if (cut && node.scrollWidth > node.clientWidth + 1) wrong.push(`${name} is cut off`);
  }
  for (const node of document.querySelectorAll("h1, h2, p, pre, td, li, figcaption, svg text")) {
    const dark = getComputedStyle(node).color.match(/[\\d.]+/g).slice(0, 3).every((c) => c < 160);
    if (visible(node) && !dark) wrong.push(`${node.tagName} is printed pale`);
  }
  for (const still of document.querySelectorAll("figure.still"))
    if (!visible(still)) wrong.push("a figure that moves is not printed");
  if (document.querySelector("main details:not([open])")) wrong.push("something stays folded");
  return [...new Set(wrong)];
}"""


class Visit:
    """A page opened from disk, and what was wrong with it until now."""

    def __init__(self, browser, path):
        self.path, self.wrong, self.loaded = path, [], {path.as_uri()}
        self.context = browser.new_context(
            viewport={"width": WIDE, "height": 800}, color_scheme="light", reduced_motion="reduce"
        )
        self.tab = tab = self.context.new_page()
        tab.on("pageerror", lambda error: self.wrong.append(f"script error: {error}"))
        tab.on("requestfailed", lambda request: self.wrong.append(f"not loaded: {request.url}"))
        tab.on(
            "console",
            lambda line: line.type == "error" and self.wrong.append(f"console: {line.text}"),
        )
        tab.on("request", self.on_request)
        tab.goto(path.as_uri(), wait_until="load")
        tab.evaluate("() => window.MathJax?.startup.promise")

    def on_request(self, request):
        if request.url.startswith("file:"):
            self.loaded.add(request.url.partition("?")[0].partition("#")[0])
        elif not request.url.startswith(("data:", "blob:")):
            self.wrong.append(f"request: {request.url}")

    def look(self):
        """Run every check."""
        self.mathematics()
        self.weight()
        self.tab.evaluate(PREPARE)
        self.tab.evaluate(AXE)
        # Colours are all that differs in the dark; the menus beside the text are wide only.
        for width, scheme, rules in (
            (WIDE, "light", None),
            (WIDE, "dark", "color-contrast"),
            (NARROW, "dark", None),
        ):
            self.at(width, scheme, rules)
        self.keyboard()
        self.paper()
        self.context.close()
        return self.wrong

    def mathematics(self):
        formulas = self.tab.locator("span.math, div.math")
        bare = formulas.filter(has_not=self.tab.locator("mjx-container")).count()
        if bare:
            self.wrong.append(f"{bare} of {formulas.count()} formulas are not set")
        if self.tab.locator("mjx-merror").count():
            self.wrong.append(
                f"bad mathematics: {self.tab.locator('mjx-merror').first.text_content()}"
            )

    def weight(self):
        paths = [from_uri(address) for address in self.loaded]
        size = sum(path.stat().st_size for path in paths if path.is_file())
        if size > HEAVIEST:
            self.wrong.append(f"weighs {size:,} bytes, more than {HEAVIEST:,}")

    def at(self, width, scheme, rules):
        tab = self.tab
        tab.set_viewport_size({"width": width, "height": 800})
        tab.emulate_media(color_scheme=scheme)
        theme = "document.documentElement.dataset.theme"
        tab.wait_for_function(f"() => {theme} === undefined || {theme} === '{scheme}'")
        tab.evaluate(SETTLE)
        reach = tab.evaluate("() => document.documentElement.scrollWidth")
        if reach > width:
            self.wrong.append(f"scrolls sideways: {reach} pixels at a width of {width}")
        self.wrong += [f"{text} ({width}, {scheme})" for text in tab.evaluate(FIND, rules)]

    def keyboard(self):
        self.tab.set_viewport_size({"width": WIDE, "height": 800})
        for _ in range(self.tab.evaluate(LISTEN) + 40):  # and what scrolls
            self.tab.keyboard.press("Tab")
        self.wrong += self.tab.evaluate(HEARD)

    def paper(self):
        """As a dark reader prints it, having unfolded nothing."""
        tab = self.tab
        tab.emulate_media(color_scheme="dark")
        tab.evaluate(
            "() => document.querySelectorAll('details').forEach((d) => { d.open = false })"
        )
        tab.set_viewport_size({"width": PAPER, "height": 1000})
        tab.emulate_media(media="print")
        tab.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
        self.wrong += [f"on paper, {text}" for text in tab.evaluate(PRINTED, PAPER)]


def from_uri(address):
    return Path(unquote(urlsplit(address).path))


def test_page(browser, page):
    refuse(Visit(browser, page).look())


PAGE = """<!DOCTYPE html><html lang="en"><head><title>Page</title><style>
body {{ margin: 0 }} @media print {{ nav, button, .live {{ display: none }} }}
</style></head><body><main><h1>Page</h1>{}</main></body></html>"""
MOVING = '<div class="live">moves</div><figure class="still">stands</figure>'


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<p>good</p><a href="#x">x</a><button>y</button><nav>z</nav>' + MOVING, None),
        ("<details><summary>Solution</summary>x</details>", "stays folded"),
        ('<img alt="A." src="https://example.invalid/a.png">', "request: https"),
        ('<img alt="A." src="missing.png">', "not loaded"),
        ("<script>console.error('careful')</script>", "console: careful"),
        ("<script>missing()</script>", "script error"),
        (r'<span class="math">\(x\)</span>', "1 of 1 formulas"),
        ("<mjx-merror>Undefined control sequence</mjx-merror>", "bad mathematics: Undefined"),
        ('<div style="width: 500px">wide</div>', "sideways: 500 pixels at a width of 390"),
        ('<img alt="A." src="heavy.png">', "weighs 3,000,"),
        ('<img src="a.png">', "image-alt"),
        ("<button></button>", "button-name"),
        ('<p style="color: #aaa">pale</p>', "color-contrast"),
        (
            "<style>@media (prefers-color-scheme: dark) { body { background: #333 } }</style>dark",
            r"color-contrast.*1280, dark",
        ),
        (
            '<div style="width: 300px; height: 30px; overflow: auto"><pre>'
            + "x" * 99
            + "</pre></div>",
            "scrollable-region-focusable",
        ),
        ('<button tabindex="-1">x</button>', "not reached by Tab"),
        ('<button style="outline: none">x</button>', "focus does not show"),
        ('<a href="#x" style="opacity: 0">x</a>', "focus does not show"),
        (
            "<style>@media print { button { display: grid !important } }</style><button>x</button>",
            "button. is printed",
        ),
        (
            '<p style="width: 2000px; position: absolute; contain: paint" class="w">wide</p>',
            "p.w ends 2000",
        ),
        (
            '<div class="w" style="width: 9px; overflow: clip"><p style="width: 99px">x</p></div>',
            "div.w is cut off",
        ),
        ("<style>@media print { p { color: #ccc } }</style><p>x</p>", "printed pale"),
        ('<figure class="still" style="display: none">x</figure>', "that moves is not printed"),
    ],
)
def test_refuses(browser, html, expected, tmp_path):
    (tmp_path / "heavy.png").write_bytes(bytes(HEAVIEST))
    path = tmp_path / "page.html"
    path.write_text(PAGE.format(html))
    wrong = Visit(browser, path).look()
    assert any(re.search(expected, line) for line in wrong) if expected else not wrong


@pytest.fixture
def tab(browser):
    """A chapter with everything in it."""
    path = HTML / "02-collapse.html"
    if not path.exists():
        not_built()
    visit = Visit(browser, path)
    yield visit.tab
    visit.context.close()
    refuse(visit.wrong)


def test_search(tab):
    """Without a server, by the keyboard alone, from any chapter."""
    tab.keyboard.press("Control+k")
    tab.keyboard.type("collapse")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=collapse*")
    found = tab.locator("#search-results li a")
    found.first.wait_for()
    assert "02-collapse.html" in " ".join(link.get_attribute("href") for link in found.all())
    chapter = found.first.get_attribute("href").partition("#")[0]
    found.first.press("Enter")
    tab.wait_for_url(f"**/{chapter}*")


def test_keys_operate(tab):
    """What is reached by Tab does what it says by Enter or Space."""
    theme = "() => document.documentElement.dataset.mode"
    before = tab.evaluate(theme)
    tab.locator(".theme-switch-button:visible").first.press("Enter")
    assert tab.evaluate(theme) != before
    for solution, key in ((0, "Enter"), (1, "Space")):
        details = tab.locator("details.hide").nth(solution)
        details.locator("summary").press(key)
        assert details.evaluate("node => node.open")
    tab.locator(".dropdown-download-buttons > button").press("Enter")
    menu = tab.locator(".dropdown-download-buttons .dropdown-menu")
    menu.wait_for()
    tab.keyboard.press("ArrowDown")
    assert (
        tab.evaluate("document.activeElement.getAttribute('href')") == "_sources/02-collapse.ipynb"
    )
    tab.keyboard.press("Escape")
    menu.wait_for(state="hidden")
    bar = tab.locator("#pst-primary-sidebar")
    tab.locator(".primary-toggle:visible").press("Enter")
    bar.wait_for(state="hidden")


def test_prints_and_is_as_before(tab):
    tab.emulate_media(color_scheme="dark")
    state = """() => [document.documentElement.dataset.theme,
                      document.querySelectorAll("main details[open]").length]"""
    tab.locator("details.hide summary").first.press("Enter")
    before = tab.evaluate(state)
    tab.evaluate(f"addEventListener('beforeprint', () => {{ window.printed = ({state})() }})")
    assert tab.pdf(format="A4").startswith(b"%PDF")
    every = tab.locator("main details").count()
    assert tab.evaluate("printed") == ["light", every]
    assert tab.evaluate(state) == before == ["dark", 1]
