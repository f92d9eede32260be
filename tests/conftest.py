"""What holds in every test: no screen, no chance, none of this user's own settings."""

import os
import sys
import tempfile

import matplotlib
import pytest
from hypothesis import settings

matplotlib.use("Agg")  # not MPLBACKEND, which the kernels of the notebooks would inherit
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")
for name in ("VAE_NOTES_SEED", "VAE_NOTES_CLAIMS"):
    os.environ.pop(name, None)


def pytest_configure(config):
    """Keep the user's IPython start-up files and history out of the notebooks."""
    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    os.environ["IPYTHONDIR"] = folder.name


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
