r"""The linear VAE in closed form: what a loss can keep, counted before training.

Let the data have ``data_dim`` = N dimensions, mean :math:`\mu` and covariance eigenvalues
:math:`\lambda_1 \ge \dots \ge \lambda_N` with eigenvectors :math:`u_i`. A linear VAE with
``latent_dim`` = D units and Gaussian noise of variance :math:`\sigma^2` is

.. math:: z \sim N(0, I_D), \qquad x \mid z \sim N(W^T z + b, \sigma^2 I_N), \\
          q(z \mid x) = N(V^T x + a, \operatorname{diag} s^2),

with s squared the posterior variances, and ``W`` and ``V`` laid out as Keras kernels, (D, N) and
(N, D). Its best ELBO is the likelihood of probabilistic PCA, and everything about the optimum can
be read off the spectrum: unit i is in use exactly when :math:`\lambda_i > \sigma^2`.

Every ``data`` below is an array (n, N), or (n, ...) which is flattened, or directly a spectrum
(N,). It may also be what does not fit into memory, a ``tf.data.Dataset`` or a generator of batches
(B, ...): one pass over it gathers its :class:`Moments`. The law needs of a spectrum its D largest
values and the sum of the others, a :class:`Spectrum`, and of large data it finds no more than that.
All is NumPy in float64; all information is in nats. ``latent_dim=None`` means as many units as data
dimensions; units beyond N collapse.

References
----------
Tipping & Bishop (1999), *Probabilistic principal component analysis*, JRSS B 61(3), cited below
by the numbers of its equations. Lucas et al. (2019), *Don't Blame the ELBO!*, NeurIPS.

Examples
--------
Sums of squares and of KL say noise variance 1/2; means of both, at N = 64 and D = 8, say 4.

>>> from vae_notes import data, theory
>>> x = data.digits()
>>> theory.active_units(x, noise_variance=0.5, latent_dim=8)
3
>>> theory.active_units(x, noise_variance=4.0, latent_dim=8)
0
"""

import contextlib
import functools
import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg
from scipy.sparse.linalg import LinearOperator, eigsh
from threadpoolctl import ThreadpoolController

from vae_notes import _check, likelihoods
from vae_notes._collapse_test import CollapseTest, bound, excess
from vae_notes._passes import LARGE, Blocks, gathered, is_source
from vae_notes.data import check

__all__ = [
    "ACTIVE",
    "CollapseTest",
    "LinearVAE",
    "Moments",
    "Prediction",
    "Spectrum",
    "active_units",
    "collapse_test",
    "elbo",
    "held_out_elbo",
    "held_out_spectrum",
    "kl_per_unit",
    "log_marginal_likelihood",
    "maximum_likelihood_noise_variance",
    "optimal_parameters",
    "predict",
    "spectrum",
    "z_mean_variance",
]

Floats = NDArray[np.float64]

#: A unit is active where the variance over the data of its posterior mean exceeds this.
#:
#: Burda et al. (2016), section 5.2.
#: Taught in chapter 2, *Posterior collapse*, section *How to measure it*.
ACTIVE = 0.01


#: The most values of an example of which :class:`Moments` are gathered: a covariance of 2 GiB.
MOST_DIMENSIONS = 2**14
LANCZOS = 32  # of m eigenvalues, a part of one in so many is found one by one
FEW = 10  # rows for each dimension; the spectrum of fewer promises what is not there


@dataclass(frozen=True, eq=False)
class Spectrum:
    r"""What the law needs of data: the leading eigenvalues of their covariance, and their total.

    Attributes
    ----------
    leading : array (k,), float64
        The largest eigenvalues, largest first, in squared units of the data.
    total : float
        The sum of all N, which is the sum of the variances of the data dimensions.
    data_dim : int
        N.

    Raises
    ------
    ValueError
        If they are those of no covariance.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    >>> found = Spectrum([4.0, 1.0], total=5.5, data_dim=7)
    >>> active_units(found, noise_variance=0.5, latent_dim=2)
    2
    >>> round(maximum_likelihood_noise_variance(found, latent_dim=2), 4)
    0.1
    """

    leading: Floats
    total: float
    data_dim: int

    def __post_init__(self) -> None:
        leading = _sorted_spectrum(self.leading)
        object.__setattr__(self, "leading", leading)
        _check.whole("data_dim", self.data_dim, least=len(leading))
        least = float(leading.sum()) * (1 - 1e-9)  # less than that is round-off
        remedy = "give the sum of all eigenvalues, of which the leading ones are a part"
        _check.number("total", self.total, least=least, remedy=remedy)

    @property
    def rest(self) -> float:
        """The sum of the eigenvalues that are not among the leading ones."""
        rest = self.total - float(self.leading.sum())
        return rest if rest > self.data_dim * np.finfo(float).eps * self.total else 0.0


class Moments:
    r"""Mean and covariance of data that come in batches: one pass, and N x N numbers of memory.

    A batch of b examples with mean :math:`m` joins n with mean :math:`\mu` by

    .. math:: C \leftarrow C + \sum_k (x_k - m)(x_k - m)^T
              + \tfrac{n b}{n + b} (m - \mu)(m - \mu)^T, \qquad
              \mu \leftarrow \mu + \tfrac{b}{n + b} (m - \mu)

    so that neither a large mean nor sorted examples cost digits. Batches of about a thousand
    examples are the fastest.

    Attributes
    ----------
    count : int
        The examples seen, n.
    mean : array (N,), float64
        In units of the data.
    scatter : array (N, N), float64
        n times the covariance; only the upper triangle is filled.

    References
    ----------
    Chan, Golub & LeVeque (1983), *Algorithms for computing the sample variance*, The American
    Statistician 37(3), equation 2.1.
    Taught in chapter 7, *Your own data*, section *Load*.

    Examples
    --------
    >>> moments = Moments()
    >>> for batch in ([[0.0, 1.0], [0.0, -1.0]], [[2.0, 0.0], [-2.0, 0.0]]):
    ...     moments.update(batch)
    >>> moments.count, moments.covariance().tolist()
    (4, [[2.0, 0.0], [0.0, 0.5]])
    >>> spectrum(moments).tolist()
    [2.0, 0.5]
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: Floats = np.zeros(0)
        self.scatter: Floats = np.zeros((0, 0))

    @property
    def data_dim(self) -> int:
        """N, the number of values in one example; 0 before the first batch."""
        return len(self.mean)

    def update(self, x: ArrayLike) -> None:
        """Take in a batch of examples (B, N) or (B, ...).

        Raises
        ------
        ValueError
            If it is no array of finite numbers, or its examples have another size than before or
            more than 16,384 values.
        """
        with warnings.catch_warnings():  # of pixels that were never scaled, for each batch
            warnings.simplefilter("ignore", UserWarning)
            rows = _flat(x)
        if self.count and rows.shape[1] != self.data_dim:
            raise ValueError(
                f"x has {rows.shape[1]} values an example and the batches before it had "
                f"{self.data_dim}: give batches of one kind."
            )
        if not self.count:
            if rows.shape[1] > MOST_DIMENSIONS:
                raise ValueError(
                    f"the examples have {rows.shape[1]} values each, whose covariance takes "
                    f"{8 * rows.shape[1] ** 2 / 2**30:.0f} GiB: give the spectrum of some thousand "
                    f"of them, as of one array x[:4000]."
                )
            self.mean = np.zeros(rows.shape[1])
            self.scatter = np.zeros((rows.shape[1],) * 2, order="F")
        batch_mean = rows.mean(axis=0)
        step, share = batch_mean - self.mean, len(rows) / (self.count + len(rows))
        deviations = np.empty((len(rows) + 1, self.data_dim))
        np.subtract(rows, batch_mean, out=deviations[:-1])
        deviations[-1] = math.sqrt(self.count * share) * step
        _add_products(self.scatter, deviations.T)
        self.mean += share * step
        self.count += len(rows)

    def covariance(self) -> Floats:
        """The covariance of what was seen, an array (N, N), with 1/n as in :func:`spectrum`.

        Raises
        ------
        ValueError
            Before the first batch.
        """
        self.check()
        upper = np.triu(self.scatter / self.count)
        return upper + np.triu(upper, 1).T

    def check(self) -> None:
        """Refuse to say anything of no data.

        Raises
        ------
        ValueError
            Before the first batch.
        """
        if not self.count:
            raise ValueError("Moments have seen no examples yet: update them with a batch first.")

    def in_units_of(self, scale: ArrayLike) -> "Moments":
        """Those of the data divided by ``scale`` (N,); what is divided by 0 becomes 0."""
        scale = np.asarray(scale, np.float64)
        inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
        found = Moments()
        found.count, found.mean = self.count, self.mean * inverse
        found.scatter = np.asfortranarray(self.scatter * inverse * inverse[:, None])
        return found


Data: TypeAlias = ArrayLike | Spectrum | Moments | Iterable[Any]  # of batches, the last one


@overload
def spectrum(data: Data, leading: None = None) -> Floats: ...
@overload
def spectrum(data: Data, leading: int) -> Spectrum: ...
def spectrum(data: Data, leading: int | None = None) -> Floats | Spectrum:
    r"""Eigenvalues of the covariance of the data, largest first.

    .. math:: S = \tfrac{1}{n} \sum_k (x_k - \mu)(x_k - \mu)^T = U \Lambda U^T

    Parameters
    ----------
    data : array (n, N) or (n, ...), or a spectrum (N,)
        A spectrum is checked and sorted. Or a ``tf.data.Dataset``, a generator of batches
        (B, ...), or :class:`Moments`.
    leading : int, optional
        How many of them are needed, where that is not all.

    Returns
    -------
    array (N,), float64, or Spectrum
        In squared units of the data; what is indistinguishable from round-off is exactly 0. With
        ``leading`` the largest eigenvalues and the total: as many as asked for, or all where they
        cost no more.

    Raises
    ------
    ValueError
        If the data are not finite numbers, or an eigenvalue is negative; if a dataset is empty,
        repeats without end, or large with more than 16,384 values an example.

    Notes
    -----
    Up to 4 million values all eigenvalues are found, from a dataset as from an array. More are
    taken block by block, in memory for the smaller of (N, N) and (n, n), for a dataset (N, N). Of
    that matrix, with m rows, up to m / 32 leading eigenvalues are found by Lanczos iteration, each
    to a relative 1e-6; more, or all, by reduction to tridiagonal form, to round-off.

    References
    ----------
    Tipping & Bishop (1999), equation 5.
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    >>> spectrum([[0.0, 1.0], [0.0, -1.0], [2.0, 0.0], [-2.0, 0.0]]).tolist()
    [2.0, 0.5]
    >>> from vae_notes import data
    >>> x = data.digits()
    >>> found = spectrum((x[i : i + 32] for i in range(0, len(x), 32)), leading=8)
    >>> found.data_dim, round(found.total, 3)
    (64, 4.693)
    """
    if leading is not None:
        return _law(data, _check.whole("leading", leading))
    found = _law(data, None)
    if len(found.leading) < found.data_dim:
        raise ValueError(
            f"the spectrum holds the leading {len(found.leading)} of {found.data_dim} eigenvalues, "
            f"not all: give the data."
        )
    return found.leading


def held_out_spectrum(x: ArrayLike, leading: int, seed: int = 0) -> Spectrum:
    r"""Variances of rows along principal directions that were estimated on other rows.

    .. math:: \lambda_i = \tfrac{1}{n} \sum_f \sum_{k \in f} (u_{fi}^T (x_k - \mu_f))^2

    with :math:`\mu_f` and :math:`u_{fi}` the mean and direction i of the rows outside fold f: what
    the units of a linear VAE that is fitted on a sample are worth on new rows. A sample of few rows
    has large eigenvalues by chance, up to :math:`(1 + \sqrt{N/n})^2` in white noise of variance 1.

    Parameters
    ----------
    x : array (n, N) or (n, ...)
        The data themselves, at least 2 rows; or a source of them that fits into memory.
    leading : int
        How many directions.
    seed : int
        Of the permutation that makes the folds: 5, or 2 of more than 1 million values.

    Returns
    -------
    Spectrum
        In squared units of the data, sorted; the total is the mean squared distance of rows from
        the mean of the others.

    Raises
    ------
    ValueError
        If x is no array of at least 2 rows in memory, or an argument is out of its range.

    References
    ----------
    The edge: Marchenko & Pastur (1967), *Distribution of eigenvalues for some sets of random
    matrices*, Math. USSR-Sbornik 1(4).
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((400, 200))
    >>> float(spectrum(x)[0].round(1)), float(held_out_spectrum(x, 1).leading[0].round(1))
    (2.9, 1.0)
    """
    rows = _in_memory(x)
    data_dim = rows.shape[1]
    wanted = min(_check.whole("leading", leading), data_dim)
    along, total = np.zeros(wanted), 0.0
    for held, mean, _, directions in _folds(rows, wanted, seed):
        for centred in _deviations(rows, held, mean):
            along += np.square(centred @ directions.T).sum(axis=0)
            total += float(np.square(centred).sum())
    found = along / len(rows)  # which a spectrum sorts
    return Spectrum(found, max(total / len(rows), float(found.sum())), data_dim)


def active_units(
    data: Data, noise_variance: float, latent_dim: int | None = None, threshold: float = 0.0
) -> int:
    r"""How many latent units the best linear VAE uses.

    .. math:: \#\{i \le D : \lambda_i > \sigma^2 / (1 - t)\}

    The posterior mean of unit i has variance :math:`1 - \sigma^2 / \lambda_i`; the unit counts as
    active if that is above the threshold t.

    Parameters
    ----------
    data : array (n, N) or (n, ...), dataset or generator, or a spectrum
    noise_variance : float
        Variance of the decoder's noise, :math:`\sigma^2`; `Objective.noise_variance` gives it.
    latent_dim : int, optional
        The units that there are, D.
    threshold : float
        In [0, 1): 0 counts every unit that carries anything, 0.01 is Burda's criterion.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Lucas et al. (2019), section 4; the criterion: Burda et al. (2016), section 5.2.
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    >>> active_units([3.0, 1.0, 0.505, 0.1], noise_variance=0.5)
    3
    >>> active_units([3.0, 1.0, 0.505, 0.1], noise_variance=0.5, threshold=0.01)
    2
    """
    _check.number("threshold", threshold, least=0, below=1)
    kept, noise_variance = _kept_variance(data, noise_variance, latent_dim)
    return int(np.sum(kept * (1 - threshold) > noise_variance))


def kl_per_unit(data: Data, noise_variance: float, latent_dim: int | None = None) -> Floats:
    r"""Mean KL of each latent unit of the best linear VAE from its prior, strongest first.

    .. math:: k_i = \tfrac{1}{2} \ln \max(\lambda_i / \sigma^2, 1)

    Parameters
    ----------
    data, noise_variance, latent_dim
        As for :func:`active_units`.

    Returns
    -------
    array (D,), float64
        In nats; 0 where the unit collapses.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Follows from Tipping & Bishop (1999), equations 6 and 7.
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    >>> kl_per_unit([4.0, 1.0, 0.1], noise_variance=0.5).round(4).tolist()
    [1.0397, 0.3466, 0.0]
    """
    kept, noise_variance = _kept_variance(data, noise_variance, latent_dim)
    return np.log(kept / noise_variance) / 2


def z_mean_variance(data: Data, noise_variance: float, latent_dim: int | None = None) -> Floats:
    r"""Variance of the posterior mean of each latent unit over the data, strongest first.

    .. math:: v_i = \max(1 - \sigma^2 / \lambda_i, 0)

    Parameters
    ----------
    data, noise_variance, latent_dim
        As for :func:`active_units`.

    Returns
    -------
    array (D,), float64
        Between 0 (collapsed) and 1 (noise-free).

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Follows from Tipping & Bishop (1999), equations 6 and 7.
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> z_mean_variance([4.0, 1.0, 0.1], noise_variance=0.5).tolist()
    [0.875, 0.5, 0.0]
    """
    kept, noise_variance = _kept_variance(data, noise_variance, latent_dim)
    return 1 - noise_variance / kept


def elbo(data: Data, noise_variance: float, latent_dim: int | None = None) -> float:
    r"""Average ELBO of the best linear VAE, which is its exact average log-likelihood.

    .. math:: -\tfrac{1}{2} \sum_{i=1}^N \left(\ln 2\pi c_i + \lambda_i / c_i\right), \quad
              c_i = \max(\lambda_i, \sigma^2) \text{ for } i \le D, \text{ else } \sigma^2

    Parameters
    ----------
    data, noise_variance, latent_dim
        As for :func:`active_units`.

    Returns
    -------
    float
        In nats per example.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Tipping & Bishop (1999), equation 4, at its maximum over W; that the ELBO reaches it: Lucas et
    al. (2019), section 4.
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> round(elbo([4.0, 1.0, 0.1], noise_variance=0.5, latent_dim=2), 4)
    -4.2034
    """
    law = _law(data, latent_dim)
    kept, noise_variance = _kept_variance(law, noise_variance, latent_dim)
    variance = np.full_like(law.leading, noise_variance)
    variance[: len(kept)] = kept[: len(variance)]
    among = float(np.sum(np.log(2 * math.pi * variance) + law.leading / variance))
    others = law.data_dim - len(law.leading)  # whose variance is that of the noise
    beyond = others * math.log(2 * math.pi * noise_variance) + law.rest / noise_variance
    return -(among + beyond) / 2


def maximum_likelihood_noise_variance(data: Data, latent_dim: int) -> float:
    r"""The noise variance under which a linear VAE explains the data best.

    .. math:: \sigma^2_\text{ML} = \frac{1}{N - D} \sum_{i=D+1}^N \lambda_i

    Parameters
    ----------
    data : array (n, N) or (n, ...), dataset or generator, or a spectrum
    latent_dim : int
        D, less than N.

    Returns
    -------
    float
        The mean of the eigenvalues that D units leave out.

    Raises
    ------
    ValueError
        If D units leave nothing out, so that the likelihood has no maximum.

    References
    ----------
    Tipping & Bishop (1999), equation 8.
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> maximum_likelihood_noise_variance([4.0, 1.0, 0.3, 0.1], latent_dim=2)
    0.2
    """
    latent_dim = _check.whole("latent_dim", latent_dim)
    law = _law(data, latent_dim)
    rank = int(np.count_nonzero(law.leading))
    if latent_dim >= rank and not law.rest:
        raise ValueError(
            f"latent_dim={latent_dim} leaves nothing for the noise to explain, since the data have "
            f"only {rank} directions with any variance: use a latent_dim below that."
        )
    if latent_dim > len(law.leading):
        raise _too_few(law, f"latent_dim={latent_dim} asks for more", latent_dim)
    left_out = float(law.leading[latent_dim:].sum()) + law.rest
    return left_out / (law.data_dim - latent_dim)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the best linear VAE does on given data; :func:`predict` makes it.

    Attributes
    ----------
    noise_variance : float
        Of the decoder, in squared units of the data.
    largest_eigenvalue : float
        Of the covariance of the data; where it does not exceed the noise variance, all collapses.
    kl_per_unit : array (D,)
        In nats, largest first.
    active_units : int
        How many units are active.
    elbo : float
        In nats per example.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    >>> round(predict([4.0, 1.0, 0.1], noise_variance=0.5, latent_dim=2).kl, 4)
    1.3863
    """

    noise_variance: float
    largest_eigenvalue: float
    kl_per_unit: Floats
    active_units: int
    elbo: float

    @property
    def kl(self) -> float:
        """KL divergence summed over units, in nats."""
        return float(self.kl_per_unit.sum())


def predict(
    data: Data, noise_variance: float, latent_dim: int, threshold: float = ACTIVE
) -> Prediction:
    r"""What the law of the linear VAE says of data, a noise variance and a number of units.

    Parameters
    ----------
    data : array (n, N) or (n, ...), dataset or generator, or a spectrum
    noise_variance : float
        Variance of the decoder's noise, :math:`\sigma^2`.
    latent_dim : int
        The units that there are, D.
    threshold : float
        As for :func:`active_units`.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Tipping & Bishop (1999); Lucas et al. (2019), section 4.
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    >>> found = predict([4.0, 1.0, 0.1], noise_variance=0.5, latent_dim=8)
    >>> found.active_units, found.kl_per_unit[:3].round(4).tolist()
    (2, [1.0397, 0.3466, 0.0])
    """
    law = _law(data, _check.whole("latent_dim", latent_dim))
    return Prediction(
        noise_variance=noise_variance,
        largest_eigenvalue=float(law.leading[0]),
        kl_per_unit=kl_per_unit(law, noise_variance, latent_dim),
        active_units=active_units(law, noise_variance, latent_dim, threshold),
        elbo=elbo(law, noise_variance, latent_dim),
    )


@dataclass(frozen=True, eq=False)
class LinearVAE:
    r"""Parameters of a linear VAE, kernels in Keras's layout.

    Encoder: ``z_mean = x @ encoder_weights + encoder_bias``, ``z_log_var`` the same for every x.
    Decoder: ``x_mean = z @ decoder_weights + decoder_bias``, noise of variance ``noise_variance``.

    Attributes
    ----------
    decoder_weights : array (D, N)
        W, in units of the data.
    decoder_bias : array (N,)
        b, in units of the data.
    encoder_weights : array (N, D)
        V, in one over units of the data.
    encoder_bias : array (D,)
        a, without unit.
    z_log_var : array (D,)
        Log-variance of q(z|x), the same for every x.
    noise_variance : float
        Of the decoder, in squared units of the data.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    A direction of variance 4 under noise of variance 1 is reconstructed at 3/4 of its length.

    >>> x = np.array([[2.0, 2.0], [-2.0, -2.0], [1.0, -1.0], [-1.0, 1.0]])
    >>> vae = optimal_parameters(x, latent_dim=1, noise_variance=1.0)
    >>> z_mean = x @ vae.encoder_weights + vae.encoder_bias
    >>> (z_mean @ vae.decoder_weights + vae.decoder_bias)[0].round(4).tolist()
    [1.5, 1.5]
    """

    decoder_weights: Floats
    decoder_bias: Floats
    encoder_weights: Floats
    encoder_bias: Floats
    z_log_var: Floats
    noise_variance: float


def optimal_parameters(x: ArrayLike, latent_dim: int, noise_variance: float) -> LinearVAE:
    r"""The linear VAE with the highest ELBO at a given noise variance.

    With :math:`c_i = \max(\lambda_i, \sigma^2)`, unit i has

    .. math:: w_i = \sqrt{c_i - \sigma^2}\, u_i, \quad v_i = w_i / c_i, \quad
              s_i^2 = \sigma^2 / c_i, \quad b = \mu, \quad a_i = -v_i^T \mu .

    This is the general posterior :math:`q(z|x) = N(M^{-1} W (x - b), \sigma^2 M^{-1})`,
    :math:`M = W W^T + \sigma^2 I`: at the optimum M is diagonal with entries :math:`c_i`.

    Parameters
    ----------
    x : array (n, N) or (n, ...)
        The data themselves, for a spectrum has no directions.
    latent_dim : int
        D; units beyond the active ones get zero weights.
    noise_variance : float
        Variance of the decoder's noise, :math:`\sigma^2`.

    Returns
    -------
    LinearVAE
        Units ordered by eigenvalue, each signed so that its largest decoder weight is positive.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Tipping & Bishop (1999), equations 6 and 7 with R = I.
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    The covariance has the eigenvalues 4, along (1, 1), and 1, along (1, -1).

    >>> x = np.array([[2.0, 2.0], [-2.0, -2.0], [1.0, -1.0], [-1.0, 1.0]])
    >>> vae = optimal_parameters(x, latent_dim=1, noise_variance=1.0)
    >>> vae.decoder_weights.round(4).tolist()
    [[1.2247, 1.2247]]
    >>> np.exp(vae.z_log_var).round(4).tolist()
    [0.25]
    """
    x = _flat(x)
    latent_dim = _check.whole("latent_dim", latent_dim)
    mean = x.mean(axis=0)
    return _optimal(mean, *_principal_directions(x - mean, latent_dim), noise_variance)


def _optimal(
    mean: Floats, eigenvalues: Floats, directions: Floats, noise_variance: float
) -> LinearVAE:
    """The best linear VAE of data of this mean, leading eigenvalues (D,) and directions (D, N)."""
    kept, noise_variance = _kept_variance(eigenvalues, noise_variance, len(eigenvalues))
    decoder_weights = np.sqrt(kept - noise_variance)[:, None] * directions  # (D, N)
    encoder_weights = (decoder_weights / kept[:, None]).T  # (N, D)
    return LinearVAE(
        decoder_weights=decoder_weights,
        decoder_bias=mean,
        encoder_weights=encoder_weights,
        encoder_bias=-mean @ encoder_weights,
        z_log_var=np.log(noise_variance / kept),
        noise_variance=noise_variance,
    )


def log_marginal_likelihood(
    x: ArrayLike, decoder_weights: ArrayLike, decoder_bias: ArrayLike, noise_variance: float
) -> Floats:
    r"""Exact log-likelihood of each example under any linear decoder.

    .. math:: \ln N(x; b, W^T W + \sigma^2 I)

    Parameters
    ----------
    x : array (n, N) or (n, ...)
    decoder_weights : array (D, N)
    decoder_bias : array (N,)
    noise_variance : float
        Variance of the decoder's noise, :math:`\sigma^2`.

    Returns
    -------
    array (n,), float64
        In nats.

    Raises
    ------
    ValueError
        If the shapes disagree or the noise variance is not positive.

    References
    ----------
    Tipping & Bishop (1999), equation 3.
    Taught in chapter 7, *Your own data*, section *Was the network worth it?*.

    Examples
    --------
    >>> log_marginal_likelihood([[0.0, 0.0]], [[1.0, 0.0]], [0.0, 0.0], 1.0).round(4).tolist()
    [-2.1845]
    """
    x = _flat(x)
    data_dim = x.shape[1]
    noise_variance = _noise_variance(noise_variance)
    decoder_weights = np.asarray(decoder_weights, dtype=np.float64)
    decoder_bias = np.asarray(decoder_bias, dtype=np.float64)
    for name, array, rank in (
        ("decoder_weights", decoder_weights, 2),
        ("decoder_bias", decoder_bias, 1),
    ):
        if array.ndim != rank or array.shape[-1] != data_dim:
            raise ValueError(
                f"{name} has shape {array.shape} but x has {data_dim} values per example: expected "
                f"{('(N,)', '(D, N)')[rank - 1]} with N = {data_dim}."
            )
    # Along the right singular vectors of W the variance is s^2 + sigma^2, elsewhere sigma^2. The
    # residual is computed as such: the difference of two squares would cancel.
    with _one_thread():  # of so few rows several threads are far slower
        _, singular_values, directions = np.linalg.svd(decoder_weights, full_matrices=False)
    variance = singular_values**2 + noise_variance
    centred = x - decoder_bias
    along = centred @ directions.T
    residual = centred - along @ directions
    mahalanobis = (along**2 / variance).sum(axis=1) + (residual**2).sum(axis=1) / noise_variance
    log_determinant = np.log(variance).sum()
    log_determinant += (data_dim - len(variance)) * math.log(noise_variance)
    return -(data_dim * math.log(2 * math.pi) + log_determinant + mahalanobis) / 2


def held_out_elbo(
    x: ArrayLike,
    noise_variance: float,
    latent_dim: int,
    x_train: ArrayLike | None = None,
    seed: int = 0,
) -> Floats:
    r"""Exact log-likelihood of each row under the best linear VAE of other rows.

    .. math:: \ln N(x_k; \mu_f, W_f^T W_f + \sigma^2 I)

    Parameters
    ----------
    x : array (n, N) or (n, ...)
        At least 2 rows where there is no ``x_train``.
    noise_variance : float
        Variance of the decoder's noise, :math:`\sigma^2`.
    latent_dim : int
        D.
    x_train : array (m, N) or (m, ...), optional
        What the linear VAE is fitted on; without it, on the rows outside of the fold of a row.
    seed : int
        Of the folds, which are those of :func:`held_out_spectrum`.

    Returns
    -------
    array (n,), float64
        In nats: what a network has to beat on new rows.

    Raises
    ------
    ValueError
        If an argument is out of its range, or the examples differ in size.

    References
    ----------
    Tipping & Bishop (1999), equation 3.
    Taught in chapter 7, *Your own data*, section *Was the network worth it?*.

    Examples
    --------
    >>> from vae_notes import data
    >>> x = data.digits()
    >>> float(held_out_elbo(x, 0.05, 8).mean().round(1)), round(elbo(x, 0.05, 8), 1)
    (9.8, 10.0)
    """
    rows = _in_memory(x) if x_train is None else _flat(x)
    latent_dim = _check.whole("latent_dim", latent_dim)
    if x_train is not None:
        train = _flat(x_train)
        if train.shape[1] != rows.shape[1]:
            raise ValueError(
                f"x_train has {train.shape[1]} values an example and x has {rows.shape[1]}: give "
                f"examples of one kind."
            )
        vae = optimal_parameters(train, latent_dim, noise_variance)
        return log_marginal_likelihood(
            rows, vae.decoder_weights, vae.decoder_bias, vae.noise_variance
        )
    found = np.empty(len(rows))
    for held, mean, eigenvalues, directions in _folds(rows, latent_dim, seed):
        vae = _optimal(mean, eigenvalues, directions, noise_variance)
        found[held] = log_marginal_likelihood(
            rows[held], vae.decoder_weights, vae.decoder_bias, vae.noise_variance
        )
    return found


def collapse_test(
    x: ArrayLike,
    beta: float,
    likelihood: str | likelihoods.Likelihood = "gaussian",
    seed: int = 0,
) -> CollapseTest:
    r"""Whether the collapsed VAE is the best one of every decoder and encoder, or a local optimum.

    A VAE has minus its loss over beta at most at the mean logarithm of a mixture of the kernels
    :math:`e^{l_k(u)}`, one for each output u of the decoder, and collapse is the mixture of one
    part, the best constant :math:`u_0`. It is the best of all if and only if

    .. math:: F(u) = \tfrac{1}{n} \sum_k e^{l_k(u) - l_k(u_0)} \le 1 \text{ for every } u

    .. math:: l_k(u) = \begin{cases} -|x_k - u|^2 / 2 \sigma^2 & \text{Gaussian} \\
              \sum_i (x_{ki} u_i - \ln(1 + e^{u_i})) / \beta & \text{Bernoulli} \end{cases}

    The largest eigenvalue is what F says near :math:`u_0`. Further away it is climbed from rows and
    along principal directions, on half of the rows; the u where it most surely exceeds 1 is judged
    on the other half, for at a single row F is large on that row alone.

    Parameters
    ----------
    x : array (n, N) or (n, ...)
        The data themselves.
    beta : float
        Weight of the summed KL for a weight of 1 on the summed errors; twice the noise variance
        if Gaussian.
    likelihood : str or Likelihood
        Of the decoder.
    seed : int
        Of the halves and the starts.

    Returns
    -------
    CollapseTest
        Where it found no better code there may yet be one.

    Raises
    ------
    ValueError
        If beta is not positive, x is no array in memory or outside the support, or its rows are
        all the same.

    Notes
    -----
    The search sees at most about 4 million values, of rows drawn at random. The proof is for
    Gaussian decoders: with :math:`s = \max_k |x_k - \mu|^2 / \sigma^2`, the longest row,
    :math:`2 \lambda_1 (e^s - 1 - s) / s^2 \le \sigma^2` is sufficient.

    References
    ----------
    Lindsay (1983), *The geometry of mixture likelihoods: a general theory*, The Annals of
    Statistics 11(1), theorem 4.1.
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    Twenty clusters: no direction varies as much as the noise, and a code for the cluster pays.

    >>> random = np.random.default_rng(0)
    >>> x = np.eye(64)[random.integers(20, size=1000)] + 0.1 * random.standard_normal((1000, 64))
    >>> found = collapse_test(x, beta=0.16)
    >>> found.local, found.better_code
    (True, True)
    """
    rows = _in_memory(x)
    beta = _check.number("beta", beta, above=0)
    of = likelihoods.get(likelihood)
    of.check(rows)
    if not (rows != rows[0]).any():
        raise ValueError(
            "The data do not vary, so that a code has nothing to tell: give examples that differ."
        )
    variance = of.critical_variance(beta)
    few = len(rows) < FEW * rows.shape[1]
    law = held_out_spectrum(of.standardised(rows), 1, seed) if few else _sample(rows, of)
    largest = float(law.leading[0])
    proven = False
    if of.noise_variance(beta) is not None:
        most = variance / bound(rows, variance)
        proven = largest <= most and float(_sample(rows, of).leading[0]) <= most
    return CollapseTest(largest, variance, proven, *excess(rows, of, beta, seed))


def _sample(rows: NDArray[np.floating], of: likelihoods.Likelihood) -> Spectrum:
    """The largest eigenvalue of the rows themselves, in units of the likelihood."""
    if len(rows) < rows.shape[1]:
        return spectrum(of.standardised(rows), leading=1)
    moments = _moments(rows, np.arange(len(rows)))
    return spectrum(moments.in_units_of(of.unit(moments.mean)), leading=1)


def _in_memory(x: Any) -> NDArray[np.floating]:
    """Examples as rows (n, N), float32 where they were."""
    found: NDArray[np.floating] | Blocks | None = gathered(x)
    if isinstance(found, Blocks):
        found = found.whole
    if found is None:
        raise ValueError(
            "x comes in batches of more than 4 million values, and its rows are needed more than "
            "once: give some thousand of them as one array."
        )
    return found.reshape(len(found), -1)


def _deviations(
    rows: NDArray[np.floating], held: NDArray[np.integer], mean: Floats
) -> Iterator[Floats]:
    for part in _parts(held, rows.shape[1]):
        yield rows[part] - mean


def _parts(indices: NDArray[np.integer], data_dim: int) -> Iterable[NDArray[np.integer]]:
    """The indices of rows in parts of no more than 4 million values."""
    step = max(1, LARGE // data_dim)
    return (indices[i : i + step] for i in range(0, len(indices), step))


def _moments(rows: NDArray[np.floating], indices: NDArray[np.integer]) -> Moments:
    found = Moments()
    for part in _parts(indices, rows.shape[1]):
        found.update(rows[part])
    return found


def _folds(
    rows: NDArray[np.floating], wanted: int, seed: int
) -> Iterator[tuple[NDArray[np.integer], Floats, Floats, Floats]]:
    """Of each fold its rows; of the others mean, leading eigenvalues (D,) and directions (D, N).

    Where there is no variance the direction is 0.
    """
    n, data_dim = rows.shape
    if n < 2:
        raise ValueError("x holds 1 row, and rows are held out in turn: give at least 2.")
    count = min(5 if rows.size <= LARGE // 4 else 2, n)
    folds = np.array_split(np.random.default_rng(seed).permutation(n), count)
    with _one_thread():
        moments = [_moments(rows, fold) for fold in folds] if data_dim <= n else []
    for i, fold in enumerate(folds):
        if moments:  # all scatter is summed once
            others = _merged(moments[:i] + moments[i + 1 :])
            mean = others.mean
            values, directions = _eigenpairs(others.scatter, min(wanted, data_dim))
            values /= others.count
        else:
            index = np.concatenate(folds[:i] + folds[i + 1 :])
            mean = rows[index].mean(axis=0, dtype=np.float64)
            values, directions = _principal_directions(rows[index] - mean, wanted)
        nothing = values <= max(n, data_dim) * np.finfo(float).eps * values[0]
        directions[nothing] = 0
        padding = wanted - len(values)
        yield fold, mean, np.pad(values, (0, padding)), np.pad(directions, ((0, padding), (0, 0)))


def _merged(parts: list[Moments]) -> Moments:
    """The moments of all examples in several."""
    found = Moments()
    found.count = sum(part.count for part in parts)
    found.mean = sum((part.count / found.count * part.mean for part in parts), np.zeros(1))
    found.scatter = np.asfortranarray(sum(part.scatter for part in parts))
    steps = [math.sqrt(part.count) * (part.mean - found.mean) for part in parts]
    _add_products(found.scatter, np.asfortranarray(np.transpose(steps)))
    return found


def _kept_variance(
    data: Data, noise_variance: float, latent_dim: int | None
) -> tuple[Floats, float]:
    """max(lambda_i, sigma2) for each of the D units, (D,), and sigma2."""
    law = _law(data, latent_dim)
    noise_variance = _noise_variance(noise_variance)
    if latent_dim is None:
        latent_dim = law.data_dim
    _check.whole("latent_dim", latent_dim)
    kept = np.full(latent_dim, noise_variance)
    within = min(latent_dim, len(law.leading))
    kept[:within] = np.maximum(law.leading[:within], noise_variance)
    # those beyond are no larger than the last of the leading ones
    if within < min(latent_dim, law.data_dim) and law.leading[-1] > noise_variance:
        raise _too_few(law, f"the least of them exceeds the noise variance {noise_variance:g}")
    return kept, noise_variance


def _too_few(law: Spectrum, why: str, latent_dim: int | None = None) -> ValueError:
    wanted = "more" if latent_dim is None else latent_dim
    return ValueError(
        f"the spectrum holds the leading {len(law.leading)} of {law.data_dim} eigenvalues, and "
        f"{why}: give theory.spectrum(data, leading={wanted})."
    )


def _law(data: Data, wanted: int | None) -> Spectrum:
    """The spectrum with at least as many leading eigenvalues as are wanted, or all."""
    if isinstance(data, Spectrum):
        return data
    if isinstance(data, Moments):
        data.check()
        return _solved(data.scatter, data.count, data.data_dim, wanted)
    given: Any = data
    if not isinstance(given, Blocks) and not is_source(given) and np.ndim(given) == 1:
        return _complete(_sorted_spectrum(given))
    x = gathered(given)
    if isinstance(x, Blocks):
        return _law_of_blocks(x, wanted)
    rows = np.asarray(x.reshape(len(x), -1), np.float64)
    n, data_dim = rows.shape
    with contextlib.nullcontext() if wanted is None else _one_thread():
        found = np.linalg.eigvalsh(_smaller_gram(rows - rows.mean(axis=0)))[::-1]
    return _complete(_padded(found, n, data_dim))


def _law_of_blocks(x: Blocks, wanted: int | None) -> Spectrum:
    """As :func:`_law`, of large data: by the smaller matrix of products where n is known."""
    data_dim = x.data_dim
    if x.whole is not None and len(x.whole) < data_dim:
        rows = x.whole.reshape(len(x.whole), -1)
        products = np.zeros((len(rows),) * 2, order="F")
        width = max(1, LARGE // len(rows))
        for start in range(0, data_dim, width):
            columns = np.array(rows[:, start : start + width], np.float64, order="F")
            columns -= columns.mean(axis=0)
            _add_products(products, columns)
        return _solved(products, len(rows), data_dim, wanted, overwrite=True)
    moments = Moments()
    for block in x:
        moments.update(block)
    return _solved(moments.scatter, moments.count, data_dim, wanted, overwrite=True)


def _add_products(total: Floats, a: Floats) -> None:
    """Add A A' to the upper triangle of a matrix, in place; both in Fortran's order."""
    linalg.blas.dsyrk(1.0, a, beta=1.0, c=total, overwrite_c=True)


def _solved(
    scatter: Floats, n: int, data_dim: int, wanted: int | None, overwrite: bool = False
) -> Spectrum:
    """The spectrum of data from n times their covariance, or their products: an upper triangle."""
    size = len(scatter)
    total = float(np.trace(scatter)) / n
    # Of matrices as large as these one thread is the fastest, and two that share a core the slowest
    with _one_thread():
        if wanted is None or wanted * LANCZOS > size:
            options = dict(lower=False, overwrite_a=overwrite, check_finite=False, driver="evd")
            found = linalg.eigvalsh(scatter, **options)[::-1] / n
            return _complete(_padded(found, n, data_dim))
        if not total:
            return Spectrum(np.zeros(wanted), total, data_dim)
        found = _lanczos(scatter, wanted, tol=1e-6, return_eigenvectors=False) / n
    leading = _padded(np.sort(found)[::-1], n, data_dim)[:wanted]
    return Spectrum(leading, max(total, float(leading.sum())), data_dim)


def _lanczos(matrix: Floats, wanted: int, **options: Any) -> Any:
    """Leading eigenvalues of a symmetric matrix of which only the upper triangle is filled."""
    # A randomised method of a few products is percents off where the eigenvalues lie close
    size = len(matrix)
    product = LinearOperator(
        (size, size), lambda v: linalg.blas.dsymv(1.0, matrix, v), dtype=np.float64
    )
    start = np.random.default_rng(0).standard_normal(size)
    return eigsh(product, wanted, v0=start, **options)


def _eigenpairs(matrix: Floats, wanted: int) -> tuple[Floats, Floats]:
    """Leading eigenvalues, largest first, and unit eigenvectors as rows, of an upper triangle."""
    size = len(matrix)
    with _one_thread():
        if wanted * LANCZOS > size or not np.trace(matrix):
            options = dict(lower=False, check_finite=False, driver="evr")
            values, vectors = linalg.eigh(
                matrix, subset_by_index=[size - wanted, size - 1], **options
            )
        else:
            values, vectors = _lanczos(matrix, wanted, tol=1e-10)
    order = np.argsort(values)[::-1]
    return np.maximum(values[order], 0), vectors.T[order]


def _padded(found: NDArray[Any], n: int, data_dim: int) -> Floats:
    """Eigenvalues (N,) of which some were found; exactly 0 for round-off and for the others."""
    round_off = max(n, data_dim) * np.finfo(float).eps * found[0]
    eigenvalues = np.zeros(data_dim)
    eigenvalues[: len(found)] = np.where(found > round_off, found, 0.0)
    return eigenvalues


def _complete(eigenvalues: Floats) -> Spectrum:
    return Spectrum(eigenvalues, float(eigenvalues.sum()), len(eigenvalues))


def _principal_directions(centred: Floats, latent_dim: int) -> tuple[Floats, Floats]:
    """Leading eigenvalues (D,) and unit eigenvectors as rows (D, N), both padded with zeros."""
    n, data_dim = centred.shape
    found = min(latent_dim, n, data_dim)
    values, vectors = _eigenpairs(np.asfortranarray(_smaller_gram(centred)), found)
    rows = vectors if data_dim <= n else vectors @ centred  # (found, N)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    eigenvalues = np.zeros(latent_dim)
    directions = np.zeros((latent_dim, data_dim))
    eigenvalues[:found] = values
    directions[:found] = np.where(largest < 0, -rows, rows)
    return eigenvalues, directions


def _smaller_gram(centred: Floats) -> Floats:
    """X'X/n or XX'/n, whichever is smaller: they share their positive eigenvalues."""
    n, data_dim = centred.shape
    return (centred.T @ centred if data_dim <= n else centred @ centred.T) / n


def _sorted_spectrum(given: ArrayLike) -> Floats:
    values = np.asarray(given)
    if not values.size or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise ValueError(
            f"the spectrum, an array of shape {values.shape} and type {values.dtype}, is "
            f"not one of finite numbers: give the eigenvalues of a covariance, or data (n, N)."
        )
    eigenvalues = np.sort(values.astype(np.float64))[::-1]
    if eigenvalues[-1] < -1e-10 * abs(eigenvalues[0]):  # less than that is round-off
        raise ValueError(
            f"the spectrum holds {eigenvalues[-1]:g}, but a covariance has no eigenvalue below 0: "
            f"give the eigenvalues of a covariance, or data of shape (n, N)."
        )
    return np.maximum(eigenvalues, 0.0)


@functools.cache
def _threads() -> ThreadpoolController:
    """Made once: it looks through the libraries of the process, which takes milliseconds."""
    return ThreadpoolController()


def _one_thread() -> Any:
    return _threads().limit(limits=1, user_api="blas")


def _flat(x: ArrayLike) -> Floats:
    rows = check(x, dtype=np.float64)
    return rows.reshape(len(rows), -1)


def _noise_variance(value: float) -> float:
    remedy = (
        "give the variance of the decoder's noise, for example "
        "Objective().noise_variance(data_dim, latent_dim)"
    )
    return _check.number("noise_variance", value, above=0, remedy=remedy)
