"""The stored notebooks are what the book shows: executed, in order, up to date, built as chapters.

nbval, run beside these tests, executes them afresh and compares; it is silent about what is
checked here.

An exercise is a Markdown cell that starts with `### Exercise 1.2`. Its solution follows, before the
next heading: a code cell tagged `hide-cell`, whose metadata say what to click on,

    {"tags": ["hide-cell"], "mystnb": {"code_prompt_show": "Show the solution",
                                       "code_prompt_hide": "Hide the solution"}}

or, where it needs no code, a `{dropdown} Solution` in Markdown. Code ends with the call of
`exercises.check`, which must have found the solution right.
"""

import ast
import copy
import json
import re
import shutil
import sys
from importlib.metadata import packages_distributions

import execute
import fingerprint
import nbformat
import pytest
from helpers import ROOT, run
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

BOOK = ROOT / "book"
NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
LONGEST_CELL = 15
MOST_BYTES = 600_000
FEWEST_EXERCISES = 4
IMAGES = {"image/png", "image/jpeg", "image/svg+xml"}


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def first_line(cell):
    return cell.source.strip().partition("\n")[0]


def statements(cell):
    """Return the top-level statements, none where the cell is not plain Python."""
    try:
        return ast.parse(cell.source).body
    except SyntaxError:
        return []


# Each check yields one sentence a problem.


def executed_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if not counts or counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}"


def up_to_date(notebook):
    if execute.is_stale(notebook):
        yield "package, lock or code have changed since it was executed: run `make notebooks`"


def metadata_steady(notebook):
    if {
        key: value for key, value in notebook.metadata.items() if key != "vae_notes"
    } != execute.METADATA:
        yield "metadata differ from what book/execute.py writes: run `make notebooks`"


def plain_python(notebook):
    for cell in code_cells(notebook):
        if not statements(cell):
            yield f"empty, or not plain Python: {first_line(cell)!r}"


def no_errors(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                yield f"error {output.ename} under {first_line(cell)!r}"
            if output.get("name") == "stderr":
                yield f"stderr under {first_line(cell)!r}"


def printed(notebook):
    for cell in code_cells(notebook):
        calls = [node.value for node in statements(cell) if isinstance(node, ast.Expr)]
        names = [getattr(call.func, "id", "") for call in calls if isinstance(call, ast.Call)]
        if "print" in names and not any(output.get("name") == "stdout" for output in cell.outputs):
            yield f"nothing printed under {first_line(cell)!r}"


def no_semicolons(notebook):
    # nbval executes without history, and without history IPython heeds no semicolon.
    for cell in code_cells(notebook):
        if cell.source.rstrip().endswith(";"):
            yield f"assign the value that a semicolon should hide: {first_line(cell)!r}"


def no_addresses(notebook):
    for cell in code_cells(notebook):
        if re.search(r"\bat 0x[0-9a-f]{6}", str(cell.outputs)):
            yield f"a memory address under {first_line(cell)!r}"


def compared(notebook):
    cells = code_cells(notebook)
    ignored = [cell for cell in cells if "nbval-ignore-output" in tags(cell)]
    for cell in ignored:
        if not str(cell.metadata.get("reason", "")).strip():
            yield f"nbval-ignore-output without a reason in the metadata of {first_line(cell)!r}"
    if 2 * len(ignored) >= len(cells):
        yield f"{len(ignored)} of {len(cells)} cells are not compared"
    for cell in cells:
        if "nbval-skip" in tags(cell) or re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_", cell.source):
            yield f"nbval is steered otherwise: {first_line(cell)!r}"


def images_described(notebook):
    for cell in code_cells(notebook):
        shown = any(IMAGES & set(output.get("data", {})) for output in cell.outputs)
        text = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        if shown and len(text.split()) < 3:
            yield f"a figure without text in mystnb.image.alt under {first_line(cell)!r}"


def cells_short(notebook):
    for cell in code_cells(notebook):
        imports = [s for s in statements(cell) if isinstance(s, ast.Import | ast.ImportFrom)]
        lines = len(cell.source.strip().splitlines())
        lines -= sum(s.end_lineno - s.lineno + 1 for s in imports)  # the thought counts
        if lines > LONGEST_CELL:
            yield f"{lines} lines, more than {LONGEST_CELL}: {first_line(cell)!r}"


def cells_introduced(notebook):
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        if cell.cell_type == "code" and (before is None or before.cell_type != "markdown"):
            yield f"no sentence before {first_line(cell)!r}"


def no_algorithms(notebook):
    for cell in code_cells(notebook):
        if "quoted" in tags(cell):  # shown as others write it
            continue
        nodes = [node for statement in statements(cell) for node in ast.walk(statement)]
        if any(isinstance(node, ast.ClassDef) for node in nodes) or "GradientTape" in cell.source:
            yield f"an algorithm, which belongs in vae_notes/: {first_line(cell)!r}"


def chapter_form(notebook):
    prose = [cell.source.strip() for cell in notebook.cells if cell.cell_type == "markdown"]
    headings = re.findall(r"^##? .+$", "\n".join(prose), flags=re.MULTILINE)
    if (
        not headings
        or not headings[0].startswith("# ")
        or not notebook.cells[0].source.startswith("# ")
    ):
        yield "does not begin with its title"
    if headings[1:2] != ["## What you will learn"]:
        yield "the first section is not `## What you will learn`"
    if headings[-2:] != ["## Takeaways", "## Exercises"]:
        yield "the last sections are not `## Takeaways` and `## Exercises`"
    opening = "\n".join(prose).partition("\n## ")[2].partition("\n## ")[0].lower()
    if "what you need" not in opening or "minute" not in opening:
        yield "the opening does not say what you need and how many minutes it takes"


def exercises_solved(notebook):
    """Exercises are numbered c.1, c.2, ... and each has its solution, hidden."""
    numbers, solved = [], []
    for cell in notebook.cells:
        exercise = re.match(r"### Exercise (\d+)\.(\d+)\b", cell.source)
        if cell.cell_type == "markdown" and exercise:
            numbers.append(exercise.groups())
            solved.append(False)
        elif re.match("#", cell.source) and cell.cell_type == "markdown" and solved:
            solved.append(None)  # another heading: what follows solves nothing
        hidden = "hide-cell" in tags(cell)
        prompt = cell.metadata.get("mystnb", {}).get("code_prompt_show", "")
        if hidden and "solution" not in prompt.lower():
            yield f"hidden, and code_prompt_show does not say solution: {first_line(cell)!r}"
        if solved and solved[-1] is False:
            solved[-1] = hidden or "{dropdown} Solution" in cell.source
    chapter = numbers[0][0] if numbers else "1"
    if not numbers or numbers != [(chapter, str(i + 1)) for i in range(len(numbers))]:
        found = ", ".join(map(".".join, numbers))
        yield f"exercises are not numbered in order: {found}"
    for number, is_solved in zip(numbers, [s for s in solved if s is not None], strict=True):
        if not is_solved:
            yield f"exercise {'.'.join(number)} has no hidden solution"


def exercises_right(notebook):
    """Hidden code answers the exercise above it, and its check says so."""
    number, right = None, set()
    for cell in notebook.cells:
        exercise = re.match(r"### Exercise (\d+\.\d+)\b", cell.source)
        if cell.cell_type == "markdown" and exercise:
            number = exercise[1]
        elif "hide-cell" in tags(cell):
            if any(f"Exercise {number}: right." in out.get("text", "") for out in cell.outputs):
                right.add(number)
            else:
                yield f"the solution of {number} is not checked, or not found right"
    if len(right) < FEWEST_EXERCISES:
        yield f"{len(right)} exercises check themselves, at least {FEWEST_EXERCISES} should"


def light(notebook):
    if (size := len(nbformat.writes(notebook))) > MOST_BYTES:
        yield f"{size:,} characters, more than {MOST_BYTES:,}: draw less, or smaller"


CHECKS = [
    executed_in_order,
    up_to_date,
    metadata_steady,
    plain_python,
    no_errors,
    printed,
    no_semicolons,
    no_addresses,
    compared,
    images_described,
    cells_short,
    cells_introduced,
    no_algorithms,
    light,
]
OF_A_CHAPTER = [
    chapter_form,
    exercises_solved,
    exercises_right,
]  # a numbered one; the summary is none
CHAPTERS = [path for path in NOTEBOOKS if path.name[0].isdigit()]


@pytest.mark.parametrize(
    "check, path",
    [(check, path) for path in NOTEBOOKS for check in CHECKS]
    + [(check, path) for path in CHAPTERS for check in OF_A_CHAPTER],
    ids=lambda of: getattr(of, "stem", getattr(of, "__name__", "")),
)
def test_notebook(check, path):
    problems = list(check(nbformat.read(path, as_version=4)))
    assert not problems, f"{path.name}: " + "; ".join(problems)


def test_there_are_notebooks():
    assert NOTEBOOKS and CHAPTERS


# The checks are checked: a good chapter passes them all, and each refuses one spoilt for it.


def good_chapter():
    figure = new_output("display_data", data={"image/png": "", "text/plain": "<Figure>"})
    text = new_output("stream", name="stdout", text="1\n")
    solution = {"tags": ["hide-cell"], "mystnb": {"code_prompt_show": "Show the solution"}}

    def answer(number, **options):
        said = new_output("stream", name="stdout", text=f"Exercise 1.{number}: right.\n")
        code = f"exercises.check('1.{number}', 1)"
        return new_code_cell(code, metadata=copy.deepcopy(solution), outputs=[said], **options)

    described = {"mystnb": {"image": {"alt": "A curve that rises."}}}
    cells = [
        new_markdown_cell("# Title"),
        new_markdown_cell(
            "## What you will learn\n\n- a\n\n**What you need**: b. **Time**: 5 minutes."
        ),
        new_markdown_cell("## Section\n\nWe print."),
        new_code_cell("print(1)", execution_count=1, outputs=[text]),
        new_markdown_cell("We draw."),
        new_code_cell("plot()", execution_count=2, outputs=[figure], metadata=described),
        new_markdown_cell("## Takeaways\n\n- a"),
        new_markdown_cell("## Exercises"),
        new_markdown_cell("### Exercise 1.1\n\nA?"),
        answer(1, execution_count=3),
        new_markdown_cell("### Exercise 1.2\n\nB?\n\n```{dropdown} Solution\nC.\n```"),
        new_markdown_cell("### Exercise 1.3\n\nC?"),
        answer(3, execution_count=4),
        new_markdown_cell("### Exercise 1.4\n\nD?"),
        answer(4, execution_count=5),
        new_markdown_cell("### Exercise 1.5\n\nE?"),
        answer(5, execution_count=6),
    ]
    notebook = new_notebook(cells=cells, metadata=copy.deepcopy(execute.METADATA))
    notebook.metadata["vae_notes"] = {"fingerprint": execute.fingerprint(notebook)}
    return notebook


def edit(cell, **changes):
    """Return a function that changes attributes of one cell."""

    def spoil(notebook):
        notebook.cells[cell].update(copy.deepcopy(changes))

    return spoil


def add_output(kind, **content):
    return lambda notebook: notebook.cells[3].outputs.append(new_output(kind, **content))


IGNORED = {"tags": ["nbval-ignore-output"]}
SPOILT = [
    (executed_in_order, edit(3, execution_count=None)),
    (executed_in_order, edit(5, execution_count=7)),
    (up_to_date, edit(3, source="print(3)")),
    (up_to_date, lambda notebook: notebook.metadata.pop("vae_notes")),
    (metadata_steady, lambda notebook: notebook.metadata.language_info.update(version="3.12.1")),
    (plain_python, edit(3, source="%timeit 1")),
    (plain_python, edit(3, source="")),
    (no_errors, add_output("error", ename="ValueError", evalue="", traceback=[])),
    (no_errors, add_output("stream", name="stderr", text="careful")),
    (printed, edit(3, outputs=[])),
    (no_semicolons, edit(5, source="plot();\n")),
    (no_addresses, add_output("stream", name="stdout", text="<function f at 0x7f0123456789>")),
    (compared, edit(3, metadata=IGNORED)),
    (compared, lambda n: [edit(i, metadata=IGNORED | {"reason": "a"})(n) for i in (3, 5, 9)]),
    (compared, edit(3, source="# NBVAL_SKIP\nprint(1)")),
    (compared, edit(3, metadata={"tags": ["nbval-skip"]})),
    (images_described, edit(5, metadata={})),
    (images_described, edit(5, metadata={"mystnb": {"image": {"alt": "Figure"}}})),
    (cells_short, edit(3, source="print(1)\n" * 16)),
    (cells_introduced, lambda notebook: notebook.cells.pop(4)),
    (no_algorithms, edit(3, source="if True:\n    class Model:\n        pass")),
    (no_algorithms, edit(3, source="with tf.GradientTape() as tape:\n    pass")),
    (chapter_form, lambda notebook: notebook.cells.pop(0)),
    (chapter_form, lambda notebook: notebook.cells.pop(1)),
    (chapter_form, lambda notebook: notebook.cells.pop(6)),
    (chapter_form, edit(1, source="## What you will learn\n\n- a")),
    (exercises_solved, lambda notebook: notebook.cells.pop(9)),
    (exercises_solved, edit(10, source="### Exercise 1.2\n\nB?")),
    (exercises_solved, edit(10, source="### Exercise 1.4\n\n```{dropdown} Solution\n```")),
    (exercises_solved, lambda notebook: notebook.cells.pop(10)),
    (exercises_solved, edit(12, metadata={"tags": ["hide-cell"]})),
    (exercises_solved, edit(12, metadata={})),
    (exercises_right, edit(12, outputs=[])),
    (exercises_right, edit(9, outputs=[new_output("stream", text="Exercise 1.3: right.\n")])),
    (exercises_right, lambda notebook: [notebook.cells.pop() for _ in range(2)]),
    (light, add_output("stream", name="stdout", text="1" * MOST_BYTES)),
]


@pytest.mark.parametrize("check", [*CHECKS, *OF_A_CHAPTER], ids=lambda check: check.__name__)
def test_check_accepts(check):
    assert not list(check(good_chapter()))


@pytest.mark.parametrize(("check", "spoil"), SPOILT)
def test_check_refuses(check, spoil):
    notebook = good_chapter()
    spoil(notebook)
    assert list(check(notebook))


def test_every_check_is_checked():
    assert {check for check, _ in SPOILT} == {*CHECKS, *OF_A_CHAPTER}


# Fingerprints, on a copy of the real package and with the real notebooks.

STORED = {path.stem: nbformat.read(path, as_version=4) for path in NOTEBOOKS}
PORTING = {"06-porting", "07-your-data"}  # these call porting.attempt
MOVING = {"02-collapse", "04-reductions", "05-annealing", "summary"}  # with interactive figures


class Tree:
    """A copy of what decides the outputs of the real notebooks, and what its changes make stale."""

    def __init__(self, root):
        self.root = root
        hidden = shutil.ignore_patterns("__pycache__")
        shutil.copytree(fingerprint.ROOT / "vae_notes", root / "vae_notes", ignore=hidden)
        shutil.copy(fingerprint.ROOT / "requirements.txt", root)
        self.execute()

    def execute(self):
        self.stored = self.fingerprints()

    def fingerprints(self):
        return {name: fingerprint.fingerprint(of, self.root) for name, of in STORED.items()}

    def stale(self):
        return {name for name, of in self.fingerprints().items() if of != self.stored[name]}

    def edit(self, name, change):
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        old = path.read_text() if path.exists() else ""
        new = change(old)
        assert new != old, f"{name} is not changed"
        path.write_text(new)

    def append(self, name, text):
        self.edit(name, lambda old: f"{old}\n{text}\n")


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


class Hints(ast.NodeTransformer):
    """Gives hints to every function and to every name that is assigned to."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            argument.annotation = ast.Name("Any")
        node.returns = ast.Constant("Any")
        return node

    def visit_Assign(self, node):
        (target, *others) = node.targets
        if others or not isinstance(target, ast.Name):
            return node
        return ast.AnnAssign(target, ast.Name("Any"), node.value, simple=1)

    def visit_ClassDef(self, node):  # what is hinted right there are fields of a dataclass
        node.body = [self.visit(of) if isinstance(of, ast.FunctionDef) else of for of in node.body]
        return node


def hinted(text):
    imports = """
from __future__ import annotations
from typing import TYPE_CHECKING, Any
if TYPE_CHECKING:
    from vae_notes import montecarlo
"""
    return imports + ast.unparse(ast.fix_missing_locations(Hints().visit(ast.parse(text))))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: f"# A comment.\n{text}\n# Another.\n",
        lambda text: re.sub(r'^( *""")(?=\w)', r"\1Other words. ", text, flags=re.MULTILINE),
        lambda text: f"{text}\n'A sentence on what is above.'\n",
        lambda text: ast.unparse(ast.parse(text)),
        hinted,
    ],
    ids=["comment", "docstring", "string", "layout", "hints"],
)
def test_words_make_nothing_stale(tree, change):
    for path in (tree.root / "vae_notes").rglob("*.py"):
        tree.edit(path, change)
    assert tree.stale() == set()


@pytest.mark.parametrize(
    ("name", "chapters"),
    [
        ("vae_notes/porting.py", PORTING),
        ("vae_notes/exercises/porting.py", {"06-porting"}),
        ("vae_notes/exercises/__init__.py", {path.stem for path in CHAPTERS}),
        ("vae_notes/montecarlo.py", {"01-objective"}),
        ("vae_notes/interactive/_document.py", MOVING),  # behind interactive/__init__.py, _dial.py
        ("vae_notes/interactive/dial.js", MOVING),
        ("vae_notes/interactive/style.css", MOVING),
        ("vae_notes/interactive/fonts/new.svg", MOVING),
        ("vae_notes/_keras.py", set(STORED)),  # behind model.py
        ("vae_notes/objective.py", set(STORED)),
        ("vae_notes/__init__.py", set(STORED)),
        ("vae_notes/nobody_imports_it.py", set()),
        ("vae_notes/py.typed", set()),
    ],
)
def test_code_makes_stale_what_reaches_it(tree, name, chapters):
    tree.append(name, "_CHANGED = 1")
    assert tree.stale() == chapters


def test_chapters_reach_neither_all_nor_nothing():
    """Else what is above could not tell a fingerprint that follows imports from one of it all."""
    for chapters in (PORTING, MOVING):
        assert set() < chapters < set(STORED)


def test_a_module_comes_changes_is_renamed_and_goes(tree):
    tree.append("vae_notes/extra.py", "A = 1")
    tree.append("vae_notes/porting.py", "def _late():\n    from vae_notes import extra")
    assert tree.stale() == PORTING
    tree.execute()
    tree.append("vae_notes/extra.py", "B = 1")
    assert tree.stale() == PORTING
    tree.execute()
    (tree.root / "vae_notes/extra.py").rename(tree.root / "vae_notes/other.py")
    assert tree.stale() == PORTING
    tree.execute()
    (tree.root / "vae_notes/porting.py").unlink()
    assert tree.stale() == PORTING
    tree.execute()
    (tree.root / "vae_notes/interactive/dial.js").unlink()
    assert tree.stale() == MOVING


def test_a_lazy_name_counts_where_it_is_used(tree):
    """Of the tables of lazy names only the entry of one that the notebook uses."""
    init, entry = "vae_notes/__init__.py", '"diagnose": "diagnosis",'
    tree.edit(init, lambda text: text.replace(entry, f'{entry} "New": "data",'))
    tree.edit(init, lambda text: re.sub("__version__ = .*", "__version__ = '9'", text))
    assert tree.stale() == set()
    # It is in both modules, and every notebook reaches both.
    tree.edit(init, lambda text: text.replace(entry, '"diagnose": "runs",'))
    assert tree.stale() == {"01-objective", "02-collapse", "07-your-data", "summary"}


@pytest.mark.parametrize(
    ("old", "new", "chapters"),
    [
        (r"^numpy==.*", "numpy==1.0", set(STORED)),
        (r"^tensorflow==(.*)", r"tensorflow==\1 ; sys_platform == 'linux'", set(STORED)),
        (r"^pillow==.*\n", "", set(STORED)),
        (r"^sphinx==.*", "sphinx==1.0", set()),
        (r"^# .*", "# compiled again", set()),
        (r"^(scipy==\S+)", r"\1  # via scikit-learn", set()),
    ],
)
def test_versions_that_decide_numbers_count(tree, old, new, chapters):
    tree.edit("requirements.txt", lambda text: re.sub(old, new, text, flags=re.MULTILINE))
    assert tree.stale() == chapters


def test_every_library_that_is_imported_counts():
    """In the package or in a notebook; and each that counts is in the lock."""
    sources = [of.source for of in fingerprint.modules_of(fingerprint.ROOT).values()]
    sources += [cell.source for of in STORED.values() for cell in code_cells(of)]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    names = {of.name for node in nodes if isinstance(node, ast.Import) for of in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    libraries = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    # IPython shows what others compute, threadpoolctl says with how many threads
    libraries -= {"", "vae_notes", "IPython", "threadpoolctl"}
    provided = packages_distributions()
    assert {"numpy", "PIL", "sklearn"} < libraries
    assert {of.lower() for name in libraries for of in provided[name]} <= fingerprint.DECISIVE
    assert len(fingerprint.decisive_versions(fingerprint.ROOT)) == len(fingerprint.DECISIVE)


def test_python_imports_nothing_that_is_not_reached():
    """Each module alone, with a stub of Keras: TensorFlow would take seconds."""
    script = """
import importlib, json, sys
from sphinx.ext.autodoc.mock import mock
loaded = {}
with mock(["vae_notes._keras"]):
    for name in sys.argv[1:]:
        for of in [of for of in sys.modules if of.partition(".")[0] == "vae_notes"]:
            del sys.modules[of]
        importlib.import_module(name)
        loaded[name] = [of for of in sys.modules if of.partition(".")[0] == "vae_notes"]
print(json.dumps(loaded))
"""
    names = sorted(fingerprint.modules_of(fingerprint.ROOT))
    done = run(sys.executable, "-c", script, *names, cwd=fingerprint.ROOT)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert len(loaded["vae_notes.interactive"]) > 10
    for name in names:
        reached = {of for of, _ in fingerprint.reach([f"import {name}"], fingerprint.ROOT)}
        assert set(loaded[name]) <= reached, name


# And on a small package what the real one does not do, or not yet.

SMALL = {
    "__init__": """
import importlib
from typing import TYPE_CHECKING
NAMES = {"Name": "a", "Other": "b"}
if TYPE_CHECKING:
    from vae_notes.a import Name
else:
    def __getattr__(name):
        if name in NAMES:
            return getattr(importlib.import_module("." + NAMES[name], __name__), name)
        raise AttributeError(name)
""",
    "a": "from .b import f",
    "b": "def f():\n    from vae_notes import c, Unknown\n    return [c for _ in ()]",
    "c": "import importlib\nimportlib.import_module(name)",  # nothing of the package is in sight
    "data": "path = resources.files('vae_notes.figures')",
    "figures.__init__": "from . import lines",
    "figures.lines": "from ..c import g",
    "exercises.__init__": """
CHAPTERS = "one", "two", "help"
def check(number, answer):
    importlib.import_module(f"vae_notes.exercises.{CHAPTERS[int(number[0])]}")
""",
    "exercises.one": "EXERCISES = {'1.1': f}",
    "exercises.two": "EXERCISES = {'2.1': f, '2.2': f}",
    "exercises.help": "",
    "exercises.unlisted": "",
}
ALL = {f"vae_notes.{name}".removesuffix(".__init__") for name in SMALL}
EXERCISES = {"", "exercises", "exercises.help", "exercises.one", "exercises.two"}


def small_package(root, **changed):
    for name, text in (SMALL | changed).items():
        path = root / "vae_notes" / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def reached_in(root, code):
    found = {name for name, _ in fingerprint.reach([code], root)} & ALL
    return {name.removeprefix("vae_notes").removeprefix(".") for name in found}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import numpy as np", set()),
        ("# import vae_notes.b\n'import vae_notes.b'", set()),
        ("if TYPE_CHECKING:\n    from vae_notes import b", set()),
        ("import vae_notes", {""}),
        ("import vae_notes.b", {"", "b", "c"}),
        ("def later():\n    import vae_notes.b", {"", "b", "c"}),
        ("from vae_notes import a", {"", "a", "b", "c"}),
        ("from vae_notes.a import f", {"", "a", "b", "c"}),
        ("from vae_notes import Name", {"", "a", "b", "c"}),
        ("from vae_notes import Other as Mine", {"", "b", "c"}),
        ("import vae_notes\nvae_notes.Name.x", {"", "a", "b", "c"}),
        ("import vae_notes as v\nv.b.f()", {"", "b", "c"}),
        ("import vae_notes as v\ndef later():\n    return [v.Other()]", {"", "b", "c"}),
        ("from vae_notes import data", {"", "c", "data", "figures", "figures.lines"}),
        ("import vae_notes.figures", {"", "c", "figures", "figures.lines"}),
        ("from vae_notes import exercises", EXERCISES - {"exercises.one", "exercises.two"}),
    ],
)
def test_reached(tmp_path, code, expected):
    assert reached_in(small_package(tmp_path), code) == expected


@pytest.mark.parametrize(
    "code",
    [
        "import vae_notes\nask(vae_notes, name)",
        "from vae_notes import *",
        "%matplotlib inline",
        "import importlib\nimportlib.import_module(f'vae_notes.{name}')",
        "from importlib import import_module as i\ni(name)",
        "__import__(name)",
    ],
)
def test_everything_is_reached_where_imports_cannot_be_followed(tmp_path, code):
    reached = {name for name, _ in fingerprint.reach([code], small_package(tmp_path))}
    assert reached >= ALL


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("from vae_notes import exercises\nexercises.check('2.2', 1)", {"exercises.one"}),
        ("import vae_notes.exercises as e\ne.check('2.1', e.check('2.2', 1))", {"exercises.one"}),
        ("from vae_notes.exercises import check as c\nc('1.1', 1)", {"exercises.two"}),
        ("from vae_notes.exercises import check\ncheck('1.1', 1), check('2.1', 1)", set()),
        ("from vae_notes.exercises import check\ncheck('9.9', 1)", set()),
        ("from vae_notes.exercises import check\ncheck(number, 1)", set()),
        ("from vae_notes.exercises import check\ncheck(number='2.1', answer=1)", set()),
        ("from vae_notes.exercises import check\nc = check\nc('2.1', 1)", set()),
    ],
)
def test_exercises_count_where_they_are_asked_for(tmp_path, code, other):
    assert reached_in(small_package(tmp_path), code) == EXERCISES - other


@pytest.mark.parametrize(
    "lazy", ["def __getattr__(name):\n    return 1", "__getattr__ = lambda name: 1"]
)
def test_everything_is_reached_where_a_package_does_not_say(tmp_path, lazy):
    assert len(reached_in(small_package(tmp_path, __init__=lazy), "import vae_notes.data")) == 5
    assert len(reached_in(tmp_path, "from vae_notes import x")) == len(ALL)


def text(code):
    return fingerprint.text_of(fingerprint.tree_of(code))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x = f(1, [2, 3])", "x = f(\n    1,  # one\n    [2, 3],\n)"),
        ("x = 'a'", 'x = u"a"'),
        ("def f(x):\n    'Doc.'", "def f(x):\n    pass"),
        ("class A(B):\n    'Doc.'", "class A(B): ..."),
        ("async def f(*x, y=1, **z): g()", "async def f(*x: int, y: int = 1, **z: int) -> A: g()"),
        ("x = 1", "x: int = 1"),
        ("def f():\n    return 1", "def f():\n    x: int\n    return 1"),
        ("x = 1", "from typing import Any\nfrom collections.abc import Mapping\nx = 1"),
        ("def f(): pass", "if TYPE_CHECKING:\n    import numpy\nelse:\n    def f(): pass"),
        ("def f(): pass", "if typing.TYPE_CHECKING:\n    import numpy\ndef f(): pass"),
    ],
)
def test_same_numbers(old, new):
    assert text(old) == text(new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x = 1", "x = 2"),
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = 0.0", "x = -0.0"),
        ("x = None", "x = []"),
        ("x = 'a'", "x = b'a'"),
        ("x = 'a'", "x = 'b'"),
        ("x = f'{a}'", "x = f'{a:.1f}'"),
        ("x = f'{a}'", "x = f'{a!r}'"),
        ("x = ()", "x = []"),
        ("f('a')", "f()"),
        ("def f(x=1): pass", "def f(x=2): pass"),
        ("def f(*, x): pass", "def f(x): pass"),
        ("def f(): pass", "@cache\ndef f(): pass"),
        ("a()\nb()", "b()\na()"),
        ("if x:\n    a()\nb()", "if x:\n    a()\n    b()"),
        ("if TYPE_CHECKING:\n    a()\nelse:\n    b()", "if TYPE_CHECKING:\n    a()"),
        ("if not TYPE_CHECKING:\n    a()", "if TYPE_CHECKING:\n    a()"),
        ("class A:\n    x: int = 1", "class A:\n    x: ClassVar[int] = 1"),
        ("class A:\n    x: int", "class A:\n    pass"),
        ("@f.register\ndef g(x: int): pass", "@f.register\ndef g(x: str): pass"),
        ("import numpy as np", "import scipy as np"),
        ("def f():\n    global x", "def f():\n    global y"),
    ],
)
def test_other_numbers(old, new):
    assert text(old) != text(new)


def test_every_python_gives_the_same_text():
    """3.12 gives functions more fields, and texts that are empty; their order is the same."""
    load = "ctx=Load()"
    a, b, g = (f"Name(id='{name}', {load})" for name in "abg")
    spec = f"JoinedStr(values=[FormattedValue(value={b}, conversion=-1)])"
    joined = f"JoinedStr(values=[FormattedValue(value={a}, conversion=-1, format_spec={spec})])"
    accent = r"Constant(value='\xe9')"
    assert text("def f(a, b=None):\n    f'{a:{b}}', 'é', g()") == (
        "Module(body=[FunctionDef(name='f', "
        "args=arguments(args=[arg(arg='a'), arg(arg='b')], defaults=[Constant()]), "
        f"body=[Expr(value=Tuple(elts=[{joined}, {accent}, Call(func={g})], {load}))])])"
    )


def test_stale_notebooks_are_executed(tmp_path, monkeypatch):
    executed = []
    fresh, stale = good_chapter(), good_chapter()
    stale.cells[3].source = "print(3)"
    paths = [tmp_path / "fresh.ipynb", tmp_path / "stale.ipynb"]
    for path, notebook in zip(paths, (fresh, stale), strict=True):
        nbformat.write(notebook, path)
    monkeypatch.setenv("IPYTHONDIR", "")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setattr(execute, "store", lambda paths: executed.extend(paths) or 0)
    monkeypatch.setattr(sys, "argv", ["execute.py", "--stale", *map(str, paths)])
    with pytest.raises(SystemExit):
        execute.main()
    assert executed == paths[1:]


def test_problems_of_a_run_with_another_seed():
    notebook = good_chapter()
    assert not list(execute.problems_in(notebook))
    add_output("error", ename="ClaimFailed", evalue="3 of 8", traceback=[])(notebook)
    add_output("stream", name="stdout", text="a\nExercise 1.1: not yet. Count again.\n")(notebook)
    assert list(execute.problems_in(notebook)) == [
        "ClaimFailed: 3 of 8",
        "Exercise 1.1: not yet. Count again.",
    ]
    notebook.cells[3].metadata["tags"] = ["raises-exception"]
    assert len(list(execute.problems_in(notebook))) == 1
