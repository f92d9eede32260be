"""Whole epochs inside one compiled program, for ``fit`` and ``evaluate`` on arrays.

A small model spends its time between steps, not in them. Here Keras is shown one batch an epoch,
and gets for it a function that takes all steps of the epoch in a loop over the data in memory,
compiled by XLA where it can be. Callbacks, History, validation and the progress bar are Keras's
own, and count steps.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from vae_notes._keras import keras, running, tf, without_cached_data
from vae_notes._noise import batch_order
from vae_notes._xla import Compiled, supports_xla

__all__ = ["WholeEpochs"]

TRAIN = "on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"
TEST = "on_test_batch_begin", "on_test_batch_end"


class WholeEpochs(keras.Model):
    """A Keras model that runs whole epochs of arrays in one program.

    A subclass has a ``train_step`` and a ``test_step``, and a ``seed``: the order of the examples
    is a function of it and the epoch, so that a run which is resumed goes on with its batches. A
    callback that wants to see each batch gets to see it, at the price of the speed.
    """

    seed: int

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.epoch = 0

    def compile(self, optimizer: Any = "adam", **kwargs: Any) -> None:
        super().compile(optimizer=optimizer, **kwargs)
        self.jit_asked = kwargs.get("jit_compile", "auto")
        self.compiled_epochs: dict[str, _WholeEpoch] = {}

    @property
    def uses_xla(self) -> dict[str, bool]:
        """Whether ``fit`` ("train") and ``evaluate`` ("test") last ran a program of XLA's.

        Ask ``compile`` for the other with ``jit_compile=True`` or ``False``.
        """
        programs = self.compiled_epochs.items()
        return {key.partition("_")[0]: program.xla for key, program in programs}

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        **kwargs: Any,
    ) -> Any:
        options = dict(epochs=epochs, verbose=verbose, **kwargs)
        in_memory = isinstance(x, np.ndarray)
        if not in_memory or y is not None or kwargs.get("steps_per_epoch") is not None:
            options |= dict(validation_split=validation_split, validation_data=validation_data)
            options["shuffle"] = shuffle and in_memory  # a dataset is never shuffled here
            return super().fit(x, y, batch_size, callbacks=callbacks, **options)
        if validation_data is None and validation_split:
            x, validation_data = _split(x, validation_split)
        count, batch_size = len(x), batch_size or 32
        watching = [_Epoch(), *_listed(callbacks)]
        options |= dict(validation_data=validation_data, shuffle=False)
        options["validation_batch_size"] = kwargs.get("validation_batch_size") or batch_size

        def order():
            return batch_order(self.seed, self.epoch, count) if shuffle else np.arange(count)

        if not self._runs_whole_epochs(watching, TRAIN):
            return super().fit(_batches(x, order, batch_size), callbacks=watching, **options)
        self._build_optimizer()
        epoch, tensor = self._whole_epoch(self.train_step, x, batch_size), tf.constant(x)
        options["callbacks"] = keras.callbacks.CallbackList(
            watching,
            add_history=True,
            add_progbar=verbose != 0,
            model=self,
            verbose=verbose,
            epochs=epochs,
            steps=math.ceil(count / batch_size),
        )
        with running(self, "train", lambda _: epoch(tensor, tf.constant(order(), tf.int32))):
            return super().fit(tf.data.Dataset.range(1), **options)  # nobody reads its element

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        **kwargs: Any,
    ) -> Any:
        callbacks = kwargs.pop("callbacks", None)
        whole = isinstance(x, np.ndarray) and y is None and kwargs.get("steps") is None
        if not (whole and self._runs_whole_epochs(_listed(callbacks), TEST)):
            return super().evaluate(x, y, batch_size, verbose, callbacks=callbacks, **kwargs)
        batch_size = batch_size or 32
        epoch, tensor = self._whole_epoch(self.test_step, x, batch_size), tf.constant(x)
        if not isinstance(callbacks, keras.callbacks.CallbackList):  # fit brings its own
            callbacks = keras.callbacks.CallbackList(
                callbacks,
                add_progbar=verbose != 0,
                model=self,
                verbose=verbose,
                epochs=1,
                steps=math.ceil(len(x) / batch_size),
            )
        options = dict(verbose=verbose, callbacks=callbacks, **without_cached_data(kwargs))
        with running(self, "test", lambda _: epoch(tensor, tf.range(len(x)))):
            return super().evaluate(tf.data.Dataset.range(1), **options)

    def make_train_function(self, force: bool = False) -> Any:
        if self.built:
            self._build_optimizer()
        return super().make_train_function(force)

    def _build_optimizer(self) -> None:
        """Before any step: XLA cannot make variables on its way."""
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def _runs_whole_epochs(self, callbacks: Iterable[Any], hooks: Iterable[str]) -> bool:
        one_device = self.distribute_strategy.num_replicas_in_sync == 1
        one_step = self.steps_per_execution == 1 and not self.run_eagerly
        watched = any(_acts(callback, hook) for callback in callbacks for hook in hooks)
        return one_device and one_step and not watched

    def _whole_epoch(self, step: Callable[..., Any], x: np.ndarray, batch_size: int) -> Any:
        key = f"{step.__name__} {x.shape} {batch_size}"
        if key not in self.compiled_epochs:
            asked = self.jit_asked if supports_xla(self) else False
            self.compiled_epochs[key] = _WholeEpoch(step, x, batch_size, asked)
        return self.compiled_epochs[key]


class _WholeEpoch(Compiled):
    """A function of (x, order) that takes one ``step`` for each batch and gives the last logs."""

    def __init__(
        self, step: Callable[..., Any], x: np.ndarray, batch_size: int, jit_compile: bool | str
    ) -> None:
        self.step, self.batch_size = step, batch_size
        signature = tf.TensorSpec(x.shape, x.dtype), tf.TensorSpec((len(x),), tf.int32)
        super().__init__(self._epoch, signature, jit_compile)

    def _epoch(self, x: Any, order: Any) -> Any:
        steps = (x.shape[0] - 1) // self.batch_size  # and one more, which gives the logs
        if steps:
            batches = tf.reshape(order[: steps * self.batch_size], (steps, self.batch_size))

            def body(i):
                self.step(tf.gather(x, batches[i]))
                return i + 1

            tf.while_loop(
                lambda i: i < steps, body, (0,), parallel_iterations=1, maximum_iterations=steps
            )
        return self.step(tf.gather(x, order[steps * self.batch_size :]))


class _Epoch(keras.callbacks.Callback):
    """Tells the model which epoch it is in."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.epoch = epoch


def _batches(x: np.ndarray, order: Callable[[], np.ndarray], batch_size: int) -> Any:
    """A dataset of the batches of ``x``; asks ``order()`` anew at each pass."""
    indices = tf.data.Dataset.from_generator(
        lambda: iter([order()]), output_signature=tf.TensorSpec((len(x),), tf.int32)
    )
    indices = indices.flat_map(lambda i: tf.data.Dataset.from_tensor_slices(i).batch(batch_size))
    options = tf.data.Options()  # several machines take parts of a batch, not files
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    steps = math.ceil(len(x) / batch_size)
    indices = indices.apply(tf.data.experimental.assert_cardinality(steps))
    return indices.map(lambda i: tf.gather(x, i)).with_options(options)


def _split(x: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """The examples to train on and, at the end, those to validate on."""
    kept = int(len(x) * (1 - fraction))
    if not 0 < kept < len(x):
        raise ValueError(
            f"validation_split={fraction:g} leaves one part of {len(x)} examples empty: give a "
            f"fraction that leaves both some."
        )
    return x[:kept], x[kept:]


def _listed(callbacks: Any) -> list[Any]:
    return keras.tree.flatten(getattr(callbacks, "callbacks", callbacks) or [])


def _acts(callback: Any, hook: str) -> bool:
    """Whether a callback has something to do in a hook for batches, and so must see each batch."""
    own = getattr(callback, hook)
    own = getattr(own, "__func__", own)
    idle = [keras.callbacks.Callback, keras.callbacks.ProgbarLogger]  # the bar has an end, too
    if getattr(callback, "save_freq", None) == "epoch":  # Keras's own two only count batches then
        idle += [keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore]
    return own not in [getattr(each, hook) for each in idle]
