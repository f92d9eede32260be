"""VAE Notes: why your variational autoencoder does not work, in numbers.

Names are imported when first used, so that ``import vae_notes`` is light and what is NumPy never
waits for TensorFlow, nor needs it to be installed.
"""

import importlib
from typing import TYPE_CHECKING

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
    "checks",
    "diagnosis",
    "balance",
    "audit",
    "porting",
    "claims",
    "exercises",
    "figures",
    "interactive",
)

__all__ = [
    "VAE",
    "KLAnnealing",
    "Objective",
    "annealing",
    "audit",
    "balance",
    "checks",
    "claims",
    "data",
    "diagnose",
    "diagnosis",
    "exercises",
    "figures",
    "interactive",
    "likelihoods",
    "model",
    "montecarlo",
    "networks",
    "objective",
    "porting",
    "recipes",
    "runs",
    "schedules",
    "sweep",
    "theory",
]

if TYPE_CHECKING:  # what editors and mypy see
    from vae_notes import (
        annealing,
        audit,
        balance,
        checks,
        claims,
        data,
        diagnosis,
        exercises,
        figures,
        interactive,
        likelihoods,
        model,
        montecarlo,
        networks,
        objective,
        porting,
        recipes,
        runs,
        schedules,
        sweep,
        theory,
    )
    from vae_notes.annealing import KLAnnealing
    from vae_notes.diagnosis import diagnose
    from vae_notes.model import VAE
    from vae_notes.objective import Objective
else:  # hidden from them: with it, they would take any name for one of the package

    def __getattr__(name):
        if name in _HOME:
            return getattr(importlib.import_module(f"vae_notes.{_HOME[name]}"), name)
        if name in _MODULES:
            return importlib.import_module(f"vae_notes.{name}")
        raise AttributeError(f"module 'vae_notes' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
