"""The posterior: its scale, its heads, and how it lies on the prior."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_notes import data
from vae_notes._measured import EXTREME, Measured
from vae_notes.checks._check import GRAVE, NOTE, Found, check

__all__ = ["clamped", "far_from_prior", "never_negative", "not_a_log_variance", "without_noise"]

Floats = NDArray[np.float64]


def _busy(seen: Measured) -> NDArray[np.bool_]:
    """The units whose mean moves enough for their scale to be known."""
    return seen.z_mean.var(axis=0) > 0.05


def scale_error(seen: Measured, z_log_var: Floats | None = None) -> float:
    r"""How far the second moments are from 1: mean over busy units of abs(ln E z^2)."""
    busy = _busy(seen)
    if not busy.any():
        return 0.0
    log_var = seen.z_log_var if z_log_var is None else z_log_var
    variance = np.exp(np.clip(log_var[:, busy], -EXTREME, EXTREME)).mean(axis=0)
    moment = np.square(seen.z_mean[:, busy]).mean(axis=0) + variance
    return float(np.abs(np.log(moment)).mean())


def _chance(seen: Measured) -> float:
    """The standard error of the logarithm of a second moment of normal numbers."""
    return math.sqrt(2 / len(seen.z_mean))


def width(seen: Measured, as_log_sigma: bool = False) -> float | None:
    r"""What the noise of z costs in errors, over what it should cost at the optimum.

    The best width of each posterior balances both terms: the errors that sampling adds, in nats,
    are half the sum over units of 1 minus the posterior variance. A ratio of 2 says that the widths
    fit half the weight on the KL term.
    """
    decoded = seen.decoded
    if decoded is None or decoded.error_at_mean is None or seen.objective is None:
        return None
    log_var = seen.z_log_var * 2 if as_log_sigma else seen.z_log_var
    error: Any = decoded.error_as_log_sigma if as_log_sigma else decoded.error
    added = float(np.mean(error - decoded.error_at_mean))
    nats = added / seen.beta
    due = 0.5 * float((1 - np.exp(np.clip(log_var, -EXTREME, EXTREME))).mean(axis=0).sum())
    return nats / due if due > 0.05 else None


@check("log-variance is not one", GRAVE, 0.12, "mean abs(ln E z^2)")
def not_a_log_variance(seen: Measured, threshold: float) -> Found | None:
    """A log sigma, sigma or variance handed over, which second moments tell apart."""
    found = scale_error(seen)
    if found < threshold + _chance(seen):
        return _by_width(seen)
    given = seen.z_log_var
    readings = {"log sigma": 2 * given}
    if (given > 0).all():
        logarithm = np.log(given)
        readings |= {"sigma": 2 * logarithm, "sigma^2": logarithm}
    name = min(readings, key=lambda of: scale_error(seen, readings[of]))
    left = scale_error(seen, readings[name])
    price = width(seen)
    # widths that cost too much, or beyond the prior's, leave less to doubt
    impossible = (given > 0).all() or (price is not None and price > 1.6)
    sure = 0.25 if impossible else 0.09 + _chance(seen)
    if left > min(sure, found / 2):
        return _by_width(seen)
    moments = seen.second_moment[_busy(seen)]
    return Found(
        f"Read as log sigma^2 the second output of the encoder gives second moments from "
        f"{moments.min():.2f} to {moments.max():.2f} in the units in use, where every optimum has "
        f"1; read as {name} they are within {np.expm1(left):.0%} of it.",
        "Hand over log sigma^2: 2 log sigma, and in the KL term, too.",
        {"mean abs(ln E z^2)": found, f"read as {name}": left},
    )


def _by_width(seen: Measured) -> Found | None:
    """The same where sigma is so small that second moments do not tell."""
    if seen.decoded is None or seen.decoded.error_at_mean is None:
        return None
    as_given, as_log_sigma = width(seen), width(seen, as_log_sigma=True)
    if as_given is None or as_log_sigma is None or as_given < 1.6:
        return None
    worse = scale_error(seen, 2 * seen.z_log_var) > scale_error(seen) + 0.02
    if worse or not 0.87 < as_log_sigma < 1.15:
        return None
    return Found(
        f"Read as log sigma^2 the second output of the encoder makes widths of z that cost "
        f"{as_given:.2g} times what an optimum pays; read as log sigma, {as_log_sigma:.2g} times.",
        "Hand over log sigma^2: 2 log sigma, and in the KL term, too.",
        {"price of the widths": as_given, "read as log sigma": as_log_sigma},
    )


@check("a head that cannot be negative", GRAVE, 0.0, "least value")
def never_negative(seen: Measured, threshold: float) -> Found | None:
    """A ReLU or softplus on the mean or on the log-variance."""
    for name, values in (("z_mean", seen.z_mean), ("z_log_var", seen.z_log_var)):
        moves = values.std(axis=0) > 1e-6
        least = float(values.min())
        if least < threshold or not moves.any() or len(values) * moves.sum() < 20:
            continue
        what = (
            "half of the prior is out of its reach"
            if name == "z_mean"
            else "no unit can be surer than the prior"
        )
        return Found(
            f"{name} is never below {least:.3g} in {len(values)} rows and {moves.sum()} units: "
            f"{what}.",
            "Give both heads of the encoder a linear activation.",
            {f"least {name}": least},
        )
    return None


@check(
    "trained without noise",
    GRAVE,
    1.2,
    "error of a sample over that of the mean",
    needs=("decoded",),
)
def without_noise(seen: Measured, threshold: float) -> Found | None:
    """A decoder that got the mean instead of a sample: every width stays that of the prior."""
    decoded = seen.decoded
    if decoded is None or decoded.error_at_mean is None or seen.explains < 0.1:
        return None
    wide = float(np.abs(np.log(np.maximum(seen.variance, 1e-300))).max())
    added = float(np.mean(decoded.error)) / max(float(np.mean(decoded.error_at_mean)), 1e-30)
    if wide > 0.2 or added < threshold:
        return None
    return Found(
        f"From the mean of q(z|x) the decoder explains {seen.explains:.0%} of the rows' error, but "
        f"every unit has a posterior variance near 1, that of the prior, so that a sample of z "
        f"costs {added:.3g} times the error of the mean.",
        "Decode a sample in training, z = mean + exp(log_var / 2) * noise, and not the mean.",
        {
            "error of a sample over that of the mean": added,
            "explained from the mean": seen.explains,
        },
    )


@check("far from the prior", GRAVE, 0.7, "mean abs(ln E z^2)")
def far_from_prior(seen: Measured, threshold: float) -> Found | None:
    """Codes on another scale than the prior, as without a KL term that works."""
    found = scale_error(seen)
    if found < threshold or (seen.decoded is not None and seen.explains < 0.1):
        return None
    if seen.decoded is None and data.describe(seen.x).scale in ("bytes", "16 bits"):
        return None  # which is the likelier cause
    moments = seen.second_moment[_busy(seen)]
    return Found(
        f"The second moments of the units in use are {moments.min():.2g} to {moments.max():.2g}, "
        f"where every optimum has 1: draws from the prior are not what the decoder knows.",
        "Look whether the KL term is in the loss, with its sign and weight, and train longer.",
        {"mean abs(ln E z^2)": found, "largest second moment": float(moments.max())},
    )


@check("clamped log-variance", NOTE, 0.05, "share of values")
def clamped(seen: Measured, threshold: float) -> Found | None:
    """Log-variances that pile up at one extreme value, as a clip leaves them."""
    values = seen.z_log_var
    if (np.ptp(values, axis=0) < 1e-6).all():
        return None
    for edge in (float(values.min()), float(values.max())):
        share = float(np.mean(values == edge))
        if share > threshold and edge != 0:
            return Found(
                f"{share:.0%} of the log-variances are exactly {edge:.4g}, as a clip leaves them.",
                "Widen the clip: where it bites, the widths have no gradient.",
                {"share of values": share, "value": edge},
            )
    return None
