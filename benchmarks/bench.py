"""Time a training step of a VAE in several ways, interleaved, and write what the book shows.

    python benchmarks/bench.py [--rivals PYTHON] [--rounds 9] [--seconds 0.4]

Every contestant takes part in every round, so that what slows the machine slows them all; the
table has medians and extremes over rounds, and ratios are medians of the ratios within a round.
Times are microseconds per replicate and step, after compilation. Writes benchmarks/results.json,
benchmarks/results.md and book/_assets/performance.png.
"""

import argparse
import functools
import itertools
import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from vae_notes import VAE, data, figures
from vae_notes.networks import dense
from vae_notes.recipes import Recipe
from vae_notes.sweep import Plan

import keras
import tensorflow as tf
from keras import ops

FOLDER = Path(__file__).parent
PICTURE = FOLDER.parent / "book" / "_assets" / "performance.png"
FLOOR, KERAS, FIT, JAX = "BLAS, matrix products alone", "Keras `fit`", "`VAE.fit`", "JAX `lax.scan`"
SWEEPS = {count: f"`sweep`, {count} replicate{'s' * (count > 1)}" for count in (1, 8, 32)}
OURS = {FIT, *SWEEPS.values()}
CASES = {  # data_dim, hidden, latent_dim, batch_size, examples
    "64-64-8, batches of 32": (64, 64, 8, 32, 1797),
    "784-400-20, batches of 128": (784, 400, 20, 128, 3840),
}
# (what, against what, the goal for each case, whether more is better)
GOALS = [
    (SWEEPS[8], KERAS, (40, 2.4), "times faster than"),
    (SWEEPS[8], JAX, (1.4, 1), "times faster than"),
    (SWEEPS[8], FLOOR, (1.5, 1.15), "times as long as"),
    (FIT, KERAS, (8, 1.8), "times faster than"),
]


# Contestants: from the sizes to a function of a number of epochs


def blas(data_dim, hidden, latent_dim, batch_size, count):
    """The eleven products of one step, forward and backward, into arrays that are there."""
    random = np.random.default_rng(0)
    sizes = dict(b=batch_size, n=data_dim, h=hidden, z=latent_dim, s=2 * latent_dim)
    array = lambda a, b: random.random((sizes[a], sizes[b]), dtype=np.float32)  # noqa: E731
    x, h, s, z = (array("b", k) for k in "nhsz")
    w1, w2, w3, w4 = array("n", "h"), array("h", "s"), array("z", "h"), array("h", "n")
    # h and x stand for all that has their shape; forward, then backward
    products = [(x, w1), (h, w2), (z, w3), (h, w4)]
    products += [(h.T, x), (x, w4.T), (z.T, h), (h, w3.T), (h.T, s), (s, w2.T), (x.T, h)]
    products = [(a, b, np.empty((len(a), b.shape[1]), np.float32)) for a, b in products]
    steps = -(-count // batch_size)

    def run(epochs):
        for _ in range(epochs * steps):
            for a, b, out in products:
                np.matmul(a, b, out=out)

    return run, epochs_of(steps)


class Draw(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, z_mean, z_log_var):
        noise = keras.random.normal(ops.shape(z_mean), seed=self.seeds)
        return z_mean + ops.exp(z_log_var / 2) * noise


class Handwritten(keras.Model):
    """A VAE as one writes it after Keras's guide: a ``train_step`` of one's own, nothing else."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder, self.draw = encoder, decoder, Draw()
        self.means = [keras.metrics.Mean(name=name) for name in ("loss", "reconstruction", "kl")]

    @property
    def metrics(self):
        return self.means

    def train_step(self, x):
        with tf.GradientTape() as tape:
            z_mean, z_log_var = self.encoder(x)
            x_mean = self.decoder(self.draw(z_mean, z_log_var))
            reconstruction = ops.mean(ops.sum(ops.square(x - x_mean), axis=1))
            kl = ops.square(z_mean) + ops.exp(z_log_var) - 1 - z_log_var
            kl = ops.mean(ops.sum(kl, axis=1)) / 2
            loss = reconstruction + kl
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for mean, value in zip(self.means, (loss, reconstruction, kl), strict=True):
            mean.update_state(value)
        return {mean.name: mean.result() for mean in self.means}


def keras_fit(make, data_dim, hidden, latent_dim, batch_size, count):
    model = make(*dense(data_dim, latent_dim, (hidden,)))
    model.compile("adam")
    x = examples(data_dim, count)

    def run(epochs):
        model.fit(x, batch_size=batch_size, epochs=epochs, verbose=0)

    return run, epochs_of(-(-count // batch_size))


def replicates(number, data_dim, hidden, latent_dim, batch_size, count):
    """What ``sweep`` does between its compilation and its results."""
    build = functools.partial(dense, data_dim, latent_dim, (hidden,))
    steps = -(-count // batch_size)
    small = data_dim * hidden < 1e5
    epochs = epochs_of(steps)(512) if small else 4  # a call should not take a minute
    plan = Plan(
        build,
        [Recipe("one")],
        examples(data_dim, count),
        epochs=epochs,
        seeds=range(number),
        batch_size=batch_size,
    )
    training = plan.training()
    chunk = training.chunk

    def run(epochs):
        for _ in range(max(1, epochs // chunk)):
            training.advance(0)

    return run, lambda steps_wanted: max(1, epochs_of(steps)(steps_wanted) // chunk) * chunk


def rival(name, python, *sizes):
    command = [python, FOLDER / "rivals.py", name, *map(str, sizes)]
    pipe = subprocess.PIPE
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=quiet, text=True)
    ready = process.stdout.readline().split()
    if not ready:
        return None
    VERSIONS[name] = ready[1]

    def run(epochs):
        print(epochs, file=process.stdin, flush=True)
        return float(process.stdout.readline())

    return run, epochs_of(-(-sizes[-1] // sizes[-2]))


VERSIONS = {}


def epochs_of(steps):
    return lambda wanted: max(1, round(wanted / steps))


def examples(data_dim, count):
    if data_dim == 64:
        return data.digits()
    return np.random.default_rng(0).random((count, data_dim), dtype=np.float32)


# The run


def contestants(sizes, rivals):
    """By name (function of epochs, epochs for so many steps, replicates, seconds to compile)."""
    makers = {
        name: functools.partial(keras_fit, m) for name, m in [(KERAS, Handwritten), (FIT, VAE)]
    }
    makers |= {name: functools.partial(replicates, n) for n, name in SWEEPS.items()}
    if rivals:
        makers["PyTorch, eager"] = functools.partial(rival, "torch", rivals)
        makers[JAX] = functools.partial(rival, "jax", rivals)
    makers[FLOOR] = blas
    numbers = {name: n for n, name in SWEEPS.items()}
    entered = {}
    for name, make in makers.items():
        start = time.perf_counter()
        made = make(*sizes)
        if made is None:
            print(f"{name} is left out: it cannot be imported by {rivals}.")
            continue
        run, epochs = made
        run(epochs(1))
        entered[name] = run, epochs, numbers.get(name, 1), time.perf_counter() - start
    return entered


def timed(run, epochs, steps, number):
    start = time.perf_counter()
    told = run(epochs)  # a rival holds its own watch
    return told or (time.perf_counter() - start) / (epochs * steps * number) * 1e6


def measure(sizes, rivals, rounds, seconds):
    steps = -(-sizes[-1] // sizes[-2])
    entered, plan = contestants(sizes, rivals), {}
    for name, (run, epochs, number, _) in entered.items():
        once = timed(run, epochs(1), steps, number)
        plan[name] = epochs(seconds * 1e6 / (once * number))
    times = {name: [] for name in entered}
    for _ in range(rounds):
        for name, (run, _, number, _) in entered.items():
            times[name].append(timed(run, plan[name], steps, number))
    return times, {name: entry[3] for name, entry in entered.items()}


def median_ratio(times, a, b):
    return statistics.median(p / q for p, q in zip(times[a], times[b], strict=True))


def machine():
    try:
        names = [s for s in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in s]
        cpu = names[0].split(":")[1].strip()
    except (OSError, IndexError):
        cpu = platform.processor() or platform.machine()
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    versions = {"python": platform.python_version(), "tensorflow": tf.__version__}
    versions |= {"keras": keras.__version__, "numpy": np.__version__} | VERSIONS
    return {"cpu": cpu, "cores": os.cpu_count(), "gpus": gpus, "versions": versions}


def goals(results):
    """Lines (what, goal, measured, whether met) for each case."""
    lines = []
    for what, against, wanted, words in GOALS:
        for (case, times), goal in zip(results.items(), wanted, strict=True):
            if what not in times or against not in times:
                continue
            faster = words == "times faster than"
            ratio = median_ratio(times, *((against, what) if faster else (what, against)))
            met = ratio >= goal if faster else ratio <= goal
            lines.append((case, f"{what}, {words} {against}", goal, ratio, met))
    return lines


def tables(results, compiling, where):
    """Markdown: how long each takes, and the goals."""
    gpus = ", ".join(where["gpus"]) or "no GPU"
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    text = [
        f"Measured on {where['cpu']}, {where['cores']} cores, {gpus}; {versions}. Microseconds per "
        f"replicate and step: median of {where['rounds']} interleaved rounds (least to most).",
        "",
        "| | " + " | ".join(f"{case} | compiling, s" for case in results) + " |",
        "|---|" + "--:|" * 2 * len(results),
    ]
    for name in max(results.values(), key=len):
        row = [name]
        for case, times in results.items():
            t = times.get(name)
            row.append(f"{figure(statistics.median(t))} ({spread(t)})" if t else "")
            row.append(f"{compiling[case][name]:.0f}" if name in OURS and t else "")
        text.append("| " + " | ".join(row) + " |")
    heads = " | ".join(f"{case}: goal | measured" for case in results)
    text += ["", f"| Within a round | {heads} |", "|---|" + "--:|" * 2 * len(results)]
    for words, lines in itertools.groupby(goals(results), key=lambda line: line[1]):
        cells = (f"{goal:g} | {r:.2f}{'' if met else ' (missed)'}" for *_, goal, r, met in lines)
        text.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def spread(times):
    return f"{figure(min(times))} to {figure(max(times))}"


def figure(value):
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.1f}"


def plot(results):
    """A panel a case: the median of each contestant, over a bar from least to most."""
    figures.style()
    names = list(max(results.values(), key=len))[::-1]
    fig, axes = plt.subplots(1, len(results), figsize=(9, 3.6), sharey=True, layout="constrained")
    for ax, (case, times) in zip(axes, results.items(), strict=True):
        for y, name in enumerate(names):
            if name in times:
                draw(ax, y, times[name], ours=name in OURS)
        ax.set(xscale="log", title=case, xlabel="µs per replicate and step")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_yticks(range(len(names)), [name.replace("`", "") for name in names])
        ax.margins(x=0.12, y=0.1)
    fig.savefig(PICTURE, dpi=150, metadata={"Software": None})


def draw(ax, y, times, ours):
    median, colour = statistics.median(times), "#0072B2" if ours else "black"
    ax.plot([min(times), max(times)], [y, y], color=colour, linewidth=3, alpha=0.3)
    ax.plot(median, y, "o" if ours else "s", color=colour)
    place = dict(xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
    ax.annotate(figure(median), (median, y), **place)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rivals", help="a Python that may have PyTorch and JAX")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.4, help="for each contestant and round")
    arguments = parser.parse_args()
    rivals = arguments.rivals if arguments.rivals and Path(arguments.rivals).exists() else None
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0
    if busy > 0.5:
        print(f"The machine is busy (load {busy:.1f}): ratios hold better than times.")
    results, compiling = {}, {}
    for case, sizes in CASES.items():
        print(f"{case} ...", flush=True)
        results[case], compiling[case] = measure(sizes, rivals, arguments.rounds, arguments.seconds)
    where = machine() | {"rounds": arguments.rounds}
    text = tables(results, compiling, where)
    print(text)
    stored = {"machine": where, "microseconds": results, "seconds_to_compile": compiling}
    (FOLDER / "results.json").write_text(json.dumps(stored, indent=1) + "\n")
    (FOLDER / "results.md").write_text(text)
    plot(results)


if __name__ == "__main__":
    main()
