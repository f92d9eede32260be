"""The command line: what it prints, writes and returns."""

import json
import sys

import numpy as np
import pytest
from helpers import ROOT, run

from vae_notes import data, theory
from vae_notes.__main__ import main

X = data.linear_gaussian([4.0, 2.0, 1.0, 0.2, 0.1], count=600).astype(float)
BEST = theory.optimal_parameters(X, 3, 0.15)
Z_MEAN = X @ BEST.encoder_weights + BEST.encoder_bias
Z_LOG_VAR = np.broadcast_to(BEST.z_log_var, Z_MEAN.shape)
NOISE = np.random.default_rng(0).standard_normal(Z_MEAN.shape)
DECODED = (Z_MEAN + np.exp(Z_LOG_VAR / 2) * NOISE) @ BEST.decoder_weights + BEST.decoder_bias
POSTERIOR = dict(x=X, z_mean=Z_MEAN, z_log_var=Z_LOG_VAR)
SHARP = ["--kl-weight", "0.3"]


@pytest.fixture
def file(tmp_path):
    def saved(**arrays):
        np.savez(tmp_path / "arrays.npz", **arrays)
        return str(tmp_path / "arrays.npz")

    return saved


def test_a_healthy_model_in_a_shell_of_its_own(file):
    command = [sys.executable, "-m", "vae_notes", "diagnose", file(**POSTERIOR, decoded=DECODED)]
    found = run(*command, *SHARP, cwd=ROOT)
    assert found.returncode == 0 and found.stdout.startswith("verdict                   healthy\n")
    assert not found.stderr


def test_what_is_wrong_is_a_status_of_one(file, capsys, tmp_path):
    lost = file(x=X, z_mean=0 * Z_MEAN, z_log_var=0 * Z_MEAN, decoded=0 * X + X.mean(axis=0))
    page = tmp_path / "page.html"
    assert main(["diagnose", lost, "--json", "--html", str(page)]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "collapsed although the objective did not ask for it"
    assert found["verdict"] in page.read_text()
    assert main(["diagnose", file(**POSTERIOR)]) == 1  # without an ELBO there is no certificate
    assert "not judged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arrays, message",
    [
        (dict(x=X, z_mean=Z_MEAN), "lacks z_log_var: save x, z_mean and z_log_var in it"),
        (dict(**POSTERIOR, y=X), "holds y: save x"),
        (dict(**POSTERIOR, decoded=DECODED[:9]), "an array beside it 9"),
    ],
)
def test_bad_files(arrays, message, file, capsys):
    assert main(["diagnose", file(**arrays)]) == 2
    assert message in capsys.readouterr().err


def test_other_bad_questions(tmp_path, capsys):
    (tmp_path / "text.npz").write_text("none")
    for name in ("text.npz", "missing.npz"):
        assert main(["diagnose", str(tmp_path / name)]) == 2
    assert main(["audit", "--data-dim", "0", "--latent-dim", "2"]) == 2
    assert "data_dim=0 is not a whole number" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["cure"])


def test_audit(tmp_path, capsys):
    np.save(tmp_path / "x.npy", X)
    shape = ["audit", "--data-dim", "5", "--latent-dim", "3", "--data", str(tmp_path / "x.npy")]
    assert main([*shape, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["active_units"] == 3 and found["noise_variance"] == 0.5
    assert main([*shape, "--kl-weight", "20"]) == 1  # noise variance 10
    assert "local optimum" in capsys.readouterr().out
