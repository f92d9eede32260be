"""VAE Notes: why your variational autoencoder does not work, in numbers.

Names are imported when first used, so that ``import vae_notes`` is light and what is NumPy never
waits for TensorFlow.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "KLAnnealing": "annealing",
    "Objective": "objective",
    "VAE": "model",
    "diagnose": "diagnosis",
}
_MODULES = (
    "data",
    "likelihoods",
    "objective",
    "montecarlo",
    "schedules",
    "theory",
    "networks",
    "model",
    "annealing",
    "recipes",
    "sweep",
    "runs",
    "diagnosis",
    "balance",
    "audit",
    "porting",
    "claims",
    "exercises",
    "figures",
    "interactive",
)

__all__ = [*_HOME, *_MODULES]


def __getattr__(name):
    if name in _HOME:
        return getattr(importlib.import_module(f"vae_notes.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"vae_notes.{name}")
    raise AttributeError(f"module 'vae_notes' has no attribute {name!r}")


def __dir__():
    return [*__all__, "__version__"]
