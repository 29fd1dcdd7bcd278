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

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveInt
from rooflab.papers.reasons import Reason, fact, moved
from rooflab.papers.technique import Technique, require
from rooflab.scenario.lengths import read_lengths
from rooflab.scenario.scenario import Scenario

__all__ = ["Flover", "moves", "paper"]

paper = Paper.beside(__file__)

_JOINING: Final = (
    "joins requests at every step already: what the fusion replaces is static batches or an instance for every request"
)


@paper.technique
class Flover(Technique):
    """Fuse all requests in flight into one running batch that they join and leave at any step (sections 3 and 4).

    `shuffle`: the last cache moves into the hole that a finished one leaves; without, holes stay in the batch until its
    edge reaches them.
    """

    engine = "simulate"
    saves = "e2e_s_mean"
    shuffle: bool = True

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses engines that join requests already, batches that arrive whole, and pipelines."""
        from rooflab.deploy.complete import default_engine
        from rooflab.simulator.serving.rules import engine_rules
        from rooflab.simulator.serving.scenario import ENGINE_SCHEDULERS

        d, model = scenario.deployment, scenario.model
        require(model.kind == "decoder", f"{model.name} generates no tokens: there is no loop to fuse")
        require(
            not d.cluster.pools,
            "prompts and decodes run in pools of their own, which join requests at every step already",
        )
        engine = d.runtime.engine or default_engine(model, scenario.hardware)
        rules = engine_rules(d.limits.scheduler or ENGINE_SCHEDULERS[engine])
        require(rules.gated or d.runtime.batching == "separate", f"{d.limits.scheduler or engine} {_JOINING}")
        require(scenario.workload.mode != "static", "a static batch arrives whole: nobody joins it later")
        require(d.split.pp == 1, f"one loop holds all layers; a pipeline of {d.split.pp} stages has one for each")
        buffers = "compacted" if self.shuffle else "held"
        return scenario.with_deployment(scheduler="orca", batching="shared", buffers=buffers)

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """What requests waited for before, and how long."""
        if before is None:
            return ()
        how = (
            "without it, every sequence reads the weights for itself"
            if before.scenario.deployment.runtime.batching == "separate"
            else "without it, who comes while a batch runs waits for its end"
        )
        return (
            fact(how),
            *moved("ttft_s_mean", before, after, better="first tokens come sooner", worse="first tokens come later"),
            *moved("tpot_s_mean", before, after, better="the others are faster", worse="the others are slower"),
        )


@paper.method
class Shuffle(Method[Scenario]):
    """The memory shuffle on the reader's scenario: contiguous caches that are compacted as answers end, and such that
    are held."""

    requests: PositiveInt = 500

    def run(self, lab: Lab, scenario: Scenario) -> Outcome:
        """Simulate both. Raises Infeasible where the fusion does not apply."""
        fused = scenario.with_workload(requests=scenario.workload.requests or self.requests) | Flover()
        held = lab.simulate(fused.with_deployment(buffers="held"))
        dense = lab.simulate(fused)
        per_token = float(lab.engine(fused).memory.kv_bytes_per_token[0])
        moved_gb = dense.metrics["moved_tokens"] * per_token / 1e9
        figures = [
            Figure(name=name, value=of(dense), baseline=of(held), unit=unit, better="lower", how="modelled")
            for name, of, unit in (
                ("overall latency", _span_s, "s"),
                ("mean latency", lambda r: float(r.metrics["e2e_s_mean"]), "s"),
                ("memory held", lambda r: 100 * float(r.metrics["kv_occupancy_mean"]), "percent"),
            )
        ]
        figures.append(Figure(name="caches moved", value=moved_gb, baseline=0.0, unit="GB", how="modelled"))
        gain = figures[0].gain
        return Outcome(
            tuple(figures),
            f"{moved_gb:.3g} GB of caches move as answers end, and the batch and its memory hold nobody who has "
            f"finished: all is done {gain:.3g} times as fast as when holes stay until the batch's edge reaches them",
        )


def moves(finished: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The memory shuffle's plan: (from, to) of active entries, the last ones first, into the holes; the rest of the
    buffer is free."""
    active = int((~finished).sum())
    holes = np.flatnonzero(finished[:active])
    last = np.flatnonzero(~finished[active:])[::-1] + active
    return [(int(a), int(b)) for a, b in zip(last, holes, strict=True)]


_MODELS: Final = {
    "GPT-J 6B": ("EleutherAI/gpt-j-6b", 1), "LLaMA 13B": ("huggyllama/llama-13b", 1),
    "LLaMA 33B": ("huggyllama/llama-30b", 2), "LLaMA 65B": ("huggyllama/llama-65b", 4),
}  # fmt: skip


def _arriving(lab: Lab, requests: int, model: str = "GPT-J 6B") -> Scenario:
    """Requests of 8 tokens for 504 more, one every half a second; FasterTransformer runs an instance for each."""
    name, tp = _MODELS[model]
    return lab.scenario(
        model=name,
        hardware=f"{tp} x a100-80gb-sxm",
        workload={
            "isl": 8, "osl": 504, "rate": 1 / lab.data("interval", 0.5), "arrivals": "uniform",
            "requests": max(lab.data("requests", requests), 1),
        },
        deployment={
            "engine": "fastertransformer", "scheduler": "orca", "batching": "separate", "tp": tp, "weights": "fp16",
            "gpu_memory_utilization": 0.95,
        },
    )  # fmt: skip


def _span_s(result: Any) -> float:
    """From the first arrival to the last token."""
    return float(result.run.records.last_token_s.max() - result.requests.arrival_s.min())


def _overall_s(lab: Lab, scenario: Scenario, technique: Technique | None) -> float:
    return _span_s(lab.simulate(scenario, technique))


def _fused_s(lab: Lab, requests: int, model: str = "GPT-J 6B") -> float:
    return _overall_s(lab, _arriving(lab, requests, model), Flover())


def _speedup(lab: Lab, requests: int, model: str = "GPT-J 6B") -> float:
    s = _arriving(lab, requests, model)
    return _overall_s(lab, s, None) / _overall_s(lab, s, Flover())


def _stretch(lab: Lab, requests: int) -> float:
    """Mean latency among `requests` over that of one alone."""
    many = lab.simulate(_arriving(lab, requests), Flover()).metrics["e2e_s_mean"]
    one = lab.scenario(_fields(lab))
    return float(many / lab.simulate(one, Flover()).metrics["e2e_s_mean"])


def _fields(lab: Lab) -> dict[str, Any]:
    """A request that is alone whatever the audit does to their number."""
    return {
        "model": _MODELS["GPT-J 6B"][0], "hardware": "a100-80gb-sxm",
        "workload": {"isl": 8, "osl": 504, "rate": 1 / lab.data("interval", 0.5), "arrivals": "uniform", "requests": 1},
        "deployment": {
            "engine": "fastertransformer", "scheduler": "orca", "batching": "separate", "tp": 1, "weights": "fp16",
            "gpu_memory_utilization": 0.95,
        },
    }  # fmt: skip


@paper.claim("c1")
def gptj(lab: Lab) -> float:
    """Overall latency of concurrent instances over that of the fused batch."""
    return _speedup(lab, 32)


@paper.claim("c2")
def llama(lab: Lab) -> float:
    """The same for the largest model."""
    return _speedup(lab, 32, "LLaMA 65B")


for _n in (2, 4, 8, 16):
    paper.claim(f"c3-speedup-{_n}")(partial(_speedup, requests=_n))
for _n in (1, 2, 4, 8, 16, 32):
    paper.claim(f"c3-{_n}")(partial(_fused_s, requests=_n))
for _n in (8, 16, 32):
    paper.claim(f"c4-{_n}")(partial(_stretch, requests=_n))
for _size in ("13B", "33B", "65B"):
    paper.claim(f"bar-{_size.lower()}")(partial(_fused_s, requests=32, model=f"LLaMA {_size}"))


_LENGTHS: Final = (512, 1024, 1536, 2048)
_DRAWS: Final = 5
"""Draws of lengths or of arrivals that are averaged; the paper shows one."""
_PROMPT: Final = 8


def _random(lab: Lab, model: str, longest: int, seed: int) -> Scenario:
    """32 requests at half a second, whose answers are of any length up to the longest that the buffers hold."""
    s = _arriving(lab, 32, model)
    osl = read_lengths(f"1..{longest - _PROMPT}", "osl")
    return s.with_workload(osl=osl, seed=_DRAWS * lab.seed + seed)


def _drawn(lab: Lab, model: str, longest: int, technique: Technique | None) -> float:
    return float(np.mean([_overall_s(lab, _random(lab, model, longest, k), technique) for k in range(_DRAWS)]))


def _shuffled(lab: Lab, model: str) -> dict[str, float]:
    """Overall latency of answers of random lengths."""
    return {f"{n}": _drawn(lab, model, n, Flover()) for n in _LENGTHS}


def _shuffle_gain(lab: Lab, model: str) -> dict[str, float]:
    """Every answer as long as the longest, over answers of random lengths whose holes are filled."""
    s = _arriving(lab, 32, model)
    longest = {n: s.with_workload(osl=read_lengths(n - _PROMPT, "osl")) for n in _LENGTHS}
    ours = _shuffled(lab, model)
    return {f"{n}": _overall_s(lab, longest[n], Flover()) / ours[f"{n}"] for n in _LENGTHS}


def _over_instances(lab: Lab, model: str) -> dict[str, float]:
    """An instance for each request over the fused batch, answers of random lengths."""
    return {f"{n}": _drawn(lab, model, n, None) / _drawn(lab, model, n, Flover()) for n in _LENGTHS}


for _size in ("13B", "65B"):
    paper.claim(f"shuffle-{_size.lower()}")(partial(_shuffled, model=f"LLaMA {_size}"))
    paper.claim(f"shuffle-gain-{_size.lower()}")(partial(_shuffle_gain, model=f"LLaMA {_size}"))
    paper.claim(f"random-{_size.lower()}")(partial(_over_instances, model=f"LLaMA {_size}"))


_MEAN_MS: Final = (20, 50, 100, 150, 200, 300, 400, 500, 750, 1000, 2000, 3000, 4000, 5000)


@paper.claim("poisson")
def poisson_gain(lab: Lab) -> dict[str, float]:
    """An instance for each of 32 requests over the fused batch, by the mean gap between arrivals in ms."""
    s = _arriving(lab, 32).with_workload(arrivals="poisson")
    found = {}
    for gap in _MEAN_MS:
        draws = [s.with_workload(rate=1000 / gap, seed=_DRAWS * lab.seed + k) for k in range(_DRAWS)]
        own, fused = (np.mean([_overall_s(lab, d, technique) for d in draws]) for technique in (None, Flover()))
        found[f"{gap}"] = float(own / fused)
    return found


@paper.setup("GPT-J 6B on A100, 32 requests at half a second")
def setup(lab: Lab) -> Scenario:
    """The paper's main comparison."""
    return _arriving(lab, 32)


@paper.draws
def by_requests(lab: Lab) -> Plot:
    """Overall latency over the number of requests."""
    counts: Sequence[int] = (1, 2, 4, 8, 16, 32)
    lines = []
    for name, technique in (("fused", Flover()), ("an instance for each", None)):
        seconds = tuple(round(_overall_s(lab, _arriving(lab, n), technique), 2) for n in counts)
        lines.append(Series(name, tuple(map(float, counts)), seconds))
    return Plot("GPT-J 6B on A100, a request every half a second", "requests", "s", tuple(lines), log_x=True)
