r"""What a decoder's output says about the data: the likelihoods p(x|z).

A likelihood turns the decoder's output into an error for each data dimension, which is what the
objective adds up; into a mean, which is what a picture shows; and into a log-likelihood in nats. It
knows which data it is for, what a decoder without a code would reach, and what the law of the
linear VAE says of it. A new one is a class here and its name in ``LIKELIHOODS``.

``beta`` is the weight on the summed KL term for a weight of 1 on the summed errors, from
:meth:`vae_notes.objective.Objective.beta`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from vae_notes import _check
from vae_notes._arrays import NUMPY, alike, namespace
from vae_notes._keras import keras
from vae_notes.data import check

__all__ = ["Bernoulli", "Gaussian", "Likelihood", "cross_entropy", "get", "squared_error"]

RAREST = 1e-6  # the least mean of a pixel of which the logit is taken, which is -14
ACTIVATIONS = {"linear": np.positive, "sigmoid": special.expit}  # of arrays, by Keras's names


def squared_error(x: Any, x_mean: Any) -> Any:
    r"""Squared error of each data dimension.

    .. math:: r_i = (x_i - \hat x_i)^2

    Parameters
    ----------
    x, x_mean : array or tensor (B, ...)
        The data and the decoder's mean, of one shape.

    Returns
    -------
    array (B, ...), float64, or tensor (B, ...), float32, where a tensor is given
        In squared units of the data; nothing is reduced.

    Raises
    ------
    ValueError
        If the shapes differ, even where they would broadcast.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *N times the mean is the sum*.

    Examples
    --------
    >>> squared_error([[1.0, 2.0]], [[1.0, 0.0]]).tolist()
    [[0.0, 4.0]]
    """
    x, x_mean = same_shape(x=x, x_mean=x_mean)
    return namespace(x).square(x - x_mean)


def cross_entropy(x: Any, logits: Any) -> Any:
    r"""Cross-entropy of each data dimension with a Bernoulli decoder that gives logits.

    .. math:: r_i = -x_i \ln s(l_i) - (1 - x_i) \ln(1 - s(l_i)), \quad s(l) = 1 / (1 + e^{-l})

    Parameters
    ----------
    x : array or tensor (B, ...)
        Data in [0, 1].
    logits : array or tensor (B, ...)
        The decoder's output before a sigmoid, of the shape of ``x``.

    Returns
    -------
    array (B, ...), float64, or tensor (B, ...), float32, where a tensor is given
        In nats; nothing is reduced.

    Raises
    ------
    ValueError
        If the shapes differ, even where they would broadcast.

    References
    ----------
    Kingma & Welling (2014), appendix C.1.
    Taught in chapter 4, *Sum or mean?*, section *Cross-entropy*.

    Examples
    --------
    >>> cross_entropy([[1.0, 0.0]], [[0.0, 0.0]]).round(4).tolist()
    [[0.6931, 0.6931]]
    """
    x, logits = same_shape(x=x, logits=logits)
    of = namespace(x)
    return of.relu(logits) - logits * x + of.log1p(of.exp(-of.abs(logits)))


@dataclass(frozen=True)
class Likelihood:
    """What every likelihood has; equal ones share a compiled program.

    Attributes
    ----------
    name : str
        As in ``Objective(likelihood="gaussian")``.
    support : (float, float)
        Least and greatest value that the data may have.
    activation : str
        By its Keras name, what turns the decoder's output into the mean.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *Cross-entropy*.

    Examples
    --------
    >>> get("bernoulli").support
    (0.0, 1.0)
    """

    name: ClassVar[str]
    support: ClassVar[tuple[float, float]]
    activation: ClassVar[str]

    def error(self, x: Any, decoded: Any) -> Any:
        """The error of each data dimension, (B, ...), of the decoder's output."""
        raise NotImplementedError

    def mean(self, decoded: Any) -> Any:
        """The mean of p(x|z), in units of the data, of the decoder's output."""
        if namespace(decoded) is NUMPY:
            return ACTIVATIONS[self.activation](np.asarray(decoded, np.float64))
        return keras.activations.get(self.activation)(decoded)

    def noise_variance(self, beta: float) -> float | None:
        """The variance of p(x|z) where it is one number, in squared units of the data."""
        raise NotImplementedError

    def log_likelihood(self, error: Any, beta: float, data_dim: int) -> Any:
        """ln p(x|z) in nats, of the error summed over the data dimensions."""
        raise NotImplementedError

    def standardised(self, x: ArrayLike) -> NDArray[np.float64]:
        """The data (n, N) in the units in which the law of the linear VAE speaks of them."""
        raise NotImplementedError

    def unit(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """What standardised data of this mean (N,) are measured in, (N,), in units of the data."""
        raise NotImplementedError

    def critical_variance(self, beta: float) -> float:
        """A collapsed VAE is a local optimum if no standardised direction varies more than this."""
        raise NotImplementedError

    def natural(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the decoder gives for this mean, of any shape; finite."""
        raise NotImplementedError

    def log_partition(self, natural: NDArray[np.float64]) -> NDArray[np.float64]:
        r"""A of a decoder's output of any shape, in p proportional to :math:`e^{x l - A(l)}`.

        The error divided by beta is (A(l) - x l) / :meth:`critical_variance`, but for what does
        not depend on l.
        """
        raise NotImplementedError

    def baseline_rows(
        self, x: ArrayLike, beta: float, x_train: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """ln p(x) of each example, (n,) in nats, under the best decoder that ignores z.

        Parameters
        ----------
        x : array (n, ...)
        beta : float
        x_train : array (m, ...), optional
            What that decoder is fitted on, instead of x.
        """
        raise NotImplementedError

    def baseline(self, x: ArrayLike, beta: float) -> float:
        """Mean ln p(x) of the best decoder that ignores z, in nats per example."""
        return float(self.baseline_rows(x, beta).mean())

    def check(self, x: NDArray) -> None:
        """Refuse data outside the support.

        Raises
        ------
        ValueError
            If a value is.
        """
        least, most = self.support
        if x.min() < least or x.max() > most:
            raise ValueError(
                f"The data range from {x.min():.3g} to {x.max():.3g}, but a {self.name.title()} "
                f"decoder is for [{least:g}, {most:g}]: scale them, or use squared errors."
            )

    def get_config(self) -> dict[str, Any]:
        """A dictionary from which :func:`get` makes an equal likelihood."""
        return {"name": self.name} | asdict(self)


@dataclass(frozen=True)
class Gaussian(Likelihood):
    r"""Squared errors: the decoder gives a mean, and :math:`\beta` the variance of the noise.

    .. math:: \ln p(x|z) = -\frac{R}{2 \sigma^2} - \frac{N}{2} \ln(2 \pi \sigma^2), \quad
              R = \sum_i (x_i - \hat x_i)^2, \quad \sigma^2 = \beta / 2

    Attributes
    ----------
    name, support, activation
        "gaussian"; all numbers; "linear".

    References
    ----------
    Lucas et al. (2019), section 4.
    Taught in chapter 4, *Sum or mean?*, section *Four reductions, one number*.

    Examples
    --------
    >>> Gaussian().noise_variance(beta=1.0)
    0.5
    >>> round(Gaussian().log_likelihood(4.0, beta=1.0, data_dim=64), 3)
    -40.631
    """

    name = "gaussian"
    support = (-math.inf, math.inf)
    activation = "linear"

    def error(self, x: Any, decoded: Any) -> Any:
        return squared_error(x, decoded)

    def noise_variance(self, beta: float) -> float:
        return beta / 2

    def log_likelihood(self, error: Any, beta: float, data_dim: int) -> Any:
        noise_variance = self.noise_variance(beta)
        log_normaliser = 0.5 * data_dim * math.log(2 * math.pi * noise_variance)
        return -error / (2 * noise_variance) - log_normaliser

    def standardised(self, x: ArrayLike) -> NDArray[np.float64]:
        return _flat(x)

    def unit(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.ones_like(mean)

    def critical_variance(self, beta: float) -> float:
        return self.noise_variance(beta)

    def natural(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        return mean

    def log_partition(self, natural: NDArray[np.float64]) -> NDArray[np.float64]:
        return natural**2 / 2

    def baseline_rows(
        self, x: ArrayLike, beta: float, x_train: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        rows, train = _rows_and_train(x, x_train)
        error = np.square(rows - train.mean(axis=0)).sum(axis=1)
        found: NDArray[np.float64] = self.log_likelihood(error, beta, rows.shape[1])
        return found


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    r"""Cross-entropy: the decoder gives logits, and there is no noise variance to choose.

    .. math:: \ln p(x|z) = -\sum_i r_i

    Near the logits of the mean p of the data, the error is to second order that of a Gaussian
    decoder with noise variance :math:`\beta` for the data in Bernoulli units,

    .. math:: \tilde x_i = (x_i - p_i) / \sqrt{p_i (1 - p_i)} .

    Attributes
    ----------
    name, support, activation
        "bernoulli"; 0 to 1; "sigmoid".

    References
    ----------
    Kingma & Welling (2014), appendix C.1.
    Taught in chapter 4, *Sum or mean?*, section *Cross-entropy*.

    Examples
    --------
    >>> Bernoulli().noise_variance(beta=1.0) is None
    True
    >>> round(Bernoulli().baseline(np.array([[0.0], [1.0]]), beta=1.0), 4)  # a coin
    -0.6931
    """

    name = "bernoulli"
    support = (0.0, 1.0)
    activation = "sigmoid"

    def error(self, x: Any, decoded: Any) -> Any:
        return cross_entropy(x, decoded)

    def noise_variance(self, beta: float) -> None:
        return None

    def log_likelihood(self, error: Any, beta: float, data_dim: int) -> Any:
        return -error

    def standardised(self, x: ArrayLike) -> NDArray[np.float64]:
        rows = _flat(x)
        self.check(rows)
        p = rows.mean(axis=0)
        deviation = self.unit(p)
        # A pixel that is always 0 or always 1 has nothing to say.
        return np.divide(rows - p, deviation, out=np.zeros_like(rows), where=deviation > 0)

    def unit(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.sqrt(np.maximum(mean * (1 - mean), 0))

    def critical_variance(self, beta: float) -> float:
        return beta

    def natural(self, mean: NDArray[np.float64]) -> NDArray[np.float64]:
        return special.logit(np.clip(mean, RAREST, 1 - RAREST))

    def log_partition(self, natural: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.logaddexp(0, natural)

    def baseline_rows(
        self, x: ArrayLike, beta: float, x_train: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        rows, train = _rows_and_train(x, x_train)
        self.check(rows)
        self.check(train)
        p = train.mean(axis=0)
        if x_train is not None:  # a pixel that was never on there may be on here
            p = (len(train) * p + 0.5) / (len(train) + 1)
        # 0 ln 0 = 0: a pixel that is always 0 or always 1 costs nothing
        logs: NDArray[np.float64] = special.xlogy(rows, p) + special.xlog1py(1 - rows, -p)
        return logs.sum(axis=1)


LIKELIHOODS: dict[str, type[Likelihood]] = {of.name: of for of in (Gaussian, Bernoulli)}


def get(likelihood: str | dict[str, Any] | Likelihood) -> Likelihood:
    """A likelihood by its name or from its configuration; one of them is returned as it is.

    Parameters
    ----------
    likelihood : str, dict or Likelihood
        Such as "gaussian".

    Returns
    -------
    Likelihood

    Raises
    ------
    ValueError
        If there is none of this name.

    References
    ----------
    Taught in chapter 4, *Sum or mean?*, section *Cross-entropy*.

    Examples
    --------
    >>> get("gaussian") == get(Gaussian().get_config()) == Gaussian()
    True
    """
    if isinstance(likelihood, Likelihood):
        return likelihood
    options: dict[str, Any] = {"name": likelihood} if isinstance(likelihood, str) else {}
    options |= likelihood if isinstance(likelihood, dict) else {}
    name = options.pop("name", likelihood)
    _check.one_of("likelihood", name, list(LIKELIHOODS))
    return LIKELIHOODS[name](**options)


def _flat(x: ArrayLike, name: str = "x") -> NDArray[np.float64]:
    rows = check(x, name=name, dtype=np.float64)
    return rows.reshape(len(rows), -1)


def _rows_and_train(
    x: ArrayLike, x_train: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as rows (n, N) of one N; without the second one, the first one twice."""
    rows = _flat(x)
    if x_train is None:
        return rows, rows
    train = _flat(x_train, "x_train")
    if train.shape[1] != rows.shape[1]:
        raise ValueError(
            f"x_train has {train.shape[1]} values an example and x has {rows.shape[1]}: give "
            f"examples of one kind."
        )
    return rows, train


def same_shape(**tensors: Any) -> list[Any]:
    """Two arrays or tensors of one shape; a silent broadcast here is a wrong loss."""
    name_a, name_b = tensors
    a, b = alike(*tensors.values())
    agree = len(a.shape) == len(b.shape) and all(
        m is None or n is None or m == n for m, n in zip(a.shape, b.shape, strict=True)
    )
    if not agree or len(a.shape) < 2:
        raise ValueError(
            f"{name_a} has shape {tuple(a.shape)} and {name_b} {tuple(b.shape)}: give both the "
            f"same shape, (batch, ...)."
        )
    return [a, b]
