"""A ranking on a screen: what pays, what would if quality allows, what does not, advice, and what was not tried."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from rooflab.metrics.registry import METRICS
from rooflab.papers.ranked import Advice, Ranked, Ranking, Refused, Section, Untried
from rooflab.report.outcomes import gain_words, value_words
from rooflab.report.text.columns import Column, Line, show_columns
from rooflab.report.text.console import console, labelled, literal
from rooflab.report.text.headline import load_words, title
from rooflab.units import format_seconds

if TYPE_CHECKING:
    from rooflab.scenario.scenario import Scenario

__all__ = ["show_rank"]

_HEADINGS: Final[dict[Section, str]] = {
    "pays": "Pays here", "pays when full": "Pays only if engines are kept full: this load loses",
    "if quality allows": "If quality allows: nobody published what it costs on this model",
    "runs only with this": "Runs only with this", "does not pay": "Does not pay here",
}  # fmt: skip
_COLUMNS: Final = (
    Column(name="", right=True), Column(name="technique", least=16, folds=True),
    Column(name="about", least=10, folds=True), Column(name="gain", right=True), Column(name="TPOT p99", right=True),
    Column(name="quality", least=9, folds=True), Column(name="now → with it", needed=False),
)  # fmt: skip
_ADVICE: Final = (
    Column(name="method", least=16, folds=True), Column(name="figure", least=14, folds=True),
    Column(name="gain", right=True), Column(name="value", right=True), Column(name="", least=6, folds=True),
    Column(name="without", right=True, needed=False),
)  # fmt: skip


def show_rank(s: Scenario, found: Ranking, path: str, *, quiet: bool = False) -> None:
    """The sections of a ranking, those that say something."""
    out = console()
    out.print(literal(f"{title(s)}, {load_words(s.workload, s.model)}"), soft_wrap=True)
    for section, heading in _HEADINGS.items():
        of = found.within(section)
        if of:
            out.print(f"\n[bold]{heading}[/]", soft_wrap=True)
            show_columns(_COLUMNS, list(_lines(of, numbered=section == "pays", why=section != "does not pay")))
    if found.advice:
        out.print("\n[bold]Advice[/]  what methods make of the scenario", soft_wrap=True)
        show_columns(_ADVICE, [_advice(a) for a in found.advice])
    if found.refused:
        out.print("\n[bold]Does not apply[/]", soft_wrap=True)
        for text in _refused(found.refused):
            out.print(labelled("", text, out.width), soft_wrap=True)
    if found.untried:
        out.print(f"\n[bold]Not tried in {format_seconds(found.budget_s, 2)}[/]", soft_wrap=True)
        for text in _untried(found.untried):
            out.print(labelled("", text, out.width), soft_wrap=True)
    if not quiet:
        first = next(iter(found.ranked), None)
        if first is not None:
            out.print(f"\nNext    rooflab papers run {first.paper} {path}".rstrip(), markup=False, soft_wrap=True)


def _lines(of: Sequence[Ranked], *, numbered: bool, why: bool) -> Iterator[Line]:
    """Techniques, numbered among those that are about the same."""
    for about, group in groupby(of, key=lambda r: r.of):
        for i, r in enumerate(group, 1):
            unit = METRICS[r.metric].unit
            requests = f", {r.requests:,} requests" if r.requests else ""
            cells = (
                str(i) if numbered else "", r.called, about + requests, gain_words(r.gain),
                gain_words(r.changes.get("tpot_s_p99", math.nan)), r.quality,
                f"{value_words(r.before, unit)} → {value_words(r.after, unit)}",
            )  # fmt: skip
            more = [f"other settings: {', '.join(r.others)}"] if r.others else []
            yield Line(cells, ["", "bold"], ["; ".join(r.because) if why else r.verdict, *more])


def _advice(a: Advice) -> Line:
    f = a.figure
    value, base = (math.nan if f[name] is None else f[name] for name in ("value", "baseline"))
    unit = "" if f["unit"] in ("s", "B", "W", "J", "FLOP") else f["unit"]
    before = "" if math.isnan(base) else value_words(base, f["unit"])
    gain = math.nan if f["gain"] is None else f["gain"]
    said = f"{a.because} (interrupted by the budget)" if a.partial else a.because
    return Line(
        (f"{a.paper}.{a.method}", f["name"], gain_words(gain), value_words(value, f["unit"]), unit, before),
        ["bold"], [said],
    )  # fmt: skip


def _refused(refused: Sequence[Refused]) -> Iterator[str]:
    """Papers that do not apply, those for the same reason together."""
    papers: dict[str, dict[str, None]] = {}
    for no in refused:
        papers.setdefault(no.reason, {})[no.paper] = None
    return (f"{', '.join(of)}: {reason}" for reason, of in papers.items())


def _untried(untried: Sequence[Untried]) -> Iterator[str]:
    """What there was no time for, by paper, and about how long it takes."""
    for (paper, key), group in groupby(untried, key=lambda u: (u.paper, u.key)):
        of = list(group)
        seconds = sum(u.seconds for u in of)
        takes = "longer than there was time" if math.isnan(seconds) else f"about {format_seconds(seconds, 2)}"
        what = f"{len(of)} settings of {key}" if len(of) > 1 else of[0].what
        yield f"{what}: {takes}; rooflab papers run {paper}, or a longer --budget"
