"""The terms of arrays and of tensors: one formula, two kinds of numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vae_notes import Objective
from vae_notes._keras import keras, tf
from vae_notes.likelihoods import LIKELIHOODS, cross_entropy, squared_error
from vae_notes.objective import kl_divergence, weighted_loss

TERMS = (squared_error, cross_entropy, kl_divergence)
pairs = arrays(np.float32, (2, 3, 4), elements=st.floats(-30, 30, width=32))


def assert_agree(of_arrays, of_tensors):
    """Float64 arrays and float32 tensors that differ by what float32 rounds off."""
    for array, tensor in zip(of_arrays, of_tensors, strict=True):
        assert isinstance(array, np.ndarray | np.float64) and array.dtype == np.float64
        assert tf.is_tensor(tensor) and tensor.dtype == tf.float32
        np.testing.assert_allclose(array, tensor, rtol=1e-5, atol=3e-5)


@given(pair=pairs)
def test_terms_of_arrays_and_tensors_agree(pair):
    tensors = tf.constant(pair)
    assert_agree([term(*pair) for term in TERMS], [term(*tensors) for term in TERMS])


@given(x=pairs, z=pairs, weight=st.floats(1e-3, 1e3))
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_objectives_of_arrays_and_tensors_agree(likelihood, x, z, weight):
    objective = Objective("mean", "sum", weight, likelihood)
    found = []
    for kind in (np.asarray, tf.constant):
        terms = objective.terms(*kind(np.concatenate([x, z / 10])))
        loss = weighted_loss(*terms, objective.weights(4, 4))
        elbo = objective.elbo(*terms, 4, 4)
        found.append([*terms, loss, elbo / max(1, 1 / weight), objective.likelihood.mean(kind(x))])
    assert_agree(*found)


def test_what_float32_cannot_hold():
    """A log-variance of 100 has a KL divergence; of a tensor it is infinite, as in training."""
    log_var = [[100.0, 200.0]]
    exact = [[0.5 * (math.expm1(v) - v) for v in log_var[0]]]
    np.testing.assert_allclose(kl_divergence([[0.0, 0.0]], log_var), exact, rtol=1e-14)
    assert np.isinf(kl_divergence(tf.zeros((1, 2)), log_var)).all()
    assert squared_error([[1e30]], [[-1e30]]).tolist() == [[2e30**2]]
    assert cross_entropy([[0.0, 1.0]], [[1e300, -1e300]]).tolist() == [[1e300, 1e300]]
    assert kl_divergence([[0.0]], [[1e-7]])[0, 0] == pytest.approx(2.5e-15, rel=1e-6)


@pytest.mark.parametrize("which", range(4))
def test_one_tensor_makes_tensors(which):
    """Of both terms, so that they can be added up."""
    values = [np.full((2, 3), of) for of in (1.0, 0.5, 2.0, 0.0)]
    values[which] = tf.constant(values[which])  # of float64
    terms = Objective().terms(*values)
    assert [of.dtype for of in terms] == [tf.float32] * 2
    np.testing.assert_allclose(terms[0] + terms[1], 0.75 + 6.0)


def test_gradients_go_through_lists_of_tensors_and_through_variables():
    mean, log_var = tf.constant(2.0), keras.Variable([[0.5]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(mean)
        of_list, of_variable = kl_divergence([[mean]], [[0.0]]), kl_divergence([[0.0]], log_var)
    assert float(tape.gradient(of_list, mean)) == pytest.approx(2.0)
    by_log_var = float(tape.gradient(of_variable, log_var.value)[0, 0])
    assert by_log_var == pytest.approx(0.5 * math.expm1(0.5))


def test_symbolic_tensors_stay_symbolic():
    z = keras.Input((3,))
    assert isinstance(kl_divergence(z, z), keras.KerasTensor)


def test_what_is_no_tensor_is_an_array():
    class Foreign:  # as a tensor of another framework
        def __array__(self, dtype=None, copy=None):
            return np.ones((1, 2), dtype or np.float32)

    for ones in ([[1.0, 1.0]], ((1, 1),), np.ones((1, 2), np.float16), Foreign()):
        found = squared_error(ones, np.zeros((1, 2), int))
        assert isinstance(found, np.ndarray) and found.dtype == np.float64
        assert found.tolist() == [[1.0, 1.0]]
