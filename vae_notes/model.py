"""The variational autoencoder as a Keras model."""

import math
import zipfile

import numpy as np

from vae_notes import data
from vae_notes import epochs as whole_epochs
from vae_notes._keras import keras, ops, tf
from vae_notes.noise import across_devices, batch_order, standard_normal
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

    def __init__(self, seed=0, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.seed = seed
        self.noise = keras.random.SeedGenerator(seed)

    def call(self, z_mean, z_log_var):  # (B, D), (B, D) -> (B, D)
        count, latent_dim = ops.shape(z_mean)
        total, first = across_devices(count)  # every device draws for all, and takes its part
        noise = standard_normal((total, latent_dim), self.noise.next())[first : first + count]
        return z_mean + ops.exp(0.5 * z_log_var) * noise

    def restart(self):
        """Let the noise begin again from the seed."""
        self.noise.state.assign(ops.array([self.seed, 0], self.noise.state.dtype))

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}

    def save_own_variables(self, store):
        store["noise"] = ops.convert_to_numpy(self.noise.state)

    def load_own_variables(self, store):
        self.noise.state.assign(store["noise"])


@keras.saving.register_keras_serializable(package="vae_notes")
class VAE(keras.Model):
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

    def __init__(self, encoder, decoder, objective=None, seed=0, **kwargs):
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
        self.data_shape = None
        self.epoch = 0
        if getattr(encoder, "inputs", None):
            self.build(encoder.input_shape)

    def build(self, input_shape):
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
    def data_dim(self):
        """N, the number of values in one example."""
        return math.prod(self.data_shape)

    @property
    def kl_weight(self):
        """The KL weight in force, a Keras variable; assign a number to change it."""
        return self._kl_weight

    @kl_weight.setter
    def kl_weight(self, value):
        self._kl_weight.assign(value)

    # Training

    def compile(self, optimizer="adam", **kwargs):
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
        super().compile(optimizer=optimizer, **kwargs)
        self.asked = {"jit_compile": "auto", "steps_per_execution": 1} | kwargs
        self.compiled_epochs = {}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        **kwargs,
    ):
        """As for any Keras model; arrays in memory run whole epochs in one compiled program.

        The order of the examples is a function of the model's seed and the epoch. A callback
        that wants to see each batch gets to see it, at the price of the speed.
        """
        for name in ("class_weight", "sample_weight"):
            if kwargs.get(name) is not None:
                raise ValueError(f"A VAE weighs all examples alike: leave out {name}.")
        x = self._checked(x, y)
        if validation_data is not None:
            validation_data = self._checked(validation_data)
        options = dict(epochs=epochs, verbose=verbose, **kwargs)
        if not isinstance(x, np.ndarray) or kwargs.get("steps_per_epoch") is not None:
            return super().fit(
                x,
                batch_size=batch_size,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=validation_data,
                shuffle=shuffle if isinstance(x, np.ndarray) else False,  # datasets: no warning
                **options,
            )
        if validation_data is None and validation_split:
            kept = int(len(x) * (1 - validation_split))
            if not 0 < kept < len(x):
                raise ValueError(
                    f"validation_split={validation_split:g} leaves one part of {len(x)} examples "
                    f"empty: give a fraction that leaves both some."
                )
            x, validation_data = x[:kept], x[kept:]
        callbacks = [
            _Epoch(),
            *keras.tree.flatten(getattr(callbacks, "callbacks", callbacks) or []),
        ]
        batch_size = batch_size or 32
        options |= dict(callbacks=callbacks, validation_data=validation_data, shuffle=False)
        options["validation_batch_size"] = kwargs.get("validation_batch_size") or batch_size
        steps = math.ceil(len(x) / batch_size)

        def order():
            count = len(x)
            return batch_order(self.seed, self.epoch, count) if shuffle else np.arange(count)

        if not self._runs_whole_epochs(callbacks, whole_epochs.TRAIN):
            return super().fit(whole_epochs.batches(x, order, batch_size), **options)
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        epoch, tensor = self._whole_epoch(self.train_step, x, batch_size), tf.constant(x)
        train = lambda _: epoch(tensor, tf.constant(order(), tf.int32))  # noqa: E731
        with whole_epochs.instead(self, train, steps, "train") as dataset:
            return super().fit(dataset, **options)

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", **kwargs):
        """As for any Keras model, on the same noise each time."""
        x = self._checked(x, y)
        self.test_sampling.restart()
        options = dict(verbose=verbose, **kwargs)
        callbacks = kwargs.get("callbacks")
        callbacks = keras.tree.flatten(getattr(callbacks, "callbacks", callbacks) or [])
        whole = isinstance(x, np.ndarray) and kwargs.get("steps") is None
        if not (whole and self._runs_whole_epochs(callbacks, whole_epochs.TEST)):
            return super().evaluate(x, batch_size=batch_size, **options)
        options.pop("_use_cached_eval_dataset", None)  # how fit asks for the same data once more
        batch_size = batch_size or 32
        epoch, tensor = self._whole_epoch(self.test_step, x, batch_size), tf.constant(x)
        test = lambda _: epoch(tensor, tf.range(len(x)))  # noqa: E731
        with whole_epochs.instead(self, test, math.ceil(len(x) / batch_size), "test") as dataset:
            return super().evaluate(dataset, **options)

    def _runs_whole_epochs(self, callbacks, hooks):
        one_device = self.distribute_strategy.num_replicas_in_sync == 1
        one_step = self.asked["steps_per_execution"] == 1 and not self.run_eagerly
        return one_device and one_step and not whole_epochs.watches_batches(callbacks, hooks)

    def _whole_epoch(self, step, x, batch_size):
        key = f"{step.__name__} {x.shape} {batch_size}"
        if key not in self.compiled_epochs:
            asked = self.asked["jit_compile"]
            compiled = False if not whole_epochs.supports_xla(self) else asked
            self.compiled_epochs[key] = whole_epochs.WholeEpoch(step, x, batch_size, compiled)
        return self.compiled_epochs[key]

    def predict(self, x, **kwargs):
        """As for any Keras model; what :meth:`call` gives, an array of the shape of ``x``."""
        return super().predict(self._checked(x), **kwargs)

    def terms(self, x, sampling):
        """Reconstruction and KL term of each example, (B,) each, for one draw of z."""
        z_mean, z_log_var = self.encoder(x, training=sampling is self.sampling)
        z = sampling(z_mean, z_log_var)
        decoded = self.decoder(z, training=sampling is self.sampling)
        return self.objective.terms(x, decoded, z_mean, z_log_var)

    def train_step(self, batch):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
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

    def test_step(self, batch):
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        terms = self.terms(x, self.test_sampling)
        return self._track(self._loss(*terms), *terms)

    def _loss(self, reconstruction, kl):
        weights = self.objective.weights(self.data_dim, self.latent_dim, self._kl_weight)
        # regularisers of layers, if any, count in training and validation
        return weighted_loss(reconstruction, kl, weights) + sum(self.losses)

    def _track(self, loss, reconstruction, kl):
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
    def metrics(self):
        return list(self.trackers.values())

    def get_metrics_result(self):
        logs = {name: tracker.result() for name, tracker in self.trackers.items()}
        reconstruction, kl = logs["reconstruction"], logs["kl"]
        logs["elbo"] = self.objective.elbo(reconstruction, kl, self.data_dim, self.latent_dim)
        logs["kl_weight"] = tf.identity(self._kl_weight.value)
        return logs

    # Use

    def call(self, x, training=None):
        """The decoder's mean for the mean of q(z|x)."""
        z_mean, _ = self.encoder(x, training=training)
        return self._mean(self.decoder(z_mean, training=training))

    def encode(self, x):
        """Mean and log-variance of q(z|x), arrays (n, D)."""
        return in_batches(self.encoder, self._checked(x))

    def decode(self, z):
        """The decoder's mean for latent points (n, D), an array of the shape of data."""
        z = data.check(z, (self.latent_dim,))
        return in_batches(lambda z, training: self._mean(self.decoder(z, training=training)), z)

    def reconstruct(self, x):
        """The decoder's mean for the mean of q(z|x), an array of the shape of ``x``."""
        return in_batches(self, self._checked(x))

    def sample(self, n, seed=None):
        """Decode ``n`` draws from the prior; with a seed, always the same ones."""
        standard = np.zeros((n, self.latent_dim), "float32")  # mean and log-variance of the prior
        prior = self.prior if seed is None else Sampling(seed)
        return self.decode(ops.convert_to_numpy(prior(standard, standard)))

    def _mean(self, decoded):
        return ops.sigmoid(decoded) if self.objective.likelihood == "bernoulli" else decoded

    def _checked(self, x, y=None):
        """Arrays pass the one validator; datasets and generators are left to Keras."""
        if y is not None:
            raise ValueError(
                "A VAE was given targets y, but its data is its own target: call it with x alone."
            )
        if isinstance(x, tuple) and len(x) in (1, 2) and hasattr(x[0], "shape"):
            x = x[0]
        if not isinstance(x, (np.ndarray, list)) and not hasattr(x, "__array__"):
            return x
        x = data.check(x, self.data_shape)
        if self.data_shape is None:
            self.build(x.shape)
        return x

    # Saving

    def get_config(self):
        return {
            **keras.layers.Layer.get_config(self),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
            "objective": vars(self.objective).copy(),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in ("encoder", "decoder")
        }
        return cls(**{**config, **parts, "objective": Objective(**config["objective"])})

    @classmethod
    def load(cls, path):
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
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"{path} cannot be loaded ({reason}): it is damaged or needs custom layers; save "
                f"the model again or register its layers."
            ) from error
        if not isinstance(model, cls):
            raise ValueError(f"{path} holds a {type(model).__name__}: give the file of a VAE.")
        return model


def in_batches(model, x, size=1024):
    """A model's outputs for all of ``x``, as arrays; several outputs as a tuple of them."""
    # Keras's predict would trace anew for each model, and warn about it.
    parts = [model(x[i : i + size], training=False) for i in range(0, len(x), size)]
    if isinstance(parts[0], (list, tuple)):
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
    return np.concatenate(parts)


class _Epoch(keras.callbacks.Callback):
    """Tells the model which epoch it is in, so that resumed runs go on with its batches."""

    def on_train_begin(self, logs=None):
        # Keras has its iterator by now; evaluate and predict in callbacks should see no other value
        self.model.steps_per_execution = self.model.asked["steps_per_execution"]

    def on_epoch_begin(self, epoch, logs=None):
        self.model.epoch = epoch
