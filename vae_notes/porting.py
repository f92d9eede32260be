"""Old code under today's Keras: what happens when it runs, in one line."""

import re
import textwrap
from collections.abc import Callable
from typing import TypeVar

__all__ = ["attempt"]

LONGEST = 200  # characters of a message

Result = TypeVar("Result")


def attempt(function: Callable[[], Result]) -> Result | None:
    """Call a function, print its error in one line if it raises one, and return its result.

    Of the message the first sentence is kept, without colours, folders, memory addresses and the
    frame that Keras puts around errors in a layer. Errors only: an interrupt passes through.

    Parameters
    ----------
    function : callable
        Without arguments.

    Returns
    -------
    object or None
        What the function returned; None after an error.

    References
    ----------
    Taught in chapter 6, *From Keras 2 to Keras 3*, section *A backend variable as the weight*.

    Examples
    --------
    >>> attempt(lambda: [].sum())
    AttributeError: 'list' object has no attribute 'sum'
    >>> attempt(lambda: 1 + 1)
    ran without an error
    2
    """
    try:
        result = function()
    except Exception as error:
        print(_one_line(error))
        return None
    print("ran without an error")
    return result


def _one_line(error: Exception) -> str:
    sentence = _first_sentence(str(error))
    return f"{type(error).__name__}{f': {sentence}' if sentence else ', without a message'}"


def _first_sentence(message: str) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", message)
    text = re.sub(r"^\s*Exception encountered when calling \S+\(\)\.", "", text)
    text = re.sub(r"(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\"]+)+[/\\](?=[^/\\\s])", "", text)
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", text)
    text = " ".join(text.split())
    sentence = re.split(r"(?<=[^.\s]\.)\s", text, maxsplit=1)[0]
    return textwrap.shorten(sentence, LONGEST, placeholder=" ...")
