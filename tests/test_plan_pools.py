"""Pools for prompts and for answers beside a plan's choices: priced, proven, or refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest

import rooflab as rl
from rooflab.cli.main import run
from rooflab.planner.pools import Pooled, plan_with_pools
from rooflab.planner.result import Plan
from rooflab.scenario.slo import SLO

ASKED: dict[str, Any] = {
    "model": "Llama-3.1-8B", "hardware": "4 x h100-sxm", "workload": {"isl": 4000, "osl": 200, "rate": "10/s"},
    "slo": {"ttft_p99": "1 s", "tpot_p99": "20 ms"}, "deployment": {"engine": "vllm"},
}  # fmt: skip


@pytest.fixture(scope="module")
def planned() -> tuple[Plan, list[Pooled]]:
    scenario = rl.load(ASKED)
    plan = rl.plan(scenario, explain=False, top=2)
    return plan, plan_with_pools(scenario, plan, top=2)


def test_pools_hold_in_simulation_and_are_compared_with_the_first_choice(planned: tuple[Plan, list[Pooled]]) -> None:
    plan, pools = planned
    assert pools
    assert plan.best is not None
    for p in pools:
        assert p.proof is not None
        assert p.proof.holds
        d = p.estimate.scenario.deployment
        assert sum((x.tp or 1) * x.replicas for x in d.cluster.pools) <= 4
        assert p.gain == pytest.approx(plan.best.seen["usd_per_mtok"] / p.seen["usd_per_mtok"])
        assert "prefill" in p.label
        assert "decode" in p.label
    gains = [p.gain for p in pools]
    assert gains == sorted(gains, reverse=True)


def test_what_is_written_runs_again(planned: tuple[Plan, list[Pooled]]) -> None:
    record = planned[1][0].record()
    seen = rl.simulate({**ASKED, "deployment": record["deployment"]})
    limits = rl.load(ASKED).slo
    assert all(seen.metrics[SLO.metric(key)] <= 1.1 * limit for key, limit in limits)
    assert record["gain"] is None or math.isfinite(record["gain"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--space", "speculation"), "--space: speculation is no dimension: how many drafts are accepted"),
        (("--space", "offload"), "--space: offload is no dimension"),
        (("--space", "pool"), "--space: no space called 'pool'. Did you mean pools"),
        (("--space", "pools", "--engine", "trtllm"), "--space: no pools of trtllm are priced"),
    ],
)
def test_what_is_not_searched_is_refused_before_the_plan(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rooflab.api.plan", None)
    assert run(["plan", "--model", "Llama-3.1-8B", "--hardware", "h100-sxm", "--rate", "1/s", *arguments]) == 2
    assert says in capsys.readouterr().err
