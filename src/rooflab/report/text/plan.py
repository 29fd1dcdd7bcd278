"""A plan on one screen: the ranking, what was left out and why, the reasons of the first choice, its limit, what
next."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rooflab.launch.label import bound_name, sentence, shape_label
from rooflab.planner.proof import Proof
from rooflab.planner.result import Choice, Plan, Shift
from rooflab.report.text.console import labelled, literal
from rooflab.report.text.headline import load_words, targets_words, title
from rooflab.report.text.trust import deciding_words
from rooflab.scenario.slo import SLO
from rooflab.units import format_seconds, significant

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


__all__ = ["show_beside", "show_plan"]

_LEFT_OUT = 4


def show_plan(plan: Plan, out: Console) -> None:
    """Print a plan; one that nothing meets says so in the place of the table."""
    s = plan.scenario
    out.print(f"[bold]{literal(title(s))}[/]")
    wanted = targets_words(s)
    words = literal(load_words(s.workload, s.model))
    out.print(words + (f" · wanted: {wanted}" if wanted else ""), highlight=False)
    if plan.best is not None:
        direction = "highest" if plan.objective.more_is_better else "lowest"
        out.print(f"[dim]ranked by {direction} {plan.objective.title} ({plan.objective.metric})[/]")
    out.print()
    if plan.best is None:
        out.print(labelled("✗", plan.message, out.width, "red"), soft_wrap=True, highlight=False)
        others = [r for r in plan.rejected if sentence(r.label) not in plan.message]
        for rejected in others[:_LEFT_OUT]:
            out.print(
                labelled("", f"{sentence(rejected.label)}: {rejected.reason}", out.width),
                soft_wrap=True,
                highlight=False,
            )
        return
    out.print(_ranking(plan))
    for rejected in plan.rejected[:_LEFT_OUT]:
        out.print(
            labelled("  ✗", f"{sentence(rejected.label)}: {rejected.reason}", out.width, "red"),
            soft_wrap=True,
            highlight=False,
        )
    out.print()
    for name, text in _account(plan, plan.best):
        out.print(labelled(name, text, out.width), soft_wrap=True, highlight=False)


def _ranking(plan: Plan) -> Table:
    from rich.table import Table

    generates = plan.latency_metric == "tpot_s_p99"
    proved = any(c.proof is not None for c in plan.choices)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    unit = "tok/s/GPU" if generates else "req/s/GPU"
    columns = (
        "",
        "deployment",
        unit,
        "TTFT p99",
        *(("TPOT p99",) if generates else ()),
        "$/Mtok",
        "J/token",
        "GPUs",
        *(("holds",) if proved else ()),
        "quality",
    )
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i in (1, len(columns) - 1) else "right", no_wrap=i != 1)
    for c in plan.choices:
        m = c.seen
        rate = m["output_tokens_per_s_per_gpu"] if generates else m["requests_per_s_per_gpu"]
        cells = [str(c.rank), literal(c.label), significant(rate), _time(m["ttft_s_p99"])]
        cells += [_time(m["tpot_s_p99"])] if generates else []
        cells += [
            significant(m["usd_per_mtok"]),
            significant(m["j_per_token"]),
            str(c.devices),
            *((f"{c.proof.met}/{c.proof.runs}" if c.proof is not None else "–",) if proved else ()),
            "same" if c.quality == "as the checkpoint" else "unknown",
        ]
        table.add_row(*cells, style="bold" if c.rank == 1 else None)
    return table


_SPACES = {
    "pools": "prompts and answers on engines of their own",
    "speculation": "drafted tokens, of which a share is assumed to be accepted",
    "offload": "memory of the host",
}


def show_beside(plan: Plan, out: Console) -> None:
    """Print what holds of the other spaces that were asked for, numbered behind the choices."""
    from rich.table import Table

    for name in plan.spaces:
        rows = [c for c in plan.beside if c.beside is not None and c.beside.space == name]
        if not rows:
            out.print(
                f"\n{name.capitalize()}   none of {_SPACES[name]} holds in nine of ten simulated runs", highlight=False
            )
            continue
        o = plan.objective
        out.print(f"\n[bold]{name.capitalize()}[/bold]   {_SPACES[name]}, by {o.title}", highlight=False)
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
        heads = ("", "deployment", "TTFT p99", "TPOT p99", o.unit, "GPUs", "holds", "against 1")
        for i, head in enumerate(heads):
            table.add_column(head, justify="left" if i == 1 else "right", no_wrap=i != 1)
        for c in rows:
            table.add_row(*_beside(plan, c))
        out.print(table)
        for words in _assumptions(plan, rows):
            out.print(labelled("Assumed", words, out.width), soft_wrap=True, highlight=False)


def _beside(plan: Plan, c: Choice) -> list[str]:
    """The cells of a row."""
    gain = c.beside.gain if c.beside is not None else math.nan
    value = float(c.seen[plan.objective.metric])
    return [
        str(c.rank), literal(c.label), _time(c.seen["ttft_s_p99"]), _time(c.seen["tpot_s_p99"]),
        _time(value) if plan.objective.unit == "s" else significant(value), str(c.devices),
        "–" if c.proof is None else f"{c.proof.met}/{c.proof.runs}", f"{gain:.2f}x" if math.isfinite(gain) else "–",
    ]  # fmt: skip


def _assumptions(plan: Plan, rows: Sequence[Choice]) -> Iterable[str]:
    """What rows assume, each assumption once, and what becomes of each row at the ends of it."""
    found: dict[tuple[str, str], list[Choice]] = {}
    for c in rows:
        if c.beside is not None and (a := c.beside.assumed) is not None:
            said = f"{a.name} is {a.value:.0%} ({a.low:.0%} to {a.high:.0%}; {a.source}). Measure it on your traffic"
            found.setdefault((said, f"at {a.low:.0%}"), []).append(c)
    for (said, at), members in found.items():
        holds = [str(c.rank) for c in members if c.beside and c.beside.assumed and c.beside.assumed.holds_low]
        misses = [str(c.rank) for c in members if str(c.rank) not in holds]
        ends = [f"{' and '.join(n)} {what}" for n, what in ((holds, "within the targets"), (misses, "not")) if n]
        yield f"{said}: {at} {', '.join(ends)}"


def _time(seconds: float) -> str:
    return format_seconds(seconds) if math.isfinite(seconds) else "–"


def _proof_words(plan: Plan, proof: Proof) -> str:
    """How firmly the first choice holds: runs that meet every target, and the range of each figure that is bound."""
    runs = (
        f"{proof.met} of {proof.runs} simulated runs meet every target"
        if plan.scenario.slo
        else (f"{proof.runs} simulated runs")
    )
    spans = []
    for key, _ in plan.scenario.slo:
        low, high = proof.ranges.get(SLO.metric(key), (math.nan, math.nan))
        if math.isfinite(high):
            middle = proof.metrics[SLO.metric(key)]
            spans.append(
                f"{bound_name(key)} {format_seconds(middle)} ({format_seconds(low)} to {format_seconds(high)})"
            )
    return ": ".join([runs, *([", ".join(spans)] if spans else [])])


def _account(plan: Plan, best: Choice) -> Iterable[tuple[str, str]]:
    """The lines below the table: name and text."""
    if best.proof is not None:
        yield "Proof 1", _proof_words(plan, best.proof)
    for i, text in enumerate(best.why):
        yield ("Why 1" if i == 0 else "", text)
    if best.change:
        yield "Change", "; ".join(best.change)
    shifts = [_shift(plan, s) for s in plan.sensitivity]
    if shifts:
        yield "If", "; ".join(shifts)
    if plan.limit is not None:
        yield "Limit", plan.limit.text
    if best.quality != "as the checkpoint":
        yield (
            "Quality",
            f"{best.quality}: no published figure is at hand; measure it, or set deployment.weights and kv to the "
            f"checkpoint's",
        )
    others = [c for c in plan.by_devices if c.devices != best.devices]
    if others:
        yield (
            "GPUs",
            "; ".join(
                f"{c.devices}: {shape_label(c.scenario, best.deployment)}, {_value(plan, c)}" for c in others[:6]
            ),
        )
    source = plan.price_source.partition(":")[0]
    yield "Price", f"${significant(_hourly(best))} an hour; {source}" if math.isfinite(_hourly(best)) else source
    within = f"{plan.feasible:,} within the targets" if plan.scenario.slo else f"{plan.feasible:,} that will do"
    counted = (
        f"closed form over {plan.considered:,} {'deployment' if plan.considered == 1 else 'deployments'}, {within}"
    )
    yield "Trust", deciding_words(best)
    yield "", counted if best.proof is not None else f"{counted}; simulate the first before you buy"


def _hourly(c: Choice) -> float:
    return float(c.metrics["usd_per_hour"])


def _value(plan: Plan, c: Choice) -> str:
    value = float(c.seen[plan.objective.metric])
    return _time(value) if plan.objective.unit == "s" else f"{significant(value)} {plan.objective.unit}"


def _shift(plan: Plan, s: Shift) -> str:
    broken = ", ".join("the load" if v.bound == "rate" else bound_name(v.bound) for v in s.violations)
    effect = (
        f"breaks {broken}"
        if broken
        else f"{plan.objective.title} {s.change * 100:+.0f} %"
        if abs(s.change) >= 0.005
        else "no change"
    )
    return f"{s.name} {(s.factor - 1) * 100:+.0f} %: {effect}"
