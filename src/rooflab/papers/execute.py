"""One paper on an input, on a sample, or on its own setups when nothing is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Final

from rooflab.errors import Infeasible, InputError, unknown
from rooflab.inputs.convert import reached
from rooflab.inputs.kind import FOLDER, Kind
from rooflab.inputs.kinds import guess, kind_of
from rooflab.metrics.registry import METRICS
from rooflab.papers.compare import Change, Comparison, Measured, plain
from rooflab.papers.fault import faults_told
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.paper import Paper
from rooflab.papers.technique import Technique
from rooflab.papers.variants import Settings, best
from rooflab.scenario.scenario import Scenario
from rooflab.source.text import shown
from rooflab.units import significant

__all__ = [
    "FULL", "YOURS", "Chosen", "Ran", "Refused", "choose", "kind_read", "own_inputs", "reads",
    "run_on", "run_paper",
]  # fmt: skip

YOURS: Final = "your input"
FULL: Final = "tok/s/GPU when full"
"""The figure of a technique on an engine that is never idle."""
Chosen = type[Technique] | type[Method[Any]]


@dataclass(frozen=True, slots=True)
class Ran:
    """What came out on one input: `setup` names it; `comparison` is there where a technique was put into a scenario.

    `given` is the input, `seeds` are those that the figures are of.
    """

    setup: str
    method: str
    outcome: Outcome
    comparison: Comparison | None = None
    given: Any = None
    seeds: tuple[int, ...] = ()

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        compared = {} if self.comparison is None else _record(self.comparison)
        named = {"setup": self.setup, "method": self.method, "seeds": list(self.seeds)}
        return named | self.outcome.record() | compared


@dataclass(frozen=True, slots=True)
class Refused:
    """An input that a technique or method does not apply to, and why."""

    setup: str
    reason: str

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"setup": self.setup, "refused": self.reason}


def choose(p: Paper, name: str = "", source: str | Path = "") -> Chosen:
    """The technique or method called `name`; without, the paper's first that reads what is at `source`, a file or the
    name of a sample, or what it can be made into, or that has something of its own to run on where nothing is given.

    Raises InputError with the nearest names.
    """
    known: dict[str, Chosen] = {**p.techniques, **p.methods}
    if name and name not in known:
        raise unknown("method", name, known, p.key)
    if not known:
        raise Infeasible(f"{p.key} has no method to run; rooflab papers check {p.key} recomputes what it claims")
    every = list(known.values())
    if name:
        return known[name]
    if source:
        kinds = _kinds(source, [kind_of(reads(c)) for c in every]) or reached(source, map(reads, every))
        found = next((c for c in every if reads(c) in kinds), None)
        return found or _by_default(p, every, source)
    return next((c for c in every if p.setups or reads(c) is not Scenario), every[0])


def _by_default(p: Paper, every: Sequence[Chosen], source: str | Path) -> Chosen:
    """The first, for a file of a suffix that any of them reads; InputError says what is read instead of others."""
    kinds = {kind_of(reads(c)).name: kind_of(reads(c)) for c in every}.values()
    where, suffix = shown(source), Path(source).suffix.lower()
    known = {f.suffix for kind in kinds for f in kind.formats}
    if suffix in known or Path(source).is_dir():
        return every[0]
    if not suffix and not Path(source).exists():
        samples = [s.name for kind in kinds for s in kind.samples]
        raise unknown("file or sample", where, samples, p.key)
    forms = "; ".join(f"{kind.name} from {', '.join(f.suffix for f in kind.formats)}" for kind in kinds)
    raise InputError(f"{p.key} reads {forms}" if Path(source).exists() else "no such file", where)


def _kinds(source: str | Path, among: Sequence[Kind[Any]]) -> list[type[Any]]:
    """Classes of the kinds that a file, or the name of a sample, may be of: of the likeliest where that is plain."""
    if any(s.name == str(source) for kind in among for s in kind.samples):
        return [kind.data for kind in among if any(s.name == str(source) for s in kind.samples)]
    suffix = FOLDER if Path(source).is_dir() else Path(source).suffix.lower()
    fitting = [kind.data for kind in among if any(f.suffix == suffix for f in kind.formats)]
    if len(set(fitting)) > 1:
        with suppress(InputError, OSError):
            likely = guess(source).data
            return [likely] if likely in fitting else fitting
    return fitting


def kind_read(chosen: Chosen) -> Kind[Any] | None:
    """The kind of input that a method reads; None for techniques and methods that read a scenario."""
    return None if reads(chosen) is Scenario else kind_of(reads(chosen))


def run_paper(p: Paper, given: Any, settings: Mapping[str, Any], lab: Lab, method: str = "") -> tuple[Ran, ...]:
    """The technique or method `method` (the paper's first) with `settings` on `given`, or in `lab` on what it has of
    its own: its setups of that kind, the first sample of the kind where it has none.

    Without settings the variant of a technique that helps most is taken, of those whose price in quality is known; the
    paper's own setting where none is. Raises Infeasible where it does not apply.
    """
    chosen = choose(p, method)
    tried = {YOURS: given} if given is not None else own_inputs(p, chosen, lab)
    return tuple(run_on(chosen, data, settings, lab, name=name) for name, data in tried.items())


def run_on(chosen: Chosen, given: Any, settings: Mapping[str, Any], lab: Lab, *, name: str) -> Ran:
    """One technique or method with `settings` on one input, which is called `name`. Raises InputError for data of
    another kind."""
    if not isinstance(given, reads(chosen)):
        where = f"{chosen.paper}.{chosen.key}"
        raise InputError(f"reads {reads(chosen).__name__}, not {type(given).__name__}", where)
    if issubclass(chosen, Technique):
        with faults_told(f"{chosen.paper}.{chosen.key}"):
            found = best(lab, chosen, given, settings)
        return Ran(name, str(found.chosen.technique), lifted(found), found.chosen, given)
    one = chosen(**settings)
    with faults_told(f"{chosen.paper}.{chosen.key}"):
        outcome = one.run(lab, given)
        _check(outcome)
    return Ran(name, str(one), outcome, given=given)


def _check(outcome: object) -> None:
    """Raise TypeError for what is no outcome, or has figures that are no numbers."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"it gives {type(outcome).__name__} in the place of an Outcome")
    for f in outcome.figures:
        if not isinstance(f, Figure) or not isinstance(f.value, Real):
            raise TypeError(f"its figure {getattr(f, 'name', f)!r} is no number")


def lifted(found: Settings) -> Outcome:
    """A technique on a scenario as an outcome: what it changes, each with its baseline; other settings as notes."""
    c = found.chosen
    figures = [_full(c.capacity)] if c.after.capacity else []
    for change in c.changes:
        metric = METRICS[change.metric]
        better = metric.better if metric.better in ("higher", "lower") else ""
        figures.append(
            Figure(
                name=change.metric, value=change.after, unit=metric.unit, how="modelled",
                baseline=plain(change.before), better=better,
            )
        )  # fmt: skip
    said = [("quality", str(c.quality)), ("now", c.note), *(("also", _other(x)) for x in found.others)]
    return Outcome(tuple(figures), c.because, notes=tuple(f"{name}: {text}" for name, text in said if text))


def _other(c: Comparison) -> str:
    gain, of = c.headline
    return f"{c.technique}, {of} {significant(gain)} ×, quality {c.quality}"


def _full(capacity: Change) -> Figure:
    unit = METRICS[capacity.metric].unit
    name = FULL if unit == "tokens/s/device" else "requests/s/GPU when full"
    return Figure(
        name=name, value=capacity.after, unit=unit, how="modelled", baseline=plain(capacity.before), better="higher"
    )


def reads(chosen: Chosen) -> type[Any]:
    """The class of the input."""
    return Scenario if issubclass(chosen, Technique) else chosen.reads


def own_inputs(p: Paper, chosen: Chosen, lab: Lab) -> dict[str, Any]:
    """What a technique or method is tried on when nothing is given: the paper's setups, or the first sample."""
    with faults_told(f"a setup of {p.key}"):
        made = {name: make(lab) for name, make in p.setups.items()}
    fitting = {name: data for name, data in made.items() if isinstance(data, reads(chosen))}
    if fitting:
        return fitting
    if reads(chosen) is Scenario:
        raise Infeasible(f"{p.key} has no setup of its own; give a scenario")
    known = kind_of(reads(chosen))
    if not known.samples:
        raise Infeasible(f"there is no sample of {known.name}; give a file")
    return {f"sample {known.samples[0].name}": lab.sample(reads(chosen))}


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
