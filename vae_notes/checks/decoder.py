"""The decoder: what it can reach, what it listens to, and what it makes of the prior."""

import numpy as np
from scipy.special import expit, logit

from vae_notes._measured import Measured, difference
from vae_notes.checks._check import GRAVE, Found, check
from vae_notes.checks.code import explained_otherwise

__all__ = ["bad_samples", "deaf", "logits", "out_of_reach", "probabilities", "sees_more"]


@check(
    "probabilities where logits are wanted",
    GRAVE,
    0.01,
    "share of outputs out of [0, 1]",
    conclusive=True,
    needs=(
        "decoded",
        "objective",
    ),
)
def probabilities(seen: Measured, threshold: float) -> Found | None:
    """A sigmoid at the end of a decoder whose likelihood applies one."""
    if seen.decoded is None or seen.objective is None:
        return None
    if seen.objective.likelihood.activation != "sigmoid":
        return None
    output = seen.decoded.output
    outside = float(np.mean((output < 0) | (output > 1)))
    if outside > threshold:
        return None
    mean = seen.x.mean(axis=0)
    wanted = float(np.mean((mean < expit(0.0)) | (mean > expit(1.0))))
    if wanted < 0.05:
        return None
    p = np.clip(output, 1e-7, 1 - 1e-7)
    right = -np.asarray(seen.objective.likelihood.error(seen.x, logit(p))).sum(axis=1).mean()
    wrong = -np.asarray(seen.objective.likelihood.error(seen.x, output)).sum(axis=1).mean()
    words = (
        f"The decoder gives values from {output.min():.2f} to {output.max():.2f}, which look like "
        f"probabilities, and a Bernoulli likelihood takes them for logits, so for probabilities "
        f"from {expit(output.min()):.2f} to {expit(output.max()):.2f}"
    )
    words += (
        f"; taken as they are they are {right - wrong:.3g} nats better." if right > wrong else "."
    )
    return Found(
        words,
        "Leave out the sigmoid at the end of the decoder; if it was trained with it, hand over "
        "lambda z: scipy.special.logit(numpy.clip(decode(z), 1e-6, 1 - 1e-6)).",
        {
            "share of outputs out of [0, 1]": outside,
            "least output": float(output.min()),
            "greatest output": float(output.max()),
        },
    )


@check(
    "logits where means are wanted",
    GRAVE,
    0.5,
    "error as probabilities over error",
    conclusive=True,
    needs=(
        "decoded",
        "noise_variance",
    ),
)
def logits(seen: Measured, threshold: float) -> Found | None:
    """Logits taken for the mean of a Gaussian."""
    if seen.decoded is None or seen.noise_variance is None:
        return None
    x, output = seen.x, seen.decoded.output
    if x.min() < 0 or x.max() > 1 or np.mean((output < -0.5) | (output > 1.5)) < 0.2:
        return None
    ratio = float(np.square(x - expit(output)).sum() / np.square(x - output).sum())
    if ratio > threshold:
        return None
    return Found(
        f"The data lie in [0, 1] and the decoder gives {output.min():.3g} to {output.max():.3g}; "
        f"through a sigmoid its squared error is {ratio:.2g} of what it is.",
        "Put a sigmoid at the end of the decoder, or use the Bernoulli likelihood.",
        {"ratio of errors": ratio},
    )


ENDS = {
    "ReLU": (0.0, np.inf, "is never negative"),
    "sigmoid": (0.0, 1.0, "stays within 0 and 1"),
    "tanh": (-1.0, 1.0, "stays within -1 and 1"),
}


@check(
    "data out of the decoder's reach",
    GRAVE,
    0.02,
    "share of the variance",
    needs=(
        "decoded",
        "noise_variance",
    ),
)
def out_of_reach(seen: Measured, threshold: float) -> Found | None:
    """An activation at the end which cannot give what the data hold, however far out z is."""
    if seen.decoded is None or seen.noise_variance is None or seen.decoded.far is None:
        return None
    x, far = seen.x, seen.decoded.far
    total = float(np.square(x - x.mean(axis=0)).sum())
    for name, (low, high, words) in ENDS.items():
        if min(far.min(), seen.decoded.output.min()) < low - 1e-6 or far.max() > high + 1e-6:
            continue
        if np.mean((far < low + 0.02) | (far > high - 0.02)) < 0.1:  # nothing piles up there
            continue
        beyond = float(np.square(x - np.clip(x, low, high)).sum()) / max(total, 1e-30)
        if beyond <= threshold or np.ptp(far, axis=0).max() < 0.01:
            continue
        least, greatest = float(far.min()), float(far.max())
        return Found(
            f"The decoder's output {words} ({least:.3g} to {greatest:.3g} however far out z is, as "
            f"behind a {name}), but the data range from {x.min():.3g} to {x.max():.3g}: "
            f"{beyond:.0%} of their variance is out of its reach.",
            "Give the last layer of the decoder a linear activation, or scale the data to its "
            "range.",
            {"share out of reach": beyond, "least output": least, "greatest output": greatest},
        )
    return None


@check(
    "the decoder ignores the code", GRAVE, 1e-3, "relative change of the error", needs=("decoded",)
)
def deaf(seen: Measured, threshold: float) -> Found | None:
    """Codes that carry nats, and a decoder to which any other code is as good."""
    decoded = seen.decoded
    if decoded is None or decoded.error_permuted is None or seen.carried < 0.1:
        return None
    change = float(np.mean(decoded.error_permuted) / np.mean(decoded.error) - 1)
    if not abs(change) < threshold:
        return None
    if seen.decoded is not None and float(np.ptp(decoded.output, axis=0).max()) > 1e-3 * float(
        np.ptp(seen.x) or 1
    ):
        return None
    return Found(
        f"The codes carry {seen.carried:.2g} nats, but with the code of another row the decoder "
        f"gives the same error ({change:+.2%}).",
        "Look where z goes in the decoder: it is not used, or multiplied by 0.",
        {"change of the error": change, "nats carried": seen.carried},
    )


@check(
    "the decoder sees more than the code",
    GRAVE,
    0.2,
    "share of the error explained",
    needs=(
        "decoded",
        "baseline",
    ),
)
def sees_more(seen: Measured, threshold: float) -> Found | None:
    """A label or a skip connection explains the rows, whatever z is."""
    decoded = seen.decoded
    if decoded is None or seen.objective is None or seen.baseline is None:
        return None
    likelihood = seen.objective.likelihood
    error = decoded.error if decoded.error_permuted is None else decoded.error_permuted
    if decoded.error_permuted is None and seen.carried > 0.02:
        return None
    found = likelihood.log_likelihood(error, seen.beta, seen.data_dim)
    gained, uncertain = difference(found, seen.baseline)
    share = gained / seen.error_without_code if seen.error_without_code > 0 else 0.0
    if share < threshold or gained < 4 * uncertain:
        return None
    words = (
        f"With the code of another row the decoder still explains {share:.0%} of each row's error: "
        f"it sees something beside z, a label or a skip connection."
    )
    remedy = "If that is meant, judge the code by what it adds."
    if explained_otherwise(seen):
        words += " What that leaves has no direction worth a code."
        remedy += " At this noise variance an empty code is then what the objective asks for."
    return Found(words, remedy, {"share explained": share, "nats": gained})


@check(
    "good reconstructions, bad samples",
    GRAVE,
    3.0,
    "ratio of spreads",
    needs=(
        "decoded",
        "gain",
    ),
)
def bad_samples(seen: Measured, threshold: float) -> Found | None:
    """Draws from the prior spread far less, or far more, than the rows that were decoded."""
    decoded = seen.decoded
    if decoded is None or decoded.prior is None or seen.gain is None or seen.objective is None:
        return None
    gain, error = seen.gain
    if gain < 4 * error or gain < 0.1 * seen.error_without_code:
        return None
    ratio = spread_of_samples(seen)
    if 1 / threshold < ratio < threshold:
        return None
    return Found(
        f"Rows are reconstructed (it gains {gain:.3g} nats over no code), but what is decoded from "
        f"the prior varies {ratio:.2g} times as much as what is decoded from codes: the codes do "
        f"not lie where the prior looks.",
        "Train longer first: this closes last. Rows unlike those of training look the same. Then "
        "fit a prior to the codes.",
        {"ratio of spreads": ratio},
    )


def spread_of_samples(seen: Measured) -> float:
    """Variance of the means decoded from the prior over that of those decoded from codes."""
    decoded = seen.decoded
    assert decoded is not None and seen.objective is not None
    prior, codes = (
        np.asarray(seen.objective.likelihood.mean(of)).var(axis=0).sum()
        for of in (decoded.prior, decoded.output)
    )
    return float(prior / max(codes, 1e-30))
