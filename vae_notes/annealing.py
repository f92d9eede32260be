"""KL annealing: a Keras callback that asks a schedule for the KL weight."""

from __future__ import annotations

from typing import Any

from vae_notes import _check
from vae_notes._keras import keras
from vae_notes.objective import Objective
from vae_notes.schedules import Schedule

__all__ = ["KLAnnealing"]


class KLAnnealing(keras.callbacks.Callback):
    r"""Sets the model's KL weight from a schedule, before each epoch or each step.

    .. math:: \text{kl\_weight} = \text{objective.kl\_weight} \cdot \text{schedule}(e)

    with e the epoch, counted from 0, or for ``by="step"`` the epoch and the part of it that is
    done. The weight depends on nothing else, so a run resumed with ``initial_epoch`` goes on where
    it stopped. A VAE logs it in ``History`` as ``kl_weight``.

    It works for any Keras model with a variable ``kl_weight`` by which its step multiplies the KL
    term; the value of that when training begins is then the whole weight.

    Parameters
    ----------
    schedule : callable
        From :mod:`vae_notes.schedules`, or any function of the epoch; 1 means the whole weight.
    by : {"epoch", "step"}
        How often to ask it.

    Raises
    ------
    ValueError
        If ``schedule`` cannot be called or ``by`` is neither; when training starts, if the model
        has no KL weight that can be assigned, or the number of steps is needed and unknown; before
        an epoch or step for which the schedule gives no finite number of at least 0.

    References
    ----------
    Bowman et al. (2016), section 3.1.
    Taught in chapter 5, *KL annealing*, section *The recipe*.

    Examples
    --------
    >>> from vae_notes import VAE, data, schedules
    >>> from vae_notes.networks import dense
    >>> vae = VAE(*dense(64, 8))
    >>> vae.compile("adam")
    >>> annealing = KLAnnealing(schedules.linear(start=1, length=2))
    >>> history = vae.fit(data.digits(), epochs=4, batch_size=256, verbose=0, callbacks=[annealing])
    >>> history.history["kl_weight"]
    [0.0, 0.0, 0.5, 1.0]
    """

    def __init__(self, schedule: Schedule, by: str = "epoch") -> None:
        super().__init__()
        if not callable(schedule):
            raise ValueError(
                f"schedule={schedule!r} cannot be called: give one of vae_notes.schedules."
            )
        _check.one_of("by", by, ("epoch", "step"))
        self.schedule = schedule
        self.by = by
        self.epoch = 0
        self.whole: Objective | None = None  # of which the schedule gives a part
        if by == "step":  # else there is no such hook, and whole epochs run in one program
            self.on_train_batch_begin = self._on_step

    def on_train_begin(self, logs: Any = None) -> None:
        weight: Any = getattr(self.model, "kl_weight", None)
        if not hasattr(weight, "assign"):
            what = "no kl_weight" if weight is None else f"the number {weight!r} for kl_weight"
            raise ValueError(
                f"KLAnnealing was given to a {type(self.model).__name__} with {what}, which a "
                f"compiled step would never see change: add self.kl_weight = "
                f"keras.Variable(1.0, trainable=False) in __init__, and multiply the KL term by it."
            )
        if self.whole is None:
            own = getattr(self.model, "objective", None)
            self.whole = Objective(kl_weight=float(weight)) if own is None else own

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch
        self._set(epoch)

    def _on_step(self, batch: int, logs: Any = None) -> None:
        if not self.params.get("steps"):
            raise ValueError(
                "by='step' was asked for data of unknown length: give fit a steps_per_epoch."
            )
        self._set(self.epoch + batch / self.params["steps"])

    def _set(self, epoch: float) -> None:
        assert self.whole is not None
        self.model.kl_weight.assign(self.whole.kl_weight_at(epoch, self.schedule))
