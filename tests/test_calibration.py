"""Kernel constants: what ships is physical and says where it comes from, the right file is chosen, and fitting finds
what made the data."""

from __future__ import annotations

import csv
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from rooflab.costs.attention import DecodeCurve
from rooflab.costs.calibration import GEMM_COMPUTE, calibration_for, engine_key, link_curves
from rooflab.costs.collective import AllReduceCurve, all_reduce_s
from rooflab.costs.fit_file import parse_fit_file
from rooflab.costs.gemm import GemmCurve, gemm_s
from rooflab.costs.moe import moe_s
from rooflab.evidence.fit import kernels as kernel_fit
from rooflab.evidence.fit.kernel_rows import Rows
from rooflab.evidence.fit.kernel_tables import MEASURED
from rooflab.evidence.refit.runner import run
from rooflab.evidence.refit.stage import Places
from rooflab.evidence.refit.stages import STAGES
from rooflab.scenario.hardware import Device, Link

FITS = [path for path in resources.files("rooflab.costs").joinpath("fits").iterdir() if path.name.endswith(".json")]
CURVES = [path for path in FITS if "device" in json.loads(path.read_text("utf-8"))]
SHARES = ("ec", "em", "e", "io", "b", "b1", "b2")
FAMILIES = (
    "volta", "turing", "ampere", "ada", "hopper", "blackwell", "blackwell-rtx", "cdna2", "cdna3", "cdna4", "rdna",
    "gaudi", "tpu",
    "neuron", "ascend", "intel-gpu", "xe-hpc", "apple", "x86", "arm", "edge-arm", "fpga", "mcu",
)  # fmt: skip


def device(
    key: str = "h100-sxm", family: str = "hopper", kind: str = "gpu", bw: float = 3.35e12, topology: str = "switch"
) -> Device:
    link = Link("own", 450e9, 1e-6, topology)
    peaks = {"bf16": 989e12, "fp8": 1979e12}
    return Device(
        key=key,
        name=key,
        vendor="x",
        kind=kind,
        family=family,
        memory_bytes=8e10,
        memory_bytes_per_s=bw,
        peak_flops=peaks,
        tdp_w=700.0,
        idle_w=70.0,
        scale_up=link,
        host_link=Link("pcie", 64e9, 1e-6, "bus"),
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("path", CURVES, ids=lambda p: p.name)
def test_shipped_constants_are_physical_and_say_where_they_come_from(path):
    raw = json.loads(path.read_text("utf-8"))
    file = parse_fit_file(raw)
    assert file.device == path.name.removesuffix(".json")
    for (engine, key), (curve, fit) in file.curves.items():
        where = f"{path.name} {engine} {key}"
        for name in curve.__dataclass_fields__:
            value = getattr(curve, name)
            assert np.isfinite(value), f"{where}: {name}"
            assert value >= 0, f"{where}: {name}"
            assert name not in SHARES or 0 < value <= 1, f"{where}: {name} = {value} beats the datasheet"
            assert not name.endswith("_s") or value < 1e-3, f"{where}: {name}"
        if fit.provenance == "fitted":
            assert fit.rows >= 20, where
            assert 0 <= fit.median_error <= fit.p90_error, where
        else:
            assert len(fit.reason) > 20, where


def test_a_measured_device_takes_its_own_tables():
    found = calibration_for(device())
    assert found.in_table
    assert found.provenance == "fitted"
    assert {
        fit.device for key, fit in found.fits.items() if key in ("gemm/bf16", "gemm/fp8", "decode/bf16", "moe/bf16")
    } == {"h100-sxm"}
    assert calibration_for(device()) is found


@pytest.mark.parametrize(
    ("key", "near"), [("h100-pcie", "h100-sxm"), ("gh200-144gb", "h200-sxm"), ("h20", "h100-sxm"), ("h800", "h100-sxm")]
)
def test_a_relative_takes_the_nearest_of_its_family(key, near):
    found = calibration_for(device(key))
    assert not found.in_table
    assert near in found.rule
    assert found.gemm == calibration_for(device(near)).gemm


def test_the_longest_chip_name_wins():
    assert " of gb200, " in calibration_for(device("gb200-nvl4", "blackwell")).rule


def test_more_bandwidth_does_not_switch_constants():
    assert calibration_for(device("h100-faster", bw=4.1e12)).decode == calibration_for(device("h100-faster")).decode


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_constants_for_every_format(family):
    found = calibration_for(device("something-new", family))
    assert set(found.gemm) == set(found.moe) == set(GEMM_COMPUTE)
    assert set(found.decode) == set(found.prefill) == {"bf16", "fp8"}
    assert found.rule
    assert not found.in_table


def test_an_unknown_family_takes_its_kind_and_says_so():
    found = calibration_for(device("wafer", "wafer", "cpu"))
    assert found.provenance == "assumed"
    assert "not known" in found.rule
    assert found.gemm == calibration_for(device("xeon", "x86", "cpu")).gemm


def test_engines_have_their_own_constants_where_tables_differ():
    plain, vllm, trt = (calibration_for(device(), engine) for engine in ("", "vllm", "tensorrt-llm"))
    assert engine_key("NIM") == trt.engine == "trtllm"
    # the products of TensorRT-LLM are priced by the curve of all frameworks (see _POOLED)
    assert trt.gemm["fp8"] == plain.gemm["fp8"]
    assert trt.moe["fp8_block"] != plain.moe["fp8_block"]

    # what a latent block costs beyond its parts is launches that a graph hides, the same for all
    assert vllm.mla_layer_s == trt.mla_layer_s == plain.mla_layer_s
    assert calibration_for(device(), "some-engine").gemm == plain.gemm


def test_an_fp8_cache_does_not_halve_decode_attention_on_hopper():
    curves = calibration_for(device("h200-sxm", bw=4.8e12)).decode
    assert curves["fp8"].em < 0.8 * curves["bf16"].em


def test_known_kernels_have_known_speeds():
    h100 = calibration_for(device())
    rates = {"act_bytes": 2.0, "peak_flops": 989e12, "bytes_per_s": 3.35e12}
    seconds = gemm_s(8192, 8192, 8192, weight_bytes=2.0, curve=h100.gemm["bf16"], **rates)
    assert 2 * 8192**3 / seconds == pytest.approx(750e12, rel=0.1)  # cuBLAS on H100 SXM: 700 to 800 TFLOP/s
    seconds = gemm_s(1, 28672, 8192, weight_bytes=2.0, curve=h100.gemm["bf16"], **rates)
    assert 28672 * 8192 * 2 / seconds == pytest.approx(2.7e12, rel=0.1)
    seconds = all_reduce_s(256e6, 8, link_bytes_per_s=450e9, curve=h100.scale_up.all_reduce)
    assert 2 * 7 / 8 * 256e6 / seconds == pytest.approx(330e9, rel=0.15)  # bus bandwidth


def test_narrow_weights_pay_at_low_batch_only():
    h100 = calibration_for(device())

    def price(m, fmt, width, peak):
        args = {"weight_bytes": width, "act_bytes": width, "bytes_per_s": 3.35e12, "curve": h100.gemm[fmt]}
        return gemm_s(m, 8192, 8192, peak_flops=peak, **args)

    assert price(1, "bf16", 2.0, 989e12) > price(1, "fp8", 1.0, 1979e12)
    assert price(4096, "bf16", 2.0, 989e12) > 1.3 * price(4096, "fp8", 1.0, 1979e12)


def test_experts_of_a_known_model_are_bound_by_the_weights_they_touch():
    curve = calibration_for(device(), "vllm").moe["bf16"]
    args = {
        "hidden": 2048,
        "width": 768,
        "experts": 128,
        "top_k": 8,
        "weight_bytes": 2.0,
        "peak_flops": 989e12,
        "bytes_per_s": 3.35e12,
    }
    one, many = moe_s(1, **args, curve=curve), moe_s(64, **args, curve=curve)
    assert one < 80e-6  # a few launches and eight experts
    assert 3 * 2048 * 768 * 128 * 2 / 3.35e12 < many < 1e-3


def test_links_without_tables_use_their_datasheet():
    found = calibration_for(device())
    network = Link("infiniband-ndr", 50e9, 5e-6)
    assert found.collectives(network) == link_curves(network)
    assert found.collectives(device().scale_up) is found.scale_up
    assert link_curves(network).all_reduce.r_s == pytest.approx(1e-5)


def test_pcie_boards_do_not_take_switch_collectives():
    switched, bus = calibration_for(device()), calibration_for(device("h100-pcie", bw=2e12, topology="bus"))
    assert bus.scale_up.all_reduce != switched.scale_up.all_reduce
    assert bus.fits["all_reduce"].device == "rtx-pro-6000-server"


def test_fits_use_the_datasheets_of_the_catalogue():
    path = Path(__file__).parents[1].parent / "shared" / "data" / "catalogue" / "hardware.csv"
    if not path.exists():
        pytest.skip("no catalogue data beside the repository")
    with path.open(encoding="utf-8") as handle:
        rows = {row["key"]: row for row in csv.DictReader(handle)}
    for measured in MEASURED:
        row = rows[measured.key]
        assert measured.memory_bytes_per_s == float(row["memory_bw_gbs"]) * 1e9
        for name, column in (("bf16", "bf16_tflops"), ("fp8", "fp8_tflops"), ("fp4", "fp4_tflops")):
            if row[column]:
                assert measured.peak_flops[name] == float(row[column]) * 1e12, f"{measured.key} {name}"


H100 = next(d for d in MEASURED if d.key == "h100-sxm")


def test_fitting_recovers_the_curve_that_made_the_data():
    random = np.random.default_rng(7)
    truth = DecodeCurve(t0_s=1.2e-5, em=0.85, ec=0.05, s0_tokens=150)
    batch, context = 2.0 ** random.integers(0, 9, 600), 2.0 ** random.integers(7, 15, 600)
    heads = 2.0 ** random.integers(3, 7, 600)
    args = {"sequences": batch, "context_tokens": batch * context, "heads": heads, "kv_heads": np.minimum(heads, 8.0)}
    args |= {"head_dim": np.full(600, 128.0), "kv_bytes": np.full(600, 2.0)}
    rows = Rows(args, np.zeros(600))
    rows = Rows(args, kernel_fit.predict(H100, "decode/bf16", truth, rows) * np.exp(random.normal(0, 0.03, 600)))
    found = kernel_fit.fit_rows(H100, "decode/bf16", [rows])
    assert isinstance(found.curve, DecodeCurve)
    assert found.curve.em == pytest.approx(truth.em, rel=0.03)
    assert found.curve.t0_s == pytest.approx(truth.t0_s, rel=0.03)
    assert found.median < 0.04


def test_fits_resist_wild_rows_and_keep_to_the_datasheet():
    truth = AllReduceCurve(a_s=4e-6, r_s=1e-7, b1=0.6, b2=0.75, x_s=5e-6)
    size, ranks = np.tile(2.0 ** np.arange(8, 30), 3), np.repeat([2.0, 4.0, 8.0], 22)
    rows = Rows({"message_bytes": size, "ranks": ranks}, np.zeros(66))
    seconds = kernel_fit.predict(H100, "all_reduce", truth, rows)
    seconds[::11] *= 6.0
    seconds[5::33] /= 50.0
    found = kernel_fit.fit_rows(H100, "all_reduce", [Rows(rows.arguments, seconds)])
    assert isinstance(found.curve, AllReduceCurve)
    assert found.curve.b2 == pytest.approx(truth.b2, rel=0.1)
    assert max(found.curve.b1, found.curve.b2) <= 1


def test_the_stage_turns_tables_into_a_calibration_file(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    truth = GemmCurve(t0_s=4e-6, ec=0.75, em=0.8, q=2.5)
    m, n, k = (
        grid.ravel()
        for grid in np.meshgrid(2.0 ** np.arange(0, 14), [1024.0, 4096.0, 16384.0], [1024.0, 4096.0, 16384.0])
    )
    rates = {
        "weight_bytes": 2.0,
        "act_bytes": 2.0,
        "peak_flops": H100.peak("bf16"),
        "bytes_per_s": H100.memory_bytes_per_s,
    }
    for framework, version, slow in (
        ("vllm", "0.24.0", 1.0),
        ("vllm", "0.9.1", 3.0),
        ("sglang", "0.5.14", 1.0),
        ("trtllm", "1.3.0rc9", 4.0),
    ):
        ms = np.asarray(gemm_s(m, n, k, **rates, curve=truth)) * 1e3 * slow
        table = {
            "gemm_dtype": ["bfloat16"] * len(m),
            "m": m.astype(int),
            "n": n.astype(int),
            "k": k.astype(int),
            "latency": ms,
        }
        folder = tmp_path / "h100_sxm" / "gemm" / framework / version
        folder.mkdir(parents=True)
        parquet.write_table(pa.table(table), folder / "gemm_perf.parquet")
    places = Places(tables=tmp_path, work=tmp_path / "work", kernel_tables=tmp_path, package=tmp_path / "rooflab")
    lines: list[str] = []
    stage = next(s for s in STAGES if s.name == "kernels")
    run(stage, places, "2026-01-02", only=["h100-sxm"], say=lines.append)
    file = parse_fit_file(json.loads(places.fits("h100-sxm")[0].read_text()))
    found = file.find("", "gemm/bf16")
    assert found is not None
    curve, fit = found
    assert isinstance(curve, GemmCurve)
    assert curve.ec == pytest.approx(truth.ec, rel=0.02)  # neither the old version nor the fallback kernel counts
    assert curve.t0_s == pytest.approx(truth.t0_s, rel=0.05)
    assert fit.median_error < 0.01
    assert file.curves.keys() == {("", "gemm/bf16")}
    assert any("h100-sxm  gemm/bf16: " in line for line in lines)
