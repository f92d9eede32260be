"""How a report shows itself: text in a terminal, a table in a notebook."""

import base64
import html
import io
import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Printed", "bars", "images"]

LEFT = "text-align:left"


class Printed:
    """Rows of a name and a value, and under them a sentence that explains them."""

    _width: ClassVar[int]  # of the names

    def _rows(self) -> Iterator[tuple[str, str]]:
        raise NotImplementedError

    @property
    def explanation(self) -> str:
        """What was found, in words."""
        raise NotImplementedError

    def __str__(self) -> str:
        rows = (f"{name:<{self._width}} {value}" for name, value in self._rows())
        return "\n".join([*rows, self.explanation])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        body = "".join(
            f'<tr><th scope="row" style="{LEFT};padding-right:1em">{html.escape(name)}</th>'
            f'<td style="{LEFT}">{html.escape(value)}</td></tr>'
            for name, value in self._rows()
        )
        below = "".join(
            f'<p style="margin-top:0.8em">{html.escape(words)}</p>' for words in self._below()
        )
        return f"<table><tbody>{body}</tbody></table>{self._pictures()}{below}"

    def _pictures(self) -> str:
        """Drawings between the table and the words, in HTML."""
        return ""

    def _below(self) -> list[str]:
        """The words under the table."""
        return [self.explanation]


def bars(heights: NDArray[np.float64], marks: NDArray[np.float64] | None, caption: str) -> str:
    """A small drawing of bars, each with a mark for what was expected, as inline SVG."""
    every = np.concatenate([heights, [] if marks is None else marks])
    most = float(np.max(every[np.isfinite(every)], initial=0.0)) or 1.0
    wide, high, step = 360, 90, 360 / max(len(heights), 1)
    drawn = [
        f'<rect x="{i * step + 1:.1f}" y="{high - high * min(h / most, 1):.1f}" '
        f'width="{max(step - 2, 1):.1f}" height="{high * min(h / most, 1):.1f}" fill="#0072b2"/>'
        for i, h in enumerate(np.nan_to_num(heights))
    ]
    for i, mark in enumerate([] if marks is None else marks):
        y = high - high * mark / most
        drawn.append(
            f'<path d="M{i * step:.1f} {y:.1f}h{step:.1f}" stroke="#d55e00" stroke-width="2"/>'
        )
    text = html.escape(f"{caption}; the highest bar or line is {most:.3g}")
    return (
        f'<figure style="margin:0.8em 0"><svg role="img" aria-label="{text}" width="{wide}" '
        f'height="{high}" viewBox="0 0 {wide} {high}">{"".join(drawn)}</svg>'
        f"<figcaption>{text}.</figcaption></figure>"
    )


def images(kinds: Mapping[str, NDArray[np.float64]], data_shape: tuple[int, ...]) -> str:
    """Rows of images (m, N) by name, as inline PNG; "" where the data are no images."""
    shape = data_shape
    side = math.isqrt(math.prod(shape))
    if len(shape) == 1 and side >= 5 and side**2 == shape[0]:
        shape = (side, side)
    if len(shape) == 3 and shape[2] == 1:
        shape = shape[:2]
    if len(shape) != 2 and not (len(shape) == 3 and shape[2] == 3):
        return ""
    from PIL import Image

    drawn = []
    low, high = kinds["data"].min(), kinds["data"].max()
    for name, rows in kinds.items():
        strip = np.concatenate(list(rows.reshape(-1, *shape)), axis=1)
        pixels = np.clip(255 * (strip - low) / max(high - low, 1e-12), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PNG")
        code = base64.b64encode(file.getvalue()).decode()
        drawn.append(
            f'<figure style="margin:0.8em 0"><img alt="{len(rows)} images: {html.escape(name)}" '
            f'style="width:100%;image-rendering:pixelated" src="data:image/png;base64,{code}">'
            f"<figcaption>{html.escape(name)}</figcaption></figure>"
        )
    return "".join(drawn)
