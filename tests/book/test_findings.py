"""The pages of findings: each check has one, of the same form, whose numbers are measured."""

import ast
import functools
import importlib.util
import inspect
import json
import re
import sys

import pytest
import yaml
from helpers import ROOT

import vae_notes
from vae_notes import checks

FOLDER = ROOT / "book" / "findings"
MEASURED = json.loads((FOLDER / "measured.json").read_text(encoding="utf-8"))
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
INDEX = PAGES.pop("index")
PAGES.pop("five-public-models")  # is about models
HEADINGS = [
    "What it means",
    "What you see",
    "How it is measured",
    "Causes, likeliest first",
    "What to do, and what it is worth",
    "When to ignore it",
]


def slug(check):
    return check.page.rpartition("/")[2]


each = pytest.mark.parametrize("check", checks.CHECKS, ids=slug)


@pytest.fixture(scope="module")
def pictures():
    """The script that measures, with the path as it was after."""
    path = sys.path.copy()
    spec = importlib.util.spec_from_file_location("pictures", FOLDER / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pictures"] = module  # where dataclasses look
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = path
    del sys.modules["pictures"]


def test_each_check_has_its_page_and_each_page_its_check():
    names = {slug(check) for check in checks.CHECKS}
    assert set(PAGES) == names == set(MEASURED)
    assert {path.stem for path in (FOLDER / "_pictures").iterdir()} == names


@each
def test_pages_have_one_form(check):
    page = PAGES[slug(check)]
    assert page.startswith(f"# {check.name[0].upper()}{check.name[1:]}\n")
    assert re.findall("^## (.*)$", page, re.MULTILINE) == HEADINGS
    *sections, _ = (part.partition("\n")[2].strip() for part in page.split("\n## ")[1:])
    assert all(sections)
    measured, causes = sections[2:4]
    assert f'thresholds={{"{check.name}": value}}' in measured and check.unit in measured
    assert len(re.findall(r"^\d\. ", causes, re.MULTILINE)) >= 3


@each
def test_pages_are_short_and_say_nothing_refuted(check):
    page = PAGES[slug(check)]
    words = re.sub(r"```.*?```|\{.*?\}|\$\$.*?\$\$", "", page, flags=re.DOTALL).split()
    assert 120 <= len(words) <= 330
    assert not re.search("healthy|reliabl|no schedule|always works", page, re.IGNORECASE)


def calls(code):
    """Calls of the package's own names, as functions and nodes."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and re.fullmatch(r"[\w.]+", name := ast.unparse(node.func)):
            function = functools.reduce(
                lambda of, part: getattr(of, part, None), name.split("."), vae_notes
            )
            if function is not None:
                yield function, node


def bind(function, node):
    """Fail with TypeError if a call has arguments that the function has not."""
    named = {of.arg: of.value for of in node.keywords}
    inspect.signature(function).bind(*node.args, **named)


@each
def test_code_calls_what_there_is(check):
    for code in re.findall(r"^```python\n(.*?)^```", PAGES[slug(check)], re.M | re.S):
        for function, node in calls(code):
            bind(function, node)


def test_a_call_of_what_is_not_there_would_be_found():
    ((function, node),) = calls("KLAnnealing(wait=40, rise=20)")
    with pytest.raises(TypeError):
        bind(function, node)


@each
def test_pages_have_a_picture(check):
    name = slug(check)
    (figure,) = re.findall(r"^```\{figure\} (.*?)^```", PAGES[name], re.MULTILINE | re.DOTALL)
    file, alt, label, *caption = figure.strip().split("\n")
    assert file == f"_pictures/{name}.png" and (FOLDER / file).stat().st_size < 40_000
    assert len(alt.removeprefix(":alt: ").split()) > 10
    assert label == f":name: {name}-picture"  # so that it has a number
    assert len(" ".join(caption).split()) > 15


@each
def test_numbers_are_the_measured_ones(check, pictures):
    name = slug(check)
    assert pictures.fill(PAGES[name], MEASURED[name]) == PAGES[name]
    marked = {key for _, key in pictures.MARK.findall(PAGES[name])}
    assert MEASURED[name]["threshold"] == check.threshold and "threshold" in marked
    worth = PAGES[name].partition("## What to do")[2]
    elbos = {key for _, key in pictures.MARK.findall(worth) if key.startswith(("elbo", "gain"))}
    assert len(elbos) >= 2 or name in ("no-number", "collapsed-cause-unknown")  # with no ELBO


@pytest.mark.parametrize("name", ["log-variance is not one", "the decoder ignores the code"])
def test_what_is_stored_is_what_is_measured_now(name, pictures):
    (check,) = (of for of in checks.CHECKS if of.name == name)
    *_, numbers = pictures.measure(check)
    stored = MEASURED[slug(check)]
    assert numbers.keys() == stored.keys()
    for key, value in numbers.items():
        assert value == pytest.approx(stored[key], rel=1e-3, abs=1e-6), key


def test_a_number_from_the_keyboard_would_be_found(pictures):
    page = "It is [3.14]{.measured-elbo} nats."
    assert pictures.fill(page, {"elbo": 2.718}) == "It is [2.72]{.measured-elbo} nats."


def test_the_index_lists_all_in_the_order_of_reports():
    ordered = sorted(checks.CHECKS, key=lambda of: of.gravity != checks.GRAVE)
    listed = re.findall(r"^\| \{doc\}`(.*?) <(.*?)>` \| \S.*\. \|$", INDEX, re.MULTILINE)
    assert listed == [(check.name, slug(check)) for check in ordered]
    notes = INDEX.split("\n## ")[2]
    assert len(re.findall(r"\{doc\}", notes)) == sum(of.gravity == "note" for of in ordered)


def test_the_part_stands_right_after_the_summary():
    parts = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    assert parts[1]["caption"] == "When it does not work"
    (entry,) = parts[1]["chapters"]
    assert entry == {"file": "findings/index", "sections": [{"glob": "findings/*"}]}
