"""The reference: docstrings that say everything, pages that show it, terms and times to look up."""

import ast
import importlib
import inspect
import json
import re
import textwrap

import execute
import nbformat
import pytest
import yaml
from helpers import HTML, ROOT, not_built, read, refuse

import vae_notes

BOOK = ROOT / "book"
MODULES = {name: importlib.import_module(f"vae_notes.{name}") for name in vae_notes._MODULES}
NAMES = [f"{name}.{of}" for name, module in MODULES.items() for of in module.__all__]
TAUGHT = r"Taught in chapter (\d+), \*([^*]+)\*, section \*([^*]+)\*\."
SHAPE = r"\(([^()]*,[^()]*|\.\.\.)?\)"  # (), (n,), (n, N), (...)
UNDERLINED = re.compile(r"^(\w+)\n-{3,}$", re.MULTILINE)
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))


def look_up(name):
    module, of = name.split(".")
    return getattr(MODULES[module], of)


def sections(text):
    """The sections of a docstring by title; what comes before the first is under None."""
    first, *rest = UNDERLINED.split(text)
    return {None: first} | dict(zip(rest[::2], rest[1::2], strict=True))


def items(section):
    """Names and type of each entry of a section such as Parameters."""
    for line in section.splitlines():
        if line and not line[0].isspace():
            names, _, kind = line.partition(" : ")
            yield [name.lstrip("*") for name in names.split(", ")], kind or names


def called(function):
    """The function and those of its own module that it calls, directly or not."""
    found, waiting = {}, [function]
    while waiting:
        of = waiting.pop()
        if of.__qualname__ in found:
            continue
        tree = ast.parse(textwrap.dedent(inspect.getsource(of)))
        found[of.__qualname__] = tree
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for name in names & set(of.__globals__):
            value = of.__globals__[name]
            if inspect.isfunction(value) and value.__module__ == of.__module__:
                waiting.append(value)
    return list(found.values())


def raises(function):
    return any(isinstance(node, ast.Raise) for tree in called(function) for node in ast.walk(tree))


def returns(function):
    return any(
        isinstance(node, ast.Return) and node.value is not None
        for node in ast.walk(called(function)[0])
    )


# Each check yields one sentence a problem.


def summary_problems(text):
    summary = " ".join(text.strip().partition("\n\n")[0].split())
    if not summary.endswith(".") or re.search(r"[.!?] [A-Z]", summary):
        yield f"its summary is not one sentence: {summary!r}"


def shape_problems(section):
    for names, kind in items(section):
        if re.search(r"\b(array|tensor)s?\b", kind) and not re.search(SHAPE, kind):
            yield f"{', '.join(names)} is an array without a shape: {kind!r}"


def docstring_problems(text, function=None, exception=False):
    """What a public name's docstring lacks."""
    found = sections(text)
    yield from summary_problems(found[None])
    needed = {"References", "Examples"}
    if function is not None:
        wanted = [name for name in inspect.signature(function).parameters if name != "self"]
        given = [name for names, _ in items(found.get("Parameters", "")) for name in names]
        if sorted(wanted) != sorted(given):
            yield f"it takes {wanted}, and its docstring says {given}"
        needed |= {"Returns"} if returns(function) else set()
        needed |= {"Raises"} if raises(function) else set()
    elif not exception and not {"Parameters", "Attributes"} & set(found):
        yield "it has neither Parameters nor Attributes"
    if needed - set(found):
        yield f"it lacks {', '.join(sorted(needed - set(found)))}"
    for title in ("Parameters", "Attributes", "Returns"):
        yield from shape_problems(found.get(title, ""))
    if ">>> " not in found.get("Examples", ">>> "):
        yield "its example does not run"
    yield from lesson_problems(text)


def lesson_problems(text):
    """Does it say where it is taught, and is there such a section?"""
    match = re.search(TAUGHT, " ".join(text.split()))
    if match is None:
        yield "it does not end its References with: Taught in chapter N, *Title*, section *Title*."
        return
    number, title, section = match.groups()
    paths = list(BOOK.glob(f"{int(number):02}-*.ipynb"))
    if not paths:
        yield f"there is no chapter {number}"
        return
    cells = nbformat.read(paths[0], as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    if f"# {title}" not in text.splitlines():
        yield f"chapter {number} is not called {title!r}"
    if not re.search(rf"^##+ {re.escape(section)}$", text, re.MULTILINE):
        yield f"chapter {number} has no section {section!r}"


@pytest.mark.parametrize("name", NAMES)
def test_docstring(name):
    thing = look_up(name)
    if inspect.isclass(thing):
        exception = issubclass(thing, Exception)
        refuse(docstring_problems(inspect.getdoc(thing), exception=exception))
    elif inspect.isfunction(thing):
        refuse(docstring_problems(inspect.getdoc(thing), thing))
    else:  # a name for a type: a comment above it is its docstring
        source = inspect.getsource(MODULES[name.split(".")[0]])
        comment = re.search(rf"((?:^#: .*\n)+){name.split('.')[1]} =", source, re.MULTILINE)
        assert comment, "it has no comment that begins with #:"
        refuse(lesson_problems(comment[1].replace("#:", "")))


def methods():
    for name in NAMES:
        thing = look_up(name)
        if not inspect.isclass(thing):
            continue
        for of, value in vars(thing).items():
            inherited = any(hasattr(base, of) for base in thing.__mro__[1:])
            value = getattr(value, "__func__", value)
            if of[0] != "_" and (callable(value) or isinstance(value, property)):
                yield pytest.param(value, inherited, id=f"{name}.{of}")


@pytest.mark.parametrize(("method", "inherited"), list(methods()))
def test_method(method, inherited):
    """Keras's own hooks need no docstring here; they are not on the page then."""
    if not method.__doc__:
        assert inherited
        return
    text = inspect.getdoc(method)
    refuse(summary_problems(text))
    for title in ("Parameters", "Returns"):
        refuse(shape_problems(sections(text).get(title, "")))


def test_module_docstrings():
    for module in MODULES.values():
        refuse(summary_problems(module.__doc__))


def _good(x, kind="sum"):
    """The sum of an array.

    Parameters
    ----------
    x : array (n, N)
        The data.
    kind : str
        Whatever.

    Returns
    -------
    array (n,)

    Raises
    ------
    ValueError
        Sometimes.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *How to measure
    it*.

    Examples
    --------
    >>> 1 + 1
    2
    """
    return _raising(x)


def _raising(x):
    raise ValueError("never")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", None),
        ("an array.", "an array. It adds.", "not one sentence"),
        ("kind : str", "sort : str", "it takes"),
        ("x : array (n, N)", "x : array", "without a shape"),
        ("array (n,)", "array", "without a shape"),
        ("Raises\n------", "", "lacks Raises"),
        ("Returns\n-------", "", "lacks Returns"),
        ("References\n----------", "", "lacks References"),
        (">>> ", "", "does not run"),
        (", section *How to measure\nit*", "", "does not end"),
        ("chapter 2", "chapter 99", "no chapter 99"),
        ("*Posterior collapse*", "*Collapse*", "not called"),
        ("How to measure\nit", "How", "no section 'How'"),
    ],
)
def test_docstring_check(old, new, expected):
    text = inspect.getdoc(_good)
    assert old in text
    problems = list(docstring_problems(text.replace(old, new, 1) if old else text, _good))
    assert any(expected in problem for problem in problems) if expected else not problems


# The pages.


@pytest.fixture
def built():
    if not (HTML / "api").is_dir():
        not_built()
    return HTML


@pytest.mark.parametrize("module", vae_notes._MODULES)
def test_page(built, module):
    """Every name has its place on the module's page, with a link to the section that teaches it."""
    page = read(built / "api" / f"{module}.html")
    for name in MODULES[module].__all__:
        heading = page.find("dt", id=f"vae_notes.{module}.{name}")
        assert heading, f"{name} is not on the page"
        links = [of["href"] for of in heading.find_next_sibling("dd").find_all("a", href=True)]
        assert any(re.match(r"\.\./\d\d-[\w-]+\.html#", of) for of in links), name


def test_names_at_the_top(built):
    index = read(built / "api" / "index.html")
    for name in vae_notes._HOME:
        assert index.find(id=f"vae_notes.{name}"), name
    pages = {of.get("href", "").partition("#")[0] for of in index.find_all("a")}
    assert {f"{module}.html" for module in vae_notes._MODULES} <= pages


def test_index_has_every_name(built):
    index = {of["href"] for of in read(built / "genindex.html").find_all("a", href=True)}
    for module in vae_notes._MODULES:
        for name in MODULES[module].__all__:
            assert f"api/{module}.html#vae_notes.{module}.{name}" in index
    terms = [of for of in index if of.startswith("glossary.html#term-")]
    assert len(terms) >= 40


def test_glossary_links_to_the_chapters():
    """Every term is explained in a sentence or two, and a link says where at length."""
    text = (BOOK / "glossary.md").read_text()
    terms = re.search(r"```\{glossary\}\n(?::\w+:\n)*\n?(.*?)\n```", text, re.DOTALL)[1]
    entries = [of for of in re.split(r"\n(?=\S)", terms.strip()) if "\n" in of]
    assert len(entries) >= 40
    for entry in entries:
        term, *words = entry.splitlines()
        assert "{doc}`" in entry, f"{term} has no link to a chapter"
        assert len(re.findall(r"[.!?](?:\s|$)", "\n".join(words))) <= 4, f"{term} is too long"
    for file in set(re.findall(r"\{doc\}`([\w-]+)`", text)):
        assert list(BOOK.glob(f"{file}.*")), file


# Run times.


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_run_time_is_kept(path):
    record = execute.records().get(path.stem)
    assert record, f"no run time of {path.name} is kept: run `make notebooks`"
    assert record["seconds"] >= 1
    assert set(record) == {"date", "machine", "seconds", "versions"}
    assert set(record["versions"]) == {"Python", *execute.PACKAGES}


def test_run_times_page_has_every_chapter(built):
    text = read(built / "run-times.html").find("article")
    rows = {row.a["href"] for row in text.find_all("tr") if row.a}
    assert rows == {f"{path.stem}.html" for path in NOTEBOOKS}


def test_record(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "RUN_TIMES", tmp_path / "times.json")
    assert execute.records() == {}
    execute.record("02-b", 61.4)
    execute.record("01-a", 0.2)
    kept = json.loads((tmp_path / "times.json").read_text())
    assert list(kept) == ["01-a", "02-b"]
    assert kept["02-b"]["seconds"] == 61 and kept["01-a"]["seconds"] == 1
    assert kept["01-a"]["versions"]["NumPy"]


def test_toc_has_the_reference():
    parts = yaml.safe_load((BOOK / "_toc.yml").read_text())["parts"]
    (reference,) = [part for part in parts if part["caption"] == "To look things up"]
    files = [of["file"] for of in reference["chapters"]]
    assert {"notation", "glossary", "api/index", "run-times", "bibliography", "genindex"} <= {
        *files
    }
