"""Configurations that were measured more than once: how far apart the values lie is a floor for any model's error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rooflab.evidence.score.score import Scored

__all__ = ["repeats"]


def repeats(rows: Sequence[Scored]) -> Mapping[str, list[float]]:
    """Highest over lowest value, less one, of each set of rows that are stated alike, by family.

    Rows belong together when metric, scenario, shape of the model, device, engine and its generation, and everything
    that is stated of load, lengths, split and formats are the same.  Sets of equal values are copies of one measurement
    and are left out.
    """
    sets: dict[tuple[str, ...], list[Scored]] = {}
    for r in rows:
        if r.key:
            place: tuple[str, ...] = (
                r.domain.family,
                r.kind,
                r.metric,
                r.scenario,
                r.key.shape,
                r.gpu,
                r.engine,
                r.setup,
            )
            sets.setdefault(place, []).append(r)
    out: dict[str, list[float]] = {}
    for place, mine in sets.items():
        values = {f"{r.measured:.4g}": r.measured for r in mine}
        if len(values) > 1:
            out.setdefault(f"{place[0]}, {place[1]}", []).append(max(values.values()) / min(values.values()) - 1.0)
    return out
