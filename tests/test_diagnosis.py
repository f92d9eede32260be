import math

import numpy as np
import pytest
from scipy import special, stats

from vae_notes import VAE, Objective, _passes, data, diagnose, theory
from vae_notes._keras import tf
from vae_notes.diagnosis import _Seen, mutual_information
from vae_notes.networks import dense_decoder, dense_encoder

EIGENVALUES = [4.0, 2.0, 1.0, 0.2, 0.1]
X = data.linear_gaussian(EIGENVALUES, count=600, seed=0)


def optimal(objective, latent_dim=4, scale=1.0):
    """The linear VAE in closed form, as functions; scaled posterior means if asked."""
    best = theory.optimal_parameters(X, latent_dim, objective.noise_variance(5, latent_dim))

    def encode(x):
        z_mean = scale * (x @ best.encoder_weights + best.encoder_bias)
        return z_mean, np.broadcast_to(best.z_log_var, z_mean.shape)

    return encode, lambda z: z @ best.decoder_weights + best.decoder_bias


@pytest.mark.parametrize("noise_variance", [0.5, 1.5, 0.15])
def test_the_optimum_measures_what_the_theory_predicts(noise_variance):
    objective = Objective.for_noise_variance(noise_variance)
    encode, decode = optimal(objective)
    report = diagnose(encode, X, decode=decode, objective=objective, draws=64)
    assert report.verdict == "healthy"
    assert report.active_units == report.predicted.active_units
    np.testing.assert_allclose(
        np.sort(report.kl_per_unit)[::-1], report.predicted.kl_per_unit, rtol=1e-3, atol=1e-5
    )
    assert report.elbo == pytest.approx(report.predicted.elbo, abs=0.05)


def test_collapse_by_objective_and_by_training():
    blind = lambda x: (np.zeros((len(x), 4)), np.zeros((len(x), 4)))  # noqa: E731
    asked = diagnose(blind, X, objective=Objective("mean", "sum", kl_weight=2))  # sigma2 = 5
    assert asked.verdict == "collapsed because the objective asked for it"
    assert asked.predicted.active_units == 0 and "no optimiser or schedule" in asked.explanation
    unasked = diagnose(blind, X, objective=Objective())
    assert unasked.verdict == "collapsed although the objective did not ask for it"
    assert unasked.predicted.active_units == 3 and "anneal" in unasked.explanation
    assert diagnose(blind, X).verdict == "collapsed"


def test_part_of_the_units_lost_is_a_collapse_unless_the_elbo_is_better():
    objective = Objective()
    best = theory.optimal_parameters(X, 4, 0.5)
    keep = np.array([1.0, 0, 0, 0])

    def encode(x):
        z_mean = (x @ best.encoder_weights + best.encoder_bias) * keep
        return z_mean, np.broadcast_to(best.z_log_var * keep, z_mean.shape)

    decode = lambda z: z @ best.decoder_weights + best.decoder_bias  # noqa: E731
    report = diagnose(encode, X, decode=decode, objective=objective)
    assert report.active_units == 1
    assert report.verdict == "collapsed although the objective did not ask for it"
    oracle = diagnose(encode, X, decode=lambda z: X, objective=objective)  # no error at all
    assert oracle.verdict == "healthy"


def test_bernoulli_has_no_prediction():
    objective = Objective(likelihood="bernoulli")
    encode = lambda x: (x[:, :2], np.zeros((len(x), 2)))  # noqa: E731
    report = diagnose(encode, X, objective=objective, decode=lambda z: 0 * X)
    assert report.predicted is None and report.verdict == "healthy"
    assert report.elbo == pytest.approx(-5 * math.log(2) - report.kl, rel=1e-4)


def test_a_vae_and_its_functions_give_the_same_report():
    x = data.digits()[:200]
    vae = VAE(dense_encoder(64, 3), dense_decoder(3, 64))
    vae.compile("adam", jit_compile=False)
    vae.fit(x, epochs=3, verbose=0)
    whole = diagnose(vae, x)
    parts = diagnose(vae.encode, x, decode=vae.decode, objective=vae.objective)
    assert whole.elbo == pytest.approx(parts.elbo, rel=1e-5)
    np.testing.assert_allclose(whole.kl_per_unit, parts.kl_per_unit, rtol=1e-5)
    logs = vae.evaluate(x, verbose=0, return_dict=True)
    assert whole.elbo == pytest.approx(logs["elbo"], rel=0.02)


# What does not fit into memory


def fields(report):
    return vars(report) | {"predicted": None} | vars(report.predicted)


@pytest.mark.parametrize("limit", [2**22, 3000])
def test_a_source_gives_the_report_of_the_array(limit, monkeypatch):
    monkeypatch.setattr(_passes, "LARGE", limit)
    x = data.linear_gaussian(EIGENVALUES, count=2500, seed=1)
    objective = Objective()
    encode, decode = optimal(objective)
    arguments = dict(decode=decode, objective=objective)
    expected = diagnose(encode, x, **arguments)
    sources = {
        "generator": (x[i : i + 70] for i in range(0, len(x), 70)),
        "dataset": tf.data.Dataset.from_tensor_slices((x, x[:, 0])).batch(64),
    }
    for name, source in sources.items():
        found = diagnose(encode, source, **arguments)
        for field, value in fields(expected).items():
            np.testing.assert_array_equal(fields(found)[field], value, err_msg=f"{name} {field}")
    spectrum = theory.spectrum(x, leading=4)
    assert diagnose(encode, x, spectrum=spectrum, **arguments).predicted.kl == pytest.approx(
        expected.predicted.kl, rel=1e-9
    )


def test_block_by_block_is_what_all_at_once_is(monkeypatch):
    x = data.linear_gaussian(EIGENVALUES, count=2500, seed=1) + 2
    x = x[np.argsort(x[:, 0])]  # so that blocks differ
    objective = Objective()
    encode, decode = optimal(objective)
    arguments = dict(decode=decode, objective=objective)
    whole = diagnose(encode, x, **arguments)
    monkeypatch.setattr(_passes, "LARGE", 3000)
    sizes = []

    def watched(block):
        sizes.append(len(block))
        return encode(block)

    blocks = diagnose(watched, iter(np.array_split(x, 9)), **arguments)
    assert sizes == [600, 600, 600, 600, 100]
    np.testing.assert_allclose(blocks.kl_per_unit, whole.kl_per_unit, rtol=1e-6)
    np.testing.assert_allclose(blocks.z_mean_variance, whole.z_mean_variance, rtol=1e-9)
    assert blocks.predicted.elbo == pytest.approx(whole.predicted.elbo, rel=1e-9)
    # other draws of the noise, another sample of the examples
    assert blocks.elbo == pytest.approx(whole.elbo, abs=0.03)
    assert blocks.mutual_information == pytest.approx(whole.mutual_information, abs=0.15)
    assert blocks.mutual_information_ceiling == whole.mutual_information_ceiling


def test_of_one_array_the_information_is_that_of_its_posteriors():
    x = data.linear_gaussian(EIGENVALUES, count=2500, seed=1)
    encode, _ = optimal(Objective())
    expected = mutual_information(*encode(x), seed=5)
    report = diagnose(encode, x, seed=5)
    assert (report.mutual_information, report.mutual_information_ceiling) == expected


def test_every_example_is_as_likely_in_the_sample():
    counts = np.zeros(3000)
    for seed in range(60):
        seen = _Seen(None, None, 1, seed)
        for rows in np.array_split(np.arange(3000.0)[:, None], 7):
            seen.take(rows, rows, 0 * rows)
        index, _ = seen.sample()
        assert len(index) == len(np.unique(index)) == 1024
        counts[index[:, 0].astype(int)] += 1
    expected = 60 * 1024 / 3000
    by_block = np.array([part.mean() for part in np.array_split(counts, 7)])
    np.testing.assert_allclose(by_block, expected, rtol=0.05)
    assert counts.var() == pytest.approx(expected * (1 - 1024 / 3000), rel=0.2)


def test_a_vae_is_diagnosed_from_a_dataset():
    x = data.digits()[:200]
    vae = VAE(dense_encoder(64, 3), dense_decoder(3, 64))
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(32)
    assert str(diagnose(vae, dataset)) == str(diagnose(vae, x))
    with pytest.raises(ValueError, match=r"batch 1 of the dataset has shape .32, 50. but"):
        diagnose(vae, dataset.map(lambda x: x[:, :50]))
    with pytest.raises(ValueError, match="the dataset repeats without end"):
        diagnose(vae, dataset.repeat())
    with pytest.raises(ValueError, match="the generator is empty"):
        diagnose(vae, iter([]))
    with pytest.raises(ValueError, match="give more data"):
        diagnose(vae, iter([x[:1]]))


# Mutual information


def loop(z_mean, z_log_var, seed=0):
    """The estimate with every density on its own, from the noise of the package."""
    noise = np.random.default_rng([seed, 0x6E6F697365]).standard_normal(z_mean.shape)
    std = np.exp(z_log_var / 2)
    z = z_mean + std * noise
    log_q = np.array([stats.norm(z_mean, std).logpdf(point).sum(axis=1) for point in z])
    return np.mean(np.diag(log_q) - special.logsumexp(log_q, axis=1) + math.log(len(z)))


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e7])
@pytest.mark.parametrize("scale", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("apart", [0.0, 1e6])
@pytest.mark.parametrize("log_variance", [-24.0, -8.0, 0.0])
def test_mutual_information_loses_no_digits_to_matrix_products(offset, scale, apart, log_variance):
    """Far from zero, in groups far apart, or with hardly any noise, where squares cancel."""
    random = np.random.default_rng(0)
    z_log_var = log_variance + random.normal(size=(80, 12))
    z_mean = scale * np.exp(z_log_var / 2) * random.normal(size=(80, 12))
    z_mean += offset + apart * math.exp(log_variance / 2) * np.sign(z_mean[:, :1])
    found, _ = mutual_information(z_mean, z_log_var)
    assert found == pytest.approx(loop(z_mean, z_log_var), abs=1e-6)


def test_mutual_information_of_a_gaussian_channel():
    """z = x + noise has I = ln(1 + s2/t2)/2 in each dimension, even with one seed for all."""
    rng = np.random.default_rng(0)
    z_mean = rng.normal(0, 2.0, (4000, 2))
    z_log_var = np.full_like(z_mean, math.log(0.5))
    estimate, ceiling = mutual_information(z_mean, z_log_var, batch=4000)
    assert estimate == pytest.approx(math.log(1 + 4 / 0.5), rel=0.05)
    assert ceiling == pytest.approx(math.log(4000))


def test_mutual_information_equals_a_direct_sum():
    rng = np.random.default_rng(3)
    z_mean, z_log_var = rng.normal(size=(2, 30, 2))
    std = np.exp(z_log_var / 2)
    estimates = []
    for seed in range(200):  # another stream of noise than the function's, so on average only
        z = rng.normal(z_mean, std)
        log_q = stats.norm(z_mean[None], std[None]).logpdf(z[:, None]).sum(-1)
        direct = np.mean(np.diag(log_q) - special.logsumexp(log_q, axis=1) + math.log(30))
        estimates.append([direct, mutual_information(z_mean, z_log_var, seed=seed)[0]])
    direct, estimate = np.mean(estimates, axis=0)
    assert estimate == pytest.approx(direct, abs=6 * np.std(estimates) / math.sqrt(200))


def test_mutual_information_never_exceeds_its_ceiling_and_vanishes_on_collapse():
    far = np.arange(50.0)[:, None] * 1e6
    estimate, ceiling = mutual_information(far, np.zeros_like(far))
    assert estimate == pytest.approx(ceiling) == pytest.approx(math.log(50))
    assert mutual_information(0 * far, 0 * far)[0] == pytest.approx(0, abs=1e-12)


# The report as a reader sees it


def test_report_prints_in_terminal_and_notebook():
    objective = Objective()
    encode, decode = optimal(objective)
    report = diagnose(encode, X, decode=decode, objective=objective)
    text, page = str(report), report._repr_html_()
    for line in ("verdict", "healthy", "3 of 4 (predicted: 3)", "nats", "noise variance"):
        assert line in text and line in page
    assert page.count("<tr>") == page.count("</tr>") == len(list(report._rows()))


@pytest.mark.parametrize(
    "encode, message",
    [
        (lambda x: x, "The encoder gave ndarray, but two arrays are needed"),
        (lambda x: (x, x[:, :2]), "give both as .n, latent_dim."),
        (lambda x: (x[:5], x[:5]), "for 600 examples"),
        (lambda x: (x * np.nan, x), "training has diverged"),
    ],
)
def test_bad_encoders(encode, message):
    with pytest.raises(ValueError, match=message):
        diagnose(encode, X)


def test_bad_arguments():
    encode, _ = optimal(Objective())
    with pytest.raises(ValueError, match="threshold=1"):
        diagnose(encode, X, threshold=1)
    with pytest.raises(ValueError, match="give more data"):
        diagnose(encode, X[:1])
    with pytest.raises(ValueError, match="NaN"):
        diagnose(encode, X * np.nan)
