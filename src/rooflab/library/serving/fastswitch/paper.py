"""FastSwitch (seed 2): preemption for fairness made cheap, by swapping few large pieces, beside the steps, and only
what is new.

Requests draw new priorities every so many steps, and who has a bad one gives way. vLLM 0.3.3 copies a sequence block by
block, keys and values of every layer apart, while the GPU waits:

    seconds = max(2 · layers · blocks · (seconds to issue a copy), bytes / PCIe rate)

FastSwitch hands out adjacent blocks, so that one copy carries a run of them (3.1), issues copies from threads of its
own while the others decode (3.2), and keeps the host's copy, so that a later swap moves what was generated since (3.3).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.runs import Runs
from rooflab.library.serving.fastswitch.swapping import Swapping, call_s
from rooflab.library.serving.fastswitch.technique import FastSwitch
from rooflab.library.serving.fastswitch.turns import Turns, tails
from rooflab.papers.lab import Lab
from rooflab.papers.outcome import Outcome
from rooflab.papers.paper import Paper
from rooflab.scenario.cluster import KVTier
from rooflab.scenario.limits import Rotation, Swap
from rooflab.scenario.scenario import Scenario

__all__ = ["paper"]

paper = Paper.beside(__file__)
paper.technique(FastSwitch)
paper.method(Turns)
paper.method(Swapping)

_MACHINES: Final = {"llama": ("meta-llama/Llama-3.1-8B", "a10", 25), "qwen": ("Qwen/Qwen2.5-32B", "a100-80gb-sxm", 50)}
"""Model, GPU, steps between draws (1 / frequency). The paper's Qwen-32B and LLaMA-8B in their nearest catalogued
shapes."""
_PATTERNS: Final = ("random", "markov")
_HOST_BYTES: Final = 6e10
"""Swap space of each machine (section 4.1)."""
_TURNS: Final = 5500
"""A thousand conversations of 5.5 turns (section 4.1)."""


def _served(lab: Lab) -> int:
    """Turns that a run serves."""
    source = (
        "a thousand conversations of 5.5 turns at a request a second: all of their turns, or a thousand requests if "
        "those were counted; how much of its run the paper measures is not said"
    )
    return round(lab.assume("turns served", _TURNS, low=1000, high=_TURNS, source=source))


def _evaluation(lab: Lab, machine: str, pattern: str) -> Scenario:
    """One of the paper's machines: multi-turn ShareGPT conversations, a request a second, vLLM's swapping."""
    model, device, steps = _MACHINES[machine]
    s = lab.scenario(
        model=model,
        hardware=device,
        workload={
            "like": "sharegpt", "rate": "1/s", "requests": _served(lab),
            "sessions": {"turns": {"lognormal": {"mean": 5.5, "cv": 1.0}}, "context": 4096},
        },
        deployment={"engine": "vllm", "engine_version": "0.3.3", "scheduler": "vllm-v0", "tp": 1, "weights": "fp16",
        "max_model_len": 4096},
    )  # fmt: skip
    rotation = Rotation(steps, "markov", _sticky(lab)) if pattern == "markov" else Rotation(steps)
    return s.with_deployment(
        preemption="swap", kv_tiers=KVTier(swap_bytes=_HOST_BYTES), rotation=rotation, swap=Swap(call_s(lab))
    )


def _sticky(lab: Lab) -> float:
    """How much nearer the front those draw who run, under Markov priorities."""
    source = "section 4.1 says that who was served recently tends to keep a high priority, not how strongly"
    return lab.assume("stickiness of Markov priorities", 0.5, low=0.25, high=0.75, source=source)


def _group(lab: Lab) -> int:
    """Blocks that are handed out at once."""
    source = "section 3.1: a first group is a fraction of what is free; the fraction is not said"
    return round(lab.assume("blocks of a group", 16, low=8, high=64, source=source))


def _turns(lab: Lab, machine: str, pattern: str) -> Outcome:
    method = Turns(curve=False, group=_group(lab))
    return lab.cached(("turns", machine, pattern), lambda: lab.run(method, _evaluation(lab, machine, pattern)))


def _gains(lab: Lab, machine: str) -> dict[str, float]:
    """Speed-up of each tail, and of throughput, over vLLM's policy: geometric mean over both patterns."""
    names = ("TTFT p95", "TTFT p99", "TTFT p99.9", "TBT p99.9", "throughput")
    outcomes = [_turns(lab, machine, pattern) for pattern in _PATTERNS]
    return {name: float(np.exp(np.mean([np.log(o.figure(name).gain) for o in outcomes]))) for name in names}


@paper.claim("c1")
def tail_speedup(lab: Lab) -> tuple[float, ...]:
    """Each of the eight tails."""
    return tuple(gain for m in _MACHINES for name, gain in _gains(lab, m).items() if name != "throughput")


@paper.claim("c2")
def best_ttft(lab: Lab) -> float:
    """The largest over models and percentiles, each a mean over both patterns of priorities."""
    return max(gain for m in _MACHINES for name, gain in _gains(lab, m).items() if name.startswith("TTFT"))


@paper.claim("c3")
def best_tbt(lab: Lab) -> float:
    """Mean over both patterns."""
    return _gains(lab, "qwen")["TBT p99.9"]


@paper.claim("c4")
def throughput(lab: Lab) -> float:
    """The larger of both models' gains."""
    return max(_gains(lab, m)["throughput"] for m in _MACHINES)


@paper.claim("c5")
def stall_share(lab: Lab) -> float:
    """Mean over both models and patterns: time of iterations around the 99th percentile beyond the price of their
    step."""
    return float(np.mean([_turns(lab, m, p)["swapping in vLLM's P99 step"] for m in _MACHINES for p in _PATTERNS]))


@paper.claim("memory")
def same_memory(lab: Lab) -> dict[str, float]:
    """Mean share of the pool that holds tokens, with groups whose tails are taken back, and with single blocks."""
    source = "the paper does not say how many conversations its pool was watched over"
    requests = round(lab.assume("conversations of the allocator's trace", 150, low=75, high=300, source=source))
    manager = Swapping(takes_back=lab.with_idea(), reuse=False, asynchronous=False, requests=requests)
    used = lab.cached(("pool", str(manager)), lambda: manager.run(lab, busy(lab)).figure("pool in use"))
    assert used.baseline is not None
    return {"groups": used.value, "pages": used.baseline}


@paper.setup("Llama-8B on A10, random priorities")
def setup(lab: Lab) -> Scenario:
    """The smaller machine."""
    return _evaluation(lab, "llama", "random")


@paper.setup("300 requests to a busy server")
def busy(lab: Lab) -> Runs:
    """A measured trace that needs many times the memory there is."""
    return lab.sample(Runs, "vllm-measured")


@paper.draws
def by_load(lab: Lab) -> Plot:
    """Gain of P99 TTFT over the offered load, Llama-8B on A10, for three lengths of the run."""
    rates = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    s = _evaluation(lab, "llama", "random")
    lines = []
    for turns in (1000, 2000, _TURNS):
        gains = []
        for rate in rates:
            at = s.with_workload(rate=rate, requests=turns)
            was, now = (tails(lab.simulate(at, technique))["ttft_p99"] for technique in (None, FastSwitch()))
            gains.append(round(was / now, 3))
        lines.append(Series(f"{turns:,} turns", rates, tuple(gains)))
    return Plot("Llama-8B on A10: TTFT p99 over vLLM's", "turns/s", "x", tuple(lines), log_y=True)
