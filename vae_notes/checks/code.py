"""Collapse: units that carry nothing, by nats, and who is to blame."""

from vae_notes import theory
from vae_notes._measured import Measured
from vae_notes.checks._check import GRAVE, Found, check

__all__ = ["asked_for", "local_optimum", "not_asked_for", "partly", "unknown_cause"]

NOTHING = 0.02  # nats that all units together carry, below which they carry nothing


def collapsed(seen: Measured, least: float) -> bool:
    """Whether the units carry less than so many nats, in a model that has learnt the rest."""
    return seen.carried < least and seen.kl < 1 and not seen.loses_to_no_code(0.1)


def _cause(seen: Measured) -> str:
    """Who asked for an empty code: "objective", "local", "nobody", or "" where it is not known."""
    if seen.objective is None:
        return ""
    test = seen.global_test
    assert test is not None
    if test.local:
        return "local" if test.better_code else "objective"
    if seen.decoded is None:
        return ""
    return "nobody"


def _price(seen: Measured) -> str:
    """The noise variance or the KL weight, in words."""
    if seen.noise_variance is not None:
        return f"a noise variance of {seen.noise_variance:.3g}"
    return f"a KL term with the weight beta = {seen.beta:.3g}"


def _evidence(seen: Measured) -> dict[str, float]:
    found = {"nats carried": seen.carried, "active units": float(seen.active.sum())}
    if seen.objective is not None and seen.global_test is not None:
        found["largest eigenvalue"] = seen.global_test.largest_eigenvalue
        found["critical"] = seen.objective.likelihood.critical_variance(seen.beta)
    return found


@check(
    "collapsed because the objective asked for it",
    GRAVE,
    NOTHING,
    "nats carried",
    needs=("objective",),
)
def asked_for(seen: Measured, threshold: float) -> Found | None:
    """No direction is worth its price, and no better code was found for any decoder."""
    if not collapsed(seen, threshold) or _cause(seen) != "objective":
        return None
    test = seen.global_test
    assert test is not None
    largest = test.largest_eigenvalue
    words = (
        f"The units carry {seen.carried:.2g} nats: the objective amounts to {_price(seen)}, and no "
        f"direction of the data varies more than {largest:.3g}, so the empty code is a local "
        f"optimum of every network"
    )
    if test.proven:
        words += ", and for these data the best there is."
    else:
        words += " and, as far as a search can tell, the best."
    factor = seen.objective.likelihood.critical_variance(seen.beta) / largest if largest else None  # type: ignore[union-attr]
    remedy = "Divide the KL weight"
    remedy += f" by well over {factor:.2g}" if factor else ""
    remedy += ", or sum the errors instead of averaging them"
    remedy += (
        ": annealing ends here, too." if test.proven else ": annealing has nothing known to find."
    )
    return Found(words, remedy, _evidence(seen))


@check("collapsed into a local optimum", GRAVE, NOTHING, "nats carried", needs=("objective",))
def local_optimum(seen: Measured, threshold: float) -> Found | None:
    """No direction is worth its price, and yet some code is: clusters, or places."""
    if not collapsed(seen, threshold) or _cause(seen) != "local":
        return None
    test = seen.global_test
    assert test is not None
    words = (
        f"The units carry {seen.carried:.2g} nats: at {_price(seen)} the empty code is a local "
        f"optimum, since no direction varies more than {test.largest_eigenvalue:.3g}, but not the "
        f"best: on held-out rows a mixture of two codes is better."
    )
    remedy = "Anneal the KL weight from 0, so that training starts where a code exists."
    return Found(words, remedy, {**_evidence(seen), "excess": test.excess})


@check(
    "collapsed although the objective did not ask for it",
    GRAVE,
    NOTHING,
    "nats carried",
    needs=(
        "objective",
        "decoded",
    ),
)
def not_asked_for(seen: Measured, threshold: float) -> Found | None:
    """A direction is worth its price, and the units carry nothing."""
    if not collapsed(seen, threshold) or _cause(seen) != "nobody":
        return None
    test = seen.global_test
    assert test is not None
    words = (
        f"The units carry {seen.carried:.2g} nats, but a direction of the data varies "
        f"{test.largest_eigenvalue:.3g}, more than {_critical(seen)}: the empty code is no optimum."
    )
    if seen.linear_gain is not None:
        words += f" A linear VAE is {seen.linear_gain[0]:.2g} nats better than no code."
    remedy = (
        "Anneal the KL weight, or give the network fewer layers, residual connections or another "
        "activation; at a small gain a smaller KL weight comes first."
    )
    return Found(words, remedy, _evidence(seen))


@check("collapsed, cause unknown", GRAVE, NOTHING, "nats carried")
def unknown_cause(seen: Measured, threshold: float) -> Found | None:
    """Nothing is carried, and what would tell why was not handed over."""
    if not collapsed(seen, threshold) or _cause(seen) != "":
        return None
    words = f"The units carry {seen.carried:.2g} nats, and why cannot be said"
    if seen.objective is None:
        remedy = "Give objective=, what the model was trained on, and decode=."
        return Found(f"{words} without the objective.", remedy, _evidence(seen))
    words += (
        f": a direction of the data varies more than {_critical(seen)}, but a decoder that sees "
        f"something else (a label, a skip connection) would need no code for it."
    )
    return Found(words, "Give decode=, so that this can be told.", _evidence(seen))


@check(
    "partly collapsed",
    GRAVE,
    0.6,
    "share of the linear VAE's nats",
    needs=(
        "predicted",
        "gain",
    ),
)
def partly(seen: Measured, threshold: float) -> Found | None:
    """Units that carry less than they could, at a loss: by nats, not by their number."""
    if collapsed(seen, NOTHING) or seen.predicted is None or seen.gain is None:
        return None
    if seen.linear_gain is None or seen.shortfall is None:
        return None
    gain, possible, (lost, error) = seen.gain[0], seen.linear_gain[0], seen.shortfall
    fewer = seen.kl < threshold * seen.predicted.kl
    if not (0 <= gain < 0.9 * possible and fewer and lost > 3 * error):
        return None
    words = (
        f"The units carry {seen.kl:.2f} nats where a linear VAE uses {seen.predicted.kl:.2f}, and "
        f"gain {gain:.2g} nats over no code where it gains {possible:.2g}."
    )
    remedy = "Train longer, and if that does not help, anneal the KL weight or use a wider network."
    nats = {"nats": seen.kl, "linear nats": seen.predicted.kl}
    evidence = {"gain": gain, "linear gain": possible, **nats, **_evidence(seen)}
    return Found(words, remedy, evidence)


def _critical(seen: Measured) -> str:
    assert seen.objective is not None
    name = "noise variance" if seen.noise_variance is not None else "beta"
    return f"the {name} {seen.objective.likelihood.critical_variance(seen.beta):.3g}"


def explained_otherwise(seen: Measured) -> bool:
    """Whether what the decoder leaves of the rows has no direction that is worth a code."""
    if seen.decoded is None or seen.noise_variance is None:
        return False
    rest = seen.x - seen.decoded.output
    if len(rest) < 10 * rest.shape[1]:
        largest = theory.held_out_spectrum(rest, 1).leading[0]
    else:
        largest = theory.spectrum(rest, leading=1).leading[0]
    return bool(largest <= seen.noise_variance)
