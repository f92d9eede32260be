"""Figures: that they draw the numbers given, name the units, and can be told apart by everyone."""

import io
import itertools
import json
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from vae_notes import figures
from vae_notes.figures._shared import COLOURS, GREY, INK

RNG = np.random.default_rng(0)
EIGENVALUES = np.array([0.2, 3.0, 0.0, 1.0, 0.5])
KL = RNG.uniform(0, 2, (8, 4))
TRACE = RNG.uniform(4, 9, (8, 20))
PIXELS = RNG.uniform(0, 1, (9, 6))  # images of 2 x 3

# One call of every kind of figure; each takes `ax`.
CALLS = {
    "spectrum": lambda **ax: figures.spectrum(EIGENVALUES, 0.5, **ax),
    "kl_per_unit": lambda **ax: figures.kl_per_unit(KL, KL[0], **ax),
    "curves": lambda **ax: figures.curves({"a": TRACE, "b": TRACE[0]}, "ELBO (nats)", **ax),
    "by_seed": lambda **ax: figures.by_seed({"a": KL[:, 0]}, "ELBO (nats)", **ax),
    "image_grid": lambda **ax: figures.image_grid({"samples": PIXELS}, (2, 3), **ax),
    "latent_plane": lambda **ax: figures.latent_plane(KL[:, :2], [0, 1, 2, 3] * 2, **ax),
    "decoded_plane": lambda **ax: figures.decoded_plane(PIXELS, (2, 3), **ax),
    "predicted_against_measured": lambda **ax: figures.predicted_against_measured(
        {"linear": (KL[0], KL)}, "KL (nats)", **ax
    ),
    "estimate_against_exact": lambda **ax: figures.estimate_against_exact(
        [1, 10, 100, 1000], KL, 0.5, "KL (nats)", **ax
    ),
    "schedule": lambda **ax: figures.schedule([0, 1, 2], {"linear": [0, 0.5, 1]}, **ax),
    "heat_map": lambda **ax: figures.heat_map(
        KL, range(8), range(4), "length (epochs)", "start (epoch)", "ELBO (nats)", **ax
    ),
}


@pytest.fixture(autouse=True, scope="module")
def no_windows():
    matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def none_left_open():
    assert plt.get_fignums() == []
    yield
    left = plt.get_fignums()
    plt.close("all")
    assert left == []


@pytest.fixture
def ax():
    return Figure().subplots()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def marks(ax):
    """Data of the lines that are drawn as marks alone."""
    return [line.get_xydata() for line in ax.lines if line.get_linestyle() == "None"]


# Every figure.


def test_every_function_is_called_here():
    assert {*CALLS, "style", "latent_grid"} == set(figures.__all__)


@pytest.mark.parametrize("name", CALLS)
def test_given_axes_are_drawn_on_and_no_figure_is_opened(name, ax):
    assert CALLS[name](ax=ax) is ax
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", CALLS)
def test_without_axes_one_figure_is_opened_that_pyplot_can_show(name):
    with matplotlib.rc_context():
        figures.style()
        ax = CALLS[name]()
        assert plt.get_fignums() == [ax.figure.number]
        plt.close(ax.figure)


@pytest.mark.parametrize("name", CALLS)
def test_the_picture_is_light_opaque_and_the_same_twice(name):
    pictures = []
    for _ in range(2):
        with matplotlib.rc_context():
            figures.style()
            ax = CALLS[name]()
            file = io.BytesIO()
            ax.figure.savefig(file, format="png")
            plt.close(ax.figure)
        pictures.append(file.getvalue())
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) < 100_000
    pixels = np.asarray(Image.open(io.BytesIO(pictures[0])).convert("RGBA"))
    assert pixels.shape[1] <= 800  # no wider than a page of the book
    assert (pixels[..., 3] == 255).all()
    assert (pixels[[0, 0, -1, -1], [0, -1, 0, -1], :3] == 255).all()


@pytest.mark.parametrize("name", CALLS)
def test_no_text_is_smaller_than_nine_points_or_outside_the_figure(name):
    with matplotlib.rc_context():
        figures.style()
        ax = CALLS[name]()
        ax.figure.draw_without_rendering()
        drawn = ax.figure.get_tightbbox()  # in inches
        texts = [t for t in ax.figure.findobj(matplotlib.text.Text) if t.get_text().strip()]
        width, height = ax.figure.get_size_inches()
        plt.close(ax.figure)
    assert min((text.get_fontsize() for text in texts), default=9) >= 9
    assert drawn.x0 > -0.01 and drawn.x1 < width + 0.01
    assert drawn.y0 > -0.01 and drawn.y1 < height + 0.01


@pytest.mark.parametrize(
    ("name", "xlabel", "ylabel"),
    [
        ("spectrum", "principal component", "squared data units"),
        ("kl_per_unit", "latent unit", "(nats)"),
        ("curves", "epoch", "ELBO (nats)"),
        ("by_seed", "ELBO (nats)\none mark a seed", ""),
        ("latent_plane", "prior standard deviations", "prior standard deviations"),
        ("decoded_plane", "prior standard deviations", "prior standard deviations"),
        ("predicted_against_measured", "predicted KL (nats)", "measured KL (nats)"),
        ("estimate_against_exact", "number of samples", "KL (nats)"),
        ("schedule", "epoch", "no unit"),
        ("heat_map", "length (epochs)", "start (epoch)"),
    ],
)
def test_axes_are_labelled_with_units(name, xlabel, ylabel, ax):
    CALLS[name](ax=ax)
    assert xlabel in ax.get_xlabel()
    assert ylabel in ax.get_ylabel()


def test_importing_draws_nothing_changes_nothing_and_needs_no_tensorflow():
    program = (
        "import matplotlib, json, sys; before = dict(matplotlib.rcParams);"
        "import vae_notes.figures, matplotlib.pyplot as plt;"
        "after = dict(matplotlib.rcParams);"
        "changed = [k for k in before if k != 'backend' and before[k] != after[k]];"
        "print(json.dumps([changed, plt.get_fignums(), 'tensorflow' in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert json.loads(out) == [[], [], False]


# What is drawn is what was given.


def test_spectrum_counts_and_fills_the_survivors(ax):
    figures.spectrum(EIGENVALUES, 0.5, ax=ax)  # 0.5 itself does not exceed 0.5
    filled, hollow = (
        line for line in ax.lines if line.get_marker() == "o" and line.get_linestyle() == "None"
    )
    assert filled.get_xydata().tolist() == [[1, 3.0], [2, 1.0]]
    assert hollow.get_xydata().tolist() == [[3, 0.5], [4, 0.2], [5, 0.0]]
    assert filled.get_markerfacecolor() != "white" and hollow.get_markerfacecolor() == "white"
    assert legend(ax) == ["$\\sigma^2$ = 0.5: 2 of 5 survive"]
    assert ax.get_yscale() == "log"


def test_spectrum_with_several_noise_variances_names_and_shows_each(ax):
    figures.spectrum(EIGENVALUES, {"sum, mean": 0.1, "mean, sum": 40.0}, ax=ax)
    assert legend(ax) == [
        "sum, mean, $\\sigma^2$ = 0.1: 4 of 5 survive",
        "mean, sum, $\\sigma^2$ = 40: 0 of 5 survive",
    ]
    low, high = ax.get_ylim()
    assert low < 0.1 and high > 40
    levels = [line.get_ydata()[0] for line in ax.lines if len(set(line.get_ydata())) == 1]
    assert {0.1, 40.0} <= set(levels)


def test_spectrum_without_a_noise_variance_has_no_legend(ax):
    figures.spectrum(EIGENVALUES, ax=ax)
    assert ax.get_legend() is None


def test_kl_of_each_seed_is_ranked_before_seeds_are_compared(ax):
    # The same units in another order in each seed: no spread at all.
    shuffled = np.random.default_rng(1).permuted(np.tile([0.0, 1.5, 0.5], (8, 1)), axis=1)
    figures.kl_per_unit(shuffled, [0.4, 0.0, 1.6], ax=ax)
    assert [bar.get_height() for bar in ax.patches] == [1.5, 0.5, 0.0]
    assert marks(ax)[-1][:, 1].tolist() == [1.6, 0.4, 0.0]
    assert ax.get_legend().get_title().get_text() == "median and range of 8 seeds"


def test_kl_whiskers_are_the_range(ax):
    figures.kl_per_unit([[1.0, 0.5], [2.0, 0.0], [1.2, 0.4]], ax=ax)
    assert [bar.get_height() for bar in ax.patches] == [1.2, 0.4]
    whiskers = [segment[:, 1].tolist() for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(whiskers, [[1.0, 2.0], [0.0, 0.5]])


def test_curves_draw_the_median_within_the_range(ax):
    figures.curves({"seeds": TRACE, "single": TRACE[0]}, "loss (nats)", ax=ax)
    band = ax.collections[0].get_paths()[0].vertices
    for epoch in range(20):
        here = band[band[:, 0] == epoch, 1]
        assert (here.min(), here.max()) == (TRACE[:, epoch].min(), TRACE[:, epoch].max())
    many, one = ax.lines
    np.testing.assert_array_equal(many.get_ydata(), np.median(TRACE, axis=0))
    np.testing.assert_array_equal(one.get_ydata(), TRACE[0])
    assert many.get_xdata().tolist() == list(range(20))
    assert legend(ax) == ["seeds", "single"]
    assert ax.get_legend().get_title().get_text() == "median and range of 8 seeds"


def test_curves_use_the_epochs_given(ax):
    figures.curves({"a": [1.0, 2.0]}, "loss (nats)", epochs=[40, 60], ax=ax)
    assert ax.lines[0].get_xdata().tolist() == [40, 60]


def test_by_seed_draws_every_seed_and_the_median(ax):
    values = {"plain": [0, 0, 0, 0, 0, 0, 0, 0], "annealed": [2, 3, 2, 2, 3, 3, 3, 2]}
    figures.by_seed(values, "active units", ax=ax)
    seeds, bars = ax.lines[::2], ax.lines[1::2]
    for row, (line, given) in enumerate(zip(seeds, values.values(), strict=True)):
        assert line.get_xdata().tolist() == given
        assert np.abs(line.get_ydata() - row).max() < 0.4
        assert len(set(map(tuple, line.get_xydata()))) == 8  # ties lie apart
    assert [bar.get_xdata().tolist() for bar in bars] == [[0, 0], [2.5, 2.5]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["plain", "annealed"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first on top


def test_image_grid_holds_every_pixel_at_its_place(ax):
    figures.image_grid({"a": PIXELS[:5], "b": PIXELS[5:7]}, (2, 3), columns=3, ax=ax)
    canvas = ax.images[0].get_array()
    # Rows of 2 pixels and columns of 3, one white pixel between; "a" wraps after three images.
    cells = [canvas[3 * r : 3 * r + 2, 4 * c : 4 * c + 3] for r in range(3) for c in range(3)]
    shown = [0, 1, 2, 3, 4, None, 5, 6, None]
    for cell, i in zip(cells, shown, strict=True):
        expected = np.ones((2, 3)) if i is None else PIXELS[i].reshape(2, 3)
        np.testing.assert_array_equal(cell, expected)
    assert (canvas[2] == 1).all() and (canvas[:, 3] == 1).all()
    assert canvas.shape == (8, 11)
    assert ax.images[0].get_clim() == (0, 1)
    assert ax.get_yticks().tolist() == [2.0, 6.5]


def test_images_of_any_layout_draw_alike(ax):
    figures.image_grid({"flat": PIXELS}, (2, 3), ax=ax)
    flat = ax.images[-1].get_array().copy()
    figures.image_grid({"channel": PIXELS.reshape(9, 2, 3, 1)}, (2, 3, 1), ax=ax)
    np.testing.assert_array_equal(ax.images[-1].get_array(), flat)
    figures.image_grid({"colour": np.repeat(PIXELS, 3, axis=1)}, (2, 3, 3), ax=ax)
    np.testing.assert_array_equal(ax.images[-1].get_array()[..., 1], flat)


def test_latent_plane_draws_every_class_with_its_own_glyph_and_the_prior_to_scale(ax):
    z_mean, labels = RNG.normal(size=(50, 2)), np.arange(50) % 10
    figures.latent_plane(z_mean, labels, ax=ax)
    for digit, line in enumerate(ax.lines):
        np.testing.assert_array_equal(line.get_xydata(), z_mean[labels == digit])
        assert line.get_marker() == f"${digit}$"
    assert [circle.get_radius() for circle in ax.patches] == [1, 2]
    assert ax.get_aspect() == 1
    written = {text.get_text(): text.xy for text in ax.texts}
    np.testing.assert_array_equal(written["7"], np.median(z_mean[labels == 7], axis=0))


def test_latent_plane_without_labels_keeps_the_prior_in_view_of_a_collapsed_posterior(ax):
    figures.latent_plane(np.full((20, 2), 1e-4), ax=ax)
    assert len(ax.lines[0].get_xdata()) == 20
    assert ax.get_xlim()[1] > 2 and ax.get_ylim()[0] < -2


def test_decoded_plane_puts_each_image_at_its_point(ax):
    # Decode each point to a grey that says where it was.
    grid = figures.latent_grid(5, extent=1.5)
    greys = (grid[:, 0] + 10 * grid[:, 1]) / 100
    figures.decoded_plane(np.repeat(greys[:, None], 6, axis=1), (2, 3), extent=1.5, ax=ax)
    image = ax.images[0]
    canvas = image.get_array()
    left, right, bottom, top = image.get_extent()
    for (x, y), grey in zip(grid, greys, strict=True):
        column = int((x - left) / (right - left) * canvas.shape[1])
        row = int((top - y) / (top - bottom) * canvas.shape[0])
        assert canvas[row, column] == pytest.approx(grey)


def test_latent_grid_starts_at_the_top_left():
    grid = figures.latent_grid(3, extent=2.0)
    assert grid.dtype == np.float32
    assert grid[[0, 2, 4, 6, 8]].tolist() == [[-2, 2], [2, 2], [0, 0], [-2, -2], [2, -2]]


def test_predicted_against_measured_has_one_scale_and_its_diagonal(ax):
    measured = KL * 1.5
    figures.predicted_against_measured(
        {"linear": (KL[0], KL[0]), "deep": (KL[0], measured)}, "KL (nats)", ax=ax
    )
    diagonal = ax.lines[0]
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert ax.get_xlim() == ax.get_ylim() and ax.get_aspect() == 1
    assert ax.get_xlim()[1] > measured.max()
    linear, deep = marks(ax)
    np.testing.assert_array_equal(linear, np.stack([KL[0], KL[0]], 1))
    np.testing.assert_array_equal(deep, np.stack([KL[0], np.median(measured, 0)], 1))
    ranges = [segment[:, 1] for segment in ax.collections[0].get_segments()]
    np.testing.assert_array_equal(ranges, np.stack([measured.min(0), measured.max(0)], 1))
    assert legend(ax) == ["equal", "linear", "deep"]


def test_predicted_against_measured_of_a_single_value_is_still_a_square(ax):
    figures.predicted_against_measured({"collapsed": ([0, 0], [0, 0])}, "active units", ax=ax)
    assert ax.get_xlim() == ax.get_ylim() == (-0.5, 0.5)


def test_estimate_against_exact_draws_both(ax):
    figures.estimate_against_exact([1, 10, 100, 1000], KL, 0.5, "KL (nats)", ax=ax)
    estimate, exact = ax.lines
    np.testing.assert_array_equal(estimate.get_ydata(), np.median(KL, axis=0))
    assert set(exact.get_ydata()) == {0.5}
    assert ax.get_xscale() == "log"


def test_schedule_keeps_a_weight_for_its_whole_epoch(ax):
    figures.schedule([0, 1, 2], {"linear": [0, 0.5, 1.0], "none": [1, 1, 1]}, ax=ax)
    line = ax.lines[0]
    assert line.get_drawstyle() == "steps-post"
    assert line.get_xydata().tolist() == [[0, 0], [1, 0.5], [2, 1]]
    assert legend(ax) == ["linear", "none"]


def test_heat_map_writes_its_numbers_readably(ax):
    table = np.linspace(0, 1, 256).reshape(16, 16)
    figures.heat_map(table, range(16), range(16), "x (epochs)", "y (epochs)", "ELBO (nats)", ax=ax)
    image = ax.images[0]
    np.testing.assert_array_equal(image.get_array(), table)
    for text, value in zip(ax.texts, table.ravel(), strict=True):
        assert text.get_text() == f"{value:.3g}"
        assert contrast(text.get_color(), image.cmap(image.norm(value))) >= 4.5
    assert ax.figure.axes[1].get_ylabel() == "ELBO (nats)"


# Colours.


def linear_rgb(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)  # sRGB, D65

# Machado, Oliveira & Fernandes (2009), table 1, severity 1.
SEEN_BY = {
    "everyone": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def contrast(one, other):
    """WCAG 2's contrast ratio."""
    low, high = sorted(float(TO_XYZ[1] @ linear_rgb(of)) for of in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb):
    share = TO_XYZ @ rgb / (TO_XYZ @ np.ones(3))
    f = np.where(share > (6 / 29) ** 3, np.cbrt(share), share * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("colour", [*COLOURS, INK, GREY])
def test_colours_stand_out_from_white(colour):
    assert contrast(colour, "white") >= (3 if colour in COLOURS else 7)


@pytest.mark.parametrize("who", SEEN_BY)
def test_colours_differ_for_the_colour_blind(who):
    seen = [lab((np.array(SEEN_BY[who]) @ linear_rgb(of)).clip(0, 1)) for of in COLOURS]
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(one - other) > 15  # CIE76; 2.3 is just noticeable


def test_colour_is_never_the_only_difference(ax):
    figures.curves({f"recipe {i}": [1.0, i] for i in range(12)}, "loss (nats)", ax=ax)
    assert len({(str(li.get_linestyle()), li.get_marker()) for li in ax.lines}) == 12


# Bad input.


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f, ax: f.spectrum([[1.0]], ax=ax), r"eigenvalues has shape \(1, 1\)"),
        (lambda f, ax: f.spectrum([], ax=ax), "at least one"),
        (lambda f, ax: f.spectrum([1, -0.1], ax=ax), "eigenvalues range from -0.1 to 1"),
        (lambda f, ax: f.spectrum([0.0, 0.0], ax=ax), "eigenvalues range from 0 to 0"),
        (lambda f, ax: f.spectrum([1, np.nan], ax=ax), "eigenvalues has 1 values that are NaN"),
        (lambda f, ax: f.spectrum([1.0], 0, ax=ax), "noise_variance is 0, expected a positive"),
        (lambda f, ax: f.spectrum([1.0], {"a": -1}, ax=ax), "noise_variance is -1"),
        (lambda f, ax: f.kl_per_unit(1.0, ax=ax), "kl has shape"),
        (lambda f, ax: f.kl_per_unit([1, 2], [1], ax=ax), "predicted has 1 units, expected 2"),
        (lambda f, ax: f.kl_per_unit([[1, 2], [3]], ax=ax), "dtype object"),
        (lambda f, ax: f.curves([1.0], "y", ax=ax), "values is list, expected a dict"),
        (lambda f, ax: f.curves({}, "y", ax=ax), "values is empty"),
        (lambda f, ax: f.curves({"a": ["x"]}, "y", ax=ax), r"values\['a'\] has shape"),
        (lambda f, ax: f.curves({"a": [np.inf]}, "y", ax=ax), r"values\['a'\] has 1 values"),
        (lambda f, ax: f.curves({"a": [1], "b": [1, 2]}, "y", ax=ax), "b has 2 epochs, expected 1"),
        (lambda f, ax: f.curves({"a": [1]}, "y", [1, 2], ax=ax), "a has 1 epochs, expected 2"),
        (lambda f, ax: f.by_seed({"a": [[1]]}, "y", ax=ax), "expected numbers of rank 1"),
        (lambda f, ax: f.image_grid({"a": PIXELS}, (2, 2), ax=ax), r"expected \(n, 4\) or"),
        (lambda f, ax: f.image_grid({"a": PIXELS}, 6, ax=ax), r"image_shape is \(6,\)"),
        (lambda f, ax: f.image_grid({"a": PIXELS}, (1, 3, 2), ax=ax), "image_shape is"),
        (lambda f, ax: f.image_grid({"a": PIXELS}, (2, 3), 0, ax=ax), "columns=0 is not"),
        (lambda f, ax: f.latent_plane(PIXELS, ax=ax), "z_mean has 6 columns, expected 2"),
        (lambda f, ax: f.latent_plane(KL[:, :2], [1], ax=ax), r"labels has shape \(1,\)"),
        (lambda f, ax: f.decoded_plane(PIXELS[:8], (2, 3), ax=ax), "got 8 images, expected a sq"),
        (lambda f, ax: f.decoded_plane(PIXELS[:1], (2, 3), ax=ax), "got 1 images"),
        (lambda f, ax: f.latent_grid(1), "side is 1"),
        (lambda f, ax: f.latent_grid(3, -1.0), "extent is -1.0"),
        (
            lambda f, ax: f.predicted_against_measured({"a": [1, 2, 3]}, "y", ax=ax),
            r"values\['a'\] is a list, expected the pair",
        ),
        (
            lambda f, ax: f.predicted_against_measured({"a": ([1, 2], [1])}, "y", ax=ax),
            "a has 1 measured points, expected 2",
        ),
        (
            lambda f, ax: f.estimate_against_exact([0, 1], [1, 2], 0, "y", ax=ax),
            "sample_counts has a 0",
        ),
        (
            lambda f, ax: f.estimate_against_exact([1, 2], [1], 0, "y", ax=ax),
            "estimates has 1 sample counts, expected 2",
        ),
        (lambda f, ax: f.schedule([0, 1], {"a": [1]}, ax=ax), "a has 1 epochs, expected 2"),
        (
            lambda f, ax: f.heat_map(KL, [1], range(4), "x", "y", "z", ax=ax),
            "row_labels has 1 labels, expected 8",
        ),
        (
            lambda f, ax: f.heat_map(KL, range(8), [1], "x", "y", "z", ax=ax),
            "col_labels has 1 labels, expected 4",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_sentence(call, said, ax):
    with pytest.raises(ValueError, match=said) as error:
        call(figures, ax)
    text = str(error.value)
    assert "\n" not in text and text.endswith(".") and ". " not in text
    assert not ax.has_data()  # refused before anything is drawn
