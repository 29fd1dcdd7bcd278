"""Every run ends: whatever its features do to each other, all requests are over or the run says that they are
stranded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import test_sim_laws as laws
from hypothesis import Phase, given, settings

import rooflab as rl
from rooflab.costs.step import fixed_step
from rooflab.errors import InputError
from rooflab.simulator.serving.run import Simulation, run
from rooflab.simulator.serving.specs import Autoscale, Cluster, Failure, Replica
from rooflab.simulator.work.requests import Requests, Status, make_requests

SECOND = fixed_step(1.0)
EVENTS = 1_000_000


def engine(**limits: Any) -> Replica:
    return Replica(step_cost=SECOND, **({"block_size": 4, "kv_blocks": 100} | limits))


def requests(n: int, *, inputs: int = 8, outputs: int = 3) -> Requests:
    return make_requests(np.arange(n) * 0.5, inputs, outputs)


def restless_cluster(rng: np.random.Generator) -> Cluster:
    """A cluster of the laws' kind, of which any part may be scaled, fail for good, take turns or be too small."""
    cluster = laws.random_cluster(rng)
    scale = Autoscale(
        load=float(rng.choice([1, 4])),
        least=int(rng.integers(3)),
        most=None if rng.integers(2) else int(rng.integers(2, 4)),
        every_s=float(rng.choice([0.05, 0.2])),
    )
    turns = 0 if any(r.engine == "static" for r in cluster.replicas) else int(rng.choice([0, 0, 1, 5]))
    changes: dict[str, Any] = {
        "rotate_steps": turns, "sticky": float(rng.choice([0, 0.5])), "swap_async": bool(rng.integers(2)),
        "swap_reuse": bool(rng.integers(2)), "max_waiting": int(rng.integers(3)) if rng.integers(3) == 0 else None,
        "admit_every": int(rng.choice([1, 1, 4])), "batch_wait_steps": int(rng.choice([0, 0, 3])),
        "startup_s": float(rng.choice([0, 0.3])),
    }  # fmt: skip
    replicas = [replace(r, **changes) for r in cluster.replicas]
    if rng.integers(2):
        roles = [r.role for r in replicas]
        replicas = [replace(r, up=roles[:i].count(r.role) < max(scale.least, 1)) for i, r in enumerate(replicas)]
    failures = tuple(
        Failure(int(rng.integers(len(replicas))), at_s, float("inf") if rng.integers(3) == 0 else at_s + rng.random())
        for at_s in rng.random(rng.integers(4)).tolist()
    )
    return replace(
        cluster,
        replicas=tuple(replace(r, kv_blocks=r.kv_blocks // 2) if rng.integers(5) == 0 else r for r in replicas),
        failures=failures,
        autoscale=scale if not all(r.up for r in replicas) or rng.integers(2) else None,
        spill_tokens=int(rng.choice([0, 0, 60])),
    )


@given(laws.SEEDS)
@settings(max_examples=150, deadline=None, phases=[Phase.generate])
def test_every_run_ends(seed: int) -> None:
    rng = np.random.default_rng(seed)
    simulation = Simulation(laws.random_requests(rng), restless_cluster(rng))
    assert simulation.advance(EVENTS)
    result = simulation.result()
    assert result.complete == (result.stranded == 0)
    assert result.stranded == (result.records.status == Status.PENDING).sum()


@given(laws.SEEDS)
@settings(max_examples=10, deadline=None, phases=[Phase.generate])
def test_time_does_not_run_backwards(seed: int) -> None:
    rng = np.random.default_rng(seed)
    simulation = Simulation(laws.random_requests(rng), restless_cluster(rng))
    before_s = 0.0
    for _ in range(300):
        simulation.advance(1)
        assert simulation.now_s >= before_s
        before_s = simulation.now_s


def test_turns_leave_the_clocks_of_transfers_alone() -> None:
    """A swapped request on its way back draws no new key: that is when its KV arrives."""
    swap = {"kv_bytes_per_token": 1.0, "host_bytes_per_s": 4.0, "swap_bytes": 1e3, "swap_async": True}
    crowd = engine(kv_blocks=12, rotate_steps=2, max_num_seqs=2, **swap)
    simulation = Simulation(make_requests(np.zeros(6), 8, 12), crowd)
    before_s = 0.0
    while not simulation.advance(1):
        assert simulation.now_s >= before_s
        before_s = simulation.now_s
    result = simulation.result()
    assert result.complete
    assert result.totals.total("swapped_tokens") > 0


def test_pools_are_scaled_each_by_itself() -> None:
    scenario = rl.load(
        {
            "model": "google/gemma-2-9b", "hardware": "6 x l40s",
            "workload": {"like": "azure-code", "requests": 100, "concurrency": 8},
            "deployment": {
                "engine": "lmdeploy", "tp": 2, "autoscale": {"load": 8, "least": 1, "every": "5 s", "startup": "10 s"},
                "pools": [{"role": "prefill", "replicas": 1}, {"role": "decode", "replicas": 2}],
            },
        }
    )  # fmt: skip
    assert rl.simulate(scenario).run.complete


def test_a_pool_that_is_off_comes_up_for_what_waits() -> None:
    link = {"kv_bytes_per_token": 1.0, "link_bytes_per_s": 1e9}
    pools = (engine(role="prefill", **link), *[engine(role="decode", up=False, startup_s=4.0)] * 2)
    result = run(requests(4), Cluster(replicas=pools, autoscale=Autoscale(load=8, least=0, every_s=2.0)))
    assert result.complete
    assert result.records.decode_replica.tolist() == [1] * 4
    assert result.totals.up_s[2] == 0


def test_the_only_engine_that_could_hold_a_request_is_started() -> None:
    small, large = engine(kv_blocks=10), engine(kv_blocks=100, up=False, startup_s=1.0)
    scaled = Cluster(replicas=(small, large), autoscale=Autoscale(load=8, every_s=2.0))
    result = run(make_requests([0.0, 0.1], [8, 80], [3, 3]), scaled)
    assert result.complete
    assert result.records.replica.tolist() == [0, 1]


def test_who_waits_is_taken_by_an_engine_that_stops_draining() -> None:
    # the first engine dies while the second one drains: at its next look the autoscaler keeps the second
    pair = Cluster(replicas=(engine(), engine()), failures=(Failure(0, 4.5),), autoscale=Autoscale(load=8, every_s=4.0))
    result = run(make_requests([0.0, 0.0], [8, 8], [3, 20]), pair)
    assert result.complete
    late = run(make_requests([0.0, 0.0], [8, 8], [20, 20]), pair)
    assert late.complete
    assert late.records.requeues.tolist() == [1, 0]


def test_who_must_wait_on_does_not_hold_up_those_behind() -> None:
    # nothing is up at first; the long request that came first fits the engine that dies for good only
    large, small = engine(kv_blocks=100), engine(kv_blocks=10)
    failures = (Failure(0, 0.0), Failure(1, 0.0, 5.0))
    result = run(make_requests([1.0, 2.0], [80, 8], [3, 3]), Cluster(replicas=(large, small), failures=failures))
    assert result.stranded == 1
    assert result.records.status.tolist() == [Status.PENDING, Status.FINISHED]


def test_engines_that_are_dead_for_good_end_the_run() -> None:
    dead = (Failure(0, 2.5),)
    for autoscale in (None, Autoscale(load=1, every_s=1.0)):
        result = run(requests(3, outputs=9), Cluster(replicas=(engine(),), failures=dead, autoscale=autoscale))
        assert (result.complete, result.stranded) == (False, 3)


def test_what_a_dead_engine_leaves_may_be_too_long_for_the_prompts_pool() -> None:
    """A request that starts over brings the tokens it made; where no prompt pool holds them it is refused."""
    pools = (engine(role="prefill", kv_blocks=4), engine(role="decode"))
    cluster = Cluster(replicas=pools, failures=(Failure(1, 8.5, 9.5),))
    result = run(make_requests([0.0], [14], [20]), cluster)
    assert result.complete
    assert result.records.status.tolist() == [Status.IMPOSSIBLE]


def test_turns_too_short_for_a_prompt_end_the_run() -> None:
    """Each turn undoes what the last one computed: prompts of sixteen steps, drawn for anew at every step."""
    hasty = engine(rotate_steps=1, max_num_seqs=1, max_num_batched_tokens=4)
    result = run(make_requests(np.zeros(12), 64, 2), hasty)
    assert not result.complete
    assert result.stranded > 0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="cannot take turns"):
        run(requests(1), engine(engine="static", rotate_steps=5))
    with pytest.raises(InputError, match="at least 3 engines and at most 2"):
        Autoscale(load=8, least=3, most=2)
