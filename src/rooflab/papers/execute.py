"""`papers run`: one paper on an input of the reader's, on a sample, or on its own setups when nothing is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rooflab.errors import Infeasible, InputError, unknown
from rooflab.inputs.kind import Kind
from rooflab.inputs.kinds import kind_of
from rooflab.metrics.registry import METRICS
from rooflab.papers.compare import Comparison, Measured, attempt, compare, plain
from rooflab.papers.engines import engines
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.paper import Paper
from rooflab.papers.rank import Ranked, Refused
from rooflab.papers.registry import paper
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario

__all__ = ["Ran", "choose", "kind_read", "ranked_record", "refused_record", "run", "run_paper"]

YOURS = "your input"


@dataclass(frozen=True, slots=True)
class Ran:
    """What came out on one input: `setup` names it; `comparison` is there where a technique was put into a scenario."""

    setup: str
    method: str
    outcome: Outcome
    comparison: Comparison | None = None

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        compared = {} if self.comparison is None else _record(self.comparison)
        return {"setup": self.setup, "method": self.method} | self.outcome.record() | compared


def run(key: str, given: Any = None, *, method: str = "", seed: int = 0, **settings: Any) -> Outcome:
    """Run a paper on `given`: data of a kind, a path, the name of a sample, or None for a sample or setup of its own.

    `settings` are parameters of the method. Raises InputError for what cannot be read, Infeasible where it does not
    apply.
    """
    from rooflab.papers.condition import Condition

    p = paper(key)
    chosen = choose(p, method)
    data = given
    if isinstance(given, (str, Path)) and not issubclass(_reads(chosen), str):
        data = _scenario(given) if issubclass(chosen, Technique) else kind_of(chosen.reads).open(given)
    return run_paper(p, data, settings, Lab(engines(), Condition(seed=seed)), method)[0].outcome


def choose(p: Paper, name: str = "") -> type[Technique] | type[Method[Any]]:
    """The technique or method called `name`, the paper's first without. Raises InputError with the nearest names."""
    known: dict[str, Any] = {**p.techniques, **p.methods}
    if name and name not in known:
        raise unknown("method", name, known, p.key)
    if not known:
        raise Infeasible(f"{p.key} has no method to run; rooflab papers check {p.key} recomputes what it claims")
    found: type[Technique] | type[Method[Any]] = known[name] if name else next(iter(known.values()))
    return found


def kind_read(chosen: type[Technique] | type[Method[Any]]) -> Kind[Any] | None:
    """The kind of input that a method reads; None for techniques and methods that read a scenario."""
    return None if _reads(chosen) is Scenario else kind_of(_reads(chosen))


def run_paper(p: Paper, given: Any, settings: Mapping[str, Any], lab: Lab, method: str = "") -> tuple[Ran, ...]:
    """The technique or method `method` (the paper's first) with `settings` on `given`, or in `lab` on what it has of
    its own: its setups of that kind, the first sample of the kind where it has none.

    Without settings the variant of a technique that helps most is taken. Raises Infeasible where it does not apply.
    """
    chosen = choose(p, method)
    tried = {YOURS: given} if given is not None else _own(p, chosen, lab)
    for data in tried.values():
        if not isinstance(data, _reads(chosen)):
            raise InputError(f"reads {_reads(chosen).__name__}, not {type(data).__name__}", f"{p.key}.{chosen.key}")
    if issubclass(chosen, Technique):
        compared = [(name, _best(chosen, s, settings)) for name, s in tried.items()]
        return tuple(Ran(name, str(c.technique), lifted(c), c) for name, c in compared)
    one = chosen(**settings)
    return tuple(Ran(name, str(one), one.run(lab, data)) for name, data in tried.items())


def lifted(c: Comparison) -> Outcome:
    """A technique on a scenario as an outcome: what it changes, each with its baseline."""
    figures = [] if not c.after.capacity else [_figure("tokens/s/GPU when full", c.capacity.before, c.capacity.after)]
    for change in c.changes:
        metric = METRICS[change.metric]
        better = metric.better if metric.better in ("higher", "lower") else ""
        figures.append(
            Figure(
                name=change.metric, value=change.after, unit=metric.unit, how="modelled",
                baseline=plain(change.before), better=better,
            )
        )  # fmt: skip
    notes = tuple(f"{name}: {text}" for name, text in (("quality", str(c.quality)), ("now", c.note)) if text)
    return Outcome(tuple(figures), c.because, notes=notes)


def _figure(name: str, before: float, after: float) -> Figure:
    return Figure(
        name=name, value=after, unit="tokens/s/device", how="modelled", baseline=plain(before), better="higher"
    )


def _reads(chosen: type[Technique] | type[Method[Any]]) -> type[Any]:
    return Scenario if issubclass(chosen, Technique) else chosen.reads


def _scenario(source: str | Path) -> Scenario:
    from rooflab.papers.apply import load

    return load(source)


def _own(p: Paper, chosen: type[Technique] | type[Method[Any]], lab: Lab) -> dict[str, Any]:
    made = {name: make(lab) for name, make in p.setups.items()}
    fitting = {name: data for name, data in made.items() if isinstance(data, _reads(chosen))}
    if fitting:
        return fitting
    if _reads(chosen) is Scenario:
        raise Infeasible(f"{p.key} has no setup of its own; give a scenario")
    known = kind_of(_reads(chosen))
    if not known.samples:
        raise Infeasible(f"there is no sample of {known.name}; give a file")
    return {f"sample {known.samples[0].name}": lab.sample(_reads(chosen))}


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
