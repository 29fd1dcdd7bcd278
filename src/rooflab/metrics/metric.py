"""What a metric is, and rows of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["ALL", "ESTIMATED", "SERVING", "SIMULATED", "STATISTICS", "TRAINED", "Better", "Engine", "Metric", "rows"]

Better = Literal["higher", "lower", "neither"]
Engine = Literal["estimate", "simulate", "train"]

SERVING: Final[tuple[Engine, ...]] = ("estimate", "simulate")
SIMULATED: Final[tuple[Engine, ...]] = ("simulate",)
ESTIMATED: Final[tuple[Engine, ...]] = ("estimate",)
TRAINED: Final[tuple[Engine, ...]] = ("train",)
ALL: Final[tuple[Engine, ...]] = ("estimate", "simulate", "train")

STATISTICS: Final = {
    "mean": "mean",
    "p50": "median",
    "p90": "90th percentile",
    "p99": "99th percentile",
    "p999": "99.9th percentile",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric: `kind` groups it, `of` says who reports it, `needs` what must be known beyond model, hardware and
    workload."""

    name: str
    unit: str
    formula: str
    better: Better
    kind: str
    of: tuple[Engine, ...]
    needs: tuple[str, ...] = ()


def rows(
    kind: str, of: tuple[Engine, ...], *found: tuple[str, str, Better, str], needs: tuple[str, ...] = ()
) -> Iterator[Metric]:
    """Metrics of one kind from rows of name, unit, which way is better, formula."""
    for name, unit, better, formula in found:
        yield Metric(name=name, unit=unit, formula=formula, better=better, kind=kind, of=of, needs=needs)
