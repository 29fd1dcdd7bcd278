"""A model as shapes: runs of identical blocks, each a list of mixers (attention and its kin) and a feed-forward.

Every layer kind knows its own parameter count and what it keeps per token (KV cache) or per sequence
(recurrent state), so that memory, operators and the published counts rest on one description.
Counts are elements, not bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "Attention",
    "Block",
    "Dense",
    "Experts",
    "FeedForward",
    "Indexer",
    "LatentAttention",
    "LinearAttention",
    "Mixer",
    "Model",
    "ModelKind",
    "Run",
    "StateSpace",
    "Vision",
]

ModelKind = Literal["decoder", "encoder", "encoder-decoder", "vision"]


@dataclass(frozen=True, slots=True)
class Attention:
    """Softmax attention with `kv_heads` groups (MHA, GQA, MQA).

    `window`: tokens that a query sees (None: all).  `cross`: keys come from the encoder.  `causal` False: encoder.
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

    @property
    def q_width(self) -> int:
        """Columns of the query projection, its output gate included."""
        return self.heads * self.head_dim * (2 if self.output_gate else 1)

    @property
    def kv_width(self) -> int:
        """Columns of the key and value projections together."""
        return self.kv_heads * (self.head_dim + (0 if self.k_is_v else self.v_head_dim))

    @property
    def kv_elements_per_token(self) -> int:
        """Elements cached per token and layer."""
        return self.kv_heads * (self.head_dim + self.v_head_dim)

    @property
    def state_elements(self) -> int:
        """Elements of recurrent state per sequence."""
        return 0

    def parameters(self, hidden: int) -> int:
        """Weights and biases of the projections, norms and sinks."""
        n = hidden * (self.q_width + self.kv_width) + self.heads * self.v_head_dim * hidden
        if self.qkv_bias:
            n += self.q_width + self.kv_width
        if self.out_bias:
            n += hidden
        if self.qk_norm == "head":
            n += 2 * self.head_dim
        elif self.qk_norm == "full":
            n += (self.heads + self.kv_heads) * self.head_dim
        return n + (self.heads if self.sinks else 0)


@dataclass(frozen=True, slots=True)
class Indexer:
    """Learned selection of `top_k` cached tokens per query (DeepSeek sparse attention): small heads, one shared key."""

    heads: int
    head_dim: int
    top_k: int


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, 2.1): the cache holds one compressed vector and one rotary key per token."""

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
        return self.kv_rank + self.rope_dim + (self.indexer.head_dim if self.indexer else 0)

    @property
    def state_elements(self) -> int:
        """Elements of recurrent state per sequence."""
        return 0

    def parameters(self, hidden: int) -> int:
        """Weights of the down- and up-projections, norms and indexer."""
        q_out = self.heads * self.head_dim
        n = hidden * (self.kv_rank + self.rope_dim) + self.kv_rank + self.kv_rank * self.heads * (self.nope_dim + self.v_dim)
        n += hidden * q_out if self.q_rank is None else hidden * self.q_rank + self.q_rank + self.q_rank * q_out
        n += self.heads * self.v_dim * hidden
        if self.output_gate:
            n += hidden * self.heads * self.v_dim
        if self.indexer:
            i = self.indexer
            n += (self.q_rank or hidden) * i.heads * i.head_dim + hidden * i.head_dim + 2 * i.head_dim + hidden * i.heads
        return n


@dataclass(frozen=True, slots=True)
class LinearAttention:
    """Gated linear attention with a delta rule (Gated DeltaNet, Kimi Delta Attention): a d_k x d_v state per value head.

    `gate_rank`: rank of the decay gate (None: one scalar a head).  `output_gate_rank`: None is a full-rank gate.
    """

    k_heads: int
    v_heads: int
    k_dim: int
    v_dim: int
    conv: int
    gate_rank: int | None = None
    full_output_gate: bool = True

    @property
    def window(self) -> int | None:
        """Nothing is cached per token."""
        return None

    @property
    def kv_elements_per_token(self) -> int:
        """Nothing is cached per token."""
        return 0

    @property
    def conv_width(self) -> int:
        """Channels of the short convolution: queries, keys and values."""
        return 2 * self.k_heads * self.k_dim + self.v_heads * self.v_dim

    @property
    def state_elements(self) -> int:
        """Elements of recurrent state per sequence: the delta-rule state and the convolution's tail."""
        return self.v_heads * self.k_dim * self.v_dim + self.conv_width * (self.conv - 1)

    @property
    def in_width(self) -> int:
        """Columns of the input projections: q, k, v, output gate, decay and write gates."""
        return self.conv_width + self.v_heads * self.v_dim + 2 * self.v_heads

    def parameters(self, hidden: int) -> int:
        """Weights of projections, convolution, gates and the output norm."""
        value = self.v_heads * self.v_dim
        if self.gate_rank is None:
            n = hidden * self.in_width + 2 * self.v_heads
        else:
            decay = hidden * self.gate_rank + self.gate_rank * self.k_heads * self.k_dim + self.k_heads * self.k_dim + self.v_heads
            gate = hidden * value if self.full_output_gate else hidden * self.gate_rank + self.gate_rank * value
            n = hidden * (self.conv_width + self.v_heads) + decay + gate
        return n + self.conv_width * self.conv + self.v_dim + value * hidden


@dataclass(frozen=True, slots=True)
class StateSpace:
    """Mamba-2 (state-space duality): `heads` x `head_dim` channels, each with `state` numbers; B and C shared by `groups`."""

    heads: int
    head_dim: int
    state: int
    groups: int
    conv: int
    conv_bias: bool = True

    @property
    def window(self) -> int | None:
        """Nothing is cached per token."""
        return None

    @property
    def inner(self) -> int:
        """Channels: heads x head_dim."""
        return self.heads * self.head_dim

    @property
    def conv_width(self) -> int:
        """Channels of the short convolution: x, B and C."""
        return self.inner + 2 * self.groups * self.state

    @property
    def kv_elements_per_token(self) -> int:
        """Nothing is cached per token."""
        return 0

    @property
    def state_elements(self) -> int:
        """Elements of recurrent state per sequence."""
        return self.inner * self.state + self.conv_width * (self.conv - 1)

    @property
    def in_width(self) -> int:
        """Columns of the input projection: gate, x, B, C, dt."""
        return self.inner + self.conv_width + self.heads

    def parameters(self, hidden: int) -> int:
        """Weights of projections, convolution, A, D, dt bias and the gated norm."""
        conv = self.conv_width * (self.conv + (1 if self.conv_bias else 0))
        return hidden * self.in_width + conv + 3 * self.heads + self.inner + self.inner * hidden


Mixer = Attention | LatentAttention | LinearAttention | StateSpace


@dataclass(frozen=True, slots=True)
class Dense:
    """A feed-forward of `width`; `gated` has a third matrix (SwiGLU, GeGLU)."""

    width: int
    gated: bool = True
    bias: bool = False

    @property
    def matrices(self) -> int:
        """Matrices of hidden x width."""
        return 3 if self.gated else 2

    def parameters(self, hidden: int) -> int:
        """Weights and biases."""
        bias = (self.width * (self.matrices - 1) + hidden) if self.bias else 0
        return self.matrices * hidden * self.width + bias

    def active_parameters(self, hidden: int) -> int:
        """Weights that one token uses: all."""
        return self.parameters(hidden)


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of `experts` feed-forwards of `width`, `top_k` of them per token, and shared ones of `shared_width` in all.

    `latent`: width of the space the routed experts work in, when it is not the hidden size (Nemotron 3, Kimi-K3).
    """

    experts: int
    top_k: int
    width: int
    gated: bool = True
    shared_width: int = 0
    shared_gate: bool = False
    bias: bool = False
    router_bias: bool = False
    latent: int | None = None

    @property
    def matrices(self) -> int:
        """Matrices per expert."""
        return 3 if self.gated else 2

    def expert_parameters(self, hidden: int) -> int:
        """Weights of one routed expert."""
        inner = self.latent or hidden
        bias = (self.width * (self.matrices - 1) + inner) if self.bias else 0
        return self.matrices * inner * self.width + bias

    def common_parameters(self, hidden: int) -> int:
        """Weights that every token uses: router, shared experts, latent projections."""
        n = hidden * self.experts + (self.experts if self.router_bias else 0)
        n += self.matrices * hidden * self.shared_width + (hidden if self.shared_gate else 0)
        return n + (2 * hidden * self.latent if self.latent else 0)

    def parameters(self, hidden: int) -> int:
        """All weights."""
        return self.common_parameters(hidden) + self.experts * self.expert_parameters(hidden)

    def active_parameters(self, hidden: int) -> int:
        """Weights that one token uses."""
        return self.common_parameters(hidden) + self.top_k * self.expert_parameters(hidden)


FeedForward = Dense | Experts


@dataclass(frozen=True, slots=True)
class Block:
    """One layer: mixers and a feed-forward, either of which may be absent, and `norms` normalisations of the hidden size."""

    mixers: tuple[Mixer, ...]
    ffn: FeedForward | None
    norms: int = 2
    norm_bias: bool = False

    def parameters(self, hidden: int) -> int:
        """All weights of the layer."""
        n = sum(m.parameters(hidden) for m in self.mixers) + (self.ffn.parameters(hidden) if self.ffn else 0)
        return n + self.norms * hidden * (2 if self.norm_bias else 1)

    def active_parameters(self, hidden: int) -> int:
        """Weights of the layer that one token uses."""
        n = sum(m.parameters(hidden) for m in self.mixers) + (self.ffn.active_parameters(hidden) if self.ffn else 0)
        return n + self.norms * hidden * (2 if self.norm_bias else 1)


@dataclass(frozen=True, slots=True)
class Run:
    """`count` identical blocks in a row (or interleaved: order does not change cost)."""

    count: int
    block: Block


@dataclass(frozen=True, slots=True)
class Vision:
    """The input of a vision transformer: an image cut into patches."""

    image: int
    patch: int
    channels: int = 3
    classes: int = 1000

    @property
    def patches(self) -> int:
        """Patches of one image."""
        return (self.image // self.patch) ** 2


@dataclass(frozen=True, slots=True)
class Model:
    """A transformer (or hybrid) as shapes.

    `runs` are the decoder's (or only) blocks, `encoder` those of an encoder-decoder.  `dtype` is the
    checkpoint's own weight format; `expert_dtype` that of routed experts when it differs (gpt-oss: mxfp4).
    `other_parameters` counts what has no part in a step's cost worth naming (pooler, token types, norms of embeddings).
    """

    name: str
    kind: ModelKind
    family: str
    hidden: int
    vocab: int
    runs: tuple[Run, ...]
    encoder: tuple[Run, ...] = ()
    tied: bool = False
    head: bool = True
    head_bias: bool = False
    positions: int = 0
    final_norm: int = 1
    norm_bias: bool = False
    other_parameters: int = 0
    vision: Vision | None = None
    dtype: str = "bf16"
    expert_dtype: str | None = None
    max_context: int = 0
    sources: tuple[str, ...] = field(default=(), compare=False)

    @property
    def layers(self) -> int:
        """Blocks of the decoder (or only) stack."""
        return sum(r.count for r in self.runs)

    @property
    def embedding_parameters(self) -> int:
        """Token (or patch) and learned position embeddings."""
        if self.vision:
            v = self.vision
            return v.channels * v.patch**2 * self.hidden + self.hidden + (v.patches + 1) * self.hidden + self.hidden
        return (self.vocab + self.positions) * self.hidden

    @property
    def head_parameters(self) -> int:
        """Output projection stored apart from the embedding."""
        if self.vision:
            return self.hidden * self.vision.classes + self.vision.classes
        bias = self.vocab if self.head_bias else 0
        return (0 if self.tied or not self.head else self.vocab * self.hidden) + bias

    @property
    def parameters(self) -> int:
        """Total parameters."""
        stack = sum(r.count * r.block.parameters(self.hidden) for r in self.runs + self.encoder)
        norms = (self.final_norm + (1 if self.encoder else 0)) * self.hidden * (2 if self.norm_bias else 1)
        return stack + norms + self.embedding_parameters + self.head_parameters + self.other_parameters

    @property
    def active_parameters(self) -> int:
        """Parameters that one token uses, embeddings and head included (the convention of published 'A' counts varies)."""
        idle = sum(r.count * (r.block.parameters(self.hidden) - r.block.active_parameters(self.hidden)) for r in self.runs + self.encoder)
        return self.parameters - idle

    @property
    def is_moe(self) -> bool:
        """Whether any block has routed experts."""
        return any(isinstance(r.block.ffn, Experts) for r in self.runs + self.encoder)
