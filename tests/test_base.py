"""What needs no TensorFlow runs where there is none, and what trains says what to install."""

import sys

from helpers import ROOT, run

MISSING = """
import sys

class Missing:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing)
import numpy as np
import vae_notes
"""

BASE = """
import matplotlib
matplotlib.use("Agg")
from vae_notes import Objective, audit, claims, data, diagnose, exercises, figures, interactive
from vae_notes import likelihoods, montecarlo, objective, porting, recipes, schedules, theory

x = data.linear_gaussian([4.0, 1.0, 0.1], count=500)

def encode(x):
    return x[:, :2], 0 * x[:, :2]

def decode(z):
    return np.concatenate([z, 0 * z[:, :1]], axis=1)

for given in (x, iter([x[:300], x[300:]])):
    report = diagnose(encode, given, decode=decode, objective=Objective())
    assert report.active_units == 2 and report.elbo < report.predicted.elbo < 0, report
    assert "2 of 2" in str(report) and report.verdict in report._repr_html_()
assert diagnose(encode, x, decode=decode, objective=Objective(kl_weight=0.1)).elbo < report.elbo

for likelihood in likelihoods.LIKELIHOODS:
    of = Objective("mean", "sum", 0.5, likelihood)
    ones = np.ones((2, 3))
    reconstruction, kl = of.terms(ones, 0 * ones, ones[:, :2], 0 * ones[:, :2])
    assert kl.tolist() == [1.0, 1.0] and np.isfinite(of.elbo(reconstruction, kl, 3, 2)).all()
    loss = objective.weighted_loss(reconstruction, kl, of.weights(3, 2))
    assert np.isclose(loss, reconstruction.mean() / 3 + 0.5)
    assert of.likelihood.mean(np.zeros((1, 3))).shape == (1, 3)

assert data.digits().shape == (1797, 64) and data.mnist(7).shape[0] == 5000
assert audit.audit(Objective("mean", "mean"), data_dim=64, latent_dim=8).noise_variance == 4
assert theory.predict(x, 0.5, 2).active_units == 2
assert schedules.linear(1, 2)(2) == 0.5 and recipes.Recipe("sum").name == "sum"
assert montecarlo.kl([[0.0]], [[0.0]], draws=3).shape == (3, 1)
assert figures.spectrum(theory.spectrum(x), 0.5) is not None
assert "script" in interactive.schedule()._repr_html_()
porting.attempt(lambda: vae_notes.VAE)
"""

TRAINING = (
    "vae_notes.VAE",
    "vae_notes.KLAnnealing",
    "vae_notes.sweep",
    "vae_notes.runs",
    "vae_notes.balance",
    "vae_notes.networks.dense(4, 2)",
    "vae_notes.data.from_keras('mnist')",
)
SENTENCE = (
    "tensorflow is not installed, and training needs TensorFlow and Keras: "
    'pip install "vae-notes[tensorflow]".'
)


def output(code):
    """What a fresh process without TensorFlow prints."""
    result = run(sys.executable, "-c", MISSING + code, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_the_base_runs_without_tensorflow():
    assert output(BASE) == [f"ModuleNotFoundError: {SENTENCE}"]


def test_training_says_what_it_needs():
    code = f"""
for name in {TRAINING}:
    for _ in range(2):  # the second time as well
        try:
            eval(name)
        except ImportError as error:
            print(error)
"""
    assert output(code) == [SENTENCE] * (2 * len(TRAINING))


def test_what_there_is_can_be_listed():
    code = "print(set(dir(vae_notes)) >= {'VAE', 'diagnose'}, hasattr(vae_notes, 'nothing'))"
    assert output(code) == ["True False"]


def test_a_broken_tensorflow_speaks_for_itself():
    code = """
Missing.find_spec = lambda name, path=None, target=None: None
import types
class Broken:
    def find_spec(name, path=None, target=None):
        if name == "tensorflow":
            raise ModuleNotFoundError("No module named 'its_part'", name="its_part")
sys.meta_path.insert(0, Broken)
try:
    vae_notes.VAE
except ImportError as error:
    print(error)
"""
    assert output(code) == ["No module named 'its_part'"]
