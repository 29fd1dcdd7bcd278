"""The loop compiled with all features, compiled with few, and as plain Python give the same bytes; so do two runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_sim_custom as custom
import test_sim_ends as ends
import test_sim_laws as laws

from rooflab.costs.step import fixed_step
from rooflab.simulator.serving import run as running
from rooflab.simulator.serving.adapters import use_adapter
from rooflab.simulator.serving.autoscale import scale
from rooflab.simulator.serving.disaggregation import receive
from rooflab.simulator.serving.features import IN_WORDS
from rooflab.simulator.serving.prefix import match
from rooflab.simulator.serving.run import Simulation
from rooflab.simulator.serving.specs import Autoscale, Cluster, Failure, Replica, SpeedChange
from rooflab.simulator.serving.state import FEATURES
from rooflab.simulator.serving.turns import rotate
from rooflab.simulator.work.requests import Requests, make_requests

PRESSED: dict[str, Any] = {
    "step_cost": laws.COST, "block_size": 4, "kv_blocks": 40, "max_num_seqs": 4, "max_num_batched_tokens": 16,
}  # fmt: skip


def work() -> Requests:
    return laws.random_requests(np.random.default_rng(1))


def random_runs() -> Iterator[Simulation]:
    for seed in range(1000, 1024):
        rng = np.random.default_rng(seed)
        requests = laws.random_requests(rng)
        yield Simulation(requests, laws.random_cluster(rng) if seed % 2 else ends.restless_cluster(rng))


def plain_runs() -> Iterator[Simulation]:
    for engine in ("vllm", "static", "sglang"):
        yield Simulation(work(), Replica(engine=engine, **PRESSED))


def digest(runs: Iterator[Simulation]) -> str:
    """Of all that the runs leave."""
    total = sha256()
    for simulation in runs:
        simulation.advance(3000)
        result = simulation.result()
        total.update(laws.bytes_of(result))
        for field in result.totals.__slots__:
            total.update(getattr(result.totals, field).tobytes())
        for field in result.timeline.__slots__[1:]:
            total.update(getattr(result.timeline, field).tobytes())
    return total.hexdigest()


def in_another_process(runs: str, **environment: str) -> str:
    code = f"import test_sim_same as t; print(t.digest(t.{runs}()))"
    paths = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | paths | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_uncompiled_is_the_same_to_the_byte() -> None:
    assert in_another_process("random_runs", NUMBA_DISABLE_JIT="1") == digest(random_runs())


def test_twice_is_the_same_to_the_byte() -> None:
    assert digest(random_runs()) == digest(random_runs())


def test_a_loop_with_nothing_more_is_the_same_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = digest(plain_runs())
    monkeypatch.setattr(running, "_loop_for", lambda uses: uses)
    runs = [*plain_runs()]
    assert all(run._sim.features() == frozenset() for run in runs)
    assert digest(iter(runs)) == whole
    for part in (rotate, scale, match, receive, use_adapter):
        assert not any(state.features == frozenset() for state, *_ in getattr(part, "signatures", ()))


def test_the_smallest_loop_that_is_enough_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    few, more = frozenset({"prefixes"}), frozenset({"prefixes", "tiers", "pools"})
    monkeypatch.setattr(running, "kept", lambda _: {few, more, frozenset(FEATURES)})
    assert running._loop_for(few) == few
    assert running._loop_for(frozenset({"pools"})) == more
    assert running._loop_for(frozenset({"adapters"})) == frozenset(FEATURES)
    monkeypatch.setattr(running, "kept", lambda _: {few})
    assert running._loop_for(frozenset({"adapters"})) == frozenset(FEATURES)
    monkeypatch.delenv(running.WHOLE)
    assert running._loop_for(frozenset({"adapters"})) == frozenset({"adapters"})


def one(**changes: Any) -> Cluster:
    return Cluster(replicas=(Replica(**PRESSED | changes),))


def several(**changes: Any) -> Cluster:
    return Cluster(replicas=(Replica(**PRESSED),) * 2, **changes)


TIERS = {"prefix_caching": True, "kv_bytes_per_token": 1.0, "host_cache_bytes": 40.0}
SWAP = {"kv_bytes_per_token": 1.0, "swap_bytes": 100.0}


@pytest.mark.parametrize(
    ("cluster", "uses"),
    [
        (one(), ""),
        (one(engine="static", policy="deadline", tokens_per_step=2.0), ""),
        (one(policy="fair"), "clients"),
        (one(prefix_caching=True), "prefixes"),
        (one(**TIERS), "prefixes tiers"),
        (one(max_adapters=1), "adapters"),
        (one(rotate_steps=3), "turns"),
        (one(**SWAP), "swap"),
        (one(swap_async=True, **SWAP), "swap transfers"),
        (one(admit_every=3), "pacing"),
        (one(engine="orca", buffers="held"), "buffers"),
        (one(lanes=2), "replicas"),
        (several(speed=(SpeedChange(0.1, 2.0),)), "replicas events"),
        (several(failures=(Failure(0, 0.1, 0.2),)), "replicas events outages"),
        (several(autoscale=Autoscale(load=4)), "replicas outages autoscale"),
        (one(policy=custom.shortest_prompt), "own_policy"),
        (several(router=custom.emptiest), "replicas own_router"),
        (
            Cluster(replicas=(Replica(role="prefill", **PRESSED), Replica(role="decode", **PRESSED))),
            "replicas pools transfers",
        ),
    ],
)
def test_a_run_says_what_it_uses(cluster: Cluster, uses: str) -> None:
    assert Simulation(work(), cluster)._uses == frozenset(uses.split())


def test_who_waits_for_the_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    pools = Cluster(replicas=(Replica(role="prefill", **PRESSED), Replica(role="decode", **PRESSED)))
    running.run(work(), pools)
    running.run(work(), pools, tell=lines.append)
    assert lines == []
    monkeypatch.setattr(running, "kept", lambda _: set())
    monkeypatch.delenv(running.WHOLE)
    with monkeypatch.context() as patch:
        patch.setattr(running, "advance", lambda *_: True)
        running.run(make_requests([0.0], [1], [1]), Replica(step_cost=fixed_step(1.0)), tell=lines.append)
        running.run(work(), pools, tell=lines.append)
    assert lines == [
        "compiling the simulator for plain runs, once on this machine: some 10 s",
        "compiling the simulator for several engines, pools, transfers beside steps, once on this machine: some 10 s",
    ]


def test_every_feature_has_a_name() -> None:
    assert set(IN_WORDS) == set(FEATURES)
