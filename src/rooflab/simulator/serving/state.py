"""The simulator's whole state: a few record arrays and tables, so that the loop can stop anywhere and go on.

A request in the simulator is a `job`, an engine (or one pipeline lane of it) a `rep`.  Time stands in jobs
and reps; a rep also counts its decode steps (`ticks`) and the tokens that each sequence has gained in them
(`tokens`), because every decoding sequence gains the same: a sequence that joined with L tokens is
`anchor + tokens` long, anchor = L − tokens then, and ends when `tokens` reaches its `finish_at`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

import numpy as np

from rooflab.scenario.limits import Limits

__all__ = [
    "CLUSTER_DTYPE",
    "EVENT_DTYPE",
    "JOB_DTYPE",
    "QUEUE_DTYPE",
    "REPLICA_DTYPE",
    "STEP_DTYPE",
    "UNIT_DTYPE",
    "Sim",
]

# what a job is doing
UNBORN: Final = 0
WAITING: Final = 1
PREFILLING: Final = 2
DECODING: Final = 3
RECEIVING: Final = 4
ENDED: Final = 5

# what a replica is doing
OFF: Final = 0
STARTING: Final = 1
UP: Final = 2
DRAINING: Final = 3
FAILED: Final = 4

# between steps, in a step, or with nothing to do
RESTING: Final = 0
BOUNDARY: Final = 1
STEPPING: Final = 2

# which part of the work a replica takes
BOTH: Final = 0
PREFILL: Final = 1
DECODE: Final = 2

# what admission must find room for: the blocks of the next chunk, of the prompt, of the whole sequence
CHUNK: Final = 0
PROMPT: Final = 1
WHOLE: Final = 2

# cluster events
FAIL: Final = 0
RECOVER: Final = 1
SPEED: Final = 2

# memory tiers of the prefix cache
GPU: Final = 0
HOST: Final = 1
SSD: Final = 2
TIERS: Final = 3


def _dtype(**columns: str) -> np.dtype[Any]:
    kinds: dict[str, Any] = {"f8": np.float64, "i8": np.int64, "i4": np.int32}
    return np.dtype([(name, kinds[kind]) for kind, names in columns.items() for name in names.split()], align=True)


JOB_DTYPE: Final = _dtype(
    f8="deadline_s think_s key arrival_s first_scheduled_s first_token_s last_token_s stalled_since_s hidden_s",
    i8="input output predicted cached done goal made anchor finish_at private home_private shared chunk on_host",
    i4="client adapter priority session after successor sibling link child previous next chunk_next heap_at state "
    "replica "
    "home epoch first_replica decode_replica preemptions requeues status swapped",
)
"""A request. `done` tokens have KV, `goal` must have before the next token, `made` are generated (as of joining the
decode batch)."""

SETTINGS: Final = tuple(
    name for name, kind in get_type_hints(Limits).items() if {*(get_args(kind) or (kind,))} <= {int, bool, NoneType}
)
"""Whole numbers and switches among a scheduler's limits: a replica holds each under the name that a deployment has."""

REPLICA_DTYPE: Final = _dtype(
    f8="gain watermark retract reserve_ratio reserve_min reserve_decay reserve_now overlap host_s_per_token "
    "ssd_s_per_token "
    "swap_s_per_token adapter_load_s link_free_s link_s_per_token link_latency_s link_layers idle_w slow power "
    "startup_s "
    "start_s step_s slope_s step_j slope_j extra_s up_since_s waiting_since_s emitted_s newcomer_sum_s "
    "swap_in_free_s swap_out_free_s sticky",
    i8=f"{' '.join(SETTINGS)} cost role mixed chunked reserve gated by_progress policy kv_blocks capacity_tokens "
    "swap_tokens swap_used max_adapters state epoch phase running n_decode waiting present load_tokens "
    "head tail partial "
    "chunk_head chunk_tail n_chunks chunk_tokens free_blocks idle_units host_units host_used ssd_units ssd_used "
    "unit_blocks free_unit "
    "ticks tokens held_back anchor_sum finish_sum output_sum k decoding n_step context_step area longest newcomers "
    "active_adapters receiving ready_head swap_async swap_reuse rotate_steps rotate_at rotations fruitless look_at "
    "wait_until",
)
"""An engine: its rules and limits, its batch, its blocks, the step (or run of k equal steps) that it is in."""

MOST_FRUITLESS: Final = 10_000
"""Rotations of a replica since its last token after which none is expected: every turn undoes what the last one did."""

QUEUE_DTYPE: Final = _dtype(f8="service", i8="n head tail root n_decode joined_sum")
"""A waiting line: a list for whoever comes in order, a pairing heap for the rest; under "fair" one a client, with its
service so far."""

UNIT_DTYPE: Final = _dtype(i8="block refs older newer tier replica")
"""A cached prefix block (of prefix_block_tokens): who holds it and its place in its tier's least-recently-used list."""

EVENT_DTYPE: Final = _dtype(f8="time_s slow power", i8="kind replica")
"""Something that happens to the cluster at a set time."""

CLUSTER_DTYPE: Final = _dtype(
    f8="now_s stop_s interval_s tick_s next_tick_s scale_load balance_ratio",
    i8="n_jobs n_queues n_clients ended next_open next_shared router turn turn_decode random next_event scale_min "
    "scale_max unit_tokens "
    "n_steps balance_gap spill stranded",
)
"""The cluster: the clock, the router, the autoscaler."""

STEP_DTYPE: Final = _dtype(
    f8="start_s end_s", i8="replica steps n_decode context n_prefill prefill_tokens kv_blocks waiting"
)


@dataclass(slots=True, eq=False, kw_only=True)
class Sim:
    """Everything. R replicas, N jobs, Q waiting lines (R times clients under "fair", then limbo and timers).

    To compiled code this is one pointer (pointer.py): a call hands over a word, not thirty arrays.
    """

    g: Any
    """(1,) the cluster."""
    jobs: Any
    """(N,)"""
    reps: Any
    """(R,)"""
    queues: Any
    """(Q,)"""
    events: Any
    """cluster events in time order"""
    totals: Any
    """(R, TOTAL_FIELDS) sums over the run, as floats (whole numbers are exact to 2^53)"""
    wakes: Any
    """(W,) when each replica wants to act next; W is R raised to a power of two"""
    winners: Any
    """(2W,) tournament over `wakes`: winners[1] is the soonest"""
    heap_job: Any
    """(R, S) decoding jobs as a heap on ..."""
    heap_key: Any
    """(R, S) ... their finish_at"""
    phases: Any
    """(R, block_size) decoding jobs by anchor modulo the block size: who needs a block next"""
    tokens_table: Any
    """(C, T, 3) seconds of linear, of communication, joules, at every token count"""
    grid: Any
    """token counts of table rows from the last dense one on"""
    rows_table: Any
    """(C, T, 2) seconds and joules of the head at every row count"""
    kinds: Any
    """(C, K, 9) attention kinds"""
    scalars: Any
    """(C, 6)"""
    prefix_start: Any
    prefix_block: Any
    unit_of: Any
    """slot of each held entry of prefix_block"""
    units: Any
    """slots, replica after replica"""
    table: Any
    """open-addressed: (replica, block) to slot"""
    lru: Any
    """(R, TIERS, 2) oldest and newest idle unit of each tier"""
    holders: Any
    """(blocks, words) bit sets of the replicas that cache a block; for prefix-affinity routing"""
    adapters: Any
    """(R, adapters, 2) running jobs of an adapter, and when it was last used (−1: not loaded)"""
    views: Any
    """(6, R) what a router sees"""
    itl: Any
    timeline: Any
    """(intervals, TIMELINE columns) sums"""
    steps: Any
    words: Any = None
    """(fields, 4) address and shape of each array above, read by compiled code"""

    def __post_init__(self) -> None:
        arrays = [getattr(self, f.name) for f in fields(self) if f.name != "words"]
        assert all(a.flags.c_contiguous for a in arrays)
        self.words = np.array([(a.ctypes.data, *a.shape, *(1,) * (3 - a.ndim)) for a in arrays], dtype=np.int64)
