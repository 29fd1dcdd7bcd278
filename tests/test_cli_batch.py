"""`estimate --batch`: the same answers as one by one, in order, with errors in their place."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

import rooflab as rl
from rooflab.cli.batch import ScenarioReader, estimate_lines
from rooflab.cli.main import run
from rooflab.cli.scenario_options import Given


def lines(*scenarios: object) -> list[str]:
    return [json.dumps(s) + "\n" for s in scenarios]


def answers(source: list[str], reader: ScenarioReader | None = None) -> list[dict[str, object]]:
    return [json.loads(text) for block, _ in estimate_lines(source, reader or ScenarioReader()) for text in block]


def varied() -> list[dict[str, object]]:
    out: list[dict[str, object]] = []
    for i, model in enumerate(("Llama-3.1-8B", "Qwen3-30B-A3B", "t5-large", "bert-large", "Llama-3.1-70B")):
        for workload in (
            {"rate": 2}, {"concurrency": 16}, {"batch": 4}, {"scenario": "max-throughput"}, {"rate": 500}, {"burst": 9},
        ):  # fmt: skip
            out.append(
                {"model": model, "hardware": "2 x h100-sxm", "workload": {"isl": 300 + i, "osl": 100, **workload}}
            )
    return out


def test_a_batch_says_what_single_estimates_say() -> None:
    scenarios = varied()
    single = rl.estimate_many([rl.load(fields) for fields in scenarios])
    for one, answer in zip(single, answers(lines(*scenarios)), strict=True):
        if isinstance(one, rl.RooflabError):
            assert answer == {"error": str(one)}
            continue
        record = one.record()
        assert list(answer) == list(record)
        for name, value in record.items():
            assert answer[name] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), name


def test_errors_stand_in_their_place() -> None:
    good = {"model": "Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"concurrency": 4}}
    source = [
        *lines(
            good,
            {**good, "hardware": "h100-smx"},
            {**good, "model": "Llama-3.1-405B"},
            {**good, "deployment": {"tp": 3}},
            [1],
        ),
        "not json\n",
        "\n",
        *lines({**good, "name": "last"}),
    ]
    found = answers(source)
    assert len(found) == 7
    assert [("error" in a) for a in found] == [False, True, True, True, True, True, False]
    assert "Did you mean h100-sxm" in str(found[1]["error"])
    assert "does not fit" in str(found[2]["error"])
    assert str(found[3]["error"]).startswith("deployment.tp: ")
    assert "expected the fields" in str(found[4]["error"])
    assert "not valid JSON" in str(found[5]["error"])
    assert found[6]["name"] == "last"


def test_equal_parts_are_read_once() -> None:
    reader = ScenarioReader()
    a, b = (
        reader.line(text)
        for text in lines(*[{"model": "Llama-3.1-8B", "hardware": {"device": "h100-sxm", "count": 2}}] * 2)
    )
    assert isinstance(a, rl.Scenario)
    assert isinstance(b, rl.Scenario)
    assert a.hardware is b.hardware
    assert a.model is b.model


def test_flags_win_over_lines() -> None:
    reader = ScenarioReader(Given("", {"workload.concurrency": "1"}, {"workload.concurrency": "--concurrency"}))
    source = lines(*[{"model": "Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"rate": r}} for r in (1, 2)])
    first, second = answers(source, reader)
    assert first == second
    assert first["running"] == pytest.approx(1, rel=0.01)


def test_paths_are_relative_to_the_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 1024, "intermediate_size": 2048,
        "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 8, "vocab_size": 1000,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    batch = tmp_path / "b.jsonl"
    batch.write_text("".join(lines({"model": "config.json", "hardware": "h100-sxm", "workload": {"batch": 1}})))
    assert run(["estimate", "--batch", str(batch)]) == 0
    assert json.loads(capsys.readouterr().out)["requests_per_s"] > 0


def test_stdin_and_the_count_of_errors(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"model": "x"}\n'))
    assert run(["estimate", "--batch", "-"]) == 0
    out, err = capsys.readouterr()
    assert "error" in json.loads(out)
    assert err == "1 of 1 scenarios have no estimate; the line of each says why\n"


def test_a_later_slice_does_not_change_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    source = lines(*varied())
    whole = answers(source)
    monkeypatch.setattr("rooflab.cli.batch.SLICE", 7)
    assert answers(source) == whole
