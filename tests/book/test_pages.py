"""The built pages, as files; test_browser.py opens them."""

import functools
import re
from urllib.parse import unquote, urldefrag

import pytest
import yaml
from bs4.element import PreformattedString, Tag
from helpers import HTML, ROOT, not_built, read, refuse

NOTEBOOKS = {path.name: path for path in ROOT.glob("book/*.ipynb")}

REMOTE = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
# What a browser loads without being asked: attribute by element.
LOADED = {
    "audio": ["src"],
    "embed": ["src"],
    "frame": ["src"],
    "iframe": ["src"],
    "image": ["href", "xlink:href"],
    "img": ["src", "srcset"],
    "input": ["src"],
    "object": ["data"],
    "script": ["src"],
    "source": ["src", "srcset"],
    "track": ["src"],
    "use": ["href", "xlink:href"],
    "video": ["src", "poster"],
}
LOADING_LINKS = {
    "dns-prefetch",
    "icon",
    "manifest",
    "modulepreload",
    "preconnect",
    "prefetch",
    "preload",
    "stylesheet",
}


# Each check yields one sentence a problem.


def remote_styles(text):
    """Find what a style sheet would load from elsewhere."""
    for target in re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s;]+)", text):
        if REMOTE.match(target):
            yield f"a style loads {target}"


def remote_loads(soup):
    """Find what the page would load from elsewhere."""
    for element in soup.find_all(True):
        for attribute in LOADED.get(element.name, []):
            for target in element.get(attribute, "").split(","):
                if REMOTE.match(target):
                    yield f"<{element.name}> loads {target}"
        if element.name == "link":
            target = element.get("href", "")
            if LOADING_LINKS & set(element.get("rel", [])) and REMOTE.match(target):
                yield f"<link> loads {target}"
        elif element.name == "script":
            # The names of XML namespaces look like addresses, and are not.
            for address in re.findall(r"https?://[^\s\"'`]+", element.string or ""):
                if "www.w3.org" not in address:
                    yield f"an inline script names {address}"
        elif element.name == "style":
            yield from remote_styles(element.string or "")
        yield from remote_styles(element.get("style", ""))


def images_without_text(soup):
    """Find images of the text without alternative text, or with their file's name for it."""
    for image in (soup.find("article") or soup).find_all("img"):
        text = image.get("alt", "").strip()
        if not text or text == image.get("src") or re.search(r"\.(png|svg|jpe?g)$", text):
            yield f"{image.get('src')} has alt={text!r}"


def prose(element):
    """Yield the text that a reader sees outside of code."""
    for child in element.children:
        if isinstance(child, Tag):
            if child.name not in ("script", "style", "pre", "code"):
                yield from prose(child)
        elif not isinstance(child, PreformattedString):  # a comment
            yield child


def unresolved(soup):
    """Find roles and directives that were not understood, and values that were not filled in."""
    text = "".join(prose(soup.find("article") or soup))
    for match in re.finditer(r"\{[a-z]+(:\w+)*\}`|\{glue|\(\?\?\)|\?\?\?", text):
        yield f"left over: {match.group()!r}"
    for element in soup.select(".problematic, .system-message"):
        yield f"left over: {element.get_text()!r}"


@functools.cache
def places(path):
    """What a link to a page may name behind its #, gathered once for every link that does."""
    return {tag.get(name) for tag in read(path).find_all(True) for name in ("id", "name")} - {None}


def broken_links(path, soup):
    """Find links to files or places that are not there."""
    for address in sorted({link["href"] for link in soup.find_all(["a", "link"], href=True)}):
        target, fragment = urldefrag(address)
        if re.match(r"[a-z]+:|//", target):
            continue
        file = (path.parent / unquote(target.partition("?")[0])).resolve() if target else path
        if not file.is_file():
            yield f"{address} leads nowhere"
        elif fragment and file.suffix == ".html" and unquote(fragment) not in places(file):
            yield f"{address} leads to no place on its page"


def test_no_remote_loads(page):
    refuse(remote_loads(read(page)))


def test_images_have_text(page):
    refuse(images_without_text(read(page)))


def test_nothing_unresolved(page):
    refuse(unresolved(read(page)))


def test_links_lead_somewhere(page):
    refuse(broken_links(page, read(page)))


def test_no_remote_styles():
    sheets = list(HTML.rglob("*.css"))
    if not sheets:
        not_built()
    for sheet in sheets:
        refuse(remote_styles(sheet.read_text(encoding="utf-8")))


def test_chapters_can_be_downloaded(page):
    """The download button gives the very notebook that the book stores."""
    notebook = NOTEBOOKS.get(page.with_suffix(".ipynb").name)
    links = [a["href"] for a in read(page).select("a.btn-download-source-button[href$='.ipynb']")]
    given = [(page.parent / unquote(link)).read_bytes() for link in links]
    assert given == ([notebook.read_bytes()] if notebook else [])


def test_launch_buttons_lead_somewhere(page):
    """Only where _config.yml names the public address, and then to that address."""
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    launched = re.findall(r"https://(?:colab|mybinder)[^\"]+", page.read_text(encoding="utf-8"))
    project = address.removeprefix("https://github.com/")
    assert all(address and f"/{project}/" in link for link in launched)
    assert bool(launched) == (bool(address) and page.with_suffix(".ipynb").name in NOTEBOOKS)


GOOD = """<p id="top"><img src="a.png" alt="A curve that rises."><a href="#top">up</a>
<a href="https://example.org/">read more</a><script>draw("http://www.w3.org/2000/svg")</script>
<style>p { background: url(a.png) }</style><code>{glue}`x`</code></p>"""
BAD = [
    (remote_loads, '<script src="https://cdn.example/require.js"></script>'),
    (remote_loads, '<script src="//cdn.example/require.js"></script>'),
    (remote_loads, '<script>import("https://cdn.example/x.js")</script>'),
    (remote_loads, '<link rel="stylesheet" href="https://fonts.example/css">'),
    (remote_loads, '<link rel="preconnect" href="https://fonts.example">'),
    (remote_loads, '<img alt="A." src="http://example.org/a.png">'),
    (remote_loads, '<img alt="A." src="a.png" srcset="a.png 1x, https://example.org/b.png 2x">'),
    (remote_loads, '<iframe src="https://example.org"></iframe>'),
    (remote_loads, "<style>@import 'https://fonts.example/css';</style>"),
    (remote_loads, "<style>@font-face { src: url(https://fonts.example/a.woff) }</style>"),
    (remote_loads, '<p style="background: url(//example.org/a.png)"></p>'),
    (images_without_text, '<img src="a.png">'),
    (images_without_text, '<img src="a.png" alt="">'),
    (images_without_text, '<img src="_images/a.png" alt="_images/a.png">'),
    (unresolved, "<p>{glue}`value`</p>"),
    (unresolved, "<p>{cite:p}`kingma2014auto`</p>"),
    (unresolved, '<p><span class="problematic">`x`</span></p>'),
    (unresolved, "<p>Equation (??)</p>"),
    (broken_links, '<a href="missing.html">x</a>'),
    (broken_links, '<a href="#missing">x</a>'),
    (broken_links, '<a href="page.html#missing">x</a>'),
]


def problems(check, html, folder):
    path = folder / "page.html"
    path.write_text(f"<article>{html}</article>")
    soup = read(path)
    return list(check(path, soup) if check is broken_links else check(soup))


@pytest.mark.parametrize("check", [remote_loads, images_without_text, unresolved, broken_links])
def test_check_accepts(check, tmp_path):
    assert not problems(check, GOOD, tmp_path)


@pytest.mark.parametrize(("check", "html"), BAD)
def test_check_refuses(check, html, tmp_path):
    assert problems(check, GOOD + html, tmp_path)
