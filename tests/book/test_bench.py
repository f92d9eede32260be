"""What the page on speed shows is what was measured."""

import json
import statistics
import sys

import bench
import pytest
from cases import CASES
from helpers import ROOT

FOLDER = ROOT / "benchmarks"
OURS = {bench.KERAS, bench.FIT, bench.FLOOR, *bench.SWEEPS.values()}


@pytest.fixture(scope="module")
def stored():
    return json.loads((FOLDER / "results.json").read_text())


def test_the_table_is_that_of_the_measurement(stored):
    assert (FOLDER / "results.md").read_text() == bench.tables(stored)
    assert [*stored["cases"]] == [*CASES]
    for result in stored["cases"].values():
        times = result["microseconds"]
        assert {*times, *result["left_out"]} >= OURS
        assert {len(t) for t in times.values()} == {stored["machine"]["rounds"]}
        assert times.keys() == result["seconds_to_compile"].keys()
        assert times.keys() == result["peak_mebibytes"].keys()


def results(**times):
    return {
        case: {"microseconds": {getattr(bench, n): t for n, t in times.items()}} for case in CASES
    }


def test_ratios_are_medians_within_rounds():
    eight = {bench.SWEEPS[8]: [1.0, 2.0, 40.0], bench.KERAS: [10.0, 200.0, 80.0]}
    (_, words, goal, ratio, met), *_ = bench.goals({c: {"microseconds": eight} for c in CASES})
    assert ratio == statistics.median([10, 100, 2]) and goal == 110 and not met
    assert words == "`sweep`, 8 replicates, times faster than Keras `fit`"


def test_losses_are_published():
    found = bench.losses(results(FIT=[4.0, 4.0], JAX=[3.0, 3.0], KERAS=[9.0, 9.0]))
    assert found == [f"{case}: JAX `scan` takes 0.75 of the time of `VAE.fit`." for case in CASES]


@pytest.mark.parametrize(
    ("load", "after", "worst", "still"),
    [(0.1, 1, 1.1, True), (2, 1, 1.1, False), (0.1, 1.3, 1.1, False), (0.1, 1, 1.9, False)],
)
def test_a_machine_that_is_not_quiet_is_named(load, after, worst, still):
    said = bench.quiet(load, 1, after, [{"one": [1, 1, worst]}])
    assert ("not quiet" in said) is not still


def test_a_contestant_is_a_process():
    floor = bench.Contestant(bench.FLOOR, "64-64-8", sys.executable)
    try:
        assert floor.ready() == (True, "")
        assert floor.about["steps"] == CASES["64-64-8"].steps == 57
        assert floor.microseconds(0.01) > 1 and floor.memory >= 0
    finally:
        floor.end()


def test_one_that_fails_gives_its_reason(monkeypatch, tmp_path):
    """Here one without TensorFlow, which takes seconds to import."""
    script = tmp_path / "bare.py"
    code = ("import sys", f"sys.path.append({str(FOLDER)!r})", "import cases", "cases.serve(0, {})")
    script.write_text("\n".join(code))
    monkeypatch.setitem(bench.CONTESTANTS, "bare", (script, "bare", 1))
    unknown = bench.Contestant("bare", "no case", sys.executable)
    ready, why = unknown.ready()
    unknown.end()
    assert not ready and why == "KeyError: 'no case'"


def test_what_would_take_too_long_is_left_out_and_named(monkeypatch):
    class Slow:
        def __init__(self, name, case, python):
            self.about = {"call": bench.CONTESTANTS[name][2]}  # seconds

        def ready(self):
            return True, ""

        def end(self):
            pass

    monkeypatch.setattr(bench, "Contestant", Slow)
    entered, absent = bench.enter("64-64-8", None, gpu=False, longest=10)
    assert bench.SWEEPS[8] in entered
    assert absent == {bench.SWEEPS[n]: f"left out: a round would take {n} s" for n in (32, 128)}


@pytest.mark.parametrize(("case", "matrices"), [("64-64-8", 4), ("conv (16, 32)", 6)])
def test_the_floor_has_all_products_of_a_step(case, matrices):
    """Two products a weight matrix backwards and one forwards, less the first layer's inputs."""
    products = CASES[case].products
    assert len(products) == 3 * matrices - 1


@pytest.mark.parametrize("case", [*CASES])
def test_the_floor_has_the_sizes_of_the_model(case):
    """A product's inner and last sizes make the weights of its layer; both heads are one."""
    import ours

    weights = sum(k * m for _, k, m in CASES[case].layers)
    encoder, decoder = ours.builder(CASES[case])()
    kernels = [w for half in (encoder, decoder) for w in half.weights if len(w.shape) > 1]
    assert weights == sum(w.numpy().size for w in kernels)
