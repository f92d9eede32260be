"""The dial: which latent units a loss keeps, on the spectrum of the data."""

import itertools
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vae_notes import _check, figures, theory
from vae_notes.interactive._document import Interactive, assemble, drawing, named, table
from vae_notes.objective import REDUCTIONS, Objective

MOST_UNITS = 64


def dial(
    spectra: Mapping[str, ArrayLike], objective: Objective | None = None, latent_dim: int = 8
) -> Interactive:
    r"""The spectrum of the data, the noise variance of a loss across it, and what survives.

    .. math:: \sigma^2 = \beta / 2, \; \text{unit } i \text{ survives where } \lambda_i > \sigma^2

    The reader chooses the data set, both reductions, the KL weight and D; N follows the data.

    Parameters
    ----------
    spectra : dict of str to array (n, N), (n, ...) or (N,)
        By name, data or their spectrum, in squared units of the data. The figure opens with the
        first.
    objective : Objective, optional
        The reductions and the KL weight it opens with; sums with weight 1 by default.
    latent_dim : int
        The D it opens with, 1 to 64.

    Returns
    -------
    Interactive

    Raises
    ------
    ValueError
        If there is no data set, one is not of finite numbers or does not vary, the likelihood is
        Bernoulli, or ``latent_dim`` is out of its range.

    References
    ----------
    Lucas et al. (2019), section 4.
    Taught in chapter 4, *Sum or mean?*, section *Four reductions, one number*.

    Examples
    --------
    >>> import textwrap
    >>> from vae_notes import Objective, data
    >>> patches = {f"patches {side} x {side}": data.patches(side) for side in (4, 8)}
    >>> figure = dial(patches, Objective("mean", "mean"), latent_dim=4)
    >>> print(textwrap.fill(figure.text, 80))
    Dial: on patches 4 x 4 (N = 16), squared errors averaged, KL averaged, KL weight
    1 and 4 latent units give an effective noise variance of 2, and 0 of 4 latent
    units survive.
    """
    named("spectra", spectra, '{"digits": data.digits()}')
    latent_dim = _check.whole("latent_dim", latent_dim, 1, MOST_UNITS)
    objective = Objective() if objective is None else objective
    if not isinstance(objective, Objective):
        raise ValueError(
            f"objective is {type(objective).__name__}, expected an Objective: give for example "
            f'Objective("mean", "mean").'
        )
    found = {name: _spectrum(name, values) for name, values in spectra.items()}
    sets = [
        {"name": name, "dim": len(values), "spectrum": values[:MOST_UNITS].tolist()}
        for name, values in found.items()
    ]
    numbers = {
        "sets": sets,
        "reconstruction": objective.reconstruction,
        "kl": objective.kl,
        "weight": float(objective.kl_weight),
        "latentDim": latent_dim,
        "mostUnits": MOST_UNITS,
    }
    variance, units = _kept(next(iter(found.values())), objective, latent_dim)
    text = (
        f"Dial: on {sets[0]['name']} (N = {sets[0]['dim']}), squared errors "
        f"{_said(objective.reconstruction)}, KL {_said(objective.kl)}, KL weight "
        f"{objective.kl_weight:.3g} and {latent_dim} latent units give an effective noise variance "
        f"of {variance:.3g}, and {units} of {latent_dim} latent units survive."
    )
    return assemble("dial", numbers, *_still(found, objective.kl_weight, latent_dim, text))


def _spectrum(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        eigenvalues = theory.spectrum(values)
    except ValueError as error:
        raise ValueError(f"spectra[{name!r}]: {error}") from error
    if not eigenvalues[0] > 0:
        raise ValueError(
            f"spectra[{name!r}] does not vary, so it has no eigenvalue above 0: give data that do."
        )
    # Six digits, and nothing for round-off: another machine's arithmetic gives the same text.
    return np.array([float(f"{value:.6g}") if value > 1e-7 else 0.0 for value in eigenvalues])


def _kept(
    eigenvalues: NDArray[np.float64], objective: Objective, latent_dim: int
) -> tuple[float, int]:
    variance = objective.noise_variance(len(eigenvalues), latent_dim)
    return variance, theory.active_units(eigenvalues, variance, latent_dim)


def _still(
    spectra: Mapping[str, NDArray[np.float64]], kl_weight: float, latent_dim: int, text: str
) -> tuple[str, str, str]:
    """The picture and the table: all four reductions, at the weight and D given."""
    losses = {
        f"errors {_said(reconstruction)}, KL {_said(kl)}": Objective(reconstruction, kl, kl_weight)
        for reconstruction, kl in itertools.product(REDUCTIONS, REDUCTIONS)
    }
    first = next(iter(spectra.values()))
    lines = {name: _kept(first, loss, latent_dim)[0] for name, loss in losses.items()}
    picture = drawing(partial(figures.spectrum, first[:latent_dim], lines), text, height=4)
    rows = []
    for name, values in spectra.items():
        cells = [_kept(values, loss, latent_dim) for loss in losses.values()]
        survive = [
            f"{units} of {latent_dim}, noise variance {variance:.3g}" for variance, units in cells
        ]
        rows.append((f"{name}, N = {len(values)}", *survive))
    return picture, text, table(("surviving units", *losses), rows)


def _said(reduction: str) -> str:
    return {"sum": "summed", "mean": "averaged"}[reduction]
