"""Arguments looked at once, at the edge: one sentence for each kind of mistake.

A message says what was given, what was expected and what to do:
``latent_dim=0 is not a whole number of at least 1: give one.``
"""

import math
import re
import textwrap
from collections.abc import Sequence

import numpy as np

__all__ = ["first_sentence", "is_whole", "number", "one_of", "reason", "whole"]

LONGEST = 200  # characters of somebody else's message


def is_whole(value: object) -> bool:
    """Whether a value is an integer, Python's or NumPy's; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def whole(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """A whole number within its range, as an int."""
    if not is_whole(value) or value < least or (most is not None and value > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name}={value!r} is not a whole number {span}: give one.")
    return int(value)


def number(
    name: str,
    value: object,
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
    """The first sentence of somebody else's message, or the name of an error without one.

    Colours, folders, memory addresses and the frame that Keras puts around errors in a layer are
    left out: they differ from run to run and say nothing to a reader.
    """
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(message))
    text = re.sub(r"^\s*Exception encountered when calling \S+\(\)\.", "", text)
    text = re.sub(r"(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\"]+)+[/\\](?=[^/\\\s])", "", text)
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    sentence = re.split(r"(?<=[^.\s]\.)\s", " ".join(text.split()), maxsplit=1)[0]
    sentence = textwrap.shorten(sentence, LONGEST, placeholder=" ...")
    return sentence or type(message).__name__


def reason(error: BaseException) -> str:
    """The first sentence of an error without its full stop, to stand inside another sentence."""
    return first_sentence(error).rstrip(".")
