"""Right and wrong answers to the exercises of chapter 3."""

import dataclasses
import functools

import numpy as np
from exercise_answers._shared import Later, linear_weights, once_a_seed, swept, weights_of

from vae_notes import VAE, Objective, balance, claims, data, theory
from vae_notes.networks import dense
from vae_notes.recipes import Recipe

SECRETS = {"3.3": ["exp"]}
DIMS = 6, 3


def build(seed):
    return dense(*DIMS, hidden=(), seed=seed)


def bent(seed):
    return dense(*DIMS, hidden=(4,), seed=seed)


@functools.cache
def runs(change=1.0, count=8, objective=None, names=("mine",), made=build, diverged=False):
    """What a sweep would return that has found the optimum, its encoder changed by a factor."""
    x = data.linear_gaussian([4, 2, 1, 0.5, 0.1, 0.1], 60, seed=1)
    best = theory.optimal_parameters(x, DIMS[1], 0.5)
    changed = {name: change * getattr(best, name) for name in ("encoder_weights", "encoder_bias")}
    linear = linear_weights(dataclasses.replace(best, **changed))
    weights = weights_of(*bent(0)) if made is bent else linear
    objective = objective or Objective.for_noise_variance(0.5)
    recipes = [Recipe(name, objective, learning_rate=1e-3) for name in names]
    means = np.full((2, 2), np.nan if diverged else 1.0)
    return swept(made, recipes, range(count), x, weights, means)


def trained(**options):
    return Later(lambda: runs(**options))


@functools.cache
def untrained(seed):
    return VAE(*dense(64, 8, seed=seed))


def standard(x):
    return (x - x.mean()) / x.std()


def only_divided(x):
    return x / x.std()


def each_pixel(x):
    return (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-30)


@once_a_seed
def measured(scaled):
    x = scaled(data.digits())[:256]
    found = [balance.measure(untrained(s), x, s) for s in claims.seeds()]
    return np.array([b.kl / b.reconstruction for b in found])


def shares(scaled=standard, change=lambda found: found):
    """The answer to 3.4, or what a mistake makes of it."""
    return Later(lambda: change(measured(scaled)))


def curve(fast=3, creep=0.15):
    epoch = np.arange(100)
    return np.exp(-epoch / fast) + creep * (1 - epoch / 99)


@once_a_seed
def right():
    return {
        "3.1": [3],
        "3.2": [[[3, 4], [8, 4]], np.array([[3, 4], [8, 4]])],
        "3.3": [curve()],
        "3.4": [shares()],
        "3.5": [trained()],
    }


@once_a_seed
def wrong():
    return {
        "3.1": [
            (9, "number of pixels"),
            (4, "beta"),
            (2, "squared the noise variance"),
            (1, "no direction varies"),
            (8, "A smaller side"),
        ],
        "3.2": [
            ([[3, 8], [4, 4]], "exchanged: a row is"),
            ([[8, 4], [3, 4]], "plain digits come first"),
            ([[4, 3], [4, 8]], "the sum comes first"),
            ([[3, 4], [3, 0]], "eigenvalues grow"),
            ([[3, 4], [8, 8]], "N has changed"),
            ([[3, 4], [3, 4]], "Nothing changes"),
            ([[3, 4, 8, 4]], "shape (1, 4)"),
            ([[3, 4], [8, np.nan]], "NaN"),
            ([[1, 1], [1, 1]], "Count the eigenvalues"),
        ],
        "3.3": [
            (np.exp(-np.arange(100) / 5), "converges too early"),
            (np.linspace(1, 0, 100), "converges too late"),
            (np.ones(100), "never moves"),
            (curve() - 1, "below zero"),
            (curve()[:50], "shape (50,), expected (100,)"),
            (np.nan * curve(), "NaN"),
            (curve, "expected numbers"),
        ],
        "3.4": [
            (shares(change=lambda found: 1 / found), "errors over the KL"),
            (shares(change=lambda found: 64 * found), "averaged the errors"),
            (shares(change=lambda found: found / 8), "averaged the KL"),
            (shares(change=lambda found: found / (1 + found)), "of the whole loss"),
            (shares(lambda x: x), "scale them first"),
            (shares(only_divided), "subtract the mean"),
            (shares(each_pixel), "each pixel on its own"),
            (np.full(8, 0.5), "each seed of at_start"),
            (0.5, "shape (), expected (8,)"),
            (np.full(8, np.nan), "NaN"),
        ],
        "3.5": [
            (2.8, "is a float, expected what sweep returns"),
            (trained(names=("a", "b")), "recipes, expected one"),
            (trained(count=2), "too few"),
            (trained(diverged=True), "ended in NaN"),
            (trained(objective=Objective(likelihood="bernoulli")), "cross-entropy"),
            (trained(made=bent), "without hidden layers"),
            (trained(objective=Objective.for_noise_variance(9.0)), "next to nothing"),
            (trained(change=1.2), "more than predicted"),
            (trained(change=0.8), "less than predicted"),
        ],
    }
