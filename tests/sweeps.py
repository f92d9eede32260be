"""What the tests of sweeps share: data, a builder, recipes, and a program that trains nothing."""

import functools

from numpy.testing import assert_allclose

from vae_notes import Objective, data, networks, schedules
from vae_notes._keras import tf
from vae_notes.recipes import Recipe

DIGITS = data.digits()
X, HELD_OUT = DIGITS[:147], DIGITS[1000:1045]  # the last batches have 19 and 13 examples
BUILD = functools.partial(networks.dense, 64, 3, (8,))
RECIPES = [
    Recipe("plain"),
    Recipe("mean", Objective("mean", "mean")),
    Recipe("annealed", Objective(kl_weight=4.0), schedules.linear(0, 2), 3e-3),
    Recipe("stepped", Objective("sum", "mean"), lambda epoch: 0.5 if epoch < 1 else 1.0),
    Recipe("bernoulli", Objective(likelihood="bernoulli"), schedules.cyclical(2)),
]
SWEEP = dict(epochs=3, batch_size=32, validation_data=HELD_OUT)


def assert_same_history(run, history, rtol=1e-5):
    assert set(run.history) == set(history)
    for metric, values in history.items():
        assert_allclose(run.history[metric], values, rtol=rtol, err_msg=metric)


def pretend(self, work, likelihood, width):
    """A program that trains nothing."""
    self.x, self.build, self.width, self.chunk = work.x, work.build, width, 1
    self.held_out = None
    self.run = lambda x, held_out, count, o, s, r, w, k, *state: (state, tf.ones((1, width, 2)))
