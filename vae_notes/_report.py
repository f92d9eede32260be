"""How a report shows itself: text in a terminal, a table in a notebook."""

import html
from collections.abc import Iterator
from typing import ClassVar

__all__ = ["Printed"]

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
        below = f'<p style="margin-top:0.8em">{html.escape(self.explanation)}</p>'
        return f"<table><tbody>{body}</tbody></table>{below}"
