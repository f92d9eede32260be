"""The latent plane: trained decoders side by side, drawing what one point decodes to."""

from __future__ import annotations  # VAE would import TensorFlow

import base64
import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vae_notes import figures
from vae_notes.interactive._document import MOST_BYTES, Interactive, assemble, named

if TYPE_CHECKING:
    from vae_notes._keras import keras
    from vae_notes.model import VAE

EXTENT = 2.5  # standard deviations of the prior, within which the point may move
MAP_SIDE = 5
ROOM = 6 * (MOST_BYTES - 45_000)  # bits for the weights: a letter holds six
MOST_BITS, LEAST_BITS = 14, 8  # of a weight
SAME = 0.1  # of the scale from black to white: a smaller deviation is hard to see

Array: TypeAlias = NDArray[np.float64]
Layer: TypeAlias = tuple[Array, Array, str]  # weights, bias, activation


def latent_plane(
    models: Mapping[str, VAE | keras.Model], image_shape: Sequence[int]
) -> Interactive:
    """What a point of the latent plane decodes to, by several decoders at once.

    The plane is spanned, for each decoder, by the two units that move its picture most; all other
    units stay at 0. The reader drags the point. The browser decodes with the decoders' own
    weights, rounded so far as the page's size demands and no pixel changes visibly.

    Parameters
    ----------
    models : dict of str to VAE or keras.Model
        By name, up to six VAEs, or their decoders alone: stacks of ``Dense`` layers from
        (B, D), D at least 2, to (B, N), or to (B, H, W) or (B, H, W, C) by a last ``Reshape``.
    image_shape : tuple of int
        (H, W), (H, W, 1) or (H, W, 3), with N their product; 0 is black and 1 is white.

    Returns
    -------
    Interactive

    Raises
    ------
    ValueError
        If there is no model, one is no plain stack of dense layers or has an activation the
        browser does not know, does not draw images of this shape, has weights that are not
        finite, or the weights together are too many for a page.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *Collapse that only training caused*.

    Examples
    --------
    >>> from vae_notes.networks import dense_decoder
    >>> latent_plane({"untrained": dense_decoder(2, 64)}, image_shape=(8, 8))
    Latent plane: the decoder untrained draws a different picture at every point.
    """
    named("models", models, '{"healthy": vae}')
    if len(models) > 6:
        raise ValueError(f"models has {len(models)} entries: give at most 6, to be seen at once.")
    shape = tuple(np.atleast_1d(image_shape).tolist())
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)) or min(shape) < 1:
        raise ValueError(f"image_shape is {shape}: give (H, W), (H, W, 1) or (H, W, 3).")
    stacks = {name: _stack(name, model, int(np.prod(shape))) for name, model in models.items()}

    grid = figures.latent_grid(MAP_SIDE, EXTENT)
    count = sum(weights.size for stack in stacks.values() for weights, _, _ in stack)
    bits = int(min(MOST_BITS, ROOM // count))
    if bits < LEAST_BITS:
        raise ValueError(
            f"The decoders have {count:,} weights together, more than the "
            f"{ROOM // LEAST_BITS:,} that fit into the figure: give fewer or smaller decoders."
        )
    # The prior over the grid: what happens at its corners hardly ever does.
    prior = np.exp(-(grid**2).sum(axis=1) / 2)
    decoders: list[dict[str, Any]] = []
    maps: dict[str, Array] = {}
    moves: dict[str, bool] = {}
    for name, stack in stacks.items():
        packed, rounded = _packed(stack, bits)
        maps[name] = _decode(stack, grid)
        off = np.abs(_decode(rounded, grid) - maps[name]).max()
        if off > 0.02:
            raise ValueError(
                f"models[{name!r}] changes a pixel by {off:.2g} when its weights are rounded to "
                f"{bits} bits, as many as fit: give fewer or smaller decoders."
            )
        seen = maps[name].clip(0, 1)
        mean = np.average(seen, axis=0, weights=prior)
        variance = np.average((seen - mean) ** 2, axis=0, weights=prior)
        moves[name] = bool(variance.max() ** 0.5 >= SAME)
        decoders.append({"name": name, "moves": moves[name], "layers": packed})
    numbers = {
        "decoders": decoders,
        "shape": [*shape, 1][:3],
        "bits": bits,
        "extent": EXTENT,
        "side": MAP_SIDE,
    }
    text = f"Latent plane: {_told(moves)}."
    picture = "".join(_map(name, images, shape) for name, images in maps.items())
    return assemble("plane", numbers, f'<div class="maps">{picture}</div>', text)


def _map(name: str, images: Array, shape: Sequence[int]) -> str:
    """The plane as an image of images, and its name."""
    height, width, channels = [*shape, 1][:3]
    images = images.reshape(MAP_SIDE, MAP_SIDE, height, width, channels)
    line = ((0, 1), (0, 1))  # of white pixels, below and to the right of each
    rows = np.pad(images, ((0, 0), (0, 0), *line, (0, 0)), constant_values=1.0).swapaxes(1, 2)
    mosaic = rows.reshape(MAP_SIDE * (height + 1), MAP_SIDE * (width + 1), channels)[:-1, :-1]
    pixels = (255 * mosaic.clip(0, 1)).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(axis=2) if channels == 1 else pixels).save(file, "png")
    what = html.escape(f"{MAP_SIDE} by {MAP_SIDE} points of the latent plane, decoded by {name}")
    png = base64.b64encode(file.getvalue()).decode()
    return f'<p><img alt="{what}" src="data:image/png;base64,{png}">{html.escape(name)}</p>'


def _told(moves: Mapping[str, bool]) -> str:
    """In words, and for several decoders with names of their own."""
    kinds = {
        True: "a different picture at every point",
        False: "nearly the same picture everywhere",
    }
    return "; ".join(f"the decoder {name} draws {kinds[of]}" for name, of in moves.items())


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda u: u,
    "relu": lambda u: np.maximum(u, 0),
    "elu": lambda u: np.where(u > 0, u, np.expm1(np.minimum(u, 0))),
    "tanh": np.tanh,
    "sigmoid": lambda u: 0.5 + 0.5 * np.tanh(u / 2),
    "softplus": lambda u: np.logaddexp(u, 0),
    "silu": lambda u: u * (0.5 + 0.5 * np.tanh(u / 2)),
}


def _stack(name: str, model: VAE | keras.Model, data_dim: int) -> list[Layer]:
    """Layers (weights (in, out), bias (out,), activation) from the plane to the pixels."""
    decoder: Any = getattr(model, "decoder", model)
    layers = [
        layer
        for layer in getattr(decoder, "layers", [])
        if type(layer).__name__ not in ("InputLayer", "Dropout")
    ]
    kinds = [type(layer).__name__ for layer in layers]
    if kinds and kinds[-1] in ("Reshape", "Flatten"):
        layers.pop()
    strange = [kind for kind in kinds[: len(layers)] if kind != "Dense"]
    if not layers or strange:
        given = f"a {strange[0]} layer" if strange else f"no layers ({type(model).__name__})"
        raise ValueError(
            f"models[{name!r}] has {given}: give a VAE, or a decoder, of Dense layers one after "
            f"another."
        )
    stack = [_dense(name, layer) for layer in layers]
    latent_dim = len(stack[0][0])
    if latent_dim < 2:
        raise ValueError(f"models[{name!r}] has one latent unit: a plane needs at least 2.")
    if len(stack[-1][1]) != data_dim:
        raise ValueError(
            f"models[{name!r}] gives {len(stack[-1][1])} values, but image_shape has {data_dim}: "
            f"give the shape that it was trained on."
        )
    # A branch or a skip would escape the list of layers, but not a comparison of what comes out.
    z = np.random.default_rng(0).standard_normal((8, latent_dim)).astype("float32")
    there = np.asarray(decoder(z), float).reshape(8, -1)
    if there.shape != (8, data_dim) or not np.allclose(_decode(stack, z), there, atol=1e-3):
        raise ValueError(
            f"models[{name!r}] is more than its Dense layers one after another: give a decoder "
            f"without branches or skips."
        )
    objective = getattr(model, "objective", None)
    if objective is not None and objective.likelihood.activation != "linear":
        weights, bias, activation = stack[-1]
        if activation != "linear":
            raise ValueError(
                f"models[{name!r}] ends in {activation}, but a {objective.likelihood.name.title()} "
                f"decoder does so by itself: leave the last activation out."
            )
        stack[-1] = weights, bias, objective.likelihood.activation
    return _two_strongest(stack)


def _dense(name: str, layer: keras.Layer) -> Layer:
    activation = getattr(layer.activation, "__name__", type(layer.activation).__name__)
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"models[{name!r}] has the activation {activation}, which the figure does not know: "
            f"use one of {', '.join(ACTIVATIONS)}."
        )
    weights = np.asarray(layer.kernel, float)
    bias = np.asarray(layer.bias, float) if layer.use_bias else np.zeros(weights.shape[1])
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise ValueError(
            f"models[{name!r}] has weights that are NaN or infinite, so its training has "
            f"diverged: train again with a smaller learning rate or scaled data."
        )
    return weights, bias, activation


def _two_strongest(stack: Sequence[Layer]) -> list[Layer]:
    """The stack as seen from its two strongest units: all others stay at 0."""
    (weights, bias, activation), *rest = stack
    latent_dim = len(weights)
    along = np.concatenate([np.eye(latent_dim) * step for step in (-2.0, -1.0, 1.0, 2.0)])
    moved = _decode(stack, along) - _decode(stack, np.zeros((1, latent_dim)))
    strength = (moved**2).sum(axis=1).reshape(4, latent_dim).sum(axis=0)
    strongest = np.argsort(-strength, kind="stable")[:2]
    return [(weights[strongest], bias, activation), *rest]


def _decode(stack: Sequence[Layer], z: NDArray[np.floating]) -> Array:
    h = np.asarray(z, float)
    for weights, bias, activation in stack:
        h = ACTIVATIONS[activation](h @ weights + bias)
    return h


def _packed(stack: Sequence[Layer], bits: int) -> tuple[list[dict[str, Any]], list[Layer]]:
    """The layers as text, and the stack with its weights as rounded there."""
    most = 2 ** (bits - 1) - 1
    layers, rounded = [], []
    for weights, bias, activation in stack:
        scale = (np.abs(weights).max(axis=0) / most).astype(np.float32)  # one of each column
        scale[scale == 0] = 1
        levels = np.rint(weights / scale).clip(-most, most).astype(int)
        binary = (levels.ravel() + most)[:, None] >> np.arange(bits)[::-1] & 1
        bias = bias.astype("<f4")
        layers.append(
            {
                "units": weights.shape[1],
                "activation": activation,
                "levels": _text(np.packbits(binary.astype(np.uint8))),
                "scale": _text(scale.astype("<f4")),
                "bias": _text(bias),
            }
        )
        rounded.append((levels * scale.astype(float), bias.astype(float), activation))
    return layers, rounded


def _text(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode()
