"""Mixers whose past is a state of fixed size: gated linear attention and state-space layers. Counts are elements, not
bytes."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LinearAttention", "ShortConvolution", "StateSpace"]


class _Stateful:
    """A mixer that keeps a state and no token."""

    __slots__ = ()

    @property
    def window(self) -> int | None:
        """Nothing is cached per token."""
        return None

    @property
    def kv_elements_per_token(self) -> int:
        """Nothing is cached per token."""
        return 0

    @property
    def state_elements(self) -> int:
        """Elements of recurrent state per sequence."""
        raise NotImplementedError

    def attended_tokens(self, context: float) -> float:
        """No token is read again: the past is in the state."""
        return 0.0

    def cached_elements(self, context: float) -> float:
        """Elements kept for a sequence, whatever its length."""
        return self.state_elements


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearAttention(_Stateful):
    """Gated linear attention with a delta rule (Gated DeltaNet, Kimi Delta Attention): a d_k x d_v state per value
    head.

    `gate_rank`: rank of the decay gate (None: one scalar a head).  `output_gate_rank`: None is a full-rank gate.
    `conv` 0: no short convolution, and decay is a constant (lightning attention of MiniMax).
    """

    k_heads: int
    v_heads: int
    k_dim: int
    v_dim: int
    conv: int
    gate_rank: int | None = None
    full_output_gate: bool = True

    @property
    def conv_width(self) -> int:
        """Channels of the short convolution: queries, keys and values."""
        return 2 * self.k_heads * self.k_dim + self.v_heads * self.v_dim

    @property
    def state_elements(self) -> int:
        """Elements of recurrent state per sequence: the delta-rule state and the convolution's tail."""
        return self.v_heads * self.k_dim * self.v_dim + self.conv_width * max(self.conv - 1, 0)

    @property
    def in_width(self) -> int:
        """Columns of the input projections: q, k, v, output gate, decay and write gates."""
        return self.conv_width + self.v_heads * self.v_dim + (2 * self.v_heads if self.conv else 0)

    def parameters(self, hidden: int) -> int:
        """Weights of projections, convolution, gates and the output norm."""
        value = self.v_heads * self.v_dim
        if self.gate_rank is None:
            n = hidden * self.in_width + (2 * self.v_heads if self.conv else 0)
        else:
            decay = (
                hidden * self.gate_rank
                + self.gate_rank * self.k_heads * self.k_dim
                + self.k_heads * self.k_dim
                + self.v_heads
            )
            gate = hidden * value if self.full_output_gate else hidden * self.gate_rank + self.gate_rank * value
            n = hidden * (self.conv_width + self.v_heads) + decay + gate
        return n + self.conv_width * self.conv + self.v_dim + value * hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpace(_Stateful):
    """Mamba-2 (state-space duality): `heads` x `head_dim` channels, each with `state` numbers; B and C shared by
    `groups`.

    With `dt_rank` it is Mamba-1: heads of one channel, B, C and a low-rank dt computed from x after the convolution;
    `inner_norms` are then the norms of dt, B and C (Jamba).
    """

    heads: int
    head_dim: int
    state: int
    groups: int
    conv: int
    conv_bias: bool = True
    gated_norm: bool = True
    bias: bool = False
    dt_rank: int | None = None
    inner_norms: bool = False

    @property
    def inner(self) -> int:
        """Channels: heads x head_dim."""
        return self.heads * self.head_dim

    @property
    def conv_width(self) -> int:
        """Channels of the short convolution: x, B and C (Mamba-1: x)."""
        return self.inner if self.dt_rank else self.inner + 2 * self.groups * self.state

    @property
    def state_elements(self) -> int:
        """Elements of recurrent state per sequence."""
        return self.inner * self.state + self.conv_width * (self.conv - 1)

    @property
    def in_width(self) -> int:
        """Columns of the input projection: gate, x, B, C, dt (Mamba-1: gate, x)."""
        return self.inner + self.conv_width + (0 if self.dt_rank else self.heads)

    def parameters(self, hidden: int) -> int:
        """Weights of projections, convolution, A, D, dt bias and the gated norm."""
        conv = self.conv_width * (self.conv + (1 if self.conv_bias else 0))
        n = hidden * self.in_width + conv + self.inner * hidden + (self.in_width + hidden if self.bias else 0)
        if self.dt_rank is None:
            return n + 3 * self.heads + (self.inner if self.gated_norm else 0)
        n += self.inner * (self.dt_rank + 2 * self.state) + self.dt_rank * self.inner + self.inner
        n += self.inner * self.state + self.inner
        return n + (self.dt_rank + 2 * self.state if self.inner_norms else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortConvolution(_Stateful):
    """A gated convolution over the last `taps` tokens in place of attention (LFM2): `width` channels, in three
    projections."""

    width: int
    taps: int
    bias: bool = False

    @property
    def state_elements(self) -> int:
        """The tokens that the convolution looks back on."""
        return self.width * (self.taps - 1)

    def parameters(self, hidden: int) -> int:
        """Weights of the projections and of the convolution."""
        bias = 4 * self.width + hidden if self.bias else 0
        return hidden * 3 * self.width + self.width * self.taps + self.width * hidden + bias
