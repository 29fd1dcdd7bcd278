"""Papers that were fetched, one of them, and how good their classification is, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rooflab.report.text.console import console, labelled, literal
from rooflab.store.papers import Paper

if TYPE_CHECKING:
    from rooflab.feed.evaluate import Scores

__all__ = ["show_paper", "show_papers", "show_scores"]


def show_papers(found: Sequence[Paper]) -> None:
    """By day: title, kind, what they save, what they claim first."""
    out = console()
    if not found:
        out.print("no paper that is kept matches (rooflab feed fetch reads new ones; --all shows other subjects, too)")
        return
    for day, papers in groupby(found, key=lambda p: p.day):
        out.print(f"[bold]{literal(day)}[/]")
        for p in papers:
            out.print(f"  {literal(p.title)}", soft_wrap=True)
            claims = f"  claims {p.figures[0]['text']}" if p.figures else ""
            out.print(f"    [dim]{literal(_id(p))}  {p.kind}  saves {literal(_listed(p.saves))}{literal(claims)}[/]")


def _id(p: Paper) -> str:
    return p.identity.partition(":")[2]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing that is told"


def show_paper(p: Paper) -> None:
    """What it is about, every figure that it claims, what can be run near it, and its abstract."""
    out = console()
    out.print(f"[bold]{literal(p.title)}[/]", soft_wrap=True)
    out.print(f"{literal(p.link)}  {p.day}, version {p.version} of {p.updated}", soft_wrap=True)
    about = f"{p.kind}; saves {_listed(p.saves)}; about efficiency: {100 * p.relevance:.0f} %"
    out.print(labelled("about", about if p.classified else "not classified yet (rooflab feed classify)", out.width))
    for i, one in enumerate(p.figures):
        out.print(labelled("claims" if i == 0 else "", _claim(one), out.width))
    if p.nearest:
        run = ", ".join(p.nearest)
        out.print(labelled("near", f"{run}: rooflab papers run {p.nearest[0]} on a scenario of yours", out.width))
    out.print()
    out.print(literal(p.abstract))


def _claim(one: Mapping[str, Any]) -> str:
    against = f" (against {one['baseline']})" if one.get("baseline") else ""
    of = f", of {one['of']}" if one.get("of") else ""
    return f"{one['text']}{of}{against}"


def show_scores(s: Scores, *, quiet: bool) -> None:
    """Shares of right answers, and the papers whose kind is another."""
    out = console()
    rows = [
        ("papers", f"{s.papers:,}, each classified as if its card did not exist"),
        ("about", f"{100 * s.relevant:.1f} % are taken to be about efficiency"),
        ("kind", f"{100 * s.kind:.1f} % right (always the most frequent: {100 * s.usual:.1f} %)"),
        (
            "saves",
            f"{100 * s.resources:.1f} % of yes and no right (always no: {100 * s.never:.1f} %); precision "
            f"{100 * s.resources_precision:.1f} %, recall {100 * s.resources_recall:.1f} %, all of a paper right "
            f"{100 * s.resources_exact:.1f} %",
        ),
        (
            "figures",
            f"recall {100 * s.figures_recall:.1f} % of {s.figures_claimed:,} numbers claimed; precision at least "
            f"{100 * s.figures_precision:.1f} % of {s.figures_found:,} found",
        ),
    ]
    for name, text in rows:
        out.print(labelled(name, text, out.width))
    if quiet:
        return
    out.print()
    for key, kind, given in s.wrong:
        out.print(f"  {literal(f'{key:<28} {kind:<20} taken for {given}')}")
