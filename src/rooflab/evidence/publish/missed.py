"""Where an aim is missed: by how much, in which groups of rows, and why as far as we know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from rooflab.evidence.publish.aims import AIMS, TAIL, Aim
from rooflab.evidence.score.score import Scored

__all__ = ["missed"]

_FEWEST: Final = 4
_SHOWN: Final = 6
_WHY: Final[Mapping[str, str]] = {
    "time per output token, dense": (
        "Llama-70B of InferenceX in 8 and 4 bits: its steps on H200 and B200 read weights faster than the kernel "
        "tables' products do, which no other source shows."
    ),
    "time per output token, MoE": (
        "one source alone measures mixtures under TensorRT-LLM on running servers; what is left without it are "
        "saturated runs, whose steps tell of other constants."
    ),
    "throughput of a static batch": (
        "one source alone measures vLLM on MI250 and DeepSpeed on Gaudi2: without it nothing of ROCm of 2024 is left, "
        "whose launches and kernels differed from those of 2025 by more than a vendor's tuned MI300X tells (and vLLM "
        "runs a process on each of the card's two dies, which is priced as one device). vLLM of 2024 is met within 5 % "
        "on one H100 or A100; several take 10 to 15 % longer than others measure (8B on two A100, vllm pull 9856, "
        "is met within 2 %). Its batches of a mixture under TensorRT-LLM and DeepSpeed repeat one prompt, "
        "so that few experts are read, and are priced as if they did not."
    ),
    "greatest throughput, MoE": (
        "one source alone saturates mixtures: without it no row tells what a sequence takes with a thousand at once; "
        "gpt-oss in mxfp4 on Hopper ran kernels half as fast as those that were timed."
    ),
    "first token, p99": (
        "no fit uses them, and they are of submissions near their capacity: of like systems with Llama-2-70B on 8 x "
        "H100 one states 461 ms at 21,606 tokens/s and others 1,247 at 21,776 and 1,753 at 21,889 (rows "
        "mlperf-inference-00825, -01002 and -01028), which nothing that is stated tells apart."
    ),
    "prefill (static batch, batch 1)": (
        "AWS Neuron's tables mix, inside one release, prompts that look fused with such as do not, by no rule that is "
        "stated; the early "
        "H100 rows of TensorRT-LLM are of fp8 kernels that changed between its releases; a few desktop rows of one "
        "model lie far from "
        "their neighbours of other sizes and are not marked."
    ),
    "first token in a closed loop": (
        "runs whose first tokens hold compilation or the client's own limit (contradictions below), caches whose "
        "format and memory share decide whether users queue at all, and mixtures under TensorRT-LLM on B200, of which "
        "no other group is left when one is out. How many prompts of equal answers come back together one source "
        "alone tells: that they gather while the frontend holds the first of them, as follows from the rest of the "
        "model, was tried and foretells twice the wait. Prompts of 1,000 tokens under vLLM take some 50 ms longer on "
        "B200 than on H200, whatever the split and format: their hosts differ in what no row states."
    ),
    "ML.ENERGY (vLLM on a slow host)": (
        "mixtures on B200, whose host this source alone has, and of whose prompts no row states the lengths."
    ),
    "MLPerf inference throughput": (
        "interactive limits, where a few percent of a step decide how many users are legal; open-division entries; "
        "prompts whose lengths are published in part (Mixtral)."
    ),
}


def missed(rows: Mapping[str, Sequence[Scored]]) -> str:
    """A section a missed aim, from the rows by which each is judged: median against the aim, p90 against what it may
    be, and the groups that stand furthest above it."""
    parts = []
    for aim in AIMS:
        mine = rows[aim.name]
        error = np.array([r.error for r in mine])
        if mine and (np.median(error) > aim.median or np.quantile(error, 0.9) > TAIL * aim.median):
            parts += _section(aim, mine, error)
    return "\n".join(parts)


def _section(aim: Aim, rows: Sequence[Scored], error: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[str]:
    median, p90 = float(np.median(error)), float(np.quantile(error, 0.9))
    lines = [
        f"**{aim.name}**: median {median:.1%} for {aim.median:.0%}, p90 {p90:.0%} for {TAIL * aim.median:.0%}. "
        f"{_WHY.get(aim.name, '')}".rstrip(),
        "",
        "| source, engine, accelerator | rows | median | p90 |",
        "|---|--:|--:|--:|",
    ]
    groups: dict[str, list[float]] = {}
    for r in rows:
        groups.setdefault(f"{r.source}, {r.engine} {r.kind}, {r.gpu}", []).append(r.error)
    worst = sorted(groups.items(), key=lambda item: -sum(e > aim.median for e in item[1]))
    for name, errors in [g for g in worst if len(g[1]) >= _FEWEST][:_SHOWN]:
        lines.append(f"| {name} | {len(errors)} | {np.median(errors):.1%} | {np.quantile(errors, 0.9):.0%} |")
    return [*lines, ""]
