"""Right and wrong answers to the exercises of chapter 2."""

import numpy as np
from exercise_answers._shared import digits, once_a_seed, spectrum

from vae_notes import theory

SECRETS = {"2.4": ["optimal_parameters"], "2.5": ["0.01"]}


@once_a_seed
def best():
    return theory.optimal_parameters(digits()[0], 2, 0.05)


def principal(shift=True, scale=lambda kept: (1 - 0.05 / kept) / np.sqrt(kept - 0.05)):
    """An encoder whose means follow the first two principal directions of the training digits."""
    kept = spectrum()[:2]
    directions = best().decoder_weights / np.sqrt(kept - 0.05)[:, None]

    def encode(x):
        z_mean = (x - shift * best().decoder_bias) @ directions.T * scale(kept)
        return z_mean, np.broadcast_to(best().z_log_var, z_mean.shape)

    return encode


def optimal(x):
    z_mean = x @ best().encoder_weights + best().encoder_bias
    return z_mean, np.broadcast_to(best().z_log_var, z_mean.shape)


def turned(x):
    """The same VAE with its units exchanged and their signs changed."""
    z_mean, z_log_var = optimal(x)
    return -z_mean[:, ::-1], z_log_var[:, ::-1]


def log_var(change):
    def encode(x):
        z_mean, z_log_var = optimal(x)
        return z_mean, change(z_log_var)

    return encode


def cause(z_mean, x, noise_variance):
    if np.any(z_mean.var(axis=0) > 0.01):
        return "active"
    largest = theory.spectrum(x)[0]
    return "training" if largest > noise_variance else "objective"


def causes(active=lambda z: np.any(z.var(axis=0) > 0.01), level=lambda x: theory.spectrum(x)[0]):
    """The right function, but for how it counts active units or what it holds against the noise."""

    def found(z_mean, x, noise_variance):
        if active(z_mean):
            return "active"
        return "training" if level(x) > noise_variance else "objective"

    return found


def table():
    """Units and nats of 2.2."""
    return 8, np.sum(np.log(256 * spectrum()[:8] / 4) / 2)


@once_a_seed
def right():
    return {
        "2.1": [np.sum(spectrum() > 0.1)],
        "2.2": [table(), np.array(table())],
        "2.3": [0.5 * np.log(1 / 0.99)],
        "2.4": [optimal, turned, principal()],
        "2.5": [cause],
    }


@once_a_seed
def wrong():
    _, x_test = digits()
    eigenvalues = spectrum()
    units, nats = table()
    few = 16 * eigenvalues[eigenvalues > 4 / 16]
    nats_at = {c: np.sum(np.log(256 * eigenvalues[:8] / c) / 2) for c in (8, 0.5)}
    return {
        "2.1": [
            (np.sum(eigenvalues > 0.2), "beta"),
            (np.sum(eigenvalues > 0.5), "left out the KL weight"),
            (16, "averaged the KL"),
            (np.sum(theory.spectrum(x_test) > 0.1), "test digits"),
            (5.5, "Find the noise variance"),
        ],
        "2.2": [
            ((nats, units), "wrong way round"),
            ((0, 0.0), "from 0 to 1"),
            ((len(few), np.sum(np.log(few / 4) / 2)), "by its square"),
            ((8, nats_at[8]), "beta"),
            ((8, nats_at[0.5]), "sum of both terms"),
            ((8, 2 * nats), "one half"),
            ((8, nats / np.log(2)), "bits"),
            ((8, nats / 8), "all units"),
            (8, "shape ()"),
            ((8, np.nan), "NaN"),
            ((3, 3), "Find the eigenvalues"),
        ],
        "2.3": [
            (np.log(1 / 0.99), "one half"),
            (0.5 * np.log(0.99), "turn the ratio over"),
            (np.log(0.99), "never negative, and"),
            (-0.5 * np.log(0.01), "ratio that it depends on"),
            (0.5 * np.log(1 / 0.99) / np.log(2), "bits"),
            (0.5, "Solve"),
        ],
        "2.4": [
            (principal(shift=False), "shifted"),
            (principal(scale=lambda kept: 1), "has to be scaled"),
            (principal(scale=lambda kept: 1 / np.sqrt(kept)), "as much as the prior"),
            (
                principal(scale=lambda kept: (1 - 0.05 / kept) / np.sqrt(kept)),
                "shrunk twice",
            ),
            (lambda x: (x[:, :2], x[:, :2]), "principal directions"),
            (log_var(np.zeros_like), "prior"),
            (log_var(np.exp), "give its logarithm"),
            (log_var(lambda v: v / 2), "logarithm of sigma"),
            (log_var(lambda v: 0 * v + np.log(0.05)), "noise of the pixels"),
            (log_var(lambda v: v - 1), "log-variances are not"),
            (log_var(lambda v: v[0]), "second result has shape (2,), expected (359, 2)"),
            (log_var(lambda v: np.nan * v), "NaN"),
            (lambda x: optimal(x)[0], "expected the pair"),
            (lambda x: (np.zeros((len(x), 3)),) * 2, "shape (359, 3)"),
            (lambda x: (0 * x[:, :2],) * 2, "same for every digit"),
            (optimal(x_test), "expected a function"),
        ],
        "2.5": [
            (lambda z, x, s: "objective", "whose units all speak"),
            (lambda z, x, s: "active", "misses a direction"),
            (causes(level=lambda x: x.var(axis=0).mean()), "misses a direction"),
            (causes(level=lambda x: x.var(axis=0).sum()), "largest eigenvalue"),
            (causes(level=lambda x: np.sqrt(theory.spectrum(x)[0])), "largest eigenvalue"),
            (causes(level=lambda x: theory.spectrum(np.r_[x, -x])[0]), "centre them"),
            (causes(active=lambda z: np.all(z.var(axis=0) > 0.01)), "Surplus"),
            (causes(active=lambda z: np.any((z**2).mean(axis=0) > 0.01)), "same for every x"),
            (causes(active=lambda z: np.any(z.var(axis=0) > 1e-6)), "only jitter"),
            (lambda z, x, s: cause(z, x, 0.5), "look at the noise variance"),
            (lambda z, x, s: None, "returned a NoneType, expected 'active'"),
            (lambda z, x, s: "collapsed", "returned 'collapsed', expected"),
            (lambda z: "active", "raised TypeError"),
            ("active", "is a str, expected a function"),
        ],
    }
