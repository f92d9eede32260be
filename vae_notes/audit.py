r"""Audit a loss before training: the noise that it assumes, and the units that it can keep.

Whatever is summed, averaged and weighted in a loss comes to two numbers, the weights on the summed
terms. Their ratio decides what the optimum is, their common factor only how fast a plain gradient
gets there. :func:`audit` works out both and holds the ratio against the data.
"""

import math
from dataclasses import dataclass

import numpy as np

from vae_notes import _table, theory
from vae_notes.data import check
from vae_notes.objective import Objective

__all__ = ["Audit", "audit"]

THRESHOLD = 0.01  # of an active unit, as in the diagnosis


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """What :func:`audit` found; prints as text in a terminal and as a table in a notebook.

    Attributes
    ----------
    data_dim, latent_dim : int
        N and D.
    likelihood : str
        "gaussian" or "bernoulli".
    weights : (float, float)
        On the summed reconstruction term and on the summed KL term, common factor included.
    beta : float
        Their ratio.
    noise_variance : float or None
        Of the Gaussian decoder, beta / 2; None if Bernoulli.
    largest_eigenvalue : float or None
        What the noise variance is to be compared with; if Bernoulli, what beta is.
    predicted_kl_per_unit : array (D,) or None
        Of the best linear VAE on the data, in nats; None without data or if Bernoulli.
    predicted_active_units : int or None
        How many of its units are active.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *Audit your loss*.

    Examples
    --------
    >>> found = audit(("sum", "sum"), data_dim=3, latent_dim=2, data=[4.0, 1.0, 0.1])
    >>> found.predicted_active_units, found.collapses
    (2, False)
    """

    data_dim: int
    latent_dim: int
    likelihood: str
    weights: tuple
    beta: float
    noise_variance: float | None = None
    largest_eigenvalue: float | None = None
    predicted_kl_per_unit: np.ndarray | None = None
    predicted_active_units: int | None = None

    @property
    def predicted_kl(self):
        """KL divergence of the best linear VAE, summed over units, in nats."""
        if self.predicted_kl_per_unit is None:
            return None
        return float(self.predicted_kl_per_unit.sum())

    @property
    def collapses(self):
        """Whether every unit does; if Bernoulli, whether the collapsed VAE is a local optimum."""
        if self.largest_eigenvalue is None:
            return None
        level = self.beta if self.noise_variance is None else self.noise_variance
        return bool(self.largest_eigenvalue <= level)

    @property
    def sentence(self):
        """What was found, in words."""
        if self.likelihood == "bernoulli":
            return self._bernoulli_sentence()
        assumed = (
            f"The loss takes every data value to carry noise of variance {self.noise_variance:.4g}"
        )
        if self.collapses is None:
            return f"{assumed}; count the eigenvalues of your data above it."
        if self.collapses:
            excess = self.noise_variance / self.largest_eigenvalue
            return (
                f"{assumed}, and no direction of these data varies more than "
                f"{self.largest_eigenvalue:.3g}: every unit collapses, unless the KL weight is "
                f"divided by more than {excess:.3g}."
            )
        units = self.predicted_active_units
        count = f"{units} unit is" if units == 1 else f"{units} units are"
        words = f"{assumed}: {count} worth their price to a linear VAE"
        surplus = self.latent_dim - units
        return words + (f", and the other {surplus} stay empty." if surplus else ", all it has.")

    def _bernoulli_sentence(self):
        words = (
            f"A Bernoulli decoder has no noise variance; the loss weighs the KL term with "
            f"beta = {self.beta:.4g}"
        )
        if self.collapses is None:
            return f"{words}, and 1 is the ELBO."
        which = "does not exceed" if self.collapses else "exceeds"
        then = (
            "a collapsed VAE is a local optimum"
            if self.collapses
            else "a collapsed VAE is no optimum, though how many units stay is not predicted"
        )
        return (
            f"{words}, which the largest eigenvalue of the data in Bernoulli units, "
            f"{self.largest_eigenvalue:.3g}, {which}: {then}."
        )

    def _rows(self):
        yield "dimensions", f"N = {self.data_dim}, D = {self.latent_dim}"
        yield "weights on the sums", " and ".join(f"{w:.3g}" for w in self.weights)
        yield "beta", f"{self.beta:.4g}"
        none = "none (Bernoulli)"
        yield (
            "noise variance",
            none if self.noise_variance is None else f"{self.noise_variance:.4g}",
        )
        if self.largest_eigenvalue is not None:
            where = "" if self.noise_variance else ", Bernoulli units"
            yield f"largest eigenvalue{where}", f"{self.largest_eigenvalue:.3g}"
        if self.predicted_active_units is not None:
            yield "predicted active units", f"{self.predicted_active_units} of {self.latent_dim}"
            yield "predicted KL, nats", f"{self.predicted_kl:.2f}"

    def __str__(self):
        return "\n".join([*(f"{name:<36} {value}" for name, value in self._rows()), self.sentence])

    __repr__ = __str__

    def _repr_html_(self):
        return _table.page(self._rows(), self.sentence)


def audit(
    objective,
    data_dim,
    latent_dim,
    data=None,
    *,
    reconstruction_weight=1.0,
    factor=1.0,
    mean_axes=None,
):
    r"""Say what a loss assumes, and which latent units it can keep on given data.

    The loss is, for each example and averaged over the batch,

    .. math:: f \, (r \cdot \text{reduced errors} + w \cdot \text{reduced KL})

    For squared errors the optimum of a linear VAE follows from the noise variance and the spectrum
    of the data. For cross-entropy there is only a local statement: with p the mean of the data and
    logits near those of p, the error is to second order that of a Gaussian decoder with noise
    variance beta for the data in Bernoulli units,

    .. math:: \tilde x_i = (x_i - p_i) / \sqrt{p_i (1 - p_i)} ,

    so the collapsed VAE is a local optimum exactly when beta exceeds their largest eigenvalue.

    Parameters
    ----------
    objective : Objective or pair of str
        Reductions, KL weight w and likelihood, or only the two reductions, as in
        ``("mean", "sum")``.
    data_dim : int or tuple of int
        N, or the shape of an example such as (28, 28, 1).
    latent_dim : int
        D.
    data : array (n, N) or (n, ...), or a spectrum (N,), optional
        What the loss is to be trained on; a spectrum only where the likelihood is Gaussian.
    reconstruction_weight : float
        The weight r on the reduced errors, more than 0.
    factor : float
        The factor f on the whole loss, more than 0.
    mean_axes : int or tuple of int, optional
        Axes of an example that are averaged while the others are summed, for a loss that does
        some of both: -1 for an average over channels.

    Returns
    -------
    Audit

    Raises
    ------
    ValueError
        If a weight is not positive, ``mean_axes`` names no axes of ``data_dim`` or comes with
        "mean", or the data do not have N values or lie outside [0, 1] where Bernoulli.

    References
    ----------
    Lucas et al. (2019), section 4; Dai & Wipf (2019). Taught in chapter 4, *Sum or mean?*
    Taught in chapter 4, *Sum or mean?*, section *Audit your loss*.

    Examples
    --------
    Means of both terms at N = 784 and D = 32, as in the Keras guide on subclassing:

    >>> found = audit(("mean", "mean"), data_dim=784, latent_dim=32)
    >>> found.noise_variance, found.beta
    (12.25, 24.5)

    An average over three channels and a sum over the pixels:

    >>> audit(("sum", "sum"), data_dim=(64, 64, 3), latent_dim=32, mean_axes=-1).beta
    3.0
    """
    if not isinstance(objective, Objective):
        objective = _from_reductions(objective)
    for name, value in (("reconstruction_weight", reconstruction_weight), ("factor", factor)):
        if not (isinstance(value, (int, float)) and 0 < value < math.inf):
            raise ValueError(f"{name}={value!r} is no weight: give a number above 0.")
    shape = tuple(data_dim) if isinstance(data_dim, (tuple, list)) else (data_dim,)
    data_dim = math.prod(shape)
    averaged = _averaged(shape, mean_axes, objective)
    beta = objective.beta(data_dim, latent_dim) * averaged / reconstruction_weight
    # The same loss once more, with both terms summed: Objective knows the rest.
    summed = Objective(kl_weight=beta, likelihood=objective.likelihood)
    own, _ = objective.weights(data_dim, latent_dim)
    common = factor * reconstruction_weight * own / averaged
    found = dict(
        data_dim=data_dim,
        latent_dim=latent_dim,
        likelihood=objective.likelihood,
        weights=(common, common * beta),
        beta=beta,
    )
    if objective.likelihood == "gaussian":
        found |= _gaussian(summed.noise_variance(data_dim, latent_dim), data_dim, latent_dim, data)
    elif data is not None:
        found["largest_eigenvalue"] = _spectrum(_bernoulli_units(data), data_dim)[0]
    return Audit(**found)


def _gaussian(noise_variance, data_dim, latent_dim, data):
    found = dict(noise_variance=noise_variance)
    if data is not None:
        spectrum = _spectrum(data, data_dim)
        found["largest_eigenvalue"] = float(spectrum[0])
        found["predicted_kl_per_unit"] = theory.kl_per_unit(spectrum, noise_variance, latent_dim)
        found["predicted_active_units"] = theory.active_units(
            spectrum, noise_variance, latent_dim, THRESHOLD
        )
    return found


def _spectrum(data, data_dim):
    spectrum = theory.spectrum(data)
    if len(spectrum) != data_dim:
        raise ValueError(
            f"The data have {len(spectrum)} values each and data_dim is {data_dim}: give the "
            f"dimensions of these data."
        )
    return spectrum


def _bernoulli_units(data):
    """Data minus their mean p, in standard deviations of a Bernoulli variable of mean p."""
    x = check(data).astype(np.float64).reshape(len(data), -1)
    if x.min() < 0 or x.max() > 1:
        raise ValueError(
            f"The data range from {x.min():.3g} to {x.max():.3g}, but a Bernoulli decoder is for "
            f"[0, 1]: scale them, or use squared errors."
        )
    p = x.mean(axis=0)
    deviation = np.sqrt(p * (1 - p))
    # A pixel that is always 0 or always 1 has nothing to say.
    return np.divide(x - p, deviation, out=np.zeros_like(x), where=deviation > 0)


def _from_reductions(reductions):
    if not isinstance(reductions, (tuple, list)) or len(reductions) != 2:
        raise ValueError(
            f"objective={reductions!r} is no objective: give an Objective, or two reductions such "
            f'as ("mean", "sum").'
        )
    return Objective(*reductions)


def _averaged(shape, axes, objective):
    """Over how many values the errors are averaged beyond what the objective says."""
    if axes is None:
        return 1
    axes = tuple(axes) if isinstance(axes, (tuple, list)) else (axes,)
    rank = len(shape)
    if not all(isinstance(a, int) and -rank <= a < rank for a in axes) or len(
        {a % rank for a in axes}
    ) < len(axes):
        raise ValueError(
            f"mean_axes={axes} are not axes of an example of shape {shape}: give data_dim as the "
            f"shape, and axes of it."
        )
    if objective.reconstruction == "mean":
        raise ValueError(
            'mean_axes was given with "mean", which averages all axes: use "sum" for the others.'
        )
    return math.prod(shape[a] for a in axes)
