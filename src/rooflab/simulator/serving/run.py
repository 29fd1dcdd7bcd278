"""Run the simulator: build the state from requests and a cluster, advance it in slices, hand back flat arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.simulator.serving import pointer, price, state  # noqa: F401  pointer tells the compiler about Sim
from rooflab.simulator.serving.compiled import function_pointer, is_on_disk, no_function
from rooflab.simulator.serving.loop import advance
from rooflab.simulator.serving.router import route_signature, router_number
from rooflab.simulator.serving.rules import EngineRules, engine_rules, key_signature, policy_number
from rooflab.simulator.serving.specs import Cluster, Replica
from rooflab.simulator.work.requests import (
    ITL_EDGES_S,
    STEP_FIELDS,
    TOTAL_FIELDS,
    Records,
    Requests,
    Result,
    Steps,
    Timeline,
    Totals,
)

__all__ = ["Simulation", "is_first_run", "run"]

TIMELINE_ROWS: Final = 2048
FIRST_INTERVAL_S: Final = 1e-3
SLICE: Final = 250_000
"""Events between two looks at the clock: a few tenths of a second of work."""
_RESERVE: Final = {"chunk": state.CHUNK, "prompt": state.PROMPT, "whole": state.WHOLE}
_ROLE: Final = {"both": state.BOTH, "prefill": state.PREFILL, "decode": state.DECODE}
_UNLIMITED: Final = 1 << 40

Progress = Callable[[float, float], None]
"""Called between slices with the share of requests that are over and the simulated time."""


def run(
    requests: Requests,
    cluster: Cluster | Sequence[Replica] | Replica,
    *,
    seed: int = 0,
    until_s: float = math.inf,
    log_steps: int = 0,
    progress: Progress | None = None,
) -> Result:
    """Simulate `requests` on `cluster` until all are over (or `until_s`); Ctrl-C keeps what is done and marks it
    incomplete.

    `seed` drives the router's random choices. The first `log_steps` engine steps are logged.
    Raises InputError when the pieces do not fit together.
    """
    simulation = Simulation(requests, cluster, seed=seed, until_s=until_s, log_steps=log_steps)
    try:
        while not simulation.advance():
            if progress is not None:
                progress(simulation.done, simulation.now_s)
    except KeyboardInterrupt:
        pass
    return simulation.result()


def is_first_run() -> bool:
    """Whether the next run must compile the loop first, which takes about half a minute, once: what a command says on
    screen."""
    return not is_on_disk(advance)


class Simulation:
    """A run that can be watched: `advance` does a slice, `result` settles the accounts at any time after."""

    def __init__(
        self,
        requests: Requests,
        cluster: Cluster | Sequence[Replica] | Replica,
        *,
        seed: int = 0,
        until_s: float = math.inf,
        log_steps: int = 0,
    ) -> None:
        if isinstance(cluster, Replica):
            cluster = (cluster,)
        self._cluster = cluster if isinstance(cluster, Cluster) else Cluster(replicas=tuple(cluster))
        self._lanes, self._replica_of = _lanes(self._cluster.replicas)
        self._key = _pointer([r.policy for r in self._lanes], key_signature)
        self._route = _pointer([self._cluster.router], route_signature)
        self._sim = _build(requests, self._cluster, self._lanes, self._replica_of, seed, until_s, log_steps)

    @property
    def now_s(self) -> float:
        """Simulated time."""
        return float(self._sim.g[0].now_s)

    @property
    def done(self) -> float:
        """Share of requests that are over."""
        g = self._sim.g[0]
        return float(g.ended / max(g.n_jobs, 1))

    def advance(self, events: int = SLICE) -> bool:
        """Do up to `events` events; True when nothing is left to do."""
        return bool(advance(self._sim, self._key, self._route, events, False))

    def result(self) -> Result:
        """What has happened so far."""
        advance(self._sim, self._key, self._route, 0, True)
        return _unpack(self._sim, self._replica_of, len(self._cluster.replicas))


def _pointer(choices: Sequence[Any], signature: Callable[[], Any]) -> Any:
    """The one user function among the choices, as a pointer; a stand-in that is never called if there is none."""
    own = list({id(c): c for c in choices if not isinstance(c, str)}.values())
    if len(own) > 1:
        raise InputError("replicas share one policy function; pass the same to all", "deployment.policy")
    return function_pointer(own[0], signature()) if own else no_function(signature())


def _lanes(replicas: Sequence[Replica]) -> tuple[list[Replica], npt.NDArray[np.int64]]:
    """Each pipeline stage adds a batch in flight: a replica of p lanes becomes p with a share of blocks and sequences
    each."""
    from dataclasses import replace

    lanes, of = [], []
    for r, replica in enumerate(replicas):
        p = replica.lanes
        share = replica if p == 1 else replace(
            replica, lanes=1, kv_blocks=replica.kv_blocks // p, max_num_seqs=replica.max_num_seqs // p,
            host_cache_bytes=replica.host_cache_bytes / p, ssd_cache_bytes=replica.ssd_cache_bytes / p,
            swap_bytes=replica.swap_bytes / p,
        )  # fmt: skip
        lanes += [share] * p
        of += [r] * p
    return lanes, np.array(of, dtype=np.int64)


def _records(n: int, dtype: Any) -> Any:
    return np.zeros(n, dtype).view(np.recarray)


def _build(
    requests: Requests,
    cluster: Cluster,
    lanes: list[Replica],
    replica_of: npt.NDArray[np.int64],
    seed: int,
    until_s: float,
    log_steps: int,
) -> state.Sim:
    n, n_lanes = len(requests), len(lanes)
    if n and requests.arrival_s[requests.after == -1].min(initial=0.0) < 0:
        raise InputError("time starts at 0; shift the arrivals", "requests.arrival_s")
    fair = any(lane.policy == "fair" for lane in lanes)
    clients = int(requests.client.max(initial=0)) + 1 if fair else 1
    costs = list({id(lane.step_cost): lane.step_cost for lane in lanes}.values())
    blocks, n_blocks = _dense(requests.prefix_block)
    units = [_units(lane, requests, n_blocks) for lane in lanes]
    slots = sum(u[0] for u in units)
    most = max(
        max(lane.max_num_batched_tokens, lane.max_num_seqs * math.ceil(lane.step_cost.scalar("tokens_per_decode")))
        for lane in lanes
    )
    tokens_table, rows_table, grid, kinds, scalars = price.stack(costs, most)
    looks = router_number(cluster.router) in (4, 6) and n_blocks > 0
    adapters = int(requests.adapter.max(initial=-1)) + 1
    wakes = 1 << max(n_lanes - 1, 0).bit_length()
    sim = state.Sim(
        g=_records(1, state.CLUSTER_DTYPE),
        jobs=_jobs(requests),
        reps=_records(n_lanes, state.REPLICA_DTYPE),
        queues=_records(n_lanes * clients + 2, state.QUEUE_DTYPE),
        events=_events(cluster, replica_of),
        totals=np.zeros((n_lanes, len(TOTAL_FIELDS))),
        wakes=np.full(wakes, np.inf),
        winners=_tournament(wakes),
        heap_job=np.zeros((n_lanes, max(lane.max_num_seqs for lane in lanes)), np.int32),
        heap_key=np.zeros((n_lanes, max(lane.max_num_seqs for lane in lanes)), np.int64),
        phases=np.zeros((n_lanes, max(lane.block_size for lane in lanes)), np.int64),
        tokens_table=tokens_table,
        grid=grid,
        rows_table=rows_table,
        kinds=kinds,
        scalars=scalars,
        prefix_start=requests.prefix_start,
        prefix_block=blocks,
        unit_of=np.zeros(len(blocks) if slots else 0, np.int32),
        units=_records(slots, state.UNIT_DTYPE),
        table=np.full(1 << (2 * slots).bit_length(), -1, np.int32),
        lru=np.full((n_lanes, state.TIERS, 2), -1, np.int64),
        holders=np.zeros((n_blocks if looks else 0, (n_lanes + 31) // 32), np.int64),
        adapters=np.stack([np.zeros((n_lanes, adapters)), np.full((n_lanes, adapters), -1.0)], axis=2),
        views=np.zeros((6, n_lanes), np.int64),
        itl=np.zeros(len(ITL_EDGES_S) - 1),
        timeline=np.zeros((TIMELINE_ROWS, 8)),
        steps=_records(log_steps, state.STEP_DTYPE),
    )
    sim.queues.head = sim.queues.tail = sim.queues.root = -1
    free_unit = 0
    for r, lane in enumerate(lanes):
        parts = int((replica_of == replica_of[r]).sum())
        cost = next(c for c, known in enumerate(costs) if known is lane.step_cost)
        _fill(sim.reps[r], lane, cost, parts, units[r], requests.prefix_block_tokens)
        slot = np.arange(free_unit, free_unit + units[r][0])
        sim.units.newer[slot] = np.append(slot[1:], -1)[: len(slot)]
        sim.reps[r].free_unit = free_unit if len(slot) else -1
        free_unit += units[r][0]
    _fill_cluster(sim, cluster, clients, seed, until_s, requests.prefix_block_tokens)
    return sim


def _dense(block: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Prefix blocks renumbered from 0 when their numbers are sparse, and how many there are."""
    if len(block) == 0:
        return block, 0
    if block.min() >= 0 and block.max() < 2 * len(block) + 1024:
        return block, int(block.max()) + 1
    known, dense = np.unique(block, return_inverse=True)
    return dense.astype(np.int64), len(known)


def _units(lane: Replica, requests: Requests, n_blocks: int) -> tuple[int, int, int, int]:
    """Slots, units on the host, units on the SSD, blocks a unit: all 0 without prefix caching."""
    if not lane.prefix_caching or n_blocks == 0:
        return 0, 0, 0, 0
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
    return min(lane.kv_blocks // blocks + host + ssd, n_blocks), host, ssd, blocks


def _tournament(width: int) -> npt.NDArray[np.int32]:
    """winners[width + r] = r, and the leftmost of each pair above: nobody wants to act yet."""
    winners = np.zeros(2 * width, np.int32)
    winners[width:] = np.arange(width)
    for at in range(width - 1, 0, -1):
        winners[at] = winners[2 * at]
    return winners


def _jobs(requests: Requests) -> Any:
    jobs = _records(len(requests), state.JOB_DTYPE)
    for name in ("deadline_s", "think_s", "client", "adapter", "priority", "session", "after"):
        jobs[name] = getattr(requests, name)
    jobs.input, jobs.output, jobs.predicted = requests.input_tokens, requests.output_tokens, requests.predicted_tokens
    jobs.goal = jobs.input
    jobs.arrival_s = np.where(requests.after == -1, requests.arrival_s, np.nan)
    for name in ("first_scheduled_s", "first_token_s", "last_token_s"):
        jobs[name] = np.nan
    for name in (
        "successor",
        "sibling",
        "link",
        "child",
        "home",
        "first_replica",
        "replica",
        "decode_replica",
        "heap_at",
    ):
        jobs[name] = -1
    followers = np.flatnonzero(requests.after >= 0)
    if len(followers):
        order = followers[np.lexsort((followers, requests.after[followers]))]
        leader = requests.after[order]
        first = np.append(True, leader[1:] != leader[:-1])
        jobs.successor[leader[first]] = order[first]
        jobs.sibling[order[:-1][~first[1:]]] = order[1:][~first[1:]]
    return jobs


def _events(cluster: Cluster, replica_of: npt.NDArray[np.int64]) -> Any:
    rows: list[tuple[float, int, int, float, float]] = []
    for failure in cluster.failures:
        for lane in np.flatnonzero(replica_of == failure.replica).tolist():
            rows.append((failure.at_s, state.FAIL, lane, 1.0, 1.0))
            if failure.until_s < math.inf:
                rows.append((failure.until_s, state.RECOVER, lane, 1.0, 1.0))
    for change in cluster.speed:
        for lane in range(len(replica_of)):
            if change.replica is None or replica_of[lane] == change.replica:
                rows.append((change.at_s, state.SPEED, lane, change.time_factor, change.energy_factor))
    events = _records(len(rows), state.EVENT_DTYPE)
    for row, (at_s, kind, lane, slow, power) in zip(events, sorted(rows), strict=True):
        row.time_s, row.kind, row.replica, row.slow, row.power = at_s, kind, lane, slow, power
    return events


def _fill(rep: Any, lane: Replica, cost: int, parts: int, units: tuple[int, int, int, int], unit_tokens: int) -> None:
    """One replica's row."""
    rules = lane.engine if isinstance(lane.engine, EngineRules) else engine_rules(lane.engine)
    if rules.gated and lane.rotate_steps > 0:
        raise InputError("a static batch ends as one; its requests cannot take turns", "deployment.rotation")
    for name in state.SETTINGS:
        value = getattr(lane, name)
        rep[name] = _UNLIMITED if value is None else value
    rep.cost, rep.role, rep.policy = cost, _ROLE[lane.role], policy_number(lane.policy)
    rep.mixed, rep.chunked, rep.gated, rep.by_progress = (
        rules.mixed,
        rules.chunked and lane.chunked_prefill,
        rules.gated,
        rules.by_progress,
    )
    rep.reserve = _RESERVE[rules.reserve]
    if lane.role == "prefill" and rules.reserve == "whole":
        rep.reserve = state.PROMPT
    rep.watermark, rep.retract = rules.watermark, rules.retract_tokens
    rep.reserve_ratio, rep.reserve_min, rep.reserve_decay = rules.estimate
    rep.reserve_now = rep.reserve_ratio
    rep.kv_blocks = rep.free_blocks = lane.kv_blocks
    if not rules.budgeted:
        rep.max_num_batched_tokens = _UNLIMITED
    rep.gain = lane.tokens_per_step
    overshoot = math.ceil(lane.tokens_per_step) if lane.tokens_per_step > 1 else 0
    rep.capacity_tokens = min(lane.kv_blocks * lane.block_size - overshoot, lane.max_model_len or _UNLIMITED)
    # copies are asynchronous: the next is issued while the last travels, so the slower of the two sets the pace
    rep.host_s_per_token = rep.swap_s_per_token = max(
        lane.kv_bytes_per_token / lane.host_bytes_per_s, lane.swap_call_s_per_token
    )
    rep.swap_async, rep.swap_reuse = lane.swap_async, lane.swap_reuse
    rep.rotate_steps, rep.rotate_at, rep.sticky = lane.rotate_steps, lane.rotate_steps, lane.sticky
    rep.wait_until = -1
    rep.ssd_s_per_token = lane.kv_bytes_per_token / lane.ssd_bytes_per_s
    rep.swap_tokens = int(lane.swap_bytes / lane.kv_bytes_per_token) if lane.kv_bytes_per_token > 0 else 0
    rep.overlap = lane.overlap
    rep.link_s_per_token = lane.kv_bytes_per_token / lane.link_bytes_per_s
    rep.link_latency_s, rep.link_layers = lane.link_latency_s, lane.layers
    rep.max_adapters, rep.adapter_load_s = lane.max_adapters, lane.adapter_bytes / lane.host_bytes_per_s
    rep.idle_w = lane.step_cost.scalar("idle_w") / parts
    rep.slow = rep.power = 1.0
    rep.startup_s = lane.startup_s
    rep.state = state.UP if lane.up else state.OFF
    rep.head = rep.tail = rep.partial = rep.chunk_head = rep.chunk_tail = rep.ready_head = -1
    _, rep.host_units, rep.ssd_units, rep.unit_blocks = units


def _fill_cluster(sim: state.Sim, cluster: Cluster, clients: int, seed: int, until_s: float, unit_tokens: int) -> None:
    g = sim.g[0]
    g.stop_s, g.interval_s = until_s, FIRST_INTERVAL_S
    g.n_jobs, g.n_queues, g.n_clients = len(sim.jobs), len(sim.queues), clients
    g.router = router_number(cluster.router)
    g.random = seed % 2147483646 + 1
    g.unit_tokens = unit_tokens
    g.balance_gap, g.balance_ratio = cluster.balance_gap, cluster.balance_ratio
    g.spill = cluster.spill_tokens
    g.next_tick_s = np.inf
    if cluster.autoscale is not None:
        scale = cluster.autoscale
        g.scale_load, g.scale_min, g.tick_s, g.next_tick_s = scale.load, scale.least, scale.every_s, scale.every_s
        g.scale_max = len(sim.reps) if scale.most is None else scale.most
    shared = sim.jobs.after == -2
    g.next_shared = int(np.argmax(shared)) if shared.any() else g.n_jobs


def _unpack(sim: state.Sim, replica_of: npt.NDArray[np.int64], n_replicas: int) -> Result:
    jobs, g = sim.jobs, sim.g[0]
    decoding = np.flatnonzero(jobs.state == state.DECODING)
    made = jobs.made.copy()
    if len(decoding):
        reached = sim.reps.tokens[jobs.decode_replica[decoding]] - (jobs.done[decoding] - jobs.anchor[decoding])
        made[decoding] = np.minimum(made[decoding] + reached, jobs.output[decoding])

    def named(lane: Any) -> Any:
        return np.where(lane >= 0, replica_of[np.maximum(lane, 0)], -1).astype(np.int32)

    records = Records(
        arrival_s=jobs.arrival_s.copy(),
        first_scheduled_s=jobs.first_scheduled_s.copy(),
        first_token_s=jobs.first_token_s.copy(),
        last_token_s=jobs.last_token_s.copy(),
        replica=named(jobs.replica),
        decode_replica=named(jobs.decode_replica),
        preemptions=jobs.preemptions.copy(),
        requeues=jobs.requeues.copy(),
        cached_tokens=jobs.cached.copy(),
        tokens_out=made,
        status=jobs.status.astype(np.int8),
    )
    sums = np.zeros((n_replicas, len(TOTAL_FIELDS)))
    np.add.at(sums, replica_of, sim.totals)
    floats = {f for f in TOTAL_FIELDS if f.endswith(("_s", "_j"))}
    columns: dict[str, Any] = {
        f: sums[:, c] if f in floats else sums[:, c].astype(np.int64) for c, f in enumerate(TOTAL_FIELDS)
    }
    log = sim.steps[: g.n_steps]
    steps = Steps(
        **{f: log[f].copy() for f in STEP_FIELDS if f != "replica"}, replica=replica_of[log.replica].astype(np.int32)
    )
    return Result(
        records=records,
        totals=Totals(**columns),
        timeline=_timeline(sim),
        itl_counts=sim.itl.copy(),
        steps=steps,
        end_s=float(g.now_s),
        complete=bool(g.ended == g.n_jobs),
        stranded=int(g.stranded),
    )


def _timeline(sim: state.Sim) -> Timeline:
    """Sums over intervals as averages; the last interval may be partly used."""
    g = sim.g[0]
    rows = int(g.now_s / g.interval_s) + 1
    start = np.arange(rows) * g.interval_s
    length = np.minimum(start + g.interval_s, max(g.now_s, 1e-300)) - start
    length = np.where(length > 0, length, g.interval_s)
    sums = sim.timeline[:rows]
    running, waiting, kv, prefilled, decoded, steps, joules, up = (sums[:, c] / length for c in range(8))
    with np.errstate(divide="ignore", invalid="ignore"):
        per_step = np.where(steps > 0, (prefilled + decoded) / steps, 0.0)
    return Timeline(
        interval_s=float(g.interval_s),
        time_s=start,
        running=running,
        waiting=waiting,
        kv_blocks=kv,
        prefill_tokens_per_s=prefilled,
        decode_tokens_per_s=decoded,
        step_tokens=per_step,
        power_w=joules,
        replicas_up=up,
    )
