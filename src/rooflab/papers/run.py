"""`papers run`: one paper on a scenario of the reader's, or on its own setups when there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rooflab.errors import Infeasible, unknown
from rooflab.papers.compare import Comparison, Measured, attempt, compare, plain
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Analysis
from rooflab.papers.rank import Ranked, Refused
from rooflab.papers.registry import paper
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario

__all__ = ["Outcome", "ranked_record", "refused_record", "run_paper"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out for each setup (one, "your scenario", when the reader gave one): comparisons, and what the paper's
    method says."""

    comparisons: tuple[tuple[str, Comparison], ...]
    analyses: tuple[tuple[str, Analysis], ...] = ()

    def record(self) -> list[dict[str, Any]]:
        """As plain JSON values."""
        compared = [{"setup": name} | _record(c) for name, c in self.comparisons]
        return compared + [{"setup": name} | _analysis(a) for name, a in self.analyses]


def run_paper(key: str, scenario: Scenario | None, settings: Mapping[str, Any], lab: Lab, variant: str = "") -> Outcome:
    """The technique `variant` (the paper's first) with `settings` on `scenario`, or in `lab` on each setup of its own.

    Without settings the variant that helps most is taken. Raises Infeasible, with the reason, where it does not apply.
    """
    p = paper(key)
    if variant and variant not in p.techniques:
        raise unknown("technique", variant, p.techniques, key)
    if not p.techniques and settings:
        raise Infeasible(f"{key} has no technique, so nothing to set")
    if not p.techniques and p.analyse is None:
        raise Infeasible(f"{key} is about no technique for a scenario; rooflab papers check {key} runs what it does")
    if scenario is not None:
        tried = {"your scenario": scenario}
    elif p.setups:
        tried = {name: make(lab) for name, make in p.setups.items()}
    else:
        raise Infeasible(f"{key} has no setup of its own; give a scenario")
    cls = p.techniques[variant] if variant else next(iter(p.techniques.values()), None)
    compared = () if cls is None else tuple((name, _best(cls, s, settings)) for name, s in tried.items())
    analysed = () if p.analyse is None else tuple((name, p.analyse(lab, s)) for name, s in tried.items())
    return Outcome(compared, analysed)


def _best(cls: type[Technique], scenario: Scenario, settings: Mapping[str, Any]) -> Comparison:
    if settings:
        return compare(scenario, cls(**settings))
    tried = [attempt(scenario, v) for v in cls.variants(scenario)]
    done = [c for c in tried if isinstance(c, Comparison)]
    if done:
        return max(done, key=lambda c: c.headline[0])
    refusals = [c for c in tried if not isinstance(c, Comparison)]
    if refusals:
        raise refusals[0]
    raise Infeasible(f"no setting of {cls.key} is known to suit this scenario; give one with --set")


def _record(c: Comparison) -> dict[str, Any]:
    return {
        "technique": c.technique.key,
        "parameters": c.technique.parameters(),
        "before": None if c.before is None else _metrics(c.before),
        "after": _metrics(c.after),
        "changes": [
            {"metric": x.metric, "before": plain(x.before), "after": plain(x.after), "gain": plain(x.gain)}
            for x in c.changes
        ],
        "capacity": {
            "before": plain(c.capacity.before),
            "after": plain(c.capacity.after),
            "gain": plain(c.capacity.gain),
        },
        "because": c.because,
        "quality": {
            "status": c.quality.status,
            "delta": c.quality.delta,
            "unit": c.quality.unit,
            "task": c.quality.task,
        },
        "note": c.note,
    }


def _analysis(a: Analysis) -> dict[str, Any]:
    return {"figures": [{"name": n, "value": plain(v), "unit": u} for n, v, u in a.figures], "because": a.because}


def _metrics(m: Measured) -> dict[str, Any]:
    return {name: plain(value) for name, value in m.load.items() if name != "bottleneck_index"}


def ranked_record(r: Ranked) -> dict[str, Any]:
    """A ranked technique as plain JSON values."""
    c = r.comparison
    return {
        "paper": r.technique.paper,
        "technique": r.technique.key,
        "parameters": r.technique.parameters(),
        "gain": r.gain,
        "of": r.of,
        "quality": str(c.quality),
        "because": c.because,
    }


def refused_record(r: Refused) -> dict[str, Any]:
    """A technique that does not apply as plain JSON values."""
    return {"technique": r.key, "paper": r.paper, "reason": r.reason}
