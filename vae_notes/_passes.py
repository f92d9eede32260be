"""Data that do not fit into memory: one pass over them, in blocks that do.

A source is a ``tf.data.Dataset``, an iterator such as a generator, or a Keras ``PyDataset``. Its
elements are batches, as for ``fit``: arrays (B, ...), or tuples of which the first item is taken.
However large its batches are, the blocks made of them are cut at the same rows, and those of an
array are cut there, too: what is computed block by block does not depend on where the rows were.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vae_notes._keras import tf
from vae_notes.data import check

__all__ = [
    "LARGE",
    "Blocks",
    "batch_shape",
    "empty",
    "fed",
    "gathered",
    "in_batches",
    "is_source",
    "run_out",
]

LARGE = 2**22  # values; fewer are held as one array
MOST_ROWS = 1024  # of a block


class Blocks:
    """Large data as an iterable of arrays (rows, ...), to be gone through once.

    Parameters
    ----------
    parts : iterable of arrays (B, ...)
        Checked, of one ``data_shape``.
    data_shape : tuple
        Of one example.
    whole : array (n, ...), optional
        All of them, where they are in memory.
    """

    def __init__(
        self,
        parts: Iterable[NDArray[Any]],
        data_shape: tuple[int, ...],
        whole: NDArray[Any] | None = None,
    ) -> None:
        self.parts, self.data_shape, self.whole = parts, data_shape, whole
        self.data_dim = math.prod(data_shape)

    def __iter__(self) -> Iterator[NDArray[Any]]:
        rows = max(1, min(MOST_ROWS, LARGE // self.data_dim))
        held: list[NDArray[Any]] = []
        count = 0
        for part in self.parts:
            while len(part):
                taken = part[: rows - count]
                part, count = part[len(taken) :], count + len(taken)
                held.append(taken)
                if count == rows:
                    yield held[0] if len(held) == 1 else np.concatenate(held)
                    held, count = [], 0
        if held:
            yield np.concatenate(held)


def is_source(x: Any) -> bool:
    """Whether x gives its examples batch by batch."""
    keras_dataset = hasattr(x, "num_batches") and hasattr(x, "__getitem__")
    return hasattr(x, "as_numpy_iterator") or isinstance(x, Iterator) or keras_dataset


def gathered(
    x: Any,
    data_shape: tuple[int | None, ...] | None = None,
    dtype: type[np.floating] | None = None,
) -> NDArray[Any] | Blocks:
    """The data as one checked array, or as blocks where they are large.

    Parameters
    ----------
    x : array (n, ...), source, or Blocks
        Blocks are returned as they are.
    data_shape : tuple, optional
        Of one example.
    dtype : float dtype, optional
        To compute in; without it float32 where the data are, else float64.

    Raises
    ------
    ValueError
        If x is no data, or a source is empty, never ends, or gives something else than batches of
        one shape.
    """
    if isinstance(x, Blocks):
        return x
    if not is_source(x):
        values = check(x, data_shape, dtype=dtype or _own_dtype(x))
        return Blocks([values], values.shape[1:], values) if values.size > LARGE else values
    parts = _batches(x, data_shape, dtype)
    held, size = [], 0
    for part in parts:
        held.append(part)
        size += part.size
        if size > LARGE:
            return Blocks(itertools.chain(held, parts), part.shape[1:])
    return np.concatenate(held)


def _own_dtype(x: Any) -> type[np.floating]:
    return np.float32 if getattr(x, "dtype", None) == np.float32 else np.float64


def _batches(
    source: Any, data_shape: tuple[int | None, ...] | None, dtype: type[np.floating] | None
) -> Iterator[NDArray[Any]]:
    """The batches of a source, checked one by one; at least one."""
    name, count, warned = _word(source), 0, False
    if _length(source) == math.inf:
        raise ValueError(f"{name} repeats without end: pass dataset.take(n).")
    with_length = not isinstance(source, Iterator) and not hasattr(source, "as_numpy_iterator")
    elements = map(source.__getitem__, range(source.num_batches)) if with_length else source
    for count, element in enumerate(elements, 1):
        batch = _examples(element, name)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            part = check(
                batch, data_shape, name=f"batch {count} of {name}", dtype=dtype or _own_dtype(batch)
            )
        if caught and not warned:  # pixels that were never scaled are worth one warning
            warnings.warn(str(caught[0].message), UserWarning, stacklevel=2)
            warned = True
        data_shape = part.shape[1:]
        yield part
    if not count:
        raise empty(source)


def _examples(element: Any, name: str) -> NDArray[Any]:
    """The examples (B, ...) in an element: itself, or the first item of a tuple."""
    if isinstance(element, (tuple, list)) and len(element):
        element = element[0]
    if isinstance(element, dict):
        key, *_ = names = [repr(key) for key in element]
        raise ValueError(
            f"{name} gives dictionaries with {', '.join(names)}: map them to arrays, as with "
            f"dataset.map(lambda of: of[{key}])."
        )
    batch = np.asarray(element)
    if batch.ndim == 1:
        raise _unbatched(batch.shape, name)
    return batch


def empty(source: Any) -> ValueError:
    """What to raise where a source gave no batch at all; Keras trains on nothing without a word."""
    return ValueError(f"{_word(source)} is empty: give at least one batch.")


def _unbatched(shape: tuple[int, ...], name: str) -> ValueError:
    return ValueError(
        f"{name} gives elements of shape {shape}, which are single examples: give batches, as "
        f"after dataset.batch(256)."
    )


def _word(source: Any) -> str:
    return "the generator" if isinstance(source, Iterator) else "the dataset"


def _length(source: Any) -> float | None:
    """The number of batches: math.inf where it repeats without end, None where it is unknown."""
    if hasattr(source, "cardinality"):  # TensorFlow's: -1 is infinite, -2 unknown
        count = int(source.cardinality())
        return {-1: math.inf, -2: None}.get(count, count)
    return getattr(source, "num_batches", None)


def in_batches(model: Any, x: NDArray, size: int = 1024) -> Any:
    """A model's outputs for all of ``x``, as arrays; several outputs as a tuple of them."""
    # Keras's predict would trace anew for each model, and warn about it.
    parts = [model(x[i : i + size], training=False) for i in range(0, len(x), size)]
    if isinstance(parts[0], (list, tuple)):
        return tuple(np.concatenate(part) for part in zip(*parts, strict=True))
    return np.concatenate(parts)


# For Keras


def _as_tuples(
    source: Iterator[Any],
    data_shape: tuple[int | None, ...] | None,
    errors: list[Exception],
    refuse: Callable[[NDArray[Any]], None],
) -> Iterator[tuple[NDArray[Any]]]:
    """A generator as Keras wants it, each batch checked; what was wrong is kept."""
    try:
        for batch in _batches(source, data_shape, np.float32):
            refuse(batch)
            yield (batch,)
    except Exception as error:
        errors.append(error)
        raise


def batch_shape(source: Any) -> tuple[tuple[int | None, ...], Any]:
    """The shape of a batch, and the source with all that it had."""
    if hasattr(source, "element_spec"):
        spec = source.element_spec
        return tuple((spec[0] if isinstance(spec, tuple) else spec).shape), source
    if not isinstance(source, Iterator):
        return _examples(source[0], _word(source)).shape, source
    first = next(source, None)
    if first is None:
        raise empty(source)
    return _examples(first, _word(source)).shape, itertools.chain([first], source)


def fed(
    x: Any,
    data_shape: tuple[int | None, ...] | None,
    steps: int | None,
    option: str,
    errors: list[Exception],
    refuse: Callable[[NDArray[Any]], None],
    epochs: int = 1,
) -> Any:
    """What Keras is to go through for x: a source that is fit for it, or x itself.

    Parameters
    ----------
    x : any
        What ``fit`` or ``evaluate`` was given.
    data_shape : tuple or None
        Of one example.
    steps : int or None
        The batches of an epoch, given as ``option``.
    option : str
        Its name in messages.
    errors : list
        Where an error in a generator will be put, which TensorFlow wraps in words of its own.
    refuse : callable
        Raises for an array that is no such data; what is in a dataset is not seen.
    epochs : int
        How often.

    Raises
    ------
    ValueError
        If a source is empty, never ends, or ends before the epochs do, as far as can be told.
    """
    if isinstance(x, np.ndarray):
        refuse(x)
    if not is_source(x):
        return x
    name, count = _word(x), _length(x)
    if count == 0:
        raise empty(x)
    if count == math.inf and steps is None:
        raise ValueError(f"{name} repeats without end: give {option}, or leave out .repeat().")
    if count is not None and steps and count != math.inf:
        # Keras begins anew where an epoch ends with the dataset
        if steps > count or (count % steps and steps * epochs > count):
            raise ValueError(
                f"{name} has {count} batches, too few for {option}={steps} in {epochs} "
                f"epoch{'s' * (epochs != 1)}: leave out {option}, or give dataset.repeat()."
            )
    if isinstance(x, Iterator):
        if steps is None and epochs > 1:
            raise ValueError(
                f"{name} can be gone through once, and there are {epochs} epochs: give {option} "
                f"and a generator that goes on, or a dataset."
            )
        return _as_tuples(x, data_shape, errors, refuse)
    if hasattr(x, "element_spec") and data_shape is not None:
        _check_spec(x.element_spec, data_shape, name)
    return x


def _check_spec(spec: Any, data_shape: tuple[int | None, ...], name: str) -> None:
    """Refuse a dataset that cannot give batches of ``data_shape``."""
    spec = spec[0] if isinstance(spec, tuple) and spec else spec
    shape = getattr(spec, "shape", None)
    if shape is None or shape.rank is None or shape[1:].is_compatible_with(data_shape):
        return
    if shape.is_compatible_with(data_shape):
        raise _unbatched(tuple(shape), name)
    raise ValueError(
        f"{name} gives batches of shape {tuple(shape)}, but examples of shape "
        f"{tuple(data_shape)} are expected: bring them to that shape with dataset.map."
    )


@contextmanager
def run_out(x: Any, steps: int | None, option: str, errors: list[Exception]) -> Iterator[None]:
    """Refuse, while Keras goes through a source, that it ends before the promised steps.

    Keras warns then, and goes on with what it has; it also warns at the end of any source whose
    length it did not know, which is no news.
    """
    with warnings.catch_warnings():
        action: Literal["ignore", "error"] = "ignore" if steps is None else "error"
        warnings.filterwarnings(action, "Your input ran out of data", UserWarning)
        try:
            yield
        except UserWarning as warning:
            if "ran out of data" not in str(warning):
                raise
            raise ValueError(
                f"{_word(x)} ended before {option}={steps} batches of an epoch: give one that goes "
                f"on, such as dataset.repeat(), or fewer steps or epochs."
            ) from None
        except tf.errors.OpError:
            if not errors:
                raise
            raise errors[0] from None
