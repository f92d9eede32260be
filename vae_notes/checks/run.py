"""The run: what the weight, the history and a training part say."""

import math

import numpy as np

from vae_notes._measured import Measured
from vae_notes.checks._check import GRAVE, NOTE, Found, check
from vae_notes.checks.latent import width

__all__ = [
    "kl_weight",
    "other_objective",
    "overfitted",
    "still_improving",
    "training_mode",
    "unstable",
]


@check("KL weight is not the objective's", GRAVE, 0.02, "relative difference", needs=("objective",))
def kl_weight(seen: Measured, threshold: float) -> Found | None:
    """A schedule that did not finish, or a weight that was set and forgotten."""
    if seen.objective is None:
        return None
    logged = seen.history.get("kl_weight", np.zeros(0))
    force = seen.kl_weight
    if force is None and logged.size:
        force = float(logged[-1])
    wanted = seen.objective.kl_weight
    if force is None or abs(force - wanted) <= threshold * wanted:
        return None
    words = (
        f"The KL weight in force is {force:.4g} and the objective's {wanted:.4g}: the model was "
        f"last trained on another objective than it is judged by"
    )
    likelihood = seen.objective.likelihood
    if seen.noise_variance is not None:
        trained = likelihood.noise_variance(seen.beta * force / wanted)
        words += f", a noise variance of {trained:.3g} instead of {seen.noise_variance:.3g}"
    return Found(
        f"{words}.",
        "Let the schedule reach 1 well before training ends, or give the objective that was "
        "trained.",
        {"kl_weight in force": force, "kl_weight of the objective": wanted},
    )


@check(
    "trained on another objective",
    GRAVE,
    2.0,
    "ratio of the widths' price",
    needs=(
        "decoded",
        "gain",
    ),
)
def other_objective(seen: Measured, threshold: float) -> Found | None:
    """Posterior widths that fit another KL weight than the objective's."""
    ratio = width(seen)
    if ratio is None or seen.gain is None or seen.explains < 0.1 or ratio <= 0:
        return None
    # what is still below a linear VAE may not have settled
    below = seen.shortfall is not None and seen.shortfall[0] > 3 * seen.shortfall[1]
    limit = threshold**2 if below else threshold
    if 1 / limit < ratio < limit:
        return None
    words = (
        f"The posterior widths cost {ratio:.2g} times the error that they should cost at this "
        f"objective, as if the KL weight were {ratio:.2g} times the one given"
    )
    if seen.noise_variance is not None:
        words += f", a noise variance of about {ratio * seen.noise_variance:.2g}"
    return Found(
        f"{words}.",
        "Give diagnose the objective that was trained, with its reductions and weights; if it is "
        "that, train longer, for widths that have not settled look the same.",
        {"ratio": ratio},
    )


@check(
    "used in training mode",
    GRAVE,
    0.1,
    "share of the error without a code",
    conclusive=True,
    needs=(
        "elbo_flipped",
        "elbo",
    ),
)
def training_mode(seen: Measured, threshold: float) -> Found | None:
    """Batch normalisation or dropout that behaves otherwise in use than in training."""
    if seen.elbo_flipped is None or seen.elbo is None:
        return None
    here, other = float(np.mean(seen.elbo)), seen.elbo_flipped
    error = float(np.std(seen.elbo) / math.sqrt(len(seen.elbo)))
    if seen.in_training_mode:
        return Found(
            f"The module is in training mode, where its ELBO is {here:.2f} nats; in use it is "
            f"{other:.2f}.",
            "Call model.eval() first.",
            {"elbo as given": here, "elbo in the other mode": other},
        )
    if other - here <= max(4 * error, threshold * seen.error_without_code):
        return None
    return Found(
        f"In use the ELBO is {here:.2f} nats and in training mode {other:.2f}: batch normalisation "
        f"has not seen what it needs, or dropout does the work.",
        "Train longer or with a smaller momentum of the moving averages, or take batch "
        "normalisation out.",
        {"elbo in use": here, "elbo in training mode": other},
    )


@check(
    "training was unstable", GRAVE, 0.5, "share of the fall that was lost again", needs=("history",)
)
def unstable(seen: Measured, threshold: float) -> Found | None:
    """A loss that is no number, or ends far above where it has been."""
    loss = seen.history.get("loss", np.zeros(0))
    if loss.size < 2:
        return None
    if not np.isfinite(loss).all():
        epoch = int(np.argmin(np.isfinite(loss)))
        return Found(
            f"The loss was no number from epoch {epoch} on.",
            "Train again with a tenth of the learning rate; scale the data.",
            {"epoch": epoch},
        )
    fall = float(loss[0] - loss.min())
    lost = float(np.median(loss[-max(1, len(loss) // 10) :]) - loss.min())
    weights = seen.history.get("kl_weight", np.ones(1))
    if np.ptp(weights) or (fall > 0 and lost / fall <= threshold) or lost <= 0:
        return None
    if fall == 0 and loss[-1] <= loss[0]:
        return None
    return Found(
        f"The loss ended at {loss[-1]:.4g}, far above the {loss.min():.4g} that it had reached.",
        "Train again with a tenth of the learning rate.",
        {"first loss": loss[0], "last loss": loss[-1], "least loss": loss.min()},
    )


@check(
    "overfitted",
    GRAVE,
    0.5,
    "share of the gain that new rows do not see",
    needs=("history|x_train",),
)
def overfitted(seen: Measured, threshold: float) -> Found | None:
    """Gains on the rows of training that rows kept aside do not see."""
    if seen.elbo_train is not None and seen.gain is not None and seen.x_train is not None:
        assert seen.objective is not None and seen.elbo is not None and seen.baseline is not None
        without = seen.objective.likelihood.baseline_rows(seen.x_train, seen.beta)
        train = float(seen.elbo_train.mean() - without.mean())
        gap, error = train - seen.gain[0], seen.gain[1]
        if train > 0 and gap > threshold * train and gap > 4 * error:
            return Found(
                f"It gains {train:.3g} nats over no code on the rows of training and "
                f"{seen.gain[0]:.3g} on these.",
                "Stop earlier, on rows kept aside, or use a smaller network; more rows help most.",
                {"gain in training": train, "gain here": seen.gain[0]},
            )
    loss, val = (seen.history.get(name, np.zeros(0)) for name in ("loss", "val_loss"))
    weights = seen.history.get("kl_weight", np.ones(1))
    if val.size < 5 or len(loss) != len(val) or np.ptp(weights):
        return None
    best = int(np.argmin(val))
    fall, rise = float(val[0] - val[best]), float(val[-1] - val[best])
    if best > 0.8 * len(val) or rise <= threshold * fall or not loss[-1] < loss[best]:
        return None
    return Found(
        f"The loss on rows kept aside was least in epoch {best} ({val[best]:.4g}) and is "
        f"{val[-1]:.4g} now, while the loss on the rows of training fell on.",
        "Stop there: EarlyStopping(restore_best_weights=True), or use a smaller network.",
        {"best epoch": best, "rise": rise},
    )


@check("still improving", NOTE, 0.02, "share of the fall in the last tenth")
def still_improving(seen: Measured, threshold: float) -> Found | None:
    """A loss that falls on when training ends."""
    loss = seen.history.get("loss", np.zeros(0))
    if loss.size < 10 or not np.isfinite(loss).all():
        return None
    tenth = max(1, len(loss) // 10)
    fall = float(loss[0] - loss.min())
    late = float(np.mean(loss[-2 * tenth : -tenth]) - np.mean(loss[-tenth:]))
    if fall <= 0 or late <= threshold * fall:
        return None
    return Found(
        f"In the last tenth of the epochs the loss still fell by {late:.3g}, {late / fall:.0%} of "
        f"all that it fell.",
        "Train longer before you judge.",
        {"late fall": late, "whole fall": fall},
    )
