"""What a check says of one published figure, and how many figures have each status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

__all__ = ["Row", "Status", "counts"]

Status = Literal["reproduced", "failing", "not-modelled", "calibrated"]
_TUPLES: Final = ("expected", "moved_by")
"""Fields that JSON turns into lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published figure: what was expected, what came out, and whether it can be believed.

    `moved_by` are the inputs that moved the figure in its audit, `seconds` what the processor took for both.
    """

    paper: str
    seed: int
    claim: str
    text: str
    expected: float | tuple[float, float] | None
    unit: str
    bound: str
    got: float | None
    error: float | None
    tolerance: float | None
    status: Status
    kind: str
    audited: bool
    source: str
    reason: str
    moved_by: tuple[str, ...] = ()
    seconds: float = 0.0

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Row:
        """The row that a record, read back from JSON, was made of."""
        fields: dict[str, Any] = dict(record)
        return cls(**fields | {k: tuple(fields[k]) for k in _TUPLES if isinstance(fields.get(k), list)})


def counts(rows: Sequence[Row]) -> dict[str, int]:
    """How many rows have each status, and how many are audited."""
    out = {status: sum(r.status == status for r in rows) for status in get_args(Status)}
    return out | {"audited": sum(r.audited for r in rows), "claims": len(rows)}
