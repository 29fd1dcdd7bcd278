"""`rooflab simulate`: what it prints and writes. The engine has tests of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rooflab as rl
from rooflab.cli.main import run

ROOT = Path(__file__).resolve().parents[1]
CHAT = (str(ROOT / "examples" / "chat-70b.yaml"), "--tp", "4", "--weights", "fp8", "--requests", "300", "--quiet")


def test_text_answers_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", *CHAT]) == 0
    out = capsys.readouterr().out
    order = [
        out.index(word)
        for word in ("Llama-3.1-70B-Instruct on 8", "output tokens/s", "meets every target", "TTFT  ", "Load", "Cost")
    ]
    assert order == sorted(order)


def test_json_is_the_result_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", *CHAT, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    scenario = rl.load(CHAT[0]).with_deployment(tp=4, weights="fp8").with_workload(requests=300)
    assert record["metrics"] == rl.simulate(scenario).record()
    assert record["missed"] == []


def test_a_missed_target_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", *CHAT, "--slo", "tpot_p99=5ms", "--json"]) == 1
    assert [m["target"] for m in json.loads(capsys.readouterr().out)["missed"]] == ["tpot_p99"]


def test_requests_that_nobody_will_ever_serve_end_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    dead = ("--failures", "[{replica: 0, at: 5 s}]", "--autoscale", "{load: 8, startup: 10 s}", "--replicas", "1")
    assert run(["simulate", *CHAT, *dead, "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["metrics"]["complete"] is False
    assert "requests would wait for ever" in err
    assert run(["simulate", *CHAT, *dead]) == 1
    assert "stuck after" in capsys.readouterr().out


def test_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {"--records": "run.csv", "--timeline": "run.json", "--html": "run.html"}
    assert (
        run(["simulate", *CHAT, *(word for flag, name in names.items() for word in (flag, str(tmp_path / name)))]) == 0
    )
    assert len((tmp_path / "run.csv").read_text("utf-8").splitlines()) == 301
    assert json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert (tmp_path / "run.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--policy", "fifo"), "--policy: no policy called 'fifo'"),
        (("--router", "robin"), "--router: no router called 'robin'. Did you mean round-robin"),
        (("--scheduler", "vlm"), "--scheduler: no engine scheduler called 'vlm'. Did you mean vllm"),
        (("--records", "run.xls"), "run.xls: records are written as .csv, .jsonl or .parquet"),
        (("--timeline", "run.txt"), "--timeline: a timeline is written as .json"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", *CHAT, *arguments]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_saturation_lies_above_what_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", *CHAT, "--saturation", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rate"] > 4
