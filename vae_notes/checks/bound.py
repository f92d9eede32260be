"""The ELBO against what costs nothing, and against what cannot be."""

import math

import numpy as np

from vae_notes._measured import Measured
from vae_notes.checks._check import GRAVE, NOTE, Found, check
from vae_notes.checks.code import NOTHING, collapsed

__all__ = ["below_linear", "far_below_linear", "impossible", "no_number", "worse_than_no_code"]


@check("impossible bound", GRAVE, 0.0, "nats", needs=("history|elbo",))
def impossible(seen: Measured, threshold: float) -> Found | None:
    """A log-probability above 0, or a KL divergence below it."""
    if seen.elbo is not None and seen.objective is not None:
        most = float(np.max(seen.elbo))
        if seen.noise_variance is None and most > threshold:
            return Found(
                f"The ELBO of a row is {most:.3g} nats, but the log-probability of discrete data "
                f"cannot exceed 0.",
                "Look for a likelihood that is not the data's, or outputs that are no logits.",
                {"largest elbo": most},
            )
    for name, values in seen.history.items():
        if name.removeprefix("val_").startswith("kl") and "weight" not in name:
            least = float(np.nanmin(values, initial=math.inf))
            if least < -1e-6 - threshold:
                return Found(
                    f"{name} fell to {least:.3g} in the history, but a KL divergence is never "
                    f"below 0.",
                    "Look for a wrong sign or a wrong term in it: (mean^2 + var - 1 - ln var) / 2.",
                    {name: least},
                )
    return None


@check("no number", GRAVE, 0.0, "share of rows", conclusive=True, needs=("elbo",))
def no_number(seen: Measured, threshold: float) -> Found | None:
    """Infinities and NaN in what the decoder gave."""
    if seen.elbo is None:
        return None
    share = float(np.mean(~np.isfinite(seen.elbo)))
    if share <= threshold:
        return None
    lowest, highest = float(seen.z_log_var.min()), float(seen.z_log_var.max())
    if seen.decoded is not None and highest < 50 and not np.isfinite(seen.decoded.output).all():
        return Found(
            f"The decoder's own output is infinite or NaN, and so is the ELBO of {share:.0%} of "
            f"the rows.",
            "If probabilities were turned into logits, clip them first: one of exactly 0 has none.",
            {"share of rows": share, "largest log-variance": highest},
        )
    return Found(
        f"The ELBO of {share:.0%} of the rows is infinite or NaN, with log-variances from "
        f"{lowest:.3g} to {highest:.3g}.",
        "Train again with a smaller learning rate; if the log-variances are large, clip the "
        "gradients.",
        {"share of rows": share, "largest log-variance": highest},
    )


@check("worse than no code", GRAVE, 0.002, "share of its error", needs=("gain",))
def worse_than_no_code(seen: Measured, threshold: float) -> Found | None:
    """Below the best decoder that ignores z."""
    if collapsed(seen, NOTHING) or not seen.loses_to_no_code(threshold):
        return None
    assert seen.elbo is not None and seen.gain is not None
    gain, error = seen.gain
    words = (
        f"The ELBO is {np.mean(seen.elbo):.2f} nats, and one constant output without any code has "
        f"{np.mean(seen.elbo) - gain:.2f}."
    )
    untrained = seen.steps == 0
    if untrained:
        words += " Its optimiser has not made a single step."
    remedy = (
        "Train it." if untrained else "Was it trained, to the end, on this objective and such data?"
    )
    evidence = {"gain": gain, "standard error": error, "nats of KL": seen.kl}
    return Found(words, remedy, {**evidence, "error without a code": seen.error_without_code})


@check("far below a linear VAE", GRAVE, 0.7, "share of its gain", needs=("shortfall",))
def far_below_linear(seen: Measured, threshold: float) -> Found | None:
    """Much less than what a linear VAE would gain over no code."""
    if seen.gain is None or seen.linear_gain is None or seen.shortfall is None:
        return None
    gain, possible, (lost, error) = seen.gain[0], seen.linear_gain[0], seen.shortfall
    if collapsed(seen, NOTHING) or gain >= threshold * possible or lost < max(4 * error, 0.1):
        return None
    return Found(
        f"It gains {gain:.3g} nats over no code where a linear VAE, fitted in closed form, gains "
        f"{possible:.3g}.",
        "Train longer, or with another learning rate; more than a linear model must be earned.",
        {"gain": gain, "linear gain": possible},
    )


@check("below a linear VAE", NOTE, 0.0, "nats")
def below_linear(seen: Measured, threshold: float) -> Found | None:
    """Less than a linear VAE has, in closed form and in a second."""
    if seen.shortfall is None:
        return None
    lost, error = seen.shortfall
    if lost <= threshold + 3 * error:
        return None
    return Found(
        f"The best linear VAE, in closed form, is {lost:.3g} nats better on rows that it has not "
        f"seen.",
        "Train longer before you change anything else.",
        {"shortfall": lost, "standard error": error},
    )
