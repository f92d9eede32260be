"""A way to train, with a name: what the replicates of a sweep differ by, beside their seeds."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vae_notes import schedules
from vae_notes.objective import Objective

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """A way to train: an objective, a schedule of its KL weight, and a learning rate.

    Parameters
    ----------
    name : str
        What results are indexed and labelled by.
    objective : Objective
        Reductions, KL weight and likelihood.
    schedule : callable
        From :mod:`vae_notes.schedules`, or any function of the epoch: the fraction of the KL
        weight that is in force.
    learning_rate : float, optional
        Of Adam; by default that of the sweep.

    References
    ----------
    Taught in chapter 1, *The VAE objective*, section *The case where the answer is known: a linear
    VAE*.

    Examples
    --------
    >>> Recipe("annealed", Objective(kl_weight=4.0), schedules.linear(1, 2)).kl_weights(4).tolist()
    [0.0, 0.0, 2.0, 4.0]
    """

    name: str
    objective: Objective = field(default_factory=Objective)
    schedule: schedules.Schedule = field(default_factory=schedules.constant)
    learning_rate: float | None = None

    def kl_weights(self, epochs: int) -> NDArray[np.float64]:
        """The KL weight in force in each of so many epochs, (epochs,).

        Raises
        ------
        ValueError
            If the schedule gives something else than a finite number of at least 0.
        """
        try:
            weights = [self.objective.kl_weight_at(epoch, self.schedule) for epoch in range(epochs)]
        except ValueError as error:
            raise ValueError(f"recipe {self.name!r}: {error}") from error
        return np.array(weights)
