"""What happened to the latent space: a VAE measured and held against the theory."""

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from vae_notes import _check, theory
from vae_notes._noise import reparameterised
from vae_notes._passes import Blocks, gathered, in_batches
from vae_notes._report import Printed
from vae_notes.objective import Objective, kl_divergence

__all__ = ["Report", "diagnose", "mutual_information"]

MOST = 1024  # examples in an estimate of mutual information

HEALTHY = "healthy"
COLLAPSED_BY_OBJECTIVE = "collapsed because the objective asked for it"
COLLAPSED_BY_TRAINING = "collapsed although the objective did not ask for it"
COLLAPSED = "collapsed"


@dataclass(frozen=True, eq=False, repr=False)
class Report(Printed):
    """What :func:`diagnose` measured; prints as text in a terminal and as a table in a notebook.

    Attributes
    ----------
    data_dim, latent_dim : int
        N and D.
    kl_per_unit : array (D,)
        Mean KL divergence of each latent unit, in nats.
    z_mean_variance : array (D,)
        Variance of each unit's posterior mean over the data.
    active : array (D,) of bool
        Where that variance exceeds the threshold.
    mutual_information, mutual_information_ceiling : float
        Estimate of I(x; z) under q, and the most that the estimate can be, in nats.
    reconstruction : float or None
        Mean over examples of the error summed over N.
    elbo : float or None
        In nats per example, unweighted.
    predicted : Prediction or None
        What the best linear VAE does; None unless the objective is that of a Gaussian decoder.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> from vae_notes import data
    >>> x = data.linear_gaussian([4.0, 1.0, 0.1], count=500)
    >>> report = diagnose(lambda x: (x[:, :2], 0 * x[:, :2]), x)
    >>> report.active_units, report.verdict
    (2, 'healthy')
    """

    data_dim: int
    latent_dim: int
    kl_per_unit: np.ndarray
    z_mean_variance: np.ndarray
    active: np.ndarray
    mutual_information: float
    mutual_information_ceiling: float
    reconstruction: float | None = None
    elbo: float | None = None
    predicted: theory.Prediction | None = None

    _width = 25

    @property
    def kl(self) -> float:
        """Mean KL divergence, summed over units, in nats."""
        return float(self.kl_per_unit.sum())

    @property
    def active_units(self) -> int:
        """Number of active units."""
        return int(self.active.sum())

    @property
    def verdict(self) -> str:
        """The finding, in a few words."""
        if self.predicted is None:
            return HEALTHY if self.active_units else COLLAPSED
        predicted = self.predicted.active_units
        if self.active_units >= max(predicted, 1) or self._beats_linear:
            return HEALTHY
        return COLLAPSED_BY_TRAINING if predicted else COLLAPSED_BY_OBJECTIVE

    @property
    def _beats_linear(self) -> bool:
        """A nonlinear decoder may put into few units what a linear one spreads over many."""
        if self.elbo is None or self.predicted is None:
            return False
        return bool(self.active_units and self.elbo > self.predicted.elbo)

    @property
    def explanation(self) -> str:
        """The finding in one sentence, with its reasons."""
        kept = f"{self.active_units} of {self.latent_dim} units are active"
        if self.verdict == HEALTHY and self.predicted is None:
            return f"{kept}."
        if self.predicted is None:
            return (
                f"{kept}; without a Gaussian objective there is no prediction to say who caused it."
            )
        predicted, noise_variance = self.predicted.active_units, self.predicted.noise_variance
        if self.verdict == HEALTHY:
            words = f"{kept}; the best linear VAE keeps {predicted}"
            surplus = self.latent_dim - self.active_units
            return words + (f", so the other {surplus} are not missed." if surplus else ".")
        if self.verdict == COLLAPSED_BY_OBJECTIVE:
            return (
                f"{kept}: the objective amounts to a noise variance of {noise_variance:.3g}, "
                f"and no direction of the data varies more than that; no optimiser or schedule "
                f"mends it, a smaller KL weight or summed errors do."
            )
        return (
            f"{kept}, but {predicted} direction{'s' * (predicted > 1)} of the data var"
            f"{'y' if predicted > 1 else 'ies'} more than the noise variance "
            f"{noise_variance:.3g}: the optimum is elsewhere; anneal the KL weight, or train "
            f"a shallower network."
        )

    def _rows(self) -> Iterator[tuple[str, str]]:
        yield "verdict", self.verdict
        predicted = self.predicted
        foretold = "" if predicted is None else f" (predicted: {predicted.active_units})"
        yield "active units", f"{self.active_units} of {self.latent_dim}{foretold}"
        foretold = "" if predicted is None else f" (predicted: {predicted.kl:.2f})"
        yield "KL, nats", f"{self.kl:.2f}{foretold}"
        largest = np.sort(self.kl_per_unit)[::-1][:8]
        more = " ..." if self.latent_dim > 8 else ""
        yield "KL per unit, nats", " ".join(f"{k:.2f}" for k in largest) + more
        ceiling = f" (at most {self.mutual_information_ceiling:.2f})"
        information = round(self.mutual_information, 2) + 0.0  # never "-0.00"
        yield "mutual information, nats", f"{information:.2f}{ceiling}"
        if self.reconstruction is not None:
            yield "reconstruction, summed", f"{self.reconstruction:.3g}"
        if self.elbo is not None:
            foretold = "" if predicted is None else f" (best linear VAE: {predicted.elbo:.2f})"
            yield "ELBO, nats", f"{self.elbo:.2f}{foretold}"
        if predicted is not None:
            yield "noise variance", f"{predicted.noise_variance:.3g}"


def diagnose(
    model_or_encode: Any,
    x: theory.Data,
    *,
    decode: Callable[[NDArray], Any] | None = None,
    objective: Objective | None = None,
    threshold: float = theory.ACTIVE,
    draws: int = 8,
    seed: int = 0,
    spectrum: theory.Data | None = None,
) -> Report:
    r"""Measure what a VAE's latent units carry, and say why if they carry nothing.

    A unit is active when the variance over the data of its posterior mean exceeds ``threshold``.
    For a Gaussian objective the verdict compares with the best linear VAE on ``x``, which is known
    in closed form: a collapse that it shares was asked for by the objective, one that it does not
    share came from training.

    Parameters
    ----------
    model_or_encode : VAE or callable
        A :class:`vae_notes.VAE`, or a function from x (n, ...) to z_mean and z_log_var, (n, D)
        each, from any framework.
    x : array (n, ...), tf.data.Dataset or generator
        Data, at least two examples; of a dataset or a generator its batches (B, ...), once.
    decode : callable, optional
        With a function: from z (n, D) to means or logits in the shape of x.
    objective : Objective, optional
        With a function: what it was trained on.
    threshold : float
        Of the variance of the posterior mean, in (0, 1).
    draws : int
        Samples of z for each example, to estimate the reconstruction.
    seed : int
        Of these samples.
    spectrum : array (N,) or Spectrum, optional
        That of ``x``, where it is known: many models of the same data need it once.

    Returns
    -------
    Report

    Notes
    -----
    More than 4 million values are taken block by block, so that a dataset which does not fit into
    memory gives the same numbers as an array of it would. The blocks are of at most 1,024 examples:
    an encoder or decoder that is a function gets so many at once. Mutual information is estimated
    from 1,024 of all examples, each as likely as any other.

    Raises
    ------
    ValueError
        If ``x`` is unusable, such as a dataset that is empty or never ends, the encoder does not
        give two arrays (n, D) of finite numbers, or the threshold is out of range.

    References
    ----------
    Burda et al. (2016), section 5.2 (active units); Lucas et al. (2019), section 4.
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> from vae_notes import Objective, data
    >>> x = data.linear_gaussian([4.0, 1.0, 0.1], count=500)
    >>> blind = lambda x: (0 * x[:, :2], 0 * x[:, :2])
    >>> report = diagnose(blind, x, objective=Objective("mean", "mean", kl_weight=10))
    >>> report.active_units, report.verdict
    (0, 'collapsed because the objective asked for it')
    """
    _check.number("threshold", threshold, above=0, below=1)
    encode = model_or_encode
    if hasattr(model_or_encode, "encode"):
        vae = model_or_encode
        encode, objective = vae.encode, vae.objective
        decode = functools.partial(in_batches, vae.decoder)
    found = gathered(x, getattr(model_or_encode, "data_shape", None), np.float32)
    seen = _Seen(objective, decode, draws, seed)
    known: Any = found if spectrum is None else spectrum
    once = isinstance(known, Blocks) and known.whole is None
    if once:
        known = theory.Moments()
    predictable = objective is not None and objective.likelihood.noise_variance(1.0) is not None
    for block in found if isinstance(found, Blocks) else [found]:
        seen.take(block, *_posterior(encode, block))
        if once and predictable:
            known.update(block)
    if seen.count < 2:
        raise ValueError("x holds one example, but a variance needs two: give more data.")
    data_dim, latent_dim = seen.data_dim, len(seen.kl)

    z_mean_variance, per_unit = seen.scatter / seen.count, seen.kl / seen.count
    information, ceiling = mutual_information(*seen.sample(), seed=seed)
    reconstruction = elbo = predicted = None
    if objective is not None and decode is not None:
        reconstruction = seen.error / (seen.count * draws)
        elbo = objective.elbo(reconstruction, float(per_unit.sum()), data_dim, latent_dim)
    if objective is not None:
        beta = objective.beta(data_dim, latent_dim)
        noise_variance = objective.likelihood.noise_variance(beta)
        if noise_variance is not None:
            predicted = theory.predict(known, noise_variance, latent_dim, threshold)
    return Report(
        data_dim=data_dim,
        latent_dim=latent_dim,
        kl_per_unit=per_unit,
        z_mean_variance=z_mean_variance,
        active=z_mean_variance > threshold,
        mutual_information=information,
        mutual_information_ceiling=ceiling,
        reconstruction=reconstruction,
        elbo=elbo,
        predicted=predicted,
    )


def mutual_information(
    z_mean: ArrayLike, z_log_var: ArrayLike, batch: int = MOST, seed: int = 0
) -> tuple[float, float]:
    r"""Estimate of the mutual information of x and z under q, from one batch.

    .. math:: \frac{1}{M} \sum_i \ln \frac{q(z_i|x_i)}{\frac{1}{M} \sum_j q(z_i|x_j)},
              \quad z_i \sim q(z|x_i)

    The sum over j includes i, so no estimate exceeds ln M: at the ceiling, read "at least". Near
    0 the noise of the samples can make it slightly negative.

    Parameters
    ----------
    z_mean, z_log_var : array (n, D)
        Mean and log-variance of q(z|x) of n examples.
    batch : int
        The most examples M to use; they are drawn at random where there are more.
    seed : int
        Of the examples and of z.

    Returns
    -------
    (estimate, ceiling) : floats
        In nats; the ceiling is ln M.

    References
    ----------
    Hoffman & Johnson (2016); He et al. (2019), section 4.2 and equation 5.
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> import numpy as np
    >>> far_apart = np.arange(4.0)[:, None] * 1000
    >>> information, ceiling = mutual_information(far_apart, 0 * far_apart)
    >>> round(information, 4), round(ceiling, 4)
    (1.3863, 1.3863)
    """
    random = _generator(seed)
    z_mean, z_log_var = np.asarray(z_mean, float), np.asarray(z_log_var, float)
    if len(z_mean) > batch:
        chosen = random.choice(len(z_mean), batch, replace=False)
        z_mean, z_log_var = z_mean[chosen], z_log_var[chosen]
    noise = random.standard_normal(z_mean.shape)
    z = reparameterised(z_mean, z_log_var, noise)
    log_q = _log_densities(z, z_mean, z_log_var)
    log_mixture = logsumexp(log_q, axis=1) - math.log(len(z))
    return float(np.mean(np.diag(log_q) - log_mixture)), math.log(len(z))


def _log_densities(z: NDArray, z_mean: NDArray, z_log_var: NDArray) -> NDArray:
    """ln q(z_i | x_j), (M, M), without the constant that all have in common."""
    precision = np.exp(-z_log_var)
    centre = z_mean.mean(axis=0)
    point, mean = z - centre, z_mean - centre
    # (z - m)^2 / s^2 as products of matrices loses what the largest of their terms rounds off
    largest = precision @ np.square(point).max(axis=0) + (precision * mean**2).sum(axis=1)
    if largest.max() < 1e-8 / np.finfo(float).eps:
        distance = np.square(point) @ precision.T - 2 * point @ (precision * mean).T
        return -0.5 * (distance + (precision * mean**2 + z_log_var).sum(axis=1))
    log_q = np.zeros((len(z), len(z)))
    for point, mean, log_var in zip(z.T, z_mean.T, z_log_var.T, strict=True):
        log_q -= 0.5 * ((point[:, None] - mean) ** 2 * np.exp(-log_var) + log_var)
    return log_q


def _generator(seed: int) -> np.random.Generator:
    """Noise of its own: with the plain seed it could repeat the noise that made the data."""
    return np.random.default_rng([seed, 0x6E6F697365])


def _posterior(encode: Callable[[NDArray], Any], x: NDArray) -> tuple[NDArray, NDArray]:
    """z_mean and z_log_var of the reader's function, or one sentence on what is wrong."""
    latent = encode(x)
    if not isinstance(latent, (tuple, list)) or len(latent) != 2:
        raise ValueError(
            f"The encoder gave {type(latent).__name__}, but two arrays are needed: return "
            f"(z_mean, z_log_var)."
        )
    z_mean, z_log_var = (np.asarray(a, np.float64) for a in latent)
    if z_mean.shape != z_log_var.shape or z_mean.ndim != 2 or len(z_mean) != len(x):
        raise ValueError(
            f"The encoder gave shapes {z_mean.shape} and {z_log_var.shape} for {len(x)} examples: "
            f"give both as (n, latent_dim)."
        )
    if not (np.isfinite(z_mean).all() and np.isfinite(z_log_var).all()):
        raise ValueError(
            "The encoder gave NaN or infinity: scale the data first, and if they are scaled, "
            "training has diverged, so train again with a smaller learning rate."
        )
    return z_mean, z_log_var


class _Seen:
    """Sums over the examples and a sample of them, of data that come in one block or in many."""

    def __init__(
        self,
        objective: Objective | None,
        decode: Callable[[NDArray], Any] | None,
        draws: int,
        seed: int,
    ) -> None:
        self.objective, self.decode, self.draws = objective, decode, draws
        self.noise, self.choice = _generator(seed), _generator(seed + 1)
        self.count, self.data_dim, self.error = 0, 0, 0.0
        self.kl = self.mean = self.scatter = np.zeros(0)  # (D,)
        self.posteriors: list[tuple[NDArray, NDArray]] = []
        self.keys = np.zeros(0)

    def take(self, x: NDArray, z_mean: NDArray, z_log_var: NDArray) -> None:
        """Add a block of examples (b, ...) with their posteriors (b, D)."""
        if not self.count:
            self.data_dim = math.prod(x.shape[1:])
            self.kl = self.mean = self.scatter = np.zeros(z_mean.shape[1])
        self.kl = self.kl + np.asarray(kl_divergence(z_mean, z_log_var), float).sum(axis=0)
        step, before = z_mean.mean(axis=0) - self.mean, self.count
        self.count += len(x)
        # as in theory.Moments, of one unit at a time
        self.scatter = self.scatter + np.square(z_mean - z_mean.mean(axis=0)).sum(axis=0)
        self.scatter = self.scatter + step**2 * (before * len(x) / self.count)
        self.mean = self.mean + step * (len(x) / self.count)
        self.posteriors.append((z_mean, z_log_var))
        if before:
            self._thin_out()
        if self.objective is not None and self.decode is not None:
            for _ in range(self.draws):
                z = reparameterised(z_mean, z_log_var, self.noise.standard_normal(z_mean.shape))
                decoded = np.asarray(self.decode(z.astype(np.float32)))
                error, _ = self.objective.terms(x, decoded, z_mean, z_log_var)
                self.error += float(np.mean(error)) * len(x)

    def _thin_out(self) -> None:
        """Keep those with the smallest of random keys, one an example: all are as likely."""
        z_mean, z_log_var = self.sample()
        fresh = self.choice.random(len(z_mean) - len(self.keys))
        self.keys = np.concatenate([self.keys, fresh])
        kept = np.sort(np.argsort(self.keys)[:MOST])
        self.keys, self.posteriors = self.keys[kept], [(z_mean[kept], z_log_var[kept])]

    def sample(self) -> tuple[NDArray, NDArray]:
        """z_mean and z_log_var (m, D) of what is kept: of one block all, else some of each."""
        z_mean, z_log_var = zip(*self.posteriors, strict=True)
        return np.concatenate(z_mean), np.concatenate(z_log_var)
