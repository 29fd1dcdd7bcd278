"""Service levels: upper limits on latency metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rooflab.errors import InputError, unknown
from rooflab.scenario import fields

__all__ = ["SLO", "SLO_KEYS", "read_slo"]

SLO_KEYS: Final = tuple(
    f"{metric}_{stat}" for metric in ("ttft", "tpot", "e2e") for stat in ("mean", "p50", "p90", "p99")
)


@dataclass(frozen=True, slots=True)
class SLO:
    """Limits by key (`ttft_p99`, `tpot_mean`, ...), seconds; the metric `ttft_p99` is reported as `ttft_s_p99`."""

    limits: tuple[tuple[str, float], ...] = ()

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return iter(self.limits)

    def __bool__(self) -> bool:
        return bool(self.limits)

    @staticmethod
    def metric(key: str) -> str:
        """Name of the metric that limit `key` bounds."""
        name, stat = key.rsplit("_", 1)
        return f"{name}_s_{stat}"


def read_slo(value: Any, where: str = "slo") -> SLO:
    """Limits from ``{ttft_p99: 1 s, tpot_p99: 50 ms}``; a bare ``ttft`` means its 99th percentile."""
    if isinstance(value, SLO):
        return value
    if not isinstance(value, Mapping):
        raise InputError(f"expected limits such as ttft_p99: 1 s, got {value!r}", where)
    seconds = fields.quantity("time")
    limits: list[tuple[str, float]] = []
    for given, limit in value.items():
        key = f"{given}_p99" if given in ("ttft", "tpot", "e2e") else str(given)
        if key not in SLO_KEYS:
            raise unknown("latency target", str(given), SLO_KEYS, where)
        if key in dict(limits):
            raise InputError(f"{key} is given twice", where)
        limits.append((key, seconds(limit, f"{where}.{given}")))
    return SLO(tuple(sorted(limits)))
