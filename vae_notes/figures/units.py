"""Latent units: what survives, what it carries, what each seed kept, and what was predicted."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vae_notes.figures._shared import (
    COLOURS,
    FAINT,
    GREY,
    INK,
    LINES,
    _axes,
    _legend,
    _look,
    _mapping,
    _named,
    _numbers,
    _over_seeds,
    _same_length,
)


def spectrum(
    eigenvalues: ArrayLike,
    noise_variance: float | Mapping[str, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw the data's covariance eigenvalues, with each noise variance as a line across them.

    A latent unit of a linear VAE survives where the eigenvalue exceeds the noise variance,
    $\lambda_i > \sigma^2$; the legend counts them. Filled points lie above a line, hollow ones
    above none. The logarithmic scale ends at a hundred-thousandth of the largest eigenvalue; zeros
    are below it.

    Parameters
    ----------
    eigenvalues : array, shape (N,)
        In squared data units, none negative.
    noise_variance : float or dict of str to float, optional
        One positive noise variance, or several by name, in squared data units.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the eigenvalues are not one row of finite numbers, one is negative or none is positive,
        or a noise variance is not positive.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = spectrum([3.0, 1.0, 0.2], noise_variance=0.5)
    >>> print(ax.get_legend().get_texts()[0].get_text())
    $\sigma^2$ = 0.5: 2 of 3 survive
    >>> plt.close(ax.figure)
    """
    values = np.sort(_numbers("eigenvalues", eigenvalues, 1))[::-1]  # (N,)
    if values[-1] < 0 or values[0] == 0:
        raise ValueError(
            f"eigenvalues range from {values[-1]:g} to {values[0]:g}, expected none negative and "
            "one positive: pass theory.spectrum(x)."
        )
    if noise_variance is None:
        noise_variance = {}
    elif not isinstance(noise_variance, Mapping):
        noise_variance = {"": noise_variance}
    levels = {of: float(_numbers("noise_variance", v, 0)) for of, v in noise_variance.items()}
    if any(level <= 0 for level in levels.values()):
        raise ValueError(
            f"noise_variance is {min(levels.values()):g}, expected a positive number: take it from "
            "objective.noise_variance(data_dim, latent_dim)."
        )
    ax = _axes(ax)
    rank = np.arange(1, len(values) + 1)
    survives = values > min(levels.values(), default=0.0)
    ink = INK if levels else COLOURS[0]
    ax.plot(rank, values, color=FAINT, linewidth=1.2, zorder=1)
    for which, face in ((survives, ink), (~survives, "white")):
        ax.plot(
            rank[which],
            values[which],
            "o",
            markersize=4.5,
            markeredgecolor=ink,
            markerfacecolor=face,
        )
    for i, (name, level) in enumerate(levels.items()):
        count = int((values > level).sum())
        ax.axhline(
            level,
            color=COLOURS[i % len(COLOURS)],
            linestyle=LINES[i % len(LINES)],
            zorder=1.5,
            label=f"{name + ', ' if name else ''}$\\sigma^2$ = {level:.3g}: "
            f"{count} of {len(values)} survive",
        )
    ax.set_yscale("log")
    floor = min([values[values > 1e-5 * values[0]].min(), *levels.values()])
    ax.set_ylim(floor / 2, 2 * max([values[0], *levels.values()]))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("principal component $i$, by variance")
    ax.set_ylabel("eigenvalue $\\lambda_i$ (squared data units)")
    _legend(ax)
    return ax


def kl_per_unit(kl: ArrayLike, predicted: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """Draw the KL divergence of every latent unit, largest first, in nats.

    The units of a VAE come in no order, and in another one for each seed, so that each seed's are
    ranked before seeds are compared. Of several seeds the bar is the median and the whisker the
    range.

    Parameters
    ----------
    kl : array, shape (D,) or (seeds, D)
        Mean KL divergence of each unit, in nats.
    predicted : array, shape (D,), optional
        What the theory predicted, in nats, drawn as hollow diamonds.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If `kl` has another rank, is not finite, or `predicted` is not of D numbers.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *The four, side by side*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = kl_per_unit([0.0, 1.2, 0.4], predicted=[1.1, 0.5, 0.0])
    >>> [float(bar.get_height()) for bar in ax.patches]
    [1.2, 0.4, 0.0]
    >>> plt.close(ax.figure)
    """
    measured = np.sort(_numbers("kl", kl, 1, 2), axis=-1)[..., ::-1]  # (D,) or (seeds, D)
    latent_dim = measured.shape[-1]
    if predicted is not None:
        predicted = np.sort(_numbers("predicted", predicted, 1))[::-1]  # (D,)
        if len(predicted) != latent_dim:
            raise ValueError(
                f"predicted has {len(predicted)} units, expected {latent_dim} as in kl: pass "
                "latent_dim to theory.kl_per_unit."
            )
    ax = _axes(ax)
    rank = np.arange(1, latent_dim + 1)
    median, low, high = _over_seeds(measured)
    ax.bar(rank, median, width=0.72, color=COLOURS[0], label="measured")
    # Side by side, so that the whisker does not hide behind the diamond.
    aside = 0.16 if measured.ndim == 2 and predicted is not None else 0.0
    if measured.ndim == 2:
        ax.errorbar(
            rank - aside,
            median,
            yerr=(median - low, high - median),
            fmt="none",
            ecolor=INK,
            elinewidth=1.2,
            capsize=3,
        )
    if predicted is not None:
        ax.plot(
            rank + aside,
            predicted,
            "D",
            markersize=6,
            markeredgewidth=1.6,
            markeredgecolor=COLOURS[1],
            markerfacecolor="white",
            label="predicted",
            zorder=3,
            clip_on=False,
        )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(False, axis="x")
    ax.set_ylim(bottom=min(0.0, low.min()))
    ax.set_xlabel("latent unit, ranked by KL")
    ax.set_ylabel("KL per unit (nats)")
    if predicted is not None or measured.ndim == 2:
        _legend(ax, measured)
    return ax


def by_seed(values: Mapping[str, ArrayLike], xlabel: str, ax: Axes | None = None) -> Axes:
    """Draw what every single seed gave: a row a recipe, a dot a seed, a bar at the median.

    Parameters
    ----------
    values : dict of str to array, shape (seeds,)
        One entry a recipe, the first on top.
    xlabel : str
        The quantity with its unit, such as "negative ELBO (nats)".
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default, the taller the more recipes.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there is no recipe, one is not one row of numbers, or a value is not finite.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *Why the encoder can learn:
    reparameterisation*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = by_seed({"plain": [0, 0, 0], "annealed": [2, 3, 2]}, "active units")
    >>> ax.lines[2].get_xdata().tolist()
    [2.0, 3.0, 2.0]
    >>> plt.close(ax.figure)
    """
    arrays = _named("values", values, 1)
    ax = _axes(ax, height=1.0 + 0.62 * len(arrays))
    everything = np.concatenate(list(arrays.values()))
    tie = max(np.ptp(everything) / 40, 1e-12)
    for row, (name, array) in enumerate(arrays.items()):
        look = _look(row)
        ax.plot(
            array,
            row + _apart(array, tie),
            look["marker"],
            color=look["color"],
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            clip_on=False,
            label=name,
        )
        middle = np.median(array)
        ax.plot([middle, middle], [row - 0.42, row + 0.42], color=INK, linewidth=2, zorder=1.9)
    ax.set_yticks(range(len(arrays)), list(arrays))
    ax.set_ylim(len(arrays) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    ax.spines["left"].set_visible(False)
    if np.array_equal(everything, np.round(everything)):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel(f"{xlabel}\none mark a seed, bar at the median")
    return ax


def predicted_against_measured(
    values: Mapping[str, tuple[ArrayLike, ArrayLike]], quantity: str, ax: Axes | None = None
) -> Axes:
    """Draw predictions against measurements in a square, with the diagonal where both agree.

    Parameters
    ----------
    values : dict of str to (predicted, measured)
        By group, `predicted` of shape (points,) and `measured` of shape (points,) or
        (seeds, points); over seeds the median is drawn with its range as a whisker.
    quantity : str
        What both are, with its unit, such as "KL per unit (nats)".
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there is no group, a group is not a pair, its lengths differ, or a value is not finite.

    References
    ----------
    Taught in chapter 3, *The N-versus-D mismatch*, section *Predicted against measured*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> ax = predicted_against_measured({"linear": ([0, 1, 2], [0, 1, 2])}, "active units")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('predicted active units', 'measured active units')
    >>> plt.close(ax.figure)
    """
    pairs = {}
    for name, pair in _mapping("values", values).items():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(
                f"values[{name!r}] is a {type(pair).__name__}, expected the pair (predicted, "
                "measured): put both arrays into a tuple."
            )
        predicted = _numbers(f"predicted of {name!r}", pair[0], 1)
        measured = _numbers(f"measured of {name!r}", pair[1], 1, 2)
        _same_length(name, measured.shape[-1], len(predicted), "measured points")
        pairs[name] = predicted, measured
    ax = _axes(ax, width=4.8, height=4.6)
    everything = np.concatenate([part.ravel() for pair in pairs.values() for part in pair])
    low, high = everything.min(), everything.max()
    room = 0.05 * (high - low) or 0.5
    limits = low - room, high + room
    ax.plot(limits, limits, color=GREY, linestyle="--", linewidth=1.2, zorder=1, label="equal")
    for i, (name, (predicted, measured)) in enumerate(pairs.items()):
        look = _look(i)
        median, least, most = _over_seeds(measured)
        if measured.ndim == 2:
            ax.vlines(predicted, least, most, color=look["color"], linewidth=1, alpha=0.6)
        ax.plot(
            predicted,
            median,
            look["marker"],
            color=look["color"],
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            label=name,
        )
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    ax.set_xlabel(f"predicted {quantity}")
    ax.set_ylabel(f"measured {quantity}")
    _legend(ax, *(measured for _, measured in pairs.values()))
    return ax


def _apart(values: NDArray[np.float64], tie: float) -> NDArray[np.float64]:
    """Offsets of at most 0.28 that set values apart which differ by less than `tie`."""
    offsets = np.zeros(len(values))
    bins = np.round(values / tie)
    for found in np.unique(bins):
        same = np.flatnonzero(bins == found)
        step = min(0.16, 0.56 / max(len(same) - 1, 1))
        offsets[same] = step * (np.arange(len(same)) - (len(same) - 1) / 2)
    return offsets
