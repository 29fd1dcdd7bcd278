"""Flover (seed 3): one running batch that requests join at any step, instead of static batches or an instance for every
request.

A request is read (pre-processing) and then takes part in one long-lived loop that computes a token for every active
request at its own position, so weights are read once a step.  Finished requests leave holes in the contiguous buffers;
moving the last active ones into them keeps the batch dense, and shrinks it (memory shuffle).  With requests at
intervals of d, each alone taking T(1):

    fused:       (k − 1) · d + T(1), a little longer as the batch grows
    instances:   k · T(1), since their kernels contend for the same bandwidth
"""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.library.serving.flover.fused import Fusion, Shuffle
from rooflab.library.serving.flover.technique import Flover
from rooflab.papers.lab import Lab
from rooflab.papers.outcome import Figure
from rooflab.papers.paper import Paper
from rooflab.scenario.lengths import read_lengths
from rooflab.scenario.scenario import Scenario

__all__ = ["paper"]

paper = Paper.beside(__file__)
paper.technique(Flover)
paper.method(Fusion)
paper.method(Shuffle)

_MODELS: Final = {
    "GPT-J 6B": ("EleutherAI/gpt-j-6b", 1), "LLaMA 13B": ("huggyllama/llama-13b", 1),
    "LLaMA 33B": ("huggyllama/llama-30b", 2), "LLaMA 65B": ("huggyllama/llama-65b", 4),
}  # fmt: skip


_COUNTS: Final = (1, 2, 4, 8, 16, 32)
_MOST: Final = max(_COUNTS)
_PROMPT: Final = 8
_OUTPUT: Final = 504
_LENGTHS: Final = (512, 1024, 1536, 2048)
_MEAN_MS: Final = (20, 50, 100, 150, 200, 300, 400, 500, 750, 1000, 2000, 3000, 4000, 5000)


def _arriving(lab: Lab, requests: int = _MOST, model: str = "GPT-J 6B") -> Scenario:
    """Requests of 8 tokens for 504 more, one every half a second; FasterTransformer runs an instance for each."""
    name, tp = _MODELS[model]
    return lab.scenario(
        model=name,
        hardware=f"{tp} x a100-80gb-sxm",
        workload={
            "isl": _PROMPT, "osl": _OUTPUT, "rate": 1 / lab.data("interval", 0.5), "arrivals": "uniform",
            "requests": max(lab.data("requests", requests), 1),
        },
        deployment={
            "engine": "fastertransformer", "scheduler": "orca", "batching": "separate", "tp": tp, "weights": "fp16",
            "gpu_memory_utilization": 0.95,
        },
    )  # fmt: skip


def _fusion(lab: Lab, scenario: Scenario, figure: str = "overall latency") -> Figure:
    return lab.run(Fusion(), scenario).figure(figure)


def _overall_s(lab: Lab, requests: int, model: str = "GPT-J 6B") -> float:
    """Seconds of the fused batch."""
    return _fusion(lab, _arriving(lab, requests, model)).value


def _speedup(lab: Lab, requests: int = _MOST, model: str = "GPT-J 6B") -> float:
    """Seconds of concurrent instances over those of the fused batch."""
    return _fusion(lab, _arriving(lab, requests, model)).gain


def _stretch(lab: Lab, requests: int) -> float:
    """Mean latency among `requests` over that of one alone."""
    return _fusion(lab, _arriving(lab, requests), "mean latency over one alone").value


paper.claim("c1")(_speedup)
paper.claim("c2")(partial(_speedup, model="LLaMA 65B"))
for _n in _COUNTS:
    if 1 < _n < _MOST:
        paper.claim(f"c3-speedup-{_n}")(partial(_speedup, requests=_n))
    paper.claim(f"c3-{_n}")(partial(_overall_s, requests=_n))
for _n in _COUNTS[-3:]:
    paper.claim(f"c4-{_n}")(partial(_stretch, requests=_n))
for _size in ("13B", "33B", "65B"):
    paper.claim(f"bar-{_size.lower()}")(partial(_overall_s, requests=_MOST, model=f"LLaMA {_size}"))


def _draws(lab: Lab) -> range:
    """Seeds of the draws of lengths or of arrivals that are averaged."""
    source = "the figure shows one draw; means of three to seven are the same within its spread"
    count = round(lab.assume("draws that are averaged", 5, low=3, high=7, source=source))
    return range(count * lab.seed, count * (lab.seed + 1))


def _drawn(lab: Lab, model: str, longest: int) -> tuple[float, float]:
    """Seconds of requests whose answers are of any length up to the longest that the buffers hold: the fused batch, and
    an instance for each."""
    s = _arriving(lab, model=model).with_workload(osl=read_lengths(f"1..{longest - _PROMPT}", "osl"))
    found = [_fusion(lab, s.with_workload(seed=seed)) for seed in _draws(lab)]
    return float(np.mean([f.value for f in found])), float(np.mean([f.baseline or np.nan for f in found]))


def _shuffled(lab: Lab, model: str) -> dict[str, float]:
    """Overall latency of answers of random lengths."""
    return {f"{n}": _drawn(lab, model, n)[0] for n in _LENGTHS}


def _shuffle_gain(lab: Lab, model: str) -> dict[str, float]:
    """Every answer as long as the longest, over answers of random lengths whose holes are filled."""
    s = _arriving(lab, model=model)
    longest = {n: s.with_workload(osl=read_lengths(n - _PROMPT, "osl")) for n in _LENGTHS}
    return {f"{n}": _fusion(lab, longest[n]).value / _drawn(lab, model, n)[0] for n in _LENGTHS}


def _over_instances(lab: Lab, model: str) -> dict[str, float]:
    """An instance for each request over the fused batch, answers of random lengths."""
    found = {n: _drawn(lab, model, n) for n in _LENGTHS}
    return {f"{n}": own / fused for n, (fused, own) in found.items()}


for _size in ("13B", "65B"):
    paper.claim(f"shuffle-{_size.lower()}")(partial(_shuffled, model=f"LLaMA {_size}"))
    paper.claim(f"shuffle-gain-{_size.lower()}")(partial(_shuffle_gain, model=f"LLaMA {_size}"))
    paper.claim(f"random-{_size.lower()}")(partial(_over_instances, model=f"LLaMA {_size}"))


@paper.claim("poisson")
def poisson_gain(lab: Lab) -> dict[str, float]:
    """An instance for each of 32 requests over the fused batch, by the mean gap between arrivals in ms."""
    s = _arriving(lab).with_workload(arrivals="poisson")
    found = {}
    for gap in _MEAN_MS:
        drawn = [_fusion(lab, s.with_workload(rate=1000 / gap, seed=seed)) for seed in _draws(lab)]
        found[f"{gap}"] = float(np.mean([f.baseline or np.nan for f in drawn]) / np.mean([f.value for f in drawn]))
    return found


for _model in _MODELS:
    paper.setup(f"{_model} on A100, 32 requests at half a second")(partial(_arriving, model=_model))


@paper.draws
def by_requests(lab: Lab) -> Plot:
    """Overall latency over the number of requests."""
    found = [_fusion(lab, _arriving(lab, n)) for n in _COUNTS]
    counts = tuple(map(float, _COUNTS))
    fused = Series("fused", counts, tuple(round(f.value, 2) for f in found))
    own = Series("an instance for each", counts, tuple(round(f.baseline or np.nan, 2) for f in found))
    return Plot("GPT-J 6B on A100, a request every half a second", "requests", "s", (fused, own), log_x=True)
