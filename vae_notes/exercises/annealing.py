"""Chapter 5, *KL annealing*."""

import numpy as np

from vae_notes import schedules
from vae_notes.exercises._judge import Wrong, array, call, compare, number, one_recipe

__all__ = ["EXERCISES"]

START, LENGTH = 40, 20  # the post's recipe
HEAD_START, PERIOD = 24, 18
EPOCHS = HEAD_START + 2 * PERIOD


def read_the_weight(answer):
    """The weight of one epoch, as the post meant it and as its callback had it."""
    epoch = 45
    meant = schedules.linear(START, LENGTH)
    written = schedules.as_published(START, LENGTH)
    right = meant(epoch), written(epoch)
    counted = "Epochs count from 0, and this is another one than epoch 45."
    compare(
        array(answer, (2,)),
        right,
        [
            (right[::-1], "Give the weight that was meant first, then that of the callback."),
            ((meant(epoch),) * 2, "The callback is not on time; what it prints is no proof."),
            ((meant(epoch - 1), written(epoch - 1)), counted),
            ((meant(epoch + 1), written(epoch + 1)), counted),
        ],
        "Ask both schedules for this epoch: the recipe, and the callback as it was written.",
    )
    return "The number that the callback prints at the end of this epoch hides the difference."


def mend_the_callback(answer):
    """The `klstart` that gives the callback the timeline that was meant."""
    start = number(answer, what="klstart")
    if start < 0 or start != round(start):
        raise Wrong("klstart is compared with the number of an epoch: give a whole one from 0 on.")
    epochs = np.arange(500)
    meant = schedules.linear(START, LENGTH)(epochs)
    mended = schedules.as_published(int(start), LENGTH)(epochs)
    if start == START:
        raise Wrong("That is the number as it was, and its ramp comes late.")
    if np.allclose(meant, mended):
        return "The code stays as odd as it was, but its weights are those of the text."
    early = np.count_nonzero(mended == 0) < np.count_nonzero(meant == 0)
    raise Wrong(f"With that number the ramp comes too {'early' if early else 'late'}.")


def impatience(answer):
    """Early stopping that no phase of `linear(start=30, length=15)` can fool."""
    from vae_notes._keras import keras

    if not isinstance(answer, keras.callbacks.EarlyStopping):
        raise Wrong(f"The answer is a {type(answer).__name__}, expected an EarlyStopping callback.")
    monitored = str(answer.monitor)
    if monitored.endswith("loss"):
        raise Wrong("The loss is lowest while the weight is 0, so it ends in the wrong phase.")
    if monitored in ("elbo", "reconstruction", "kl", "kl_weight"):
        raise Wrong("That is measured on the training data, not on the validation data.")
    if monitored != "val_elbo":
        raise Wrong("What it monitors is not the bound on the validation data.")
    if answer.mode != "max":
        raise Wrong("Say which way is better: Keras cannot guess it from the name of this metric.")
    _stopping_begins(number(answer.start_from_epoch, what="start_from_epoch"))
    if answer.patience != 10:
        raise Wrong("The patience is not the one that the exercise asks for.")
    if answer.min_delta or answer.baseline is not None:
        raise Wrong("Leave min_delta and baseline as they are: any improvement counts.")


def _stopping_begins(first):
    weight = schedules.linear(30, 15)
    if first < 0 or weight(first) == 0:
        raise Wrong("It counts epochs without the KL term, in which the ELBO falls.")
    if weight(first) < 1:
        raise Wrong("It begins to count while the weight is still below 1.")
    if first > 60:
        raise Wrong("It begins to count long after the ramp has ended.")


def head_start(answer):
    """The schedule: 0 for a while, then two cycles, the last of which ends at 1."""
    epochs = np.arange(EPOCHS)
    values = np.array([number(call(answer, int(e)), "the weight of an epoch") for e in epochs])
    cycles = schedules.cyclical(PERIOD)

    def shifted(by):
        return np.where(
            epochs < HEAD_START + by, 0, cycles(np.maximum(epochs - HEAD_START - by, 0))
        )

    compare(
        values,
        shifted(0),
        [
            (cycles(epochs), "There is no head start: the cycles begin at once."),
            (shifted(1), "The cycles come one epoch late."),
            (shifted(-1), "The cycles come one epoch early."),
            (
                np.where(epochs < HEAD_START, 0, cycles(epochs)),
                "Count the epochs of a cycle from the end of the head start, not from 0.",
            ),
            (
                schedules.linear(HEAD_START, PERIOD / 2)(epochs),
                "That ramp is not repeated: it is no cycle.",
            ),
        ],
        _first_difference(values, shifted(0)),
    )
    return "It ends at the full weight, so that the last epochs train the objective that counts."


def _first_difference(values, expected):
    if values[:HEAD_START].any():
        return "The weight is not 0 in every epoch of the head start."
    if values.max() > 1 or values.min() < 0:
        return "The weight leaves the range from 0 to 1."
    off = np.flatnonzero(~np.isclose(values, expected, rtol=5e-3))
    return f"Draw it: the weight is off first in epoch {off[0] if len(off) else 0}."


def rescue(answer):
    """A sweep that rescues the deep network on sum and sum with a schedule."""
    recipe, runs = one_recipe(answer)
    run = next(iter(runs))
    if runs.x.shape[1:] != (64,) or run.latent_dim != 8:
        raise Wrong("That is not the network of this chapter, 64 pixels and 8 units.")
    kernels = [w for w in run.weights[0] if np.ndim(w) == 2]
    if len(kernels) < 11:  # four hidden layers each way, two heads, one output
        raise Wrong("That network has fewer layers, and may not have needed a rescue.")
    if not np.isclose(recipe.objective.noise_variance(64, 8), 0.5):
        raise Wrong("The objective is another one: what is to be rescued is sum and sum.")
    _weights_of_a_rescue(run.history["kl_weight"] / recipe.objective.kl_weight)
    kept = int(np.sum(runs.active_units[recipe.name] >= 1))
    if kept < 6:
        raise Wrong(f"Only {kept} of {len(runs.seeds)} seeds kept a unit under that schedule.")
    return "The same objective, another path to it."


def _weights_of_a_rescue(in_force):
    if len(in_force) > EPOCHS:
        raise Wrong("That is more training than the exercise allows.")
    if np.ptp(in_force) < 0.01:
        raise Wrong("The weight in force is the same in every epoch: nothing is annealed.")
    if abs(in_force[-1] - 1) > 0.01:
        raise Wrong("In the last epoch the weight is not 1, so another objective was trained.")


EXERCISES = {
    "5.1": read_the_weight,
    "5.2": mend_the_callback,
    "5.3": impatience,
    "5.4": head_start,
    "5.5": rescue,
}
