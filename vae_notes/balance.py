"""The two terms of the loss side by side: their sizes, their gradients, and when each settles."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_notes import _check, data
from vae_notes._keras import keras, tf
from vae_notes.model import VAE, Sampling

__all__ = ["Balance", "Record", "converged", "measure"]


@dataclass(frozen=True)
class Balance:
    """Sizes of the two summed terms, and the norms of their gradients; :func:`measure` makes it.

    Nothing is weighted: multiply by :meth:`vae_notes.objective.Objective.weights` to see what a
    loss sees.

    Attributes
    ----------
    reconstruction, kl : float
        Batch means of the terms, summed over N and over D.
    reconstruction_gradient, kl_gradient : dict of str to float
        Euclidean norms of the gradients of these two means with respect to the parameters of the
        ``"encoder"`` and of the ``"decoder"``; and ``"z_mean"``, the mean over examples of the
        norm of the gradient of an example's own term with respect to its posterior mean.

    References
    ----------
    Taught in chapter 3, *The N-versus-D mismatch*, section *How large they are before training*.

    Examples
    --------
    >>> Balance(2.0, 0.5, {"z_mean": 1.0}, {"z_mean": 0.25}).pull("z_mean", (1.0, 2.0))
    2.0
    """

    reconstruction: float
    kl: float
    reconstruction_gradient: dict[str, float]
    kl_gradient: dict[str, float]

    def pull(
        self, where: Literal["encoder", "z_mean"], weights: tuple[float, float] = (1.0, 1.0)
    ) -> float:
        """How many times harder the weighted reconstruction term pulls than the weighted KL term.

        Parameters
        ----------
        where : {"encoder", "z_mean"}
            What is pulled; the KL term does not pull at the decoder.
        weights : pair of floats
            From :meth:`vae_notes.objective.Objective.weights`.

        Returns
        -------
        float
        """
        w_reconstruction, w_kl = weights
        return (
            w_reconstruction
            * self.reconstruction_gradient[where]
            / (w_kl * self.kl_gradient[where])
        )


def measure(vae: VAE, x: ArrayLike, seed: int = 0) -> Balance:
    r"""Sizes of the two terms of a VAE on a batch, and the norms of their gradients.

    .. math:: \bar R = \frac{1}{B} \sum_b R_b, \quad \bar K = \frac{1}{B} \sum_b K_b, \quad
              \lVert \nabla_\theta \bar R \rVert, \; \lVert \nabla_\theta \bar K \rVert, \quad
              \frac{1}{B} \sum_b \lVert \partial R_b / \partial \mu_b \rVert, \;
              \frac{1}{B} \sum_b \lVert \mu_b \rVert

    The last is the KL term's, whose gradient with respect to :math:`\mu_b` is :math:`\mu_b`. The
    model, its weights and its noise stay as they are.

    Parameters
    ----------
    vae : VAE
        Trained or not, compiled or not.
    x : array (B, ...)
        A batch; the larger, the less the result depends on which.
    seed : int
        Of the one draw of z.

    Returns
    -------
    Balance

    Raises
    ------
    ValueError
        If ``x`` is unusable or does not fit the model.

    References
    ----------
    Taught in chapter 3, *The N-versus-D mismatch*, section *How large they are before training*.

    Examples
    --------
    >>> from vae_notes import VAE
    >>> from vae_notes.networks import dense
    >>> balance = measure(VAE(*dense(64, 8)), data.digits()[:100])
    >>> balance.reconstruction > balance.kl, balance.kl_gradient["decoder"]
    (True, 0.0)
    """
    x = tf.constant(data.check(x, vae.data_shape))
    parameters = {
        "encoder": [v.value for v in vae.encoder.trainable_variables],
        "decoder": [v.value for v in vae.decoder.trainable_variables],
    }
    sampling = Sampling(seed)
    with tf.GradientTape(persistent=True) as tape:
        z_mean, z_log_var = vae.encoder(x, training=False)
        decoded = vae.decoder(sampling(z_mean, z_log_var), training=False)
        terms = vae.objective.terms(x, decoded, z_mean, z_log_var)  # (B,), (B,)
        means = [tf.reduce_mean(term) for term in terms]
    norms = []
    for term, mean in zip(terms, means, strict=True):
        found = {of: _norm(tape.gradient(mean, values)) for of, values in parameters.items()}
        own = tape.gradient(term, z_mean)  # (B, D): one example's term sees its own mean only
        found["z_mean"] = float(tf.reduce_mean(tf.norm(own, axis=-1)))
        norms.append(found)
    return Balance(float(means[0]), float(means[1]), *norms)


class Record(keras.callbacks.Callback):
    """Measures the balance of a VAE before training and after chosen epochs of ``fit``.

    Parameters
    ----------
    x : array (B, ...)
        The batch to measure on, always the same.
    epochs : sequence of int
        After how many epochs; 0 is before the first.

    Attributes
    ----------
    balances : dict of int to Balance
        By number of epochs done.

    References
    ----------
    Taught in chapter 3, *The N-versus-D mismatch*, section *Along training*.

    Examples
    --------
    >>> from vae_notes import VAE
    >>> from vae_notes.networks import dense
    >>> vae, x = VAE(*dense(64, 8)), data.digits()[:100]
    >>> vae.compile("adam")
    >>> record = Record(x, epochs=[0, 2])
    >>> history = vae.fit(x, epochs=3, verbose=0, callbacks=[record])
    >>> list(record.balances)
    [0, 2]
    """

    def __init__(self, x: ArrayLike, epochs: Iterable[int]) -> None:
        super().__init__()
        self.x, self.epochs = x, frozenset(epochs)
        self.balances: dict[int, Balance] = {}

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._measure(0)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._measure(epoch + 1)

    def _measure(self, done: int) -> None:
        if done in self.epochs:
            self.balances[done] = measure(self.model, self.x)


def converged(curve: ArrayLike, within: float = 0.05) -> int | NDArray[np.integer]:
    r"""The epoch from which on a curve stays near where it ends.

    .. math:: \min \{e : |c_t - c_T| \le f \, (\max c - \min c) \text{ for all } t \ge e \}

    This is one definition among many. It calls a curve converged that was merely stopped, so train
    until nothing moves; and what is near depends on ``within``, so try several.

    Parameters
    ----------
    curve : array (epochs,) or (..., epochs)
        A quantity along training; of several curves each has its own answer.
    within : float
        The fraction f of the curve's range, in (0, 1).

    Returns
    -------
    int, or array (...) of int
        Index of the epoch, 0 for a curve that never moves.

    Raises
    ------
    ValueError
        If the curve is empty or not finite, or the fraction is out of range.

    References
    ----------
    Taught in chapter 3, *The N-versus-D mismatch*, section *Which term converges first?*.

    Examples
    --------
    >>> converged([10.0, 4.0, 1.2, 0.9, 1.0], within=0.05)
    2
    >>> converged([10.0, 4.0, 1.2, 0.9, 1.0], within=0.5)
    1
    """
    curve = np.asarray(curve, dtype=float)
    if not curve.size or curve.ndim < 1 or not np.isfinite(curve).all():
        raise ValueError(
            f"the curve has shape {curve.shape} or values that are not finite: give one number "
            f"for each epoch."
        )
    _check.number("within", within, above=0, below=1)
    near = np.abs(curve - curve[..., -1:]) <= within * np.ptp(curve, axis=-1, keepdims=True)
    epochs = curve.shape[-1] - np.logical_and.accumulate(near[..., ::-1], axis=-1).sum(axis=-1)
    return int(epochs) if curve.ndim == 1 else epochs


def _norm(gradients: Iterable[Any]) -> float:
    """Euclidean norm over all parameters; those that a term does not reach count as 0."""
    return float(sum(tf.reduce_sum(g**2) for g in gradients if g is not None)) ** 0.5
