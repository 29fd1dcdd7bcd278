"""NanoFlow (seed 71): nano-batches whose operations, bound by arithmetic, memory and network, run on one device at the
same time.

A dense batch is cut into nano-batches; while one's products compute, another's attention reads its cache and its
collectives send.  Number, sizes, order and each kernel's share of the units are searched for (`search`) on a profile of
a layer: a reader's (`method`) or the engine's prices (`prices`).  What the search finds becomes a rewrite that cuts the
operators and the share of attention and collectives that a deployment hides.

    optimal tokens/s/device = achievable FLOP/s / (2 · parameters)                             (section 3, equation 9)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Final

from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.inputs.table import Table
from rooflab.library.serving.nanoflow.method import NanoBatches
from rooflab.library.serving.nanoflow.prices import layer_profile
from rooflab.library.serving.nanoflow.profile import Profile, table_of
from rooflab.library.serving.nanoflow.search import Found, search, whole_s
from rooflab.operators.ops import Collective, Elementwise, ExpertGemm, Gemm, Operator
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.parameters import PositiveInt, Range
from rooflab.papers.reasons import Reason, fact
from rooflab.papers.technique import Technique, require
from rooflab.scenario.runtime import Overlap
from rooflab.scenario.scenario import Scenario

__all__ = ["NanoFlow", "SplitBatch", "hidden_by", "paper"]

paper = Paper.beside(__file__)
paper.method(NanoBatches)

MOST: Final = 3
"""Nano-batches that a technique tries at most: a fourth gains a hundredth or two and takes the solver many times as
long."""


@dataclass(frozen=True, slots=True)
class SplitBatch:
    """A rewrite: every operator of a layer runs once for each nano-batch, `parts` being their shares of the tokens;
    weights are read again for each."""

    parts: tuple[float, ...]

    def __call__(self, operators: Sequence[Operator]) -> tuple[Operator, ...]:
        """Operators by nano-batch; attention is split without loss, embedding and head stay whole."""
        return tuple(cut for op in operators for cut in self._split(op))

    def _split(self, op: Operator) -> Sequence[Operator]:
        if op.group in ("head", "embedding"):
            return (op,)
        if isinstance(op, Gemm):
            return [replace(op, m=op.m * p) for p in self.parts]
        if isinstance(op, ExpertGemm):
            return [replace(op, tokens=op.tokens * p) for p in self.parts]
        if isinstance(op, Elementwise):
            return [replace(op, moved_bytes=op.moved_bytes * p) for p in self.parts]
        if isinstance(op, Collective) and op.kind != "send":
            return [replace(op, message_bytes=op.message_bytes * p) for p in self.parts]
        return (op,)


def hidden_by(profile: Profile, found: Found) -> Overlap:
    """The shares of attention and collectives that a pipeline hides; what one of them loses the other makes good."""
    seconds = profile.seconds(found.parts).sum(axis=1)
    spent = {r: float(seconds[list(profile.of(r))].sum()) for r in ("memory", "network")}
    saved = {r: found.run.hidden_s.get(r, 0.0) for r in spent}
    lost = sum(min(s, 0.0) for s in saved.values())
    shares = {r: min(max(s + lost, 0.0) / spent[r], 1.0) if s > 0 else 0.0 for r, s in saved.items()}
    return Overlap(attention=shares["memory"], comm=shares["network"])


@paper.technique
class NanoFlow(Technique):
    """Run attention, products and collectives of different nano-batches at the same time (sections 4 and 5);
    `nano_batches` 0: as many as the search finds best."""

    batch: PositiveInt = 2048
    nano_batches: Annotated[int, Range(0, 4)] = 0

    def apply(self, scenario: Scenario) -> Scenario:
        """Refuses devices without several kernels at once, and layers that a pipeline of nano-batches does not
        shorten."""
        device, model = scenario.hardware.device, scenario.model
        require(
            device.kind == "gpu", f"{device.name} does not run kernels of different streams side by side as a GPU does"
        )
        require(model.kind == "decoder", f"{model.name} is no decoder: its steps have no attention to hide")
        require(scenario.deployment.runtime.overlap is None, "the deployment overlaps operators already")
        require(
            scenario.workload.mode != "static",
            "a static batch has no prompts beside its decodes to fill a dense batch with",
        )
        profile = layer_profile(scenario, self.batch)
        found = search(profile, MOST, self.nano_batches)
        whole = whole_s(profile)
        require(
            found.period_s < whole,
            f"a layer of {self.batch:,} tokens takes {found.period_s * 1e3:.3f} ms in {len(found.parts)} nano-batches "
            f"that overlap and {whole * 1e3:.3f} ms in one piece",
        )
        changed = replace(scenario, rewrites=(*scenario.rewrites, SplitBatch(found.parts)))
        overlap = hidden_by(profile, found)
        return changed.with_deployment(overlap=overlap, max_num_batched_tokens=self.batch, chunked_prefill=True)

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """Dense batches of several sizes."""
        return [cls(batch=b) for b in (2048, 4096, 8192)]

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """How much of attention and communication runs beside products; what that gains, and what cutting the batch
        costs, follows from each alone."""
        hidden: Overlap = after.scenario.deployment.runtime.overlap
        shares = {"decode attention": hidden.attention, "communication": hidden.comm}
        cut = next(r for r in after.scenario.rewrites if isinstance(r, SplitBatch))
        return [
            fact("", "nano-batches of a step", float(len(cut.parts)), "count"),
            *(
                fact("", f"share of {name} that may run beside products", share, "fraction")
                for name, share in shares.items()
                if share
            ),
        ]


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
    lab: Lab,
    trace: str,
    *,
    engine: str,
    version: str = "",
    model: str = _LLAMA,
    hardware: str = _A100,
    tp: int = 8,
    full: bool = True,
) -> Scenario:
    """Requests without end in steps of at most 2,048 tokens: as many as fill those at the ratio of the lengths
    (`full`), or as many as a baseline holds."""
    isl, osl = _TRACES[trace]
    batch = lab.data("dense batch", 2048)
    deployment = {
        "engine": engine,
        "engine_version": version or None,
        "tp": tp,
        "weights": "fp16",
        "max_num_batched_tokens": batch,
    }
    fill = max(int(batch * osl / (isl + osl)), 1)
    deployment["max_num_seqs"] = fill if full else min(int(_held(lab)), fill)
    return lab.scenario(
        model=model,
        hardware=hardware,
        workload={"isl": isl, "osl": osl, "scenario": "max-throughput"},
        deployment=deployment,
    )


def _nanoflow(lab: Lab, trace: str, **setup: Any) -> float:
    """Tokens (prompt and generated) a second and GPU with the technique; an engine whose scheduling is hidden."""
    s = _serving(lab, trace, engine="ideal", **setup)
    layer = _layer(lab, s)
    # where no cut shortens a layer the search leaves it in one piece
    pays = search(layer, MOST).period_s < whole_s(layer)
    technique = NanoFlow(batch=int(layer.batch)) if pays else None
    return float(lab.estimate(s, technique).metrics["total_tokens_per_s_per_gpu"])


def _layer(lab: Lab, scenario: Scenario) -> Profile:
    """The profile of a layer of `scenario` in its dense step, at the lab's prices."""
    s = lab.priced_as(scenario)
    tokens = s.deployment.limits.max_num_batched_tokens
    assert tokens is not None
    return layer_profile(s, tokens)


def _baseline(lab: Lab, trace: str) -> float:
    s = _serving(lab, trace, engine="trtllm", version="0.8.0", full=False)
    return float(lab.estimate(s).metrics["total_tokens_per_s_per_gpu"])


def _optimal(lab: Lab, model: str = _LLAMA) -> float:
    """What dense products of 2,048 tokens reach on the device (those of Llama-2-70B), over two FLOPs a parameter of
    `model` and token."""
    s = _serving(lab, "constant", engine="ideal")
    rows = lab.operators(s, "dense", n_prefill=1, prefill_tokens=s.deployment.limits.max_num_batched_tokens)
    products = [r for r in rows if r.group in ("attention", "ffn") and r.flops]
    rate = sum(r.flops for r in products) / sum(r.seconds for r in products)
    return rate / (2 * lab.model(model).active_parameters)


@paper.claim("c1")
def boost(lab: Lab) -> float:
    """Mean of the speed-ups at the mean lengths of Splitwise, LMSYS and ShareGPT."""
    return sum(_nanoflow(lab, t) / _baseline(lab, t) for t in _DATASETS) / len(_DATASETS)


@paper.claim("c2")
def optimal(lab: Lab) -> float:
    """Rate of dense products over two FLOPs a parameter."""
    return _optimal(lab)


_PORTED: Final[Mapping[str, tuple[str, int]]] = {
    "meta-llama/Meta-Llama-3-70B": (_A100, 8), "Qwen/Qwen2-72B": (_A100, 8),
    "deepseek-ai/deepseek-llm-67b-base": (_A100, 8),
    "meta-llama/Meta-Llama-3-8B": ("a100-80gb-sxm", 1), "mistralai/Mixtral-8x7B-v0.1": (_A100, 8),
}  # fmt: skip


def _share(lab: Lab, model: str) -> float:
    """Percent of the optimum that a ported model reaches, prompts of 1,024 and answers of 512 tokens."""
    hardware, tp = _PORTED[model]
    return 100 * _nanoflow(lab, "long", model=model, hardware=hardware, tp=tp) / _optimal(lab, model)


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
    paper.claim(_id)(partial(_nanoflow, trace=_trace))
    paper.claim(f"trt-{_trace}")(partial(_baseline, trace=_trace))


def _cut(lab: Lab, fixed: int = 0) -> Found:
    """What the search finds for the running example."""
    return search(_layer(lab, _serving(lab, "constant", engine="ideal")), MOST, fixed)


@paper.claim("number")
def number(lab: Lab) -> float:
    """Nano-batches that the search finds best."""
    return float(len(_cut(lab).parts))


@paper.claim("first-size")
def first_size(lab: Lab) -> float:
    """Tokens of the smaller one of two nano-batches."""
    return lab.data("dense batch", 2048) * min(_cut(lab, 2).parts)


@paper.setup("Llama-2-70B on 8 A100, 512 in and out")
def setup(lab: Lab) -> Scenario:
    """The paper's running example."""
    return _serving(lab, "constant", engine="vllm")


@paper.setup("a layer of Llama-2-70B on 8 A100, by prices")
def profile(lab: Lab) -> Table:
    """Its profile, as a reader would time it."""
    return table_of(_layer(lab, _serving(lab, "constant", engine="ideal")))


@paper.draws
def by_number(lab: Lab) -> Plot:
    """Time of a layer over the number of nano-batches."""
    layer = _layer(lab, _serving(lab, "constant", engine="ideal"))
    counts = (2, 3)
    cut = [search(layer, MOST, n) for n in counts]
    x = (1.0, *map(float, counts))
    overlapped = tuple(round(1e3 * t, 4) for t in (whole_s(layer), *(f.period_s for f in cut)))
    apart = tuple(round(1e3 * float(layer.seconds(p).sum()), 4) for p in ((1.0,), *(f.parts for f in cut)))
    lines = (Series("overlapped", x, overlapped), Series("one after the other", x, apart))
    return Plot("A layer of Llama-2-70B on 8 A100, 2,048 tokens", "nano-batches", "ms", lines)
