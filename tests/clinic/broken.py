"""Broken VAEs as data: how each is built, and what must be found first.

``build()`` gives the arguments of ``diagnose``. Most are linear VAEs at their exact optimum with
one thing spoilt, so that nothing but the cause is wrong; ``broken_networks.py`` has networks, and
``broken_torch.py`` those of PyTorch.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit

from vae_notes import Objective, data, theory

CASES = []


@dataclass(frozen=True)
class Case:
    """One broken model: a name, the findings any of which may come first, and how to build it."""

    name: str
    expected: tuple[str, ...]
    build: Callable[[], dict[str, Any]]


def case(*expected, **settings):
    """Make a case of a function, or one for each named set of its arguments."""

    def add(function):
        named = settings or {"": ()}
        for suffix, arguments in named.items():
            name = " ".join(filter(None, [function.__name__.replace("_", " "), suffix]))
            CASES.append(Case(name, expected, functools.partial(function, *arguments)))
        return function

    return add


# Data, each with a noise variance at which several units are worth something


@functools.cache
def sample(name):
    """Rows as float64, flattened."""
    if name == "digits":
        return data.digits().astype(float)
    if name.startswith("mnist"):
        side = int(name[5:])
        x = data.mnist(side)
        return x.reshape(len(x), -1).astype(float)
    if name == "co2":
        x = data.co2()
        x = np.asarray(x, float).reshape(len(x), -1)
        return (x - x.mean(axis=0)) / x.std()
    if name == "wine":
        from sklearn.datasets import load_wine

        x = load_wine().data
        return (x - x.mean(axis=0)) / x.std(axis=0)
    if name == "tumours":
        from sklearn.datasets import load_breast_cancer

        x = load_breast_cancer().data
        return (x - x.mean(axis=0)) / x.std(axis=0)
    return data.linear_gaussian([4.0, 2.0, 1.0, 0.2, 0.1], count=1000).astype(float)


class Linear:
    """The best linear VAE for a noise variance, as a model with encode and decode."""

    def __init__(self, x, latent_dim, noise_variance):
        self.best = theory.optimal_parameters(x, latent_dim, noise_variance)

    def encode(self, x):
        z_mean = x @ self.best.encoder_weights + self.best.encoder_bias
        return z_mean, np.broadcast_to(self.best.z_log_var, z_mean.shape)

    def decode(self, z):
        return z @ self.best.decoder_weights + self.best.decoder_bias


def given(model, x, noise_variance, **spoilt):
    return {
        "model_or_encode": model.encode,
        "decode": model.decode,
        "objective": Objective.for_noise_variance(noise_variance),
        "x": x,
    } | spoilt


def blind(latent_dim):
    return lambda x: (np.zeros((len(x), latent_dim)), np.zeros((len(x), latent_dim)))


def constant(output):
    return lambda z: np.repeat(np.asarray(output)[None], len(z), axis=0)


SETTINGS = {
    "digits": ("digits", 8, 0.05),
    "mnist 14": ("mnist14", 16, 0.02),
    "series": ("co2", 4, 0.02),
    "table": ("wine", 4, 0.2),
}


# The bound


@case("worse than no code", **SETTINGS)
def never_trained(name, latent_dim, noise_variance):
    x, random = sample(name), np.random.default_rng(1)
    into = random.standard_normal((x.shape[1], latent_dim)) / np.sqrt(x.shape[1])
    back = random.standard_normal((latent_dim, x.shape[1])) / np.sqrt(latent_dim)
    spread = random.standard_normal((x.shape[1], latent_dim)) / x.shape[1]
    model = Linear(x, latent_dim, noise_variance)
    encode = lambda x: (x @ into, x @ spread)  # noqa: E731
    return given(model, x, noise_variance, model_or_encode=encode, decode=lambda z: z @ back)


@case("worse than no code", small=(-50.0,), tiny=(-17000.0,), large=(8.0,))
def the_sign_of_the_kl_term(log_var):
    x = sample("digits")
    model = Linear(x, 4, 0.5)
    encode = lambda x: (x[:, 10:14] - 0.5, np.full((len(x), 4), log_var))  # noqa: E731
    return given(model, x, 0.5, model_or_encode=encode)


@case("no number", infinite=(3000.0,), exploded=(1500.0,))
def an_exploded_log_variance(log_var):
    x = sample("digits")
    model = Linear(x, 4, 0.05)
    encode = lambda x: (model.encode(x)[0], np.full((len(x), 4), log_var))  # noqa: E731
    return given(model, x, 0.05, model_or_encode=encode, decode=lambda z: model.decode(z) * 1e200)


@case("impossible bound", sampled=("kl",), validation=("val_kl_loss",))
def a_kl_below_zero(name):
    x = sample("digits")
    history = {"loss": np.linspace(60, 50, 20), name: np.linspace(3, -40, 20)}
    return given(Linear(x, 8, 0.05), x, 0.05, history=history)


@case("far below a linear VAE", "partly collapsed", digits=("digits", 8, 0.05),
      mnist=("mnist14", 16, 0.02))  # fmt: skip
def a_code_that_says_little(name, latent_dim, noise_variance):
    x = sample(name)
    model, late = Linear(x, latent_dim, noise_variance), Linear(x, 3 * latent_dim, noise_variance)
    into, back = (
        late.best.encoder_weights[:, -latent_dim:],
        late.best.decoder_weights[-latent_dim:],
    )
    log_var = late.best.z_log_var[-latent_dim:]

    def encode(x):
        z_mean = (x - x.mean(axis=0)) @ into
        return z_mean, np.broadcast_to(log_var, z_mean.shape)

    decode = lambda z: z @ back + model.best.decoder_bias  # noqa: E731
    return given(model, x, noise_variance, model_or_encode=encode, decode=decode)


# Collapse


ASKED = "collapsed because the objective asked for it"
NOT_ASKED = "collapsed although the objective did not ask for it"
LOCAL = "collapsed into a local optimum"
UNKNOWN = "collapsed, cause unknown"


@case(ASKED, digits=("digits", 8, 4.0), mnist=("mnist14", 16, 40.0), series=("co2", 4, 40.0),
      table=("wine", 4, 8.0), tumours=("tumours", 8, 60.0),
      gaussian=("gaussian", 4, 8.0))  # fmt: skip
def the_objective(name, latent_dim, noise_variance):
    x = sample(name)
    model = Linear(x, latent_dim, noise_variance)
    return given(model, x, noise_variance, model_or_encode=blind(latent_dim),
                 decode=constant(x.mean(axis=0)))  # fmt: skip


@case(ASKED, keras=("mnist28", 32), digits=("digits", 8))
def mean_and_mean(name, latent_dim):
    x = sample(name)
    return {
        "model_or_encode": blind(latent_dim),
        "decode": constant(x.mean(axis=0)),
        "objective": ("mean", "mean"),
        "x": x,
    }


@case(ASKED, digits=("digits", 20.0), mnist=("mnist14", 60.0))
def cross_entropy_over_a_mean(name, kl_weight):
    x = sample(name)
    p = np.clip(x.mean(axis=0), 1e-4, 1 - 1e-4)
    return {
        "model_or_encode": blind(8),
        "decode": constant(logit(p)),
        "objective": Objective(kl_weight=kl_weight, likelihood="bernoulli"),
        "x": x,
    }


@case(ASKED, edge=(400, 200, 1.5), few=(60, 300, 3.0))
def noise_whose_sample_has_directions(rows, columns, noise_variance):
    x = np.random.default_rng(0).standard_normal((rows, columns))
    objective = Objective.for_noise_variance(noise_variance)
    return {"model_or_encode": blind(8), "objective": objective, "x": x,
            "decode": constant(np.zeros(columns))}  # fmt: skip


@case(NOT_ASKED, **SETTINGS)
def training(name, latent_dim, noise_variance):
    x = sample(name)
    model = Linear(x, latent_dim, noise_variance)
    return given(model, x, noise_variance, model_or_encode=blind(latent_dim),
                 decode=constant(x.mean(axis=0)))  # fmt: skip


@case(NOT_ASKED, digits=("digits",), mnist=("mnist14",))
def training_with_cross_entropy(name):
    x = sample(name)
    p = np.clip(x.mean(axis=0), 1e-4, 1 - 1e-4)
    objective = Objective(likelihood="bernoulli")
    return {"model_or_encode": blind(8), "decode": constant(logit(p)), "objective": objective,
            "x": x}  # fmt: skip


def clusters(seed=0):
    random = np.random.default_rng(seed)
    centres = np.linalg.qr(random.standard_normal((64, 20)))[0].T
    return centres[random.integers(0, 20, 2000)] + 0.1 * random.standard_normal((2000, 64))


def pulses():
    bank = np.stack([np.eye(64)[p : p + 4].sum(axis=0) for p in range(61)])
    return np.repeat(bank, 16, axis=0)


@case(LOCAL, clusters=(clusters, 0.08), pulses=(pulses, 0.28))
def clusters_that_no_direction_shows(make, noise_variance):
    x = make()
    objective = Objective.for_noise_variance(noise_variance)
    return {"model_or_encode": blind(2), "decode": constant(x.mean(axis=0)),
            "objective": objective, "x": x}  # fmt: skip


@case(UNKNOWN, digits=("digits",), table=("wine",))
def without_an_objective(name):
    return {"model_or_encode": blind(4), "x": sample(name)}


def labelled(seed=0):
    random = np.random.default_rng(seed)
    label = random.integers(0, 4, 1000)
    x = np.repeat(2 * np.eye(4)[label], 4, axis=1) + 0.3 * random.standard_normal((1000, 16))
    return x, label


@case(UNKNOWN)
def a_decoder_with_labels_that_is_not_shown():
    return {"model_or_encode": blind(4), "x": labelled()[0], "objective": Objective()}


@case("the decoder sees more than the code", empty=(True,), used=(False,))
def a_decoder_with_labels(empty):
    x, label = labelled()
    means = np.stack([x[label == k].mean(axis=0) for k in range(4)])[label]
    rest = Linear(x - means, 4, 0.05 if not empty else 0.5)
    encode = blind(4) if empty else lambda of: rest.encode(x - means)
    decode = (lambda z: means) if empty else lambda z: means + rest.decode(z)
    objective = Objective.for_noise_variance(0.5 if empty else 0.05)
    return {"model_or_encode": encode, "decode": decode, "x": x, "objective": objective}


@case("the decoder sees more than the code", digits=("digits", 8, 0.05))
def a_skip_connection(name, latent_dim, noise_variance):
    x = sample(name)[:1000]
    model = Linear(x, latent_dim, noise_variance)
    decode = lambda z: 0.8 * x + 0.2 * x.mean(axis=0)  # noqa: E731
    return given(model, x, noise_variance, model_or_encode=blind(latent_dim), decode=decode)


@case("partly collapsed", "far below a linear VAE", **SETTINGS)
def one_unit_of_many(name, latent_dim, noise_variance):
    x = sample(name)
    model = Linear(x, latent_dim, noise_variance)
    keep = np.arange(latent_dim) == latent_dim - 2

    def encode(x):
        z_mean, z_log_var = model.encode(x)
        return z_mean * keep, z_log_var * keep

    decode = lambda z: model.decode(z * keep)  # noqa: E731
    return given(model, x, noise_variance, model_or_encode=encode, decode=decode)


# The posterior


@case("log-variance is not one", **{
    f"{kind} {name}": (kind, *SETTINGS[name])
    for kind, name in [("log sigma", "digits"), ("log sigma", "mnist 14"), ("log sigma", "series"),
                       ("sigma", "digits"), ("sigma", "mnist 14"), ("sigma", "table"),
                       ("sigma squared", "digits")]
})  # fmt: skip
def another_width(kind, name, latent_dim, noise_variance):
    x = sample(name)
    model = Linear(x, latent_dim, noise_variance)
    change = {
        "log sigma": lambda v: v / 2,
        "sigma": lambda v: np.exp(v / 2),
        "sigma squared": np.exp,
    }

    def encode(x):
        z_mean, z_log_var = model.encode(x)
        return z_mean, change[kind](z_log_var)

    return given(model, x, noise_variance, model_or_encode=encode)


@case("a head that cannot be negative", "worse than no code", relu=("digits", 8, 0.05),
      table=("wine", 4, 0.2))  # fmt: skip
def a_relu_on_the_mean(name, latent_dim, noise_variance):
    x = sample(name)
    model = Linear(x, latent_dim, noise_variance)

    def encode(x):
        z_mean, z_log_var = model.encode(x)
        return np.maximum(z_mean, 0), z_log_var

    return given(model, x, noise_variance, model_or_encode=encode)


@case("a head that cannot be negative", softplus=("digits", 8, 0.05), series=("co2", 4, 0.02))
def a_softplus_on_the_log_variance(name, latent_dim, noise_variance):
    x = sample(name)
    model = Linear(x, latent_dim, noise_variance)

    def encode(x):
        z_mean, _ = model.encode(x)
        return 2 * z_mean, np.logaddexp(0, 0.1 * z_mean - 4)

    return given(model, x, noise_variance, model_or_encode=encode,
                 decode=lambda z: model.decode(z / 2))  # fmt: skip


@case("trained without noise", digits=("digits", 8, 0.05), mnist=("mnist14", 16, 0.02))
def the_mean_decoded(name, latent_dim, noise_variance):
    x = sample(name)
    model = Linear(x, latent_dim, noise_variance)

    def encode(x):
        z_mean, _ = model.encode(x)
        return 2 * z_mean, np.random.default_rng(0).normal(0, 0.01, z_mean.shape)

    return given(model, x, noise_variance, model_or_encode=encode,
                 decode=lambda z: model.decode(z / 2))  # fmt: skip


@case("far from the prior", digits=("digits", 8, 0.05),
      series=("co2", 4, 0.02))  # fmt: skip
def no_kl_term(name, latent_dim, noise_variance):
    x = sample(name)
    model = Linear(x, latent_dim, noise_variance)

    def encode(x):
        z_mean, z_log_var = model.encode(x)
        return 6 * z_mean, z_log_var + 0.2 * z_mean - 3

    return given(model, x, noise_variance, model_or_encode=encode,
                 decode=lambda z: model.decode(z / 6))  # fmt: skip


# The decoder


@case("data out of the decoder's reach", **{
    "tanh wine": ("wine", 4, 0.2, np.tanh), "tanh tumours": ("tumours", 8, 0.2, np.tanh),
    "sigmoid wine": ("wine", 4, 0.2, lambda x: expit(4 * x - 2)),
    "sigmoid series": ("co2", 4, 0.02, lambda x: expit(4 * x - 2)),
    "relu wine": ("wine", 4, 0.2, lambda x: np.maximum(x, 0)),
    "relu tumours": ("tumours", 8, 0.2, lambda x: np.maximum(x, 0)),
})  # fmt: skip
def an_activation_at_the_end(name, latent_dim, noise_variance, activation):
    x = sample(name)
    model = Linear(x, latent_dim, noise_variance)
    decode = lambda z: activation(model.decode(z))  # noqa: E731
    return given(model, x, noise_variance, decode=decode)


def bernoulli(name, latent_dim=8):
    """A model of logits for cross-entropy: linear ones, of the data pulled towards 1/2."""
    x = sample(name)
    pulled = logit(0.02 + 0.96 * x)
    model = Linear(pulled, latent_dim, 3.0)
    encode = lambda x: model.encode(logit(0.02 + 0.96 * x))  # noqa: E731
    return x, encode, model.decode


@case("probabilities where logits are wanted", digits=("digits",), mnist=("mnist14",),
      large=("mnist28",))  # fmt: skip
def a_sigmoid_twice(name):
    x, encode, decode = bernoulli(name)
    return {"model_or_encode": encode, "decode": lambda z: expit(decode(z)), "x": x,
            "objective": "bernoulli"}  # fmt: skip


@case("logits where means are wanted", digits=("digits",), mnist=("mnist14",))
def logits_for_means(name):
    x, encode, decode = bernoulli(name)
    return {"model_or_encode": encode, "decode": decode, "x": x,
            "objective": Objective.for_noise_variance(0.05)}  # fmt: skip


@case("the decoder ignores the code", digits=("digits", 8, 0.05), table=("wine", 4, 0.2))
def a_deaf_decoder(name, latent_dim, noise_variance):
    x = sample(name)
    model = Linear(x, latent_dim, noise_variance)
    return given(model, x, noise_variance, decode=constant(x.mean(axis=0)))


@case("good reconstructions, bad samples", digits=("digits", 8, 0.05, 1.2),
      mnist=("mnist14", 16, 0.02, 1.6))  # fmt: skip
def a_decoder_that_knows_its_codes_only(name, latent_dim, noise_variance, wide):
    x = sample(name)[:1000]
    model = Linear(x, latent_dim, noise_variance)
    codes, log_var = model.encode(x)
    # on a sphere: every unit has its variance of 1, and no draw from the prior comes near
    from scipy.spatial import cKDTree

    tree = cKDTree(codes)
    reach = wide * np.sqrt(np.exp(log_var[0]).sum())

    def decode(z):
        near = tree.query(z)[0] < reach
        return np.where(near[:, None], model.decode(z), model.best.decoder_bias)

    return given(model, x, noise_variance, decode=decode)


# The run


@case("KL weight is not the objective's", warming=(0.1,), frozen=(0.0,), doubled=(2.0,))
def a_weight_in_force(weight):
    x = sample("digits")
    history = {"loss": np.linspace(60, 50, 40), "kl_weight": np.linspace(0, weight, 40)}
    model = Linear(x, 8, 0.5 * max(weight, 0.02))
    return given(model, x, 0.5, history=history)


@case(
    "trained on another objective",
    smaller=(0.02, 0.2),
    larger=(0.3, 0.05),
    mnist=(0.02, 0.1, "mnist14"),
)
def judged_by_another_objective(trained, judged, name="digits"):
    x = sample(name)
    return given(Linear(x, 8, trained), x, judged)


@case("training was unstable", nan=([60, 50, 45, np.nan, np.nan],),
      jumped=([60, 50, 45, 41, 40, 39, 900, 700, 650, 640],))  # fmt: skip
def a_large_learning_rate(loss):
    x = sample("digits")
    return given(Linear(x, 8, 0.05), x, 0.05, history={"loss": loss})


@case("overfitted", digits=("digits", 300), mnist=("mnist7", 300))
def learnt_by_heart(name, rows):
    x = sample(name)
    few, rest = x[:rows], x[rows : rows + 600]
    model = Linear(few, 40, 0.02)

    def decode(z):  # the row of training whose code is nearest
        codes = model.encode(few)[0]
        return few[np.square(z[:, None] - codes).sum(axis=2).argmin(axis=1)]

    return given(model, rest, 0.02, decode=decode, x_train=few)


@case("overfitted", early=(5,), late=(30,))
def a_validation_loss_that_rises(best):
    x = sample("digits")
    epochs = np.arange(60.0)
    val = 40 + 20 * np.exp(-epochs / (best / 3)) + 0.5 * np.maximum(epochs - best, 0)
    history = {"loss": 60 - 20 * (1 - np.exp(-epochs / 20)), "val_loss": val}
    return given(Linear(x, 8, 0.05), x, 0.05, history=history)


@case("data on another scale", never=(255.0,), twice=(1 / 255,))
def scaled_otherwise(factor):
    x = sample("mnist14")
    model = Linear(x, 16, 0.02)
    encode = lambda of: model.encode(of / factor)  # noqa: E731
    return given(model, x * factor, 0.02, model_or_encode=encode)


@case("data on another scale", never=(255.0,), sixteen=(65535.0,))
def scaled_otherwise_than_in_training(factor):
    x = sample("digits")
    model = Linear(x, 8, 0.05)
    encode = lambda of: model.encode(of / factor)  # noqa: E731
    return given(model, x[1000:] * factor, 0.05, model_or_encode=encode, x_train=x[:1000])
