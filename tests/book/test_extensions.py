"""The book's own Sphinx extensions notice when the theme's HTML is no longer what they mend."""

import pytest
from _extensions import offline
from sphinx.errors import ExtensionError

TOGGLE = '<summary><span class="toctree-toggle" role="presentation"></span></summary>'
SCRIPT = '<script defer src="../_static/scripts/fontawesome.js?digest=1"></script>'
CITATION = '<div class="citation" id="id2" role="doc-biblioentry">A paper.</div>'


@pytest.fixture
def pages(tmp_path):
    """Each pattern is on one page only, as that of the citations is."""
    paths = [tmp_path / name for name in ("a.html", "b.html", "c.html")]
    for path, part in zip(paths, (TOGGLE, SCRIPT, CITATION), strict=True):
        path.write_text(f"<script src='other.js'></script><p>Text.</p>{part}")
    return paths


def test_pages_are_mended(pages):
    offline.mend(pages)
    a, b, c = (path.read_text().partition("</p>")[2] for path in pages)
    assert a.startswith('<summary aria-label="Pages of this part"><span class="toctree-toggle" ')
    assert "fontawesome" not in b and "<script" not in b
    assert c == '<div class="citation" id="id2" role="listitem">A paper.</div>'
    assert all("other.js" in path.read_text() for path in pages)


def test_mended_pages_are_left_alone(pages):
    """Sphinx writes only those pages anew that have changed."""
    offline.mend(pages)
    mended = [path.read_text() for path in pages]
    offline.mend(pages)
    assert [path.read_text() for path in pages] == mended


@pytest.mark.parametrize(
    ("part", "otherwise", "missing"),
    [
        (TOGGLE, TOGGLE.replace("toctree-toggle", "toc-toggle"), "the toggle"),
        (SCRIPT, SCRIPT.replace("fontawesome", "icons"), "the script that draws icons"),
        (CITATION, CITATION.replace("doc-biblioentry", "doc-endnote"), "the role of a citation"),
    ],
)
def test_other_html_fails_the_build(pages, part, otherwise, missing):
    for path in pages:
        path.write_text(path.read_text().replace(part, otherwise))
    with pytest.raises(ExtensionError, match=f"no page has {missing}.*: see what the theme writes"):
        offline.mend(pages)
