"""Chapter 3, *The N-versus-D mismatch*."""

import numpy as np

from vae_notes import claims, data, likelihoods, theory
from vae_notes.exercises._judge import Wrong, array, compare, number, one_recipe, same
from vae_notes.objective import Objective

__all__ = ["EXERCISES"]

FEWEST_SEEDS = 8
EPOCHS, EARLY, LATE = 100, 10, 60


def smallest_patch(answer):
    """The smallest side from which on sum and sum keeps a unit on patches."""

    def first(noise_variance):
        kept = (s for s in range(1, 9) if theory.active_units(data.patches(s), noise_variance))
        return next(kept, np.nan)

    value, right = number(answer), first(Objective().noise_variance(64, 8))
    compare(
        value,
        right,
        [
            (right**2, "That is N, the number of pixels; give the side."),
            (first(1.0), "You took beta, the KL weight, for the noise variance."),
            (first(0.25), "You squared the noise variance, which is a variance already."),
        ],
        "A smaller side keeps a unit already."
        if value > right
        else "At that side no direction varies more than the noise.",
    )
    return "From there on the first unit codes the brightness of a patch."


def copy_every_pixel(answer):
    """Units that the sum and the average keep, before and after copying, (2, 2)."""
    plain = theory.spectrum(data.digits())
    losses = Objective("sum", "sum"), Objective("mean", "sum", 0.01)

    def kept(grown=4, dims=(64, 256), scale=1.0):
        return [
            [theory.active_units(factor * plain, scale * loss.noise_variance(n, 8), 8)]
            for factor, n in zip((1, grown), dims, strict=True)
            for loss in losses
        ]

    def table(**changes):
        return np.reshape(kept(**changes), (2, 2))

    compare(
        array(answer, (2, 2)),
        table(),
        [
            (table().T, "Rows and columns are exchanged: a row is a data set."),
            (table()[::-1], "The rows are exchanged: the plain digits come first."),
            (table()[:, ::-1], "The columns are exchanged: the sum comes first."),
            (table(grown=1), "The eigenvalues grow with the copies: take those of the new data."),
            (table(dims=(64, 64)), "The average is taken over more pixels now: N has changed."),
            (table(grown=16), "Eigenvalues grow by the number of copies, not by its square."),
            (table(scale=2), "You took beta, the KL weight, for the noise variance."),
            (
                table(grown=1, dims=(64, 64)),
                "Nothing changes for you: take eigenvalues and N of the new data.",
            ),
        ],
        "Count the eigenvalues above each noise variance, for each data set with its own N.",
    )
    return "The average does not notice the copies; the sum takes each of them for new evidence."


def two_definitions(answer):
    """A curve of 100 epochs that converges early within 20% and late within 5%."""
    from vae_notes.balance import converged

    curve = array(answer, (EPOCHS,), "the curve")
    if curve.min() < 0:
        raise Wrong("The curve falls below zero, which no KL term does.")
    if np.ptp(curve) == 0:
        raise Wrong("The curve never moves, so it has converged at once by any definition.")
    coarse, fine = converged(curve, 0.2), converged(curve, 0.05)
    if coarse > EARLY:
        raise Wrong(
            "By the coarse definition it converges too late: it should be near its last value soon."
        )
    if fine < LATE:
        raise Wrong(
            "By the fine definition it converges too early: let it creep on for the rest of the "
            "epochs."
        )
    return "A weight on the curve would change neither epoch, since its range shrinks as well."


def unit_variance(answer):
    """KL / reconstruction before training on standardised digits, one value a seed, (8,)."""
    digits = data.digits()
    shares = array(answer, (FEWEST_SEEDS,), "the array of shares")
    right = _shares((digits - digits.mean()) / digits.std())
    if not same(shares, right, tolerance=0.01):
        _refuse_other_scales(shares[:1], digits)
    compare(
        shares,
        right,
        [
            (1 / right, "Those are the errors over the KL; give the KL over the errors."),
            (64 * right, "You averaged the errors; both terms are summed here."),
            (right / 8, "You averaged the KL; both terms are summed here."),
            (right / (1 + right), "Those are shares of the whole loss; divide by the errors."),
        ],
        "Give the KL over the reconstruction for each seed of at_start, on the first 256 "
        "digits and for 8 units.",
        tolerance=0.01,
    )
    return "So the KL does not start large on digits that are scaled in this way either."


def your_combination(answer):
    """What the sweep of one recipe returned, linear VAEs on data of the reader's choice."""
    recipe, runs = one_recipe(answer)
    if recipe.objective.likelihood != likelihoods.Gaussian():
        raise Wrong("With cross-entropy there is no noise variance: use squared errors.")
    first = next(iter(runs))
    _judge_linear(first, runs.x)
    return _judge_nats(list(runs), runs.x)


def _shares(x, seeds=None):
    from vae_notes import VAE, balance
    from vae_notes.networks import dense

    x, seeds = x[:256], claims.seeds() if seeds is None else seeds
    found = [balance.measure(VAE(*dense(64, 8, seed=s)), x, s) for s in seeds]
    return np.array([b.kl / b.reconstruction for b in found])


def _refuse_other_scales(first, digits):
    """Recognise by its first seed what was measured on digits of another scale."""
    deviation = digits.std(axis=0)
    centred = digits - digits.mean(axis=0)
    each = np.divide(centred, deviation, out=np.zeros_like(digits), where=deviation > 0)
    for scaled, hint in [
        (digits, "Those are the digits between 0 and 1; scale them first."),
        (digits / digits.std(), "You divided by the deviation, but did not subtract the mean."),
        (each, "You scaled each pixel on its own; use one mean and one deviation for all."),
    ]:
        if same(first, _shares(scaled, claims.seeds()[:1]), tolerance=0.01):
            raise Wrong(hint)


def _judge_linear(run, x):
    """Refuse a model whose posterior mean bends."""
    encode = run.vae().encode
    first, second = x[: len(x) // 2], x[-(len(x) // 2) :]
    middle = (np.asarray(encode(part)[0]) for part in (first, second, (first + second) / 2))
    left, right, between = middle
    if not np.allclose((left + right) / 2, between, atol=1e-3):
        raise Wrong("The prediction is for linear VAEs: build them without hidden layers.")


def _judge_nats(runs, x):
    """Hold the measured KL against the prediction on the data that it was measured on."""
    latent_dim, data_dim = runs[0].latent_dim, int(np.prod(x.shape[1:]))
    noise_variance = runs[0].recipe.objective.noise_variance(data_dim, latent_dim)
    predicted = theory.kl_per_unit(x, noise_variance, latent_dim).sum()
    if predicted < 0.1:
        raise Wrong("The law keeps next to nothing there: choose a smaller noise variance.")
    off = np.array([run.report.kl for run in runs]) / predicted - 1
    if np.mean(np.abs(off) < 0.05) >= 0.75:
        return "You knew the nats before you trained."
    if np.median(off) > 0:
        raise Wrong("Most seeds spend more than predicted: train longer, or in smaller steps.")
    raise Wrong("Most seeds spend less than predicted: train longer, or at a higher rate.")


EXERCISES = {
    "3.1": smallest_patch,
    "3.2": copy_every_pixel,
    "3.3": two_definitions,
    "3.4": unit_variance,
    "3.5": your_combination,
}
