"""Many replicates, recipes times seeds, trained in one compiled program.

Recipes differ in data, not in code: a pair of reductions is two numbers, a schedule is an array
over epochs. So one program trains them all, in blocks of replicates whose weights lie side by side.
"""

import functools
import math
import os
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from itertools import repeat

import numpy as np

from vae_notes import data, schedules
from vae_notes._keras import keras, tf
from vae_notes.model import VAE
from vae_notes.objective import Objective
from vae_notes.replicates import (
    KINDS,
    Block,
    Program,
    Replicate,
    Work,
    built,
    stacked,
    stateless,
    vectorised,
)
from vae_notes.runs import Runs

__all__ = ["Recipe", "sweep"]

BLOCK_BYTES = 2**21  # weights, gradients and Adam's moments of a block should stay in the cache


@dataclass(frozen=True)
class Recipe:
    """A way to train: an objective, a schedule of its KL weight, and a learning rate.

    Parameters
    ----------
    name : str
        What results are indexed and labelled by.
    objective : Objective
        Reductions, KL weight and likelihood.
    schedule : callable
        From :mod:`vae_notes.schedules`, or any function of the epoch: the fraction of the KL
        weight that is in force.
    learning_rate : float, optional
        Of Adam; by default that of the sweep.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> Recipe("annealed", Objective(kl_weight=4.0), schedules.linear(1, 2)).kl_weights(4).tolist()
    [0.0, 0.0, 2.0, 4.0]
    """

    name: str
    objective: Objective = field(default_factory=Objective)
    schedule: schedules.Schedule = field(default_factory=schedules.constant)
    learning_rate: float | None = None

    def kl_weights(self, epochs):
        """The KL weight in force in each of so many epochs, (epochs,).

        Raises
        ------
        ValueError
            If the schedule gives something else than a number of at least 0.
        """
        given = [self.schedule(epoch) for epoch in range(epochs)]
        for epoch, fraction in enumerate(given):
            if fraction is None or np.shape(fraction) or not 0 <= fraction < math.inf:
                raise ValueError(
                    f"The schedule of recipe {self.name!r} gives {fraction!r} for epoch {epoch}: "
                    f"give one of vae_notes.schedules, or a function to numbers of at least 0."
                )
        return self.objective.kl_weight * np.array(given, float)


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
    ``fit`` with Adam and ``KLAnnealing(schedule)``, whatever else is trained beside it. Where it
    diverges, a warning says so, and the others go on. Ctrl-C keeps the epochs that are done.

    Parameters
    ----------
    build : callable
        From ``seed=`` to (encoder, decoder), Keras models, such as
        ``functools.partial(networks.dense, 64, 8)``. With layers that TensorFlow cannot
        vectorise, as convolutions, each replicate has a thread to itself.
    recipes : sequence of Recipe
        With different names. Each likelihood among them costs one compilation.
    x : array (n, ...)
        Training data.
    epochs : int
        At least 1.
    seeds : sequence of int
        All different, at least 0.
    batch_size : int
        At most n; the last batch of an epoch may be smaller.
    learning_rate : float
        For recipes without their own.
    validation_data : array (m, ...), optional
        Held out; adds ``val_`` curves, and the diagnoses are made on it.
    executor : concurrent.futures.Executor, optional
        Where blocks of replicates are trained, such as a ``ProcessPoolExecutor`` or a Dask
        client's ``get_executor()``; by default in threads of this process. ``build`` must be
        picklable if the executor pickles. What a worker that dies takes with it is named in a
        warning and in ``runs.failed``.
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
        larger than the data, a schedule gives no weight, ``build`` returns shared or unseeded
        models, or a layer can neither be vectorised nor compiled.
    RuntimeError
        If an executor finished no replicate at all.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

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
    recipes, seeds, x = list(recipes), list(seeds), data.check(x)
    held_out = None if validation_data is None else data.check(validation_data, x.shape[1:])
    _check_plan(recipes, seeds, x, epochs, batch_size, learning_rate, executor)
    recipes = [replace(r, learning_rate=r.learning_rate or learning_rate) for r in recipes]
    vae = _check_builder(build, seeds, x.shape[1:])
    vectorises = _check_layers(build, x.shape[1:])

    size = sum(math.prod(w.shape) for w in vae.trainable_variables)
    tasks = [
        block
        for kind in dict.fromkeys(recipe.objective.likelihood for recipe in recipes)
        for block in _blocks(
            [(r, s) for r in recipes if r.objective.likelihood == kind for s in seeds],
            size,
            vectorises,
        )
    ]
    blocks = [_plan(block, vae, epochs) for block in tasks]
    work = Work(build, x, held_out, batch_size)
    if executor is None:
        outcomes = _train_here(work, blocks, progress)
    else:
        outcomes = _train_there(executor, work, blocks, progress)
    runs = _collect(build, recipes, seeds, x if held_out is None else held_out, tasks, outcomes)
    for problem in runs.problems:
        warnings.warn(problem, stacklevel=2)
    return runs


def _plan(tasks, vae, epochs):
    dims = vae.data_dim, vae.latent_dim
    weights = [r.objective.weights(*dims, r.kl_weights(epochs)) for r, _ in tasks]
    return Block(
        likelihood=tasks[0][0].objective.likelihood,
        seeds=[seed for _, seed in tasks],
        rates=np.array([r.learning_rate for r, _ in tasks], np.float32),
        reconstruction_weights=np.array([w for w, _ in weights], np.float32),
        kl_weights=np.array([w for _, w in weights], np.float32),
    )


# Blocks in threads of this process, or wherever an executor runs them


def _blocks(tasks, size, vectorises):
    """As many replicates as fit the cache, in equal blocks, a multiple of the threads."""
    if not tasks:
        return []
    threads, fitting = min(len(tasks), _processors()), max(1, BLOCK_BYTES // (16 * size))
    if tf.config.list_physical_devices("GPU"):
        threads, fitting = 1, len(tasks)
    width = min(math.ceil(len(tasks) / threads), fitting) if vectorises else 1
    count = math.ceil(math.ceil(len(tasks) / width) / threads) * threads
    width = math.ceil(len(tasks) / count)
    blocks = [tasks[i : i + width] for i in range(0, len(tasks), width)]
    # all run the same program, so the last repeats its last replicate
    return [block + block[-1:] * (width - len(block)) for block in blocks]


def _processors():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _train_here(work, blocks, progress=False, program=Program):
    """Means of the terms (replicates, epochs, 2 or 4) and final weights, for each block."""
    epochs = blocks[0].kl_weights.shape[1]
    kinds = [(block.likelihood, len(block.seeds)) for block in blocks]
    compiled = {kind: program(work, *kind, epochs) for kind in dict.fromkeys(kinds)}
    programs = [compiled[kind] for kind in kinds]
    bar = keras.utils.Progbar(epochs, unit_name="epoch", verbose=int(progress))
    # states and means, in one variable: an interrupt finds all blocks after the same epoch
    done = [p.start(b.seeds) for p, b in zip(programs, blocks, strict=True)], []
    with ThreadPoolExecutor(_processors()) as pool:
        try:
            for first in range(0, epochs, programs[0].chunk):
                moves = pool.map(Program.advance, programs, blocks, repeat(first), done[0])
                states, means = zip(*moves, strict=True)
                done = states, [*done[1], means]
                bar.update(min(epochs, first + programs[0].chunk))
        except KeyboardInterrupt:
            if not done[1]:
                raise
    states, means = done
    means = [np.concatenate(chunks).swapaxes(0, 1) for chunks in zip(*means, strict=True)]
    if means[0].shape[1] < epochs:
        warnings.warn(
            f"Interrupted: {means[0].shape[1]} of {epochs} epochs are done.", stacklevel=3
        )
    weights = [tf.nest.map_structure(lambda w: w.numpy(), state[1:3]) for state in states]
    return [(m, *w) for m, w in zip(means, weights, strict=True)]


def _train_there(executor, work, blocks, progress):
    """As :func:`_train_here`, or for a block that failed the exception."""
    bar = keras.utils.Progbar(len(blocks), unit_name="block", verbose=int(progress))
    outcomes = dict.fromkeys(range(len(blocks)), RuntimeError("the sweep was interrupted"))
    waiting = {}
    try:
        for i, block in enumerate(blocks):
            waiting[executor.submit(_train_one, work, block)] = i
        for future in as_completed(waiting):
            outcomes[waiting[future]] = _outcome(future)
            bar.add(1)
    except KeyboardInterrupt:
        for future, i in waiting.items():
            if not future.cancel() and future.done():
                outcomes[i] = _outcome(future)
        if all(isinstance(outcome, Exception) for outcome in outcomes.values()):
            raise
    except Exception as error:  # the executor broke while blocks were handed out
        outcomes = dict.fromkeys(outcomes, error) | {i: _outcome(f) for f, i in waiting.items()}
    return list(outcomes.values())


def _outcome(future):
    try:
        return future.result()
    except Exception as error:  # whatever an engine raises when a worker dies
        return error


def _train_one(work, block):
    return _train_here(work, [block], program=_program)[0]


@functools.lru_cache(maxsize=1)
def _program(*arguments):
    """A worker compiles for its first block, and has the program for those that follow."""
    return Program(*arguments)


def _collect(build, recipes, seeds, x, blocks, outcomes):
    means, weights, failed = {}, {}, {}
    for tasks, outcome in zip(blocks, outcomes, strict=True):
        for i, (recipe, seed) in enumerate(tasks):
            key = recipe.name, seed
            if isinstance(outcome, Exception):
                failed[key] = f"{outcome or type(outcome).__name__}".rstrip(".")
            else:
                means[key], *groups = outcome[0][i], *outcome[1:]
                weights[key] = [[w[i] for w in group] for group in groups]
    if not means:
        raise RuntimeError(f"No replicate was trained: {next(iter(failed.values()))}.")
    return Runs(build, recipes, seeds, x, means, weights, failed)


# What cannot work is said before anything is compiled


def _check_plan(recipes, seeds, x, epochs, batch_size, learning_rate, executor):
    if not all(isinstance(recipe, Recipe) for recipe in recipes):
        given = next(type(r).__name__ for r in recipes if not isinstance(r, Recipe))
        raise ValueError(f"recipes holds a {given}: give Recipe(name, objective, schedule).")
    for what, values in (("recipes", [r.name for r in recipes]), ("seeds", seeds)):
        if not values:
            raise ValueError(f"There are no {what}: give at least one.")
        twice = sorted({str(v) for v in values if values.count(v) > 1})
        if twice:
            raise ValueError(f"{what} has {', '.join(twice)} more than once: give each once.")
    for seed in seeds:
        if not _is_whole(seed) or not 0 <= seed < 2**31:
            raise ValueError(f"seed {seed!r} is no seed: give whole numbers from 0 to 2**31 - 1.")
    if not _is_whole(epochs) or epochs < 1:
        raise ValueError(f"epochs={epochs!r} is no number of epochs: give a whole number.")
    if not _is_whole(batch_size) or not 1 <= batch_size <= len(x):
        raise ValueError(
            f"batch_size={batch_size!r} does not fit {len(x)} examples: give 1 to {len(x)}."
        )
    for recipe in recipes:
        if not isinstance(recipe.name, str):
            raise ValueError(f"recipe {recipe.name!r} is not named by a string: give a name.")
        rate = learning_rate if recipe.learning_rate is None else recipe.learning_rate
        if not 0 < rate < math.inf:
            raise ValueError(
                f"recipe {recipe.name!r} has learning_rate={rate!r}: give a number above 0."
            )
        recipe.kl_weights(epochs)
    if isinstance(executor, ProcessPoolExecutor):
        if executor._mp_context.get_start_method() == "fork":
            raise ValueError(
                "The executor forks this process, which TensorFlow does not survive: give "
                "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))."
            )


def _is_whole(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _check_builder(build, seeds, data_shape):
    """The first seed's VAE, after making sure that the builder can serve them all."""
    seed = seeds[0]
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
    layers = [layer for half in pair for layer in half._flatten_layers()]
    if any(layer.compute_dtype == "float16" for layer in layers):
        raise ValueError(
            "build makes float16 models, whose losses a sweep does not scale: use float32 or "
            "bfloat16, or train the replicates one by one with VAE.fit."
        )
    return vae


def _check_layers(build, data_shape):
    """Whether replicates can be stacked; layers that cannot even be compiled are named."""
    replicate = Replicate(build, data_shape, "gaussian")
    halves = replicate.vae.encoder, replicate.vae.decoder
    layers = [
        (layer, layer.input)
        for half in halves
        for layer in (half.layers if getattr(half, "inputs", None) else [])
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    stuck = [layer.name for layer, _ in layers if not layer.supports_jit]
    x, z = tf.zeros((2, 1, *data_shape)), tf.zeros((2, 1, replicate.vae.latent_dim))
    variables = [stacked([halves] * 2, kind) for kind in KINDS]
    if not stuck and _works(replicate.train, False, *variables, x, z, tf.ones(2), tf.ones(2)):
        return True
    for layer, tensors in layers:
        inputs = tf.nest.map_structure(lambda t: tf.zeros((2, 1, *t.shape[1:]), t.dtype), tensors)
        arguments = [stacked([[layer]] * 2, kind) for kind in KINDS]
        alone = functools.partial(_layer_gradient, layer)
        if not any(_works(alone, compiled, *arguments, inputs) for compiled in (False, True)):
            stuck.append(layer.name)
    if stuck:
        raise ValueError(
            f"TensorFlow can neither vectorise nor compile {', '.join(dict.fromkeys(stuck))}: "
            f"replace these layers, or train the replicates one by one with VAE.fit."
        )
    return False


def _layer_gradient(layer, weights, frozen, inputs):
    with tf.GradientTape() as tape:
        tape.watch((weights, inputs))
        outputs, _ = stateless(layer, weights, frozen, inputs, training=True)
        total = sum(tf.reduce_sum(t) for t in tf.nest.flatten(outputs))
    return outputs, tape.gradient(total, (weights, inputs))


def _works(function, compiled, *arguments):
    """Whether a function of one replicate can be vectorised or, alone, compiled."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("FATAL")  # a page of traces for each layer that cannot
    try:
        if compiled:
            alone = tf.nest.map_structure(lambda t: t[0], arguments)
            tf.function(function, jit_compile=True, autograph=False)(*alone)
        else:
            mapped = tf.function(vectorised(function), autograph=False)
            mapped.get_concrete_function(*arguments)
    except Exception:  # of many kinds, from the depths of TensorFlow
        return False
    finally:
        logger.setLevel(level)
    return True
