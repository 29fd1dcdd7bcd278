"""Which papers would help a scenario most: every technique that applies, sorted by what it gains."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rooflab.errors import RooflabError
from rooflab.papers.compare import Comparison, attempt, with_requests
from rooflab.papers.registry import papers
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario

__all__ = ["Ranked", "Refused", "rank"]

_REQUESTS = 500
"""Requests of a simulation in a ranking: enough for a mean, not for a tail."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best variant of one technique on the scenario; `gain` in capacity (tokens/s/device), or in latency under its
    load where that is what it is about."""

    technique: Technique
    comparison: Comparison
    gain: float
    of: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A technique that does not apply, or was not tried, with the reason."""

    key: str
    paper: str
    reason: str


def rank(scenario: Scenario, budget_s: float = 9.0) -> tuple[list[Ranked], list[Refused]]:
    """Techniques by gain on `scenario`, best first, and those that do not apply.

    Closed-form ones come first; those that need a simulation are tried while `budget_s` lasts.
    """
    started = time.perf_counter()
    every = [cls for p in papers() for cls in p.techniques.values()]
    every.sort(key=lambda cls: cls.engine != "estimate")
    ranked, refused = [], []
    for cls in every:
        if cls.engine != "estimate" and time.perf_counter() - started > budget_s / 2:
            refused.append(
                Refused(cls.key, cls.paper, f"not tried within {budget_s:.0f} s; rooflab papers run {cls.paper}")
            )
            continue
        base = scenario if cls.engine == "estimate" else with_requests(scenario, _REQUESTS)
        best: Ranked | None = None
        reason = "no setting of it is known to suit this scenario"
        for variant in _variants(cls, scenario):
            found = attempt(base, variant)
            if isinstance(found, RooflabError):
                reason = str(found)
                continue
            candidate = Ranked(variant, found, *found.headline)
            if best is None or candidate.gain > best.gain:
                best = candidate
        if best is None:
            refused.append(Refused(cls.key, cls.paper, reason))
        else:
            ranked.append(best)
    ranked.sort(key=lambda r: -r.gain)
    return ranked, refused


def _variants(cls: type[Technique], scenario: Scenario) -> list[Technique]:
    try:
        return list(cls.variants(scenario))
    except RooflabError:
        return []
