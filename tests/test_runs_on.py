"""Engines that are written for one maker's devices: told by an estimate, refused by a plan."""

from __future__ import annotations

import pytest

import rooflab as rl
from rooflab.catalogue.hardware import hardware
from rooflab.deploy.runs_on import runs_elsewhere

LOAD = {"isl": 512, "osl": 128, "concurrency": 4}


@pytest.mark.parametrize(
    ("engine", "device", "words"),
    [
        ("trtllm", "mi300x", "TensorRT-LLM runs on devices of NVIDIA, not on AMD"),
        ("mlx", "rtx-4090", "MLX runs on devices of Apple"),
        ("neuron", "h100-sxm", "Neuron runs on devices of AWS"),
    ],
)
def test_a_plan_refuses_an_engine_that_the_device_does_not_run(engine: str, device: str, words: str) -> None:
    with pytest.raises(rl.InputError, match=words):
        rl.plan({"model": "Llama-3.1-8B", "hardware": device, "workload": LOAD, "deployment": {"engine": engine}})


def test_engines_of_several_makers_are_left_alone() -> None:
    for engine in ("vllm", "sglang", "llamacpp", "transformers", "ideal", ""):
        for device in ("mi300x", "h100-sxm", "gaudi2", "apple-m4-max"):
            assert runs_elsewhere(engine, hardware(device).device) == ""
    assert runs_elsewhere("trtllm", hardware("gb200").device) == ""
