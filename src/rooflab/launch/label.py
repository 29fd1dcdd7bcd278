"""Deployments, loads and bounds in a few words."""

from __future__ import annotations

from typing import Final

from rooflab.operators.formats import formats_of
from rooflab.operators.offload import mixtures_of
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.model import Model
from rooflab.scenario.runtime import ENGINES
from rooflab.scenario.scenario import Scenario
from rooflab.units import format_quantity, format_seconds, significant

__all__ = [
    "SCHEDULING",
    "SEARCHED",
    "bound_name",
    "bound_value",
    "deployment_label",
    "formats_label",
    "hardware_label",
    "host_words",
    "load_label",
    "pools_label",
    "sentence",
    "shape_label",
    "slo_label",
    "split_label",
]

SCHEDULING: Final = ("vllm", "sglang", "trtllm", "lmdeploy")
"""Engines whose step limits can be set."""
SEARCHED: Final = (
    "tp", "pp", "dp", "ep", "replicas", "weights", "kv", "max_num_seqs", "max_num_batched_tokens", "chunked_prefill",
)  # fmt: skip
"""Fields of a deployment that a plan chooses."""


def deployment_label(scenario: Scenario) -> str:
    """Engine, formats, split, replicas and limits: ``vLLM fp8 TP4 × 2  256 seqs  chunk 2k``."""
    d = scenario.deployment
    if d.cluster.pools:
        return pools_label(scenario)
    parts = [f"{ENGINES.get(d.runtime.engine, d.runtime.engine)} {formats_label(scenario)} {split_label(d)}"]
    if scenario.model.kind == "decoder":
        parts.append(f"{d.limits.max_num_seqs} {'seq' if d.limits.max_num_seqs == 1 else 'seqs'}")
    if scenario.model.kind == "decoder" and d.runtime.engine in SCHEDULING:
        parts.append(f"chunk {_kilo(d.limits.max_num_batched_tokens)}" if d.limits.chunked_prefill else "whole prompts")
    parts += [words] if (words := host_words(d, scenario.model)) else []
    if (drafts := d.runtime.speculation) is not None:
        parts.append(f"{drafts.tokens} {'n-gram' if drafts.method == 'ngram' else 'drafted'}")
    if d.cluster.kv_tiers.host_bytes:
        parts.append(f"{format_quantity(d.cluster.kv_tiers.host_bytes, 'B')} of cache in host memory")
    return "  ".join(parts)


def host_words(d: Deployment, model: Model) -> str:
    """What the CPU computes: ``experts of 24 of 36 layers on the CPU``; empty where it computes nothing."""
    offload = d.runtime.offload
    if offload is not None and offload.weights is not None:
        return f"weights in {offload.weights}"
    if offload is None or not offload.computes:
        return ""
    words = []
    if offload.gpu_layers is not None and offload.gpu_layers < model.layers:
        words.append(f"{model.layers - offload.gpu_layers} of {model.layers} layers")
    if offload.cpu_experts:
        words.append(f"experts of {offload.cpu_experts} of {mixtures_of(model)} layers")
    return f"{' and '.join(words)} on the CPU" if words else ""


def sentence(label: str) -> str:
    """A deployment's label inside a sentence: commas for its gaps."""
    return label.replace("  ", ", ")


def formats_label(scenario: Scenario) -> str:
    """Format of the weights (routed experts where there are), and of the cache where it differs from 16 bits."""
    d = scenario.deployment
    f = formats_of(scenario.model, scenario.hardware.device, d)
    name = f.experts.name if scenario.model.is_moe else f.weights.name
    return f"{name} + {f.kv.name} KV" if f.kv.bits < 16 and scenario.model.kind == "decoder" else name


def split_label(d: Deployment) -> str:
    """Degrees above one, and replicas: ``TP4 PP2 × 2``."""
    tp = d.split.tp or 1
    degrees = [("TP", tp), ("PP", d.split.pp), ("DP", d.split.dp), ("EP", d.split.ep or 1), ("CP", d.split.cp)]
    named = [f"{name}{n}" for name, n in degrees if n > 1] or ["TP1"]
    return " ".join(named) + (f" × {d.cluster.replicas}" if (d.cluster.replicas or 1) > 1 else "")


def pools_label(scenario: Scenario) -> str:
    """Engine, formats and pools: ``vLLM fp8 prefill TP2 × 3, decode TP4``."""
    d = scenario.deployment
    each = [(p.role, d.changed(pools=(), tp=p.tp, replicas=p.replicas)) for p in d.cluster.pools]
    pools = ", ".join(f"{role} {split_label(own)}" for role, own in each)
    return f"{ENGINES.get(d.runtime.engine, d.runtime.engine)} {formats_label(scenario)} {pools}"


def shape_label(scenario: Scenario, beside: Deployment) -> str:
    """Formats, split and replicas, with the engine in front where it is not that of `beside`: ``SGLang fp8 TP4``."""
    d = scenario.deployment
    other = d.runtime.engine != beside.runtime.engine
    name = f"{ENGINES.get(d.runtime.engine, d.runtime.engine)} " if other else ""
    return f"{name}{formats_label(scenario)} {split_label(d)}"


def _kilo(tokens: int) -> str:
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else f"{tokens:,}"


def hardware_label(scenario: Scenario) -> str:
    """``8 × NVIDIA H100 SXM``."""
    h = scenario.hardware
    hosts = "one host" if h.hosts == 1 else f"{h.hosts} hosts"
    return f"{h.count} × {h.device.name} ({hosts}{', ' + h.device.scale_up.key if h.count > 1 else ''})"


def load_label(scenario: Scenario) -> str:
    """The traffic in words: ``4 requests/s, 1,024 in, 512 out``."""
    w = scenario.workload
    how = {
        "open": f"{significant(w.rate or 0.0)} requests/s",
        "trace": f"{significant(w.rate or 0.0)} requests/s of a trace",
        "closed": f"{w.concurrency} users at once",
        "static": f"batch {w.batch or 1}",
        "burst": f"a burst of {w.burst}" + (f" ({w.concurrency} in flight)" if w.concurrency else ""),
        "max-throughput": "as many requests as the targets allow",
    }[w.mode]
    if scenario.model.vision:
        return f"{how}, one image each"
    return f"{how}, {w.mean_prompt_tokens:,.0f} in" + (
        f", {w.mean_output_tokens:,.0f} out" if scenario.model.kind != "encoder" else ""
    )


def slo_label(scenario: Scenario) -> str:
    """The targets: ``TTFT p99 ≤ 1 s, TPOT p99 ≤ 50 ms``; empty without any."""
    order = sorted(scenario.slo, key=lambda kl: ("ttft", "tpot", "e2e").index(kl[0].split("_")[0]))
    return ", ".join(f"{bound_name(key)} ≤ {bound_value(key, limit)}" for key, limit in order)


def bound_name(key: str) -> str:
    """``ttft_p99`` as ``TTFT p99``."""
    if "_" not in key:
        return key
    name, stat = key.rsplit("_", 1)
    return f"{'end-to-end' if name == 'e2e' else name.upper()} {stat}"


def bound_value(key: str, value: float) -> str:
    """A value of that bound with its unit, three digits at most and no padding zeros."""
    if key == "rate":
        return f"{significant(value)} requests/s"
    number, _, unit = format_seconds(value).partition(" ")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"
