"""The repository around the book: lock, wheel, imports, set-up, and what must agree with what."""

import json
import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import lock
import nbformat
import pytest
import yaml
from helpers import ROOT, install, run
from nbformat.v4 import new_code_cell, new_notebook
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    *PROJECT["dependencies"],
    *(
        line
        for name, extra in PROJECT["optional-dependencies"].items()
        for line in extra
        if name != "bench"  # has an environment of its own
        and not line.startswith(f"{PROJECT['name']}[")  # another extra
    ),
]
LOCKED = (ROOT / "requirements.txt").read_text().splitlines()
PINS = {
    canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
    for pin in (Requirement(line) for line in LOCKED if not line.startswith("#"))
}


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_lock_satisfies(line):
    requirement = Requirement(line)
    pin = PINS.get(canonicalize_name(requirement.name))
    assert pin, f"requirements.txt does not pin {requirement.name}: run `make lock`"
    assert requirement.specifier.contains(pin), f"{line}, but {pin} is locked: run `make lock`"


def test_lock_is_of_these_dependencies():
    assert lock.digest() in LOCKED[0], "pyproject.toml changed since the lock: run `make lock`"


def test_digest_sees_a_change(monkeypatch, tmp_path):
    text = (ROOT / "pyproject.toml").read_text()
    before = lock.digest()
    monkeypatch.setattr(lock, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text(text.replace('"pillow>=', '"pillow>=1'))
    assert lock.digest() != before
    (tmp_path / "pyproject.toml").write_text(text + "\n[tool.other]\na = 1\n")
    assert lock.digest() == before


# Everything else is imported in a moment; TensorFlow takes three seconds.
NEED_TENSORFLOW = {"annealing", "balance", "model", "runs", "sweep"}
MODULES = {path.stem for path in (ROOT / "vae_notes").glob("[!_.]*") if path.suffix != ".typed"}


WITHOUT_TENSORFLOW = ["vae_notes", *(f"vae_notes.{m}" for m in sorted(MODULES - NEED_TENSORFLOW))]


@pytest.fixture(scope="module")
def imported():
    """By name what came with each module, imported as the first of the package, and not before."""
    code = """
import importlib, json, sys
heavy, seen, came = {"tensorflow", "keras", "jax", "torch"}, set(), {}
for name in sys.argv[1:]:
    for loaded in [of for of in sys.modules if of.partition(".")[0] == "vae_notes"]:
        del sys.modules[loaded]
    importlib.import_module(name)
    came[name] = sorted(heavy & set(sys.modules) - seen)
    seen.update(came[name])
print(json.dumps(came))
"""
    result = run(sys.executable, "-c", code, *WITHOUT_TENSORFLOW, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_imports_no_tensorflow(name, imported):
    assert not imported[name]


def test_wheel(tmp_path):
    """The wheel has every module, and they are found there and nowhere else."""
    target = tmp_path / "target"
    install(target)

    def files(folder):
        found = {path.relative_to(folder) for path in (folder / "vae_notes").rglob("*")}
        return {path for path in found if "__pycache__" not in path.parts}

    assert files(ROOT) == files(target)
    code = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import vae_notes, vae_notes.data, vae_notes.theory\n"
        "print(vae_notes.__file__, vae_notes.theory.__file__, sep='\\n')"
    )
    # -I: neither the working directory nor the user's packages.
    imported = run(sys.executable, "-I", "-c", code, cwd=tmp_path)
    assert imported.returncode == 0, imported.stderr
    assert all(Path(line).is_relative_to(target) for line in imported.stdout.splitlines())


def test_notebooks_run_as_downloaded(tmp_path):
    """nbval, with this project's hooks: the package comes from the wheel, the folder is another."""
    code = (
        "import os, vae_notes\n"
        f"for path in (os.getcwd(), vae_notes.__file__):\n"
        f"    assert not path.startswith(({str(ROOT)!r}, {str(tmp_path)!r})), path\n"
        "assert not os.listdir()"
    )
    notebook = new_notebook(cells=[new_code_cell(code, execution_count=1)])
    nbformat.write(notebook, tmp_path / "x.ipynb")
    options = ["-n", "1", "--dist", "loadfile", "--nbval", "--nbval-current-env"]
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", ROOT / "pyproject.toml"]
    result = run(
        *command,
        "--rootdir",
        tmp_path,
        *options,
        tmp_path / "x.ipynb",
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests")},
    )
    assert "1 passed" in result.stdout, result.stdout


def tracked():
    listed = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a git repository")
    return [path for path in map(ROOT.joinpath, listed.stdout.splitlines()) if path.is_file()]


def test_no_paths_of_a_machine():
    somebodys = re.compile(rb"/(root|home|Users|private)/[\w.]|[A-Z]:\\\\Users")
    places = {str(ROOT), sys.prefix, str(Path.home())} - {"/"}
    for path in tracked():
        data = path.read_bytes()
        assert not somebodys.search(data), f"{path.name} names a path of somebody's machine"
        for place in places:
            assert place.encode() + b"/" not in data, f"{path.name} names {place}"


def test_the_version_is_written_once():
    written = [
        path.name
        for path in tracked()
        if path.suffix in {".toml", ".cff", ".py", ".cfg"}
        and re.search(r"^_*version_*\s*[=:]\s*[\"']?\d", path.read_text(), flags=re.MULTILINE)
    ]
    assert written == ["__init__.py"]


def test_readme_lists_the_chapters():
    readme = (ROOT / "README.md").read_text()
    parts = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())["parts"]
    (chapters,) = [part["chapters"] for part in parts if part["caption"] == "Chapters"]
    listed = re.findall(r"\(book/(\d\d-[\w-]+)\.ipynb\)", readme)
    assert listed == [chapter["file"] for chapter in chapters]


def test_readme_code_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 10
    code = re.sub(r"epochs=\d+", "epochs=1", code)  # what is learnt does not matter here
    exec(code, {})  # no process of its own, in which TensorFlow would start once more
    assert "active" in capsys.readouterr().out


def test_every_notebook_is_in_the_book():
    toc = (ROOT / "book" / "_toc.yml").read_text()
    for path in (ROOT / "book").glob("*.ipynb"):
        assert re.search(rf"file: {path.stem}$", toc, flags=re.MULTILINE), path.name


def test_help_names_every_verb():
    text = (ROOT / "Makefile").read_text()
    verbs = re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE).group(1).split()
    lines = run("make", "-s", "help", cwd=ROOT).stdout.splitlines()
    assert [line.split()[1] for line in lines] == verbs


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        ("exit 1", "needs Python 3.11, 3.12 or 3.13"),
        ('case "$2" in *venv*) exit 1;; esac', "lacks the venv module"),
    ],
)
def test_set_up_says_what_is_missing(python, expected, tmp_path):
    for name in ("Makefile", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{python}\n")
    fake.chmod(0o755)
    result = run("make", "-s", "book", f"PYTHON={fake}", cwd=tmp_path)
    assert result.returncode
    said, *rest = result.stderr.splitlines()
    assert expected in said
    assert all(line.startswith("make") for line in rest)  # make's own report of the failure
    assert not (tmp_path / ".venv").exists()


@pytest.fixture
def make(tmp_path):
    """Run a verb where the programs only write down that they were called."""
    for name in ("Makefile", "_config.yml", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("book/index.md", "book/api/index.rst", "vae_notes/model.py", ".venv/ready"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    build = "mkdir _build/html && touch _build/html/index.html book/api/model.rst\n"
    build += "test ! -e broken || exit 1"
    (tmp_path / ".venv/bin").mkdir()
    for name, does in (
        ("jupyter-book", f"echo build >>log\n{build}"),
        ("python", "echo test >>log"),
    ):
        path = tmp_path / ".venv/bin" / name
        path.write_text(f"#!/bin/sh\n{does}\n")
        path.chmod(0o755)

    def make(verb):
        (tmp_path / "log").write_text("")
        result = run("make", "-s", verb, cwd=tmp_path)
        return (tmp_path / "log").read_text().split(), result.returncode

    return make


def test_tests_see_pages_of_today(make, tmp_path):
    """They are built before the tests, unless they were built from the very same sources."""
    assert make("test") == (["build", "test"], 0)
    assert make("test") == (["test"], 0)
    assert make("book") == (["build"], 0)
    assert make("test") == (["test"], 0)
    for name in ("book/index.md", "book/new.md", "vae_notes/model.py", "_config.yml"):
        with (tmp_path / name).open("a") as file:
            file.write("new")
        assert make("test") == (["build", "test"], 0), name
    (tmp_path / "book/new.md").unlink()
    (tmp_path / "broken").touch()
    for _ in range(2):
        said, failed = make("test")
        assert said == ["build"] and failed
    (tmp_path / "broken").unlink()
    assert make("test") == (["build", "test"], 0)
    shutil.rmtree(tmp_path / "_build/html")
    assert make("test") == (["build", "test"], 0)
