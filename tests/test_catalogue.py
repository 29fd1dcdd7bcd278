"""The hardware catalogue: every figure has a source, obeys physics, and is found under the names that people write."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import pytest

from rooflab.catalogue.devices import device, device_key, list_devices
from rooflab.catalogue.grid import grid, list_grid, list_pue, pue
from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.hosts import host, list_hosts
from rooflab.catalogue.links import link, list_links
from rooflab.catalogue.prices import list_prices, price
from rooflab.errors import InputError

SHARED = Path(__file__).parents[1].parent / "shared"
DEVICES = list_devices()
KEYS = [entry["key"] for entry in DEVICES]
FAMILIES = {
    "volta", "turing", "ampere", "ada", "hopper", "blackwell", "blackwell-rtx", "cdna2", "cdna3", "cdna4", "rdna",
    "gaudi", "tpu", "neuron",
    "ascend", "intel-gpu", "xe-hpc", "apple", "x86", "arm", "edge-arm", "fpga", "mcu", "other",
}  # fmt: skip


def error(spec: object) -> str:
    with pytest.raises(InputError) as caught:
        hardware(spec)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_there_are_enough_devices_of_every_kind() -> None:
    assert len(KEYS) == len(set(KEYS)) >= 150
    assert {entry["kind"] for entry in DEVICES} == {"gpu", "npu", "tpu", "cpu", "apple", "soc", "fpga", "mcu"}
    assert {entry["family"] for entry in DEVICES} == FAMILIES


@pytest.mark.parametrize("entry", DEVICES, ids=KEYS)
def test_every_figure_of_a_device_has_a_source(entry: dict[str, object]) -> None:
    sources = entry["sources"]
    assert isinstance(sources, dict)
    figures = {"memory_gb", "memory_gib", "memory_gb_per_s", "peak_tflops", "tdp_w", "idle_w", "scale_up", "host_link"}
    figures |= {
        name
        for name, value in (("sm_count", "sm_count"), ("l2_mb", "l2_bytes"), ("boost_ghz", "boost_hz"))
        if entry[value]
    }
    assert figures <= set(sources)
    assert all(len(text) > 8 and "verify" not in text for text in sources.values())


@pytest.mark.parametrize("key", KEYS)
def test_a_device_obeys_physics(key: str) -> None:
    found = device(key)
    peaks = found.peak_flops
    assert 0 < found.idle_w < found.tdp_w
    assert found.memory_bytes > 0
    assert found.memory_bytes_per_s > 0
    assert found.host_link.bytes_per_s > 0
    assert all(rate > 0 for rate in peaks.values())
    wide = max(peaks.get("bf16", 0), peaks.get("fp16", 0), peaks.get("fp32", 0))
    for narrower, wider in (("tf32", "bf16"), ("fp32", "tf32"), ("bf16", "fp8"), ("fp8", "fp4"), ("int8", "int4")):
        if narrower in peaks and wider in peaks and (key, narrower) != ("gaudi3", "fp32"):
            assert peaks[narrower] <= peaks[wider] * 1.001, (narrower, wider)
    assert peaks.get("fp32", 0) <= wide or not wide
    if found.kind in {"gpu", "npu", "tpu"} and found.year >= 2017:
        assert 10e9 < found.memory_bytes_per_s < 25e15
        assert found.memory_bytes_per_s / found.memory_bytes > 1, "a device reads its memory at least once a second"


@pytest.mark.parametrize("entry",
[e for e in DEVICES if e["family"] in {"volta", "turing", "ampere", "ada", "hopper"} and e["sm_count"]],
                         ids=lambda e: e["key"])  # fmt: skip
def test_nvidia_peaks_follow_from_units_and_clock(entry: dict[str, float]) -> None:
    """FP16 tensor peak = SMs x FLOP per SM and clock x clock, within what rounding and the vendor's rating allow."""
    per_sm = {"volta": 1024, "turing": 1024, "ampere": 1024, "ada": 1024, "hopper": 4096}[str(entry["family"])]
    if str(entry["key"]).startswith(("a100", "a800", "a30", "jetson-agx-orin", "jetson-orin")):
        per_sm = 2048
    full = entry["sm_count"] * per_sm * entry["boost_hz"]
    ratio = entry["peak_flops"]["fp16"] / full  # type: ignore[index]
    rated_down = {"a10g": 0.55, "h20": 0.25, "l20": 0.5}
    assert 0.95 * rated_down.get(str(entry["key"]), 0.48) < ratio < 1.05


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("H200-SXM-141GB", "h200-sxm"), ("A100-SXM4-40GB", "a100-sxm-40gb"), ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"), ("mi300x", "mi300x"), ("GH200-96GB", "gh200-96gb"), ("h100", "h100-sxm"),
        ("a100", "a100-sxm-80gb"),
        ("B200", "b200-sxm"), ("4090", "rtx-4090"), ("rtx4090", "rtx-4090"), ("M3 Max", "m3-max"),
        ("raspberry pi 5", "raspberry-pi-5"),
        ("l40s", "l40s"), ("rtx pro 6000", "rtx-pro-6000-blackwell"), ("Ryzen 9 7950X (Nvidia 4080)", "rtx-4080"),
        ("CPU Framework Mainboard (128GB)", "ryzen-ai-max-395"), ("Framework Mainboard (128GB)", "strix-halo-8060s"),
        ("Quadro RTX 6000", "quadro-rtx-6000"), ("CPU i9-10940X", "i9-10940x"),
        ("NVIDIA Blackwell GPU (B200-SXM-180GB)", "b200-sxm"),
        ("Intel(R) Gaudi(R) 2 AI Accelerator", "gaudi2"), ("TPU-trillium", "tpu-v6e"),
        ("AMD Instinct MI355X 288GB HBM3e (x87)", "mi355x"),
    ],
)  # fmt: skip
def test_names_that_people_write(label: str, key: str) -> None:
    assert device_key(label) == key
    assert device(label).key == key


def test_every_label_of_the_measurement_tables_resolves() -> None:
    table = SHARED / "data" / "catalogue" / "hardware_names.csv"
    if not table.exists():
        pytest.skip("the measurement tables are not here")
    with table.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["key"] not in {"mixed", "unknown"}]
    assert len(rows) > 200
    assert {row["label"]: device_key(row["label"]) for row in rows} == {row["label"]: row["key"] for row in rows}


@pytest.mark.parametrize(
    ("table", "column"), [("serving", "gpu"), ("training", "gpu"), ("energy", "gpu"), ("vision", "device")]
)
def test_every_truth_table_device_resolves(table: str, column: str) -> None:
    path = SHARED / "truth" / table / "measurements.csv"
    if not path.exists():
        pytest.skip("the measurement tables are not here")
    with path.open(newline="") as file:
        labels = {row[column] for row in csv.DictReader(file)}
    several_or_none = [
        label for label in labels if label in {"N/A", ""} or "unknown" in label or label.count("AMD Instinct") > 1
    ]
    for label in labels - set(several_or_none):
        device_key(label)


def test_a_label_with_the_wrong_memory_is_not_guessed() -> None:
    with pytest.raises(InputError, match="A100-30GB"):
        device_key("A100-30GB")
    assert device("Apple M3 Max 40-Core GPU 64GB").memory_bytes == 64 * 2**30
    assert device("m3-max").memory_bytes == 128 * 2**30


def test_memory_is_what_the_driver_reports() -> None:
    assert device("h100-sxm").memory_bytes == pytest.approx(81559 * 2**20, rel=1e-4)
    assert device("b200").memory_bytes < device("gb200").memory_bytes


@pytest.mark.parametrize(
    ("spec", "key", "count", "per_host"),
    [
        ("8 x h100-sxm", "h100-sxm", 8, 8), ("8xH100", "h100-sxm", 8, 8), ("h200", "h200-sxm", 1, 8),
        ("16 x h200", "h200-sxm", 16, 8),
        ("H200 x 4", "h200-sxm", 4, 8), ("dgx-h100", "h100-sxm", 8, 8), ("2 x dgx-h100", "h100-sxm", 16, 8),
        ("gb200-nvl72", "gb200", 72, 72),
        ("rtx-4090", "rtx-4090", 1, 1), ("4 x rtx 4090", "rtx-4090", 4, 8), ("m3 max", "m3-max", 1, 1),
        ("pi 5", "raspberry-pi-5", 1, 1),
        ("16 x trn2", "trainium2", 16, 16), ({"host": "gb300-nvl72"}, "gb300", 72, 72),
        ({"device": "8 x h200"}, "h200-sxm", 8, 8),
        ({"device": "h100", "count": 16, "devices_per_host": 4}, "h100-sxm", 16, 4),
    ],
)  # fmt: skip
def test_specs(spec: object, key: str, count: int, per_host: int) -> None:
    found = hardware(spec)
    assert (found.device.key, found.count, found.devices_per_host) == (key, count, per_host)
    assert hardware(found) is found


def test_defaults_of_a_host() -> None:
    found = hardware("16 x h100-sxm")
    assert found.hosts == 2
    assert found.network.bytes_per_s == 50e9
    assert found.host_power_w == 10200 - 8 * 700
    dram, nvme = found.tiers
    assert (dram.name, dram.bytes, dram.bytes_per_s) == ("dram", 2048 * 2**30 / 8, 63e9)
    assert nvme.bytes_per_s < dram.bytes_per_s
    assert hardware("gb200").tiers[0].bytes_per_s > found.tiers[0].bytes_per_s, (
        "C2C reaches the host's memory faster than PCIe"
    )
    assert [tier.name for tier in hardware("m3-max").tiers] == ["nvme"], "unified memory is no tier of its own"
    assert found.pue > 1 == hardware("raspberry-pi-5").pue
    assert "assumed" in found.sources["pue"]
    assert "assumed" in found.sources["gco2e_per_kwh"]


def test_a_bridge_joins_as_many_cards_as_it_joins() -> None:
    assert hardware("2 x h100-nvl").device.scale_up.bytes_per_s == 300e9
    assert hardware("4 x h100-nvl").device.scale_up == link("pcie-5-x16")
    assert hardware("4 x h200-nvl").device.scale_up.bytes_per_s == 450e9
    assert hardware("8 x h200-nvl").device.scale_up == link("pcie-5-x16")
    assert hardware("2 x rtx-3090").device.scale_up == link("pcie-4-x16"), "the bridge of a 3090 is bought apart"
    assert (
        hardware({"device": "rtx-3090", "count": 2, "scale_up": "nvlink-3-bridge-ga102"}).device.scale_up.bytes_per_s
        == 56.25e9
    )


def test_devices_of_one_host_are_joined() -> None:
    for key in KEYS:
        found = hardware(f"8 x {key}")
        assert found.devices_per_host == 1 or found.device.scale_up.bytes_per_s > 0, key


def test_a_mapping_overrides() -> None:
    found = hardware(
        {
            "device": "h100-sxm", "count": 8, "network": "400 Gb/s", "power_limit": "500 W", "clock": "90 %",
            "price": "$2.5/h", "pue": 1.2,
            "grid": "France", "scale_up": "900 GB/s",
            "tiers": ["dram", {"name": "cxl", "size": "1 TB", "bandwidth": "30 GB/s"}],
        }
    )  # fmt: skip
    assert (found.network.bytes_per_s, found.power_limit_w, found.clock, found.usd_per_device_hour) == (
        50e9,
        500,
        0.9,
        2.5,
    )
    assert (found.pue, found.gco2e_per_kwh, found.device.scale_up.bytes_per_s) == (1.2, 56, 900e9)
    assert [tier.name for tier in found.tiers] == ["dram", "cxl"]
    assert hardware({"device": "h100", "network": "ib-xdr"}).network == link("ib-xdr")
    assert hardware({"device": "h100", "price": "lambda"}).usd_per_device_hour == 3.99
    assert hardware({"device": "h100", "grid": "420 gCO2e/kWh"}).gco2e_per_kwh == 420


def test_a_device_spelled_out() -> None:
    mine = hardware(
        {
            "device": {
                "name": "mine",
                "memory": "80 GB",
                "bandwidth": "3 TB/s",
                "peak": {"bf16": "1 PFLOP/s", "fp8": "2e15"},
            },
            "count": 4,
        }
    )
    assert (mine.device.memory_bytes, mine.device.peak("fp8"), mine.usd_per_device_hour) == (80e9, 2e15, None)
    twice = hardware({"device": {"like": "h100-sxm", "bandwidth": "6.7 TB/s", "tdp": "1000 W"}, "count": 8})
    assert (twice.host, twice.device.memory_bytes_per_s, twice.device.peak("bf16")) == ("dgx-h100", 6.7e12, 989e12)
    assert twice.device.idle_w == pytest.approx(100)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("h100-smx", ["no accelerator called 'h100-smx'", "h100-sxm", "h100-nvl"]),
        ("dgx-h10", ["dgx-h100"]),
        ("0 x h100", ["at least 1"]),
        ("", ["empty"]),
        (3, ["not hardware"]),
        ("pcie-server-8", ["without a device"]),
        ({"device": "h100", "cuont": 8}, ["'cuont'", "count"]),
        ({"device": "h100", "network": "ib-ndrr"}, ["hardware.network", "ib-ndr"]),
        ({"device": "h100", "network": "0 GB/s"}, ["hardware.network", "above zero"]),
        ({"device": "h100", "grid": "Frnce"}, ["hardware.grid", "France"]),
        ({"device": "h100", "price": "lamda"}, ["hardware.price", "Lambda"]),
        ({"device": "h100", "price": "spot"}, []),
        ({"device": "h100", "power_limit": "50 W"}, ["hardware.power_limit", "rest"]),
        ({"device": "h100", "power_limit": "900 W"}, ["hardware.power_limit", "TDP"]),
        ({"device": "h100", "clock": 3}, ["hardware.clock"]),
        ({"device": "h100", "count": 1.5}, ["hardware.count", "whole"]),
        ({"device": "h100", "pue": 0.8}, ["hardware.pue"]),
        ({"device": "h100", "host": "dgx-h101"}, ["hardware.host", "dgx-h100"]),
        ({"device": "h100", "tiers": ["cxl"]}, ["hardware.tiers.0", "dram"]),
        ({"device": "m3 max", "count": 4, "devices_per_host": 4}, ["hardware.devices_per_host", "scale_up"]),
        ({"count": 8}, ["needs a device"]),
        ({"device": {"memory": "80 GB", "peak": "1 PFLOP/s"}}, ["hardware.device", "bandwidth is missing"]),
        ({"device": {"memory": "80 GB", "bandwith": "3 TB/s"}}, ["bandwidth"]),
        ({"device": {"like": "h100", "peak": {"fp7": 1}}}, ["hardware.device.peak", "fp8"]),
        ({"device": {"like": "h100", "memory": "-1 GB"}}, ["hardware.device.memory", "above zero"]),
        ({"device": {"like": "h100", "idle": "800 W"}}, ["hardware.device.idle", "TDP"]),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_with_the_nearest_value(spec: object, parts: list[str]) -> None:
    if not parts:
        assert hardware(spec).usd_per_device_hour == 6.571
        return
    message = error(spec)
    assert message.startswith("hardware")
    assert all(part in message for part in parts), message


def test_repeated_specs_are_cheap() -> None:
    hardware("8 x h100-sxm")
    start = time.perf_counter()
    for _ in range(20_000):
        hardware("8 x h100-sxm")
    assert time.perf_counter() - start < 1.0


def test_links_have_sources_and_sane_rates() -> None:
    links = list_links()
    assert len(links) > 60
    for entry in links:
        assert set(entry["sources"]) == {"gb_per_s", "latency_us"}
        assert 0 <= entry["latency_s"] < 1e-3
        assert entry["topology"] in {"switch", "mesh", "ring", "torus", "bus", "bridge", "none"}
        assert (entry["bytes_per_s"] > 0) == (entry["topology"] != "none")
    assert link("NVLink 4").bytes_per_s == 450e9
    assert (
        link("nvlink-4").latency_s
        < link("pcie-5-x16").latency_s
        < link("ib-ndr").latency_s
        < link("ethernet-1g").latency_s
    )
    with pytest.raises(InputError, match="nvlink-5"):
        link("nvlnk-5")


def test_hosts_have_sources_and_power_left_over() -> None:
    hosts = list_hosts()
    assert len(hosts) > 30
    for entry in hosts:
        assert entry["overhead_w"] >= 0
        assert {"devices", "memory_gb", "network"} <= set(entry["sources"])
        if entry["device"]:
            assert entry["system_power_w"] >= entry["devices"] * device(entry["device"]).tdp_w, entry["key"]
    assert host("DGX H100").devices == 8


def test_prices_are_dated_quotes_or_marked_owners_costs() -> None:
    asked = price("h100")
    assert asked is not None
    assert 2 < asked.usd_per_device_hour < 7
    assert asked.date.startswith("2026")
    assert "median of" in asked.provider
    assert price("h100-sxm", "RunPod Secure").usd_per_device_hour == 3.99  # type: ignore[union-attr]
    owned = price("mi300x")
    assert owned is not None
    assert owned.assumed
    assert "(assumed)" in owned.source
    assert owned.usd_per_device_hour == pytest.approx(15000 / (4 * 8766) + 0.75 * 1.2 * 0.1, abs=1e-3)
    assert price("gap8") is None
    with pytest.raises(InputError, match="on-demand"):
        price("h100", tier="on-demnd")
    for quote in list_prices():
        assert quote["usd_per_device_hour"] > 0
        assert quote["source"]
        device_key(quote["device"])


def test_grid_and_pue() -> None:
    assert grid("France")[0] == grid("FRA")[0] == 56
    assert grid("us-central1")[0] == grid("gcp:us-central1")[0]
    assert grid("California")[0] == grid("US-CA")[0] == 179
    assert grid()[0] == grid("world")[0] == 475
    assert all(0 < entry["gco2e_per_kwh"] < 1000 and entry["source"] for entry in list_grid())
    assert all(1 <= entry["pue"] <= 2 and entry["source"] for entry in list_pue())
    assert pue("google-fleet")[0] == 1.09
    assert pue(1.3) == (1.3, "given")
    assert "assumed" in pue()[1]
