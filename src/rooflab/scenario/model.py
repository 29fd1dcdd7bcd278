"""A model as shapes: runs of identical blocks, each a list of mixers (attention and its kin) and a feed-forward.

Every layer kind knows its own parameter count and what it keeps per token (KV cache) or per sequence
(recurrent state), so that memory, operators and the published counts rest on one description.
Counts are elements, not bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rooflab.scenario.attention import Attention, CompressedAttention, Indexer, LatentAttention
from rooflab.scenario.recurrent import LinearAttention, ShortConvolution, StateSpace

__all__ = [
    "Attention",
    "Block",
    "CompressedAttention",
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
    "ShortConvolution",
    "StateSpace",
    "Stored",
    "Vision",
]

ModelKind = Literal["decoder", "encoder", "encoder-decoder", "vision"]


Mixer = Attention | LatentAttention | CompressedAttention | LinearAttention | StateSpace | ShortConvolution


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A mixture of `experts` feed-forwards of `width`, `top_k` of them per token, and shared ones of `shared_width` in
    all.

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
    latent_norm: bool = False

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
        return n + (2 * hidden * self.latent + (self.latent if self.latent_norm else 0) if self.latent else 0)

    def parameters(self, hidden: int) -> int:
        """All weights."""
        return self.common_parameters(hidden) + self.experts * self.expert_parameters(hidden)

    def active_parameters(self, hidden: int) -> int:
        """Weights that one token uses."""
        return self.common_parameters(hidden) + self.top_k * self.expert_parameters(hidden)


FeedForward = Dense | Experts


@dataclass(frozen=True, slots=True)
class Stored:
    """Formats of a block's mixers, of its feed-forward (or routed experts) and of its shared experts, where a
    checkpoint stores them in others than its own; None: as the rest."""

    mixer: str | None = None
    ffn: str | None = None
    shared: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One layer: mixers and a feed-forward, either of which may be absent, and `norms` normalisations of the hidden
    size.

    `parallel`: mixer and feed-forward read the same input and are added once (GPT-J, PaLM, Falcon).
    `extra_parameters`: small per-layer weights that no part above names (hyper-connections, layer scales). `stored`:
    formats of its own.
    """

    mixers: tuple[Mixer, ...]
    ffn: FeedForward | None
    norms: int = 2
    norm_bias: bool = False
    parallel: bool = False
    extra_parameters: int = 0
    stored: Stored | None = None

    def parameters(self, hidden: int) -> int:
        """All weights of the layer."""
        n = sum(m.parameters(hidden) for m in self.mixers) + (self.ffn.parameters(hidden) if self.ffn else 0)
        return n + self.norms * hidden * (2 if self.norm_bias else 1) + self.extra_parameters

    def active_parameters(self, hidden: int) -> int:
        """Weights of the layer that one token uses."""
        n = sum(m.parameters(hidden) for m in self.mixers) + (self.ffn.active_parameters(hidden) if self.ffn else 0)
        return n + self.norms * hidden * (2 if self.norm_bias else 1) + self.extra_parameters


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A transformer (or hybrid) as shapes.

    `runs` are the decoder's (or only) blocks, `encoder` those of an encoder-decoder, `mtp` the multi-token-prediction
    blocks kept beside the decoder and left out of `parameters`, as published counts mostly do.  `dtype` is the
    checkpoint's own weight format; `expert_dtype` that of routed experts when it differs (gpt-oss: mxfp4); `kv_dtype`
    what the checkpoint asks of the cache, `head_dtype` that of the output projection (None: 16 bits).
    `relative_buckets`: learned position biases per head, once a stack (T5).
    `checkpoint` is the repository that the user named, where that is not the catalogue's (an instruct version, a
    quantised one), `given` what the model was read from, until it is changed. `other_parameters` counts what has no
    part in a step's cost worth naming (pooler, token types, norms of embeddings). `layer_embedding`: elements a token
    of the tables that feed each layer (Gemma 3n and 4), `tower_parameters`: weights of vision and audio towers that
    share the memory of a text model and are in no count.
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
    kv_dtype: str | None = None
    head_dtype: str | None = None
    max_context: int = 0
    mtp: tuple[Run, ...] = ()
    relative_buckets: int = 0
    layer_embedding: int = 0
    tower_parameters: int = 0
    sources: tuple[str, ...] = field(default=(), compare=False)
    checkpoint: str = field(default="", compare=False)
    given: str | Mapping[str, Any] | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def served_name(self) -> str:
        """What an engine is asked to load: the user's own name for the model, or the catalogue's."""
        return self.checkpoint or self.name

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
        return (self.vocab + self.positions) * self.hidden + self.vocab * self.layer_embedding

    @property
    def head_parameters(self) -> int:
        """Output projection stored apart from the embedding."""
        if self.vision:
            return (self.hidden * self.vision.classes + self.vision.classes) if self.head else 0
        bias = self.vocab if self.head_bias else 0
        return (0 if self.tied or not self.head else self.vocab * self.hidden) + bias

    @property
    def parameters(self) -> int:
        """Total parameters."""
        stack = sum(r.count * r.block.parameters(self.hidden) for r in self.runs + self.encoder)
        stacks = 2 if self.encoder else 1
        norms = stacks * self.final_norm * self.hidden * (2 if self.norm_bias else 1)
        return (
            stack
            + norms
            + self.embedding_parameters
            + self.head_parameters
            + self.other_parameters
            + self.relative_parameters
        )

    @property
    def relative_parameters(self) -> int:
        """Learned relative position biases: buckets x heads, once a stack."""
        first = next((m for r in self.runs for m in r.block.mixers if isinstance(m, Attention)), None)
        return self.relative_buckets * first.heads * (2 if self.encoder else 1) if first else 0

    @property
    def mtp_layers(self) -> int:
        """Multi-token-prediction blocks stored beside the decoder."""
        return sum(r.count for r in self.mtp)

    @property
    def mtp_parameters(self) -> int:
        """Their weights: the block, the projection of hidden state and next embedding, three norms (DeepSeek-V3 report,
        2.2)."""
        joint = 2 * self.hidden * self.hidden + 3 * self.hidden
        return sum(r.count * (r.block.parameters(self.hidden) + joint) for r in self.mtp)

    @property
    def kv_elements_per_token(self) -> int:
        """Elements that one more token adds to the cache while every layer still keeps all of its window;
        cross-attention aside."""
        return sum(r.count * m.kv_elements_per_token for r in self.runs for m in r.block.mixers if not _crosses(m))

    @property
    def cross_kv_elements_per_token(self) -> int:
        """Elements cached per encoder token."""
        return sum(r.count * m.kv_elements_per_token for r in self.runs for m in r.block.mixers if _crosses(m))

    @property
    def state_elements(self) -> int:
        """Elements of recurrent state per sequence."""
        return sum(r.count * m.state_elements for r in self.runs for m in r.block.mixers)

    def cached_elements(self, context: float) -> float:
        """Elements kept for a sequence of `context` tokens: cache within its windows, and state."""
        return sum(r.count * m.cached_elements(context) for r in self.runs for m in r.block.mixers if not _crosses(m))

    @property
    def active_parameters(self) -> int:
        """Parameters that one token uses, embeddings and head included (the convention of published 'A' counts
        varies)."""
        idle = sum(
            r.count * (r.block.parameters(self.hidden) - r.block.active_parameters(self.hidden))
            for r in self.runs + self.encoder
        )
        return self.parameters - idle

    @property
    def is_moe(self) -> bool:
        """Whether any block has routed experts."""
        return any(isinstance(r.block.ffn, Experts) for r in self.runs + self.encoder)


def _crosses(mixer: Mixer) -> bool:
    return isinstance(mixer, Attention) and mixer.cross
