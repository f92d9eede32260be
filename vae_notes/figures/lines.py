"""Quantities over epochs, draws and settings."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vae_notes.figures._shared import (
    COLOURS,
    _axes,
    _bare,
    _legend,
    _look,
    _named,
    _numbers,
    _over_seeds,
    _same_length,
)


def curves(
    values: Mapping[str, ArrayLike],
    ylabel: str,
    epochs: ArrayLike | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a quantity along training: a line a recipe, over several seeds a median with its range.

    Parameters
    ----------
    values : dict of str to array, shape (epochs,) or (seeds, epochs)
        One entry a recipe.
    ylabel : str
        The quantity with its unit, such as "negative ELBO (nats)".
    epochs : array, shape (epochs,), optional
        Their numbers; 0, 1, ... by default, as Keras counts.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there is no recipe, one has another rank or number of epochs, or a value is not finite.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = curves({"sum, sum": [[9.0, 5.0], [8.0, 6.0], [8.5, 4.0]]}, "negative ELBO (nats)")
    >>> ax.lines[0].get_ydata().tolist()
    [8.5, 5.0]
    >>> plt.close(ax.figure)
    """
    arrays = _named("values", values, 1, 2)
    length = next(iter(arrays.values())).shape[-1]
    epochs = np.arange(length) if epochs is None else _numbers("epochs", epochs, 1)
    for name, array in arrays.items():
        _same_length(name, array.shape[-1], len(epochs), "epochs")
    ax = _axes(ax)
    for i, (name, array) in enumerate(arrays.items()):
        median, low, high = _over_seeds(array)
        if array.ndim == 2:
            ax.fill_between(epochs, low, high, color=_look(i)["color"], alpha=0.18, linewidth=0)
        every = max(1, len(epochs) // 8)
        # Each recipe's markers start elsewhere, so that curves which coincide are still seen.
        ax.plot(epochs, median, label=name, markevery=(i * every // len(arrays), every), **_look(i))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(x=0.02)
    ax.set_xlabel("epoch")
    ax.set_ylabel(ylabel)
    _legend(ax, *arrays.values())
    return ax


def estimate_against_exact(
    sample_counts: ArrayLike,
    estimates: ArrayLike,
    exact: float,
    ylabel: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw a Monte Carlo estimate over its number of samples, with the exact value as a line.

    Parameters
    ----------
    sample_counts : array, shape (counts,)
        Numbers of samples, positive, on a logarithmic scale.
    estimates : array, shape (counts,) or (seeds, counts)
        What each number of samples gave; over seeds the median is drawn with its range.
    exact : float
        The closed form.
    ylabel : str
        The quantity with its unit, such as "KL (nats)".
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the lengths differ, a count is not positive, or a value is not finite.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The KL term, exactly*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = estimate_against_exact([10, 100], [0.7, 0.52], exact=0.5, ylabel="KL (nats)")
    >>> ax.get_xscale()
    'log'
    >>> plt.close(ax.figure)
    """
    counts = _numbers("sample_counts", sample_counts, 1)
    if counts.min() <= 0:
        raise ValueError(
            f"sample_counts has a {counts.min():g}, expected positive numbers: leave it out."
        )
    array = _numbers("estimates", estimates, 1, 2)
    _same_length("estimates", array.shape[-1], len(counts), "sample counts")
    exact = float(_numbers("exact", exact, 0))
    ax = _axes(ax)
    median, low, high = _over_seeds(array)
    if array.ndim == 2:
        ax.fill_between(counts, low, high, color=COLOURS[0], alpha=0.18, linewidth=0)
    ax.plot(counts, median, color=COLOURS[0], marker="o", label="Monte Carlo")
    ax.axhline(exact, color=COLOURS[1], linestyle="--", label="closed form")
    ax.set_xscale("log")
    ax.set_xlabel("number of samples")
    ax.set_ylabel(ylabel)
    _legend(ax, array)
    return ax


def schedule(epochs: ArrayLike, weights: Mapping[str, ArrayLike], ax: Axes | None = None) -> Axes:
    """Draw the weight of the KL term in every epoch, as steps: it is constant within one.

    Parameters
    ----------
    epochs : array, shape (epochs,)
        Their numbers.
    weights : dict of str to array, shape (epochs,)
        One entry a schedule.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there is no schedule, the lengths differ, or a weight is not finite.

    References
    ----------
    Taught in chapter 5, *KL annealing*, section *The recipe*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = schedule([0, 1, 2], {"linear": [0.0, 0.5, 1.0], "constant": [1.0, 1.0, 1.0]})
    >>> ax.get_ylabel()
    'KL weight (no unit)'
    >>> plt.close(ax.figure)
    """
    epochs = _numbers("epochs", epochs, 1)
    arrays = _named("weights", weights, 1)
    for name, array in arrays.items():
        _same_length(name, len(array), len(epochs), "epochs")
    ax = _axes(ax, height=2.7)
    for i, (name, array) in enumerate(arrays.items()):
        look = {**_look(i), "marker": None}
        ax.step(epochs, array, where="post", label=name, **look)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(x=0.02)
    ax.set_xlabel("epoch")
    ax.set_ylabel("KL weight (no unit)")
    _legend(ax)
    return ax


def heat_map(
    values: ArrayLike,
    row_labels: Sequence[object],
    col_labels: Sequence[object],
    xlabel: str,
    ylabel: str,
    label: str,
    number_format: str = ".3g",
    ax: Axes | None = None,
) -> Axes:
    """Draw a table of numbers as coloured cells, each with its number written in it.

    Parameters
    ----------
    values : array, shape (rows, columns)
        The first row is drawn on top.
    row_labels, col_labels : sequence, of length rows and columns
        What each row and column stands for.
    xlabel, ylabel : str
        What the columns and the rows turn, with its unit.
    label : str
        What the numbers are, with its unit, beside the colour bar.
    number_format : str
        Python's format of a cell's number.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If `values` is not a table of finite numbers, or the labels are not as many.

    References
    ----------
    Taught in chapter 3, *The N-versus-D mismatch*, section *How large they are before training*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = heat_map(
    ...     [[0, 1], [2, 3]], [0, 40], [10, 20], "ramp (epochs)", "start (epoch)", "active units"
    ... )
    >>> [text.get_text() for text in ax.texts]
    ['0', '1', '2', '3']
    >>> plt.close(ax.figure)
    """
    table = _numbers("values", values, 2)  # (rows, columns)
    for axis, labels in ((0, row_labels), (1, col_labels)):
        given = "row_labels" if axis == 0 else "col_labels"
        _same_length(given, len(labels), table.shape[axis], "labels")
    rows, columns = table.shape
    ax = _axes(ax, width=2.2 + 0.62 * columns, height=1.0 + 0.42 * rows)
    image = ax.imshow(table, cmap="cividis", aspect="auto")
    colours = np.asarray(image.cmap(image.norm(table)))  # (rows, columns, 4)
    for (row, column), value in np.ndenumerate(table):
        ax.text(
            column,
            row,
            format(value, number_format),
            ha="center",
            va="center",
            fontsize=9,
            color=_readable_on(colours[row, column]),
        )
    _bare(ax)
    ax.set_xticks(range(columns), [str(of) for of in col_labels])
    ax.set_yticks(range(rows), [str(of) for of in row_labels])
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    bar = ax.figure.colorbar(image, ax=ax)
    bar.set_label(label)
    bar.outline.set_visible(False)
    return ax


def _readable_on(rgba: NDArray[np.float64]) -> str:
    rgb = rgba[:3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    # Where black and white have the same contrast (WCAG 2).
    return "black" if luminance > 0.179 else "white"
