"""The ceiling: free never hurts, halved is less than free, what is freed one at a time is less than what is freed
together, and nothing is gained where there is nothing."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scenarios import answer, scenarios

import rooflab as rl
from rooflab.cli.main import run
from rooflab.papers.compare import at_capacity
from rooflab.planner.answers import estimated, simulated
from rooflab.planner.ceiling import FREE, ceiling, gain_of
from rooflab.planner.filled import Filled
from rooflab.scenario.paid import WORK, Paid, paid, paying

EXAMPLES = Path(__file__).parents[1] / "examples"
TIMED = ("weight_reads", "kv_reads", "attention", "products", "communication", "host")
"""Works that are seconds of a step."""
SMALL = {"model": "meta-llama/Llama-3.1-8B", "hardware": "l40s", "workload": {"isl": 512, "osl": 128, "rate": "2/s"}}


def _scenario(**changes: object) -> rl.Scenario:
    return rl.load(SMALL | changes)


@pytest.fixture
def cli_run(capsys: pytest.CaptureFixture[str]):
    def call(*words: str) -> tuple[int, str]:
        status = run(words)
        return status, capsys.readouterr().out

    return call


@pytest.fixture(scope="module")
def chat():
    return ceiling(rl.load(EXAMPLES / "chat-70b.yaml"))


@settings(max_examples=25, deadline=None)
@given(scenarios(), st.sampled_from(("throughput", "tpot", "ttft", "joules", "grams")))
def test_free_never_hurts_and_halved_is_less(scenario, goal: str) -> None:
    answer(scenario)
    found = ceiling(scenario, goal)
    for w in found.works:
        assert 1.0 <= w.halved <= w.free <= found.together, w.work


@settings(max_examples=40, deadline=None)
@given(scenarios(("static", "max")), st.sampled_from(TIMED))
def test_an_engine_does_no_less_when_work_is_free(scenario, work: str) -> None:
    """Without the choice of paying as before: more is done in a second, halved or free."""
    now = answer(scenario).metrics["requests_per_s"]
    half, free = (estimated(scenario, {work: share})["requests_per_s"] for share in (0.5, FREE))
    assert now <= half * (1 + 1e-6)
    assert half <= free * (1 + 1e-6)


@settings(max_examples=40, deadline=None)
@given(scenarios(("static",)))
def test_what_is_freed_one_at_a_time_is_at_most_what_is_freed_together(scenario) -> None:
    """Seconds of a batch: what overlaps hides behind the others until they are free, too."""
    now = answer(scenario).metrics
    assume(now["max_running"] >= scenario.workload.batch)
    together = estimated(scenario, dict.fromkeys(TIMED, FREE))["e2e_s_mean"]
    freed = [now["e2e_s_mean"] - estimated(scenario, {w: FREE})["e2e_s_mean"] for w in TIMED]
    assert sum(freed) <= (now["e2e_s_mean"] - together) * (1 + 1e-4)


@settings(max_examples=25, deadline=None)
@given(scenarios(("static", "max")), st.lists(st.sampled_from(TIMED), min_size=2, max_size=2, unique=True))
def test_two_works_are_worth_at_least_each(scenario, pair: list[str]) -> None:
    answer(scenario)
    both = estimated(scenario, dict.fromkeys(pair, FREE))["requests_per_s"]
    assert all(estimated(scenario, {w: FREE})["requests_per_s"] <= both * (1 + 1e-6) for w in pair)


@pytest.mark.parametrize("goal", ["cost", "throughput", "ttft", "tpot", "joules", "grams"])
def test_one_device_has_nothing_to_send(goal: str) -> None:
    found = ceiling(_scenario(), goal)
    assert found["communication"].free == 1.0
    assert found["recomputation"].free == 1.0, "no prompt begins as another does, and memory is enough"
    for work in ("joules", "idle_power"):
        assert (found[work].free > 1.0) == (goal in ("joules", "grams"))
    if goal in ("cost", "throughput"):
        assert found["products"].free > 1.2


def test_recomputation_is_of_prompts_that_begin_alike() -> None:
    apart = _scenario(workload={"isl": 4096, "osl": 64, "rate": "1/s", "shared_prefix": 3072})
    again = apart.with_deployment(prefix_caching=False)
    assert ceiling(again, "ttft")["recomputation"].free > 2.0
    assert ceiling(apart, "ttft")["recomputation"].free == 1.0, "the prefix cache has them"
    base = estimated(again, {"recomputation": FREE})
    assert base["ttft_s_p50"] == pytest.approx(estimated(apart, {})["ttft_s_p50"], rel=0.01)


def test_waits_are_of_latencies_and_not_of_what_gets_done() -> None:
    busy = _scenario(workload={"isl": 2048, "osl": 128, "rate": "2/s"})
    found = ceiling(busy, "ttft")
    assert found["waiting"].free > 1.3
    assert ceiling(busy, "throughput")["waiting"].free == 1.0
    alone = estimated(busy.with_workload(rate=0.001), {})["ttft_s_p50"]
    assert estimated(busy, {"waiting": 0.0})["ttft_s_p50"] == pytest.approx(alone, rel=0.05)


def test_memory_holds_more_sequences() -> None:
    tight = _scenario(workload={"isl": 4096, "osl": 512, "scenario": "max-throughput"}, hardware="rtx-4090")
    found = ceiling(tight, "throughput")
    assert found["memory"].halved > 1.2
    now, half = (estimated(tight, {"memory": share})["max_running"] for share in (1.0, 0.5))
    assert half > 1.5 * now


def test_cost_is_planned_anew(chat) -> None:
    assert chat.how == "plan"
    assert all(1.0 <= w.halved <= w.free <= chat.together for w in chat.works)
    assert chat["weight_reads"].label, "what is cheap moves the best deployment"
    assert chat["products"].free > chat["weight_reads"].free > chat["kv_reads"].free
    assert chat.devices == 2


def test_the_load_within_the_targets_is_where_one_breaks(chat) -> None:
    for share, worst in ((0.99, 1.0), (1.02, math.inf)):
        e = rl.estimate(chat.scenario.with_workload(rate=chat.load * share).with_deployment(replicas=1))
        ratio = max(e.metrics[chat.scenario.slo.metric(key)] / limit for key, limit in chat.scenario.slo)
        assert (ratio <= 1.0) == (worst == 1.0), share


def test_engines_that_are_not_asked_again_would_not_have_won(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = rl.load(EXAMPLES / "chat-70b.yaml")
    few = Filled.of(scenario)
    monkeypatch.setattr(Filled, "_worth_asking", lambda self, _: list(range(len(self.engines))))
    every = Filled.of(scenario)
    assert len(every.engines) > 4 * len(few.engines)
    for work in ("weight_reads", "products", "communication", "waiting", "memory", "kv_reads"):
        assert few.found({work: FREE}).cost == pytest.approx(every.found({work: FREE}).cost, rel=1e-3), work


def test_what_is_impossible_says_what_would_make_it_possible() -> None:
    large = {"model": "meta-llama/Llama-3.1-70B", "hardware": "h100-sxm", "deployment": {"weights": "bf16", "tp": 1}}
    for goal in ("cost", "tpot"):
        found = ceiling(_scenario(**large), goal)
        assert found.why
        assert math.isinf(found["memory"].free)
        assert found["weight_reads"].free == 1.0
        json.dumps(found.record(), allow_nan=False)
    never = ceiling(_scenario(slo={"ttft_p99": "1 us"}))
    assert never.why == "nothing meets the targets, whatever the load"


@pytest.mark.parametrize(
    "load", [{"batch": 8}, {"concurrency": 16}, {"burst": 8}, {"scenario": "max-throughput"}, {"rate": "1/s"}]
)
def test_every_kind_of_load(load: dict[str, object]) -> None:
    scenario = _scenario(workload={"isl": 256, "osl": 64} | load)
    for goal in ("", "tpot"):
        found = ceiling(scenario, goal)
        assert math.isfinite(found.value)
        assert found["products"].free > 1.0


def test_simulations_see_the_same_prices() -> None:
    scenario = _scenario(workload={"isl": 512, "osl": 128, "rate": "3/s", "requests": 400})
    for work in ("weight_reads", "products", "host"):
        closed, events = (
            gain_of(f(scenario, {})["tpot_s_mean"], f(scenario, {work: FREE})["tpot_s_mean"], more=False)
            for f in (estimated, simulated)
        )
        assert events == pytest.approx(closed, rel=0.1), work
    now, free = (simulated(scenario, shares)["ttft_s_p99"] for shares in ({}, {"waiting": 0.0}))
    assert free < now


def test_a_trace(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(50, 2000, 300), rng.integers(10, 300, 300)
    rows = np.column_stack([np.cumsum(rng.exponential(0.5, 300)), *lengths])
    lines = ["arrived_at,num_prefill_tokens,num_decode_tokens", *(f"{t:.3f},{int(a)},{int(b)}" for t, a, b in rows)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    scenario = _scenario(workload={"trace": str(tmp_path / "t.csv")}, slo={"ttft_p99": "2 s"})
    assert ceiling(scenario)["products"].free > 1.2
    assert ceiling(scenario, "ttft", simulated=True)["products"].free > 1.2


def test_what_cannot_be_asked() -> None:
    scenario = _scenario()
    with pytest.raises(rl.InputError, match="Did you mean tpot"):
        ceiling(scenario, "tpots")
    with pytest.raises(rl.InputError, match="cost is that of a plan"):
        ceiling(scenario, "cost", simulated=True)
    roles = [{"role": "prefill", "replicas": 1}, {"role": "decode", "replicas": 1}]
    pools = _scenario(hardware="2 x l40s", deployment={"pools": roles})
    with pytest.raises(rl.InputError, match="leave pools out"):
        ceiling(pools)
    with pytest.raises(rl.InputError, match=r"host.*share from 0"), paying(host=2.0):
        pass
    with paying(host=0.5):
        assert paid() == Paid(host=0.5)
    assert paid() == Paid()


def test_without_a_price_throughput_is_the_objective() -> None:
    scenario = _scenario()
    device = replace(scenario.hardware.device, key="nobody-sells-it")
    found = ceiling(replace(scenario, hardware=replace(scenario.hardware, device=device, usd_per_device_hour=None)))
    assert found.objective.metric == "output_tokens_per_s_per_gpu"


def test_on_the_command_line(cli_run) -> None:
    began = time.monotonic()
    status, out = cli_run("ceiling", str(EXAMPLES / "chat-70b.yaml"))
    assert status == 0
    assert time.monotonic() - began < 8.0  # 2 s on the machine that it was written on
    assert "Nothing to gain from prompt recomputation, memory capacity, joules of the work or idle power" in out
    assert "promises 3 × by reading less cache gives you at most 1.01 ×" in out
    status, out = cli_run("ceiling", str(EXAMPLES / "chat-70b.yaml"), "--objective", "tpot", "--json")
    record = json.loads(out)
    assert {w["work"] for w in record["works"]} == set(WORK)
    assert record["objective"] == "tpot_s_p99"


def test_full_engines_are_asked_for_throughput() -> None:
    scenario = _scenario()
    assert ceiling(scenario, "throughput").value == pytest.approx(
        rl.estimate(at_capacity(scenario)).metrics["output_tokens_per_s_per_gpu"]
    )
