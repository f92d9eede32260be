import math

import numpy as np
import pytest

from vae_notes import VAE, KLAnnealing, Objective, data, schedules
from vae_notes._keras import keras, tf
from vae_notes.networks import dense_decoder, dense_encoder

X = data.digits()[:128]


def small_vae(objective=None, **kwargs):
    vae = VAE(dense_encoder(64, 2, (8,)), dense_decoder(2, 64, (8,)), objective)
    vae.compile("sgd", **{"jit_compile": False, **kwargs})
    return vae


def fit(vae, schedule, by="epoch", x=X, **kwargs):
    callback = KLAnnealing(schedule, by)
    return vae.fit(x, verbose=0, callbacks=[callback], **{"batch_size": 32, **kwargs}).history


def test_history_holds_the_weight_in_force():
    """keras #13826: an annealed weight that never changes, because a traced loss has frozen it."""
    vae = small_vae()
    history = fit(vae, schedules.linear(1, 4), epochs=7)
    assert history["kl_weight"] == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    for loss, reconstruction, kl, weight in zip(
        *(history[k] for k in ("loss", "reconstruction", "kl", "kl_weight")), strict=True
    ):
        assert loss == pytest.approx(reconstruction + weight * kl, rel=1e-4)


def test_the_schedule_is_a_fraction_of_the_objective():
    history = fit(small_vae(Objective(kl_weight=4.0)), schedules.linear(0, 2), epochs=3)
    assert history["kl_weight"] == [0, 2, 4]


@pytest.mark.parametrize("by", ["epoch", "step"])
def test_resuming_goes_on_where_it_stopped(by):
    """keras #9462, #14862: the state of the callback was lost on resuming."""
    schedule = schedules.linear(1, 5)
    whole = fit(small_vae(), schedule, by, epochs=6)["kl_weight"]
    fit(vae := small_vae(), schedule, by, epochs=3)
    rest = fit(vae, schedule, by, epochs=6, initial_epoch=3)["kl_weight"]
    assert rest == whole[3:]


class Weights(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(self.model.kl_weight))


@pytest.mark.parametrize("kind", ["array", "dataset"])
def test_by_step(kind):
    """scvi-tools #507: warm-up by steps, not by epochs."""
    vae, weights = small_vae(), Weights()
    x = X if kind == "array" else tf.data.Dataset.from_tensor_slices(X).batch(32)
    schedule = schedules.linear(0, 2)
    options = {"batch_size": 32} if kind == "array" else {}
    vae.fit(x, epochs=3, verbose=0, callbacks=[KLAnnealing(schedule, "step"), weights], **options)
    assert weights.seen == pytest.approx(np.minimum(1, np.arange(12) / 8).tolist())


def test_any_function_of_the_epoch_is_a_schedule():
    assert fit(small_vae(), lambda epoch: 0.5**epoch, epochs=3)["kl_weight"] == [1, 0.5, 0.25]


@pytest.mark.parametrize("by", ["epoch", "step"])
@pytest.mark.parametrize("weight", [math.nan, -1, math.inf, None])
def test_no_epoch_is_trained_with_a_weight_that_is_none(weight, by):
    """nan and -1 used to train in silence."""
    vae = small_vae(jit_compile=False)
    before = vae.get_weights()
    with pytest.raises(ValueError, match=rf"schedule\(0\)={weight} is not a finite number of"):
        fit(vae, lambda epoch: weight, by)
    for was, now in zip(before, vae.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_refusals():
    with pytest.raises(ValueError, match=r"schedule=0.5 cannot be called"):
        KLAnnealing(0.5)
    with pytest.raises(ValueError, match="by='batch' is unknown"):
        KLAnnealing(schedules.constant(), by="batch")
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    other.compile("sgd", "mse")
    callbacks = [KLAnnealing(schedules.constant())]
    with pytest.raises(ValueError, match=r"Sequential with no kl_weight.*keras.Variable"):
        other.fit(np.ones((2, 2)), np.ones((2, 2)), verbose=0, callbacks=callbacks)
    other.kl_weight = 1.0  # which a compiled step reads once
    with pytest.raises(ValueError, match=r"with the number 1\.0 for kl_weight"):
        other.fit(np.ones((2, 2)), np.ones((2, 2)), verbose=0, callbacks=callbacks)
    endless = tf.data.Dataset.from_generator(
        lambda: iter(X.reshape(4, 32, 64)), output_signature=tf.TensorSpec((None, 64))
    )
    with pytest.raises(ValueError, match="give fit a steps_per_epoch"):
        fit(small_vae(), schedules.constant(), "step", x=endless, batch_size=None)


def test_a_model_of_your_own_with_a_variable():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)
            self.kl_weight = keras.Variable(4.0, trainable=False)
            self.seen = keras.metrics.Mean(name="seen")

        def train_step(self, batch):
            self.seen.reset_state()
            self.seen.update_state(self.kl_weight)
            return {"seen": self.seen.result()}

    own = Own()
    own.compile("sgd")
    callbacks = [KLAnnealing(schedules.linear(0, 2))]
    seen = own.fit(np.ones((2, 2)), epochs=3, verbose=0, callbacks=callbacks).history["seen"]
    assert seen == [0, 2, 4]
