"""Right and wrong answers to the exercises of chapter 4."""

import numpy as np
from exercise_answers._shared import digits, once_a_seed, spectrum

from vae_notes import claims, data, theory

SECRETS = {"4.6": ["data_dim", "latent_dim"]}


@once_a_seed
def enlarged():
    x_train, _ = data.split(data.digits(side=28), seed=claims.base_seed())
    return theory.spectrum(x_train)


def spends(eigenvalues, nats, latent_dim=32):
    grid = np.geomspace(1e-3, eigenvalues[0], 1000)
    ratios = np.maximum(eigenvalues[:latent_dim] / grid[:, None], 1)
    return grid[np.argmin(np.abs(np.log(ratios).sum(axis=1) / 2 - nats))]


def fits(eigenvalues, scale=1, latent_dim=8):
    variances = [0.5, 1 / 16, 32, 4, spectrum()[8:].mean()]
    return np.array([theory.elbo(eigenvalues, scale * v, latent_dim) for v in variances])


def measure(loss, data_dim, latent_dim, *, constant=True, each=True, half=0.5, turn=1):
    x, z = np.zeros((1, data_dim)), np.zeros((1, latent_dim))
    nothing = loss(x, x, z, z) if constant else 0
    errors = loss(x, x + 1, z, z) - nothing
    kl = loss(x, x, z + 1, z) - nothing
    if each:
        errors, kl = errors / data_dim, 2 * kl / latent_dim
    return half * (kl / errors) ** turn


def measured(**changes):
    return lambda *arguments: measure(*arguments, **changes)


def kl_only(loss, data_dim, latent_dim):
    x, z = np.zeros((1, data_dim)), np.zeros((1, latent_dim))
    return loss(x, x, z + 1, z) / latent_dim


@once_a_seed
def right():
    eigenvalues = enlarged()
    fit = fits(spectrum())
    return {
        "4.1": [0.3 * 64 / (2 * 16)],
        "4.2": [3],
        "4.3": [np.sqrt(eigenvalues[4] * eigenvalues[5]) / 12.25],
        "4.4": [fit, fit.round(1)],
        "4.5": [spends(eigenvalues, 16)],
        "4.6": [measure],
    }


@once_a_seed
def wrong():
    x_train, x_test = digits()
    eigenvalues = enlarged()
    between, fit = np.sqrt(eigenvalues[4] * eigenvalues[5]), fits(spectrum())
    return {
        "4.1": [
            (0.3 * 64 / 16, "beta"),
            (0.3 * 64 / 2, "KL as summed"),
            (0.3 / (2 * 16), "errors as summed"),
            (0.3 / 2, "both terms as summed"),
            (64 / (2 * 16), "forgot the weight"),
            (64 / (2 * 16) / 0.3, "not on the errors"),
            (0.3 * 16 / (2 * 64), "upside down"),
            (7.0, "Multiply the loss"),
        ],
        "4.2": [
            (1 / 3, "for the KL term"),
            (1, "something to average"),
            (3072, "Rows and columns"),
            (1024, "pixels, which are summed"),
            (32, "not a row"),
            (1.5, "no half"),
            (9, "taken once"),
            (7, "Ask which axis"),
        ],
        "4.3": [
            (between, "a noise variance"),
            (12.25 / between, "upside down"),
            (between / 24.5, "beta"),
            (between / 392, "averaged in the guide"),
            (1.0, "fewer units survive"),
            (1e-4, "more units survive"),
            (0.0, "above zero"),
            (-1.0, "above zero"),
        ],
        "4.4": [
            (-fit, "negative log-likelihoods"),
            (fit * len(x_train), "not their sum"),
            (fit / 64, "not for a pixel"),
            (fit / np.log(2), "bits"),
            (fits(theory.spectrum(x_test)), "test digits"),
            (fits(spectrum(), scale=2), "beta"),
            (fits(spectrum(), latent_dim=64), "as many units as pixels"),
            (fit[::-1], "another order"),
            (np.zeros(5), "theory.elbo"),
            (fit[:4], "shape (4,), expected (5,)"),
            (np.nan * fit, "NaN"),
        ],
        "4.5": [
            (spends(eigenvalues, 32), "one half"),
            (spends(eigenvalues, 16 * np.log(2)), "bits"),
            (spends(eigenvalues, 0.5), "each of the units"),
            (spends(spectrum(), 16), "small digits"),
            (2 * spends(eigenvalues, 16), "beta"),
            (np.sqrt(spends(eigenvalues, 16)), "standard deviation"),
            (0.5, "as written"),
            (3.3, "Try noise variances"),
        ],
        "4.6": [
            (measured(half=1), "gives beta"),
            (measured(turn=-1), "wrong way round"),
            (measured(turn=-1, half=2), "wrong way round"),
            (measured(each=False), "for a whole example"),
            (measured(each=False, half=1), "for a whole example"),
            (measured(half=0.25), "once too often"),
            (measured(constant=False), "has a constant"),
            (lambda *a: 0.5, "if a loss averages"),
            (kl_only, "if a loss averages"),
            (lambda *a: 7.0, "plain sum"),
            (lambda *a: np.nan, "NaN"),
            (lambda *a: np.ones(3), "expected one number"),
            (lambda loss, n, d: loss(np.zeros(n), *np.zeros((3, d))), "not (B, 12)"),
            (lambda loss: 0.5, "raised TypeError"),
            (0.5, "expected a function"),
        ],
    }
