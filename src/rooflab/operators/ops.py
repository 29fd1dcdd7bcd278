"""Operators: what one device must compute, move and send in a step, as shapes.

A field may be a number or an array; arrays broadcast, so that one list describes many splits (axis 0) at
many token counts (axis 1).  Shapes are per device, after every partition; `count` is how often the operator
occurs in the whole depth of the model.  Prices are `costs`' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rooflab.scenario.dtype import DType

__all__ = [
    "AttentionOp",
    "Collective",
    "Elementwise",
    "ExpertGemm",
    "Gemm",
    "Handover",
    "Group",
    "Operator",
    "Real",
    "RecurrentOp",
    "Transfer",
]

Real: TypeAlias = float | NDArray[np.float64]
Group = Literal["attention", "ffn", "experts", "norm", "embedding", "head", "comm", "transfer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gemm:
    """`batch` products (m x k)(k x n); m counts tokens, n·k·batch weights in `weight` format."""

    name: str
    group: Group
    count: float
    m: Real
    n: Real
    k: Real
    weight: DType
    act: DType
    batch: Real = 1.0
    on_host: bool = False

    @property
    def flops(self) -> Real:
        """2·m·n·k a product."""
        return 2.0 * self.batch * self.m * self.n * self.k

    @property
    def weight_bytes(self) -> Real:
        """Weights read, if there is any token."""
        used = np.asarray(np.asarray(self.m) > 0, dtype=np.float64)
        return self.batch * self.n * self.k * self.weight.bytes * used

    @property
    def memory_bytes(self) -> Real:
        """Weights, inputs and 16-bit outputs."""
        return self.weight_bytes + self.batch * self.m * (self.k * min(self.act.bytes, 2.0) + self.n * 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertGemm:
    """Routed experts of one layer on one rank; `tokens` are those of the whole expert-parallel group, `width` is after
    the split.

    `gathered`: 1 where every rank holds all tokens, 0 where an exchange brings a rank only its own. `on_host`, as of
    plain products: the weights lie in the host's memory, whose processor computes them.
    """

    name: str
    group: Group
    count: float
    tokens: Real
    hidden: Real
    width: Real
    experts: Real
    top_k: float
    ep: Real
    matrices: float
    weight: DType
    act: DType
    gathered: Real = 1.0
    on_host: bool = False

    @property
    def assignments(self) -> Real:
        """Token-expert pairs on this rank."""
        return self.tokens * self.top_k / self.ep

    @property
    def touched(self) -> Real:
        """Experts of this rank that get at least one token under uniform random routing."""
        here = self.experts / self.ep
        return np.minimum(self.assignments, here * -np.expm1(-self.assignments / here))

    @property
    def flops(self) -> Real:
        """2 · matrices · hidden · width a pair."""
        return 2.0 * self.matrices * self.hidden * self.width * self.assignments

    @property
    def weight_bytes(self) -> Real:
        """Weights of the touched experts."""
        return self.touched * self.matrices * self.hidden * self.width * self.weight.bytes

    @property
    def memory_bytes(self) -> Real:
        """Weights of the touched experts, and each pair's input and output."""
        return self.weight_bytes + self.assignments * 2.0 * self.hidden * 2.0


@dataclass(frozen=True, slots=True)
class Elementwise:
    """`kernels` streaming passes over `moved_bytes` in all: norms, activations, rotary embedding, residuals, lookups.

    `launches` are paid for one by one: kernels beyond those of a plain block, whose launches are part of an engine's
    time a layer.
    """

    name: str
    group: Group
    count: float
    moved_bytes: Real
    kernels: float = 1.0
    launches: float = 0.0

    @property
    def flops(self) -> Real:
        """Not counted: these passes are bound by memory."""
        return self.moved_bytes * 0.0

    @property
    def memory_bytes(self) -> Real:
        """Bytes read and written."""
        return self.moved_bytes


@dataclass(frozen=True, slots=True)
class Collective:
    """A collective over `ranks` devices.

    `message_bytes` is what a rank contributes (all-reduce), sends to others (all-to-all, send) or ends up with
    (all-gather).
    """

    name: str
    group: Group
    count: Real
    kind: Literal["all_reduce", "all_gather", "all_to_all", "send"]
    message_bytes: Real
    ranks: Real

    @property
    def flops(self) -> Real:
        """None worth counting."""
        return self.message_bytes * 0.0

    @property
    def memory_bytes(self) -> Real:
        """None worth counting beside the link."""
        return self.message_bytes * 0.0

    @property
    def link_bytes(self) -> Real:
        """Bytes that a device must send at the least: 2(n−1)/n of the message to all-reduce, (n−1)/n to gather, all
        that is sent."""
        if self.kind in ("send", "all_to_all"):
            return self.message_bytes * 1.0
        others = np.maximum(np.asarray(self.ranks, dtype=np.float64) - 1.0, 0.0) / np.maximum(self.ranks, 1.0)
        return others * self.message_bytes * (2.0 if self.kind == "all_reduce" else 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionOp:
    """One attention kind on one rank, priced from sums over the batch (see `costs.step`).

    `q_elements`: query and output elements a token; `cache_elements`: what a token adds to the cache that this
    kind reads; `flops_per_pair`: of one query token with one cached token; `window`: cached tokens a query sees.
    `share`: part of the batch on this rank (1/dp), `context_share`: part of a context on this rank (1/cp, or
    1/ratio where the past is compressed).  `latent`: one shared latent vector instead of heads.  `phases`: "decode" for
    what only generated tokens do (a sparse read of the cache), "prefill" for what only prompts do.  `vector_ops`: fp32
    operations for each query head's use of a cached element by decode kernels that run on the vector units (they unpack
    a cache of few bits); 0: matrix units. `on_host`: the cache lies in host memory, where the CPU attends for decoding
    sequences beside the device's work.
    """

    name: str
    group: Group
    count: float
    heads: Real
    kv_heads: Real
    head_dim: float
    v_head_dim: float
    kv: DType
    window: float = float("inf")
    share: Real = 1.0
    context_share: Real = 1.0
    latent: tuple[float, float] | None = None
    causal: bool = True
    indexer: bool = False
    phases: Literal["both", "decode", "prefill"] = "both"
    vector_ops: float = 0.0
    on_host: bool = False

    @property
    def q_elements(self) -> Real:
        """Query and output elements a token."""
        return self.heads * (self.head_dim + self.v_head_dim)

    @property
    def cache_elements(self) -> Real:
        """Cached elements a token on this rank."""
        if self.latent:
            return self.kv_heads * 0.0 + sum(self.latent)
        return self.kv_heads * (self.head_dim + (0.0 if self.indexer else self.v_head_dim))

    @property
    def decode_flops_per_pair(self) -> Real:
        """FLOPs of one new token with one cached token (absorbed form for a latent cache)."""
        if self.latent:
            rank, rope = self.latent
            return 2.0 * self.heads * (2.0 * rank + rope)
        return 2.0 * self.heads * (self.head_dim + self.v_head_dim)

    @property
    def prefill_flops_per_pair(self) -> Real:
        """FLOPs of one query-key pair with keys and values expanded per head."""
        return 2.0 * self.heads * (self.head_dim + self.v_head_dim)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentOp:
    """A recurrent mixer on one rank: state read and written once per decoded token, a chunked scan over prompt
    tokens."""

    name: str
    group: Group
    count: float
    kind: Literal["gdn", "mamba2"]
    state_elements: Real
    token_bytes: Real
    flops_per_token: Real
    share: Real = 1.0


@dataclass(frozen=True, slots=True)
class Handover:
    """Hidden states that change between device and host `times` in a step, `moved_bytes` in all."""

    name: str
    group: Group
    count: float
    moved_bytes: Real
    times: float


@dataclass(frozen=True, slots=True)
class Transfer:
    """Bytes that must come from a memory tier behind the device in every step (offloaded weights or cache)."""

    name: str
    group: Group
    count: float
    bytes: Real
    tier: str


Operator = Gemm | ExpertGemm | Elementwise | Collective | AttentionOp | RecurrentOp | Transfer | Handover
