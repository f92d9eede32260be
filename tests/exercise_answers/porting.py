"""Right and wrong answers to the exercises of chapter 6."""

import functools

import numpy as np
from exercise_answers._shared import Later

from vae_notes import VAE, Objective, schedules
from vae_notes._keras import keras, ops
from vae_notes.networks import dense

SECRETS = {"6.1": ["ops.mean"], "6.5": ["linear"]}
OLD_NAMES = "loss", "decoder_loss", "latent_kl_term"
NAMES = "loss", "reconstruction", "kl"


def error(x, x_mean):
    return ops.mean((x - x_mean) ** 2, axis=-1)


def log(weights, names=OLD_NAMES, scale=1.0):
    weights = np.asarray(weights, float)
    terms = scale * (4.0 + 3.0 * weights), 0 * weights + 4, 0 * weights + 3
    return dict(zip(names, terms, strict=True))


INTENDED = schedules.linear(1, 4)(np.arange(6))


def ported(schedule=None, epochs=10, scale=1.0):
    schedule = schedule or schedules.linear(4, 4)
    return log(schedule(np.arange(epochs)), NAMES, scale)


@functools.cache
def built(objective, hidden, latent_dim):
    return VAE(*dense(64, latent_dim, hidden), objective)


def script(objective=None, hidden=(64,), latent_dim=8):
    return Later(lambda: built(objective, hidden, latent_dim))


@functools.cache
def right():
    return {
        "6.1": [error],
        "6.2": [(0.25, 0.25), np.array([0.25, 0.25])],
        "6.3": [log(INTENDED)],
        "6.4": [(0.5, 0.25), (np.float64(0.5), 0.25)],
        "6.5": [
            (script(), ported()),
            (script(Objective("mean", kl_weight=1 / 64)), ported(scale=1 / 64)),
        ],
    }


@functools.cache
def wrong():
    return {
        "6.1": [
            (lambda x, m: ops.sum((x - m) ** 2, axis=-1), "sum"),
            (lambda x, m: ops.mean((x - m) ** 2), "whole batch"),
            (lambda x, m: ops.mean((x - m) ** 2, axis=0), "over the batch"),
            (lambda x, m: (x - m) ** 2, "Nothing is averaged"),
            (lambda x, m: ops.mean(abs(x - m), axis=-1), "absolute"),
            (lambda x, m: ops.mean(x - m, axis=-1), "old line"),
            (lambda x, m: np.square(np.asarray(x) - m).mean(axis=-1), "tracing"),
            (lambda x: x, "TypeError"),
            (lambda x, m: keras.backend.mean(x - m), "AttributeError"),
            (lambda x, m: x * np.nan, "NaN"),
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
            ((0.25, np.nan), "NaN"),
        ],
        "6.3": [
            (log([0] * 6), "frozen"),
            (log([1] * 6), "frozen"),
            (log([0, 0, 0, 0.25, 0.5, 0.75]), "late"),
            (log([0, 0.25, 0.5, 0.75, 1, 1]), "early"),
            (log([0, 0.5, 1, 1, 1, 1]), "off first in epoch 1"),
            (log(INTENDED[:3]), "3 epochs"),
            (log([0, 0, np.nan, 0.5, 0.75, 1]), "NaN"),
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
            ((0.5, np.nan), "NaN"),
            (0.5, "2 parts"),
        ],
        "6.5": [
            ((script(), ported(schedules.as_published(4, 4))), "late"),
            ((script(), ported(lambda e: schedules.linear(4, 4)(e + 1))), "early"),
            ((script(), ported(schedules.constant(0))), "frozen"),
            ((script(), ported(schedules.linear(4, 2))), "off first"),
            ((script(), ported(epochs=8)), "8 epochs"),
            ((script(Objective("mean")), ported()), "factor N"),
            ((script(Objective("sum", "mean")), ported()), "sums the KL"),
            ((script(Objective("mean", "mean")), ported()), "neither"),
            ((script(Objective(kl_weight=0.1)), ported()), "otherwise"),
            ((script(Objective(likelihood="bernoulli")), ported()), "cross-entropy"),
            ((script(hidden=(64, 64)), ported()), "hidden layers"),
            ((script(latent_dim=2), ported()), "D = 2"),
            (("nowhere.keras", ported()), "does not lead"),
            ((np.nan, ported()), "does not lead"),
            ((script(), [0, 1]), "list"),
        ],
    }
