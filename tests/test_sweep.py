import functools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sweeps import BUILD, HELD_OUT, RECIPES, SWEEP, X, assert_same_history, pretend

from vae_notes import VAE, KLAnnealing, Objective, _replicates, data, networks, schedules
from vae_notes._keras import keras, tf
from vae_notes._noise import batch_order, standard_normal
from vae_notes.likelihoods import Gaussian
from vae_notes.recipes import Recipe
from vae_notes.sweep import Plan, _in_blocks, _width, sweep


@pytest.fixture(scope="module")
def runs():
    """Forty replicates, two likelihoods."""
    return sweep(BUILD, RECIPES, X, seeds=range(8), **SWEEP)


def fit(build, recipe, seed, x, validation_data=None, epochs=3, **kwargs):
    vae = VAE(*build(seed=seed), recipe.objective, seed=seed)
    vae.compile(keras.optimizers.Adam(recipe.learning_rate or 1e-3), **kwargs)
    callbacks = [KLAnnealing(recipe.schedule)]
    options = dict(epochs=epochs, batch_size=32, verbose=0, callbacks=callbacks)
    return vae, vae.fit(x, validation_data=validation_data, **options).history


# A replicate is a run of fit, whatever its company


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_replicate_is_a_run_of_fit(runs, recipe):
    vae, history = fit(BUILD, recipe, 5, X, HELD_OUT, jit_compile=False)
    run = runs[recipe.name, 5]
    assert_same_history(run, history)
    assert_allclose(run.vae().predict(X, verbose=0), vae.predict(X, verbose=0), atol=1e-5)


def test_a_replicate_alone_is_itself_among_forty(runs):
    alone = sweep(BUILD, RECIPES[2:3], X, seeds=[3], **SWEEP)
    assert_same_history(runs["annealed", 3], alone["annealed", 3].history)


def test_seeds_and_recipes_differ(runs):
    last = [run.history["reconstruction"][-1] for run in runs]
    assert len(runs) == 40 and len(set(last)) == 40


class Opaque(keras.layers.Layer):
    """A detour through Python, which XLA cannot compile."""

    def call(self, x):
        y = tf.numpy_function(lambda a: a, [x], tf.float32)
        y.set_shape(x.shape)
        return y


def opaque(seed):
    x = keras.Input((64,))
    encoder, decoder = BUILD(seed=seed)
    return keras.Model(x, encoder(Opaque()(x))), decoder


@pytest.mark.parametrize("layers", ["convolution", "normalised", "subclassed", "opaque"])
def test_other_builders(layers):
    x, held_out = X[:64], HELD_OUT[:20]  # whole batches, and less than one
    builders = {"convolution": conv, "normalised": normalised, "subclassed": subclassed}
    build = (builders | {"opaque": opaque})[layers]
    if layers == "convolution":
        x, held_out = x.reshape(-1, 8, 8, 1), held_out.reshape(-1, 8, 8, 1)
    recipe = RECIPES[2]
    runs = sweep(build, [recipe], x, epochs=3, seeds=[0, 1], validation_data=held_out)
    xla = layers == "normalised"  # its dropout draws otherwise without
    _, history = fit(build, recipe, 1, x, held_out, jit_compile=xla)
    assert_same_history(runs[recipe.name, 1], history)


conv = functools.partial(networks.convolutional, (8, 8, 1), 3, (4, 8))


def normalised(seed):
    """Layers with a state: moving averages, and the seed of a dropout."""
    glorot = keras.initializers.GlorotUniform(seed)
    x = keras.Input((64,))
    h = keras.layers.Dense(8, use_bias=False, kernel_initializer=glorot)(x)
    h = keras.layers.Dropout(0.2, seed=seed)(keras.layers.BatchNormalization()(h))
    return keras.Model(x, networks.dense_encoder(8, 3, (), seed=seed)(h)), BUILD(seed=seed)[1]


class Encoder(keras.Model):
    """A model with neither an input shape nor an argument ``training``."""

    def __init__(self, seed):
        super().__init__()
        glorot = keras.initializers.GlorotUniform
        self.mean = keras.layers.Dense(3, kernel_initializer=glorot(seed))
        self.log_var = keras.layers.Dense(3, kernel_initializer=glorot(seed + 1))

    def call(self, x):
        return self.mean(x), self.log_var(x)


def subclassed(seed):
    return Encoder(seed), BUILD(seed=seed)[1]


def test_a_linear_vae_in_numpy():
    """Gradients and Adam by hand, in float64, along a schedule and a short last batch."""
    x = data.linear_gaussian([4.0, 2.0, 1.0, 0.5], count=20, seed=1)
    build = functools.partial(networks.dense, 4, 2, ())
    recipe = Recipe("by hand", Objective("mean", "sum", 0.5), schedules.linear(0, 4), 0.01)
    run = sweep(build, [recipe], x, epochs=5, seeds=[7], batch_size=8)["by hand", 7]

    weights = [v.numpy().astype(float) for half in build(seed=7) for v in half.trainable_variables]
    moments, squares = ([np.zeros_like(w) for w in weights] for _ in range(2))
    step, means = 0, []
    for epoch in range(5):
        sums = np.zeros(2)
        order = batch_order(7, epoch, 20)
        for batch in (x[order[i : i + 8]].astype(float) for i in (0, 8, 16)):
            noise = standard_normal((len(batch), 2), [7, step]).numpy()
            w_mean, b_mean, w_log_var, b_log_var, w_decoder, b_decoder = weights
            z_mean, z_log_var = batch @ w_mean + b_mean, batch @ w_log_var + b_log_var
            sigma = np.exp(z_log_var / 2)
            z = z_mean + sigma * noise
            error = z @ w_decoder + b_decoder - batch
            kl = 0.5 * (z_mean**2 + sigma**2 - 1 - z_log_var)
            sums += (error**2).sum(), kl.sum()

            w_rec, w_kl = 1 / 4, 0.5 * min(1, epoch / 4)
            d_x = 2 * w_rec * error / len(batch)
            d_z = d_x @ w_decoder.T
            d_mean = d_z + w_kl * z_mean / len(batch)
            d_log_var = d_z * noise * sigma / 2 + w_kl * (sigma**2 - 1) / 2 / len(batch)
            gradients = []
            for inputs, d in ((batch, d_mean), (batch, d_log_var), (z, d_x)):
                gradients += [inputs.T @ d, d.sum(axis=0)]
            step += 1
            for w, m, v, g in zip(weights, moments, squares, gradients, strict=True):
                m[...] = 0.9 * m + 0.1 * g
                v[...] = 0.999 * v + 0.001 * g**2
                m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
                w -= 0.01 * m_hat / (np.sqrt(v_hat) + 1e-7 / np.sqrt(1 - 0.999**step))
        means.append(sums / 20)
    assert_allclose(np.transpose(means)[0], run.history["reconstruction"], rtol=2e-5)
    assert_allclose(np.transpose(means)[1], run.history["kl"], rtol=2e-5)
    for expected, got in zip(weights, run.weights[0], strict=True):
        assert_allclose(got, expected, atol=2e-5)


# What can go wrong in one replicate stays there


@pytest.fixture
def compiled_once(monkeypatch):
    """Sweeps of equal work share their programs."""
    programs = {}

    def program(work, *kind):
        if kind not in programs:
            programs[kind] = _replicates.Program(work, *kind)
        return programs[kind]

    training = lambda plan: _replicates.Training(plan.work, plan.blocks, program)  # noqa: E731
    monkeypatch.setattr(Plan, "training", training)


def test_divergence_stays_where_it_is(compiled_once):
    def rates(third):
        return [Recipe(str(i), learning_rate=rate) for i, rate in enumerate([1e-3, 2e-3, third])]

    options = dict(epochs=4, seeds=[0, 1])
    healthy = sweep(BUILD, rates(1e-3), X[:64], **options)
    with pytest.warns(UserWarning, match=r"2 of 6 replicates diverged: recipe '2', seed 0 .epoch"):
        ill = sweep(BUILD, rates(1e30), X[:64], **options)
    for name in "01":
        for seed in (0, 1):
            assert_array_equal(ill[name, seed].means, healthy[name, seed].means)
            for group, other in zip(
                ill[name, seed].weights, healthy[name, seed].weights, strict=True
            ):
                for a, b in zip(group, other, strict=True):
                    assert_array_equal(a, b)
    assert ill["2", 0].diverged is not None and ill["0", 0].diverged is None
    assert np.isnan(ill.active_units["2"]).all() and np.isfinite(ill.elbo["0"]).all()
    assert np.isnan(ill["2"].kl_per_unit).shape == (2, 3)


def test_an_interrupt_keeps_the_epochs_done(monkeypatch, runs):
    monkeypatch.setattr(_replicates, "CALL_STEPS", 1)  # an epoch a call
    advance = _replicates.Program.advance

    def interrupted(self, block, first, state):
        if first == 2 and block.seeds[0]:  # some blocks may have done more by then
            raise KeyboardInterrupt
        return advance(self, block, first, state)

    monkeypatch.setattr(_replicates.Program, "advance", interrupted)
    with pytest.warns(UserWarning, match="Interrupted: 2 of 3 epochs are done"):
        kept = sweep(BUILD, RECIPES[:1], X, seeds=range(4), **SWEEP)
    for seed in range(4):
        history = kept["plain", seed].history
        assert len(history["loss"]) == 2
        for metric, values in runs["plain", seed].history.items():
            assert_allclose(history[metric], values[:2], rtol=1e-5)
        vae = kept["plain", seed].vae()
        vae.compile(jit_compile=False)
        logs = vae.evaluate(HELD_OUT, verbose=0, return_dict=True)
        assert logs["elbo"] == pytest.approx(history["val_elbo"][-1], rel=1e-5)

    def at_once(self, block, first, state):
        raise KeyboardInterrupt

    monkeypatch.setattr(_replicates.Program, "advance", at_once)
    with pytest.raises(KeyboardInterrupt):
        sweep(BUILD, RECIPES[:1], X, seeds=range(4), **SWEEP)


def test_progress(capsys, monkeypatch):
    monkeypatch.setattr(_replicates.Program, "__init__", pretend)
    for progress in (True, False):
        sweep(BUILD, RECIPES[:1], X, epochs=3, seeds=[0], progress=progress)
        assert ("3/3" in capsys.readouterr().out) == progress


# Blocks


@given(
    replicates=st.lists(st.integers(), min_size=1, max_size=60, unique=True),
    most=st.integers(1, 80),
)
def test_blocks_are_equal_and_complete(replicates, most):
    blocks = _in_blocks(replicates, most)
    (width,) = {len(block) for block in blocks}
    assert list(dict.fromkeys(one for block in blocks for one in block)) == replicates
    assert width <= most
    assert sum(map(len, blocks)) - len(replicates) < width


@given(size=st.integers(1, 10**6))
def test_a_block_fits_the_cache(size):
    """Weights, gradients and both moments are four float32 each, unless one is too large alone."""
    width = _width([np.zeros(size, np.float32)])
    assert width == 1 or 16 * size * width <= 2**21 < 16 * size * (width + 1)


def test_a_gpu_gets_one_block(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a " + kind])
    replicates = [*range(40)]
    assert _in_blocks(replicates, _width([np.zeros(10**6)])) == [replicates]


@pytest.mark.parametrize("build, width", [(BUILD, 5), (lambda seed: conv(seed=seed), 1)])
def test_what_does_not_vectorise_has_a_thread_to_itself(build, width, monkeypatch):
    monkeypatch.setattr("vae_notes.sweep.processors", lambda: 2)
    x = X if width > 1 else X.reshape(-1, 8, 8, 1)
    plan = Plan(build, RECIPES[:1], x, epochs=1, seeds=range(10))
    assert {len(block.seeds) for block in plan.blocks} == {width}


def test_the_program_holds_the_data_once():
    """Memory grows with the weights of the replicates, not with their data."""
    width, x = 6, np.zeros((2560, 64), np.float32)
    work = _replicates.Work(BUILD, x, x[:320], 32, 100)
    program = _replicates.Program(work, Gaussian(), width)
    definition = program.run.program.graph.as_graph_def(add_shapes=True)
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    sizes = [
        tf.TensorShape(shape).num_elements() or 0
        for node in nodes
        for shape in node.attr["_output_shapes"].list.shape
        if not shape.unknown_rank
    ]
    assert max(sizes) < 2 * x.size < width * x.size


# Bad input, each before anything is compiled


class Eager(keras.layers.Layer):
    """Looks at its values, of which no program can be made."""

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)

    def call(self, x):
        if not tf.executing_eagerly():
            raise TypeError("this layer needs values")
        return x


def eager(seed):
    x = keras.Input((64,))
    encoder, decoder = BUILD(seed=seed)
    return keras.Model(x, encoder(Eager(name="look")(x))), decoder


def unseeded(seed):
    x = keras.Input((64,))
    h = keras.layers.Dense(3)(x)
    return keras.Model(x, [h, h]), BUILD(seed=seed)[1]


def penalised(seed):
    x = keras.Input((64,))
    h = keras.layers.Dense(3, kernel_regularizer="l2", kernel_initializer="ones")(x)
    return keras.Model(x, [h, h]), BUILD(seed=seed)[1]


def half_precision(seed):
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        return BUILD(seed=seed)
    finally:
        keras.mixed_precision.set_global_policy("float32")


SHARED = BUILD(seed=0)
GOOD = dict(build=BUILD, recipes=RECIPES[:1], x=X, epochs=1)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(recipes=[Recipe("a"), Recipe("b"), Recipe("a")]), "recipes has a more than once"),
        (dict(recipes=[]), "There are no recipes"),
        (dict(recipes=[Objective()]), "recipes holds a Objective: give Recipe"),
        (dict(recipes=[Recipe(3)]), "recipe 3 is not named by a string"),
        (
            dict(recipes=[Recipe("a", learning_rate=0.0)]),
            "learning_rate of recipe 'a'=0.0 is not a finite number above 0",
        ),
        (dict(learning_rate=np.nan), "learning_rate of recipe 'plain'=nan is not"),
        (
            dict(recipes=[Recipe("a", schedule=lambda e: -1.0)]),
            "recipe 'a': schedule.0.=-1.0 is not",
        ),
        (
            dict(recipes=[Recipe("a", schedule=lambda e: np.nan)]),
            "recipe 'a': schedule.0.=nan is not",
        ),
        (
            dict(recipes=[Recipe("a", schedule=lambda e: [1, 2])]),
            r"recipe 'a': schedule.0.=.1, 2. is not",
        ),
        (
            dict(recipes=[Recipe("a", schedule=lambda e: None)]),
            "recipe 'a': schedule.0.=None is not",
        ),
        (dict(seeds=[1, 2, 1]), "seeds has 1 more than once"),
        (dict(seeds=[]), "There are no seeds"),
        (dict(seeds=[-1]), "seed=-1 is not a whole number from 0 to 2147483647"),
        (dict(seeds=[0.5]), "seed=0.5 is not a whole number"),
        (dict(epochs=0), "epochs=0 is not a whole number of at least 1"),
        (dict(epochs=1.5), "epochs=1.5 is not a whole number"),
        (dict(batch_size=148), "batch_size=148 is not a whole number from 1 to 147"),
        (dict(batch_size=0), "batch_size=0 is not a whole number from 1"),
        (dict(x=X[:0]), "empty"),
        (dict(x=np.where(X > 0.9, np.nan, X)), "NaN"),
        (dict(x=X.reshape(-1, 8, 8)), "data of shape .64,., but x has .8, 8."),
        (dict(validation_data=X[:, :50]), "64"),
        (dict(build=lambda seed: BUILD(seed=seed)[0]), "returned Functional: return .encoder, dec"),
        (dict(build=lambda seed: SHARED), "share variables: build encoder and decoder anew"),
        (dict(build=unseeded), "other weights each time: hand the seed to the initialisers"),
        (dict(build=penalised), "adds a loss of its own"),
        (dict(build=half_precision), "float16 models"),
        (dict(build=eager), "can make no program of look: replace these layers"),
        (
            dict(executor=ProcessPoolExecutor(1, multiprocessing.get_context("fork"))),
            "forks this process, which TensorFlow does not survive",
        ),
    ],
)
def test_bad_input(change, message, monkeypatch):
    def compiles(*_):
        raise AssertionError("something was compiled")

    monkeypatch.setattr(_replicates.Program, "__init__", compiles)
    with pytest.raises(ValueError, match=message):
        sweep(**(GOOD | change))
