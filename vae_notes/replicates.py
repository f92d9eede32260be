"""Replicates side by side: the compiled program that trains a block of them.

A block is a handful of replicates whose weights are stacked along a first axis. One step of all of
them is one vectorised gradient and one update by Adam; the loops over steps and epochs are in the
program as well, so that Python is asked a few times a second and not at every step.
"""

import math
import uuid
from dataclasses import dataclass, field

import numpy as np

from vae_notes._keras import keras, ops, tf
from vae_notes.model import VAE
from vae_notes.noise import batch_order, standard_normal
from vae_notes.objective import Objective, weighted_loss

__all__ = ["Block", "Program", "Replicate", "Work", "built", "stacked", "stateless", "vectorised"]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Keras's Adam
CALL_STEPS = 512  # so many steps a call make what a call costs small
KINDS = "trainable_variables", "non_trainable_variables"


@dataclass(frozen=True, eq=False)
class Work:
    """What all blocks share; copies in other processes are equal by their key."""

    build: object
    x: np.ndarray
    held_out: np.ndarray | None
    batch_size: int
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __eq__(self, other):
        return self.key == other.key

    def __hash__(self):
        return hash(self.key)


@dataclass(frozen=True)
class Block:
    """What the replicates of a block need beside it, as plain arrays that can be pickled."""

    likelihood: str
    seeds: list
    rates: np.ndarray  # (replicates,)
    reconstruction_weights: np.ndarray  # (replicates,)
    kl_weights: np.ndarray  # (replicates, epochs)


class Replicate:
    """One replicate as functions of its weights."""

    def __init__(self, build, data_shape, likelihood):
        self.vae = built(build, 0, data_shape)
        self.terms = Objective(likelihood=likelihood).terms

    def apply(self, weights, frozen, x, noise, training):
        """Both terms of each example, and the layers' new state."""
        encoder, decoder = self.vae.encoder, self.vae.decoder
        n, m = len(encoder.trainable_variables), len(encoder.non_trainable_variables)
        (z_mean, z_log_var), state = stateless(encoder, weights[:n], frozen[:m], x, training)
        z_mean, z_log_var = (ops.cast(a, "float32") for a in (z_mean, z_log_var))
        z = z_mean + ops.exp(0.5 * z_log_var) * noise
        decoded, more = stateless(decoder, weights[n:], frozen[m:], z, training)
        return self.terms(x, decoded, z_mean, z_log_var), [*state, *more]

    def train(self, weights, frozen, x, noise, reconstruction_weight, kl_weight):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            terms, frozen = self.apply(weights, frozen, x, noise, training=True)
            loss = weighted_loss(*terms, (reconstruction_weight, kl_weight))
        return tape.gradient(loss, weights), frozen, _sums(terms)

    def test(self, weights, frozen, x, noise):
        return _sums(self.apply(weights, frozen, x, noise, training=False)[0])


class Program:
    """One XLA program for some epochs of some replicates; what differs is its arguments."""

    def __init__(self, work, likelihood, width, epochs):
        self.build, self.batch_size, self.width = work.build, work.batch_size, width
        self.chunk = min(epochs, max(1, CALL_STEPS // math.ceil(len(work.x) / work.batch_size)))
        self.x, self.held_out = (
            None if a is None else tf.constant(a) for a in (work.x, work.held_out)
        )
        self.replicate = Replicate(work.build, work.x.shape[1:], likelihood)
        # traced here and once, so that threads only run it
        function = tf.function(self._epochs, jit_compile=True, autograph=False)
        self.run = function.get_concrete_function(
            self.x,
            self.held_out,
            tf.TensorSpec((), tf.int32),
            tf.TensorSpec((width, self.chunk, len(work.x)), tf.int32),
            tf.TensorSpec((width,), tf.int64),
            tf.TensorSpec((width,), tf.float32),
            tf.TensorSpec((width,), tf.float32),
            tf.TensorSpec((width, self.chunk), tf.float32),
            *tf.nest.map_structure(tf.TensorSpec.from_tensor, self.start([0] * width)),
        )

    def start(self, seeds):
        """Step, weights, layers' states and Adam's moments of each replicate, stacked."""
        models = {seed: built(self.build, seed, self.x.shape[1:]) for seed in sorted(set(seeds))}
        replicates = [(models[seed].encoder, models[seed].decoder) for seed in seeds]
        weights, frozen = (stacked(replicates, kind) for kind in KINDS)
        return [tf.constant(0), weights, frozen, *([*map(tf.zeros_like, weights)] for _ in "mv")]

    def advance(self, block, first, state):
        """The state some epochs later, and the means (epochs, replicates, 2 or 4) of the terms."""
        kl_weights = block.kl_weights[:, first : first + self.chunk]
        count = kl_weights.shape[1]
        unused = self.chunk - count
        orders = np.zeros((self.width, self.chunk, len(self.x)), np.int32)
        for order, seed in zip(orders, block.seeds, strict=True):
            for epoch in range(count):
                order[epoch] = batch_order(seed, first + epoch, len(self.x))
        state, means = self.run(
            self.x,
            self.held_out,
            tf.constant(count),
            tf.constant(orders),
            tf.constant(block.seeds, tf.int64),
            tf.constant(block.rates),
            tf.constant(block.reconstruction_weights),
            tf.constant(np.pad(kl_weights, [(0, 0), (0, unused)])),
            *state,
        )
        return state, means.numpy()[:count]

    def _epochs(self, x, held_out, count, orders, seeds, rates, w_rec, w_kl, *state):
        columns = 2 if held_out is None else 4
        means = tf.TensorArray(tf.float32, self.chunk, element_shape=(self.width, columns))

        def body(epoch, means, *state):
            weights = rates, w_rec, w_kl[:, epoch]
            state, mean = self._epoch(x, held_out, orders[:, epoch], seeds, *weights, *state)
            return epoch + 1, means.write(epoch, mean), *state

        _, means, *state = tf.while_loop(
            lambda epoch, *_: epoch < count,
            body,
            (0, means, *state),
            maximum_iterations=self.chunk,
        )
        return state, means.stack()

    def _epoch(self, x, held_out, orders, seeds, rates, w_rec, w_kl, step, *model):
        def train(index, step, sums, weights, frozen, m, v):
            noise = self._noise(seeds, step, index.shape[1])
            batch = tf.gather(x, index)  # (replicates, batch, ...)
            gradients, frozen, more = self._each(
                self.replicate.train, weights, frozen, batch, noise, w_rec, w_kl
            )
            t = tf.cast(step + 1, tf.float32)
            rate = rates * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
            m = [a + (g - a) * (1 - BETA_1) for a, g in zip(m, gradients, strict=True)]
            v = [a + (g * g - a) * (1 - BETA_2) for a, g in zip(v, gradients, strict=True)]
            weights = [
                w - a * tf.reshape(rate, (-1, *[1] * (len(w.shape) - 1))) / (tf.sqrt(b) + EPSILON)
                for w, a, b in zip(weights, m, v, strict=True)
            ]
            return step + 1, sums + more, weights, frozen, m, v

        def test(index, draw, sums):
            noise = self._noise(seeds, draw, index.shape[1])
            batch = tf.gather(held_out, index)
            return draw + 1, sums + self._each(self.replicate.test, *model[:2], batch, noise)

        nothing = tf.zeros((self.width, 2))
        step, sums, *model = self._batches(train, orders, (step, nothing, *model))
        if held_out is None:
            return [step, *model], sums / x.shape[0]
        everyone = tf.tile(tf.range(held_out.shape[0])[None], (self.width, 1))
        _, held_out_sums = self._batches(test, everyone, (0, nothing))
        means = sums / x.shape[0], held_out_sums / held_out.shape[0]
        return [step, *model], tf.concat(means, axis=-1)

    def _batches(self, take, orders, carry):
        """``take`` each batch of the orders in turn; the last may be smaller."""
        full = orders.shape[1] // self.batch_size
        cut = full * self.batch_size
        if full:
            index = tf.reshape(orders[:, :cut], (self.width, full, self.batch_size))
            _, *carry = tf.while_loop(
                lambda i, *_: i < full,
                lambda i, *c: (i + 1, *take(index[:, i], *c)),
                (0, *carry),
                maximum_iterations=full,
            )
        return take(orders[:, cut:], *carry) if cut < orders.shape[1] else carry

    def _each(self, function, *arguments):
        """``function`` of every replicate, its arguments stacked along their first axis."""
        if self.width == 1:
            alone = tf.nest.map_structure(lambda t: t[0], arguments)
            return tf.nest.map_structure(lambda t: t[None], function(*alone))
        return vectorised(function)(*arguments)

    def _noise(self, seeds, draw, count):
        seeds = tf.stack([seeds, tf.fill([self.width], tf.cast(draw, tf.int64))], axis=-1)
        shape = (count, self.replicate.vae.latent_dim)
        # a loop: vectorised, XLA would draw again for every use
        return tf.map_fn(lambda s: standard_normal(shape, s), seeds, fn_output_signature=tf.float32)


def vectorised(function):
    return lambda *arguments: tf.vectorized_map(
        lambda a: function(*a), arguments, fallback_to_while_loop=False
    )


def _sums(terms):
    return tf.stack([tf.reduce_sum(term) for term in terms])


def stacked(replicates, kind):
    """The variables of each replicate's layers, stacked along a first axis."""
    each = [[v.value for layer in layers for v in getattr(layer, kind)] for layers in replicates]
    return [tf.stack(values) for values in zip(*each, strict=True)]


def built(build, seed, data_shape):
    """What a builder makes of a seed, as a VAE whose variables are there."""
    vae = VAE(*build(seed=seed))
    if vae.data_shape is None:
        vae.build((None, *data_shape))
    return vae


def stateless(layer, weights, frozen, inputs, training):
    """Outputs of a layer with other values for its variables, and its new state."""
    states = layer.non_trainable_variables
    mapping = [*zip(layer.trainable_variables, weights, strict=True)]
    mapping += zip(states, frozen, strict=True)
    with keras.StatelessScope(mapping) as scope:
        outputs = layer(inputs, training=training)
        return outputs, [scope.get_current_value(state) for state in states]
