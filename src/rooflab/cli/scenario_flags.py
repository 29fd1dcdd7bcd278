"""The fields of a scenario as flags: name, field, placeholder, help. Data only, so that help pages need no engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FLAGS", "Flag"]


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag: ``--name PLACEHOLDER`` sets `field` (a dotted path); a switch has ``--no-name`` and no placeholder."""

    name: str
    field: str
    placeholder: str
    help: str
    switch: bool = False

    @property
    def section(self) -> str:
        """The noun that the field belongs to."""
        return self.field.split(".", maxsplit=1)[0]

    @property
    def parameter(self) -> str:
        """The name under which click hands the value over."""
        return "s_" + self.name.replace("-", "_")


# flags whose field has another name, because the plain one would mean something else on a command line
_RENAMED: Final = {"batch-size": "batch", "workload-scenario": "scenario", "host-cpu": "host"}


def _of(section: str, *rows: tuple[str, str, str]) -> tuple[Flag, ...]:
    flags = []
    for name, placeholder, text in rows:
        field = _RENAMED.get(name, name.replace("-", "_"))
        flags.append(Flag(name, f"{section}.{field}", placeholder, text, switch=placeholder == ""))
    return tuple(flags)


FLAGS: Final = (
    Flag("model", "model", "NAME|PATH", "catalogue name, Hugging Face config.json, or its folder"),
    Flag("hardware", "hardware", "[N x] NAME", "devices or hosts, for example '8 x h100-sxm' or dgx-h100"),
    *_of(
        "hardware",
        ("count", "N", "devices"),
        ("host", "NAME", "the machine around the devices"),
        ("devices-per-host", "N", "devices that share the scale-up link"),
        ("network", "NAME|RATE", "link between hosts, per device"),
        ("scale-up", "NAME|RATE", "link between devices of a host"),
        ("power-limit", "WATT", "per device"),
        ("clock", "FRACTION", "of the boost clock"),
        ("price", "USD|NAME", "per device-hour: a number, a provider or a tier"),
        ("grid", "REGION|NUMBER", "carbon of the electricity: a region, or gCO2e/kWh"),
        ("pue", "RATIO|SITE", "facility power over machine power"),
        ("tiers", "LIST", "memories behind the device's own: [dram, nvme]"),
    ),
    *_of(
        "workload",
        ("isl", "TOKENS", "prompt length: 1024, 100..2000, or {lognormal: {mean: 1155, cv: 1.1}}"),
        ("osl", "TOKENS", "output length, likewise"),
        ("rate", "RATE", "open loop: requests arrive at this rate, for example 4/s"),
        ("burst", "N", "so many requests, all sent at once (with concurrency: so many at a time), priced as a run"),
        ("concurrency", "N", "closed loop: requests in flight at all times"),
        ("batch-size", "N", "sequences that start together"),
        ("workload-scenario", "NAME", "max-throughput or batch1"),
        ("like", "NAME", "a shipped workload, for example azure-conv"),
        ("trace", "FILE", "requests from a CSV or JSONL trace"),
        ("arrivals", "NAME", "poisson, gamma, uniform, burst, diurnal"),
        ("arrivals-cv", "NUMBER", "coefficient of variation of gamma gaps"),
        ("burst-size", "N", "requests of a burst"),
        ("diurnal", "MAPPING", "{period: 24 h, swing: 0.8}"),
        ("requests", "N", "how many to simulate"),
        ("rounds", "N", "closed loop: requests per user"),
        ("length-jitter", "FRACTION", "spread of lengths below the nominal"),
        ("start", "NAME", "closed loop: burst, lockstep or staggered"),
        ("correlation", "NUMBER", "rank correlation of prompt and output length"),
        ("shared-prefix", "TOKENS", "tokens at the start of every prompt that are the same"),
        ("prefixes", "MAPPING", "{tokens: 2000, count: 20, skew: 1, share: 0.8}"),
        ("sessions", "MAPPING", "{turns: 4, think: 10 s, tool: 2 s}"),
        ("classes", "LIST", "[{name: chat, share: 0.8, slo: {ttft: 1 s}}, ...]"),
        ("clients", "MAPPING", "{count: 8, skew: 1}"),
        ("adapters", "MAPPING", "LoRA: {count: 16, skew: 1, rank: 32}"),
        ("predict-cv", "NUMBER", "error of length predictions"),
        ("beams", "N", "width of the beam search that decodes a request"),
        ("seed", "N", "of every random stream"),
    ),
    *_of(
        "deployment",
        ("engine", "NAME", "vllm, sglang, trtllm, llamacpp, ... (rooflab catalogue engines)"),
        ("engine-version", "TEXT", "its generation decides the host time of a step"),
        ("tp", "N", "tensor parallel"),
        ("pp", "N", "pipeline parallel"),
        ("ep", "N", "expert parallel"),
        ("dp", "N", "attention data parallel"),
        ("cp", "N", "context parallel"),
        ("replicas", "N", "engines side by side"),
        ("weights", "FORMAT", "bf16, fp8, int4, nvfp4, ..."),
        ("activations", "FORMAT", "of activations in matrix products"),
        ("experts", "FORMAT", "of routed experts"),
        ("kv", "FORMAT", "of the KV cache"),
        ("max-num-seqs", "N", "sequences in a step"),
        ("max-num-batched-tokens", "N", "tokens in a step"),
        ("max-model-len", "N", "longest sequence"),
        ("block-size", "N", "tokens of a cache block"),
        ("gpu-memory-utilization", "FRACTION", "of device memory for the engine (TensorRT-LLM: of what weights leave)"),
        ("chunked-prefill", "", "cut prompts to the token budget"),
        ("admit-every", "N", "decode steps between two looks at the waiting line (SGLang: scheduler-recv-interval)"),
        ("batch-wait-steps", "N", "decode steps that a prompt waits for others to share its step (TensorRT-LLM: "
                                  "batch_wait_timeout_iters)"),
        ("prefix-caching", "", "keep the cache of shared prefixes"),
        ("cuda-graphs", "", "captured graphs instead of single launches"),
        ("host-cpu", "SPEED", "fast, slow or contended: the processor that drives the engine"),
        ("speculation", "MAPPING", "{tokens: 3, acceptance: 0.7}"),
        ("overlap", "MAPPING", "work hidden beside matrix products: {attention: 1, comm: 0.5}"),
        ("batching", "shared|separate", "one batch, or an instance for every sequence that reads the weights for "
                                        "itself"),
        ("offload", "MAPPING", "{weights: dram, kv: dram, attention: cpu}"),
        ("scheduler", "NAME", "batching rules other than the engine's own"),
        ("policy", "NAME", "order of the queue: fcfs, priority, ..."),
        ("preemption", "NAME", "recompute or swap"),
        ("swap", "MAPPING", "how caches swap: {call: 5 us, run_blocks: 8, asynchronous: true, reuse: true}"),
        ("rotation", "MAPPING", "fairness by turns, new priorities every so many steps: {steps: 50, pattern: markov}"),
        ("buffers", "NAME", "caches of a batch: paged, or contiguous and compacted or held when answers end"),
        ("router", "NAME", "how replicas share requests"),
        ("pools", "LIST", "[{role: prefill, replicas: 2}, {role: decode, replicas: 1}]"),
        ("transfer", "MAPPING", "of the cache between pools: {bandwidth: 50 GB/s, layerwise: true}"),
        ("spill-tokens", "N", "on every prefill engine before decode engines take prompts, too"),
        ("kv-tiers", "MAPPING", "memory behind the devices: {host: 200 GB, ssd: 2 TB, swap: 50 GB}"),
        ("max-waiting", "N", "requests in line before new ones are turned away"),
        ("autoscale", "MAPPING", "{load: 8, least: 1, most: 4, startup: 60 s}"),
        ("failures", "LIST", "[{replica: 0, at: 100 s, until: 400 s}]"),
        ("speed", "LIST", "changes of clock or power: [{at: 60 s, power_limit: 400 W}]"),
    ),
)  # fmt: skip
