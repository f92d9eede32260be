"""Replicates side by side: the compiled program that trains a block of them.

A block is a handful of replicates whose weights are stacked along a first axis. One step of all of
them is one vectorised gradient and one update by Adam; the loops over steps and epochs are in the
program as well, so that Python is asked a few times a second and not at every step.
"""

import math
import os
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_notes._builders import KINDS, Builder, Replicate, built, stacked, vectorised
from vae_notes._keras import tf
from vae_notes._noise import batch_order, standard_normal
from vae_notes._xla import Compiled, supports_xla
from vae_notes.likelihoods import Likelihood

__all__ = ["Block", "Program", "Training", "Work", "processors"]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Keras's Adam
CALL_STEPS = 512  # so many steps a call make what a call costs small


@dataclass(frozen=True, eq=False)
class Work:
    """What all blocks share; copies in other processes are equal by their key."""

    build: Builder
    x: NDArray[np.float32]
    held_out: NDArray[np.float32] | None
    batch_size: int
    epochs: int
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Work) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True)
class Block:
    """The replicates of a block and what each needs, as plain values that can be pickled."""

    likelihood: Likelihood
    names: list[str]  # of the recipes, (replicates,)
    seeds: list[int]  # (replicates,)
    rates: NDArray[np.float32]  # (replicates,)
    reconstruction_weights: NDArray[np.float32]  # (replicates,)
    kl_weights: NDArray[np.float32]  # (replicates, epochs)


class Program:
    """One XLA program for some epochs of some replicates; what differs is its arguments."""

    def __init__(self, work: Work, likelihood: Likelihood, width: int) -> None:
        self.build, self.batch_size, self.width = work.build, work.batch_size, width
        steps = math.ceil(len(work.x) / work.batch_size)
        self.chunk = min(work.epochs, max(1, CALL_STEPS // steps))
        self.x = tf.constant(work.x)
        self.held_out = None if work.held_out is None else tf.constant(work.held_out)
        self.replicate = Replicate(work.build, work.x.shape[1:], likelihood)
        signature = (
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
        asked = "auto" if supports_xla(self.replicate.vae) else False
        # traced here and once, so that threads only run it
        self.run = Compiled(self._epochs, signature, asked)

    def start(self, seeds: Sequence[int]) -> list[Any]:
        """Step, weights, layers' states and Adam's moments of each replicate, stacked."""
        models = {seed: built(self.build, seed, self.x.shape[1:]) for seed in sorted(set(seeds))}
        replicates = [(models[seed].encoder, models[seed].decoder) for seed in seeds]
        weights, frozen = (stacked(replicates, kind) for kind in KINDS)
        return [tf.constant(0), weights, frozen, *([*map(tf.zeros_like, weights)] for _ in "mv")]

    def advance(self, block: Block, first: int, state: Any) -> tuple[Any, NDArray[np.float32]]:
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

    def _epochs(
        self,
        x: Any,
        held_out: Any,
        count: Any,
        orders: Any,
        seeds: Any,
        rates: Any,
        w_rec: Any,
        w_kl: Any,
        *state: Any,
    ) -> tuple[Any, Any]:
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

    def _epoch(
        self,
        x: Any,
        held_out: Any,
        orders: Any,
        seeds: Any,
        rates: Any,
        w_rec: Any,
        w_kl: Any,
        step: Any,
        *model: Any,
    ) -> tuple[Any, Any]:
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

    def _batches(self, take: Callable[..., Any], orders: Any, carry: Any) -> Any:
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

    def _each(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """``function`` of every replicate, its arguments stacked along their first axis."""
        if self.width == 1:
            alone = tf.nest.map_structure(lambda t: t[0], arguments)
            return tf.nest.map_structure(lambda t: t[None], function(*alone))
        return vectorised(function)(*arguments)

    def _noise(self, seeds: Any, draw: Any, count: int) -> Any:
        seeds = tf.stack([seeds, tf.fill([self.width], tf.cast(draw, tf.int64))], axis=-1)
        shape = (count, self.replicate.vae.latent_dim)
        # a loop: vectorised, XLA would draw again for every use
        return tf.map_fn(lambda s: standard_normal(shape, s), seeds, fn_output_signature=tf.float32)


class Training:
    """Blocks that are trained side by side, a thread each, some epochs at a time."""

    def __init__(
        self, work: Work, blocks: Sequence[Block], program: Callable[..., Program] = Program
    ) -> None:
        self.work, self.blocks = work, blocks
        kinds = [(block.likelihood, len(block.seeds)) for block in blocks]
        compiled = {kind: program(work, *kind) for kind in dict.fromkeys(kinds)}
        self.programs = [compiled[kind] for kind in kinds]
        self.chunk = self.programs[0].chunk
        self.threads = ThreadPoolExecutor(processors())
        start = [p.start(b.seeds) for p, b in zip(self.programs, blocks, strict=True)]
        # states and means, in one variable: an interrupt finds all blocks after the same epoch
        self.done: tuple[Sequence[Any], list[Any]] = start, []

    def advance(self, first: int) -> None:
        """Train a chunk of epochs from epoch ``first`` on."""
        states, means = self.done
        moves = self.threads.map(Program.advance, self.programs, self.blocks, repeat(first), states)
        states, more = zip(*moves, strict=True)
        self.done = states, [*means, more]

    def outcomes(self) -> list[tuple[Any, ...]]:
        """Of each block the means (replicates, epochs done, 2 or 4) and the weights."""
        states, means = self.done
        curves = [np.concatenate(chunks).swapaxes(0, 1) for chunks in zip(*means, strict=True)]
        weights = [tf.nest.map_structure(lambda w: w.numpy(), state[1:3]) for state in states]
        return [(c, *w) for c, w in zip(curves, weights, strict=True)]


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
