"""Chapter 1, *The VAE objective*."""

import functools
import math

import numpy as np

from vae_notes import claims, data, theory
from vae_notes.exercises._judge import Wrong, array, call, number
from vae_notes.exercises._judge import compare as compare_closely
from vae_notes.objective import Objective

__all__ = ["EXERCISES"]

compare = functools.partial(compare_closely, tolerance=0.01)  # two or three digits are enough


def price_a_unit(answer):
    """KL in nats of a unit with mean 0 and standard deviation 0.5."""
    deviation = 0.5

    def kl(variance):
        return 0.5 * (variance - np.log(variance) - 1)

    compare(
        number(answer),
        kl(deviation**2),
        [
            (2 * kl(deviation**2), "You forgot the factor of one half in front of the KL."),
            (kl(deviation), "The function takes the logarithm of the variance, not of sigma."),
            (
                kl(np.exp(deviation)),
                "The second argument is a logarithm: give log(variance), not sigma itself.",
            ),
            (
                kl(np.exp(deviation**2)),
                "The second argument is a logarithm: give log(variance), not the variance itself.",
            ),
            (kl(deviation**2) / np.log(2), "That is in bits; this book counts in nats."),
            (-kl(deviation**2), "A KL divergence is never negative: turn the sign around."),
        ],
        "Give the KL of this one unit in nats, with its mean 0 and log-variance 2 log(0.5).",
    )
    return "And it tells nothing: the code is the same for every x."


def read_a_loss(answer):
    """Noise variance of mse + 0.001 kl, the errors averaged over 64 pixels, the KL summed."""
    weight, dims = 0.001, (64, 8)
    right = Objective("mean", "sum", weight)
    variance = right.noise_variance(*dims)
    compare(
        number(answer),
        variance,
        [
            (right.beta(*dims), "That is beta, the weight of the KL, not the noise variance."),
            (
                Objective("sum", "sum", weight).noise_variance(*dims),
                "You took the errors as summed; here they are averaged over the pixels.",
            ),
            (
                Objective("mean", "mean", weight).noise_variance(*dims),
                "You took the KL as averaged over the units; here it is summed.",
            ),
            (
                Objective("mean", "sum").noise_variance(*dims),
                "You forgot the weight on the KL term.",
            ),
            (math.sqrt(variance), "That is a standard deviation; give the variance."),
        ],
        "Multiply the loss so that the errors are summed, and then read off the weight on the KL.",
    )
    return "Less than any of the four plain reductions at these dimensions."


def negative_loss(answer):
    """Noise variance below which a perfect reconstruction at 20 nats has a positive ELBO."""
    kl, data_dim = 20, 64

    def zero(nats=kl, pixels=data_dim / 2, factor=2 * math.pi):
        return math.exp(-nats / pixels) / factor  # where -pixels ln(factor v) - nats = 0

    compare(
        number(answer),
        zero(),
        [
            (zero(nats=0), "You left out the KL term, which the density has to make up for."),
            (zero(nats=-kl), "The KL has the wrong sign: it lowers the ELBO."),
            (zero(pixels=data_dim), "You forgot the factor of one half: it is N / 2."),
            (zero(factor=1), "You forgot 2 pi in the normaliser of the Gaussian."),
            (zero(pixels=0.5), "The normaliser counts once for each pixel, not once."),
            (math.sqrt(zero()), "That is a standard deviation; give the variance."),
        ],
        "With no error left, the ELBO is the normaliser of the Gaussian minus the KL: "
        "find where it is zero.",
    )
    return "Below it the density exceeds one, so a negative loss is no bug."


def best_noise(answer):
    """Noise variance at which the best linear VAE with 8 units fits the training digits best."""
    x_train, x_test = data.split(data.digits(), seed=claims.base_seed())
    spectrum = theory.spectrum(x_train)
    right = theory.maximum_likelihood_noise_variance(spectrum, 8)
    compare(
        number(answer),
        right,
        [
            (spectrum[8:].sum(), "That is a sum; a noise variance is that of one dimension."),
            (spectrum[8:].sum() / 64, "Divide by the number of directions that were discarded."),
            (spectrum[:8].mean(), "Those directions are kept by the units; average the others."),
            (spectrum.mean(), "That averages all directions, as if there were no units."),
            (spectrum[8], "That is the largest of the discarded eigenvalues, not the best value."),
            (2 * right, "That is beta, the weight on the KL, not the noise variance."),
            (math.sqrt(right), "That is a standard deviation; give the variance."),
            (
                theory.maximum_likelihood_noise_variance(x_test, 8),
                "That is the best value for the test digits; use the training digits.",
            ),
        ],
        "Try values between 0.01 and 0.1 and take the one with the highest theory.elbo.",
        tolerance=0.02,
    )
    return "It is the mean of the eigenvalues that the units leave out."


def write_the_bound(answer):
    """A function of x, x_mean, z_mean, z_log_var and noise_variance to the ELBO, (B,)."""
    batch, data_dim, latent_dim, variance = 5, 12, 3, 0.3
    random = np.random.default_rng(claims.base_seed())
    x, x_mean = random.normal(size=(2, batch, data_dim))
    z_mean, z_log_var = random.normal(size=(2, batch, latent_dim))
    found = call(answer, x, x_mean, z_mean, z_log_var, variance)
    what = "what the function returns"
    if array(found, what=what).size == 1:
        raise Wrong("The function returns one number for the batch; give one for each example.")
    found = array(found, (batch,), what)
    right, mistakes = _bounds(x - x_mean, z_mean, z_log_var, variance)
    compare(
        found,
        right,
        mistakes,
        "The values are off: build it from two parts, the Gaussian log-density of x, "
        "normaliser included, and the KL.",
        tolerance=1e-3,
    )
    return "Every model in this book is measured with it."


def _bounds(error, z_mean, z_log_var, s):
    """The ELBO of each example, and what the usual mistakes make of it."""
    squares, n = (error**2).sum(axis=1), error.shape[1]
    k = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var)
    kl, fit, norm = k.sum(axis=1), -squares / (2 * s), -n / 2 * math.log(2 * math.pi * s)
    as_variance = 0.5 * (z_mean**2 + z_log_var - 1 - np.log(np.abs(z_log_var))).sum(axis=1)
    as_deviation = 0.5 * (z_mean**2 + np.exp(2 * z_log_var) - 1 - 2 * z_log_var).sum(axis=1)
    right = fit + norm - kl
    return right, [
        (-right, "That is the negative of the bound: a loss, and not the ELBO."),
        (fit - kl, "The normaliser of the Gaussian is missing: it depends on the noise variance."),
        (fit + norm / n - kl, "The normaliser counts once for each data dimension, not once."),
        (fit + norm + kl, "The KL has the wrong sign: it lowers the bound."),
        (fit + norm, "The KL term is missing."),
        (fit + norm - 2 * kl, "You forgot the factor of one half in front of the KL."),
        (fit + norm - k.mean(axis=1), "The KL is averaged over the units; the bound sums it."),
        (fit / n + norm - kl, "The errors are averaged over the dimensions; the bound sums them."),
        (2 * fit + norm - kl, "The squared errors are divided by twice the noise variance."),
        (-squares + norm - kl, "The squared errors are not divided by the noise variance."),
        (fit / s + norm - kl, "The noise variance is a variance already: do not square it."),
        (fit + norm - as_variance, "Here z_log_var is a logarithm: exponentiate it in the KL."),
        (fit + norm - as_deviation, "Here z_log_var is that of the variance, not of sigma."),
    ]


EXERCISES = {
    "1.1": price_a_unit,
    "1.2": read_a_loss,
    "1.3": negative_loss,
    "1.4": best_noise,
    "1.5": write_the_bound,
}
