r"""Schedules of the KL term: pure functions of the epoch.

A schedule says which fraction of the objective's KL weight is in force at a given epoch. It holds
no state, so it gives the same answer when training resumes, and it can be drawn before training.
Epochs count from 0 and may be fractional: at the end of the first half of epoch 3 the epoch is
3.5. All of them accept a number or an array, and print, compare and pickle by what they were made
of.

Examples
--------
>>> from vae_notes import schedules
>>> warm_up = schedules.linear(start=40, length=20)
>>> warm_up([0, 40, 50, 60, 499]).tolist()
[0.0, 0.0, 0.5, 1.0, 1.0]
>>> warm_up
linear(start=40, length=20, stop=1.0)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_notes import _check

__all__ = ["Schedule", "as_published", "constant", "cosine", "cyclical", "linear", "sigmoid"]

#: A function from the epoch to the fraction of the KL weight that is in force, at least 0.
#:
#: Taught in chapter 5, *KL annealing*, section *The recipe*.
Schedule = Callable[[Any], Any]

# The classes below are used as functions are, and named so.


@dataclass(frozen=True)
class _OfTheEpoch:
    """Numbers of at least 0, and the fraction that they give at an epoch."""

    def __post_init__(self) -> None:
        for field in fields(self):
            _check.number(field.name, getattr(self, field.name), least=0)

    def __call__(self, epoch: ArrayLike) -> Any:  # a float, or an array for an array
        epochs = np.asarray(epoch, dtype=float)
        if not np.all(epochs >= 0):
            raise ValueError(f"epoch={epochs} is negative or not a number: epochs count from 0.")
        value = self._fraction(epochs)
        return float(value) if epochs.ndim == 0 else value

    def _fraction(self, epochs: NDArray[np.float64]) -> NDArray[np.float64]:
        raise NotImplementedError


@dataclass(frozen=True)
class constant(_OfTheEpoch):
    """The same weight at every epoch.

    Parameters
    ----------
    value : float
        The fraction of the KL weight, at least 0.

    Raises
    ------
    ValueError
        If ``value`` is negative or not finite.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *What collapse is not*.

    Examples
    --------
    >>> constant(0.5)([0, 10]).tolist()
    [0.5, 0.5]
    """

    value: float = 1.0

    def _fraction(self, epochs):
        return np.full_like(epochs, self.value)


@dataclass(frozen=True)
class _Ramp(_OfTheEpoch):
    """From 0 to ``stop`` along a curve over [0, 1]."""

    start: float
    length: float
    stop: float = 1.0

    def _fraction(self, epochs):
        since = epochs - self.start
        t = np.clip(since / self.length, 0.0, 1.0) if self.length else (since >= 0).astype(float)
        return self.stop * self._curve(t)

    def _curve(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        raise NotImplementedError


@dataclass(frozen=True)
class linear(_Ramp):
    r"""Zero before ``start``, then a straight line up to ``stop`` over ``length`` epochs.

    .. math:: w(e) = w_\text{stop}\,\operatorname{clip}((e - e_\text{start}) / T, 0, 1)

    Parameters
    ----------
    start : float
        The epoch at which the ramp begins, at least 0.
    length : float
        Epochs the ramp takes, at least 0; 0 is a step.
    stop : float
        The fraction reached at ``start + length``, at least 0.

    Raises
    ------
    ValueError
        If one of them is negative or not finite.

    References
    ----------
    Sønderby et al. (2016), section 2.3; for the idea, Bowman et al. (2016), section 3.1.
    Taught in chapter 5, *KL annealing*, section *The recipe*.

    Examples
    --------
    >>> linear(0, 4)([0, 1, 2, 3, 4]).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """

    def _curve(self, t):
        return t


@dataclass(frozen=True)
class cosine(_Ramp):
    r"""A ramp that leaves 0 and meets ``stop`` without a kink.

    .. math:: w(e) = \tfrac{1}{2} w_\text{stop} (1 - \cos \pi t),
              \quad t = \operatorname{clip}((e - e_\text{start}) / T, 0, 1)

    Parameters
    ----------
    start, length, stop : float
        As for :class:`linear`.

    Raises
    ------
    ValueError
        If one of them is negative or not finite.

    References
    ----------
    Taught in chapter 5, *KL annealing*, section *The shape of the ramp*.

    Examples
    --------
    >>> cosine(0, 4)([0, 1, 2, 4]).round(3).tolist()
    [0.0, 0.146, 0.5, 1.0]
    """

    def _curve(self, t):
        return (1 - np.cos(np.pi * t)) / 2


@dataclass(frozen=True)
class sigmoid(_Ramp):
    r"""An S-shaped ramp, steep in its middle, exactly 0 and ``stop`` at its ends.

    .. math:: w(e) = w_\text{stop}\,\frac{s(12 t - 6) - s(-6)}{s(6) - s(-6)},
              \quad s(u) = \frac{1}{1 + e^{-u}},
              \quad t = \operatorname{clip}((e - e_\text{start}) / T, 0, 1)

    Parameters
    ----------
    start, length, stop : float
        As for :class:`linear`.

    Raises
    ------
    ValueError
        If one of them is negative or not finite.

    References
    ----------
    Bowman et al. (2016), figure 2, use a logistic curve over steps; here it is cut at
    :math:`\pm 6` and rescaled, so that the ramp has a beginning and an end.
    Taught in chapter 5, *KL annealing*, section *The shape of the ramp*.

    Examples
    --------
    >>> sigmoid(0, 4)([0, 1, 2, 4]).round(3).tolist()
    [0.0, 0.045, 0.5, 1.0]
    """

    _SPAN: ClassVar[float] = 2 * math.tanh(3)  # s(u) = (1 + tanh(u / 2)) / 2

    def _curve(self, t):
        return 0.5 + np.tanh(6 * t - 3) / self._SPAN


@dataclass(frozen=True)
class cyclical(_OfTheEpoch):
    r"""A linear ramp that starts again every ``period`` epochs.

    .. math:: w(e) = w_\text{stop} \min(1, (e \bmod P) / (r P))

    Parameters
    ----------
    period : float
        Epochs in a cycle, more than 0.
    ramp : float
        The part of the cycle that rises, in (0, 1]; the rest stays at ``stop``.
    stop : float
        The fraction reached, at least 0.

    Raises
    ------
    ValueError
        If one of them is out of its range.

    References
    ----------
    Fu et al. (2019).
    Taught in chapter 5, *KL annealing*, section *The shape of the ramp*.

    Examples
    --------
    >>> cyclical(period=4)([0, 1, 2, 3, 4, 5]).tolist()
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]
    """

    period: float
    ramp: float = 0.5
    stop: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.number("period", self.period, above=0)
        _check.number("ramp", self.ramp, above=0, most=1)  # a part of the cycle

    def _fraction(self, epochs):
        risen = np.mod(epochs, self.period) / (self.ramp * self.period)
        return self.stop * np.minimum(1.0, risen)


@dataclass(frozen=True)
class as_published(_OfTheEpoch):
    r"""The weight that the blog post's callback puts in force, its undefined name corrected.

    .. math:: w(e) = \min\bigl(1, \underbrace{\tfrac{1}{T} + \dots + \tfrac{1}{T}}_k\bigr),
              \quad k = \max(0, \lfloor e \rfloor - e_\text{start} - 1)

    The callback adds 1/T to a float32 variable at the end of each epoch later than ``start``. What
    it adds at the end of an epoch is in force in the next one, so its timeline differs from
    ``linear(start, length)`` in three ways: the ramp comes one epoch late; the weight reaches 1 yet
    another epoch later where rounding leaves the sum of T additions below 1, first for T = 12;
    and within an epoch it is constant. Here the additions are counted from the epoch, so that the
    timeline survives resuming, which that of the callback does not.

    Parameters
    ----------
    start : int
        The last epoch after which nothing is added (``klstart`` in the post), at least 0.
    length : int
        T, the number of additions meant to reach 1, at least 1.

    Raises
    ------
    ValueError
        If one of them is no whole number in its range.

    References
    ----------
    Baby, "Implementing Variational Autoencoders: Insights and some tricks".
    Taught in chapter 5, *KL annealing*, section *The callback as it was written*.

    Examples
    --------
    >>> weight = as_published(start=40, length=20)
    >>> weight([40, 41, 42, 60, 61]).round(2).tolist()
    [0.0, 0.0, 0.05, 0.95, 1.0]
    """

    start: int
    length: int

    def __post_init__(self) -> None:
        _check.whole("start", self.start, least=0)
        _check.whole("length", self.length, least=1)

    def _fraction(self, epochs):
        # Added one by one, in order; the sum is above 1 long before the table ends.
        sums = np.add.accumulate(np.full(2 * self.length, 1 / self.length, dtype=np.float32))
        weights = np.concatenate([[0.0], np.minimum(sums, 1.0)])
        return weights[np.clip(epochs - self.start - 1, 0, 2 * self.length).astype(int)]
