"""Right and wrong answers to the exercises of chapter 5."""

import functools

import numpy as np
from exercise_answers._shared import Later, swept, weights_of

from vae_notes import Objective, data, schedules
from vae_notes._keras import keras
from vae_notes.networks import dense
from vae_notes.recipes import Recipe

SECRETS = {"5.3": ["45", "max"], "5.4": ["24", "18"]}
DEEP = (16, 16, 16, 16)


def early_stopping(monitor="val_elbo", **options):
    options = {"mode": "max", "patience": 10, "start_from_epoch": 45} | options
    return keras.callbacks.EarlyStopping(monitor, **options)


def cycles(start, period=18, late=0):
    weight = schedules.cyclical(period)
    return lambda epoch: np.where(epoch < start, 0.0, weight(np.maximum(epoch - start - late, 0)))


HEAD_START = cycles(24)


@functools.cache
def networks(
    schedule=HEAD_START,
    objective=None,
    epochs=60,
    latent_dim=8,
    hidden=DEEP,
    spread=10.0,
    count=8,
):
    """What a sweep would give back of VAEs whose posterior means vary by a factor `spread`."""
    build = functools.partial(dense, 64, latent_dim, hidden)
    encoder, decoder = build()
    kernel = encoder.trainable_variables[-4]  # of z_mean
    kernel.assign(spread * np.ones(kernel.shape))
    recipe = Recipe("own", objective or Objective(), schedule, 1e-3)
    x, means = data.digits()[:40], np.ones((epochs, 4))
    return swept(build, [recipe], range(count), x, weights_of(encoder, decoder), means)


def rescue(*arguments, **options):
    return Later(lambda: networks(*arguments, **options))


@functools.cache
def right():
    return {
        "5.1": [(0.25, 0.2), np.array([0.25, 0.2]), [0.25, np.float32(0.2)]],
        "5.2": [39, np.array(39)],
        "5.3": [early_stopping(), early_stopping(restore_best_weights=True, start_from_epoch=50)],
        "5.4": [HEAD_START],
        "5.5": [rescue(), rescue(schedules.cosine(20, 20), epochs=50)],
    }


@functools.cache
def wrong():
    return {
        "5.1": [
            ((0.2, 0.25), "first"),
            ((0.25, 0.25), "not on time"),  # what the callback prints, or: no delay seen
            ((0.2, 0.15), "count from 0"),
            ((0.3, 0.25), "count from 0"),
            ((5, 4), "Ask both"),
            (0.25, "shape"),
            ((0.25, np.nan), "NaN"),
        ],
        "5.2": [
            (40, "as it was"),
            (41, "late"),  # the wrong direction
            (38, "early"),
            (39.5, "whole"),
            (-1, "whole"),
            ((39, 20), "one number"),
            (np.nan, "NaN"),
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
            (early_stopping(start_from_epoch=np.nan), "NaN"),
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
            (lambda e: np.nan, "NaN"),
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
            (rescue(count=3), "too few"),
            (rescue(hidden=(64,)), "fewer layers"),
            (rescue(latent_dim=2), "network of this chapter"),
            (Later(lambda: networks()["own"]), "what sweep returns"),
        ],
    }
