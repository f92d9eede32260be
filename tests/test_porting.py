import numpy as np
import pytest

from vae_notes._keras import keras, tf
from vae_notes.porting import attempt


def failing(error):
    def function():
        raise error

    return function


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (AttributeError("no 'sum'"), "AttributeError: no 'sum'"),
        (NotImplementedError(), "NotImplementedError, without a message"),
        (ValueError("Not this. That."), "ValueError: Not this."),
        (ValueError("\nGiven 0.5,\nexpected 1. Else"), "ValueError: Given 0.5, expected 1."),
        (ValueError("\x1b[1mBold.\x1b[0m Thin."), "ValueError: Bold."),
        (
            TypeError("Exception encountered when calling Lambda.call().\n\nWrong shape. Use 2."),
            "TypeError: Wrong shape.",
        ),
        (OSError("no /somewhere/else/x.keras here"), "OSError: no x.keras here"),
        (OSError(r"no C:\some\where\x.keras here"), "OSError: no x.keras here"),
        (ValueError("a rate of 1/2 or 3 / 4"), "ValueError: a rate of 1/2 or 3 / 4"),
        (TypeError("<function f at 0x7f01a2b3c4d5> is odd"), "TypeError: <function f> is odd"),
    ],
)
def test_errors_in_one_line(error, line, capsys):
    assert attempt(failing(error)) is None
    assert capsys.readouterr().out == line + "\n"


def test_long_messages_are_cut(capsys):
    attempt(failing(ValueError("word " * 100)))
    (line,) = capsys.readouterr().out.splitlines()
    assert len(line) < 220 and line.endswith("word ...")


def test_results_and_interrupts_pass(capsys):
    assert attempt(lambda: [1]) == [1]
    assert capsys.readouterr().out == "ran without an error\n"
    with pytest.raises(KeyboardInterrupt):
        attempt(failing(KeyboardInterrupt()))


# What chapter 6 says of Keras itself: a new Keras that answers otherwise makes these fail.


def fit_model(function, **options):
    x = np.ones((4, 2), "float32")
    inputs = keras.Input((2,))
    z_mean = keras.layers.Dense(2)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(z_mean))
    function(model, z_mean)
    model.compile("sgd", **{"loss": "mse", **options})
    return model.fit(x, x, epochs=3, verbose=0)


@pytest.mark.parametrize("name", ["variable", "get_value", "set_value", "sum"])
def test_backend_functions(name):
    assert not hasattr(keras.backend, name)
    assert hasattr(tf.keras.backend, name)


def test_a_loss_over_z_mean_is_refused():
    """handson-ml3 #172: a symbolic tensor in a TensorFlow function."""
    closure = {}

    def loss(x, x_mean):
        return keras.ops.mean(closure["z_mean"] ** 2)

    with pytest.raises(ValueError, match="KerasTensor cannot be used"):
        fit_model(lambda _, z_mean: closure.update(z_mean=z_mean), loss=loss)
    with pytest.raises(NotImplementedError):
        fit_model(lambda model, z_mean: model.add_loss(keras.ops.mean(z_mean)))


def test_variable_loss_weight_of_a_single_output_is_refused():
    """keras #20294."""
    for weight in (keras.Variable(1.0), tf.Variable(1.0)):
        with pytest.raises((TypeError, ValueError)):
            fit_model(lambda *_: None, loss_weights=weight)
