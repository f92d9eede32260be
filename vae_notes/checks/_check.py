"""What a check is, and the findings that it makes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vae_notes._measured import Measured

__all__ = ["GRAVE", "NOTE", "Check", "Finding", "Found", "check"]

GRAVE, NOTE = "grave", "note"
PAGES = "findings"


@dataclass(frozen=True)
class Found:
    """What a check saw: numbers, a sentence that states them, and what to do.

    Attributes
    ----------
    sentence, remedy : str
        Whole sentences.
    evidence : dict
        Numbers by name.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> Found("Half of the rows are zero.", "Leave them out.", {"share": 0.5}).evidence["share"]
    0.5
    """

    sentence: str
    remedy: str
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a model, its run or its data, or worth knowing of it.

    Attributes
    ----------
    name : str
        Of the check that found it.
    gravity : {"grave", "note"}
        Grave is what makes the results wrong.
    sentence : str
        What was measured.
    remedy : str
        What to do first.
    evidence : dict
        The numbers behind the sentence, by name.
    page : str
        Of the book, where the causes are discussed.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_notes import Objective, data, diagnose
    >>> blind = lambda x: (np.zeros((len(x), 2)), np.zeros((len(x), 2)))
    >>> x = data.linear_gaussian([4.0, 1.0, 0.1], count=500)
    >>> finding = diagnose(blind, x, objective=Objective(kl_weight=100.0)).findings[0]
    >>> finding.name, finding.gravity
    ('collapsed because the objective asked for it', 'grave')
    >>> finding.page
    'findings/collapsed-because-the-objective-asked-for-it'
    """

    name: str
    gravity: str
    sentence: str
    remedy: str
    evidence: Mapping[str, float]
    page: str

    def to_dict(self) -> dict[str, Any]:
        """As a dictionary of plain values."""
        return {**asdict(self), "evidence": {k: float(v) for k, v in self.evidence.items()}}

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence} {self.remedy}"


@dataclass(frozen=True)
class Check:
    """One question to what was measured.

    Attributes
    ----------
    name : str
        Of the finding, and in ``diagnose(thresholds={name: value})``.
    gravity : {"grave", "note"}
    threshold : float
        From which on it is found; in the unit that ``unit`` names.
    unit : str
    answer : callable
        From what was measured and the threshold to what was found, or None.
    conclusive : bool
        Whether nothing else can be said of a model of which it is found.
    needs : tuple of str
        What of the measurements it cannot do without; of "a|b" one is enough.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> from vae_notes.checks import CHECKS
    >>> collapse = next(of for of in CHECKS if of.name == "collapsed, cause unknown")
    >>> collapse.gravity, collapse.threshold, collapse.unit
    ('grave', 0.02, 'nats carried')
    """

    name: str
    gravity: str
    threshold: float
    unit: str
    answer: Callable[[Measured, float], Found | None]
    conclusive: bool = False
    needs: tuple[str, ...] = ()

    @property
    def page(self) -> str:
        """Where in the book its finding is explained."""
        words = re.findall("[a-z0-9]+", self.name.lower().replace("'", ""))
        return f"{PAGES}/{'-'.join(words)}"

    def can_tell(self, seen: Measured) -> bool:
        """Whether what it needs was measured."""
        given = [[getattr(seen, name) for name in of.split("|")] for of in self.needs]
        return all(any(map(_there, each)) for each in given)

    def finding(self, seen: Measured, threshold: float | None = None) -> Finding | None:
        """What is found, with the check's own threshold or another."""
        if not self.can_tell(seen):
            return None
        found = self.answer(seen, self.threshold if threshold is None else threshold)
        if found is None:
            return None
        return Finding(
            self.name, self.gravity, found.sentence, found.remedy, dict(found.evidence), self.page
        )


def _there(measured: Any) -> bool:
    """Whether something was measured: an empty history is none."""
    return measured is not None and not (isinstance(measured, Mapping) and not measured)


def check(
    name: str,
    gravity: str,
    threshold: float,
    unit: str,
    conclusive: bool = False,
    needs: tuple[str, ...] = (),
) -> Callable[[Callable[[Measured, float], Found | None]], Check]:
    """Make a check of a function of what was measured and a threshold.

    Parameters
    ----------
    name : str
        Of the finding.
    gravity : str
        GRAVE or NOTE.
    threshold : float
        The default.
    unit : str
        Of the threshold, in words.
    conclusive : bool
        Whether nothing else can be said of a model of which it is found.
    needs : tuple of str
        What of the measurements it cannot do without, such as ``("decoded",)``; of "a|b" one is
        enough.

    Returns
    -------
    callable
        From the function to a :class:`Check`.

    References
    ----------
    Taught in chapter 2, *Posterior collapse*, section *How to measure it*.

    Examples
    --------
    >>> @check("many units", "note", 100, "units")
    ... def many_units(seen, threshold):
    ...     if seen.latent_dim > threshold:
    ...         return Found(f"There are {seen.latent_dim} units.", "Try fewer.")
    >>> many_units.page
    'findings/many-units'
    """
    return lambda answer: Check(name, gravity, threshold, unit, answer, conclusive, needs)
