"""Old code under today's Keras: what happens when it runs, in one line."""

from collections.abc import Callable
from typing import TypeVar

from vae_notes import _check

__all__ = ["attempt"]


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
        sentence = _check.first_sentence(error)
        print(f"{type(error).__name__}{f': {sentence}' if sentence else ', without a message'}")
        return None
    print("ran without an error")
    return result
