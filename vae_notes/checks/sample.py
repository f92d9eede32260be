"""The rows: their scale, their number, and columns that are no measurements."""

import numpy as np

from vae_notes import data
from vae_notes._measured import Measured
from vae_notes.checks._check import GRAVE, NOTE, Found, check

__all__ = ["constant_columns", "few_rows", "kinds", "never_scaled", "other_scale", "padded"]


@check(
    "data on another scale",
    GRAVE,
    20.0,
    "ratio of sizes",
    conclusive=True,
    needs=("decoded|x_train",),
)
def other_scale(seen: Measured, threshold: float) -> Found | None:
    """Scaling done once where the model saw it twice, or never."""
    x = seen.x
    if seen.x_train is not None:
        ratio = float(x.std() / max(seen.x_train.std(), 1e-30))
        if not 1 / threshold < ratio < threshold:
            return _scaled(ratio, "the rows of training")
    if seen.decoded is None:
        return None
    output = seen.decoded.output
    if seen.objective is not None:
        output = np.asarray(seen.objective.likelihood.mean(output), np.float64)
    inner = float((output * x).sum())
    alike = inner / max(float(np.sqrt(np.square(output).sum() * np.square(x).sum())), 1e-300)
    ratio = float(np.square(x).sum()) / inner if inner > 0 else 1.0
    if not np.isfinite(ratio) or alike < 0.5 or 1 / threshold < ratio < threshold:
        return None
    return _scaled(ratio, "what the decoder makes of them")


def _scaled(ratio: float, other: str) -> Found:
    known = {255.0: "divided by 255", 65535.0: "divided by 65535"}
    near = [f"those of training {of}" for value, of in known.items() if 0.5 < ratio / value < 2]
    near += [f"these {of} twice" for value, of in known.items() if 0.5 < ratio * value < 2]
    guess = f": were {near[0]}?" if near else "."
    return Found(
        f"The data are {_short(ratio)} times as large as {other}{guess}",
        "Scale them exactly as in training, once.",
        {"ratio": ratio},
    )


def _short(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


@check("too few rows for the spectrum", NOTE, 10.0, "rows for each value of an example")
def few_rows(seen: Measured, threshold: float) -> Found | None:
    """A spectrum that says more of the sample than of where it came from."""
    if seen.spectrum is not None or seen.x_train is not None or seen.objective is None:
        return None
    if seen.count >= threshold * seen.data_dim:
        return None
    return Found(
        f"There are {seen.count} rows of {seen.data_dim} values: eigenvalues, and what a linear "
        f"VAE is worth, are taken from rows held out, and are still rough.",
        "Give x_train=, the rows of training.",
        {"rows": seen.count, "values": seen.data_dim},
    )


@check("constant columns", NOTE, 0.0, "share of columns")
def constant_columns(seen: Measured, threshold: float) -> Found | None:
    """Columns which say nothing, and still count in N."""
    constant = np.ptp(seen.x, axis=0) == 0
    share = float(constant.mean())
    if share <= threshold:
        return None
    found = f"{int(constant.sum())} of {seen.data_dim} columns are constant in these rows"
    words = f"{found}: they say nothing, and still count in N"
    if seen.noise_variance is not None and seen.objective is not None:
        if seen.objective.reconstruction == "mean":
            words += (
                f", by which the errors are averaged: over the others the noise variance would be "
                f"{seen.noise_variance * (1 - share):.3g}"
            )
    return Found(f"{words}.", "Leave them out, unless they are a border.", {"share": share})


@check("kinds taken for numbers", NOTE, 0.0, "columns")
def kinds(seen: Measured, threshold: float) -> Found | None:
    """Columns of a few whole numbers, which stand for kinds."""
    if seen.noise_variance is None:
        return None
    columns = data.describe(seen.x).categories
    if len(columns) <= threshold:
        return None
    named = ", ".join(str(c) for c in columns[:5]) + (" ..." if len(columns) > 5 else "")
    return Found(
        f"Columns {named} hold a few whole numbers each, as for kinds, and a Gaussian takes them "
        f"for measurements.",
        "Give each kind a column of 0 and 1, as data.Table does.",
        {"columns": len(columns)},
    )


@check("padded sequences", NOTE, 0.1, "share of rows")
def padded(seen: Measured, threshold: float) -> Found | None:
    """Rows that end in one value, again and again, which is easy to learn and no data."""
    x = seen.x.reshape(len(seen.x), *seen.data_shape)
    share = data.describe(x).padding
    if share <= threshold:
        return None
    return Found(
        f"{share:.0%} of the rows end in a long run of one value, as padding leaves them: most of "
        f"what is reconstructed may be that.",
        "Mask it out of the error, or cut the sequences to one length.",
        {"share of rows": share},
    )


@check("data never scaled", NOTE, 100.0, "largest value")
def never_scaled(seen: Measured, threshold: float) -> Found | None:
    """Bytes and 16-bit numbers as they come from a file."""
    scale = data.describe(seen.x).scale
    if scale not in ("bytes", "16 bits") or seen.x.max() <= threshold:
        return None
    most = 255 if scale == "bytes" else 65535
    return Found(
        f"The data range from {seen.x.min():.3g} to {seen.x.max():.3g}, as {scale} do: every "
        f"weight and noise variance is then in such units.",
        f"Divide them by {most}.",
        {"largest value": float(seen.x.max())},
    )
