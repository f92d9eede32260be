import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from vae_notes import Objective
from vae_notes._keras import tf
from vae_notes.likelihoods import cross_entropy, squared_error
from vae_notes.objective import kl_divergence, weighted_loss

moderate = st.floats(-4, 4, width=32)
dimensions = st.integers(1, 4096)
reductions = st.sampled_from(["sum", "mean"])


@given(mean=moderate, log_var=moderate)
def test_kl_equals_the_integral(mean, log_var):
    q = stats.norm(mean, math.exp(log_var / 2))
    z = np.linspace(mean - 12 * q.std(), mean + 12 * q.std(), 2001)
    log_ratio = q.logpdf(z) - stats.norm.logpdf(z)
    integral = integrate.simpson(q.pdf(z) * log_ratio, x=z)
    kl = float(kl_divergence([[mean]], [[log_var]])[0, 0])
    assert kl == pytest.approx(integral, rel=1e-7, abs=1e-7)


@given(mean=moderate, log_var=st.floats(-30, 30, width=32))
def test_kl_is_never_negative(mean, log_var):
    for kind in (np.asarray, tf.constant):
        assert float(kl_divergence(kind([[mean]]), kind([[log_var]]))[0, 0]) >= -1e-9


def test_kl_keeps_its_digits_when_a_unit_has_all_but_collapsed():
    log_var = np.float32(1e-3)
    exact = 0.5 * (math.expm1(float(log_var)) - float(log_var))
    naive = 0.5 * (np.exp(log_var) - np.float32(1) - log_var)
    assert float(kl_divergence([[0.0]], tf.constant([[log_var]]))[0, 0]) == pytest.approx(
        exact, rel=1e-3
    )
    assert naive != pytest.approx(exact, rel=1e-2)  # what the textbook formula would give


def test_kl_at_the_ends_of_float32():
    largest = np.log(np.finfo(np.float32).max)
    kl = kl_divergence([[0.0, 0.0, 1e18]], tf.constant([[-1e30, largest - 1, 0.0]])).numpy()
    assert np.isfinite(kl).all()
    assert kl[0, 0] == pytest.approx(0.5e30)


def test_kl_gradient_equals_finite_differences():
    mean, log_var = tf.constant([[0.7, -1.2]]), tf.constant([[-0.5, 0.3]])
    with tf.GradientTape() as tape:
        tape.watch([mean, log_var])
        kl = tf.reduce_sum(kl_divergence(mean, log_var))
    by_mean, by_log_var = tape.gradient(kl, [mean, log_var])
    h = 1e-2
    for tensor, other, gradient in [(mean, log_var, by_mean), (log_var, mean, by_log_var)]:
        for unit in range(2):
            step = np.eye(2, dtype=np.float32)[unit] * h
            pair = [(tensor + s * step, other) for s in (1, -1)]
            if tensor is log_var:
                pair = [(m, v) for v, m in pair]
            up, down = (float(tf.reduce_sum(kl_divergence(*p))) for p in pair)
            assert float(gradient[0, unit]) == pytest.approx((up - down) / (2 * h), rel=1e-3)


@given(
    data_dim=dimensions,
    latent_dim=dimensions,
    reconstruction=reductions,
    kl=reductions,
    kl_weight=st.floats(1e-4, 1e4),
    a=st.floats(0.1, 10),
)
def test_the_law(data_dim, latent_dim, reconstruction, kl, kl_weight, a):
    """The table of reductions: c is w, wN, wN/D or w/D, and the noise variance is c/2."""
    objective = Objective(reconstruction, kl, kl_weight)
    c = kl_weight
    c *= data_dim if reconstruction == "mean" else 1
    c /= latent_dim if kl == "mean" else 1
    assert objective.beta(data_dim, latent_dim) == pytest.approx(c)
    assert objective.noise_variance(data_dim, latent_dim) == pytest.approx(c / 2)
    w_reconstruction, w_kl = objective.weights(data_dim, latent_dim)
    assert w_kl / w_reconstruction == pytest.approx(c)
    heavier = Objective(reconstruction, kl, a * kl_weight)
    assert heavier.noise_variance(data_dim, latent_dim) == pytest.approx(a * c / 2)


def test_weights_reproduce_what_the_reductions_say():
    rng = np.random.default_rng(0)
    x, decoded = rng.normal(size=(2, 5, 64)).astype("float32")
    z_mean, z_log_var = rng.normal(size=(2, 5, 8)).astype("float32")
    kl = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var)
    reduce = {"sum": np.sum, "mean": np.mean}
    for r in reduce:
        for k in reduce:
            objective = Objective(r, k, 0.3)
            terms = objective.terms(x, decoded, z_mean, z_log_var)
            loss = weighted_loss(*terms, objective.weights(64, 8))
            per_example = reduce[r]((x - decoded) ** 2, axis=1) + 0.3 * reduce[k](kl, axis=1)
            assert float(loss) == pytest.approx(per_example.mean(), rel=1e-5)


def test_elbo_and_loss_differ_by_scale_and_constant():
    """That is what makes a reduction a noise variance."""
    objective = Objective("mean", "mean", 0.7)
    weights, noise = objective.weights(40, 6), objective.noise_variance(40, 6)
    points = [(3.0, 0.5), (9.0, 2.0), (1.0, 8.0)]
    losses = np.array([weights[0] * r + weights[1] * k for r, k in points])
    negative_elbos = np.array([-objective.elbo(r, k, 40, 6) for r, k in points])
    slopes = np.diff(negative_elbos) / np.diff(losses)
    assert slopes == pytest.approx(np.full(2, 1 / (2 * noise * weights[0])))


@pytest.mark.parametrize("shape", [(3, 28, 28, 1), (3, 784), (3, 16, 49)])
def test_any_rank_sums_over_all_but_the_batch(shape):
    x = np.ones(shape)
    reconstruction, kl = Objective().terms(x, 0 * x, np.ones((3, 4, 2)), np.zeros((3, 4, 2)))
    assert reconstruction.tolist() == [784.0] * 3
    assert kl.tolist() == [4.0] * 3


@pytest.mark.parametrize(
    "a, b", [((28, 28, 28, 1), (28, 28, 1)), ((5, 4), (5, 1)), ((5, 4), (1, 4)), ((5,), (5,))]
)
def test_shapes_that_would_broadcast_are_errors(a, b):
    for term in (squared_error, cross_entropy, kl_divergence):
        with pytest.raises(ValueError, match="give both the same shape"):
            term(np.zeros(a), np.zeros(b))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"reconstruction": "max"}, "reconstruction='max' is unknown: choose one of sum, mean"),
        ({"kl": None}, "kl=None is unknown"),
        ({"likelihood": "poisson"}, "choose one of gaussian, bernoulli"),
        ({"kl_weight": 0}, "kl_weight=0 is not a finite number above 0: give one, and to train"),
        ({"kl_weight": math.nan}, "kl_weight=nan"),
        ({"kl_weight": "1"}, "kl_weight='1'"),
    ],
)
def test_objective_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Objective(**arguments)


def test_dimensions_and_likelihood_are_checked():
    with pytest.raises(ValueError, match="data_dim=0 is not a whole number of at least 1"):
        Objective().weights(0, 8)
    with pytest.raises(ValueError, match=r"latent_dim=2.0 is not"):
        Objective().weights(64, 2.0)
    with pytest.raises(ValueError, match="has no noise variance"):
        Objective(likelihood="bernoulli").noise_variance(64, 8)


def test_for_noise_variance_goes_there_and_back():
    assert Objective.for_noise_variance(0.03).noise_variance(99, 7) == pytest.approx(0.03)


@pytest.mark.parametrize(
    "fraction", [math.nan, math.inf, -1, None, "half", [0.5], np.ones(1), True]
)
def test_a_weight_in_force_is_a_finite_number(fraction):
    with pytest.raises(ValueError, match=r"schedule\(3\)=.* is not a finite number of at least 0"):
        Objective().kl_weight_at(3, lambda epoch: fraction)


@pytest.mark.parametrize("fraction", [0, 1, 0.25, np.float32(0.25), np.array(0.25), np.int64(2)])
def test_the_weight_in_force_is_a_fraction_of_the_objectives(fraction):
    weight = Objective(kl_weight=4.0).kl_weight_at(3, lambda epoch: fraction)
    assert weight == 4 * fraction and type(weight) is float


@pytest.mark.parametrize("weight", [0.1, np.float64(0.1), np.float32(0.1), np.float16(0.1)])
def test_the_weight_is_the_number_that_was_given(weight):
    objective = Objective(kl_weight=weight)
    assert type(objective.kl_weight) is float and objective.kl_weight == 0.1
    assert "kl_weight=0.1," in repr(objective) and objective == Objective(kl_weight=0.1)
    assert hash(objective) == hash(Objective(kl_weight=0.1))
    assert Objective(kl_weight=np.int64(4)) == Objective(kl_weight=4) == Objective(kl_weight=4.0)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_a_config_makes_an_equal_objective(likelihood):
    objective = Objective("mean", "sum", 0.3, likelihood)
    again = Objective(**json.loads(json.dumps(objective.get_config())))
    assert again == objective and hash(again) == hash(objective)
    assert again != Objective("mean", "sum", 0.4, likelihood)
