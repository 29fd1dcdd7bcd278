"""A plan as one HTML page: the sentence that answers, cost against latency, the roofline, memory, the step, every
choice, how to launch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rooflab.costs.calibration import calibration_for
from rooflab.costs.engine_constants import engine_overhead
from rooflab.errors import RooflabError
from rooflab.evidence.intervals.intervals import intervals
from rooflab.files import write_text
from rooflab.launch.label import bound_name, sentence
from rooflab.metrics.registry import METRICS
from rooflab.planner.result import Choice, Plan, Shift
from rooflab.report.pages.parts import Answer, Cell, Column, Row, Table, Tile, table
from rooflab.report.pages.plan_figures import memory_card, pareto_card, roofline_card, step_card
from rooflab.report.pages.render import render
from rooflab.report.text.headline import load_words, targets_words, title
from rooflab.report.text.trust import deciding_words
from rooflab.scenario.runtime import ENGINES
from rooflab.units import format_quantity, format_seconds, significant

__all__ = ["plan_page", "write_plan_page"]

_COLUMNS: Final = (
    ("output_tokens_per_s_per_gpu", "tok/s/GPU"),
    ("requests_per_s_per_gpu", "req/s/GPU"),
    ("ttft_s_p99", "TTFT p99"),
    ("tpot_s_p99", "TPOT p99"),
    ("usd_per_mtok", "$/Mtok"),
    ("j_per_token", "J/token"),
    ("gco2e_per_mtok", "gCO₂e/Mtok"),
    ("limit_ratio", "of limit"),
)
_TRAFFIC: Final = {
    "rate": "request rate",
    "concurrency": "users",
    "batch": "batch",
    "burst": "burst",
    "isl": "prompt length",
    "osl": "output length",
}


def write_plan_page(plan: Plan, path: str | Path, chosen: Choice | None = None) -> None:
    """Write the page to `path`, whole or not at all; it launches `chosen` (None: the first)."""
    write_text(path, plan_page(plan, chosen))


def plan_page(plan: Plan, chosen: Choice | None = None) -> str:
    """The page as text."""
    s, best = plan.scenario, plan.best
    launched = chosen or best
    wanted = targets_words(s)
    of_best: dict[str, Any] = dict.fromkeys(("tiles", "why", "step", "memory", "choices", "commands", "launched"))
    if best is not None:
        of_best = {
            "tiles": _tiles(best, generates=_generates(plan)),
            "why": [*best.why, *best.change],
            "step": [step_card(best.estimate), roofline_card(best.estimate)],
            "memory": memory_card(plan),
        }
    if launched is not None:
        of_best |= {
            "choices": _choices(plan),
            "commands": list(_commands(launched)),
            "launched": f"{launched.rank}: {sentence(launched.label)}",
        }
    return render(
        "plan.html.j2",
        name=title(s),
        asked=load_words(s.workload, s.model) + (f" · wanted: {wanted}" if wanted else ""),
        answer=_answer(plan),
        pareto=pareto_card(plan) if best is not None or plan.points else None,
        shifts=_shifts(plan) if best is not None and plan.sensitivity else None,
        rejected=_rejected(plan) if plan.rejected else None,
        notes=_notes(plan),
        **of_best,
    )


def _generates(plan: Plan) -> bool:
    return plan.latency_metric == "tpot_s_p99"


def _answer(plan: Plan) -> Answer:
    c, o = plan.best, plan.objective
    if c is None:
        return Answer(plan.message, "Nothing will do.", good=False)
    direction = "highest" if o.more_is_better else "lowest"
    met = f" It meets {targets_words(plan.scenario)}." if plan.scenario.slo else ""
    value = _objective(plan, float(c.seen[o.metric]))
    text = (
        f"on {c.devices} {'device' if c.devices == 1 else 'devices'}: {value}, the {direction} {o.title} of "
        f"{plan.feasible:,} deployments that will do ({plan.considered:,} considered).{met}"
    )
    return Answer(text, sentence(c.label))


def _objective(plan: Plan, value: float) -> str:
    return format_seconds(value) if plan.objective.unit == "s" else f"{significant(value)} {plan.objective.unit}"


def _tiles(c: Choice, *, generates: bool) -> list[Tile]:
    names = [("output_tokens_per_s", "output tokens/s")] if generates else []
    names += [("requests_per_s", "requests/s"), ("ttft_s_p99", "TTFT p99")]
    names += [("tpot_s_p99", "TPOT p99")] if generates else []
    names += [
        ("usd_per_mtok", "per million tokens"),
        ("j_per_token", "per token"),
        ("power_w", "power"),
        ("limit_ratio", "of the physical limit"),
    ]
    found = intervals(c.estimate)
    tiles = []
    for name, words in names:
        formula, between = METRICS[name].formula if name in METRICS else "", ""
        if name in found and math.isfinite(found[name].high):
            formula += f". 90 % interval; {found[name].words}"
            between = f" · {_text(name, found[name].low)} – {_text(name, found[name].high)}"
        tiles.append(Tile(_text(name, float(c.metrics[name])), words + between, formula))
    return tiles


def _text(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "–"
    if "_s_" in name and name.split("_", maxsplit=1)[0] in ("ttft", "tpot", "e2e"):
        return format_seconds(value)
    if name.startswith("usd"):
        return f"${significant(value)}"
    if name in ("j_per_token", "power_w"):
        return format_quantity(value, "J" if name == "j_per_token" else "W")
    if name in ("limit_ratio", "mfu", "mbu"):
        return f"{value * 100:.0f} %"
    return significant(value)


def _choices(plan: Plan) -> Table:
    """Every choice, the best of each device count and the front, once each."""
    hidden = ("requests_per_s_per_gpu",) if _generates(plan) else ("output_tokens_per_s_per_gpu", "tpot_s_p99")
    columns = [(n, t) for n, t in _COLUMNS if n not in hidden]
    source = {name: _source(plan, name) for name, _ in columns}
    seen: dict[object, Choice] = {}
    for c in (*plan.ranked, *plan.by_devices, *plan.front):
        seen.setdefault(c.deployment, c)
    rows = []
    for c in seen.values():
        figures = [(name, float(c.seen[name])) for name, _ in columns]
        cells = [
            Cell(sentence(c.label) if c.beside is None else f"{sentence(c.label)} ({c.beside.space})"),
            Cell(str(c.devices), c.devices),
            *(Cell(_text(name, value), value, source[name]) for name, value in figures),
            Cell(c.estimate.bottleneck),
            Cell("same" if c.quality == "as the checkpoint" else "unknown", hover=c.quality),
        ]
        rows.append(Row(cells, strong=plan.best is not None and c.deployment == plan.best.deployment))
    names = [Column("deployment"), Column("GPUs"), *(Column(text) for _, text in columns)]
    return Table([*names, Column("bound by", text=True), Column("quality", text=True)], rows, dense=True)


def _source(plan: Plan, name: str) -> str:
    """What a metric is and where it comes from."""
    s = plan.scenario
    more = {
        "usd_per_mtok": f"; price: {plan.price_source}",
        "gco2e_per_mtok": f"; grid: {s.hardware.sources.get('gco2e_per_kwh', 'given with the hardware')}",
    }
    formula = METRICS[name].formula if name in METRICS else name
    return f"{formula}. From: {_time_source(plan)}{more.get(name, '')}"


def _time_source(plan: Plan) -> str:
    s = plan.scenario
    kernels = calibration_for(s.hardware.device, s.deployment.runtime.engine)
    overhead = engine_overhead(s.deployment.runtime, moe=s.model.is_moe)
    return f"closed form; kernels {kernels.provenance} ({kernels.rule}), engine overhead {overhead.provenance}"


def _shifts(plan: Plan) -> Table:
    return table(
        ["if", plan.objective.title, "change", Column("targets", text=True)],
        [
            [
                f"{_TRAFFIC[s.name]} {(s.factor - 1) * 100:+.0f} %",
                Cell(_objective(plan, s.value), s.value),
                Cell(f"{s.change * 100:+.0f} %" if math.isfinite(s.change) else "–", s.change),
                _kept(s),
            ]
            for s in plan.sensitivity
        ],
    )


def _kept(s: Shift) -> Cell:
    broken = ", ".join("the load" if v.bound == "rate" else bound_name(v.bound) for v in s.violations)
    return Cell(f"breaks {broken}", tone="bad") if broken else Cell("holds", tone="good")


def _rejected(plan: Plan) -> Table:
    rows = [[sentence(r.label), r.reason] for r in plan.rejected]
    return table(["deployment", Column("why not", text=True)], rows)


def _commands(best: Choice) -> Iterator[tuple[str, str]]:
    """The command of the choice's own engine, then the manifest; what cannot be written is left out with its reason."""
    engine = best.deployment.runtime.engine
    for name, write in ((ENGINES.get(engine, engine), best.launch_command), ("Kubernetes", best.kubernetes)):
        try:
            yield name, write()
        except RooflabError as error:
            yield name, f"# {error}"


def _notes(plan: Plan) -> list[str]:
    notes = [f"Limit: {plan.limit.text}."] if plan.limit is not None else []
    if plan.best is not None:
        notes.append(f"{deciding_words(plan.best)}.")
    notes += [f"{_time_source(plan)}.", f"Price: {plan.price_source}."]
    if plan.scenario.workload.mode == "max-throughput":
        notes.append("Engines are taken in their steady state: requests replace each other as they finish.")
    return [note[0].upper() + note[1:] for note in notes]
