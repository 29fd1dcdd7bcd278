"""A plan's file: every command and the Python face take the deployment that was ranked, and only one that was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rooflab as rl
from rooflab.cli.main import run
from rooflab.errors import InputError
from rooflab.planner.result import Plan

FIELDS = {
    "model": "Qwen/Qwen2.5-7B-Instruct", "hardware": "2 x l40s",
    "workload": {"isl": 700, "osl": 200, "rate": "3/s", "requests": 300},
    "slo": {"ttft_p99": "1 s", "tpot_p99": "60 ms"},
}  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    folder = tmp_path_factory.mktemp("plan")
    (folder / "chat.json").write_text(json.dumps(FIELDS), encoding="utf-8")
    assert run(["plan", str(folder / "chat.json"), "--no-prove", "--out", str(folder / "plan.json"), "-q"]) == 0
    return folder / "plan.json", rl.plan(FIELDS, prove=False)


def test_a_choice_read_back_is_the_choice(kept: tuple[Path, Plan]) -> None:
    path, plan = kept
    for choice in plan.choices:
        again = rl.estimate(rl.load(path, choice=choice.rank))
        assert again.scenario.deployment == choice.deployment
        for name in ("ttft_s_p99", "usd_per_mtok"):  # alone or among others, sums end in other last digits
            assert again.metrics[name] == pytest.approx(choice.metrics[name], rel=1e-9)
    assert rl.load(path) == rl.load(path, choice=1)


def test_commands_take_the_choice(kept: tuple[Path, Plan], capsys: pytest.CaptureFixture[str]) -> None:
    path, plan = kept
    for command in ("estimate", "simulate"):
        assert run([command, str(path), "--choice", "2", "--json"]) == 0
        metrics = json.loads(capsys.readouterr().out)["metrics"]
        assert metrics["tpot_s_p99"] == pytest.approx(plan.choices[1].metrics["tpot_s_p99"], rel=0.1)
    assert run(["plan", str(path), "--choice", "2", "--emit", "vllm"]) == 0
    assert capsys.readouterr().out.strip() == plan.choices[1].launch_command("vllm")
    # flags win over the choice, as they do over a file
    assert run(["estimate", str(path), "--choice", "2", "--tp", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["deployment"]["tp"] == 2


def test_a_plan_is_planned_anew_from_what_was_asked(
    kept: tuple[Path, Plan], capsys: pytest.CaptureFixture[str]
) -> None:
    path, plan = kept
    assert run(["plan", str(path), "--no-prove", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again == json.loads(path.read_text(encoding="utf-8"))
    assert [c["label"] for c in again["choices"]] == [c.label for c in plan.choices]


def test_what_json_prints_is_a_plans_file(
    kept: tuple[Path, Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = kept
    run(["plan", str(path), "--no-prove", "--json"])
    (tmp_path / "printed.json").write_text(capsys.readouterr().out, encoding="utf-8")
    assert rl.load(tmp_path / "printed.json", choice=3) == rl.load(path, choice=3)


def test_choices_that_are_none(kept: tuple[Path, Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = kept
    assert run(["simulate", str(path), "--choice", "99"]) == 2
    assert "99 is not among the 8 ranked choices" in capsys.readouterr().err
    assert run(["simulate", str(path.with_name("chat.json")), "--choice", "2"]) == 2
    assert "only a plan has choices" in capsys.readouterr().err
    assert run(["plan", str(path), "--out", "plan.yaml"]) == 2
    assert "--out: a plan is written as .json" in capsys.readouterr().err
    none = tmp_path / "none.json"
    assert run(["plan", str(path), "--slo", "tpot_p99=1ms", "--no-prove", "--out", str(none), "-q"]) == 1
    capsys.readouterr()
    assert run(["estimate", str(none)]) == 2
    assert "no deployment met the targets of this plan" in capsys.readouterr().err
    for broken in ({"scenario": 3, "choices": []}, {"scenario": FIELDS, "choices": [7]}):
        with pytest.raises(InputError):
            rl.load(broken)
