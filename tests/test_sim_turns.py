"""Fairness by turns and swapping in the simulator: who gives way, what a copy costs, what is moved again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rooflab as rl
from rooflab.costs.step import fixed_step
from rooflab.errors import InputError
from rooflab.simulator.serving.run import run
from rooflab.simulator.serving.specs import Replica
from rooflab.simulator.work.requests import Result, make_requests

STEP_S = 0.01
BASE = Replica(
    step_cost=fixed_step(STEP_S), kv_blocks=40, engine="vllm-v0", max_num_seqs=64, kv_bytes_per_token=1.0,
    swap_bytes=1e6,
    host_bytes_per_s=1e9, overlap=0.0, rotate_steps=10,
)  # fmt: skip
WORK = make_requests(np.arange(24) * 0.02, 40, 120)


def done(replica: Replica) -> Result:
    result = run(WORK, replica)
    assert (result.records.status == 1).all()
    assert result.records.tokens_out.sum() == 24 * 120
    return result


def test_turns_preempt_and_lose_nothing() -> None:
    turns, still = done(BASE), done(replace(BASE, rotate_steps=0))
    assert turns.totals.total("preemptions") > still.totals.total("preemptions")
    assert turns.totals.total("recomputed_tokens") == 0
    first = [np.max(r.records.first_token_s - r.records.arrival_s) for r in (turns, still)]
    assert first[0] < first[1], "with turns nobody waits for whole answers"


def test_same_seed_same_bytes() -> None:
    a, b = done(BASE), done(BASE)
    assert np.array_equal(a.records.last_token_s, b.records.last_token_s)


def test_sticky_turns_switch_less() -> None:
    assert done(replace(BASE, sticky=0.9)).totals.total("preemptions") < done(BASE).totals.total("preemptions")


def test_issuing_copies_takes_time_that_steps_wait_for() -> None:
    dear = done(replace(BASE, swap_call_s_per_token=1e-4))
    moved = dear.totals.total("swapped_tokens")
    busy = [
        float(r.totals.busy_s.sum() - r.totals.steps.sum() * STEP_S)
        for r in (dear, done(replace(BASE, host_bytes_per_s=np.inf)))
    ]
    # what goes out comes in again, with at most a token's difference
    assert busy[0] == pytest.approx(2 * moved * 1e-4, rel=0.02)
    assert busy[1] == pytest.approx(0.0, abs=1e-9)


def test_copies_beside_the_steps_hold_up_only_who_waits_for_them() -> None:
    dear = replace(BASE, swap_call_s_per_token=1e-3)
    beside = done(replace(dear, swap_async=True, overlap=1.0))
    assert beside.end_s < done(dear).end_s
    assert beside.totals.busy_s.sum() == pytest.approx(beside.totals.steps.sum() * STEP_S)


def test_a_kept_copy_moves_only_what_is_new() -> None:
    kept, anew = done(replace(BASE, swap_reuse=True)), done(BASE)
    assert kept.totals.total("swapped_tokens") < anew.totals.total("swapped_tokens")
    assert kept.totals.total("preemptions") == anew.totals.total("preemptions")
    assert kept.totals.total("swapped_tokens") <= 24 * 160


def test_a_replica_that_dies_while_sequences_come_back_loses_none() -> None:
    from rooflab.simulator.serving.specs import Cluster, Failure

    dear = replace(BASE, swap_call_s_per_token=1e-3, swap_async=True, swap_reuse=True)
    for at in (0.5, 1.0, 1.7):
        result = run(WORK, Cluster(replicas=(dear, dear), failures=(Failure(0, at, at + 0.5),)))
        assert (result.records.status == 1).all()


def test_scenario_says_it() -> None:
    fields = {
        "model": "meta-llama/Llama-3.1-8B", "hardware": "a10",
        "workload": {"isl": 512, "osl": 128, "rate": "4/s", "requests": 200},
        "deployment": {
            "preemption": "swap", "swap": {"call": "5 us", "run_blocks": 8, "asynchronous": True},
            "rotation": {"steps": 25, "pattern": "markov"}, "kv_tiers": {"swap": "10 GB"},
        },
    }  # fmt: skip
    s = rl.load(fields)
    assert s.deployment.limits.swap is not None
    assert s.deployment.limits.swap.call_s == pytest.approx(5e-6)
    assert rl.simulate(s).metrics["requests_per_s"] > 0
    with pytest.raises(InputError, match="steps"):
        rl.load({**fields, "deployment": {"rotation": {"pattern": "random"}}})
