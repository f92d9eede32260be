"""Execute the notebooks of the book.

    python book/execute.py [--stale | --all] [--seed N] [NOTEBOOK ...]

In place, by default only those whose fingerprint is old; the same notebook
executed twice gives the same bytes. How long it took, where and with which
versions is kept beside them, in _run-times.json. With --seed, copies are
executed with that base seed instead, and each claim is listed with the seeds
that support it.
"""

import argparse
import base64
import io
import json
import os
import platform
import re
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import (
    CellExecutionError,
    CellTimeoutError,
    DeadKernelError,
)
from PIL import Image

from fingerprint import fingerprint

BOOK = Path(__file__).resolve().parent
RUN_TIMES = BOOK / "_run-times.json"
PACKAGES = {  # what computes, by the name that its users write
    "NumPy": "numpy",
    "TensorFlow": "tensorflow",
    "Keras": "keras",
    "Matplotlib": "matplotlib",
    "scikit-learn": "scikit-learn",
}
COLOURS = 128  # of a stored figure: a third of the bytes, no visible change
FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError)
METADATA = {
    "kernelspec": {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    },
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


def is_stale(notebook):
    """Say whether what decides the outputs has changed since execution."""
    stored = notebook.metadata.get("vae_notes", {}).get("fingerprint")
    return stored != fingerprint(notebook)


def slim(notebook):
    """Store the figures with few colours."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            figure = output.get("data", {}).get("image/png")
            if figure:
                image = Image.open(io.BytesIO(base64.b64decode(figure)))
                packed = io.BytesIO()
                image.convert("RGB").quantize(
                    COLOURS, dither=Image.Dither.NONE
                ).save(packed, "png", optimize=True)
                text = base64.b64encode(packed.getvalue()).decode()
                output["data"]["image/png"] = text


def execute(notebook, folder, allow_errors=False):
    """Execute a notebook in `folder`; keep only what is the same each time."""
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        allow_errors=allow_errors,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
    )
    client.execute()
    slim(notebook)
    stamp = {"vae_notes": {"fingerprint": fingerprint(notebook)}}
    notebook.metadata = nbformat.from_dict(METADATA | stamp)


def machine():
    """Say which processor this is, and how many cores it has; no names."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    name = model[1] if model else platform.processor() or platform.machine()
    return f"{' '.join(name.split())}, {os.cpu_count()} cores"


def records():
    """Return what is kept about the last execution of each notebook."""
    return json.loads(RUN_TIMES.read_text()) if RUN_TIMES.exists() else {}


def record(name, seconds):
    """Keep how long a notebook took, where, and with which versions."""
    versions = {label: version(of) for label, of in PACKAGES.items()}
    entry = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "seconds": max(1, round(seconds)),
        "versions": {"Python": platform.python_version()} | versions,
    }
    kept = dict(sorted((records() | {name: entry}).items()))
    RUN_TIMES.write_text(json.dumps(kept, indent=1) + "\n")


def store(paths):
    """Execute in place, leaving as it was what fails; return the failures."""
    failures = 0
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        start = time.perf_counter()
        try:
            execute(notebook, path.parent)
        except FAILURES as error:
            failures += 1
            print(f"{path.name}: failed, left as it was\n{error}", flush=True)
        else:
            nbformat.write(notebook, path)
            seconds = time.perf_counter() - start
            record(path.stem, seconds)
            print(f"{path.name}: {seconds:.0f} s", flush=True)
    return failures


def problems_in(notebook):
    """Yield errors that no tag announces, and solutions found not right."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            announced = "raises-exception" in cell.metadata.get("tags", [])
            if output.output_type == "error" and not announced:
                yield f"{output.ename}: {output.evalue}"
            yield from re.findall(
                r"^Exercise \S+: not yet.*$", output.get("text", ""), re.M
            )


def claims(paths, seed):
    """Execute copies from base seed `seed`, list the claims, count failures."""
    os.environ["VAE_NOTES_SEED"] = str(seed)
    failures = 0
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            listed = Path(folder) / "claims.jsonl"
            os.environ["VAE_NOTES_CLAIMS"] = str(listed)
            try:
                # A claim that fails stops neither its notebook nor the others.
                execute(notebook, folder, allow_errors=True)
                problems = list(problems_in(notebook))
            except FAILURES as error:
                problems = [str(error)]
            lines = listed.read_text().splitlines() if listed.exists() else []
        seconds = time.perf_counter() - start
        print(f"\n{path.name}, base seed {seed}, {seconds:.0f} s")
        for claim in map(json.loads, lines):
            held = claim["supporting"] >= claim["needed"]
            count = f"{claim['supporting']} of {claim['seeds']}"
            need = f"(needs {claim['needed']})"
            print(
                f"{' ' if held else '!'} {count} {need}: {claim['statement']}"
            )
        for problem in problems:
            print(f"! {problem.strip()}")
        sys.stdout.flush()
        failures += bool(problems)
    held = len(paths) - failures
    print(f"\n{held} of {len(paths)} notebooks hold for base seed {seed}.")
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--stale", action="store_true", help="where it is old (default)"
    )
    which.add_argument("--all", action="store_true", help="old or not")
    parser.add_argument("--seed", type=int, help="list claims from this seed")
    parser.add_argument("notebooks", nargs="*", type=Path)
    arguments = parser.parse_args()

    paths = arguments.notebooks or sorted(BOOK.glob("*.ipynb"))
    # The reader's own IPython start-up files and history stay out of it.
    with tempfile.TemporaryDirectory() as profile:
        os.environ["IPYTHONDIR"] = profile
        for name in ("VAE_NOTES_SEED", "VAE_NOTES_CLAIMS", "MPLBACKEND"):
            os.environ.pop(name, None)
        if arguments.seed is not None:
            sys.exit(claims(paths, arguments.seed) > 0)
        if not arguments.all:
            read = {path: nbformat.read(path, as_version=4) for path in paths}
            paths = [path for path in paths if is_stale(read[path])]
            if not paths:
                print("Every notebook is up to date.")
        sys.exit(store(paths) > 0)


if __name__ == "__main__":
    main()
