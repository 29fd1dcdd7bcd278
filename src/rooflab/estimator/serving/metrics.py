"""From what an engine does to the metrics of DESIGN.md: rates, latencies, memory, energy, money, shares of a step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.deploy.bill import Bill
from rooflab.estimator.serving.answer import BOTTLENECKS
from rooflab.estimator.serving.columns import Table
from rooflab.estimator.serving.outcome import STATS, Outcome
from rooflab.metrics.derived import per_token
from rooflab.scenario.slo import SLO

__all__ = ["metrics_of", "within_levels"]

Array = npt.NDArray[np.float64]


def metrics_of(t: Table, o: Outcome, costs: StepCosts, which: npt.NDArray[np.intp], bill: Bill) -> dict[str, Array]:
    """All metrics as columns, in the order in which they are shown."""
    requests = o.requests_per_s * t.in_use
    prompt = t.prompt if t.model.kind == "decoder" else t.isl
    generated = requests * t.osl
    total = requests * (prompt + t.osl)
    devices = t.devices
    m: dict[str, Array] = {
        "output_tokens_per_s": generated,
        "total_tokens_per_s": total,
        "requests_per_s": requests,
        "output_tokens_per_s_per_gpu": generated / devices,
        "total_tokens_per_s_per_gpu": total / devices,
        "requests_per_s_per_gpu": requests / devices,
    }
    for name, values in (("ttft_s", o.ttft_s), ("tpot_s", o.tpot_s), ("itl_s", o.itl_s), ("e2e_s", o.e2e_s)):
        for stat in STATS:
            m[f"{name}_{stat}"] = np.broadcast_to(values[stat], requests.shape)
    m["duration_s"] = np.where(t.burst_size > 0, t.burst_size / requests, np.nan)
    memory = t.memory_rows
    m["goodput_requests_per_s"] = requests * _attained(t, m)
    m["running"] = o.running * t.in_use
    m["max_running"] = np.minimum(t.capacity_steady, t.max_seqs) * (t.in_use + t.idle)
    m["weights_bytes"] = memory.weights_bytes
    m["kv_bytes"] = memory.sequence_bytes(
        t.standing + t.written
    ) * o.running / memory.dp - memory.kv_bytes_per_token * t.shared_twice(o.running / memory.dp)
    m["free_bytes"] = memory.free_bytes - m["kv_bytes"]
    m["utilisation"] = o.utilisation
    power = o.power_w * t.in_use + costs.scalar("idle_w", which) * t.idle
    m["power_w"] = power
    m |= per_token(
        np.where(t.osl > 0, generated, total), power_w=power, usd_per_hour=devices * bill.usd_per_device_hour,
        host_w=devices * bill.host_w_per_device, pue=bill.pue, gco2e_per_kwh=bill.gco2e_per_kwh,
    )  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):
        p, step_s = o.parts, o.step_s
        m["mfu"] = p.flops / step_s / costs.scalar("peak_flops", which)
        m["mbu"] = p.bytes / step_s / costs.scalar("peak_bytes_per_s", which)
        m["limit_ratio"] = o.bound_s / step_s
    m["limit_output_tokens_per_s_per_gpu"] = m["output_tokens_per_s_per_gpu"] / m["limit_ratio"]
    shares = _shares(o, costs, which)
    for name, share in zip(BOTTLENECKS, shares, strict=True):
        m[f"share_{name.replace(' ', '_')}"] = share
    m["bottleneck_index"] = np.argmax(np.stack(shares), axis=0).astype(np.float64)
    m["devices"] = devices
    return m


def _shares(o: Outcome, costs: StepCosts, which: npt.NDArray[np.intp]) -> list[Array]:
    """Share of the mean step's time by what it is spent on, in the order of BOTTLENECKS."""
    p = o.parts
    compute_s = p.flops / costs.scalar("peak_flops", which)
    memory_s = p.bytes / costs.scalar("peak_bytes_per_s", which)
    arithmetic = compute_s > memory_s
    zero = np.zeros_like(p.linear_s)
    gpu = p.linear_s + p.attention_s + p.comm_s
    stream = np.maximum(p.stream_s - gpu, 0.0)
    total = np.maximum(gpu + stream + p.host_s, 1e-12)
    return [
        np.where(arithmetic, zero, p.linear_s) / total,
        np.where(arithmetic, p.linear_s, zero) / total,
        p.attention_s / total,
        p.comm_s / total,
        p.host_s / total,
        stream / total,
    ]


def _attained(t: Table, m: Mapping[str, Array]) -> Array:
    """Share of requests of each row within every service level."""
    out = np.ones(len(t.scenarios))
    place: dict[tuple[tuple[str, float], ...], int] = {}
    of = np.array([place.setdefault(s.slo.limits, len(place)) for s in t.scenarios], dtype=np.intp)
    for limits, index in place.items():
        rows = np.flatnonzero(of == index)
        out[rows] = within_levels(SLO(limits), m, rows)
    return out


def within_levels(slo: SLO, m: Mapping[str, Array], rows: npt.NDArray[np.intp]) -> Array:
    """Share of requests of `rows` within every level of `slo`, read off the latency quantiles (straight lines in
    −log(1 − p))."""
    out = np.ones(len(rows))
    for key, limit in slo:
        metric = SLO.metric(key).rsplit("_", 1)[0]
        p50, p90, p99 = (m[f"{metric}_{q}"][rows] for q in ("p50", "p90", "p99"))
        out = np.minimum(out, _share_within(p50, p90, p99, limit))
    return out


def _share_within(p50: Array, p90: Array, p99: Array, limit: float) -> Array:
    """Share of requests below `limit`; all beyond the 99th percentile, none where the median is unbounded."""
    knots = [np.zeros_like(p50), p50, p90, p99]
    depths = [0.0, np.log(2), np.log(10), np.log(100)]
    depth = np.zeros_like(p50)
    with np.errstate(divide="ignore", invalid="ignore"):
        for low, high, d0, d1 in zip(knots, knots[1:], depths, depths[1:], strict=False):
            depth = np.where(limit >= low, d0 + (d1 - d0) * np.clip((limit - low) / (high - low), 0.0, 1.0), depth)
    share = np.where(limit > p99, 1.0, 1.0 - np.exp(-depth))
    share = np.where(p99 <= p50, (p50 <= limit).astype(np.float64), share)
    return np.where(np.isfinite(p50), share, 0.0)
