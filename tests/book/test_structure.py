"""The house: imports point upwards, what is private stays inside, and a change touches few places.

All by syntax trees, so that nothing here waits for TensorFlow.
"""

import ast
import re
from graphlib import CycleError, TopologicalSorter

import nbformat
import pytest
from helpers import ROOT

PACKAGE = ROOT / "vae_notes"


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def checked_by_types_only(tree):
    """The nodes under ``if TYPE_CHECKING``, which run nowhere."""
    blocks = [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)
    ]
    return {inner for block in blocks for each in block.body for inner in ast.walk(each)}


def imports(tree):
    """Dotted names of what is imported, wherever in the file; ``from a import b`` is a and a.b."""
    skipped = checked_by_types_only(tree)
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name):
    """The room that a dotted name is in: a module, or a folder of them."""
    parts = name.split(".")
    return parts[1] if parts[0] == "vae_notes" and len(parts) > 1 else None


def graph(sources):
    """Room by room, which other rooms of the package it imports."""
    found = {}
    for name, trees in sources.items():
        rooms = {room(of) for tree in trees for of in imports(tree)}
        found[name] = {of for of in rooms if of in sources} - {name}
    return found


SOURCES = {
    path.stem: [parsed(file) for file in ([path] if path.is_file() else path.glob("*.py"))]
    for path in PACKAGE.iterdir()
    if (path.is_dir() or path.suffix == ".py") and not path.name.startswith("__")
}


def test_the_import_graph_has_no_circle():
    order = [*TopologicalSorter(graph(SOURCES)).static_order()]
    assert set(order) == set(SOURCES) and len(order) > 20


@pytest.mark.parametrize(
    "code", ["from vae_notes import sweep", "def f():\n    from vae_notes.sweep import sweep"]
)
def test_a_circle_would_be_found(code):
    with pytest.raises(CycleError):
        [*TopologicalSorter(graph(SOURCES | {"theory": [ast.parse(code)]})).static_order()]


def test_where_the_engine_stands():
    """Whole epochs are run for any Keras model; they know nothing of a VAE."""
    assert graph(SOURCES)["_whole_epochs"] == {"_keras", "_noise", "_xla"}
    assert graph(SOURCES)["_xla"] == {"_keras"}
    assert "sweep" not in graph(SOURCES)["runs"] and "recipes" in graph(SOURCES)["runs"]


def private(names):
    return {name for name in names for part in name.split(".") if re.match("_(?!_)", part)}


def chapters():
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        yield path.name, "\n".join(c.source for c in cells if c.cell_type == "code")


def programs():
    for path in sorted((ROOT / "benchmarks").glob("*.py")):
        yield path.name, path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "book").glob("*.md")):
        code = re.findall(r"^```python\n(.*?)^```", path.read_text(), flags=re.M | re.S)
        yield path.name, "\n".join(code)


@pytest.mark.parametrize(("name", "code"), [*chapters(), *programs()], ids=lambda of: of[:20])
def test_readers_import_nothing_private(name, code):
    names = [of for of in imports(ast.parse(code)) if of.startswith("vae_notes")]
    assert not private(names)


def test_something_private_would_be_found():
    names = [*imports(ast.parse("from vae_notes._keras import ops; import vae_notes.data"))]
    assert private(names) == {"vae_notes._keras", "vae_notes._keras.ops"}


def test_public_rooms_are_listed_and_private_ones_are_marked():
    listed = ast.literal_eval(
        re.search(r"^_MODULES = (\(.*?\))", (PACKAGE / "__init__.py").read_text(), re.M | re.S)[1]
    )
    assert {name for name in SOURCES if not name.startswith("_")} == set(listed)


# What CONTRIBUTING.md says of the places that a change touches


def rows():
    """What is added, an example of it, and the files that name the example."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for row in re.findall(r"^\| (?:A|An) .*\|$", text, flags=re.MULTILINE):
        what, example, places = (cell.strip() for cell in row.strip("|").split("|"))
        if example:
            paths = [place for place in re.findall(r"`([^`]+)`", places) if "." in place]
            yield pytest.param(example.strip("`"), paths, id=what)


def words(path):
    """The names in some code, and its strings."""
    kinds = {"id", "name", "attr", "value"}
    found = (getattr(n, kind, None) for n in ast.walk(parsed(path)) for kind in kinds)
    return {word for word in found if isinstance(word, str)}


WORDS = {path.relative_to(ROOT).as_posix(): words(path) for path in PACKAGE.rglob("*.py")}


@pytest.mark.parametrize(("example", "places"), [*rows()])
def test_an_addition_touches_the_places_that_are_listed(example, places):
    """The code of the package, and only what is listed of it, names the example."""
    naming = {path for path, words in WORDS.items() if example in words}
    own = {place for place in places if re.fullmatch(r"vae_notes/.*\.py", place)}
    # exercises use everything; what they ask about is no place to touch
    assert {of for of in naming - own if not of.startswith("vae_notes/exercises/")} == set()
    assert naming >= own
    for place in {*places} - own:
        assert example in (ROOT / place).read_text(), place


def test_every_kind_of_addition_is_counted():
    assert len([*rows()]) >= 5
