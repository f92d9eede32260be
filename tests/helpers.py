"""What several tests use: the built pages, the package as it is installed, skips and failures."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HTML = ROOT / "_build" / "html"
PAGES = sorted(path for path in HTML.rglob("*.html") if "_static" not in path.parts)


def install(target):
    """Build the wheel and unpack it in a folder, as pip would: it holds nothing to be built."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        hidden = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "vae_notes", source / "vae_notes", ignore=hidden)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, source)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
        wheel = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, source]
        run(*pip, *wheel, check=True)
        (built,) = Path(folder).glob("*-none-any.whl")
        shutil.unpack_archive(built, target, "zip")


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


def not_built():
    unavailable("the book is not built: run `make book` first")


@functools.cache
def read(path):
    """Parse a page, once: who looks at it must not change it."""
    from bs4 import BeautifulSoup

    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def refuse(problems):
    """Fail with all of the problems, if there are any."""
    problems = list(problems)
    assert not problems, "; ".join(problems)
