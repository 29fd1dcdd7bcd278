"""NanoFlow (seed 71): nano-batches whose operations, bound by arithmetic, memory and network, run on one device at the
same time.

A dense batch is cut into nano-batches; while one's products compute, another's attention reads its cache and its
collectives send.  Number, sizes, order and each kernel's share of the units are searched for (`search`) on a profile of
a layer: a reader's (`method`) or the engine's prices (`prices`).  What the search finds becomes a rewrite that cuts the
operators and the share of attention and collectives that a deployment hides.

    optimal tokens/s/device = achievable FLOP/s / (2 · parameters)                             (section 3, equation 9)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.table import Table
from rooflab.library.serving.nanoflow.method import NanoBatches
from rooflab.library.serving.nanoflow.profile import table_of
from rooflab.library.serving.nanoflow.search import search, whole_s
from rooflab.library.serving.nanoflow.technique import MOST, NanoFlow
from rooflab.library.serving.nanoflow.throughput import TOKENS, OfflineThroughput, layer, optimum
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.scenario.scenario import Scenario

__all__ = ["paper"]

paper = Paper.beside(__file__)
paper.technique(NanoFlow)
paper.method(OfflineThroughput)
paper.method(NanoBatches)

_LLAMA = "meta-llama/Llama-2-70b-hf"
_A100 = "8 x a100-80gb-sxm"
_DATASETS: Final[Mapping[str, tuple[float, float]]] = {
    "splitwise": (1155.0, 211.0),
    "lmsys": (102.0, 222.0),
    "sharegpt": (246.0, 322.0),
}
"""Mean prompt and answer of the paper's data as it samples them (table 4)."""
_TRACES: Final[Mapping[str, tuple[float, float]]] = {
    **_DATASETS, "constant": (512.0, 512.0), "long": (1024.0, 512.0), "answers": (512.0, 1024.0),
}  # fmt: skip


def _held(lab: Lab) -> float:
    """Sequences that a baseline may have in flight."""
    source = "the paper names no limit: as many as fill NanoFlow's own dense batch, or 256, what engines do by default"
    return lab.assume("sequences of the baseline", 2048, low=256, high=2048, source=source)


def _serving(
    lab: Lab, trace: str, *, engine: str = "ideal", version: str = "", model: str = _LLAMA, hardware: str = _A100,
    tp: int = 8, full: bool = True,
) -> Scenario:  # fmt: skip
    """Requests without end in steps of at most 2,048 tokens: as many as fill those at the ratio of the lengths
    (`full`), or as many as a baseline holds. NanoFlow's own engine hides its scheduling ("ideal")."""
    isl, osl = _TRACES[trace]
    batch = lab.data("dense batch", 2048)
    fill = max(int(batch * osl / (isl + osl)), 1)
    deployment = {
        "engine": engine, "engine_version": version or None, "tp": tp, "weights": "fp16",
        "max_num_batched_tokens": batch, "max_num_seqs": fill if full else min(int(_held(lab)), fill),
    }  # fmt: skip
    workload = {"isl": isl, "osl": osl, "scenario": "max-throughput"}
    return lab.scenario(model=model, hardware=hardware, workload=workload, deployment=deployment)


def _offline(lab: Lab, name: str, trace: str, **setup: Any) -> float:
    """A figure of offline throughput by a trace's mean lengths."""
    s = lab.cached(("nanoflow", trace, *setup.values()), lambda: _serving(lab, trace, **setup))
    return lab.run(OfflineThroughput(), s)[name]


def _baseline(lab: Lab, trace: str) -> float:
    s = _serving(lab, trace, engine="trtllm", version="0.8.0", full=False)
    return float(lab.estimate(s).metrics["total_tokens_per_s_per_gpu"])


def _optimal(lab: Lab, model: str) -> float:
    """The optimum of `model` at the rate that dense products of Llama-2-70B reach on the device."""
    s = _serving(lab, "constant")
    own = optimum(lab, s, s.deployment.limits.max_num_batched_tokens or 0)
    return own * s.model.active_parameters / lab.model(model).active_parameters


@paper.claim("c1")
def boost(lab: Lab) -> float:
    """Mean of the speed-ups at the mean lengths of Splitwise, LMSYS and ShareGPT."""
    return sum(_offline(lab, TOKENS, t) / _baseline(lab, t) for t in _DATASETS) / len(_DATASETS)


@paper.claim("c2")
def optimal(lab: Lab) -> float:
    """Rate of dense products over two FLOPs a parameter."""
    return _optimal(lab, _LLAMA)


_PORTED: Final[Mapping[str, tuple[str, int]]] = {
    "meta-llama/Meta-Llama-3-70B": (_A100, 8), "Qwen/Qwen2-72B": (_A100, 8),
    "deepseek-ai/deepseek-llm-67b-base": (_A100, 8),
    "meta-llama/Meta-Llama-3-8B": ("a100-80gb-sxm", 1), "mistralai/Mixtral-8x7B-v0.1": (_A100, 8),
}  # fmt: skip


def _share(lab: Lab, model: str) -> float:
    """Percent of the optimum that a ported model reaches, prompts of 1,024 and answers of 512 tokens."""
    hardware, tp = _PORTED[model]
    return 100 * _offline(lab, TOKENS, "long", model=model, hardware=hardware, tp=tp) / _optimal(lab, model)


@paper.claim("c3")
def share_of_optimal(lab: Lab) -> tuple[float, ...]:
    """The share of each ported model."""
    return tuple(_share(lab, model) for model in _PORTED)


for _id, _model in zip(("llama-3-70b", "qwen2-72b", "deepseek-67b", "llama-3-8b", "mixtral"), _PORTED, strict=True):
    paper.claim(f"share-{_id}")(partial(_share, model=_model))

for _id, _trace in {
    "c4": "constant",
    "c5": "sharegpt",
    "long": "long",
    "answers": "answers",
    "splitwise": "splitwise",
    "lmsys": "lmsys",
}.items():
    paper.claim(_id)(partial(_offline, name=TOKENS, trace=_trace))
    paper.claim(f"trt-{_trace}")(partial(_baseline, trace=_trace))


@paper.setup("Llama-2-70B on 8 A100, 512 in and out")
def setup(lab: Lab) -> Scenario:
    """The paper's running example."""
    return _serving(lab, "constant")


@paper.setup("a layer of Llama-2-70B on 8 A100, by prices")
def layer_table(lab: Lab) -> Table:
    """Its profile, as a reader would time it."""
    return lab.cached("nanoflow: layer", lambda: table_of(layer(lab, _serving(lab, "constant"))))


@paper.claim("number")
def number(lab: Lab) -> float:
    """Nano-batches that the search finds best."""
    return lab.run(NanoBatches(), layer_table(lab))["nano-batches"]


@paper.claim("first-size")
def first_size(lab: Lab) -> float:
    """Tokens of the smaller one of two nano-batches."""
    return lab.run(NanoBatches(most=2), layer_table(lab))["smallest nano-batch"]


@paper.draws
def by_number(lab: Lab) -> Plot:
    """Time of a layer over the number of nano-batches."""
    given = layer(lab, _serving(lab, "constant"))
    counts = (2, 3)
    cut = [search(given, MOST, n) for n in counts]
    x = (1.0, *map(float, counts))
    overlapped = tuple(round(1e3 * t, 4) for t in (whole_s(given), *(f.period_s for f in cut)))
    apart = tuple(round(1e3 * float(given.seconds(p).sum()), 4) for p in ((1.0,), *(f.parts for f in cut)))
    lines = (Series("overlapped", x, overlapped), Series("one after the other", x, apart))
    return Plot("A layer of Llama-2-70B on 8 A100, 2,048 tokens", "nano-batches", "ms", lines)
