"""Whole epochs inside one compiled program, for ``VAE.fit`` and ``VAE.evaluate`` on arrays.

A small model spends its time between steps, not in them. Here Keras is told that one execution
holds all steps of the epoch, and gets a function that runs them in an XLA loop over the data in
memory. Callbacks, History, validation and the progress bar are Keras's own.
"""

from contextlib import contextmanager

from vae_notes._keras import keras, tf

__all__ = ["batches", "compiled", "watches_batches", "whole_epochs"]


def compiled(step, count, batch_size):
    """A function of (x, order) that takes one ``step`` for each batch and gives the last logs."""
    steps, last = divmod(count - 1, batch_size)  # the last batch gives the logs

    @tf.function(jit_compile=True, autograph=False)
    def epoch(x, order):
        indices = tf.reshape(order[: steps * batch_size], (steps, batch_size))

        def body(i):
            step(tf.gather(x, indices[i]))
            return i + 1

        tf.while_loop(lambda i: i < steps, body, (0,), maximum_iterations=steps)
        return step(tf.gather(x, order[count - last - 1 :]))

    return epoch


@contextmanager
def whole_epochs(model, function, steps, kind):
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
    return indices.apply(tf.data.experimental.assert_cardinality(steps)).map(
        lambda i: tf.gather(x, i)
    )


def watches_batches(callbacks):
    """Whether a callback wants to be called for each batch."""
    hooks = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
    for callback in callbacks:
        if "epoch" in (getattr(callback, "save_freq", None), getattr(callback, "by", None)):
            continue  # has such a hook, and does nothing in it
        for hook in hooks:
            own = getattr(callback, hook, None)
            if getattr(own, "__func__", own) is not getattr(keras.callbacks.Callback, hook):
                return True
    return False
