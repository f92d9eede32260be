"""Time a training step of a VAE in several ways, interleaved, and write what the book shows.

    python benchmarks/bench.py [--rivals PYTHON] [--rounds 9] [--seconds 0.4] [--into FOLDER]

Every contestant is a process of its own and takes part in every round, one at a time, so that what
slows the machine slows them all; tables have medians and extremes over rounds, and ratios are
medians of the ratios within a round. Times are microseconds per replicate and step, after
compilation. Writes results.json and results.md, and performance.png for the book.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from cases import CASES
from matplotlib.ticker import FixedLocator, NullLocator

from vae_notes import figures

FOLDER = Path(__file__).parent
PICTURE = FOLDER.parent / "book" / "_assets" / "performance.png"
KERAS, FIT, FLOOR = "Keras `fit`", "`VAE.fit`", "BLAS, matrix products alone"
TORCH, TORCH_FUNC = "PyTorch, eager", "PyTorch `torch.func`, 8 replicates"
JAX, JAX_VMAP = "JAX `scan`", "JAX `vmap` + `scan`, 8 replicates"
SWEEPS = {count: f"`sweep`, {count} replicate{'s' * (count > 1)}" for count in (1, 8, 32, 128)}
OURS = {FIT, *SWEEPS.values()}
# name: script, what it is called there, replicates
CONTESTANTS = {
    KERAS: ("ours.py", "keras", 1),
    FIT: ("ours.py", "fit", 1),
    TORCH: ("rivals.py", "torch", 1),
    JAX: ("rivals.py", "jax", 1),
    **{name: ("ours.py", "sweep", count) for count, name in SWEEPS.items()},
    JAX_VMAP: ("rivals.py", "jax.vmap", 8),
    TORCH_FUNC: ("rivals.py", "torch.func", 8),
    FLOOR: ("ours.py", "floor", 1),
}
FASTER, LONGER = "times faster than", "times as long as"
# (what, against what, in which words, the goal for each case; none where it is only reported)
GOALS = [
    (SWEEPS[8], KERAS, FASTER, (110, 4.5, 2, 2)),
    (SWEEPS[8], JAX_VMAP, FASTER, (2.5, 1.1, 1, 1)),
    (SWEEPS[8], TORCH_FUNC, FASTER, (5, 1.5, 1, 1)),
    (SWEEPS[8], FLOOR, LONGER, (1.05, 1.1, None, None)),
    (FIT, KERAS, FASTER, (20, 3.3, 1.3, 1.3)),
]
BUSY, DRIFT, SPREAD = 0.5, 0.1, 0.25  # above one of these, the machine was not quiet
ON_GPU = ", on the GPU"
ENVIRONMENT = {
    False: {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"},
    True: {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
}


# The run


class Contestant:
    """A process that says that it is ready, and is then asked again and again (see cases.py)."""

    def __init__(self, name, case, python):
        script, called, self.replicates = CONTESTANTS[name.removesuffix(ON_GPU)]
        self.on_gpu, self.memory, pipe = name.endswith(ON_GPU), 0, subprocess.PIPE
        environment = os.environ | ENVIRONMENT[self.on_gpu]
        command = [python, FOLDER / script, called, case, str(self.replicates)]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=environment
        )

    def ready(self):
        """What it says about itself; the last line of its errors where it fails."""
        if line := self.process.stdout.readline():
            self.about = json.loads(line)
            found = self.about["gpu"] or not self.on_gpu
            return found, "" if found else "its libraries find no GPU"
        self.process.wait()
        self.errors.seek(0)
        return False, (self.errors.read().splitlines() or ["no word"])[-1]

    def microseconds(self, seconds):
        """Per replicate and step, over about so many seconds."""
        calls = max(1, round(seconds / self.about["call"]))
        print(calls, file=self.process.stdin, flush=True)
        told = json.loads(self.process.stdout.readline())
        self.memory = told["memory"]
        return told["seconds"] / (calls * self.about["steps"] * self.replicates) * 1e6

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
        self.process.kill()
        self.process.wait()


def pythons(rivals):
    return {"ours.py": sys.executable} | ({"rivals.py": rivals} if rivals else {})


def enter(case, rivals, gpu, longest):
    """The contestants that are ready, and why the others are not there, by name."""
    entered, absent, found, calls = {}, {}, pythons(rivals), {}
    names = [*CONTESTANTS]
    if gpu:
        names += [name + ON_GPU for name in CONTESTANTS if name != FLOOR]
    for name in names:
        script, called, replicates = CONTESTANTS[name.removesuffix(ON_GPU)]
        if script not in found:
            continue
        kind, needs = (called, name.endswith(ON_GPU)), 0
        if kind in calls:  # a call of more replicates takes longer in proportion, on a processor
            needs = 0 if kind[1] else calls[kind] * replicates
        if needs <= longest:
            contestant = Contestant(name, case, found[script])
            ready, why = contestant.ready()
            if ready and (needs := contestant.about["call"]) <= longest:
                entered[name] = contestant
                calls[kind] = needs / replicates
                continue
            contestant.end()
            if not ready:
                absent[name] = f"left out: {why.partition(':')[0]}"  # the rest may name folders
                print(f"{name} is left out: {why}")
                continue
        absent[name] = f"left out: a round would take {needs:.0f} s"
    return entered, absent


def measure(case, rivals, gpu, rounds, seconds, longest):
    """By name: microseconds of each round, seconds to get ready, MiB, and who was left out."""
    entered, absent = enter(case, rivals, gpu, longest)
    times = {name: [] for name in entered}
    try:
        for _ in range(rounds):
            for name, contestant in entered.items():
                times[name].append(contestant.microseconds(seconds))
    finally:
        for contestant in entered.values():
            contestant.end()
    return {
        "microseconds": times,
        "seconds_to_compile": {name: c.about["compiling"] for name, c in entered.items()},
        "peak_mebibytes": {name: c.memory for name, c in entered.items()},
        "left_out": absent,
    }, [c.about for c in entered.values()]


def machine(abouts):
    try:
        names = [s for s in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in s]
        cpu = names[0].split(":")[1].strip()
    except (OSError, IndexError):
        cpu = platform.processor() or platform.machine()
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    for about in abouts:
        versions |= about["versions"]
    gpus = sorted({about["gpu"] for about in abouts if about["gpu"]})
    return {"cpu": cpu, "cores": os.cpu_count(), "gpus": gpus, "versions": versions}


def calibration():
    """Seconds that a product of two matrices takes now, the median of some."""
    a, seconds = np.ones((512, 512), np.float32), []
    for _ in range(50):
        start = time.perf_counter()
        np.matmul(a, a)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


# What comes of it


def median_ratio(times, a, b):
    return statistics.median(p / q for p, q in zip(times[a], times[b], strict=True))


def quiet(load, before, after, cases):
    """A sentence: whether the machine had nothing else to do, and what says so."""
    drift = max(before, after) / min(before, after) - 1
    spreads = [(max(t) - min(t)) / statistics.median(t) for c in cases for t in c.values()]
    spread = statistics.median(spreads)
    still = load <= BUSY and drift <= DRIFT and spread <= SPREAD
    return (
        f"The machine was {'quiet' if still else 'not quiet'}: its load was {load:.1f} before the "
        f"run, a matrix product took {after / before:.2f} times as long after it, and half "
        f"of the contestants spread over more than {spread:.0%} of their median."
        + ("" if still else " Ratios hold better than times, and neither holds well.")
    )


def goals(results):
    """Lines of a case, words, the goal or none, the ratio that was measured, and whether met."""
    lines = []
    for what, against, words, wanted in GOALS:
        for (case, result), goal in zip(results.items(), wanted, strict=True):
            times = result["microseconds"]
            if what in times and against in times:
                pair = (against, what) if words == FASTER else (what, against)
                ratio = median_ratio(times, *pair)
                met = goal is None or (ratio >= goal if words == FASTER else ratio <= goal)
                lines.append((case, f"{what}, {words} {against}", goal, ratio, met))
    return lines


def losses(results):
    """Sentences: who takes less time than this package does for as many replicates."""
    ours, found = {1: (FIT, SWEEPS[1]), 8: (SWEEPS[8],)}, []
    for case, result in results.items():
        times = result["microseconds"]
        for name in (KERAS, TORCH, JAX, JAX_VMAP, TORCH_FUNC):
            for mine in ours[CONTESTANTS[name][2]]:
                if not {name, mine} <= times.keys():
                    continue
                if (ratio := median_ratio(times, name, mine)) < 1:
                    found.append(f"{case}: {name} takes {ratio:.2f} of the time of {mine}.")
    return found


def tables(stored):
    """Markdown: a table for each case, then the goals and who is faster."""
    where, results = stored["machine"], stored["cases"]
    gpus = ", ".join(where["gpus"]) or "no GPU"
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    text = [
        f"Measured on {where['cpu']}, {where['cores']} cores, {gpus}; {versions}. Microseconds per "
        f"replicate and step: median of {where['rounds']} interleaved rounds (least to most). "
        f"{where['quiet']}",
    ]
    for case, result in results.items():
        times, absent = result["microseconds"], result["left_out"]
        text += ["", f"| {title(case)} | µs per replicate and step | compiling, s | memory, MiB |"]
        text += ["|---|--:|--:|--:|"]
        for name in sorted([*times, *absent], key=order):
            if name in absent:
                text.append(f"| {name} | {absent[name]} | | |")
                continue
            t, seconds = times[name], result["seconds_to_compile"][name]
            row = f"{figure(statistics.median(t))} ({figure(min(t))} to {figure(max(t))})"
            memory = result["peak_mebibytes"][name]
            text.append(f"| {name} | {row} | {seconds:.1f} | {memory:,.0f} |")
    text += ["", "| Within a round | " + " | ".join(results) + " |"]
    text += ["|---|" + "--:|" * len(results)]
    measured = goals(results)
    for words in dict.fromkeys(line[1] for line in measured):
        cells = {case: cell(*rest) for case, w, *rest in measured if w == words}
        text.append(f"| {words} | " + " | ".join(cells.get(case, "") for case in results) + " |")
    found = [f"- {line}" for line in losses(results)]
    none = "Nobody else is faster with as many replicates."
    text += ["", *(["Where another is faster:", "", *found] if found else [none])]
    return "\n".join(text) + "\n"


def title(case):
    return f"{case}, batches of {CASES[case].batch_size}"


def order(name):
    bare = name.removesuffix(ON_GPU)
    return name != bare, [*CONTESTANTS].index(bare)


def cell(goal, ratio, met):
    wanted = "" if goal is None else f" (goal {goal:g}{'' if met else ', missed'})"
    return f"{ratio:.2f}{wanted}"


def figure(value):
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}"


def plot(results, path):
    """A panel a case: the median of each contestant, over a bar from least to most."""
    figures.style()
    entered = {name for result in results.values() for name in result["microseconds"]}
    names = sorted(entered, key=order)[::-1]
    rows, size = -(-len(results) // 2), dict(sharey=True, layout="constrained")
    fig, axes = plt.subplots(rows, 2, figsize=(9, rows * (0.8 + 0.27 * len(names))), **size)
    for ax, (case, result) in zip(axes.flat, results.items(), strict=True):
        for y, name in enumerate(names):
            if times := result["microseconds"].get(name):
                draw(ax, y, times, ours=name.removesuffix(ON_GPU) in OURS)
        ax.set(xscale="log", title=title(case), xlabel="µs per replicate and step")
        low, high = ax.get_xlim()  # where less than a decade is seen, LogLocator gives up
        steps = (1, 3) if high > 10 * low else (1, 2, 3, 5)
        ax.xaxis.set_major_locator(FixedLocator([m * 10**k for k in range(7) for m in steps]))
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_yticks(range(len(names)), [name.replace("`", "") for name in names])
        ax.margins(x=0.12, y=0.1)
    fig.savefig(path, dpi=150, metadata={"Software": None})


def draw(ax, y, times, ours):
    median, colour = statistics.median(times), "#0072B2" if ours else "black"
    ax.plot([min(times), max(times)], [y, y], color=colour, linewidth=3, alpha=0.3)
    ax.plot(median, y, "o" if ours else "s", color=colour)
    place = dict(xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
    ax.annotate(figure(median), (median, y), **place)


def has_gpu():
    """Whether NVIDIA's tool lists one; TensorFlow need not be started here to know."""
    tool = shutil.which("nvidia-smi")
    return bool(tool) and b"GPU" in subprocess.run([tool, "-L"], capture_output=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rivals", help="a Python that may have PyTorch and JAX")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4, help="for each contestant and round")
    parser.add_argument("--longest", type=float, default=10, help="seconds that one may need")
    parser.add_argument("--into", type=Path, help="a folder for results and picture")
    arguments = parser.parse_args()
    rivals = arguments.rivals if arguments.rivals and Path(arguments.rivals).exists() else None
    folder, picture = FOLDER, PICTURE
    if arguments.into:
        folder, picture = arguments.into, arguments.into / PICTURE.name
    options = arguments.rounds, arguments.seconds, arguments.longest
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0
    before, gpu = calibration(), has_gpu()
    if load > BUSY:
        print(f"The machine is busy (load {load:.1f}): ratios hold better than times.")
    results, abouts = {}, []
    for case in CASES:
        print(f"{case} ...", flush=True)
        results[case], more = measure(case, rivals, gpu, *options)
        abouts += more
    times = [result["microseconds"] for result in results.values()]
    where = machine(abouts) | {
        "rounds": arguments.rounds,
        "quiet": quiet(load, before, calibration(), times),
    }
    stored = {"machine": where, "cases": results}
    text = tables(stored)
    print(text)
    (folder / "results.json").write_text(json.dumps(stored, indent=1) + "\n")
    (folder / "results.md").write_text(text)
    plot(results, picture)


if __name__ == "__main__":
    main()
