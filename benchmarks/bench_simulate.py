"""Speed of the simulator: `python benchmarks/bench_simulate.py [one|cluster|policies] [requests]`, seconds of one core.

one        a replica, Poisson arrivals, 100 to 2,000 prompt and 50 to 600 answer tokens, vLLM's rules, paged KV
cluster    64 replicas behind prefix affinity with prefix caching; lengths and shared prefixes of the Mooncake
           conversation trace where `../shared/data/traces` has it, repeated with fresh prefixes, else of its rough
           shape
policies   each engine's rules under pressure
"""

from __future__ import annotations

import csv
import resource
import sys
import time
from pathlib import Path

import numpy as np

from rooflab.costs.step import ATTENTION_FIELDS, GRID, QUANTITIES, SCALARS, StepCost, fixed_step
from rooflab.deploy.rules import ENGINE_RULES
from rooflab.simulator.serving.run import Simulation
from rooflab.simulator.serving.specs import Cluster, Replica
from rooflab.simulator.work.requests import Requests, Result, make_requests

TRACE = Path(__file__).parents[1].parent / "shared/data/traces/mooncake_conversation.csv"
UNIT = 512


def cost() -> StepCost:
    """A step of an 8 ms floor, 25 us a token and attention over the context: about a 30B model on one accelerator."""
    base = fixed_step(1e-3)
    tables, kinds, scalars = base.tables.copy(), base.attention.copy(), base.scalars.copy()
    tables[QUANTITIES.index("linear_s")] = np.maximum(8e-3, GRID * 2.5e-5)
    tables[QUANTITIES.index("linear_j")] = 1 + GRID * 0.02
    for field, value in (("dec_launch_s", 1e-4), ("dec_ctx_s", 2e-8), ("pre_area_s", 1e-10), ("dec_ctx_j", 1e-5)):
        kinds[0, ATTENTION_FIELDS.index(field)] = value
    scalars[SCALARS.index("idle_w")] = 300.0
    return StepCost(tables, kinds, scalars)


def poisson(n: int, rate: float) -> Requests:
    rng = np.random.default_rng(0)
    return make_requests(np.cumsum(rng.exponential(1 / rate, n)), rng.integers(100, 2001, n), rng.integers(50, 601, n))


def conversations(n: int, speed: float) -> Requests:
    """The trace `speed` times as fast, again and again; a request shares its cached prefix with the last one that is
    long enough."""
    if TRACE.exists():
        with TRACE.open() as file:
            rows = np.array([[float(x) for x in row] for row in list(csv.reader(file))[1:]])
    else:
        rng = np.random.default_rng(0)
        lengths = rng.lognormal(8.8, 1.0, 12_000)
        rows = np.stack(
            [np.sort(rng.uniform(0, 3536, 12_000)), lengths + 1, rng.lognormal(5.5, 0.8, 12_000) + 1, lengths * 0.4],
            axis=1,
        )
    rows[:, 1:3] = np.maximum(rows[:, 1:3], 1)
    starts, blocks, fresh = [0], [], 1
    recent: list[list[int]] = []
    for _, inputs, _, cached in rows:
        share = int(cached) // UNIT
        parent = next((b for b in reversed(recent[-400:]) if len(b) >= share), [0] * share)
        new = max(int(inputs) // UNIT - share, 0)
        own = [*parent[:share], *range(fresh, fresh + new)]
        fresh += new
        recent.append(own)
        blocks += own
        starts.append(len(blocks))
    k = np.arange(n) // len(rows)
    which = np.arange(n) % len(rows)
    length = np.diff(starts)[which]
    begin = np.concatenate([[0], np.cumsum(length)])
    flat = np.asarray(blocks)[np.repeat(np.asarray(starts)[which] - begin[:-1], length) + np.arange(begin[-1])]
    return make_requests(
        (rows[which, 0] + k * (rows[-1, 0] + 1)) / speed, rows[which, 1], rows[which, 2],
        prefix_start=begin, prefix_block=flat + np.repeat(k, length) * fresh, prefix_block_tokens=UNIT,
    )  # fmt: skip


def measure(name: str, requests: Requests, cluster: Cluster) -> Result:
    Simulation(requests, cluster).advance(0)  # compiled, or read from disk
    start_s = time.process_time()
    simulation = Simulation(requests, cluster)
    built_s = time.process_time()
    while not simulation.advance():
        pass
    ran_s = time.process_time()
    result = simulation.result()
    end_s = time.process_time()
    totals = result.totals
    print(
        f"{name:28} {len(requests):>9,} requests {end_s - start_s:7.2f} s (build {built_s - start_s:.2f}, loop "
        f"{ran_s - built_s:.2f}, "
        f"unpack {end_s - ran_s:.2f})  {totals.total('steps'):>12,.0f} steps  busy "
        f"{totals.busy_s.mean() / result.end_s:.2f}  "
        f"preempted {totals.total('preemptions'):,.0f}  "
        f"cached {totals.total('cached_tokens') / max(totals.total('looked_up_tokens'), 1):.2f}  "
        f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB",
        flush=True,
    )
    return result


def main(what: str, n: int) -> None:
    step = cost()
    start_s = time.process_time()
    Simulation(poisson(10, 1.0), Replica(step_cost=step)).advance()
    print(f"first call (compiled or from disk) {time.process_time() - start_s:.2f} s")
    if what in ("one", "all"):
        for rate in (9, 20):
            measure(
                f"one replica, {rate}/s",
                poisson(n, rate),
                Cluster(replicas=(Replica(step_cost=step, kv_blocks=20_000),)),
            )
    if what in ("cluster", "all"):
        replica = Replica(step_cost=step, kv_blocks=60_000, prefix_caching=True)
        measure(
            "64 replicas, prefix affinity",
            conversations(n, 30.0),
            Cluster(replicas=(replica,) * 64, router="prefix-affinity"),
        )
    if what in ("policies", "all"):
        for engine in ENGINE_RULES:
            measure(
                engine,
                poisson(n // 10, 18),
                Cluster(replicas=(Replica(step_cost=step, kv_blocks=12_000, engine=engine),)),
            )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "all", int(float(sys.argv[2])) if len(sys.argv) > 2 else 1_000_000)
