"""Sphinx extension: pages that ask nothing of the network, and no dead button.

Mathematics is set by the MathJax that sphinx-mathjax-offline brings.
Of its 24 MB a page needs 2: the combined component, its fonts, and the TeX
extensions that load on first use.
"""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from sphinx.errors import ExtensionError

COMPONENT = "tex-chtml.js"
PARTS = ["output/chtml/fonts/woff-v2", "input/tex/extensions"]
MENDED = {  # what, its pattern, the same mended: pages may be mended already
    # It draws the icons over, for the font has them: it is 1.5 MB a page,
    # more than all else together but the mathematics.
    "the script that draws icons": (
        r"<script[^>]*/fontawesome\.js[^>]*></script>|<!-- icons: a font -->",
        "<!-- icons: a font -->",
    ),
    "the toggle in the table of contents, to be named": (
        r'<summary[^>]*><span class="toctree-toggle"',
        '<summary aria-label="Pages of this part"><span class="toctree-toggle"',
    ),
    "the role of a citation, which its list does not expect": (
        r'(<div class="citation"[^>]*) role="(doc-biblioentry|listitem)"',
        r'\1 role="listitem"',
    ),
}


def copy_mathjax(app):
    """Put the needed part of MathJax among the static files."""
    if app.builder.format != "html":
        return
    # The package's name has hyphens: it can be found, not imported.
    source = (
        Path(find_spec("sphinx-mathjax-offline").origin).parent
        / "static"
        / "mathjax"
    )
    target = Path(app.outdir) / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source / COMPONENT, target)
    for part in PARTS:
        shutil.copytree(source / part, target / part, dirs_exist_ok=True)


def no_remote_scripts(app, config):
    """Leave out require.js and the widgets manager, which come from a CDN."""
    config.nb_ipywidgets_js = {}
    config.mathjax_path = f"mathjax/{COMPONENT}"


def no_dead_buttons(app, config):
    """Leave out the launch buttons while _config.yml names no repository."""
    if not config.html_theme_options.get("repository_url"):
        config.html_theme_options.pop("launch_buttons", None)


def mend(pages):
    """Put right what the theme writes after all hooks.

    What no page has is written otherwise by now: were that passed over, it
    would be wrong on all pages and nobody would know.
    """
    missing = set(MENDED)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for what, (pattern, mended) in MENDED.items():
            text, count = re.subn(pattern, mended, text)
            missing -= {what} if count else set()
        page.write_text(text, encoding="utf-8")
    if missing:
        raise ExtensionError(
            f"no page has {' or '.join(sorted(missing))}: see what the theme "
            "writes today, and adapt MENDED in book/_extensions/offline.py."
        )


def mend_pages(app, exception):
    """Mend all pages; leave out the script that draws the icons over."""
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    (static / "scripts" / "fontawesome.js").unlink(missing_ok=True)
    pages = Path(app.outdir).rglob("*.html")
    mend([page for page in pages if static not in page.parents])


def setup(app):
    app.connect("config-inited", no_remote_scripts)
    app.connect("config-inited", no_dead_buttons)
    app.connect("builder-inited", copy_mathjax)
    app.connect("build-finished", mend_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
