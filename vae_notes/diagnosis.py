"""What happened to the latent space: a VAE measured and held against the theory."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from vae_notes import _table, data, theory
from vae_notes._keras import ops
from vae_notes.model import in_batches
from vae_notes.objective import kl_divergence

__all__ = ["Report", "diagnose", "mutual_information"]

HEALTHY = "healthy"
COLLAPSED_BY_OBJECTIVE = "collapsed because the objective asked for it"
COLLAPSED_BY_TRAINING = "collapsed although the objective did not ask for it"
COLLAPSED = "collapsed"


@dataclass(frozen=True, eq=False, repr=False)
class Report:
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
    noise_variance : float or None
        Of the Gaussian decoder that the objective amounts to.
    predicted_kl_per_unit : array (D,) or None
        What the best linear VAE has, largest first, in nats.
    predicted_active_units : int or None
        How many units the best linear VAE keeps.
    linear_elbo : float or None
        The ELBO of the best linear VAE, in nats per example.

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
    noise_variance: float | None = None
    predicted_kl_per_unit: np.ndarray | None = None
    predicted_active_units: int | None = None
    linear_elbo: float | None = None

    @property
    def kl(self):
        """Mean KL divergence, summed over units, in nats."""
        return float(self.kl_per_unit.sum())

    @property
    def active_units(self):
        """Number of active units."""
        return int(self.active.sum())

    @property
    def verdict(self):
        """The finding, in a few words."""
        predicted = self.predicted_active_units
        if predicted is None:
            return HEALTHY if self.active_units else COLLAPSED
        if self.active_units >= max(predicted, 1) or self._beats_linear:
            return HEALTHY
        return COLLAPSED_BY_TRAINING if predicted else COLLAPSED_BY_OBJECTIVE

    @property
    def _beats_linear(self):
        """A nonlinear decoder may put into few units what a linear one spreads over many."""
        return bool(self.active_units and self.elbo is not None and self.elbo > self.linear_elbo)

    @property
    def explanation(self):
        """The finding in one sentence, with its reasons."""
        kept = f"{self.active_units} of {self.latent_dim} units are active"
        predicted = self.predicted_active_units
        if self.verdict == HEALTHY and predicted is None:
            return f"{kept}."
        if self.verdict == HEALTHY:
            words = f"{kept}; the best linear VAE keeps {predicted}"
            surplus = self.latent_dim - self.active_units
            return words + (f", so the other {surplus} are not missed." if surplus else ".")
        if self.verdict == COLLAPSED:
            return (
                f"{kept}; without a Gaussian objective there is no prediction to say who caused it."
            )
        if self.verdict == COLLAPSED_BY_OBJECTIVE:
            return (
                f"{kept}: the objective amounts to a noise variance of {self.noise_variance:.3g}, "
                f"and no direction of the data varies more than that; no optimiser or schedule "
                f"mends it, a smaller KL weight or summed errors do."
            )
        return (
            f"{kept}, but {predicted} direction{'s' * (predicted > 1)} of the data var"
            f"{'y' if predicted > 1 else 'ies'} more than the noise variance "
            f"{self.noise_variance:.3g}: the optimum is elsewhere; anneal the KL weight, or train "
            f"a shallower network."
        )

    def _rows(self):
        yield "verdict", self.verdict
        predicted = self.predicted_active_units
        foretold = "" if predicted is None else f" (predicted: {predicted})"
        yield "active units", f"{self.active_units} of {self.latent_dim}{foretold}"
        foretold = (
            "" if predicted is None else f" (predicted: {self.predicted_kl_per_unit.sum():.2f})"
        )
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
            foretold = "" if predicted is None else f" (best linear VAE: {self.linear_elbo:.2f})"
            yield "ELBO, nats", f"{self.elbo:.2f}{foretold}"
        if self.noise_variance is not None:
            yield "noise variance", f"{self.noise_variance:.3g}"

    def __str__(self):
        lines = [f"{name:<25} {value}" for name, value in self._rows()]
        return "\n".join([*lines, self.explanation])

    __repr__ = __str__

    def _repr_html_(self):
        return _table.page(self._rows(), self.explanation)


def diagnose(
    model_or_encode,
    x,
    *,
    decode=None,
    objective=None,
    threshold=0.01,
    draws=8,
    seed=0,
    spectrum=None,
):
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
    x : array (n, ...)
        Data, at least two examples.
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
    spectrum : array (N,), optional
        That of ``x``, where it is known: many models of the same data need it once.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If ``x`` is unusable, the encoder does not give two arrays (n, D) of finite numbers, or
        the threshold is out of range.

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
    if not 0 < threshold < 1:
        raise ValueError(f"threshold={threshold!r} is no variance between 0 and 1: give one.")
    encode = model_or_encode
    if hasattr(model_or_encode, "encode"):
        vae = model_or_encode
        encode, objective = vae.encode, vae.objective
        decode = functools.partial(in_batches, vae.decoder)
    x = data.check(x, getattr(model_or_encode, "data_shape", None))
    if len(x) < 2:
        raise ValueError("x holds one example, but a variance needs two: give more data.")
    z_mean, z_log_var = _posterior(encode, x)
    data_dim, latent_dim = math.prod(x.shape[1:]), z_mean.shape[1]

    z_mean_variance = z_mean.var(axis=0)
    per_unit = np.asarray(kl_divergence(z_mean, z_log_var), float).mean(axis=0)
    information, ceiling = mutual_information(z_mean, z_log_var, seed=seed)
    measured = dict(
        data_dim=data_dim,
        latent_dim=latent_dim,
        kl_per_unit=per_unit,
        z_mean_variance=z_mean_variance,
        active=z_mean_variance > threshold,
        mutual_information=information,
        mutual_information_ceiling=ceiling,
    )
    if objective is not None and decode is not None:
        reconstruction = _reconstruction(objective, decode, x, z_mean, z_log_var, draws, seed)
        measured["reconstruction"] = reconstruction
        measured["elbo"] = objective.elbo(
            reconstruction, float(per_unit.sum()), data_dim, latent_dim
        )
    if objective is not None and objective.likelihood == "gaussian":
        noise_variance = objective.noise_variance(data_dim, latent_dim)
        spectrum = theory.spectrum(x if spectrum is None else spectrum)
        measured["noise_variance"] = noise_variance
        measured["predicted_kl_per_unit"] = theory.kl_per_unit(spectrum, noise_variance, latent_dim)
        measured["predicted_active_units"] = theory.active_units(
            spectrum, noise_variance, latent_dim, threshold
        )
        measured["linear_elbo"] = theory.elbo(spectrum, noise_variance, latent_dim)
    return Report(**measured)


def mutual_information(z_mean, z_log_var, batch=1024, seed=0):
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
    z = z_mean + np.exp(z_log_var / 2) * noise
    log_q = np.zeros((len(z), len(z)))  # (M, M): ln q(z_i | x_j), without the common constant
    for point, mean, log_var in zip(z.T, z_mean.T, z_log_var.T, strict=True):
        log_q -= 0.5 * ((point[:, None] - mean) ** 2 * np.exp(-log_var) + log_var)
    largest = log_q.max(axis=1, keepdims=True)
    log_mixture = largest[:, 0] + np.log(np.exp(log_q - largest).mean(axis=1))
    return float(np.mean(np.diag(log_q) - log_mixture)), math.log(len(z))


def _generator(seed):
    """Noise of its own: with the plain seed it could repeat the noise that made the data."""
    return np.random.default_rng([seed, 0x6E6F697365])


def _posterior(encode, x):
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


def _reconstruction(objective, decode, x, z_mean, z_log_var, draws, seed):
    """Mean over examples and draws of the summed reconstruction error."""
    random = _generator(seed)
    total = 0.0
    for _ in range(draws):
        z = z_mean + np.exp(z_log_var / 2) * random.standard_normal(z_mean.shape)
        decoded = np.asarray(decode(z.astype(np.float32)))
        error, _ = objective.terms(x, decoded, z_mean, z_log_var)
        total += float(ops.mean(error))
    return total / draws
