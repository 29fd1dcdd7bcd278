"""Attention as shapes: grouped, latent, compressed, and the indexer that selects what they read.

Every mixer answers the same five questions: `parameters(hidden)`, `kv_elements_per_token`, `state_elements`,
`attended_tokens(context)` and `cached_elements(context)`.  Counts are elements, not bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Attention", "CompressedAttention", "Indexer", "LatentAttention"]


@dataclass(frozen=True, slots=True)
class Indexer:
    """Learned selection of `top_k` cached tokens per query (DeepSeek sparse attention): small heads, one shared key.

    `own`: the layer computes its own selection; False: it uses that of the layer before (GLM-5.2).
    """

    heads: int
    head_dim: int
    top_k: int
    own: bool = True

    @property
    def key_elements(self) -> int:
        """Elements of the shared key cached per token."""
        return self.head_dim if self.own else 0

    def parameters(self, hidden: int, q_in: int) -> int:
        """Weights: queries from `q_in` columns, one normalised key and a weight a head from the hidden state."""
        if not self.own:
            return 0
        return q_in * self.heads * self.head_dim + hidden * self.head_dim + 2 * self.head_dim + hidden * self.heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """Softmax attention with `kv_heads` groups (MHA, GQA, MQA).

    `window`: tokens that a query sees (None: all).  `chunked`: the window is a fixed chunk that a token does not look
    out of (Llama 4), not a sliding one.  `cross`: keys come from the encoder.  `causal` False: encoder.  `indexer`: a
    learned choice of tokens; the query then sees `window` of them and the cache keeps all (MiniMax-M3).  `qk_norm`:
    "head" one scale shared by all heads, "full" one for each column.
    `k_bias` False: of q, k and v only k has no bias (Whisper).  `head_gate`: a gate for each head beside the
    projections (Step 3).  `shared`: keys and values are those that an earlier layer has made and cached (Gemma 4 E);
    the layer reads them, and has no projections and no cache for them.
    """

    heads: int
    kv_heads: int
    head_dim: int
    v_head_dim: int
    window: int | None = None
    causal: bool = True
    cross: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: Literal["", "head", "full"] = ""
    output_gate: bool = False
    sinks: bool = False
    k_is_v: bool = False
    chunked: bool = False
    indexer: Indexer | None = None
    k_bias: bool = True
    head_gate: bool = False
    shared: bool = False

    @property
    def q_width(self) -> int:
        """Columns of the query projection, its output gate included."""
        return self.heads * self.head_dim * (2 if self.output_gate else 1)

    @property
    def kv_width(self) -> int:
        """Columns of the key and value projections together."""
        if self.shared:
            return 0
        return self.kv_heads * (self.head_dim + (0 if self.k_is_v else self.v_head_dim))

    @property
    def kv_elements_per_token(self) -> int:
        """Elements cached per token and layer: keys, values and an indexer's key (per encoder token where `cross`)."""
        if self.shared:
            return 0
        return self.kv_heads * (self.head_dim + self.v_head_dim) + (self.indexer.key_elements if self.indexer else 0)

    @property
    def state_elements(self) -> int:
        """Elements of recurrent state per sequence."""
        return 0

    def attended_tokens(self, context: float) -> float:
        """Cached tokens that a query reads when `context` are before it (a chunk: its mean over positions)."""
        if self.window is None or context <= self.window:
            return context
        return (self.window + 1) / 2 if self.chunked else self.window

    def cached_elements(self, context: float) -> float:
        """Elements kept for a sequence of `context` tokens."""
        kept = context if self.window is None or self.indexer else min(context, self.window)
        return kept * self.kv_elements_per_token

    def parameters(self, hidden: int) -> int:
        """Weights and biases of the projections, norms and sinks."""
        n = hidden * (self.q_width + self.kv_width) + self.heads * self.v_head_dim * hidden
        if self.qkv_bias:
            n += self.q_width + self.kv_width - (0 if self.k_bias else self.kv_heads * self.head_dim)
        if self.out_bias:
            n += hidden
        if self.qk_norm == "head":
            n += self.head_dim if self.shared else 2 * self.head_dim
        elif self.qk_norm == "full":
            n += (self.heads + self.kv_heads) * self.head_dim
        if self.indexer:
            n += self.indexer.parameters(hidden, hidden)
        if self.head_gate:
            n += hidden * self.heads
        return n + (self.heads if self.sinks else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, 2.1): the cache holds one compressed vector and one rotary key per
    token."""

    heads: int
    q_rank: int | None
    kv_rank: int
    nope_dim: int
    rope_dim: int
    v_dim: int
    indexer: Indexer | None = None
    output_gate: bool = False
    causal: bool = True

    @property
    def head_dim(self) -> int:
        """Width of a query head: the part without and the part with rotation."""
        return self.nope_dim + self.rope_dim

    @property
    def window(self) -> int | None:
        """Tokens that a query attends to, when an indexer selects them."""
        return self.indexer.top_k if self.indexer else None

    @property
    def kv_elements_per_token(self) -> int:
        """Elements cached per token and layer: latent, rotary key, indexer key."""
        return self.kv_rank + self.rope_dim + (self.indexer.key_elements if self.indexer else 0)

    @property
    def state_elements(self) -> int:
        """Elements of recurrent state per sequence."""
        return 0

    def attended_tokens(self, context: float) -> float:
        """Cached tokens that a query reads when `context` are before it."""
        return context if self.window is None else min(context, self.window)

    def cached_elements(self, context: float) -> float:
        """Elements kept for a sequence of `context` tokens; a selection keeps all."""
        return context * self.kv_elements_per_token

    def parameters(self, hidden: int) -> int:
        """Weights of the down- and up-projections, norms and indexer."""
        q_out = self.heads * self.head_dim
        n = (
            hidden * (self.kv_rank + self.rope_dim)
            + self.kv_rank
            + self.kv_rank * self.heads * (self.nope_dim + self.v_dim)
        )
        n += hidden * q_out if self.q_rank is None else hidden * self.q_rank + self.q_rank + self.q_rank * q_out
        n += self.heads * self.v_dim * hidden
        if self.output_gate:
            n += hidden * self.heads * self.v_dim
        return n + (self.indexer.parameters(hidden, self.q_rank or hidden) if self.indexer else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedAttention:
    """Attention over a window of recent tokens and a compressed past (DeepSeek-V4).

    One key-value vector of `head_dim` serves all heads and is key and value at once.  Every `ratio` tokens are pooled
    into one entry (0: no past beyond `window`); an `indexer` picks `top_k` of the entries, without one all are read.
    Queries and outputs are low-rank (`q_rank`; `o_rank` in each of `o_groups`).  `overlap`: pooling windows overlap,
    which doubles its projections.
    """

    heads: int
    head_dim: int
    rope_dim: int
    window: int
    ratio: int
    q_rank: int
    o_rank: int
    o_groups: int
    indexer: Indexer | None = None
    overlap: bool = False
    causal: bool = True

    @property
    def kv_elements_per_token(self) -> int:
        """Elements that a token adds beyond the window, averaged over the pooling."""
        if not self.ratio:
            return 0
        return (self.head_dim + (self.indexer.key_elements if self.indexer else 0)) // self.ratio

    @property
    def state_elements(self) -> int:
        """Elements kept whatever the length: the window."""
        return self.window * self.head_dim

    def attended_tokens(self, context: float) -> float:
        """Cache entries that a query reads when `context` tokens are before it."""
        entries = context / self.ratio if self.ratio else 0.0
        return min(context, self.window) + (min(entries, self.indexer.top_k) if self.indexer else entries)

    def cached_elements(self, context: float) -> float:
        """Elements kept for a sequence of `context` tokens."""
        return min(context, self.window) * self.head_dim + context * self.kv_elements_per_token

    def parameters(self, hidden: int) -> int:
        """Weights of the projections, pooling, indexer, norms and sinks."""
        q_out = self.heads * self.head_dim
        n = hidden * self.q_rank + self.q_rank + self.q_rank * q_out + hidden * self.head_dim + self.head_dim
        n += q_out * self.o_rank + self.o_groups * self.o_rank * hidden + self.heads
        if self.ratio:
            n += self._pooling(hidden, self.head_dim)
        if self.indexer:
            i = self.indexer
            n += self.q_rank * i.heads * i.head_dim + hidden * i.heads + self._pooling(hidden, i.head_dim)
        return n

    def _pooling(self, hidden: int, width: int) -> int:
        wide = width * (2 if self.overlap else 1)
        return 2 * hidden * wide + self.ratio * wide + width
