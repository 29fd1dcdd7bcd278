"""A ceiling on a screen: what each kind of work stands for, the most first, and what that means for a paper."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from rooflab.report.text.columns import Column, Line, show_columns
from rooflab.report.text.console import console, literal
from rooflab.report.text.headline import load_words, title
from rooflab.units import format_seconds, significant

if TYPE_CHECKING:
    from rooflab.planner.ceiling import Ceiling, Headroom

__all__ = ["NOTHING", "WORK_WORDS", "at_most_words", "now_words", "show_ceiling", "value_words"]

WORK_WORDS: Final = {
    "weight_reads": "weight reads", "kv_reads": "KV reads", "attention": "attention arithmetic",
    "products": "products", "communication": "communication", "host": "host and launches",
    "recomputation": "prompt recomputation", "memory": "memory capacity", "waiting": "waiting for others",
    "joules": "joules of the work", "idle_power": "idle power",
}  # fmt: skip
_COLUMNS: Final = (
    Column(name="work"), Column(name="free", right=True), Column(name="halved", right=True),
    Column(name="value", right=True), Column(name="devices", right=True, needed=False),
    Column(name="the plan then", least=20, folds=True, needed=False),
)  # fmt: skip
_ENDLESS: Final = 1e3
"""Gains beyond which there is no limit to speak of."""
NOTHING: Final = 1.005
"""Gains below which a figure of two decimals says 1."""
_PROMISE: Final = 3.0


def show_ceiling(found: Ceiling, path: str, *, quiet: bool = False) -> None:
    """The kinds of work by what they stand for."""
    out = console()
    s = found.scenario
    out.print(literal(f"{title(s)}, {load_words(s.workload, s.model)}"), soft_wrap=True)
    out.print(literal(f"{_question(found)}\n"), style="bold", soft_wrap=True)
    gaining = sorted((w for w in found.works if w.free >= NOTHING), key=lambda w: -w.free)
    show_columns(_named(found), [_line(w, found) for w in gaining])
    gap = "\n" if gaining else ""
    rest = [WORK_WORDS[w.work] for w in found.works if w.free < NOTHING]
    if rest:
        out.print(literal(f"{gap}Nothing to gain from {_listed(rest)}."), soft_wrap=True)
    out.print(literal(f"All of it free: {at_most_words(found.together)}.  {now_words(found)}"), soft_wrap=True)
    if not quiet:
        promise = _so(found)
        if promise:
            out.print(literal(promise), soft_wrap=True)
        out.print(literal(f"\nNext    rooflab feed list --for {path}".rstrip()), soft_wrap=True)


def at_most_words(gain: float) -> str:
    """A gain as it is said of a ceiling: ``1.12 ×``."""
    if math.isinf(gain):
        return "possible only then"
    return "no limit" if gain >= _ENDLESS else f"{gain:.3g} ×" if gain >= 10 else f"{gain:.2f} ×"


def _named(found: Ceiling) -> list[Column]:
    unit = found.objective.unit
    named = [Column(name=unit, right=True) if c.name == "value" else c for c in _COLUMNS]
    return named if found.how == "plan" else [c for c in named if c.name not in ("devices", "the plan then")]


def _line(w: Headroom, found: Ceiling) -> Line:
    cells = [
        WORK_WORDS[w.work],
        at_most_words(w.free),
        at_most_words(w.halved),
        value_words(w.value, found.objective.unit),
    ]
    if found.how == "plan":
        cells += [_count(w.devices), w.label]
    return Line(cells, ["", "bold"])


def value_words(value: float, unit: str) -> str:
    """A value of an objective; a dash for none."""
    if not math.isfinite(value):
        return "–"
    return format_seconds(value, 3) if unit == "s" else significant(value)


def _count(devices: float) -> str:
    return f"{devices:,.0f}" if math.isfinite(devices) else ""


def _question(found: Ceiling) -> str:
    from rooflab.launch.label import slo_label

    what = found.objective.title
    within = f" within {slo_label(found.scenario)}" if found.scenario.slo and found.how == "plan" else ""
    how = {"plan": "", "estimate": ", of the deployment as it stands", "simulation": ", as simulated"}[found.how]
    return f"What could any paper give you? Times better {what}{within}{how}, if this were free (halved):"


def now_words(found: Ceiling) -> str:
    """What the objective is now, and of which deployment."""
    if found.why:
        return f"Now: {found.why.removesuffix('.')}."
    said = f"Now {value_words(found.value, found.objective.unit)} {found.objective.unit}".removesuffix(" s")
    said += f": {found.label}"
    if math.isfinite(found.load):
        asked = found.scenario.workload.rate or 0.0
        said += f", each filled to {significant(found.load)} requests/s"
        n = _count(found.devices)
        said += f"; your {significant(asked)}/s take {n} device{'' if n == '1' else 's'}"
    return f"{said}."


def _so(found: Ceiling) -> str:
    """What a promise comes to: of less cache read, where that is what is read."""
    kv = found["kv_reads"]
    if found.why or found.scenario.model.kind != "decoder" or kv.free >= _PROMISE:
        return ""
    return (
        f"So a paper that promises {_PROMISE:.0f} × by reading less cache gives you at most {at_most_words(kv.free)}."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
