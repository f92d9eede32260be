"""Keras and TensorFlow: imported when first used, without their start-up messages, and what of
them is not public.

Every other module says ``from vae_notes._keras import keras, ops, tf``; nothing else in the
package imports TensorFlow, so what only needs NumPy starts in a fraction of a second. Here alone
stands what Keras does not promise to keep; ``tests/test_keras.py`` says what is expected of it.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

__all__ = ["all_layers", "keras", "ops", "running", "tf", "without_cached_data"]


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """TensorFlow's C++ start-up lines go to descriptor 2, past ``sys.stderr``."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class _Deferred:
    """A module that is imported when one of its attributes is first asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if not (sys.modules.get("keras") and sys.modules.get("tensorflow")):
            _import_tensorflow()
        return getattr(importlib.import_module(self._name), attribute)

    def __repr__(self) -> str:
        return f"<deferred module {self._name!r}>"


def _import_tensorflow() -> None:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _quiet_stderr():
            tensorflow = importlib.import_module("tensorflow")
            loaded = importlib.import_module("keras")
            tensorflow.constant(0.0)  # the first kernel prints too
    except ModuleNotFoundError as error:
        if error.name not in ("tensorflow", "keras"):
            raise
        raise ModuleNotFoundError(
            f"{error.name} is not installed, and training needs TensorFlow and Keras: "
            f'pip install "vae-notes[tensorflow]".',
            name=error.name,
        ) from None
    if loaded.backend.backend() != "tensorflow":
        raise ImportError(
            f"vae_notes runs on Keras's TensorFlow backend, but Keras was imported with "
            f"{loaded.backend.backend()!r}: set KERAS_BACKEND=tensorflow and start again."
        )


if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from keras import ops
else:
    keras = _Deferred("keras")
    ops = _Deferred("keras.ops")
    tf = _Deferred("tensorflow")


# What Keras does not promise to keep


def all_layers(model: Any) -> list[Any]:
    """A model and every layer in it, however deep."""
    return model._flatten_layers()


@contextmanager
def running(model: Any, kind: str, function: Callable[[Any], Any]) -> Iterator[None]:
    """Let ``fit`` (kind "train") or ``evaluate`` (kind "test") call another function on batches."""
    name = f"{kind}_function"  # what make_train_function makes, unless it is there
    kept = getattr(model, name)
    setattr(model, name, function)
    try:
        yield
    finally:
        setattr(model, name, kept)


def without_cached_data(options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of ``evaluate`` without fit's wish to see the last validation data again."""
    return {k: v for k, v in options.items() if k != "_use_cached_eval_dataset"}
