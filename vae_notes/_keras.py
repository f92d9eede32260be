"""Keras and TensorFlow, imported when first used and without their start-up messages.

Every other module says ``from vae_notes._keras import keras, ops, tf``; nothing else in the
package imports TensorFlow, so what only needs NumPy starts in a fraction of a second.
"""

import importlib
import os
import sys
from contextlib import contextmanager

__all__ = ["keras", "ops", "tf"]


@contextmanager
def _quiet_stderr():
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

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        if "keras" not in sys.modules or "tensorflow" not in sys.modules:
            _import_tensorflow()
        return getattr(importlib.import_module(self._name), attribute)

    def __repr__(self):
        return f"<deferred module {self._name!r}>"


def _import_tensorflow():
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet_stderr():
        tensorflow = importlib.import_module("tensorflow")
        loaded = importlib.import_module("keras")
        tensorflow.constant(0.0)  # the first kernel prints too
    if loaded.backend.backend() != "tensorflow":
        raise ImportError(
            f"vae_notes runs on Keras's TensorFlow backend, but Keras was imported with "
            f"{loaded.backend.backend()!r}: set KERAS_BACKEND=tensorflow and start again."
        )


keras = _Deferred("keras")
ops = _Deferred("keras.ops")
tf = _Deferred("tensorflow")
