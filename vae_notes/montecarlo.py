"""Estimates from samples: what closed forms replace, and what no closed form replaces."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_notes import _check
from vae_notes._noise import reparameterised

__all__ = ["kl", "mean_square_gradient"]


def kl(z_mean: ArrayLike, z_log_var: ArrayLike, draws: int, seed: int = 0) -> NDArray[np.float64]:
    r"""The KL divergence of q(z|x) from the prior, one term a sample.

    .. math:: \ln \frac{q(z_s|x)}{p(z_s)}, \quad z_s \sim q(z|x)

    The mean over samples estimates what :func:`vae_notes.objective.kl_divergence` gives exactly.

    Parameters
    ----------
    z_mean, z_log_var : array (B, D)
        Mean and log-variance of q(z|x).
    draws : int
        Number of samples.
    seed : int
        Of the samples.

    Returns
    -------
    array (draws, B), float64
        In nats, summed over the latent units.

    Raises
    ------
    ValueError
        If the shapes differ or are not (B, D), or there is no draw.

    References
    ----------
    Kingma & Welling (2014), equation 6 (estimated) against equation 7 (in closed form).
    Taught in chapter 1, *The VAE objective*, section *The KL term, exactly*.

    Examples
    --------
    >>> float(kl([[2.0]], [[0.0]], draws=100_000).mean().round(1))
    2.0
    """
    z_mean, z_log_var, noise = _noise(z_mean, z_log_var, draws, seed)
    z = reparameterised(z_mean, z_log_var, noise)
    return 0.5 * np.sum(z**2 - noise**2 - z_log_var, axis=-1)


def mean_square_gradient(
    z_mean: ArrayLike, z_log_var: ArrayLike, draws: int, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Two unbiased estimates of the gradient of E[z^2] with respect to the mean of z.

    .. math:: \frac{\partial}{\partial \mu} E[z^2] = 2 \mu
              = E\bigl[2 (\mu + \sigma \epsilon)\bigr]
              = E\bigl[z^2 \, \epsilon / \sigma\bigr]

    The first moves the derivative inside after writing z as a function of its mean (the
    reparameterisation trick); the second weighs values by the derivative of ln q (the score).

    Parameters
    ----------
    z_mean, z_log_var : array (B, D)
        Mean and log-variance of z.
    draws : int
        Number of samples.
    seed : int
        Of the samples.

    Returns
    -------
    (reparameterised, score) : arrays (draws, B, D), float64
        One estimate a sample.

    Raises
    ------
    ValueError
        If the shapes differ or are not (B, D), or there is no draw.

    References
    ----------
    Williams (1992) for the score; Kingma & Welling (2014), section 2.4, and Rezende et al. (2014)
    for the other.
    Taught in chapter 1, *The VAE objective*, section *Why the encoder can learn:
    reparameterisation*.

    Examples
    --------
    >>> reparameterised, score = mean_square_gradient([[1.0]], [[0.0]], draws=100_000)
    >>> bool(score.std() > 2 * reparameterised.std())
    True
    """
    z_mean, z_log_var, noise = _noise(z_mean, z_log_var, draws, seed)
    std = np.exp(z_log_var / 2)
    z = reparameterised(z_mean, z_log_var, noise)
    return 2 * z, z**2 * noise / std


def _noise(
    z_mean: ArrayLike, z_log_var: ArrayLike, draws: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    z_mean, z_log_var = np.asarray(z_mean, float), np.asarray(z_log_var, float)
    _check.whole("draws", draws)
    if z_mean.ndim != 2 or z_mean.shape != z_log_var.shape:
        raise ValueError(
            f"z_mean has shape {z_mean.shape} and z_log_var {z_log_var.shape}: give two arrays "
            f"(batch, latent_dim)."
        )
    return z_mean, z_log_var, np.random.default_rng(seed).standard_normal((draws, *z_mean.shape))
