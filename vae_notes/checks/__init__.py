"""The questions that a diagnosis asks, from causes to symptoms.

A check is a function of what was measured and of a threshold; it answers with numbers, one sentence
and a remedy, or not at all. It names a cause only where the numbers show it. The order of
``CHECKS`` is that in which findings of one gravity are reported: what explains others comes first.
A new one is a function here, a page in ``book/findings`` and its cases in ``tests/clinic``.
"""

from vae_notes.checks import bound, code, decoder, latent, run, sample
from vae_notes.checks._check import Check, Finding, Found, check

__all__ = ["CHECKS", "GRAVE", "NOTE", "Check", "Finding", "Found", "check"]

#: Gravity of what makes the results wrong, so that a model of which it is found is not healthy.
#:
#: Taught in chapter 2, *Posterior collapse*, section *How to measure it*.
GRAVE = "grave"

#: Gravity of what is worth knowing.
#:
#: Taught in chapter 2, *Posterior collapse*, section *How to measure it*.
NOTE = "note"

#: Every check, in the order in which findings of one gravity are reported.
#:
#: Taught in chapter 2, *Posterior collapse*, section *How to measure it*.
CHECKS = (
    bound.no_number,
    # causes in the data and in what was handed over
    sample.other_scale,
    decoder.probabilities,
    decoder.logits,
    run.training_mode,
    run.kl_weight,
    latent.not_a_log_variance,
    latent.never_negative,
    # causes in the networks and in what they learnt from
    decoder.out_of_reach,
    decoder.sees_more,
    decoder.deaf,
    run.overfitted,
    latent.without_noise,
    latent.far_from_prior,
    # collapse
    code.asked_for,
    code.local_optimum,
    code.not_asked_for,
    code.unknown_cause,
    run.other_objective,
    code.partly,
    # the run
    run.unstable,
    # symptoms
    bound.impossible,
    bound.worse_than_no_code,
    bound.far_below_linear,
    decoder.bad_samples,
    # worth knowing
    bound.below_linear,
    run.still_improving,
    latent.clamped,
    sample.few_rows,
    sample.constant_columns,
    sample.kinds,
    sample.padded,
    sample.never_scaled,
)
