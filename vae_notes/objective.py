r"""The two terms of the VAE objective, their reductions, and what a reduction means.

A VAE minimises, for each example with ``data_dim`` = N numbers and ``latent_dim`` = D latent units,

.. math:: w_\text{rec} \sum_{i=1}^N r_i + w_\text{KL} \sum_{j=1}^D k_j ,

where :math:`r_i` is the error of one data dimension and :math:`k_j` the KL divergence of one latent
unit. "Sum or mean?" is a choice of the two weights and of nothing else. For squared errors the
pair is a noise variance, :math:`\sigma^2 = w_\text{KL} / (2 w_\text{rec})`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_notes import _check, likelihoods
from vae_notes._arrays import alike, namespace
from vae_notes.likelihoods import Likelihood, same_shape
from vae_notes.schedules import Schedule

__all__ = ["Objective", "kl_divergence", "weighted_loss"]

REDUCTIONS = ("sum", "mean")


def kl_divergence(z_mean: Any, z_log_var: Any) -> Any:
    r"""KL divergence of each latent unit from the standard normal prior.

    .. math:: k_j = \tfrac{1}{2} (\mu_j^2 + \sigma_j^2 - 1 - \ln \sigma_j^2)

    Parameters
    ----------
    z_mean, z_log_var : array or tensor (B, D)
        Mean and log-variance of q(z|x), of one shape.

    Returns
    -------
    array (B, D), float64, or tensor (B, D), float32, where a tensor is given
        In nats; nothing is reduced.

    Raises
    ------
    ValueError
        If the shapes differ, even where they would broadcast.

    References
    ----------
    Kingma & Welling (2014), appendix B.
    Taught in chapter 1, *The VAE objective*, section *The KL term, exactly*.

    Examples
    --------
    >>> kl_divergence([[0.0, 2.0]], [[0.0, 0.0]]).tolist()
    [[0.0, 2.0]]
    """
    z_mean, z_log_var = same_shape(z_mean=z_mean, z_log_var=z_log_var)
    # expm1 keeps the digits of a unit that has all but collapsed (z_log_var near 0).
    of = namespace(z_mean)
    return 0.5 * (of.square(z_mean) + of.expm1(z_log_var) - z_log_var)


def weighted_loss(reconstruction: Any, kl: Any, weights: tuple[Any, Any]) -> Any:
    r"""The training loss: the weighted sum of the two terms, averaged over the batch.

    .. math:: \frac{1}{B} \sum_{b=1}^B (w_\text{rec} R_b + w_\text{KL} K_b)

    Parameters
    ----------
    reconstruction, kl : array or tensor (B,)
        The terms of each example, from :meth:`Objective.terms`.
    weights : pair of floats
        From :meth:`Objective.weights`.

    Returns
    -------
    float or tensor ()
        In the units of the reconstruction term as it is weighted.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *Four reductions, one number*.

    Examples
    --------
    >>> float(weighted_loss(np.float32([4.0, 2.0]), np.float32([1.0, 3.0]), (1.0, 0.5)))
    4.0
    """
    reconstruction_weight, kl_weight = weights
    reconstruction, kl = alike(reconstruction, kl)
    losses = reconstruction_weight * reconstruction + kl_weight * kl
    return namespace(losses).mean(losses)


@dataclass(frozen=True, init=False)
class Objective:
    r"""A training objective: how each term is reduced, and the weight on the KL term.

    With squared errors it is, up to scale and constants, the negative ELBO of a Gaussian decoder
    whose noise variance :meth:`noise_variance` gives. With cross-entropy the decoder is Bernoulli.

    Parameters
    ----------
    reconstruction : {"sum", "mean"}
        Reduction of the reconstruction error over the N data dimensions.
    kl : {"sum", "mean"}
        Reduction of the KL divergence over the D latent units.
    kl_weight : float
        Weight on the reduced KL term, more than 0.
    likelihood : {"gaussian", "bernoulli"} or Likelihood
        Squared error of a mean, cross-entropy of logits, or one of :mod:`vae_notes.likelihoods`.

    Raises
    ------
    ValueError
        If one of them is none of these.

    References
    ----------
    Higgins et al. (2017), equation 4, for the weight; Lucas et al. (2019) for the noise variance.
    Taught in chapter 4, *Sum or mean?*, section *Four reductions, one number*.

    Examples
    --------
    >>> Objective("mean", "mean").noise_variance(data_dim=784, latent_dim=32)
    12.25
    >>> Objective("sum", "sum").noise_variance(data_dim=784, latent_dim=32)
    0.5
    """

    reconstruction: str
    kl: str
    kl_weight: float
    likelihood: Likelihood

    def __init__(
        self,
        reconstruction: str = "sum",
        kl: str = "sum",
        kl_weight: float = 1.0,
        likelihood: str | dict[str, Any] | Likelihood = "gaussian",
    ) -> None:
        _check.one_of("reconstruction", reconstruction, REDUCTIONS)
        _check.one_of("kl", kl, REDUCTIONS)
        remedy = "give one, and to train without the KL term use KLAnnealing(schedules.constant(0))"
        _check.number("kl_weight", kl_weight, above=0, remedy=remedy)
        kl_weight = float(str(kl_weight))  # of a float32 the number that it prints
        values = reconstruction, kl, kl_weight, likelihoods.get(likelihood)
        for name, value in zip(self.__dataclass_fields__, values, strict=True):
            object.__setattr__(self, name, value)

    @classmethod
    def for_noise_variance(cls, noise_variance: float) -> Objective:
        r"""The objective of a Gaussian decoder with a noise variance of your choice.

        .. math:: \text{SSE} + 2 \sigma^2 \, \text{KL}

        Parameters
        ----------
        noise_variance : float
            In squared units of the data, more than 0.

        Returns
        -------
        Objective
            Of two sums, with a KL weight of twice the variance.

        Raises
        ------
        ValueError
            If it is not a number above 0.

        Examples
        --------
        >>> Objective.for_noise_variance(0.05)
        Objective(reconstruction='sum', kl='sum', kl_weight=0.1, likelihood=Gaussian())
        """
        return cls(kl_weight=2 * float(noise_variance))

    def weights(self, data_dim: int, latent_dim: int, kl_weight: Any = None) -> tuple[float, Any]:
        r"""The weights on the two *summed* terms.

        Parameters
        ----------
        data_dim, latent_dim : int
            N and D, at least 1.
        kl_weight : float or tensor (), optional
            The weight in force, where it is not the objective's own (while it is annealed).

        Returns
        -------
        (reconstruction_weight, kl_weight)
            1 or 1/N, and the KL weight times 1 or 1/D.

        Raises
        ------
        ValueError
            If a dimension is not a whole number of at least 1.

        Examples
        --------
        >>> Objective("mean", "sum", kl_weight=0.5).weights(data_dim=64, latent_dim=8)
        (0.015625, 0.5)
        """
        averaged, kl_averaged = self._averaged(data_dim, latent_dim)
        kl_weight = self.kl_weight if kl_weight is None else kl_weight
        return 1 / averaged, kl_weight / kl_averaged

    def beta(self, data_dim: int, latent_dim: int) -> float:
        r"""The weight on the summed KL term for a weight of 1 on the summed reconstruction term.

        .. math:: \beta = w_\text{KL} / w_\text{rec}

        Parameters
        ----------
        data_dim, latent_dim : int
            N and D.

        Returns
        -------
        float
            If Gaussian in squared units of the data per nat, if Bernoulli without unit.

        Raises
        ------
        ValueError
            If a dimension is not a whole number of at least 1.

        Examples
        --------
        >>> Objective("mean", "sum").beta(data_dim=64, latent_dim=8)
        64.0
        """
        averaged, kl_averaged = self._averaged(data_dim, latent_dim)
        return self.kl_weight * averaged / kl_averaged

    def _averaged(self, data_dim: int, latent_dim: int) -> tuple[int, int]:
        """What each reduction divides its sum by."""
        _check.whole("data_dim", data_dim)
        _check.whole("latent_dim", latent_dim)
        return (
            data_dim if self.reconstruction == "mean" else 1,
            latent_dim if self.kl == "mean" else 1,
        )

    def noise_variance(self, data_dim: int, latent_dim: int) -> float:
        r"""The variance of the Gaussian decoder whose negative ELBO this objective is.

        .. math:: \sigma^2 = \beta / 2 = w_\text{KL} / (2 w_\text{rec})

        Parameters
        ----------
        data_dim, latent_dim : int
            N and D.

        Returns
        -------
        float
            In squared units of the data.

        Raises
        ------
        ValueError
            If the likelihood is Bernoulli, which has no noise variance.

        References
        ----------
        Lucas et al. (2019), section 4; Dai & Wipf (2019) and Rybkin et al. (2021) for a variance
        that is learned.

        Examples
        --------
        >>> Objective("mean", "mean").noise_variance(data_dim=64, latent_dim=8)
        4.0
        """
        noise_variance = self.likelihood.noise_variance(self.beta(data_dim, latent_dim))
        if noise_variance is None:
            raise ValueError(
                f"A {self.likelihood.name.title()} objective has no noise variance: ask for beta, "
                f"or use likelihood='gaussian'."
            )
        return noise_variance

    def terms(self, x: Any, decoded: Any, z_mean: Any, z_log_var: Any) -> tuple[Any, Any]:
        r"""The two terms of each example, summed over all their dimensions.

        Parameters
        ----------
        x, decoded : array or tensor (B, ...)
            The data, and what the decoder gives for it: means, or logits if Bernoulli.
        z_mean, z_log_var : array or tensor (B, D)
            Mean and log-variance of q(z|x).

        Returns
        -------
        (reconstruction, kl) : arrays (B,), float64, or tensors (B,), float32, where one is given
            Sum of squared errors, or cross-entropy in nats; KL divergence in nats.

        Raises
        ------
        ValueError
            If shapes differ where they must not.

        Examples
        --------
        >>> import numpy as np
        >>> x, z = np.ones((2, 28, 28, 1)), np.zeros((2, 8))
        >>> reconstruction, kl = Objective().terms(x, 0 * x, z, z)
        >>> reconstruction.tolist(), kl.tolist()
        ([784.0, 784.0], [0.0, 0.0])
        """
        reconstruction = _sum_example(self.likelihood.error(x, decoded))
        reconstruction, kl = alike(reconstruction, _sum_example(kl_divergence(z_mean, z_log_var)))
        return reconstruction, kl

    def elbo(self, reconstruction: Any, kl: Any, data_dim: int, latent_dim: int) -> Any:
        r"""The evidence lower bound that the two summed terms amount to.

        .. math:: -\frac{R}{2 \sigma^2} - \frac{N}{2} \ln(2 \pi \sigma^2) - K
                  \quad\text{(Gaussian)}, \qquad -R - K \quad\text{(Bernoulli)}

        R is the reconstruction term and K the KL term. Neither is weighted and all constants are
        there, so this bounds log p(x) of the model which the objective describes, whatever weight
        the KL term has at the moment.

        Parameters
        ----------
        reconstruction, kl : float, or array or tensor (...)
            From :meth:`terms`.
        data_dim, latent_dim : int
            N and D.

        Returns
        -------
        of the kind given
            In nats per example.

        References
        ----------
        Kingma & Welling (2014), equation 3.

        Examples
        --------
        >>> round(Objective().elbo(reconstruction=4.0, kl=1.0, data_dim=64, latent_dim=8), 3)
        -41.631
        """
        beta = self.beta(data_dim, latent_dim)
        return self.likelihood.log_likelihood(reconstruction, beta, data_dim) - kl

    def kl_weight_at(self, epoch: float, schedule: Schedule) -> float:
        r"""The KL weight in force at an epoch while a schedule anneals it.

        .. math:: w(e) = w \cdot \text{schedule}(e)

        Parameters
        ----------
        epoch : float
            From 0; the whole epochs done and the part of the next one.
        schedule : callable
            From :mod:`vae_notes.schedules`, or any function of the epoch; 1 is the whole weight.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If the schedule gives something else than a finite number of at least 0.

        References
        ----------
        Bowman et al. (2016), section 3.1.
        Taught in chapter 5, *KL annealing*, section *The recipe*.

        Examples
        --------
        >>> from vae_notes import schedules
        >>> Objective(kl_weight=4.0).kl_weight_at(1.5, schedules.linear(start=1, length=2))
        1.0
        """
        fraction = schedule(epoch)
        if isinstance(fraction, np.ndarray) and not fraction.shape:
            fraction = fraction.item()
        remedy = "give one of vae_notes.schedules, or a function to such numbers"
        return self.kl_weight * _check.number(
            f"schedule({epoch:g})", fraction, least=0, remedy=remedy
        )

    def get_config(self) -> dict[str, Any]:
        """A dictionary of plain values from which ``Objective(**config)`` makes an equal one."""
        return {**vars(self), "likelihood": self.likelihood.get_config()}


def _sum_example(per_dimension: Any) -> Any:
    axes = tuple(range(1, len(per_dimension.shape)))
    return namespace(per_dimension).sum(per_dimension, axis=axes)  # (B, ...) -> (B,)
