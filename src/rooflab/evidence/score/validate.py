"""Predicted against measured: errors, bias and interval coverage of a table's rows, in groups; what is not modelled,
and why.

error      |predicted / measured − 1|; median and 90th percentile of a group
bias       median of predicted / measured − 1
coverage   share of rows whose measured value lies in the 90 % interval
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from rooflab.evidence.intervals.intervals import IntervalTable, shipped_table
from rooflab.evidence.intervals.likeness import VERDICTS
from rooflab.evidence.rows.shipped import shipped_rows
from rooflab.evidence.rows.tables import Table, read_table
from rooflab.evidence.score.score import INCOMPLETE, SUSPECT, UNFAIR, Scored, Scores, score

__all__ = ["GROUPINGS", "Group", "Judged", "Validation", "group_by", "judge", "validate"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A scored row with its 90 % interval and verdict."""

    row: Scored
    low: float
    high: float
    verdict: str

    @property
    def held(self) -> bool:
        """Whether the interval holds what was measured."""
        return self.low <= self.row.measured <= self.high

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        r = self.row
        return {
            "id": r.id, "source": r.source, "engine": r.engine, "gpu": r.gpu, "model": r.model, "scenario": r.scenario,
            "metric": r.metric,
            "predicted": r.predicted, "low": self.low, "high": self.high, "measured": r.measured, "error": r.error,
            "provenance": r.provenance, "verdict": self.verdict,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """Errors of a group of rows, as fractions."""

    n: int
    median_ape: float
    p90_ape: float
    bias: float
    coverage_90: float

    def record(self) -> dict[str, float | int | None]:
        """As plain JSON values; without rows there are no figures."""
        return {k: (None if isinstance(v, float) and math.isnan(v) else v) for k, v in asdict(self).items()}


def group_of(rows: Sequence[Judged]) -> Group:
    """The errors of `rows`."""
    if not rows:
        return Group(0, math.nan, math.nan, math.nan, math.nan)
    ratio = np.array([j.row.predicted / j.row.measured for j in rows]) - 1.0
    error = np.abs(ratio)
    return Group(
        len(rows), float(np.median(error)), float(np.quantile(error, 0.9)), float(np.median(ratio)),
        float(np.mean([j.held for j in rows]))
    )  # fmt: skip


def group_by(rows: Iterable[Judged], key: Callable[[Judged], str]) -> dict[str, Group]:
    """Errors by `key`, the largest groups first; rows with an empty key belong to none."""
    members: dict[str, list[Judged]] = {}
    for j in rows:
        members.setdefault(key(j), []).append(j)
    members.pop("", None)
    return {k: group_of(v) for k, v in sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))}


def _family(j: Judged) -> str:
    return f"{j.row.domain.family}, {j.row.kind}" if j.row.kind else j.row.domain.family


GROUPINGS: Final[dict[str, Callable[[Judged], str]]] = {
    "by_metric": lambda j: j.row.metric,
    "by_family": _family,
    "by_source": lambda j: j.row.source,
    "by_engine": lambda j: j.row.engine,
    "by_gpu": lambda j: j.row.gpu,
    "by_model": lambda j: j.row.model,
    "by_scenario": lambda j: j.row.scenario,
    "by_verdict": lambda j: j.verdict,
}
"""The groupings of a validation; families are metrics by load and kind of model (dense, moe)."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What `rooflab validate` finds in a table: rows judged, and the reason of each that could not be scored, by id."""

    name: str
    total: int
    rows: tuple[Judged, ...]
    unsupported: dict[str, str]

    @property
    def suspect(self) -> list[str]:
        """Ids of rows that the table itself doubts."""
        return [row for row, reason in self.unsupported.items() if reason == SUSPECT]

    @property
    def reasons(self) -> dict[str, int]:
        """Rows not scored, by reason, most frequent first."""
        return dict(Counter(self.unsupported.values()).most_common())

    @property
    def answerable(self) -> int:
        """Rows with a full configuration that a model could be asked: neither suspect, nor waiting time, nor short of a
        figure."""
        exempt = sum(r.startswith(UNFAIR) or any(w in r for w in INCOMPLETE) for r in self.unsupported.values())
        return self.total - exempt

    def overall(self) -> Group:
        """Errors of all rows."""
        return group_of(self.rows)

    def groups(self) -> dict[str, dict[str, Group]]:
        """Errors by each grouping."""
        return {name: group_by(self.rows, key) for name, key in GROUPINGS.items()}

    def worst(self, n: int = 20) -> list[Judged]:
        """Rows that are furthest off, by the size of log(predicted / measured)."""
        return sorted(self.rows, key=lambda j: (-abs(j.row.ratio), j.row.id))[:n]

    def record(self, *, rows: bool = False) -> dict[str, Any]:
        """As plain JSON values; metrics are also split into dense and MoE models, and `rows` adds one record a row."""
        groups = self.groups()
        out: dict[str, Any] = {
            "table": self.name,
            "rows_total": self.total,
            "rows_scored": len(self.rows),
            "rows_unsupported": len(self.unsupported),
            "rows_suspect": len(self.suspect),
            "rows_answerable": self.answerable,
            "unsupported_reasons": self.reasons,
            "suspect": self.suspect,
            "overall": self.overall().record(),
            **{name: {k: g.record() for k, g in found.items()} for name, found in groups.items()},
            "worst": [j.record() for j in self.worst()],
        }
        for kind in ("dense", "moe"):
            split = group_by((j for j in self.rows if j.row.kind == kind), GROUPINGS["by_metric"])
            for metric, group in split.items():
                out["by_metric"][metric][kind] = group.record()
        if rows:
            out["rows"] = [j.record() for j in self.rows]
            out["unsupported"] = [{"id": row, "reason": reason} for row, reason in self.unsupported.items()]
        return out


def judge(scores: Scores, table: IntervalTable | None = None) -> list[Judged]:
    """Rows with their intervals, from the table of spreads that ships (or another)."""
    table = table or shipped_table()
    seen: dict[Any, tuple[float, float, str]] = {}
    out = []
    for r in scores.scored:
        place = (r.domain, r.key)
        if place not in seen:
            near = table.nearness(r.key, r.domain) if r.key else r.domain.near
            spread = table.factors(replace(r.domain, near=near))[1]
            seen[place] = (math.exp(spread.low), math.exp(spread.high), VERDICTS[near])
        low, high, verdict = seen[place]
        out.append(Judged(r, r.predicted * low, min(r.predicted * high, r.ceiling), verdict))
    return out


def validate(path: str | Path | None = None) -> Validation:
    """Score the rows of a CSV file, or those that ship. Raises InputError for a file that is no table of
    measurements."""
    tables: tuple[Table, ...] = (read_table(path),) if path else shipped_rows()
    rows: list[Judged] = []
    unsupported: dict[str, str] = {}
    for table in tables:
        scores = score(table)
        rows += judge(scores)
        unsupported |= scores.unsupported
    total = sum(len(t.rows) for t in tables)
    return Validation(str(path) if path else "the rows that ship", total, tuple(rows), unsupported)
