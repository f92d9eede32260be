"""What holds in every test: no screen, no chance, none of this user's own settings.

And the fixtures that several of them share: each built page, a browser.
"""

import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import pytest
from helpers import PAGES, install, not_built, unavailable
from hypothesis import settings

# They train networks, or need PyTorch: `make clinic` runs them.
collect_ignore = [
    f"clinic/{name}.py" for name in ("broken_networks", "broken_torch", "confusion", "healthy")
]

BROWSERS = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
]
INSTALLED = "VAE_NOTES_INSTALLED"  # where the wheel is, for the processes of pytest-xdist

matplotlib.use("Agg")  # not MPLBACKEND, which the kernels of the notebooks would inherit
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")
for name in ("VAE_NOTES_SEED", "VAE_NOTES_CLAIMS"):
    os.environ.pop(name, None)


def pytest_configure(config):
    """Keep this user's IPython out of the notebooks, and run them as who downloaded them does."""
    folder = tempfile.TemporaryDirectory()
    config.add_cleanup(folder.cleanup)
    os.environ["IPYTHONDIR"] = folder.name
    if getattr(config.option, "nbval", False):
        if not hasattr(config, "workerinput"):
            os.environ[INSTALLED] = str(Path(folder.name) / "installed")
            config.add_cleanup(lambda: os.environ.pop(INSTALLED, None))
            install(os.environ[INSTALLED])
        start_kernels_elsewhere(config)


def start_kernels_elsewhere(config):
    """Let nbval's kernels import the wheel, from a folder of their own, not the sources."""
    import nbval.kernel

    start = nbval.kernel.start_new_kernel

    def start_elsewhere(**options):
        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        env = os.environ | {"PYTHONPATH": os.environ[INSTALLED]}
        return start(**options | {"cwd": folder.name, "env": env})

    nbval.kernel.start_new_kernel = start_elsewhere
    config.add_cleanup(lambda: setattr(nbval.kernel, "start_new_kernel", start))


@pytest.fixture(params=PAGES or [None], ids=lambda path: path.stem if path else "none")
def page(request):
    """Each built page."""
    if request.param is None:
        not_built()
    return request.param


@pytest.fixture(scope="module")
def browser():
    """A Chromium or Chrome of this machine's own."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if find_spec("playwright") is None:
        unavailable("no Playwright, which drives the browser")
    if executable is None:
        unavailable("no browser: install chromium (Debian and Ubuntu: apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=executable, args=options)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
