"""Encoders and decoders, dense and convolutional, each a function of one seed.

``VAE(*dense(64, 8))`` builds a model; ``functools.partial(dense, 64, 8)`` is a recipe for many of
them, since a seed is all that is missing.
"""

from __future__ import annotations  # keras.Model would import TensorFlow

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vae_notes import _check
from vae_notes._keras import keras

__all__ = [
    "conv_decoder",
    "conv_encoder",
    "convolutional",
    "dense",
    "dense_decoder",
    "dense_encoder",
]


def dense(
    data_dim: int,
    latent_dim: int,
    hidden: Sequence[int] = (64,),
    activation: str = "relu",
    seed: int = 0,
) -> tuple[keras.Model, keras.Model]:
    """A dense encoder and the decoder that mirrors it.

    Parameters
    ----------
    data_dim, latent_dim : int
        N and D.
    hidden : sequence of int
        Width of each hidden layer of the encoder; the decoder has them in reverse.
    activation : str
        Of the hidden layers.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    (encoder, decoder) : keras.Model each
        As :func:`dense_encoder` and :func:`dense_decoder` give them.

    Raises
    ------
    ValueError
        If a size is not a whole number of at least 1.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *A first nonlinear VAE*.

    Examples
    --------
    >>> encoder, decoder = dense(64, 8, hidden=(32, 16))
    >>> encoder.output_shape, decoder.output_shape
    ([(None, 8), (None, 8)], (None, 64))
    """
    return (
        dense_encoder(data_dim, latent_dim, hidden, activation, seed),
        dense_decoder(latent_dim, data_dim, tuple(hidden)[::-1], activation, seed),
    )


def convolutional(
    image_shape: tuple[int, int, int],
    latent_dim: int,
    filters: Sequence[int] = (16, 32),
    activation: str = "relu",
    seed: int = 0,
) -> tuple[keras.Model, keras.Model]:
    """A convolutional encoder and the decoder that mirrors it.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels.
    latent_dim : int
        D.
    filters : sequence of int
        Filters of each convolution of the encoder; the decoder has them in reverse.
    activation : str
        Of the hidden layers.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    (encoder, decoder) : keras.Model each
        As :func:`conv_encoder` and :func:`conv_decoder` give them.

    Raises
    ------
    ValueError
        As for :func:`conv_encoder`.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *The others*.

    Examples
    --------
    >>> encoder, decoder = convolutional((8, 8, 1), 4)
    >>> encoder.output_shape, decoder.output_shape
    ([(None, 4), (None, 4)], (None, 8, 8, 1))
    """
    return (
        conv_encoder(image_shape, latent_dim, filters, activation, seed),
        conv_decoder(latent_dim, image_shape, tuple(filters)[::-1], activation, seed),
    )


def dense_encoder(
    data_dim: int,
    latent_dim: int,
    hidden: Sequence[int] = (64,),
    activation: str = "relu",
    seed: int = 0,
) -> keras.Model:
    """An encoder of dense layers; linear if ``hidden`` is empty.

    Parameters
    ----------
    data_dim, latent_dim : int
        N and D.
    hidden : sequence of int
        Width of each hidden layer.
    activation : str
        Of the hidden layers.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    keras.Model
        From x (B, N) to z_mean and z_log_var, (B, D) each.

    Raises
    ------
    ValueError
        If a size is not a whole number of at least 1.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *A first nonlinear VAE*.

    Examples
    --------
    >>> dense_encoder(64, 8).output_shape
    [(None, 8), (None, 8)]
    """
    _check.sizes(data_dim=data_dim, latent_dim=latent_dim, hidden=hidden)
    seeds = _seeds(seed)
    x = h = keras.Input((data_dim,), name="x")
    for width in hidden:
        h = _dense(width, seeds, activation=activation)(h)
    return keras.Model(x, _latent_heads(h, latent_dim, seeds), name="encoder")


def dense_decoder(
    latent_dim: int,
    data_dim: int,
    hidden: Sequence[int] = (64,),
    activation: str = "relu",
    seed: int = 0,
) -> keras.Model:
    """A decoder of dense layers with a linear output; linear altogether if ``hidden`` is empty.

    Parameters
    ----------
    latent_dim, data_dim : int
        D and N.
    hidden : sequence of int
        Width of each hidden layer.
    activation : str
        Of the hidden layers.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    keras.Model
        From z (B, D) to the mean of x, or its logits, (B, N).

    Raises
    ------
    ValueError
        If a size is not a whole number of at least 1.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *A first nonlinear VAE*.

    Examples
    --------
    >>> dense_decoder(8, 64).output_shape
    (None, 64)
    """
    _check.sizes(data_dim=data_dim, latent_dim=latent_dim, hidden=hidden)
    seeds = _seeds(seed, half=1)
    z = h = keras.Input((latent_dim,), name="z")
    for width in hidden:
        h = _dense(width, seeds, activation=activation)(h)
    return keras.Model(z, _dense(data_dim, seeds, name="x_mean")(h), name="decoder")


def conv_encoder(
    image_shape: tuple[int, int, int],
    latent_dim: int,
    filters: Sequence[int] = (16, 32),
    activation: str = "relu",
    seed: int = 0,
) -> keras.Model:
    """An encoder of convolutions, each halving height and width.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels.
    latent_dim : int
        D.
    filters : sequence of int
        Filters of each 3 x 3 convolution of stride 2.
    activation : str
        Of the hidden layers.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    keras.Model
        From x (B, H, W, C) to z_mean and z_log_var, (B, D) each.

    Raises
    ------
    ValueError
        If a size is not a whole number of at least 1, or height or width cannot be halved often
        enough.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *The others*.

    Examples
    --------
    >>> conv_encoder((8, 8, 1), 8).output_shape
    [(None, 8), (None, 8)]
    """
    _check_halving(image_shape, filters)
    _check.sizes(image_shape=image_shape, latent_dim=latent_dim, filters=filters)
    seeds = _seeds(seed)
    x = h = keras.Input(tuple(image_shape), name="x")
    for count in filters:
        h = _conv("Conv2D", count, seeds, activation=activation)(h)
    h = keras.layers.Flatten()(h)
    return keras.Model(x, _latent_heads(h, latent_dim, seeds), name="encoder")


def conv_decoder(
    latent_dim: int,
    image_shape: tuple[int, int, int],
    filters: Sequence[int] = (32, 16),
    activation: str = "relu",
    seed: int = 0,
) -> keras.Model:
    """A decoder of transposed convolutions, each doubling height and width.

    Parameters
    ----------
    latent_dim : int
        D.
    image_shape : (int, int, int)
        Height, width and channels.
    filters : sequence of int
        Filters before each 3 x 3 transposed convolution of stride 2.
    activation : str
        Of the hidden layers.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    keras.Model
        From z (B, D) to the mean of x, or its logits, (B, H, W, C).

    Raises
    ------
    ValueError
        As for :func:`conv_encoder`.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *The others*.

    Examples
    --------
    >>> conv_decoder(8, (8, 8, 1)).output_shape
    (None, 8, 8, 1)
    """
    _check_halving(image_shape, filters)
    _check.sizes(image_shape=image_shape, latent_dim=latent_dim, filters=filters)
    seeds = _seeds(seed, half=1)
    height, width, channels = image_shape
    small = (height >> len(filters), width >> len(filters), filters[0])
    z = keras.Input((latent_dim,), name="z")
    h = _dense(math.prod(small), seeds, activation=activation)(z)
    h = keras.layers.Reshape(small)(h)
    for count in filters[1:]:
        h = _conv("Conv2DTranspose", count, seeds, activation=activation)(h)
    x_mean = _conv("Conv2DTranspose", channels, seeds, name="x_mean")(h)
    return keras.Model(z, x_mean, name="decoder")


def _latent_heads(h: Any, latent_dim: int, seeds: Iterator[int]) -> list[Any]:
    return [_dense(latent_dim, seeds, name=name)(h) for name in ("z_mean", "z_log_var")]


def _dense(units: int, seeds: Iterator[int], **kwargs: Any) -> keras.Layer:
    return keras.layers.Dense(units, kernel_initializer=_glorot(seeds), **kwargs)


def _conv(kind: str, filters: int, seeds: Iterator[int], **kwargs: Any) -> keras.Layer:
    layer = getattr(keras.layers, kind)
    return layer(filters, 3, strides=2, padding="same", kernel_initializer=_glorot(seeds), **kwargs)


def _glorot(seeds: Iterator[int]) -> keras.Initializer:
    return keras.initializers.GlorotUniform(seed=next(seeds))


def _seeds(seed: int, half: int = 0) -> Iterator[int]:
    """Seeds of the layers of the encoder (half 0) or the decoder (half 1)."""
    for child in np.random.SeedSequence([seed, half]).generate_state(256):
        yield int(child)


def _check_halving(image_shape: Sequence[int], filters: Sequence[int]) -> None:
    factor = 2 ** len(filters)
    if len(image_shape) != 3 or not filters or image_shape[0] % factor or image_shape[1] % factor:
        raise ValueError(
            f"image_shape={tuple(image_shape)!r} with {len(filters)} halvings does not work: give "
            f"(height, width, channels) with height and width divisible by {factor}."
        )
