"""Pools, speculation and memory of the host beside a plan's choices: priced, proven, chosen, launched, or refused by
name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import rooflab as rl
from rooflab.cli.main import run
from rooflab.deploy.pools import pool_parts
from rooflab.launch.command import launch_command
from rooflab.planner.result import Plan
from rooflab.scenario.slo import SLO

ASKED: dict[str, Any] = {
    "model": "Llama-3.1-8B", "hardware": "4 x h100-sxm", "workload": {"isl": 6000, "osl": 200, "rate": "10/s"},
    "slo": {"ttft_p99": "1 s", "tpot_p99": "12 ms"}, "deployment": {"engine": "vllm"},
}  # fmt: skip


@pytest.fixture(scope="module")
def planned() -> Plan:
    return rl.plan(ASKED, explain=False, top=2, space=("pools", "speculation"))


def test_what_stands_beside_holds_in_simulation_and_is_numbered_behind_the_choices(planned: Plan) -> None:
    assert {c.beside.space for c in planned.beside if c.beside} == {"pools", "speculation"}
    assert [c.rank for c in planned.ranked] == list(range(1, len(planned.ranked) + 1))
    for c in planned.beside:
        assert c.proof is not None
        assert c.proof.holds
        assert c.devices <= 4
        assert c.beside is not None
        if planned.best is not None:
            assert c.beside.gain == pytest.approx(planned.best.seen["usd_per_mtok"] / c.seen["usd_per_mtok"])


def test_drafts_say_what_they_assume_and_whether_the_low_end_holds(planned: Plan) -> None:
    rows = [c for c in planned.beside if c.beside and c.beside.space == "speculation"]
    assert rows
    for c in rows:
        assert c.beside is not None
        a = c.beside.assumed
        assert a is not None
        assert a.low < a.value < a.high
        assert a.source
        assert c.deployment.runtime.speculation is not None
        assert c.deployment.runtime.speculation.acceptance == a.value
        low = rl.simulate({**ASKED, "deployment": c.record()["deployment"]}, seed=3)
        assert low.metrics["tpot_s_p99"] <= 1.1 * 0.012


def test_what_is_written_runs_again_under_its_number(planned: Plan, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(planned.file(rl.load(ASKED))))
    for c in planned.beside:
        scenario = rl.load(file, choice=c.rank)
        seen = rl.simulate(scenario)
        assert all(seen.metrics[SLO.metric(key)] <= 1.1 * limit for key, limit in scenario.slo), c.label


def test_pools_are_launched_with_their_engines_own_flags(
    planned: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(planned.file(rl.load(ASKED))))
    pools = next(c for c in planned.beside if c.beside and c.beside.space == "pools")
    engines = sum(p.replicas for p in pools.deployment.cluster.pools)
    assert run(["plan", str(file), "--choice", str(pools.rank), "--emit", "vllm"]) == 0
    said = capsys.readouterr().out
    assert said.count("NixlConnector") == said.count("vllm serve") == engines
    assert "--prefiller-hosts" in said
    assert run(["plan", str(file), "--choice", str(pools.rank), "--emit", "kubernetes"]) == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    sets = [d for d in documents if d["kind"] == "StatefulSet"]
    assert sum(d["spec"]["replicas"] for d in sets) == engines
    assert {d["metadata"]["labels"]["role"] for d in sets} == {"prefill", "decode"}


def test_a_page_lists_and_launches_what_stands_beside(planned: Plan) -> None:
    from rooflab.report.pages.plan import plan_page

    pools = next(c for c in planned.beside if c.beside and c.beside.space == "pools")
    html = plan_page(planned, pools)
    assert "(pools)" in html
    assert "(speculation)" in html
    assert "NixlConnector" in html


def test_sglang_pools_have_a_bootstrap_port_each() -> None:
    pools = [{"role": "prefill", "replicas": 2, "tp": 1}, {"role": "decode", "replicas": 1, "tp": 2}]
    scenario = rl.load({**ASKED, "deployment": {"engine": "sglang", "pools": pools}})
    said = launch_command(scenario, parts=pool_parts(scenario))
    assert "--disaggregation-mode prefill" in said.replace("\n", " ")
    assert "8998 &" in said
    assert "8999 &" in said
    assert "--prefill http://127.0.0.1:8101 8999" in said


def test_the_host_keeps_prefixes_or_weights_where_asked() -> None:
    asked = {
        "model": "Qwen3-32B", "hardware": "rtx-4090", "workload": {"isl": 500, "osl": 100, "concurrency": 1},
        "deployment": {"engine": "vllm"},
    }  # fmt: skip
    plan = rl.plan(asked, explain=False, space=("offload",))
    assert not plan.choices
    assert plan.beside
    assert "--cpu-offload-gb" in plan.beside[0].launch_command()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--space", "speculation", "--engine", "llamacpp"), "--space: no drafts of llamacpp are planned"),
        (("--space", "offload", "--engine", "trtllm"), "--space: no memory of the host is planned for trtllm"),
        (("--space", "pool"), "--space: no space called 'pool'. Did you mean pools"),
        (("--space", "pools"), "--space: pools take 2 devices at least"),
        (("--space", "pools", "--engine", "trtllm"), "--space: no pools of trtllm are priced"),
    ],
)
def test_what_is_not_searched_is_refused_before_the_plan(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rooflab.api.plan", None)
    assert run(["plan", "--model", "Llama-3.1-8B", "--hardware", "h100-sxm", "--rate", "1/s", *arguments]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--hardware", "h100-sxm", "--slo", "tpot_p99=3ms"), "Not tried: speculation (--space speculation)"),
        (("--hardware", "2 x h100-sxm", "--slo", "tpot_p99=3ms"), "--space pools --space speculation"),
        (("--hardware", "h100-sxm", "--slo", "tpot_p99=0.5ms"), ""),
    ],
)
def test_nothing_will_do_names_the_spaces_that_may(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--model", "Llama-3.1-8B", "--isl", "1000", "--osl", "200", "--rate", "1/s", "--no-prove"]
    assert run(["plan", *asked, *arguments]) == 1
    said = capsys.readouterr().out
    assert says in said
    assert bool(says) == ("Not tried" in said)
