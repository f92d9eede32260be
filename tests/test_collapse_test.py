"""Is collapse the best of all? Against mixtures fitted by hand, grids, proofs and repetition."""

import math

import numpy as np
import pytest
from scipy import special, stats

from vae_notes import _collapse_test, data, likelihoods, theory

GAUSSIAN, BERNOULLI = (likelihoods.get(name) for name in ("gaussian", "bernoulli"))
SEEDS = pytest.mark.parametrize("seed", range(3))


def clusters(count=1000, seed=0):
    """Twenty orthonormal centres in 64 dimensions, and noise of 0.1."""
    random = np.random.default_rng(seed)
    return np.eye(64)[random.integers(20, size=count)] + 0.1 * random.normal(size=(count, 64))


def pulses():
    """Four neighbours of 64 that are on, at 61 places, sixteen times each."""
    return np.repeat([np.eye(64)[i : i + 4].sum(axis=0) for i in range(61)], 16, axis=0)


def words(count=2000, seed=0):
    """Sixteen prototypes of 32 bits, each bit wrong with probability 0.02."""
    random = np.random.default_rng(seed)
    prototypes = np.random.default_rng(7).random((16, 32)) < 0.3
    x = prototypes[random.integers(16, size=count)] ^ (random.random((count, 32)) < 0.02)
    return x.astype(float)


def mixture_gain(x, beta, parts=30, steps=60):
    """By EM: the best mixture's mean log kernel less that of the best constant, Bernoulli."""

    def logs(means):
        means = np.clip(means, 1e-9, 1 - 1e-9)
        return (x @ np.log(means).T + (1 - x) @ np.log(1 - means).T) / beta

    means = np.concatenate([x[:parts] * 0.8 + 0.1, x.mean(axis=0)[None]])
    shares = np.full(len(means), 1 / len(means))
    for _ in range(steps):
        joint = logs(means) + np.log(shares)
        member = special.softmax(joint, axis=1)
        shares = np.maximum(member.mean(axis=0), 1e-300)
        means = (member.T @ x) / (len(x) * shares)[:, None]
    found = special.logsumexp(logs(means) + np.log(shares), axis=1).mean()
    return found - logs(x.mean(axis=0)[None]).mean()


# --- a better code where there is one -----------------------------------------------------------


@SEEDS
def test_clusters_pay_where_no_direction_does(seed):
    found = theory.collapse_test(clusters(), 0.16, seed=seed)
    assert found.critical_variance == 0.08 and found.largest_eigenvalue < 0.08
    assert found.local and found.better_code and not found.proven


@SEEDS
def test_pulses_pay_where_no_direction_does(seed):
    found = theory.collapse_test(pulses(), 0.56, seed=seed)
    assert found.local and found.better_code


@SEEDS
def test_rare_rows_pay_that_no_leading_direction_shows(seed):
    x = 0.9 * np.random.default_rng(seed).normal(size=(4000, 12))
    x[:, -1] = 0
    x[:400] = 2.7 * np.eye(12)[-1]
    found = theory.collapse_test(x, 2.0, seed=seed)
    assert found.local and found.better_code


@SEEDS
def test_digits_collapse_from_about_their_largest_eigenvalue_on(seed):
    x = data.digits()
    assert theory.collapse_test(x, 2 * 0.6, seed=seed).better_code
    for noise_variance in (0.76, 0.9):  # where no output gains even on the rows climbed from
        found = theory.collapse_test(x, 2 * noise_variance, seed=seed)
        assert found.local and not found.better_code


@pytest.mark.parametrize("eigenvalues", [[1.3], [2.0] + [0.1] * 30, [1.2] + [0.9] * 30])
@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_a_direction_above_the_noise_is_a_better_code(eigenvalues, unit):
    x = unit * data.linear_gaussian(eigenvalues, count=10_000) + 5 * unit
    found = theory.collapse_test(x, 2 * unit**2)
    assert not found.local and not found.proven and found.better_code


@pytest.mark.parametrize(
    ("beta", "local", "pays"), [(2.0, False, True), (5.0, True, True), (9.0, True, False)]
)
def test_bernoulli_finds_a_code_where_a_mixture_does(beta, local, pays):
    x = words(1000)
    found = theory.collapse_test(x, beta, "bernoulli")
    assert (found.local, found.better_code, found.proven) == (local, pays, False)
    assert (mixture_gain(x, beta) > 1e-3) == pays


# --- none where there is none -------------------------------------------------------------------


@pytest.mark.parametrize("count", [400, 4000])
def test_what_is_true_of_a_sample_alone_is_no_better_code(count):
    x = np.random.default_rng(0).standard_normal((count, 200))
    found = theory.collapse_test(x, 3.0)
    assert found.local and not found.better_code


def test_noise_just_below_the_critical_variance_is_seldom_taken_for_a_code():
    found = [
        theory.collapse_test(np.random.default_rng(seed).normal(size=(600, 3)), 2 * 1.02, seed=seed)
        for seed in range(30)
    ]
    assert sum(of.better_code for of in found) <= 1


@pytest.mark.parametrize("beta", [1.2, 3.0])
def test_independent_pixels_have_no_code(beta):
    x = (np.random.default_rng(0).random((4000, 12)) < np.linspace(0.05, 0.6, 12)).astype(float)
    x[:, 0] = 0  # a pixel that is never on
    found = theory.collapse_test(x, beta, "bernoulli")
    assert found.local and not found.better_code and not found.proven
    assert mixture_gain(x[:1000], 3.0) < 1e-3


# --- the proof ----------------------------------------------------------------------------------


@pytest.mark.parametrize("s", [1e-12, 1e-5, 0.1, 3.0, 50.0])
def test_the_bound_is_the_series(s):
    """2 (e^s - 1 - s) / s^2 = 2 sum of s^j / (j + 2)!"""
    rows = math.sqrt(s) * np.array([[1.0, 0.0], [-1.0, 0.0]])
    series = 2 * sum(s**j / math.factorial(j + 2) for j in range(150))
    assert _collapse_test.bound(rows + 3, 1.0) == pytest.approx(series, rel=1e-5)
    assert _collapse_test.bound(1e6 * rows.astype(np.float32), s) == math.inf


@SEEDS
def test_what_is_proven_holds_for_every_output(seed):
    x = np.random.default_rng(seed).standard_t(4, size=(30, 2))
    centred = x - x.mean(axis=0)
    largest = np.square(centred).sum(axis=1).max()
    length = np.linspace(-2, 2, 101) * math.sqrt(largest)
    u = np.stack(np.meshgrid(length, length), axis=-1).reshape(-1, 2)
    proven = []
    for noise_variance in np.geomspace(0.1, 30, 9) * theory.spectrum(x)[0]:
        gains = (centred @ u.T - (u**2).sum(axis=1) / 2) / noise_variance
        best = special.logsumexp(gains, axis=0).max() - math.log(30)
        found = theory.collapse_test(x, 2 * noise_variance)
        proven.append(found.proven)
        assert best < 1e-12 or not found.proven
        assert not (found.proven and found.better_code)
    assert proven == sorted(proven) and proven[-1] and not proven[0]


# --- the numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", [GAUSSIAN, BERNOULLI])
@pytest.mark.parametrize("length", [0.3, 1.0])
def test_the_standard_error_is_the_spread_over_samples(likelihood, length):
    shift = length * np.array([1.0, -0.6, 0.4])
    found = []
    for seed in range(400):
        common = np.random.default_rng(seed).normal(size=(500, 1))
        x = common * [1.0, -0.7, 0.5] + np.random.default_rng([seed, 1]).normal(size=(500, 3))
        x = x if likelihood is GAUSSIAN else (x > 0).astype(float)
        found.append(_collapse_test._judged(x, shift, likelihood, 1.5))
    logs, errors = np.transpose(found)
    assert np.mean(errors) == pytest.approx(logs.std(), rel=0.15)


def test_f_is_the_mean_ratio_of_densities():
    x, shift = np.random.default_rng(0).normal(size=(50, 3)), np.array([0.5, 0.0, -0.2])
    mean = x.mean(axis=0)
    density = stats.multivariate_normal
    ratio = density.pdf(x, mean + shift, 0.7) / density.pdf(x, mean, 0.7)
    log_mean, _ = _collapse_test._judged(x, shift, GAUSSIAN, 0.7)
    assert log_mean == pytest.approx(math.log(ratio.mean()))
    bits, beta = (x > 0).astype(float), 1.8
    p = bits.mean(axis=0)
    moved = special.expit(special.logit(p) + shift)
    mass = [stats.bernoulli(of).logpmf(bits).sum(axis=1) / beta for of in (moved, p)]
    log_mean, _ = _collapse_test._judged(bits, shift, BERNOULLI, beta)
    assert log_mean == pytest.approx(math.log(np.exp(mass[0] - mass[1]).mean()))


def test_neither_origin_nor_dtype_matters():
    x = clusters()
    found = theory.collapse_test(x, 0.16)
    for given in (x + 1e5, x.astype(np.float32), x.reshape(-1, 8, 8)):
        other = theory.collapse_test(given, 0.16)
        assert other.excess == pytest.approx(found.excess, rel=1e-3)
        assert other.largest_eigenvalue == pytest.approx(found.largest_eigenvalue, rel=1e-5)


@pytest.mark.parametrize("beta", [1e-9, 1e9])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_numbers_are_finite_under_any_weight(beta, likelihood):
    found = theory.collapse_test(words(300), beta, likelihood)
    assert math.isfinite(found.excess) and math.isfinite(found.excess_error)
    assert found.local == (beta > 1) and (beta < 1 or not found.better_code)


@pytest.mark.parametrize("shape", [(2, 5), (3, 1), (5, 2)])
def test_a_handful_of_rows_says_nothing(shape):
    found = theory.collapse_test(np.random.default_rng(0).random(shape), 0.5)
    assert math.isfinite(found.excess) and not found.better_code


def test_rows_without_full_rank():
    x = np.zeros((500, 6))
    x[:, 2] = np.repeat([-1.0, 0.0, 1.0, 0.0], 125)
    assert theory.collapse_test(x, 2 * 0.3).better_code
    assert not theory.collapse_test(x, 2 * 0.8).better_code


def test_few_rows_are_held_out():
    x = np.random.default_rng(0).standard_normal((400, 200))
    found = theory.collapse_test(x, 3.0)
    assert found.largest_eigenvalue == theory.held_out_spectrum(x, 1).leading[0]
    narrow = theory.collapse_test(x[:, :40], 3.0)
    assert narrow.largest_eigenvalue == pytest.approx(theory.spectrum(x[:, :40])[0], rel=1e-9)
    bits = (x[:, :40] > 0).astype(float)
    found = theory.collapse_test(bits, 3.0, "bernoulli")
    expected = theory.spectrum(BERNOULLI.standardised(bits))[0]
    assert found.largest_eigenvalue == pytest.approx(expected, rel=1e-9)


def test_a_search_sees_a_part_of_many_rows(monkeypatch):
    monkeypatch.setattr(_collapse_test, "LARGE", 1)  # 1024 rows are drawn
    assert theory.collapse_test(clusters(5000), 0.16).better_code
