"""The schedule: the weight of the KL term, epoch by epoch, and the post's callback beside it."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vae_notes import _check, figures, schedules
from vae_notes.interactive._document import Interactive, assemble, drawing, table

SHAPES = ("linear", "cosine", "sigmoid", "cyclical")
MOST_EPOCHS, MOST_START, MOST_LENGTH = 500, 200, 200
PUBLISHED = "the post's callback"


def schedule(
    start: int = 40,
    length: int = 20,
    shape: Literal["linear", "cosine", "sigmoid", "cyclical"] = "linear",
    epochs: int = 100,
) -> Interactive:
    r"""A schedule of the KL term as a curve and a timeline, with the post's callback beside it.

    The reader chooses the shape, the start, the length, the total of epochs and the epoch to look
    at. The callback is that of the post, with the name mended that stopped it: it tests
    ``epoch > start`` at the end of an epoch, so that its weight first leaves 0 in epoch
    ``start + 2``.

    Parameters
    ----------
    start : int
        The epoch at which the ramp begins, 0 to 200; a cyclical schedule has none.
    length : int
        Epochs the ramp takes, 1 to 200; of a cyclical schedule, those of one cycle, of which the
        first half rises.
    shape : {"linear", "cosine", "sigmoid", "cyclical"}
        As in :mod:`vae_notes.schedules`.
    epochs : int
        Epochs of training, 10 to 500.

    Returns
    -------
    Interactive

    Raises
    ------
    ValueError
        If one of them is out of its range.

    References
    ----------
    Bowman et al. (2016), section 3.1; Fu et al. (2019).
    Taught in chapter 5, *KL annealing*, section *The callback as it was written*.

    Examples
    --------
    >>> import textwrap
    >>> print(textwrap.fill(schedule(start=40, length=20, epochs=100).text, 80))
    Schedule: over 100 epochs the KL weight of a linear schedule is 0 through epoch
    40, 0.05 in epoch 41 and full from epoch 60; with the same numbers the post's
    callback gives 0 through epoch 41, 0.05 in epoch 42 and full weight from epoch
    61.
    """
    start = _check.whole("start", start, 0, MOST_START)
    length = _check.whole("length", length, 1, MOST_LENGTH)
    epochs = _check.whole("epochs", epochs, 10, MOST_EPOCHS)
    if shape not in SHAPES:
        raise ValueError(f"shape={shape!r} is unknown: choose one of {', '.join(SHAPES)}.")
    numbers = {
        "shape": shape,
        "shapes": SHAPES,
        "start": start,
        "length": length,
        "epochs": epochs,
        "most": {"start": MOST_START, "length": MOST_LENGTH, "epochs": MOST_EPOCHS},
    }
    every = np.arange(epochs)
    chosen = f"{shape} schedule"
    if shape == "cyclical":
        weights = {chosen: schedules.cyclical(length)(every)}
        said = (
            f"a cyclical schedule rises from 0 to its full value in the first half of every "
            f"{length} epochs and keeps it for the second"
        )
    else:
        weights = {
            chosen: getattr(schedules, shape)(start, length)(every),
            PUBLISHED: schedules.as_published(start, length)(every),
        }
        said = (
            f"a {chosen} is {_told(weights[chosen])}; with the same numbers the post's callback "
            f"gives {_told(weights[PUBLISHED]).replace('and full', 'and full weight')}"
        )
    text = f"Schedule: over {epochs} epochs the KL weight of {said}."
    picture = drawing(partial(figures.schedule, every, weights), text, height=3)
    return assemble("schedule", numbers, picture, text, _timeline(weights))


def _told(weights: NDArray[np.float64]) -> str:
    """In words: how long 0, the first weight above, and from when it is full."""
    above, full = np.flatnonzero(weights > 0), np.flatnonzero(weights >= 1)
    if not len(above):
        return "0 in all of them"
    first = above[0]
    parts = [f"0 through epoch {first - 1}"] if first else []
    if weights[first] < 1:
        parts.append(f"{weights[first]:.3g} in epoch {first}")
    parts.append(
        f"full from epoch {full[0]}" if len(full) else f"{weights[-1]:.3g} in the last epoch"
    )
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else parts[0]


def _timeline(weights: Mapping[str, NDArray[np.float64]]) -> str:
    """A table of the epochs in which a weight changes, thinned to a dozen."""
    every = np.stack(list(weights.values()))
    changes = np.flatnonzero((np.diff(every, axis=1) != 0).any(axis=0)) + 1
    kept = changes[np.unique(np.linspace(0, len(changes) - 1, 12).round().astype(int))]
    shown = [0, *(int(epoch) for epoch in kept)] if len(changes) else [0]
    rows = [(str(epoch), *(f"{row[epoch]:.3g}" for row in every)) for epoch in shown]
    return table(("epoch", *weights), rows)
