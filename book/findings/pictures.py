"""The picture and the numbers of each finding's page, from one broken model and its repair.

``python book/findings/pictures.py`` measures all pairs, draws ``_pictures/*.png``, writes
``measured.json`` and puts its numbers into the pages, wherever one says
``[0]{.measured-name}``. Names of findings as arguments do these only.
"""

import dataclasses
import json
import math
import re
import sys
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from scipy.special import expit, logit

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[1] / "tests" / "clinic")]

import broken as clinic

from vae_notes import Objective, checks, data, diagnose, theory
from vae_notes.figures._shared import COLOURS, GREY, INK, STYLE

PICTURES, NUMBERS = HERE / "_pictures", HERE / "measured.json"
BLUE, RED, GREEN = COLOURS[:3]
DIGITS = ("digits", 8, 0.05)
PAIRS = {}


@dataclasses.dataclass
class Pair:
    """What is handed to ``diagnose``, broken and repaired, and the picture between both."""

    broken: dict
    repaired: dict
    middle: object  # a function of axes and both reports
    above: bool = False  # data differ: nats above no code compare, ELBOs do not
    factor: float = 1.0  # by which the data of the broken model are too large
    numbers: dict = dataclasses.field(default_factory=dict)
    other_mode: bool = False  # whether in training mode the broken model is the repaired one


def pair(name):
    """Register the function that builds the pair of a finding."""

    def add(build):
        PAIRS[name] = build
        return build

    return add


def case(name):
    """Arguments of a case of the clinic."""
    (found,) = (of for of in clinic.CASES if of.name == name)
    return found.build()


def linear(name, latent_dim, noise_variance):
    """Arguments of the linear VAE at its optimum."""
    x = clinic.sample(name)
    return clinic.given(clinic.Linear(x, latent_dim, noise_variance), x, noise_variance)


# The middle of a picture


def by_unit(ax, found, title):
    for values, (label, colour, marker) in zip(
        found, (("this model", RED, "s"), ("repaired", BLUE, "o")), strict=True
    ):
        ax.plot(np.arange(1, len(values) + 1), values, marker, color=colour, label=label)
    ax.set(xlabel="unit", title=title)


def moments(ax, broken, repaired):
    found = [report.measured.second_moment for report in (broken, repaired)]
    by_unit(ax, found, "Second moment of each unit")
    ax.axhline(1, color=INK, linewidth=1)
    if max(found[0]) > 5:
        ax.set_yscale("log")


def movement(ax, broken, repaired):
    found = [np.sort(report.z_mean_variance)[::-1] for report in (broken, repaired)]
    by_unit(ax, found, "Variance of z_mean, by unit")
    ax.set(ylim=(-0.05, 1.5))


def spectrum(ax, broken, repaired):
    seen = broken.measured
    largest = theory.spectrum(seen.x, leading=10).leading[:10]
    ax.plot(np.arange(1, len(largest) + 1), largest, "o", color=BLUE, label="eigenvalue")
    critical = seen.objective.likelihood.critical_variance(seen.beta)
    ax.axhline(critical, color=RED, linestyle="--", label="price: noise variance")
    highest = 1.5 * max(critical, largest[0])
    ax.set(xlabel="direction", title="Variance of the data", ylim=(0, highest))


def curves(title, xlabel="epoch", yscale="linear", **series):
    def draw(ax, broken, repaired):
        for k, (label, values) in enumerate(series.items()):
            colour, line = ((RED, "-"), (BLUE, "--"), (INK, ":"))[k]
            ax.plot(values, line, color=colour, label=label.replace("_", " "))
        ax.set(xlabel=xlabel, title=title, yscale=yscale)

    return draw


def histogram(title, of, log=True):
    """``of`` gives arrays by label; the first is grey and filled, what it should be like."""

    def draw(ax, broken, repaired):
        arrays = of(broken, repaired)
        values = np.concatenate([np.ravel(a) for a in arrays.values()])
        bins = np.linspace(values.min(), values.max() + 1e-9, 31)
        looks = ({"color": "#BDBDBD", "histtype": "stepfilled"}, {"color": RED}, {"color": BLUE})
        for (label, array), look in zip(arrays.items(), looks, strict=False):
            look = {"histtype": "step", "linewidth": 1.6, **look}
            ax.hist(np.ravel(array), bins, density=True, label=label, **look)
        ax.set(title=title, yticks=[])
        if log:
            ax.set_yscale("log")
            ax.tick_params(axis="y", which="both", left=False, labelleft=False)

    return draw


def bars(title, of):
    def draw(ax, broken, repaired):
        found = of(broken, repaired)
        look = zip((RED, BLUE, "#BDBDBD"), ("", "//", ""), strict=True)
        for k, ((label, value), (colour, hatch)) in enumerate(
            zip(found.items(), look, strict=False)
        ):
            ax.barh(k, value, 0.6, color=colour, hatch=hatch, edgecolor="white")
            ax.text(0, k - 0.34, label, va="bottom", fontsize=8)
        ax.set(yticks=[], title=title, ylim=(len(found) - 0.5, -0.7))

    return draw


def log_variances(broken, repaired):
    return {"repaired": repaired.measured.z_log_var, "this model": broken.measured.z_log_var}


def outputs(broken, repaired):
    return {"data": broken.measured.x, "this model": broken.measured.decoded.output}


def errors(broken, repaired):
    seen = broken.measured
    without = np.square(seen.x - seen.x.mean(axis=0)).sum(axis=1)
    decoded = seen.decoded
    return {
        "with its own code": decoded.error.mean(),
        "with another row's code": decoded.error_permuted.mean(),
        "mean of the data": without.mean(),
    }


# Linear VAEs that gradient descent leaves somewhere


class Descended:
    """A linear VAE after some steps of gradient descent, with the loss all along."""

    def __init__(self, x, latent_dim, noise_variance, rate, steps, seed=0):
        random = np.random.default_rng(seed)
        self.mean = x.mean(axis=0)
        covariance = np.cov(x.T, ddof=0)
        size = 0.1 / math.sqrt(len(covariance))
        into = size * random.standard_normal((len(covariance), latent_dim))
        back = size * random.standard_normal((latent_dim, len(covariance)))
        log_var, self.loss = np.zeros(latent_dim), []
        for step in range(steps):
            rest = covariance @ (np.eye(len(covariance)) - into @ back)
            variance, spread = np.exp(log_var), covariance @ into
            error = np.trace(rest - back.T @ (into.T @ rest)) + variance @ np.square(back).sum(1)
            kl = 0.5 * ((into * spread).sum() + (variance - 1 - log_var).sum())
            self.loss.append(error / (2 * noise_variance) + kl)
            if step == steps - 1:
                break
            into_slope = spread - rest @ back.T / noise_variance
            back_slope = (variance[:, None] * back - into.T @ rest) / noise_variance
            price = np.square(back).sum(1) / noise_variance
            log_var_slope = 0.5 * (variance - 1 + variance * price)
            into, back = into - rate * into_slope, back - rate * back_slope
            log_var = log_var - rate * log_var_slope
        self.into, self.back, self.log_var = into, back, log_var

    def encode(self, x):
        z_mean = (x - self.mean) @ self.into
        return z_mean, np.broadcast_to(self.log_var, z_mean.shape)

    def decode(self, z):
        return z @ self.back + self.mean


def descended(rate, steps, name="digits", latent_dim=8, noise_variance=0.05):
    x = clinic.sample(name)
    model = Descended(x, latent_dim, noise_variance, rate, steps)
    return clinic.given(model, x, noise_variance, history={"loss": model.loss})


# A pair for each finding, in the order of CHECKS


@pair("no number")
def _():
    return Pair(
        case("an exploded log variance infinite"),
        linear("digits", 4, 0.05),
        histogram("Log-variance", log_variances, log=False),
    )


@pair("data on another scale")
def _():
    return Pair(
        case("scaled otherwise never"),
        linear("mnist14", 16, 0.02),
        histogram("Values", outputs),
        factor=255,
    )


@pair("probabilities where logits are wanted")
def _():
    x = clinic.sample("digits")
    model = clinic.Linear(logit(0.05 + 0.9 * x), 8, 6.0)
    encode, decode = lambda x: model.encode(logit(0.05 + 0.9 * x)), model.decode
    repaired = {"model_or_encode": encode, "decode": decode, "x": x, "objective": "bernoulli"}

    def means(broken, repaired):
        return {
            "repaired": expit(repaired.measured.decoded.output),
            "this model": expit(broken.measured.decoded.output),
        }

    return Pair(
        {**repaired, "decode": lambda z: expit(decode(z))},
        repaired,
        histogram("Probability that is compared", means),
    )


@pair("logits where means are wanted")
def _():
    broken = case("logits for means digits")
    repaired = {**broken, "decode": lambda z: expit(broken["decode"](z))}
    return Pair(broken, repaired, histogram("Values", outputs))


@pair("used in training mode")
def _():
    x, (latent_dim, noise_variance) = clinic.sample("digits"), DIGITS[1:]
    mean, std = x.mean(axis=0), x.std(axis=0) + 0.1
    model = clinic.Linear(x, latent_dim, noise_variance)
    kept = 0.99**50  # of the first values of the moving averages, after so many batches
    moving_mean, moving_std = ((1 - kept) * mean, np.sqrt(kept + (1 - kept) * std**2))

    def encode(x):  # what the layer gives in use, on the scale that the encoder knows
        return model.encode((x - moving_mean) / moving_std * std + mean)

    repaired = linear(*DIGITS)
    return Pair({**repaired, "model_or_encode": encode}, repaired, moments, other_mode=True)


@pair("KL weight is not the objective's")
def _():
    broken = case("a weight in force warming")
    draw = curves("KL weight", in_force=broken["history"]["kl_weight"], objective=np.ones(40))
    return Pair(broken, linear("digits", 8, 0.5), draw)


@pair("log-variance is not one")
def _():
    return Pair(case("another width log sigma digits"), linear(*DIGITS), moments)


@pair("a head that cannot be negative")
def _():
    return Pair(
        case("a softplus on the log variance softplus"),
        linear(*DIGITS),
        histogram("Log-variance", log_variances),
    )


@pair("data out of the decoder's reach")
def _():
    return Pair(
        case("an activation at the end tanh wine"),
        linear("wine", 4, 0.2),
        histogram("Values", outputs),
    )


@pair("the decoder sees more than the code")
def _():
    broken = case("a skip connection digits")
    x = broken["x"]
    repaired = clinic.given(clinic.Linear(x, 8, 0.05), x, 0.05)
    return Pair(broken, repaired, bars("Squared error of a row", errors))


@pair("the decoder ignores the code")
def _():
    return Pair(
        case("a deaf decoder digits"), linear(*DIGITS), bars("Squared error of a row", errors)
    )


@pair("trained without noise")
def _():
    return Pair(case("the mean decoded digits"), linear(*DIGITS), moments)


@pair("far from the prior")
def _():
    return Pair(case("no kl term digits"), linear(*DIGITS), moments)


@pair("collapsed because the objective asked for it")
def _():
    repaired = linear(*DIGITS) | {"objective": Objective("sum", "sum", kl_weight=0.1)}
    return Pair(case("mean and mean digits"), repaired, spectrum)


@pair("collapsed into a local optimum")
def _():
    broken = case("clusters that no direction shows clusters")
    centres = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 20)))[0].T
    angle, rank = (np.arange(20) * math.pi * (3 - math.sqrt(5)), (np.arange(20) + 0.5) / 20)
    radius, width = np.sqrt(-2 * np.log1p(-rank)), 0.2
    places = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def encode(x):
        z_mean = places[(x @ centres.T).argmax(axis=1)]
        return z_mean, np.full(z_mean.shape, 2 * math.log(width))

    def decode(z):
        distance = np.square(z[:, None] - places).sum(axis=2) / (2 * width**2)
        near = np.exp(distance.min(axis=1, keepdims=True) - distance)
        return near / near.sum(axis=1, keepdims=True) @ centres

    return Pair(broken, {**broken, "model_or_encode": encode, "decode": decode}, spectrum)


@pair("collapsed although the objective did not ask for it")
def _():
    return Pair(case("training digits"), linear(*DIGITS), spectrum)


@pair("collapsed, cause unknown")
def _():
    broken = case("without an objective digits")
    moving = bars(
        "Variance of the posterior mean",
        lambda broken, repaired: {
            "this model": broken.z_mean_variance.sum(),
            "repaired": repaired.z_mean_variance.sum(),
        },
    )
    return Pair(broken, linear("digits", 4, 0.05), moving)


@pair("trained on another objective")
def _():
    broken = case("judged by another objective smaller")
    return Pair(
        broken,
        {**broken, "objective": Objective.for_noise_variance(0.02)},
        histogram("Log-variance", lambda broken, repaired: {
            "best at the objective given": theory.optimal_parameters(
                broken.measured.x, 8, broken.noise_variance
            ).z_log_var,
            "this model": broken.measured.z_log_var,
        }, log=False),
    )  # fmt: skip


@pair("partly collapsed")
def _():
    return Pair(case("one unit of many digits"), linear(*DIGITS), movement)


@pair("training was unstable")
def _():
    loss = descended(0.06, 40)["history"]["loss"]
    steps = next(k for k, value in enumerate(loss) if value > 10 * loss[0])
    broken, repaired = descended(0.06, steps + 1), descended(0.006, 3000)
    draw = curves(
        "Loss",
        "step",
        "log",
        this_model=broken["history"]["loss"],
        a_tenth_of_the_rate=repaired["history"]["loss"][:100],
    )
    return Pair(broken, repaired, draw)


@pair("overfitted")
def _():
    broken = case("learnt by heart digits")
    few = broken["x_train"]
    repaired = clinic.given(clinic.Linear(few, 40, 0.02), broken["x"], 0.02, x_train=few)

    def gains(broken, repaired):
        seen = broken.measured
        without = seen.objective.likelihood.baseline_rows(seen.x_train, seen.beta)
        return {
            "rows of training": seen.elbo_train.mean() - without.mean(),
            "new rows": seen.gain[0],
        }

    return Pair(broken, repaired, bars("Nats gained over no code", gains))


@pair("impossible bound")
def _():
    broken = case("a kl below zero sampled")
    draw = curves("What the history calls KL", KL=broken["history"]["kl"], least=np.zeros(20))
    return Pair(broken, linear(*DIGITS), draw)


@pair("worse than no code")
def _():
    return Pair(case("never trained digits"), linear(*DIGITS), histogram("Values", outputs))


@pair("far below a linear VAE")
def _():
    return Pair(case("a code that says little digits"), linear(*DIGITS), movement)


@pair("good reconstructions, bad samples")
def _():
    def spreads(broken, repaired):
        decoded = broken.measured.decoded
        found = {"from codes": decoded.output, "from the prior": decoded.prior}
        return {label: output.var(axis=0).sum() for label, output in found.items()}

    broken = case("a decoder that knows its codes only digits")
    x = broken["x"]
    repaired = clinic.given(clinic.Linear(x, 8, 0.05), x, 0.05)
    return Pair(broken, repaired, bars("Variance of what is decoded", spreads))


@pair("below a linear VAE")
def _():
    broken, repaired = descended(0.03, 140), descended(0.03, 3000)
    draw = curves("Loss", "step", this_model=broken["history"]["loss"],
                  trained_on=repaired["history"]["loss"][:600])  # fmt: skip
    return Pair(broken, repaired, draw)


@pair("still improving")
def _():
    broken, repaired = descended(0.03, 100), descended(0.03, 3000)
    draw = curves("Loss", "step", this_model=broken["history"]["loss"],
                  trained_on=repaired["history"]["loss"][:600])  # fmt: skip
    return Pair(broken, repaired, draw)


@pair("clamped log-variance")
def _():
    repaired = linear("digits", 8, 0.01)
    encode = repaired["model_or_encode"]

    def clipped(x):
        z_mean, z_log_var = encode(x)
        return z_mean, np.maximum(z_log_var + 0.05 * z_mean, -3)

    broken = {**repaired, "model_or_encode": clipped}
    return Pair(broken, repaired, histogram("Log-variance", log_variances))


@pair("too few rows for the spectrum")
def _():
    random = np.random.default_rng(0)
    few, others = math.sqrt(0.3) * random.standard_normal((2, 400, 200))
    model = clinic.Linear(few, 8, 0.5)
    largest = theory.spectrum(few, leading=200).leading
    held_out = theory.held_out_spectrum(few, 200).leading

    def draw(ax, broken, repaired):
        ax.plot(largest[:120], "-", color=RED, label="of these rows")
        ax.plot(held_out[:120], "--", color=BLUE, label="on rows held out")
        ax.axhline(0.5, color=INK, linewidth=1)
        ax.set(xlabel="direction", title="Variance (the line: its price)")

    return Pair(
        clinic.given(model, few, 0.5),
        clinic.given(model, others, 0.5, x_train=few),
        draw,
        numbers={
            "above_price": int((largest > 0.5).sum()),
            "above_price_held_out": int((held_out > 0.5).sum()),
            "true_variance": 0.3,
        },
    )


@pair("constant columns")
def _():
    x = clinic.sample("digits")
    x = x[:, np.ptp(x, axis=0) > 0]
    framed = np.hstack([x, np.zeros((len(x), 128 - x.shape[1]))])
    objective = Objective("mean", "sum", kl_weight=0.1 / x.shape[1])
    broken, repaired = (
        clinic.given(clinic.Linear(of, 8, objective.noise_variance(of.shape[1], 8)), of, 1.0,
                    objective=objective)
        for of in (framed, x)
    )  # fmt: skip
    return Pair(
        broken,
        repaired,
        histogram("Variance of a column", lambda broken, repaired: {
            "varies": repaired.measured.x.var(axis=0), "all": broken.measured.x.var(axis=0)}),
        above=True,
        numbers={"columns": 128, "constant": 128 - x.shape[1]},
    )  # fmt: skip


@pair("kinds taken for numbers")
def _():
    random = np.random.default_rng(0)
    kind = random.integers(0, 5, 1000)
    size = np.array([0.0, 3.0, 0.0, 3.0, 0.0])[kind] + random.standard_normal(1000)
    numbers = np.column_stack([kind, size])
    columns = np.column_stack([np.eye(5)[kind], size])
    broken, repaired = (clinic.given(clinic.Linear(of, 4, 0.2), of, 0.2)
                        for of in (numbers, columns))  # fmt: skip

    def draw(ax, broken, repaired):
        ax.plot(kind + random.uniform(-0.15, 0.15, 1000), size, ".", color=BLUE, markersize=2)
        slope = np.polyfit(kind, size, 1)
        ax.plot([0, 4], np.polyval(slope, [0, 4]), "-", color=RED, label="best line")
        ax.set(xlabel="kind, as a number", title="Size of each kind")

    def explained(columns):
        columns = np.column_stack([np.ones(1000), columns])
        rest = size - columns @ np.linalg.lstsq(columns, size, rcond=None)[0]
        return 1 - rest.var() / size.var()

    return Pair(broken, repaired, draw, above=True, numbers={
        "explained_as_number": explained(kind), "explained_as_columns": explained(np.eye(5)[kind])
    })  # fmt: skip


@pair("padded sequences")
def _():
    random = np.random.default_rng(0)
    lengths = random.integers(12, 49, 600)
    waves = np.sin(np.arange(48) / 4 + random.uniform(0, 6.3, (600, 1)))
    padded = np.where(np.arange(48) < lengths[:, None], waves, 0.0)
    cut = waves[:, :12]
    broken, repaired = (clinic.given(clinic.Linear(of, 8, 0.05), of, 0.05)
                        for of in (padded, cut))  # fmt: skip

    def draw(ax, broken, repaired):
        for k in range(3):
            ax.plot(padded[k] + 2.6 * k, color=(RED, BLUE, GREEN)[k])
        ax.set(xlabel="position", yticks=[], title="Three rows")

    return Pair(broken, repaired, draw, above=True,
                numbers={"padded_share": data.describe(padded).padding})  # fmt: skip


@pair("data never scaled")
def _():
    x = clinic.sample("digits")
    return Pair(
        clinic.given(clinic.Linear(255 * x, 8, 0.5), 255 * x, 0.5),
        linear("digits", 8, 0.5),
        histogram("Values", lambda broken, repaired: {"repaired": repaired.measured.x,
                                                      "these data": broken.measured.x}),
        factor=255,
    )  # fmt: skip


# Measured and drawn


def measure(check):
    """The pair of a finding, both reports, and its numbers."""
    built = PAIRS[check.name]()
    broken, repaired = (diagnosed(of) for of in (built.broken, built.repaired))
    if built.other_mode:  # which diagnose sees of Keras and PyTorch only
        broken.measured = dataclasses.replace(broken.measured, elbo_flipped=repaired.elbo)
    found = check.finding(broken.measured)
    if found is None:
        raise SystemExit(f"{check.name}: not found in its own example.")
    if check.finding(repaired.measured) is not None:
        raise SystemExit(f"{check.name}: found in the repaired model, too.")
    numbers = {"threshold": check.threshold, **built.numbers}
    nats = broken.data_dim * math.log(built.factor)  # log p of data in other units
    for key, report in {"": broken, "_repaired": repaired}.items():
        seen = report.measured
        numbers |= {
            f"elbo{key}": plus(report.elbo, nats),
            f"no_code{key}": plus(report.baseline, nats),
            f"linear{key}": plus(report.linear_elbo, nats),
            f"gain{key}": None if seen.gain is None else seen.gain[0],
            f"kl{key}": report.kl,
            f"carried{key}": seen.carried,
            f"noise_variance{key}": seen.noise_variance,
        }
        if seen.predicted is not None:
            numbers[f"kl_linear{key}"] = seen.predicted.kl
            numbers[f"linear_gain{key}"] = seen.linear_gain[0]
        nats = 0.0
    if broken.elbo is not None and math.isfinite(broken.elbo):
        numbers["worth"] = numbers["elbo_repaired"] - numbers["elbo"]
        numbers["worth_above"] = numbers["gain_repaired"] - numbers["gain"]
        for key in ("", "_repaired"):
            seen = repaired if key else broken
            numbers[f"gain_per_value{key}"] = numbers[f"gain{key}"] / seen.data_dim
    numbers |= {re.sub(r"\W+", "_", k).strip("_"): v for k, v in found.evidence.items()}
    return (built, broken, repaired, {k: rounded(v) for k, v in sorted(numbers.items())})


def diagnosed(arguments):
    arguments = dict(arguments)
    return diagnose(arguments.pop("model_or_encode"), arguments.pop("x"), **arguments)


def plus(value, nats):
    return None if value is None else value + nats


def rounded(value):
    """Five digits: what no machine computes otherwise; None for what is no number."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.5g}")


def text(value):
    """A number as the pages print it."""
    if value is None:
        return "no number"
    size = abs(value)
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    if size < 0.1:
        return f"{value:.2g}"
    return f"{value:g}" if round(value, 2) == value else f"{value:.2f}"


def draw(path, built, broken, repaired, numbers):
    with matplotlib.rc_context(STYLE | {
        "font.size": 8, "axes.titlesize": 8.5, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5,
        "legend.fontsize": 7, "axes.titlepad": 5, "lines.markersize": 4,
        "lines.linewidth": 1.5, "legend.handlelength": 1.8,
    }):  # fmt: skip
        figure, (left, middle, right) = plt.subplots(
            1, 3, figsize=(7, 2.2), dpi=200, gridspec_kw={"width_ratios": (1, 1.05, 1.15)}
        )
        units(left, broken, repaired)
        built.middle(middle, broken, repaired)
        middle.legend(loc="best", borderpad=0.2) if middle.get_legend_handles_labels()[0] else None
        ladder(right, numbers, built.above, built.factor != 1)
        figure.canvas.draw()
        pixels = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
        plt.close(figure)
    pixels.quantize(48).save(path, optimize=True)


def units(ax, broken, repaired):
    found = np.minimum(np.sort(broken.kl_per_unit)[::-1], 1e6)  # it may be infinite
    place = np.arange(1, len(found) + 1)
    ax.bar(place, found, 0.75, color=RED, label="this model")
    law = broken.predicted_kl_per_unit
    label = "linear VAE"
    if law is None:
        law, label = np.sort(repaired.kl_per_unit)[::-1], "repaired"
    law = np.resize(np.append(law, np.zeros(len(found))), len(found))
    ax.hlines(law, place - 0.45, place + 0.45, color=INK, linewidth=1.6, label=label)
    highest = max(found.max(), law.max())
    if highest > 30 * max(law.max(), 0.01) and highest > 1:
        ax.set_yscale("symlog", linthresh=1)
    ax.set(xlabel="unit, sorted", title="KL of each unit, nats", ylim=(0, max(1.4 * highest, 0.1)))
    ax.legend(loc="best", borderpad=0.2)


def ladder(ax, numbers, above, other_units):
    """The ELBO of four models from top to bottom, best to the right."""
    if above:
        rows = {"no code": 0.0, "this model": numbers["gain"],
                "linear VAE": numbers.get("linear_gain_repaired"),
                "repaired": numbers["gain_repaired"]}  # fmt: skip
    else:
        known = numbers.get("no_code") is not None and not other_units
        of = "" if known else "_repaired"
        rows = {"no code": numbers[f"no_code{of}"], "this model": numbers["elbo"],
                "linear VAE": numbers.get(f"linear{of}"),
                "repaired": numbers["elbo_repaired"]}  # fmt: skip
    rows = {k: v for k, v in rows.items() if v is not None or k == "this model"}
    others = [v for k, v in rows.items() if k != "this model"]
    span = max(max(others) - min(others), 1e-3)
    edge = min(others) - 0.6 * span
    for k, (name, value) in enumerate(rows.items()):
        colour = {"this model": RED, "repaired": BLUE}.get(name, GREY)
        marker = {"this model": "s", "repaired": "o"}.get(name, "|")
        at, words = value, text(value)
        if value is None or value < min(others) - 5 * span:
            at, marker = edge, "<"
        elif value is not None and value < edge:
            edge = value
        ax.plot(at, k, marker, color=colour, markersize=6, markeredgewidth=1.6)
        ax.annotate(words, (at, k), (0, 5), textcoords="offset points", ha="center", fontsize=7)
    ax.set(yticks=range(len(rows)), ylim=(len(rows) - 0.5, -0.8),
           title="Nats above no code" if above else "ELBO, nats")  # fmt: skip
    ax.set_yticklabels(rows)
    ax.margins(x=0.22)
    ax.grid(axis="y", visible=False)
    ax.locator_params(axis="x", nbins=4)


MARK = re.compile(r"\[([^\]\n]*)\]\{\.measured-(\w+)\}")


def fill(page, numbers):
    """A page with its numbers."""
    return MARK.sub(lambda m: f"[{text(numbers[m[2]])}]{{.measured-{m[2]}}}", page)


def main(names):
    warnings.simplefilter("ignore")  # extreme numbers are what several are about
    PICTURES.mkdir(exist_ok=True)
    stored = json.loads(NUMBERS.read_text()) if NUMBERS.exists() else {}
    for check in checks.CHECKS:
        if names and check.name not in names:
            continue
        slug = check.page.rpartition("/")[2]
        built, broken, repaired, numbers = measure(check)
        draw(PICTURES / f"{slug}.png", built, broken, repaired, numbers)
        stored[slug] = numbers
        if (page := HERE / f"{slug}.md").exists():
            page.write_text(fill(page.read_text(encoding="utf-8"), numbers), encoding="utf-8")
    NUMBERS.write_text(json.dumps(dict(sorted(stored.items())), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
