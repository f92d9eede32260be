"""A reader's builder, from a seed to (encoder, decoder): looked at once, and made into functions.

``built`` is what it makes of a seed, :class:`Replicate` that as functions of the weights, which can
be vectorised over replicates. What a sweep cannot train is refused here, by name.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vae_notes._keras import all_layers, keras, ops, tf
from vae_notes._noise import reparameterised
from vae_notes._xla import supports_xla
from vae_notes.likelihoods import Likelihood
from vae_notes.model import VAE
from vae_notes.objective import Objective, weighted_loss

__all__ = [
    "KINDS",
    "Builder",
    "Replicate",
    "built",
    "can_be_stacked",
    "check_builder",
    "stacked",
    "stateless",
    "vectorised",
]

Builder = Callable[..., tuple[Any, Any]]  # from seed= to (encoder, decoder)
KINDS = "trainable_variables", "non_trainable_variables"


def built(build: Builder, seed: int, data_shape: Sequence[int]) -> VAE:
    """What a builder makes of a seed, as a VAE whose variables are there."""
    vae = VAE(*build(seed=seed))
    if vae.data_shape is None:
        vae.build((None, *data_shape))
    return vae


class Replicate:
    """One replicate as functions of its weights."""

    def __init__(self, build: Builder, data_shape: Sequence[int], likelihood: Likelihood) -> None:
        self.vae = built(build, 0, data_shape)
        self.terms = Objective(likelihood=likelihood).terms

    def apply(
        self, weights: Any, frozen: Any, x: Any, noise: Any, training: bool
    ) -> tuple[Any, list[Any]]:
        """Both terms of each example, and the layers' new state."""
        encoder, decoder = self.vae.encoder, self.vae.decoder
        n, m = len(encoder.trainable_variables), len(encoder.non_trainable_variables)
        (z_mean, z_log_var), state = stateless(encoder, weights[:n], frozen[:m], x, training)
        z_mean, z_log_var = (ops.cast(a, "float32") for a in (z_mean, z_log_var))
        z = reparameterised(z_mean, z_log_var, noise, ops.exp)
        decoded, more = stateless(decoder, weights[n:], frozen[m:], z, training)
        return self.terms(x, decoded, z_mean, z_log_var), [*state, *more]

    def train(
        self,
        weights: Any,
        frozen: Any,
        x: Any,
        noise: Any,
        reconstruction_weight: Any,
        kl_weight: Any,
    ) -> tuple[Any, Any, Any]:
        """Gradients of the loss, the layers' new state, and the sums of both terms."""
        with tf.GradientTape() as tape:
            tape.watch(weights)
            (reconstruction, kl), frozen = self.apply(weights, frozen, x, noise, training=True)
            loss = weighted_loss(reconstruction, kl, (reconstruction_weight, kl_weight))
        return tape.gradient(loss, weights), frozen, _sums((reconstruction, kl))

    def test(self, weights: Any, frozen: Any, x: Any, noise: Any) -> Any:
        """The sums of both terms."""
        return _sums(self.apply(weights, frozen, x, noise, training=False)[0])


def _sums(terms: Any) -> Any:
    return tf.stack([tf.reduce_sum(term) for term in terms])


def vectorised(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one replicate as a function of several, stacked along a first axis."""
    return lambda *arguments: tf.vectorized_map(
        lambda a: function(*a), arguments, fallback_to_while_loop=False
    )


def stacked(replicates: Sequence[Sequence[Any]], kind: str) -> list[Any]:
    """The variables of each replicate's layers, stacked along a first axis."""
    each = [[v.value for layer in layers for v in getattr(layer, kind)] for layers in replicates]
    return [tf.stack(values) for values in zip(*each, strict=True)]


def stateless(
    layer: Any, weights: Any, frozen: Any, inputs: Any, training: bool
) -> tuple[Any, list[Any]]:
    """Outputs of a layer with other values for its variables, and its new state."""
    states = layer.non_trainable_variables
    mapping = [*zip(layer.trainable_variables, weights, strict=True)]
    mapping += zip(states, frozen, strict=True)
    with keras.StatelessScope(mapping) as scope:
        outputs = layer(inputs, training=training)
        return outputs, [scope.get_current_value(state) for state in states]


# What cannot work is said before anything is compiled


def check_builder(build: Builder, seed: int, data_shape: Sequence[int]) -> VAE:
    """One seed's VAE, after making sure that the builder can serve them all."""
    pair = build(seed=seed)
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            f"build(seed={seed}) returned {type(pair).__name__}: return (encoder, decoder)."
        )
    vae = VAE(*pair)
    if vae.data_shape is None:
        vae.build((None, *data_shape))
    if vae.data_shape != tuple(data_shape):
        raise ValueError(
            f"build makes models for data of shape {vae.data_shape}, but x has {data_shape}: "
            f"build them for x."
        )
    again = built(build, seed, data_shape)
    first = [v for half in pair for v in half.variables]
    second = [v for half in (again.encoder, again.decoder) for v in half.variables]
    if len({*map(id, first), *map(id, second)}) < len(first) + len(second):
        raise ValueError(
            "build returns models that share variables: build encoder and decoder anew, and "
            "apart, at each call."
        )
    if any(not np.array_equal(v.numpy(), w.numpy()) for v, w in zip(first, second, strict=True)):
        raise ValueError(
            f"build(seed={seed}) returns other weights each time: hand the seed to the "
            f"initialisers of all layers."
        )
    if any(half.losses for half in pair):
        raise ValueError("A layer adds a loss of its own, which a sweep leaves out: remove it.")
    layers = [layer for half in pair for layer in all_layers(half)]
    if any(layer.compute_dtype == "float16" for layer in layers):
        raise ValueError(
            "build makes float16 models, whose losses a sweep does not scale: use float32 or "
            "bfloat16, or train the replicates one by one with VAE.fit."
        )
    return vae


def can_be_stacked(build: Builder, data_shape: Sequence[int]) -> bool:
    """Whether replicates can be stacked; layers of which no program can be made are named."""
    replicate = Replicate(build, data_shape, Objective().likelihood)
    halves = replicate.vae.encoder, replicate.vae.decoder
    x, z = tf.zeros((2, 1, *data_shape)), tf.zeros((2, 1, replicate.vae.latent_dim))
    variables = [stacked([halves] * 2, kind) for kind in KINDS]
    arguments = *variables, x, z, tf.ones(2), tf.ones(2)
    if supports_xla(replicate.vae) and _traces(vectorised(replicate.train), *arguments):
        return True
    if not _traces(replicate.train, *tf.nest.map_structure(lambda t: t[0], arguments)):
        stuck = [layer.name for half in halves for layer in _layers(half) if not _trains(layer)]
        raise ValueError(
            f"TensorFlow can make no program of {', '.join(dict.fromkeys(stuck)) or 'these models'}"
            f": replace these layers, or train the replicates one by one with VAE.fit."
        )
    return False


def _layers(half: Any) -> list[Any]:
    """The layers of a functional model; others do not say what goes into a layer."""
    layers = half.layers if getattr(half, "inputs", None) else []
    return [layer for layer in layers if not isinstance(layer, keras.layers.InputLayer)]


def _trains(layer: Any) -> bool:
    """Whether a program can be made of a layer and its gradient."""
    inputs = tf.nest.map_structure(lambda t: tf.zeros((1, *t.shape[1:]), t.dtype), layer.input)
    weights, frozen = ([v.value for v in getattr(layer, kind)] for kind in KINDS)

    def gradient(weights, frozen, inputs):
        with tf.GradientTape() as tape:
            tape.watch((weights, inputs))
            outputs, _ = stateless(layer, weights, frozen, inputs, training=True)
            total = sum(tf.reduce_sum(t) for t in tf.nest.flatten(outputs))
        return outputs, tape.gradient(total, (weights, inputs))

    return _traces(gradient, weights, frozen, inputs)


def _traces(function: Callable[..., Any], *arguments: Any) -> bool:
    """Whether a program can be made of a function."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("FATAL")  # a page of traces for each layer that cannot
    try:
        tf.function(function, autograph=False).get_concrete_function(*arguments)
    except Exception:  # of many kinds, from the depths of TensorFlow
        return False
    finally:
        logger.setLevel(level)
    return True
