"""Runs that were kept, one of them, and what differs between two, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from rooflab.metrics.registry import METRICS
from rooflab.report.text.catalogue import show_rows
from rooflab.report.text.console import console, labelled, literal
from rooflab.store.differ import Change, Difference, figures, headline
from rooflab.store.runs import Run
from rooflab.units import format_seconds, significant

if TYPE_CHECKING:
    from rooflab.planner.shares import Share

__all__ = ["show_difference", "show_kept", "show_runs"]

_MOST: Final = 20
"""Figures that a screen shows; --json has all."""


def show_runs(found: Sequence[Run]) -> None:
    """One line a run."""
    if not found:
        console().print("nothing is kept yet: rooflab estimate SCENARIO --save NAME keeps an answer")
        return
    rows = [
        {
            "run": r.name,
            "kind": r.asked.kind,
            "of": _of(r),
            "figures": ", ".join(f"{name} {_text(value)}" for name, value in headline(r).items()),
            "code": r.asked.code[:8],
            "kept (UTC)": r.kept_at[:16].replace("T", " "),
        }
        for r in found
    ]
    show_rows(tuple(rows[0]), rows, console(), numeric=frozenset(), sources=False)


def _of(r: Run) -> str:
    """What a run is about: the scenario, or the paper."""
    if r.asked.scenario is not None:
        model, hardware = (_short(r.asked.scenario.get(noun)) for noun in ("model", "hardware"))
        return r.asked.scenario_name or f"{model} on {hardware}"
    named = r.asked.inputs.get("paper") or " ".join(r.asked.inputs.get("papers", ())) or "all papers"
    return str(named)


def _short(noun: Any) -> str:
    return noun.rpartition("/")[2] if isinstance(noun, str) else "one of its own"


def show_kept(r: Run, *, quiet: bool) -> None:
    """What was asked, by which code, and the figures."""
    out = console()
    a = r.asked
    out.print(f"[bold]{literal(r.name)}[/]  {a.kind} of {literal(_of(r))}")
    out.print(labelled("kept", f"{r.kept_at}, after {format_seconds(r.seconds)}, exit status {r.status}", out.width))
    seed = "" if a.seed is None else f", seed {a.seed}"
    out.print(labelled("code", f"{a.version} ({a.code}){seed}; key {a.key[:16]}", out.width))
    asked = [f"{place} {_text(value)}" for place, value in _asked(r)]
    out.print(labelled("asked", "; ".join(asked) or "nothing but defaults", out.width))
    out.print()
    for name, value in list(figures(r).items())[: None if quiet else 2 * _MOST]:
        out.print(f"  {literal(name):<42} {literal(_text(value))}{literal(_unit(name))}")
    if not quiet:
        out.print(f"\nNext    rooflab runs diff {literal(r.name)} OTHER     rooflab runs export {literal(r.name)}")


def _asked(r: Run) -> list[tuple[str, Any]]:
    from rooflab.store.differ import leaves

    return [*leaves(r.asked.scenario or {}), *leaves(r.asked.inputs)]


def show_difference(d: Difference, alone: Sequence[Share], *, quiet: bool) -> None:
    """Inputs, code and results that differ, the greatest first, and why."""
    out = console()
    out.print(f"[bold]{literal(d.before.name)}[/] → [bold]{literal(d.after.name)}[/]  {d.before.asked.kind}")
    out.print(labelled("why", d.why, out.width))
    for title, changes in (("asked", d.inputs), ("code", d.code)):
        for i, one in enumerate(changes):
            told = f"{one.place}: {_text(one.before)} → {_text(one.after)}"
            out.print(labelled(title if i == 0 else "", told, out.width))
    if d.results:
        shown = d.results if quiet else d.results[:_MOST]
        rows = [_row(one) for one in shown]
        show_rows(tuple(rows[0]), rows, out, numeric=frozenset({"before", "after", "×"}), sources=False)
        if len(shown) < len(d.results):
            out.print(f"and {len(d.results) - len(shown)} more (--json has them all)")
    out.print(f"{d.same} figure{'s are' if d.same != 1 else ' is'} the same")
    if alone:
        out.print("\nEach input alone, from the first run on (the engine asked again):")
        rows = [
            {"input": one.change.place, "figure": name, "×": significant(ratio) if name else "", "why": one.why}
            for one in alone
            for name, ratio in (one.ratios or {"": 1.0}).items()
        ]
        show_rows(tuple(rows[0]), rows, out, numeric=frozenset({"×"}), sources=False)


def _row(c: Change) -> dict[str, str]:
    known = METRICS.get(c.place)
    verdict = ""
    if known is not None and c.ratio is not None and known.better in ("higher", "lower"):
        verdict = "better" if (c.ratio > 1) == (known.better == "higher") else "worse"
    ratio = "" if c.ratio is None else significant(c.ratio)
    return {
        "figure": f"{c.place}{_unit(c.place)}", "before": _text(c.before), "after": _text(c.after), "×": ratio,
        "": verdict,
    }  # fmt: skip


def _unit(name: str) -> str:
    known = METRICS.get(name)
    return f" ({known.unit})" if known is not None and known.unit else ""


def _text(value: Any) -> str:
    if isinstance(value, float):
        return significant(value, 4)
    return "none" if value is None else str(value)
