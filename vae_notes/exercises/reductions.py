"""Chapter 4, *Sum or mean?*"""

import functools
import math

import numpy as np
from scipy import optimize

from vae_notes import claims, data, theory
from vae_notes.audit import audit
from vae_notes.exercises._judge import Wrong, array, call, number
from vae_notes.exercises._judge import compare as compare_closely
from vae_notes.objective import Objective

__all__ = ["EXERCISES"]

compare = functools.partial(compare_closely, tolerance=0.01)  # two or three digits are enough
REDUCTIONS = [("sum", "sum"), ("sum", "mean"), ("mean", "sum"), ("mean", "mean")]
GUIDE = ("mean", "mean"), 784, 32


def read_a_loss(answer):
    """Noise variance of mse over 64 pixels plus 0.3 times the mean KL over 16 units."""
    weight, dims = 0.3, (64, 16)

    def variance(reconstruction, kl, kl_weight=weight):
        return Objective(reconstruction, kl, kl_weight).noise_variance(*dims)

    compare(
        number(answer),
        variance("mean", "mean"),
        [
            (2 * variance("mean", "mean"), "That is beta; the noise variance is not the same."),
            (variance("mean", "sum"), "You took the KL as summed; here it is averaged."),
            (variance("sum", "mean"), "You took the errors as summed; here they are averaged."),
            (variance("sum", "sum"), "You took both terms as summed; here both are averaged."),
            (variance("mean", "mean", 1.0), "You forgot the weight on the KL term."),
            (variance("mean", "mean") / weight**2, "The weight is on the KL, not on the errors."),
            (
                weight**2 / (4 * variance("mean", "mean")),
                "The dimensions are upside down: an average makes a weight smaller.",
            ),
        ],
        "Multiply the loss so that the errors are summed, and then read off the weight on the KL.",
    )
    return "About as much as the digits vary along their strongest directions."


def colour(answer):
    """Factor on the reconstruction of the Keras example, on 32 x 32 x 3 images, for beta = 1."""
    shape = (32, 32, 3)
    right = audit(("sum", "sum"), shape, 2, mean_axes=-1).beta
    compare(
        number(answer),
        right,
        [
            (1 / right, "That is the factor for the KL term; give that for the reconstruction."),
            (1, "The mean over the last axis has something to average now."),
            (math.prod(shape), "Rows and columns are summed already: only the last axis is not."),
            (shape[0] * shape[1], "That counts the pixels, which are summed already."),
            (shape[0], "The last axis holds the channels, not a row of pixels."),
            (right / 2, "For cross-entropy it is beta that counts: no half."),
            (right**2, "The mean is taken once, so the factor counts once."),
        ],
        "Ask which axis the cross-entropy has averaged before the sum, and how long it is.",
    )
    return "Silently, the same code was another objective."


def mend_the_guide(answer):
    """A KL weight with which the loss of the Keras guide keeps five units."""
    weight, wanted = number(answer), 5
    if weight <= 0:
        raise Wrong("A KL weight is above zero.")
    spectrum = _enlarged_spectrum()

    def units(kl_weight):
        return audit(Objective("mean", "mean", kl_weight), *GUIDE[1:], spectrum)

    if units(weight).predicted.active_units == wanted:
        return "Both means can stay: it took one number, and no other line of the guide."
    level = audit(*GUIDE).noise_variance
    for mistaken, hint in [
        (weight / level, "That is a noise variance; give the KL weight that makes it."),
        (1 / weight, "That is upside down: the weight has to lower the noise variance."),
        (
            weight * 2,
            "You held beta against the eigenvalues; it is the noise variance that counts.",
        ),
        (weight * 32, "The KL is averaged in the guide: leave that as it is."),
    ]:
        if units(mistaken).predicted.active_units == wanted:
            raise Wrong(hint)
    found = units(weight).predicted.active_units
    raise Wrong(f"With that weight {'more' if found > wanted else 'fewer'} units survive.")


def which_fits_best(answer):
    """Log-likelihoods of the digits at the four noise variances and at the best, (5,)."""
    x_train, x_test = data.split(data.digits(), seed=claims.base_seed())
    train, test = theory.spectrum(x_train), theory.spectrum(x_test)
    four = [Objective(*pair).noise_variance(64, 8) for pair in REDUCTIONS]
    variances = np.array([*four, theory.maximum_likelihood_noise_variance(train, 8)])

    def fits(spectrum=train, scale=1, units=8):
        return np.array([theory.elbo(spectrum, scale * v, units) for v in variances])

    right, found = fits(), array(answer, (5,))
    compare(
        found,
        right,
        [
            (-right, "Those are negative log-likelihoods: turn the sign around."),
            (right * len(x_train), "Give the mean over the examples, not their sum."),
            (right / 64, "Give nats for an example, not for a pixel."),
            (right / np.log(2), "Those are bits; this book counts in nats."),
            (fits(test), "Those are the test digits; use the training digits."),
            (fits(scale=2), "You took beta, the KL weight, for the noise variance."),
            (fits(units=None), "That is for as many units as pixels; use 8 of them."),
        ],
        "The values are right, in another order: the four as in this chapter, and the best last."
        if _same_values(found, right)
        else "Take theory.elbo of the training digits at each of the five noise variances.",
    )
    return "The order of the fits is that of the pictures, as far as those can be told apart."


def tolerance(answer):
    """Noise variance at which 32 linear units spend 16 nats on the enlarged digits."""
    spectrum, small = _enlarged_spectrum(), theory.spectrum(_digits(8))
    right = _spends(spectrum, 16)
    compare(
        number(answer),
        right,
        [
            (_spends(spectrum, 32), "You forgot the factor of one half in the KL of a unit."),
            (_spends(spectrum, 16 * np.log(2)), "The tolerance is in nats, and you took bits."),
            (_spends(spectrum, 0.5), "The tolerance is for each of the units: multiply it."),
            (_spends(small, 16), "Those are the small digits; take the enlarged ones."),
            (2 * right, "That is beta, the KL weight, not the noise variance."),
            (math.sqrt(right), "That is a standard deviation; give the variance."),
            (0.5, "That is the loss as written; with the tolerance something else decides."),
        ],
        "Try noise variances, and sum theory.kl_per_unit over the 32 units until it fits.",
        tolerance=0.02,
    )
    return "So the tolerance sets the noise variance, and the weight of the KL hardly matters."


def measure_a_loss(answer):
    """A function of loss, data_dim and latent_dim to the noise variance that the loss assumes."""
    dims = 12, 3
    for objective, scales, hint in _LOSSES:
        factor, on_errors, constant = scales
        loss = _loss(objective, dims, factor, on_errors, constant)
        expected = audit(objective, *dims, reconstruction_weight=on_errors).noise_variance
        compare(
            number(call(answer, loss, *dims), "what the function returns"),
            expected,
            [
                (2 * expected, "Your function gives beta, and the noise variance is half of it."),
                (1 / expected, "Your function divides the wrong way round."),
                (1 / (4 * expected), "Your function divides the wrong way round."),
                (
                    expected * dims[1] / dims[0],
                    "Your function compares the terms for a whole example: divide each by "
                    "what you put in.",
                ),
                (
                    expected * dims[1] / (2 * dims[0]),
                    "Your function compares the terms for a whole example: divide each by "
                    "what you put in.",
                ),
                (expected / 2, "Your function halves once too often: mind the half in the KL."),
            ],
            hint,
        )
    return "Now you can measure a loss that you cannot read."


# What is measured, its factor, weight on the errors and constant, and who trips over it.
_LOSSES = [
    (Objective(), (1, 1, 0), "Your function is off for the plain sum of both terms."),
    (Objective("mean", "mean", 0.6), (1, 1, 0), "Your function is off if a loss averages."),
    (Objective("sum", "mean", 0.4), (1, 1, 0), "Your function is off if the KL has a weight."),
    (
        Objective("mean", "sum"),
        (1, 12, 0),
        "Your function is off if the errors have a weight.",
    ),
    (
        Objective("mean", "sum", 2.0),
        (0.01, 1, 0),
        "Your function is off if the whole loss has a factor, which moves no optimum.",
    ),
    (
        Objective("sum", "sum", 3.0),
        (1, 1, 40),
        "Your function is off if the loss has a constant, which moves no optimum.",
    ),
]


def _loss(objective, dims, factor, on_errors, constant):
    """A loss as a reader may find it: a function to one number, in plain NumPy."""
    w_errors, w_kl = objective.weights(*dims)

    def loss(x, x_mean, z_mean, z_log_var):
        x, x_mean = _rows("x", x, dims[0]), _rows("x_mean", x_mean, dims[0])
        z_mean = _rows("z_mean", z_mean, dims[1])
        z_log_var = _rows("z_log_var", z_log_var, dims[1])
        errors = ((x - x_mean) ** 2).sum(axis=1).mean()
        kl = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).sum(axis=1).mean()
        return float(factor * (on_errors * w_errors * errors + w_kl * kl) + constant)

    return loss


def _rows(name, values, width):
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != width:
        raise ValueError(f"the loss was given {name} of shape {values.shape}, not (B, {width})")
    return values


def _same_values(found, right):
    """Whether two arrays hold the same values, in whatever order."""
    return np.allclose(np.sort(found), np.sort(right), rtol=0.01)


def _digits(side):
    return data.split(data.digits(side=side), seed=claims.base_seed())[0]


@functools.lru_cache(maxsize=1)
def _spectrum_of(seed):
    return theory.spectrum(data.split(data.digits(side=28), seed=seed)[0])


def _enlarged_spectrum():
    return _spectrum_of(claims.base_seed())


def _spends(spectrum, nats, units=32):
    """The noise variance at which so many units spend so many nats."""

    def surplus(log_variance):
        return theory.kl_per_unit(spectrum, math.exp(log_variance), units).sum() - nats

    return math.exp(optimize.brentq(surplus, math.log(1e-9), math.log(spectrum[0])))


EXERCISES = {
    "4.1": read_a_loss,
    "4.2": colour,
    "4.3": mend_the_guide,
    "4.4": which_fits_best,
    "4.5": tolerance,
    "4.6": measure_a_loss,
}
