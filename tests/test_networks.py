"""Encoders and decoders: of every size, of every kind, and without options as they ever were."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from vae_notes import VAE, Objective, data, networks
from vae_notes._keras import keras, ops
from vae_notes.networks import (
    conv_decoder,
    conv_encoder,
    convolutional,
    dense,
    dense_decoder,
    dense_encoder,
    series,
    series_decoder,
    series_encoder,
)
from vae_notes.recipes import Recipe
from vae_notes.sweep import sweep

X = data.digits()[:128]
IMAGES = X.reshape(-1, 8, 8, 1)
NORMALISED = dict(batch_normalisation=True)
BOTH = dict(residual=True, batch_normalisation=True)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# Without options, what was stored


def seeds(seed, half):
    return iter(np.random.SeedSequence([seed, half]).generate_state(256).tolist())


def glorot(seeds):
    return keras.initializers.GlorotUniform(seed=next(seeds))


def chain(tensor, layers, heads, name):
    h = tensor
    for layer in layers:
        h = layer(h)
    outputs = [head(h) for head in heads]
    return keras.Model(tensor, outputs if len(outputs) > 1 else outputs[0], name=name)


def dense_of_old(data_dim, latent_dim, hidden, activation, seed):
    """The dense pair as version 0.1.0 built it."""

    def layer(units, seeds, **kwargs):
        return keras.layers.Dense(units, kernel_initializer=glorot(seeds), **kwargs)

    here, there = seeds(seed, 0), seeds(seed, 1)
    layers = [layer(units, here, activation=activation) for units in hidden]
    heads = [layer(latent_dim, here, name=name) for name in ("z_mean", "z_log_var")]
    encoder = chain(keras.Input((data_dim,), name="x"), layers, heads, "encoder")
    layers = [layer(units, there, activation=activation) for units in hidden[::-1]]
    heads = [layer(data_dim, there, name="x_mean")]
    return encoder, chain(keras.Input((latent_dim,), name="z"), layers, heads, "decoder")


def convolutional_of_old(image_shape, latent_dim, filters, activation, seed):
    """The convolutional pair as version 0.1.0 built it."""

    def layer(kind, count, seeds, **kwargs):
        options = dict(strides=2, padding="same", kernel_initializer=glorot(seeds), **kwargs)
        return kind(count, 3, **options)

    keras_dense, (down, up) = (
        keras.layers.Dense,
        (keras.layers.Conv2D, keras.layers.Conv2DTranspose),
    )
    here, there = seeds(seed, 0), seeds(seed, 1)
    layers = [layer(down, count, here, activation=activation) for count in filters]
    layers.append(keras.layers.Flatten())
    heads = [
        keras_dense(latent_dim, kernel_initializer=glorot(here), name=name)
        for name in ("z_mean", "z_log_var")
    ]
    encoder = chain(keras.Input(image_shape, name="x"), layers, heads, "encoder")
    height, width, channels = image_shape
    small = height >> len(filters), width >> len(filters), filters[-1]
    first = keras_dense(math.prod(small), kernel_initializer=glorot(there), activation=activation)
    layers = [first, keras.layers.Reshape(small)]
    layers += [layer(up, count, there, activation=activation) for count in filters[-2::-1]]
    heads = [layer(up, channels, there, name="x_mean")]
    return encoder, chain(keras.Input((latent_dim,), name="z"), layers, heads, "decoder")


def configurations(model):
    """What each layer is told; the names that Keras counts are no part of it."""
    told = ("x", "z", "z_mean", "z_log_var", "x_mean")
    for layer in model.layers:
        config = layer.get_config()
        if config["name"] not in told:
            del config["name"]
        yield type(layer).__name__, config


@pytest.mark.parametrize(
    ("build", "old", "shape", "widths"),
    [
        (dense, dense_of_old, 64, (64,)),
        (dense, dense_of_old, 5, ()),
        (dense, dense_of_old, 64, (32, 16, 16)),
        (convolutional, convolutional_of_old, (8, 8, 1), (16, 32)),
        (convolutional, convolutional_of_old, (8, 24, 3), (4, 4, 8)),
        (convolutional, convolutional_of_old, (4, 4, 1), (4, 8)),
        (convolutional, convolutional_of_old, (2, 6, 1), (4,)),
    ],
)
def test_what_could_be_built_before_is_what_it_was(build, old, shape, widths):
    """Layers, initial weights and outputs, number for number: stored results depend on them."""
    for activation, seed in (("relu", 0), ("tanh", 7)):
        pair = build(shape, 4, widths, activation, seed)
        before = old(shape, 4, widths, activation, seed)
        x = normal(3, *np.atleast_1d(shape))
        for new, was, inputs in zip(pair, before, (x, x.reshape(3, -1)[:, :4]), strict=True):
            assert [*configurations(new)] == [*configurations(was)]
            assert new.name == was.name
            for a, b in zip(new.get_weights(), was.get_weights(), strict=True):
                assert_array_equal(a, b)
            for a, b in zip(*map(keras.tree.flatten, (new(inputs), was(inputs))), strict=True):
                assert_array_equal(a, b)


@pytest.mark.parametrize(("build", "shape"), [(dense, (64,)), (convolutional, ((8, 8, 1),))])
def test_the_defaults_are_the_plain_ones(build, shape):
    old = {dense: dense_of_old, convolutional: convolutional_of_old}[build]
    widths = {dense: (64,), convolutional: (16, 32)}[build]
    for new, was in zip(build(*shape, 4), old(*shape, 4, widths, "relu", 0), strict=True):
        assert [*configurations(new)] == [*configurations(was)]


OPTIONS = [{}, dict(residual=True), NORMALISED, BOTH]
IDS = ["plain", "residual", "normalised", "both"]


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
@pytest.mark.parametrize(
    ("build", "shape"),
    [(dense_encoder, (64,)), (conv_encoder, ((8, 8, 1),)), (series_encoder, (9, 1))],
)
def test_builders_are_functions_of_the_seed(build, shape, options):
    a, b, c = (build(*shape, 4, seed=s, **options).get_weights() for s in (3, 3, 4))
    assert all(np.array_equal(i, j) for i, j in zip(a, b, strict=True))
    assert not np.array_equal(a[0], c[0])
    assert np.abs(a[-2]).max() > 0 and not np.array_equal(a[-2], a[-4])


def test_all_layers_that_draw_draw_apart():
    encoder, decoder = dense(16, 16, [16] * 130, residual=True)
    kernels = [w for half in (encoder, decoder) for w in half.get_weights() if w.shape == (16, 16)]
    assert len({w.tobytes() for w in kernels if w.any()}) == 263 and len(kernels) == 523


# Every size


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
@pytest.mark.parametrize(
    ("shape", "filters"),
    [
        ((28, 28, 1), (4, 8, 8)),
        ((25, 25, 1), (4, 8)),
        ((7, 9, 2), (4, 8, 8)),
        ((64, 64, 3), (4, 8)),
        ((3, 5, 3), (4, 4)),
        ((2, 3, 1), (4,)),
    ],
)
def test_images_come_back_in_their_size(shape, filters, options):
    encoder, decoder = convolutional(shape, 3, filters, **options)
    z_mean, z_log_var = encoder(np.ones((2, *shape), np.float32))
    assert z_mean.shape == z_log_var.shape == (2, 3)
    assert decoder.output_shape[1:] == shape and decoder(z_mean).shape == (2, *shape)


@given(
    halvings=st.integers(1, 4),
    extra=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    channels=st.integers(1, 3),
    residual=st.booleans(),
)
@settings(max_examples=25)
def test_any_size_comes_back_and_its_halves_mirror(halvings, extra, channels, residual):
    """From the smallest that is allowed on; both pass through the same sizes and channels."""
    height, width = (2 ** (halvings - 1) + 1 + n for n in extra)
    filters = tuple(range(2, 2 + halvings))
    for build, shape in ((convolutional, (height, width, channels)), (series, (height, channels))):
        arguments = (shape,) if build is convolutional else shape
        encoder, decoder = build(*arguments, 2, filters, residual=residual)
        assert decoder.output_shape[1:] == shape
        sizes = [tuple(math.ceil(n / 2**i) for n in shape[:-1]) for i in range(halvings + 1)]
        expected = [(*size, count) for size, count in zip(sizes, (channels, *filters), strict=True)]
        down = [of.output.shape[1:] for of in encoder.layers if len(of.output.shape) > 2]
        up = [of.output.shape[1:] for of in decoder.layers if len(of.output.shape) > 2]
        assert set(expected) <= {*down} and set(expected) <= {*up}
        if not residual:
            assert down == expected


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (8, 9), (5,), (6,)])
def test_a_doubling_is_the_mirror_of_a_halving(size):
    """With one kernel, <conv x, y> = <x, doubling y>: nothing is shifted or cut on one side."""
    half = networks._Half(iter(range(9)), "relu", False, False)
    conv = half.conv("Conv{}D", size, 3)
    x = normal(4, *size, 2)
    small = conv(x)
    y = keras.Input(small.shape[1:])
    doubling = keras.Model(y, half.doubling(2, size, use_bias=False)(y))
    doubling.set_weights([conv.kernel])
    y = normal(*small.shape, seed=1)
    assert_allclose(ops.sum(small * y), ops.sum(x * doubling(y)), rtol=1e-4)


# Hidden layers, residual and normalised


def test_a_residual_block_in_numpy():
    x = X[:7].astype(float)
    encoder = dense_encoder(64, 3, (16, 16), "tanh", residual=True)
    randomise(encoder)
    weights = [w.astype(float) for w in encoder.get_weights()]
    w_1, b_1, shortcut, w_2, b_2, v_1, a_1, v_2, a_2, *heads = weights
    h = x @ shortcut + np.tanh(x @ w_1 + b_1) @ w_2 + b_2
    h = h + np.tanh(h @ v_1 + a_1) @ v_2 + a_2  # one width: nothing in the way
    z_mean, z_log_var = encoder(X[:7])
    assert_allclose(z_mean, h @ heads[0] + heads[1], rtol=1e-4, atol=1e-5)
    assert_allclose(z_log_var, h @ heads[2] + heads[3], rtol=1e-4, atol=1e-5)


def randomise(model):
    """Give values to what begins as zeros: biases, and the last map of a block."""
    weights = model.get_weights()
    model.set_weights([w if w.any() else 0.3 * normal(*w.shape) for w in weights])


@pytest.mark.parametrize("options", [dict(residual=True), BOTH], ids=["residual", "both"])
@pytest.mark.parametrize(
    ("build", "shape"), [(convolutional, ((7, 9, 2),)), (series, (11, 2)), (dense, (20,))]
)
def test_a_network_of_blocks_begins_linear(build, shape, options):
    """The path around a block leads through it, with no activation on it."""
    encoder, _ = build(*shape, 3, (4, 4, 8), **options)
    x, y = normal(2, 5, *encoder.input_shape[1:])
    f = lambda x: ops.convert_to_numpy(encoder(x)[0])  # noqa: E731
    assert_allclose(f(2 * x - 3 * y), 2 * f(x) - 3 * f(y), rtol=1e-4, atol=1e-4)
    assert np.abs(f(x)).max() > 0.01
    randomise(encoder)
    bend = f(2 * x - 3 * y) - 2 * f(x) + 3 * f(y) - 2 * f(0 * x)
    assert np.abs(bend).max() > 0.01  # and does not stay so


def test_the_path_around_passes_by_no_pixel():
    """Each pixel is read by an encoder that is its paths alone; a decoder's paths write each."""
    encoder, decoder = convolutional((10, 11, 1), 8, (4, 4, 4), residual=True)
    pixels = np.eye(110, dtype=np.float32).reshape(110, 10, 11, 1)
    moved = np.abs(encoder(pixels)[0] - encoder(0 * pixels)[0]).max(axis=1)
    assert moved.min() > 0.01 * moved.max()
    *_, block = [of for of in decoder.layers if isinstance(of, keras.layers.Add)]
    written = keras.Model(decoder.input, block.output)(normal(5, 8))
    assert written.shape == (5, 5, 6, 4)
    assert np.abs(written).max(axis=(0, 3)).min() > 0
    assert_array_equal(written[:, 0], written[:, 3])  # 2 rows become 3 and 5: a b, a a b, a a a a b
    assert np.abs(written[:, 3] - written[:, 4]).max() > 0.01


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    ("build", "shape", "filters"),
    [(dense, (64,), (16, 12)), (convolutional, ((8, 8, 1),), (4, 8)), (series, (64, 1), (4, 8))],
)
def test_what_goes_into_an_activation_is_normalised(build, shape, filters, residual):
    """By NumPy: a linear map without bias, less its mean over the batch, over its deviation."""
    for half in build(*shape, 3, filters, "tanh", residual=residual, batch_normalisation=True):
        makers = {id(of.output): of for of in half.layers if not isinstance(of.output, list)}
        bent = [of for of in half.layers if of.get_config().get("activation") == "tanh"]
        assert len(bent) == len(filters)
        x = normal(50, *half.input_shape[1:])
        for activation in bent:
            linear = makers[id(makers[id(activation.input)].input)]
            assert linear.get_config()["activation"] == "linear" and not linear.use_bias
            both = keras.Model(half.input, [linear.output, activation.input])
            h, found = map(ops.convert_to_numpy, both(x, training=True))
            over = tuple(range(h.ndim - 1))
            expected = (h - h.mean(over)) / np.sqrt(h.var(over) + 1e-3)  # Keras's epsilon
            assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_in_use_an_example_does_not_see_the_others():
    vae = VAE(*dense(64, 3, (16,), **BOTH))
    vae.compile("adam", jit_compile=False)
    vae.fit(X, epochs=2, verbose=0)
    assert_allclose(vae.predict(X[:3], verbose=0), vae.predict(X, verbose=0)[:3], atol=1e-5)


def test_the_averages_keep_up_with_training():
    """On the data of training, evaluate is no worse than what fit reports of the last epoch."""
    vae = VAE(*dense(64, 3, (16,), **BOTH))
    vae.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    history = vae.fit(X, epochs=4, batch_size=8, verbose=0).history
    assert vae.evaluate(X, verbose=0, return_dict=True)["loss"] < 1.05 * history["loss"][-1]


# Each kind learns and can be kept

TIME, PHASE = np.linspace(0, 6, 25)[:, None], np.linspace(0, 6, 128)[:, None, None]
SERIES = (2 * np.sin(TIME + PHASE + [0, 1])).astype(np.float32)  # (128, 25, 2)


@pytest.mark.parametrize("options", OPTIONS, ids=IDS)
@pytest.mark.parametrize(
    ("build", "x", "widths"),
    [
        (functools.partial(dense, 64), X, (16, 16)),
        (functools.partial(convolutional, (7, 8, 1)), IMAGES[:, 1:], (4, 8)),
        (functools.partial(series, 25, 2), SERIES, (4, 8)),
    ],
    ids=["dense", "convolutional", "series"],
)
def test_it_learns_and_comes_back_from_a_file(build, x, widths, options, tmp_path):
    vae = VAE(*build(3, widths, seed=1, **options), Objective(), seed=1)
    vae.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    history = vae.fit(x, epochs=6, batch_size=16, verbose=0).history
    assert history["loss"][-1] < 0.9 * history["loss"][0]
    assert vae.reconstruct(x).shape == x.shape and vae.sample(2, seed=0).shape == (2, *x.shape[1:])
    vae.save(tmp_path / "vae.keras")
    loaded = VAE.load(tmp_path / "vae.keras")
    assert_array_equal(loaded.reconstruct(x), vae.reconstruct(x))


def test_a_sweep_of_blocks_is_a_run_of_fit():
    build = functools.partial(dense, 64, 3, (8, 8), residual=True)
    x, held_out = X[:64], X[64:96]
    recipe = Recipe("plain", learning_rate=2e-3)
    runs = sweep(build, [recipe], x, epochs=3, seeds=[0, 1], validation_data=held_out)
    vae = VAE(*build(seed=1), recipe.objective, seed=1)
    vae.compile(keras.optimizers.Adam(2e-3), jit_compile=False)
    history = vae.fit(x, epochs=3, batch_size=32, validation_data=held_out, verbose=0).history
    run = runs["plain", 1]
    assert set(run.history) == set(history)
    for metric, values in history.items():
        assert_allclose(run.history[metric], values, rtol=1e-4, err_msg=metric)
    assert_allclose(run.vae().predict(x, verbose=0), vae.predict(x, verbose=0), atol=1e-4)


# Bad input

FIRST = r"channels first: move the channels last with np.moveaxis\(x, 1, -1\), and give "


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dense_encoder(64, 0), "latent_dim=0 is not a whole number of at least 1"),
        (lambda: dense_decoder(4, 64, hidden=(3.5,)), "hidden=3.5 is not a whole number"),
        (lambda: dense(64, 4, hidden=16), r"hidden=16 is no sequence .*: give \(32, 16\), say"),
        (lambda: conv_encoder((3, 64, 64), 4), FIRST + r"\(64, 64, 3\)"),
        (lambda: conv_decoder(4, (1, 28, 28)), FIRST + r"\(28, 28, 1\)"),
        (lambda: conv_decoder(4, (8, 8)), r"\(8, 8\) is not the \(height, width, channels\)"),
        (lambda: conv_encoder((60, 28, 28, 1), 4), "of one image: give all three, 1 channel for"),
        (lambda: conv_encoder(28, 4), r"image_shape=28 is not the \(height, width, channels\)"),
        (lambda: conv_encoder((28.0, 28, 1), 4), "image_shape=28.0 is not a whole number"),
        (lambda: conv_encoder((28, "28", 1), 4), "image_shape='28' is not a whole number"),
        (lambda: conv_encoder((28, 28, 0), 4), "image_shape=0 is not a whole number"),
        (lambda: conv_encoder((True, 8, 1), 4), "image_shape=True is not a whole number"),
        (
            lambda: conv_encoder((9, 4, 1), 4, (8, 8, 8)),
            r"\(9, 4, 1\) is too small for 3 halvings: give a height and a width of at least 5, or",
        ),
        (lambda: conv_decoder(4, (1, 8, 1)), "too small for 2 halvings: .* of at least 3, or"),
        (lambda: conv_encoder((8, 8, 1), 4, ()), r"filters=\(\) is empty: give those of at least"),
        (lambda: conv_decoder(4, (8, 8, 1), []), r"filters=\[\] is empty"),
        (lambda: conv_encoder((8, 8, 1), 4, (8, 0)), "filters=0 is not a whole number"),
        (lambda: convolutional((8, 8, 1), 4, 16), "filters=16 is no sequence of whole numbers"),
        (lambda: conv_encoder((8, 8, 1), 1.5), "latent_dim=1.5 is not a whole number"),
        (lambda: series_encoder(2, 1, 4), "length=2 is too small for 2 halvings: give a length of"),
        (lambda: series_decoder(4, 8, 0), "channels=0 is not a whole number"),
        (lambda: series((25, 2), 1, 4), r"length=\(25, 2\) is not a whole number"),
        (lambda: dense((8, 8), 4), r"data_dim=\(8, 8\) is not a whole number"),
        (lambda: series(25, 1, 4, ()), r"filters=\(\) is empty"),
    ],
)
def test_builders_refuse(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert str(caught.value).endswith(".") and ". " not in str(caught.value)


def test_narrow_images_are_not_taken_for_channels():
    for shape in ((3, 64, 3), (3, 64, 1), (3, 3, 64), (5, 64, 64)):
        assert conv_encoder(shape, 2, (2,)).input_shape[1:] == shape
