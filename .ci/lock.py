"""Compile requirements.txt, the lock, from the ranges in pyproject.toml, all but `bench`.

One file for Python 3.11-3.13 and every system: uv resolves for all of them at once, which pip
cannot. It is installed in a temporary environment.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = ROOT / "requirements.txt"


def digest():
    """Return the sha256 of what the lock is compiled from; the lock's first line repeats it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    keys = ("requires-python", "dependencies", "optional-dependencies")
    parts = json.dumps([project[key] for key in keys], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def compile_lock():
    """Write requirements.txt."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "uv"], check=True)
        options = (
            "--universal --python-version 3.11 --extra book --extra test --fork-strategy fewest "
            "--no-emit-index-url --no-annotate --no-header -q -o requirements.txt"
        ).split()
        command = [f"{folder}/bin/uv", "pip", "compile", "pyproject.toml", *options, *sys.argv[1:]]
        subprocess.run(command, cwd=ROOT, check=True)
    pins = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    LOCK.write_text("\n".join([f"# compiled by `make lock`, sha256 {digest()}", *pins]) + "\n")


if __name__ == "__main__":
    compile_lock()
