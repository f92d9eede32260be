"""XLA where it is faster, by what is in the program; the choice can be seen and overridden."""

import numpy as np
import pytest

from vae_notes import VAE, networks
from vae_notes._keras import keras, tf
from vae_notes._xla import Compiled

IMAGES = np.random.default_rng(0).random((16, 8, 8, 1), dtype=np.float32)


def convolutional(**kwargs):
    vae = VAE(*networks.convolutional((8, 8, 1), 2, (4,)))
    vae.compile("adam", **kwargs)
    return vae


def test_a_dense_model_gets_xla_and_a_convolutional_one_does_not():
    dense = VAE(*networks.dense(64, 2, (4,)))
    dense.compile("adam")
    dense.fit(IMAGES.reshape(16, 64), batch_size=16, verbose=0)
    assert dense.uses_xla == {"train": True}
    vae = convolutional()
    vae.fit(IMAGES, batch_size=8, validation_data=IMAGES, verbose=0)
    assert vae.uses_xla == {"train": False, "test": False}


@pytest.mark.parametrize("asked", [True, False])
def test_the_choice_can_be_overridden(asked):
    vae = convolutional(jit_compile=asked)
    vae.fit(IMAGES, batch_size=16, verbose=0)
    assert vae.uses_xla == {"train": asked}


SLOW = {
    "convolution": lambda x: tf.nn.conv2d(x, tf.ones((3, 3, 1, 2)), 1, "SAME"),
    "its gradient": lambda x: tf.gradients(tf.nn.conv2d(x, tf.ones((3, 3, 1, 1)), 1, "SAME"), x)[0],
    "depthwise": lambda x: tf.nn.depthwise_conv2d(x, tf.ones((3, 3, 1, 2)), [1] * 4, "SAME"),
    "in a loop": lambda x: tf.while_loop(
        lambda i, y: i < 2,
        lambda i, y: (i + 1, tf.nn.conv2d(y, tf.ones((3, 3, 1, 1)), 1, "SAME")),
        (0, x),
    )[1],
}


@pytest.mark.parametrize("name", SLOW)
def test_convolutions_are_found_however_deep(name):
    compiled = Compiled(SLOW[name], [tf.TensorSpec((1, 3, 3, 1))])
    assert not compiled.xla


def test_a_gpu_has_them_all(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a " + kind])
    assert Compiled(SLOW["convolution"], [tf.TensorSpec((1, 3, 3, 1))]).xla


def test_what_xla_refuses_runs_without_it_unless_it_was_asked_for():
    def opaque(x):
        return tf.numpy_function(lambda a: 2 * a, [x], tf.float32)

    signature = [tf.TensorSpec((2,))]
    compiled = Compiled(opaque, signature)
    assert compiled(tf.ones(2)).numpy().tolist() == [2, 2] and not compiled.xla
    with pytest.raises(tf.errors.InvalidArgumentError):
        Compiled(opaque, signature, True)(tf.ones(2))


def test_an_error_of_ones_own_is_not_taken_for_a_refusal():
    def fails(x):
        with tf.control_dependencies([tf.debugging.assert_positive(x)]):
            return tf.identity(x)

    compiled = Compiled(fails, [tf.TensorSpec((2,))], False)
    with pytest.raises(tf.errors.InvalidArgumentError):
        compiled(-tf.ones(2))


def test_a_convolutional_model_trains_as_keras_trains_it():
    """One step at a time, by Keras's own fit and train_step, against a whole epoch."""

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    fast, slow = convolutional(), convolutional()
    a = fast.fit(IMAGES, epochs=3, batch_size=5, verbose=0).history
    b = slow.fit(IMAGES, epochs=3, batch_size=5, verbose=0, callbacks=[Watch()]).history
    assert not slow.compiled_epochs
    for metric, values in b.items():
        np.testing.assert_allclose(a[metric], values, rtol=1e-5, err_msg=metric)
