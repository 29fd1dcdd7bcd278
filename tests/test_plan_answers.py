"""What a plan says: the order as simulated, twins told apart, the figure that decides, the nearest of a no."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

import rooflab as rl
from rooflab.planner.order import as_simulated
from rooflab.planner.proof import Proof
from rooflab.planner.result import Plan
from rooflab.planner.search import plan
from rooflab.planner.space import engine_shape
from rooflab.report.text.plan import show_plan

CHAT: dict[str, Any] = {
    "model": "Qwen/Qwen2.5-7B-Instruct", "hardware": "2 x l40s",
    "workload": {"isl": 700, "osl": 200, "rate": "3/s", "requests": 500},
    "slo": {"ttft_p99": "1 s", "tpot_p99": "60 ms"},
}  # fmt: skip


def text_of(p: Plan) -> str:
    out = StringIO()
    show_plan(p, Console(file=out, width=120, highlight=False))
    return " ".join(out.getvalue().split())


@pytest.fixture(scope="module")
def chat() -> Plan:
    return rl.plan(CHAT)


def test_costs_below_a_dollar_are_in_order_too(chat: Plan) -> None:
    target, base = chat.objective, chat.scenario
    given = [c.deployment for c in chat.choices[:3]]
    same = [d.changed(weights=None, kv=None) for d in given]
    for dearest_first in ((1.4, 0.7, 0.2), (40.0, 4.0, 0.4)):
        found = {
            d.changed(max_num_seqs=i + 1): Proof(10, 10, {target.metric: usd}, {})
            for i, (d, usd) in enumerate(zip(same, dearest_first, strict=True))
        }
        order = [d.limits.max_num_seqs for d in as_simulated(base, found, target)]
        assert order == [3, 2, 1]


def test_what_costs_the_same_keeps_the_checkpoint(chat: Plan) -> None:
    best = chat.best
    assert best is not None
    assert best.quality == "as the checkpoint"
    assert best.metrics["usd_per_mtok"] <= 1.03 * min(c.metrics["usd_per_mtok"] for c in chat.choices)


def test_choices_differ_in_more_than_a_count(chat: Plan) -> None:
    assert len({engine_shape(c.deployment) for c in chat.choices}) == len(chat.choices)
    assert len({c.label for c in chat.choices}) == len(chat.choices)


def test_the_reasons_are_those_of_the_first_and_name_no_twin(chat: Plan) -> None:
    best = chat.best
    assert best is not None
    assert not any(line.startswith("against 1") for line in best.why)
    assert all(c.why[0].startswith("against 1") for c in chat.choices[1:])
    # TensorRT-LLM takes an fp8 cache by itself: asked for or not, it is the same deployment
    p = plan(rl.load({**CHAT, "deployment": {"engine": "trtllm", "weights": "fp8"}}))
    assert p.best is not None
    assert "fp8 + fp8 KV" in p.best.label
    assert not any("equal" in line and line.startswith("fp8 + fp8 KV TP1:") for line in p.best.why)


def test_trust_is_of_the_target_nearest_its_limit(chat: Plan) -> None:
    best = chat.best
    assert best is not None
    assert best.tightest is not None
    key, value, limit = best.tightest
    assert (key, limit) == ("tpot_p99", 0.06)
    assert best.proof is not None
    assert value == best.proof.metrics["tpot_s_p99"]
    text = text_of(chat)
    assert "TPOT p99 decides:" in text
    assert "in nine of ten cases" in text
    close = replace(CHAT_SLOW, slo=rl.load({**CHAT, "slo": {"tpot_p99": "34 ms"}}).slo)
    assert "measure before you rely on 34 ms" in text_of(rl.plan(close, top=1))


CHAT_SLOW = rl.load({**CHAT, "deployment": {"engine": "vllm", "weights": "bf16", "kv": "bf16", "tp": 1}})


def test_a_no_in_simulation_names_the_nearest_the_target_and_what_would_do() -> None:
    p = rl.plan(replace(CHAT_SLOW, slo=rl.load({**CHAT, "slo": {"tpot_p99": "20 ms"}}).slo))
    assert p.best is None
    assert "TPOT p99" in p.message
    assert "above 20 ms" in p.message or "against 20 ms" in p.message
    assert "What would do: TPOT p99 ≤" in p.message


def test_a_full_engine_is_not_said_to_serve_all_of_what_arrives() -> None:
    p = rl.plan({**CHAT, "hardware": "l40s", "workload": {**CHAT["workload"], "rate": "25/s"}}, prove=False)
    for one in p.rejected:
        served, of, arrive = one.reason.partition(" of ")
        if served.startswith("serves "):
            assert not of or served.removeprefix("serves ") != arrive.split(" ")[0]


def test_a_tail_that_the_closed_form_alone_sees_is_no_reason_for_a_no() -> None:
    idle = {
        "model": "Qwen/Qwen2.5-7B-Instruct", "hardware": "rtx-4090", "slo": {"ttft_p99": "0.7 s", "tpot_p99": "26 ms"},
        "workload": {"isl": "162..651", "osl": "9..36", "rate": "0.061/s", "requests": 1000},
        "deployment": {"engine": "vllm"},
    }  # fmt: skip
    p = rl.plan(idle)
    assert p.best is not None
    assert p.best.proof is not None
    assert p.best.proof.holds
    assert not any(r.reason.startswith("TPOT p99") for r in p.rejected)


def test_a_card_at_home_runs_four_bits_before_half_on_the_cpu() -> None:
    p = rl.plan(
        {"model": "Qwen2.5-32B", "hardware": "rtx-4000-ada", "workload": {"isl": 500, "osl": 60, "concurrency": 1}}
    )
    assert p.best is not None
    assert p.best.deployment.runtime.engine == "llamacpp"
    assert "weights" in p.best.quality
    assert p.best.metrics["tpot_s_mean"] < 0.1
    assert "llama-server" in p.best.launch_command()
    small = rl.plan(
        {"model": "Llama-3.1-8B", "hardware": "rx-7900-xt", "workload": {"isl": 500, "osl": 60, "concurrency": 1}}
    )
    assert "llamacpp" in {c.deployment.runtime.engine for c in small.choices}


def test_a_first_choice_in_doubt_is_simulated_until_there_is_none() -> None:
    assert not Proof(10, 10, {}, {}, over=0.7, reach=0.9).doubtful
    assert Proof(10, 10, {}, {}, over=0.8, reach=1.1).doubtful
    assert Proof(10, 9, {}, {}, over=0.5, reach=1.9).doubtful
    assert not Proof(10, 8, {}, {}, over=0.5, reach=1.9).doubtful
    assert Proof(30, 29, {}, {}).holds
    assert not Proof(30, 28, {}, {}).holds
    close = rl.plan(replace(CHAT_SLOW, slo=rl.load({**CHAT, "slo": {"tpot_p99": "26 ms"}}).slo), top=1)
    if close.best is not None:
        assert close.best.proof is not None
        assert not close.best.proof.doubtful


def test_the_nearest_of_a_no_carries_the_load() -> None:
    p = plan(
        rl.load(
            {
                "model": "gpt-oss-20b", "hardware": "2 x a100-sxm-80gb", "deployment": {"engine": "vllm"},
                "workload": {"isl": 1500, "osl": 300, "rate": "9/s"}, "slo": {"ttft_p99": "300 ms", "tpot_p99": "9 ms"},
            }
        ),
        explain=False,
    )  # fmt: skip
    assert p.best is None
    assert "above 9 ms" in p.message or "above 300 ms" in p.message
