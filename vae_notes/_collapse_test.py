r"""Is the collapsed VAE the best one of every decoder and encoder? A search for a better code.

With any encoder and decoder, the loss per example divided by beta is at least minus the logarithm
of a mixture of the kernels :math:`e^{l_k(u)}`, one for each output u of the decoder. Collapse is
the mixture of one part, at the best constant :math:`u_0`, and is the best mixture of all exactly
where no other part could be added with a gain (Lindsay's gradient).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from threadpoolctl import threadpool_limits

from vae_notes._passes import LARGE, Blocks
from vae_notes.likelihoods import Likelihood

__all__ = ["CollapseTest", "bound", "excess"]

Floats = NDArray[np.float64]

MOST_ROWS = 2**14  # of the search and the judgement together
STARTS = 32  # rows
DIRECTIONS = 4
LENGTHS = (0.5, 1.0, 2.0)  # along them, in standard deviations of the kernel
PRODUCTS = 8  # with the covariance, after which they are about the directions
STEPS = 20
NOTHING = 1e-15  # less than that of all the weight counts as none; tiny float32 numbers are slow
ERRORS = 3.0  # standard errors that are no accident
DOUBT = 2.0  # standard errors of which a row or two have a part, whatever the data
NO_DOUBT = 12.0  # standard errors of which as many rows have a part that they will be there again
ROUND_OFF = 1e-6  # of the logarithm of a mean of float32 numbers


@dataclass(frozen=True)
class CollapseTest:
    r"""Whether collapse is a local optimum, and whether a search found a better code.

    Attributes
    ----------
    largest_eigenvalue : float
        Of the covariance of the data, in units of the likelihood; of fewer rows than ten for each
        dimension on rows held out.
    critical_variance : float
        What it must not exceed: the noise variance if Gaussian, beta if Bernoulli.
    proven : bool
        Whether no decoder and no encoder can do better on these rows, by a sufficient condition.
    excess : float
        ln F(u) at the output u of the surest gain, on rows that the search did not see; 0 where it
        found none, below 0 where what it found is worth nothing there.
    excess_error : float
        Its standard error.

    References
    ----------
    Lindsay (1983), *The geometry of mixture likelihoods: a general theory*, The Annals of
    Statistics 11(1).
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    >>> found = CollapseTest(0.07, 0.08, proven=False, excess=0.19, excess_error=0.02)
    >>> found.local, found.better_code
    (True, True)
    """

    largest_eigenvalue: float
    critical_variance: float
    proven: bool
    excess: float
    excess_error: float

    @property
    def local(self) -> bool:
        """Whether the collapsed VAE is a local optimum, which it is of any decoder."""
        return bool(self.largest_eigenvalue <= self.critical_variance)

    @property
    def better_code(self) -> bool:
        """Whether F(u) exceeds 1 by more than 3 standard errors."""
        return -math.expm1(-self.excess) > ERRORS * self.excess_error


def bound(rows: NDArray[np.floating], variance: float) -> float:
    r"""What times the largest eigenvalue must not exceed the noise variance for a proof.

    .. math:: 2 (e^s - 1 - s) / s^2, \quad s = \max_k |x_k - \mu|^2 / \sigma^2
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    s = max(np.square(block - mean).sum(axis=1).max() for block in _blocks(rows)) / variance
    if s > 100:  # which is no proof for any data
        return math.inf
    return float(2 * (special.exprel(s) - 1) / s) if s > ROUND_OFF else 1.0


def excess(
    rows: NDArray[np.floating], likelihood: Likelihood, beta: float, seed: int
) -> tuple[float, float]:
    """ln F at the best outputs found on either half of the rows, on the other, and its error."""
    random = np.random.default_rng(seed)
    scale = likelihood.critical_variance(beta)
    most = max(1024, min(MOST_ROWS, LARGE // rows.shape[1]))
    drawn = random.permutation(len(rows))[:most]
    halves = [np.asarray(rows[drawn[i::2]], np.float64) for i in (0, 1)]
    with threadpool_limits(1, "blas"):  # of matrices as narrow as these two are the slower
        found = [
            _judged(judge, _best_shift(search, likelihood, scale, random), likelihood, scale)
            for search, judge in (halves, halves[::-1])
        ]
    logs, errors = np.transpose(found)
    both = np.logaddexp(*logs)
    return float(both - math.log(2)), float(np.hypot(*(np.exp(logs - both) * errors)))


def _best_shift(
    x: Floats, likelihood: Likelihood, scale: float, random: np.random.Generator
) -> Floats:
    """The output of the decoder, less the best constant, that gains most surely on these rows."""
    mean = x.mean(axis=0)
    origin = likelihood.natural(mean)
    centred = (x - mean).astype(np.float32)  # most of the time goes into its products
    halfway = likelihood.natural(mean + centred[random.permutation(len(x))[:STARTS]] / 2)
    along = _along_directions(centred, likelihood.unit(mean), random) * math.sqrt(scale)
    shifts = np.concatenate([halfway - origin, along])
    best, most = np.zeros_like(mean), DOUBT
    for _ in range(STEPS):
        gains = _gains(centred, shifts, mean, origin, likelihood, scale)
        log_means, errors = _log_mean(gains)
        # F is largest at single rows, and there it is nothing but its error: the surest gain is
        # taken, and of those beyond all doubt the greatest
        surely = np.where(log_means > ROUND_OFF, _in_errors(log_means, errors), 0)
        score = np.where(surely < NO_DOUBT, surely, NO_DOUBT + log_means)
        if score.max() > most:
            best, most = shifts[score.argmax()], score.max()
        weights = special.softmax(gains, axis=0)
        weights = np.where(weights > NOTHING, weights, 0).astype(np.float32)
        # the output that fits the weighted rows best is a step up
        shifts = likelihood.natural(mean + weights.T @ centred) - origin
    return best


def _along_directions(centred: NDArray, unit: Floats, random: np.random.Generator) -> Floats:
    """Steps up and down the leading principal directions, (2 x directions x lengths, N)."""
    inverse = np.divide(1, unit, out=np.zeros_like(unit), where=unit > 0)
    standard = centred * inverse.astype(np.float32)
    directions = random.standard_normal((len(unit), min(DIRECTIONS, len(unit)))).astype(np.float32)
    for _ in range(PRODUCTS):
        directions = np.linalg.qr(standard.T @ (standard @ directions))[0]
    steps = directions.T * inverse
    return np.concatenate([sign * a * steps for a in LENGTHS for sign in (1, -1)])


def _gains(
    centred: NDArray,
    shifts: Floats,
    mean: Floats,
    origin: Floats,
    likelihood: Likelihood,
    scale: float,
) -> Floats:
    """l_k(u) - l_k(u0) of each row and each output u0 + shift, (n, C)."""
    added = likelihood.log_partition(origin + shifts) - likelihood.log_partition(origin)
    along = (centred @ shifts.T.astype(centred.dtype)).astype(np.float64)
    return (along - (added - mean * shifts).sum(axis=1)) / scale


def _judged(x: Floats, shift: Floats, likelihood: Likelihood, scale: float) -> tuple[float, float]:
    mean = x.mean(axis=0)
    origin = likelihood.natural(mean)
    log_mean, error = _log_mean(_gains(x - mean, shift[None], mean, origin, likelihood, scale))
    return float(log_mean[0]), float(error[0])


def _log_mean(gains: Floats) -> tuple[Floats, Floats]:
    """ln of the mean of exp(gains) over the rows, and its standard error.

    The rows are centred by their own mean, so that what is linear in them has no error.
    """
    peak = gains.max(axis=0)
    weights = np.exp(gains - peak)
    mean = weights.mean(axis=0)
    influence = weights / mean - (gains - gains.mean(axis=0))
    return peak + np.log(mean), influence.std(axis=0) / math.sqrt(len(gains))


def _in_errors(log_mean: Floats, error: Floats) -> Floats:
    """By how many standard errors the mean exceeds 1."""
    return -np.expm1(-log_mean) / np.maximum(error, 1e-12)


def _blocks(rows: NDArray[np.floating]) -> Blocks:
    return Blocks([rows], rows.shape[1:])
