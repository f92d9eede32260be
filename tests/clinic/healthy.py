"""Healthy VAEs: networks trained to convergence on data of many kinds, judged on rows kept aside.

Each group is one sweep of eight seeds at a noise variance where several units are worth something.
The seeds vary the split as well: the rows to judge by are drawn anew for each.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from broken import sample

from vae_notes import Objective, networks
from vae_notes.recipes import Recipe
from vae_notes.sweep import sweep

ROWS = (30, 100, 300, 1000)  # to judge by, one after the other


@dataclass(frozen=True)
class Group:
    """Networks of one kind on one data set, for several objectives."""

    name: str
    data: str
    build: Any
    objectives: tuple[Objective, ...]
    epochs: int
    batch_size: int = 32
    shape: tuple[int, ...] | None = None
    learning_rate: float = 1e-3


def gaussian(*noise_variances):
    return tuple(Objective.for_noise_variance(v) for v in noise_variances)


BERNOULLI = (Objective(likelihood="bernoulli"),)
dense, conv = networks.dense, networks.convolutional
GROUPS = (
    Group("digits, dense", "digits", functools.partial(dense, 64, 8),
          gaussian(0.02, 0.05, 0.1, 0.2) + BERNOULLI, 200),
    Group("digits, two layers", "digits", functools.partial(dense, 64, 8, (64, 64)),
          gaussian(0.05, 0.1), 200),
    Group("digits, tanh", "digits", functools.partial(dense, 64, 8, activation="tanh"),
          gaussian(0.05) + BERNOULLI, 150),
    Group("MNIST 7x7, dense", "mnist7", functools.partial(dense, 49, 8),
          gaussian(0.02, 0.1) + BERNOULLI, 60, 64),
    Group("MNIST 14x14, dense", "mnist14", functools.partial(dense, 196, 16, (128,)),
          gaussian(0.02, 0.1) + BERNOULLI, 40, 64),
    Group("MNIST 28x28, dense", "mnist28", functools.partial(dense, 784, 32, (128,)),
          gaussian(0.1), 25, 128),
    Group("MNIST 14x14, convolutions", "mnist14", functools.partial(conv, (14, 14, 1), 8, (8, 16)),
          gaussian(0.1) + BERNOULLI, 25, 64, (14, 14, 1)),
    Group("CO2, dense", "co2", functools.partial(dense, 52, 4), gaussian(0.05, 0.2), 100, 64),
    Group("wine, dense", "wine", functools.partial(dense, 13, 4, (32,)), gaussian(0.2, 0.4), 400,
          16),
    Group("tumours, dense", "tumours", functools.partial(dense, 30, 6), gaussian(0.1, 0.3), 300),
    Group("Gaussian, dense", "gaussian", functools.partial(dense, 5, 3, (32,)),
          gaussian(0.1, 0.3), 150),
)  # fmt: skip


def models(group: Group, seeds=range(8)) -> Iterator[tuple[str, dict[str, Any]]]:
    """A name and the arguments of diagnose, for each objective and seed."""
    x = sample(group.data).astype("float32")
    if group.shape is not None:
        x = x.reshape(len(x), *group.shape)
    order = np.random.default_rng(seeds[0]).permutation(len(x))
    held = max(len(x) // 5, 30)
    test, train = x[order[:held]], x[order[held:]]
    recipes = [Recipe(f"{i}", of, learning_rate=group.learning_rate)
               for i, of in enumerate(group.objectives)]  # fmt: skip
    runs = sweep(group.build, recipes, train, epochs=group.epochs, seeds=seeds,
                 batch_size=group.batch_size)  # fmt: skip
    for recipe in recipes:
        for seed in seeds:
            rows = ROWS[(seed + int(recipe.name)) % len(ROWS)]
            part = np.random.default_rng(seed).permutation(held)[:rows]
            name = f"{group.name}, {_said(recipe.objective)}, seed {seed}, {len(part)} rows"
            yield name, {"model_or_encode": runs[recipe.name, seed].vae(), "x": test[part]}


def _said(objective):
    if objective.likelihood.name == "gaussian":
        return f"variance {objective.kl_weight / 2:g}"
    return objective.likelihood.name
