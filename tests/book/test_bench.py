"""What the page on speed shows is what was measured."""

import importlib.util
import json
import statistics

import pytest
from helpers import ROOT

FOLDER = ROOT / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench", FOLDER / "bench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    return json.loads((FOLDER / "results.json").read_text())


def test_the_table_is_that_of_the_measurement(bench, stored):
    text = bench.tables(stored["microseconds"], stored["seconds_to_compile"], stored["machine"])
    assert (FOLDER / "results.md").read_text() == text
    for times in stored["microseconds"].values():
        assert {bench.KERAS, bench.FIT, bench.FLOOR, *bench.SWEEPS.values()} <= set(times)
        assert {len(t) for t in times.values()} == {stored["machine"]["rounds"]}


def test_ratios_are_medians_within_rounds(bench):
    times = {
        case: {bench.SWEEPS[8]: [1.0, 2.0, 40.0], bench.KERAS: [10.0, 200.0, 80.0]}
        for case in bench.CASES
    }
    (_, words, goal, ratio, met), _ = bench.goals(times)
    assert ratio == statistics.median([10, 100, 2]) and goal == 40 and not met
    assert words == "`sweep`, 8 replicates, times faster than Keras `fit`"


def test_the_floor_has_all_products_of_a_step(bench):
    """Two products a weight matrix backwards and one forwards, less the first layer's inputs."""
    run, epochs = bench.blas(7, 5, 2, 3, 6)
    run(1)
    matrices = 4
    assert len(run.__closure__[[*run.__code__.co_freevars].index("products")].cell_contents) == (
        3 * matrices - 1
    )
    assert epochs(4) == 2
