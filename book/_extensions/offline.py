"""Sphinx extension: pages that ask nothing of the network, and no dead button.

Mathematics is set by the MathJax that sphinx-mathjax-offline brings.
Of its 24 MB a page needs 2: the combined component, its fonts, and the TeX
extensions that load on first use.
"""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

COMPONENT = "tex-chtml.js"
PARTS = ["output/chtml/fonts/woff-v2", "input/tex/extensions"]


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


def list_of_references(app, name, template, context, doctree):
    """Give the bibliography's entries the role that their list expects."""
    if "body" in context:
        old, new = 'role="doc-biblioentry"', 'role="listitem"'
        context["body"] = context["body"].replace(old, new)


def mend_pages(app, exception):
    """Put right what the theme writes after all hooks.

    The script that draws the icons over goes, for the font has them: it is
    1.5 MB a page, more than all else together but the mathematics. What
    unfolds a part of the table of contents gets a name.
    """
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    (static / "scripts" / "fontawesome.js").unlink(missing_ok=True)
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        text = re.sub(r"<script[^>]*/fontawesome\.js[^>]*></script>", "", text)
        toggle = '<summary><span class="toctree-toggle"'
        named = toggle.replace(">", ' aria-label="Pages of this part">', 1)
        page.write_text(text.replace(toggle, named), encoding="utf-8")


def setup(app):
    app.connect("config-inited", no_remote_scripts)
    app.connect("config-inited", no_dead_buttons)
    app.connect("builder-inited", copy_mathjax)
    app.connect("build-finished", mend_pages)
    app.connect("html-page-context", list_of_references)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
