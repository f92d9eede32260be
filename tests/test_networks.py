"""Encoders and decoders: as they ever were."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from vae_notes._keras import keras
from vae_notes.networks import (
    conv_decoder,
    conv_encoder,
    convolutional,
    dense,
    dense_decoder,
    dense_encoder,
)


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


@pytest.mark.parametrize("build", [dense_encoder, conv_encoder])
def test_builders_are_functions_of_the_seed(build):
    shape = 64 if build is dense_encoder else (8, 8, 1)
    a, b, c = (build(shape, 4, seed=s).get_weights() for s in (3, 3, 4))
    assert all(np.array_equal(i, j) for i, j in zip(a, b, strict=True))
    assert not np.array_equal(a[0], c[0])
    assert np.abs(a[-2]).max() > 0 and not np.array_equal(a[-2], a[-4])


# Bad input


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: dense_encoder(64, 0), "latent_dim=0 is not a whole number of at least 1"),
        (lambda: dense_decoder(4, 64, hidden=(3.5,)), "hidden=3.5 is not a whole number"),
        (lambda: conv_encoder((7, 8, 1), 4), "divisible by 4"),
        (lambda: conv_decoder(4, (8, 8)), "height, width, channels"),
    ],
)
def test_builders_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()
