"""The two forms of the step price are one: `StepCosts.step`, over arrays, and `price` of the compiled loop.

They add the same terms and read the same piecewise linear tables, one at the grid's points and one at every token
count, so they differ by rounding alone: by 6e-16 at most in 2,500 examples.  1e-12 leaves room for sums that cancel.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scenarios import DEVICES, MODELS

import rooflab as rl
from rooflab.costs.compile import compile_steps
from rooflab.costs.step import StepCost
from rooflab.deploy.complete import complete_deployment
from rooflab.errors import InputError
from rooflab.simulator.serving.build import Options, build, lanes_of
from rooflab.simulator.serving.compiled import entry
from rooflab.simulator.serving.price import price
from rooflab.simulator.serving.rows import Rep
from rooflab.simulator.serving.run import Simulation  # tells the compiler about Sim
from rooflab.simulator.serving.specs import Cluster, Replica
from rooflab.simulator.serving.state import Sim
from rooflab.simulator.work.requests import make_requests

TOLERANCE = 1e-12
BIG_HOST = [{"name": "dram", "size": "2 TB", "bandwidth": "300 GB/s"}]
NOBODY = make_requests([0.0], [1], [1])
MOST_TOKENS = 40_000
"""Beyond what the loop's tables hold one by one."""


@entry
def priced(sim: Sim) -> None:
    price(sim, 0)


@st.composite
def deployments(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a scenario: a model of any kind on any device, cut, formatted, speculating, overlapping, offloaded."""
    tp, pp, dp = draw(st.sampled_from([(1, 1, 1), (2, 1, 1), (4, 2, 1), (8, 1, 1), (1, 4, 1), (2, 1, 2)]))
    deployment: dict[str, Any] = {
        "engine": draw(st.sampled_from(("vllm", "sglang", "trtllm", "ideal"))), "tp": tp, "pp": pp, "dp": dp,
        "replicas": 1, "weights": draw(st.sampled_from((None, "fp8", "int4"))),
        "kv": draw(st.sampled_from((None, "fp8"))), "host": draw(st.sampled_from(("fast", "slow"))),
    }  # fmt: skip
    if draw(st.booleans()):
        deployment["speculation"] = {"tokens": draw(st.integers(1, 5)), "acceptance": 0.7}
    if draw(st.booleans()):
        deployment["overlap"] = {"attention": draw(st.floats(0, 1)), "comm": draw(st.floats(0, 1))}
    offload = draw(st.sampled_from((None, {"weights": "dram"}, {"weights": "dram", "kv": "dram", "attention": "cpu"})))
    if offload:
        deployment["offload"] = offload
    return {
        "model": draw(st.sampled_from(MODELS)),
        "hardware": {"device": draw(st.sampled_from(DEVICES)), "count": tp * pp * dp, "tiers": BIG_HOST},
        "workload": {"isl": 500, "osl": 100, "scenario": "max-throughput"},
        "deployment": {name: value for name, value in deployment.items() if value is not None},
    }  # fmt: skip


@st.composite
def steps(draw: st.DrawFn) -> dict[str, int]:
    """Decoding sequences with some context, prompts that advance, both, on either side of any window."""
    n = draw(st.sampled_from((0, 1, 3, 40, 1000)))
    context = n * draw(st.integers(1, 20_000)) + draw(st.integers(0, max(n - 1, 0)))
    prompts = draw(st.sampled_from((0, 1, 4))) if n else 1
    tokens = draw(st.integers(prompts, MOST_TOKENS)) if prompts else 0
    before = draw(st.integers(0, 10_000))
    area = tokens * before + tokens * (tokens + 1) // 2
    return {"n_decode": n, "context": context, "n_prefill": prompts, "prefill_tokens": tokens, "area": area}


@cache
def cost_of(fields: str, limit: float | None) -> StepCost | None:
    """The step price of a scenario under a power limit (a share of the device's); None when the pieces do not go
    together."""
    try:
        asked = rl.load(eval(fields))
        machine = asked.hardware
        if limit is not None:
            machine = replace(machine, power_limit_w=limit * machine.device.tdp_w)
        deployment = complete_deployment(asked.model, machine, asked.deployment, 600.0, 0.0)
        return compile_steps(asked.model, machine, [deployment])[0]
    except InputError:
        return None


def state_of(cost: StepCost) -> Sim:
    replica = Replica(step_cost=cost, max_num_seqs=1024, max_num_batched_tokens=MOST_TOKENS)
    return build(NOBODY, Cluster(replicas=(replica,)), lanes_of([replica]), Options())


def price_of(sim: Sim, step: dict[str, Any]) -> Rep:
    """The loop's price of a step, on the row of the replica that takes it."""
    rep = sim.reps[0]
    rep.n_step, rep.context = step["n_decode"], step["context"]
    rep.n_priced, rep.context_priced = rep.n_step, rep.context  # no contiguous caches: what runs is what is computed
    rep.n_chunks, rep.chunk_tokens, rep.area = step["n_prefill"], step["prefill_tokens"], step["area"]
    rep.step_s = 1e3 if rep.n_step > 0 else 0.0  # a step before it that hides the launches of its prompts
    priced(sim)
    return rep


def joules_of(cost: StepCost, rep: Rep) -> float:
    return rep.step_j + cost.scalar("idle_w") * rep.step_s


@given(deployments(), st.sampled_from((None, None, 0.4)), steps(), st.floats(0, 1))
@settings(max_examples=150)
def test_both_forms_price_a_step_alike(
    fields: dict[str, Any], limit: float | None, step: dict[str, int], share: float
) -> None:
    cost = cost_of(repr(fields), limit)
    assume(cost is not None)
    assert cost is not None
    want = cost.step(**step)
    sim = state_of(cost)
    rep = price_of(sim, step)
    assert rep.step_s == pytest.approx(float(want.seconds[0]), rel=TOLERANCE)
    assert joules_of(cost, rep) == pytest.approx(float(want.joules[0]), rel=TOLERANCE)
    # and the slope holds as far as the price says
    if step["n_decode"] > 0:
        further = share * min(rep.room, 1000.0 * step["n_decode"])
        later = cost.step(**step | {"context": step["context"] + further})
        assert rep.step_s + further * rep.slope_s == pytest.approx(float(later.seconds[0]), rel=TOLERANCE)
        ahead_j = joules_of(cost, rep) + further * (rep.slope_j + cost.scalar("idle_w") * rep.slope_s)
        assert ahead_j == pytest.approx(float(later.joules[0]), rel=TOLERANCE)
    assert np.isfinite([rep.step_s, rep.slope_s, rep.step_j, rep.slope_j]).all()


def test_a_lower_clock_stretches_the_device_alone() -> None:
    cost = cost_of(repr({"model": MODELS[0], "hardware": "h100-sxm", "workload": {"batch": 1}}), None)
    assert cost is not None
    step = {"n_decode": 8, "context": 8000, "n_prefill": 1, "prefill_tokens": 200, "area": 20_100}
    sim = state_of(cost)
    at_once = price_of(sim, step).step_s
    sim.reps[0].slow = 3.0
    host_s = float(cost.step(**step).host_s[0])
    assert price_of(sim, step).step_s == pytest.approx(3 * (at_once - host_s) + host_s, rel=TOLERANCE)


def test_the_state_is_that_of_a_simulation() -> None:
    cost = cost_of(repr({"model": MODELS[0], "hardware": "h100-sxm", "workload": {"batch": 1}}), None)
    assert cost is not None
    assert type(Simulation(NOBODY, Replica(step_cost=cost))._sim) is Sim
