"""Devices over PCIe: behind switches nobody shares a way, through the host's bridge all do; wider splits never slow a
long prompt down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rooflab as rl
from rooflab.catalogue.devices import device, list_devices
from rooflab.catalogue.links import link
from rooflab.costs.calibration import calibration_for
from rooflab.costs.collective import all_reduce_s

LAUNCHES_S = 5e-3


def test_wider_splits_never_slow_a_long_prompt_down() -> None:
    slower = []
    for facts in list_devices():
        if facts["kind"] not in ("gpu", "npu", "tpu"):
            continue
        seconds = {}
        for tp in (1, 2, 4, 8):
            try:
                seconds[tp] = rl.estimate(
                    {
                        "model": "meta-llama/Llama-3.1-8B",
                        "hardware": {"device": facts["key"], "count": 8, "devices_per_host": 8},
                        "workload": {"isl": 32768, "osl": 2, "batch": 1},
                        "deployment": {"engine": "vllm", "tp": tp, "replicas": 1},
                    }
                ).ttft_s_mean
            except rl.RooflabError:
                continue  # too small, or not joined
        slower += [
            (facts["key"], n) for n in (1, 2, 4) if seconds.get(2 * n, 0.0) > seconds.get(n, np.inf) + LAUNCHES_S
        ]
    assert slower == []


@pytest.mark.parametrize("key", ["l40s", "l20", "rtx-4090", "h100-pcie", "rtx-pro-6000-server"])
def test_bus_bandwidth_holds_behind_switches_and_falls_behind_a_bridge(key: str) -> None:
    size = 64e6

    def bus_bytes_per_s(ranks: int, joined: str) -> float:
        curves = calibration_for(replace(device(key), scale_up=link(joined))).scale_up
        seconds = all_reduce_s(size, float(ranks), link_bytes_per_s=link(joined).bytes_per_s, curve=curves.all_reduce)
        return float(2 * (ranks - 1) / ranks * size / seconds)

    assert bus_bytes_per_s(8, "pcie-4-x16") >= bus_bytes_per_s(2, "pcie-4-x16") / 3
    assert bus_bytes_per_s(8, "pcie-4-x16-bridge") < bus_bytes_per_s(2, "pcie-4-x16-bridge") / 3


def test_a_host_may_say_that_its_peers_share_the_bridge() -> None:
    def first_token_s(**more: str) -> float:
        load = {"isl": 4096, "osl": 2, "batch": 1}
        hardware = {"device": "l40s", "count": 8, **more}
        given = {"model": "Llama-3.1-70B", "hardware": hardware, "workload": load, "deployment": {"tp": 8}}
        return float(rl.estimate(given).ttft_s_mean)

    assert first_token_s(scale_up="pcie-4-x16-bridge") > 2 * first_token_s()
