import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from vae_notes import VAE, Objective, balance, data
from vae_notes.model import Sampling
from vae_notes.networks import convolutional, dense

X = data.digits()[:40, 18:26]  # eight pixels of the middle


def small_vae(seed=0, **objective):
    return VAE(*dense(8, 3, hidden=(4,), seed=seed), Objective(**objective))


def terms(vae, seed):
    """Both terms' batch means from NumPy, for the noise that ``measure`` draws."""
    z_mean, z_log_var = (np.asarray(a, float) for a in vae.encoder(X))
    z = Sampling(seed)(z_mean, z_log_var)
    error = X - np.asarray(vae.decoder(z), float)
    kl = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var)
    return (error**2).sum(axis=1).mean(), kl.sum(axis=1).mean()


def test_sizes_are_the_summed_terms():
    vae = small_vae(reconstruction="mean", kl="mean", kl_weight=3.0)  # weights are left out
    measured = balance.measure(vae, X, seed=4)
    assert_allclose((measured.reconstruction, measured.kl), terms(vae, 4), rtol=1e-5)


@pytest.mark.parametrize("half", ["encoder", "decoder"])
def test_parameter_gradients_equal_finite_differences(half):
    vae = small_vae()
    measured = balance.measure(vae, X, seed=1)
    variables = getattr(vae, half).trainable_variables
    squares = np.zeros(2)
    h = 3e-3
    for variable in variables:
        kept = variable.numpy()
        for index in np.ndindex(kept.shape):
            ends = []
            for sign in (1, -1):
                moved = kept.copy()
                moved[index] += sign * h
                variable.assign(moved)
                ends.append(terms(vae, 1))
            variable.assign(kept)
            squares += (np.subtract(*ends) / (2 * h)) ** 2
    expected = np.sqrt(squares)
    found = measured.reconstruction_gradient[half], measured.kl_gradient[half]
    assert_allclose(found, expected, rtol=2e-2, atol=1e-4)


def test_z_mean_gradient_of_the_kl_is_z_mean_itself():
    vae = small_vae()
    z_mean, _ = vae.encoder(X)
    expected = np.linalg.norm(z_mean, axis=1).mean()
    assert balance.measure(vae, X).kl_gradient["z_mean"] == pytest.approx(expected, rel=1e-5)


def test_z_mean_gradient_of_the_reconstruction_by_the_chain_rule():
    vae = VAE(*dense(8, 3, hidden=()))
    z_mean, z_log_var = vae.encoder(X)
    kernel, bias = vae.decoder.get_weights()
    error = np.asarray(Sampling(2)(z_mean, z_log_var)) @ kernel + bias - X
    expected = np.linalg.norm(2 * error @ kernel.T, axis=1).mean()
    measured = balance.measure(vae, X, seed=2)
    assert measured.reconstruction_gradient["z_mean"] == pytest.approx(expected, rel=1e-4)


def test_the_kl_does_not_reach_the_decoder():
    assert balance.measure(small_vae(), X).kl_gradient["decoder"] == 0.0


def test_measuring_changes_nothing():
    vae = small_vae()
    before = [w.copy() for w in vae.get_weights()]
    assert balance.measure(vae, X) == balance.measure(vae, X)
    for a, b in zip(before, vae.get_weights(), strict=True):
        assert_array_equal(a, b)


def test_pull_weighs_both_sides():
    measured = balance.measure(small_vae(), X)
    plain = measured.reconstruction_gradient["encoder"] / measured.kl_gradient["encoder"]
    assert measured.pull("encoder") == pytest.approx(plain)
    weights = Objective("mean", "sum").weights(8, 3)
    assert measured.pull("encoder", weights) == pytest.approx(plain / 8)


def test_convolutional_images():
    vae = VAE(*convolutional((8, 8, 1), 2, filters=(4,)))
    measured = balance.measure(vae, data.digits()[:40].reshape(-1, 8, 8, 1))
    assert measured.reconstruction > 0 and math.isfinite(measured.pull("z_mean"))


def test_bad_data_is_refused():
    with pytest.raises(ValueError, match="8"):
        balance.measure(small_vae(), X[:, :5])


def test_record_keeps_the_chosen_epochs_and_leaves_training_alone():
    losses = []
    for epochs in ([0, 1, 3], []):
        vae = small_vae()
        vae.compile("adam", jit_compile=False)
        record = balance.Record(X, epochs)
        untrained = balance.measure(vae, X)
        losses.append(vae.fit(X, epochs=3, verbose=0, callbacks=[record]).history["loss"])
        assert list(record.balances) == epochs
        if epochs:
            assert record.balances[0] == untrained
            assert record.balances[3] == balance.measure(vae, X)
            assert record.balances[3].reconstruction < untrained.reconstruction
    assert losses[0] == losses[1]


# When a curve has converged

curves = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


@given(curve=curves, within=st.floats(0.01, 0.99))
def test_converged_is_the_first_epoch_of_its_kind(curve, within):
    epoch = balance.converged(curve, within)
    near = [abs(c - curve[-1]) <= within * (max(curve) - min(curve)) for c in curve]
    assert all(near[epoch:])
    assert epoch == 0 or not near[epoch - 1]


@given(
    curve=st.lists(st.integers(-100, 100), min_size=1, max_size=30),
    scale=st.sampled_from([-4.0, 0.5, 2.0]),
    shift=st.integers(-8, 8),
)
def test_converged_sees_neither_scale_nor_shift(curve, scale, shift):
    moved = scale * np.array(curve) + shift
    assert balance.converged(moved, 0.25) == balance.converged(curve, 0.25)


def test_an_exponential_converges_when_its_logarithm_says():
    t = np.arange(200)
    curve = 3 + 2 * np.exp(-t / 10)
    assert balance.converged(curve, 0.05) == math.ceil(10 * math.log(1 / 0.05))


def test_converged_of_several_curves():
    table = np.array([[5.0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 7]])
    assert balance.converged(table, 0.1).tolist() == [2, 0, 3]
    assert balance.converged(np.stack([table, table])).shape == (2, 3)


@pytest.mark.parametrize("curve", [[], 3.0, [1.0, np.nan]])
def test_converged_refuses_what_is_no_curve(curve):
    with pytest.raises(ValueError, match="one number for each epoch"):
        balance.converged(curve)


@pytest.mark.parametrize("within", [0, 1, -0.1])
def test_converged_refuses_fractions_out_of_range(within):
    with pytest.raises(ValueError, match=r"within=.* is not a finite number above 0 and below 1"):
        balance.converged([1.0, 2.0], within)
