"""Exercises that check themselves: right, or one sentence on what is off.

The checks of each chapter are a module of its name. A check computes what it expects, and what the
usual mistakes would give, with the rest of the package; so it holds for every base seed.
"""

import importlib
import re
from collections.abc import Callable
from typing import Any

from vae_notes.exercises._judge import Wrong

__all__ = ["check"]

_CHAPTERS = (
    "objective",
    "collapse",
    "mismatch",
    "reductions",
    "annealing",
    "porting",
    "your_data",
)


def check(exercise: str, answer: object) -> None:
    """Print that an answer is right, or one sentence on what is off with it.

    Parameters
    ----------
    exercise : str
        Its number in the book, such as "1.1".
    answer : object
        What the exercise asks for: a number in the unit it names, an array, a function, a model.

    Raises
    ------
    ValueError
        If there is no such exercise.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *Exercises*. Every chapter ends with its own.

    Examples
    --------
    >>> from vae_notes import exercises
    >>> exercises.check("1.1", 0.5)
    Exercise 1.1: not yet. ...
    """
    judge = _judge(exercise)
    try:
        remark = judge(answer)
    except Wrong as hint:
        print(f"Exercise {exercise}: not yet. {hint}")
    else:
        print(f"Exercise {exercise}: right. {remark or ''}".rstrip())


def _judge(exercise: str) -> Callable[[Any], str | None]:
    match = re.fullmatch(r"([1-9])\.[1-9]", str(exercise))
    if match and int(match[1]) <= len(_CHAPTERS):
        chapter = importlib.import_module(f"vae_notes.exercises.{_CHAPTERS[int(match[1]) - 1]}")
        if exercise in chapter.EXERCISES:
            return chapter.EXERCISES[exercise]
    raise ValueError(
        f"there is no exercise {exercise!r}: give its number in the book, such as '1.1'."
    )
