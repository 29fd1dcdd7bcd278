"""Which setting of a technique helps a scenario most: each is measured once, and so is the scenario as it is.

Where nobody published what a setting does to the answers, the largest gain is not the best: the paper's own setting,
which stands first, is taken then, and the others are shown beside it.

Measurements that need a simulation are cells: they are kept, and under a budget there are fewer of them, of fewer
requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rooflab.errors import Infeasible, RooflabError
from rooflab.papers.compare import SIMULATED_REQUESTS, Comparison, Measured, compare, measure, settled, with_requests
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario

if TYPE_CHECKING:
    from rooflab.papers.lab import Lab

__all__ = ["Settings", "best"]

_AS_IT_IS: Final = "as it is"
_FEWEST: Final = 200
"""Requests that a simulation has at least under a budget: its p99 rests on two of them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The setting that was chosen, and what the others that apply would do."""

    chosen: Comparison
    others: tuple[Comparison, ...] = ()


def best(lab: Lab, cls: type[Technique], scenario: Scenario, settings: Mapping[str, Any]) -> Settings:
    """The setting that helps most of those whose price in quality is known, else the first that applies; the one that
    `settings` give where they do.

    Raises the reason where none applies.
    """
    tried = [cls(**settings)] if settings else list(cls.variants(scenario))
    if not tried:
        raise Infeasible(f"no setting of {cls.key} is known to suit this scenario; give one with --set")
    found = _by_simulation(lab, scenario, tried) if cls.engine == "simulate" else [_one(scenario, t) for t in tried]
    done = [c for c in found if isinstance(c, Comparison)]
    if not done:
        raise next(c for c in found if not isinstance(c, Comparison))
    known = [c for c in done if c.quality.status != "unknown"]
    chosen = max(known, key=lambda c: c.headline[0]) if known else done[0]
    return Settings(chosen, tuple(c for c in done if c is not chosen))


def _one(scenario: Scenario, technique: Technique) -> Comparison | RooflabError:
    try:
        return compare(scenario, technique)
    except RooflabError as error:
        return error


def _by_simulation(lab: Lab, scenario: Scenario, tried: Sequence[Technique]) -> list[Comparison | RooflabError]:
    """Comparisons, from cells that hold what was measured: the scenario as it is, and with each technique in it."""
    scenario = settled(scenario)
    changed: dict[str, Scenario | RooflabError] = {_AS_IT_IS: scenario}
    for technique in tried:
        try:
            changed[str(technique)] = scenario | technique
        except RooflabError as error:
            changed[str(technique)] = error
    asked = {name: s for name, s in changed.items() if isinstance(s, Scenario)}
    requests = _requests(lab, scenario, len(asked))
    items = [(name, requests) for name in asked]
    cells = lab.cells("simulations", items, lambda item: _plain(with_requests(asked[item[0]], item[1])), least=2)
    if items[0] not in cells:  # interrupted, with cells of an earlier run in hand
        raise KeyboardInterrupt
    known = {asked[name]: cell for (name, _), cell in cells.items()}

    def look_up(s: Scenario, engine: str) -> Measured:
        load, refused = known[s]
        if refused:
            raise Infeasible(refused)
        return Measured(with_requests(s, requests), load, {})

    found: list[Comparison | RooflabError] = []
    for technique in tried:
        s = changed[str(technique)]
        if not isinstance(s, Scenario):
            found.append(s)
        elif s in known:
            try:
                found.append(compare(scenario, technique, look_up))
            except RooflabError as error:
                found.append(error)
    return found


def _plain(scenario: Scenario) -> tuple[dict[str, float], str]:
    """What a simulation measures, or why there is none."""
    try:
        return measure(scenario, "simulate").load, ""
    except Infeasible as error:
        return {}, str(error)


def _requests(lab: Lab, scenario: Scenario, times: int) -> int:
    """Requests of each simulation: as many as the scenario says, fewer where the budget asks for it."""
    wanted = scenario.workload.requests or SIMULATED_REQUESTS

    def trial(count: int) -> None:
        _plain(with_requests(scenario, count))

    return lab.budget.fits("requests", wanted, least=min(_FEWEST, wanted), times=times, trial=trial)
