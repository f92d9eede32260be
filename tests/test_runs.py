import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from vae_notes import Objective, data, diagnose, networks, schedules
from vae_notes.recipes import Recipe
from vae_notes.runs import Runs
from vae_notes.sweep import sweep

X = data.linear_gaussian([4.0, 1.0, 0.2, 0.1], count=90, seed=1)
HELD_OUT = data.linear_gaussian([4.0, 1.0, 0.2, 0.1], count=50, seed=2)
BUILD = functools.partial(networks.dense, 4, 2, hidden=())
RECIPES = [
    Recipe("sum", Objective("sum", "sum", 0.5), learning_rate=0.02),
    Recipe("annealed", Objective("mean", "sum"), schedules.linear(1, 4)),
]


@pytest.fixture(scope="module")
def runs():
    options = dict(epochs=6, seeds=[0, 1, 4], batch_size=30, learning_rate=0.01)
    return sweep(BUILD, RECIPES, X, validation_data=HELD_OUT, **options)


def damaged(runs, **changes):
    """The same with a replicate that diverged and one that was not trained."""
    means = {key: run.means.copy() for key, run in runs.runs.items()}
    weights = {key: run.weights for key, run in runs.runs.items()}
    means["sum", 1][3:] = np.nan
    del means["annealed", 4], weights["annealed", 4]
    failed = {("annealed", 4): "the worker died"}
    recipes = list(runs.recipes.values())
    return Runs(BUILD, recipes, runs.seeds, HELD_OUT, means, weights, failed)


def test_history_is_consistent(runs):
    for run in runs:
        history, objective = run.history, run.recipe.objective
        expected = [objective.kl_weight * run.recipe.schedule(e) for e in range(6)]
        assert_allclose(history["kl_weight"], expected)
        for prefix in ("", "val_"):
            reconstruction, kl = history[prefix + "reconstruction"], history[prefix + "kl"]
            w = 1 / 4 if objective.reconstruction == "mean" else 1
            assert_allclose(history[prefix + "loss"], w * reconstruction + expected * kl)
            assert_allclose(history[prefix + "elbo"], objective.elbo(reconstruction, kl, 4, 2))


def test_without_held_out_data_there_are_no_validation_curves(runs):
    run = Runs(BUILD, RECIPES[:1], [0], X, *only(runs, ("sum", 0)))["sum", 0]
    assert set(run.history) == {"loss", "reconstruction", "kl", "elbo", "kl_weight"}


def only(runs, key):
    return {key: runs[key].means[:, :2]}, {key: runs[key].weights}


def test_indexing(runs):
    assert runs.names == ["sum", "annealed"] and len(runs) == len(list(runs)) == 6
    assert runs["annealed", 4].seed == 4 and runs["annealed", 4].recipe.name == "annealed"
    assert runs["sum", 0].recipe.learning_rate == 0.02
    assert runs["annealed", 0].recipe.learning_rate == 0.01
    curves = runs.curves("val_kl")
    assert list(curves) == runs.names and curves["sum"].shape == (3, 6)
    assert_array_equal(curves["sum"][2], runs["sum", 4].history["val_kl"])
    for key in ("max", ("sum", 9), 0):
        with pytest.raises(KeyError, match=r"is not here: give one of .'sum', 'annealed'."):
            runs[key]
    with pytest.raises(ValueError, match="'accuracy' was not measured: choose one of loss, recon"):
        runs.curves("accuracy")


def test_a_replicate_is_an_ordinary_vae(runs):
    for run in runs:
        vae = run.vae()
        vae.compile(jit_compile=False)
        logs = vae.evaluate(HELD_OUT, batch_size=30, verbose=0, return_dict=True)
        for metric, value in logs.items():
            assert value == pytest.approx(run.history[f"val_{metric}"][-1], rel=1e-5), metric
    vae = run.vae()
    assert float(vae.optimizer.learning_rate) == pytest.approx(0.01)
    vae.fit(X, epochs=1, batch_size=90, verbose=0)
    assert vae.sample(2).shape == (2, 4)


def test_diagnosis_is_that_of_the_vae(runs):
    for run in list(runs)[::3]:
        report, expected = run.report, diagnose(run.vae(), HELD_OUT)
        assert_allclose(report.kl_per_unit, expected.kl_per_unit, rtol=1e-4, atol=1e-6)
        assert report.elbo == pytest.approx(expected.elbo, rel=1e-5)
        assert report.verdict == expected.verdict
    assert runs.active_units["sum"].tolist() == [r.report.active_units for r in list(runs)[:3]]
    assert runs["sum"].elbo[1] == runs["sum", 1].report.elbo
    assert_array_equal(runs.kl_per_unit["sum"][0], runs["sum", 0].report.kl_per_unit)


def test_table(runs):
    table = runs.table()
    assert len(table) == 2 * 3 * 6
    row = table[6 + 3]
    assert (row["recipe"], row["seed"], row["epoch"]) == ("sum", 1, 3)
    assert row["val_elbo"] == runs["sum", 1].history["val_elbo"][3]
    assert {type(value) for value in row.values()} == {str, int, float}


def test_what_failed_is_missing_and_named(runs):
    ill = damaged(runs)
    assert ill.problems == [
        "1 of 6 replicates were not trained: recipe 'annealed', seed 4 (the worker died).",
        "1 of 6 replicates diverged: recipe 'sum', seed 1 (epoch 3).",
    ]
    assert not runs.problems
    assert ill["sum", 1].diverged == 3 and ill["sum", 0].diverged is None
    assert_array_equal(np.isnan(ill.active_units["sum"]), [False, True, False])
    assert_array_equal(np.isnan(ill.elbo["annealed"]), [False, False, True])
    assert np.isnan(ill.kl_per_unit["annealed"][2]).all() and ill.kl_per_unit["sum"].shape == (3, 2)
    assert np.isnan(ill.curves("loss")["annealed"][2]).all()
    assert np.isfinite(ill.curves("loss")["sum"][1][:3]).all()
    assert len(ill.table()) == 5 * 6
    with pytest.raises(KeyError, match="was not trained: the worker died"):
        ill["annealed", 4]


def test_curves_of_unequal_length_are_padded(runs):
    means = {key: run.means[: 4 if key[1] else 6] for key, run in runs.runs.items()}
    weights = {key: run.weights for key, run in runs.runs.items()}
    short = Runs(BUILD, list(runs.recipes.values()), runs.seeds, HELD_OUT, means, weights)
    assert_array_equal(np.isnan(short.curves("kl")["sum"]).sum(axis=1), [0, 2, 2])
    assert len(short["sum"].curve("kl")[0]) == 6


def test_plot(runs):
    ax = runs.plot("val_elbo")
    assert [text.get_text() for text in ax.get_legend().get_texts()][:2] == ["sum", "annealed"]
    assert ax.get_ylabel() == "val elbo (nats per example)"
    values = np.median(runs.curves("val_elbo")["sum"], axis=0)
    assert_allclose(ax.lines[0].get_ydata(), values)
    values = np.median(damaged(runs).curves("kl")["sum"][[0, 2]], axis=0)
    assert_allclose(damaged(runs).plot("kl").lines[0].get_ydata(), values)


def test_save_and_load(runs, tmp_path):
    ill = damaged(runs)
    ill.save(tmp_path / "runs")  # any name
    loaded = Runs.load(tmp_path / "runs", BUILD)
    assert loaded.names == ill.names and loaded.seeds == ill.seeds
    assert loaded.failed == ill.failed and loaded.problems == ill.problems
    assert list(loaded.runs) == list(ill.runs)
    for key, run in ill.runs.items():
        assert loaded[key].recipe.objective == run.recipe.objective
        for metric, values in run.history.items():
            assert_array_equal(loaded[key].history[metric], values)
    a, b = (some["annealed", 1] for some in (ill, loaded))
    assert_array_equal(a.vae().predict(X, verbose=0), b.vae().predict(X, verbose=0))
    assert a.report.elbo == b.report.elbo
    assert float(b.vae().kl_weight) == 1.0


def test_files_that_hold_no_sweep(runs, tmp_path):
    path = tmp_path / "runs.npz"
    runs.save(path)
    with pytest.raises(ValueError, match=r"build makes other models than those in .*runs.npz"):
        Runs.load(path, functools.partial(networks.dense, 4, 3, hidden=()))
    (tmp_path / "cut").write_bytes(path.read_bytes()[:900])
    (tmp_path / "text").write_text("no archive")
    np.savez(tmp_path / "other.npz", a=1)
    for name in ("missing", "cut", "text", "other.npz"):
        with pytest.raises(ValueError, match=f"{name} holds no sweep: give a file written by save"):
            Runs.load(tmp_path / name, BUILD)
