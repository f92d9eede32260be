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
(N,). All is NumPy in float64; all information is in nats. ``latent_dim=None`` means as many units
as data dimensions; units beyond N collapse.

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

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_notes import _check
from vae_notes.data import check

__all__ = [
    "ACTIVE",
    "LinearVAE",
    "Prediction",
    "active_units",
    "elbo",
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


def spectrum(data: ArrayLike) -> Floats:
    r"""Eigenvalues of the covariance of the data, largest first.

    .. math:: S = \tfrac{1}{n} \sum_k (x_k - \mu)(x_k - \mu)^T = U \Lambda U^T

    Parameters
    ----------
    data : array (n, N) or (n, ...), or a spectrum (N,)
        A spectrum is checked and sorted.

    Returns
    -------
    array (N,), float64
        In squared units of the data; what is indistinguishable from round-off is exactly 0.

    Raises
    ------
    ValueError
        If the data are not finite numbers, or an eigenvalue is negative.

    References
    ----------
    Tipping & Bishop (1999), equation 5.
    Taught in chapter 2, *Posterior collapse*, section *Collapse that the objective asks for*.

    Examples
    --------
    >>> spectrum([[0.0, 1.0], [0.0, -1.0], [2.0, 0.0], [-2.0, 0.0]]).tolist()
    [2.0, 0.5]
    """
    if np.ndim(data) == 1:
        return _sorted_spectrum(data)
    x = _flat(data)
    n, data_dim = x.shape
    found = np.linalg.eigvalsh(_smaller_gram(x - x.mean(axis=0)))[::-1]
    round_off = max(n, data_dim) * np.finfo(float).eps * found[0]
    eigenvalues = np.zeros(data_dim)
    eigenvalues[: len(found)] = np.where(found > round_off, found, 0.0)
    return eigenvalues


def active_units(
    data: ArrayLike, noise_variance: float, latent_dim: int | None = None, threshold: float = 0.0
) -> int:
    r"""How many latent units the best linear VAE uses.

    .. math:: \#\{i \le D : \lambda_i > \sigma^2 / (1 - t)\}

    The posterior mean of unit i has variance :math:`1 - \sigma^2 / \lambda_i`; the unit counts as
    active if that is above the threshold t.

    Parameters
    ----------
    data : array (n, N) or (n, ...), or a spectrum (N,)
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


def kl_per_unit(data: ArrayLike, noise_variance: float, latent_dim: int | None = None) -> Floats:
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


def z_mean_variance(
    data: ArrayLike, noise_variance: float, latent_dim: int | None = None
) -> Floats:
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


def elbo(data: ArrayLike, noise_variance: float, latent_dim: int | None = None) -> float:
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
    eigenvalues = spectrum(data)
    kept, noise_variance = _kept_variance(eigenvalues, noise_variance, latent_dim)
    variance = np.full_like(eigenvalues, noise_variance)
    variance[: len(kept)] = kept[: len(variance)]
    return float(-np.sum(np.log(2 * math.pi * variance) + eigenvalues / variance) / 2)


def maximum_likelihood_noise_variance(data: ArrayLike, latent_dim: int) -> float:
    r"""The noise variance under which a linear VAE explains the data best.

    .. math:: \sigma^2_\text{ML} = \frac{1}{N - D} \sum_{i=D+1}^N \lambda_i

    Parameters
    ----------
    data : array (n, N) or (n, ...), or a spectrum (N,)
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
    eigenvalues = spectrum(data)
    latent_dim = _check.whole("latent_dim", latent_dim)
    rank = int(np.count_nonzero(eigenvalues))
    if latent_dim >= rank:
        raise ValueError(
            f"latent_dim={latent_dim} leaves nothing for the noise to explain, since the data have "
            f"only {rank} directions with any variance: use a latent_dim below that."
        )
    return float(eigenvalues[latent_dim:].mean())


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
    data: ArrayLike, noise_variance: float, latent_dim: int, threshold: float = ACTIVE
) -> Prediction:
    r"""What the law of the linear VAE says of data, a noise variance and a number of units.

    Parameters
    ----------
    data : array (n, N) or (n, ...), or a spectrum (N,)
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
    eigenvalues = spectrum(data)
    return Prediction(
        noise_variance=noise_variance,
        largest_eigenvalue=float(eigenvalues[0]),
        kl_per_unit=kl_per_unit(eigenvalues, noise_variance, latent_dim),
        active_units=active_units(eigenvalues, noise_variance, latent_dim, threshold),
        elbo=elbo(eigenvalues, noise_variance, latent_dim),
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
    eigenvalues, directions = _principal_directions(x - mean, latent_dim)
    kept, noise_variance = _kept_variance(eigenvalues, noise_variance, latent_dim)
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
    _, singular_values, directions = np.linalg.svd(decoder_weights, full_matrices=False)
    variance = singular_values**2 + noise_variance
    centred = x - decoder_bias
    along = centred @ directions.T
    residual = centred - along @ directions
    mahalanobis = (along**2 / variance).sum(axis=1) + (residual**2).sum(axis=1) / noise_variance
    log_determinant = np.log(variance).sum()
    log_determinant += (data_dim - len(variance)) * math.log(noise_variance)
    return -(data_dim * math.log(2 * math.pi) + log_determinant + mahalanobis) / 2


def _kept_variance(
    data: ArrayLike, noise_variance: float, latent_dim: int | None
) -> tuple[Floats, float]:
    """max(lambda_i, sigma2) for each of the D units, (D,), and sigma2."""
    eigenvalues = spectrum(data)
    noise_variance = _noise_variance(noise_variance)
    if latent_dim is None:
        latent_dim = len(eigenvalues)
    _check.whole("latent_dim", latent_dim)
    kept = np.full(latent_dim, noise_variance)
    within = min(latent_dim, len(eigenvalues))
    kept[:within] = np.maximum(eigenvalues[:within], noise_variance)
    return kept, noise_variance


def _principal_directions(centred: Floats, latent_dim: int) -> tuple[Floats, Floats]:
    """Leading eigenvalues (D,) and unit eigenvectors as rows (D, N), both padded with zeros."""
    n, data_dim = centred.shape
    values, vectors = np.linalg.eigh(_smaller_gram(centred))
    found = min(latent_dim, len(values))
    values = np.maximum(values[::-1][:found], 0)
    vectors = vectors[:, ::-1][:, :found]
    rows = vectors.T if data_dim <= n else vectors.T @ centred  # (found, N)
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


def _flat(x: ArrayLike) -> Floats:
    rows = check(x, dtype=np.float64)
    return rows.reshape(len(rows), -1)


def _noise_variance(value: float) -> float:
    remedy = (
        "give the variance of the decoder's noise, for example "
        "Objective().noise_variance(data_dim, latent_dim)"
    )
    return _check.number("noise_variance", value, above=0, remedy=remedy)
