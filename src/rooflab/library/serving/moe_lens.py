"""MoE-Lens (seed 52): weights in host memory stream past one small GPU once a step, while the CPU attends to the cache
beside them.

Stage 1, the limit.  A step lasts at least δ = weights / host link, however many tokens it takes; a prompt of p tokens
with g generated ones holds Σ(p + j) token-steps of cache for p + g tokens, so M tokens of cache allow

    T = min(PME · M / δ, T_GPU),      PME = 2 (p + g) / ((2p + g) g)                              (section 4)

Stage 2, what a finite batch reaches.  Steps are run one by one: all decodes go first, then prompts up to the token
count n that the GPU computes in δ, as long as the paged cache has blocks; who finds none is preempted and read again.
Sequences in flight then have all ages and hold p + g/2 tokens on average instead of p + g.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.deploy.complete import complete
from rooflab.deploy.engine import engine_of
from rooflab.errors import Infeasible, InputError
from rooflab.operators.ops import ExpertGemm, Gemm, Operator
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, as_figures
from rooflab.papers.paper import Paper
from rooflab.papers.reasons import Reason, fact
from rooflab.papers.technique import Technique, require
from rooflab.scenario.offload import Offload
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.alike import Batch, run_batch

__all__ = ["MoeLens", "limit", "paper", "pme"]

paper = Paper.beside(__file__)

_HELD: Final = 1 << 17
"""Sequences that the host's scheduler may hold at once: no limit in practice."""


@dataclass(frozen=True, slots=True)
class SeparateExperts:
    """A rewrite: experts are dense products one after the other, as weights that stream in by layer and thousands of
    rows allow."""

    def __call__(self, operators: Sequence[Operator]) -> tuple[Operator, ...]:
        """Operators in which each grouped product of experts is two products an expert, over its share of the
        tokens."""
        return tuple(out for op in operators for out in self._parts(op))

    def _parts(self, op: Operator) -> tuple[Operator, ...]:
        if not isinstance(op, ExpertGemm):
            return (op,)
        rows, here, up = op.tokens * op.top_k / op.experts, op.experts / op.ep, op.matrices - 1.0
        return (
            Gemm(
                name="experts up",
                group=op.group,
                count=op.count,
                m=rows,
                n=up * op.width,
                k=op.hidden,
                weight=op.weight,
                act=op.act,
                batch=here,
            ),
            Gemm(
                name="experts down",
                group=op.group,
                count=op.count,
                m=rows,
                n=op.hidden,
                k=op.width,
                weight=op.weight,
                act=op.act,
                batch=here,
            ),
        )


@paper.technique
class MoeLens(Technique):
    """Keep weights and cache in host memory, stream the weights once a step and attend to the cache on the CPU
    (sections 5 and 6)."""

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses models that fit on the devices, hosts without the memory, and caches that are not keys and values."""
        d, model, hardware = scenario.deployment, scenario.model, scenario.hardware
        require(model.kind == "decoder", f"{model.name} generates no tokens: there is no cache to keep in host memory")
        require(d.runtime.offload is None, "the deployment offloads already")
        require(
            not d.cluster.pools and d.split.pp == 1,
            "weights stream through one engine; pools and pipeline stages are not its case",
        )
        require(
            any(t.name == "dram" for t in hardware.tiers), f"{hardware.device.name} has no host memory behind a link"
        )
        require(
            not _fits(scenario),
            f"{model.name} fits on the devices: streaming its weights in every step would only slow it down",
        )
        tried = (
            [d.split.tp]
            if d.split.tp
            else [2**i for i in range(min(hardware.count, hardware.devices_per_host).bit_length())][::-1]
        )
        problem, alone = "", replace(scenario, rewrites=(*scenario.rewrites, SeparateExperts()))
        for tp in tried:
            changed = alone.with_deployment(
                tp=tp, offload=Offload("dram", "dram", "cpu"), max_num_seqs=_HELD,
                max_num_batched_tokens=_filling(scenario, tp),
            )  # fmt: skip
            try:
                complete(changed)
            except (Infeasible, InputError) as error:
                problem = problem or str(error)
                continue
            return changed
        raise Infeasible(f"weights do not fit host memory either: {problem}")

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """What a step waits for, and how many sequences share it."""
        m = after.capacity or after.load
        cost = engine_of(after.scenario).step_cost
        return (
            fact("weights stay in host memory", "a stream of all of them takes", cost.scalar("stream_s"), "s"),
            fact("", "sequences that the host's cache holds", m["max_running"]),
        )


def _fits(scenario: Scenario) -> bool:
    try:
        complete(scenario)
    except Infeasible:
        return False
    return True


def _filling(scenario: Scenario, tp: int) -> int:
    """Tokens a step that the device computes while its share of the weights arrives: peak FLOP/s · bytes / (2 · active
    · B)."""
    model, device = scenario.model, scenario.hardware.device
    link = next(t for t in scenario.hardware.tiers if t.name == "dram").bytes_per_s
    weight_bytes = 2.0 * model.parameters / tp
    tokens = device.peak("bf16") * weight_bytes / link / (2.0 * model.active_parameters / tp)
    # steps are as wide as activations allow beside two layers of weights
    width = 2.0 * 16 * model.hidden
    return int(max(min(tokens, 0.25 * device.memory_bytes / width), 512))


def pme(prompt: float, output: float) -> float:
    """Tokens computed for each token-step of cache that a request of `prompt` and `output` tokens holds."""
    return 2.0 * (prompt + output) / ((2.0 * prompt + output) * output)


def limit(prompt: float, output: float, cache_tokens: float, stream_s: float, gpu_tokens_per_s: float) -> float:
    """Stage 1: prompt and generated tokens a second at best."""
    return min(pme(prompt, output) * cache_tokens / stream_s, gpu_tokens_per_s)


_MODELS: Final = {
    "Mixtral-8x7B": "mistralai/Mixtral-8x7B-v0.1", "Mixtral-8x22B": "mistralai/Mixtral-8x22B-v0.1",
    "DBRX": "databricks/dbrx-base",
}  # fmt: skip
_OUTPUTS: Final = (32, 64, 128, 256)
_CACHES_GB: Final = (70, 140, 210)


def _evaluation(lab: Lab, model: str, output: int, cache_gb: float) -> Scenario:
    """MTBench on one A40 and one socket: weights and `cache_gb` of cache behind a link measured at 19.5 GB/s."""
    weights_gb = 2.0 * lab.model(_MODELS[model]).parameters / 1e9
    cache_gb = lab.data("cache, GB", float(cache_gb))
    s = lab.scenario(
        model=_MODELS[model],
        hardware={
            "device": "a40",
            "tiers": [{"name": "dram", "size": f"{weights_gb + cache_gb} GB", "bandwidth": "19.5 GB/s"}],
        },
        workload={"isl": lab.data("prompt", 98), "osl": output, "scenario": "max-throughput"},
        deployment={"tp": 1, "engine": "ideal", "weights": "bf16"},
    )
    socket = replace(s.hardware, host_memory_bytes_per_s=lab.data("socket memory rate", 204.8e9), devices_per_host=1)
    return replace(s, hardware=socket)


@dataclass(frozen=True, slots=True)
class _Rates:
    """The constants of both stages, from the engine's prices of a scenario with the technique in it."""

    stream_s: float
    token_s: float
    cached_s: float
    cache_tokens: float
    step_tokens: int
    replicas: int


def _rates(s: Scenario) -> _Rates:
    engine = engine_of(s)
    cost = engine.step_cost
    tokens = float(engine.deployment.limits.max_num_batched_tokens)
    linear_s = float(
        cost.step(n_prefill=1, prefill_tokens=tokens, area=tokens * s.workload.mean_prompt_tokens / 2).linear_s[0]
    )
    cached_s = float(cost.step(n_decode=1, context=2e6).stream_s[0]) / 2e6
    stream_s, token_s = cost.scalar("stream_s"), linear_s / tokens
    # the scheduler is told what the GPU was measured to compute while a step's weights arrive (section 6, pipeline
    # profiler)
    return _Rates(
        stream_s,
        token_s,
        cached_s,
        engine.free_bytes / float(engine.memory.kv_bytes_per_token[0]),
        int(min(tokens, stream_s / token_s)),
        engine.replicas,
    )


def _batch(s: Scenario, r: _Rates, requests: int, overlapped: bool = True, padded: float = 0.0) -> Batch:
    w = s.workload
    prompt, output = round(max(w.mean_prompt_tokens, padded)), max(round(w.mean_output_tokens), 1)
    return run_batch(
        prompt, output, requests, cache_tokens=r.cache_tokens, stream_s=r.stream_s, token_s=r.token_s,
        cached_s=r.cached_s,
        step_tokens=max(r.step_tokens, prompt), overlapped=overlapped,
    )  # fmt: skip


@paper.method
class Stages(Method[Scenario]):
    """Both stages of the model on a scenario: the limit, and what a batch of five times what fits would reach."""

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        s = scenario | MoeLens()
        r, w = _rates(s), s.workload
        prompt, output = w.mean_prompt_tokens, max(w.mean_output_tokens, 1.0)
        gpu = 1.0 / r.token_s
        best = limit(prompt, output, r.cache_tokens, r.stream_s, gpu)
        requests = int(5 * r.cache_tokens / (prompt + output / 2)) + 1
        reached = _batch(s, r, requests)
        held = "the GPU's products" if best >= gpu else "the size of the host's cache"
        return Outcome(
            as_figures("modelled", (
                ("weights stream in", r.stream_s, "s/step"),
                ("tokens that fill the GPU", r.stream_s * gpu, "tokens/step"),
                ("cache in host memory", r.cache_tokens, "tokens"),
                ("limit, prompt and generated", best * r.replicas, "tokens/s"),
                ("limit, generated", best * r.replicas * output / (prompt + output), "tokens/s"),
                ("use of the GPU at the limit", best / gpu, ""),
                (f"generated, a batch of {requests:,}", reached.output_tokens_per_s * r.replicas, "tokens/s"),
            )),
            f"the limit is set by {held}; a batch reaches "
            f"{reached.output_tokens_per_s * (prompt + output) / output / best:.0%} of it "
            f"with {reached.running:,.0f} sequences in flight and {reached.preempted:,} preemptions",
        )  # fmt: skip


@paper.claim("c4")
def stream(lab: Lab) -> float:
    """Seconds of the weights' transfer in a step."""
    return float(lab.step_cost(_evaluation(lab, "Mixtral-8x7B", 256, 70) | MoeLens()).scalar("stream_s"))


@paper.claim("c5")
def overlap_gain(lab: Lab) -> float:
    """Sequences in flight of a long batch over those whose whole cache would fit, by running its steps."""
    prompt, output, cache = lab.data("prompt", 98), lab.data("answer", 256), lab.data("cache, tokens", 534_000)
    step = lab.data("tokens a step", 20_000)
    found = run_batch(
        prompt, output, 12_000, cache_tokens=cache, stream_s=1.0, token_s=0.0, cached_s=0.0, step_tokens=step,
        overlapped=lab.with_idea(),
    )  # fmt: skip
    return found.running * (prompt + output) / cache


def _gains(lab: Lab) -> list[float]:
    """Throughput over that of separate phases, each model, answer length and cache size on MTBench."""
    longest = lab.data("longest prompt", 418)
    gains = []
    for model in _MODELS:
        for output in _OUTPUTS:
            for gb in _CACHES_GB:
                s = lab.priced_as(_evaluation(lab, model, output, gb)) | MoeLens()
                r = _rates(s)
                requests = int(4 * r.cache_tokens / (s.workload.mean_prompt_tokens + output))
                base = lab.cached(
                    ("separate", s, longest), partial(_batch, s, r, requests, overlapped=False, padded=longest)
                )
                ours = lab.cached(("overlapped", s), partial(_batch, s, r, requests)) if lab.with_idea() else base
                gains.append(ours.output_tokens_per_s / base.output_tokens_per_s)
    return gains


@paper.claim("c1")
def mean_gain(lab: Lab) -> float:
    """Mean over the settings of MTBench."""
    gains = _gains(lab)
    return sum(gains) / len(gains)


@paper.claim("c2")
def largest_gain(lab: Lab) -> float:
    """Largest over the settings of MTBench."""
    return max(_gains(lab))


@paper.setup("Mixtral-8x7B on A40, MTBench")
def setup(lab: Lab) -> Scenario:
    """The smallest model with 70 GB of cache and answers of 256 tokens."""
    return _evaluation(lab, "Mixtral-8x7B", 256, 70)


@paper.draws
def by_cache(lab: Lab) -> Plot:
    """Limit and what batches reach, over the size of the cache."""
    sizes: Sequence[float] = (35.0, 70.0, 140.0, 210.0, 420.0)
    lines: dict[str, list[float]] = {"limit": [], "batch, overlapped": [], "batch, separate phases": []}
    for gb in sizes:
        s = _evaluation(lab, "Mixtral-8x7B", 128, gb) | MoeLens()
        r = _rates(s)
        requests = int(4 * r.cache_tokens / 226)
        lines["limit"].append(limit(98, 128, r.cache_tokens, r.stream_s, 1 / r.token_s) * 128 / 226)
        lines["batch, overlapped"].append(_batch(s, r, requests).output_tokens_per_s)
        lines["batch, separate phases"].append(_batch(s, r, requests, overlapped=False).output_tokens_per_s)
    series = tuple(Series(name, tuple(sizes), tuple(round(x, 1) for x in values)) for name, values in lines.items())
    return Plot("Mixtral-8x7B on A40, 98 in and 128 out", "GB of cache", "generated tokens/s", series, log_x=True)
