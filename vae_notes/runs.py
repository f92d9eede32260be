"""What a sweep gives back: curves, diagnoses and models of every replicate."""

from __future__ import annotations

import functools
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from vae_notes import figures, theory
from vae_notes._builders import KINDS, Builder, built, stateless
from vae_notes._keras import keras, ops, tf
from vae_notes.diagnosis import Report, diagnose
from vae_notes.model import VAE
from vae_notes.objective import Objective
from vae_notes.recipes import Recipe

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["Run", "Runs", "Seeds"]

METRICS = ("loss", "reconstruction", "kl", "elbo", "kl_weight")


class Runs:
    """The replicates of a sweep, indexed by recipe and seed.

    ``runs["sum"]`` are the :class:`Seeds` of a recipe, ``runs["sum", 3]`` is one :class:`Run`;
    ``curves``, ``active_units``, ``kl_per_unit`` and ``elbo`` are dictionaries by recipe of what
    its :class:`Seeds` give. What was not trained or has diverged is NaN there.

    Attributes
    ----------
    seeds : list of int
        Of each recipe.
    failed : dict
        Why a replicate was not trained, by (recipe, seed).

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> import functools
    >>> from vae_notes import data
    >>> from vae_notes.networks import dense
    >>> from vae_notes.recipes import Recipe
    >>> from vae_notes.sweep import sweep
    >>> build = functools.partial(dense, 3, 1, hidden=())
    >>> x = data.linear_gaussian([9.0, 0.1, 0.1], count=100)
    >>> recipes = [Recipe("sum"), Recipe("mean", Objective("mean", kl_weight=100.0))]
    >>> runs = sweep(build, recipes, x, epochs=60, seeds=[0, 1], learning_rate=0.02)
    >>> runs["sum"].active_units.tolist(), runs["mean"].active_units.tolist()
    ([1, 1], [0, 0])
    >>> runs["sum", 1].vae().sample(5).shape
    (5, 3)
    >>> len(runs.table())  # replicates times epochs
    240
    """

    def __init__(
        self,
        build: Builder,
        recipes: Iterable[Recipe],
        seeds: Iterable[int],
        x: NDArray[np.float32],
        means: Mapping[tuple[str, int], NDArray],
        weights: Mapping[tuple[str, int], list[list[NDArray]]],
        failed: Mapping[tuple[str, int], str] | None = None,
    ) -> None:
        self.build, self.x = build, x
        self.recipes = {recipe.name: recipe for recipe in recipes}
        self.seeds = list(seeds)
        self.failed = dict(failed or {})
        program = _Apply(built(build, self.seeds[0], x.shape[1:]))
        keys = [(name, seed) for name in self.recipes for seed in self.seeds]
        self.runs = {
            key: Run(self, self.recipes[key[0]], key[1], means[key], weights[key], program)
            for key in keys
            if key in means
        }

    @functools.cached_property
    def spectrum(self) -> NDArray[np.float64]:
        """Spectrum of the data that the diagnoses are made on, an array (N,)."""
        return theory.spectrum(self.x)

    @property
    def problems(self) -> list[str]:
        """Sentences that name the replicates that failed and those that diverged."""
        lost = [f"{_name(*key)} ({reason})" for key, reason in self.failed.items()]
        diverged = [
            f"{_name(*key)} (epoch {run.diverged})"
            for key, run in self.runs.items()
            if run.diverged is not None
        ]
        return [
            f"{len(those)} of {len(self.recipes) * len(self.seeds)} replicates {what}: "
            f"{'; '.join(those)}."
            for what, those in [("were not trained", lost), ("diverged", diverged)]
            if those
        ]

    @property
    def names(self) -> list[str]:
        """Names of the recipes."""
        return list(self.recipes)

    @overload
    def __getitem__(self, key: str) -> Seeds: ...
    @overload
    def __getitem__(self, key: tuple[str, int]) -> Run: ...
    def __getitem__(self, key: str | tuple[str, int]) -> Seeds | Run:
        if isinstance(key, tuple) and key in self.failed:
            raise KeyError(f"{_name(*key)} was not trained: {self.failed[key]}")
        if isinstance(key, tuple) and key in self.runs:
            return self.runs[key]
        if isinstance(key, str) and key in self.recipes:
            return Seeds([self.runs.get((key, seed)) for seed in self.seeds])
        raise KeyError(f"{key!r} is not here: give one of {self.names}, and a seed if you like")

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs.values())

    def curves(self, metric: str) -> dict[str, NDArray[np.float64]]:
        """A metric over the epochs, arrays (seeds, epochs) by recipe."""
        known = list(next(iter(self)).history)
        if metric not in known:
            raise ValueError(f"{metric!r} was not measured: choose one of {', '.join(known)}.")
        epochs = max(len(run.means) for run in self)
        return {name: self[name].curve(metric, epochs) for name in self.names}

    @property
    def active_units(self) -> dict[str, NDArray]:
        """Active units, arrays (seeds,) by recipe."""
        return {name: self[name].active_units for name in self.names}

    @property
    def kl_per_unit(self) -> dict[str, NDArray[np.float64]]:
        """Mean KL divergence of each latent unit, arrays (seeds, D) by recipe, in nats."""
        return {name: self[name].kl_per_unit for name in self.names}

    @property
    def elbo(self) -> dict[str, NDArray[np.float64]]:
        """ELBO on the held-out data, arrays (seeds,) by recipe, in nats per example."""
        return {name: self[name].elbo for name in self.names}

    def table(self) -> list[dict[str, Any]]:
        """One dictionary for each replicate and epoch, for ``pandas.DataFrame`` and the like."""
        return [
            {"recipe": run.recipe.name, "seed": run.seed, "epoch": epoch}
            | {metric: float(values[epoch]) for metric, values in run.history.items()}
            for run in self
            for epoch in range(len(run.means))
        ]

    def plot(self, metric: str, ax: Axes | None = None) -> Axes:
        """Draw a metric: for each recipe the median over seeds, in a band to the extremes.

        Seeds that were not trained to the end or have diverged are left out.
        """
        units = {"kl": "nats", "elbo": "nats per example"}.get(metric.removeprefix("val_"))
        label = metric.replace("_", " ") + (f" ({units})" if units else "")
        whole = {k: v[np.isfinite(v).all(axis=1)] for k, v in self.curves(metric).items()}
        return figures.curves({k: v for k, v in whole.items() if len(v)}, label, ax=ax)

    def save(self, path: str | os.PathLike) -> None:
        """Write everything but the builder to an ``.npz`` file."""
        epochs = max(len(run.means) for run in self)
        recipes = [
            {
                "name": recipe.name,
                "objective": recipe.objective.get_config(),
                "fractions": [float(recipe.schedule(e)) for e in range(epochs)],
                "learning_rate": recipe.learning_rate,
            }
            for recipe in self.recipes.values()
        ]
        plan = {
            "recipes": recipes,
            "seeds": [int(seed) for seed in self.seeds],
            "keys": [[name, int(seed)] for name, seed in self.runs],
            "failed": [[name, int(seed), reason] for (name, seed), reason in self.failed.items()],
        }
        arrays: dict[str, Any] = {}
        for i, run in enumerate(self):
            arrays[f"{i}/means"] = run.means
            for g, group in enumerate(run.weights):
                arrays |= {f"{i}/{g}/{j}": w for j, w in enumerate(group)}
        with open(path, "wb") as file:  # np.savez would add .npz to the name
            np.savez_compressed(file, plan=np.array(json.dumps(plan)), x=self.x, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike, build: Builder) -> Runs:
        """Read what :meth:`save` wrote; ``build`` is the builder that the sweep was given.

        Raises
        ------
        ValueError
            If the file holds no sweep, or ``build`` makes other models than the sweep's.
        """
        try:
            with open(path, "rb") as file, np.load(file) as archive:
                arrays = dict(archive)
            plan = json.loads(str(arrays["plan"]))
        except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} holds no sweep: give a file written by save.") from error
        recipes = [
            Recipe(
                r["name"],
                Objective(**r["objective"]),
                _Recorded(r["fractions"]),
                r["learning_rate"],
            )
            for r in plan["recipes"]
        ]
        vae = built(build, plan["seeds"][0], arrays["x"].shape[1:])
        made = [[tuple(v.shape) for v in group] for group in _variables(vae)]
        means, weights = {}, {}
        for i, key in enumerate(map(tuple, plan["keys"])):
            means[key] = arrays[f"{i}/means"]
            weights[key] = [
                [arrays[name] for name in _numbered(arrays, f"{i}/{g}/")] for g in range(2)
            ]
            if [[w.shape for w in group] for group in weights[key]] != made:
                raise ValueError(
                    f"build makes other models than those in {path}: give the sweep's own builder."
                )
        failed = {(name, seed): reason for name, seed, reason in plan["failed"]}
        return cls(build, recipes, plan["seeds"], arrays["x"], means, weights, failed)


class Seeds:
    """All seeds of one recipe: arrays with a row for each, NaN where it was not trained.

    Attributes
    ----------
    runs : list of Run or None
        In the order of the seeds; None is a seed that was not trained.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> import functools
    >>> from vae_notes import data
    >>> from vae_notes.networks import dense
    >>> from vae_notes.recipes import Recipe
    >>> from vae_notes.sweep import sweep
    >>> x = data.linear_gaussian([9.0, 0.1, 0.1], count=100)
    >>> build = functools.partial(dense, 3, 1, hidden=())
    >>> seeds = sweep(build, [Recipe("sum")], x, epochs=2, seeds=[0, 1, 2])["sum"]
    >>> seeds.curve("elbo").shape, seeds.kl_per_unit.shape
    ((3, 2), (3, 1))
    """

    def __init__(self, runs: Sequence[Run | None]) -> None:
        self.runs = list(runs)

    def curve(self, metric: str, epochs: int | None = None) -> NDArray[np.float64]:
        """A metric over the epochs, (seeds, epochs)."""
        curves = [() if run is None else run.history[metric] for run in self.runs]
        epochs = epochs or max(map(len, curves))
        return np.array([[*curve, *[np.nan] * (epochs - len(curve))] for curve in curves])

    @property
    def active_units(self) -> NDArray:
        """Active units, (seeds,)."""
        return self._each(lambda run: run.report.active_units)

    @property
    def kl_per_unit(self) -> NDArray[np.float64]:
        """Mean KL divergence of each latent unit, (seeds, D), in nats."""
        latent_dim = max((r.latent_dim for r in self.runs if r is not None), default=1)
        return self._each(lambda run: run.report.kl_per_unit, [np.nan] * latent_dim)

    @property
    def elbo(self) -> NDArray[np.float64]:
        """ELBO on the held-out data, (seeds,), in nats per example."""
        return self._each(lambda run: run.report.elbo)

    def _each(self, measure: Callable[[Run], Any], missing: Any = np.nan) -> NDArray:
        return np.array(
            [missing if r is None or r.diverged is not None else measure(r) for r in self.runs]
        )


class Run:
    """One replicate: its recipe and seed, its history, its diagnosis, and itself as a VAE.

    Attributes
    ----------
    recipe : Recipe
        What it was trained by.
    seed : int
        What it was trained from.
    means : array (epochs, 2) or (epochs, 4)
        Both terms in training, summed over their dimensions, and on held-out data if there are.
    latent_dim : int
        D.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> import functools
    >>> from vae_notes import data
    >>> from vae_notes.networks import dense
    >>> from vae_notes.recipes import Recipe
    >>> from vae_notes.sweep import sweep
    >>> x = data.linear_gaussian([9.0, 0.1, 0.1], count=100)
    >>> build = functools.partial(dense, 3, 1, hidden=())
    >>> run = sweep(build, [Recipe("sum")], x, epochs=2, seeds=[0])["sum", 0]
    >>> run.history["kl"].shape, run.diverged is None
    ((2,), True)
    """

    def __init__(
        self,
        runs: Runs,
        recipe: Recipe,
        seed: int,
        means: NDArray,
        weights: list[list[NDArray]],
        program: _Apply,
    ) -> None:
        self.recipe, self.seed, self.weights = recipe, seed, weights
        self.means = means  # (epochs, 2 or 4): both terms in training, and on held-out data
        self.latent_dim = program.latent_dim
        self._runs, self._program = runs, program

    @functools.cached_property
    def history(self) -> dict[str, NDArray[np.float64]]:
        """Every metric over the epochs, arrays (epochs,) by its Keras name."""
        objective, dims = self.recipe.objective, (self._program.data_dim, self.latent_dim)
        kl_weights = self.recipe.kl_weights(len(self.means))
        w_reconstruction, w_kl = objective.weights(*dims, kl_weights)
        history: dict[str, NDArray[np.float64]] = {}
        for prefix, terms in zip(("", "val_"), np.split(self.means, [2], axis=1), strict=True):
            if terms.shape[1]:
                reconstruction, kl = terms.T.astype(float)
                values = (
                    w_reconstruction * reconstruction + w_kl * kl,
                    reconstruction,
                    kl,
                    objective.elbo(reconstruction, kl, *dims),
                    kl_weights,
                )
                history |= {prefix + m: v for m, v in zip(METRICS, values, strict=True)}
        return history

    @property
    def diverged(self) -> int | None:
        """The first epoch whose loss is not finite, or None."""
        finite = np.isfinite(self.means).all(axis=1)
        return None if finite.all() else int(np.argmin(finite))

    @functools.cached_property
    def report(self) -> Report:
        """The diagnosis on the held-out data, or on the training data if there is none."""
        return diagnose(
            lambda x: self._program.encode(self.weights, x),
            self._runs.x,
            decode=lambda z: self._program.decode(self.weights, z),
            objective=self.recipe.objective,
            spectrum=self._runs.spectrum,
        )

    def vae(self) -> VAE:
        """This replicate as an ordinary VAE, compiled with an Adam of its learning rate.

        The moments that Adam had gathered are not kept: more training starts with new ones.
        """
        made = built(self._runs.build, self.seed, self._runs.x.shape[1:])
        for group, arrays in zip(_variables(made), self.weights, strict=True):
            for variable, array in zip(group, arrays, strict=True):
                variable.assign(array)
        vae = VAE(made.encoder, made.decoder, self.recipe.objective, seed=self.seed)
        vae.compile(keras.optimizers.Adam(self.recipe.learning_rate))
        vae.build((None, *self._runs.x.shape[1:]))
        vae.kl_weight = self.history["kl_weight"][-1]
        return vae


class _Apply:
    """Encoder and decoder as functions of their weights, traced once for all replicates."""

    def __init__(self, vae: VAE) -> None:
        self.vae = vae
        self.functions: dict[Any, Any] = {}
        self.data_dim, self.latent_dim = vae.data_dim, vae.latent_dim

    def encode(self, weights: list[list[NDArray]], x: NDArray) -> tuple[NDArray, NDArray]:
        encoder = self.vae.encoder
        counts = len(encoder.trainable_variables), len(encoder.non_trainable_variables)
        own = [w[:n] for w, n in zip(weights, counts, strict=True)]
        z_mean, z_log_var = self._apply(encoder, own, x)
        return z_mean, z_log_var

    def decode(self, weights: list[list[NDArray]], z: NDArray) -> NDArray:
        decoder = self.vae.decoder
        counts = len(decoder.trainable_variables), len(decoder.non_trainable_variables)
        own = [w[len(w) - n :] for w, n in zip(weights, counts, strict=True)]
        return self._apply(decoder, own, z)

    def _apply(self, half: Any, weights: list[list[NDArray]], inputs: NDArray) -> Any:
        arguments = [*([*map(tf.constant, w)] for w in weights), tf.constant(inputs, tf.float32)]
        key = half is self.vae.decoder, inputs.shape
        if key not in self.functions:
            call = functools.partial(stateless, half, training=False)
            function = tf.function(lambda *a: call(*a)[0], autograph=False)
            self.functions[key] = function.get_concrete_function(*arguments)
        return tf.nest.map_structure(ops.convert_to_numpy, self.functions[key](*arguments))


class _Recorded:
    """A schedule read back from a file: the fraction of each epoch."""

    def __init__(self, fractions: Sequence[float]) -> None:
        self.fractions = fractions

    def __call__(self, epoch: float) -> float:
        return self.fractions[min(int(epoch), len(self.fractions) - 1)]


def _variables(vae: VAE) -> list[list[Any]]:
    halves = vae.encoder, vae.decoder
    return [[v for half in halves for v in getattr(half, kind)] for kind in KINDS]


def _numbered(arrays: Mapping[str, Any], prefix: str) -> list[str]:
    return [f"{prefix}{j}" for j in range(sum(name.startswith(prefix) for name in arrays))]


def _name(recipe: str, seed: int) -> str:
    return f"recipe {recipe!r}, seed {seed}"
