"""The checks of the exercises accept what is right, and refuse the usual mistakes with a sentence.

The answers are in `exercise_answers`, a module for each chapter: what is right, what is wrong with
a fragment of the hint that it gets, and what, beside its numbers, would give an answer away.
"""

import importlib
import pickle
import pkgutil
import re
import subprocess
import sys

import numpy as np
import pytest
from exercise_answers._shared import Later, made

from vae_notes import VAE, claims, data, exercises, theory
from vae_notes._keras import keras, ops
from vae_notes.networks import dense

CHAPTERS = [m.name for m in pkgutil.iter_modules(exercises.__path__) if m.name[0] != "_"]
ANSWERS = {chapter: importlib.import_module(f"exercise_answers.{chapter}") for chapter in CHAPTERS}
JUDGES = {
    chapter: importlib.import_module(f"vae_notes.exercises.{chapter}") for chapter in CHAPTERS
}
CHAPTER_OF = {n: chapter for chapter in CHAPTERS for n in JUDGES[chapter].EXERCISES}
EXERCISES = sorted(CHAPTER_OF)
OTHER_SEEDS = [1000, 2000]
# Digits for testing and for training may agree so well that to take the others does no harm.
COINCIDE = {
    ("1.4", "training digits", 2000),
    ("2.1", "test digits", 1000),
    ("4.4", "test digits", 2000),
}
SILENT = {"5.3", "6.1", "7.1", "7.3", "7.4"}  # checks that may say no more than that it is right
SLOW = [  # what checks ask for again and again, though it follows from arguments and base seed
    (data, "digits"),
    (data, "patches"),
    (theory, "spectrum"),
    (theory, "optimal_parameters"),
    (JUDGES["mismatch"], "_shares"),
]


def right(number):
    return ANSWERS[CHAPTER_OF[number]].right()[number]


def wrong(number):
    return ANSWERS[CHAPTER_OF[number]].wrong()[number]


RIGHT = [(n, i) for n in EXERCISES for i in range(len(right(n)))]
WRONG = [(n, *pair) for n in EXERCISES for pair in wrong(n)]
NUMBERS = [n for n in EXERCISES if isinstance(right(n)[0], float | int | np.number)]
TUPLES = [n for n in EXERCISES if isinstance(right(n)[0], tuple)]
FUNCTIONS = [n for n in EXERCISES if callable(right(n)[0])]


class Unprintable:
    """Nothing that an exercise asks for."""


def failing(*arguments):
    raise ZeroDivisionError("division by zero")


NONSENSE = {
    "nothing": None,
    "text": "a half",
    "nan": float("nan"),
    "infinity": np.inf,
    "no numbers": [],
    "no entries": {},
    "two of nothing": (None, float("nan")),
    "five of nothing": (None,) * 5,
    "ragged": [[1.0], [1.0, 2.0]],
    "too many": np.zeros((3, 5, 7)),
    "too many NaNs": np.full((3, 4), np.nan),
    "object": Unprintable(),
    "placeholder": Later(lambda: keras.Input((3,))),
    "a function that raises": failing,
    "a function without arguments": lambda: 0.0,
    "a function to nothing": lambda *arguments: None,
    "a function to text": lambda *arguments: "a half",
    "a function to NaN": lambda *arguments: np.nan,
}


def said(capsys, number, answer):
    """What a reader sees, one line, without the number of the exercise."""
    capsys.readouterr()
    exercises.check(number, made(answer))
    printed, complaints = capsys.readouterr()
    assert not complaints and printed.count("\n") == 1
    opening = f"Exercise {number}: "
    assert printed.startswith(opening)
    return printed.removeprefix(opening).strip()


def hint(capsys, number, answer):
    line = said(capsys, number, answer)
    assert line.startswith("not yet. "), line
    return line.removeprefix("not yet. ")


def assert_one_sentence(text):
    assert text.endswith(".") and not text.endswith(".."), text
    assert not re.search(r"[.!?]\s", text), text
    assert text[0].isupper() or text.startswith("klstart "), text  # a name from the code of 5.2


def numbers_in(text):
    return [float(found) for found in re.findall(r"\d+(?:\.\d+)?", text)]


def numbers_of(answer):
    """The numbers of an answer and of its parts; none of a function or of a model."""
    if isinstance(answer, tuple):
        return [n for part in answer for n in numbers_of(part)]
    try:
        return np.ravel(np.asarray(answer, float)).tolist()
    except (TypeError, ValueError):
        return []


def remembering(function):
    """Give a copy of what the function gave for equal arguments and the same base seed."""
    known = {}

    def remembered(*arguments, **options):
        key = pickle.dumps((claims.base_seed(), arguments, options))
        if key not in known:
            known[key] = pickle.dumps(function(*arguments, **options))
        return pickle.loads(known[key])

    return remembered


@pytest.fixture(autouse=True, scope="module")
def _remembered():
    """Find what is slow once for all of these tests, which take three times as long without."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in SLOW:
            patch.setattr(module, name, remembering(getattr(module, name)))
        yield


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_exercise_is_answered(chapter):
    numbers = JUDGES[chapter].EXERCISES.keys()
    assert ANSWERS[chapter].right().keys() == ANSWERS[chapter].wrong().keys() == numbers
    assert ANSWERS[chapter].SECRETS.keys() <= numbers


# --- right ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, *OTHER_SEEDS])
@pytest.mark.parametrize(("number", "index"), RIGHT)
def test_right_answers(number, index, seed, monkeypatch, capsys):
    monkeypatch.setenv("VAE_NOTES_SEED", str(seed))
    verdict, _, remark = said(capsys, number, right(number)[index]).partition(" ")
    assert verdict == "right.", f"{verdict} {remark}"
    if remark or number not in SILENT:
        assert_one_sentence(remark)


@pytest.mark.parametrize("number", NUMBERS)
def test_right_numbers_in_any_form(number, capsys):
    value = float(right(number)[0])
    rounded = float(f"{value:.3g}")
    for answer in (
        rounded,
        np.float32(value),
        np.array(value),
        [value],
        ops.convert_to_tensor(value, "float32"),
    ):
        assert said(capsys, number, answer).startswith("right.")


@pytest.mark.parametrize("number", TUPLES)
def test_right_parts_in_a_list(number, capsys):
    assert said(capsys, number, list(made(right(number)[0]))).startswith("right.")


# --- wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "answer", "fragment"),
    WRONG,
    ids=[f"{number}-{fragment}" for number, _, fragment in WRONG],
)
def test_wrong_answers(number, answer, fragment, capsys):
    found = hint(capsys, number, answer)
    assert fragment in found
    assert_one_sentence(found)
    for secret in ANSWERS[CHAPTER_OF[number]].SECRETS.get(number, []):
        assert not re.search(rf"(?<![\w.]){re.escape(secret)}(?![\w]|\.\d)", found), found
    own = numbers_in(re.sub(r"has shape \(.*?\)", "", found))  # without what the reader gave
    values = numbers_of(made(right(number)[0]))
    for value in values if len(values) <= 100 else []:  # of samples, none is a secret
        given_away = [n for n in own if np.isclose(n, abs(value), rtol=0.02)]
        assert not given_away, f"{found!r} gives {value} away"


@pytest.mark.parametrize("number", EXERCISES)
def test_every_exercise_refuses_mistakes(number):
    assert len({fragment for _, fragment in wrong(number)}) >= 2


@pytest.mark.parametrize("what", NONSENSE)
@pytest.mark.parametrize("number", EXERCISES)
def test_nonsense_gets_one_sentence(number, what, capsys):
    assert_one_sentence(hint(capsys, number, NONSENSE[what]))


@pytest.mark.parametrize("number", FUNCTIONS)
def test_functions_that_raise(number, capsys):
    assert "raised ZeroDivisionError: division by zero" in hint(capsys, number, failing)


@pytest.mark.parametrize("seed", OTHER_SEEDS)
@pytest.mark.parametrize("number", EXERCISES)
def test_wrong_answers_with_other_seeds(number, seed, monkeypatch, capsys):
    monkeypatch.setenv("VAE_NOTES_SEED", str(seed))
    for answer, fragment in wrong(number):
        if (number, fragment, seed) in COINCIDE:
            assert said(capsys, number, answer).startswith("right.")
        else:
            assert fragment in hint(capsys, number, answer)


# --- the frame ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["1.9", "9.1", "0.1", "1", "", "1.10", None, 1.1, "1.1 "])
def test_unknown_exercises(number):
    with pytest.raises(ValueError, match="there is no exercise"):
        exercises.check(number, 0.5)


def test_importing_the_checks_needs_no_tensorflow():
    modules = ", ".join(f"vae_notes.exercises.{chapter}" for chapter in CHAPTERS)
    code = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"tensorflow", "keras", "sklearn", "matplotlib"} & set(done.stdout.split())


# --- single exercises -----------------------------------------------------------------------------


def test_a_saved_model_is_loaded_from_its_path(tmp_path, capsys):
    vae, ported = VAE(*dense(64, 8)), ANSWERS["porting"].ported()
    vae.compile("adam")
    vae.optimizer.build(vae.trainable_variables)
    vae.save(tmp_path / "vae.keras")
    assert said(capsys, "6.5", (tmp_path / "vae.keras", ported)).startswith("right.")
    vae.kl_weight = 0.25
    assert "last epoch" in hint(capsys, "6.5", (vae, ported))


@pytest.mark.parametrize("seed", OTHER_SEEDS)
def test_the_table_is_split_by_the_base_seed(seed, monkeypatch):
    before = JUDGES["your_data"].rows()["train"]
    monkeypatch.setenv("VAE_NOTES_SEED", str(seed))
    assert not np.array_equal(before, JUDGES["your_data"].rows()["train"])
