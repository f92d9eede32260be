"""Random numbers and batch orders that are the same however a program is run."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_notes._keras import tf

__all__ = ["across_devices", "batch_order", "reparameterised", "standard_normal"]


def reparameterised(
    z_mean: Any, z_log_var: Any, noise: Any, exp: Callable[[Any], Any] = np.exp
) -> Any:
    r"""Draws from q(z|x) as a function of its mean and log-variance.

    .. math:: z = \mu + \sigma \epsilon, \quad \sigma = e^{\frac{1}{2} \ln \sigma^2}

    Parameters
    ----------
    z_mean, z_log_var, noise : array or tensor (..., D)
        Of one kind, in shapes that broadcast.
    exp : callable
        The exponential function of that kind.

    Returns
    -------
    array or tensor (..., D)

    References
    ----------
    Kingma & Welling (2014), section 2.4; Rezende et al. (2014).

    Examples
    --------
    >>> reparameterised(np.array([3.0]), np.log([4.0]), np.array([-1.0])).tolist()
    [1.0]
    """
    return z_mean + exp(0.5 * z_log_var) * noise


def standard_normal(shape: Any, seed: Any) -> Any:
    r"""Draws from N(0, 1) that are the same eagerly, in a graph, and compiled.

    .. math:: \epsilon = \sqrt{2}\,\operatorname{erf}^{-1}\bigl((2k + 1)\,2^{-23} - 1\bigr),
              \quad k \text{ uniform on } 0, \dots, 2^{23} - 1

    TensorFlow's own normal draws differ between its kernels and XLA; its integers do not. With
    them, a model trained alone and one trained among many see the same noise.

    Parameters
    ----------
    shape : tuple or tensor of int
        Of the result.
    seed : integer tensor (2,)
        A seed and a counter.

    Returns
    -------
    tensor of the given shape, float32

    Examples
    --------
    >>> draws = standard_normal((100_000,), [0, 1]).numpy()
    >>> bool(abs(draws.mean()) < 0.02), bool(abs(draws.std() - 1) < 0.02)
    (True, True)
    """
    seed = tf.cast(tf.cast(seed, tf.int64) % (2**31 - 1), tf.int32)
    k = tf.random.stateless_uniform(shape, seed, 0, 2**23, dtype=tf.int32, alg="philox")
    uniform = (2 * tf.cast(k, tf.float32) + 1) * 2.0**-23 - 1  # in (-1, 1), both ends excluded
    return math.sqrt(2) * tf.math.erfinv(uniform)


def batch_order(seed: int, epoch: int, count: int) -> NDArray[np.int32]:
    """The order in which an epoch meets the examples: a permutation of 0 ... count - 1.

    Parameters
    ----------
    seed, epoch, count : int
        Of the run, of the pass over the data, and of the examples.

    Returns
    -------
    array (count,), int32

    Examples
    --------
    >>> sorted(batch_order(seed=0, epoch=3, count=4).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)


def across_devices(count: Any) -> tuple[Any, Any]:
    """How many examples of a batch all devices have, and how many those before this one.

    Parameters
    ----------
    count : int or integer tensor
        Of the examples on this device, one of those of a ``tf.distribute`` strategy.

    Returns
    -------
    (total, first) : of the kind given
        With one device, ``count`` and 0.

    Examples
    --------
    >>> across_devices(32)
    (32, 0)
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return count, 0
    counts = replica.all_gather(tf.reshape(count, (1,)), axis=0)
    return tf.reduce_sum(counts), tf.reduce_sum(counts[: replica.replica_id_in_sync_group])
