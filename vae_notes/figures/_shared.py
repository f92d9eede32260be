"""The look of every figure, and what their functions share."""

from collections.abc import Mapping
from typing import Any, TypeVar

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.rcsetup import cycler
from numpy.typing import ArrayLike, NDArray

Value = TypeVar("Value")

# Okabe and Ito's colours, without those too light for white paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", (0, (1, 1.4)))
INK, GREY, FAINT = "#262626", "#595959", "#E4E4E4"

STYLE: dict[Any, Any] = {
    "figure.figsize": (5.2, 3.2),  # letters of nine pixels and more on a telephone
    "figure.dpi": 140,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 140,
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",  # comes with Matplotlib, so that pages look alike everywhere
    "font.size": 10,
    "text.color": INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.facecolor": "white",
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "none",
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
}


def style() -> None:
    """Make the book's style Matplotlib's default; a chapter calls it once, before its first figure.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The data*.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context():
    ...     style()
    ...     print(matplotlib.rcParams["font.size"])
    10.0
    """
    matplotlib.rcParams.update(STYLE)


def _axes(ax: Axes | None, width: float = 5.2, height: float = 3.2) -> Axes:
    if ax is not None:
        return ax
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def _look(i: int) -> dict[str, Any]:
    """Colour, line and marker of the i-th series: no two of the first 140 are alike."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": LINES[i % len(LINES)],
        "marker": MARKERS[i % len(MARKERS)],
    }


def _legend(ax: Axes, *arrays: NDArray[np.float64]) -> None:
    """Add a legend, above which it says what is drawn of those arrays that have several seeds."""
    if ax.get_legend_handles_labels()[0]:
        counts = sorted({len(array) for array in arrays if array.ndim == 2})
        many = " or ".join(map(str, counts))
        title = f"median and range of {many} seeds" if counts else None
        ax.legend(loc="best", title=title, alignment="left")


def _over_seeds(
    array: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Median, smallest and largest over the seeds; of a single row, that row."""
    if array.ndim == 1:
        return array, array, array
    return np.median(array, axis=0), array.min(axis=0), array.max(axis=0)


def _bare(ax: Axes) -> None:
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _numbers(name: str, values: ArrayLike, *ranks: int) -> NDArray[np.float64]:
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.asarray(values, dtype=object)
    if array.dtype.kind not in "biuf" or array.ndim not in ranks or not array.size:
        expected = " or ".join(map(str, ranks))
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}, expected numbers of rank "
            f"{expected}, at least one: pass such an array."
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} has {np.count_nonzero(~np.isfinite(array))} values that are NaN or infinite, "
            "expected finite ones: find the run that diverged, or leave it out and say so."
        )
    return array


def _mapping(name: str, values: Mapping[str, Value]) -> Mapping[str, Value]:
    if not isinstance(values, Mapping) or not values:
        raise ValueError(
            f"{name} is {'empty' if isinstance(values, Mapping) else type(values).__name__}, "
            "expected a dict with at least one entry: name what is drawn, as in "
            "{'sum, sum': array}."
        )
    return values


def _named(
    name: str, values: Mapping[str, ArrayLike], *ranks: int
) -> dict[str, NDArray[np.float64]]:
    return {
        of: _numbers(f"{name}[{of!r}]", array, *ranks)
        for of, array in _mapping(name, values).items()
    }


def _same_length(name: str, given: int, expected: int, what: str) -> None:
    if given != expected:
        raise ValueError(
            f"{name} has {given} {what}, expected {expected}: give every one the same length."
        )
