"""The calibration file: what it holds, what a reader refuses, what a second calibration keeps; what rows cannot
identify."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rooflab.cli.main import run
from rooflab.costs.engine_constants import active, read_calibration, shipped, using
from rooflab.errors import InputError
from rooflab.evidence.calibrate.calibrate import Calibration, calibrate, fit_rows
from rooflab.evidence.fit.serving import with_engine
from rooflab.evidence.rows.predict import predict
from rooflab.evidence.rows.tables import read_table

ROOT = Path(__file__).resolve().parents[1]
ROWS = ROOT / "examples" / "cluster-rows.csv"
ENGINE = "vllm@2025/dense"


def runs(**changes: list[str]) -> list[dict[str, str]]:
    """The first of the example's rows, with columns changed: a row a value."""
    first = dict(read_table(ROWS).rows[0])
    n = len(next(iter(changes.values())))
    return [{**first, "id": str(i), **{k: v[i] for k, v in changes.items()}} for i in range(n)]


def with_constants(rows: list[dict[str, str]], **constants: float) -> Calibration:
    """The calibration of rows that an engine with other constants would give."""
    with using(with_engine(ENGINE, constants)):
        values = predict([a.question for a in fit_rows(rows)[0]])
    return calibrate(
        fit_rows([{**r, "value": repr(float(v))} for r, v in zip(rows, values, strict=True)])[0], "2026-11-25"
    )


def test_rows_at_one_load_cannot_tell_what_grows_with_it() -> None:
    fixed_s = shipped().engines[ENGINE].fixed_s
    lengths = [str(x) for x in (256, 300, 340, 400)]
    found = with_constants(runs(isl=lengths, osl=lengths, batch_or_concurrency=["16"] * 4), fixed_s=fixed_s + 5e-3)
    (stage,) = found.stages
    constants = {c.name: c for c in stage.constants}
    alike = ("fixed_s", "layer_s", "sequence_s")
    told = [n for n in alike if constants[n].fitted]
    assert len(told) == 1, "of three constants with one effect one is fitted"
    for name in set(alike) - set(told):
        assert constants[name].refused == f"the rows cannot tell it from {told[0]}"
        assert name in constants[told[0]].stands_for


def test_loads_apart_tell_what_grows_with_them() -> None:
    loads = ["1", "4", "16", "64", "128", "256"]
    more = shipped().engines[ENGINE].sequence_s + 1e-4
    found = with_constants(runs(batch_or_concurrency=loads), sequence_s=more)
    (stage,) = found.stages
    constant = next(c for c in stage.constants if c.name == "sequence_s")
    assert constant.fitted
    assert not constant.stands_for
    assert abs(constant.value - more) < 3 * constant.deviation
    assert constant.value == pytest.approx(more, rel=0.15)


def test_several_splits_tell_the_all_reduce() -> None:
    rows = [
        r
        for tp in ("1", "2", "4", "8")
        for r in runs(batch_or_concurrency=["1", "16", "64"], tp=[tp] * 3, num_gpus=[tp] * 3)
    ]
    rows = [{**r, "id": str(i)} for i, r in enumerate(rows)]
    found = with_constants(rows, skew=4.0)
    constant = next(c for c in found.stages[0].constants if c.name == "skew")
    assert constant.fitted
    assert abs(constant.value - 4.0) < 3 * constant.deviation + 0.3
    one = with_constants([r for r in rows if r["tp"] == "1"], skew=4.0)
    assert next(c for c in one.stages[0].constants if c.name == "skew").refused == "no row depends on it"


def test_too_few_rows_are_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(read_table(ROWS).rows[0]))
        writer.writeheader()
        writer.writerow(read_table(ROWS).rows[0])
    out = tmp_path / "x.json"
    assert run(["calibrate", str(path), "--out", str(out)]) == 1
    said = capsys.readouterr()
    reason = f"1 row of {ENGINE} (steps) cannot identify fixed_s, layer_s, sequence_s, skew, launch, quantise"
    assert reason in " ".join(said.out.split())
    assert said.err == "the rows tell no constant better than the shipped ones: nothing written\n"
    assert not out.exists()


def test_the_file_names_data_rows_errors_and_constants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = tmp_path / "rows.csv", tmp_path / "mine.json"
    text = ROWS.read_text()
    bad = text.splitlines()[1].replace("run-1-itl", "bad").replace("9.11389", "0")
    table.write_text(f"{text}{bad}\n")
    assert run(["calibrate", str(table), "--out", str(out), "--date", "2026-11-25"]) == 0
    content = json.loads(out.read_text())
    assert content["name"] == "mine"
    assert content["date"] == "2026-11-25"
    sha = hashlib.sha256(table.read_bytes()).hexdigest()
    assert content["data"] == [{"name": str(table), "holds": "measurements", "sha256": sha, "rows": 11}]
    assert content["left_out"] == {"bad": "value 0 is not a positive number"}
    assert [r["id"] for r in content["rows"]] == [r["id"] for r in read_table(ROWS).rows]
    for fit in content["fits"]:
        assert fit["ids"]
        assert fit["left_out_median"] < fit["before_median"]
        assert {"before_p90", "after_p90", "left_out_p90"} <= fit.keys()
        for constant in fit["constants"]:
            assert constant["refused"] or constant["deviation"] < constant["prior_deviation"]
    assert set(content["engines"]) == {ENGINE}
    assert content["engines"][ENGINE]["provenance"] == "fitted"
    assert content["measured"] == {ENGINE: ["h100-sxm"]}
    assert "1 row not used (bad)" in capsys.readouterr().out


def test_a_second_calibration_keeps_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    power = {"loaded_idle": 0.3, "active": 0.1, "compute": 1.0, "memory": 0.5, "link": 0.0, "source": "a meter"}
    first.write_text(
        json.dumps({"engines": {"sglang": {"fixed_s": 0.004, "source": "mine"}}, "power": {"h100-sxm": power}})
    )
    assert run(["calibrate", str(ROWS), "--calibration", str(first), "--out", str(second)]) == 0
    content = json.loads(second.read_text())
    assert set(content["engines"]) == {"sglang", ENGINE}
    assert content["power"]["h100-sxm"]["loaded_idle"] == 0.3
    assert read_calibration(second).engines["sglang"].fixed_s == 0.004
    capsys.readouterr()


GOOD: dict[str, Any] = {
    "gemm/bf16": {"t0_s": 5e-6, "ec": 0.7, "em": 0.8, "q": 2.0, "a": 0.0},
    "all_reduce": {"a_s": 1e-6, "r_s": 0, "b1": 0.5, "b2": 0.5, "x_s": 0},
}


def own(key: str, **changes: Any) -> dict[str, Any]:
    return {"kernels": {"h100-sxm": {"curves": {"": {key: {**GOOD.get(key, {}), **changes}}}}}}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], "expected engines, devices, power or kernels"),
        ({"enginse": {}}, "no part called 'enginse'. Did you mean engines"),
        ({"engines": {"vllm": 3}}, "engines: expected entries"),
        ({"measured": {ENGINE: "h100-sxm"}}, "measured: expected lists of devices by engine entry"),
        ({"engines": {"vllm": {"fixed": 0.1}}}, "engines.vllm: no constant called 'fixed'. Did you mean fixed_s"),
        ({"engines": {"vllm": {"fixed_s": -1}}}, "engines.vllm.fixed_s: cannot be -1"),
        ({"engines": {"vllm": {"fixed_s": "fast"}}}, "engines.vllm.fixed_s: expected a number, got 'fast'"),
        ({"devices": {"h100-sxm": {"memory": 0}}}, "devices.h100-sxm.memory: cannot be 0"),
        ({"power": {"h100-sxm": {"active": 0.1}}}, "power.h100-sxm: lacks loaded_idle"),
        (
            {"power": {"h100-sxm": {"loaded_idle": 2, "active": 0, "compute": 1, "memory": 1, "link": 0}}},
            "draws less than its TDP",
        ),
        (own("gem/bf16"), "no kernel called 'gem/bf16'"),
        (own("gemm/bf16", ec=1.2), "all.gemm/bf16.ec: cannot be 1.2: a share of the datasheet's figure"),
        (own("all_reduce", b1=0), "all_reduce.b1: cannot be 0"),
        ({"kernels": {"h100-sxm": {}}}, "kernels.h100-sxm: expected curves"),
        (own("decode/bf16", t0_s=1e-6), "decode/bf16: lacks em"),
    ],
)
def test_a_file_at_fault_is_refused_in_one_line(
    content: Any, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError):
        read_calibration(path)
    chat = str(ROOT / "examples" / "chat-70b.yaml")
    assert run(["estimate", chat, "--calibration", str(path)]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "bad.json" in err
    assert len(err.splitlines()) == 1


def test_good_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "good.json"
    for key in GOOD:
        path.write_text(json.dumps(own(key)))
        assert read_calibration(path).kernels["h100-sxm"].find("vllm", key) is not None
    path.write_text("{}")
    assert read_calibration(path) == replace(active(), name=str(path))


def test_every_command_of_the_how_to_is_run() -> None:
    """test_docs runs the blocks that are marked; here none may be without a mark."""
    text = (ROOT / "docs" / "how-to" / "calibrate-to-your-cluster.md").read_text()
    assert text.count("```sh") == text.count("<!-- run -->\n```sh") >= 5
    assert text.count("```python") == text.count("<!-- python -->\n```python")
