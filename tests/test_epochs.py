"""``VAE.fit`` on arrays runs whole epochs in one program, and nobody should notice but the clock.

A callback with a hook for batches, though it does nothing in it, makes ``fit`` go step by step as
Keras does: the other side of most comparisons here. XLA takes seconds to compile, so what does not
need it is tested with ``jit_compile=False``, where the epoch is one graph all the same.
"""

import csv
import gc
import re
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from vae_notes import VAE, KLAnnealing, data, schedules
from vae_notes._keras import keras, tf
from vae_notes.networks import dense

X = data.digits()[:147]  # the last of five batches has 19 examples


def descent():
    """An optimiser with a state whose steps are traced in half the time of Adam's."""
    return keras.optimizers.SGD(1e-3, momentum=0.9)


class Watch(keras.callbacks.Callback):
    """Sees each batch, or each epoch."""

    def __init__(self):
        super().__init__()
        self.batches, self.logs = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(batch)

    def on_epoch_end(self, epoch, logs=None):
        self.logs.append(logs)


class WatchTests(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.batches = []

    def on_test_batch_end(self, batch, logs=None):
        self.batches.append(batch)


def small_vae(optimizer=None, hidden=(), **kwargs):
    vae = VAE(*dense(64, 3, hidden))
    vae.compile(optimizer or descent(), **{"jit_compile": False, **kwargs})
    return vae


def was_fast(vae, kind="train"):
    return any(name.startswith(f"{kind}_step") for name in vae.compiled_epochs)


def fast_and_slow(make, callbacks=(), epochs=2, **options):
    """Histories of two models, one after whole epochs and one after single steps."""
    vae, other = make(), make()
    options = dict(verbose=0, epochs=epochs, **options)
    fast = vae.fit(X, callbacks=[*callbacks], **options)
    slow = other.fit(X, callbacks=[*callbacks, Watch()], **options)
    assert was_fast(vae) and not was_fast(other)
    for a, b in zip(vae.get_weights(), other.get_weights(), strict=True):
        assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    return fast, slow


def assert_same(fast, slow, rtol=1e-5):
    assert fast.epoch == slow.epoch and list(fast.history) == list(slow.history)
    for metric, values in slow.history.items():
        assert_allclose(fast.history[metric], values, rtol=rtol, err_msg=metric)


# The same training


@pytest.mark.parametrize("jit_compile", ["auto", False])
def test_same_history(jit_compile):
    assert_same(
        *fast_and_slow(
            lambda: small_vae("adam", (8,), jit_compile=jit_compile),
            callbacks=[KLAnnealing(schedules.linear(0, 2))],
            epochs=3,
            validation_data=X[:50],
        )
    )


OPTIMIZERS = {
    "loss scale": lambda o: o.LossScaleOptimizer(o.Adam()),
    "weight decay": lambda o: o.AdamW(weight_decay=0.1),
    "moving average": lambda o: o.SGD(0.01, use_ema=True, ema_overwrite_frequency=2),
    "accumulation": lambda o: o.Adam(gradient_accumulation_steps=2),
    "schedule, clipping": lambda o: o.RMSprop(
        o.schedules.ExponentialDecay(0.01, 3, 0.5), global_clipnorm=1.0
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer(name):
    make = OPTIMIZERS[name]
    assert_same(*fast_and_slow(lambda: small_vae(make(keras.optimizers))))


def test_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        assert_same(*fast_and_slow(small_vae, epochs=3), rtol=1e-3)
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_resuming_goes_on_with_the_batches():
    whole = small_vae().fit(X, epochs=4, verbose=0).history["loss"]
    vae = small_vae()
    first = vae.fit(X, epochs=2, verbose=0).history["loss"]
    rest = vae.fit(X, epochs=4, initial_epoch=2, verbose=0).history["loss"]
    assert_allclose([*first, *rest], whole, rtol=1e-6)


def test_shuffling_is_a_permutation():
    """In one batch the order matters to the noise alone, in several also to the batches."""
    orders = [small_vae().fit(X, shuffle=s, verbose=0).history["loss"][0] for s in (True, False)]
    assert orders[0] != orders[1]
    assert orders[0] == pytest.approx(orders[1], rel=0.1)


@pytest.mark.parametrize("count", [1, 32, 33])
def test_one_batch_or_a_bit_more(count):
    fast, slow = small_vae(), small_vae()
    a = fast.fit(X[:count], verbose=0).history["loss"]
    b = slow.fit(X[:count], verbose=0, callbacks=[Watch()]).history["loss"]
    assert_allclose(a, b, rtol=1e-6)


def test_validation():
    split = small_vae().fit(X, validation_split=0.25, epochs=2, verbose=0).history
    kept = int(147 * 0.75)
    given = small_vae().fit(X[:kept], validation_data=X[kept:], epochs=2, verbose=0).history
    dataset = tf.data.Dataset.from_tensor_slices(X[kept:]).batch(32)
    others = small_vae().fit(X[:kept], validation_data=dataset, epochs=2, verbose=0).history
    pairs = small_vae().fit(X[:kept], validation_data=(X[kept:], None), epochs=2, verbose=0).history
    assert split == given == pairs
    assert_allclose(others["val_loss"], given["val_loss"], rtol=1e-6)
    every = small_vae().fit(X, epochs=4, validation_split=0.25, validation_freq=2, verbose=0)
    assert len(every.history["val_loss"]) == 2 and len(every.history["loss"]) == 4
    with pytest.raises(ValueError, match=r"validation_split=0.999 leaves one part of 147 exam"):
        small_vae().fit(X, validation_split=0.999)


def test_arguments_by_position():
    history = small_vae().fit(X, None, 50, 2, 0)
    assert history.params == {"verbose": 0, "epochs": 2, "steps": 3}
    assert small_vae().evaluate(X, None, 50, 0)


def test_weights_of_examples_are_refused():
    for name in ("sample_weight", "class_weight"):
        with pytest.raises(ValueError, match=f"weighs all examples alike: leave out {name}"):
            small_vae().fit(X, **{name: np.ones(147)})


# Callbacks see what Keras shows them


def test_a_callback_sees_each_batch():
    vae, seen = small_vae(), []
    by_function = keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: seen.append(b))
    watch = Watch()
    vae.fit(X, epochs=2, verbose=0, callbacks=[by_function])
    vae.fit(X, epochs=2, verbose=0, callbacks=watch)  # one alone need not be a list
    assert seen == watch.batches == [*range(5)] * 2


def test_a_callback_sees_each_batch_of_validation():
    watch, vae = WatchTests(), small_vae()
    vae.fit(X, validation_data=X[:70], epochs=2, verbose=0, callbacks=[watch])
    assert was_fast(vae) and watch.batches == [0, 1, 2] * 2
    watch.batches.clear()
    vae.evaluate(X, verbose=0, callbacks=[watch])
    assert watch.batches == [*range(5)]


def test_a_checkpoint_of_ones_own_sees_each_batch(tmp_path):
    """Keras's checkpoints do nothing at a batch, but who derives from them may."""

    class Checkpoint(keras.callbacks.ModelCheckpoint):
        seen = 0

        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1

    checkpoint = Checkpoint(tmp_path / "vae.keras")
    small_vae().fit(X, verbose=0, callbacks=[checkpoint])
    assert checkpoint.seen == 5


def test_early_stopping_checkpoints_and_tables(tmp_path):
    callbacks = [
        keras.callbacks.EarlyStopping("val_elbo", mode="max", patience=1, min_delta=1e9),
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        keras.callbacks.BackupAndRestore(tmp_path / "backup"),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.ReduceLROnPlateau("loss"),
    ]
    vae = small_vae()
    history = vae.fit(X, epochs=9, validation_data=X[:50], verbose=0, callbacks=callbacks)
    assert was_fast(vae) and history.epoch == [0, 1]  # nothing improves by a billion nats
    assert sorted(p.name for p in tmp_path.glob("*.keras")) == ["1.keras", "2.keras"]
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_elbo"]) for row in rows] == history.history["val_elbo"]


def test_a_checkpoint_every_two_batches(tmp_path):
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{batch}.keras", save_freq=2)
    small_vae().fit(X, verbose=0, callbacks=[checkpoint])
    assert len(list(tmp_path.glob("*.keras"))) == 2


def test_terminate_on_nan_stops_at_the_batch():
    watch = Watch()
    vae = small_vae(keras.optimizers.SGD(1e30))
    vae.fit(X, epochs=3, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN(), watch])
    assert len(watch.batches) < 5


def test_logs_are_what_keras_gives():
    logs = []
    for slow in (False, True):
        vae, seen = small_vae(), []
        after = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda e, given, s=seen: s.append(given)
        )
        vae.fit(X, verbose=0, callbacks=[after, *[Watch()] * slow])
        logs.append(seen[0])
    assert {k: type(v) for k, v in logs[0].items()} == {k: type(v) for k, v in logs[1].items()}
    assert isinstance(logs[0], dict) and set(logs[0]) >= {"loss", "elbo", "kl_weight"}


def test_progress_bar_counts_steps(capsys):
    lines = []
    for callbacks in ([], [Watch()]):
        small_vae().fit(X, epochs=2, callbacks=callbacks, verbose=1)
        shown = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)
        lines.append([t.strip() for t in re.split("[\b\r\n]+", shown) if "5/5" in t][-1])
    fast, slow = (re.sub(r"\d+[mu]?s", "time", line) for line in lines)
    assert fast == slow and "loss:" in fast


# Where fit goes step by step, as Keras does


@pytest.mark.parametrize(
    "options", [dict(steps_per_execution=2), dict(run_eagerly=True)], ids=["several", "eager"]
)
def test_other_ways_to_run(options):
    vae = small_vae(**options)
    history = vae.fit(X, epochs=2, validation_data=X[:50], verbose=0)
    assert not was_fast(vae) and not was_fast(vae, "test")
    expected = small_vae().fit(X, epochs=2, validation_data=X[:50], verbose=0)
    assert_same(history, expected)


def test_datasets():
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(32)
    vae = small_vae()
    history = vae.fit(dataset, epochs=2, verbose=0)
    expected = small_vae().fit(X, epochs=2, shuffle=False, verbose=0)
    assert not was_fast(vae)
    assert_same(history, expected)
    watch = Watch()
    small_vae().fit(dataset.repeat(), steps_per_epoch=3, verbose=0, callbacks=[watch])
    small_vae().fit(X, steps_per_epoch=3, verbose=0, callbacks=[watch])
    assert watch.batches == [0, 1, 2] * 2


class Opaque(keras.layers.Layer):
    """A detour through Python, which XLA cannot compile."""

    def call(self, x):
        y = tf.numpy_function(lambda a: a, [x], tf.float32)
        y.set_shape(x.shape)
        return x + 0 * tf.stop_gradient(y)


def test_what_xla_cannot_compile_runs_without():
    encoder, decoder = dense(64, 3, ())
    x = keras.Input((64,))
    vae = VAE(keras.Model(x, encoder(Opaque()(x))), decoder)
    vae.compile(descent())
    history = vae.fit(X, epochs=2, validation_data=X[:50], verbose=0)
    assert was_fast(vae)
    assert_same(history, small_vae().fit(X, epochs=2, validation_data=X[:50], verbose=0))
    vae.compile(descent(), jit_compile=True)
    with pytest.raises(tf.errors.InvalidArgumentError):
        vae.fit(X, verbose=0)


# A model's life


def test_freezing_and_compiling_again():
    vae = small_vae()
    vae.fit(X, verbose=0)
    vae.encoder.trainable = False
    vae.compile(descent(), jit_compile=False)
    before, decoder = vae.encoder.get_weights(), vae.decoder.get_weights()
    vae.fit(X, verbose=0)
    for a, b in zip(before, vae.encoder.get_weights(), strict=True):
        assert_array_equal(a, b)
    assert np.abs(decoder[0] - vae.decoder.get_weights()[0]).max() > 0


def test_after_fit_a_model_is_as_keras_left_it(tmp_path):
    vae = small_vae()
    vae.fit(X, validation_data=X[:50], verbose=0)
    assert vae.steps_per_execution == 1 and vae.train_function is None
    vae.train_on_batch(X[:32])
    expected = vae.predict(X[:5], verbose=0)
    vae.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(tmp_path / "exported")
    assert_allclose(exported.serve(X[:5]), expected, atol=1e-6)


def test_an_error_in_fit_leaves_the_model_usable():
    def fail(epoch, logs):
        raise RuntimeError("enough")

    vae = small_vae()
    with pytest.raises(RuntimeError, match="enough"):
        vae.fit(X, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=fail)])
    assert vae.steps_per_execution == 1
    vae.fit(X, verbose=0, callbacks=[Watch()])


def test_a_deleted_model_is_freed():
    vae = small_vae()
    vae.fit(X, verbose=0)
    gone = weakref.ref(vae)
    del vae
    gc.collect()
    assert gone() is None
