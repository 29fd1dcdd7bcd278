"""The answer of the best of several scenarios: the most throughput, and under latency limits the most that keeps them.

A scenario with limits and no load of its own is offered Poisson arrivals.  Latencies rise with the rate, so the
greatest legal rate lies between nothing and what the deployment serves when it is kept full, and halving finds it:

    rate = max { λ < capacity : every limit holds at λ },     eight halvings: within 0.4 % of the capacity
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rooflab.errors import RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.front import estimate_many
from rooflab.scenario.scenario import Scenario
from rooflab.search.highest import Bracket, arithmetic

__all__ = ["Choice", "best_of"]

_HALVINGS: Final = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """Scenarios of which the best answers, and the rate at which it is asked about where that is not its own
    greatest."""

    scenarios: tuple[Scenario, ...]
    stated_rate: float | None = None


@dataclass(slots=True)
class _Search:
    """A candidate under limits: rates that are legal and illegal, and the estimate at the legal one."""

    choice: int
    scenario: Scenario
    rates: Bracket[float]
    found: Estimate | None = None


def best_of(choices: Sequence[Choice]) -> list[Estimate | None]:
    """The estimate of the best scenario of each choice; None where none can be answered."""
    flat = [(i, s) for i, choice in enumerate(choices) for s in choice.scenarios]
    full = estimate_many([s for _, s in flat])
    best: list[Estimate | None] = [None] * len(choices)
    searches: list[_Search] = []
    for (i, s), found in zip(flat, full, strict=True):
        if isinstance(found, RooflabError):
            continue
        if s.slo and s.workload.mode == "max-throughput":
            searches.append(_Search(i, s, Bracket(0.0, found.metrics["requests_per_s"], arithmetic)))
        best[i] = _better(best[i], found)
    for search in _searched(searches, len(choices)):
        best[search.choice] = search.found
    return _at_stated_rates(choices, best)


def _better(one: Estimate | None, other: Estimate) -> Estimate:
    """The estimate of more throughput; one that keeps its limits before one that does not."""

    def rank(e: Estimate) -> tuple[bool, float, float]:
        return not e.meets(), e.metrics["output_tokens_per_s"], e.metrics["requests_per_s"]

    return other if one is None or rank(other) > rank(one) else one


def _searched(searches: list[_Search], choices: int) -> list[_Search]:
    """The search of greatest legal rate of each choice that has a legal one."""
    running = searches
    for _ in range(_HALVINGS):
        tried = estimate_many([s.scenario.with_workload(scenario=None, rate=s.rates.middle) for s in running])
        reached = [0.0] * choices
        for s, found in zip(running, tried, strict=True):
            legal = isinstance(found, Estimate) and not found.saturated and not found.meets()
            s.rates, s.found = s.rates.told(legal), found if isinstance(found, Estimate) and legal else s.found
            reached[s.choice] = max(reached[s.choice], s.rates.holds)
        # what cannot reach the best so far is left
        running = [s for s in running if s.rates.fails > reached[s.choice]]
    best: dict[int, _Search] = {}
    for s in searches:
        if s.found is not None and (s.choice not in best or s.rates.holds > best[s.choice].rates.holds):
            best[s.choice] = s
    return list(best.values())


def _at_stated_rates(choices: Sequence[Choice], best: list[Estimate | None]) -> list[Estimate | None]:
    """The chosen deployments at the stated rates, or at their own where they would not serve that much."""
    asked: dict[int, Scenario] = {}
    for i, (choice, found) in enumerate(zip(choices, best, strict=True)):
        if choice.stated_rate is not None and found is not None:
            own = found.scenario.workload.rate or found.metrics["requests_per_s"]
            asked[i] = replace(
                found.scenario,
                workload=replace(found.scenario.workload, scenario=None, rate=min(choice.stated_rate, own)),
            )
    for i, answer in zip(asked, estimate_many(list(asked.values())), strict=True):
        best[i] = answer if isinstance(answer, Estimate) else best[i]
    return best
