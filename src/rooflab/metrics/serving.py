"""Metrics of serving. A latency has one metric a statistic: `ttft_s_mean`, `ttft_s_p50`, ... p999 is the 99.9th
percentile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rooflab.metrics.metric import ALL, ESTIMATED, SERVING, SIMULATED, STATISTICS, Engine, Metric, rows

__all__ = ["SERVING_METRICS"]


def _latency(name: str, of: tuple[Engine, ...], formula: str) -> Iterator[Metric]:
    """A metric a statistic; the 99.9th percentile needs the records of a simulation."""
    for stat, words in STATISTICS.items():
        yield from rows(
            "latency", SIMULATED if stat == "p999" else of, (f"{name}_{stat}", "s", "lower", f"{words} of {formula}")
        )


SERVING_METRICS: Final = (
    *rows(
        "throughput", SERVING,
        ("output_tokens_per_s", "tokens/s", "higher",
         "generated tokens of finished requests / time from the first arrival to the last token"),
        ("output_tokens_per_s_per_gpu", "tokens/s/device", "higher", "output_tokens_per_s / devices"),
        ("total_tokens_per_s", "tokens/s", "higher",
         "(prompt + generated tokens of finished requests) / the same time"),
        ("total_tokens_per_s_per_gpu", "tokens/s/device", "higher", "total_tokens_per_s / devices"),
        ("requests_per_s", "requests/s", "higher", "finished requests / the same time"),
        ("requests_per_s_per_gpu", "requests/s/device", "higher", "requests_per_s / devices"),
    ),
    *rows(
        "throughput", SERVING,
        ("goodput_requests_per_s", "requests/s", "higher",
         "finished requests within every limit of their SLO / the same time"),
        needs=("slo",),
    ),
    *rows(
        "throughput", SIMULATED,
        ("slo_attainment", "fraction", "higher",
         "requests within every limit of their SLO / requests that arrived (rejected ones count as broken)"),
        needs=("slo",),
    ),
    *rows(
        "throughput", SIMULATED,
        ("duration_s", "s", "lower", "last token − first arrival"),
        ("requests", "requests", "neither", "requests of the workload"),
        ("finished", "requests", "neither", "requests that got their last token"),
        ("rejected", "requests", "lower", "requests turned away by admission control"),
        ("impossible", "requests", "lower", "requests longer than every replica's cache or model length"),
        ("pending", "requests", "lower", "requests not released or not done when the run stopped"),
    ),
    *_latency("ttft_s", SERVING, "time to first token: first token − arrival"),
    *_latency(
        "tpot_s", SERVING,
        "time per output token: (last token − first token) / (generated tokens − 1), requests of two tokens and more",
    ),
    *_latency(
        "itl_s", SERVING, "inter-token latency: gaps between consecutive tokens, all requests pooled (1.2 % wide bins)"
    ),
    *_latency("e2e_s", SERVING, "end to end: last token − arrival"),
    *_latency("queue_s", SIMULATED, "first scheduled − arrival"),
    *rows(
        "memory", SERVING,
        ("weights_bytes", "B", "lower", "weights resident on one device"),
        ("kv_bytes", "B", "neither", "KV cache and recurrent state in use on one device"),
        ("free_bytes", "B", "higher", "memory of one device − everything resident"),
    ),
    *rows(
        "memory", SIMULATED,
        ("kv_occupancy_mean", "fraction", "neither", "time average of KV blocks held / KV blocks"),
        ("kv_occupancy_max", "fraction", "neither", "largest interval average of KV blocks held / KV blocks"),
        ("cached_fraction", "fraction", "higher", "prompt tokens found in the prefix cache / prompt tokens looked up"),
        ("preemptions", "count", "lower", "sequences put back by KV pressure"),
        ("recomputed_tokens", "tokens", "lower", "tokens computed again after a preemption or a failure"),
        ("swapped_tokens", "tokens", "lower", "tokens whose KV went to the host and back"),
        ("transferred_tokens", "tokens", "neither", "tokens whose KV went from a prefill to a decode replica"),
        ("moved_tokens", "tokens", "lower", "tokens whose KV was copied on the device to keep a batch dense"),
    ),
    *rows(
        "load", ESTIMATED,
        ("running", "requests", "neither", "time average of sequences in the batch"),
        ("max_running", "requests", "higher", "sequences that fit: KV capacity and max_num_seqs"),
    ),
    *rows(
        "load", SIMULATED,
        ("running_mean", "requests", "neither", "time average of sequences in the batch, all replicas"),
        ("waiting_mean", "requests", "lower", "time average of queued requests, all replicas"),
        ("waiting_max", "requests", "lower", "largest interval average of queued requests"),
    ),
    *rows(
        "load", SERVING,
        ("utilisation", "fraction", "neither", "time in engine steps / time up"),
    ),
    *rows(
        "load", ESTIMATED,
        ("saturated", "", "neither", "whether more requests come than can be served"),
    ),
    *rows(
        "load", SERVING,
        ("devices", "count", "lower", "devices in use"),
    ),
    *rows(
        "energy", SIMULATED,
        ("energy_j", "J", "lower", "energy of all devices, idle power included"),
    ),
    *rows(
        "energy", ALL,
        ("power_w", "W", "lower", "mean power of all devices"),
    ),
    *rows(
        "energy", SERVING,
        ("j_per_token", "J/token", "lower", "energy / generated tokens"),
    ),
    *rows(
        "cost", SERVING,
        ("usd_per_hour", "USD/h", "lower", "devices · price of a device hour"),
        ("usd_per_mtok", "USD/Mtoken", "lower", "price of the devices while they generate a million tokens"),
        needs=("price",),
    ),
    *rows(
        "cost", SERVING,
        ("gco2e_per_mtok", "gCO2e/Mtoken", "lower",
         "(devices + hosts) · PUE · carbon intensity of the grid, a million generated tokens"),
        needs=("grid",),
    ),
    *rows(
        "efficiency", ("estimate", "train"),
        ("mfu", "fraction", "higher", "FLOP/s that the model needs / peak FLOP/s"),
    ),
    *rows(
        "efficiency", ESTIMATED,
        ("mbu", "fraction", "higher", "bytes moved / time / peak memory bandwidth"),
        ("limit_ratio", "fraction", "higher", "physical limit of the same work / predicted time"),
        ("limit_output_tokens_per_s_per_gpu", "tokens/s/device", "neither",
         "output_tokens_per_s_per_gpu / limit_ratio"),
        ("bottleneck", "", "neither", "what a mean step spends most of its time on"),
        ("share_weights_bandwidth", "fraction", "neither",
         "time of a mean step spent on weights bandwidth / time of the step"),
        ("share_arithmetic", "fraction", "neither", "time of a mean step spent on arithmetic / time of the step"),
        ("share_attention", "fraction", "neither", "time of a mean step spent on attention / time of the step"),
        ("share_communication", "fraction", "neither",
         "time of a mean step spent on communication / time of the step"),
        ("share_host", "fraction", "neither", "time of a mean step spent on host / time of the step"),
        ("share_offload", "fraction", "neither", "time of a mean step spent on offload / time of the step"),
    ),
    *rows(
        "fairness", SIMULATED,
        ("fairness_jain", "fraction", "higher",
         "Jain's index (Σx)² / (n Σx²) of the clients' service a second while they have requests waiting; "
         "prompt + 2 · generated tokens"),
        ("max_service_difference", "weighted tokens", "lower",
         "largest difference in service between two clients over a stretch in which both have requests waiting"
         " (VTC, Sheng et al. 2024)"),
        needs=("clients",),
    ),
)  # fmt: skip
"""In the order in which they are listed."""
