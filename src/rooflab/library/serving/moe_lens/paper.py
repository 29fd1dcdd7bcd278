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
from dataclasses import replace
from typing import Final

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.runs import Runs
from rooflab.library.serving.moe_lens.schedule import Schedule
from rooflab.library.serving.moe_lens.stages import Stages
from rooflab.library.serving.moe_lens.technique import MoeLens
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.alike import run_batch

__all__ = ["paper"]

paper = Paper.beside(__file__)
paper.technique(MoeLens)
paper.method(Stages)
paper.method(Schedule)

_MODELS: Final = {
    "Mixtral-8x7B": "mistralai/Mixtral-8x7B-v0.1", "Mixtral-8x22B": "mistralai/Mixtral-8x22B-v0.1",
    "DBRX": "databricks/dbrx-base",
}  # fmt: skip
_OUTPUTS: Final = (32, 64, 128, 256)
_CACHES_GB: Final = (70, 140, 210)
_SMALLEST: Final = ("Mixtral-8x7B", max(_OUTPUTS), min(_CACHES_GB))


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


@paper.claim("c4")
def stream(lab: Lab) -> float:
    """Seconds of the weights' transfer in a step."""
    return lab.run(Stages(), _evaluation(lab, *_SMALLEST))["weights stream in"]


@paper.claim("filling")
def filling_tokens(lab: Lab) -> float:
    """Tokens that the GPU computes while all weights stream in."""
    return lab.run(Stages(), _evaluation(lab, *_SMALLEST))["tokens that fill the GPU"]


@paper.claim("c5")
def overlap_gain(lab: Lab) -> float:
    """Sequences in flight of a long batch over those whose whole cache would fit, by running its steps."""
    prompt, output, cache = lab.data("prompt", 98), lab.data("answer", 256), lab.data("cache, tokens", 534_000)
    step = lab.data("tokens a step", 20_000)
    source = "equation 7 is of the steady state, to which a longer batch lies nearer; no length is said"
    sequences = round(lab.assume("sequences of a long batch", 12_000, low=6_000, high=24_000, source=source))
    overlapped = lab.with_idea()

    def run() -> float:
        return run_batch(
            prompt, output, sequences, cache_tokens=cache, stream_s=1.0, token_s=0.0, cached_s=0.0, step_tokens=step,
            overlapped=overlapped,
        ).running  # fmt: skip

    running = lab.cached(("batch", prompt, output, sequences, cache, step, overlapped), run)
    return running * (prompt + output) / cache


def _gains(lab: Lab) -> list[float]:
    """Throughput over that of separate phases, each model, answer length and cache size on MTBench."""
    source = "the paper's requests by setting are in no table that could be read; its batches outlast their ramps"
    batch = lab.assume("requests over those that fit", 4.0, low=2.0, high=10.0, source=source)
    method = Stages(batch=batch, reserved=round(lab.data("longest prompt", 418)))
    settings = [(model, output, gb) for model in _MODELS for output in _OUTPUTS for gb in _CACHES_GB]
    return [lab.run(method, _evaluation(lab, *setting)).figure("generated").gain for setting in settings]


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
    return _evaluation(lab, *_SMALLEST)


@paper.setup("300 chats as a batch")
def chats(lab: Lab) -> Runs:
    """Requests of a measured log, all there at once."""
    return lab.sample(Runs, "vllm-measured")


@paper.draws
def by_cache(lab: Lab) -> Plot:
    """Limit and what batches reach, over the size of the cache."""
    sizes: Sequence[float] = (35.0, 70.0, 140.0, 210.0, 420.0)
    lines: dict[str, list[float]] = {"limit": [], "batch, overlapped": [], "batch, separate phases": []}
    for gb in sizes:
        o = Stages().run(lab, _evaluation(lab, "Mixtral-8x7B", 128, gb))
        reached = o.figure("generated")
        assert reached.baseline is not None
        for name, value in zip(lines, (o["limit, generated"], reached.value, reached.baseline), strict=True):
            lines[name].append(round(value, 1))
    series = tuple(Series(name, tuple(sizes), tuple(values)) for name, values in lines.items())
    return Plot("Mixtral-8x7B on A40, 98 in and 128 out", "GB of cache", "generated tokens/s", series, log_x=True)
