"""Which splits the kernels of a number format refuse: every width that is cut has to be whole blocks of it.

Engines stop at load otherwise (vllm-project/vllm 25292, 44763 and 13640, sgl-project/sglang 3345).  Formats of
llama.cpp are cut by layers, and 4-bit floating point is padded; neither is in the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rooflab.scenario.deployment import Priced
from rooflab.scenario.model import Attention, Dense, Experts, LatentAttention, Model

__all__ = ["block_problem"]

_BLOCKS: Final = {"fp8-block": 128, "int4": 128}
"""Elements of a block or group along the width that tensor parallelism cuts."""
_ENGINES: Final = ("vllm", "sglang", "")


def block_problem(model: Model, deployment: Priced) -> tuple[str, str] | None:
    """The first width that `deployment` cuts into parts of no whole blocks, as (field, message), or None."""
    split, asked = deployment.split, deployment.formats
    tp = split.tp or 1
    if deployment.runtime.engine not in _ENGINES or tp == 1:
        return None
    weights = asked.weights or model.dtype
    experts = asked.experts or asked.weights or model.expert_dtype or model.dtype
    shared = tp * split.dp * split.cp // (split.ep or 1)
    for name, what, width, ways in _cut(model, weights, experts, tp, shared):
        _, of_groups, group = name.partition("-g")
        block = int(group) if of_groups and name.startswith("int") and group.isdigit() else _BLOCKS.get(name)
        if block is None or width % ways or not (width // ways) % block:
            continue
        good = [1 << i for i in range(ways.bit_length()) if 1 << i < ways and not width % ((1 << i) * block)][-3:]
        here = f"{width:,} / {ways} = {width // ways:,} is no multiple of {name}'s blocks of {block}"
        instead = ", ".join(map(str, good)) or "none"
        way = f"tp {instead}, or ep {tp * split.dp}" if what == "experts'" and ways > 1 else f"tp {instead}"
        return "tp", f"the {what} width of {model.name} cannot be cut in {ways}: {here}; {way} or 16-bit weights do"
    return None


def _cut(model: Model, weights: str, experts: str, tp: int, shared: int) -> Iterator[tuple[str, str, int, int]]:
    """(format, what, width, ways) of everything that a split cuts along a width."""
    for run in model.runs:
        stored, ffn = run.block.stored, run.block.ffn
        if isinstance(ffn, Dense):
            yield (stored.ffn if stored and stored.ffn else weights), "feed-forward's", ffn.width, tp
        elif isinstance(ffn, Experts):
            yield (stored.ffn if stored and stored.ffn else experts), "experts'", ffn.width, shared
            if ffn.shared_width:
                name = stored.shared if stored and stored.shared else experts
                yield name, "shared experts'", ffn.shared_width, tp
        for mixer in run.block.mixers:
            name = stored.mixer if stored and stored.mixer else weights
            if isinstance(mixer, Attention):
                yield name, "attention output's", mixer.heads * mixer.v_head_dim, tp
            elif isinstance(mixer, LatentAttention):
                yield name, "attention output's", mixer.heads * mixer.v_dim, tp
