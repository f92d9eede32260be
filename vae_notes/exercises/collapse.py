"""Chapter 2, *Posterior collapse*."""

import functools
import math

import numpy as np

from vae_notes import claims, data, theory
from vae_notes.exercises._judge import Wrong, array, call, number
from vae_notes.exercises._judge import compare as compare_closely
from vae_notes.objective import Objective

__all__ = ["EXERCISES"]

compare = functools.partial(compare_closely, tolerance=0.01)  # two or three digits are enough
VERDICTS = ("active", "objective", "training")


def predict_then_count(answer):
    """Units of 16 that sum and sum with a KL weight of 0.2 can keep on the digits."""
    weight, latent_dim = 0.2, 16
    x_train, x_test = _digits()
    variance = Objective("sum", "sum", weight).noise_variance(64, latent_dim)

    def units(x, noise_variance, of=latent_dim):
        return theory.active_units(x, noise_variance, of)

    compare(
        number(answer),
        units(x_train, variance),
        [
            (units(x_train, weight), "You took beta, the KL weight, for the noise variance."),
            (units(x_train, 0.5), "You left out the KL weight."),
            (units(x_train, variance / latent_dim), "You averaged the KL; here it is summed."),
            (
                units(x_train, math.sqrt(variance)),
                "Eigenvalues are variances: hold the noise variance against them, not its root.",
            ),
            (units(x_test, variance), "You counted over the test digits; use the training digits."),
        ],
        "Find the noise variance of this objective, and count the eigenvalues above it.",
    )
    return "The other units would stay empty, and do no harm."


def scale_of_the_data(answer):
    """Units and nats that mean and mean keeps on pixels from 0 to 16, as a pair."""
    x_train, _ = _digits()
    spectrum = theory.spectrum(x_train)
    variance = Objective("mean", "mean").noise_variance(64, 8)

    def keeps(scale, noise_variance=variance):
        grown = scale * spectrum
        nats = theory.kl_per_unit(grown, noise_variance, 8).sum()
        return np.array([theory.active_units(grown, noise_variance, 8), nats])

    right = keeps(16**2)
    compare(
        array(answer, (2,)),
        right,
        [
            (right[::-1], "The right two numbers, the wrong way round: units first."),
            (keeps(1), "That is for pixels from 0 to 1, where everything collapses."),
            (keeps(16), "A scale enters variances, and so eigenvalues, by its square."),
            (
                keeps(16**2, 2 * variance),
                "You took beta, the KL weight, for the noise variance.",
            ),
            (keeps(16**2, 0.5), "That is for the sum of both terms; this loss averages both."),
            (right * [1, 2], "The units are right, but the KL has a factor of one half."),
            (right / [1, np.log(2)], "The units are right, but give the KL in nats, not in bits."),
            (right / [1, 8], "The units are right, but give the KL of all units, not their mean."),
        ],
        "Find the eigenvalues of the scaled digits, and hold the noise variance against them.",
    )
    return "The loss did not change, but the noise it assumes is now small beside the data."


def from_nats_to_active(answer):
    """KL in nats of a unit whose posterior mean has a variance of just 0.01."""
    variance = 0.01
    right = -0.5 * np.log(1 - variance)
    compare(
        number(answer),
        right,
        [
            (2 * right, "You forgot the factor of one half."),
            (-right, "A KL divergence is never negative: turn the ratio over."),
            (-2 * right, "A KL divergence is never negative, and it has a factor of one half."),
            (-0.5 * np.log(variance), "You took the variance for the ratio that it depends on."),
            (right / np.log(2), "That is in bits; this book counts in nats."),
        ],
        "Solve the formula for the ratio of eigenvalue and noise variance, and put it into the KL.",
    )
    return "A unit may count as active and be worth next to nothing."


def encode_by_hand(answer):
    """A function from x to z_mean and z_log_var of the best linear VAE with two units."""
    noise_variance = 0.05
    x_train, x_test = _digits()
    best = theory.optimal_parameters(x_train, 2, noise_variance)
    z_mean, z_log_var = _latent(call(answer, x_test), len(x_test))
    expected = x_test @ best.encoder_weights + best.encoder_bias
    z_mean, z_log_var = _aligned(z_mean, z_log_var, expected)
    _judge_means(z_mean, expected, np.exp(best.z_log_var))
    compare(
        z_log_var,
        np.broadcast_to(best.z_log_var, z_log_var.shape),
        [
            (np.zeros_like(z_log_var), "Those are the log-variances of the prior."),
            (
                np.broadcast_to(np.exp(best.z_log_var), z_log_var.shape),
                "The second result is a variance; give its logarithm.",
            ),
            (
                np.broadcast_to(best.z_log_var / 2, z_log_var.shape),
                "The second result is the logarithm of sigma; give that of the variance.",
            ),
            (
                np.full_like(z_log_var, np.log(noise_variance)),
                "That is the noise of the pixels; how sure a unit is depends on its eigenvalue.",
            ),
        ],
        "The means are right, the log-variances are not: see the dropdown on the threshold.",
    )
    return "Any function that gives means and log-variances can be diagnosed."


def name_the_cause(answer):
    """A function of z_mean, x and noise_variance to one of three verdicts."""
    for z_mean, x, noise_variance, verdict, hint in _cases():
        found = call(answer, z_mean, x, noise_variance)
        if not (isinstance(found, str) and found in VERDICTS):
            what = repr(found) if isinstance(found, str) else f"a {type(found).__name__}"
            words = ", ".join(map(repr, VERDICTS[:2])) + f" or {VERDICTS[2]!r}"
            raise Wrong(f"The function returned {what[:40]}, expected {words}.")
        if found != verdict:
            raise Wrong(hint)
    return "For a linear VAE that is all; of a network diagnose asks more."


def _digits():
    return data.split(data.digits(), seed=claims.base_seed())


def _latent(found, count):
    if not isinstance(found, tuple | list) or len(found) != 2:
        kind = type(found).__name__
        raise Wrong(f"The function returned a {kind}, expected the pair z_mean, z_log_var.")
    shape = (count, 2)
    return tuple(
        array(of, shape, f"the {n} result")
        for n, of in zip(("first", "second"), found, strict=True)
    )


def _aligned(z_mean, z_log_var, expected):
    """The two units in the order and with the signs of the expected ones."""
    across = (z_mean - z_mean.mean(axis=0)).T @ (expected - expected.mean(axis=0))
    if np.abs(np.diag(across)).sum() < np.abs(np.diag(across[::-1])).sum():
        z_mean, z_log_var, across = z_mean[:, ::-1], z_log_var[:, ::-1], across[::-1]
    return z_mean * np.where(np.diag(across) < 0, -1, 1), z_log_var


def _judge_means(z_mean, expected, posterior_variance):
    """The means, up to a common shift and a scale for each unit, or a hint."""

    def agree(a, b):
        return np.abs(a - b).max() < 0.02 * expected.std()

    if agree(z_mean, expected):
        return
    centred, wanted = z_mean - z_mean.mean(axis=0), expected - expected.mean(axis=0)
    if agree(centred, wanted):
        raise Wrong("The means are shifted: subtract the mean of the training digits first.")
    scale = (centred * wanted).sum(axis=0) / (wanted**2).sum(axis=0)
    if not agree(centred, scale * wanted):
        raise Wrong("The means do not follow the first two principal directions.")
    if np.allclose(scale, 0):
        raise Wrong("The means are the same for every digit, so they tell nothing.")
    if np.allclose(scale * np.sqrt(1 - posterior_variance), 1, rtol=0.01):
        raise Wrong("The means vary as much as the prior, which leaves no room for the posterior.")
    if np.allclose(scale, np.sqrt(1 - posterior_variance), rtol=0.01):
        raise Wrong("The means are shrunk twice.")
    raise Wrong("The directions are right, but each unit's mean has to be scaled.")


def _cases():
    """Situations with their verdict, and a hint for whoever finds another one."""
    seed, count = claims.base_seed(), 1000
    random = np.random.default_rng(seed)
    codes = random.normal(size=(count, 4))
    silent, one = np.zeros_like(codes), codes * [0, 1, 0, 0]
    strong = data.linear_gaussian([2.0] + [0.1] * 7, count, seed)  # a pixel varies by 0.34
    weak = data.linear_gaussian([0.35] + [0.2] * 7, count, seed)  # its root exceeds 0.5
    return [
        (
            codes,
            strong,
            0.5,
            "active",
            "Your function blames somebody for a VAE whose units all speak.",
        ),
        (silent, strong, 0.5, "training", "Your function misses a direction that is worth a unit."),
        (
            silent,
            weak,
            0.5,
            "objective",
            "Your function expects a unit where no direction varies more than the noise: compare "
            "the largest eigenvalue, as the variance that it is.",
        ),
        (
            silent,
            weak + 3,
            0.5,
            "objective",
            "Your function takes the mean of the data for variation: centre them first.",
        ),
        (one, strong, 0.5, "active", "Surplus units are no collapse: one that speaks is enough."),
        (
            silent + 0.7,
            strong,
            0.5,
            "training",
            "A posterior mean that is the same for every x tells nothing, whatever its value.",
        ),
        (
            0.01 * codes,
            strong,
            0.5,
            "training",
            "Units that only jitter are not active: use the threshold of this chapter.",
        ),
        (silent, strong, 4.0, "objective", "Your function does not look at the noise variance."),
    ]


EXERCISES = {
    "2.1": predict_then_count,
    "2.2": scale_of_the_data,
    "2.3": from_nats_to_active,
    "2.4": encode_by_hand,
    "2.5": name_the_cause,
}
