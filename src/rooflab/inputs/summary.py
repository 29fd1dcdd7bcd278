"""What an input holds, for people: how many, each column with its range, and what looks odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["Column", "Summary", "column", "summary", "unit_of"]

Values = npt.NDArray[Any] | tuple[str, ...]

_UNITS: Final = {
    "s": "s", "ms": "ms", "us": "µs", "h": "h", "bytes": "B", "b": "B", "j": "J", "w": "W", "wh": "Wh", "kwh": "kWh",
    "usd": "USD", "tokens": "tokens", "flops": "FLOP", "macs": "MACs", "hz": "Hz", "mhz": "MHz", "ghz": "GHz",
    "c": "°C", "m": "m", "v": "V", "percent": "%", "um2": "µm²", "mw": "mW", "ns": "ns", "kb": "kB", "mb": "MB",
}  # fmt: skip
_TWO_WORDS: Final = {"_w_m2": "W/m²", "_m_s": "m/s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column or array: its type, unit (by its name's ending), shape, range, and how many differ or are missing."""

    name: str
    type: str
    unit: str = ""
    shape: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None
    distinct: int | None = None
    missing: int = 0
    example: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Counts by name ("rows"), columns, and sentences about what is odd."""

    counts: Mapping[str, int]
    columns: tuple[Column, ...] = ()
    odd: tuple[str, ...] = ()


def unit_of(name: str) -> str:
    """The unit that a name ends in: ``energy_j`` is J; empty where there is none."""
    for ending, unit in _TWO_WORDS.items():
        if name.lower().endswith(ending):
            return unit
    last = name.lower().rpartition("_")[2]
    return _UNITS.get(last, "") if "_" in name else "tokens" if last == "tokens" else ""


def column(name: str, values: Values) -> Column:
    """What a column holds; NaN and empty texts are missing."""
    if isinstance(values, tuple):
        held = [v for v in values if v]
        counts = Counter(held)
        example = counts.most_common(1)[0][0] if counts else ""
        return Column(
            name=name, type="text", shape=(len(values),), distinct=len(counts), missing=len(values) - len(held),
            example=example[:60],
        )  # fmt: skip
    kind = {"b": "truth", "i": "whole", "u": "whole", "f": "number"}[values.dtype.kind]
    present = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return Column(
        name=name, type=kind, unit=unit_of(name), shape=values.shape,
        low=float(present.min()) if present.size else None, high=float(present.max()) if present.size else None,
        distinct=len(np.unique(present)) if present.size <= 1_000_000 else None,
        missing=int(values.size - present.size),
    )  # fmt: skip


def summary(counts: Mapping[str, int], arrays: Mapping[str, Values | None], odd: Sequence[str] = ()) -> Summary:
    """Columns of the arrays that there are, with the oddities that any column can have."""
    columns = tuple(column(name, values) for name, values in arrays.items() if values is not None)
    return Summary(counts=counts, columns=columns, odd=(*odd, *(words for c in columns for words in _odd(c))))


def _odd(found: Column) -> Iterator[str]:
    count = int(np.prod(found.shape)) if found.shape else 0
    if found.missing:
        yield f"{found.name}: {found.missing:,} of {count:,} are missing"
    if found.distinct == 1 and count > 1 and not found.missing:
        held = found.example or f"{found.low:g}"
        yield f"{found.name}: every value is {held}"
