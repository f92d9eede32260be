"""Many replicates, recipes times seeds, trained in one compiled program.

Recipes differ in data, not in code: a pair of reductions is two numbers, a schedule is an array
over epochs. So one program trains them all, in blocks of replicates whose weights lie side by side.
"""

import math
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from vae_notes import data, schedules
from vae_notes._keras import keras, ops, tf
from vae_notes.model import VAE
from vae_notes.noise import batch_order, standard_normal
from vae_notes.objective import Objective, weighted_loss
from vae_notes.runs import Runs

__all__ = ["Recipe", "sweep"]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Keras's Adam
BLOCK_BYTES = 2**21  # weights and Adam's moments of a block should stay in the cache


@dataclass(frozen=True)
class Recipe:
    """A way to train: an objective, a schedule of its KL weight, and a learning rate.

    Parameters
    ----------
    name : str
        What results are indexed and labelled by.
    objective : Objective
        Reductions and KL weight.
    schedule : callable
        From :mod:`vae_notes.schedules`: the fraction of the KL weight at each epoch.
    learning_rate : float, optional
        Of Adam; by default that of the sweep.

    Examples
    --------
    >>> Recipe("annealed", Objective(), schedules.linear(40, 20)).objective.kl_weight
    1.0
    """

    name: str
    objective: Objective = field(default_factory=Objective)
    schedule: schedules.Schedule = field(default_factory=schedules.constant)
    learning_rate: float | None = None


def sweep(
    build,
    recipes,
    x,
    *,
    epochs,
    seeds=range(8),
    batch_size=32,
    learning_rate=1e-3,
    validation_data=None,
    executor=None,
    progress=False,
):
    r"""Train every recipe from every seed with Adam, and keep every curve.

    A replicate starts from ``build(seed=seed)``, and its batches and noise are functions of the
    seed as well: it is the run that ``VAE(*build(seed=seed), objective, seed=seed)`` makes under
    ``fit``, whatever else is trained beside it.

    Parameters
    ----------
    build : callable
        From ``seed=`` to (encoder, decoder), any Keras models whose layers TensorFlow can
        vectorise, such as ``functools.partial(networks.dense, 64, 8)``.
    recipes : sequence of Recipe
        With different names.
    x : array (n, ...)
        Training data.
    epochs : int
        At least 1.
    seeds : sequence of int
        All different.
    batch_size : int
        At most n; the last batch of an epoch may be smaller.
    learning_rate : float
        For recipes without their own.
    validation_data : array (m, ...), optional
        Held out; adds ``val_`` curves, and the diagnoses are made on it.
    executor : concurrent.futures.Executor, optional
        Where blocks of replicates are trained, such as a ``ProcessPoolExecutor`` or a Dask
        client's ``get_executor()``; by default in threads of this process. ``build`` must be
        picklable if the executor pickles.
    progress : bool
        Whether to print a progress bar.

    Returns
    -------
    Runs
        Indexed by recipe and seed.

    Raises
    ------
    ValueError
        Before anything is compiled: if names or seeds repeat, the data is unusable, a batch is
        larger than the data, ``build`` returns shared models, or a layer cannot be vectorised.

    Examples
    --------
    >>> import functools
    >>> from vae_notes.networks import dense
    >>> build = functools.partial(dense, 4, 2, hidden=())
    >>> x = data.linear_gaussian([4.0, 1.0, 0.1, 0.1], count=64)
    >>> recipes = [Recipe("sum", Objective("sum")), Recipe("mean", Objective("mean"))]
    >>> runs = sweep(build, recipes, x, epochs=2, seeds=[0, 1, 2])
    >>> runs.curves("elbo")["sum"].shape
    (3, 2)
    """
    recipes, seeds = list(recipes), [int(seed) for seed in seeds]
    x = data.check(x)
    held_out = x[:0] if validation_data is None else data.check(validation_data, x.shape[1:])
    _check_plan(recipes, seeds, x, epochs, batch_size)
    vae = _check_builder(build, seeds, x.shape[1:])

    tasks = [(recipe, seed) for recipe in recipes for seed in seeds]
    size = 12 * sum(math.prod(w.shape) for w in vae.trainable_variables)
    width = _block_width(len(tasks), size)
    blocks = [tasks[i : i + width] for i in range(0, len(tasks), width)]
    plans = [_plan(block, vae, epochs, learning_rate) for block in blocks]
    shared = dict(build=build, x=x, held_out=held_out, batch_size=batch_size, width=width)
    if executor is None:
        outcomes = _train_here(plans, shared, progress)
    else:
        outcomes = _train_there(executor, plans, shared)
    return _collect(build, recipes, seeds, blocks, outcomes, x if not len(held_out) else held_out)


# One block of replicates


def _plan(block, vae, epochs, learning_rate):
    """What a block needs, as plain arrays: an executor can pickle them."""
    weights = np.array([r.objective.weights(vae.data_dim, vae.latent_dim) for r, _ in block])
    fractions = np.array([r.schedule(np.arange(epochs)) * np.ones(epochs) for r, _ in block])
    rates = [learning_rate if r.learning_rate is None else r.learning_rate for r, _ in block]
    return dict(
        seeds=[seed for _, seed in block],
        likelihoods=[r.objective.likelihood for r, _ in block],
        reconstruction_weights=weights[:, 0].astype(np.float32),
        kl_weights=(weights[:, 1:] * fractions).astype(np.float32),  # (replicates, epochs)
        rates=np.asarray(rates, np.float32),
    )


class _Block:
    """The state of the replicates of one block, and the program that takes them an epoch on."""

    def __init__(self, plan, program, build, x, held_out, **_):
        self.plan, self.program, self.epoch = plan, program, 0
        self.x, self.held_out = tf.constant(x), tf.constant(held_out)
        self.size = len(plan["seeds"])
        models = {seed: build(seed=seed) for seed in sorted(set(plan["seeds"]))}
        replicates = [models[seed] for seed in self._padded(plan["seeds"])]
        weights = _stacked(replicates, "trainable_variables")
        moments = [[tf.zeros_like(w) for w in weights] for _ in range(2)]
        self.state = [tf.constant(0), weights, _stacked(replicates, "non_trainable_variables")]
        self.state += moments
        self.curves = []

    def _padded(self, values):
        """All blocks run the same program, so the last repeats its last replicate."""
        return [*values, *[values[-1]] * (self.program.width - self.size)]

    def advance(self):
        """Train one epoch; what it leads to is returned, so that it can be taken or dropped."""
        plan, count = self.plan, len(self.x)
        orders = np.stack([batch_order(s, self.epoch, count) for s in self._padded(plan["seeds"])])
        arguments = (
            plan["rates"],
            plan["reconstruction_weights"],
            plan["kl_weights"][:, self.epoch],
        )
        arguments = [tf.constant(np.stack(self._padded(list(a)))) for a in arguments]
        seeds = tf.constant(self._padded(plan["seeds"]), tf.int64)
        state, sums = self.program.epoch(
            self.x, self.held_out, tf.constant(orders), seeds, *arguments, *self.state
        )
        return state, sums.numpy()[: self.size]

    def accept(self, state, sums):
        self.state, self.epoch = state, self.epoch + 1
        self.curves.append(sums)

    def result(self):
        """Curves (replicates, epochs, 4) and weights, as arrays."""
        _, trainable, frozen, *_ = self.state
        arrays = [[w.numpy()[: self.size] for w in group] for group in (trainable, frozen)]
        return np.stack(self.curves, axis=1), *arrays


class _Program:
    """One XLA program for an epoch of ``width`` replicates; what differs is its arguments."""

    def __init__(self, build, likelihood, x, held_out, batch_size, width, seed=0):
        self.encoder, self.decoder = build(seed=seed)
        self.terms = Objective(likelihood=likelihood).terms
        self.width, self.batch_size = width, batch_size
        self.epoch = tf.function(self._epoch, jit_compile=True, autograph=False)

    def replicate(self, weights, frozen, x, noise, training):
        """Both terms of each example, for one replicate; the layers' new state beside them."""
        n, m = len(self.encoder.trainable_variables), len(self.encoder.non_trainable_variables)
        (z_mean, z_log_var), frozen_1 = self.encoder.stateless_call(
            weights[:n], frozen[:m], x, training=training
        )
        z = z_mean + ops.exp(0.5 * z_log_var) * noise
        decoded, frozen_2 = self.decoder.stateless_call(
            weights[n:], frozen[m:], z, training=training
        )
        return self.terms(x, decoded, z_mean, z_log_var), [*frozen_1, *frozen_2]

    def gradient(self, weights, frozen, x, noise, reconstruction_weight, kl_weight):
        with tf.GradientTape() as tape:
            tape.watch(weights)
            terms, frozen = self.replicate(weights, frozen, x, noise, training=True)
            loss = weighted_loss(*terms, (reconstruction_weight, kl_weight))
        return tape.gradient(loss, weights), frozen, _sums(terms)

    def _each(self, function, *arguments):
        """``function`` of every replicate, its arguments stacked along their first axis."""
        if self.width == 1:
            alone = tf.nest.map_structure(lambda t: t[0], arguments)
            return tf.nest.map_structure(lambda t: t[None], function(*alone))
        return tf.vectorized_map(lambda a: function(*a), arguments, fallback_to_while_loop=False)

    def _noise(self, seeds, draw, count):
        seeds = tf.stack([seeds, tf.fill([self.width], tf.cast(draw, tf.int64))], axis=-1)
        shape = (count, self.encoder.output_shape[0][-1])
        # a loop: vectorised, XLA would draw again for every use
        return tf.map_fn(lambda s: standard_normal(shape, s), seeds, fn_output_signature=tf.float32)

    def _epoch(self, x, held_out, orders, seeds, rates, w_rec, w_kl, step, *model):
        def train(index, step, sums, weights, frozen, m, v):
            noise = self._noise(seeds, step, index.shape[1])
            batch = tf.gather(x, index)  # (width, batch, ...)
            gradients, frozen, more = self._each(
                self.gradient, weights, frozen, batch, noise, w_rec, w_kl
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

        nothing = tf.zeros((self.width, 2))
        step, sums, *model = self._batches(train, orders, (step, nothing, *model))
        weights, frozen = model[:2]

        def test(index, draw, sums):
            noise = self._noise(seeds, draw, index.shape[1])
            batch = tf.gather(held_out, index)

            def measure(weights, frozen, batch, noise):
                return _sums(self.replicate(weights, frozen, batch, noise, training=False)[0])

            return draw + 1, sums + self._each(measure, weights, frozen, batch, noise)

        everyone = tf.tile(tf.range(held_out.shape[0])[None], (self.width, 1))
        held_out_sums = nothing
        if held_out.shape[0]:
            _, held_out_sums = self._batches(test, everyone, (0, nothing))
        means = (sums / x.shape[0], held_out_sums / max(1, held_out.shape[0]))
        return [step, *model], tf.concat(means, axis=-1)

    def _batches(self, take, orders, carry):
        """``take`` each batch of the orders in turn; the last may be smaller."""
        full = orders.shape[1] // self.batch_size
        cut = full * self.batch_size
        index = tf.reshape(orders[:, :cut], (self.width, full, self.batch_size))
        _, *carry = tf.while_loop(
            lambda i, *_: i < full,
            lambda i, *c: (i + 1, *take(index[:, i], *c)),
            (0, *carry),
            maximum_iterations=full,
        )
        return take(orders[:, cut:], *carry) if cut < orders.shape[1] else carry


def _sums(terms):
    return tf.stack([tf.reduce_sum(term) for term in terms])


def _stacked(models, kind):
    """The variables of each (encoder, decoder), stacked along a first axis."""
    each = [[v.value for half in pair for v in getattr(half, kind)] for pair in models]
    return [tf.stack(values) for values in zip(*each, strict=True)]


# Blocks in threads of this process, or wherever an executor runs them


def _train_here(plans, shared, progress):
    programs = {}
    for plan in plans:
        likelihood = plan["likelihoods"][0]
        if likelihood not in programs:
            programs[likelihood] = _Program(likelihood=likelihood, **shared)
    blocks = [_Block(plan, programs[plan["likelihoods"][0]], **shared) for plan in plans]
    epochs = plans[0]["kl_weights"].shape[1]
    bar = keras.utils.Progbar(epochs, unit_name="epoch", verbose=int(progress))
    with ThreadPoolExecutor(_processors()) as pool:
        try:
            for epoch in range(epochs):
                moves = list(pool.map(_Block.advance, blocks))
                for block, move in zip(blocks, moves, strict=True):
                    block.accept(*move)
                bar.update(epoch + 1)
        except KeyboardInterrupt:
            done = blocks[0].epoch
            if not done:
                raise
            warnings.warn(f"interrupted: the {done} epochs done are kept.", stacklevel=3)
    return [block.result() for block in blocks]


def _train_there(executor, plans, shared):
    futures = [executor.submit(_train_plan, plan, shared) for plan in plans]
    outcomes = []
    for future in futures:
        try:
            outcomes.append(future.result())
        except Exception as error:  # whatever an engine raises when a worker dies
            outcomes.append(error)
    return outcomes


def _train_plan(plan, shared):
    return _train_here([plan], shared, progress=False)[0]


def _collect(build, recipes, seeds, blocks, outcomes, x):
    curves, weights, failed = {}, {}, {}
    for block, outcome in zip(blocks, outcomes, strict=True):
        for i, (recipe, seed) in enumerate(block):
            if isinstance(outcome, Exception):
                failed[recipe.name, seed] = str(outcome) or type(outcome).__name__
                continue
            sums, *groups = outcome
            curves[recipe.name, seed] = sums[i]
            weights[recipe.name, seed] = [[w[i] for w in group] for group in groups]
    if not curves:
        raise RuntimeError(f"no replicate was trained; the first one failed: {outcomes[0]}.")
    return Runs(build, recipes, seeds, x, curves, weights, failed)


def _processors():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _block_width(replicates, size):
    """As many replicates as fit the cache, in equal blocks, a multiple of the processors."""
    threads = min(replicates, _processors())
    width = max(1, min(math.ceil(replicates / threads), BLOCK_BYTES // size))
    blocks = math.ceil(math.ceil(replicates / width) / threads) * threads
    return math.ceil(replicates / min(replicates, blocks))


# What cannot work is said before anything is compiled


def _check_plan(recipes, seeds, x, epochs, batch_size):
    for what, values in (("recipes", [r.name for r in recipes]), ("seeds", seeds)):
        if not values:
            raise ValueError(f"There are no {what}: give at least one.")
        twice = sorted({str(v) for v in values if values.count(v) > 1})
        if twice:
            raise ValueError(f"{what} has {', '.join(twice)} more than once: give each once.")
    if len({r.objective.likelihood for r in recipes}) > 1:
        raise ValueError("The recipes mix likelihoods: sweep the Bernoulli ones by themselves.")
    if not isinstance(epochs, (int, np.integer)) or epochs < 1:
        raise ValueError(f"epochs={epochs!r} is no number of epochs: give a whole number.")
    if not 1 <= batch_size <= len(x):
        raise ValueError(
            f"batch_size={batch_size} does not fit {len(x)} examples: give 1 to {len(x)}."
        )


def _check_builder(build, seeds, data_shape):
    """The first seed's VAE, after making sure that the builder can serve them all."""
    pair = build(seed=seeds[0])
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise ValueError(
            f"build(seed={seeds[0]}) returned {type(pair).__name__}: return (encoder, decoder)."
        )
    other = build(seed=seeds[-1] if len(seeds) > 1 else seeds[0])
    kept = {id(v) for half in pair for v in half.variables}
    if any(id(v) in kept for half in other for v in half.variables):
        raise ValueError("build returns the same model twice: build a new one at each call.")
    vae = VAE(*pair)
    if vae.data_shape is None:
        vae.build((None, *data_shape))
    if vae.data_shape != tuple(data_shape):
        raise ValueError(
            f"build makes models for data of shape {vae.data_shape}, but x has {data_shape}: "
            f"build them for x."
        )
    if any(half.losses for half in pair):
        raise ValueError("A layer adds a loss of its own, which a sweep leaves out: remove it.")
    stuck = [layer.name for half in pair for layer in half.layers if not _vectorises(layer)]
    if stuck:
        raise ValueError(
            f"TensorFlow cannot vectorise the layers {', '.join(stuck)}: replace them, or train "
            f"the replicates one by one with VAE.fit."
        )
    return vae


def _vectorises(layer):
    if isinstance(layer, keras.layers.InputLayer):
        return True
    inputs = tf.nest.map_structure(lambda t: tf.zeros((2, 1, *t.shape[1:]), t.dtype), layer.input)
    variables = [[tf.stack([v.value] * 2) for v in group] for group in _variables(layer)]

    def gradient(arguments):
        inputs, trainable, frozen = arguments
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            outputs, _ = layer.stateless_call(trainable, frozen, inputs)
            total = sum(tf.reduce_sum(t) for t in tf.nest.flatten(outputs))
        return tape.gradient(total, trainable) if trainable else total

    mapped = tf.function(
        lambda *a: tf.vectorized_map(gradient, a, fallback_to_while_loop=False), autograph=False
    )
    try:
        mapped.get_concrete_function(inputs, *variables)
    except Exception:
        return False
    return True


def _variables(layer):
    return layer.trainable_variables, layer.non_trainable_variables
