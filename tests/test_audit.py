"""An audit against the law written out by hand, against quadrature, and against trained VAEs."""

import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from vae_notes import Objective, _passes, data, theory
from vae_notes.audit import audit
from vae_notes.networks import dense
from vae_notes.recipes import Recipe
from vae_notes.sweep import sweep

EIGENVALUES = [4.0, 2.0, 1.0, 0.2, 0.1]
dims = st.integers(1, 500)
weights = st.floats(1e-3, 1e3)
reductions = st.sampled_from(["sum", "mean"])


@given(reductions, reductions, dims, dims, weights, weights, weights)
def test_beta_is_the_ratio_of_the_weights_on_the_sums(rec, kl, n, d, w, r, f):
    found = audit(Objective(rec, kl, w), n, d, reconstruction_weight=r, factor=f)
    on_errors = f * r / (n if rec == "mean" else 1)
    on_kl = f * w / (d if kl == "mean" else 1)
    assert found.weights == pytest.approx((on_errors, on_kl), rel=1e-9)
    assert found.beta == pytest.approx(on_kl / on_errors, rel=1e-9)
    assert found.noise_variance == pytest.approx(on_kl / on_errors / 2, rel=1e-9)


# Public losses, their noise variances worked out by hand in the texts of their threads.
@pytest.mark.parametrize(
    ("arguments", "options", "noise_variance"),
    [
        ((("mean", "mean"), 784, 32), {}, 784 / 64),
        ((("mean", "sum"), 784, 2), {"reconstruction_weight": 784}, 0.5),
        ((Objective("mean", "sum", 0.00025), 64 * 64 * 3, 128), {}, 0.00025 * 12288 / 2),
        ((("mean", "mean"), (64, 64, 3), 32), {"reconstruction_weight": 10}, 19.2),
        ((("sum", "sum"), (28, 28, 1), 2), {"mean_axes": -1}, 0.5),
        ((("sum", "sum"), (28, 28, 3), 2), {"mean_axes": 2}, 1.5),
        ((("sum", "sum"), (28, 28), 2), {"mean_axes": (0,)}, 14.0),
        ((("sum", "sum"), (28, 28), 2), {"mean_axes": (0, -1)}, 392.0),
        ((("sum", "sum"), 784, 20), {"factor": 1 / 784}, 0.5),
    ],
)
def test_losses_worked_out_by_hand(arguments, options, noise_variance):
    assert audit(*arguments, **options).noise_variance == pytest.approx(noise_variance)


def test_averages_over_some_axes_are_those_of_numpy():
    x = np.random.default_rng(0).normal(size=(6, 5, 4, 3))  # three axes an example
    found = audit(("sum", "sum"), x.shape[1:], 2, mean_axes=(0, -1))
    squares = x**2
    partly = squares.mean(axis=(1, 3)).sum(axis=1)
    np.testing.assert_allclose(partly, found.weights[0] * squares.sum(axis=(1, 2, 3)))


@given(weights, st.integers(1, 8))
def test_a_common_factor_changes_no_prediction(factor, latent_dim):
    plain = audit(("sum", "mean"), 5, latent_dim, EIGENVALUES)
    scaled = audit(("sum", "mean"), 5, latent_dim, EIGENVALUES, factor=factor)
    assert scaled.explanation == plain.explanation
    assert scaled.weights[0] == pytest.approx(factor * plain.weights[0])


def test_prediction_is_the_count_of_eigenvalues():
    found = audit(("sum", "sum"), 5, 4, data.linear_gaussian(EIGENVALUES, count=200_000))
    assert found.predicted.active_units == 3 and found.collapses is False
    assert found.predicted.kl == pytest.approx(0.5 * math.log(8 * 4 * 2), abs=0.02)
    assert "the other 1 stay empty" in found.explanation
    assert audit(("sum", "sum"), 5, 4).predicted is None


@pytest.mark.parametrize("slack", [0.98, 1.02])
def test_the_advice_against_collapse_is_right(slack):
    found = audit(("mean", "mean"), 5, 1, [1.0, 0.5, 0.1, 0.1, 0.1])  # sigma2 = 2.5
    assert found.collapses and "divided by more than 2.5" in found.explanation
    mended = audit(Objective("mean", "mean", slack / 2.5), 5, 1, [1.0, 0.5, 0.1, 0.1, 0.1])
    assert mended.collapses == (slack > 1)


# Bernoulli: the local statement against the loss itself, integrated by Gauss and Hermite


def shades(count=4000):
    """Three correlated pixels, two of them grey, one on its own, and one that never changes."""
    common = np.random.default_rng(0).normal(size=(count, 1))
    noise = np.random.default_rng(1).normal(size=(count, 4))
    bits = (noise + common * [1.5, 1.0, -1.2, 0.0] > [0.3, -0.5, 0.0, 0.8]).astype(float)
    grey = [0.0, 0.1, 0.3, 0.0] + bits * [1.0, 0.8, 0.6, 1.0]
    return np.concatenate([grey, np.zeros((count, 1))], axis=1)


def loss_near_collapse(x, beta, decoder, encoder, variance):
    """Exact mean loss of one latent unit, minus the loss of the collapsed VAE."""
    p = x.mean(axis=0)
    logits = special.logit(p)
    nodes, masses = np.polynomial.hermite_e.hermegauss(20)
    z_mean = (x - p) @ encoder  # (n,)
    z = z_mean[:, None] + math.sqrt(variance) * nodes  # (n, nodes)
    at = logits + z[..., None] * decoder  # (n, nodes, N)
    gain = np.logaddexp(0, at) - x[:, None] * at - np.logaddexp(0, logits) + x[:, None] * logits
    expected = gain.sum(axis=-1) @ masses / math.sqrt(2 * math.pi)
    kl = (z_mean**2 + variance - 1 - math.log(variance)) / 2
    return (expected + beta * kl).mean()


@pytest.mark.parametrize("relative", [0.9, 1.1])
def test_bernoulli_threshold_is_where_collapse_stops_being_a_minimum(relative):
    x = shades()
    level = audit(Objective(likelihood="bernoulli"), 5, 1, x).largest_eigenvalue
    beta = relative * level
    assert audit(Objective(kl_weight=beta, likelihood="bernoulli"), 5, 1, x).collapses == (
        relative > 1
    )
    x = x[:, :4]
    deviation = np.sqrt(x.mean(axis=0) * (1 - x.mean(axis=0)))
    standard = (x - x.mean(axis=0)) / deviation
    direction = np.linalg.eigh(standard.T @ standard / len(x))[1][:, -1]
    # A small step along the best direction, with the encoder that is best for it.
    step = 0.05
    decoder, encoder = step * direction / deviation, step * direction / deviation / level
    variance = 1 / (1 + step**2 / beta)
    change = loss_near_collapse(x, beta, decoder, encoder * level / beta, variance)
    assert (change < 0) == (relative < 1)
    if relative > 1:
        random = np.random.default_rng(2)
        for _ in range(50):
            small = 0.05 * random.normal(size=(2, 4))
            assert loss_near_collapse(x, beta, *small, 1 + 0.05 * random.uniform(-1, 1)) > 0


def test_bernoulli_vaes_collapse_above_the_threshold_and_not_below():
    x = shades(1024)[:, :4].astype(np.float32)
    level = audit(Objective(likelihood="bernoulli"), 4, 2, x).largest_eigenvalue
    recipes = [
        Recipe(f"{r}", Objective(kl_weight=r * level, likelihood="bernoulli"), learning_rate=0.02)
        for r in (0.5, 1.5)
    ]
    runs = sweep(functools.partial(dense, 4, 2, hidden=()), recipes, x, epochs=60, seeds=[0, 1])
    assert np.all(runs.active_units["0.5"] >= 1)
    assert np.all(runs.active_units["1.5"] == 0)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("limit", [2**22, 1000])
def test_a_generator_is_audited_as_the_array(likelihood, limit, monkeypatch):
    monkeypatch.setattr(_passes, "LARGE", limit)
    x, objective = shades(), Objective("mean", "sum", 0.01, likelihood)
    batches = (x[i : i + 70] for i in range(0, len(x), 70))
    found, expected = audit(objective, 5, 2, batches), audit(objective, 5, 2, x)
    if limit > x.size:
        assert str(found) == str(expected) and found.test == expected.test
    assert found.largest_eigenvalue == expected.largest_eigenvalue
    assert found.collapses is expected.collapses is False
    monkeypatch.setattr(_passes, "LARGE", 2**22)
    whole = audit(objective, 5, 2, x).largest_eigenvalue
    assert found.largest_eigenvalue == pytest.approx(whole, rel=1e-9)


def test_an_audit_of_moments_and_of_a_spectrum():
    x = shades()
    moments = theory.Moments()
    moments.update(x)
    for likelihood in ("gaussian", "bernoulli"):
        objective = Objective(likelihood=likelihood)
        expected = audit(objective, 5, 2, x).largest_eigenvalue
        found = audit(objective, 5, 2, moments).largest_eigenvalue
        assert found == pytest.approx(expected, rel=1e-9)
    part = theory.spectrum(x, leading=2)
    low = Objective(kl_weight=0.1)
    assert str(audit(low, 5, 2, part)) == str(audit(low, 5, 2, x))
    for law in (part, moments):
        found = audit(Objective(kl_weight=9.0), 5, 2, law)
        assert found.collapses and found.test is None and not found.held_out
        assert (
            "a collapsed VAE is a local optimum and of linear ones the best; it is"
            in found.explanation
        )


PROVEN = "a collapsed VAE is the best of every network"
BETTER = "a local optimum, but a search found that a better code exists, which annealing may reach"
NONE = "a collapsed VAE is a local optimum, and a search found no better code"


@pytest.mark.parametrize(
    ("kl_weight", "likelihood", "words"),
    [
        (2 * 0.08, "gaussian", BETTER),
        (2 * 0.5, "gaussian", NONE),
        (2 * 20.0, "gaussian", PROVEN),
        (5.5, "bernoulli", BETTER),
        (15.0, "bernoulli", NONE),
    ],
)
def test_it_says_which_collapse_it_is(kl_weight, likelihood, words):
    random = np.random.default_rng(0)
    which = random.integers(20, size=2000)
    x = np.eye(64)[which] + 0.1 * random.standard_normal((2000, 64))
    if likelihood == "bernoulli":
        x = (np.random.default_rng(7).random((20, 40)) < 0.3)[which]
        x = x ^ (random.random(x.shape) < 0.02)
    objective = Objective("sum", "sum", kl_weight, likelihood)
    x = x.astype(np.float32)
    found = audit(objective, x.shape[1], 4, x)
    assert found.collapses and words in found.explanation
    assert found.test == theory.collapse_test(x, found.beta, likelihood)
    assert found.test.largest_eigenvalue == pytest.approx(found.largest_eigenvalue, rel=1e-6)
    above = audit(Objective("sum", "sum", 1e-3, likelihood), x.shape[1], 4, x)
    assert not above.collapses and above.test is None


def test_what_is_no_better_than_chance_is_not_predicted():
    x = np.random.default_rng(0).standard_normal((400, 200))
    objective = Objective.for_noise_variance(1.5)
    found = audit(objective, 200, 8, x)
    assert found.collapses and found.held_out and found.predicted.active_units == 0
    assert "on rows held out" in found.explanation and NONE in found.explanation
    assert found.largest_eigenvalue == theory.held_out_spectrum(x, 8).leading[0]
    below = audit(Objective.for_noise_variance(0.5), 200, 1, x)
    assert "1 unit is worth its price to a linear VAE on rows held out" in below.explanation
    by_sample = audit(objective, 200, 8, theory.spectrum(x))
    assert by_sample.predicted.active_units == 8 and not by_sample.held_out
    bits = (x > 0).astype(float)
    found = audit(Objective(likelihood="bernoulli", kl_weight=1.5), 200, 8, bits)
    assert found.collapses and found.held_out and "on rows held out" in found.explanation
    assert not audit(objective, 20, 8, x[:200, :20]).held_out


def test_a_column_that_is_constant():
    x = shades()
    assert np.ptp(x[:, 4]) == 0
    found = audit(("mean", "mean"), 5, 1, x[:40])
    assert found.collapses and found.held_out and found.test.proven


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_another_dimension_is_refused_before_the_pass(likelihood, monkeypatch):
    monkeypatch.setattr(_passes, "LARGE", 1000)

    def batches():
        yield from np.full((5, 10, 50), 0.5)
        pytest.fail("the pass went on")

    with pytest.raises(ValueError, match="The data have 50 values each and data_dim is 64"):
        audit(Objective(likelihood=likelihood), 64, 8, batches())


def test_data_outside_the_support_are_refused_in_any_block(monkeypatch):
    monkeypatch.setattr(_passes, "LARGE", 1000)
    batches = (np.full((300, 5), value) for value in (0.5, 0.5, 1.5))
    with pytest.raises(ValueError, match=r"The data range from 1\.5 to"):
        audit(Objective(likelihood="bernoulli"), 5, 2, batches)


def test_bernoulli_has_no_noise_variance():
    found = audit(Objective(likelihood="bernoulli"), (28, 28, 3), 2, mean_axes=-1)
    assert found.noise_variance is None and found.collapses is None and found.beta == 3
    assert "no noise variance" in found.explanation and "none (Bernoulli)" in str(found)


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
@pytest.mark.parametrize("x", [None, data.digits()])
def test_prints_as_text_and_html(likelihood, x):
    found = audit(Objective(likelihood=likelihood), 64, 8, x)
    text, page = str(found), found._repr_html_()
    assert text.endswith(found.explanation) and repr(found) == text
    assert page.startswith("<table>") and page.count("<tr>") == len(text.splitlines()) - 1
    assert 'scope="row"' in page


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: audit("mean", 64, 8), "objective='mean' is no objective"),
        (lambda: audit(("mean", "max"), 64, 8), "kl='max' is unknown"),
        (lambda: audit(("sum", "sum"), 0, 8), "data_dim=0 is not a whole number of at least 1"),
        (lambda: audit(("sum", "sum"), 64, 8, factor=0), "factor=0 is not a finite number above 0"),
        (
            lambda: audit(("sum", "sum"), 64, 8, reconstruction_weight=-1.0),
            "reconstruction_weight=-1.0 is not a finite",
        ),
        (lambda: audit(("sum", "sum"), 64, 8, mean_axes=1), "are not axes of an example of shape"),
        (
            lambda: audit(("sum", "sum"), (8, 8), 8, mean_axes=(1, -1)),
            "are not axes of an example of shape",
        ),
        (
            lambda: audit(("mean", "sum"), (8, 8), 8, mean_axes=-1),
            "averages all axes",
        ),
        (
            lambda: audit(("sum", "sum"), 784, 8, data.digits()),
            "The data have 64 values each and data_dim is 784",
        ),
        (
            lambda: audit(Objective(likelihood="bernoulli"), 2, 1, [[0.0, 2.0], [1.0, 0.0]]),
            "The data range from 0 to 2",
        ),
        (lambda: audit(("sum", "sum"), 6, 2, np.full((200, 6), 0.7)), "The data do not vary, so"),
        (lambda: audit(("sum", "sum"), 6, 2, np.ones((1, 6))), "The data do not vary, so that a"),
        (lambda: audit(("sum", "sum"), 3, 2, [0.0, 0.0, 0.0]), "The data do not vary, so that a"),
        (
            lambda: audit(Objective(likelihood="bernoulli"), 2, 1, np.ones((9, 2))),
            "The data do not vary, so that a code has nothing to tell",
        ),
        (
            lambda: audit(Objective(likelihood="bernoulli"), 2, 1, [2.0, 1.0]),
            "like labels",
        ),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
