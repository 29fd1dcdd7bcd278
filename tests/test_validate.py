"""Predicted against measured: rows are scored or counted with a reason, figures add up, shipped groups keep within
their bounds."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from rooflab.cli.main import run
from rooflab.costs.engine_constants import DeviceFactors, active, using
from rooflab.errors import InputError
from rooflab.evidence.publish.bounds import breaches, read_bounds, record_bounds
from rooflab.evidence.rows.shipped import shipped_rows, sources
from rooflab.evidence.rows.tables import COLUMNS, read_table, table_of
from rooflab.evidence.score.validate import Group, Validation, group_of, validate
from rooflab.report.pages.validate import validation_page

ROW = {
    "id": "a", "source": "mine", "engine": "vLLM", "engine_version": "0.10", "model": "Llama-3.1-8B", "gpu": "h100-sxm",
    "num_gpus": "1",
    "tp": "1", "batch_or_concurrency": "16", "isl": "1000", "osl": "200", "scenario": "fixed-concurrency",
    "metric": "itl_ms",
    "value": "9.0", "per_gpu": "0", "notes": "",
}  # fmt: skip


def write(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def shipped() -> Validation:
    return validate()


def test_every_row_is_scored_or_has_a_reason(shipped: Validation) -> None:
    ids = [row["id"] for table in shipped_rows() for row in table.rows]
    assert len(ids) == shipped.total
    assert sorted(ids) == sorted([j.row.id for j in shipped.rows] + list(shipped.unsupported))
    assert sum(shipped.reasons.values()) == len(shipped.unsupported)
    assert not shipped.suspect, "rows that their table doubts do not ship"


def test_no_shipped_group_is_worse_than_its_bound(shipped: Validation) -> None:
    assert breaches(shipped, read_bounds()) == []


def test_a_worse_model_breaks_bounds(tmp_path: Path) -> None:
    rows = [{**ROW, "id": str(c), "batch_or_concurrency": str(c), "value": str(8.5 + c / 20)} for c in range(1, 41)]
    found = validate(write(tmp_path / "rows.csv", *rows))
    bounds = record_bounds(found)["bounds"]
    assert breaches(found, bounds) == []
    slow = active()
    with using(
        type(slow)(name="slow", engines=slow.engines, devices={"h100-sxm": DeviceFactors(memory=0.3, compute=0.3)})
    ):
        worse = validate(tmp_path / "rows.csv")
    assert {b.name for b in breaches(worse, bounds)} >= {"all", "mine", "h100-sxm"}
    assert breaches(Validation("", found.total, found.rows[:5], {}), bounds)[0].figure == "rows"


def test_every_shipped_row_has_source_address_and_licence() -> None:
    assert all(s.licence and s.name for s in sources().values())
    for table in shipped_rows():
        assert len(table.rows) > 500
        assert all(row["source"] for row in table.rows)
        if table.kind != "vision":
            assert all(row["source_url_or_path"] for row in table.rows)
    assert not any(
        row["source"].startswith(("ML.ENERGY", "geerlingguy")) for table in shipped_rows() for row in table.rows
    )


def test_shipped_rows_are_those_of_the_tables(shared: Path) -> None:
    for kind in ("serving", "energy"):
        full = {row["id"]: row for row in read_table(shared / "truth" / kind / "measurements.csv").rows}
        mine = next(t for t in shipped_rows() if t.kind == kind)
        for row in mine.rows:
            assert all(row[c] == full[row["id"]][c] for c in COLUMNS[kind] if c not in ("notes", "ship", "unit")), row[
                "id"
            ]


def test_json_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        ROW,
        {**ROW, "id": "b", "metric": "output_tok_s", "value": "1500"},
        {**ROW, "id": "c", "notes": "SUSPECT: copied wrongly"},
        {**ROW, "id": "d", "gpu": "Zork 9000"},
        {**ROW, "id": "e", "value": "fast"},
        {**ROW, "id": "f", "model": "Llama-3.1-405B"},
        {**ROW, "id": "g", "isl": ""},
    ]
    assert run(["validate", str(write(tmp_path / "rows.csv", *rows)), "--json", "--rows"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows_total"], found["rows_scored"], found["rows_unsupported"]) == (7, 2, 5)
    assert found["rows_suspect"] == 1
    assert found["suspect"] == ["c"]
    assert sum(found["unsupported_reasons"].values()) == 5
    reasons = {one["id"]: one["reason"] for one in found["unsupported"]}
    assert "Zork" in reasons["d"]
    assert "not a number" in reasons["e"]
    assert "does not fit" in reasons["f"]
    assert "prompt length not stated" in reasons["g"]
    for grouping in ("by_metric", "by_source", "by_engine", "by_gpu", "by_model", "by_scenario"):
        assert sum(g["n"] for g in found[grouping].values()) == 2
        assert all({"n", "median_ape", "p90_ape", "bias", "coverage_90"} <= set(g) for g in found[grouping].values())
    assert found["by_metric"]["itl_ms"]["dense"]["n"] == 1
    assert {r["id"] for r in found["rows"]} == {"a", "b"}
    for r in found["rows"]:
        assert r["low"] <= r["predicted"] <= r["high"]
        assert r["provenance"] in ("measured", "fitted", "datasheet", "roofline", "assumed")
    assert found["rows_answerable"] == 4


def test_per_gpu_rows_are_scored_as_systems(tmp_path: Path) -> None:
    two = {**ROW, "num_gpus": "2", "tp": "2", "metric": "output_tok_s", "value": "1000"}
    found = validate(write(tmp_path / "r.csv", {**two, "id": "whole"}, {**two, "id": "each", "per_gpu": "1"}))
    whole, each = found.rows
    assert each.row.measured == 2 * whole.row.measured
    assert each.row.predicted == whole.row.predicted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "no column model, gpu, metric, value"),
        ("", "no column"),
        ("model,gpu,value\nx,y,1\n", "no column metric"),
    ],
)
def test_what_is_no_table_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_table(path)


def test_errors_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(tmp_path / "none.csv")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert run(["validate", str(write(tmp_path / "r.csv", ROW)), "--check"]) == 2
    assert run(["validate", str(tmp_path / "r.csv"), "--worst", "-1"]) == 2
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    assert run(["validate", str(binary)]) == 2


def test_kinds_are_told_apart_by_columns() -> None:
    for kind, columns in COLUMNS.items():
        assert table_of([], columns, "x").kind == kind
    bare = table_of(
        [{"model": "m", "gpu": "g", "metric": "itl_ms", "value": "1"}] * 2, ("model", "gpu", "metric", "value"), "x"
    )
    assert bare.kind == "serving"
    assert [row["id"] for row in bare.rows] == ["row-1", "row-2"]


def test_figures_of_a_group(shipped: Validation) -> None:
    rows = list(shipped.rows[:101])
    got = group_of(rows)
    ratios = sorted(j.row.predicted / j.row.measured - 1 for j in rows)
    errors = sorted(abs(r) for r in ratios)
    assert got.bias == pytest.approx(ratios[50])
    assert got.median_ape == pytest.approx(errors[50])
    assert got.p90_ape == pytest.approx(errors[90])
    assert got.coverage_90 == pytest.approx(sum(j.low <= j.row.measured <= j.high for j in rows) / 101)
    assert math.isnan(group_of([]).median_ape)
    assert Group(0, math.nan, math.nan, math.nan, math.nan).record()["median_ape"] is None


def test_page_stands_alone(shipped: Validation, tmp_path: Path) -> None:
    page = validation_page(shipped)
    assert page.startswith("<!doctype html>")
    assert page.count("<script>") == 1
    assert "://" not in page.replace("http://www.w3.org", "")
    assert page.count("<svg") == len({j.row.source for j in shipped.rows}) + 1
    assert "prefers-color-scheme:dark" in page
    assert "NaN" not in page.partition("<script>")[0].replace("NaN-", "")


def test_text_on_a_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**ROW, "id": f"r{i}", "batch_or_concurrency": str(i)} for i in range(1, 6)] + [
        {**ROW, "id": "x", "gpu": "Zork"}
    ]
    assert run(["validate", str(write(tmp_path / "r.csv", *rows)), "--worst", "2"]) == 0
    out = capsys.readouterr().out
    assert "5 of 6 measurements" in out
    assert "time per token, closed loop, dense" in out
    assert "no accelerator called 'Zork'" in out
    assert out.count(": Llama") == 2
