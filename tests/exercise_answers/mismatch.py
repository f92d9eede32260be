"""Right and wrong answers to the exercises of chapter 3."""

import numpy as np
from exercise_answers._later import Later

from vae_notes import VAE, Objective, balance, claims, data, theory
from vae_notes.networks import dense
from vae_notes.runs import Runs
from vae_notes.sweep import Recipe

DIMS = 6, 3


def build(seed):
    return dense(*DIMS, hidden=(), seed=seed)


def bent(seed):
    return dense(*DIMS, hidden=(4,), seed=seed)


def runs(
    change=1.0,
    seeds=None,
    objective=None,
    names=("mine",),
    trained=0.5,
    made=build,
    diverged=False,
):
    """What a sweep would return that has found the optimum, its weights changed by a factor."""
    seeds = claims.seeds() if seeds is None else seeds
    x = data.linear_gaussian([4, 2, 1, 0.5, 0.1, 0.1], 60, seed=1)
    best = theory.optimal_parameters(x, DIMS[1], trained)
    silent = np.zeros((DIMS[0], DIMS[1]))
    encoder = [change * best.encoder_weights, change * best.encoder_bias, silent, best.z_log_var]
    weights = [[*encoder, best.decoder_weights, best.decoder_bias], []]
    if made is bent:
        weights = [[v.numpy() for half in bent(0) for v in half.trainable_variables], []]
    objective = objective or Objective.for_noise_variance(trained)
    recipes = [Recipe(name, objective, learning_rate=1e-3) for name in names]
    means = np.full((2, 2), np.nan if diverged else 1.0)
    keys = [(name, seed) for name in names for seed in seeds]
    return Runs(made, recipes, seeds, x, dict.fromkeys(keys, means), dict.fromkeys(keys, weights))


def shares(x, averaged=1):
    x = x[:256]
    found = [balance.measure(VAE(*dense(64, 8, seed=s)), x, s) for s in claims.seeds()]
    return np.array([averaged * b.kl / b.reconstruction for b in found])


def standard():
    digits = data.digits()
    return (digits - digits.mean()) / digits.std()


def each_pixel():
    digits = data.digits()
    return (digits - digits.mean(axis=0)) / np.maximum(digits.std(axis=0), 1e-30)


def curve(fast=3, creep=0.15):
    epoch = np.arange(100)
    return np.exp(-epoch / fast) + creep * (1 - epoch / 99)


def right():
    return {
        "3.1": 3,
        "3.2": [[3, 4], [8, 4]],
        "3.3": curve(),
        "3.4": Later(lambda: shares(standard())),
        "3.5": Later(runs),
    }


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
            (Later(lambda: 1 / shares(standard())), "errors over the KL"),
            (Later(lambda: shares(standard(), 64)), "averaged the errors"),
            (Later(lambda: shares(standard(), 1 / 8)), "averaged the KL"),
            (Later(lambda: 1 / (1 + 1 / shares(standard()))), "of the whole loss"),
            (Later(lambda: shares(data.digits())), "scale them first"),
            (Later(lambda: shares(data.digits() / data.digits().std())), "subtract the mean"),
            (Later(lambda: shares(each_pixel())), "each pixel on its own"),
            (np.full(8, 0.5), "each seed of at_start"),
            (0.5, "shape (), expected (8,)"),
            (np.full(8, np.nan), "NaN"),
        ],
        "3.5": [
            (2.8, "is a float, expected what sweep returns"),
            (Later(lambda: runs(names=("a", "b"))), "recipes, expected one"),
            (Later(lambda: runs(seeds=[0, 1])), "too few"),
            (Later(lambda: runs(diverged=True)), "ended in NaN"),
            (Later(lambda: runs(objective=Objective(likelihood="bernoulli"))), "cross-entropy"),
            (Later(lambda: runs(made=bent)), "without hidden layers"),
            (Later(lambda: runs(objective=Objective.for_noise_variance(9.0))), "next to nothing"),
            (Later(lambda: runs(change=1.2)), "more than predicted"),
            (Later(lambda: runs(change=0.8)), "less than predicted"),
        ],
    }
