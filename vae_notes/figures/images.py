"""Images, and the latent plane that they come from."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from vae_notes import _check
from vae_notes.figures._shared import COLOURS, GREY, _axes, _bare, _look, _named, _numbers


def image_grid(
    images: Mapping[str, ArrayLike],
    image_shape: Sequence[int],
    columns: int = 10,
    ax: Axes | None = None,
) -> Axes:
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

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The data*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
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
    _check.whole("columns", columns)
    columns = min(columns, max(map(len, arrays.values())))
    strips: list[NDArray[np.float64]] = []  # one row of images each, (columns or fewer, H, W, C)
    ticks = []
    for name, array in arrays.items():
        rows = [array[i : i + columns] for i in range(0, len(array), columns)]
        ticks.append((len(strips) + (len(rows) - 1) / 2, name))
        strips += rows
    height, width = image_shape[:2]
    gap = _gap(width)
    canvas = _mosaic(strips, columns, gap)
    inches = 4.1 / max(columns, 6)
    ax = _axes(
        ax,
        width=1.1 + inches * columns,
        height=0.15 + inches * len(strips) * height / width,
    )
    _show(ax, canvas)
    at = [row * (height + gap) + (height - 1) / 2 for row, _ in ticks]
    ax.set_yticks(at, [name for _, name in ticks])
    ax.set_xticks([])
    _bare(ax)
    return ax


def latent_plane(
    z_mean: ArrayLike, labels: ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
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

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *A first nonlinear VAE*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
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
            (0.7071 * radius, -0.7071 * radius),
            ha="center",
            va="center",
            color=GREY,
            fontsize=9,
            zorder=6,
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


def latent_grid(side: int, extent: float = 2.0) -> NDArray[np.float32]:
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

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *A first nonlinear VAE*.

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


def decoded_plane(
    images: ArrayLike, image_shape: Sequence[int], extent: float = 2.0, ax: Axes | None = None
) -> Axes:
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

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *A first nonlinear VAE*.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
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


def _gap(width: int) -> int:
    return max(1, round(width / 14))


def _mosaic(strips: Sequence[NDArray[np.float64]], columns: int, gap: int) -> NDArray[np.float64]:
    """Rows of images (columns or fewer, H, W, C) side by side in one, white between and after."""
    height, width, channels = strips[0].shape[1:]
    canvas = np.ones((len(strips) * (height + gap) - gap, columns * (width + gap) - gap, channels))
    for row, strip in enumerate(strips):
        for column, image in enumerate(strip):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = image
    return canvas


def _show(ax: Axes, canvas: NDArray[np.float64], **options: Any) -> None:
    canvas = canvas[..., 0] if canvas.shape[-1] == 1 else canvas.clip(0, 1)
    ax.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest", **options)


def _as_images(
    name: str, array: NDArray[np.float64], image_shape: Sequence[int]
) -> NDArray[np.float64]:
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
