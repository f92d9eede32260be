import json
import math

import numpy as np
import pytest
from scipy import special, stats

from vae_notes import VAE, Objective, _passes, data, diagnose, theory
from vae_notes._doors import Door
from vae_notes._keras import tf
from vae_notes._measured import _Seen
from vae_notes.diagnosis import Unhealthy, mutual_information
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
    mean = lambda z: np.repeat(X.mean(axis=0)[None], len(z), axis=0)  # noqa: E731
    sigma5 = Objective("mean", "sum", kl_weight=2)
    asked = diagnose(blind, X, decode=mean, objective=sigma5)
    assert asked.verdict == "collapsed because the objective asked for it"
    assert asked.predicted.active_units == 0 and "local optimum" in asked.explanation
    unasked = diagnose(blind, X, decode=mean, objective=Objective())
    assert unasked.verdict == "collapsed although the objective did not ask for it"
    assert unasked.predicted.active_units == 3 and "Anneal" in unasked.explanation
    for unknown in (diagnose(blind, X), diagnose(blind, X, objective=Objective())):
        assert unknown.verdict == "collapsed, cause unknown" and not unknown.healthy


def test_a_better_bound_with_fewer_nats_is_no_collapse():
    best = theory.optimal_parameters(X, 4, 0.5)
    keep = np.array([0.0, 0, 1, 0])

    def encode(x):
        z_mean = (x @ best.encoder_weights + best.encoder_bias) * keep
        return z_mean, np.broadcast_to(best.z_log_var * keep, z_mean.shape)

    decode = lambda z: (z * keep) @ best.decoder_weights + best.decoder_bias  # noqa: E731
    report = diagnose(encode, X, decode=decode, objective=Objective())
    assert report.active_units == 1 and report.verdict == "partly collapsed"
    near = lambda z: X + 0.1 * (decode(z) - X)  # noqa: E731
    assert "collapsed" not in diagnose(encode, X, decode=near, objective=Objective()).verdict


def test_bernoulli_has_no_prediction():
    objective = Objective(likelihood="bernoulli")
    x = (X > 0).astype(float)
    encode = lambda x: (x[:, :2], np.zeros((len(x), 2)))  # noqa: E731
    report = diagnose(encode, x, objective=objective, decode=lambda z: np.zeros((len(z), 5)))
    assert report.predicted is None and report.linear_elbo is None
    assert report.elbo == pytest.approx(-5 * math.log(2) - report.kl, rel=1e-4)
    with pytest.raises(ValueError, match=r"The data range from .* Bernoulli decoder is for .0, 1."):
        diagnose(encode, X, objective=objective, decode=lambda z: np.zeros((len(z), 5)))


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
    names = "kl_per_unit z_mean_variance mutual_information reconstruction elbo verdict".split()
    return {of: getattr(report, of) for of in names} | vars(report.predicted)


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
    door = Door(encode=lambda x, at: (x, 0 * x))
    for seed in range(60):
        seen = _Seen(door, 1, seed)
        for rows in np.array_split(np.arange(3000.0)[:, None], 7):
            seen.take(rows)
        _, index, *_ = seen.kept()
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


@pytest.mark.parametrize("log_variance", [-17000.0, -800.0, 100.0, 3000.0])
def test_mutual_information_is_a_number_at_any_width(log_variance):
    z_mean = np.arange(50.0)[:, None] * np.ones(3)
    estimate, ceiling = mutual_information(z_mean, np.full_like(z_mean, log_variance))
    assert estimate == pytest.approx(ceiling if log_variance < 0 else 0, abs=1e-6)
    assert mutual_information(0 * z_mean, np.full_like(z_mean, log_variance))[0] == pytest.approx(0)


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
    assert page.count("<rect") == 4 and page.count("<path") == 4  # a bar and a mark for each unit


def test_report_as_data_as_a_page_and_as_an_error(tmp_path):
    x = data.digits()[:400]
    blind = lambda x: (np.zeros((len(x), 4)), np.zeros((len(x), 4)))  # noqa: E731
    decode = lambda z: np.zeros((len(z), 64)) + x.mean(axis=0)  # noqa: E731
    report = diagnose(blind, x, decode=decode, objective=Objective.for_noise_variance(4.0))
    found = json.loads(report.to_json())
    assert found == report.to_dict() and found["verdict"] == report.verdict
    first = found["findings"][0]
    assert first["name"] == report.verdict and first["gravity"] == "grave"
    assert first["page"].startswith("findings/collapsed") and first["evidence"]["active units"] == 0
    gravities = [of.gravity for of in report.findings]
    assert gravities == sorted(gravities, key="grave note".index) and "note" in gravities
    page = report.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == page and page.count("<img alt=") == 3
    with pytest.raises(Unhealthy, match=r"^collapsed because .* asked for it: The units"):
        report.raise_if_unhealthy()
    encode, decode = optimal(Objective())
    diagnose(encode, X, decode=decode, objective=Objective()).raise_if_unhealthy()
    with pytest.raises(Unhealthy, match="not judged"):  # no ELBO, no certificate
        diagnose(encode, X).raise_if_unhealthy()


def test_rows_are_scores_and_add_up_to_the_elbo():
    objective = Objective.for_noise_variance(0.15)
    encode, decode = optimal(objective)
    x = X.copy()
    x[7] += 30  # an outlier
    report = diagnose(encode, x, decode=decode, objective=objective)
    rows = report.rows
    assert rows.elbo.shape == rows.kl.shape == rows.reconstruction.shape == (600,)
    assert rows.elbo.mean() == pytest.approx(report.elbo) and rows.elbo.argmin() == 7
    by_hand = -rows.reconstruction / 0.3 - 2.5 * math.log(2 * math.pi * 0.15) - rows.kl
    np.testing.assert_allclose(rows.elbo, by_hand, rtol=1e-9)


def test_a_threshold_that_the_caller_changes():
    encode, decode = optimal(Objective())
    judged = dict(decode=decode, objective=Objective())
    assert diagnose(encode, X, **judged).healthy
    strict = diagnose(encode, X, **judged, thresholds={"good reconstructions, bad samples": 1.0001})
    assert strict.verdict == "good reconstructions, bad samples"
    with pytest.raises(ValueError, match="name='dead units' is unknown: choose one of no number"):
        diagnose(encode, X, thresholds={"dead units": 1})
    assert diagnose(encode, X, **judged, threshold=0.9).active_units == 0
    assert diagnose(encode, X, **judged, threshold=0.8).active_units == 1  # 1 - 0.5 / 4 = 0.875


@pytest.mark.parametrize(
    "encode, message",
    [
        (lambda x: x, "The encoder gave one ndarray, but two arrays are needed"),
        (lambda x: (x, x[:, :2]), "give all as .n, latent_dim."),
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
