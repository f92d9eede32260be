"""The figures that move: their numbers against Python's, in a real browser where there is one."""

import base64
import io
import itertools
import re

import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from vae_notes import VAE, Objective, data, interactive, schedules, theory
from vae_notes._keras import keras
from vae_notes.interactive import _document, _plane
from vae_notes.networks import conv_decoder, dense, dense_decoder

SHAPE = (4, 3)


def stack(*widths, activation="tanh", seed=0, **last):
    """A decoder whose units 2 and 0 move its picture most, unit 1 hardly."""
    rng = np.random.default_rng(seed)
    layers = [keras.layers.Dense(w, activation=activation) for w in widths]
    decoder = keras.Sequential([keras.Input((3,)), *layers, keras.layers.Dense(12, **last)])
    for weights in decoder.weights:
        weights.assign(rng.normal(0, 0.5, weights.shape))
    kernel = decoder.weights[0]
    kernel.assign(np.asarray(kernel) * [[1.0], [0.05], [3.0]])
    return decoder


def constant():
    """A decoder that answers the same to everything, as a collapsed one does."""
    decoder = stack(5)
    decoder.weights[0].assign(np.zeros((3, 5)))
    return decoder


@pytest.fixture(scope="module")
def spectra():
    return {
        "digits": data.digits(),
        "patches 4 × 4": data.patches(4, count=300),
        "patches 12 × 12": data.patches(12, count=300),
    }


@pytest.fixture(scope="module")
def kinds(spectra):
    """One figure of each kind."""
    models = {"healthy": stack(8, 16), "collapsed": constant()}
    return {
        "dial": interactive.dial(spectra, latent_dim=8),
        "schedule": interactive.schedule(40, 20, epochs=100),
        "latent plane": interactive.latent_plane(models, SHAPE),
    }


KINDS = ["dial", "schedule", "latent plane"]


# Without a browser.


def test_words(kinds):
    assert repr(kinds["dial"]).endswith(
        "give an effective noise variance of 0.5, and 3 of 8 latent units survive."
    )
    assert "0.05 in epoch 42 and full weight from epoch 61." in repr(kinds["schedule"])
    assert repr(kinds["latent plane"]) == (
        "Latent plane: the decoder healthy draws a different picture at every point; the decoder "
        "collapsed draws nearly the same picture everywhere."
    )


@pytest.mark.parametrize("kind", KINDS)
def test_small(kinds, kind):
    assert len(kinds[kind]._repr_html_().encode()) < 150_000


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_from_elsewhere(kinds, kind):
    addresses = re.findall(r"\w+://[^\s\"'<>]*", kinds[kind].html)
    assert {a for a in addresses if not a.startswith("http://www.w3.org/")} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_still_picture(kinds, kind):
    """Outside of every script: an image that opens, its words, and what to know without scripts."""
    soup = BeautifulSoup(kinds[kind].html, "html.parser")
    images = soup.select("figure.still img")
    assert images and all(len(image["alt"].split()) > 5 for image in images)
    assert all(image["src"].startswith("data:image/") for image in images)
    assert repr(kinds[kind]) in soup.find("figcaption").get_text()
    assert "moves where scripts may run" in soup.find("noscript").get_text()
    assert not soup.find_all(id=True)  # two on a page would share it


def test_same_html_again(kinds, spectra):
    again = interactive.dial(spectra, latent_dim=8)
    assert again.html == kinds["dial"].html
    assert interactive.schedule(40, 20, epochs=100).html == kinds["schedule"].html
    # Nor does the arithmetic of another machine show.
    eigenvalues = {name: theory.spectrum(x) for name, x in spectra.items()}
    nearly = {name: values * (1 + 1e-12) for name, values in eigenvalues.items()}
    assert interactive.dial(nearly, latent_dim=8).html == again.html
    assert interactive.dial(nearly, latent_dim=7).html != again.html


def test_table_of_the_dial(kinds, spectra):
    table = BeautifulSoup(kinds["dial"].html, "html.parser").select_one("figure.still table")
    rows = [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in table("tr")]
    for row, x in zip(rows[1:], spectra.values(), strict=True):
        for cell, (reconstruction, kl) in zip(
            row[1:], itertools.product(("sum", "mean"), repeat=2), strict=True
        ):
            variance = Objective(reconstruction, kl).noise_variance(x.shape[1], 8)
            units = theory.active_units(x, variance, 8)
            assert cell == f"{units} of 8, noise variance {variance:.3g}"


def test_map_of_the_plane(kinds):
    """The upper left image of the still picture is the decoder's at that corner of the plane."""
    source = BeautifulSoup(kinds["latent plane"].html, "html.parser").select_one(".maps img")["src"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
    height, width = SHAPE
    assert pixels.shape == (5 * (height + 1) - 1, 5 * (width + 1) - 1)
    corner = np.asarray(stack(8, 16)(np.float32([[2.5, 0, -2.5]]))).clip(0, 1) * 255
    np.testing.assert_allclose(pixels[:height, :width].ravel(), corner[0], atol=0.51)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme):
    """Text at least 4.5 to 1, lines that mean something at least 3 to 1 (WCAG 2)."""
    rules = re.findall(r'html\[data-theme="(\w+)"\] \.vae-notes, body[^{]*\{([^}]*)\}', css())
    colours = dict(re.findall(r"--(\w+): (#\w{6})", dict(rules)[theme]))
    for ink, paper, least in (
        ("ink", "paper", 4.5),
        ("soft", "paper", 4.5),
        ("blue", "paper", 4.5),
        ("orange", "paper", 4.5),
        ("on", "blue", 4.5),
        ("ink", "faint", 4.5),
        ("line", "paper", 3),
    ):
        a, b = sorted((luminance(colours[ink]), luminance(colours[paper])))
        assert (b + 0.05) / (a + 0.05) >= least, (ink, paper)


def luminance(colour):
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (
        0.2126,
        0.7152,
        0.0722,
    )


def css():
    return _document._file("style.css")


def test_styles_agree():
    """A theme that the page sets and one that the system asks for have the same colours."""
    blocks = re.findall(r"--paper: [^}]*", css().partition("@media print")[0])
    light, dark, set_light, set_dark = (re.sub(r"\s+", " ", block).strip() for block in blocks)
    assert (light, dark) == (set_light, set_dark)


def test_every_rule_stays_within():
    """No style of a figure reaches the rest of the page."""
    plain = re.sub(r"@media[^{]*\{", "", css())
    for selectors in re.findall(r"([^{}]+)\{", plain):
        assert all(".vae-notes" in selector for selector in selectors.split(",")), selectors


def nan(x):
    return np.where(np.arange(x.size).reshape(x.shape) == 3, np.nan, x)


def branched():
    z = keras.Input((3,))
    h = keras.layers.Dense(3, name="a")(z)
    joined = keras.layers.Dense(12, name="b")(h)
    skip = keras.Model(z, joined)
    odd = keras.Model(z, keras.layers.Dense(12, name="c")(z))
    # A list of layers that lies about what the model does.
    skip.call = lambda z, **_: odd(z)
    return skip


def diverged():
    decoder = stack(4)
    decoder.weights[0].assign(np.full((3, 4), np.nan))
    return decoder


DIAL, SCHEDULE, PLANE = interactive.dial, interactive.schedule, interactive.latent_plane
REFUSED = {
    "no data": (lambda: DIAL({}), "spectra is empty"),
    "unnamed data": (lambda: DIAL(data.digits()), "spectra is ndarray"),
    "a name that is none": (lambda: DIAL({3: data.digits()}), "has the key 3"),
    "NaN in data": (lambda: DIAL({"x": nan(data.digits())}), r"spectra\['x'\]"),
    "negative": (lambda: DIAL({"x": [1.0, -1.0]}), r"spectra\['x'\].* below 0"),
    "constant data": (lambda: DIAL({"x": np.ones((9, 4))}), "does not vary"),
    "empty data": (lambda: DIAL({"x": np.ones((0, 4))}), r"spectra\['x'\]"),
    "Bernoulli": (lambda: DIAL({"x": [1.0]}, Objective(likelihood="bernoulli")), "noise variance"),
    "no objective": (lambda: DIAL({"x": [1.0]}, "sum"), "expected an Objective"),
    "no units": (
        lambda: DIAL({"x": [1.0]}, latent_dim=0),
        "latent_dim=0 is not a whole",
    ),
    "too many units": (
        lambda: DIAL({"x": [1.0]}, latent_dim=65),
        "latent_dim=65 is not a",
    ),
    "many data sets": (lambda: DIAL({"x" * i: [1.0] for i in range(1, 900)}), "more than"),
    "early start": (lambda: SCHEDULE(start=-1), "start=-1"),
    "no length": (lambda: SCHEDULE(length=0), "length=0"),
    "half an epoch": (lambda: SCHEDULE(epochs=20.5), "epochs=20.5"),
    "shape": (lambda: SCHEDULE(shape="cubic"), "shape='cubic' is unknown"),
    "no models": (lambda: PLANE({}, SHAPE), "models is empty"),
    "too many models": (lambda: PLANE(dict.fromkeys("abcdefg", stack(4)), SHAPE), "7 entries"),
    "other images": (lambda: PLANE({"m": stack(4)}, (8, 8)), "gives 12 values"),
    "no images": (lambda: PLANE({"m": stack(4)}, 12), r"image_shape is \(12,\)"),
    "one unit": (lambda: PLANE({"m": dense_decoder(1, 12)}, SHAPE), "one latent unit"),
    "not dense": (lambda: PLANE({"m": conv_decoder(2, (4, 4, 1), (4,))}, (4, 4)), "Reshape layer"),
    "no model": (lambda: PLANE({"m": np.ones(3)}, SHAPE), r"no layers \(ndarray\)"),
    "activation": (lambda: PLANE({"m": stack(4, activation="selu")}, SHAPE), "activation selu"),
    "diverged": (lambda: PLANE({"m": diverged()}, SHAPE), "NaN or infinite"),
    "a lie": (lambda: PLANE({"m": branched()}, SHAPE), "without branches"),
    "too large": (lambda: PLANE({"m": stack(400, 400)}, SHAPE), "165,600 weights .* 78,750"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence(case):
    make, reason = REFUSED[case]
    with pytest.raises(ValueError, match=reason) as refused:
        make()
    message = str(refused.value)
    assert message.endswith(".") and "\n" not in message
    assert len(re.findall(r"\.(?: |$)", message)) == 1, message


# In a browser.


@pytest.fixture(scope="module")
def tabs(browser):
    """One tab for every kind of browser that is asked for: to open one takes longer than a test."""
    opened = {}

    def tab_of(**options):
        key = tuple(options.items())
        if key not in opened:
            opened[key] = browser.new_context(**options).new_page()
        return opened[key]

    yield tab_of
    for tab in opened.values():
        tab.context.close()


@pytest.fixture
def visit(tabs, tmp_path):
    """Open figures on one page from disk; in the end nothing may have gone wrong there."""
    wrong, visited = [], []
    listeners = {
        "pageerror": lambda error: wrong.append(f"script error: {error}"),
        "console": lambda line: line.type == "error" and wrong.append(line.text),
        "request": lambda request: requested.append(request.url),
    }

    usual = {"media": "screen", "color_scheme": "light", "reduced_motion": "no-preference"}

    def open_page(*shown, width=800, java_script_enabled=True, has_touch=False, **media):
        tab = tabs(java_script_enabled=java_script_enabled, has_touch=has_touch)
        if tab not in visited:
            visited.append(tab)
            for event, listener in listeners.items():
                tab.on(event, listener)
        tab.set_viewport_size({"width": width, "height": 900})
        tab.emulate_media(**usual | media)
        path = tmp_path / "page.html"
        shown[0].save(path)
        more = "".join(figure.html for figure in shown[1:])
        path.write_text(path.read_text().replace("</main>", f"{more}</main>"))
        tab.goto(path.as_uri())
        return tab

    requested = []
    yield open_page
    wrong += [url[:60] for url in requested if not url.startswith(("file:", "data:"))]
    for tab in visited:
        tab.mouse.move(0, 0)
        tab.goto("about:blank")
        for event, listener in listeners.items():
            tab.remove_listener(event, listener)
    assert not wrong


def live(tab):
    return tab.locator(".live")


def pick(where, label):
    where.locator(".live label", has_text=label).click()


# Sets controls as a reader does and hands back what the figure then reports.
DRIVE = """(settings) => {
  const root = document.querySelector(".vae-notes");
  let heard = null;
  root.addEventListener("vae-notes", (event) => (heard = event.detail));
  const slide = (name, value) => {
    const input = root.querySelector(`input[aria-label^="${name}"]`);
    input.value = value;
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const pick = (group, label) => {
    const found = [...root.querySelectorAll("fieldset")].find((one) =>
      one.querySelector("legend").textContent.startsWith(group));
    const labels = [...found.querySelectorAll("label")];
    labels.find((one) => one.textContent.startsWith(label)).click();
  };
  return settings.map((one) => {
    heard = null;
    for (const [name, value] of one) (typeof value === "number" ? slide : pick)(name, value);
    return heard;
  });
}"""


def test_dial_obeys_the_law(visit, spectra):
    """The browser's noise variance, count and nats are those of Objective and theory."""
    tab = visit(interactive.dial(spectra, Objective(kl_weight=0.00025), latent_dim=3))
    said = {"sum": "summed", "mean": "averaged"}
    grid = itertools.product(spectra, said, said, (0, 14, 37, 50, 51, 70, 71), (1, 2, 8, 33, 64))
    settings = list(grid)
    heard = tab.evaluate(
        DRIVE,
        [
            [
                ("Data", name),
                ("Squared errors", said[reconstruction]),
                ("KL over", said[kl]),
                ("KL weight", weight),
                ("Latent units", latent_dim),
            ]
            for name, reconstruction, kl, weight, latent_dim in settings
        ],
    )
    weights = {entry["weight"] for entry in heard}
    assert {1e-5, 1.0, 100.0} <= weights
    eigenvalues = {name: theory.spectrum(x) for name, x in spectra.items()}
    counts = set()
    for (name, reconstruction, kl, _, latent_dim), entry in zip(settings, heard, strict=True):
        assert (entry["set"], entry["latentDim"]) == (name, latent_dim)
        spectrum = eigenvalues[name]
        objective = Objective(reconstruction, kl, float(entry["weight"]))
        variance = objective.noise_variance(len(spectrum), latent_dim)
        assert entry["noiseVariance"] == pytest.approx(variance, rel=1e-12)
        assert entry["activeUnits"] == theory.active_units(spectrum, variance, latent_dim)
        nats = theory.kl_per_unit(spectrum, variance, latent_dim).sum()
        assert entry["nats"] == pytest.approx(nats, rel=1e-4, abs=1e-5)
        counts.add(entry["activeUnits"])
    assert len(counts) > 10


def test_dial_shows_and_says(visit, spectra):
    tab = visit(interactive.dial(spectra, latent_dim=8))
    says = tab.locator("[aria-live=polite]")
    assert "noise variance is 0.5. 3 of 8 latent units survive" in says.text_content()
    assert tab.locator(".dot.lit").count() == tab.locator(".lamp.lit").count() == 3
    assert "3 of 8 latent units lie above it" in tab.locator("svg").get_attribute("aria-label")
    pick(tab, "averaged over N")
    assert "noise variance is 32. 0 of 8 latent units survive: all of them" in says.text_content()
    assert tab.locator(".dot.lit").count() == tab.locator(".lamp.lit").count() == 0
    assert "σ² = w N / 2 = 1 × 64 / 2 = 32" in tab.locator(".formula").text_content()
    pick(tab, "patches 4 × 4")
    assert "noise variance is 8." in says.text_content()


def test_dial_by_keyboard(visit, spectra):
    tab = visit(interactive.dial(spectra, latent_dim=8))
    tab.keyboard.press("Tab")
    tab.keyboard.press("ArrowRight")  # the next data set
    assert tab.evaluate("document.activeElement.closest('label').textContent").startswith(
        "patches 4 × 4"
    )
    for _ in range(3):
        tab.keyboard.press("Tab")
    weight = live(tab).get_by_label("KL weight w")
    assert weight.evaluate("node => node === document.activeElement")
    assert weight.get_attribute("aria-valuetext") == "1"
    tab.keyboard.press("ArrowRight")
    assert weight.get_attribute("aria-valuetext") == "1.2"
    assert "noise variance is 0.6" in tab.locator("[aria-live=polite]").text_content()
    tab.keyboard.press("Tab")
    tab.keyboard.press("Home")
    assert "of 1 latent unit survives" in tab.locator("[aria-live=polite]").text_content()


def test_dial_by_dragging(visit, spectra):
    tab = visit(interactive.dial(spectra, latent_dim=8))
    box = tab.locator(".knob").bounding_box()
    tab.mouse.move(box["x"] + 6, box["y"] + 6)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 6, box["y"] + 60)
    tab.mouse.up()
    weight = float(live(tab).get_by_label("KL weight w").get_attribute("aria-valuetext"))
    assert 0.01 < weight < 0.2
    assert abs(tab.locator(".knob").bounding_box()["y"] - box["y"] - 54) < 5


def test_schedule_is_that_of_the_package(visit):
    tab = visit(interactive.schedule())
    grid = list(
        itertools.product(
            ("linear", "cosine", "sigmoid", "cyclical"), (0, 7, 40), (1, 12, 19, 20, 45), (60, 130)
        )
    )
    heard = tab.evaluate(
        DRIVE,
        [
            [("Shape", shape), ("Start", start), ("Length", length), ("Epochs", epochs)]
            for shape, start, length, epochs in grid
        ],
    )
    for (shape, start, length, epochs), entry in zip(grid, heard, strict=True):
        every = np.arange(epochs)
        if shape == "cyclical":
            expected, published = schedules.cyclical(length), None
        else:
            expected = getattr(schedules, shape)(start, length)
            published = schedules.as_published(start, length)(every)
        np.testing.assert_allclose(entry["chosen"], expected(every), atol=1e-12)
        if published is None:
            assert entry["published"] is None
        else:
            np.testing.assert_array_equal(entry["published"], published)


def test_schedule_says_what_the_post_does(visit):
    """0 in epochs 0 to 41, 0.05 first in epoch 42 and 1 first in 61."""
    tab = visit(interactive.schedule(40, 20))
    says = tab.locator("[aria-live=polite]")
    said = says.text_content()
    assert "has weight 0 through epoch 40, 0.05 in epoch 41 and full weight from epoch 60" in said
    assert "has 0 through epoch 41, 0.05 in epoch 42 and full weight from epoch 61" in said
    table = tab.locator(".around tr").all_inner_texts()
    assert [row.split("\t") for row in table] == [
        ["epoch", *"38 39 40 41 42 43 44 45 46".split()],
        ["linear schedule", *"0 0 0 0.05 0.1 0.15 0.2 0.25 0.3".split()],
        ["the post's callback", *"0 0 0 0 0.05 0.1 0.15 0.2 0.25".split()],
    ]
    live(tab).get_by_label("Epoch to look at").focus()
    tab.keyboard.press("End")
    assert tab.locator("th.here").inner_text() == "99"
    live(tab).get_by_label("Epochs of training").focus()
    tab.keyboard.press("Home")  # ten epochs: the ramp never begins
    assert "has weight 0 in every epoch" in says.text_content()
    assert tab.locator("th.here").inner_text() == "9"
    pick(tab, "cyclical")
    assert "1 cycle in 10 epochs" in says.text_content()
    assert live(tab).get_by_label("Start (epoch)").is_disabled()


def test_schedule_by_mouse(visit):
    tab = visit(interactive.schedule(40, 20))
    box = tab.locator(".live svg").bounding_box()
    tab.mouse.click(box["x"] + box["width"] - 16, box["y"] + 100)
    assert live(tab).get_by_label("Epoch to look at").input_value() == "99"


ACTIVATIONS = ["linear", "relu", "elu", "tanh", "sigmoid", "softplus", "silu"]


def pixels(tab, i=0, of=".panel > canvas"):
    """The red channel of a decoder's picture, or of its map, as the canvas has it."""
    read = """(node) => [...node.getContext("2d").getImageData(0, 0, node.width, node.height).data]
        .filter((_, i) => i % 4 === 0)"""
    return np.array(tab.locator(of).nth(i).evaluate(read))


def test_plane_draws_what_the_decoder_decodes(visit):
    models = {name: stack(6, 5, activation=name) for name in ACTIVATIONS[:4]}
    models["no bias"] = stack(6, use_bias=False)
    encoder, _ = dense(12, 3)
    models["bernoulli"] = VAE(encoder, stack(5), Objective(likelihood="bernoulli"))
    tab = visit(interactive.latent_plane(models, SHAPE))
    for first, second in ((1.0, 0.5), (0.0, 0.0), (-2.5, 1.35), (0.4, -2.5)):
        tab.evaluate(DRIVE, [[("First", first), ("Second", second)]])
        z = np.array([[second, 0.0, first]], "float32")  # the strongest units are 2 and 0
        for i, model in enumerate(models.values()):
            decode = getattr(model, "decode", model)
            expected = np.asarray(decode(z))[0].clip(0, 1) * 255
            np.testing.assert_allclose(pixels(tab, i), expected, atol=1.01)
    height, width = SHAPE
    for i, model in enumerate(models.values()):
        decode = getattr(model, "decode", model)
        corner = np.asarray(decode(np.float32([[2.5, 0.0, -2.5]])))[0].clip(0, 1) * 255
        upper_left = pixels(tab, i, ".map canvas").reshape(-1, 5 * (width + 1) - 1)[:height, :width]
        np.testing.assert_allclose(upper_left.ravel(), corner, atol=1.01)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_plane_knows_the_activation(visit, activation):
    """Unrounded: what the script computes, not what a pixel can hold."""
    decoder = stack(6, activation=activation)
    tab = visit(interactive.latent_plane({"m": decoder}, SHAPE))
    (heard,) = tab.evaluate(DRIVE, [[("First", -1.5), ("Second", 0.75)]])
    expected = np.asarray(decoder(np.float32([[0.75, 0.0, -1.5]])))[0]
    np.testing.assert_allclose(heard["drawn"][0]["image"], expected, atol=2e-3)
    assert heard["point"] == [-1.5, 0.75]


def test_plane_in_colour_and_reshaped(visit):
    flat = stack(6)
    shaped = keras.Sequential([*flat.layers, keras.layers.Reshape((2, 2, 3))])
    tab = visit(interactive.latent_plane({"m": shaped}, (2, 2, 3)))
    expected = np.asarray(flat(np.float32([[0.5, 0, 1.0]])))[0].clip(0, 1) * 255
    np.testing.assert_allclose(pixels(tab), expected.reshape(4, 3)[:, 0], atol=1.01)


def test_plane_rounds_large_decoders(visit):
    """Two hidden layers of 256: fewer bits, and still within a hundredth."""
    decoder = stack(256, 256)
    for layer in decoder.layers:
        layer.kernel.assign(np.asarray(layer.kernel) / np.sqrt(layer.kernel.shape[0]))
    figure = interactive.latent_plane({"m": decoder}, SHAPE)
    assert len(figure.html.encode()) < 150_000
    tab = visit(figure)
    (heard,) = tab.evaluate(DRIVE, [[("First", 2.0), ("Second", -2.0)]])
    expected = np.asarray(decoder(np.float32([[-2.0, 0.0, 2.0]])))[0]
    np.testing.assert_allclose(heard["drawn"][0]["image"], expected, atol=0.01)


def test_rounded_stack_is_what_is_packed():
    layers = _plane._stack("m", stack(5), 12)
    packed, rounded = _plane._packed(layers, 11)
    assert [layer["units"] for layer in packed] == [5, 12]
    for (weights, _, _), (near, _, _) in zip(layers, rounded, strict=True):
        assert np.abs(weights - near).max() <= np.abs(weights).max() / 1023 * 0.51


def test_plane_says_who_answers(visit, kinds):
    tab = visit(kinds["latent plane"])
    says = tab.locator("[aria-live=polite]").text_content()
    assert "first unit 1.0, second unit 0.5: healthy answers to the point" in says
    assert "collapsed draws nearly the same picture wherever it is." in says
    notes = tab.locator(".panel .note").all_inner_texts()
    assert notes[1] == "Pixels differ from the centre's by up to 0.00."
    assert notes[0] != notes[1]


def test_plane_by_keyboard_and_mouse(visit, kinds):
    tab = visit(kinds["latent plane"])
    pad = live(tab).get_by_role("slider", name="Point in the latent plane")
    tab.keyboard.press("Tab")
    assert pad.evaluate("node => node === document.activeElement")
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowRight"):
        tab.keyboard.press(key)
    assert pad.get_attribute("aria-valuetext") == "first unit 1.4, second unit 0.6"
    tab.keyboard.press("Home")
    assert pad.get_attribute("aria-valuetext") == "first unit 0.0, second unit 0.0"
    box = tab.locator(".pad .frame").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.9)
    tab.mouse.up()
    assert pad.get_attribute("aria-valuetext") == "first unit 2.0, second unit −2.0"
    live(tab).get_by_role("button", name="Centre").click()
    tab.locator(".map").first.click(position={"x": 5, "y": 5})
    assert pad.get_attribute("aria-valuetext").startswith("first unit −2.")
    before = pad.get_attribute("aria-valuetext")
    live(tab).get_by_role("button", name="Draw from the prior").click()
    assert pad.get_attribute("aria-valuetext") != before


def test_plane_by_touch(visit, kinds):
    tab = visit(kinds["latent plane"], width=390, has_touch=True)
    box = tab.locator(".pad .frame").bounding_box()
    tab.touchscreen.tap(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.5)
    pad = tab.locator(".pad")
    assert pad.get_attribute("aria-valuetext").startswith("first unit −2.0")
    assert pad.evaluate("node => getComputedStyle(node).touchAction") == "none"


@pytest.mark.parametrize("kind", KINDS)
def test_labelled(visit, kinds, kind):
    """Everything that is operated or drawn has a name; what changes is announced."""
    tab = visit(kinds[kind])
    unnamed = """() => [...document.querySelectorAll(
          ".live input, .live [role], .live canvas, .live svg, .live button")]
        .filter((node) => !node.ariaLabel && !node.closest("label")?.textContent.trim()
          && !node.textContent.trim())
        .map((node) => node.outerHTML.slice(0, 80))"""
    assert tab.evaluate(unnamed) == []
    assert tab.locator(".live[role=group][aria-label]").count() == 1
    assert tab.locator(".live [role=status][aria-live=polite]").count() == 1
    for slider in tab.locator("input[type=range]").all():
        assert slider.get_attribute("aria-valuetext")
    assert tab.locator("fieldset > legend").count() == tab.locator("fieldset").count()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_fits(visit, kinds, kind, width):
    tab = visit(kinds[kind], width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    letters = """() => [...document.querySelectorAll(".live :is(p, span, th, td, text)")]
        .filter((node) => !node.closest(".pad"))
        .map((node) => parseFloat(getComputedStyle(node).fontSize))"""
    assert min(tab.evaluate(letters)) >= 11


@pytest.mark.parametrize("kind", KINDS)
def test_paper_and_no_scripts(visit, kinds, kind):
    tab = visit(kinds[kind])
    still = tab.locator("figure.still")
    assert (still.is_visible(), live(tab).is_visible()) == (False, True)
    tab.emulate_media(media="print", color_scheme="dark")
    assert (still.is_visible(), live(tab).is_visible()) == (True, False)
    paper = tab.locator(".vae-notes").evaluate("node => getComputedStyle(node).backgroundColor")
    assert paper == "rgb(255, 255, 255)"
    tab = visit(kinds[kind], java_script_enabled=False)
    assert tab.locator("figure.still").is_visible()
    assert tab.locator("noscript").is_visible()
    for image in tab.locator("figure.still img").all():
        assert image.bounding_box()["height"] > 80


WHITE, NIGHT = "rgb(255, 255, 255)", "rgb(20, 24, 30)"


@pytest.mark.parametrize(
    ("system", "name", "value", "paper"),
    [
        ("light", None, None, WHITE),
        ("dark", None, None, NIGHT),
        ("light", "data-theme", "dark", NIGHT),
        ("dark", "data-theme", "light", WHITE),
        ("dark", "data-jp-theme-light", "true", WHITE),
        ("light", "data-jp-theme-light", "false", NIGHT),
    ],
)
def test_follows_the_theme(visit, kinds, system, name, value, paper):
    """The page's own theme, of the book or of a notebook, comes before the system's."""
    tab = visit(kinds["schedule"], color_scheme=system)
    if name:
        node = "body" if "jp" in name else "documentElement"
        tab.evaluate(f"document.{node}.setAttribute('{name}', '{value}')")
    style = "node => getComputedStyle(node).backgroundColor"
    assert tab.locator(".vae-notes").evaluate(style) == paper


def test_still_when_asked(visit, kinds):
    moving = "node => getComputedStyle(node).transitionDuration"
    for wish, duration in (("no-preference", "0.15s"), ("reduce", "0s")):
        tab = visit(kinds["dial"], reduced_motion=wish)
        assert tab.locator(".dot").first.evaluate(moving) == duration


def test_several_on_a_page(visit, kinds, tmp_path):
    """Also the same one twice: each answers for itself, and nothing leaks into the page."""
    tab = visit(*kinds.values(), kinds["dial"])
    assert tab.locator(".vae-notes > .live").count() == 4
    first, second = (tab.locator(".vae-notes").nth(i) for i in (0, 3))
    pick(second, "averaged over N")
    assert "noise variance is 32" in second.locator("[aria-live]").text_content()
    assert "noise variance is 0.5" in first.locator("[aria-live]").text_content()
    names = "() => Object.getOwnPropertyNames(window)"
    there = tab.evaluate(names)
    empty = tmp_path / "empty.html"
    empty.write_text("<!DOCTYPE html>")
    tab.goto(empty.as_uri())
    assert set(there) == set(tab.evaluate(names))


def test_in_a_notebook(visit, kinds):
    """A notebook puts the HTML in place and then runs its scripts anew; it owns the keys."""
    tab = visit(kinds["dial"])
    tab.evaluate(
        """(html) => {
          window.heard = [];
          document.addEventListener("keydown", (event) => heard.push(event.key));
          const host = document.createElement("div");
          host.innerHTML = html;
          for (const old of host.querySelectorAll("script")) {
            const script = document.createElement("script");
            script.textContent = old.textContent;
            old.replaceWith(script);
          }
          document.body.replaceChildren(host);
        }""",
        kinds["schedule"].html,
    )
    assert tab.locator(".vae-notes > .live").count() == 1
    live(tab).get_by_label("Start (epoch)").focus()
    for key in ("ArrowRight", "Control+k", "Escape"):
        tab.keyboard.press(key)
    assert "ArrowRight" not in tab.evaluate("heard")
    assert {"Escape", "k"} <= set(tab.evaluate("heard"))
    assert live(tab).get_by_label("Start (epoch)").get_attribute("aria-valuetext") == "41"


def test_names_are_only_names(visit):
    name = "</script><img src=x onerror=alert(1)>&amp;"
    tab = visit(interactive.dial({name: [2.0, 1.0]}, latent_dim=2))
    assert live(tab).get_by_text(f"{name}, N = 2", exact=True).is_visible()
    assert tab.locator("img[src=x]").count() == 0


def test_flat_spectra(visit):
    """One direction, or all of one variance, are drawn like any others."""
    tab = visit(interactive.dial({"one": [3.0], "equal": [1.0] * 5}, latent_dim=4))
    assert "1 of 4 latent units survives" in tab.locator("[aria-live]").text_content()
    pick(tab, "equal, N = 5")
    assert tab.locator(".dot.lit").count() == 4
    (heard,) = tab.evaluate(DRIVE, [[("KL weight", 53)]])
    assert heard["noiseVariance"] == 1.0  # an eigenvalue of just that is not above it
    assert heard["activeUnits"] == tab.locator(".dot.lit").count() == 0
