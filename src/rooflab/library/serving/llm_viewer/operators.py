"""The operators of a transformer's layer as the survey's tables list them: projections, scores, softmax, values,
normalisations, sums and activation, each by itself (section 2, table 1; counts as in the released analyser).

For B sequences of S new tokens each, and K tokens that are looked at:

    projection (n, k)   OPs 2·B·S·n·k        moves n·k weights, B·S·k in, B·S·n out (keys and values: into the cache)
    qk_matmul           OPs 2·B·h·S·K·d      moves queries, the cached keys, B·h·S·K scores
    softmax             OPs 5·B·h·S·K        reads and writes the scores
    sv_matmul           OPs 2·B·h·S·K·d      moves the scores, the cached values, the result
    norm, add, act      OPs 7, 1, 2 an element

A fused attention keeps the scores on chip and reads keys and values once for each block of queries that fits there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from rooflab.library.serving.llm_viewer.roofline import Count, Formats
from rooflab.papers.technique import require
from rooflab.scenario.attention import Attention
from rooflab.scenario.model import Block, Dense, Experts, Model

__all__ = ["Step", "operators"]

_NORM, _ADD, _ACT, _SOFTMAX = 7, 1, 2, 5
"""OPs an element, as the survey counts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`sequences` that each bring `tokens` new ones and look at `context`; `on_chip_bytes` for a fused attention (None:
    its parts apart); `logits` are computed for the last token of each."""

    sequences: float
    tokens: float
    context: float
    on_chip_bytes: float | None = None

    @property
    def rows(self) -> float:
        """New tokens of all sequences."""
        return self.sequences * self.tokens


def operators(model: Model, formats: Formats, step: Step) -> list[Count]:
    """Every operator of one step, those of a layer first; layers that differ are listed by their place.

    Raises Infeasible for layers that the survey's tables do not have.
    """
    found: list[Count] = []
    kinds = dict.fromkeys(run.block for run in model.runs)
    for k, block in enumerate(kinds, 1):
        layers = sum(run.count for run in model.runs if run.block == block)
        behind = f" ({layers} layers of kind {k})" if len(kinds) > 1 else ""
        own = _block(model, block, formats, step)
        found += [replace(count, name=count.name + behind, times=layers) for count in own]
    if model.head:
        a = formats.activations.bytes
        found.append(
            Count(
                name="lm_head", ops=2.0 * step.sequences * model.hidden * model.vocab,
                weights=model.hidden * model.vocab * formats.head.bytes, read=step.sequences * model.hidden * a,
                written=step.sequences * model.vocab * a,
            )
        )  # fmt: skip
    return found


def _block(model: Model, block: Block, formats: Formats, step: Step) -> Iterator[Count]:
    for mixer in block.mixers:
        require(
            isinstance(mixer, Attention) and not mixer.cross and mixer.indexer is None,
            f"{model.name} has layers of {type(mixer).__name__} that the survey's tables do not list; they list "
            "attention over keys and values",
        )
        assert isinstance(mixer, Attention)
        yield from _attention(model, mixer, formats, step)
    yield from _feed_forward(model, block.ffn, formats, step)
    elements, a = step.rows * model.hidden, formats.activations.bytes
    for name in ("attn_norm", "mlp_norm", *(f"norm_{i}" for i in range(3, block.norms + 1)))[: block.norms]:
        yield Count(name=name, ops=_NORM * elements, read=elements * a, written=elements * a)
    for name in ("attn_add", "mlp_add")[: 1 if block.parallel or block.ffn is None or not block.mixers else 2]:
        yield Count(name=name, ops=_ADD * elements, read=elements * a, written=elements * a)


def _projection(name: str, k: float, n: float, formats: Formats, rows: float, *, cached: bool = False) -> Count:
    out = rows * n
    return Count(
        name=name, ops=2.0 * rows * n * k, weights=n * k * formats.weights.bytes,
        read=rows * k * formats.activations.bytes, written=0.0 if cached else out * formats.activations.bytes,
        cache_written=out * formats.kv.bytes if cached else 0.0,
    )  # fmt: skip


def _attention(model: Model, m: Attention, formats: Formats, step: Step) -> Iterator[Count]:
    keeps = model.kind == "decoder"
    yield _projection("q_proj", model.hidden, m.q_width, formats, step.rows)
    yield _projection("k_proj", model.hidden, m.kv_heads * m.head_dim, formats, step.rows, cached=keeps)
    if not m.k_is_v:
        yield _projection("v_proj", model.hidden, m.kv_heads * m.v_head_dim, formats, step.rows, cached=keeps)
    seen = m.attended_tokens(step.context)
    a = formats.activations.bytes
    pairs = step.rows * m.heads * seen
    queries, result = step.rows * m.heads * m.head_dim * a, step.rows * m.heads * m.v_head_dim * a
    keys, values = (step.sequences * seen * m.kv_heads * d * formats.kv.bytes for d in (m.head_dim, m.v_head_dim))
    if step.on_chip_bytes is None:
        yield Count(name="qk_matmul", ops=2.0 * pairs * m.head_dim, read=queries, cache_read=keys, written=pairs * a)
        yield Count(name="softmax", ops=_SOFTMAX * pairs, read=pairs * a, written=pairs * a)
        yield Count(name="sv_matmul", ops=2.0 * pairs * m.v_head_dim, read=pairs * a, cache_read=values, written=result)
    else:
        rows = min(math.ceil(step.on_chip_bytes / (formats.kv.bytes * m.head_dim)), m.head_dim)
        ops = pairs * (2.0 * m.head_dim + 2.0 * m.v_head_dim + _SOFTMAX)
        times = math.ceil(step.tokens / rows)
        yield Count(name="fused_attention", ops=ops, read=queries, cache_read=times * (keys + values), written=result)
    yield _projection("out_proj", m.heads * m.v_head_dim, model.hidden, formats, step.rows)


def _feed_forward(model: Model, ffn: Dense | Experts | None, formats: Formats, step: Step) -> Iterator[Count]:
    matrices = partial(_matrices, hidden=model.hidden, formats=formats)
    if isinstance(ffn, Dense):
        yield from matrices("", ffn, ffn.width, rows=step.rows)
    elif isinstance(ffn, Experts):
        require(ffn.latent is None, f"{model.name} has experts in a space of their own: the survey's tables have none")
        yield _projection("router", model.hidden, ffn.experts, formats, step.rows)
        # each expert is read that any token chose, tokens choosing evenly and alone
        used = ffn.experts * (1 - (1 - ffn.top_k / ffn.experts) ** step.rows)
        for count in matrices("expert_", ffn, ffn.width, rows=step.rows * ffn.top_k):
            yield replace(count, weights=count.weights * used)
        if ffn.shared_width:
            yield from matrices("shared_", ffn, ffn.shared_width, rows=step.rows)


def _matrices(
    prefix: str, ffn: Dense | Experts, width: int, *, hidden: int, formats: Formats, rows: float
) -> Iterator[Count]:
    if ffn.gated:
        yield _projection(f"{prefix}gate_proj", hidden, width, formats, rows)
    yield _projection(f"{prefix}up_proj", hidden, width, formats, rows)
    elements, a = rows * width, formats.activations.bytes
    read = (2 if ffn.gated else 1) * elements * a
    yield Count(name=f"{prefix}mlp_act", ops=_ACT * elements, read=read, written=elements * a)
    yield _projection(f"{prefix}down_proj", width, hidden, formats, rows)
