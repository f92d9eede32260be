"""Whole epochs inside one compiled program, for ``VAE.fit`` and ``VAE.evaluate`` on arrays.

A small model spends its time between steps, not in them. Here Keras is told that one execution
holds all steps of the epoch, and gets a function that runs them in a loop over the data in
memory, compiled by XLA where it can be. Callbacks, History, validation and the progress bar are
Keras's own.
"""

import sys
from contextlib import contextmanager

from vae_notes._keras import keras, tf

__all__ = ["TEST", "TRAIN", "WholeEpoch", "batches", "instead", "supports_xla", "watches_batches"]

TRAIN = "on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end"
TEST = "on_test_batch_begin", "on_test_batch_end"


class WholeEpoch:
    """A function of (x, order) that takes one ``step`` for each batch and gives the last logs.

    Parameters
    ----------
    step : callable
        From a batch to logs; it may change variables.
    x : array (n, ...)
        The data, for its shape.
    batch_size : int
        The last batch may be smaller.
    jit_compile : bool or "auto"
        Whether with XLA; "auto" is yes, unless XLA refuses.
    """

    def __init__(self, step, x, batch_size, jit_compile="auto"):
        self.step, self.batch_size, self.jit_compile = step, batch_size, jit_compile
        self.signature = tf.TensorSpec(x.shape, x.dtype), tf.TensorSpec((len(x),), tf.int32)
        self.function = self._traced(bool(jit_compile))

    def __call__(self, x, order):
        try:
            return self.function(x, order)
        except tf.errors.InvalidArgumentError:
            if self.jit_compile != "auto":
                raise
        # XLA refused before it did anything, so this is the first time that the steps are taken
        self.jit_compile = False
        self.function = self._traced(False)
        return self.function(x, order)

    def _traced(self, jit_compile):
        function = tf.function(self._epoch, jit_compile=jit_compile, autograph=False)
        return function.get_concrete_function(*self.signature)

    def _epoch(self, x, order):
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


@contextmanager
def instead(model, function, steps, kind):
    """Let Keras call ``function`` once for all ``steps``; ``kind`` is "train" or "test"."""
    name = f"{kind}_function"
    kept = model.steps_per_execution, getattr(model, name)
    model.steps_per_execution = steps
    setattr(model, name, function)
    try:
        yield tf.data.Dataset.range(steps)  # as many elements as batches; nobody reads them
    finally:
        model.steps_per_execution = kept[0]
        setattr(model, name, kept[1])


def batches(x, order, batch_size):
    """A dataset of the batches of ``x``; asks ``order()`` anew at each pass."""
    indices = tf.data.Dataset.from_generator(
        lambda: iter([order()]), output_signature=tf.TensorSpec((len(x),), tf.int32)
    )
    indices = indices.flat_map(lambda i: tf.data.Dataset.from_tensor_slices(i).batch(batch_size))
    steps = -(-len(x) // batch_size)
    options = tf.data.Options()  # several machines take parts of a batch, not files
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    indices = indices.apply(tf.data.experimental.assert_cardinality(steps))
    return indices.map(lambda i: tf.gather(x, i)).with_options(options)


def supports_xla(model):
    """Whether no layer says that XLA cannot compile it; on a Mac's GPU it compiles nothing."""
    metal = sys.platform == "darwin" and tf.config.list_physical_devices("GPU")
    return not metal and all(layer.supports_jit for layer in model._flatten_layers())


def watches_batches(callbacks, hooks):
    """Whether a callback has something to do in a hook for batches, and so must see each batch."""
    return any(_acts(callback, hook) for callback in callbacks for hook in hooks)


def _acts(callback, hook):
    own = getattr(callback, hook)
    own = getattr(own, "__func__", own)
    idle = [keras.callbacks.Callback]
    if getattr(callback, "save_freq", None) == "epoch":  # Keras's own two only count batches then
        idle += [keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore]
    return own not in [getattr(each, hook) for each in idle]
