"""The state of a run before its first event: jobs from requests, replicas from a cluster, tables from step costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCost
from rooflab.deploy.rules import EngineRules, engine_rules
from rooflab.errors import InputError
from rooflab.simulator.serving import rows, state
from rooflab.simulator.serving.compiled import function_pointer
from rooflab.simulator.serving.record import dtype_of
from rooflab.simulator.serving.router import OWN, PREFIX_AFFINITY, route_signature, router_number
from rooflab.simulator.serving.rules import key_signature, policy_number
from rooflab.simulator.serving.specs import Cluster, Replica
from rooflab.simulator.serving.tables import prices
from rooflab.simulator.work.requests import ITL_EDGES_S, OPEN, SHARED, Requests

__all__ = ["Lanes", "Options", "build", "lanes_of"]

TIMELINE_ROWS: Final = 2048
FIRST_INTERVAL_S: Final = 1e-3
_RESERVE: Final = {"chunk": state.CHUNK, "prompt": state.PROMPT, "whole": state.WHOLE}
_BUFFERS: Final = {"paged": state.PAGED, "compacted": state.COMPACTED, "held": state.HELD}
_ROLE: Final = {"both": state.BOTH, "prefill": state.PREFILL, "decode": state.DECODE}
_UNLIMITED: Final = 1 << 40
_NOBODY: Final = (
    "successor", "sibling", "link", "child", "home", "first_replica", "replica", "decode_replica", "heap_at", "slot",
)  # fmt: skip
"""Columns of a job that name another, or a place: none yet."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """The engines of a cluster, a replica's pipeline lanes apart, and the replica that each belongs to."""

    engines: tuple[Replica, ...]
    replica_of: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.engines)


class _Cache(NamedTuple):
    """The prefix cache of a lane: slots, units on the host, units on the SSD, blocks a unit."""

    slots: int = 0
    host: int = 0
    ssd: int = 0
    unit_blocks: int = 0


def lanes_of(replicas: Sequence[Replica]) -> Lanes:
    """Each pipeline stage adds a batch in flight: a replica of p lanes becomes p with a share of blocks and sequences
    each."""
    lanes: list[Replica] = []
    of: list[int] = []
    for r, one in enumerate(replicas):
        p = one.lanes
        share = one if p == 1 else replace(
            one, lanes=1, kv_blocks=one.kv_blocks // p, max_num_seqs=one.max_num_seqs // p,
            host_cache_bytes=one.host_cache_bytes / p, ssd_cache_bytes=one.ssd_cache_bytes / p,
            swap_bytes=one.swap_bytes / p,
        )  # fmt: skip
        lanes += [share] * p
        of += [r] * p
    return Lanes(tuple(lanes), np.array(of, dtype=np.int64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run adds to requests and cluster: see `run`."""

    seed: int = 0
    until_s: float = math.inf
    log_steps: int = 0


def build(requests: Requests, cluster: Cluster, lanes: Lanes, options: Options) -> state.Sim:
    """The state at time 0, made for a loop with every feature.

    Raises InputError when the pieces do not fit together.
    """
    if len(requests) and requests.arrival_s[requests.after == OPEN].min(initial=0.0) < 0:
        raise InputError("time starts at 0; shift the arrivals", "requests.arrival_s")
    fair = any(lane.policy == "fair" for lane in lanes.engines)
    clients = int(requests.client.max(initial=0)) + 1 if fair else 1
    costs = list({id(lane.step_cost): lane.step_cost for lane in lanes.engines}.values())
    blocks, n_blocks = _dense(requests.prefix_block)
    caches = [_cache(lane, requests, n_blocks) for lane in lanes.engines]
    looks = router_number(cluster.router) in (PREFIX_AFFINITY, OWN)
    sim = state.Sim(
        g=_records(1, rows.Clock),
        jobs=_jobs(requests),
        reps=_records(len(lanes), rows.Rep),
        queues=_lines(len(lanes) * clients + 2),
        events=_events(cluster, lanes),
        totals=_records(len(lanes), rows.Sums),
        **prices(costs, max(_most_tokens(lane) for lane in lanes.engines))._asdict(),
        **_batches(lanes),
        **_prefixes(requests, caches, blocks, n_blocks if looks else 0),
        adapters=_adapters(len(lanes), int(requests.adapter.max(initial=-1)) + 1),
        views=np.zeros((state.VIEWS, len(lanes)), np.int64),
        itl=np.zeros(len(ITL_EDGES_S) - 1),
        timeline=np.zeros((TIMELINE_ROWS, state.TIMELINE_COLUMNS)),
        steps=_records(options.log_steps, rows.StepRow),
        **_own_functions(cluster, lanes),
    )
    _fill_all(sim.reps, lanes, costs)
    _fill_caches(sim, caches)
    _fill_clock(sim, cluster, options)
    sim.g[0].n_clients, sim.g[0].unit_tokens = clients, requests.prefix_block_tokens
    return sim


def _records(n: int, row: type) -> Any:
    return np.zeros(n, dtype_of(row)).view(np.recarray)


def _most_tokens(lane: Replica) -> int:
    """Tokens that a step of this lane may hold."""
    fed = math.ceil(lane.step_cost.scalar("tokens_per_decode"))
    return max(lane.max_num_batched_tokens, lane.max_num_seqs * fed)


def _own_functions(cluster: Cluster, lanes: Lanes) -> dict[str, Any]:
    """A user's policy and router as pointers, the names of built-in ones as they are."""
    own = list({id(lane.policy): lane.policy for lane in lanes.engines if not isinstance(lane.policy, str)}.values())
    if len(own) > 1:
        raise InputError("replicas share one policy function; pass the same to all", "deployment.policy")
    return {
        "key_of": function_pointer(own[0], key_signature()) if own else None,
        "route_to": None if isinstance(cluster.router, str) else function_pointer(cluster.router, route_signature()),
    }


def _lines(n: int) -> Any:
    lines = _records(n, rows.Line)
    lines.head = lines.tail = lines.root = -1
    return lines


def _batches(lanes: Lanes) -> dict[str, Any]:
    """Who decodes on each lane, and who wakes next."""
    seqs = max(lane.max_num_seqs for lane in lanes.engines)
    windowed = any(lane.buffers != "paged" for lane in lanes.engines)
    width = 1 << max(len(lanes) - 1, 0).bit_length()
    winners = np.zeros(2 * width, np.int32)
    # winners[width + r] = r, and the leftmost of each pair above: nobody wants to act yet
    winners[width:] = np.arange(width)
    for at in range(width - 1, 0, -1):
        winners[at] = winners[2 * at]
    return {
        "heap_job": np.zeros((len(lanes), seqs), np.int32),
        "heap_key": np.zeros((len(lanes), seqs), np.int64),
        "phases": np.zeros((len(lanes), max(lane.block_size for lane in lanes.engines)), np.int64),
        "slots": np.full((len(lanes), seqs if windowed else 0), -1, np.int64),
        "wakes": np.full(width, np.inf),
        "winners": winners,
    }


def _adapters(lanes: int, adapters: int) -> Any:
    table = np.zeros((lanes, adapters), dtype_of(rows.Adapter)).view(np.recarray)
    table.used_s = -1.0
    return table


def _prefixes(requests: Requests, caches: Sequence[_Cache], blocks: Any, looked_at: int) -> dict[str, Any]:
    """Tables of the prefix caches; the bit sets of `looked_at` blocks."""
    slots = sum(cache.slots for cache in caches)
    lru = np.zeros((len(caches), state.TIERS), dtype_of(rows.Ends)).view(np.recarray)
    lru.oldest = lru.newest = -1
    return {
        "prefix_start": requests.prefix_start,
        "prefix_block": blocks,
        "unit_of": np.zeros(len(blocks) if slots else 0, np.int32),
        "units": _records(slots, rows.Unit),
        "table": np.full(1 << (2 * slots).bit_length(), -1, np.int32),
        "lru": lru,
        "holders": np.zeros((looked_at, (len(caches) + 31) // 32), np.int64),
    }


def _dense(block: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Prefix blocks renumbered from 0 when their numbers are sparse, and how many there are."""
    if len(block) == 0:
        return block, 0
    if block.min() >= 0 and block.max() < 2 * len(block) + 1024:
        return block, int(block.max()) + 1
    known, dense = np.unique(block, return_inverse=True)
    return dense.astype(np.int64), len(known)


def _cache(lane: Replica, requests: Requests, n_blocks: int) -> _Cache:
    if not lane.prefix_caching or n_blocks == 0:
        return _Cache()
    tokens = requests.prefix_block_tokens
    if tokens % lane.block_size:
        raise InputError(
            f"{lane.block_size} does not divide the {tokens}-token prefix blocks of the workload", "replica.block_size"
        )
    bytes_ = tokens * lane.kv_bytes_per_token
    host, ssd = (
        min(int(b / bytes_), n_blocks) if bytes_ > 0 else 0 for b in (lane.host_cache_bytes, lane.ssd_cache_bytes)
    )
    blocks = tokens // lane.block_size
    return _Cache(min(lane.kv_blocks // blocks + host + ssd, n_blocks), host, ssd, blocks)


def _jobs(requests: Requests) -> Any:
    jobs = _records(len(requests), rows.Job)
    for name in ("deadline_s", "think_s", "client", "adapter", "priority", "session", "after"):
        jobs[name] = getattr(requests, name)
    jobs.input, jobs.output, jobs.predicted = requests.input_tokens, requests.output_tokens, requests.predicted_tokens
    jobs.goal = jobs.input
    jobs.arrival_s = np.where(requests.after == OPEN, requests.arrival_s, np.nan)
    for name in ("first_scheduled_s", "first_token_s", "last_token_s"):
        jobs[name] = np.nan
    for name in _NOBODY:
        jobs[name] = -1
    followers = np.flatnonzero(requests.after >= 0)
    if len(followers):
        order = followers[np.lexsort((followers, requests.after[followers]))]
        leader = requests.after[order]
        first = np.append(True, leader[1:] != leader[:-1])
        jobs.successor[leader[first]] = order[first]
        jobs.sibling[order[:-1][~first[1:]]] = order[1:][~first[1:]]
    return jobs


def _events(cluster: Cluster, lanes: Lanes) -> Any:
    found: list[tuple[float, int, int, float, float]] = []
    for failure in cluster.failures:
        for lane in np.flatnonzero(lanes.replica_of == failure.replica).tolist():
            found.append((failure.at_s, state.FAIL, lane, 1.0, 1.0))
            if failure.until_s < math.inf:
                found.append((failure.until_s, state.RECOVER, lane, 1.0, 1.0))
    for change in cluster.speed:
        for lane in range(len(lanes)):
            if change.replica is None or lanes.replica_of[lane] == change.replica:
                found.append((change.at_s, state.SPEED, lane, change.time_factor, change.energy_factor))
    events = _records(len(found), rows.Event)
    for row, (at_s, kind, lane, slow, power) in zip(events, sorted(found), strict=True):
        row.time_s, row.kind, row.replica, row.slow, row.power = at_s, kind, lane, slow, power
    return events


def _fill_all(reps: Any, lanes: Lanes, costs: Sequence[StepCost]) -> None:
    """Every lane's row; those of lanes that are alike are copied."""
    parts = np.bincount(lanes.replica_of)[lanes.replica_of].tolist()
    alike: dict[tuple[int, int], list[int]] = {}
    for r, lane in enumerate(lanes.engines):
        alike.setdefault((id(lane), parts[r]), []).append(r)
    table = reps.view(np.ndarray)
    for first, *others in alike.values():
        lane = lanes.engines[first]
        cost = next(c for c, known in enumerate(costs) if known is lane.step_cost)
        _fill(reps[first], lane, cost, parts[first])
        table[others] = table[first]


def _fill(rep: rows.Rep, lane: Replica, cost: int, parts: int) -> None:
    """One lane's row; its replica has so many `parts`."""
    rules = lane.engine if isinstance(lane.engine, EngineRules) else engine_rules(lane.engine)
    if rules.gated and lane.rotate_steps > 0:
        raise InputError("a static batch ends as one; its requests cannot take turns", "deployment.rotation")
    if lane.buffers != "paged" and rules.reserve != "whole":
        raise InputError(
            "contiguous caches hold whole answers from the start; this scheduler hands memory out bit by bit (orca, "
            "trtllm-guaranteed-no-evict and static reserve it)",
            "deployment.buffers",
        )
    if lane.buffers != "paged" and lane.rotate_steps > 0:
        raise InputError("contiguous caches are not given up for turns", "deployment.buffers")
    for name in state.SETTINGS:
        value = getattr(lane, name)
        setattr(rep, name, _UNLIMITED if value is None else value)
    rep.cost, rep.role, rep.policy = cost, _ROLE[lane.role], policy_number(lane.policy)
    _fill_rules(rep, rules, lane)
    rep.kv_blocks = rep.free_blocks = lane.kv_blocks
    rep.gain = lane.tokens_per_step
    overshoot = math.ceil(lane.tokens_per_step) if lane.tokens_per_step > 1 else 0
    rep.capacity_tokens = min(lane.kv_blocks * lane.block_size - overshoot, lane.max_model_len or _UNLIMITED)
    _fill_links(rep, lane)
    rep.rotate_steps, rep.rotate_at, rep.sticky = lane.rotate_steps, lane.rotate_steps, lane.sticky
    rep.buffers, rep.move_s_per_token = _BUFFERS[lane.buffers], lane.move_s_per_token
    rep.wait_until = -1
    rep.max_adapters, rep.adapter_load_s = lane.max_adapters, lane.adapter_bytes / lane.host_bytes_per_s
    rep.idle_w = lane.step_cost.scalar("idle_w") / parts
    rep.slow = rep.power = 1.0
    rep.startup_s = lane.startup_s
    rep.state = state.UP if lane.up else state.OFF
    rep.head = rep.tail = rep.partial = rep.chunk_head = rep.chunk_tail = rep.ready_head = -1


def _fill_rules(rep: rows.Rep, rules: EngineRules, lane: Replica) -> None:
    rep.mixed, rep.gated, rep.by_progress = rules.mixed, rules.gated, rules.by_progress
    rep.chunked = rules.chunked and lane.chunked_prefill
    rep.reserve = _RESERVE[rules.reserve]
    if lane.role == "prefill" and rules.reserve == "whole":
        rep.reserve = state.PROMPT
    rep.watermark, rep.retract = rules.watermark, rules.retract_tokens
    rep.reserve_ratio, rep.reserve_min, rep.reserve_decay = rules.estimate
    rep.reserve_now = rep.reserve_ratio
    if not rules.budgeted:
        rep.max_num_batched_tokens = _UNLIMITED


def _fill_links(rep: rows.Rep, lane: Replica) -> None:
    # copies are asynchronous: the next is issued while the last travels, so the slower of the two sets the pace
    rep.host_s_per_token = rep.swap_s_per_token = max(
        lane.kv_bytes_per_token / lane.host_bytes_per_s, lane.swap_call_s_per_token
    )
    rep.swap_async, rep.swap_reuse = lane.swap_async, lane.swap_reuse
    rep.swap_tokens = int(lane.swap_bytes / lane.kv_bytes_per_token) if lane.kv_bytes_per_token > 0 else 0
    rep.ssd_s_per_token = lane.kv_bytes_per_token / lane.ssd_bytes_per_s
    rep.overlap = lane.overlap
    rep.link_s_per_token = lane.kv_bytes_per_token / lane.link_bytes_per_s
    rep.link_latency_s, rep.link_layers = lane.link_latency_s, lane.layers


def _fill_caches(sim: state.Sim, caches: Sequence[_Cache]) -> None:
    """Each lane's slots, chained by `newer`."""
    units: Any = sim.units
    reps: Any = sim.reps
    reps.free_unit = -1
    free_unit = 0
    for r, cache in enumerate(caches):
        if not cache.slots:
            continue
        rep = sim.reps[r]
        rep.host_units, rep.ssd_units, rep.unit_blocks = cache.host, cache.ssd, cache.unit_blocks
        slot = np.arange(free_unit, free_unit + cache.slots)
        units.newer[slot] = np.append(slot[1:], -1)
        rep.free_unit = free_unit
        free_unit += cache.slots


def _fill_clock(sim: state.Sim, cluster: Cluster, options: Options) -> None:
    g = sim.g[0]
    g.stop_s, g.interval_s = options.until_s, FIRST_INTERVAL_S
    g.n_jobs, g.n_queues = len(sim.jobs), len(sim.queues)
    g.router = router_number(cluster.router)
    g.random = options.seed % 2147483646 + 1
    g.balance_gap, g.balance_ratio = cluster.balance_gap, cluster.balance_ratio
    g.spill = cluster.spill_tokens
    g.next_tick_s = np.inf
    if cluster.autoscale is not None:
        scale = cluster.autoscale
        g.scale_load, g.scale_min, g.tick_s, g.next_tick_s = scale.load, scale.least, scale.every_s, scale.every_s
        g.scale_max = len(sim.reps) if scale.most is None else scale.most
    jobs: Any = sim.jobs
    shared = jobs.after == SHARED
    g.next_shared = int(np.argmax(shared)) if shared.any() else g.n_jobs
