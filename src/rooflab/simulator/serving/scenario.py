"""A scenario → the cluster that the simulator runs, and the run of it.

Replicas are priced by the same compiled step costs that `estimate` solves over, and hold as many KV blocks as
the memory account leaves.  Pools become prefill and decode replicas joined by the network of their hardware.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from rooflab.costs.engine_constants import engine_overhead
from rooflab.costs.price import bench_for, price
from rooflab.costs.step import StepCost
from rooflab.deploy.bill import upkeep
from rooflab.deploy.complete import resident_tokens
from rooflab.deploy.engine import Engine, engines_of
from rooflab.deploy.rules import scheduler_of
from rooflab.errors import Infeasible, InputError
from rooflab.memory.explain import does_not_fit
from rooflab.operators.ops import Elementwise
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload
from rooflab.search.highest import geometric_when_wide, highest
from rooflab.simulator.results.serving import ServingResult
from rooflab.simulator.serving.client import client_of, steady_window
from rooflab.simulator.serving.run import Progress, Tell, run
from rooflab.simulator.serving.specs import Autoscale, Cluster, Failure, Replica, SpeedChange
from rooflab.simulator.serving.state import SETTINGS
from rooflab.simulator.work.make import make_work
from rooflab.simulator.work.requests import Requests

__all__ = ["Prepared", "cluster_of", "saturation", "simulate"]

_MOST_PER_S: Final = 1e6
"""Requests a second beyond which no higher rate is asked for."""


def cluster_of(scenario: Scenario, engines: Sequence[Engine] | None = None) -> tuple[Cluster, list[Engine]]:
    """The cluster of a scenario, and the kind of engine that each replica is; `engines` are the scenario's, where they
    are made already.

    Raises Infeasible when a pool does not fit, InputError for models that are not decoders and for beam search.
    """
    if scenario.workload.beams > 1:
        raise InputError("beam search is not simulated (estimate answers for it)", "workload.beams")
    if scenario.model.kind != "decoder":
        raise InputError(
            f"{scenario.model.name} is a model of kind {scenario.model.kind}; only decoders are simulated "
            f"(estimate answers for it)",
            "model",
        )
    replicas: list[Replica] = []
    owners: list[Engine] = []
    for engine in engines_of(scenario) if engines is None else engines:
        replicas += [_replica(scenario, engine)] * engine.replicas
        owners += [engine] * engine.replicas
    d = scenario.deployment
    autoscale = None
    if d.cluster.autoscale:
        a = d.cluster.autoscale
        autoscale = Autoscale(load=a.load, least=a.least, most=a.most, every_s=a.every_s)
        replicas = [
            replace(r, up=[o.role for o in replicas[:i]].count(r.role) < max(a.least, 1), startup_s=a.startup_s)
            for i, r in enumerate(replicas)
        ]
    for failure in d.cluster.failures:
        if failure.replica >= len(replicas):
            raise InputError(f"there is no replica {failure.replica} (0 to {len(replicas) - 1})", "deployment.failures")
    cluster = Cluster(
        replicas=tuple(replicas),
        router=d.cluster.router,
        spill_tokens=d.cluster.spill_tokens or 0,
        failures=tuple(Failure(f.replica, f.at_s, f.until_s) for f in d.cluster.failures),
        speed=tuple(_speed(change, owners) for change in d.cluster.speed),
        autoscale=autoscale,
    )
    return cluster, owners


def _replica(scenario: Scenario, engine: Engine) -> Replica:
    model, hardware, d, pool = engine.model, engine.hardware, engine.deployment, engine.pool
    length, _ = resident_tokens(model, scenario.workload)
    at, free = max(length, 1.0), engine.free_bytes
    per_sequence = engine.sequence_bytes(at)
    if free < per_sequence:
        raise Infeasible(does_not_fit(model, hardware, d, length))
    # windows and states make a token's share depend on length: blocks are counted at the workload's mean length
    per_token = max(per_sequence / at, 1e-9)
    blocks = max(int(free * d.split.dp / (per_token * d.limits.block_size)), d.split.pp)
    link = scenario.deployment.cluster.transfer
    # a batch begins together and nobody joins it, whatever the engine would do with requests that come by themselves
    together = scenario.workload.mode == "static" and d.limits.scheduler is None
    scheduler = "static" if together else scheduler_of(d)
    tiers = {t.name: t for t in hardware.tiers}
    dram, nvme = tiers.get("dram"), tiers.get("nvme")
    kv = d.cluster.kv_tiers
    max_seqs = min(d.limits.max_num_seqs * d.split.dp, 1 << 20)
    same = {name: getattr(d.limits, name) for name in SETTINGS}
    # a replica's limits are those of all its attention-data ranks
    same |= {
        "max_num_seqs": max_seqs,
        "max_num_batched_tokens": max(d.limits.max_num_batched_tokens * d.split.dp, max_seqs),
    }
    return Replica(
        **same,
        step_cost=engine.step_cost,
        kv_blocks=blocks,
        engine=scheduler,
        policy=d.limits.policy,
        role="both" if pool is None or pool.role == "mixed" else pool.role,
        lanes=d.split.pp,
        tokens_per_step=d.runtime.speculation.tokens_per_step if d.runtime.speculation else 1.0,
        kv_bytes_per_token=per_token,
        swap_bytes=(kv.swap_bytes or (dram.bytes / 2 if dram else 0.0)) if d.limits.preemption == "swap" else 0.0,
        host_bytes_per_s=dram.bytes_per_s if dram else hardware.device.host_link.bytes_per_s or math.inf,
        host_cache_bytes=kv.host_bytes / d.split.devices_per_replica,
        ssd_cache_bytes=kv.ssd_bytes / d.split.devices_per_replica,
        ssd_bytes_per_s=nvme.bytes_per_s if nvme else math.inf,
        link_bytes_per_s=link.bytes_per_s or hardware.network.bytes_per_s or math.inf,
        link_latency_s=hardware.network.latency_s if link.latency_s is None else link.latency_s,
        layers=model.layers if link.layerwise else 1,
        buffers=d.limits.buffers,
        move_s_per_token=0.0 if d.limits.buffers == "paged" else _move_s(engine, per_token),
        **_swapping(model, d),
    )


def _move_s(engine: Engine, bytes_per_token: float) -> float:
    """Seconds in which a device copies a token's cache within its memory: read and written as streaming passes are."""
    runtime, hardware = engine.deployment.runtime, engine.hardware
    overhead = engine_overhead(runtime, moe=engine.model.is_moe, family=hardware.device.family)
    copied = Elementwise("caches", "attention", 1.0, 2.0 * bytes_per_token, kernels=0.0)
    return float(price(copied, bench_for(hardware, runtime.engine, overhead)).seconds)


def _swapping(model: Model, d: Deployment) -> dict[str, Any]:
    """Fields of a replica that say how it preempts: what copies cost to issue, whether steps wait for them, and
    turns."""
    given: dict[str, Any] = {}
    if d.limits.swap is not None:
        calls = 2 * model.layers / d.limits.block_size / d.limits.swap.run_blocks
        given = {
            "swap_call_s_per_token": calls * d.limits.swap.call_s, "swap_async": d.limits.swap.asynchronous,
            "swap_reuse": d.limits.swap.reuse,
            "overlap": 1.0 if d.limits.swap.asynchronous else 0.0,
        }  # fmt: skip
    if d.limits.rotation is not None:
        given |= {
            "rotate_steps": d.limits.rotation.steps,
            "sticky": d.limits.rotation.sticky if d.limits.rotation.pattern == "markov" else 0.0,
        }
    return given


def _speed(change: Any, owners: list[Engine]) -> SpeedChange:
    """A change of clock or power limit as factors on step time and dynamic energy, measured on a decode step of 32
    sequences."""
    engine = owners[change.replica or 0]
    machine = engine.hardware
    slower = replace(
        machine, clock=change.clock or machine.clock, power_limit_w=change.power_limit_w or machine.power_limit_w
    )

    def step(cost: StepCost) -> tuple[float, float]:
        result = cost.step(n_decode=32, context=32 * 1024, n_prefill=1, prefill_tokens=512, area=512**2 / 2)
        seconds = float(result.seconds[0] - result.host_s[0])
        return seconds, float(result.joules[0]) - cost.scalar("idle_w") * float(result.seconds[0])

    (now_s, now_j), (then_s, then_j) = step(engine.step_cost), step(engine.on(slower).step_cost)
    return SpeedChange(change.at_s, then_s / now_s, then_j / now_j, change.replica)


def simulate(
    scenario: Scenario,
    *,
    seed: int | None = None,
    progress: Progress | None = None,
    tell: Tell | None = None,
    log_steps: int = 0,
    partial: bool = True,
    engines: Sequence[Engine] | None = None,
) -> ServingResult:
    """Simulate a scenario event by event. Deterministic: same scenario, same seed, same result.

    `progress`, `tell` and `partial` are those of `run`: Ctrl-C keeps what is done unless `partial` is False. `engines`
    are those of the scenario (`engines_of`), where the same are simulated at many rates.
    Raises Infeasible when it does not fit, InputError for impossible settings.
    """
    if seed is not None:
        scenario = scenario.with_workload(seed=seed)
    prepared = Prepared.of(scenario, engines)
    requests = make_work(prepared.workload, slo=scenario.slo, block_tokens=scenario.deployment.limits.block_size)
    return prepared.run(requests, seed=prepared.workload.seed, progress=progress, tell=tell, log_steps=log_steps,
                        partial=partial)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scenario whose cluster is priced, for as many runs as there are streams of random numbers."""

    scenario: Scenario
    workload: Workload
    cluster: Cluster
    owners: list[Engine]

    @classmethod
    def of(cls, scenario: Scenario, engines: Sequence[Engine] | None = None) -> Prepared:
        """Price the cluster of a scenario, or take its `engines`. Raises what `cluster_of` does."""
        cluster, owners = cluster_of(scenario, engines)
        workload = scenario.workload
        if workload.mode == "max-throughput":
            size = workload.requests or 1000
            workload = replace(workload, scenario=None, arrivals="burst", rate=1e6, burst_size=size, requests=size)
        return cls(scenario, workload, cluster, owners)

    def run(self, requests: Requests, **options: Any) -> ServingResult:
        """A run of `requests`, made of `workload` with a seed; options are those of `rooflab.simulator.serving.run`."""
        scenario, owners = self.scenario, self.owners
        client = client_of(scenario, owners)
        result = client.seen(run(client.sent(requests), self.cluster, **options))
        devices = sum(e.deployment.split.devices_per_replica for e in owners)
        fullest = min(owners, key=lambda e: e.free_bytes)
        return ServingResult(
            requests=requests,
            run=result,
            slo=scenario.slo,
            classes=self.workload.classes,
            devices=devices,
            kv_blocks=sum(r.kv_blocks for r in self.cluster.replicas),
            upkeep=upkeep([(e.bill, float(e.deployment.split.devices_per_replica)) for e in owners]),
            weights_bytes=float(fullest.memory.weights_bytes[0]),
            room_bytes=fullest.free_bytes,
            kind="assumed" if "assumed" in {e.kind for e in set(owners)} else "fitted",
            window_s=steady_window(self.workload, result),
        )


def saturation(
    scenario: Scenario,
    *,
    low: float | None = None,
    high: float | None = None,
    rounds: int = 12,
    progress: Callable[[float, bool], None] | None = None,
    tell: Tell | None = None,
) -> tuple[float, ServingResult | None]:
    """The highest request rate (1/s) at which every service level holds for a finite run as a whole, ramp-up and drain
    with it, by halving over runs with common random numbers (`rooflab.simulator.serving.capacity`: in the steady
    state).

    Without service levels: the highest rate at which the engine keeps up (requests finish within 10 % of the time they
    arrive in). Returns the rate (0 when even the lowest fails) and the run at it. `progress` is told each rate and
    whether it held, `tell` what `run` has to say.
    """
    best: tuple[float, ServingResult | None] = (0.0, None)

    def holds(rate: float) -> bool:
        nonlocal best
        asked = scenario.with_workload(rate=rate, concurrency=None, batch=None, burst=None, scenario=None)
        result = simulate(asked, tell=tell, partial=False)
        fine = _holds(result)
        if fine and rate > best[0]:
            best = (rate, result)
        return fine

    highest(
        holds, low or 0.01, high or 1.0, halve=geometric_when_wide, most=_MOST_PER_S, calls=rounds, tolerance=0.005,
        tell=progress,
    )  # fmt: skip
    return best


def _holds(result: ServingResult) -> bool:
    if result.metrics["pending"] or result.metrics["rejected"] or result.metrics["impossible"]:
        return False
    if result.slo or any(c.slo for c in result.classes):
        return not result.broken()
    arrivals = result.requests.arrival_s
    span_s = float(arrivals.max() - arrivals.min())
    return float(result.run.records.last_token_s.max() - arrivals.min()) <= 1.1 * span_s
