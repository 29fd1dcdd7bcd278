"""A user's own kernel timings: known constants are found again, laid over the shipped ones, and still obey physics."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab.catalogue.hardware import hardware
from rooflab.cli.main import run
from rooflab.costs.calibration import calibration_for
from rooflab.costs.engine_constants import EngineOverhead, active, read_calibration, using
from rooflab.costs.gemm import GemmCurve
from rooflab.costs.price import bench_for
from rooflab.errors import InputError
from rooflab.evidence.calibrate.calibrate import Calibration, calibrate
from rooflab.evidence.calibrate.kernel_csv import (
    KERNELS,
    KernelRows,
    is_kernel_table,
    measured_device,
    read_kernel_table,
)
from rooflab.evidence.calibrate.kernels import _ideal, _present
from rooflab.evidence.fit.kernels import predict

SHARES = {"ec", "em", "e", "io", "b", "b1", "b2"}
LLAMA = {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "hardware": "h100-sxm",
    "workload": {"isl": 1000, "osl": 200, "concurrency": 16},
}


def timings(device: str = "h100-sxm", **more: str) -> list[dict[str, Any]]:
    """Shapes of every kernel, without times."""
    rows: list[dict[str, Any]] = []

    def add(kernel: str, dtype: str, **shape: int) -> None:
        rows.append({"kernel": kernel, "dtype": dtype, "device": device, **more, **shape})

    for m in (1, 16, 64, 256, 1024, 4096):
        for n, k in ((512, 1024), (4096, 4096), (8192, 28672)):
            add("gemm", "bf16", m=m, n=n, k=k)
    for batch in (1, 8, 64, 256):
        for context in (128, 2048, 8192):
            add("decode_attention", "bf16", batch=batch, context=context, heads=8, kv_heads=1, head_dim=128)
    for batch in (1, 4):
        for tokens in (128, 1024, 4096):
            add("prefill_attention", "bf16", batch=batch, tokens=tokens, heads=32, kv_heads=8, head_dim=128)
    for tokens in (1, 8, 64, 512, 2048, 8192):
        add("moe", "bf16", tokens=tokens, hidden=4096, width=1792, experts=8, top_k=2)
    for ranks in (2, 4, 8):
        for size in (8192, 1 << 17, 1 << 20, 1 << 24, 1 << 27):
            add("all_reduce", "", bytes=size, ranks=ranks)
            add("all_to_all", "", bytes=size, ranks=ranks)
    return rows


def slower(group: KernelRows) -> Any:
    """The present curve with 70 % of its shares and twice its launch times."""
    now = _present(group)
    changes = {
        n: getattr(now, n) * (0.7 if n in SHARES else 2.0)
        for n in now.__dataclass_fields__
        if n in SHARES or n.endswith("_s")
    }
    return replace(now, **changes)


def write(path: Path, rows: list[dict[str, Any]], seconds: dict[str, float] | None = None) -> Path:
    full = [{"ms": "1", "id": f"t{i}", **r} for i, r in enumerate(rows)]
    for r in full:
        if seconds and r["id"] in seconds:
            r["ms"] = repr(seconds[r["id"]] * 1e3)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(c for r in full for c in r)))
        writer.writeheader()
        writer.writerows(full)
    return path


def measured(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Write the file with times of slower curves, 2 % noise; the true curves by key."""
    random, seconds, true = np.random.default_rng(5), {}, {}
    for group in read_kernel_table(write(path, rows)):
        true[group.key] = slower(group)
        exact = predict(measured_device(group.hardware), group.key, true[group.key], group.rows)
        seconds |= dict(zip(group.ids, (exact * np.exp(random.normal(0, 0.02, len(exact)))).tolist(), strict=True))
    write(path, rows, seconds)
    return true


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Calibration]:
    path = tmp_path_factory.mktemp("kernels") / "timings.csv"
    true = measured(path, timings())
    return path, true, calibrate([], "2026-11-25", read_kernel_table(path))


@pytest.mark.parametrize(
    "key", ["gemm/bf16", "decode/bf16", "prefill/bf16", "moe/bf16", "all_reduce", "moe_all_to_all"]
)
def test_known_constants_are_found_again(found: Any, key: str) -> None:
    path, true, calibration = found
    stage = next(s for s in calibration.stages if f" {key}," in s.name)
    assert stage.kept
    assert stage.before[0] > 0.25
    assert stage.after[0] < 0.08
    assert stage.left_out[0] < 0.12
    curve = calibration.table.kernels["h100-sxm"].curves["", key][0]
    group = next(g for g in read_kernel_table(path) if g.key == key)
    device = measured_device(group.hardware)
    ratio = predict(device, key, curve, group.rows) / predict(device, key, true[key], group.rows)
    assert np.median(np.abs(ratio - 1)) < 0.08
    for constant in stage.constants:
        if constant.refused:
            assert constant.value == pytest.approx(constant.shipped)
            continue
        assert constant.deviation < constant.prior_deviation
        if key != "moe/bf16":  # where launches, padding and passes share the time of few rows
            assert abs(constant.value - getattr(true[key], constant.name)) < 3 * constant.deviation


def test_own_curves_price_their_device_and_no_other(found: Any) -> None:
    calibration = found[2]
    other = {**LLAMA, "hardware": "h200-sxm"}
    before = rl.estimate(LLAMA), rl.estimate(other)
    with using(calibration.table):
        after = rl.estimate(LLAMA), rl.estimate(other)
        assert "7 curves of its own" in calibration_for(hardware("h100-sxm").device, "vllm").rule
    assert after[0].tpot_s_mean > 1.15 * before[0].tpot_s_mean
    assert after[0].ttft_s_mean > before[0].ttft_s_mean
    assert after[1].metrics == pytest.approx(before[1].metrics)
    assert rl.estimate(LLAMA).tpot_s_mean == before[0].tpot_s_mean


def test_collectives_of_their_own_price_split_models(found: Any) -> None:
    only = found[2].table.kernels["h100-sxm"]
    table = replace(
        active(), kernels={"h100-sxm": replace(only, curves={k: v for k, v in only.curves.items() if "all" in k[1]})}
    )
    dense = {**LLAMA, "hardware": "4 x h100-sxm", "deployment": {"engine": "vllm", "tp": 4}}
    experts = {
        "model": "mistralai/Mixtral-8x7B-Instruct-v0.1", "hardware": "4 x h100-sxm", "workload": LLAMA["workload"],
        "deployment": {"engine": "vllm", "tp": 1, "dp": 4, "ep": 4},
    }  # fmt: skip
    for scenario in (dense, experts):
        before = rl.estimate(scenario).tpot_s_mean
        with using(table):
            assert rl.estimate(scenario).tpot_s_mean > 1.01 * before


@pytest.mark.parametrize("concurrency", [1, 16, 256])
def test_calibrated_results_still_obey_the_bound(found: Any, concurrency: int) -> None:
    with using(found[2].table):
        result = rl.estimate({**LLAMA, "workload": {"isl": 1000, "osl": 200, "concurrency": concurrency}})
        more = rl.estimate({**LLAMA, "workload": {"isl": 1000, "osl": 200, "concurrency": 2 * concurrency}})
    assert result.limit_ratio <= 1.0
    assert more.tpot_s_mean >= result.tpot_s_mean
    # beyond its memory an engine that reserves nothing computes anew what it throws out
    assert more.output_tokens_per_s >= 0.9 * result.output_tokens_per_s


def test_shares_stop_at_the_datasheet(tmp_path: Path) -> None:
    """Timings of a device 4 % faster than its datasheet: shares end at 1 and timings faster still are left out."""
    rows = [r for r in timings() if r["kernel"] == "gemm" and r["n"] > 4096]
    path = tmp_path / "fast.csv"
    (group,) = read_kernel_table(write(path, rows))
    bound = predict(measured_device(group.hardware), group.key, _ideal(group.key), group.rows)
    times = dict(zip(group.ids, (bound / 1.04).tolist(), strict=True))
    times[group.ids[0]] /= 2
    write(path, rows, times)
    calibration = calibrate([], "2026-11-25", read_kernel_table(path))
    assert calibration.unused == {group.ids[0]: "faster than the datasheet allows"}
    for constant in calibration.stages[0].constants:
        if constant.name in SHARES:
            assert constant.value <= 1.0


def test_an_engines_own_timings_price_that_engine(tmp_path: Path) -> None:
    path = tmp_path / "sglang.csv"
    measured(path, [r for r in timings(engine="sglang") if r["kernel"] == "gemm"])
    table = calibrate([], "2026-11-25", read_kernel_table(path)).table
    for engine, changes in (("sglang", True), ("vllm", False)):
        scenario = {**LLAMA, "deployment": {"engine": engine}}
        before = rl.estimate(scenario).tpot_s_mean
        with using(table):
            assert (rl.estimate(scenario).tpot_s_mean != before) is changes


def test_factors_leave_measured_kernels_alone(tmp_path: Path) -> None:
    """Factors of a family without tables stand for kernels that nobody timed."""
    path = tmp_path / "mi250x.csv"
    measured(path, [r for r in timings("mi250x") if r["kernel"] == "gemm"])
    machine = hardware("mi250x")
    table = calibrate([], "2026-11-25", read_kernel_table(path)).table
    own, _ = table.kernels["mi250x"].curves["", "gemm/bf16"]
    assert isinstance(own, GemmCurve)
    shipped = bench_for(machine, "vllm", EngineOverhead()).kernels.decode["bf16"].em
    with using(table):
        bench = bench_for(machine, "vllm", EngineOverhead())
    assert bench.kernels.gemm["bf16"].em == own.em
    assert bench.kernels.decode["bf16"].em == shipped


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"kernel": "gem", "m": 1, "n": 512, "k": 512}, "no kernel called 'gem'. Did you mean gemm"),
        ({"kernel": "gemm", "dtype": "bf61", "m": 1, "n": 512, "k": 512}, "row 1: dtype: no dtype called 'bf61'"),
        ({"kernel": "gemm", "dtype": "bf16", "m": 1, "n": 512}, "row 1: k: expected a positive number, got ''"),
        (
            {"kernel": "gemm", "dtype": "bf16", "m": -4, "n": 512, "k": 1},
            "row 1: m: expected a positive number, got '-4'",
        ),
        ({"kernel": "gemm", "dtype": "bf16", "m": 1, "n": 512, "k": 512, "device": "h100-smx"}, "row 1: device: "),
        ({"kernel": "gemm", "dtype": "bf16", "m": 1, "n": 512, "k": 512, "device": ""}, "no device"),
        (
            {"kernel": "gemm", "dtype": "bf16", "m": 1, "n": 512, "k": 512, "ms": "fast"},
            "row 1: ms: expected a positive number",
        ),
    ],
)
def test_a_row_at_fault_is_named(row: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", [{"device": "h100-sxm", **row}])
    with pytest.raises(InputError) as error:
        read_kernel_table(path)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_what_timings_do_not_tell_is_refused(tmp_path: Path) -> None:
    rows = [
        {"kernel": "gemm", "dtype": "bf16", "m": 64, "n": 8192, "k": 8192, "device": "h100-sxm"},
        {"kernel": "gemm", "dtype": "bf16", "m": 64, "n": 2048, "k": 2560, "device": "h100-sxm"},
        {"kernel": "all_reduce", "bytes": 1 << 20, "ranks": 16, "device": "h100-sxm"},
        {"kernel": "all_reduce", "bytes": 1 << 20, "ranks": 1, "device": "h100-sxm"},
    ]
    found = calibrate([], "2026-11-25", read_kernel_table(write(tmp_path / "x.csv", rows)))
    assert not found.changed
    assert found.unused["t0"] == "1 timing of gemm/bf16 on h100-sxm cannot identify t0_s, ec, em, q: 3 at least"
    assert "on-chip cache" in found.unused["t1"]
    assert "networks" in found.unused["t2"]
    assert "one rank" in found.unused["t3"]
    same = [{"kernel": "gemm", "dtype": "bf16", "m": 64, "n": 8192, "k": 8192, "device": "h100-sxm"}] * 4
    again = calibrate([], "2026-11-25", read_kernel_table(write(tmp_path / "y.csv", same)))
    assert not again.changed
    assert any("one configuration" in c.refused for c in again.stages[0].constants)


def test_tables_are_told_apart(tmp_path: Path) -> None:
    assert is_kernel_table(write(tmp_path / "k.csv", timings()[:1]))
    assert not is_kernel_table(Path(__file__).resolve().parents[1] / "examples" / "cluster-rows.csv")
    assert not is_kernel_table(tmp_path / "none.csv")
    assert set(KERNELS) == {"gemm", "prefill_attention", "decode_attention", "moe", "all_reduce", "all_to_all"}


def test_through_the_command_and_back(found: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "own.json"
    assert run(["calibrate", str(found[0]), "--out", str(out), "--date", "2026-11-25"]) == 0
    said = capsys.readouterr().out
    assert "h100-sxm gemm/bf16" in said
    content = json.loads(out.read_text())
    assert content["data"][0]["holds"] == "kernel timings"
    gemm = content["kernels"]["h100-sxm"]["curves"][""]["gemm/bf16"]
    assert gemm["rows"] == 18
    assert 0 < gemm["median"] < 0.1
    with using(read_calibration(out)):
        again = rl.estimate(LLAMA)
    with using(found[2].table):
        assert again.metrics == pytest.approx(rl.estimate(LLAMA).metrics)
