"""Many replicates, recipes times seeds, trained in one compiled program.

Recipes differ in data, not in code: a pair of reductions is two numbers, a schedule is an array
over epochs. So one program trains them all, in blocks of replicates whose weights lie side by side.
"""

import functools
import math
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vae_notes import _check, data
from vae_notes._builders import Builder, can_be_stacked, check_builder
from vae_notes._keras import keras, tf
from vae_notes._replicates import Block, Program, Training, Work, processors
from vae_notes.recipes import Recipe
from vae_notes.runs import Runs

__all__ = ["Plan", "sweep"]

BLOCK_BYTES = 2**21  # weights, gradients and Adam's moments of a block should stay in the cache


def sweep(
    build: Builder,
    recipes: Iterable[Recipe],
    x: ArrayLike,
    *,
    epochs: int,
    seeds: Iterable[int] = range(8),
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    validation_data: ArrayLike | None = None,
    executor: Executor | None = None,
    progress: bool = False,
) -> Runs:
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
        models, or TensorFlow can make no program of a layer.
    RuntimeError
        If an executor finished no replicate at all.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> import functools
    >>> from vae_notes import Objective, data
    >>> from vae_notes.networks import dense
    >>> from vae_notes.recipes import Recipe
    >>> build = functools.partial(dense, 4, 2, hidden=())
    >>> x = data.linear_gaussian([4.0, 1.0, 0.1, 0.1], count=64)
    >>> recipes = [Recipe("sum", Objective("sum")), Recipe("mean", Objective("mean"))]
    >>> runs = sweep(build, recipes, x, epochs=2, seeds=[0, 1, 2])
    >>> runs.curves("elbo")["sum"].shape
    (3, 2)
    """
    _check_executor(executor)
    plan = Plan(
        build,
        recipes,
        x,
        epochs=epochs,
        seeds=seeds,
        batch_size=batch_size,
        learning_rate=learning_rate,
        validation_data=validation_data,
    )
    if executor is None:
        runs = plan.runs(_train_here(plan.training(), progress))
    else:
        runs = plan.runs(_train_there(executor, plan, progress))
    for problem in runs.problems:
        warnings.warn(problem, stacklevel=2)
    return runs


class Plan:
    """A sweep before it is compiled: its replicates in blocks, and everything checked.

    The parameters are those of :func:`sweep`.

    Attributes
    ----------
    blocks : list of Block
        Replicates that are trained side by side.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> import functools
    >>> from vae_notes.networks import dense
    >>> x = data.linear_gaussian([4.0, 1.0, 0.1, 0.1], count=64)
    >>> plan = Plan(functools.partial(dense, 4, 2), [Recipe("sum")], x, epochs=2, seeds=[0, 1])
    >>> sorted(seed for block in plan.blocks for seed in block.seeds)
    [0, 1]
    """

    def __init__(
        self,
        build: Builder,
        recipes: Iterable[Recipe],
        x: ArrayLike,
        *,
        epochs: int,
        seeds: Iterable[int] = range(8),
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        validation_data: ArrayLike | None = None,
    ) -> None:
        self.recipes, self.seeds, examples = list(recipes), list(seeds), data.check(x)
        shape = examples.shape[1:]
        held_out = None if validation_data is None else data.check(validation_data, shape)
        _check_plan(self.recipes, self.seeds, examples, epochs, batch_size, learning_rate)
        self.recipes = [
            replace(r, learning_rate=r.learning_rate or learning_rate) for r in self.recipes
        ]
        vae = check_builder(build, self.seeds[0], shape)
        width = _width(vae.trainable_variables) if can_be_stacked(build, shape) else 1
        self.work = Work(build, examples, held_out, batch_size, epochs)
        self.blocks = [
            _block(replicates, vae, epochs)
            for kind in dict.fromkeys(recipe.objective.likelihood for recipe in self.recipes)
            for replicates in _in_blocks(
                [
                    (r, s)
                    for r in self.recipes
                    if r.objective.likelihood == kind
                    for s in self.seeds
                ],
                width,
            )
        ]

    def training(self) -> Training:
        """The programs, compiled, with every replicate at its start."""
        return Training(self.work, self.blocks)

    def runs(self, outcomes: Iterable[Any]) -> Runs:
        """What :func:`sweep` returns, from the outcome of each block or the error it ended in."""
        means, weights, failed = {}, {}, {}
        for block, outcome in zip(self.blocks, outcomes, strict=True):
            for i, key in enumerate(zip(block.names, block.seeds, strict=True)):
                if isinstance(outcome, Exception):
                    failed[key] = _check.reason(outcome)
                else:
                    means[key] = outcome[0][i]
                    weights[key] = [[w[i] for w in group] for group in outcome[1:]]
        if not means:
            raise RuntimeError(f"No replicate was trained: {next(iter(failed.values()))}.")
        x = self.work.x if self.work.held_out is None else self.work.held_out
        return Runs(self.work.build, self.recipes, self.seeds, x, means, weights, failed)


def _width(weights: Sequence[Any]) -> int:
    """How many replicates fit the cache; all of them on a GPU."""
    if tf.config.list_physical_devices("GPU"):
        return 2**31
    size = sum(math.prod(w.shape) for w in weights)
    return max(1, BLOCK_BYTES // (16 * size))


def _in_blocks(replicates: list[Any], width: int) -> list[list[Any]]:
    """Equal blocks of at most so many replicates, a multiple of the threads."""
    threads = 1 if tf.config.list_physical_devices("GPU") else min(len(replicates), processors())
    width = min(math.ceil(len(replicates) / threads), width)
    count = math.ceil(math.ceil(len(replicates) / width) / threads) * threads
    width = math.ceil(len(replicates) / count)
    blocks = [replicates[i : i + width] for i in range(0, len(replicates), width)]
    # all run the same program, so the last repeats its last replicate
    return [block + block[-1:] * (width - len(block)) for block in blocks]


def _block(replicates: Sequence[tuple[Recipe, int]], vae: Any, epochs: int) -> Block:
    dims = vae.data_dim, vae.latent_dim
    weights = [r.objective.weights(*dims, r.kl_weights(epochs)) for r, _ in replicates]
    return Block(
        likelihood=replicates[0][0].objective.likelihood,
        names=[recipe.name for recipe, _ in replicates],
        seeds=[seed for _, seed in replicates],
        rates=np.array([r.learning_rate for r, _ in replicates], np.float32),
        reconstruction_weights=np.array([w for w, _ in weights], np.float32),
        kl_weights=np.array([w for _, w in weights], np.float32),
    )


# Blocks in threads of this process, or wherever an executor runs them


def _train_here(training: Training, progress: bool = False) -> list[Any]:
    """The outcome of each block."""
    epochs = training.work.epochs
    bar = keras.utils.Progbar(epochs, unit_name="epoch", verbose=int(progress))
    try:
        for first in range(0, epochs, training.chunk):
            training.advance(first)
            bar.update(min(epochs, first + training.chunk))
    except KeyboardInterrupt:
        if not training.done[1]:
            raise
    outcomes = training.outcomes()
    if (done := outcomes[0][0].shape[1]) < epochs:
        warnings.warn(f"Interrupted: {done} of {epochs} epochs are done.", stacklevel=3)
    return outcomes


def _train_there(executor: Executor, plan: Plan, progress: bool) -> list[Any]:
    """The outcome of each block, or the error it ended in."""
    blocks = plan.blocks
    bar = keras.utils.Progbar(len(blocks), unit_name="block", verbose=int(progress))
    outcomes: dict[int, Any] = dict.fromkeys(
        range(len(blocks)), RuntimeError("the sweep was interrupted")
    )
    waiting: dict[Future, int] = {}
    try:
        for i, block in enumerate(blocks):
            waiting[executor.submit(_train_one, plan.work, block)] = i
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


def _outcome(future: Future) -> Any:
    try:
        return future.result()
    except Exception as error:  # whatever an engine raises when a worker dies
        return error


def _train_one(work: Work, block: Block) -> Any:
    return _train_here(Training(work, [block], program=_program))[0]


@functools.lru_cache(maxsize=1)
def _program(*arguments: Any) -> Program:
    """A worker compiles for its first block, and has the program for those that follow."""
    return Program(*arguments)


# What cannot work is said before anything is compiled


def _check_plan(
    recipes: list[Recipe],
    seeds: list[int],
    x: np.ndarray,
    epochs: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    if not all(isinstance(recipe, Recipe) for recipe in recipes):
        other = next(type(r).__name__ for r in recipes if not isinstance(r, Recipe))
        raise ValueError(f"recipes holds a {other}: give Recipe(name, objective, schedule).")
    given: dict[str, list[Any]] = {"recipes": [r.name for r in recipes], "seeds": seeds}
    for what, values in given.items():
        if not values:
            raise ValueError(f"There are no {what}: give at least one.")
        twice = sorted({str(v) for v in values if values.count(v) > 1})
        if twice:
            raise ValueError(f"{what} has {', '.join(twice)} more than once: give each once.")
    for seed in seeds:
        _check.whole("seed", seed, 0, 2**31 - 1)
    _check.whole("epochs", epochs)
    _check.whole("batch_size", batch_size, 1, len(x))
    for recipe in recipes:
        if not isinstance(recipe.name, str):
            raise ValueError(f"recipe {recipe.name!r} is not named by a string: give a name.")
        rate = learning_rate if recipe.learning_rate is None else recipe.learning_rate
        _check.number(f"learning_rate of recipe {recipe.name!r}", rate, above=0)
        recipe.kl_weights(epochs)


def _check_executor(executor: Executor | None) -> None:
    if isinstance(executor, ProcessPoolExecutor):
        context: Any = executor._mp_context
        if context.get_start_method() == "fork":
            raise ValueError(
                "The executor forks this process, which TensorFlow does not survive: give "
                "ProcessPoolExecutor(mp_context=multiprocessing.get_context('spawn'))."
            )
