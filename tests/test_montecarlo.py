import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vae_notes import montecarlo
from vae_notes.objective import kl_divergence

means, log_vars = st.floats(-4, 4, width=32), st.floats(-3, 1.5, width=32)


@given(mean=means, log_var=log_vars)
def test_kl_meets_the_closed_form_within_its_error(mean, log_var):
    terms = montecarlo.kl([[mean]], [[log_var]], draws=4000)
    error = terms.std() / math.sqrt(terms.size)
    assert abs(terms.mean() - float(kl_divergence([[mean]], [[log_var]])[0, 0])) < 6 * error + 1e-5


def test_kl_terms_are_log_density_ratios():
    terms = montecarlo.kl([[0.5, -1.0]], [[0.3, -0.7]], draws=20, seed=4)[:, 0]
    noise = np.random.default_rng(4).standard_normal((20, 1, 2))[:, 0]
    q = stats.norm([0.5, -1.0], np.exp([0.15, -0.35]))
    z = q.mean() + q.std() * noise
    np.testing.assert_allclose(terms, (q.logpdf(z) - stats.norm.logpdf(z)).sum(axis=1))


@given(mean=means, log_var=log_vars)
def test_both_gradients_are_unbiased(mean, log_var):
    for estimate in montecarlo.mean_square_gradient([[mean]], [[log_var]], draws=4000):
        error = estimate.std() / math.sqrt(estimate.size)
        assert abs(estimate.mean() - 2 * mean) < 6 * error


def test_refusal():
    with pytest.raises(ValueError, match="give two arrays"):
        montecarlo.kl([1.0], [0.0], draws=10)
