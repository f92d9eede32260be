"""The exercises of chapters 5 to 7: usual mistakes are refused, each with its own sentence."""

import functools
import re
import subprocess
import sys

import numpy as np
import pytest

from vae_notes import Objective, claims, data, exercises, schedules, theory
from vae_notes._keras import keras
from vae_notes.exercises import annealing, porting, your_data

JUDGES = annealing.EXERCISES | porting.EXERCISES | your_data.EXERCISES
NAN = float("nan")


def later(make):
    """Mark an answer that is made when its test runs."""
    make.later = True
    return make


def resolve(answer):
    if isinstance(answer, tuple):
        return tuple(resolve(part) for part in answer)
    return answer() if getattr(answer, "later", False) else answer


def said(number, answer, capsys):
    exercises.check(number, resolve(answer))
    return capsys.readouterr().out.strip()


# Chapter 5


def early_stopping(monitor="val_elbo", **options):
    options = {"mode": "max", "patience": 10, "start_from_epoch": 45} | options
    return later(lambda: keras.callbacks.EarlyStopping(monitor, **options))


def cycles(start, period=18, late=0):
    weight = schedules.cyclical(period)
    return lambda epoch: np.where(epoch < start, 0.0, weight(np.maximum(epoch - start - late, 0)))


HEAD_START = cycles(24)
DEEP = (16, 16, 16, 16)


@functools.cache
def untrained(data_dim, latent_dim, hidden, spread):
    """Weights of a VAE whose posterior means vary by a factor `spread`, as a sweep keeps them."""
    from vae_notes.networks import dense
    from vae_notes.replicates import KINDS

    encoder, decoder = dense(data_dim, latent_dim, hidden)
    kernel = encoder.trainable_variables[-4]
    kernel.assign(spread * np.ones(kernel.shape))
    return [[v.numpy() for half in (encoder, decoder) for v in getattr(half, k)] for k in KINDS]


def runs(recipe, epochs, x, latent_dim, hidden, spread=10.0, seeds=8, trained=None):
    """What a sweep would give back, had it trained."""
    from vae_notes.networks import dense
    from vae_notes.runs import Runs

    build = functools.partial(dense, x.shape[1], latent_dim, hidden)
    keys = [(recipe.name, seed) for seed in range(seeds)]
    means = {key: np.ones((epochs, 4)) for key in keys}
    weights = trained or untrained(x.shape[1], latent_dim, hidden, spread)
    weights = dict.fromkeys(keys, weights)
    return Runs(build, [recipe], range(seeds), x, means, weights)


def rescue(schedule=HEAD_START, objective=None, epochs=60, latent_dim=8, hidden=DEEP, **options):
    def make():
        from vae_notes.sweep import Recipe

        recipe = Recipe("own", objective or Objective(), schedule, 1e-3)
        return runs(recipe, epochs, data.digits()[:40], latent_dim, hidden, **options)

    return later(make)


# Chapter 6


def log(weights, names=("loss", "decoder_loss", "latent_kl_term")):
    weights = np.asarray(weights, float)
    return dict(zip(names, (4.0 + 3.0 * weights, 0 * weights + 4, 0 * weights + 3), strict=True))


def script(objective=None, hidden=(64,), latent_dim=8):
    def make():
        from vae_notes.model import VAE
        from vae_notes.networks import dense

        return VAE(*dense(64, latent_dim, hidden), objective)

    return later(make)


def ported(schedule, epochs=10):
    return log(schedule(np.arange(epochs)), ("loss", "reconstruction", "kl"))


INTENDED = schedules.linear(1, 4)(np.arange(6))
PORTED = ported(schedules.linear(4, 4))


# Chapter 7


@later
def fitted():
    from vae_notes.model import VAE
    from vae_notes.networks import dense

    return VAE(*dense(30, 8, hidden=()))


def shares(vae=fitted, part="test", unexplained=False):
    def make():
        x = your_data.rows()[part]
        ratio = ((resolve(vae).reconstruct(x) - x) ** 2).mean(axis=0) / x.var(axis=0)
        return ratio if unexplained else 1 - ratio

    return later(make)


def samples(noise=1.0, exponential=True, scaled=True, count=500):
    """Samples of the best linear VAE of the logarithms."""

    def make():
        logs = np.log(your_data.rows()["raw train"].astype(float) + 0.001)
        mean, scale = logs.mean(axis=0), logs.std(axis=0)
        x = (logs - mean) / scale
        variance = theory.maximum_likelihood_noise_variance(x, 8)
        best, rng = theory.optimal_parameters(x, 8, variance), np.random.default_rng(0)
        drawn = rng.standard_normal((count, 8)) @ best.decoder_weights
        drawn = drawn + noise * np.sqrt(variance) * rng.standard_normal(drawn.shape)
        drawn = drawn * scale + mean if scaled else drawn
        return np.exp(drawn) - 0.001 if exponential else drawn

    return later(make)


def small():
    return theory.maximum_likelihood_noise_variance(your_data.rows()["train"], 16)


def best_linear(latent_dim):
    """Weights of the best linear VAE, but for a decoder that is off by a little."""
    best = theory.optimal_parameters(your_data.rows()["train"], latent_dim, small())
    encoder = best.encoder_weights, best.encoder_bias, 0 * best.encoder_weights, best.z_log_var
    decoder = best.decoder_weights, best.decoder_bias + 0.1
    return [[np.asarray(w, np.float32) for w in (*encoder, *decoder)], []]


def wide(objective=None, part="valid", latent_dim=16, **options):
    def make():
        from vae_notes.sweep import Recipe

        chosen = objective() if objective else Objective.for_noise_variance(small())
        x = your_data.rows()[part].astype(np.float32)
        recipe = Recipe("16 units", chosen, learning_rate=1e-3)
        trained = best_linear(latent_dim)
        return runs(recipe, 3, x, latent_dim, (), trained=trained, **options)

    return later(make)


def behind(sign=1, part="valid"):
    def make():
        rows, runs = your_data.rows(), resolve(wide())
        best = theory.optimal_parameters(rows["train"], 16, small())
        parameters = best.decoder_weights, best.decoder_bias, small()
        linear = theory.log_marginal_likelihood(rows[part], *parameters).mean()
        return sign * (linear - runs.elbo["16 units"])

    return later(make)


def kept(which="train", variance=1.5):
    return later(lambda: theory.active_units(your_data.rows()[which], variance, 8))


RIGHT = {
    "5.1": [(0.25, 0.2), [0.25, np.float32(0.2)]],
    "5.2": [39, 39.0, np.array(39)],
    "5.3": [early_stopping(), early_stopping(restore_best_weights=True, start_from_epoch=50)],
    "5.4": [HEAD_START],
    "5.5": [rescue(), rescue(schedules.cosine(20, 20), epochs=50)],
    "6.1": [lambda x, x_mean: keras.ops.mean((x - x_mean) ** 2, axis=-1)],
    "6.2": [(0.25, 0.25), np.array([0.25, 0.25])],
    "6.3": [log(INTENDED)],
    "6.4": [(0.5, 0.25), (np.float64(0.5), 0.25)],
    "6.5": [
        (script(), PORTED),
        (script(Objective("mean", kl_weight=1 / 64)), None),  # the history follows, below
    ],
    "7.1": [(1.5, kept())],
    "7.2": [("lower", "anneal", "lower", "nothing", "scale")],
    "7.3": [(fitted, shares())],
    "7.4": [samples()],
    "7.5": [(wide(), behind())],
}
scaled = log(schedules.linear(4, 4)(np.arange(10)), ("loss", "reconstruction", "kl"))
scaled["loss"] = scaled["loss"] / 64
RIGHT["6.5"][1] = (RIGHT["6.5"][1][0], scaled)

WRONG = {
    "5.1": [
        ((0.2, 0.25), "first"),
        ((0.25, 0.25), "not on time"),  # what the callback prints, or: no delay seen
        ((0.2, 0.15), "count from 0"),
        ((0.3, 0.25), "count from 0"),
        ((5, 4), "Ask both"),
        (0.25, "shape"),
        ((0.25, NAN), "NaN"),
    ],
    "5.2": [
        (40, "as it was"),
        (41, "late"),  # the wrong direction
        (38, "early"),
        (39.5, "whole"),
        (-1, "whole"),
        ((39, 20), "one number"),
        (NAN, "NaN"),
    ],
    "5.3": [
        (early_stopping("loss"), "wrong phase"),
        (early_stopping("val_loss", mode="min"), "wrong phase"),
        (early_stopping("elbo"), "training data"),
        (early_stopping("val_accuracy"), "not the bound"),
        (early_stopping(mode="min"), "which way"),
        (early_stopping(mode="auto"), "which way"),
        (early_stopping(start_from_epoch=0), "without the KL"),
        (early_stopping(start_from_epoch=30), "without the KL"),
        (early_stopping(start_from_epoch=44), "below 1"),
        (early_stopping(start_from_epoch=400), "long after"),
        (early_stopping(start_from_epoch=NAN), "NaN"),
        (early_stopping(patience=0), "patience"),
        (early_stopping(min_delta=1), "min_delta"),
        ({"monitor": "val_elbo"}, "dict"),
    ],
    "5.4": [
        (schedules.cyclical(18), "begin at once"),
        (lambda e: 0.0 if e < 24 else schedules.cyclical(18)(e), "not from 0"),
        (cycles(25), "late"),
        (cycles(24, late=1), "late"),
        (cycles(23), "early"),
        (schedules.linear(24, 9), "no cycle"),
        (cycles(24, period=20), "first in epoch"),
        (lambda e: 2 * HEAD_START(e), "range"),
        (schedules.constant(1), "head start"),
        (lambda e: HEAD_START(np.arange(60)), "one number"),
        (lambda e: NAN, "NaN"),
        (lambda e: 1 / 0, "ZeroDivisionError"),
        (lambda e: None, "NaN"),
        (HEAD_START(np.arange(60)), "function"),
    ],
    "5.5": [
        (rescue(objective=Objective.for_noise_variance(0.05)), "another one"),
        (rescue(objective=Objective("mean", "mean")), "another one"),
        (rescue(schedules.constant()), "the same in every epoch"),
        (rescue(schedules.constant(0)), "the same in every epoch"),
        (rescue(schedules.linear(20, 20, stop=0.5)), "not 1"),
        (rescue(epochs=50), "not 1"),  # half-way up its last ramp
        (rescue(epochs=90), "more training"),
        (rescue(spread=0.0), "0 of 8"),
        (rescue(seeds=3), "too few"),
        (rescue(hidden=(64,)), "fewer layers"),
        (rescue(latent_dim=2), "network of this chapter"),
        (later(lambda: resolve(rescue())["own"]), "what sweep returns"),
    ],
    "6.1": [
        (lambda x, m: keras.ops.sum((x - m) ** 2, axis=-1), "sum"),
        (lambda x, m: keras.ops.mean((x - m) ** 2), "whole batch"),
        (lambda x, m: keras.ops.mean((x - m) ** 2, axis=0), "over the batch"),
        (lambda x, m: (x - m) ** 2, "Nothing is averaged"),
        (lambda x, m: keras.ops.mean(abs(x - m), axis=-1), "absolute"),
        (lambda x, m: keras.ops.mean(x - m, axis=-1), "old line"),
        (lambda x, m: np.square(np.asarray(x) - m).mean(axis=-1), "tracing"),
        (lambda x: x, "TypeError"),
        (lambda x, m: keras.backend.mean(x - m), "AttributeError"),
        (lambda x, m: x * NAN, "NaN"),
        (lambda x, m: None, "NaN"),
    ],
    "6.2": [
        ((0.25, 0.5), "ask the log"),
        ((0.5, 0.5), "weighted KL"),
        ((4, 4), "upside down"),
        ((5.2 / 4.7, 4.9 / 4.4), "Take the reconstruction away"),
        ((2.35, 2.2), "does not multiply"),
        ((1, 1), "solve"),
        (0.25, "shape"),
        ((0.25, NAN), "NaN"),
    ],
    "6.3": [
        (log([0] * 6), "frozen"),
        (log([1] * 6), "frozen"),
        (log([0, 0, 0, 0.25, 0.5, 0.75]), "late"),
        (log([0, 0.25, 0.5, 0.75, 1, 1]), "early"),
        (log([0, 0.5, 1, 1, 1, 1]), "off first in epoch 1"),
        (log(INTENDED[:3]), "3 epochs"),
        (log([0, 0, NAN, 0.5, 0.75, 1]), "NaN"),
        ({"loss": [1.0]}, "decoder_loss"),
        (log(INTENDED) | {"latent_kl_term": np.zeros(6)}, "cannot be recovered"),
        (log(INTENDED) | {"loss": np.zeros(2)}, "length"),
        (INTENDED, "ndarray"),
    ],
    "6.4": [
        ((1.0, 0.5), "variable holds"),
        ((0.0, 0.0), "no epoch"),
        ((0.7, 0.35), "Divide"),
        ((0.5, 0.5), "not the one in force"),
        ((0.5, 1.0), "twice"),
        ((0.5, 0.5 / 16), "not averaged"),
        ((0.5, 16.0), "not averaged"),
        ((0.5, 7), "chapter 1"),
        ((0.5, NAN), "NaN"),
        (0.5, "2 parts"),
    ],
    "6.5": [
        ((script(), ported(schedules.as_published(4, 4))), "late"),
        ((script(), ported(lambda e: schedules.linear(4, 4)(e + 1))), "early"),
        ((script(), ported(schedules.constant(0))), "frozen"),
        ((script(), ported(schedules.linear(4, 2))), "off first"),
        ((script(), ported(schedules.linear(4, 4), 8)), "8 epochs"),
        ((script(Objective("mean")), PORTED), "factor N"),
        ((script(Objective("sum", "mean")), PORTED), "sums the KL"),
        ((script(Objective("mean", "mean")), PORTED), "neither"),
        ((script(Objective(kl_weight=0.1)), PORTED), "otherwise"),
        ((script(Objective(likelihood="bernoulli")), PORTED), "cross-entropy"),
        ((script(hidden=(64, 64)), PORTED), "hidden layers"),
        ((script(latent_dim=2), PORTED), "D = 2"),
        (("nowhere.keras", PORTED), "does not lead"),
        ((NAN, PORTED), "does not lead"),
        ((script(), [0, 1]), "list"),
    ],
    "7.1": [
        ((0.05, kept()), "summed errors"),
        ((3.0, kept()), "not yet"),
        ((15, kept(variance=15)), "left out"),
        ((1.5 / 8, 8), "not averaged"),
        ((0.1, 8), "weight of the KL term"),
        ((7, 1), "c times"),
        ((1.5, kept("raw train")), "as they were"),
        ((1.5, later(lambda: 8 - resolve(kept()))), "lost"),
        ((1.5, 20), "count the eigenvalues"),
        ((1.5, NAN), "NaN"),
        (1.5, "2 parts"),
    ],
    "7.2": [
        (("anneal",) * 5, "no path"),
        (("nothing", "anneal", "lower", "nothing", "scale"), "a choice"),
        (("lower", "lower", "lower", "nothing", "scale"), "not the objective"),
        (("lower", "anneal", "anneal", "nothing", "scale"), "every schedule"),
        (("lower", "anneal", "lower", "lower", "scale"), "may exceed 1"),
        (("lower", "anneal", "lower", "scale", "scale"), "no reason"),
        (("lower", "anneal", "lower", "nothing", "lower"), "overflowed"),
        (("lower", "aneal", "lower", "nothing", "scale"), "none of the four"),
        ({"A": "lower"}, "none of the four"),
        (("lower", NAN, "lower", "nothing", "scale"), "none of the four"),
        ("lower", "5 parts"),
    ],
    "7.3": [
        ((fitted, shares(unexplained=True)), "unexplained"),
        ((fitted, shares(part="train")), "training rows"),
        ((fitted, shares(part="valid")), "validation rows"),
        ((fitted, shares(part="raw test")), "not scaled"),
        ((fitted, np.ones(30)), "For each column"),
        ((fitted, 0.8), "shape"),
        ((fitted, np.full(30, NAN)), "NaN"),
        ((script(), shares()), "raised"),
        ((np.ones(3), shares()), "ndarray"),
        (shares(), "2 parts"),
    ],
    "7.4": [
        (samples(exponential=False), "below 0"),
        (samples(noise=0.0), "noise"),
        (samples(scaled=False), "undo every step"),
        (samples(count=20), "too few"),
        (later(lambda: resolve(samples())[:, 0]), "shape"),
        (np.full((500, 30), NAN), "NaN"),
    ],
    "7.5": [
        ((wide(), behind(-1)), "sign"),
        ((wide(), behind(part="train")), "own training rows"),
        ((wide(), later(lambda: resolve(wide()).elbo["16 units"])), "how far"),
        ((wide(), np.zeros(8)), "mean log-likelihood"),
        ((wide(), np.zeros(3)), "shape"),
        ((wide(), np.full(8, NAN)), "NaN"),
        ((wide(part="train"), behind()), "validation rows"),
        ((wide(part="raw valid"), behind()), "scaled validation"),
        ((wide(latent_dim=8), behind()), "number of units"),
        ((wide(Objective), behind()), "unweighted"),
        ((wide(lambda: Objective(kl_weight=small())), behind()), "half"),
        ((wide(lambda: Objective("mean", kl_weight=2 * small())), behind()), "N times"),
        ((wide(seeds=2), behind()), "too few"),
        (behind(), "2 parts"),
    ],
}

RIGHT_CASES = [(number, answer) for number, answers in RIGHT.items() for answer in answers]
WRONG_CASES = [(number, *case) for number, cases in WRONG.items() for case in cases]
BAD = {
    "nothing": None,
    "NaN": NAN,
    "NaNs": np.full((3, 4), NAN),
    "text": "no idea",
    "empty": [],
    "a dictionary": {},
    "two": (None, NAN),
    "five": (None,) * 5,
    "infinity": np.inf,
    "ragged": [[1.0], [1.0, 2.0]],
    "a function that raises": lambda *_: [][1],
    "a function without arguments": lambda: 0.0,
    "a function to text": lambda *_: "a half",
    "a placeholder": later(lambda: keras.Input((3,))),
}
# What a hint must not say, by exercise: the answer, or what would give it away.
SECRET = {
    "5.1": ["0.25", "0.2"],
    "5.2": ["39"],
    "5.3": ["45", "max"],
    "5.4": ["24", "18"],
    "6.1": ["ops.mean"],
    "6.2": ["0.25"],
    "6.4": ["0.5", "0.25"],
    "6.5": ["linear"],
    "7.1": ["1.5", "4", "5"],
    "7.2": ["'lower'", "'anneal'", "'nothing'", "'scale'"],
}


def hint(number, answer, capsys):
    line = said(number, answer, capsys)
    opening = f"Exercise {number}: not yet. "
    assert line.startswith(opening), line
    sentence = line.removeprefix(opening)
    assert sentence.endswith(".") and "\n" not in sentence
    assert not re.search(r"[.!?] [A-Z]", sentence), sentence
    return sentence


def test_every_exercise_is_tried():
    assert set(RIGHT) == set(WRONG) == set(JUDGES)
    assert min(len(cases) for cases in WRONG.values()) >= 2


@pytest.mark.parametrize(("number", "answer"), RIGHT_CASES)
def test_right(number, answer, capsys):
    assert said(number, answer, capsys).startswith(f"Exercise {number}: right.")


@pytest.mark.parametrize(("number", "answer", "fragment"), WRONG_CASES)
def test_wrong(number, answer, fragment, capsys):
    sentence = hint(number, answer, capsys)
    assert fragment in sentence
    for secret in SECRET.get(number, []):
        assert not re.search(rf"(?<![\w.]){re.escape(secret)}(?![\w]|\.\d)", sentence)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("number", JUDGES)
def test_bad_input_gets_one_sentence(number, kind, capsys):
    hint(number, BAD[kind], capsys)


def test_a_saved_model_is_loaded_from_its_path(tmp_path, capsys):
    vae = resolve(script())
    vae.compile("adam")
    vae.optimizer.build(vae.trainable_variables)
    vae.save(tmp_path / "vae.keras")
    answer = (tmp_path / "vae.keras", PORTED)
    assert said("6.5", answer, capsys).startswith("Exercise 6.5: right.")
    vae.kl_weight = 0.25
    assert "last epoch" in hint("6.5", (vae, PORTED), capsys)


@pytest.mark.parametrize("seed", ["1000", "2000"])
def test_the_table_is_split_by_the_base_seed(seed, monkeypatch, capsys):
    before = your_data.rows()["train"]
    monkeypatch.setenv("VAE_NOTES_SEED", seed)
    assert claims.base_seed() == int(seed)
    assert not np.array_equal(before, your_data.rows()["train"])
    for number in ("7.1", "7.3", "7.4", "7.5"):
        for answer in RIGHT[number]:
            assert "right." in said(number, answer, capsys)


def test_the_checks_do_not_import_tensorflow():
    modules = ", ".join(f"vae_notes.exercises.{name}" for name in ("annealing", "porting"))
    code = f"import sys, {modules}, vae_notes.exercises.your_data; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "keras", "sklearn", "matplotlib"} & set(done.stdout.split())
