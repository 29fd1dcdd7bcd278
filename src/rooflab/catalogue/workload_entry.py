"""A workload as fitted distributions, and how a file holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rooflab.scenario.lengths import Lengths, quantiles
from rooflab.scenario.traffic import Sessions

__all__ = ["WorkloadEntry", "measured_sessions", "parse_entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadEntry:
    """A workload as fitted distributions, and where it comes from.

    `rate` (requests/s) and `arrivals_cv` are None where the source has lengths only. `reused_fraction` of prompt tokens
    had been seen before (an unlimited cache); `errors`: of the fit, KS distance and relative error of the cv for isl
    and osl.
    """

    key: str
    title: str
    source: str
    url: str
    licence: str
    rows: int
    isl: Lengths
    osl: Lengths
    correlation: float
    span_s: float | None = None
    rate: float | None = None
    arrivals_cv: float | None = None
    shared_prefix: int = 0
    sessions: Sessions | None = None
    reused_fraction: float | None = None
    note: str = ""
    errors: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The entry as the catalogue's data file holds it."""
        out: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "title",
                "source",
                "url",
                "licence",
                "rows",
                "span_s",
                "rate",
                "arrivals_cv",
                "correlation",
                "shared_prefix",
            )
        }
        out["rate"] = None if self.rate is None else round(self.rate, 5)
        out |= {"isl": list(self.isl.table), "osl": list(self.osl.table), "reused_fraction": self.reused_fraction}
        if self.sessions is not None:
            s = self.sessions
            out["sessions"] = {
                "turns": list(s.turns.table),
                "gap_s": list(s.think.table),
                "alike": s.alike,
                "longer": s.longer,
            }
        return out | {"note": self.note, "errors": dict(self.errors)}


def parse_entry(key: str, saved: Mapping[str, Any]) -> WorkloadEntry:
    """The entry that `as_json` wrote. KeyError or TypeError for anything else."""
    row = dict(saved)
    sessions = row.pop("sessions", None)
    if sessions is not None:
        row["sessions"] = measured_sessions(
            quantiles(sessions["turns"]), quantiles(sessions["gap_s"]), sessions["alike"], sessions["longer"]
        )
    return WorkloadEntry(key=key, **row | {"isl": quantiles(row["isl"]), "osl": quantiles(row["osl"])})


def measured_sessions(turns: Lengths, gaps_s: Lengths, alike: float, longer: float) -> Sessions:
    """Sessions whose turns are whole prompts, as traces show them."""
    return Sessions(turns=turns, think=gaps_s, prompt="whole", clock="arrival", alike=alike, longer=longer)
