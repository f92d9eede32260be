"""What this package expects of Keras beyond what Keras promises, all of it in ``_keras``."""

import ast
from pathlib import Path

import numpy as np
import pytest

import vae_notes
from vae_notes import VAE, _keras
from vae_notes._keras import keras, tf
from vae_notes.networks import dense

PACKAGE = Path(vae_notes.__file__).parent


class Plain(keras.Model):
    """Counts its batches, as any Keras model would be trained."""

    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([keras.Sequential([keras.layers.Dense(1)])])

    def call(self, x):
        return self.inner(x)


def test_the_contract():
    """If Keras changes one of these, here is where to look, and ``_keras`` is what to mend."""
    model = Plain()
    model.compile("sgd", "mse")
    x = np.ones((8, 2), np.float32)

    # fit and evaluate ask make_*_function for train_function and test_function, unless they are set
    for kind, call in (("train", model.fit), ("test", model.evaluate)):
        called, options = [], {"shuffle": False} if kind == "train" else {}
        with _keras.running(model, kind, lambda batch, c=called: c.append(1) or {"loss": 0.0}):
            call(tf.data.Dataset.range(1), verbose=0, **options)
        assert called == [1] and getattr(model, f"{kind}_function") is None

    # fit takes a CallbackList as it is, with the steps that it was told
    callbacks = keras.callbacks.CallbackList([], add_history=True, model=model, epochs=1, steps=7)
    model.fit(x, x[:, :1], verbose=0, callbacks=callbacks)
    assert model.history.params["steps"] == 7

    # fit asks evaluate for its validation data by a private argument, and for nothing else private
    asked = {}
    model.evaluate = lambda **options: asked.update(options) or {"loss": 0.0}
    model.fit(x, x[:, :1], verbose=0, validation_data=(x, x[:, :1]))
    private = {name for name in asked if name.startswith("_")}
    assert private == {"_use_cached_eval_dataset"}
    assert not set(_keras.without_cached_data(asked)) & private

    # all layers, however deep, the model first
    layers = _keras.all_layers(model)
    assert layers[0] is model and any(isinstance(of, keras.layers.Dense) for of in layers)


def test_a_model_is_as_it_was_after_an_error():
    vae = VAE(*dense(4, 2))
    with pytest.raises(ZeroDivisionError), _keras.running(vae, "train", print):
        raise ZeroDivisionError
    assert vae.train_function is None


def test_nothing_else_private_to_keras_is_used():
    """Attributes with an underscore are the object's own, but in ``_keras``."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        private = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
            and ast.unparse(node.value) not in {"self", "self._runs"}
        }
        modules = {p.stem for p in PACKAGE.iterdir()}
        allowed = {"_flatten_layers"} if path.name == "_keras.py" else set()
        allowed |= {"_fraction", "_curve", "_mp_context", "_repr_html_"} | modules
        assert private <= allowed, (path.name, private - allowed)


def test_only_one_module_imports_keras_and_tensorflow():
    for path in PACKAGE.rglob("*.py"):
        names = {
            (alias.name if isinstance(node, ast.Import) else node.module or "").split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        assert not names & {"keras", "tensorflow"} or path.name == "_keras.py", path.name
