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
import re
from pathlib import Path

import execute
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

BOOK = Path(__file__).parent.parent / "book"
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


def test_fingerprint_sees_package_and_lock(tmp_path, monkeypatch):
    (tmp_path / "vae_notes").mkdir()
    module = tmp_path / "vae_notes" / "data.py"
    lock = tmp_path / "requirements.txt"
    module.write_text("a = 1\n")
    lock.write_text("numpy==2\n")
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    notebook = good_chapter()
    assert not execute.is_stale(notebook)
    for path in (module, lock):
        path.write_text(path.read_text() + "# changed\n")
        assert execute.is_stale(notebook)
        notebook = good_chapter()
    (tmp_path / "vae_notes" / "new.py").touch()
    assert execute.is_stale(notebook)


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
