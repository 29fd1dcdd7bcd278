"""A claim's figure in a changed lab, and how far two figures are apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from rooflab.errors import RooflabError
from rooflab.evidence.claims.remembered import remembering
from rooflab.papers.claim import Claim
from rooflab.papers.condition import Condition
from rooflab.papers.expectation import Got
from rooflab.papers.lab import Engines, Lab

__all__ = ["BROKEN", "MOVED", "Labs", "change", "figure", "has_moved", "numbers", "one", "said"]

MOVED = 1e-6
"""Relative change below which a figure has not moved."""
BROKEN: Final = (Exception,)
"""What changed code may run into: errors of its own and of libraries, too."""


class Labs:
    """Labs by condition, so that claims of a paper share what each has computed; all ask the same `engines`, which
    remember. Changed code has labs of its own, by its `changes`, whose engines do not."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self.remembering = remembering(engines)
        self._labs: dict[tuple[Condition, frozenset[Any]], Lab] = {}

    def get(self, condition: Condition | None = None, changes: Mapping[Any, Any] | None = None) -> Lab:
        """The lab under `condition` (or none) for the code with `changes` (or none), its record empty."""
        condition = condition or Condition()
        key = condition, frozenset((changes or {}).items())
        if key not in self._labs:
            self._labs[key] = Lab(self.engines if changes else self.remembering, condition)
        self._labs[key].forget()
        return self._labs[key]


def figure(
    claim: Claim, lab: Lab, problems: tuple[type[Exception], ...] = (RooflabError, ArithmeticError)
) -> Got | None:
    """The figure in `lab`; None where the changed case cannot be done, which shows in one of these `problems`."""
    try:
        got = claim.function(lab)
        claim.error(got)
    except problems:
        return None
    return got if all(math.isfinite(x) for x in numbers(got)) else None


def numbers(got: Got) -> Iterable[float]:
    """All numbers of a figure."""
    if isinstance(got, Mapping):
        return [float(x) for x in got.values()]
    return [float(x) for x in got] if isinstance(got, (tuple, list)) else [float(got)]


def one(got: Got | None) -> float:
    """One number that stands for several: their geometric mean of sizes, or NaN."""
    if got is None:
        return math.nan
    values = list(numbers(got))
    if len(values) == 1:
        return values[0]
    return math.exp(sum(math.log(max(abs(x), 1e-300)) for x in values) / len(values))


def has_moved(got: Got, *others: Got | None) -> bool:
    """Whether any of the others differs."""
    return any(x is not None and _apart(got, x) > MOVED for x in others)


def change(got: Got, other: Got | None) -> float:
    """The largest change of a figure as a logarithm; infinite where there is none any more, or its sign is another."""
    if other is None:
        return math.inf
    changes = [0.0]
    for a, b in zip(numbers(got), numbers(other), strict=False):
        if a != b:
            changes.append(abs(math.log(b / a)) if a and math.isfinite(b) and b / a > 0 else math.inf)
    return max(changes)


def said(got: Got) -> str:
    """A figure in words."""
    return ", ".join(f"{x:.4g}" for x in numbers(got))


def _apart(a: Got, b: Got) -> float:
    pairs = zip(numbers(a), numbers(b), strict=False)
    return max((abs(x - y) / max(abs(x), 1e-300) for x, y in pairs), default=0.0)
