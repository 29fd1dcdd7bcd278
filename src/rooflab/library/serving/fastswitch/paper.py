"""FastSwitch (seed 2): preemption for fairness made cheap, by swapping few large pieces, beside the steps, and only
what is new.

Requests draw new priorities every so many steps, and who has a bad one gives way. vLLM 0.3.3 copies a sequence block by
block, keys and values of every layer apart, while the GPU waits:

    seconds = max(2 · layers · blocks · (seconds to issue a copy), bytes / PCIe rate)

FastSwitch hands out adjacent blocks, so that one copy carries a run of them (3.1), issues copies from threads of its
own while the others decode (3.2), and keeps the host's copy, so that a later swap moves what was generated since (3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.library.serving.fastswitch.blocks import BlockGroups, Pages, churn
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome, as_figures
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.reasons import Reason, fact, moved
from rooflab.papers.technique import Technique, require
from rooflab.scenario.cluster import KVTier
from rooflab.scenario.limits import Rotation, Swap
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.work.requests import ITL_EDGES_S

__all__ = ["CALL_S", "FastSwitch", "mean_run", "paper", "tails"]

F64 = npt.NDArray[np.float64]

paper = Paper.beside(__file__)

CALL_S: Final = 5e-6
"""Seconds to issue one small asynchronous copy: 5 to 7 us measured in DualPath (arXiv:2602.21548, section 5.2), the
lower end; vLLM's copies of 32 KB take 4.0 us on the host of an H100 (vLLM pull request 38460: 4,096 of them in 16.4
ms)."""
_ALLOCATOR_SEQUENCES: Final = 150


@lru_cache(maxsize=64)
def mean_run(lengths: tuple[tuple[int, int], ...], blocks: int, every: int, group: int) -> float:
    """Blocks a copy that the block-group allocator leaves on a trace of (prompt, answer) `lengths`; `group` 0: vLLM's
    free list."""
    allocator = BlockGroups(blocks, group) if group else Pages(blocks)
    return churn(allocator, blocks, list(lengths), every).mean_run


def _lengths(scenario: Scenario) -> tuple[tuple[int, int], ...]:
    """Lengths of the first requests of a workload, as many as a trace takes."""
    from dataclasses import replace

    from rooflab.simulator.work.make import make_work

    w = replace(scenario.workload, requests=_ALLOCATOR_SEQUENCES)
    work = make_work(w, slo=scenario.slo)
    n = min(len(work), _ALLOCATOR_SEQUENCES)
    return tuple(zip(work.input_tokens[:n].tolist(), work.output_tokens[:n].tolist(), strict=True))


def _pool(lengths: tuple[tuple[int, int], ...]) -> int:
    """Blocks of a pool that holds a third of a trace's sequences: enough contention that they give way."""
    whole = [-(-(p + o) // 16) for p, o in lengths]
    return max(sum(whole) // 3, 2 * max(whole) + len(whole))


@paper.technique
class FastSwitch(Technique):
    """Swap preempted sequences in runs of blocks, beside the steps, and only what the host lacks (section 3)."""

    engine = "simulate"
    saves = "ttft_s_p99"
    group: PositiveInt = 16

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses models without a cache, batches that never preempt, and hosts without memory to swap to."""
        d, model = scenario.deployment, scenario.model
        require(model.kind == "decoder", f"{model.name} is no decoder: it has no cache to swap")
        require(
            scenario.workload.mode != "static", "a static batch takes memory for whole answers: nothing is preempted"
        )
        require(
            d.limits.swap is None or not d.limits.swap.asynchronous, "the deployment swaps beside its steps already"
        )
        room = d.cluster.kv_tiers.swap_bytes or sum(t.bytes for t in scenario.hardware.tiers if t.name == "dram")
        require(room > 0, f"{scenario.hardware.device.name} has no host memory of its own to swap to")
        lengths = _lengths(scenario)
        every = d.limits.rotation.steps if d.limits.rotation else 50
        run = mean_run(lengths, _pool(lengths), every, self.group)
        call_s = d.limits.swap.call_s if d.limits.swap and d.limits.swap.call_s else CALL_S
        swap = Swap(call_s, max(run, 1.0), asynchronous=True, reuse=True)
        return scenario.with_deployment(preemption="swap", swap=swap)

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """How often sequences gave way, and what a copy carries."""
        if not any(m is not None and m.load.get("preemptions") for m in (before, after)):
            said = "nothing was preempted: memory holds all who run; deployment.rotation would have requests give way"
            return (fact(said),)
        swap: Swap = after.scenario.deployment.limits.swap
        return (
            *moved("preemptions", before, after, better="fewer sequences give way", worse="more sequences give way"),
            fact("copies go beside the steps, of what the host lacks", "blocks a copy carries", swap.run_blocks),
        )


def tails(result: Any) -> Mapping[str, float]:
    """TTFT at p95, p99 and p99.9, time between tokens at p99.9 (s), and tokens a second, of a simulation."""
    records, counts = result.run.records, np.cumsum(result.run.itl_counts)
    ttft = records.first_token_s - records.arrival_s
    ttft = ttft[np.isfinite(ttft)]
    p95, p99, p999 = np.percentile(ttft, [95, 99, 99.9])
    span_s = float(np.nanmax(records.last_token_s) - np.nanmin(records.arrival_s))
    tbt = ITL_EDGES_S[1:][np.searchsorted(counts, 0.999 * counts[-1])]
    return {
        "ttft_p95": p95,
        "ttft_p99": p99,
        "ttft_p99.9": p999,
        "tbt_p99.9": float(tbt),
        "throughput": records.tokens_out.sum() / span_s,
    }


_MACHINES: Final = {"llama": ("meta-llama/Llama-3.1-8B", "a10", 25), "qwen": ("Qwen/Qwen2.5-32B", "a100-80gb-sxm", 50)}
"""Model, GPU, steps between draws (1 / frequency). The paper's Qwen-32B and LLaMA-8B in their nearest catalogued
shapes."""
_PATTERNS: Final = ("random", "markov")
_TURNS: Final = 5500
"""A thousand conversations of 5.5 turns (section 4.1)."""


def _evaluation(lab: Lab, machine: str, pattern: str) -> Scenario:
    """One of the paper's machines: multi-turn ShareGPT conversations, a request a second, vLLM's swapping."""
    model, device, steps = _MACHINES[machine]
    s = lab.scenario(
        model=model,
        hardware=device,
        workload={
            "like": "sharegpt", "rate": "1/s", "requests": _TURNS,
            "sessions": {"turns": {"lognormal": {"mean": 5.5, "cv": 1.0}}, "context": 4096},
        },
        deployment={"engine": "vllm", "engine_version": "0.3.3", "scheduler": "vllm-v0", "tp": 1, "weights": "fp16",
        "max_model_len": 4096},
    )  # fmt: skip
    call_s = lab.data("seconds to issue a copy", CALL_S)
    swap_bytes = 6e10
    rotation = Rotation(steps, "markov" if pattern == "markov" else "random")
    return s.with_deployment(
        preemption="swap", kv_tiers=KVTier(swap_bytes=swap_bytes), rotation=rotation, swap=Swap(call_s)
    )


def _swapping(lab: Lab, s: Scenario) -> Any:
    """vLLM's run, its steps logged: the tails and the stalls of the claims are of the same one."""
    return lab.simulate(s, log_steps=1 << 18)


def _gains(lab: Lab, machine: str) -> dict[str, float]:
    """Speed-up of each tail, and of throughput, over vLLM's policy: geometric mean over both patterns."""
    logs: dict[str, float] = {}
    for pattern in _PATTERNS:
        s = _evaluation(lab, machine, pattern)
        before, after = tails(_swapping(lab, s)), tails(lab.simulate(s, FastSwitch()))
        for name in before:
            ratio = after[name] / before[name] if name == "throughput" else before[name] / after[name]
            logs[name] = logs.get(name, 0.0) + float(np.log(ratio)) / len(_PATTERNS)
    return {name: float(np.exp(value)) for name, value in logs.items()}


_LOOKED_AT: Final = 64
"""Iterations near the 99th percentile whose price is looked up."""


@paper.claim("c1")
def tail_speedup(lab: Lab) -> tuple[float, ...]:
    """Each of the eight tails."""
    return tuple(gain for m in _MACHINES for name, gain in _gains(lab, m).items() if name != "throughput")


@paper.claim("c2")
def best_ttft(lab: Lab) -> float:
    """The largest over models and percentiles, each a mean over both patterns of priorities."""
    return max(gain for m in _MACHINES for name, gain in _gains(lab, m).items() if name.startswith("ttft"))


@paper.claim("c3")
def best_tbt(lab: Lab) -> float:
    """Mean over both patterns."""
    return _gains(lab, "qwen")["tbt_p99.9"]


@paper.claim("c4")
def throughput(lab: Lab) -> float:
    """The larger of both models' gains."""
    return max(_gains(lab, m)["throughput"] for m in _MACHINES)


@paper.claim("c5")
def stall_share(lab: Lab) -> float:
    """Mean over both models and patterns: time of iterations around the 99th percentile beyond the price of their
    step."""
    shares = [_stall(lab, _evaluation(lab, m, pattern)) for m in _MACHINES for pattern in _PATTERNS]
    return 100 * float(np.mean(shares))


def _stall(lab: Lab, s: Scenario) -> float:
    log, cost = _swapping(lab, s).run.steps, lab.step_cost(s)
    took_s = (log.end_s - log.start_s) / log.steps
    edge = np.quantile(np.repeat(took_s, log.steps), 0.99)
    near = np.flatnonzero((took_s > 0.9 * edge) & (took_s < 1.1 * edge))
    near = near[:: max(len(near) // _LOOKED_AT, 1)]
    shares = []
    for i in near:
        prompts, tokens = int(log.n_prefill[i]), int(log.prefill_tokens[i])
        area = tokens**2 / max(prompts, 1) / 2
        step = cost.step(
            n_decode=int(log.n_decode[i]),
            context=float(log.context[i]),
            n_prefill=prompts,
            prefill_tokens=tokens,
            area=area,
        )
        shares.append(max(1 - float(step.seconds[0]) / took_s[i], 0.0))
    return float(np.mean(shares))


@paper.setup("Llama-8B on A10, random priorities")
def setup(lab: Lab) -> Scenario:
    """The smaller machine."""
    return _evaluation(lab, "llama", "random")


@paper.method
class Turns(Method[Scenario]):
    """Fairness by turns (new priorities every 50 steps) on the reader's scenario: what it costs with vLLM's swapping,
    and with this."""

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Execute on a scenario of the reader."""
        turns = scenario if scenario.deployment.limits.rotation else scenario.with_deployment(rotation=Rotation(50))
        turns = turns.with_workload(requests=min(scenario.workload.requests or 1000, 2000))
        after = lab.simulate(turns, FastSwitch())
        before = lab.simulate(turns.with_deployment(preemption="swap", swap=Swap(CALL_S)))
        then, now = tails(before), tails(after)
        swap = (turns | FastSwitch()).deployment.limits.swap
        assert swap is not None
        figures = (
            ("TTFT p99, vLLM's swapping", then["ttft_p99"], "s"), ("TTFT p99, FastSwitch", now["ttft_p99"], "s"),
            ("TBT p99.9, vLLM's swapping", then["tbt_p99.9"], "s"), ("TBT p99.9, FastSwitch", now["tbt_p99.9"], "s"),
            ("throughput gain", now["throughput"] / then["throughput"], "x"),
            ("blocks a copy", swap.run_blocks, "blocks"),
            ("preemptions, vLLM's swapping", before.run.totals.total("preemptions"), ""),
            ("preemptions, FastSwitch", after.run.totals.total("preemptions"), ""),
        )  # fmt: skip
        idle = before.run.totals.total("preemptions") == 0
        because = (
            "memory holds all who run at this load, so turns change nothing; raise the rate to see them"
            if idle
            else "requests give way to others every 50 steps, and what a switch costs decides the tails"
        )
        return Outcome(as_figures("modelled", figures), because)


@paper.draws
def by_frequency(lab: Lab) -> Plot:
    """P99 TTFT over the frequency of priority updates, Llama-8B on A10."""
    steps = (200, 100, 50, 25, 12)
    lines: dict[str, list[float]] = {"vLLM's swapping": [], "FastSwitch": []}
    for n in steps:
        s = _evaluation(lab, "llama", "random").with_deployment(rotation=Rotation(n))
        for name, technique in zip(lines, (None, FastSwitch()), strict=True):
            lines[name].append(round(float(tails(lab.simulate(s, technique))["ttft_p99"]), 3))
    x = tuple(1 / n for n in steps)
    return Plot(
        "Llama-8B on A10, one request a second", "priority updates a step", "TTFT p99, s",
        tuple(Series(n, x, tuple(y)) for n, y in lines.items()),
        log_x=True,
    )  # fmt: skip
