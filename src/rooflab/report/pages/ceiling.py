"""A ceiling as one HTML page: what each kind of work stands for, and what no paper can therefore give."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rooflab.charts.bars import Part, Stack, stacks
from rooflab.charts.palette import GOOD, GREY, TEAL
from rooflab.files import write_text
from rooflab.report.pages.parts import Answer, Card, Cell, Column, Table, table
from rooflab.report.pages.render import render
from rooflab.report.text.ceiling import NOTHING, WORK_WORDS, at_most_words, now_words, value_words
from rooflab.report.text.headline import load_words, title

if TYPE_CHECKING:
    from rooflab.planner.ceiling import Ceiling, Headroom

__all__ = ["ceiling_page", "write_ceiling_page"]

_LONGEST: Final = 10.0
"""Gain at which a bar ends, so that one without a limit leaves the others to be seen."""


def write_ceiling_page(found: Ceiling, path: str | Path) -> None:
    """Write the page to `path`, whole or not at all."""
    write_text(path, ceiling_page(found))


def ceiling_page(found: Ceiling) -> str:
    """The page as text."""
    s = found.scenario
    works = sorted(found.works, key=lambda w: (-w.free, WORK_WORDS[w.work]))
    gaining = [w for w in works if w.free >= NOTHING]
    return render(
        "ceiling.html.j2",
        name=title(s),
        load=load_words(s.workload, s.model),
        what=found.objective.title,
        answer=_answer(found, gaining),
        chart=_chart(gaining) if gaining else None,
        works=_table(found, works),
        notes=[
            f"All of it free: {at_most_words(found.together)}.",
            "The gains neither add up nor multiply: work that overlaps is worth nothing alone and all of it together.",
        ],
    )


def _answer(found: Ceiling, gaining: list[Headroom]) -> Answer:
    if found.why:
        return Answer("Each kind of work says whether it would be possible with it free.", now_words(found), good=False)
    if not gaining:
        return Answer(f"No kind of work stands for anything. {now_words(found)}")
    first = gaining[0]
    most = at_most_words(first.free)
    return Answer(f"A paper gives at most {most}, by saving {WORK_WORDS[first.work]}. {now_words(found)}")


def _chart(gaining: list[Headroom]) -> Card:
    most = min(max(w.free for w in gaining), _LONGEST)
    rows = [
        Stack(
            WORK_WORDS[w.work],
            [
                Part(1.0, "now", GREY),
                Part(min(w.halved, most) - 1.0, f"halved: {at_most_words(w.halved)}", GOOD),
                Part(max(min(w.free, most) - min(w.halved, most), 0.0), f"free: {at_most_words(w.free)}", TEAL),
            ],
        )
        for w in gaining
    ]
    drawn = stacks(rows, total=most, unit="×", label="gain by kind of work", width=1000.0)
    note = "Grey: as it is. Then what half of the work is worth, and what the rest of it is worth."
    return Card(charts=[drawn], note=note, wide=True)


def _table(found: Ceiling, works: list[Headroom]) -> Table:
    columns: list[Column | str] = ["kind of work", "free", "halved", found.objective.unit]
    planned = found.how == "plan"
    if planned:
        columns += ["devices", Column("the plan then", text=True)]
    rows = []
    for w in works:
        cells: list[Cell | str] = [
            Cell(WORK_WORDS[w.work]),
            Cell(at_most_words(w.free), w.free),
            Cell(at_most_words(w.halved), w.halved),
            Cell(value_words(w.value, found.objective.unit), w.value),
        ]
        if planned:
            cells += [
                Cell(f"{w.devices:,.0f}" if math.isfinite(w.devices) else "–", w.devices),
                Cell(w.label or "the same"),
            ]
        rows.append(cells)
    return table(columns, rows)
