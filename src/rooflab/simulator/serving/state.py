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
from rooflab.simulator.serving import rows, tables
from rooflab.simulator.serving.record import Cells, Grid, Rows
from rooflab.simulator.serving.router import RouteFunction
from rooflab.simulator.serving.rules import KeyFunction
from rooflab.simulator.work.requests import Status

__all__ = ["ARRAYS", "FEATURES", "FUNCTIONS", "SETTINGS", "Sim"]

# what a job is doing
UNBORN: Final = 0
WAITING: Final = 1
PREFILLING: Final = 2
DECODING: Final = 3
RECEIVING: Final = 4
ENDED: Final = 5

# what became of a job, as a plain number
FINISHED: Final = int(Status.FINISHED)
REJECTED: Final = int(Status.REJECTED)
IMPOSSIBLE: Final = int(Status.IMPOSSIBLE)

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

# how caches lie in memory
PAGED: Final = 0
COMPACTED: Final = 1
HELD: Final = 2

# cluster events
FAIL: Final = 0
RECOVER: Final = 1
SPEED: Final = 2

# memory tiers of the prefix cache
GPU: Final = 0
HOST: Final = 1
SSD: Final = 2
TIERS: Final = 3

# columns of the timeline while it is being summed
RUNNING: Final = 0
IN_LINE: Final = 1
KV: Final = 2
PREFILLED: Final = 3
DECODED: Final = 4
STEPS: Final = 5
JOULES: Final = 6
REPLICAS_UP: Final = 7
TIMELINE_COLUMNS: Final = 8

# what a router sees, one row each over replicas
SEES_ELIGIBLE: Final = 0
SEES_WAITING: Final = 1
SEES_RUNNING: Final = 2
SEES_LOAD: Final = 3
SEES_FREE: Final = 4
SEES_CACHED: Final = 5
VIEWS: Final = 6

# where in `Sim.winners` the soonest replica stands, and in a decode heap who ends first
SOONEST: Final = 1
TOP: Final = 0

MOST_FRUITLESS: Final = 10_000
"""Rotations of a replica since its last token after which none is expected: every turn undoes what the last one did."""

SETTINGS: Final = tuple(
    name for name, kind in get_type_hints(Limits).items() if {*(get_args(kind) or (kind,))} <= {int, bool, NoneType}
)
"""Whole numbers and switches among a scheduler's limits: a replica holds each under the name that a deployment has."""


@dataclass(slots=True, eq=False, kw_only=True)
class Sim:
    """Everything. R replicas, N jobs, Q waiting lines (R times clients under "fair", then limbo and timers).

    To compiled code this is one pointer (pointer.py): a call hands over a word, not thirty arrays.
    """

    g: Rows[rows.Clock]
    """(1,) the cluster"""
    jobs: Rows[rows.Job]
    """(N,)"""
    reps: Rows[rows.Rep]
    """(R,)"""
    queues: Rows[rows.Line]
    """(Q,)"""
    events: Rows[rows.Event]
    """cluster events in time order"""
    totals: Rows[rows.Sums]
    """(R,)"""
    slots: Grid[int]
    """(R, S) who is where in a window of contiguous caches: a job; −1: a hole; −2 − job: one that ended and stays"""
    wakes: Cells[float]
    """(W,) when each replica wants to act next; W is R raised to a power of two"""
    winners: Cells[int]
    """(2W,) tournament over `wakes`: winners[SOONEST] is the soonest"""
    heap_job: Grid[int]
    """(R, S) decoding jobs as a heap on ..."""
    heap_key: Grid[int]
    """(R, S) ... their finish_at"""
    phases: Grid[int]
    """(R, block_size) decoding jobs by anchor modulo the block size: who needs a block next"""
    by_tokens: Grid[tables.TokenPrice]
    """(C, T) prices of C kinds of engines at every token count"""
    by_rows: Grid[tables.HeadPrice]
    """(C, T) prices of logits at every row count"""
    grid: Cells[float]
    """token counts of table rows from the last dense one on"""
    attention: Grid[tables.Attention]
    """(C, K) attention kinds"""
    constants: Rows[tables.Constants]
    """(C,)"""
    prefix_start: Cells[int]
    prefix_block: Cells[int]
    unit_of: Cells[int]
    """slot of each held entry of prefix_block"""
    units: Rows[rows.Unit]
    """slots, replica after replica"""
    table: Cells[int]
    """open-addressed: (replica, block) to slot"""
    lru: Grid[rows.Ends]
    """(R, TIERS) idle units"""
    holders: Grid[int]
    """(blocks, words) bit sets of the replicas that cache a block; for prefix-affinity routing"""
    adapters: Grid[rows.Adapter]
    """(R, adapters)"""
    views: Grid[int]
    """(VIEWS, R) what a router sees"""
    itl: Cells[float]
    timeline: Grid[float]
    """(intervals, TIMELINE_COLUMNS) sums"""
    steps: Rows[rows.StepRow]
    key_of: KeyFunction
    """a user's policy, called if there is one"""
    route_to: RouteFunction
    """a user's router, called if there is one"""
    has_replicas: bool = True
    has_clients: bool = True
    has_prefixes: bool = True
    has_tiers: bool = True
    has_adapters: bool = True
    has_turns: bool = True
    has_swap: bool = True
    has_pools: bool = True
    has_transfers: bool = True
    has_pacing: bool = True
    has_buffers: bool = True
    has_events: bool = True
    has_outages: bool = True
    has_autoscale: bool = True
    has_own_policy: bool = True
    has_own_router: bool = True
    words: Any = None
    """(arrays and functions, 3) address and shape of each array above, addresses of the two functions: what compiled
    code reads"""

    def __post_init__(self) -> None:
        arrays = [getattr(self, name) for name in ARRAYS]
        assert all(a.flags.c_contiguous for a in arrays)
        own = [getattr(getattr(self, name), "address", 0) for name in FUNCTIONS]
        self.words = np.array(
            [*((a.ctypes.data, *a.shape, *(1,) * (2 - a.ndim)) for a in arrays), *((address, 1, 1) for address in own)],
            dtype=np.int64,
        )

    def features(self) -> frozenset[str]:
        """What the loop must have, by the names in FEATURES."""
        return frozenset(name for name in FEATURES if getattr(self, f"has_{name}"))


FUNCTIONS: Final = ("key_of", "route_to")
FEATURES: Final = tuple(f.name.removeprefix("has_") for f in fields(Sim) if f.name.startswith("has_"))
ARRAYS: Final = tuple(f.name for f in fields(Sim) if f.name not in (*FUNCTIONS, "words") and f.name[:4] != "has_")
