"""A scenario in words: what runs where, under which load, in which deployment."""

from __future__ import annotations

from rooflab.launch.label import host_words
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.lengths import Lengths
from rooflab.scenario.model import Model
from rooflab.scenario.runtime import ENGINES
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload
from rooflab.units import format_seconds, significant

__all__ = ["deployment_words", "hardware_words", "load_words", "targets_words", "title"]


def title(scenario: Scenario) -> str:
    """``Llama-3.1-70B-Instruct on 8 × H100 SXM (one host, NVLink)``."""
    return f"{scenario.model.served_name.rsplit('/', 1)[-1]} on {hardware_words(scenario.hardware)}"


def hardware_words(hardware: Hardware) -> str:
    """Devices, hosts, and what joins them."""
    device = hardware.device
    if hardware.count == 1:
        return device.name
    hosts = hardware.hosts
    where = "one host" if hosts == 1 else f"{hosts} hosts of {hardware.devices_per_host}"
    joints = [device.scale_up.key] if min(hardware.count, hardware.devices_per_host) > 1 else []
    joints += [hardware.network.key] if hosts > 1 else []
    return f"{hardware.count} × {device.name} ({', '.join([where, *joints])})"


def load_words(workload: Workload, model: Model | None = None) -> str:
    """How requests come and how long they are."""
    how = {
        "open": f"{significant(workload.rate or 0)} requests/s",
        "trace": f"{significant(workload.rate or 0)} requests/s" if workload.rate else "a trace",
        "closed": f"{workload.concurrency or 0:,} {'request' if workload.concurrency == 1 else 'requests'} in flight",
        "static": f"a batch of {workload.batch or 1:,}",
        "burst": f"a burst of {workload.burst or 0:,}{_at_a_time(workload)}",
        "max-throughput": "as many requests as fit",
    }[workload.mode]
    if model is not None and model.vision:
        return f"{how}, images of {model.vision.image} × {model.vision.image}"
    lengths = f"{_length(workload.isl)} in"
    if model is None or model.kind not in ("encoder", "vision"):
        lengths += f", {_length(workload.osl)} out"
    source = f" ({workload.like or workload.trace})" if workload.like or workload.trace else ""
    return f"{how}, {lengths}{source}"


def _at_a_time(workload: Workload) -> str:
    return "" if workload.concurrency is None else f", {workload.concurrency:,} in flight"


def _length(lengths: Lengths) -> str:
    if lengths.kind == "fixed":
        return f"{lengths.mean:,.0f}"
    if lengths.kind == "uniform":
        return f"{lengths.low:,.0f} to {lengths.high:,.0f}"
    return f"{lengths.mean:,.0f} ± {lengths.mean * lengths.cv:,.0f}"


def targets_words(scenario: Scenario) -> str:
    """The service levels: ``TTFT p99 ≤ 1 s, TPOT p99 ≤ 50 ms``; empty without any."""
    words = []
    for key, limit in scenario.slo:
        name, statistic = key.rsplit("_", 1)
        words.append(f"{name.upper()} {statistic} ≤ {format_seconds(limit).replace('.00 ', ' ')}")
    return ", ".join(words)


def deployment_words(deployment: Deployment, model: Model) -> str:
    """A completed deployment in a line: engine, splits, formats, limits."""
    d = deployment
    names = (("TP", d.split.tp), ("PP", d.split.pp), ("EP", d.split.ep), ("DP", d.split.dp), ("CP", d.split.cp))
    splits = [f"{name}{degree}" for name, degree in names if (degree or 1) > 1]
    split = " ".join(splits) or "one device"
    if (d.cluster.replicas or 1) > 1:
        split += f" × {d.cluster.replicas}"
    weights = d.formats.weights or model.dtype
    experts = d.formats.experts or (d.formats.weights or model.expert_dtype if model.is_moe else None)
    formats = f"{weights} weights" if experts in (None, weights) else f"{weights} weights, {experts} experts"
    words = [ENGINES.get(d.runtime.engine, d.runtime.engine), split, formats]
    if model.kind == "decoder":
        words += [
            f"{d.formats.kv or model.kv_dtype or 'bf16'} cache",
            f"at most {d.limits.max_num_seqs:,} sequences, {d.limits.max_num_batched_tokens:,} tokens a step",
        ]
    if host := host_words(d, model):
        words.append(host)
    if d.runtime.speculation:
        words.append(f"{d.runtime.speculation.tokens} drafted tokens")
    return " · ".join(words)
