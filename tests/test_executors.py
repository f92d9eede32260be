"""A sweep whose blocks are trained in other processes, and what goes wrong there."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from sweeps import BUILD, HELD_OUT, RECIPES, X, assert_same_history, pretend

from vae_notes import _replicates
from vae_notes.sweep import sweep

# Whole batches, for each other size of a batch makes the program longer to compile.
SWEEP = dict(x=X[:128], epochs=3, batch_size=32, validation_data=HELD_OUT[:32])


@pytest.fixture(scope="module")
def here():
    """What this process gives."""
    return sweep(BUILD, RECIPES[:3:2], seeds=[0, 1, 2], **SWEEP)


@pytest.fixture(scope="module")
def process():
    """Another, in which TensorFlow takes seconds to start; the last test that asks ends it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture(scope="module")
def dask():
    """The executor of a local cluster."""
    from distributed import Client, LocalCluster

    options = dict(n_workers=1, threads_per_worker=2, dashboard_address=":0", silence_logs=50)
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield client.get_executor()


@pytest.mark.parametrize("engine", ["process", "dask"])
def test_executors(here, engine, request):
    """Two blocks in another process give what this process gives."""
    executor = request.getfixturevalue(engine)
    there = sweep(BUILD, RECIPES[:3:2], seeds=[0, 1, 2], executor=executor, **SWEEP)
    assert len(there) == 6
    for run in there:
        assert_same_history(run, here[run.recipe.name, run.seed].history)


def deadly(seed):
    """Ends the process that builds seed 1, unless it is the one that runs the tests."""
    if seed == 1 and multiprocessing.parent_process() is not None:
        os._exit(1)
    return BUILD(seed=seed)


@pytest.fixture
def narrow(monkeypatch):
    """A block a replicate."""
    monkeypatch.setattr("vae_notes.sweep.BLOCK_BYTES", 1)


def test_a_worker_compiles_once(narrow, monkeypatch):
    compiled, init = [], pretend

    def counted(self, *arguments):
        compiled.append(arguments)
        init(self, *arguments)

    monkeypatch.setattr(_replicates.Program, "__init__", counted)
    for _ in range(2):  # sweeps
        with ThreadPoolExecutor(1) as executor:
            sweep(BUILD, RECIPES[:1], X, epochs=1, seeds=[0, 1, 2], executor=executor)
    assert len(compiled) == 2


def test_a_worker_that_dies(narrow, here, process):
    lost = r"2 of 3 replicates were not trained: recipe 'plain', seed 1"
    with pytest.warns(UserWarning, match=lost):
        kept = sweep(deadly, RECIPES[:1], seeds=[0, 1, 2], executor=process, **SWEEP)
    assert set(kept.failed) == {("plain", 1), ("plain", 2)}
    assert_same_history(kept["plain", 0], here["plain", 0].history)
    assert np.isnan(kept.curves("loss")["plain"]).all(axis=1).tolist() == [False, True, True]
    with pytest.raises(KeyError, match="recipe 'plain', seed 1 was not trained"):
        kept["plain", 1]


class Frail(ThreadPoolExecutor):
    """Does one job, then raises an error."""

    def __init__(self, error):
        super().__init__(1)
        self.error, self.first = error, None

    def submit(self, *job):
        if self.first is not None:
            self.first.result()
            raise self.error
        self.first = super().submit(*job)
        return self.first


@pytest.mark.parametrize(
    "error, reason",
    [
        (RuntimeError("the network is gone"), "the network is gone"),
        (KeyboardInterrupt(), "the sweep was interrupted"),
    ],
)
def test_an_executor_that_stops(error, reason, narrow, monkeypatch):
    monkeypatch.setattr(_replicates.Program, "__init__", pretend)
    with Frail(error) as executor, pytest.warns(UserWarning, match=rf"seed 1 .{reason}.; recipe"):
        kept = sweep(BUILD, RECIPES[:1], X, epochs=1, seeds=[0, 1, 2], executor=executor)
    assert list(kept.runs) == [("plain", 0)]
    assert set(kept.failed) == {("plain", 1), ("plain", 2)}


def failing(*_):
    raise OSError("no space left.")


def test_nothing_trained(monkeypatch):
    monkeypatch.setattr("vae_notes.sweep._train_one", failing)
    with (
        ThreadPoolExecutor() as executor,
        pytest.raises(RuntimeError, match=r"No .*: no space left\.$"),
    ):
        sweep(BUILD, RECIPES[:1], X, epochs=1, executor=executor)
