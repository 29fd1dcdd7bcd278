"""Every metric by name: unit, formula, which way is better, what it needs. Documentation, tables and comparisons read
this.

A latency has one metric a statistic: `ttft_s_mean`, `ttft_s_p50`, ... p999 is the 99.9th percentile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from rooflab.errors import unknown

__all__ = ["METRICS", "STATISTICS", "Metric", "metric"]

Better = Literal["higher", "lower", "neither"]
Engine = Literal["estimate", "simulate", "train"]

STATISTICS: Final = {
    "mean": "mean",
    "p50": "median",
    "p90": "90th percentile",
    "p99": "99th percentile",
    "p999": "99.9th percentile",
}


@dataclass(frozen=True, slots=True)
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


_SERVING: Final[tuple[Engine, ...]] = ("estimate", "simulate")
_SIMULATED: Final[tuple[Engine, ...]] = ("simulate",)
_ESTIMATED: Final[tuple[Engine, ...]] = ("estimate",)
_TRAINED: Final[tuple[Engine, ...]] = ("train",)
_ALL: Final[tuple[Engine, ...]] = ("estimate", "simulate", "train")


def _throughput() -> Iterator[Metric]:
    for name, unit, formula in (
        (
            "output_tokens_per_s",
            "tokens/s",
            "generated tokens of finished requests / time from the first arrival to the last token",
        ),
        ("total_tokens_per_s", "tokens/s", "(prompt + generated tokens of finished requests) / the same time"),
        ("requests_per_s", "requests/s", "finished requests / the same time"),
    ):
        yield Metric(name, unit, formula, "higher", "throughput", _SERVING)
        yield Metric(f"{name}_per_gpu", f"{unit}/device", f"{name} / devices", "higher", "throughput", _SERVING)
    yield Metric(
        "goodput_requests_per_s", "requests/s", "finished requests within every limit of their SLO / the same time",
        "higher", "throughput",
        _SERVING, ("slo",),
    )  # fmt: skip
    yield Metric(
        "slo_attainment", "fraction", "requests within every limit of their SLO / requests that arrived (rejected ones "
                                      "count as broken)",
        "higher", "throughput", _SIMULATED, ("slo",),
    )  # fmt: skip
    yield Metric("duration_s", "s", "last token − first arrival", "lower", "throughput", _SIMULATED)
    for name, formula in (
        ("requests", "requests of the workload"),
        ("finished", "requests that got their last token"),
        ("rejected", "requests turned away by admission control"),
        ("impossible", "requests longer than every replica's cache or model length"),
        ("pending", "requests not released or not done when the run stopped"),
    ):
        better: Better = "lower" if name in ("rejected", "impossible", "pending") else "neither"
        yield Metric(name, "requests", formula, better, "throughput", _SIMULATED)


def _latency() -> Iterator[Metric]:
    for name, of, formula in (
        ("ttft_s", _SERVING, "time to first token: first token − arrival"),
        (
            "tpot_s",
            _SERVING,
            "time per output token: (last token − first token) / (generated tokens − 1), requests of two tokens and "
            "more",
        ),
        (
            "itl_s",
            _SIMULATED,
            "inter-token latency: gaps between consecutive tokens, all requests pooled (1.2 % wide bins)",
        ),
        ("e2e_s", _SERVING, "end to end: last token − arrival"),
        ("queue_s", _SIMULATED, "first scheduled − arrival"),
    ):
        for stat, words in STATISTICS.items():
            simulated_only = of == _SIMULATED or stat == "p999"
            yield Metric(
                f"{name}_{stat}", "s", f"{words} of {formula}", "lower", "latency", _SIMULATED if simulated_only else of
            )


def _memory() -> Iterator[Metric]:
    yield Metric("weights_bytes", "B", "weights resident on one device", "lower", "memory", _SERVING)
    yield Metric("kv_bytes", "B", "KV cache and recurrent state in use on one device", "neither", "memory", _SERVING)
    yield Metric("free_bytes", "B", "memory of one device − everything resident", "higher", "memory", _SERVING)
    yield Metric(
        "kv_occupancy_mean", "fraction", "time average of KV blocks held / KV blocks", "neither", "memory", _SIMULATED
    )
    yield Metric(
        "kv_occupancy_max",
        "fraction",
        "largest interval average of KV blocks held / KV blocks",
        "neither",
        "memory",
        _SIMULATED,
    )
    yield Metric(
        "cached_fraction",
        "fraction",
        "prompt tokens found in the prefix cache / prompt tokens looked up",
        "higher",
        "memory",
        _SIMULATED,
    )
    yield Metric("preemptions", "count", "sequences put back by KV pressure", "lower", "memory", _SIMULATED)
    yield Metric(
        "recomputed_tokens",
        "tokens",
        "tokens computed again after a preemption or a failure",
        "lower",
        "memory",
        _SIMULATED,
    )
    yield Metric("swapped_tokens", "tokens", "tokens whose KV went to the host and back", "lower", "memory", _SIMULATED)
    yield Metric(
        "transferred_tokens",
        "tokens",
        "tokens whose KV went from a prefill to a decode replica",
        "neither",
        "memory",
        _SIMULATED,
    )


def _load() -> Iterator[Metric]:
    yield Metric("running", "requests", "time average of sequences in the batch", "neither", "load", _ESTIMATED)
    yield Metric(
        "max_running", "requests", "sequences that fit: KV capacity and max_num_seqs", "higher", "load", _ESTIMATED
    )
    yield Metric(
        "running_mean",
        "requests",
        "time average of sequences in the batch, all replicas",
        "neither",
        "load",
        _SIMULATED,
    )
    yield Metric(
        "waiting_mean", "requests", "time average of queued requests, all replicas", "lower", "load", _SIMULATED
    )
    yield Metric("waiting_max", "requests", "largest interval average of queued requests", "lower", "load", _SIMULATED)
    yield Metric("utilisation", "fraction", "time in engine steps / time up", "neither", "load", _SERVING)
    yield Metric("saturated", "", "whether more requests come than can be served", "neither", "load", _ESTIMATED)
    yield Metric("devices", "count", "devices in use", "lower", "load", _SERVING)


def _energy_and_cost() -> Iterator[Metric]:
    yield Metric("energy_j", "J", "energy of all devices, idle power included", "lower", "energy", _SIMULATED)
    yield Metric("power_w", "W", "mean power of all devices", "lower", "energy", _ALL)
    yield Metric("j_per_token", "J/token", "energy / generated tokens", "lower", "energy", _SERVING)
    yield Metric("usd_per_hour", "USD/h", "devices · price of a device hour", "lower", "cost", _SERVING, ("price",))
    yield Metric(
        "usd_per_mtok",
        "USD/Mtoken",
        "price of the devices while they generate a million tokens",
        "lower",
        "cost",
        _SERVING,
        ("price",),
    )
    yield Metric(
        "gco2e_per_mtok", "gCO2e/Mtoken", "(devices + hosts) · PUE · carbon intensity of the grid, a million generated "
                                          "tokens", "lower",
        "cost", _SERVING, ("grid",),
    )  # fmt: skip


def _efficiency() -> Iterator[Metric]:
    yield Metric(
        "mfu", "fraction", "FLOP/s that the model needs / peak FLOP/s", "higher", "efficiency", ("estimate", "train")
    )
    yield Metric("mbu", "fraction", "bytes moved / time / peak memory bandwidth", "higher", "efficiency", _ESTIMATED)
    yield Metric(
        "limit_ratio",
        "fraction",
        "physical limit of the same work / predicted time",
        "higher",
        "efficiency",
        _ESTIMATED,
    )
    yield Metric(
        "limit_output_tokens_per_s_per_gpu", "tokens/s/device", "output_tokens_per_s_per_gpu / limit_ratio", "neither",
        "efficiency",
        _ESTIMATED,
    )  # fmt: skip
    yield Metric("bottleneck", "", "what a mean step spends most of its time on", "neither", "efficiency", _ESTIMATED)
    for part in ("weights_bandwidth", "arithmetic", "attention", "communication", "host", "offload"):
        formula = f"time of a mean step spent on {part.replace('_', ' ')} / time of the step"
        yield Metric(f"share_{part}", "fraction", formula, "neither", "efficiency", _ESTIMATED)


def _fairness() -> Iterator[Metric]:
    yield Metric(
        "fairness_jain", "fraction",
        "Jain's index (Σx)² / (n Σx²) of the clients' service a second while they have requests waiting; prompt + 2 · "
        "generated tokens",
        "higher", "fairness", _SIMULATED, ("clients",),
    )  # fmt: skip
    yield Metric(
        "max_service_difference", "weighted tokens",
        "largest difference in service between two clients over a stretch in which both have requests waiting (VTC, "
        "Sheng et al. 2024)",
        "lower", "fairness", _SIMULATED, ("clients",),
    )  # fmt: skip


def _training() -> Iterator[Metric]:
    yield Metric("step_s", "s", "time of an optimiser step", "lower", "training", _TRAINED)
    yield Metric(
        "tokens_per_s_per_gpu",
        "tokens/s/device",
        "tokens of a global batch / step_s / devices",
        "higher",
        "training",
        _TRAINED,
    )
    yield Metric(
        "tflops_per_gpu",
        "TFLOP/s",
        "FLOPs of the model (no recomputation) / step_s / devices / 1e12",
        "higher",
        "training",
        _TRAINED,
    )
    yield Metric(
        "peak_memory_bytes", "B", "largest memory in use on a device during a step", "lower", "training", _TRAINED
    )
    yield Metric(
        "train_s", "s", "time of the whole run, failures and checkpoints included", "lower", "training", _TRAINED
    )
    yield Metric("usd", "USD", "train_s · devices · price of a device hour", "lower", "training", _TRAINED, ("price",))


_GROUPS: Final = (_throughput, _latency, _memory, _load, _energy_and_cost, _efficiency, _fairness, _training)

METRICS: Final[dict[str, Metric]] = {m.name: m for group in _GROUPS for m in group()}


def metric(name: str, where: str = "") -> Metric:
    """The metric called `name`. Raises InputError with the nearest names."""
    if name not in METRICS:
        raise unknown("metric", name, METRICS, where)
    return METRICS[name]
