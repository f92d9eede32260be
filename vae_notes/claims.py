"""Statements that are measured over seeds, and checked whenever the notebook runs."""

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_notes import _check

__all__ = ["ClaimFailed", "base_seed", "check", "glue", "seeds"]

FEWEST_SEEDS = 8


class ClaimFailed(AssertionError):
    """Too few seeds support a statement; the message lists what each of them measured.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The KL term, exactly*.

    Examples
    --------
    >>> issubclass(ClaimFailed, AssertionError)
    True
    """


def base_seed() -> int:
    """Return the first seed of every experiment: `VAE_NOTES_SEED` where it is set, otherwise 0.

    Returns
    -------
    int
        From 0 to 2147483647.

    Raises
    ------
    ValueError
        If `VAE_NOTES_SEED` is not such a number.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The data*.

    Examples
    --------
    >>> 0 <= base_seed() < 2**31
    True
    """
    given = os.environ.get("VAE_NOTES_SEED", "0")
    if not re.fullmatch(r"[0-9]{1,10}", given) or int(given) >= 2**31:
        raise ValueError(
            f"VAE_NOTES_SEED is {given!r}, expected a whole number from 0 to {2**31 - 1}: "
            "set it to one such as 1000, or unset it."
        )
    return int(given)


def seeds(count: int = FEWEST_SEEDS) -> list[int]:
    """Return the seeds of an experiment, the base seed and those that follow it.

    Parameters
    ----------
    count : int
        How many, at least 8: fewer support no claim.

    Returns
    -------
    list of int
        `base_seed()`, `base_seed() + 1`, ... (count of them).

    Raises
    ------
    ValueError
        If `count` is below 8.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The KL term, exactly*.

    Examples
    --------
    >>> [seed - base_seed() for seed in seeds()]
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    if count < FEWEST_SEEDS:
        raise ValueError(
            f"got {count} seeds, expected at least {FEWEST_SEEDS}: "
            "a claim rests on that many, so ask for more."
        )
    first = base_seed()
    return [first + i for i in range(count)]


def check(
    statement: str, supports: ArrayLike, at_least: int | None = None, **evidence: ArrayLike
) -> None:
    """Print a statement with the number of seeds that support it, and raise if they are too few.

    Write the condition as one NumPy expression, and name the numbers that it rests on. The line
    printed has no number that changes with the arithmetic, so that a stored notebook compares
    equal on another machine; the numbers are in the message of a failure, and in the log that
    `make claims` reads.

    Parameters
    ----------
    statement : str
        What is claimed, as a sentence without its full stop.
    supports : array of bool, shape (seeds,)
        Whether each seed supports it, in the order of `seeds()`; at least 8 of them.
    at_least : int, optional
        How many seeds must support it, by default all. With fewer than all, the line says
        "at least": the exact count could differ on another machine.
    **evidence : array of numbers, shape (seeds,)
        What was measured, under the name that a failure shows.

    Raises
    ------
    ClaimFailed
        If fewer than `at_least` seeds support the statement.
    ValueError
        If `supports` is not one boolean a seed, there are fewer than 8, `at_least` is out of
        range, or an evidence has another length.

    Notes
    -----
    Where the environment variable `VAE_NOTES_CLAIMS` names a file, one JSON line is appended to it:
    `statement`, `supporting`, `seeds`, `needed`, `base_seed`, `supports` and `evidence`. A failed
    claim is logged before it is raised.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The KL term, exactly*.

    Examples
    --------
    >>> import numpy as np
    >>> units = np.array([3, 4, 3, 5, 3, 3, 4, 3])
    >>> check("sum and sum keep at least three units", units >= 3, units=units)
    holds for 8 of 8 seeds: sum and sum keep at least three units
    >>> check("some seed keeps a fourth unit", units >= 4, at_least=1, units=units)
    holds for at least 1 of 8 seeds: some seed keeps a fourth unit
    """
    if not isinstance(statement, str) or not statement.strip() or "\n" in statement:
        raise ValueError(
            f"the statement is {statement!r}, expected one line of text: say what is claimed."
        )
    holds = np.asarray(supports)
    if holds.dtype != bool or holds.ndim != 1:
        raise ValueError(
            f"supports has shape {holds.shape} and dtype {holds.dtype}, expected one boolean "
            "a seed: pass a comparison such as units >= 3."
        )
    count = len(holds)
    if count < FEWEST_SEEDS:
        raise ValueError(
            f"{statement!r} rests on {count} seeds, expected at least {FEWEST_SEEDS}: "
            "train with seeds()."
        )
    needed = count if at_least is None else _check.whole("at_least", at_least, 1, count)
    measured = {name: _one_number_a_seed(name, of, count) for name, of in evidence.items()}

    supporting = int(holds.sum())
    _log(statement, holds, needed, measured)
    if supporting < needed:
        raise ClaimFailed(_failure(statement, holds, needed, measured))
    printed = f"{count}" if needed == count else f"at least {needed}"
    print(f"holds for {printed} of {count} seeds: {statement}")


def glue(name: str, value: str | float | np.generic) -> None:
    """Store a value for the prose, where ``{glue:text}`name``` shows it.

    The notebook stores what `myst_nb.glue(name, value, display=False)` stores, but nothing needs
    to be installed for it, and a NumPy scalar is stored as the number that it is, so that
    ``{glue:text}`name:.2f``` can format it. Outside a notebook there is no prose, and nothing
    happens. Stored values are compared when the notebook is tested: give a number that depends on
    training as the text that the page shows, rounded to what every machine agrees on.

    Parameters
    ----------
    name : str
        Letters, digits, `_`, `-` and `.`; once a notebook.
    value : str, int, float or NumPy scalar
        What to show.

    Raises
    ------
    ValueError
        If the name has other characters, or the value is neither text nor a finite number.

    References
    ----------
    The MyST-NB documentation, "Glue": the mime type `application/papermill.record/text/plain`.
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> glue("active_units", 3)
    >>> glue("elbo", f"{-4.7195:.2f}")
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(
            f"the name to glue is {name!r}, expected letters, digits, '_', '-' or '.': rename it."
        )
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (str, int, float)) or (
        isinstance(value, float) and not np.isfinite(value)
    ):
        raise ValueError(
            f"{name!r} is {value!r}, expected text or a finite number: format it as the page "
            "should show it."
        )
    if "IPython" not in sys.modules or sys.modules["IPython"].get_ipython() is None:
        return
    from IPython.display import display

    prefix = "application/papermill.record/"
    display(
        {prefix + "text/plain": repr(value)},
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
    )


def _one_number_a_seed(name: str, values: ArrayLike, count: int) -> NDArray[Any]:
    values = np.asarray(values)
    if values.shape != (count,) or values.dtype.kind not in "biuf":
        raise ValueError(
            f"the evidence {name} has shape {values.shape} and dtype {values.dtype}, expected one "
            f"number for each of the {count} seeds: reduce it to that."
        )
    return values


def _failure(
    statement: str, holds: NDArray[np.bool_], needed: int, measured: Mapping[str, NDArray[Any]]
) -> str:
    first = base_seed()
    lines = [f"holds for {holds.sum()} of {len(holds)} seeds, {needed} needed: {statement}"]
    for i, held in enumerate(holds):
        found = "".join(f", {name} = {float(of[i]):.6g}" for name, of in measured.items())
        lines.append(f"  seed {first + i}: {'holds' if held else 'fails'}{found}")
    return "\n".join(lines)


def _log(
    statement: str, holds: NDArray[np.bool_], needed: int, measured: Mapping[str, NDArray[Any]]
) -> None:
    path = os.environ.get("VAE_NOTES_CLAIMS")
    if not path:
        return
    record = {
        "statement": statement,
        "supporting": int(holds.sum()),
        "seeds": len(holds),
        "needed": int(needed),
        "base_seed": base_seed(),
        "supports": holds.tolist(),
        # JSON has no NaN: a run that diverged is null.
        "evidence": {
            name: [v if np.isfinite(v) else None for v in of.tolist()]
            for name, of in measured.items()
        },
    }
    # One write a line: notebooks that run side by side may share the file.
    with open(path, "a", encoding="utf-8") as log:
        log.write(json.dumps(record) + "\n")
