"""What happened to the latent space: a VAE measured, and asked one question after another."""

import functools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from vae_notes import _check, checks, theory
from vae_notes._doors import opened
from vae_notes._measured import EXTREME, Measured, Rows, generator, measured
from vae_notes._noise import reparameterised
from vae_notes._report import Printed, bars, images
from vae_notes.checks import Finding
from vae_notes.objective import Objective

__all__ = ["Report", "Rows", "Unhealthy", "diagnose", "mutual_information"]

MOST = 1024  # examples in an estimate of mutual information

HEALTHY = "healthy"
NOT_JUDGED = "not judged"


class Unhealthy(ValueError):
    """What :meth:`Report.raise_if_unhealthy` raises.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> issubclass(Unhealthy, ValueError)
    True
    """


class Report(Printed):
    """What :func:`diagnose` found; prints as text in a terminal and as a table in a notebook.

    Attributes
    ----------
    measured : Measured
        Everything that the checks looked at.
    findings : tuple of Finding
        What was found, the gravest first; of one gravity, causes before symptoms.
    kl_per_unit : array (D,)
        Mean KL divergence of each latent unit, in nats.
    z_mean_variance : array (D,)
        Variance of each unit's posterior mean over the data.
    rows : Rows
        KL, reconstruction and ELBO of each example.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> from vae_notes import Objective, data, theory
    >>> x = data.linear_gaussian([4.0, 1.0, 0.1], count=500)
    >>> best = theory.optimal_parameters(x, latent_dim=2, noise_variance=0.1)
    >>> z_mean = x @ best.encoder_weights + best.encoder_bias
    >>> posterior = z_mean, np.broadcast_to(best.z_log_var, z_mean.shape)
    >>> decode = lambda z: z @ best.decoder_weights + best.decoder_bias
    >>> report = diagnose(posterior, x, decode, Objective.for_noise_variance(0.1))
    >>> report.verdict, report.active_units
    ('healthy', 2)
    """

    _width = 25

    def __init__(
        self, measured: Measured, thresholds: Mapping[str, float] | None = None, seed: int = 0
    ) -> None:
        self.measured = measured
        self.thresholds = dict(thresholds or {})
        self.seed = seed

    # Measured

    @property
    def data_dim(self) -> int:
        """N."""
        return self.measured.data_dim

    @property
    def latent_dim(self) -> int:
        """D."""
        return self.measured.latent_dim

    @property
    def kl_per_unit(self) -> NDArray[np.float64]:
        """Mean KL divergence of each unit, (D,), in nats."""
        return self.measured.kl_per_unit

    @property
    def z_mean_variance(self) -> NDArray[np.float64]:
        """Variance of each unit's posterior mean over the data, (D,)."""
        return self.measured.z_mean_variance

    @property
    def rows(self) -> Rows:
        """What each example costs, a score for anomalies, which noise can hide."""
        return self.measured.rows

    @property
    def kl(self) -> float:
        """Mean KL divergence, summed over units, in nats."""
        return self.measured.kl

    @property
    def active(self) -> NDArray[np.bool_]:
        """Where the posterior mean moves, (D,)."""
        return self.measured.active

    @property
    def active_units(self) -> int:
        """Number of active units."""
        return int(self.active.sum())

    @functools.cached_property
    def _information(self) -> tuple[float, float]:
        seen = self.measured
        return mutual_information(seen.z_mean, seen.z_log_var, seed=self.seed)

    @property
    def mutual_information(self) -> float:
        """Estimate of I(x; z) under q, in nats."""
        return self._information[0]

    @property
    def mutual_information_ceiling(self) -> float:
        """The most that the estimate can be, in nats."""
        return self._information[1]

    @property
    def reconstruction(self) -> float | None:
        """Mean over examples of the error summed over N."""
        found = self.rows.reconstruction
        return None if found is None else float(found.mean())

    @functools.cached_property
    def elbo(self) -> float | None:
        """In nats per example, unweighted; None without ``decode`` or ``objective``."""
        if self.reconstruction is None:
            return None
        seen = self.measured
        assert seen.objective is not None
        return float(
            seen.objective.elbo(self.reconstruction, self.kl, self.data_dim, self.latent_dim)
        )

    # Held against the law

    @property
    def predicted(self) -> theory.Prediction | None:
        """What the best linear VAE does; None unless the objective is that of a Gaussian."""
        return self.measured.predicted

    @property
    def predicted_active_units(self) -> int | None:
        """Units that the best linear VAE uses."""
        return None if self.predicted is None else self.predicted.active_units

    @property
    def predicted_kl_per_unit(self) -> NDArray[np.float64] | None:
        """Nats of each of its units, strongest first."""
        return None if self.predicted is None else self.predicted.kl_per_unit

    @property
    def linear_elbo(self) -> float | None:
        """Its ELBO in nats, on rows that it was not fitted on where rows are few."""
        seen = self.measured
        if self.predicted is None:
            return None
        if seen.few_rows or seen.x_train is not None:
            assert seen.linear is not None
            return float(seen.linear.mean())
        return self.predicted.elbo

    @property
    def noise_variance(self) -> float | None:
        """That the objective amounts to."""
        return self.measured.noise_variance

    @property
    def baseline(self) -> float | None:
        """ELBO in nats of the best decoder without a code."""
        found = self.measured.baseline
        return None if found is None else float(found.mean())

    # Judged

    @functools.cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, the gravest first; of one gravity, causes before symptoms."""
        found = []
        for check in checks.CHECKS:
            finding = check.finding(self.measured, self.thresholds.get(check.name))
            if finding is not None:
                found.append(finding)
                if check.conclusive:
                    break
        return tuple(sorted(found, key=lambda of: of.gravity != checks.GRAVE))

    @property
    def healthy(self) -> bool:
        """Whether nothing grave was found and the ELBO is above that without a code."""
        return self.verdict == HEALTHY

    @property
    def verdict(self) -> str:
        """The name of the gravest finding, "healthy", or "not judged" where no ELBO is known."""
        if self.findings and self.findings[0].gravity == checks.GRAVE:
            return self.findings[0].name
        return NOT_JUDGED if self.measured.gain is None else HEALTHY

    @property
    def explanation(self) -> str:
        """The verdict in words, with its reasons and what to do."""
        units = f"{self.active_units} of {self.latent_dim} units are active"
        carry = f"{units} and cost {_short(self.kl)} nats"
        if self.verdict == NOT_JUDGED:
            missing = "decode" if self.measured.objective is not None else "objective"
            return f"{carry}; whether they are worth it is not known: give {missing}=."
        if self.verdict == HEALTHY:
            assert self.measured.gain is not None
            gain = self.measured.gain[0]
            return f"{carry}; the ELBO is {gain:.3g} nats above that of no code at all."
        first = self.findings[0]
        words = f"{first.sentence} {first.remedy}"
        if "unknown" in first.name or first.name in UNEXPLAINED:
            words += f" Excluded: {', '.join(self._excluded)}."
        return f"{words} More: {first.page}."

    @property
    def _excluded(self) -> list[str]:
        """The causes that were looked for and not found."""
        named = {of.name for of in self.findings}
        could = [of.name for of in checks.CHECKS if of.can_tell(self.measured)]
        return [name for name in could if name in CAUSES and name not in named]

    def raise_if_unhealthy(self) -> None:
        """Stop a script at a model that is not healthy.

        Raises
        ------
        Unhealthy
            With the verdict and its reasons; also where no ELBO is known.
        """
        if not self.healthy:
            raise Unhealthy(f"{self.verdict}: {self.explanation}")

    # Printed

    def to_dict(self) -> dict[str, Any]:
        """Verdict, findings and numbers as a dictionary of plain values."""
        numbers = {
            name: getattr(self, name)
            for name in (
                "data_dim", "latent_dim", "active_units", "predicted_active_units", "kl",
                "mutual_information", "mutual_information_ceiling", "reconstruction", "elbo",
                "linear_elbo", "baseline", "noise_variance",
            )
        }  # fmt: skip
        return {
            "verdict": self.verdict,
            "healthy": self.healthy,
            "explanation": self.explanation,
            "findings": [of.to_dict() for of in self.findings],
            **{k: _plain(v) for k, v in numbers.items()},
            "kl_per_unit": [_plain(v) for v in self.kl_per_unit],
            "z_mean_variance": [_plain(v) for v in self.z_mean_variance],
        }

    def to_json(self) -> str:
        """As JSON; numbers that are none are null."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def _rows(self) -> Iterator[tuple[str, str]]:
        yield "verdict", self.verdict
        others = [of.name for of in self.findings if of.name != self.verdict]
        if others:
            yield "also found", "; ".join(others)
        predicted = self.predicted
        foretold = "" if predicted is None else f" (predicted: {predicted.active_units})"
        yield "active units", f"{self.active_units} of {self.latent_dim}{foretold}"
        foretold = "" if predicted is None else f" (predicted: {predicted.kl:.2f})"
        yield "KL, nats", f"{_short(self.kl)}{foretold}"
        largest = np.sort(self.kl_per_unit)[::-1][:8]
        more = " ..." if self.latent_dim > 8 else ""
        yield "KL per unit, nats", " ".join(_short(k) for k in largest) + more
        ceiling = f" (at most {self.mutual_information_ceiling:.2f})"
        information = round(self.mutual_information, 2) + 0.0  # never "-0.00"
        yield "mutual information, nats", f"{information:.2f}{ceiling}"
        if self.reconstruction is not None:
            yield "reconstruction, summed", f"{self.reconstruction:.3g}"
        if self.elbo is not None:
            against = [f"without a code: {_short(self.baseline)}"]
            if self.linear_elbo is not None:
                against.append(f"best linear VAE: {_short(self.linear_elbo)}")
            yield "ELBO, nats", f"{_short(self.elbo)} ({', '.join(against)})"
        if self.noise_variance is not None:
            yield "noise variance", f"{self.noise_variance:.3g}"

    def _pictures(self) -> str:
        largest = np.sort(self.kl_per_unit)[::-1][:32]
        predicted = self.predicted_kl_per_unit
        marks = None if predicted is None else predicted[:32]
        return bars(largest, marks, "KL of each unit in nats, sorted; the line is a linear VAE's")

    def _below(self) -> list[str]:
        return [self.explanation, *(str(of) for of in self.findings if of.name != self.verdict)]

    def to_html(self, path: Any = None) -> str:
        """A page of its own with pictures, written to ``path`` if one is given."""
        page = (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>VAE diagnosis</title>'
            '<body style="font-family:sans-serif;max-width:50em;margin:2em auto;padding:0 1em">'
            f"<h1>{self.verdict}</h1>{self._repr_html_()}{self._examples()}</body></html>"
        )
        if path is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(page)
        return page

    def _examples(self) -> str:
        """Rows, what the decoder made of them, and of the prior, where they are images."""
        seen = self.measured
        if seen.decoded is None or seen.objective is None:
            return ""
        mean = seen.objective.likelihood.mean
        kinds = {"data": seen.x, "decoded": mean(seen.decoded.output)}
        if seen.decoded.prior is not None:
            kinds["from the prior"] = mean(seen.decoded.prior)
        return images({name: np.asarray(of)[:10] for name, of in kinds.items()}, seen.data_shape)


#: Findings that name no cause.
UNEXPLAINED = ("worse than no code", "far below a linear VAE", "far from the prior")
CAUSES = tuple(
    of.name for of in checks.CHECKS if of.gravity == checks.GRAVE and of.name not in UNEXPLAINED
)


def _plain(value: Any) -> Any:
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def _short(value: float | None) -> str:
    """Two decimals, or a power of ten where that would be a line of digits."""
    if value is None:
        return "unknown"
    return f"{value:.2f}" if abs(value) < 1e6 else f"{value:.3g}"


def diagnose(
    model_or_encode: Any,
    x: theory.Data,
    decode: Any = None,
    objective: Objective | tuple[str, str] | str | None = None,
    *,
    x_train: Any = None,
    history: Any = None,
    threshold: float = theory.ACTIVE,
    thresholds: Mapping[str, float] | None = None,
    draws: int = 8,
    seed: int = 0,
    spectrum: theory.Data | None = None,
) -> Report:
    r"""Measure a VAE of any framework on data, and say what is wrong with it, if anything is.

    The latent units, the bound and the decoder are measured once, and the checks of
    :mod:`vae_notes.checks` look at the numbers: none of them names a cause that they do not show.
    For a Gaussian objective they hold the model against the best linear VAE, known in closed form,
    and for every objective against a decoder without a code.

    Parameters
    ----------
    model_or_encode : VAE, object, callable, or arrays (n, D) and (n, D)
        A :class:`vae_notes.VAE`; an object with ``encode`` and ``decode``, or ``encoder`` and
        ``decoder``, such as a PyTorch module; a function from x (n, ...) to z_mean and z_log_var,
        (n, D) each, and perhaps a sample; or these arrays.
    x : array (n, ...), tf.data.Dataset or generator
        Data, at least two examples, best such that the model was not trained on; of a dataset or a
        generator its batches (B, ...), once.
    decode : callable or array (n, ...), optional
        From z (n, D) to means or logits in the shape of x, in place of the model's own; or what was
        decoded from one sample of z for each row.
    objective : Objective, pair of str or str, optional
        What it was trained on, in place of the model's own: also reductions such as
        ``("mean", "sum")``, or the name of a likelihood.
    x_train : array (n, ...), optional
        Rows that it was trained on, from which the baselines are then taken.
    history : keras.callbacks.History or dict, optional
        What ``fit`` returned: numbers an epoch, of "loss", "val_loss", "kl", "kl_weight".
    threshold : float
        Of the variance of the posterior mean of an active unit, in (0, 1).
    thresholds : dict, optional
        Of checks, by name, in place of their own.
    draws : int
        Samples of z for each example, to estimate the reconstruction.
    seed : int
        Of these samples.
    spectrum : array (N,) or Spectrum, optional
        That of the data, where it is known: many models of the same data need it once.

    Returns
    -------
    Report

    Notes
    -----
    More than 4 million values are taken block by block, so that a dataset which does not fit into
    memory gives the same numbers as an array of it would. The blocks are of at most 1,024 examples:
    an encoder or decoder that is a function gets so many at once. Mutual information is estimated
    from 1,024 of all examples, each as likely as any other. Where there are fewer than ten rows for
    each value of an example, and no ``x_train``, baselines and eigenvalues come from rows held out.

    Raises
    ------
    ValueError
        If ``x`` is unusable, such as a dataset that is empty or never ends, or outside the support
        of the likelihood; the encoder does not give two arrays (n, D) of finite numbers; a
        threshold is out of range or that of no check.

    References
    ----------
    Burda et al. (2016), section 5.2 (active units); Lucas et al. (2019), section 4; Lindsay (1983)
    for the test of the optimum. Taught in chapter 2, *Posterior collapse*, section *How to measure
    it*.

    Examples
    --------
    >>> from vae_notes import Objective, data
    >>> x = data.linear_gaussian([4.0, 1.0, 0.1], count=500)
    >>> blind = lambda x: (0 * x[:, :2], 0 * x[:, :2])
    >>> report = diagnose(blind, x, objective=Objective("mean", "mean", kl_weight=10))
    >>> report.active_units, report.verdict
    (0, 'collapsed because the objective asked for it')
    """
    _check.number("threshold", threshold, above=0, below=1)
    _check.whole("draws", draws)
    names = [of.name for of in checks.CHECKS]
    for name, value in (thresholds or {}).items():
        _check.one_of("a threshold's name", name, names)
        _check.number(f"thresholds[{name!r}]", value)
    door = opened(model_or_encode, decode, objective)
    given: Any = x
    if hasattr(x, "batch_sampler"):  # a DataLoader of PyTorch
        given = iter(given)
    with door.unchanged():
        seen = measured(
            door,
            given,
            threshold=threshold,
            draws=draws,
            seed=seed,
            spectrum=spectrum,
            x_train=x_train,
            history=history,
            data_shape=getattr(model_or_encode, "data_shape", None),
        )
    return Report(seen, thresholds, seed)


def mutual_information(
    z_mean: ArrayLike, z_log_var: ArrayLike, batch: int = MOST, seed: int = 0
) -> tuple[float, float]:
    r"""Estimate of the mutual information of x and z under q, from one batch.

    .. math:: \frac{1}{M} \sum_i \ln \frac{q(z_i|x_i)}{\frac{1}{M} \sum_j q(z_i|x_j)},
              \quad z_i \sim q(z|x_i)

    The sum over j includes i, so no estimate exceeds ln M: at the ceiling, read "at least". Near
    0 the noise of the samples can make it slightly negative.

    Parameters
    ----------
    z_mean, z_log_var : array (n, D)
        Mean and log-variance of q(z|x) of n examples.
    batch : int
        The most examples M to use; they are drawn at random where there are more.
    seed : int
        Of the examples and of z.

    Returns
    -------
    (estimate, ceiling) : floats
        In nats; the ceiling is ln M.

    References
    ----------
    Hoffman & Johnson (2016); He et al. (2019), section 4.2 and equation 5.
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> import numpy as np
    >>> far_apart = np.arange(4.0)[:, None] * 1000
    >>> information, ceiling = mutual_information(far_apart, 0 * far_apart)
    >>> round(information, 4), round(ceiling, 4)
    (1.3863, 1.3863)
    """
    random = generator(seed)
    z_mean, z_log_var = np.asarray(z_mean, float), np.asarray(z_log_var, float)
    if len(z_mean) > batch:
        chosen = random.choice(len(z_mean), batch, replace=False)
        z_mean, z_log_var = z_mean[chosen], z_log_var[chosen]
    noise = random.standard_normal(z_mean.shape)
    clipped = np.clip(z_log_var, -EXTREME, EXTREME)  # where densities fit into float64
    z = reparameterised(z_mean, clipped, noise)
    log_q = _log_densities(z, z_mean, clipped)
    log_mixture = logsumexp(log_q, axis=1) - math.log(len(z))
    return float(np.mean(np.diag(log_q) - log_mixture)), math.log(len(z))


def _log_densities(z: NDArray, z_mean: NDArray, z_log_var: NDArray) -> NDArray:
    """ln q(z_i | x_j), (M, M), without the constant that all have in common."""
    precision = np.exp(-z_log_var)
    centre = z_mean.mean(axis=0)
    point, mean = z - centre, z_mean - centre
    # (z - m)^2 / s^2 as products of matrices loses what the largest of their terms rounds off
    largest = precision @ np.square(point).max(axis=0) + (precision * mean**2).sum(axis=1)
    if largest.max() < 1e-8 / np.finfo(float).eps and z_log_var.min() > -EXTREME:
        distance = np.square(point) @ precision.T - 2 * point @ (precision * mean).T
        return -0.5 * (distance + (precision * mean**2 + z_log_var).sum(axis=1))
    log_q = np.zeros((len(z), len(z)))
    for point, mean, log_var in zip(z.T, z_mean.T, z_log_var.T, strict=True):
        log_q -= 0.5 * (((point[:, None] - mean) * np.exp(-log_var / 2)) ** 2 + log_var)
    return log_q
