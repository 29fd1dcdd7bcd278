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
    "greatest throughput, MoE": "how attention and experts are split is not stated, and chosen anew for every row.",
    "prefill (static batch, batch 1)": (
        "AWS Neuron's tables mix, inside one release, prompts that look fused with such as do not, by no rule that is "
        "stated; the early "
        "H100 rows of TensorRT-LLM are of fp8 kernels that changed between its releases; a few desktop rows of one "
        "model lie far from "
        "their neighbours of other sizes and are not marked."
    ),
    "first token in a closed loop": (
        "runs whose first tokens hold compilation or the client's own limit (contradictions below), caches whose "
        "format and memory share "
        "decide whether users queue at all, and mixtures under TensorRT-LLM on B200, of which no other group is left "
        "when one is out."
    ),
    "MLPerf inference throughput": (
        "mixtures of 2024 (Mixtral), whose experts ran slower than the kernels that tables time and whose prompts' "
        "lengths are not "
        "published; interactive limits, where a few percent of a step decide how many users are legal; open-division "
        "entries."
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
