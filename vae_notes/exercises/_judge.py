"""What the checks share: reading an answer, and comparing it with the mistakes that are usual."""

from __future__ import annotations  # Runs would import TensorFlow

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_notes import _check

if TYPE_CHECKING:
    from vae_notes.runs import Runs


class Wrong(Exception):
    """An answer is not right; the message is the one sentence that the reader sees."""


def array(
    answer: Any, shape: Sequence[int | None] | None = None, what: str = "the answer"
) -> NDArray[np.float64]:
    """Return an answer as finite float64 numbers of a shape, None standing for any length."""
    try:
        if np.iscomplexobj(answer):
            raise TypeError("complex numbers would lose their imaginary part")
        value = np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise Wrong(f"{_capital(what)} is a {type(answer).__name__}, expected numbers.") from error
    if shape is not None and (
        value.ndim != len(shape)
        or any(n not in (None, m) for n, m in zip(shape, value.shape, strict=True))
    ):
        wanted = str(shape).replace("None", "any")
        raise Wrong(f"{_capital(what)} has shape {value.shape}, expected {wanted}.")
    if not np.isfinite(value).all():
        raise Wrong(f"{_capital(what)} holds NaN or infinity, expected finite numbers.")
    return value


def number(answer: Any, what: str = "the answer") -> float:
    """Return an answer as one finite float; arrays of one element count as one."""
    value = array(answer, what=what)
    if value.size != 1:
        raise Wrong(f"{_capital(what)} has shape {value.shape}, expected one number.")
    return float(value.reshape(()))


def parts(answer: Any, *names: str) -> Sequence[Any]:
    """Return the parts of an answer that has several, a tuple or a list."""
    if not isinstance(answer, tuple | list) or len(answer) != len(names):
        raise Wrong(f"The answer has {len(names)} parts: give ({', '.join(names)}).")
    return answer


def one_recipe(answer: Any, what: str = "the answer") -> tuple[Any, Runs]:
    """Return the recipe and the `Runs` of a sweep over one recipe and enough seeds."""
    from vae_notes.claims import FEWEST_SEEDS
    from vae_notes.runs import Runs

    if not isinstance(answer, Runs):
        raise Wrong(f"{_capital(what)} is a {type(answer).__name__}, expected what sweep returns.")
    if len(answer.names) != 1:
        raise Wrong(f"{_capital(what)} has {len(answer.names)} recipes, expected one.")
    if len(answer.seeds) < FEWEST_SEEDS:
        raise Wrong(f"{_capital(what)} has {len(answer.seeds)} seeds, too few for a statement.")
    if answer.problems:
        raise Wrong("Some of the runs were not trained or ended in NaN: see problems of the sweep.")
    return answer.recipes[answer.names[0]], answer


def call(function: Any, *arguments: Any, what: str = "the function") -> Any:
    """Call the reader's function; whatever it raises becomes a sentence."""
    if not callable(function):
        raise Wrong(f"{_capital(what)} is a {type(function).__name__}, expected a function.")
    try:
        return function(*arguments)
    except Exception as error:
        message = _check.reason(error)
        raise Wrong(f"{_capital(what)} raised {type(error).__name__}: {message}.") from error


def same(value: ArrayLike, expected: ArrayLike, tolerance: float = 5e-3) -> bool:
    """Say whether all numbers agree, relative to the expected ones."""
    return np.shape(value) == np.shape(expected) and np.allclose(
        value, expected, rtol=tolerance, atol=1e-9
    )


def compare(
    value: ArrayLike,
    expected: ArrayLike,
    mistakes: Iterable[tuple[ArrayLike, str]] = (),
    otherwise: str = "That is not it.",
    tolerance: float = 5e-3,
) -> None:
    """Raise `Wrong` unless a value is the expected one, with the hint of the mistake it fits.

    `mistakes` are pairs of what a mistake gives and the sentence that hints at it.
    """
    if same(value, expected, tolerance):
        return
    for mistake, hint in mistakes:
        if same(value, mistake, tolerance):
            raise Wrong(hint)
    raise Wrong(otherwise)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
