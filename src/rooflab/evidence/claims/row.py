"""What a check says of one published figure, and how many figures and findings have each status."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

__all__ = ["STATUSES", "Row", "Status", "counts", "findings"]

Status = Literal[
    "reproduced", "depends", "failing", "not-modelled", "calibrated", "input", "analogue", "needs-extra",
    "unaudited",
]  # fmt: skip
"""Agrees; agrees or not by an assumption's end or by a revision that nothing independent backs; does not agree or does
not pass its audit; is not computed; agrees, but its own paper's data are in a fit that priced it; restates what was put
in; is the paper's algorithm on other data; needs a library that is not installed; is a value of the ledger, which no
check of the present sources has computed and audited."""
STATUSES: Final[tuple[str, ...]] = get_args(Status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published figure: what was expected, what came out first and now, and whether it can be believed.

    `expected`, `first` and `got` are plain JSON values: a number, two ends or members of a range, or a mapping.
    `revised` counts the revisions in the ledger since the first value. `assumptions` holds each with its ends, `flips`
    those at an end of which the verdict is another, or else at whose ends together ("the seed": with another seed).
    `spread` is the lowest and the highest value over seeds, in the form of the figure, where something is drawn.
    `moved_by` are the inputs that moved the figure in its audit, `seconds` what the processor took, `unsourced` the
    numbers in the paper's code that have no source, of all claims.
    """

    paper: str
    seed: int
    claim: str
    role: str
    group: str
    text: str
    expected: Any
    unit: str
    first: Any
    revised: int
    got: Any
    error: float | None
    tolerance: float | None
    status: Status
    kind: str
    assumptions: tuple[Mapping[str, Any], ...] = ()
    flips: tuple[str, ...] = ()
    audited: bool
    source: str
    reason: str
    moved_by: tuple[str, ...] = ()
    spread: Any = None
    seconds: float = 0.0
    unsourced: int = 0

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Row:
        """The row that a record, read back from JSON, was made of."""
        fields: dict[str, Any] = dict(record)
        return cls(**fields | {k: tuple(fields[k]) for k in ("assumptions", "flips", "moved_by")})


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows have each status, how many are audited, how many there are."""
    out = {status: sum(r.status == status for r in rows) for status in STATUSES}
    return out | {"audited": sum(r.audited for r in rows), "claims": len(rows)}


def findings(rows: Sequence[Row]) -> dict[str, int]:
    """Findings (groups) instead of cells: a finding is reproduced when all its computed figures are.

    Keys: "reproduced", "other" (computed, not all reproduced), "not computed", "findings".
    """
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for r in rows:
        groups[r.paper, r.group].append(r)
    computed = [[r for r in g if r.status not in ("not-modelled", "needs-extra")] for g in groups.values()]
    whole = sum(bool(g) and all(r.status == "reproduced" for r in g) for g in computed)
    none = sum(not g for g in computed)
    return {"reproduced": whole, "other": len(groups) - whole - none, "not computed": none, "findings": len(groups)}
