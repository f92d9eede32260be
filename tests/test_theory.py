"""The linear VAE in closed form, against PCA, SciPy, finite differences and its symmetries."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from vae_notes import _passes, data, theory
from vae_notes._keras import keras, tf

spectra = arrays(
    np.float64,
    st.integers(1, 12),
    elements=st.floats(1e-3, 1e3),
)
noise_variances = st.floats(1e-3, 1e3)
latent_dims = st.integers(1, 15)


@pytest.fixture(scope="module")
def digits():
    return data.digits()


def gaussian_sample(eigenvalues=(5.0, 2.0, 0.8, 0.3, 0.1), count=200, seed=0):
    x = data.linear_gaussian(eigenvalues, count, seed=seed).astype(np.float64)
    return x + np.arange(len(eigenvalues))  # a mean that is not zero


def linear_elbo(x, decoder_weights, decoder_bias, encoder_weights, encoder_bias, z_log_var, noise):
    """Average ELBO of any linear VAE, every expectation written out."""
    data_dim = x.shape[1]
    z_mean = x @ encoder_weights + encoder_bias
    error = x - z_mean @ decoder_weights - decoder_bias
    spread = (np.exp(z_log_var) * (decoder_weights**2).sum(axis=1)).sum()
    fit = -((error**2).sum(axis=1) + spread) / (2 * noise)
    fit -= data_dim * math.log(2 * math.pi * noise) / 2
    kl = ((z_mean**2).sum(axis=1) + (np.exp(z_log_var) - 1 - z_log_var).sum()) / 2
    return (fit - kl).mean()


def parameters(vae):
    return (
        vae.decoder_weights,
        vae.decoder_bias,
        vae.encoder_weights,
        vae.encoder_bias,
        vae.z_log_var,
    )


# --- spectrum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(60, 7), (7, 60), (20, 20), (2, 5)])
def test_spectrum_is_that_of_pca(shape):
    x = np.random.default_rng(1).normal(3.0, size=shape)
    n, data_dim = shape
    found = theory.spectrum(x)
    expected = PCA().fit(x).explained_variance_ * (n - 1) / n  # scikit-learn has ddof = 1
    assert found.shape == (data_dim,) and found.dtype == np.float64
    np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-12)
    assert np.all(found[min(n - 1, data_dim) :] == 0)  # n centred points span n - 1 directions
    assert np.all(np.diff(found) <= 0)


def test_spectrum_of_images_is_that_of_their_pixels(digits):
    flat = theory.spectrum(digits)
    np.testing.assert_array_equal(theory.spectrum(digits.reshape(-1, 8, 8, 1)), flat)
    np.testing.assert_allclose(flat.sum(), digits.astype(float).var(axis=0).sum())
    assert (flat == 0).sum() == 3  # three pixels are black in every digit


def test_spectrum_of_a_spectrum_sorts_it_and_forgives_round_off():
    assert theory.spectrum([0.5, 2, 1]).tolist() == [2, 1, 0.5]
    assert theory.spectrum(np.array([1.0, -1e-17, 1e-20])).tolist() == [1, 1e-20, 0]


def test_spectrum_of_constant_data_is_zero():
    assert theory.spectrum(np.full((5, 3), 0.7)).tolist() == [0, 0, 0]
    assert theory.spectrum(np.ones((1, 3))).tolist() == [0, 0, 0]
    assert theory.active_units(np.ones((5, 3)), 1e-6) == 0


def test_a_large_mean_does_not_hide_the_variance():
    x = gaussian_sample()
    np.testing.assert_allclose(theory.spectrum(x + 1e6), theory.spectrum(x), rtol=1e-6)


def test_data_and_spectrum_give_the_same_answers(digits):
    eigenvalues = theory.spectrum(digits)
    for function in (theory.kl_per_unit, theory.z_mean_variance, theory.elbo):
        np.testing.assert_array_equal(function(digits, 0.3, 8), function(eigenvalues, 0.3, 8))
    assert theory.active_units(digits, 0.3, 8) == theory.active_units(eigenvalues, 0.3, 8)


# --- large data: the leading part, and one pass -------------------------------------------------


@pytest.fixture
def large(monkeypatch):
    """From a thousand values on, data are large."""
    for module in (_passes, theory):
        monkeypatch.setattr(module, "LARGE", 1000)


def eigenvalues_of(x):
    return np.linalg.eigvalsh(np.cov(np.asarray(x, np.float64).T, bias=True))[::-1]


DECAYS = {
    "natural": lambda i: 10 * i**-1.5,
    "steep": lambda i: np.exp(-i / 4.0),  # sixteen orders of magnitude in 150
    "flat": np.ones_like,
    "of rank 3": lambda i: 1.0 * (i <= 3),
}


@pytest.mark.parametrize("shape", [(500, 330), (330, 500)])
@pytest.mark.parametrize("wanted", [1, 10, 40])  # up to 330 / 32 by Lanczos
@pytest.mark.parametrize("decay", DECAYS)
def test_leading_eigenvalues_are_those_of_all(shape, wanted, decay, large):
    eigenvalues = DECAYS[decay](np.arange(1.0, shape[1] + 1))
    x = data.linear_gaussian(eigenvalues, shape[0]) + 3
    expected = eigenvalues_of(x)
    found = theory.spectrum(x, leading=wanted)
    assert len(found.leading) == (wanted if wanted <= 10 else shape[1])
    # float32 data of rank 3 have more than three eigenvalues, all of them round-off
    absolute = 1e-12 * expected[0]
    kept = found.leading[:wanted]
    np.testing.assert_allclose(kept, expected[:wanted], rtol=1e-6, atol=absolute)
    assert found.total == pytest.approx(x.astype(float).var(axis=0).sum(), rel=1e-9)
    pca = PCA(wanted, svd_solver="full").fit(x.astype(np.float64))
    by_pca = pca.explained_variance_ * (len(x) - 1) / len(x)
    np.testing.assert_allclose(kept, by_pca, rtol=1e-6, atol=absolute)
    np.testing.assert_allclose(theory.spectrum(x), expected, rtol=1e-6, atol=absolute)


def test_leading_eigenvalues_of_constant_data_are_zero(large):
    found = theory.spectrum(np.full((200, 100), 0.5), leading=3)
    assert found.leading.tolist() == [0, 0, 0] and found.total == found.rest == 0
    assert theory.active_units(theory.spectrum(np.full((200, 100), 0.7), leading=3), 1e-6) == 0


@pytest.mark.parametrize("shape", [(300, 160), (160, 300)])
def test_nothing_is_left_beyond_the_rank_of_large_data(shape, large):
    for seed in range(4):
        random = np.random.default_rng(seed)
        x = random.normal(size=(shape[0], 3)) @ random.normal(size=(3, shape[1])) + 1
        with pytest.raises(ValueError, match=r"leaves nothing .* only 3 directions"):
            theory.maximum_likelihood_noise_variance(x, 4)


@given(spectra, noise_variances, latent_dims, st.integers(0, 12))
@settings(deadline=None)
def test_the_law_needs_the_leading_part_and_the_total(eigenvalues, noise, latent_dim, surplus):
    eigenvalues = np.sort(eigenvalues)[::-1]
    leading = eigenvalues[: min(latent_dim, len(eigenvalues)) + surplus]
    part = theory.Spectrum(leading, eigenvalues.sum(), len(eigenvalues))
    for law in (theory.kl_per_unit, theory.z_mean_variance):
        expected = law(eigenvalues, noise, latent_dim)
        np.testing.assert_array_equal(law(part, noise, latent_dim), expected)
    expected = theory.predict(eigenvalues, noise, latent_dim)
    found = theory.predict(part, noise, latent_dim)
    assert found.active_units == expected.active_units
    assert found.largest_eigenvalue == expected.largest_eigenvalue
    assert found.elbo == pytest.approx(expected.elbo, rel=1e-9, abs=1e-9)
    if latent_dim < len(eigenvalues):
        expected = theory.maximum_likelihood_noise_variance(eigenvalues, latent_dim)
        found = theory.maximum_likelihood_noise_variance(part, latent_dim)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-11 * eigenvalues.sum())


def test_what_is_left_out_collapses_under_more_noise_than_the_least_of_the_leading():
    part = theory.Spectrum([4.0, 1.0], 5.5, 7)
    assert theory.active_units(part, 1.0) == 1  # of all seven
    assert theory.kl_per_unit(part, 1.0, 9).shape == (9,)
    with pytest.raises(ValueError, match=r"leading 2 of 7 .* exceeds the noise variance 0\.9"):
        theory.kl_per_unit(part, 0.9, 3)
    with pytest.raises(ValueError, match=r"latent_dim=3 asks for more.*leading=3"):
        theory.maximum_likelihood_noise_variance(part, 3)
    with pytest.raises(ValueError, match="leading 2 of 7 eigenvalues, not all"):
        theory.spectrum(part)
    whole = theory.Spectrum([4.0, 1.0, 0.0], 5.0, 7)
    with pytest.raises(ValueError, match="only 2 directions"):
        theory.maximum_likelihood_noise_variance(whole, 2)


def in_batches(x, sizes=(1, 60, 7)):
    """A generator of batches of uneven sizes."""
    start = 0
    while start < len(x):
        for size in sizes:
            if start < len(x):
                yield x[start : start + size]
            start += size


class Batches(keras.utils.PyDataset):
    def __init__(self, x):
        super().__init__()
        self.x = x

    def __len__(self):
        return -(-len(self.x) // 50)

    def __getitem__(self, i):
        return (self.x[50 * i : 50 * (i + 1)],)


def unknown_length(x):
    signature = tf.TensorSpec((None, *x.shape[1:]), tf.float32)
    return tf.data.Dataset.from_generator(lambda: in_batches(x), output_signature=signature)


SOURCES = {
    "dataset": lambda x: tf.data.Dataset.from_tensor_slices(x).batch(64),
    "pairs": lambda x: tf.data.Dataset.from_tensor_slices((x, x[:, 0])).batch(64),
    "unknown length": unknown_length,
    "generator": in_batches,
    "iterator": lambda x: iter(list(in_batches(x))),
    "keras": Batches,
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("limit", [2**22, 1000])
def test_a_source_gives_the_numbers_of_the_array(source, limit, digits, monkeypatch):
    for module in (_passes, theory):
        monkeypatch.setattr(module, "LARGE", limit)
    x = digits[:300]
    np.testing.assert_array_equal(theory.spectrum(source(x)), theory.spectrum(x))
    assert theory.elbo(source(x), 0.1, 2) == theory.elbo(x, 0.1, 2)
    expected = theory.elbo(eigenvalues_of(x), 0.1, 2)
    assert theory.elbo(source(x), 0.1, 2) == pytest.approx(expected, rel=1e-9)


def test_images_in_batches_are_their_pixels(digits, large):
    images = digits[:300].reshape(-1, 8, 8, 1)
    np.testing.assert_array_equal(
        theory.spectrum(in_batches(images)), theory.spectrum(digits[:300])
    )


def test_fewer_examples_than_values_in_batches(large):
    x = np.random.default_rng(0).normal(2.0, size=(40, 90))
    found, expected = theory.spectrum(in_batches(x)), theory.spectrum(x)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.all(found[39:] == 0) and np.all(expected[39:] == 0)


def test_one_pass_takes_the_memory_of_the_covariance(large):
    random, count = np.random.default_rng(0), 2000
    batches = (random.random((100, 20), np.float32) for _ in range(count))
    theory.spectrum(in_batches(np.ones((100, 20))))  # what is made at the first call
    tracemalloc.start()
    try:
        theory.spectrum(batches)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000  # of 16 million bytes


def test_moments_are_those_of_numpy_for_sorted_data_far_from_zero():
    x = gaussian_sample(count=300)
    x = x[np.argsort(x[:, 0])] + 1e6
    moments = theory.Moments()
    for batch in in_batches(x):
        moments.update(batch)
    assert moments.count == 300
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-14)
    expected = np.cov((x - 1e6).T, bias=True)
    np.testing.assert_allclose(moments.covariance(), expected, atol=1e-8)
    found = moments.in_units_of([2, 1, 0, 1, 1])
    scaled = (x - 1e6) * [0.5, 1, 0, 1, 1]
    np.testing.assert_allclose(theory.spectrum(found), eigenvalues_of(scaled), atol=1e-8)
    before = theory.spectrum(moments)
    np.testing.assert_array_equal(theory.spectrum(moments), before)  # reading changes nothing


def endless():
    return tf.data.Dataset.from_tensor_slices(np.ones((4, 3), np.float32)).batch(2).repeat()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda: iter([]), "the generator is empty: give at least one batch"),
        (lambda: endless().take(0), "the dataset is empty: give at least one batch"),
        (lambda: unknown_length(np.ones((0, 3))), "the dataset is empty: give at least one batch"),
        (endless, "the dataset repeats without end"),
        (lambda: endless().take(3).unbatch(), r"shape \(3,\), which are single examples"),
        (lambda: endless().map(lambda x: {"a": x}).take(1), "dictionaries with 'a': map them to"),
        (
            lambda: iter([np.ones((2, 3)), np.ones((2, 4))]),
            r"batch 2 of the generator has shape \(2, 4\) but \(n, 3\) is expected",
        ),
        (
            lambda: iter([np.ones((2, 3)), np.full((2, 3), np.nan)]),
            "batch 2 of the generator holds nothing but NaN",
        ),
        (lambda: iter(["ab"]), "batch 1 of the generator|single number|text"),
    ],
)
def test_bad_sources_get_one_sentence(source, message):
    with pytest.raises(ValueError, match=message) as caught:
        theory.spectrum(source())
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_pixels_that_were_never_scaled_are_warned_of_once(large):
    x = np.arange(2000).reshape(-1, 4) % 250
    with pytest.warns(UserWarning, match="divide by 255") as caught:
        theory.spectrum(in_batches(x))
    assert len(caught) == 1


# --- the laws -----------------------------------------------------------------------------------


def test_digits_keep_three_units_at_one_half_and_none_at_four(digits):
    assert theory.active_units(digits, 0.5) == 3
    assert theory.active_units(digits, 0.5, latent_dim=2) == 2
    assert theory.active_units(digits, 64 / 16, latent_dim=8) == 0
    assert theory.active_units(digits, 64 / 2, latent_dim=8) == 0


def test_a_unit_at_exactly_the_noise_variance_collapses():
    assert theory.active_units([2.0, 1.0], noise_variance=1.0) == 1
    assert theory.kl_per_unit([2.0, 1.0], noise_variance=1.0)[1] == 0
    assert theory.active_units([2.0, np.nextafter(1.0, 2)], noise_variance=1.0) == 2


@given(spectra, noise_variances, latent_dims, st.sampled_from([0.0, 0.01, 0.5]))
@settings(deadline=None)
def test_active_units_are_those_with_enough_variance(eigenvalues, noise, latent_dim, threshold):
    variance = theory.z_mean_variance(eigenvalues, noise, latent_dim)
    close = np.isclose(variance, threshold, atol=1e-9) & (variance != 0)
    count = theory.active_units(eigenvalues, noise, latent_dim, threshold)
    assert abs(count - np.sum(variance > threshold)) <= close.sum()
    kl = theory.kl_per_unit(eigenvalues, noise, latent_dim)
    assert kl.shape == variance.shape == (latent_dim,)
    np.testing.assert_array_equal(kl > 0, variance > 0)
    np.testing.assert_allclose(kl, -np.log1p(-variance) / 2, atol=1e-9)


def test_latent_dim_defaults_to_the_data_dimension_and_surplus_units_collapse():
    eigenvalues = [3.0, 1.0, 0.2]
    assert theory.kl_per_unit(eigenvalues, 0.5).shape == (3,)
    assert theory.kl_per_unit(eigenvalues, 0.5, 5)[2:].tolist() == [0, 0, 0]
    assert theory.elbo(eigenvalues, 0.5) == theory.elbo(eigenvalues, 0.5, 7)
    assert theory.optimal_parameters(gaussian_sample(), 9, 0.5).decoder_weights.shape == (9, 5)


@pytest.mark.parametrize("shape", [(200, 5), (4, 5)])
@pytest.mark.parametrize("latent_dim", [1, 3, 6])
def test_laws_are_the_moments_of_the_optimal_encoder(shape, latent_dim):
    x = gaussian_sample(count=200)[: shape[0]]
    noise = 0.4
    vae = theory.optimal_parameters(x, latent_dim, noise)
    z_mean = x @ vae.encoder_weights + vae.encoder_bias
    kl = ((z_mean**2).mean(axis=0) + np.exp(vae.z_log_var) - 1 - vae.z_log_var) / 2
    np.testing.assert_allclose(kl, theory.kl_per_unit(x, noise, latent_dim), atol=1e-12)
    variance = theory.z_mean_variance(x, noise, latent_dim)
    np.testing.assert_allclose(z_mean.var(axis=0), variance, atol=1e-12)
    np.testing.assert_allclose(z_mean.mean(axis=0), 0, atol=1e-12)
    active = theory.active_units(x, noise, latent_dim, threshold=0.01)
    assert active == np.sum(z_mean.var(axis=0) > 0.01)


# --- rows held out ------------------------------------------------------------------------------


def folds_of(count, seed, parts):
    """Rows held out and the others, of every fold."""
    for held in np.array_split(np.random.default_rng(seed).permutation(count), parts):
        yield held, np.setdiff1d(np.arange(count), held)


def some_rows(shape, dtype=np.float64):
    decaying = 1 / np.arange(1.0, shape[1] + 1)
    return (np.random.default_rng(3).normal(size=shape) * decaying + 2).astype(dtype)


SHAPES = pytest.mark.parametrize("shape", [(300, 40), (43, 40), (40, 70), (7, 300)])
FOLDS = pytest.mark.parametrize(("limit", "parts"), [(2**22, 5), (1000, 2)])


@SHAPES
@FOLDS
@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("wanted", [1, 4, 60])
def test_held_out_variances_are_those_along_pca_of_the_others(
    shape, limit, parts, seed, wanted, monkeypatch
):
    for module in (_passes, theory):
        monkeypatch.setattr(module, "LARGE", limit)
    x = some_rows(shape)
    along, total = np.zeros(min(wanted, shape[1])), 0.0
    for held, others in folds_of(len(x), seed, parts if x.size > limit else 5):
        pca = PCA(svd_solver="full").fit(x[others])
        kept = pca.components_[pca.explained_variance_ > 1e-12][: len(along)]
        deviations = x[held] - x[others].mean(axis=0)
        along[: len(kept)] += ((deviations @ kept.T) ** 2).sum(axis=0)
        total += (deviations**2).sum()
    found = theory.held_out_spectrum(x, wanted, seed)
    np.testing.assert_allclose(found.leading, np.sort(along / len(x))[::-1], rtol=1e-6)
    assert found.total == pytest.approx(total / len(x), rel=1e-9)
    assert found.data_dim == shape[1]


def test_white_noise_has_no_leading_direction_on_rows_held_out():
    x = np.random.default_rng(0).standard_normal((400, 200))
    assert theory.spectrum(x)[0] > 2.5
    assert theory.held_out_spectrum(x, 8).leading == pytest.approx(1, abs=0.15)
    assert theory.held_out_spectrum(x[:, :50], 50).total == pytest.approx(50, rel=0.05)


def test_of_many_rows_those_held_out_say_the_same():
    x = data.linear_gaussian([5.0, 2.0, 0.8, 0.3, 0.1], count=50_000)
    np.testing.assert_allclose(
        theory.held_out_spectrum(x, 5).leading, theory.spectrum(x), rtol=1e-3
    )


@pytest.mark.parametrize("shape", [(60, 9), (20, 30)])
def test_held_out_rows_without_full_rank(shape):
    random = np.random.default_rng(0)
    x = random.normal(size=(shape[0], 2)) @ random.normal(size=(2, shape[1]))
    x[:, 0] = 7.0
    found = theory.held_out_spectrum(x, 5)
    assert found.leading[1] > 0.01 and np.all(np.abs(found.leading[2:]) < 1e-20)
    assert found.rest == pytest.approx(0, abs=1e-12 * found.total)
    constant = theory.held_out_spectrum(np.full(shape, 7.0), 3)
    assert constant.leading.tolist() == [0, 0, 0] and constant.total == 0
    assert theory.active_units(constant, 1e-6, 3) == 0


@SHAPES
@pytest.mark.parametrize("latent_dim", [1, 4, 80])
def test_held_out_elbo_is_the_density_under_the_others(shape, latent_dim):
    x, noise = some_rows(shape), 0.05
    expected = np.empty(len(x))
    for held, others in folds_of(len(x), 2, 5):
        values, vectors = np.linalg.eigh(np.cov(x[others].T, bias=True))
        kept = np.maximum(values, noise)
        kept[:-latent_dim] = noise
        covariance = (vectors * kept) @ vectors.T
        expected[held] = multivariate_normal(x[others].mean(axis=0), covariance).logpdf(x[held])
    found = theory.held_out_elbo(x, noise, latent_dim, seed=2)
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert found.mean() < theory.elbo(x, noise, latent_dim)


def test_the_elbo_of_rows_under_a_training_set(digits):
    train, test = digits[:1000], digits[1000:].reshape(-1, 8, 8)
    found = theory.held_out_elbo(test, 0.05, 6, x_train=train)
    pca = PCA(6, svd_solver="full").fit(train.astype(float))
    scale = np.maximum(pca.explained_variance_ * 999 / 1000, 0.05)
    covariance = (pca.components_.T * (scale - 0.05)) @ pca.components_ + 0.05 * np.eye(64)
    expected = multivariate_normal(pca.mean_, covariance).logpdf(test.reshape(-1, 64).astype(float))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # on the very rows that it was fitted on, their mean is the law's
    own = theory.held_out_elbo(train, 0.05, 6, x_train=train).mean()
    assert own == pytest.approx(theory.elbo(train, 0.05, 6), rel=1e-9)


def test_the_optimum_of_wide_rows_is_found_direction_by_direction():
    """By Lanczos iteration, and by all eigenvectors."""
    x = some_rows((900, 400))
    vae = theory.optimal_parameters(x, 4, 1e-3)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    expected = np.sqrt(values[::-1][:4] - 1e-3)[:, None] * vectors.T[::-1][:4]
    expected *= np.sign(np.take_along_axis(expected, np.abs(expected).argmax(1)[:, None], 1))
    np.testing.assert_allclose(vae.decoder_weights, expected, atol=1e-8)


# --- likelihood ---------------------------------------------------------------------------------


@pytest.mark.parametrize("latent_dim", [1, 3, 5, 8])
@pytest.mark.parametrize("noise", [1e-3, 1.0, 50.0])
def test_log_marginal_likelihood_is_that_of_scipy(latent_dim, noise):
    rng = np.random.default_rng(latent_dim)
    weights, bias = rng.normal(size=(latent_dim, 5)), rng.normal(size=5)
    x = rng.normal(size=(30, 5))
    covariance = weights.T @ weights + noise * np.eye(5)
    found = theory.log_marginal_likelihood(x, weights, bias, noise)
    assert found.shape == (30,)
    np.testing.assert_allclose(found, multivariate_normal(bias, covariance).logpdf(x), rtol=1e-8)


def test_log_marginal_likelihood_survives_a_tiny_noise_variance():
    weights = np.array([[1e3, 0.0, 0.0]])
    x = np.array([[1e3, 1e-6, -2e-6]])
    found = theory.log_marginal_likelihood(x, weights, np.zeros(3), 1e-12)[0]
    variances = np.array([1e6, 1e-12, 1e-12])
    expected = -np.sum(np.log(2 * math.pi * variances) + x[0] ** 2 / variances) / 2
    assert found == pytest.approx(expected, rel=1e-9)


def test_likelihood_is_that_of_pca_at_the_maximum_likelihood_noise_variance(digits):
    x = digits[:500].astype(np.float64)
    n, latent_dim = len(x), 6
    pca = PCA(latent_dim).fit(x)
    noise = theory.maximum_likelihood_noise_variance(x, latent_dim)
    assert noise == pytest.approx(pca.noise_variance_ * (n - 1) / n, rel=1e-10)
    vae = theory.optimal_parameters(x, latent_dim, noise)
    covariance = vae.decoder_weights.T @ vae.decoder_weights + noise * np.eye(64)
    # With scikit-learn's ddof = 1 all its covariance is larger by n / (n - 1).
    np.testing.assert_allclose(covariance, pca.get_covariance() * (n - 1) / n, atol=1e-12)
    vae = theory.optimal_parameters(x * math.sqrt(n / (n - 1)), latent_dim, pca.noise_variance_)
    found = theory.log_marginal_likelihood(x, vae.decoder_weights, pca.mean_, pca.noise_variance_)
    np.testing.assert_allclose(found, pca.score_samples(x), rtol=1e-9)


@pytest.mark.parametrize("latent_dim", [1, 4, 64, 70])
@pytest.mark.parametrize("noise", [0.005, 0.5, 20.0])
def test_elbo_is_the_exact_likelihood_of_the_optimal_decoder(digits, latent_dim, noise):
    x = digits[:300].astype(np.float64)
    vae = theory.optimal_parameters(x, latent_dim, noise)
    exact = theory.log_marginal_likelihood(x, vae.decoder_weights, vae.decoder_bias, noise)
    assert theory.elbo(x, noise, latent_dim) == pytest.approx(exact.mean(), rel=1e-10)
    direct = linear_elbo(x, *parameters(vae), noise)
    assert direct == pytest.approx(exact.mean(), rel=1e-10)


def test_elbo_of_the_optimal_parameters_by_monte_carlo():
    x, noise = gaussian_sample(count=50), 0.4
    vae = theory.optimal_parameters(x, 2, noise)
    rng = np.random.default_rng(0)
    z_mean = x @ vae.encoder_weights + vae.encoder_bias
    std = np.exp(vae.z_log_var / 2)
    z = z_mean + std * rng.normal(size=(4000, *z_mean.shape))
    error = x - z @ vae.decoder_weights - vae.decoder_bias
    log_joint = -(error**2).sum(-1) / (2 * noise) - 5 * math.log(2 * math.pi * noise) / 2
    log_joint -= ((z**2).sum(-1) + 2 * math.log(2 * math.pi)) / 2
    log_q = -(((z - z_mean) / std) ** 2 + np.log(2 * math.pi * std**2)).sum(-1) / 2
    # q is the exact posterior, so every single sample gives log p(x), not only their mean.
    exact = theory.log_marginal_likelihood(x, vae.decoder_weights, vae.decoder_bias, noise)
    np.testing.assert_allclose(log_joint - log_q, np.tile(exact, (4000, 1)), rtol=1e-9)


# --- the optimum is one -------------------------------------------------------------------------


@pytest.mark.parametrize("latent_dim", [1, 2, 4])
def test_gradient_of_the_elbo_vanishes_at_the_optimal_parameters(latent_dim):
    x, noise, step = gaussian_sample(), 0.4, 1e-5
    best = parameters(theory.optimal_parameters(x, latent_dim, noise))
    for position, array in enumerate(best):
        for index in np.ndindex(array.shape):
            values = []
            for sign in (1, -1):
                moved = [part.copy() for part in best]
                moved[position][index] += sign * step
                values.append(linear_elbo(x, *moved, noise))
            assert abs(values[0] - values[1]) / (2 * step) < 1e-6
            assert max(values) <= linear_elbo(x, *best, noise) + 1e-12


def test_no_other_decoder_is_more_likely():
    x, noise = gaussian_sample(), 0.4
    best = theory.elbo(x, noise, 2)

    def loss(flat):
        return -theory.log_marginal_likelihood(x, flat[:10].reshape(2, 5), flat[10:], noise).mean()

    start = np.random.default_rng(3).normal(size=15)
    assert -minimize(loss, start, method="BFGS").fun == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_maximum_likelihood_noise_variance_maximises_the_elbo(latent_dim):
    x = gaussian_sample()
    found = minimize_scalar(
        lambda log_noise: -theory.elbo(x, math.exp(log_noise), latent_dim),
        bounds=(-6, 3),
        method="bounded",
        options={"xatol": 1e-9},
    )
    expected = theory.maximum_likelihood_noise_variance(x, latent_dim)
    assert math.exp(found.x) == pytest.approx(expected, rel=1e-5)


def test_encoder_is_the_posterior_of_the_decoder():
    x, noise = gaussian_sample(), 0.4
    vae = theory.optimal_parameters(x, 4, noise)
    precision = vae.decoder_weights @ vae.decoder_weights.T + noise * np.eye(4)
    posterior = np.linalg.solve(precision, vae.decoder_weights @ (x - x.mean(axis=0)).T).T
    np.testing.assert_allclose(x @ vae.encoder_weights + vae.encoder_bias, posterior, atol=1e-12)
    covariance = noise * np.linalg.inv(precision)
    np.testing.assert_allclose(np.diag(np.exp(vae.z_log_var)), covariance, atol=1e-12)


def test_optimal_parameters_do_not_depend_on_which_gram_matrix_was_used():
    x = np.random.default_rng(0).normal(size=(6, 9))
    wide = theory.optimal_parameters(x, 4, 0.1)
    tall = theory.optimal_parameters(np.tile(x, (2, 1)), 4, 0.1)
    for one, other in zip(parameters(wide), parameters(tall), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)
    assert np.all(wide.decoder_weights[np.arange(4), np.abs(wide.decoder_weights).argmax(1)] > 0)


# --- symmetries ---------------------------------------------------------------------------------


@given(spectra, noise_variances, latent_dims, st.floats(0.01, 100))
@settings(deadline=None)
def test_scaling_data_and_noise_changes_only_the_unit_of_density(
    eigenvalues, noise, latent_dim, scale
):
    scaled = (eigenvalues * scale**2, noise * scale**2, latent_dim)
    np.testing.assert_allclose(
        theory.kl_per_unit(*scaled), theory.kl_per_unit(eigenvalues, noise, latent_dim), atol=1e-12
    )
    shift = len(eigenvalues) * math.log(scale)
    expected = theory.elbo(eigenvalues, noise, latent_dim) - shift
    assert theory.elbo(*scaled) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.integers(0, 10_000), st.floats(0.1, 10))
@settings(deadline=None)
def test_scaling_rotating_permuting_and_duplicating_the_data(seed, scale):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 5)) * [3, 2, 1, 0.5, 0.1]
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    noise, latent_dim = 0.3, 4
    kl = theory.kl_per_unit(x, noise, latent_dim)
    elbo = theory.elbo(x, noise, latent_dim)
    for same in (x @ rotation, x + 7, -x, rng.permutation(x), np.tile(x, (3, 1)), x[:, ::-1]):
        np.testing.assert_allclose(theory.kl_per_unit(same, noise, latent_dim), kl, atol=1e-9)
        assert theory.elbo(same, noise, latent_dim) == pytest.approx(elbo, rel=1e-9)
    scaled = theory.kl_per_unit(scale * x, scale**2 * noise, latent_dim)
    np.testing.assert_allclose(scaled, kl, atol=1e-9)
    moved = theory.elbo(scale * x, scale**2 * noise, latent_dim)
    assert moved == pytest.approx(elbo - 5 * math.log(scale), rel=1e-9)


@given(spectra, noise_variances, st.floats(1, 10), latent_dims)
@settings(deadline=None)
def test_more_noise_never_activates_a_unit(eigenvalues, noise, factor, latent_dim):
    quiet, loud = (eigenvalues, noise, latent_dim), (eigenvalues, noise * factor, latent_dim)
    assert theory.active_units(*loud) <= theory.active_units(*quiet)
    assert np.all(theory.kl_per_unit(*loud) <= theory.kl_per_unit(*quiet))
    assert np.all(theory.z_mean_variance(*loud) <= theory.z_mean_variance(*quiet))


@given(spectra, noise_variances, latent_dims)
@settings(deadline=None)
def test_another_unit_never_lowers_the_elbo(eigenvalues, noise, latent_dim):
    fewer = theory.elbo(eigenvalues, noise, latent_dim)
    assert theory.elbo(eigenvalues, noise, latent_dim + 1) >= fewer - 1e-12 * abs(fewer)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: theory.active_units([1.0], 0.0),
            "noise_variance=0.0 is not a finite number above 0",
        ),
        (
            lambda: theory.active_units([1.0], -1),
            "noise_variance=-1 is not a finite number above 0",
        ),
        (lambda: theory.elbo([1.0], math.inf), "noise_variance=inf is not a finite number above 0"),
        (lambda: theory.elbo([1.0], math.nan), "noise_variance=nan is not a finite number above 0"),
        (
            lambda: theory.elbo([1.0], "half"),
            "noise_variance='half' is not a finite number above 0",
        ),
        (
            lambda: theory.kl_per_unit([1.0], 1.0, 0),
            "latent_dim=0 is not a whole number of at least 1",
        ),
        (
            lambda: theory.kl_per_unit([1.0], 1.0, 2.5),
            "latent_dim=2.5 is not a whole number of at least 1",
        ),
        (
            lambda: theory.kl_per_unit([1.0], 1.0, True),
            "latent_dim=True is not a whole number of at least 1",
        ),
        (
            lambda: theory.active_units([1.0], 1.0, threshold=1.0),
            "threshold=1.0 is not a finite number of at least 0 and below 1",
        ),
        (
            lambda: theory.active_units([1.0], 1.0, threshold=-0.1),
            "threshold=-0.1 is not a finite number",
        ),
        (lambda: theory.spectrum([2.0, -0.5]), "holds -0.5, but a covariance has no eigenvalue"),
        (lambda: theory.spectrum([-1.0]), "holds -1, but a covariance has no eigenvalue"),
        (lambda: theory.spectrum([1.0, math.nan]), r"the spectrum.* is not one of finite numbers"),
        (lambda: theory.spectrum([]), r"the spectrum.* is not one of finite numbers"),
        (lambda: theory.spectrum(["a", "b"]), r"the spectrum.* is not one of finite numbers"),
        (lambda: theory.spectrum([[1.0, math.inf]]), r"x holds 1 infinite value"),
        (lambda: theory.spectrum(np.zeros((0, 3))), r"x is empty"),
        (lambda: theory.optimal_parameters([1.0, 2.0], 1, 1.0), "like labels"),
        (lambda: theory.spectrum([1.0], leading=0), "leading=0 is not a whole number"),
        (lambda: theory.Spectrum([1.0, 2.0], 3.0, 1), "data_dim=1 is not a whole number of at"),
        (lambda: theory.Spectrum([1.0, 2.0], 2.5, 9), "total=2.5 is not a finite number of at"),
        (lambda: theory.Spectrum([1.0, -2.0], 9.0, 9), "holds -2, but a covariance has no"),
        (lambda: theory.held_out_spectrum(np.eye(3), 0), "leading=0 is not a whole number"),
        (lambda: theory.held_out_spectrum(np.ones((1, 3)), 1), "x holds 1 row, and rows are held"),
        (lambda: theory.held_out_spectrum([1.0, 2.0], 1), "like labels"),
        (
            lambda: theory.held_out_spectrum(iter([np.zeros((2**21, 1))] * 3), 1),
            "x comes in batches of more than 4 million values",
        ),
        (lambda: theory.held_out_elbo(np.eye(3), 0.0, 1), "noise_variance=0.0 is not a finite"),
        (lambda: theory.held_out_elbo(np.eye(3), 1.0, 0), "latent_dim=0 is not a whole number"),
        (
            lambda: theory.held_out_elbo(np.eye(3), 1.0, 1, np.eye(4)),
            "x_train has 4 values an example and x has 3: give examples of one kind",
        ),
        (lambda: theory.collapse_test(np.eye(3), 0.0), "beta=0.0 is not a finite number above 0"),
        (lambda: theory.collapse_test(np.eye(3), 1.0, "poisson"), "is unknown: choose one of"),
        (lambda: theory.collapse_test(-np.eye(3), 1.0, "bernoulli"), "The data range from -1 to"),
        (lambda: theory.collapse_test(np.full((9, 3), 0.7), 1.0), "The data do not vary, so that"),
        (lambda: theory.Moments().covariance(), "Moments have seen no examples yet"),
        (lambda: theory.spectrum(theory.Moments()), "Moments have seen no examples yet"),
        (
            lambda: theory.Moments().update(np.zeros((1, 20_000))),
            "the examples have 20000 values each, whose covariance takes 3 GiB",
        ),
        (
            lambda: theory.maximum_likelihood_noise_variance([2.0, 1.0], 2),
            "latent_dim=2 leaves nothing for the noise to explain, since the data have only 2",
        ),
        (
            lambda: theory.maximum_likelihood_noise_variance(np.eye(3), 2),
            "latent_dim=2 leaves nothing for the noise to explain, since the data have only 2",
        ),
        (
            lambda: theory.log_marginal_likelihood(np.eye(3), np.ones((1, 4)), np.zeros(3), 1.0),
            r"decoder_weights has shape \(1, 4\) but x has 3 values .*\(D, N\) with N = 3",
        ),
        (
            lambda: theory.log_marginal_likelihood(np.eye(3), np.ones((1, 3)), 0.0, 1.0),
            r"decoder_bias has shape \(\) but x has 3 values per example: expected \(N,\)",
        ),
    ],
)
def test_bad_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
