"""The price of an engine step: what `estimate` solves over and `simulate` calls.

An engine step takes `tokens` tokens through the model: one each for `n_decode` running sequences (whose
contexts sum to `context`), and chunks of `n_prefill` prompts.  A prompt that already has p tokens and
advances by q adds q to `prefill_tokens` and q·(p + (q+1)/2), the query-key pairs of causal attention, to
`area`.  `rows` is how many positions need logits.

    t = max(G, stream, beside, launches) + host_fixed + host_per_seq · (n_decode + n_prefill)
                                                   launches: of an eager engine, whose host runs beside its kernels,
                                                   or of prompts alone that no graph holds: a host that decoding
                                                   sequences keep busy launches ahead of the device
    G = L + A + C − h − overlap_comm · min(L + A − h, C)
    h = overlap_attention · min(L − bytes(L) / bandwidth, A of decoding)
                                                   what hides is bound by memory, so it needs time in which products
                                                   leave it idle
    beside = A of decoding, which then is no part of G, where it runs on another processor (attention_beside), else 0
    L = linear(tokens) + head(rows)                tables over token count: GEMMs, experts, norms
    C = comm(tokens)                               a table: collectives and pipeline sends
    joules = min(Σ dynamic joules, dynamic_limit_w · t) + idle_w · t
    A = Σ_kinds  [n_decode > 0]·dec_launch + n_decode·dec_seq + context_k·dec_ctx
               + [n_prefill > 0]·pre_launch + prefill_tokens·pre_token + area_k·pre_area

Kinds are the attention kinds of the model (full, sliding, latent, recurrent).  For a window w,
context_k = n_decode · min(context / n_decode, w) and area_k = min(area, prefill_tokens · w): windows see
the mean context, which is exact when contexts lie on one side of the window.

Everything is stacked: a `StepCosts` holds D deployments as arrays with a leading axis, so that a plan
over thousands prices each distinct step once and evaluates by index.  `StepCost` is one row of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["GRID", "ATTENTION_FIELDS", "QUANTITIES", "SCALARS", "StepCost", "StepCosts", "StepResult", "fixed_step"]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

GRID: Final[Array] = np.unique(np.concatenate([np.arange(17.0), np.round(2.0 ** np.arange(4, 21.01, 0.25))]))
"""Token counts at which tables are held: every integer to 16, then four an octave to 2^21."""

QUANTITIES: Final = (
    "linear_s", "comm_s", "head_s", "linear_j", "comm_j", "head_j",
    "linear_flops", "linear_bytes", "comm_bytes", "head_flops", "head_bytes", "linear_least_bytes",
)  # fmt: skip
"""Rows of `tables`: seconds, dynamic joules (beyond idle, all devices) and work (all devices); `linear_least_bytes` are
those of a step whose tokens are all routed to the same experts."""

ATTENTION_FIELDS: Final = (
    "window", "dec_launch_s", "dec_seq_s", "dec_ctx_s", "pre_launch_s", "pre_token_s", "pre_area_s",
    "dec_seq_j", "dec_ctx_j", "pre_token_j", "pre_area_j",
    "dec_seq_bytes", "dec_ctx_bytes", "dec_ctx_flops", "dec_seq_flops", "pre_token_bytes", "pre_area_flops",
    "pre_token_flops",
)  # fmt: skip
"""Columns of `attention`, one row an attention kind; a kind without a window has window = inf."""

SCALARS: Final = (
    "host_fixed_s", "host_seq_s", "overlap_attention", "overlap_comm", "attention_beside", "stream_s", "stream_j",
    "launches_s", "prompt_launches_s",
    "idle_w", "dynamic_limit_w", "tokens_per_decode", "peak_flops", "peak_bytes_per_s", "peak_link_bytes_per_s",
)  # fmt: skip
"""Columns of `scalars`. `idle_w` is the power of all devices and their hosts at rest, `dynamic_limit_w` what the
devices may draw beyond it (their power limit; kernel times were measured under it);
`tokens_per_decode` the tokens that a running sequence feeds a step (1, or 1 + drafted ones);
the peaks are datasheet sums over all devices, for the bound."""

_Q: Final = {name: i for i, name in enumerate(QUANTITIES)}
_BY_TOKENS: Final[Index] = np.array(
    [
        _Q[name]
        for name in (
            "linear_s",
            "linear_j",
            "linear_flops",
            "linear_bytes",
            "linear_least_bytes",
            "comm_s",
            "comm_j",
            "comm_bytes",
        )
    ]
)
_BY_ROWS: Final[Index] = np.array([_Q[name] for name in ("head_s", "head_j", "head_flops", "head_bytes")])
_A: Final = {name: i for i, name in enumerate(ATTENTION_FIELDS)}
_S: Final = {name: i for i, name in enumerate(SCALARS)}


class StepResult(NamedTuple):
    """What a step takes; arrays shaped like the arguments.

    `bytes` counts the experts that routing is expected to touch, `least_bytes` those that any must: one token's.
    """

    seconds: Array
    joules: Array
    linear_s: Array
    attention_s: Array
    comm_s: Array
    host_s: Array
    stream_s: Array
    flops: Array
    bytes: Array
    link_bytes: Array
    least_bytes: Array


class _Mixers(NamedTuple):
    """What attention and recurrent mixers take of steps: seconds of decoding, of all, and work."""

    decode_s: Array
    seconds: Array
    joules: Array
    flops: Array
    bytes: Array


@dataclass(frozen=True, slots=True)
class StepCosts:
    """Step prices of D deployments.

    `tables` (D, len(QUANTITIES), len(GRID)), `attention` (D, K, len(ATTENTION_FIELDS)), `scalars` (D, len(SCALARS)).
    """

    tables: Array
    attention: Array
    scalars: Array

    def __len__(self) -> int:
        return len(self.tables)

    def __getitem__(self, i: int) -> StepCost:
        return StepCost(self.tables[i], self.attention[i], self.scalars[i])

    def scalar(self, name: str, which: npt.NDArray[np.intp]) -> Array:
        """Column `name` of the scalars for the deployments `which`."""
        out: Array = self.scalars[which, _S[name]]
        return out

    def step(
        self,
        which: npt.NDArray[np.intp],
        *,
        n_decode: Array,
        context: Array,
        n_prefill: Array,
        prefill_tokens: Array,
        area: Array,
        rows: Array | None = None,
        idle: Array | float = 1.0,
    ) -> StepResult:
        """Price of steps, one for each element of `which` (row of this stack); all arguments broadcast to its shape.

        `context` and `area` are totals over sequences (tokens, query-key pairs). `rows` defaults to one for each
        running sequence's token and prompt. `idle`: share of steps of prompts alone that stop no sequence's decodes.
        """
        s = self.scalars[which]
        fed = n_decode * s[:, _S["tokens_per_decode"]]
        by_tokens = self._interpolate(which, fed + prefill_tokens, _BY_TOKENS)
        linear, linear_j, linear_flops, linear_bytes, least_bytes, comm, comm_j, comm_bytes = by_tokens
        head, head_j, head_flops, head_bytes = self._interpolate(
            which, fed + n_prefill if rows is None else rows, _BY_ROWS
        )
        mixers = self._mixers(
            which, n_decode=n_decode, context=context, n_prefill=n_prefill, prefill_tokens=prefill_tokens, area=area
        )

        linear = linear + head
        linear_bytes = linear_bytes + head_bytes
        # attention on another processor leaves the device and runs beside all else
        beside = s[:, _S["attention_beside"]] * mixers.decode_s
        attention, decode_s = mixers.seconds - beside, mixers.decode_s - beside
        memory_free_s = np.maximum(linear - linear_bytes / s[:, _S["peak_bytes_per_s"]], 0.0)
        hidden = s[:, _S["overlap_attention"]] * np.minimum(memory_free_s, decode_s)
        hidden = hidden + s[:, _S["overlap_comm"]] * np.minimum(linear + attention - hidden, comm)
        stream = np.maximum(s[:, _S["stream_s"]], beside)
        worked = np.maximum(linear + attention + comm - hidden, stream)
        host = s[:, _S["host_fixed_s"]] + s[:, _S["host_seq_s"]] * (n_decode + n_prefill)
        # an eager engine's launches hide behind the kernels, or the kernels behind them
        prompts_alone = (n_prefill > 0) & (n_decode <= 0)
        launches = np.maximum(worked, s[:, _S["launches_s"]])
        host = host + launches - worked
        host = host + prompts_alone * idle * np.maximum(s[:, _S["prompt_launches_s"]] - launches, 0.0)
        seconds = worked + host
        dynamic_j = linear_j + comm_j + head_j + s[:, _S["stream_j"]]
        return StepResult(
            seconds=seconds,
            joules=np.minimum(dynamic_j + mixers.joules, s[:, _S["dynamic_limit_w"]] * seconds)
            + s[:, _S["idle_w"]] * seconds,
            linear_s=linear,
            attention_s=attention,
            comm_s=comm,
            host_s=host,
            stream_s=stream,
            flops=linear_flops + head_flops + mixers.flops,
            bytes=linear_bytes + mixers.bytes,
            link_bytes=comm_bytes,
            least_bytes=least_bytes + head_bytes + mixers.bytes,
        )

    def _mixers(
        self,
        which: npt.NDArray[np.intp],
        *,
        n_decode: Array,
        context: Array,
        n_prefill: Array,
        prefill_tokens: Array,
        area: Array,
    ) -> _Mixers:
        """What attention and recurrent mixers take of steps, all kinds together."""
        rows = self.attention[which]

        def of(name: str) -> Array:
            out: Array = rows[:, :, _A[name]]
            return out

        window = of("window")
        n, q, pairs = n_decode[:, None], prefill_tokens[:, None], np.broadcast_to(area[:, None], window.shape)
        seen = n * np.minimum(context[:, None] / np.maximum(n, 1e-12), window)
        limited = np.isfinite(window)
        if limited.any():
            pairs = np.where(limited, np.minimum(pairs, q * np.where(limited, window, 0.0)), pairs)
        decoding, prefilling = (n_decode > 0)[:, None], (n_prefill > 0)[:, None]
        decode_s = (decoding * of("dec_launch_s") + n * of("dec_seq_s") + seen * of("dec_ctx_s")).sum(axis=1)
        prefill_s = (prefilling * of("pre_launch_s") + q * of("pre_token_s") + pairs * of("pre_area_s")).sum(axis=1)
        joules = n * of("dec_seq_j") + seen * of("dec_ctx_j") + q * of("pre_token_j") + pairs * of("pre_area_j")
        flops = (
            n * of("dec_seq_flops")
            + seen * of("dec_ctx_flops")
            + q * of("pre_token_flops")
            + pairs * of("pre_area_flops")
        )
        moved = n * of("dec_seq_bytes") + seen * of("dec_ctx_bytes") + q * of("pre_token_bytes")
        return _Mixers(decode_s, decode_s + prefill_s, joules.sum(axis=1), flops.sum(axis=1), moved.sum(axis=1))

    def bound_s(self, which: npt.NDArray[np.intp], work: StepResult) -> Array:
        """The physical limit of the same work: the longest of FLOPs, least bytes, link bytes and streamed bytes at
        their datasheet peaks (equal prompts route alike, so a mixture must read one token's experts and no more)."""
        s = self.scalars[which]
        compute_s, memory_s = work.flops / s[:, _S["peak_flops"]], work.least_bytes / s[:, _S["peak_bytes_per_s"]]
        link_s = work.link_bytes / s[:, _S["peak_link_bytes_per_s"]]
        out: Array = np.maximum(np.maximum(compute_s, memory_s), np.maximum(link_s, s[:, _S["stream_s"]]))
        return out

    def _interpolate(self, which: npt.NDArray[np.intp], at: Array, quantities: Index) -> Array:
        """`quantities` (rows of the tables) at token counts `at`, linear between grid points and beyond the last:
        (len(quantities), N)."""
        at = np.asarray(at, dtype=np.float64)
        i = np.clip(np.searchsorted(GRID, at, side="right") - 1, 0, len(GRID) - 2)
        f = (at - GRID[i]) / (GRID[i + 1] - GRID[i])
        # one flat take for each end: the tables are large, and gathering along two axes walks them badly
        place = quantities[:, None] * len(GRID) + (which * (len(QUANTITIES) * len(GRID)) + i)
        flat = self.tables.reshape(-1)
        low = flat.take(place)
        out: Array = low + f * (flat.take(place + 1) - low)
        return out


@dataclass(frozen=True, slots=True)
class StepCost:
    """The step price of one deployment: `tables` (len(QUANTITIES), len(GRID)), `attention` (K, len(ATTENTION_FIELDS)),
    `scalars` (len(SCALARS))."""

    tables: Array
    attention: Array
    scalars: Array

    def stack(self) -> StepCosts:
        """This one as a stack of one."""
        return StepCosts(self.tables[None], self.attention[None], self.scalars[None])

    def scalar(self, name: str) -> float:
        """The scalar called `name`."""
        return float(self.scalars[_S[name]])

    def dense(self, quantity: str, max_tokens: int) -> Array:
        """Table of `quantity` at every token count from 0 to `max_tokens`: what a compiled loop indexes, (max_tokens +
        1,)."""
        out: Array = np.interp(np.arange(max_tokens + 1.0), GRID, self.tables[_Q[quantity]])
        if max_tokens > GRID[-1]:
            slope = (self.tables[_Q[quantity], -1] - self.tables[_Q[quantity], -2]) / (GRID[-1] - GRID[-2])
            beyond = np.arange(max_tokens + 1.0) > GRID[-1]
            out[beyond] = self.tables[_Q[quantity], -1] + slope * (np.arange(max_tokens + 1.0)[beyond] - GRID[-1])
        return out

    def step(
        self,
        *,
        n_decode: float = 0,
        context: float = 0,
        n_prefill: float = 0,
        prefill_tokens: float = 0,
        area: float = 0,
        rows: float | None = None,
    ) -> StepResult:
        """Price of one step; see `StepCosts.step`."""
        one = np.zeros(1, dtype=np.intp)
        return self.stack().step(
            one,
            n_decode=np.array([float(n_decode)]),
            context=np.array([float(context)]),
            n_prefill=np.array([float(n_prefill)]),
            prefill_tokens=np.array([float(prefill_tokens)]),
            area=np.array([float(area)]),
            rows=None if rows is None else np.array([float(rows)]),
        )


def fixed_step(seconds: float) -> StepCost:
    """A step that takes `seconds` whatever it holds: for queueing theory and hand-worked logs."""
    tables = np.zeros((len(QUANTITIES), len(GRID)))
    attention = np.zeros((1, len(ATTENTION_FIELDS)))
    attention[0, _A["window"]] = np.inf
    scalars = np.zeros(len(SCALARS))
    scalars[_S["host_fixed_s"]] = seconds
    scalars[_S["tokens_per_decode"]] = 1.0
    for name in ("peak_flops", "peak_bytes_per_s", "peak_link_bytes_per_s", "dynamic_limit_w"):
        scalars[_S[name]] = np.inf
    return StepCost(tables, attention, scalars)
