"""What the moving figures share: one document with its numbers, style, script and still picture."""

import hashlib
import html
import io
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import quote

import matplotlib
from matplotlib.figure import Figure

from vae_notes import figures

MOST_BYTES = 150_000  # of one figure, so that a page with several still opens at once

_STANDS_STILL = "This figure moves where scripts may run; here it stands still."
_NOTHING = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
</head>
<body>
<main>
{body}</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Interactive:
    """A figure that moves, as a notebook shows and stores it.

    Attributes
    ----------
    html : str
        A self-contained fragment: the numbers, the script, the style, and a still picture.
    text : str
        What the figure shows when it is opened, in words.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *Four reductions, one number*.

    Examples
    --------
    >>> Interactive(html="<p>still</p>", text="A figure in words.")
    A figure in words.
    """

    html: str = field(repr=False)
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the figure as a page of its own, which any browser opens from disk.

        Parameters
        ----------
        path : str or Path
            The file to write.
        """
        title = html.escape(self.text.partition(":")[0])
        with open(path, "w", encoding="utf-8") as file:
            file.write(_PAGE.format(title=title, body=self.html))


def assemble(
    kind: str, numbers: Mapping[str, Any], picture: str, text: str, details: str = ""
) -> Interactive:
    """Put a figure together.

    ``kind`` names its script, ``numbers`` is what the script gets, ``picture`` a still one as
    HTML, ``text`` the same in words and ``details`` more of it, as HTML.
    """
    # The escape keeps a name such as "</script>" from ending the script.
    script = json.dumps(numbers, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    key = f"{kind}-{hashlib.sha256(script.encode()).hexdigest()[:12]}"
    words = html.escape(text)
    parts = (
        f'<div class="vae-notes" data-figure="{key}">',
        f"<style>{_file('style.css')}</style>",
        '<figure class="still">',
        picture,
        f"<figcaption><p>{words}</p>{details}</figcaption>",
        "</figure>",
        f"<noscript><p>{_STANDS_STILL}</p></noscript>",
        '<script>(() => { "use strict";',
        f"const numbers = {script};",
        _file("common.js"),
        _file(f"{kind}.js"),
        f'start("{key}", draw, numbers); }})();</script>',
        "</div>",
    )
    document = "\n".join(parts) + "\n"
    size = len(document.encode())
    if size > MOST_BYTES:
        raise ValueError(
            f"The figure has {size:,} bytes, more than the {MOST_BYTES:,} that a page should load "
            f"for one: give fewer or smaller entries."
        )
    return Interactive(document, text)


def drawing(plot: Callable[..., object], text: str, height: float) -> str:
    """What ``plot(ax=...)`` draws in the book's style, as an image with the text beside it."""
    # A fixed salt and no date: the same figure is the same text, here and on other machines.
    with matplotlib.rc_context():
        figures.style()
        matplotlib.rcParams["svg.hashsalt"] = "vae-notes"
        figure = Figure(figsize=(6.4, height), layout="constrained")  # pyplot would show it
        plot(ax=figure.subplots())
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata=_NOTHING)
    svg = "".join(file.getvalue().decode().partition("<svg")[1:])
    # Hundredths of a point and single spaces are enough, and half the size.
    svg = re.sub(r'\b(d|x|y)="[^"]*"', lambda m: re.sub(r"(\.\d\d)\d+", r"\1", m[0]), svg)
    svg = quote(re.sub(r"\s+", " ", svg).replace('"', "'"), safe=" /:=,;()'+")
    return f'<img alt="{html.escape(text)}" src="data:image/svg+xml,{svg}">'


def table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table with a header row and a header column."""
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def named(name: str, values: Mapping[str, Any], example: str) -> Mapping[str, Any]:
    """A mapping with at least one entry, whose keys are names, or one sentence."""
    if not isinstance(values, Mapping) or not values:
        raise ValueError(
            f"{name} is {'empty' if isinstance(values, Mapping) else type(values).__name__}, "
            f"expected a dict with at least one entry: name what is shown, as in {example}."
        )
    unnamed = [key for key in values if not isinstance(key, str) or not key.strip()]
    if unnamed:
        raise ValueError(f"{name} has the key {unnamed[0]!r}: give each entry a name, a string.")
    return values


@cache
def _file(name: str) -> str:
    return resources.files("vae_notes.interactive").joinpath(name).read_text(encoding="utf-8")
