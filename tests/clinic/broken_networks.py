"""Broken networks of Keras: trained, or not, the way that people do it."""

import numpy as np
from broken import ASKED, NOT_ASKED, case, sample

from vae_notes import VAE, KLAnnealing, Objective, data, networks, schedules
from vae_notes._keras import keras

EPOCHS = 60


def digits():
    return data.split(data.digits())


def trained(vae, x, epochs=EPOCHS, learning_rate=1e-3, **options):
    vae.compile(keras.optimizers.Adam(learning_rate))
    vae.fit(x, epochs=epochs, verbose=0, **options)
    return vae


BERNOULLI = Objective(likelihood="bernoulli")


@case("worse than no code", digits=(64, 8, Objective()), bernoulli=(64, 8, BERNOULLI),
      sharp=(64, 8, Objective.for_noise_variance(0.05)))  # fmt: skip
def a_network_without_training(data_dim, latent_dim, objective):
    return {"model_or_encode": VAE(*networks.dense(data_dim, latent_dim), objective),
            "x": sample("digits").astype("float32")}  # fmt: skip


@case("worse than no code", plain=(False,), normalised=(True,))
def convolutions_without_training(batch_normalisation):
    build = networks.convolutional((14, 14, 1), 8, (8, 16), batch_normalisation=batch_normalisation)
    return {"model_or_encode": VAE(*build, Objective.for_noise_variance(0.1)),
            "x": data.mnist(14)[:1000].reshape(-1, 14, 14, 1)}  # fmt: skip


@case(ASKED)
def a_trained_network_of_two_means():
    train, test = digits()
    vae = VAE(*networks.dense(64, 8), Objective("mean", "mean"))
    return {"model_or_encode": trained(vae, train, 20), "x": test}


@case(NOT_ASKED)
def a_deep_network():
    train, test = digits()
    vae = VAE(*networks.dense(64, 8, (64,) * 6), Objective.for_noise_variance(0.3))
    return {"model_or_encode": trained(vae, train, 40), "x": test}


@case("probabilities where logits are wanted")
def keras_io_with_a_bernoulli_objective():
    train, test = digits()
    encoder, decoder = networks.dense(64, 8)
    decoder = keras.Model(decoder.input, keras.layers.Activation("sigmoid")(decoder.output))
    vae = VAE(encoder, decoder, Objective(likelihood="bernoulli"))
    return {"model_or_encode": trained(vae, train, 30), "x": test}


@case("data out of the decoder's reach", tanh=("tanh",), sigmoid=("sigmoid",), relu=("relu",))
def a_trained_decoder_that_ends_in(activation):
    x = sample("wine").astype("float32")
    encoder, decoder = networks.dense(13, 4, (32,))
    decoder = keras.Model(decoder.input, keras.layers.Activation(activation)(decoder.output))
    vae = VAE(encoder, decoder, Objective.for_noise_variance(0.2))
    return {"model_or_encode": trained(vae, x, 200), "x": x}


@case("KL weight is not the objective's", unfinished=(schedules.linear(0, 400),),
      frozen=(schedules.constant(0),), cut=(schedules.cyclical(100),))  # fmt: skip
def a_schedule_that_did_not_end(schedule):
    train, test = digits()
    vae = VAE(*networks.dense(64, 8), Objective())
    trained(vae, train, 30, callbacks=[KLAnnealing(schedule)])
    return {"model_or_encode": vae, "x": test}


@case("a head that cannot be negative")
def a_trained_relu_on_the_mean():
    train, test = digits()
    encoder, decoder = networks.dense(64, 8)
    z_mean, z_log_var = encoder.output
    encoder = keras.Model(encoder.input, [keras.layers.Activation("relu")(z_mean), z_log_var])
    vae = VAE(encoder, decoder, Objective.for_noise_variance(0.05))
    return {"model_or_encode": trained(vae, train), "x": test}


@case("trained without noise")
def a_decoder_trained_on_the_mean():
    train, test = digits()

    class Deterministic(VAE):
        def terms(self, x, sampling):
            z_mean, z_log_var = self.encoder(x)
            return self.objective.terms(x, self.decoder(z_mean), z_mean, z_log_var)

    vae = Deterministic(*networks.dense(64, 8), Objective.for_noise_variance(0.02))
    return {"model_or_encode": trained(vae, train), "x": test}


class Tutorial(keras.Model):
    """After the interface of TensorFlow's tutorial: encode, decode, and no objective."""

    def __init__(self, vae):
        super().__init__()
        self.inner = vae

    def encode(self, x):
        return self.inner.encoder(x)

    def decode(self, z, apply_sigmoid=False):
        logits = self.inner.decoder(z)
        return keras.ops.sigmoid(logits) if apply_sigmoid else logits


@case("worse than no code")
def the_interface_of_the_tutorial():
    vae = VAE(*networks.dense(64, 8), Objective(likelihood="bernoulli"))
    return {"model_or_encode": Tutorial(vae), "x": sample("digits").astype("float32"),
            "objective": "bernoulli"}  # fmt: skip


@case("training was unstable", "worse than no code")
def a_learning_rate_of_one():
    train, test = digits()
    vae = VAE(*networks.dense(64, 8, (64, 64)), Objective.for_noise_variance(0.05))
    vae.compile(keras.optimizers.SGD(2e-4, momentum=0.9))
    history = vae.fit(train * 10, epochs=10, verbose=0)
    return {"model_or_encode": _usable(vae), "x": test * 10, "history": history}


def _usable(vae):
    """The same, if its weights are numbers; else a network of the same kind."""
    if np.isfinite(vae.encode(np.zeros((2, 64), "float32"))[0]).all():
        return vae
    return VAE(*networks.dense(64, 8, (64, 64)), vae.objective)


@case("overfitted")
def a_wide_network_on_few_rows():
    x = data.digits()
    vae = VAE(*networks.dense(64, 32, (256,)), Objective.for_noise_variance(0.001))
    trained(vae, x[:60], 1000, batch_size=20)
    return {"model_or_encode": vae, "x": x[1000:], "x_train": x[:60]}


@case("used in training mode", "worse than no code")
def moving_averages_that_never_moved():
    train, test = digits()
    encoder, decoder = networks.dense(64, 8, batch_normalisation=True)
    for part in (encoder, decoder):
        for layer in part.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.999999
    vae = VAE(encoder, decoder, Objective.for_noise_variance(0.05))
    return {"model_or_encode": trained(vae, train * 3, 30), "x": test * 3}
