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
        yield Metric(name=name, unit=unit, formula=formula, better="higher", kind="throughput", of=_SERVING)
        yield Metric(
            name=f"{name}_per_gpu",
            unit=f"{unit}/device",
            formula=f"{name} / devices",
            better="higher",
            kind="throughput",
            of=_SERVING,
        )
    yield Metric(
        name="goodput_requests_per_s", unit="requests/s", formula="finished requests within every limit of their SLO / "
                                                                  "the same time",
        better="higher", kind="throughput",
        of=_SERVING, needs=("slo",),
    )  # fmt: skip
    yield Metric(
        name="slo_attainment", unit="fraction", formula="requests within every limit of their SLO / requests that "
                                                        "arrived (rejected ones "
                                      "count as broken)",
        better="higher", kind="throughput", of=_SIMULATED, needs=("slo",),
    )  # fmt: skip
    yield Metric(
        name="duration_s",
        unit="s",
        formula="last token − first arrival",
        better="lower",
        kind="throughput",
        of=_SIMULATED,
    )
    for name, formula in (
        ("requests", "requests of the workload"),
        ("finished", "requests that got their last token"),
        ("rejected", "requests turned away by admission control"),
        ("impossible", "requests longer than every replica's cache or model length"),
        ("pending", "requests not released or not done when the run stopped"),
    ):
        better: Better = "lower" if name in ("rejected", "impossible", "pending") else "neither"
        yield Metric(name=name, unit="requests", formula=formula, better=better, kind="throughput", of=_SIMULATED)


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
            _SERVING,
            "inter-token latency: gaps between consecutive tokens, all requests pooled (1.2 % wide bins)",
        ),
        ("e2e_s", _SERVING, "end to end: last token − arrival"),
        ("queue_s", _SIMULATED, "first scheduled − arrival"),
    ):
        for stat, words in STATISTICS.items():
            simulated_only = of == _SIMULATED or stat == "p999"
            yield Metric(
                name=f"{name}_{stat}",
                unit="s",
                formula=f"{words} of {formula}",
                better="lower",
                kind="latency",
                of=_SIMULATED if simulated_only else of,
            )


def _memory() -> Iterator[Metric]:
    yield Metric(
        name="weights_bytes",
        unit="B",
        formula="weights resident on one device",
        better="lower",
        kind="memory",
        of=_SERVING,
    )
    yield Metric(
        name="kv_bytes",
        unit="B",
        formula="KV cache and recurrent state in use on one device",
        better="neither",
        kind="memory",
        of=_SERVING,
    )
    yield Metric(
        name="free_bytes",
        unit="B",
        formula="memory of one device − everything resident",
        better="higher",
        kind="memory",
        of=_SERVING,
    )
    yield Metric(
        name="kv_occupancy_mean",
        unit="fraction",
        formula="time average of KV blocks held / KV blocks",
        better="neither",
        kind="memory",
        of=_SIMULATED,
    )
    yield Metric(
        name="kv_occupancy_max",
        unit="fraction",
        formula="largest interval average of KV blocks held / KV blocks",
        better="neither",
        kind="memory",
        of=_SIMULATED,
    )
    yield Metric(
        name="cached_fraction",
        unit="fraction",
        formula="prompt tokens found in the prefix cache / prompt tokens looked up",
        better="higher",
        kind="memory",
        of=_SIMULATED,
    )
    yield Metric(
        name="preemptions",
        unit="count",
        formula="sequences put back by KV pressure",
        better="lower",
        kind="memory",
        of=_SIMULATED,
    )
    yield Metric(
        name="recomputed_tokens",
        unit="tokens",
        formula="tokens computed again after a preemption or a failure",
        better="lower",
        kind="memory",
        of=_SIMULATED,
    )
    yield Metric(
        name="swapped_tokens",
        unit="tokens",
        formula="tokens whose KV went to the host and back",
        better="lower",
        kind="memory",
        of=_SIMULATED,
    )
    yield Metric(
        name="transferred_tokens",
        unit="tokens",
        formula="tokens whose KV went from a prefill to a decode replica",
        better="neither",
        kind="memory",
        of=_SIMULATED,
    )


def _load() -> Iterator[Metric]:
    yield Metric(
        name="running",
        unit="requests",
        formula="time average of sequences in the batch",
        better="neither",
        kind="load",
        of=_ESTIMATED,
    )
    yield Metric(
        name="max_running",
        unit="requests",
        formula="sequences that fit: KV capacity and max_num_seqs",
        better="higher",
        kind="load",
        of=_ESTIMATED,
    )
    yield Metric(
        name="running_mean",
        unit="requests",
        formula="time average of sequences in the batch, all replicas",
        better="neither",
        kind="load",
        of=_SIMULATED,
    )
    yield Metric(
        name="waiting_mean",
        unit="requests",
        formula="time average of queued requests, all replicas",
        better="lower",
        kind="load",
        of=_SIMULATED,
    )
    yield Metric(
        name="waiting_max",
        unit="requests",
        formula="largest interval average of queued requests",
        better="lower",
        kind="load",
        of=_SIMULATED,
    )
    yield Metric(
        name="utilisation",
        unit="fraction",
        formula="time in engine steps / time up",
        better="neither",
        kind="load",
        of=_SERVING,
    )
    yield Metric(
        name="saturated",
        unit="",
        formula="whether more requests come than can be served",
        better="neither",
        kind="load",
        of=_ESTIMATED,
    )
    yield Metric(name="devices", unit="count", formula="devices in use", better="lower", kind="load", of=_SERVING)


def _energy_and_cost() -> Iterator[Metric]:
    yield Metric(
        name="energy_j",
        unit="J",
        formula="energy of all devices, idle power included",
        better="lower",
        kind="energy",
        of=_SIMULATED,
    )
    yield Metric(name="power_w", unit="W", formula="mean power of all devices", better="lower", kind="energy", of=_ALL)
    yield Metric(
        name="j_per_token",
        unit="J/token",
        formula="energy / generated tokens",
        better="lower",
        kind="energy",
        of=_SERVING,
    )
    yield Metric(
        name="usd_per_hour",
        unit="USD/h",
        formula="devices · price of a device hour",
        better="lower",
        kind="cost",
        of=_SERVING,
        needs=("price",),
    )
    yield Metric(
        name="usd_per_mtok",
        unit="USD/Mtoken",
        formula="price of the devices while they generate a million tokens",
        better="lower",
        kind="cost",
        of=_SERVING,
        needs=("price",),
    )
    yield Metric(
        name="gco2e_per_mtok", unit="gCO2e/Mtoken", formula="(devices + hosts) · PUE · carbon intensity of the grid, a "
                                                            "million generated "
                                          "tokens", better="lower",
        kind="cost", of=_SERVING, needs=("grid",),
    )  # fmt: skip


def _efficiency() -> Iterator[Metric]:
    yield Metric(
        name="mfu",
        unit="fraction",
        formula="FLOP/s that the model needs / peak FLOP/s",
        better="higher",
        kind="efficiency",
        of=("estimate", "train"),
    )
    yield Metric(
        name="mbu",
        unit="fraction",
        formula="bytes moved / time / peak memory bandwidth",
        better="higher",
        kind="efficiency",
        of=_ESTIMATED,
    )
    yield Metric(
        name="limit_ratio",
        unit="fraction",
        formula="physical limit of the same work / predicted time",
        better="higher",
        kind="efficiency",
        of=_ESTIMATED,
    )
    yield Metric(
        name="limit_output_tokens_per_s_per_gpu", unit="tokens/s/device",
        formula="output_tokens_per_s_per_gpu / limit_ratio", better="neither",
        kind="efficiency",
        of=_ESTIMATED,
    )  # fmt: skip
    yield Metric(
        name="bottleneck",
        unit="",
        formula="what a mean step spends most of its time on",
        better="neither",
        kind="efficiency",
        of=_ESTIMATED,
    )
    for part in ("weights_bandwidth", "arithmetic", "attention", "communication", "host", "offload"):
        formula = f"time of a mean step spent on {part.replace('_', ' ')} / time of the step"
        yield Metric(
            name=f"share_{part}", unit="fraction", formula=formula, better="neither", kind="efficiency", of=_ESTIMATED
        )


def _fairness() -> Iterator[Metric]:
    yield Metric(
        name="fairness_jain", unit="fraction",
        formula="Jain's index (Σx)² / (n Σx²) of the clients' service a second while they have requests waiting; "
                "prompt + 2 · "
        "generated tokens",
        better="higher", kind="fairness", of=_SIMULATED, needs=("clients",),
    )  # fmt: skip
    yield Metric(
        name="max_service_difference", unit="weighted tokens",
        formula="largest difference in service between two clients over a stretch in which both have requests waiting "
                "(VTC, "
        "Sheng et al. 2024)",
        better="lower", kind="fairness", of=_SIMULATED, needs=("clients",),
    )  # fmt: skip


def _training() -> Iterator[Metric]:
    yield Metric(
        name="step_s", unit="s", formula="time of an optimiser step", better="lower", kind="training", of=_TRAINED
    )
    yield Metric(
        name="tokens_per_s_per_gpu",
        unit="tokens/s/device",
        formula="tokens of a global batch / step_s / devices",
        better="higher",
        kind="training",
        of=_TRAINED,
    )
    yield Metric(
        name="tflops_per_gpu",
        unit="TFLOP/s",
        formula="FLOPs of the model (no recomputation) / step_s / devices / 1e12",
        better="higher",
        kind="training",
        of=_TRAINED,
    )
    yield Metric(
        name="peak_memory_bytes",
        unit="B",
        formula="largest memory in use on a device during a step",
        better="lower",
        kind="training",
        of=_TRAINED,
    )
    yield Metric(
        name="train_s",
        unit="s",
        formula="time of the whole run, failures and checkpoints included",
        better="lower",
        kind="training",
        of=_TRAINED,
    )
    yield Metric(
        name="usd",
        unit="USD",
        formula="train_s · devices · price of a device hour",
        better="lower",
        kind="training",
        of=_TRAINED,
        needs=("price",),
    )


_GROUPS: Final = (_throughput, _latency, _memory, _load, _energy_and_cost, _efficiency, _fairness, _training)

METRICS: Final[dict[str, Metric]] = {m.name: m for group in _GROUPS for m in group()}


def metric(name: str, where: str = "") -> Metric:
    """The metric called `name`. Raises InputError with the nearest names."""
    if name not in METRICS:
        raise unknown("metric", name, METRICS, where)
    return METRICS[name]
