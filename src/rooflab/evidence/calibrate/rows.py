"""Rows of a serving table as a calibration sees them: questions that can be asked, runs that they belong to."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Final

from rooflab.errors import RooflabError
from rooflab.evidence.fit.identify import Found
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.rows.serving import Unsupported, question
from rooflab.evidence.rows.tables import Row
from rooflab.scenario.scenario import Scenario

__all__ = ["ENERGY", "configuration", "fit_rows", "scenario_of", "source_of"]

ENERGY: Final = ("power_w", "j_per_token")
"""Metrics of rows that tell of power and not of time."""


def fit_rows(rows: Sequence[Row]) -> tuple[list[FitRow], dict[str, str]]:
    """Rows of a serving table that can be asked, and the reason by id of each other one."""
    asked, reasons = [], {}
    for row in rows:
        try:
            found = question(row)
        except (Unsupported, RooflabError, ValueError) as error:
            reasons[row["id"]] = str(error)
            continue
        if not 0.0 < found.measured < math.inf:
            reasons[row["id"]] = f"value {row['value']} is not a positive number"
            continue
        asked.append(FitRow(found, row["source"], row["model"], row["gpu"]))
    return asked, reasons


def scenario_of(row: FitRow) -> Scenario:
    """The scenario that a row measured (the first of several that may be meant)."""
    return row.question.scenarios[0]


def configuration(row: FitRow) -> Hashable:
    """What rows of one run share."""
    s = scenario_of(row)
    return (id(s.model), id(s.hardware), s.deployment, s.workload)


def source_of(rows: Sequence[FitRow], found: Found, date: str) -> str:
    """What a fitted entry says of itself: rows, sources, errors and date."""
    sources = ", ".join(sorted({r.source for r in rows if r.source}))
    of = f" of {sources}" if sources else ""
    return f"{len(rows)} rows{of}: {found.after[0]:.0%} median, {found.left_out[0]:.0%} left out; fitted {date}"
