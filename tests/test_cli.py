"""The command line: answers, exit statuses, and one clear line for everything that a user can get wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rooflab.catalogue.hardware import KEYS
from rooflab.cli.commands.catalogue import KINDS
from rooflab.cli.main import COMMANDS, run
from rooflab.cli.scenario_flags import FLAGS
from rooflab.report.listings import LISTINGS
from rooflab.scenario.deployment import DEPLOYMENT_READERS
from rooflab.scenario.slo import SLO_KEYS
from rooflab.scenario.workload import WORKLOAD_READERS

ROOT = Path(__file__).resolve().parents[1]
CHAT = str(ROOT / "examples" / "chat-70b.yaml")
SMALL = ("--model", "Llama-3.1-8B", "--hardware", "h100-sxm")


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def metrics(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, float]:
    _, out, err = ask(capsys, "estimate", *arguments, "--json")
    assert err == ""
    found: dict[str, float] = json.loads(out)["metrics"]
    return found


def test_every_field_has_a_flag() -> None:
    flags = {flag.field for flag in FLAGS}
    assert {f"workload.{k}" for k in WORKLOAD_READERS} <= flags
    assert {f"deployment.{k}" for k in DEPLOYMENT_READERS} <= flags
    assert {f"hardware.{k}" for k in KEYS if k != "device"} <= flags
    assert len({flag.name for flag in FLAGS}) == len(FLAGS)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ask(capsys, "--help")
    assert status == 0
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ask(capsys, command, "--help")
    assert status == 0
    assert "Usage: rooflab" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("estimate", "none.yaml"), "none.yaml: no such file"),
        (("estimate",), "no model given"),
        (
            ("estimate", CHAT, "--hardware", "h100-smx"),
            "--hardware: no accelerator called 'h100-smx'. Did you mean h100-sxm",
        ),
        (("estimate", CHAT, "--model", "Llama-3.1-71B"), "--model: no model called 'Llama-3.1-71B'. Did you mean"),
        (("estimate", CHAT, "--tp", "3"), "--tp: 3 does not divide the 64 attention heads"),
        (("estimate", CHAT, "--tp", "x"), "--tp: 'x' is not a count"),
        (("estimate", CHAT, "--rate", "fast"), "--rate: 'fast' is not a rate (for example 4/s)"),
        (("estimate", CHAT, "--weights", "fp9"), "--weights: no number format called 'fp9'. Did you mean fp8"),
        (("estimate", CHAT, "--engine", "vlm"), "--engine: no engine called 'vlm'. Did you mean vllm"),
        (("estimate", CHAT, "--slo", "ttft"), "--slo: 'ttft' is not a target such as ttft_p99=1s"),
        (
            ("estimate", CHAT, "--slo", "ttft_p98=1s"),
            "--slo: no latency target called 'ttft_p98'. Did you mean ttft_p9",
        ),
        (("estimate", CHAT, "--speculation", "{tokens: "), "--speculation: not valid YAML"),
        (("estimate", CHAT, "--speculation", "{tokens: 3}"), "--speculation: speculation needs tokens and acceptance"),
        (("estimate", CHAT, "--technique", "splitwize"), "--technique[0]: no technique called 'splitwize'"),
        (("estimate", CHAT, "--tpp", "2"), "No such option '--tpp'"),
        (("estimate", "--batch", "none.jsonl"), "none.jsonl: no such file"),
        (("estimate", CHAT, "--batch", "-"), "--batch: excludes a SCENARIO file"),
        (("plan", CHAT, "--minimise", "usd"), "no objective called 'usd'"),
        (("plan", CHAT, "--emit", "vlm"), "--emit: no engine with a launch command called 'vlm'. Did you mean vllm"),
        (("plan", CHAT, "--emit", "vllm", "--choice", "99"), "--choice: 99 is not among the"),
        (("catalogue", "hardwear"), "no kind of facts called 'hardwear'. Did you mean hardware"),
        (("estimat", CHAT), "no command called 'estimat'. Did you mean estimate"),
        (("traces", "get", "azure"), "no trace called 'azure'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = ask(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("estimate", CHAT, "--hardware", "h100-sxm", "--tp", "1"), "does not fit"),
        (("estimate", CHAT, "--rate", "60/s"), "saturated"),
        (("estimate", CHAT, "--tp", "8", "--slo", "tpot_p99=1ms"), "misses TPOT p99"),
        (("plan", CHAT, "--slo", "tpot_p99=1ms", "--top", "1"), "TPOT p99"),
        (("catalogue", "hardware", "no-such-thing"), "no hardware with no-such-thing"),
    ],
)
def test_a_no_is_status_1(arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = ask(capsys, *arguments)
    assert status == 1
    assert says in " ".join((out + err).split())


def test_flags_win_over_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    flags = (
        "--model",
        "meta-llama/Llama-3.1-70B-Instruct",
        "--hardware",
        "8 x h100-sxm",
        "--isl",
        "1024",
        "--osl",
        "512",
        "--tp",
        "4",
    )
    assert metrics(capsys, CHAT, "--tp", "4") == metrics(
        capsys, *flags, "--rate", "4/s", "--slo", "ttft_p99=1s", "--slo", "tpot_p99=50ms"
    )
    closed = metrics(capsys, CHAT, "--tp", "4", "--concurrency", "8")
    assert closed["running"] == pytest.approx(8, rel=0.01)
    assert (
        metrics(capsys, CHAT, "--tp", "4", "--no-cuda-graphs")["tpot_s_mean"]
        > metrics(capsys, CHAT, "--tp", "4")["tpot_s_mean"]
    )


def test_hardware_of_a_file_can_be_changed_in_part(capsys: pytest.CaptureFixture[str]) -> None:
    plain, dear = (metrics(capsys, CHAT, "--tp", "4", *more) for more in ((), ("--price", "10")))
    assert dear["usd_per_hour"] == pytest.approx(80)
    assert dear["ttft_s_mean"] == plain["ttft_s_mean"]
    host = metrics(capsys, CHAT, "--tp", "4", "--hardware", "2 x dgx-h100", "--price", "1")
    assert host["usd_per_hour"] == pytest.approx(16)


def test_a_named_workload_brings_its_own_lengths(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ask(capsys, "estimate", CHAT, "--like", "azure-code", "--tp", "4", "--weights", "fp8")
    assert "azure-code" in out
    assert "1,024 in" not in out


def test_estimate_json_is_the_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ask(capsys, "estimate", *SMALL, "--concurrency", "16", "--json", "--breakdown")
    record = json.loads(out)
    assert status == 0
    assert record["deployment"]["engine"] == "vllm"
    assert record["metrics"]["bottleneck"] == "weights bandwidth"
    for phase in ("decode", "prefill"):
        assert sum(row["share"] for row in record["operators"] if row["phase"] == phase) == pytest.approx(1)


def test_several_scenarios_are_several_lines(capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(ROOT / "examples" / name) for name in ("bert.yaml", "vit.yaml")]
    _, out, _ = ask(capsys, "estimate", *paths, "--json")
    assert [json.loads(line)["model"] for line in out.splitlines()] == [
        "google-bert/bert-large-uncased",
        "google/vit-large-patch16-224",
    ]


def test_estimate_text_answers_first(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ask(capsys, "estimate", CHAT, "--tp", "4", "--weights", "fp8")
    order = [
        out.index(word)
        for word in (
            "Llama-3.1-70B-Instruct on 8",
            "wanted",
            "output tokens/s",
            "TTFT  ",
            "Why",
            "Limit",
            "Memory",
            "Cost",
            "Trust",
        )
    ]
    assert order == sorted(order)
    assert "meets every target" in out


def test_plan_json_has_ranked_choices(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ask(capsys, "plan", CHAT, "--top", "3", "--json")
    choices = json.loads(out)["choices"]
    assert status == 0
    assert [c["rank"] for c in choices] == [1, 2, 3]
    assert all(c["metrics"]["tpot_s_p99"] <= 0.05 for c in choices)


def test_an_engine_without_a_launch_command_is_refused_before_the_plan(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rooflab.api.plan", None)
    assert ask(capsys, "plan", CHAT, "--emit", "vlm")[0] == 2


def test_plan_emits_the_model_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ask(capsys, "plan", CHAT, "--emit", "vllm")
    assert "vllm serve meta-llama/Llama-3.1-70B-Instruct" in out


def test_plan_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "plan.html"
    assert ask(capsys, "plan", CHAT, "--html", str(page), "--quiet")[0] == 0
    assert page.read_text("utf-8").startswith("<!")


@pytest.mark.parametrize("kind", list(LISTINGS))
def test_catalogue_lists_with_sources(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ask(capsys, "catalogue", kind, "--json")
    rows = json.loads(out)
    assert status == 0
    assert len(rows) >= 7
    assert kind == "metrics" or all(row.get("sources") or row.get("source") for row in rows)
    assert ask(capsys, "catalogue", kind)[1].count("\n") >= len(rows)
    assert len(ask(capsys, "catalogue", kind, "--quiet")[1].splitlines()) == len(rows)


def test_catalogue_kinds_are_the_listings() -> None:
    assert tuple(LISTINGS) == KINDS


def test_catalogue_shows_a_model_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shape = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
             "num_attention_heads": 4, "vocab_size": 1000}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(shape))
    for path in (tmp_path, tmp_path / "config.json"):
        status, out, _ = ask(capsys, "catalogue", "models", str(path), "--json")
        assert (status, [row["params"] for row in json.loads(out)]) == (0, [210_240])


def test_catalogue_words_filter(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = ask(capsys, "catalogue", "hardware", "NVIDIA", "hopper", "--quiet")
    assert "h200-sxm" in out
    assert "a100" not in out


def test_slo_keys_work_as_flags(capsys: pytest.CaptureFixture[str]) -> None:
    for key in SLO_KEYS:
        assert ask(capsys, "estimate", *SMALL, "--concurrency", "2", "--slo", f"{key}=100s", "--json")[0] == 0


def test_ctrl_c_is_status_130(tmp_path: Path) -> None:
    """An interrupted batch ends with a word and no traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rooflab", "estimate", "--batch", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write('{"model": "Llama-3.1-8B"}\n')
    process.stdin.flush()
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    error = process.stderr.read()
    process.stdin.close()
    process.stderr.close()
    assert error.strip() == "interrupted"


def test_a_closed_pipe_is_quiet() -> None:
    done = subprocess.run(
        f"{sys.executable} -m rooflab catalogue models --json | head -c 100", shell=True, capture_output=True,
        text=True, check=True,
        env=os.environ,
    )  # fmt: skip
    assert done.stderr == ""


def test_too_little_memory_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill(*args: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 7.28 TiB")

    monkeypatch.setattr("rooflab.cli.main.cli.main", fill)
    assert run(["simulate"]) == 2
    assert capsys.readouterr().err == "not enough memory (Unable to allocate 7.28 TiB)\n"
