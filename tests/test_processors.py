"""What people mean by a processor: the one beside a chip's GPU, two in a host; and an engine that nobody chose."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from rooflab.catalogue.devices import device
from rooflab.catalogue.hardware import hardware
from rooflab.cli.main import cli
from rooflab.errors import InputError


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("Apple M4 Max CPU", "m4-max-cpu"), ("m1-pro-14c cpu", "m1-pro-cpu"), ("M2 Ultra (CPU)", "m2-ultra-cpu"),
        ("GB10 CPU", "gb10-cpu"), ("DGX Spark CPU", "gb10-cpu"), ("Strix Halo CPU", "ryzen-ai-max-395"),
        ("Apple M4 Max", "m4-max"), ("GB10", "gb10"), ("Raspberry Pi 5 CPU", "raspberry-pi-5"),
        ("AMD EPYC 9654 CPU", "epyc-9654"),
    ],
)  # fmt: skip
def test_a_chip_named_with_cpu_is_its_processor(label: str, key: str) -> None:
    assert device(label).key == key


def test_a_processor_is_slower_than_the_gpu_beside_it() -> None:
    for chip in ("m1", "m2-max", "m3-ultra", "m4-pro", "gb10"):
        beside, gpu = device(f"{chip}-cpu"), device(chip)
        assert beside.kind == "cpu"
        assert beside.memory_bytes_per_s <= gpu.memory_bytes_per_s
        assert beside.peak("fp32") < gpu.peak("fp32")
        assert beside.tdp_w < gpu.tdp_w


def test_a_card_has_no_processor() -> None:
    with pytest.raises(InputError, match="rtx-4090 is a GPU, and no processor of it is known"):
        device("RTX 4090 CPU")


@pytest.mark.parametrize("label", ["dual EPYC 9654", "EPYC 9654 2S", "2-socket EPYC 9654", "EPYC 9654 (two sockets)"])
def test_two_sockets_are_one_host(label: str) -> None:
    found = hardware(label)
    assert (found.device.key, found.count, found.devices_per_host, found.hosts) == ("epyc-9654", 2, 2, 1)
    assert found.device.scale_up.key == "socket-to-socket"
    assert hardware(f"4 x {label}").count == 8


def test_two_sockets_of_a_card_are_not_known() -> None:
    with pytest.raises(InputError, match="no accelerator called 'dual rtx 4090'"):
        hardware("dual rtx 4090")


def test_an_engine_that_nobody_chose_is_said() -> None:
    words = ["estimate", "--model", "Llama-3.1-8B", "--hardware", "h100-sxm", "--batch-size", "1"]
    open_, chosen = CliRunner().invoke(cli, words), CliRunner().invoke(cli, [*words, "--engine", "vllm"])
    assert "no engine was given: vLLM is priced" in " ".join(open_.output.split())
    assert "no engine was given" not in chosen.output
    record = json.loads(CliRunner().invoke(cli, [*words, "--json"]).output)
    assert record["engine_given"] is False
