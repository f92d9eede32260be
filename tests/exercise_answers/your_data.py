"""Right and wrong answers to the exercises of chapter 7."""

import dataclasses
import functools

import numpy as np
from exercise_answers._shared import Later, linear_weights, made, once_a_seed, swept

from vae_notes import VAE, Objective, claims, theory
from vae_notes.exercises.your_data import rows
from vae_notes.networks import dense
from vae_notes.recipes import Recipe

SECRETS = {"7.1": ["4", "5"], "7.2": ["'lower'", "'anneal'", "'nothing'", "'scale'"]}


@Later
@functools.cache
def fitted():
    return VAE(*dense(30, 8, hidden=()))


def shares(part="test", unexplained=False):
    def make():
        x = rows()[part]
        ratio = ((made(fitted).reconstruct(x) - x) ** 2).mean(axis=0) / x.var(axis=0)
        return ratio if unexplained else 1 - ratio

    return Later(make)


def samples(noise=1.0, exponential=True, scaled=True, count=500):
    """Samples of the best linear VAE of the logarithms."""

    def make():
        logs = np.log(rows()["raw train"].astype(float) + 0.001)
        mean, scale = logs.mean(axis=0), logs.std(axis=0)
        x = (logs - mean) / scale
        variance = theory.maximum_likelihood_noise_variance(x, 8)
        best, rng = theory.optimal_parameters(x, 8, variance), np.random.default_rng(0)
        drawn = rng.standard_normal((count, 8)) @ best.decoder_weights
        drawn = drawn + noise * np.sqrt(variance) * rng.standard_normal(drawn.shape)
        drawn = drawn * scale + mean if scaled else drawn
        return np.exp(drawn) - 0.001 if exponential else drawn

    return Later(make)


def small():
    return theory.maximum_likelihood_noise_variance(rows()["train"], 16)


def likeliest():
    return Objective.for_noise_variance(small())


@once_a_seed
def networks(objective=likeliest, part="valid", latent_dim=16, count=8):
    """What a sweep would give back: linear VAEs, the best but for a decoder off by a little."""
    best = theory.optimal_parameters(rows()["train"], latent_dim, small())
    off = dataclasses.replace(best, decoder_bias=best.decoder_bias + 0.1)
    build = functools.partial(dense, 30, latent_dim, ())
    recipe = Recipe("16 units", objective(), learning_rate=1e-3)
    x, means = rows()[part].astype(np.float32), np.ones((3, 4))
    return swept(build, [recipe], claims.seeds()[:count], x, linear_weights(off), means)


def wide(*arguments):
    return Later(lambda: networks(*arguments))


def behind(sign=1, part="valid"):
    def make():
        best = theory.optimal_parameters(rows()["train"], 16, small())
        parameters = best.decoder_weights, best.decoder_bias, small()
        linear = theory.log_marginal_likelihood(rows()[part], *parameters).mean()
        return sign * (linear - networks().elbo["16 units"])

    return Later(make)


def kept(part="train", variance=1.5):
    return theory.active_units(rows()[part], variance, 8)


@once_a_seed
def right():
    return {
        "7.1": [(1.5, kept())],
        "7.2": [("lower", "anneal", "lower", "nothing", "scale")],
        "7.3": [(fitted, shares())],
        "7.4": [samples()],
        "7.5": [(wide(), behind())],
    }


@once_a_seed
def wrong():
    return {
        "7.1": [
            ((0.05, kept()), "summed errors"),
            ((3.0, kept()), "not yet"),
            ((15, kept(variance=15)), "left out"),
            ((1.5 / 8, 8), "not averaged"),
            ((0.1, 8), "weight of the KL term"),
            ((7, 1), "c times"),
            ((1.5, kept("raw train")), "as they were"),
            ((1.5, 8 - kept()), "lost"),
            ((1.5, 20), "count the eigenvalues"),
            ((1.5, np.nan), "NaN"),
            (1.5, "2 parts"),
        ],
        "7.2": [
            (("anneal",) * 5, "no path"),
            (("nothing", "anneal", "lower", "nothing", "scale"), "a choice"),
            (("lower", "lower", "lower", "nothing", "scale"), "not the objective"),
            (("lower", "anneal", "anneal", "nothing", "scale"), "every schedule"),
            (("lower", "anneal", "lower", "lower", "scale"), "may exceed 1"),
            (("lower", "anneal", "lower", "scale", "scale"), "no reason"),
            (("lower", "anneal", "lower", "nothing", "lower"), "overflowed"),
            (("lower", "aneal", "lower", "nothing", "scale"), "none of the four"),
            ({"A": "lower"}, "none of the four"),
            (("lower", np.nan, "lower", "nothing", "scale"), "none of the four"),
            ("lower", "5 parts"),
        ],
        "7.3": [
            ((fitted, shares(unexplained=True)), "unexplained"),
            ((fitted, shares("train")), "training rows"),
            ((fitted, shares("valid")), "validation rows"),
            ((fitted, shares("raw test")), "not scaled"),
            ((fitted, np.ones(30)), "For each column"),
            ((fitted, 0.8), "shape"),
            ((fitted, np.full(30, np.nan)), "NaN"),
            ((Later(lambda: VAE(*dense(64, 8))), shares()), "raised"),
            ((np.ones(3), shares()), "ndarray"),
            (shares(), "2 parts"),
        ],
        "7.4": [
            (samples(exponential=False), "below 0"),
            (samples(noise=0.0), "noise"),
            (samples(scaled=False), "undo every step"),
            (samples(count=20), "too few"),
            (Later(lambda: made(samples())[:, 0]), "shape"),
            (np.full((500, 30), np.nan), "NaN"),
        ],
        "7.5": [
            ((wide(), behind(-1)), "sign"),
            ((wide(), behind(part="train")), "own training rows"),
            ((wide(), Later(lambda: networks().elbo["16 units"])), "how far"),
            ((wide(), np.zeros(8)), "mean log-likelihood"),
            ((wide(), np.zeros(3)), "shape"),
            ((wide(), np.full(8, np.nan)), "NaN"),
            ((wide(likeliest, "train"), behind()), "validation rows"),
            ((wide(likeliest, "raw valid"), behind()), "scaled validation"),
            ((wide(likeliest, "valid", 8), behind()), "number of units"),
            ((wide(Objective), behind()), "unweighted"),
            ((wide(lambda: Objective(kl_weight=small())), behind()), "half"),
            ((wide(lambda: Objective("mean", kl_weight=2 * small())), behind()), "N times"),
            ((wide(likeliest, "valid", 16, 2), behind()), "too few"),
            (behind(), "2 parts"),
        ],
    }
