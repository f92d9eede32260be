"""Every likelihood of LIKELIHOODS against SciPy, finite differences and the law."""

import ast
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special, stats

from vae_notes import VAE, Objective, data, likelihoods
from vae_notes._keras import tf
from vae_notes.likelihoods import LIKELIHOODS, Bernoulli, Gaussian, cross_entropy
from vae_notes.networks import dense

ALL = pytest.mark.parametrize("likelihood", [of() for of in LIKELIHOODS.values()])
BETA = 0.6


@given(logit=st.floats(-80, 80, width=32), x=st.floats(0, 1, width=32))
def test_cross_entropy_equals_scipy(logit, x):
    expected = -x * special.log_expit(logit) - (1 - x) * special.log_expit(-logit)
    for kind, precision in ((np.asarray, 1e-12), (tf.constant, 1e-5)):
        value = float(cross_entropy(kind([[x]]), kind([[logit]]))[0, 0])
        assert value == pytest.approx(expected, rel=10 * precision, abs=precision)


def test_cross_entropy_is_finite_at_extreme_logits():
    for kind in (np.asarray, tf.constant):
        value = cross_entropy([[0.0, 1.0]], kind([[1e30, -1e30]]))
        np.testing.assert_allclose(value, 1e30, rtol=1e-6)


def test_elbo_is_the_gaussian_log_density_minus_kl():
    rng = np.random.default_rng(1)
    x, decoded = rng.normal(size=(2, 7, 12))
    for objective in [Objective(), Objective("mean", "mean", 0.2), Objective("mean", "sum")]:
        std = math.sqrt(objective.noise_variance(12, 3))
        density = stats.norm(decoded, std).logpdf(x).sum(axis=1)
        reconstruction, kl = objective.terms(x, decoded, np.ones((7, 3)), np.zeros((7, 3)))
        elbo = objective.elbo(reconstruction, kl, 12, 3)
        np.testing.assert_allclose(elbo, density - 1.5, rtol=1e-5)


def test_bernoulli_elbo_is_the_log_mass_minus_kl():
    rng = np.random.default_rng(2)
    x, logits = rng.integers(0, 2, (6, 9)), rng.normal(size=(6, 9))
    mass = stats.bernoulli(special.expit(logits)).logpmf(x).sum(axis=1)
    objective = Objective(likelihood="bernoulli", kl_weight=3.0)
    terms = objective.terms(x, logits, np.ones((6, 2)), np.zeros((6, 2)))
    np.testing.assert_allclose(objective.elbo(*terms, 9, 2), mass - 1, rtol=1e-5)


def log_likelihood(likelihood, x, decoded):
    error = np.asarray(likelihood.error(x, decoded), float).sum(axis=1)
    return likelihood.log_likelihood(error, BETA, x.shape[1])


@ALL
def test_it_integrates_to_one(likelihood):
    decoded = np.array([[0.3, -1.2]])
    if likelihood.support == (0.0, 1.0):  # the mass of every corner
        axis, cell = [0.0, 1.0], 1.0
    else:
        axis, step = np.linspace(-8, 8, 321, retstep=True)
        cell = step**2
    points = np.array([*itertools.product(axis, repeat=2)])
    density = np.exp(log_likelihood(likelihood, points, np.repeat(decoded, len(points), axis=0)))
    assert cell * density.sum() == pytest.approx(1, abs=1e-5)


@ALL
def test_the_baseline_is_the_best_decoder_without_a_code(likelihood):
    x = np.random.default_rng(0).random((50, 3))

    def cost(decoded):
        return -log_likelihood(likelihood, x, np.tile(decoded, (50, 1))).mean()

    best = optimize.minimize(cost, np.zeros(3), method="Nelder-Mead", options={"fatol": 1e-8})
    assert likelihood.baseline(x, BETA) == pytest.approx(-best.fun, rel=1e-5)


def test_baseline_rows_are_the_log_densities_of_scipy():
    x, train = np.random.default_rng(0).integers(0, 2, (2, 40, 3)).astype(float)
    train[:, 0] = 0  # a pixel that was never on, and is here
    assert x[:, 0].any()
    std = math.sqrt(BETA / 2)
    for other, mean in ((None, x.mean(axis=0)), (train, train.mean(axis=0))):
        found = Gaussian().baseline_rows(x, BETA, other)
        np.testing.assert_allclose(found, stats.norm(mean, std).logpdf(x).sum(axis=1), rtol=1e-12)
    for other, p in ((None, x.mean(axis=0)), (train, (train.sum(axis=0) + 0.5) / 41)):
        found = Bernoulli().baseline_rows(x.reshape(40, 3, 1), BETA, other)
        np.testing.assert_allclose(found, stats.bernoulli(p).logpmf(x).sum(axis=1), rtol=1e-12)
    assert np.isfinite(found).all()


@ALL
def test_baseline_rows_of_other_data_are_refused(likelihood):
    with pytest.raises(ValueError, match="x_train has 4 values an example and x has 3: give"):
        likelihood.baseline_rows(np.eye(3), BETA, np.eye(4))


@ALL
def test_errors_are_those_of_the_exponential_family(likelihood):
    """Where they are least, and by how much less than elsewhere."""
    x, decoded = np.random.default_rng(0).random((2, 20, 3))
    own = likelihood.log_partition(decoded) - x * decoded
    error = np.asarray(likelihood.error(x, decoded), float)
    difference = (error - error[:1]) / BETA - (own - own[:1]) / likelihood.critical_variance(BETA)
    reference = np.asarray(likelihood.error(x, np.zeros_like(x)), float)
    offset = reference / BETA - likelihood.log_partition(np.zeros_like(x)) / (
        likelihood.critical_variance(BETA)
    )
    np.testing.assert_allclose(difference, offset - offset[:1], atol=1e-5)
    mean = x.mean(axis=0)
    np.testing.assert_allclose(likelihood.mean(likelihood.natural(mean)[None])[0], mean, rtol=1e-5)
    assert np.isfinite(likelihood.natural(np.array([0.0, 1.0]))).all()


def test_a_baseline_of_pixels_that_never_change():
    x = np.array([[0.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    assert Bernoulli().baseline(x, 1.0) == pytest.approx(-math.log(2))


@ALL
def test_the_mean_is_that_of_the_distribution(likelihood):
    decoded = np.linspace(-2, 2, 5)[None]
    expected = {"gaussian": decoded, "bernoulli": special.expit(decoded)}[likelihood.name]
    np.testing.assert_allclose(likelihood.mean(decoded), expected, rtol=1e-6)


@ALL
def test_a_collapsed_decoder_is_a_local_optimum_up_to_the_critical_variance(likelihood):
    """The law, by finite differences: a small code along the first direction pays or does not."""
    rng = np.random.default_rng(1)
    x = (rng.random((400, 4)) < special.expit(rng.normal(0, 2, (400, 1)))).astype(float)
    p = x.mean(axis=0)
    constant = p if likelihood.name == "gaussian" else special.logit(p)
    unit = np.ones(4) if likelihood.name == "gaussian" else 1 / np.sqrt(p * (1 - p))
    values, vectors = np.linalg.eigh(np.cov(likelihood.standardised(x).T, ddof=0))
    direction, scores = vectors[:, -1], likelihood.standardised(x) @ vectors[:, -1]
    scores = scores - scores.mean()
    for beta_at, pays in ((0.9, True), (1.1, False)):
        beta = beta_at * values[-1] / likelihood.critical_variance(1.0)
        step = (
            1e-2  # of the decoder's weight; the encoder answers with the best code to first order
        )
        z_mean = step * scores / likelihood.critical_variance(beta)
        variance = 1 / (1 + step**2 / likelihood.critical_variance(beta))
        nodes, weights = np.polynomial.hermite_e.hermegauss(8)
        error = sum(
            w
            * np.asarray(
                likelihood.error(x, constant + unit * step * np.outer(z, direction)), float
            )
            for z, w in zip(
                z_mean + np.sqrt(variance) * nodes[:, None], weights / weights.sum(), strict=True
            )
        ).sum(axis=1)
        before = np.asarray(likelihood.error(x, np.tile(constant, (400, 1))), float).sum(axis=1)
        kl = 0.5 * (z_mean**2 + variance - 1 - np.log(variance))
        gain = before.mean() - error.mean() - beta * kl.mean()
        assert (gain > 0) == pays, (likelihood, beta_at, gain)


@ALL
def test_a_config_goes_there_and_back(likelihood):
    assert likelihoods.get(likelihood.get_config()) == likelihood
    assert likelihoods.get(likelihood.name) == likelihood == likelihoods.get(likelihood)


@pytest.mark.parametrize("unknown", ["poisson", None, 3, {"name": "poisson"}, {}])
def test_an_unknown_one_is_refused(unknown):
    with pytest.raises(ValueError, match=r"is unknown: choose one of gaussian, bernoulli"):
        likelihoods.get(unknown)


def test_data_outside_the_support_are_refused():
    with pytest.raises(ValueError, match=r"range from -1 to 1, but a Bernoulli decoder is for"):
        Bernoulli().check(np.array([[-1.0, 1.0]]))
    Gaussian().check(np.array([[-1e9, 1e9]]))


def test_a_model_refuses_to_train_or_to_be_judged_on_them():
    x = data.linear_gaussian([4.0, 1.0, 0.1], count=64)
    vae = VAE(*dense(3, 2, (4,)), Objective(likelihood="bernoulli"))
    vae.compile("sgd")
    inside = np.clip(x, 0, 1)
    for refused in (
        lambda: vae.fit(x, verbose=0),
        lambda: vae.fit(iter([inside, x]), steps_per_epoch=2, verbose=0),
        lambda: vae.fit(inside, validation_data=x, verbose=0),
        lambda: vae.fit(inside, validation_data=(x, None), verbose=0),
        lambda: vae.evaluate(x, verbose=0),
        lambda: vae.evaluate(iter([x]), verbose=0),
    ):
        with pytest.raises(ValueError, match=r"^The data range from -.*: scale them, or use squa"):
            refused()
    vae.fit(inside, validation_data=inside, verbose=0)
    vae.evaluate(inside, verbose=0)
    vae.encode(x)  # asks for no likelihood
    gaussian = VAE(*dense(3, 2, (4,)))
    gaussian.compile("sgd")
    gaussian.fit(x, verbose=0)


@ALL
def test_a_model_shows_the_mean(likelihood):
    vae = VAE(*dense(3, 2, (4,)), Objective(likelihood=likelihood))
    x = np.random.default_rng(2).random((5, 3)).astype("float32")
    decoded = np.asarray(vae.decoder(vae.encode(x)[0]))
    np.testing.assert_allclose(vae.reconstruct(x), likelihood.mean(decoded), atol=1e-6)


def test_a_new_likelihood_touches_one_room():
    """The name of none stands in the code of any other module, but as a default."""
    names = {name for of in LIKELIHOODS for name in (of, of.title())}
    for path in (Path(likelihoods.__file__).parent).rglob("*.py"):
        if path.name == "likelihoods.py":
            continue
        tree = ast.parse(path.read_text())
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Compare)]
        found = {n.value for node in nodes for n in ast.walk(node) if isinstance(n, ast.Constant)}
        assert not names & {str(value) for value in found}, path.name
