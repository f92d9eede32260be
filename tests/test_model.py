import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from vae_notes import VAE, Objective, data, diagnose, theory
from vae_notes._keras import keras, ops, tf
from vae_notes.networks import conv_decoder, conv_encoder, dense_decoder, dense_encoder

X = data.digits()[:256]


def small_vae(objective=None, seed=0, hidden=(), optimizer=None, **kwargs):
    """Where a test does not ask for it, neither with XLA, which takes seconds to compile, nor with
    Adam, whose steps take longest to trace.
    """
    encoder = dense_encoder(64, 4, hidden, seed=seed)
    vae = VAE(encoder, dense_decoder(4, 64, hidden, seed=seed), objective, seed=seed)
    optimizer = optimizer or keras.optimizers.SGD(1e-3, momentum=0.9)
    vae.compile(optimizer, **{"jit_compile": False, **kwargs})
    return vae


# What is minimised, and what is reported


@pytest.mark.parametrize("objective", [Objective(), Objective("mean", "sum", 0.5)])
def test_metrics_are_the_terms_and_their_weighted_sum(objective):
    vae = small_vae(objective)
    logs = vae.evaluate(X, batch_size=100, verbose=0, return_dict=True)  # the last batch has 56
    z_mean, z_log_var = vae.encode(X)
    kl = 0.5 * (z_mean**2 + np.exp(z_log_var) - 1 - z_log_var).sum(axis=1)
    assert logs["kl"] == pytest.approx(kl.mean(), rel=1e-4)
    w_reconstruction, w_kl = objective.weights(64, 4)
    expected = w_reconstruction * logs["reconstruction"] + w_kl * logs["kl"]
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    elbo = objective.elbo(logs["reconstruction"], logs["kl"], 64, 4)
    assert logs["elbo"] == pytest.approx(elbo, rel=1e-5)
    assert logs["kl_weight"] == objective.kl_weight


def test_elbo_does_not_see_the_annealed_weight():
    vae = small_vae()
    before = vae.evaluate(X, verbose=0, return_dict=True)
    vae.kl_weight = 0.25
    after = vae.evaluate(X, verbose=0, return_dict=True)
    assert after["elbo"] == before["elbo"]
    assert after["loss"] == pytest.approx(after["reconstruction"] + 0.25 * after["kl"])


def test_one_step_of_gradient_descent_equals_finite_differences():
    vae = small_vae(hidden=(16,), optimizer=keras.optimizers.SGD(1e-3))
    bias = vae.decoder.layers[-1].bias
    before = bias.numpy().copy()

    def loss(shift):
        bias.assign(before + shift)
        vae.sampling.restart()
        terms = vae.terms(X[:8], vae.sampling)
        return float(vae._loss(*terms))

    h = 1e-2
    slopes = [
        (loss(h * np.eye(64)[i]) - loss(-h * np.eye(64)[i])) / (2 * h) for i in range(0, 64, 9)
    ]
    bias.assign(before)
    vae.sampling.restart()
    vae.train_on_batch(X[:8])
    step = (bias.numpy() - before)[::9] / -1e-3
    assert_allclose(step, slopes, rtol=2e-2, atol=2e-3)


def test_a_linear_vae_reaches_the_exact_log_likelihood():
    x = data.linear_gaussian([4.0, 2.0, 1.0, 0.2, 0.1], count=400, seed=3)
    noise_variance = 0.5
    vae = VAE(
        dense_encoder(5, 3, hidden=(), seed=1),
        dense_decoder(3, 5, hidden=(), seed=1),
        Objective.for_noise_variance(noise_variance),
    )
    rate = keras.optimizers.schedules.CosineDecay(0.02, 400 * 4)
    vae.compile(keras.optimizers.Adam(rate), jit_compile=False)
    vae.fit(x, batch_size=100, epochs=400, verbose=0)
    elbo = diagnose(vae, x, draws=100).elbo
    assert elbo == pytest.approx(theory.elbo(x, noise_variance, 3), abs=0.03)


def test_training_lowers_the_loss_and_is_a_function_of_the_seed():
    runs = [small_vae(seed=s).fit(X, epochs=3, shuffle=False, verbose=0).history for s in (0, 0, 1)]
    assert runs[0]["loss"][-1] < runs[0]["loss"][0]
    assert runs[0]["loss"] == runs[1]["loss"]
    assert runs[0]["loss"] != runs[2]["loss"]


def test_validation_leaves_training_alone():
    with_validation, without = small_vae(), small_vae()
    a = with_validation.fit(X, validation_data=X[:50], epochs=2, shuffle=False, verbose=0).history
    b = without.fit(X, epochs=2, shuffle=False, verbose=0).history
    assert a["loss"] == b["loss"]
    assert {"val_elbo", "val_kl", "val_reconstruction", "val_loss"} < set(a)


def test_evaluate_twice_gives_the_same():
    vae = small_vae()
    assert vae.evaluate(X, verbose=0) == vae.evaluate(X, verbose=0)


# Keras idioms


@pytest.mark.parametrize("jit_compile", ["auto", True, False])
def test_datasets_and_jit(jit_compile):
    vae, other = (small_vae(jit_compile=jit_compile) for _ in range(2))
    dataset = tf.data.Dataset.from_tensor_slices(X).batch(32)
    pairs = tf.data.Dataset.from_tensor_slices((X, X[:, 0])).batch(32)
    a = vae.fit(dataset, epochs=2, verbose=0, validation_data=pairs).history["loss"]
    b = other.fit(X, epochs=2, batch_size=32, shuffle=False, verbose=0).history["loss"]
    assert_allclose(a, b, rtol=1e-5)


def dataset(x=X, size=32):
    return tf.data.Dataset.from_tensor_slices(x).batch(size)


def unknown_length(x=X):
    """Eight batches, and nobody knows before the end."""
    signature = tf.TensorSpec((None, *x.shape[1:]), tf.float32)
    batches = lambda: (x[i : i + 32] for i in range(0, len(x), 32))  # noqa: E731
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def generator(count=None, x=X, wrap=lambda batch: batch):
    """So many batches, round and round."""
    for i in itertools.count() if count is None else range(count):
        yield wrap(x[32 * (i % 8) : 32 * (i % 8 + 1)])


@pytest.fixture(scope="module")
def of_the_array():
    """What training on the array gives."""
    options = dict(epochs=3, verbose=0, shuffle=False, batch_size=32, validation_data=X)
    return small_vae().fit(X, **options).history


@pytest.mark.parametrize(
    "source",
    [
        unknown_length,
        lambda: unknown_length().repeat(),
        lambda: dataset().repeat(),
        generator,
        lambda: generator(24),
        lambda: generator(24, wrap=lambda batch: (batch, batch[:, 0])),
    ],
)
def test_what_does_not_fit_into_memory_trains_as_the_array(source, of_the_array):
    source = source()
    ends = isinstance(source, tf.data.Dataset) and int(source.cardinality()) == -2
    steps = None if ends else 8
    options = dict(epochs=3, verbose=0, steps_per_epoch=steps, validation_data=unknown_length())
    found = small_vae().fit(source, **options).history
    for name in ("loss", "val_loss"):
        assert_allclose(found[name], of_the_array[name], rtol=1e-5)


def test_evaluate_takes_a_generator():
    vae = small_vae()
    expected = vae.evaluate(X, verbose=0)
    assert_allclose(vae.evaluate(generator(8), verbose=0), expected, rtol=1e-5)
    assert_allclose(vae.evaluate(generator(), steps=8, verbose=0), expected, rtol=1e-5)
    assert_allclose(vae.evaluate(unknown_length(), verbose=0), expected, rtol=1e-5)


def nothing():
    return unknown_length(X[:0])


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (lambda: dataset().take(0), {}, "the dataset is empty: give at least one batch"),
        (nothing, {}, "the dataset is empty: give at least one batch"),
        (lambda: generator(0), {}, "the generator is empty: give at least one batch"),
        (lambda: dataset().repeat(), {}, "repeats without end: give steps_per_epoch"),
        (
            lambda: generator(7),
            {"epochs": 2, "steps_per_epoch": 5},
            "the generator ended before steps_per_epoch=5 batches",
        ),
        (
            unknown_length,
            {"epochs": 2, "steps_per_epoch": 5},
            "the dataset ended before steps_per_epoch=5 batches",
        ),
        (
            lambda: generator(8),
            {"epochs": 2},
            "the generator can be gone through once, and there are 2",
        ),
        (dataset, {"steps_per_epoch": 10}, "has 8 batches, too few for steps_per_epoch=10 in 1"),
        (dataset, {"steps_per_epoch": 5, "epochs": 2}, "too few for steps_per_epoch=5 in 2 epochs"),
        (
            dataset,
            {"validation_data": generator(4), "epochs": 2},
            "can be gone through once, .* give validation_steps",
        ),
        (
            dataset,
            {"validation_data": generator(4), "validation_steps": 5},
            "the generator ended before steps=5",
        ),
        (lambda: dataset().unbatch(), {}, "which are single examples: give batches"),
        (lambda: dataset(X[:, :50]), {}, r"batches of shape \(None, 50\), but .* \(64,\) are"),
        (
            lambda: generator(8, np.where(np.arange(256)[:, None] > 200, np.nan, X)),
            {},
            "batch 7 of the generator holds NaN: 23 of 32 rows, 9, 10, 11 and 20 more, are NaN",
        ),
        (lambda: generator(8, X[:, :50]), {}, r"batch 1 of the generator has shape \(32, 50\)"),
    ],
)
def test_bad_sources_get_one_sentence(source, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        small_vae().fit(source(), verbose=0, **options)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_evaluate_refuses_bad_sources():
    for source, options, message in [
        (dataset().take(0), {}, "is empty"),
        (nothing(), {}, "is empty"),
        (dataset().repeat(), {}, "without end: give steps"),
        (generator(4), {"steps": 5}, "ended before steps=5"),
    ]:
        with pytest.raises(ValueError, match=message):
            small_vae().evaluate(source, verbose=0, **options)


def test_steps_that_divide_a_dataset_are_enough():
    history = small_vae().fit(dataset(), epochs=5, steps_per_epoch=4, verbose=0).history
    assert len(history["loss"]) == 5


def test_what_a_generator_raises_arrives():
    def broken():
        yield from generator(4)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        small_vae().fit(broken(), verbose=0)


@pytest.mark.parametrize("jit_compile", [True, False])
def test_a_batch_at_a_time(jit_compile):
    """A fresh model, whose optimiser has no variables yet, in a program of XLA's as well."""
    vae = small_vae(optimizer="adam", jit_compile=jit_compile)
    vae.train_on_batch(X[:32])
    assert vae.optimizer.iterations == 1


def test_callbacks_watch_the_elbo(tmp_path):
    vae = small_vae()
    best = tmp_path / "best.keras"
    callbacks = [
        keras.callbacks.EarlyStopping("val_elbo", mode="max", patience=1, min_delta=1e9),
        keras.callbacks.ModelCheckpoint(best, "val_elbo", mode="max", save_best_only=True),
    ]
    history = vae.fit(X, validation_split=0.2, epochs=9, verbose=0, callbacks=callbacks)
    assert len(history.epoch) == 2  # nothing improves by a billion nats
    assert VAE.load(best).predict(X, verbose=0).shape == X.shape


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_steps_per_execution_changes_nothing(steps_per_execution):
    vae = small_vae(steps_per_execution=steps_per_execution)
    loss = vae.fit(X, epochs=2, shuffle=False, verbose=0).history["loss"]
    expected = small_vae().fit(X, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert_allclose(loss, expected, rtol=1e-5)


def test_mixed_precision_keeps_the_terms_in_float32():
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        vae = small_vae(optimizer="adam")
        assert vae.encoder(X[:2])[0].dtype == "float16"
        history = vae.fit(X, epochs=3, verbose=0).history
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert vae.optimizer.name == "loss_scale_optimizer"
    reconstruction, kl = vae.terms(X[:2], vae.sampling)
    assert reconstruction.dtype == kl.dtype == tf.float32
    assert history["loss"][-1] < history["loss"][0]
    plain = small_vae(optimizer="adam").fit(X, epochs=3, verbose=0).history
    # float16 gradients overflow in the first steps, which are then left out
    assert history["loss"][-1] == pytest.approx(plain["loss"][-1], rel=0.1)


def test_save_and_load_restores_everything(tmp_path):
    path = tmp_path / "vae.keras"
    vae = small_vae(Objective("mean", "sum", 0.1), 7, (16,), "adam")
    vae.fit(X, epochs=2, verbose=0)
    vae.kl_weight = 0.03
    vae.save(path)
    loaded = VAE.load(path)
    assert loaded.objective == vae.objective and loaded.seed == 7
    assert float(loaded.kl_weight) == pytest.approx(0.03)
    assert_array_equal(loaded.predict(X, verbose=0), vae.predict(X, verbose=0))
    for a, b in zip(loaded.optimizer.variables, vae.optimizer.variables, strict=True):
        assert_array_equal(a.numpy(), b.numpy())
    again = [m.fit(X, epochs=1, shuffle=False, verbose=0).history["loss"] for m in (loaded, vae)]
    assert again[0] == again[1]  # the noise goes on where it was, too


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_convolutional_vae(likelihood, tmp_path):
    images = X.reshape(-1, 8, 8, 1)
    objective = Objective(likelihood=likelihood)
    vae = VAE(conv_encoder((8, 8, 1), 3, (4, 8)), conv_decoder(3, (8, 8, 1), (8, 4)), objective)
    vae.compile("adam", jit_compile=False)
    history = vae.fit(images, epochs=2, verbose=0).history
    assert history["elbo"][1] > history["elbo"][0]
    assert vae.data_dim == 64 and vae.reconstruct(images).shape == images.shape
    vae.save(tmp_path / "conv.keras")
    loaded = VAE.load(tmp_path / "conv.keras")
    assert_array_equal(loaded.sample(2, seed=1), vae.sample(2, seed=1))
    if likelihood == "bernoulli":
        assert 0 <= vae.sample(50).min() and vae.sample(50).max() <= 1


def test_a_subclassed_encoder_is_built_from_the_data():
    class Encoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.mean, self.log_var = keras.layers.Dense(3), keras.layers.Dense(3)

        def call(self, x):
            return self.mean(x), self.log_var(x)

    for x in (X, dataset(), generator(3)):
        vae = VAE(Encoder(), keras.Sequential([keras.layers.Dense(64)]))
        vae.compile("adam", jit_compile=False)
        vae.fit(x, epochs=1, verbose=0)
        assert vae.latent_dim == 3 and vae.data_dim == 64


# Sampling


def test_samples_have_the_moments_of_the_posterior():
    vae = small_vae()
    mean, log_var = np.full((20_000, 2), 1.5), np.full((20_000, 2), np.log(0.25))
    z = ops.convert_to_numpy(vae.sampling(mean, log_var))
    assert z.mean() == pytest.approx(1.5, abs=0.02)
    assert z.std() == pytest.approx(0.5, abs=0.02)


def test_sampling_is_seeded():
    vae = small_vae()
    assert_array_equal(vae.sample(3, seed=5), vae.sample(3, seed=5))
    assert np.abs(vae.sample(3) - vae.sample(3)).max() > 0
    a, b = small_vae(seed=2), small_vae(seed=2)
    assert_array_equal(a.sample(3), b.sample(3))


# Bad input, each before training starts


def encoder_of(outputs):
    x = keras.Input((64,))
    return keras.Model(x, outputs(x))


dense = lambda units: keras.layers.Dense(units)  # noqa: E731


@pytest.mark.parametrize(
    "encoder, decoder, message",
    [
        (lambda x: dense(4)(x), dense_decoder, "The encoder gives one tensor, but a VAE needs two"),
        (lambda x: [dense(4)(x)] * 3, dense_decoder, "The encoder gives 3, .* without the sample"),
        (lambda x: [dense(4)(x), dense(5)(x)], dense_decoder, "give both as .batch, latent_dim."),
        (lambda x: [dense(5)(x)] * 2, dense_decoder, "latent_dim=5 and the decoder takes 4"),
        (lambda x: [dense(4)(x)] * 2, lambda d, n: dense_decoder(d, 63), "gives shape .63,. for"),
    ],
)
def test_halves_that_do_not_fit(encoder, decoder, message):
    with pytest.raises(ValueError, match=message):
        VAE(encoder_of(encoder), decoder(4, 64))


@pytest.mark.parametrize(
    "x, message",
    [
        (X.reshape(-1, 8, 8, 1), "reshape"),
        (np.arange(100), "labels"),
        (np.where(X > 0.9, np.nan, X), "NaN"),
        (np.where(X > 0.9, np.inf, X), "inf"),
        (X[:0], "empty"),
        (X[:, :50], "64"),
    ],
    ids=["images", "labels", "nan", "inf", "empty", "width"],
)
def test_bad_data_is_refused_before_training(x, message):
    vae = small_vae()
    for call in (vae.fit, vae.evaluate, vae.predict, vae.encode):
        with pytest.raises(ValueError, match=message):
            call(x)
    with pytest.raises(ValueError, match=message):
        vae.fit(X, validation_data=x)
    assert int(vae.optimizer.iterations) == 0


def test_unscaled_integers_are_warned_about():
    with pytest.warns(UserWarning, match="255"):
        small_vae().fit((X * 255).astype("uint8"), epochs=1, verbose=0)


def test_targets_and_losses_are_refused():
    with pytest.raises(ValueError, match="its own target"):
        small_vae().fit(X, X)
    with pytest.raises(ValueError, match="a VAE's loss is its objective"):
        small_vae(loss="mse")


def test_files_that_are_no_vae(tmp_path):
    missing, text, damaged, other = (tmp_path / f"{n}.keras" for n in "abcd")
    text.write_text("not a model")
    small_vae().save(damaged)
    content = bytearray(damaged.read_bytes())
    middle = len(content) // 2
    content[middle - 2000 : middle + 2000] = bytes(4000)
    damaged.write_bytes(content)
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(other)
    for path, message in [
        (missing, "missing or no .keras file"),
        (text, "missing or no .keras file"),
        (damaged, "cannot be loaded"),
        (other, "holds a Sequential"),
    ]:
        with pytest.raises(ValueError, match=message):
            VAE.load(path)
