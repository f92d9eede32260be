import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from vae_notes._keras import tf
from vae_notes._noise import across_devices, batch_order, standard_normal


def test_draws_are_standard_normal():
    """Against SciPy's distribution function, tails included."""
    draws = standard_normal((200_000,), [3, 5]).numpy()
    assert draws.dtype == np.float32 and np.isfinite(draws).all()
    assert scipy.stats.kstest(draws, "norm").pvalue > 0.01
    assert (np.abs(draws) > 3).mean() == pytest.approx(2 * scipy.stats.norm.sf(3), rel=0.1)


def test_the_extreme_draws_are_finite(monkeypatch):
    extremes = tf.constant([0, 2**22, 2**23 - 1])
    monkeypatch.setattr(tf.random, "stateless_uniform", lambda *_, **__: extremes)
    low, middle, high = standard_normal((3,), [0, 0]).numpy()
    assert -low == high == pytest.approx(scipy.stats.norm.isf(2.0**-24), rel=1e-3)
    assert middle == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("seed", [[0, 0], [7, 123], [2**31 - 1, 2**40]])
def test_the_same_however_it_is_run(seed):
    seed = tf.constant(seed, tf.int64)
    eager = standard_normal((50, 4), seed)
    for jit_compile in (False, True):
        run = tf.function(lambda s: standard_normal((50, 4), s), jit_compile=jit_compile)
        assert_allclose(run(seed), eager, atol=3e-5)


def test_seeds_and_counters_are_independent():
    draws = [standard_normal((20_000,), [s, n]).numpy() for s in (0, 1) for n in (0, 1)]
    assert np.abs(np.corrcoef(draws) - np.eye(4)).max() < 0.03


@given(st.integers(0, 2**31 - 1), st.integers(0, 1000), st.integers(1, 200))
def test_orders_are_permutations(seed, epoch, count):
    order = batch_order(seed, epoch, count)
    assert order.dtype == np.int32
    assert_array_equal(np.sort(order), np.arange(count))
    assert_array_equal(order, batch_order(seed, epoch, count))


def test_orders_differ():
    orders = {tuple(batch_order(s, e, 50)) for s in range(5) for e in range(5)}
    assert len(orders) == 25


def test_one_device_has_all_examples():
    assert across_devices(5) == (5, 0)
