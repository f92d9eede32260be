"""The built pages in a real browser: what everyone's page must do, and a machine can see.

Each page is opened once, from disk, and then looked at wide and narrow, light and dark, from the
keyboard and on paper. A check returns one sentence a problem.
"""

import contextlib
import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from helpers import HTML, PAGES, not_built, refuse

WIDE, NARROW, PAPER = 1280, 390, 718  # pixels; paper is A4 with margins of a centimetre
TALL = 2000  # the menu beside the text does not scroll, so that all of it can be judged
HEAVIEST = 3_000_000  # bytes: a page and all that it loads
FAIR = {}  # the kinds of text on the pages seen until now, and whether all of a kind are fair
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")

# Unfolds everything, and leaves one of the code's tokens of a kind: they are all coloured alike,
# and a chapter has thousands. Nor does a check read the glyphs of a formula: a box as wide will do.
PREPARE = """() => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const motion of document.getAnimations()) motion.finish();
  const seen = new Set();
  const again = [...document.querySelectorAll(".highlight pre span")].filter((token) => {
    const paper = getComputedStyle(token.closest(".highlight")).backgroundColor;
    const kind = [token.className, token.closest("[class*=highlight-]")?.className, paper].join();
    return seen.has(kind) || !seen.add(kind);
  });
  for (const token of again) token.replaceWith(token.textContent);
  const formulas = [...document.querySelectorAll("mjx-container:not([width=full]) > mjx-math")]
    .filter((node) => !node.textContent)
    .map((node) => {
      const { width, height } = node.getBoundingClientRect();
      const em = parseFloat(getComputedStyle(node).fontSize);
      return [node, `display: inline-block; width: ${width / em}em; height: ${height / em}em`];
    });
  for (const [node, style] of formulas) node.innerHTML = `<span style="${style}"></span>`;
}"""

# Leaves out the rules that find nothing serious. Colours are judged where FIND says.
CONFIGURE = """() => {
  axe.configure({
    rules: [{ id: "color-contrast", selector: "[data-judged], input, select, textarea" }],
  });
  const mild = axe._audit.rules.filter(({ impact }) => !["serious", "critical"].includes(impact));
  window.mild = Object.fromEntries(mild.map(({ id }) => [id, { enabled: false }]));
}"""

# What axe finds, by rule, and which kinds of text it finds fair. To judge colours is most of its
# work, and texts of one colour and size on one pile of sheets are alike. Of a kind that is new it
# judges the longest text, and the others only where that does not pass, or something lies over it.
FIND = """async ([coloursOnly, known]) => {
  const sheets = new Map([[null, ""]]);
  const sheet = (node) => {
    if (!sheets.has(node)) {
      const s = getComputedStyle(node);
      const own = [s.backgroundColor, s.backgroundImage, s.opacity, s.filter, s.mixBlendMode];
      const place = [s.position, s.float, s.transform, s.translate];
      // It may lie on more than its ancestors.
      if (place.join() !== "static,none,none,none") own.push(...place, node.getAttribute("class"));
      sheets.set(node, `${sheet(node.parentElement)}/${own}`);
    }
    return sheets.get(node);
  };
  const kinds = new Map();
  const shown = { visibilityProperty: true, opacityProperty: true };
  for (const node of document.querySelectorAll("body, body *:not(mjx-assistive-mml *)")) {
    const own = [...node.childNodes].map((of) => (of.nodeType === 3 ? of.data : "")).join("");
    if (!/[\\p{L}\\p{N}]/u.test(own) || !node.checkVisibility(shown)) continue;
    const { right, bottom } = node.getBoundingClientRect();
    if (right <= 0 || bottom <= 0) continue;
    const s = getComputedStyle(node);
    const kind = [s.color, s.fill, s.fontSize, s.fontWeight, s.textShadow, sheet(node)].join();
    const texts = kinds.get(kind) ?? [];
    if (texts[0]?.length < own.length) texts.unshift({ node, length: own.length });
    else texts.push({ node, length: own.length });
    kinds.set(kind, texts);
  }
  const run = async (texts, options) => {
    texts.forEach(({ node }) => node.setAttribute("data-judged", ""));
    const reporter = (results, _, done) => done(results);
    const results = await axe.run(document, { preload: false, reporter, ...options });
    texts.forEach(({ node }) => node.removeAttribute("data-judged"));
    return results;
  };
  const colours = { runOnly: "color-contrast" };
  const judged = (kind, texts) => ({ true: [], false: texts })[known[kind]] ?? [texts[0]];
  const first = [...kinds].flatMap(([kind, texts]) => judged(kind, texts));
  const results = [];
  if (first.length || !coloursOnly)
    results.push(...(await run(first, coloursOnly ? colours : { rules: mild })));
  const passes = results.find(({ id }) => id === "color-contrast")?.passes ?? [];
  const passed = new Set(passes.map(({ node }) => node.element));
  const found = [...kinds].filter(([kind]) => !(kind in known))
    .map(([kind, texts]) => [kind, passed.has(texts[0].node), texts.slice(1)]);
  const others = found.flatMap(([, fair, texts]) => (fair ? [] : texts));
  if (others.length) results.push(...(await run(others, colours)));
  const html = ({ node }) => node.source.replace(' data-judged=""', "").slice(0, 120);
  const wrong = results.filter(({ violations }) => violations.length)
    .map(({ id, violations }) => `${id}: ${violations.map(html).join(" and ")}`);
  return [wrong, Object.fromEntries(found.map(([kind, fair]) => [kind, fair]))];
}"""

SETTLE = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"

# Remembers how every control looks, and hears which of them the focus comes to. The page does not
# scroll meanwhile: the contents beside the text would fold and unfold with it, sooner or later.
LISTEN = """() => {
  const style = document.createElement("style");
  style.textContent = "* { transition: none !important; animation: none !important }";
  document.head.append(style);
  Object.assign(document.body.style, { position: "fixed", width: "100%" });
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
}"""
LEFT = "() => waiting.size"
HEARD = """() => {
  Object.assign(document.body.style, { position: "", width: "" });
  return [
    ...[...waiting.keys()].map((node) => `not reached by Tab: ${node.outerHTML.slice(0, 120)}`),
    ...faint.map((html) => `the focus does not show: ${html}`),
  ];
}"""

FORMULAS = """() => {
  const every = [...document.querySelectorAll("span.math, div.math")];
  const bad = [...document.querySelectorAll("mjx-merror")].map((node) => node.textContent);
  return [every.filter((node) => !node.querySelector("mjx-container")).length, every.length, bad];
}"""

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


@contextlib.contextmanager
def new_tab(browser):
    context = browser.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


class Visit:
    """A page opened from disk, and what was wrong with it until now."""

    def __init__(self, tab, path):
        self.tab, self.wrong, self.loaded = tab, [], {path.as_uri()}
        self.listeners = {
            "pageerror": lambda error: self.wrong.append(f"script error: {error}"),
            "requestfailed": lambda request: self.wrong.append(f"not loaded: {request.url}"),
            "console": self.on_console,
            "request": self.on_request,
        }
        for event, listener in self.listeners.items():
            tab.on(event, listener)
        tab.set_viewport_size({"width": WIDE, "height": TALL})
        tab.emulate_media(media="screen", color_scheme="light")
        tab.goto(path.as_uri(), wait_until="load")
        tab.evaluate("() => window.MathJax?.startup.promise")

    def on_console(self, line):
        if line.type == "error":
            self.wrong.append(f"console: {line.text}")

    def on_request(self, request):
        if request.url.startswith("file:"):
            self.loaded.add(request.url.partition("?")[0].partition("#")[0])
        elif not request.url.startswith(("data:", "blob:")):
            self.wrong.append(f"request: {request.url}")

    def look(self):
        """Run every check, and leave the tab as a reader's who comes for the first time."""
        self.mathematics()
        self.weight()
        self.tab.evaluate(PREPARE)
        self.tab.evaluate(AXE)
        self.tab.evaluate(CONFIGURE)
        # Colours are all that differs in the dark; the menus beside the text are wide only.
        for width, scheme, colours_only in (
            (WIDE, "light", False),
            (WIDE, "dark", True),
            (NARROW, "dark", False),
        ):
            self.at(width, scheme, colours_only)
        self.keyboard()
        self.paper()
        self.tab.evaluate("() => { localStorage.clear(); sessionStorage.clear() }")
        self.tab.goto("about:blank")
        for event, listener in self.listeners.items():
            self.tab.remove_listener(event, listener)
        return self.wrong

    def mathematics(self):
        bare, every, bad = self.tab.evaluate(FORMULAS)
        if bare:
            self.wrong.append(f"{bare} of {every} formulas are not set")
        self.wrong += [f"bad mathematics: {text}" for text in bad]

    def weight(self):
        paths = [from_uri(address) for address in self.loaded]
        size = sum(path.stat().st_size for path in paths if path.is_file())
        if size > HEAVIEST:
            self.wrong.append(f"weighs {size:,} bytes, more than {HEAVIEST:,}")

    def at(self, width, scheme, colours_only):
        tab = self.tab
        tab.set_viewport_size({"width": width, "height": TALL})
        tab.emulate_media(color_scheme=scheme)
        theme = "document.documentElement.dataset.theme"
        tab.wait_for_function(f"() => {theme} === undefined || {theme} === '{scheme}'")
        tab.evaluate(SETTLE)
        reach = tab.evaluate("() => document.documentElement.scrollWidth")
        if reach > width:
            self.wrong.append(f"scrolls sideways: {reach} pixels at a width of {width}")
        wrong, found = tab.evaluate(FIND, [colours_only, FAIR])
        self.wrong += [f"{text} ({width}, {scheme})" for text in wrong]
        FAIR.update(found)

    def keyboard(self):
        """Hold the Tab key until everything was reached, or nothing more is."""
        tab = self.tab
        tab.set_viewport_size({"width": WIDE, "height": 800})
        tab.evaluate(SETTLE)
        tab.evaluate(LISTEN)
        for presses in (tab.evaluate(LEFT), *[1] * 40):  # what scrolls is reached as well
            for _ in range(presses):
                tab.keyboard.down("Tab")
            if not tab.evaluate(LEFT):
                break
        tab.keyboard.up("Tab")
        self.wrong += tab.evaluate(HEARD)

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


@pytest.fixture(scope="module")
def window(browser):
    """One tab for all pages, in which the scripts that they share are compiled once."""
    with new_tab(browser) as tab:
        yield tab


FINDINGS = [path for path in PAGES if path.parent.name == "findings"]
SOME = FINDINGS[::8]  # which are made alike, and stand for the others


@pytest.mark.parametrize(
    "page",
    [path for path in PAGES if path not in FINDINGS or path in SOME] or [None],
    ids=lambda path: path.stem if path else "none",
)
def test_page(window, page):
    if page is None:
        not_built()
    refuse(Visit(window, page).look())


PAGE = """<!DOCTYPE html><html lang="en"><head><title>Page</title><style>
body {{ margin: 0 }} @media print {{ nav, button, .live {{ display: none }} }}
</style></head><body><main><h1>Page</h1>{}</main></body></html>"""
GOOD = """<p>good</p><a href="#x">x</a><button>y</button><nav>z</nav>
<div class="live">moves</div><figure class="still">stands</figure>"""
FAULTS = [  # of one page; each is found for itself
    ("<details><summary>Solution</summary>x</details>", "stays folded"),
    ('<img alt="A." src="https://example.invalid/a.png">', "request: https"),
    ('<img alt="A." src="missing.png">', "not loaded: .*/missing.png"),
    ("<script>console.error('careful')</script>", "console: careful"),
    ("<script>missing()</script>", "script error: missing"),
    (r'<span class="math">\(x\)</span>', "1 of 1 formulas"),
    ("<mjx-merror>Undefined control sequence</mjx-merror>", "bad mathematics: Undefined"),
    ('<div style="width: 500px">wide</div>', "sideways: 500 pixels at a width of 390"),
    ('<img alt="A." src="heavy.png">', "weighs 3,0"),
    ('<img src="a.png">', "image-alt: [^>]*a.png"),
    ('<button class="mute"></button>', "button-name: [^>]*mute"),
    ('<p style="color: #bbb">pale</p>', "color-contrast: .*pale.*1280, light"),
    (
        "<style>@media (prefers-color-scheme: dark) { .night { background: #333 } }</style>"
        '<p class="night">dark</p>',
        "color-contrast: .*night.*1280, dark",
    ),
    (
        "<style>.menu { display: none } @media (width < 500px) { .menu { display: block } }</style>"
        '<p class="menu" style="color: #ccc">narrow</p>',
        "color-contrast: .*menu.*390, dark",
    ),
    # The same colour as a text before it, but on another sheet.
    (
        '<p style="color: #666">fair</p>'
        '<p style="background: #777"><i style="color: #666">poor</i></p>',
        'color-contrast: .*<i style="color: #666">',
    ),
    # The same colour and sheet as a text before it, which is covered and cannot be judged.
    (
        '<p class="under" style="color: #aaa; position: relative">covered'
        '<span style="position: absolute; inset: 0; background: #fff"></span></p>'
        '<p class="under" style="color: #aaa; position: relative">open</p>',
        "(?s)color-contrast: [^\n]*>open<[^\n]*1280, light.*>open<[^\n]*1280, dark",
    ),
    # The same colour and ancestors as a text before it, but moved onto another's sheet.
    (
        '<p style="color: #555">on the page</p><div style="background: #666; height: 40px"></div>'
        '<p class="over" style="color: #555; position: relative; top: -50px">moved</p>',
        "color-contrast: .*>moved<",
    ),
    (
        '<div style="width: 300px; height: 30px; overflow: auto"><pre>' + "x" * 99 + "</pre></div>",
        "scrollable-region-focusable",
    ),
    ('<button tabindex="-1">x</button>', 'not reached by Tab: <button tabindex="-1"'),
    ('<button style="outline: none">x</button>', "focus does not show: <button style"),
    ('<a href="#x" style="opacity: 0">x</a>', "focus does not show: <a"),
    (
        "<style>@media print { .on { display: grid !important } }</style>"
        '<button class="on">x</button>',
        "button.on is printed",
    ),
    (
        "<style>@media print { .w { width: 2000px; position: absolute; contain: paint } }</style>"
        '<p class="w">wide</p>',
        "p.w ends 2000",
    ),
    (
        '<div class="cut" style="width: 9px; overflow: clip"><p style="width: 99px">x</p></div>',
        "div.cut is cut off",
    ),
    ("<style>@media print { h2 { color: #ccc } }</style><h2>x</h2>", "H2 is printed pale"),
    ('<figure class="still" style="display: none">x</figure>', "that moves is not printed"),
]


@pytest.fixture(scope="module")
def look(window, tmp_path_factory):
    """What is wrong with a page of that text."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "heavy.png").write_bytes(bytes(HEAVIEST))

    def visit(html):
        path = folder / "page.html"
        path.write_text(PAGE.format(html))
        return Visit(window, path).look()

    return visit


@pytest.fixture(scope="module")
def wrong(look):
    return look("".join(html for html, _ in FAULTS))


def test_accepts(look):
    refuse(look(GOOD))


@pytest.mark.parametrize(("html", "expected"), FAULTS)
def test_refuses(wrong, html, expected):
    assert re.search(expected, "\n".join(wrong))


@pytest.fixture
def tab(browser):
    """A chapter with everything in it."""
    path = HTML / "02-collapse.html"
    if not path.exists():
        not_built()
    with new_tab(browser) as tab:
        visit = Visit(tab, path)
        yield tab
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
