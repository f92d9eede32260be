"""Every case of NumPy gets its verdict, and the same model gets the same one by every door."""

import numpy as np
import pytest
from broken import CASES, given, sample
from broken import Linear as Best

from vae_notes import VAE, Objective, checks, diagnose
from vae_notes.networks import dense

NUMPY = list(CASES)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("case", NUMPY, ids=lambda of: of.name)
def test_the_cause_is_named_first(case):
    report = diagnose(**case.build())
    assert report.verdict in case.expected and not report.healthy
    first = report.findings[0]
    assert first.gravity == "grave" and first.sentence[-1] in ".?" and first.remedy[-1] in ".?"


def test_every_grave_finding_has_a_case():
    expected = {name for case in NUMPY for name in case.expected}
    grave = {of.name for of in checks.CHECKS if of.gravity == "grave"}
    assert grave - expected == {"used in training mode"}  # which has networks only
    assert len(NUMPY) >= 60


def test_the_linear_optimum_is_healthy():
    for name, latent_dim, noise_variance in (("digits", 8, 0.05), ("mnist14", 16, 0.02)):
        x = sample(name)
        report = diagnose(**given(Best(x, latent_dim, noise_variance), x, noise_variance))
        assert report.healthy, report


# Doors


class Object:
    """A model with encode and decode, and perhaps a sample among what it gives."""

    def __init__(self, model, sample=None):
        self.model, self.place = model, sample

    def encode(self, x):
        found = list(self.model.encode(x))
        if self.place is not None:
            noise = np.random.default_rng(0).standard_normal(found[0].shape)
            found.insert(self.place, found[0] + np.exp(found[1] / 2) * noise)
        return tuple(found)

    def decode(self, z):
        return self.model.decode(z)


class Parts:
    """A model with an encoder and a decoder that can be called."""

    def __init__(self, model):
        self.encoder, self.decoder = model.encode, model.decode


def test_every_door_gives_the_same_report():
    x = sample("digits")
    model, objective = Best(x, 8, 0.05), Objective.for_noise_variance(0.05)
    expected = diagnose(model, x, objective=objective)
    assert expected.healthy and expected.elbo > -8
    doors = {
        "functions": (model.encode, model.decode),
        "arrays": (model.encode(x.astype("float32")), model.decode),
        "an encoder and a decoder": (Parts(model), None),
        "a sample last": (Object(model, 2), None),
        "a sample first": (Object(model, 0), None),
        "a decoder of flat rows": (model.encode, lambda z: model.decode(z).reshape(len(z), 8, 8)),
    }
    for name, (door, decode) in doors.items():
        found = diagnose(door, x, decode, objective)
        assert str(found) == str(expected), name


def test_what_is_given_goes_before_what_the_model_has():
    x = sample("digits").astype("float32")
    vae = VAE(*dense(64, 4), Objective(likelihood="bernoulli"))
    other = Objective.for_noise_variance(0.2)
    report = diagnose(vae, x, lambda z: np.zeros((len(z), 64)), other)
    assert report.noise_variance == 0.2
    assert report.reconstruction == pytest.approx(np.square(x).sum(axis=1).mean(), rel=1e-5)


def test_arrays_with_what_was_decoded_of_one_sample():
    x = sample("digits")
    model, objective = Best(x, 8, 0.05), Objective.for_noise_variance(0.05)
    z_mean, z_log_var = model.encode(x)
    z = z_mean + np.exp(z_log_var / 2) * np.random.default_rng(0).standard_normal(z_mean.shape)
    report = diagnose((z_mean, z_log_var), x, model.decode(z), objective)
    assert report.healthy
    assert report.elbo == pytest.approx(diagnose(model, x, objective=objective).elbo, abs=0.3)


@pytest.mark.parametrize(
    "door, decode, message",
    [
        (object(), None, "A object cannot be diagnosed: give a model with encode"),
        (lambda x: (x,) * 4, None, "The encoder gave 4 outputs, but two are needed"),
        (lambda x: (x, x), lambda z: z[:, :3], r"The decoder gave shape .1797, 3. for 1797 exam"),
        ((np.zeros((9, 2)), np.zeros((9, 2))), None, "a?n? array beside it 9"),
    ],
)
def test_bad_doors(door, decode, message):
    with pytest.raises(ValueError, match=message):
        diagnose(door, sample("digits"), decode, Objective())
    with pytest.raises(ValueError, match="objective=7 is none: give an Objective"):
        diagnose(door, sample("digits"), decode, 7)


def test_outputs_that_are_no_arrays():
    x = sample("digits")
    model = Best(x, 8, 0.05)
    for decode in (lambda z: {"decoded": z}, lambda z: object()):
        with pytest.raises(ValueError, match="was given where an array or tensor is needed"):
            diagnose(model.encode, x, decode, Objective())
