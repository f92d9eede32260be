"""One pass over the data: everything that the checks of a diagnosis look at."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_notes import theory
from vae_notes._doors import Door
from vae_notes._noise import reparameterised
from vae_notes._passes import Blocks, gathered
from vae_notes.objective import Objective, kl_divergence

__all__ = ["Decoded", "Measured", "Rows", "measured"]

Floats = NDArray[np.float64]
SAMPLE = 1024  # rows that are kept of data which come in blocks
EXTREME = 600.0  # beyond it the exponential of a log-variance leaves float64 when squared


@dataclass(frozen=True, eq=False)
class Rows:
    """What each example costs, a score for who looks for anomalies.

    Low is the ELBO of what the model has not learnt: unusual examples, and those that only carry
    more noise than others, which it cannot tell apart. What is unusual in a way that the decoder
    can still draw costs KL, and no error.

    Attributes
    ----------
    kl : array (n,)
        KL divergence, in nats.
    reconstruction : array (n,) or None
        Error summed over the data dimensions, averaged over draws of z, in units of the likelihood.
    elbo : array (n,) or None
        In nats, unweighted.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> from vae_notes import data, diagnose
    >>> x = data.linear_gaussian([4.0, 1.0, 0.1], count=500)
    >>> x[7] = 20.0
    >>> int(diagnose((x[:, :2], 0 * x[:, :2]), x).rows.kl.argmax())
    7
    """

    kl: Floats
    reconstruction: Floats | None = None
    elbo: Floats | None = None


@dataclass(frozen=True, eq=False)
class Decoded:
    """What the decoder did with the rows that were kept, arrays (m, ...), errors (m,).

    Attributes
    ----------
    output : array (m, N)
        For z = z_mean; where only one sample is known, for that.
    error : array (m,)
        For a sample of z.
    error_at_mean, error_permuted : array (m,) or None
        For z = z_mean; for a z of another row. None where the decoder cannot be asked.
    error_as_log_sigma : array (m,) or None
        For a sample of z where the second output of the encoder is taken for log sigma.
    prior, far : array (m, N) or None
        Outputs for draws of the prior, and for some ten times as far out.
    """

    output: Floats
    error: Floats
    error_at_mean: Floats | None = None
    error_permuted: Floats | None = None
    error_as_log_sigma: Floats | None = None
    prior: Floats | None = None
    far: Floats | None = None


@dataclass(frozen=True, eq=False)
class Measured:
    """What was measured of a model on data; the same by whatever door it came.

    ``x``, ``z_mean``, ``z_log_var``, ``elbo`` and ``decoded`` are of m rows: all, or a random
    sample of what comes in many blocks.
    """

    data_shape: tuple[int, ...]
    count: int
    x: Floats  # (m, N)
    z_mean: Floats  # (m, D)
    z_log_var: Floats
    kl_per_unit: Floats  # (D,), of all rows, as the next two
    z_mean_variance: Floats
    rows: Rows
    threshold: float
    elbo: Floats | None = None  # (m,)
    decoded: Decoded | None = None
    objective: Objective | None = None
    spectrum: theory.Spectrum | None = None
    x_train: Floats | None = None
    elbo_train: Floats | None = None
    history: Mapping[str, Floats] = field(default_factory=dict)
    kl_weight: float | None = None
    steps: int | None = None
    in_training_mode: bool = False
    elbo_flipped: float | None = None

    @property
    def data_dim(self) -> int:
        """N."""
        return self.x.shape[1]

    @property
    def latent_dim(self) -> int:
        """D."""
        return len(self.kl_per_unit)

    @property
    def kl(self) -> float:
        """Mean KL divergence, summed over units, in nats."""
        return float(self.kl_per_unit.sum())

    @functools.cached_property
    def active(self) -> NDArray[np.bool_]:
        """Where the posterior mean moves, (D,)."""
        return self.z_mean_variance > self.threshold

    @functools.cached_property
    def variance(self) -> Floats:
        """Mean over the rows of the posterior variance of each unit, (D,)."""
        return np.exp(np.clip(self.z_log_var, -EXTREME, EXTREME)).mean(axis=0)

    @functools.cached_property
    def second_moment(self) -> Floats:
        """Mean of z squared under the aggregate posterior, (D,); 1 at any optimum."""
        return np.square(self.z_mean).mean(axis=0) + self.variance

    @functools.cached_property
    def carried(self) -> float:
        r"""Nats that the units carry as Gaussian channels, sum of ln(1 + var(mu)/s^2) / 2."""
        noise = np.maximum(self.variance, 1e-300)
        return float(0.5 * np.log1p(self.z_mean.var(axis=0) / noise).sum())

    # Held against what costs nothing

    @functools.cached_property
    def beta(self) -> float:
        """Of the objective, which must be there."""
        assert self.objective is not None
        return self.objective.beta(self.data_dim, self.latent_dim)

    @functools.cached_property
    def noise_variance(self) -> float | None:
        """Of the objective, None where there is none."""
        if self.objective is None:
            return None
        return self.objective.likelihood.noise_variance(self.beta)

    @functools.cached_property
    def few_rows(self) -> bool:
        """Whether eigenvalues of these rows say more of the sample than of where it came from."""
        return self.spectrum is None and self.x_train is None and self.count < 10 * self.data_dim

    @functools.cached_property
    def predicted(self) -> theory.Prediction | None:
        """What the best linear VAE does, None unless the decoder is Gaussian."""
        if self.noise_variance is None:
            return None
        law: Any = self.spectrum
        if law is None:
            law = self.law(self.x if self.x_train is None else self.x_train)
        return theory.predict(law, self.noise_variance, self.latent_dim, self.threshold)

    def law(self, x: Floats) -> theory.Spectrum:
        """The spectrum of rows, as it would be found on others where they are few."""
        if len(x) < 10 * x.shape[1]:
            return theory.held_out_spectrum(x, min(self.latent_dim, x.shape[1], len(x) - 1))
        return theory.spectrum(x, leading=self.latent_dim)

    @functools.cached_property
    def baseline(self) -> Floats | None:
        """Log-likelihood of each row by the best decoder without a code, fitted on others, (m,)."""
        if self.objective is None:
            return None
        likelihood = self.objective.likelihood
        if self.x_train is not None:
            return likelihood.baseline_rows(self.x, self.beta, self.x_train)
        return _from_others(
            self.x, lambda x, others: likelihood.baseline_rows(x, self.beta, others)
        )

    @functools.cached_property
    def linear(self) -> Floats | None:
        """Log-likelihood of each row by the best linear VAE fitted on others, (m,)."""
        if self.noise_variance is None:
            return None
        return theory.held_out_elbo(self.x, self.noise_variance, self.latent_dim, self.x_train)

    @functools.cached_property
    def gain(self) -> tuple[float, float] | None:
        """Nats by which the ELBO beats a decoder without a code, and the standard error."""
        if self.elbo is None or self.baseline is None:
            return None
        return difference(self.elbo, self.baseline)

    @functools.cached_property
    def error_without_code(self) -> float:
        """Nats of error that a decoder without a code leaves: what there is to gain."""
        assert self.objective is not None and self.baseline is not None
        best = self.objective.likelihood.log_likelihood(0.0, self.beta, self.data_dim)
        return float(best - self.baseline.mean())

    def loses_to_no_code(self, share: float) -> bool:
        """Whether the ELBO is below that by more than noise and so much of that error."""
        if self.gain is None or not math.isfinite(self.gain[0]):
            return False
        gain, error = self.gain
        return gain < -max(4 * error, share * self.error_without_code)

    @functools.cached_property
    def explains(self) -> float:
        """Share of that error which the decoder explains from z_mean; below 0 if it adds some."""
        if self.decoded is None or self.decoded.error_at_mean is None or self.objective is None:
            return -math.inf
        likelihood = self.objective.likelihood
        found = likelihood.log_likelihood(self.decoded.error_at_mean, self.beta, self.data_dim)
        assert self.baseline is not None
        scale = max(self.error_without_code, 1e-30)
        return difference(found, self.baseline)[0] / scale

    @functools.cached_property
    def linear_gain(self) -> tuple[float, float] | None:
        """The same for the best linear VAE, and never below 0: it may leave its code empty."""
        if self.linear is None or self.baseline is None:
            return None
        found, error = difference(self.linear, self.baseline)
        return max(found, 0.0), error

    @functools.cached_property
    def shortfall(self) -> tuple[float, float] | None:
        """Nats by which the best linear VAE beats the model, and the standard error."""
        if self.linear is None or self.elbo is None:
            return None
        return difference(self.linear, self.elbo)

    @functools.cached_property
    def global_test(self) -> theory.CollapseTest | None:
        """Whether a collapsed VAE is the best one, None without an objective."""
        if self.objective is None:
            return None
        x, likelihood = self.x if self.x_train is None else self.x_train, self.objective.likelihood
        if (x == x[0]).all():  # nothing to tell: the empty code is the best
            critical = likelihood.critical_variance(self.beta)
            return theory.CollapseTest(0.0, critical, proven=True, excess=0.0, excess_error=0.0)
        return theory.collapse_test(x, self.beta, likelihood)


def difference(a: Floats, b: Floats) -> tuple[float, float]:
    """Mean of a - b over the rows, and its standard error."""
    with np.errstate(all="ignore"):
        each = a - b
        return float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each)))


def _from_others(x: Floats, of: Callable[[Floats, Floats], Floats], folds: int = 5) -> Floats:
    """What ``of(rows, others)`` gives for each row, with the rows of other folds as the others."""
    fold = np.random.default_rng(0).permutation(len(x)) % min(folds, len(x))
    found = np.empty(len(x))
    for k in range(min(folds, len(x))):
        found[fold == k] = of(x[fold == k], x[fold != k])
    return found


def generator(seed: int) -> np.random.Generator:
    """Noise of its own: with the plain seed it could repeat the noise that made the data."""
    return np.random.default_rng([seed, 0x6E6F697365])


def measured(
    door: Door,
    x: Any,
    *,
    threshold: float,
    draws: int,
    seed: int,
    spectrum: Any = None,
    x_train: Any = None,
    history: Any = None,
    data_shape: Any = None,
) -> Measured:
    """Go through the data once and measure; arguments as for :func:`vae_notes.diagnose`."""
    found = gathered(x, data_shape, np.float32)
    whole = found.whole if isinstance(found, Blocks) else found
    seen = _Seen(door, draws if door.repeatable else 1, seed)
    gaussian = door.objective is not None and door.objective.likelihood.noise_variance(1.0)
    moments = theory.Moments() if gaussian and spectrum is None and whole is None else None
    for block in found if isinstance(found, Blocks) else [found]:
        seen.take(block)
        if moments is not None:
            moments.update(block)
    if seen.count < 2:
        raise ValueError("x holds one example, but a variance needs two: give more data.")
    known: Any = spectrum if spectrum is not None else moments
    if known is None and gaussian and isinstance(found, Blocks):
        known = found
    few = spectrum is None and seen.count < 10 * math.prod(seen.data_shape)
    known = None if known is None or few else theory.spectrum(known, leading=len(seen.kl))
    kept, z_mean, z_log_var, elbo, decoded = seen.kept()
    train, elbo_train = _training_part(door, x_train, draws, seed, data_shape)
    elbo_flipped = _flipped(door, seen)
    return Measured(
        data_shape=seen.data_shape,
        count=seen.count,
        x=kept,
        z_mean=z_mean,
        z_log_var=z_log_var,
        kl_per_unit=seen.kl / seen.count,
        z_mean_variance=seen.scatter / seen.count,
        rows=seen.rows(),
        threshold=threshold,
        elbo=elbo,
        decoded=decoded,
        objective=door.objective,
        spectrum=known,
        x_train=train,
        elbo_train=elbo_train,
        history=_history(history),
        kl_weight=door.kl_weight,
        steps=door.steps,
        in_training_mode=door.in_training_mode,
        elbo_flipped=elbo_flipped,
    )


def _history(given: Any) -> dict[str, Floats]:
    """Numbers an epoch of each quantity, from a Keras History or a dictionary."""
    values = getattr(given, "history", given) or {}
    if not isinstance(values, Mapping):
        raise ValueError(
            f"history={given!r} is none: give what fit returned, or a dictionary of lists."
        )
    found = {}
    for name, each in values.items():
        try:
            numbers = np.asarray(each, np.float64)
        except (TypeError, ValueError):
            continue
        if numbers.ndim == 1:
            found[str(name)] = numbers
    return found


def _training_part(
    door: Door, x_train: Any, draws: int, seed: int, data_shape: Any
) -> tuple[Floats | None, Floats | None]:
    if x_train is None:
        return None, None
    rows = gathered(x_train, data_shape, np.float32)
    if isinstance(rows, Blocks):
        rows = next(iter(rows)) if rows.whole is None else rows.whole
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    if door.decode is None or not door.repeatable or door.objective is None:
        return flat, None
    part = rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[:SAMPLE])]
    seen = _Seen(door, draws, seed)
    seen.take(part)
    return flat, seen.rows().elbo


def _flipped(door: Door, seen: "_Seen") -> float | None:
    """The ELBO of the model in the other of its modes, on some rows."""
    if door.flipped is None or seen.first is None or door.decode is None or door.objective is None:
        return None
    with door.flipped() as other:
        again = _Seen(
            Door(encode=other.encode, decode=other.decode, objective=door.objective), 1, 0
        )
        if other.decode is None:
            return None
        again.take(seen.first)
    elbo = again.rows().elbo
    return None if elbo is None else float(np.mean(elbo))


class _Seen:
    """Sums over the examples and a sample of them, of data that come in one block or in many."""

    def __init__(self, door: Door, draws: int, seed: int) -> None:
        self.door, self.draws = door, draws
        streams = (generator(seed + k) for k in range(4))
        self.noise, self.choice, self.extra, self.noise_of_readings = streams
        self.count = 0
        self.data_shape: tuple[int, ...] = ()
        self.first: NDArray[Any] | None = None
        self.kl = self.mean = self.scatter = np.zeros(0)  # (D,)
        self.each: list[list[Floats]] = [[], [], []]  # KL, error, ELBO of each row
        self.sample: list[dict[str, Floats]] = []
        self.keys = np.zeros(0)

    def take(self, x: NDArray[Any]) -> None:
        """Add a block of examples (b, ...)."""
        if self.door.objective is not None:
            self.door.objective.likelihood.check(x)
        z_mean, z_log_var = self._encoded(x)
        if not self.count:
            self.data_shape, self.first = x.shape[1:], x[:SAMPLE]
            self.kl = self.mean = self.scatter = np.zeros(z_mean.shape[1])
        with np.errstate(over="ignore"):  # of e^log_var, which a check reports
            kl = np.asarray(kl_divergence(z_mean, z_log_var), np.float64)
        self.kl = self.kl + kl.sum(axis=0)
        step, before = z_mean.mean(axis=0) - self.mean, self.count
        self.count += len(x)
        # as in theory.Moments, of one unit at a time
        self.scatter = self.scatter + np.square(z_mean - z_mean.mean(axis=0)).sum(axis=0)
        self.scatter = self.scatter + step**2 * (before * len(x) / self.count)
        self.mean = self.mean + step * (len(x) / self.count)
        flat = x.reshape(len(x), -1).astype(np.float64)
        rows = {"x": flat, "z_mean": z_mean, "z_log_var": z_log_var}
        self.each[0].append(kl.sum(axis=1))
        if self.door.decode is not None:
            rows |= self._decoded(flat, z_mean, z_log_var, kl.sum(axis=1), before)
        self.sample.append(rows)
        if before:
            self._thin_out()

    def _encoded(self, x: NDArray[Any]) -> tuple[Floats, Floats]:
        return self.door.encode(x, self.count)

    def _decode(self, z: Floats, at: int, data_dim: int) -> Floats:
        assert self.door.decode is not None
        decoded = self.door.decode(z, at)
        if len(decoded) != len(z) or decoded.size != len(z) * data_dim:
            raise ValueError(
                f"The decoder gave shape {decoded.shape} for {len(z)} examples of "
                f"{data_dim} values: give one value for each of theirs."
            )
        return decoded.reshape(len(z), -1)

    def _decoded(
        self, x: Floats, z_mean: Floats, z_log_var: Floats, kl: Floats, at: int
    ) -> dict[str, Floats]:
        """Errors and outputs of the decoder for a block of rows."""
        objective, data_dim = self.door.objective, x.shape[1]
        clipped = np.clip(z_log_var, -EXTREME, EXTREME)
        found: dict[str, Floats] = {}
        if objective is None:
            found["output"] = self._decode(z_mean, at, data_dim)
            return found
        error = np.zeros(len(x))
        with np.errstate(all="ignore"):  # infinities are found, and a check says so
            for _ in range(self.draws):
                z = reparameterised(z_mean, clipped, self.noise.standard_normal(z_mean.shape))
                output = self._decode(z, at, data_dim)
                error += _error(objective, x, output) / self.draws
            beta = objective.beta(data_dim, z_mean.shape[1])
            elbo = objective.likelihood.log_likelihood(error, beta, data_dim) - kl
            found |= {"output": output, "error": error, "elbo": elbo}
            self.each[1].append(error)
            self.each[2].append(elbo)
            if self.door.repeatable:
                found["output"] = self._decode(z_mean, at, data_dim)
                found["error_at_mean"] = _error(objective, x, found["output"])
                permuted = z[self.extra.permutation(len(z))]
                output = self._decode(permuted, at, data_dim)
                found["error_permuted"] = _error(objective, x, output)
                noise = self.noise_of_readings.standard_normal(z_mean.shape)
                z = reparameterised(z_mean, 2 * clipped, noise)
                output = self._decode(z, at, data_dim)
                found["error_as_log_sigma"] = _error(objective, x, output)
                standard = self.extra.standard_normal(z_mean.shape)
                found["prior"] = self._decode(standard, at, data_dim)
                found["far"] = self._decode(10 * standard, at, data_dim)
        return found

    def _thin_out(self) -> None:
        """Keep those with the smallest of random keys, one an example: all are as likely."""
        together = {
            name: np.concatenate([of[name] for of in self.sample]) for name in self.sample[0]
        }
        fresh = self.choice.random(len(together["x"]) - len(self.keys))
        self.keys = np.concatenate([self.keys, fresh])
        kept = np.sort(np.argsort(self.keys)[:SAMPLE])
        self.keys = self.keys[kept]
        self.sample = [{name: of[kept] for name, of in together.items()}]

    def kept(self) -> tuple[Floats, Floats, Floats, Floats | None, Decoded | None]:
        """x, z_mean, z_log_var, ELBO and what was decoded, of the rows that are kept."""
        (rows,) = self.sample
        decoded = None
        if "error" in rows:
            decoded = Decoded(
                rows["output"],
                rows["error"],
                rows.get("error_at_mean"),
                *(rows.get(of) for of in ("error_permuted", "error_as_log_sigma", "prior", "far")),
            )
        return rows["x"], rows["z_mean"], rows["z_log_var"], rows.get("elbo"), decoded

    def rows(self) -> Rows:
        """What each of all rows costs."""
        kl, error, elbo = (np.concatenate(of) if of else None for of in self.each)
        assert kl is not None
        return Rows(kl, error, elbo)


def _error(objective: Objective, x: Floats, output: Floats) -> Floats:
    """The error of each row, in float64."""
    each = np.asarray(objective.likelihood.error(x, output), np.float64)
    return each.reshape(len(x), -1).sum(axis=1)
