"""What accuracy is aimed at: groups of rows by what is predicted, each with the median error that it should not
exceed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rooflab.evidence.score.score import Scored

__all__ = ["AIMS", "TAIL", "Aim"]

TAIL: Final = 3.5
"""How many times the median the 90th percentile of errors may be."""


@dataclass(frozen=True, slots=True)
class Aim:
    """A group of rows and the median |predicted / measured − 1| that is aimed at; the 90th percentile is to stay within
    `TAIL` times that."""

    name: str
    median: float
    holds: Callable[[Scored], bool]


def _family(prefix: str, kind: str = "") -> Callable[[Scored], bool]:
    """Rows of a family and kind of model; sources with an aim of their own are left out."""

    def holds(row: Scored) -> bool:
        own = row.source.startswith(("ML.ENERGY", "MLPerf"))
        return row.domain.family.startswith(prefix) and kind in ("", row.kind) and not own

    return holds


def _tail(prefix: str) -> Callable[[Scored], bool]:
    """Rows of a tail, of every source: few state one."""
    return lambda row: row.domain.family.startswith(prefix)


def _ml_energy(row: Scored) -> bool:
    return row.source.startswith("ML.ENERGY") and row.metric in ("itl_ms", "itl_p50_ms", "output_tok_s", "req_s")


def _mlperf(row: Scored) -> bool:
    return row.source.startswith("MLPerf Inference") and row.metric in ("output_tok_s", "total_tok_s", "req_s")


def _energy(*metrics: str) -> Callable[[Scored], bool]:
    return lambda row: row.domain.family.startswith("energy: ") and row.metric in metrics


def _clocks(row: Scored) -> bool:
    return row.source.startswith(("Zeus", "Perseus")) and row.metric in (
        "time_per_epoch",
        "stage_time",
        "iteration_time",
    )


AIMS: Final = (
    Aim("time per output token, dense", 0.07, _family("time per token, closed loop", "dense")),
    Aim("time per output token, MoE", 0.09, _family("time per token, closed loop", "moe")),
    Aim("time per output token, p99", 0.40, _tail("tail of time per token")),
    Aim("throughput of a static batch", 0.07, _family("throughput, static batch")),
    Aim("greatest throughput, dense", 0.08, _family("throughput, saturated", "dense")),
    Aim("greatest throughput, MoE", 0.11, _family("throughput, saturated", "moe")),
    Aim("prefill (static batch, batch 1)", 0.09, _family("prefill")),
    Aim("first token in a closed loop", 0.18, _family("first token, closed loop")),
    Aim("first token, p99", 0.40, _tail("tail of first token")),
    Aim("ML.ENERGY (vLLM on a slow host)", 0.12, _ml_energy),
    Aim("MLPerf inference throughput", 0.12, _mlperf),
    Aim(
        "joules a token, watts (ML.ENERGY)",
        0.15,
        _energy("energy_per_output_token", "energy_per_request", "avg_power_all_gpus"),
    ),
    Aim("time under clocks and power limits", 0.12, _clocks),
    Aim("images a second", 0.25, lambda row: row.domain.family.startswith("vision: ")),
)
"""The aims, on rows whose source (or, where a source is alone in its kind, whose group) took no part in the fit."""
