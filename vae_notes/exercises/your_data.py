"""Chapter 7, *Your own data*."""

import functools

import numpy as np

from vae_notes import claims, data, theory
from vae_notes.exercises._judge import Wrong, array, call, compare, number, one_recipe, parts

__all__ = ["EXERCISES"]

COLUMNS, UNITS = 30, 8


def rows():
    """The parts of the table as the chapter splits and scales them, by name."""
    return _rows(claims.base_seed())


@functools.cache
def _rows(seed):
    from sklearn.datasets import load_breast_cancer
    from sklearn.preprocessing import StandardScaler

    table = load_breast_cancer().data
    written = np.array([float(f"{value:g}") for value in table.flat], np.float32)  # as in the CSV
    rest, raw_test = data.split(written.reshape(table.shape), seed=seed)
    raw_train, raw_valid = data.split(rest, seed=seed)
    scaler = StandardScaler().fit(raw_train)
    raw = {"train": raw_train, "valid": raw_valid, "test": raw_test}
    return {name: scaler.transform(part) for name, part in raw.items()} | {
        f"raw {name}": part for name, part in raw.items()
    }


def will_it_survive(answer):
    """(noise variance, units kept) of a mean error plus 0.1 times a summed KL term."""
    variance, units = parts(answer, "noise_variance", "units")
    variance, units = number(variance, "the noise variance"), number(units, "the number of units")
    weight = 0.1
    right = weight * COLUMNS / 2
    compare(
        variance,
        right,
        [
            (weight / 2, "That is for summed errors; these are averaged over the columns."),
            (2 * right, "That is the weight between the two sums, not yet the noise variance."),
            (right / weight, "The weight of the KL term is left out."),
            (right / UNITS, "The KL term is summed over the units, not averaged."),
            (weight, "That is the weight of the KL term, not the noise variance."),
        ],
        "Write the loss as a sum of squares plus c times a summed KL term, then look at c.",
    )
    train, unscaled = rows()["train"], rows()["raw train"]
    kept = theory.active_units(train, right, UNITS)
    mistakes = [
        (theory.active_units(unscaled, right, UNITS), "That counts the columns as they were."),
        (UNITS - kept, "That counts the units that are lost."),
        (UNITS, "That is the number of units there are, not of those that are kept."),
    ]
    compare(
        units,
        kept,
        mistakes,
        "The variance is right: count the eigenvalues of the scaled training rows above it.",
    )


REMEDIES = "anneal", "lower", "scale", "nothing"
CASES = {
    "A": (
        "lower",
        {
            "anneal": "A: as many are active as the objective keeps, so no path to it has more.",
            "nothing": "A: the blur is detail that this loss counts as noise, which is a choice.",
        },
    ),
    "B": (
        "anneal",
        {
            "lower": "B: the objective would keep some units, so it was not the objective.",
            "nothing": "B: units were predicted and none is there, so something was lost.",
        },
    ),
    "C": (
        "lower",
        {
            "anneal": "C: nothing is predicted, so the end of every schedule is the same.",
            "nothing": "C: a model without an active unit says nothing about x.",
        },
    ),
    "D": ("nothing", {"lower": "D: a density may exceed 1, so the sign of a loss is no symptom."}),
    "E": (
        "scale",
        {
            "anneal": "E: this happened before any schedule could matter.",
            "lower": "E: it is the encoder's exponential that overflowed, not the error.",
            "nothing": "E: a loss that is no number does not come back.",
        },
    ),
}


def read_the_chart(answer):
    """A remedy for each of five patients."""
    if isinstance(answer, dict):
        answer = [answer.get(case) for case in CASES]
    given = dict(zip(CASES, parts(answer, *CASES), strict=True))
    for case, remedy in given.items():
        if not isinstance(remedy, str) or remedy not in REMEDIES:
            raise Wrong(f"{case}: {remedy!r} is none of the four remedies of the exercise.")
    for case, (right, hints) in CASES.items():
        if given[case] != right:
            raise Wrong(hints.get(given[case], f"{case}: this report gives no reason for that."))
    return "A schedule helps one patient in five."


def which_columns(answer):
    """(vae, explained): the share of each column's variance that the reconstruction explains."""
    vae, explained = parts(answer, "vae", "explained")
    if not hasattr(vae, "reconstruct"):
        raise Wrong(f"The first part is a {type(vae).__name__}, expected the fitted VAE.")
    explained = array(explained, (COLUMNS,), "the array of shares")

    def share(part):
        x = rows()[part]
        decoded = call(vae.reconstruct, x, what="the reconstruction")
        error = (array(decoded, x.shape, "the reconstruction") - x) ** 2
        return 1 - error.mean(axis=0) / x.var(axis=0)

    right = share("test")
    x = rows()["test"]
    spread = np.asarray(vae.reconstruct(x)).var(axis=0) / x.var(axis=0)
    compare(
        explained,
        right,
        [
            (1 - right, "That is the share that the reconstruction leaves unexplained."),
            ((1 - right) * x.var(axis=0), "That is the error, not a share of the variance."),
            (share("train"), "Those are the training rows, which the model has seen."),
            (share("valid"), "Those are the validation rows, not the test rows."),
            (share("raw test"), "Those rows are not scaled."),
            (spread, "A reconstruction that varies as much as the data may still be wrong."),
        ],
        "For each column, compare the mean squared error with the variance of that column.",
        tolerance=0.02,
    )


def positive_sizes(answer):
    """Samples in the units of the table, of a model of its logarithms."""
    sampled = array(answer, (None, COLUMNS), "the array of samples")
    if len(sampled) < 300:
        raise Wrong(f"The answer has {len(sampled)} rows, too few to judge them.")
    if (sampled < -0.0011).any():
        raise Wrong("Some values are further below 0 than an exponential allows.")
    train = np.log(rows()["raw train"] + 0.001)
    scaled = np.log(np.maximum(sampled + 0.001, 1e-12)) - train.mean(axis=0)
    scaled /= train.std(axis=0)
    if (np.abs(np.median(scaled, axis=0)) > 1).any():
        raise Wrong("Some columns are not in the units of the table: undo every step, in order.")
    if np.linalg.eigvalsh(np.cov(scaled.T))[0] < 0.02:
        raise Wrong("The columns fit each other too well: the noise of the model is missing.")


def more_units(answer):
    """(runs, behind): 16 units, and how far the ELBO is behind the best linear VAE."""
    runs, behind = parts(answer, "runs", "behind")
    recipe, runs = one_recipe(runs, "the first part")
    latent_dim, train, valid = 16, rows()["train"], rows()["valid"]
    if next(iter(runs)).latent_dim != latent_dim:
        raise Wrong("The networks do not have the number of units that was asked for.")
    small = theory.maximum_likelihood_noise_variance(train, latent_dim)
    _likeliest(recipe.objective, small, latent_dim, train)
    if runs.x.shape != valid.shape or not np.allclose(runs.x, valid, atol=1e-3):
        raise Wrong("The networks are not measured on the scaled validation rows.")
    behind = array(behind, (len(runs.seeds),), "the second part")
    best = theory.optimal_parameters(train, latent_dim, small)
    linear = [
        theory.log_marginal_likelihood(x, best.decoder_weights, best.decoder_bias, small).mean()
        for x in (valid, train)
    ]
    elbo = runs.elbo[recipe.name]
    compare(
        behind,
        linear[0] - elbo,
        [
            (elbo - linear[0], "The sign is wrong: behind is positive where the network is worse."),
            (linear[1] - elbo, "There the linear VAE is measured on its own training rows."),
            (elbo, "Those are the ELBOs, not how far they are behind the linear VAE."),
        ],
        "Take each ELBO from the mean log-likelihood that the linear VAE gives the same rows.",
        tolerance=0.01,
    )
    return "With so little noise allowed, every error on a new row costs a multiple."


def _likeliest(objective, small, latent_dim, train):
    variance = objective.noise_variance(COLUMNS, latent_dim)
    eight = theory.maximum_likelihood_noise_variance(train, UNITS)
    compare(
        variance,
        small,
        [
            (eight, "That is the likeliest noise variance for another number of units."),
            (small / 2, "That is half of it: the weight of the KL term is twice the variance."),
            (2 * small, "That is double: the weight of the KL term is twice the variance."),
            (COLUMNS * small, "That is N times as large: the errors are to be summed."),
            (0.5, "That is the noise variance of an unweighted sum of both terms."),
        ],
        "The noise variance is not the one that theory finds likeliest for these units.",
        tolerance=0.02,
    )


EXERCISES = {
    "7.1": will_it_survive,
    "7.2": read_the_chart,
    "7.3": which_columns,
    "7.4": positive_sizes,
    "7.5": more_units,
}
