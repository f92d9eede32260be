"""What holds in every test: no screen, no chance, none of this user's own settings.

And what several of them use: the built pages, a browser, the package as it is installed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
import nbval.kernel
import pytest
from bs4 import BeautifulSoup
from hypothesis import settings

ROOT = Path(__file__).parent.parent
HTML = ROOT / "_build" / "html"
PAGES = sorted(path for path in HTML.rglob("*.html") if "_static" not in path.parts)
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
    if config.option.nbval:
        if not hasattr(config, "workerinput"):
            os.environ[INSTALLED] = str(Path(folder.name) / "installed")
            config.add_cleanup(lambda: os.environ.pop(INSTALLED, None))
            install(os.environ[INSTALLED])
        start_kernels_elsewhere(config)


def start_kernels_elsewhere(config):
    """Let nbval's kernels import the wheel, from a folder of their own, not the sources."""
    start = nbval.kernel.start_new_kernel

    def start_elsewhere(**options):
        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        env = os.environ | {"PYTHONPATH": os.environ[INSTALLED]}
        return start(**options | {"cwd": folder.name, "env": env})

    nbval.kernel.start_new_kernel = start_elsewhere
    config.add_cleanup(lambda: setattr(nbval.kernel, "start_new_kernel", start))


def install(target):
    """Build the wheel and install it, alone, in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        hidden = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "vae_notes", source / "vae_notes", ignore=hidden)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
        wheel = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, source]
        run(*pip, *wheel, check=True)
        run(
            *pip,
            "install",
            "--no-deps",
            "--target",
            target,
            *Path(folder).glob("*.whl"),
            check=True,
        )


def run(*command, **options):
    """Run a command without this test's own paths and return what it did."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MAKEFLAGS")}
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 300} | options
    return subprocess.run(command, **{"check": False} | options)


def unavailable(reason):
    """Skip, or fail where the pages must be tested: .ci/run sets VAE_NOTES_REQUIRE_BROWSER."""
    if os.environ.get("VAE_NOTES_REQUIRE_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)


def read(path):
    """Parse a page."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def refuse(problems):
    """Fail with all of the problems, if there are any."""
    problems = list(problems)
    assert not problems, "; ".join(problems)


@pytest.fixture(params=PAGES or [None], ids=lambda path: path.stem if path else "none")
def page(request):
    """Each built page."""
    if request.param is None:
        unavailable("the book is not built: run `make book` first")
    return request.param


@pytest.fixture(scope="module")
def browser():
    """A Chromium or Chrome of this machine's own."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
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
