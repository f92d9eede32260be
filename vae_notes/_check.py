"""Arguments looked at once, at the edge: one sentence for each kind of mistake.

A message says what was given, what was expected and what to do:
``latent_dim=0 is not a whole number of at least 1: give one.``
"""

import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["first_sentence", "number", "one_of", "reason", "sizes", "whole"]

LONGEST = 200  # characters of somebody else's message


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """A whole number within its range, as an int; True and False are none."""
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not integer or value < least or (most is not None and value > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name}={value!r} is not a whole number {span}: give one.")
    return int(value)


def sizes(**values: Any) -> None:
    """Whole numbers of at least 1, or sequences of them, by name."""
    for name, value in values.items():
        for size in value if isinstance(value, (tuple, list)) else [value]:
            whole(name, size)


def number(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    remedy: str = "give one",
) -> float:
    """A finite number within its range, as a float; the range has ``least``, and not ``above``."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if real and math.isfinite(value) and least <= value <= most and above < value < below:
        return float(value)
    bounds = {"of at least": least, "above": above, "of at most": most, "below": below}
    span = " and ".join(f"{words} {of:g}" for words, of in bounds.items() if math.isfinite(of))
    raise ValueError(f"{name}={value!r} is not a finite number {span}".rstrip() + f": {remedy}.")


def one_of(name: str, value: object, choices: Sequence[str]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: choose one of {', '.join(choices)}.")


def first_sentence(message: object) -> str:
    """The first sentence of somebody else's message, "" where there is none.

    Colours, folders, memory addresses and the frame that Keras puts around errors in a layer are
    left out: they differ from run to run and say nothing to a reader.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(message))
    text = re.sub(r"^\s*Exception encountered when calling \S+\(\)\.", "", text)
    text = re.sub(r"(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\"]+)+[/\\](?=[^/\\\s])", "", text)
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    sentence = re.split(r"(?<=[^.\s]\.)\s", " ".join(text.split()), maxsplit=1)[0]
    return textwrap.shorten(sentence, LONGEST, placeholder=" ...")


def reason(error: BaseException) -> str:
    """The first sentence of an error, or else its name, to stand inside another sentence."""
    return first_sentence(error).rstrip(".") or type(error).__name__
