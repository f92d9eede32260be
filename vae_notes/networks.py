"""Encoders and decoders, dense and convolutional, each a function of one seed.

``VAE(*dense(64, 8))`` builds a model; ``functools.partial(dense, 64, 8)`` is a recipe for many of
them, since a seed is all that is missing. :func:`convolutional` is for images of any size,
:func:`series` for series. With ``residual=True`` a hidden layer becomes a block with a linear path
around it; with ``batch_normalisation=True`` what goes into an activation is normalised over the
batch first.
"""

from __future__ import annotations  # keras.Model would import TensorFlow

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
    "series",
    "series_decoder",
    "series_encoder",
]

MOMENTUM = 0.9  # of a normalisation's averages: Keras's 0.99 lags a hundred steps behind training
LAST: dict[str, Any] = {"kernel_initializer": "zeros"}  # a block begins as the path around it


def dense(
    data_dim: int,
    latent_dim: int,
    hidden: Sequence[int] = (64,),
    activation: str = "relu",
    seed: int = 0,
    *,
    residual: bool = False,
    batch_normalisation: bool = False,
) -> tuple[keras.Model, keras.Model]:
    r"""A dense encoder and the decoder that mirrors it.

    A residual block has a second linear map, and a path around both that no activation interrupts;
    with the activation :math:`\phi` and, where the widths agree, the identity for S, it is

    .. math:: h \mapsto S h + W_2 \, \phi(W_1 h + b_1) + b_2

    and begins as S h, with :math:`W_2 = 0`. Batch normalisation makes a hidden layer of either kind
    :math:`\phi(\mathrm{BN}(W_1 h))`, without the bias :math:`b_1`, which it would take off again.

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
    residual : bool
        Whether hidden layers are residual blocks.
    batch_normalisation : bool
        Whether hidden layers normalise over the batch, between the linear map and the activation.

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
    He et al. (2016) for the path; Goyal et al. (2017) for the zeros, there in the normalisation;
    Ioffe & Szegedy (2015) for that.
    Taught in chapter 1, *The VAE objective*, section *A first nonlinear VAE*.

    Examples
    --------
    >>> encoder, decoder = dense(64, 8, hidden=(32, 16))
    >>> encoder.output_shape, decoder.output_shape
    ([(None, 8), (None, 8)], (None, 64))
    """
    options: dict[str, Any] = dict(residual=residual, batch_normalisation=batch_normalisation)
    encoder = dense_encoder(data_dim, latent_dim, hidden, activation, seed, **options)
    decoder = dense_decoder(latent_dim, data_dim, hidden[::-1], activation, seed, **options)
    return encoder, decoder


def convolutional(
    image_shape: tuple[int, int, int],
    latent_dim: int,
    filters: Sequence[int] = (16, 32),
    activation: str = "relu",
    seed: int = 0,
    *,
    residual: bool = False,
    batch_normalisation: bool = False,
) -> tuple[keras.Model, keras.Model]:
    """A convolutional encoder and the decoder that mirrors it, for images of any size.

    A halving leaves the larger half of an odd size. Coming back, the decoder doubles and crops, so
    that each of its transposed convolutions is the mirror of a convolution of the encoder: 28
    pixels become 14, 7 and 4, and then 7, 14 and 28 again.

    A residual block has a second convolution, of stride 1, and a path around both that no
    activation interrupts: in the encoder the means of 2 x 2 pixels and a 1 x 1 convolution, in the
    decoder a 1 x 1 convolution whose values are repeated in 2 x 2 pixels. (A 1 x 1 convolution of
    stride 2 would pass by three pixels of four.) The second convolution begins with zeros. First
    and last layer of the decoder are no blocks, so that with one filter it has none.

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
    residual : bool
        Whether hidden convolutions are residual blocks.
    batch_normalisation : bool
        Whether hidden layers normalise over the batch, between the linear map and the activation.

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
    He et al. (2016) for the path; Goyal et al. (2017) for the zeros, there in the normalisation;
    Ioffe & Szegedy (2015) for that.
    Taught in chapter 4, *Sum or mean?*, section *The others*.

    Examples
    --------
    >>> encoder, decoder = convolutional((28, 28, 1), 4, filters=(8, 16, 32))
    >>> encoder.output_shape, decoder.output_shape
    ([(None, 4), (None, 4)], (None, 28, 28, 1))
    """
    options: dict[str, Any] = dict(residual=residual, batch_normalisation=batch_normalisation)
    encoder = conv_encoder(image_shape, latent_dim, filters, activation, seed, **options)
    decoder = conv_decoder(latent_dim, image_shape, filters[::-1], activation, seed, **options)
    return encoder, decoder


def series(
    length: int,
    channels: int,
    latent_dim: int,
    filters: Sequence[int] = (16, 32),
    activation: str = "relu",
    seed: int = 0,
    *,
    residual: bool = False,
    batch_normalisation: bool = False,
) -> tuple[keras.Model, keras.Model]:
    """A one-dimensional convolutional encoder for series and the decoder that mirrors it.

    Parameters
    ----------
    length, channels : int
        Of one series; a single measurement has 1 channel, and ``x[..., None]`` gives it one.
    latent_dim : int
        D.
    filters : sequence of int
        Filters of each convolution of the encoder; the decoder has them in reverse.
    activation : str
        Of the hidden layers.
    seed : int
        Seed of the initial weights.
    residual : bool
        Whether hidden convolutions are residual blocks, as in :func:`convolutional`.
    batch_normalisation : bool
        Whether hidden layers normalise over the batch, after the linear map.

    Returns
    -------
    (encoder, decoder) : keras.Model each
        As :func:`series_encoder` and :func:`series_decoder` give them.

    Raises
    ------
    ValueError
        As for :func:`series_encoder`.

    References
    ----------
    He et al. (2016); Ioffe & Szegedy (2015).
    Taught in chapter 4, *Sum or mean?*, section *The others*.

    Examples
    --------
    >>> encoder, decoder = series(25, 2, 4)
    >>> encoder.output_shape, decoder.output_shape
    ([(None, 4), (None, 4)], (None, 25, 2))
    """
    options: dict[str, Any] = dict(residual=residual, batch_normalisation=batch_normalisation)
    encoder = series_encoder(length, channels, latent_dim, filters, activation, seed, **options)
    decoder = series_decoder(
        latent_dim, length, channels, filters[::-1], activation, seed, **options
    )
    return encoder, decoder


def dense_encoder(
    data_dim: int,
    latent_dim: int,
    hidden: Sequence[int] = (64,),
    activation: str = "relu",
    seed: int = 0,
    *,
    residual: bool = False,
    batch_normalisation: bool = False,
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
    residual : bool
        Whether hidden layers are residual blocks, as in :func:`dense`.
    batch_normalisation : bool
        Whether hidden layers normalise over the batch, after the linear map.

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
    He et al. (2016); Ioffe & Szegedy (2015).
    Taught in chapter 1, *The VAE objective*, section *A first nonlinear VAE*.

    Examples
    --------
    >>> dense_encoder(64, 8).output_shape
    [(None, 8), (None, 8)]
    """
    _check_whole(data_dim=data_dim, latent_dim=latent_dim)
    _check_widths("hidden", hidden)
    half = _Half(_seeds(seed), activation, residual, batch_normalisation)
    x = h = keras.Input((data_dim,), name="x")
    for width in hidden:
        h = half.dense_block(h, width)
    return keras.Model(x, half.latent_heads(h, latent_dim), name="encoder")


def dense_decoder(
    latent_dim: int,
    data_dim: int,
    hidden: Sequence[int] = (64,),
    activation: str = "relu",
    seed: int = 0,
    *,
    residual: bool = False,
    batch_normalisation: bool = False,
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
    residual : bool
        Whether hidden layers are residual blocks, as in :func:`dense`.
    batch_normalisation : bool
        Whether hidden layers normalise over the batch, after the linear map.

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
    He et al. (2016); Ioffe & Szegedy (2015).
    Taught in chapter 1, *The VAE objective*, section *A first nonlinear VAE*.

    Examples
    --------
    >>> dense_decoder(8, 64).output_shape
    (None, 64)
    """
    _check_whole(data_dim=data_dim, latent_dim=latent_dim)
    _check_widths("hidden", hidden)
    half = _Half(_seeds(seed, half=1), activation, residual, batch_normalisation)
    z = h = keras.Input((latent_dim,), name="z")
    for width in hidden:
        h = half.dense_block(h, width)
    return keras.Model(z, half.dense(data_dim, name="x_mean")(h), name="decoder")


def conv_encoder(
    image_shape: tuple[int, int, int],
    latent_dim: int,
    filters: Sequence[int] = (16, 32),
    activation: str = "relu",
    seed: int = 0,
    *,
    residual: bool = False,
    batch_normalisation: bool = False,
) -> keras.Model:
    """An encoder of convolutions, each halving height and width, of any size.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels.
    latent_dim : int
        D.
    filters : sequence of int
        Filters of each 3 x 3 convolution of stride 2; before the last of them, height and width
        are at least 2.
    activation : str
        Of the hidden layers.
    seed : int
        Seed of the initial weights.
    residual : bool
        Whether hidden convolutions are residual blocks, as in :func:`convolutional`.
    batch_normalisation : bool
        Whether hidden layers normalise over the batch, after the linear map.

    Returns
    -------
    keras.Model
        From x (B, H, W, C) to z_mean and z_log_var, (B, D) each.

    Raises
    ------
    ValueError
        If a size is not a whole number of at least 1, the channels come first, there are no
        filters, or height or width cannot be halved so often.

    References
    ----------
    He et al. (2016); Ioffe & Szegedy (2015).
    Taught in chapter 4, *Sum or mean?*, section *The others*.

    Examples
    --------
    >>> conv_encoder((8, 8, 1), 8).output_shape
    [(None, 8), (None, 8)]
    """
    _check_images(image_shape, latent_dim, filters)
    half = _Half(_seeds(seed), activation, residual, batch_normalisation)
    return _conv_encoder(half, image_shape, latent_dim, filters)


def conv_decoder(
    latent_dim: int,
    image_shape: tuple[int, int, int],
    filters: Sequence[int] = (32, 16),
    activation: str = "relu",
    seed: int = 0,
    *,
    residual: bool = False,
    batch_normalisation: bool = False,
) -> keras.Model:
    """A decoder of transposed convolutions, each undoing one halving of height and width.

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
    residual : bool
        Whether hidden convolutions are residual blocks, as in :func:`convolutional`.
    batch_normalisation : bool
        Whether hidden layers normalise over the batch, after the linear map.

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
    He et al. (2016); Ioffe & Szegedy (2015).
    Taught in chapter 4, *Sum or mean?*, section *The others*.

    Examples
    --------
    >>> conv_decoder(8, (8, 8, 1)).output_shape
    (None, 8, 8, 1)
    """
    _check_images(image_shape, latent_dim, filters)
    half = _Half(_seeds(seed, half=1), activation, residual, batch_normalisation)
    return _conv_decoder(half, latent_dim, image_shape, filters)


def series_encoder(
    length: int,
    channels: int,
    latent_dim: int,
    filters: Sequence[int] = (16, 32),
    activation: str = "relu",
    seed: int = 0,
    *,
    residual: bool = False,
    batch_normalisation: bool = False,
) -> keras.Model:
    """An encoder of one-dimensional convolutions, each halving the length.

    Parameters
    ----------
    length, channels : int
        Of one series.
    latent_dim : int
        D.
    filters : sequence of int
        Filters of each convolution over 3 steps with stride 2; before the last of them, the
        length is at least 2.
    activation : str
        Of the hidden layers.
    seed : int
        Seed of the initial weights.
    residual : bool
        Whether hidden convolutions are residual blocks, as in :func:`convolutional`.
    batch_normalisation : bool
        Whether hidden layers normalise over the batch, after the linear map.

    Returns
    -------
    keras.Model
        From x (B, length, channels) to z_mean and z_log_var, (B, D) each.

    Raises
    ------
    ValueError
        If a size is not a whole number of at least 1, there are no filters, or the length cannot
        be halved so often.

    References
    ----------
    He et al. (2016); Ioffe & Szegedy (2015).
    Taught in chapter 4, *Sum or mean?*, section *The others*.

    Examples
    --------
    >>> series_encoder(25, 2, 4).output_shape
    [(None, 4), (None, 4)]
    """
    _check_series(length, channels, latent_dim, filters)
    half = _Half(_seeds(seed), activation, residual, batch_normalisation)
    return _conv_encoder(half, (length, channels), latent_dim, filters)


def series_decoder(
    latent_dim: int,
    length: int,
    channels: int,
    filters: Sequence[int] = (32, 16),
    activation: str = "relu",
    seed: int = 0,
    *,
    residual: bool = False,
    batch_normalisation: bool = False,
) -> keras.Model:
    """A decoder of one-dimensional transposed convolutions, each undoing one halving.

    Parameters
    ----------
    latent_dim : int
        D.
    length, channels : int
        Of one series.
    filters : sequence of int
        Filters before each transposed convolution over 3 steps with stride 2.
    activation : str
        Of the hidden layers.
    seed : int
        Seed of the initial weights.
    residual : bool
        Whether hidden convolutions are residual blocks, as in :func:`convolutional`.
    batch_normalisation : bool
        Whether hidden layers normalise over the batch, after the linear map.

    Returns
    -------
    keras.Model
        From z (B, D) to the mean of x, or its logits, (B, length, channels).

    Raises
    ------
    ValueError
        As for :func:`series_encoder`.

    References
    ----------
    He et al. (2016); Ioffe & Szegedy (2015).
    Taught in chapter 4, *Sum or mean?*, section *The others*.

    Examples
    --------
    >>> series_decoder(4, 25, 2).output_shape
    (None, 25, 2)
    """
    _check_series(length, channels, latent_dim, filters)
    half = _Half(_seeds(seed, half=1), activation, residual, batch_normalisation)
    return _conv_decoder(half, latent_dim, (length, channels), filters)


# What images and series share; their sizes are (height, width) and (length,)


def _conv_encoder(
    half: _Half, data_shape: Sequence[int], latent_dim: int, filters: Sequence[int]
) -> keras.Model:
    x = h = keras.Input(tuple(data_shape), name="x")
    for count in filters:
        h = half.halving_block(h, count)
    h = keras.layers.Flatten()(h)
    return keras.Model(x, half.latent_heads(h, latent_dim), name="encoder")


def _conv_decoder(
    half: _Half, latent_dim: int, data_shape: Sequence[int], filters: Sequence[int]
) -> keras.Model:
    *size, channels = data_shape
    smallest, *sizes = [tuple(-(-n // 2**i) for n in size) for i in range(len(filters), -1, -1)]
    z = keras.Input((latent_dim,), name="z")
    small = (*smallest, filters[0])
    h = half.activated(functools.partial(half.dense, math.prod(small)), z)
    h = keras.layers.Reshape(small)(h)
    for count, to in zip(filters[1:], sizes[:-1], strict=True):
        h = half.doubling_block(h, count, to)
    x_mean = half.doubling(channels, sizes[-1], name="x_mean")(h)
    return keras.Model(z, x_mean, name="decoder")


@dataclass
class _Half:
    """The layers of an encoder or a decoder: each with a seed, hidden ones with what they share."""

    seeds: Iterator[int]
    activation: str
    residual: bool
    batch_normalisation: bool

    def dense(self, units: int, **kwargs: Any) -> keras.Layer:
        return keras.layers.Dense(units, **{"kernel_initializer": self._glorot(), **kwargs})

    def latent_heads(self, h: Any, latent_dim: int) -> list[Any]:
        return [self.dense(latent_dim, name=name)(h) for name in ("z_mean", "z_log_var")]

    def conv(
        self, kind: str, size: Sequence[int], filters: int, width: int = 3, **kwargs: Any
    ) -> keras.Layer:
        options = {"strides": 2, "padding": "same", "kernel_initializer": self._glorot()}
        return _of_rank(kind, size)(filters, width, **{**options, **kwargs})

    def doubling(self, filters: int, to: Sequence[int], **kwargs: Any) -> Callable[[Any], Any]:
        """A transposed convolution to a size: the mirror of the convolution that halves it."""
        conv = self.conv("Conv{}DTranspose", to, filters, **kwargs)
        # not output_padding, which Keras 3.11 forgets in a file
        return lambda h: _cropped(conv(h), [(n % 2, 0) for n in to])

    def activated(self, linear: Callable[..., Callable[[Any], Any]], h: Any) -> Any:
        """A hidden layer: the linear map, the normalisation if there is one, the activation."""
        if not self.batch_normalisation:
            return linear(activation=self.activation)(h)
        h = keras.layers.BatchNormalization(momentum=MOMENTUM)(linear(use_bias=False)(h))
        return keras.layers.Activation(self.activation)(h)

    def dense_block(self, h: Any, width: int) -> Any:
        """A hidden layer, or one with a second linear map and a path around both."""
        linear = functools.partial(self.dense, width)
        hidden = self.activated(linear, h)
        if not self.residual:
            return hidden
        around = h if h.shape[-1] == width else linear(use_bias=False)(h)
        return keras.layers.Add()([around, linear(**LAST)(hidden)])

    def halving_block(self, h: Any, filters: int) -> Any:
        """As :meth:`dense_block`; around it go the means of 2 or 2 x 2 neighbours, projected."""
        size = h.shape[1:-1]
        conv = functools.partial(self.conv, "Conv{}D", size, filters)
        hidden = self.activated(conv, h)
        if not self.residual:
            return hidden
        means = _of_rank("AveragePooling{}D", size)(2, padding="same")(h)
        around = conv(width=1, strides=1, use_bias=False)(means)
        return keras.layers.Add()([around, conv(strides=1, **LAST)(hidden)])

    def doubling_block(self, h: Any, filters: int, to: Sequence[int]) -> Any:
        """As :meth:`dense_block`; around it goes each value, projected, to 2 or 2 x 2 places."""
        conv = functools.partial(self.conv, "Conv{}D", to, filters, strides=1)
        hidden = self.activated(functools.partial(self.doubling, filters, to), h)
        if not self.residual:
            return hidden
        around = conv(width=1, use_bias=False)(h)
        around = _cropped(_of_rank("UpSampling{}D", to)(2)(around), [(0, n % 2) for n in to])
        return keras.layers.Add()([around, conv(**LAST)(hidden)])

    def _glorot(self) -> keras.Initializer:
        return keras.initializers.GlorotUniform(seed=next(self.seeds))


def _cropped(h: Any, cut: Sequence[tuple[int, int]]) -> Any:
    """Without so many at the beginning and the end of each axis of images or series."""
    if not any(map(any, cut)):
        return h
    return _of_rank("Cropping{}D", cut)(cut if len(cut) > 1 else cut[0])(h)


def _of_rank(kind: str, size: Sequence[Any]) -> Any:
    """Keras's layer for one or two dimensions, such as Conv2D of "Conv{}D"."""
    return getattr(keras.layers, kind.format(len(size)))


def _seeds(seed: int, half: int = 0) -> Iterator[int]:
    """Seeds of the layers of the encoder (half 0) or the decoder (half 1)."""
    for child in np.random.SeedSequence([seed, half]).generate_state(4096):
        yield int(child)


# What cannot be built


def _check_images(image_shape: Sequence[int], latent_dim: int, filters: Sequence[int]) -> None:
    if not isinstance(image_shape, (tuple, list)) or len(image_shape) != 3:
        raise ValueError(
            f"image_shape={image_shape!r} is not the (height, width, channels) of one image: give "
            f"all three, 1 channel for grey images."
        )
    _check.sizes(image_shape=image_shape)
    _check_whole(latent_dim=latent_dim)
    first, *others = image_shape
    if first in (1, 3) and min(others) > 4:  # an image is not 3 pixels high and has 5 channels
        raise ValueError(
            f"image_shape={tuple(image_shape)!r} has its channels first: move the channels last "
            f"with np.moveaxis(x, 1, -1), and give {(*others, first)!r}."
        )
    _check_halvings(f"image_shape={tuple(image_shape)!r}", image_shape[:2], filters)


def _check_series(length: int, channels: int, latent_dim: int, filters: Sequence[int]) -> None:
    _check_whole(length=length, channels=channels, latent_dim=latent_dim)
    _check_halvings(f"length={length}", [length], filters)


def _check_halvings(given: str, size: Sequence[int], filters: Sequence[int]) -> None:
    """Refuse what is down to one pixel or step before the last convolution."""
    _check_widths("filters", filters)
    if not filters:
        raise ValueError(f"filters={filters!r} is empty: give those of at least one convolution.")
    least = 2 ** (len(filters) - 1) + 1
    if min(size) < least:
        what = "a height and a width" if len(size) == 2 else "a length"
        raise ValueError(
            f"{given} is too small for {len(filters)} halvings: give {what} of at least {least}, "
            f"or fewer filters."
        )


def _check_whole(**values: int) -> None:
    for name, value in values.items():
        _check.whole(name, value)


def _check_widths(name: str, widths: Sequence[int]) -> None:
    if not isinstance(widths, (tuple, list)):
        raise ValueError(f"{name}={widths!r} is no sequence of whole numbers: give (32, 16), say.")
    _check.sizes(**{name: widths})
