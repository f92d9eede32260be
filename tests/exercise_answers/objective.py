"""Right and wrong answers to the exercises of chapter 1."""

import numpy as np
from exercise_answers._shared import digits, once_a_seed, spectrum

from vae_notes import theory

SECRETS = {"1.5": ["2 pi", "exp"]}


def bound(x, x_mean, z_mean, z_log_var, s, *, half=0.5, sign=-1, norm=0.5, kl=np.sum, fit=np.sum):
    """The ELBO with places to go wrong in."""
    n = x.shape[1]
    units = half * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var)
    errors = fit((x - x_mean) ** 2, axis=1)
    return -errors / (2 * s) - norm * n * np.log(2 * np.pi * s) + sign * kl(units, axis=1)


def wrong_bound(**changes):
    return lambda *arguments: bound(*arguments, **changes)


def plain_kl(z_mean, variance, log_variance):
    return 0.5 * np.sum(z_mean**2 + variance - 1 - log_variance, axis=1)


def variance_as_logarithm(x, x_mean, z_mean, z_log_var, s):
    terms = bound(x, x_mean, z_mean, z_log_var, s, sign=0)
    return terms - plain_kl(z_mean, z_log_var, np.log(np.abs(z_log_var)))


def logarithm_of_sigma(x, x_mean, z_mean, z_log_var, s):
    terms = bound(x, x_mean, z_mean, z_log_var, s, sign=0)
    return terms - plain_kl(z_mean, np.exp(2 * z_log_var), 2 * z_log_var)


@once_a_seed
def right():
    return {
        "1.1": [0.5 * (0.25 - np.log(0.25) - 1)],
        "1.2": [0.001 * 64 / 2],
        "1.3": [np.exp(-20 / 32) / (2 * np.pi)],
        "1.4": [spectrum()[8:].mean()],
        "1.5": [bound],
    }


@once_a_seed
def wrong():
    x_train, x_test = digits()
    eigenvalues = spectrum()
    return {
        "1.1": [
            (0.25 - np.log(0.25) - 1, "one half"),
            (0.5 * (0.5 - np.log(0.5) - 1), "logarithm of the variance"),
            (0.5 * (np.exp(0.5) - 0.5 - 1), "not sigma itself"),
            (0.5 * (np.exp(0.25) - 0.25 - 1), "not the variance itself"),
            (0.5 * (0.25 - np.log(0.25) - 1) / np.log(2), "bits"),
            (-0.5 * (0.25 - np.log(0.25) - 1), "never negative"),
            (7.0, "this one unit"),
        ],
        "1.2": [
            (0.001 * 64, "beta"),
            (0.001 / 2, "errors as summed"),
            (0.001 * 64 / (2 * 8), "KL as averaged"),
            (64 / 2, "the weight"),
            (np.sqrt(0.001 * 32), "standard deviation"),
            (7.0, "Multiply the loss"),
        ],
        "1.3": [
            (1 / (2 * np.pi), "left out the KL"),
            (np.exp(20 / 32) / (2 * np.pi), "wrong sign"),
            (np.exp(-20 / 64) / (2 * np.pi), "one half"),
            (np.exp(-20 / 32), "2 pi"),
            (np.exp(-40) / (2 * np.pi), "once for each pixel"),
            (np.sqrt(np.exp(-20 / 32) / (2 * np.pi)), "standard deviation"),
            (0.5, "normaliser"),
        ],
        "1.4": [
            (eigenvalues[8:].sum(), "a sum"),
            (eigenvalues[8:].sum() / 64, "were discarded"),
            (eigenvalues[:8].mean(), "kept by the units"),
            (x_train.var(axis=0).mean(), "all directions"),
            (eigenvalues[8], "largest of the discarded"),
            (2 * eigenvalues[8:].mean(), "beta"),
            (np.sqrt(eigenvalues[8:].mean()), "standard deviation"),
            (theory.maximum_likelihood_noise_variance(x_test, 8), "training digits"),
            (0.5, "Try values"),
        ],
        "1.5": [
            (lambda *a: -bound(*a), "negative of the bound"),
            (wrong_bound(norm=0), "normaliser of the Gaussian is missing"),
            (wrong_bound(norm=0.5 / 12), "once for each data dimension"),
            (wrong_bound(sign=1), "wrong sign"),
            (wrong_bound(sign=0), "KL term is missing"),
            (wrong_bound(half=1), "one half"),
            (wrong_bound(kl=np.mean), "averaged over the units"),
            (wrong_bound(fit=np.mean), "averaged over the dimensions"),
            (
                lambda *a: 2 * bound(*a, sign=0, norm=0) + bound(*a) - bound(*a, sign=0, norm=0),
                "twice the noise variance",
            ),
            (
                lambda x, x_mean, z, v, s: (
                    2 * s * bound(x, x_mean, z, v, s, sign=0, norm=0) + bound(x, x, z, v, s)
                ),
                "not divided by the noise variance",
            ),
            (
                lambda x, x_mean, z, v, s: (
                    bound(x, x_mean, z, v, s, sign=0, norm=0) / s + bound(x, x, z, v, s)
                ),
                "do not square",
            ),
            (variance_as_logarithm, "exponentiate"),
            (logarithm_of_sigma, "not of sigma"),
            (lambda *a: bound(*a).mean(), "one number for the batch"),
            (lambda *a: bound(*a)[:, None], "shape (5, 1), expected (5,)"),
            (lambda *a: np.nan * bound(*a), "NaN"),
            (lambda *a: None, "NaN or infinity"),
            (lambda x: x, "raised TypeError"),
            (lambda *a: 7 * bound(*a), "The values are off"),
            (bound(*np.ones((4, 5, 12)), 0.3), "expected a function"),
        ],
    }
