"""Policies and routers, built in and a user's own, through the conformance tests that the package ships."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rooflab.costs.step import fixed_step
from rooflab.errors import InputError
from rooflab.simulator.serving.router import ROUTERS
from rooflab.simulator.serving.rules import POLICIES
from rooflab.simulator.serving.run import Simulation, run
from rooflab.simulator.serving.specs import Cluster, Replica
from rooflab.simulator.work.requests import Status, make_requests
from rooflab.testing.policies import PolicyConformance
from rooflab.testing.routers import RouterConformance


def shortest_prompt(
    arrival_s: float, input_tokens: float, tokens_left: float, predicted_left: float, priority: float,
    deadline_at_s: float,
    service: float, preemptions: float, now_s: float,
) -> float:  # fmt: skip
    return input_tokens


def emptiest(
    now_s: float, input_tokens: int, session: int, client: int, eligible: Any, waiting: Any, running: Any,
    load_tokens: Any,
    free_blocks: Any, cached_tokens: Any,
) -> int:  # fmt: skip
    best = -1
    for r in range(len(eligible)):
        if eligible[r] == 1 and (best < 0 or waiting[r] + running[r] < waiting[best] + running[best]):
            best = r
    return best


class TestShortestPrompt(PolicyConformance):
    policy = staticmethod(shortest_prompt)


class TestEmptiest(RouterConformance):
    router = staticmethod(emptiest)


@pytest.mark.parametrize("name", POLICIES)
def test_built_in_policies_conform(name: str) -> None:
    suite = type("Suite", (PolicyConformance,), {"policy": name})()
    for test in (t for t in dir(suite) if t.startswith("test_")):
        getattr(suite, test)()


@pytest.mark.parametrize("name", ROUTERS)
def test_built_in_routers_conform(name: str) -> None:
    suite = type("Suite", (RouterConformance,), {"router": name})()
    for test in (t for t in dir(suite) if t.startswith("test_")):
        getattr(suite, test)()


def test_a_users_policy_decides() -> None:
    requests = make_requests([0.0, 0.1, 0.2], [5, 9, 3], [2, 2, 2])
    records = run(requests, Replica(step_cost=fixed_step(1.0), policy=shortest_prompt, max_num_seqs=1)).records
    assert records.last_token_s.tolist() == [2, 6, 4]


def test_prefix_affinity_finds_the_cache() -> None:
    n = 300
    session = np.random.default_rng(1).integers(0, 30, n)
    requests = make_requests(
        np.arange(n) * 2.0, 64, 2, session=session, prefix_start=np.arange(0, 4 * n + 1, 4),
        prefix_block=(session[:, None] * 4 + np.arange(4)).ravel(), prefix_block_tokens=16,
    )  # fmt: skip
    replica = Replica(step_cost=fixed_step(1.0), kv_blocks=60, prefix_caching=True)
    cached = {
        router: run(requests, Cluster(replicas=(replica,) * 4, router=router)).totals.total("cached_tokens")
        for router in ("round-robin", "prefix-affinity")
    }
    assert cached["prefix-affinity"] == 48 * (n - 30)
    assert cached["round-robin"] < 0.8 * cached["prefix-affinity"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Replica(step_cost=fixed_step(1.0), max_num_seqs=64, max_num_batched_tokens=32), "max_num_seqs"),
        (lambda: run(make_requests([0.0], [1], [1]), Replica(step_cost=fixed_step(1.0), engine="vlm")), "vllm"),
        (lambda: run(make_requests([0.0], [1], [1]), Replica(step_cost=fixed_step(1.0), policy="fsfc")), "fcfs"),
        (
            lambda: run(
                make_requests([0.0], [1], [1]), Cluster(replicas=(Replica(step_cost=fixed_step(1.0)),), router="prefix")
            ),
            "prefix-affinity",
        ),
        (lambda: Cluster(replicas=(Replica(step_cost=fixed_step(1.0), role="prefill"),)), "decode pool"),
        (lambda: make_requests([1.0, 0.5], [1, 1], [1, 1]), "backwards"),
    ],
)
def test_mistakes_are_named(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_interrupting_keeps_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def stop(done: float, now_s: float) -> None:
        seen.append((done, now_s))
        raise KeyboardInterrupt

    monkeypatch.setattr(Simulation.advance, "__defaults__", (100,))
    result = run(make_requests(np.arange(200.0), 8, 40), Replica(step_cost=fixed_step(1.0)), progress=stop)
    assert not result.complete
    assert 0 < (result.records.status == Status.FINISHED).sum() < 200
    pending = result.records.status == Status.PENDING
    assert (result.records.tokens_out[pending] > 0).any()
    assert len(seen) == 1
    assert seen[0][1] == result.end_s
