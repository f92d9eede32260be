r"""Audit a loss before training: the noise that it assumes, and the units that it can keep.

Whatever is summed, averaged and weighted in a loss comes to two numbers, the weights on the summed
terms. Their ratio decides what the optimum is, their common factor only how fast a plain gradient
gets there. :func:`audit` works out both and holds the ratio against the data.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vae_notes import _check, theory
from vae_notes._passes import Blocks, gathered, is_source
from vae_notes._report import Printed
from vae_notes.likelihoods import Likelihood
from vae_notes.objective import Objective

__all__ = ["Audit", "audit"]


@dataclass(frozen=True, eq=False, repr=False)
class Audit(Printed):
    """What :func:`audit` found; prints as text in a terminal and as a table in a notebook.

    Attributes
    ----------
    data_dim, latent_dim : int
        N and D.
    likelihood : Likelihood
        Of the decoder.
    weights : (float, float)
        On the summed reconstruction term and on the summed KL term, common factor included.
    beta : float
        Their ratio.
    noise_variance : float or None
        Of the Gaussian decoder, beta / 2; None if Bernoulli.
    largest_eigenvalue : float or None
        What the noise variance is to be compared with; if Bernoulli, what beta is.
    predicted : Prediction or None
        What the best linear VAE does on the data; None without data or if Bernoulli.
    held_out : bool
        Whether the variances are those of rows held out, as for an array of fewer rows than ten
        for each dimension.
    test : CollapseTest or None
        Where collapse is a local optimum of data in an array, whether there is a better code.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *Audit your loss*.

    Examples
    --------
    >>> found = audit(("sum", "sum"), data_dim=3, latent_dim=2, data=[4.0, 1.0, 0.1])
    >>> found.predicted.active_units, found.collapses
    (2, False)
    """

    data_dim: int
    latent_dim: int
    likelihood: Likelihood
    weights: tuple[float, float]
    beta: float
    noise_variance: float | None = None
    largest_eigenvalue: float | None = None
    predicted: theory.Prediction | None = None
    held_out: bool = False
    test: theory.CollapseTest | None = None

    _width = 36

    @property
    def collapses(self) -> bool | None:
        """Whether the collapsed VAE is a local optimum; of linear ones, if Gaussian, the best."""
        if self.largest_eigenvalue is None:
            return None
        return bool(self.largest_eigenvalue <= self.likelihood.critical_variance(self.beta))

    @property
    def sentence(self) -> str:
        """The same as :attr:`explanation`."""
        return self.explanation

    @property
    def explanation(self) -> str:
        """What was found, in words."""
        if self.noise_variance is None:
            return self._without_noise_variance()
        assumed = (
            f"The loss takes every data value to carry noise of variance {self.noise_variance:.4g}"
        )
        if self.predicted is None:
            return f"{assumed}; count the eigenvalues of your data above it."
        if self.collapses:
            largest = self.predicted.largest_eigenvalue
            return (
                f"{assumed}, and no direction of these data varies more than "
                f"{largest:.3g}{self._where}: {self._collapse}; it is no optimum where the KL "
                f"weight is divided by more than {self.noise_variance / largest:.3g}."
            )
        units = self.predicted.active_units
        count = f"{units} unit is" if units == 1 else f"{units} units are"
        worth = f"worth {'its' if units == 1 else 'their'} price to a linear VAE"
        words = f"{assumed}: {count} {worth}{self._where}"
        surplus = self.latent_dim - units
        return words + (f", and the other {surplus} stay empty." if surplus else ", all it has.")

    def _without_noise_variance(self) -> str:
        kind = self.likelihood.name.title()
        words = (
            f"A {kind} decoder has no noise variance; the loss weighs the KL term with "
            f"beta = {self.beta:.4g}"
        )
        if self.collapses is None:
            return f"{words}, and 1 is the ELBO."
        which = "does not exceed" if self.collapses else "exceeds"
        then = (
            self._collapse
            if self.collapses
            else "a collapsed VAE is no optimum, though how many units stay is not predicted"
        )
        return (
            f"{words}, which the largest eigenvalue of the data in {kind} units, "
            f"{self.largest_eigenvalue:.3g}{self._where}, {which}: {then}."
        )

    @property
    def _where(self) -> str:
        return " on rows held out" if self.held_out else ""

    @property
    def _collapse(self) -> str:
        """What is known of a collapse that is a local optimum."""
        if self.test is None:
            linear = "" if self.noise_variance is None else " and of linear ones the best"
            return f"a collapsed VAE is a local optimum{linear}"
        if self.test.proven:
            return "a collapsed VAE is the best of every network"
        if self.test.better_code:
            return (
                "a collapsed VAE is a local optimum, but a search found that a better code exists, "
                "which annealing may reach"
            )
        return "a collapsed VAE is a local optimum, and a search found no better code"

    def to_dict(self) -> dict[str, Any]:
        """As a dictionary of plain values."""
        found = {name: getattr(self, name) for name in ("data_dim", "latent_dim", "beta")}
        found |= {"weights": list(self.weights), "likelihood": self.likelihood.name}
        found |= {"noise_variance": self.noise_variance, "collapses": self.collapses}
        found |= {"largest_eigenvalue": self.largest_eigenvalue, "explanation": self.explanation}
        if self.test is not None:
            found |= {"proven": self.test.proven, "better_code": self.test.better_code}
        if self.predicted is not None:
            found |= {"active_units": self.predicted.active_units, "kl": self.predicted.kl}
        return found

    def _rows(self) -> Iterator[tuple[str, str]]:
        kind = self.likelihood.name.title()
        yield "dimensions", f"N = {self.data_dim}, D = {self.latent_dim}"
        yield "weights on the sums", " and ".join(f"{w:.3g}" for w in self.weights)
        yield "beta", f"{self.beta:.4g}"
        if self.noise_variance is None:
            yield "noise variance", f"none ({kind})"
        else:
            yield "noise variance", f"{self.noise_variance:.4g}"
        if self.largest_eigenvalue is not None:
            where = "" if self.noise_variance else f", {kind} units"
            yield f"largest eigenvalue{where}", f"{self.largest_eigenvalue:.3g}{self._where}"
        if self.predicted is not None:
            yield "predicted active units", f"{self.predicted.active_units} of {self.latent_dim}"
            yield "predicted KL, nats", f"{self.predicted.kl:.2f}"


def audit(
    objective: Objective | tuple[str, str],
    data_dim: int | Sequence[int],
    latent_dim: int,
    data: theory.Data | None = None,
    *,
    reconstruction_weight: float = 1.0,
    factor: float = 1.0,
    mean_axes: int | Sequence[int] | None = None,
) -> Audit:
    r"""Say what a loss assumes, and which latent units it can keep on given data.

    The loss is, for each example and averaged over the batch,

    .. math:: f \, (r \cdot \text{reduced errors} + w \cdot \text{reduced KL})

    For squared errors the optimum of a linear VAE follows from the noise variance and the spectrum
    of the data. For cross-entropy there is only a local statement: with p the mean of the data and
    logits near those of p, the error is to second order that of a Gaussian decoder with noise
    variance beta for the data in Bernoulli units,

    .. math:: \tilde x_i = (x_i - p_i) / \sqrt{p_i (1 - p_i)} ,

    so the collapsed VAE is a local optimum exactly when beta exceeds their largest eigenvalue.
    Whether a network can do better than a local optimum :func:`vae_notes.theory.collapse_test`
    searches, where the data are an array.

    Parameters
    ----------
    objective : Objective or pair of str
        Reductions, KL weight w and likelihood, or only the two reductions, as in
        ``("mean", "sum")``.
    data_dim : int or tuple of int
        N, or the shape of an example such as (28, 28, 1).
    latent_dim : int
        D.
    data : array (n, N) or (n, ...), dataset or generator, or a spectrum, optional
        What the loss is to be trained on, as for :func:`vae_notes.theory.spectrum`; a spectrum
        only where the likelihood is Gaussian.
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
        "mean", the data do not have N values, do not vary, or lie outside [0, 1] where Bernoulli,
        or a dataset is empty or never ends.

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
    _check.number("reconstruction_weight", reconstruction_weight, above=0)
    _check.number("factor", factor, above=0)
    shape = tuple(data_dim) if isinstance(data_dim, (tuple, list)) else (data_dim,)
    count = math.prod(shape)
    averaged = _averaged(shape, mean_axes, objective)
    beta = objective.beta(count, latent_dim) * averaged / reconstruction_weight
    own, _ = objective.weights(count, latent_dim)
    common = factor * reconstruction_weight * own / averaged
    likelihood = objective.likelihood
    noise_variance = likelihood.noise_variance(beta)
    found = Audit(count, latent_dim, likelihood, (common, common * beta), beta, noise_variance)
    if data is None:
        return found
    if not _is_law(data) or (noise_variance is None and not isinstance(data, theory.Moments)):
        data = gathered(data)
    rows = _in_memory(data, count)
    held_out = rows is not None and len(rows) < theory.FEW * count
    given = rows if held_out else data
    predicted = None
    if noise_variance is None:
        law = _law(_standardised(likelihood, given, count), count, 1, held_out)
    else:
        law = _law(given, count, latent_dim, held_out)
        predicted = theory.predict(law, noise_variance, latent_dim)
    largest = float(law.leading[0])
    found = replace(found, held_out=held_out, largest_eigenvalue=largest, predicted=predicted)
    if rows is None or not found.collapses:
        return found
    return replace(found, test=theory.collapse_test(rows, beta, likelihood))


def _is_law(data: Any) -> bool:
    """Whether it is a spectrum or moments, and no examples."""
    if isinstance(data, (theory.Spectrum, theory.Moments)):
        return True
    return not isinstance(data, Blocks) and not is_source(data) and np.ndim(data) == 1


def _in_memory(data: Any, data_dim: int) -> Any:
    """The examples as rows (n, N), where they are an array; None of anything else."""
    if isinstance(data, Blocks):
        data = data.whole
    if data is None or _is_law(data):
        return None
    rows = data.reshape(len(data), -1)
    _same_dimension(rows.shape[1], data_dim)
    if not (rows != rows[0]).any():
        raise _constant()
    return rows


def _law(data: Any, data_dim: int, wanted: int, held_out: bool) -> theory.Spectrum:
    if isinstance(data, Blocks):  # which would take a while
        _same_dimension(data.data_dim, data_dim)
    if held_out:
        law = theory.held_out_spectrum(data, wanted)
    else:
        law = theory.spectrum(data, leading=wanted)
    _same_dimension(law.data_dim, data_dim)
    if not law.total:
        raise _constant()
    return law


def _constant() -> ValueError:
    return ValueError(
        "The data do not vary, so that a code has nothing to tell: give examples that differ."
    )


def _same_dimension(found: int, data_dim: int) -> None:
    if found != data_dim:
        raise ValueError(
            f"The data have {found} values each and data_dim is {data_dim}: give the dimensions "
            f"of these data."
        )


def _standardised(likelihood: Likelihood, data: Any, data_dim: int) -> Any:
    """The data in units of the likelihood, or their moments in these units."""
    if not isinstance(data, theory.Moments):
        data = gathered(data)
        if not isinstance(data, Blocks):
            return likelihood.standardised(data)
        if data.whole is not None and len(data.whole) < data.data_dim:
            return likelihood.standardised(data.whole)
        _same_dimension(data.data_dim, data_dim)
        moments = theory.Moments()
        for block in data:
            likelihood.check(block)
            moments.update(block)
        data = moments
    return data.in_units_of(likelihood.unit(data.mean))


def _from_reductions(reductions: Any) -> Objective:
    if not isinstance(reductions, (tuple, list)) or len(reductions) != 2:
        raise ValueError(
            f"objective={reductions!r} is no objective: give an Objective, or two reductions such "
            f'as ("mean", "sum").'
        )
    return Objective(*reductions)


def _averaged(shape: tuple[int, ...], axes: Any, objective: Objective) -> int:
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
