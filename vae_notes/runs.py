"""What a sweep gives back: curves, diagnoses and models of every replicate."""

import json
import warnings
from functools import cached_property

import numpy as np

from vae_notes import figures
from vae_notes._keras import keras, ops, tf
from vae_notes.diagnosis import diagnose
from vae_notes.model import VAE
from vae_notes.objective import Objective

__all__ = ["Run", "Runs"]

METRICS = ("loss", "reconstruction", "kl", "elbo", "kl_weight")


class Runs:
    """The replicates of a sweep, indexed by recipe and seed.

    ``runs["sum"]`` has all seeds of a recipe, ``runs["sum", 3]`` is one :class:`Run`. Where
    several recipes are there, ``curves``, ``active_units`` and ``elbo`` are dictionaries by name;
    of a single recipe the last two are arrays.
    """

    def __init__(self, build, recipes, seeds, x, curves, weights, failed=None):
        self.build, self.x = build, x
        self.recipes = {recipe.name: recipe for recipe in recipes}
        self.seeds = list(seeds)
        self.failed = dict(failed or {})
        encoder, decoder = build(seed=self.seeds[0])
        program = _Apply(encoder, decoder)
        self.runs = {
            (name, seed): Run(self, self.recipes[name], seed, curves[name, seed], weight, program)
            for (name, seed), weight in weights.items()
        }
        for key, reason in self.failed.items():
            warnings.warn(f"{_name(*key)} was not trained: {reason}.", stacklevel=3)
        for key, run in self.runs.items():
            if run.diverged is not None:
                warnings.warn(f"{_name(*key)} diverged in epoch {run.diverged}.", stacklevel=3)

    @property
    def names(self):
        """Names of the recipes."""
        return list(self.recipes)

    def __getitem__(self, key):
        if isinstance(key, tuple) and key in self.failed:
            raise KeyError(f"{_name(*key)} was not trained: {self.failed[key]}")
        if isinstance(key, tuple) and key in self.runs:
            return self.runs[key]
        if key in self.recipes:
            return _Seeds([self.runs.get((key, seed)) for seed in self.seeds])
        raise KeyError(f"{key!r} is not here: give one of {self.names}, and a seed if you like")

    def __len__(self):
        return len(self.runs)

    def __iter__(self):
        return iter(self.runs.values())

    def curves(self, metric):
        """A metric over the epochs, arrays (seeds, epochs) by recipe; NaN if not trained."""
        self._check_metric(metric)
        return {name: self[name].curve(metric) for name in self.names}

    @property
    def active_units(self):
        """Active units, arrays (seeds,) by recipe."""
        return {name: self[name].active_units for name in self.names}

    @property
    def elbo(self):
        """ELBO on the held-out data, arrays (seeds,) by recipe, in nats per example."""
        return {name: self[name].elbo for name in self.names}

    def table(self):
        """One dictionary for each replicate and epoch, for ``pandas.DataFrame`` and the like."""
        return [
            {"recipe": run.recipe.name, "seed": run.seed, "epoch": epoch}
            | {metric: float(values[epoch]) for metric, values in run.history.items()}
            for run in self
            for epoch in range(len(run.history["loss"]))
        ]

    def plot(self, metric, ax=None):
        """Draw a metric: for each recipe the median over seeds, in a band to the extremes."""
        units = {"kl": "nats", "elbo": "nats per example"}.get(metric.removeprefix("val_"))
        label = metric.replace("_", " ") + (f" ({units})" if units else "")
        return figures.curves(self.curves(metric), label, ax=ax)

    def save(self, path):
        """Write everything but the builder to an ``.npz`` file."""
        plan = {
            "seeds": self.seeds,
            "recipes": [
                {
                    "name": name,
                    "objective": vars(recipe.objective),
                    "fractions": np.asarray(_fractions(recipe, self._epochs)).tolist(),
                    "learning_rate": recipe.learning_rate,
                }
                for name, recipe in self.recipes.items()
            ],
            "failed": [[*key, reason] for key, reason in self.failed.items()],
            "keys": [list(key) for key in self.runs],
        }
        arrays = {}
        for i, run in enumerate(self):
            arrays[f"{i}/curves"] = run.means
            for g, group in enumerate(run.weights):
                arrays |= {f"{i}/{g}/{j}": w for j, w in enumerate(group)}
        np.savez_compressed(path, plan=json.dumps(plan), x=self.x, **arrays)

    @classmethod
    def load(cls, path, build):
        """Read what :meth:`save` wrote; ``build`` is the builder that the sweep was given."""
        from vae_notes.sweep import Recipe

        try:
            with np.load(path) as file:
                arrays = dict(file)
            plan = json.loads(str(arrays["plan"]))
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"{path} holds no sweep: give a file written by save.") from error
        recipes = [
            Recipe(
                r["name"],
                Objective(**r["objective"]),
                _Recorded(np.asarray(r["fractions"])),
                r["learning_rate"],
            )
            for r in plan["recipes"]
        ]
        curves, weights = {}, {}
        for i, (name, seed) in enumerate(plan["keys"]):
            curves[name, seed] = arrays[f"{i}/curves"]
            weights[name, seed] = [
                [arrays[f"{i}/{g}/{j}"] for j in range(_count(arrays, f"{i}/{g}/"))]
                for g in range(2)
            ]
        failed = {(name, seed): reason for name, seed, reason in plan["failed"]}
        return cls(build, recipes, plan["seeds"], arrays["x"], curves, weights, failed)

    @property
    def _epochs(self):
        return max(len(run.means) for run in self)

    def _check_metric(self, metric):
        known = list(next(iter(self)).history)
        if metric not in known:
            raise ValueError(f"{metric!r} was not measured: choose one of {', '.join(known)}.")


class _Seeds:
    """All seeds of one recipe; a seed that was not trained is None."""

    def __init__(self, runs):
        self.runs = runs

    def curve(self, metric):
        epochs = max(len(run.means) for run in self.runs if run is not None)
        missing = np.full(epochs, np.nan)
        return np.array([missing if run is None else run.history[metric] for run in self.runs])

    def _each(self, measure):
        return np.array(
            [np.nan if r is None or r.diverged is not None else measure(r) for r in self.runs]
        )

    @property
    def active_units(self):
        return self._each(lambda run: run.report.active_units)

    @property
    def elbo(self):
        return self._each(lambda run: run.report.elbo)


class Run:
    """One replicate: its history, its diagnosis, and itself as a VAE."""

    def __init__(self, runs, recipe, seed, means, weights, program):
        self.recipe, self.seed, self.weights = recipe, seed, weights
        self.means = means  # (epochs, 4): both terms in training and on held-out data
        self._runs, self._program = runs, program

    @cached_property
    def history(self):
        """Every metric over the epochs, by its Keras name."""
        objective, program = self.recipe.objective, self._program
        fractions = _fractions(self.recipe, len(self.means))
        kl_weight = objective.kl_weight * np.asarray(fractions)
        dims = program.data_dim, program.latent_dim
        w_reconstruction, w_kl = objective.weights(*dims, kl_weight)
        held_out = bool(np.any(self.means[:, 2:]))
        history = {}
        for prefix, terms in [("", self.means[:, :2]), ("val_", self.means[:, 2:])][: 1 + held_out]:
            reconstruction, kl = terms.T.astype(float)
            values = (
                w_reconstruction * reconstruction + w_kl * kl,
                reconstruction,
                kl,
                objective.elbo(reconstruction, kl, *dims),
                kl_weight,
            )
            history |= {prefix + m: v for m, v in zip(METRICS, values, strict=True)}
        return history

    @property
    def diverged(self):
        """The first epoch whose loss is not finite, or None."""
        finite = np.isfinite(self.means).all(axis=1)
        return None if finite.all() else int(np.argmin(finite))

    @cached_property
    def report(self):
        """The diagnosis on the held-out data, or on the training data if there is none."""
        return diagnose(
            lambda x: self._program.encode(self.weights, x),
            self._runs.x,
            decode=lambda z: self._program.decode(self.weights, z),
            objective=self.recipe.objective,
        )

    def vae(self):
        """This replicate as an ordinary compiled VAE."""
        encoder, decoder = self._runs.build(seed=self.seed)
        variables = [
            [v for half in (encoder, decoder) for v in getattr(half, kind)]
            for kind in ("trainable_variables", "non_trainable_variables")
        ]
        for group, arrays in zip(variables, self.weights, strict=True):
            for variable, array in zip(group, arrays, strict=True):
                variable.assign(array)
        vae = VAE(encoder, decoder, self.recipe.objective, seed=self.seed)
        vae.compile(keras.optimizers.Adam())
        vae.kl_weight = self.history["kl_weight"][-1]
        return vae


class _Apply:
    """Encoder and decoder as functions of their weights, traced once for all replicates."""

    def __init__(self, encoder, decoder):
        self.halves = encoder, decoder
        self.latent_dim = encoder.output_shape[0][-1]
        self.data_dim = int(np.prod(decoder.output_shape[1:]))
        self._calls = [tf.function(self._caller(half), autograph=False) for half in self.halves]

    def _caller(self, half):
        def call(trainable, frozen, inputs):
            return half.stateless_call(trainable, frozen, inputs, training=False)[0]

        return call

    def _apply(self, which, weights, inputs):
        counts = [(len(h.trainable_variables), len(h.non_trainable_variables)) for h in self.halves]
        parts = []
        for group, split in zip(weights, counts[0], strict=True):
            parts.append([tf.constant(w) for w in (group[split:] if which else group[:split])])
        outputs = self._calls[which](*parts, tf.constant(inputs, tf.float32))
        return tf.nest.map_structure(ops.convert_to_numpy, outputs)

    def encode(self, weights, x):
        return tuple(self._apply(0, weights, x))

    def decode(self, weights, z):
        return self._apply(1, weights, z)


class _Recorded:
    """A schedule read back from a file: the fraction of each epoch."""

    def __init__(self, fractions):
        self.fractions = fractions

    def __call__(self, epoch):
        return self.fractions[np.minimum(np.asarray(epoch, int), len(self.fractions) - 1)]


def _fractions(recipe, epochs):
    return recipe.schedule(np.arange(epochs)) * np.ones(epochs)


def _count(arrays, prefix):
    return sum(name.startswith(prefix) for name in arrays)


def _name(recipe, seed):
    return f"recipe {recipe!r}, seed {seed}"
