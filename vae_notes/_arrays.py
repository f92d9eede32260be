"""NumPy or Keras, after what is given: a term is written once, for arrays and for tensors."""

from typing import Any

import numpy as np

from vae_notes._keras import ops

__all__ = ["NUMPY", "alike", "namespace"]


class _NumPy:
    """NumPy by the names that ``keras.ops`` gives the same functions."""

    @staticmethod
    def relu(x: Any) -> Any:
        return np.maximum(x, 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


NUMPY = _NumPy()


def namespace(*values: Any) -> Any:
    """The functions for these values: those of NumPy, or ``keras.ops`` if one is a tensor.

    Examples
    --------
    >>> float(namespace([1.0], 2.0).square(3.0))
    9.0
    """
    return ops if any(map(_is_tensor, values)) else NUMPY


def alike(*values: Any) -> list[Any]:
    """The values as arrays of float64, or as tensors of float32 if one of them is a tensor.

    Examples
    --------
    >>> [of.dtype.name for of in alike(1, [2.0])]
    ['float64', 'float64']
    """
    if namespace(*values) is NUMPY:
        return [np.asarray(value, np.float64) for value in values]
    return [ops.cast(ops.convert_to_tensor(value), "float32") for value in values]


def _is_tensor(value: Any) -> bool:
    """Whether TensorFlow or Keras made the type of a value, told without importing them."""
    if isinstance(value, (list, tuple)):
        return any(map(_is_tensor, value))
    kinds = type(value).__mro__
    return any(of.__module__.split(".")[0] in ("keras", "tensorflow") for of in kinds)
