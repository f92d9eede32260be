"""The variational autoencoder as a Keras model."""

from __future__ import annotations

import math
import os
import zipfile
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_notes import _check, data
from vae_notes._keras import keras, ops, tf
from vae_notes._noise import across_devices, reparameterised, standard_normal
from vae_notes._passes import batch_shape, empty, fed, in_batches, is_source, run_out
from vae_notes._whole_epochs import WholeEpochs
from vae_notes.objective import Objective, weighted_loss

__all__ = ["VAE", "Sampling"]


@keras.saving.register_keras_serializable(package="vae_notes")
class Sampling(keras.layers.Layer):
    r"""Draws z from q(z|x) so that gradients reach its mean and log-variance.

    .. math:: z = \mu + e^{\frac{1}{2} \ln \sigma^2} \epsilon, \quad \epsilon \sim N(0, I)

    Parameters
    ----------
    seed : int
        Seed of the noise; each call draws anew.

    References
    ----------
    Kingma & Welling (2014), section 2.4; Rezende et al. (2014).
    Taught in chapter 1, *The VAE objective*, section *Why the encoder can learn:
    reparameterisation*.

    Examples
    --------
    >>> import numpy as np
    >>> z_mean, z_log_var = np.array([[0.0, 3.0]]), np.array([[0.0, -40.0]])
    >>> z = Sampling(seed=0)(z_mean, z_log_var)  # the second unit has no noise
    >>> round(float(z[0, 1]), 3)
    3.0
    """

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.seed = seed
        self.noise = keras.random.SeedGenerator(seed)

    def call(self, z_mean: Any, z_log_var: Any) -> Any:  # (B, D), (B, D) -> (B, D)
        count, latent_dim = ops.shape(z_mean)
        total, first = across_devices(count)  # every device draws for all, and takes its part
        noise = standard_normal((total, latent_dim), self.noise.next())[first : first + count]
        return reparameterised(z_mean, z_log_var, noise, ops.exp)

    def restart(self) -> None:
        """Let the noise begin again from the seed."""
        self.noise.state.assign(ops.array([self.seed, 0], self.noise.state.dtype))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}

    def save_own_variables(self, store: Any) -> None:
        store["noise"] = ops.convert_to_numpy(self.noise.state)

    def load_own_variables(self, store: Any) -> None:
        self.noise.state.assign(store["noise"])


@keras.saving.register_keras_serializable(package="vae_notes")
class VAE(WholeEpochs):
    r"""A variational autoencoder: an encoder, a decoder and the objective that trains them.

    Parameters
    ----------
    encoder : keras.Model or keras.layers.Layer
        Maps x (B, ...) to two tensors (B, D): the mean and the log-variance of q(z|x).
    decoder : keras.Model or keras.layers.Layer
        Maps z (B, D) to the shape of x: means, or logits where the likelihood is Bernoulli.
    objective : Objective
        The reductions, the KL weight and the likelihood.
    seed : int
        Seed of the noise in training, of the noise in ``evaluate``, and of ``sample``.

    Raises
    ------
    ValueError
        If the encoder does not give two tensors of one shape, or the decoder does not lead back
        from there to the shape of x.

    Notes
    -----
    ``compile``, ``fit``, ``evaluate``, ``predict`` and saving work as for any Keras model; the
    data is its own target. The metrics are ``loss`` (what is minimised), ``reconstruction`` and
    ``kl`` (sums over all dimensions, averaged over examples), ``elbo`` (in nats, never weighted:
    the one to monitor, with ``mode="max"``) and ``kl_weight`` (in force in that epoch).
    ``evaluate`` draws the same noise each time.

    References
    ----------
    Kingma & Welling (2014); Rezende et al. (2014).
    Taught in chapter 1, *The VAE objective*, section *A first nonlinear VAE*.

    Examples
    --------
    >>> from vae_notes import VAE, Objective, data
    >>> from vae_notes.networks import dense
    >>> x = data.digits()
    >>> vae = VAE(*dense(64, 8), Objective("sum", "sum"))
    >>> vae.compile("adam")
    >>> history = vae.fit(x, epochs=2, batch_size=100, verbose=0)
    >>> sorted(history.history)
    ['elbo', 'kl', 'kl_weight', 'loss', 'reconstruction']
    >>> vae.sample(3).shape
    (3, 64)
    """

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        objective: Objective | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.objective = Objective() if objective is None else objective
        self.seed = seed
        self.sampling = Sampling(seed, name="sampling")
        self.test_sampling = Sampling(seed, name="test_sampling")
        self.prior = Sampling(seed, name="prior")
        self._kl_weight = self.add_weight(
            name="kl_weight",
            initializer=keras.initializers.Constant(self.objective.kl_weight),
            trainable=False,
            dtype="float32",
            aggregation="only_first_replica",
        )
        self.trackers = {
            name: keras.metrics.Mean(name=name) for name in ("loss", "reconstruction", "kl")
        }
        self.data_shape: Any = None  # of one example, once it is known
        if getattr(encoder, "inputs", None):
            self.build(encoder.input_shape)

    def build(self, input_shape: Any) -> None:
        """Check that encoder and decoder fit each other and data of this shape."""
        x = keras.KerasTensor((None, *input_shape[1:]))
        latent = self.encoder(x)
        if not (isinstance(latent, (list, tuple)) and len(latent) == 2):
            given = len(latent) if isinstance(latent, (list, tuple)) else "one tensor"
            raise ValueError(
                f"The encoder gives {given}, but a VAE needs two, the mean and the log-variance "
                f"of q(z|x): return (z_mean, z_log_var), without the sample."
            )
        z_mean, z_log_var = latent
        if z_mean.shape != z_log_var.shape or len(z_mean.shape) != 2:
            raise ValueError(
                f"The encoder's mean has shape {z_mean.shape} and its log-variance "
                f"{z_log_var.shape}: give both as (batch, latent_dim)."
            )
        wanted = getattr(self.decoder, "input_shape", z_mean.shape)
        if wanted[1:] != z_mean.shape[1:]:
            raise ValueError(
                f"The encoder has latent_dim={z_mean.shape[-1]} and the decoder takes "
                f"{wanted[-1]}: build both with one latent_dim."
            )
        decoded = self.decoder(z_mean)
        if decoded.shape[1:] != x.shape[1:]:
            raise ValueError(
                f"The decoder gives shape {decoded.shape[1:]} for data of shape {x.shape[1:]}: "
                f"build it for the shape of the data."
            )
        self.data_shape = tuple(x.shape[1:])
        self.latent_dim = z_mean.shape[-1]
        self.built = True

    @property
    def data_dim(self) -> int:
        """N, the number of values in one example."""
        return math.prod(self.data_shape)

    @property
    def kl_weight(self) -> Any:
        """The KL weight in force, a Keras variable; assign a number to change it."""
        return self._kl_weight

    @kl_weight.setter
    def kl_weight(self, value: float) -> None:
        self._kl_weight.assign(value)

    # Training

    def compile(self, optimizer: Any = "adam", **kwargs: Any) -> None:
        """As for any Keras model, without a loss: that is the objective.

        Raises
        ------
        ValueError
            If a loss is given.
        """
        if kwargs.get("loss") is not None:
            raise ValueError(
                f"compile was given loss={kwargs['loss']!r}, but a VAE's loss is its objective: "
                f"leave it out and choose Objective(reconstruction, kl, kl_weight)."
            )
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        **kwargs: Any,
    ) -> Any:
        """As for any Keras model; arrays in memory run whole epochs in one compiled program.

        The order of the examples is a function of the model's seed and the epoch. A callback
        that wants to see each batch gets to see it, at the price of the speed. What does not fit
        into memory comes batch by batch, from a ``tf.data.Dataset`` or a generator.

        Raises
        ------
        ValueError
            If the data are unusable, or outside of what the likelihood is for, as far as they are
            no dataset; or if a dataset or generator is empty, never ends, or ends before
            ``steps_per_epoch`` batches in each epoch.
        """
        for name in ("class_weight", "sample_weight"):
            if kwargs.pop(name, None) is not None:
                raise ValueError(f"A VAE weighs all examples alike: leave out {name}.")
        errors: list[Exception] = []
        refuse = self.objective.likelihood.check
        steps = kwargs.get("steps_per_epoch"), "steps_per_epoch"
        x = fed(self._checked(x, y), self.data_shape, *steps, errors, refuse, epochs)
        if validation_data is not None:
            validation_data = self._checked(validation_data)
            each = kwargs.get("validation_steps"), "validation_steps"
            validation_data = fed(validation_data, self.data_shape, *each, errors, refuse, epochs)
        with run_out(x, *steps, errors):
            history = super().fit(
                x,
                None,
                batch_size,
                epochs,
                verbose,
                callbacks,
                validation_split,
                validation_data,
                shuffle,
                **kwargs,
            )
        if is_source(x) and history.epoch and "loss" not in history.history:
            raise empty(x)
        return history

    def evaluate(
        self,
        x: Any = None,
        y: None = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        **kwargs: Any,
    ) -> Any:
        """As for any Keras model, on the same noise each time."""
        errors: list[Exception] = []
        steps = kwargs.get("steps"), "steps"
        refuse = self.objective.likelihood.check
        x = fed(self._checked(x, y), self.data_shape, *steps, errors, refuse)
        self.test_sampling.restart()
        with run_out(x, *steps, errors):
            found = super().evaluate(x, None, batch_size, verbose, **kwargs)
        if is_source(x) and not found:
            raise empty(x)
        # tensors, before Keras 3.13
        return keras.tree.map_structure(lambda of: float(of) if tf.is_tensor(of) else of, found)

    def predict(self, x: Any, **kwargs: Any) -> NDArray[np.float32]:
        """As for any Keras model; what :meth:`call` gives, an array of the shape of ``x``."""
        return super().predict(self._checked(x), **kwargs)

    def terms(self, x: Any, sampling: Any) -> tuple[Any, Any]:
        """Reconstruction and KL term of each example, (B,) each, for one draw of z."""
        z_mean, z_log_var = self.encoder(x, training=sampling is self.sampling)
        z = sampling(z_mean, z_log_var)
        decoded = self.decoder(z, training=sampling is self.sampling)
        return self.objective.terms(x, decoded, z_mean, z_log_var)

    def train_step(self, batch: Any) -> Any:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        # At the end of a dataset whose length it does not know Keras asks for a step without data:
        # that must fail before noise is drawn and the optimiser counts.
        with tf.control_dependencies([x]):
            return self._step(x)

    def _step(self, x: Any) -> Any:
        with tf.GradientTape() as tape:
            terms = self.terms(x, self.sampling)
            loss = self._loss(*terms)
            # The optimiser adds up the gradients of all devices; mixed precision scales them, too.
            count = ops.shape(terms[0])[0]
            total, _ = across_devices(count)
            share = ops.cast(count, "float32") / ops.cast(total, "float32")
            scaled = self.optimizer.scale_loss(loss * share)
        gradients = tape.gradient(scaled, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return self._track(loss, *terms)

    def test_step(self, batch: Any) -> Any:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        terms = self.terms(x, self.test_sampling)
        return self._track(self._loss(*terms), *terms)

    def _loss(self, reconstruction: Any, kl: Any) -> Any:
        weights = self.objective.weights(self.data_dim, self.latent_dim, self._kl_weight)
        # regularisers of layers, if any, count in training and validation
        return weighted_loss(reconstruction, kl, weights) + sum(self.losses)

    def _track(self, loss: Any, reconstruction: Any, kl: Any) -> Any:
        examples = ops.shape(kl)[0]
        for name, value in {"loss": loss, "reconstruction": reconstruction, "kl": kl}.items():
            mean = ops.where(examples > 0, ops.mean(value), 0.0)  # a device may have none
            self.trackers[name].update_state(mean, sample_weight=examples)
        logs = self.get_metrics_result()
        several = self.distribute_strategy.num_replicas_in_sync > 1
        if several and isinstance(
            self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy
        ):
            return {name: value[None] for name, value in logs.items()}
        return logs

    @property
    def metrics(self) -> list[Any]:
        return list(self.trackers.values())

    def get_metrics_result(self) -> dict[str, Any]:
        logs = {name: tracker.result() for name, tracker in self.trackers.items()}
        reconstruction, kl = logs["reconstruction"], logs["kl"]
        logs["elbo"] = self.objective.elbo(reconstruction, kl, self.data_dim, self.latent_dim)
        logs["kl_weight"] = tf.identity(self._kl_weight.value)
        return logs

    # Use

    def call(self, x: Any, training: bool | None = None) -> Any:
        """The decoder's mean for the mean of q(z|x)."""
        z_mean, _ = self.encoder(x, training=training)
        return self._mean(z_mean, training)

    def encode(self, x: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and log-variance of q(z|x), arrays (n, D)."""
        return in_batches(self.encoder, self._checked(x))

    def decode(self, z: ArrayLike) -> NDArray[np.float32]:
        """The decoder's mean for latent points (n, D), an array of the shape of data."""
        z = data.check(z, (self.latent_dim,))
        return in_batches(self._mean, z)

    def reconstruct(self, x: ArrayLike) -> NDArray[np.float32]:
        """The decoder's mean for the mean of q(z|x), an array of the shape of ``x``."""
        return in_batches(self, self._checked(x))

    def sample(self, n: int, seed: int | None = None) -> NDArray[np.float32]:
        """Decode ``n`` draws from the prior; with a seed, always the same ones."""
        standard = np.zeros((n, self.latent_dim), "float32")  # mean and log-variance of the prior
        prior = self.prior if seed is None else Sampling(seed)
        return self.decode(ops.convert_to_numpy(prior(standard, standard)))

    def _mean(self, z: Any, training: bool | None) -> Any:
        return self.objective.likelihood.mean(self.decoder(z, training=training))

    def _checked(self, x: Any, y: None = None) -> Any:
        """Arrays pass the one validator; datasets and generators are left to Keras."""
        if y is not None:
            raise ValueError(
                "A VAE was given targets y, but its data is its own target: call it with x alone."
            )
        if isinstance(x, tuple) and len(x) in (1, 2) and hasattr(x[0], "shape"):
            x = x[0]
        if is_source(x) and self.data_shape is None:
            shape, x = batch_shape(x)
            self.build(shape)
        if not isinstance(x, (np.ndarray, list)) and not hasattr(x, "__array__"):
            return x
        x = data.check(x, self.data_shape)
        if self.data_shape is None:
            self.build(x.shape)
        return x

    # Saving

    def get_config(self) -> dict[str, Any]:
        return {
            **keras.layers.Layer.get_config(self),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "objective": self.objective.get_config(),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> VAE:
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("encoder", "decoder")
        }
        return cls(**{**config, **parts, "objective": Objective(**config["objective"])})

    @classmethod
    def load(cls, path: str | os.PathLike) -> VAE:
        """Load a saved VAE with its optimiser state and KL weight.

        Raises
        ------
        ValueError
            If the file is missing, damaged or holds something else.
        """
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path} is missing or no .keras file: save one with vae.save(path).")
        try:
            model = keras.saving.load_model(path)
        except Exception as error:
            raise ValueError(
                f"{path} cannot be loaded ({_check.reason(error)}): it is damaged or needs custom "
                f"layers; save the model again or register its layers."
            ) from error
        if not isinstance(model, cls):
            raise ValueError(f"{path} holds a {type(model).__name__}: give the file of a VAE.")
        return model
