"""A step of training by Keras, by this package, and its matrix products alone.

    python ours.py keras|fit|sweep|floor CASE REPLICATES

A contestant of benchmarks/bench.py, which starts it; see cases.py for what it answers.
"""

import functools
import sys

import numpy as np
from cases import serve

from vae_notes import VAE
from vae_notes.networks import convolutional, dense
from vae_notes.recipes import Recipe
from vae_notes.sweep import Plan

import keras
import tensorflow as tf
from keras import ops

GPUS = tf.config.list_physical_devices("GPU")


def builder(case):
    make = convolutional if case.convolutional else dense
    first = case.shape if case.convolutional else case.shape[0]
    return functools.partial(make, first, case.latent_dim, case.widths)


class Draw(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, z_mean, z_log_var):
        noise = keras.random.normal(ops.shape(z_mean), seed=self.seeds)
        return z_mean + ops.exp(z_log_var / 2) * noise


class Handwritten(keras.Model):
    """A VAE as one writes it after Keras's guide: a ``train_step`` of one's own, nothing else."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder, self.draw = encoder, decoder, Draw()
        self.means = [keras.metrics.Mean(name=name) for name in ("loss", "reconstruction", "kl")]

    @property
    def metrics(self):
        return self.means

    def train_step(self, x):
        with tf.GradientTape() as tape:
            z_mean, z_log_var = self.encoder(x)
            errors = ops.square(x - self.decoder(self.draw(z_mean, z_log_var)))
            reconstruction = ops.mean(ops.sum(errors, axis=range(1, len(x.shape))))
            kl = ops.square(z_mean) + ops.exp(z_log_var) - 1 - z_log_var
            kl = ops.mean(ops.sum(kl, axis=1)) / 2
            loss = reconstruction + kl
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for mean, value in zip(self.means, (loss, reconstruction, kl), strict=True):
            mean.update_state(value)
        return {mean.name: mean.result() for mean in self.means}


def fit(make, case, replicates):
    model, x = make(*builder(case)()), case.examples()
    model.compile("adam")

    def run(calls):
        model.fit(x, batch_size=case.batch_size, epochs=calls, verbose=0)

    return run, case.steps


def sweep(case, replicates):
    """What ``sweep`` does between its compilation and its results."""
    epochs = max(1, 512 // case.steps) if np.prod(case.shape) < 100 else 1  # a call is short
    x, seeds = case.examples(), range(replicates)
    recipes, size = [Recipe("one")], case.batch_size
    plan = Plan(builder(case), recipes, x, epochs=epochs, seeds=seeds, batch_size=size)
    training = plan.training()

    def run(calls):
        for _ in range(calls):
            training.advance(0)

    return run, case.steps * training.chunk


def floor(case, replicates):
    """The products of one step, forward and backward, into arrays that are there."""
    products = [arrays(*shape) for shape in case.products]

    def run(calls):
        for _ in range(calls * case.steps):
            for a, b, out in products:
                np.matmul(a, b, out=out)

    return run, case.steps


def arrays(n, k, m):
    random = np.random.default_rng(0).random
    return random((n, k), np.float32), random((k, m), np.float32), np.empty((n, m), np.float32)


MAKERS = {
    "keras": functools.partial(fit, Handwritten),
    "fit": functools.partial(fit, VAE),
    "sweep": sweep,
    "floor": floor,
}


def main():
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    gpu = None
    if GPUS:
        name = tf.config.experimental.get_device_details(GPUS[0]).get("device_name", "GPU")
        gpu = name, lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"]
    serve(MAKERS[sys.argv[1]], versions, gpu)


if __name__ == "__main__":
    main()
