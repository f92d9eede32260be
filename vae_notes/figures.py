"""What the chapters draw: one function a kind of figure, each taking and returning Matplotlib axes.

Colour never carries a meaning alone: markers, line styles and words say the same. The colours keep
their distance under red-green blindness and have a contrast of at least 3 to 1 on the white that
every figure brings along, on dark pages too. Everything is drawn from plain arrays.
"""

from collections.abc import Mapping

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

__all__ = [
    "by_seed",
    "curves",
    "decoded_plane",
    "estimate_against_exact",
    "heat_map",
    "image_grid",
    "kl_per_unit",
    "latent_grid",
    "latent_plane",
    "predicted_against_measured",
    "schedule",
    "spectrum",
    "style",
]

# Okabe and Ito's colours, without those too light for white paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", (0, (1, 1.4)))
INK, GREY, FAINT = "#262626", "#595959", "#E4E4E4"

STYLE = {
    "figure.figsize": (6.4, 3.6),
    "figure.dpi": 120,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.dpi": 120,
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
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS),
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


def style():
    """Make the book's style Matplotlib's default; a chapter calls it once, before its first figure.

    Examples
    --------
    >>> import matplotlib
    >>> with matplotlib.rc_context():
    ...     style()
    ...     print(matplotlib.rcParams["font.size"])
    10.0
    """
    matplotlib.rcParams.update(STYLE)


def spectrum(eigenvalues, noise_variance=None, ax=None):
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

    Examples
    --------
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


def kl_per_unit(kl, predicted=None, ax=None):
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

    Examples
    --------
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


def curves(values, ylabel, epochs=None, ax=None):
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

    Examples
    --------
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


def by_seed(values, xlabel, ax=None):
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

    Examples
    --------
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


def image_grid(images, image_shape, columns=10, ax=None):
    """Draw images in labelled rows, such as originals over their reconstructions.

    All share one scale, on which 0 is black and 1 is white; values outside of it are clipped.

    Parameters
    ----------
    images : dict of str to array, shape (n, N) or (n, *image_shape)
        Rows of images by name; n may exceed `columns`, the rest then wraps into further rows.
    image_shape : tuple of int
        (H, W), (H, W, 1) or (H, W, 3), with N their product.
    columns : int
        Images in a row.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default, the taller the more rows.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there is nothing to draw, an entry does not hold images of `image_shape`, a value is not
        finite, or `columns` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.linspace(0, 1, 3 * 4).reshape(3, 4)
    >>> ax = image_grid({"original": x, "reconstruction": x**2}, image_shape=(2, 2), columns=3)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['original', 'reconstruction']
    >>> plt.close(ax.figure)
    """
    arrays = {
        name: _as_images(f"images[{name!r}]", array, image_shape)
        for name, array in _named("images", images, 2, 3, 4).items()
    }
    if columns < 1:
        raise ValueError(f"columns is {columns}, expected at least 1: say how many images a row.")
    columns = min(columns, max(map(len, arrays.values())))
    strips = []  # one row of images each, (columns or fewer, H, W, C)
    ticks = []
    for name, array in arrays.items():
        rows = [array[i : i + columns] for i in range(0, len(array), columns)]
        ticks.append((len(strips) + (len(rows) - 1) / 2, name))
        strips += rows
    height, width = image_shape[:2]
    gap = _gap(width)
    canvas = _mosaic(strips, columns, gap)
    inches = 5.2 / max(columns, 6)
    ax = _axes(
        ax,
        width=1.2 + inches * columns,
        height=0.15 + inches * len(strips) * height / width,
    )
    _show(ax, canvas)
    at = [row * (height + gap) + (height - 1) / 2 for row, _ in ticks]
    ax.set_yticks(at, [name for _, name in ticks])
    ax.set_xticks([])
    _bare(ax)
    return ax


def latent_plane(z_mean, labels=None, ax=None):
    """Draw the posterior means of two latent units, with the prior's circles.

    Classes are told apart by their own glyph at every point (digits and letters) and by their name
    at the median of their points. A collapsed posterior is a heap at the origin.

    Parameters
    ----------
    z_mean : array, shape (n, 2)
        Posterior means, in standard deviations of the prior.
    labels : array, shape (n,), optional
        The class of each example.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If `z_mean` has not two columns, is not finite, or `labels` has another length.

    Examples
    --------
    >>> ax = latent_plane([[0.5, 1.0], [-1.0, 0.2]], labels=[3, 7])
    >>> ax.get_xlabel()
    'posterior mean of unit 1 (prior standard deviations)'
    >>> plt.close(ax.figure)
    """
    points = _numbers("z_mean", z_mean, 2)  # (n, 2)
    if points.shape[1] != 2:
        raise ValueError(
            f"z_mean has {points.shape[1]} columns, expected 2: choose two units, such as "
            "z_mean[:, :2]."
        )
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (len(points),):
            raise ValueError(
                f"labels has shape {labels.shape}, expected ({len(points)},): give one label a "
                "row of z_mean."
            )
    ax = _axes(ax, width=5.2, height=5.0)
    for radius in (1, 2):
        ax.add_patch(Circle((0, 0), radius, fill=False, edgecolor=GREY, linestyle="--", zorder=3))
        ax.annotate(
            f"{radius}$\\sigma$",
            (0, -radius),
            ha="center",
            va="center",
            color=GREY,
            fontsize=9,
            zorder=4,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
    if labels is None:
        ax.plot(*points.T, "o", markersize=3, color=COLOURS[0], alpha=0.6, markeredgewidth=0)
    else:
        for i, label in enumerate(np.unique(labels)):
            name, of = str(label), points[labels == label]
            look = _look(i)
            glyph = f"${name}$" if len(name) == 1 and name.isalnum() else look["marker"]
            ax.plot(
                *of.T,
                linestyle="none",
                marker=glyph,
                markersize=5,
                color=look["color"],
                markeredgewidth=0.2,
                alpha=0.75,
                label=name,
            )
            ax.annotate(
                name,
                np.median(of, axis=0),
                ha="center",
                va="center",
                fontsize=15,
                fontweight="bold",
                color=look["color"],
                zorder=5,
                path_effects=[withStroke(linewidth=4, foreground="white")],
            )
    reach = max(2.6, 1.06 * np.abs(points).max())
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.set_xlabel("posterior mean of unit 1 (prior standard deviations)")
    ax.set_ylabel("posterior mean of unit 2 (prior standard deviations)")
    return ax


def latent_grid(side, extent=2.0):
    """Return the points of a square grid over the latent plane, in the order of `decoded_plane`.

    Parameters
    ----------
    side : int
        Points along an edge, at least 2.
    extent : float
        The grid covers -extent to extent, in standard deviations of the prior.

    Returns
    -------
    array, shape (side**2, 2), float32
        Row by row from the top left, where the second coordinate is largest.

    Raises
    ------
    ValueError
        If `side` is below 2 or `extent` is not positive.

    Examples
    --------
    >>> latent_grid(2, extent=1.5).tolist()
    [[-1.5, 1.5], [1.5, 1.5], [-1.5, -1.5], [1.5, -1.5]]
    """
    if side < 2 or not extent > 0:
        raise ValueError(
            f"side is {side} and extent is {extent}, expected at least 2 and a positive number: "
            "ask for a grid that spans the plane."
        )
    along = np.linspace(-extent, extent, side, dtype=np.float32)
    first, second = np.meshgrid(along, along[::-1])
    return np.stack([first.ravel(), second.ravel()], axis=1)


def decoded_plane(images, image_shape, extent=2.0, ax=None):
    """Draw what a grid of latent points decodes to, each image at its point of the plane.

    The scale is that of `image_grid`: 0 is black, 1 is white.

    Parameters
    ----------
    images : array, shape (side**2, N) or (side**2, *image_shape)
        The decoded `latent_grid(side, extent)`, in its order.
    image_shape : tuple of int
        (H, W), (H, W, 1) or (H, W, 3), with N their product.
    extent : float
        As given to `latent_grid`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the images are not of `image_shape`, not finite, or their number is not the square of 2
        or more.

    Examples
    --------
    >>> import numpy as np
    >>> ax = decoded_plane(np.zeros((9, 4)), image_shape=(2, 2))
    >>> ax.get_ylabel()
    'latent unit 2 (prior standard deviations)'
    >>> plt.close(ax.figure)
    """
    arrays = _as_images("images", _numbers("images", images, 2, 3, 4), image_shape)
    side = round(len(arrays) ** 0.5)
    if side < 2 or side**2 != len(arrays):
        raise ValueError(
            f"got {len(arrays)} images, expected a square number of them: decode "
            "latent_grid(side, extent)."
        )
    height, width = arrays.shape[1:3]
    gap = _gap(width)
    canvas = _mosaic(np.split(arrays, side), side, gap)
    ax = _axes(ax, width=5.2, height=5.0)
    # The outermost points lie in the middle of their images, which reach half a size beyond them.
    x, y = (
        extent * (side * (size + gap) - gap) / ((side - 1) * (size + gap))
        for size in (width, height)
    )
    _show(ax, canvas, extent=(-x, x, -y, y))
    _bare(ax)
    ax.set_aspect("equal")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(length=3)
    ax.set_xlabel("latent unit 1 (prior standard deviations)")
    ax.set_ylabel("latent unit 2 (prior standard deviations)")
    return ax


def predicted_against_measured(values, quantity, ax=None):
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

    Examples
    --------
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


def estimate_against_exact(sample_counts, estimates, exact, ylabel, ax=None):
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

    Examples
    --------
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


def schedule(epochs, weights, ax=None):
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

    Examples
    --------
    >>> ax = schedule([0, 1, 2], {"linear": [0.0, 0.5, 1.0], "constant": [1.0, 1.0, 1.0]})
    >>> ax.get_ylabel()
    'KL weight (no unit)'
    >>> plt.close(ax.figure)
    """
    epochs = _numbers("epochs", epochs, 1)
    arrays = _named("weights", weights, 1)
    for name, array in arrays.items():
        _same_length(name, len(array), len(epochs), "epochs")
    ax = _axes(ax, height=3.0)
    for i, (name, array) in enumerate(arrays.items()):
        look = {**_look(i), "marker": None}
        ax.step(epochs, array, where="post", label=name, **look)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(x=0.02)
    ax.set_xlabel("epoch")
    ax.set_ylabel("KL weight (no unit)")
    _legend(ax)
    return ax


def heat_map(values, row_labels, col_labels, xlabel, ylabel, label, number_format=".3g", ax=None):
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

    Examples
    --------
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
    for (row, column), value in np.ndenumerate(table):
        ax.text(
            column,
            row,
            format(value, number_format),
            ha="center",
            va="center",
            fontsize=9,
            color=_readable_on(image.cmap(image.norm(value))),
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


# What the figures share.


def _axes(ax, width=6.4, height=3.6):
    if ax is not None:
        return ax
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def _look(i):
    """Colour, line and marker of the i-th series: no two of the first 140 are alike."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": LINES[i % len(LINES)],
        "marker": MARKERS[i % len(MARKERS)],
    }


def _legend(ax, *arrays):
    """Add a legend, above which it says what is drawn of those arrays that have several seeds."""
    if ax.get_legend_handles_labels()[0]:
        counts = sorted({len(array) for array in arrays if array.ndim == 2})
        many = " or ".join(map(str, counts))
        title = f"median and range of {many} seeds" if counts else None
        ax.legend(loc="best", title=title, alignment="left")


def _over_seeds(array):
    """Median, smallest and largest over the seeds; of a single row, that row."""
    if array.ndim == 1:
        return array, array, array
    return np.median(array, axis=0), array.min(axis=0), array.max(axis=0)


def _apart(values, tie):
    """Offsets of at most 0.28 that set values apart which differ by less than `tie`."""
    offsets = np.zeros(len(values))
    bins = np.round(values / tie)
    for found in np.unique(bins):
        same = np.flatnonzero(bins == found)
        step = min(0.16, 0.56 / max(len(same) - 1, 1))
        offsets[same] = step * (np.arange(len(same)) - (len(same) - 1) / 2)
    return offsets


def _gap(width):
    return max(1, round(width / 14))


def _mosaic(strips, columns, gap):
    """Rows of images (columns or fewer, H, W, C) side by side in one, white between and after."""
    height, width, channels = strips[0].shape[1:]
    canvas = np.ones((len(strips) * (height + gap) - gap, columns * (width + gap) - gap, channels))
    for row, strip in enumerate(strips):
        for column, image in enumerate(strip):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = image
    return canvas


def _show(ax, canvas, **options):
    canvas = canvas[..., 0] if canvas.shape[-1] == 1 else canvas.clip(0, 1)
    ax.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest", **options)


def _bare(ax):
    ax.grid(False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _readable_on(rgba):
    rgb = np.array(rgba[:3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    # Where black and white have the same contrast (WCAG 2).
    return "black" if luminance > 0.179 else "white"


# What they refuse.


def _numbers(name, values, *ranks):
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


def _mapping(name, values):
    if not isinstance(values, Mapping) or not values:
        raise ValueError(
            f"{name} is {'empty' if isinstance(values, Mapping) else type(values).__name__}, "
            "expected a dict with at least one entry: name what is drawn, as in "
            "{'sum, sum': array}."
        )
    return values


def _named(name, values, *ranks):
    return {
        of: _numbers(f"{name}[{of!r}]", array, *ranks)
        for of, array in _mapping(name, values).items()
    }


def _same_length(name, given, expected, what):
    if given != expected:
        raise ValueError(
            f"{name} has {given} {what}, expected {expected}: give every one the same length."
        )


def _as_images(name, array, image_shape):
    shape = tuple(np.atleast_1d(image_shape).tolist())
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)):
        raise ValueError(
            f"image_shape is {shape}, expected (H, W), (H, W, 1) or (H, W, 3): say how the pixels "
            "lie."
        )
    if array.shape[1:] not in (shape, (int(np.prod(shape)),)):
        raise ValueError(
            f"{name} has shape {array.shape}, expected (n, {np.prod(shape)}) or (n, "
            f"{', '.join(map(str, shape))}): reshape it, or correct image_shape."
        )
    return array.reshape(len(array), shape[0], shape[1], -1)
