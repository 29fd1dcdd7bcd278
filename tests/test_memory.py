"""Memory accounts against hand arithmetic, and the laws of what fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rooflab as rl
from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.memory.account import account
from rooflab.scenario.deployment import Deployment

H100 = hardware("8 x h100-sxm")


def one(name: str, machine=H100, **fields: object):
    return account(model(name), machine, [Deployment.of(engine="vllm", **{"tp": 1, **fields})])


@pytest.mark.parametrize(
    ("name", "fields", "gigabytes"),
    [
        ("Llama-3.1-8B", {}, 16.06),
        ("Llama-3.1-70B", {"tp": 8}, 141.1 / 8),
        ("Llama-3.1-70B", {"tp": 4, "weights": "fp8"}, (68.5 + 2 * 2.1) / 4),
        ("Mixtral-8x7B-v0.1", {"tp": 2}, 93.4 / 2),
        ("openai/whisper-large-v3", {}, 3.09),  # as stored in 16 bits
        ("DeepSeek-V3", {"tp": 8}, 675 / 8),
        ("gpt-oss-120b", {}, 64.38 * 1.0737),  # logged on an H100 (vllm-project/vllm 33155); the checkpoint has 65.3
    ],
)
def test_weights_on_a_device(name: str, fields: dict[str, object], gigabytes: float) -> None:
    assert one(name, **fields).weights_bytes[0] / 1e9 == pytest.approx(gigabytes, rel=0.02)


def test_cache_of_one_sequence_by_hand() -> None:
    assert one("Llama-3.1-8B").sequence_bytes(np.array([1000.0]))[0] == 131_072 * 1000
    assert one("Llama-3.1-70B", tp=8).sequence_bytes(np.array([1000.0]))[0] == 80 * 2 * 128 * 2 * 1000
    # 8 KV heads over 16 ranks: each rank keeps a whole head, so the cache of a rank stops shrinking
    wide = hardware("16 x h100-sxm")
    assert one("Llama-3.1-70B", wide, tp=16).sequence_bytes(np.array([1000.0]))[0] == 80 * 2 * 128 * 2 * 1000
    assert one("DeepSeek-V3", tp=8).sequence_bytes(np.array([1000.0]))[0] == 61 * 576 * 2 * 1000


def test_sliding_layers_keep_their_window() -> None:
    memory = one("gpt-oss-20b")
    per_layer = 8 * 128 * 2
    assert memory.sequence_bytes(np.array([4096.0]))[0] == 12 * per_layer * 4096 + 12 * per_layer * 128


def test_recurrent_layers_keep_a_state_whatever_the_length() -> None:
    memory = one("nvidia/Nemotron-H-56B-Base-8K", tp=8)
    short, long = memory.sequence_bytes(np.array([1.0]))[0], memory.sequence_bytes(np.array([1001.0]))[0]
    assert memory.state_bytes[0] > 0
    assert long - short == pytest.approx(float(memory.kv_bytes_per_token[0]) * 1000)


def test_pipeline_stages_hold_their_layers() -> None:
    whole, staged = one("Llama-3.1-70B", tp=4), one("Llama-3.1-70B", tp=4, pp=2)
    assert staged.weights_bytes[0] == pytest.approx(whole.weights_bytes[0] / 2, rel=1e-3)


@given(st.sampled_from(("Llama-3.1-8B", "Qwen3-30B-A3B", "gemma-2-9b")), st.integers(1, 100_000), st.floats(1, 4))
def test_more_memory_or_shorter_sequences_hold_more(name: str, length: int, factor: float) -> None:
    small = one(name)
    large = one(name, replace(H100, device=replace(H100.device, memory_bytes=H100.device.memory_bytes * factor)))
    at = np.array([float(length)])
    assert large.sequences(at)[0] >= small.sequences(at)[0]
    assert small.sequences(at / 2)[0] >= small.sequences(at)[0]


@given(st.sampled_from(("Llama-3.1-70B", "Qwen3-30B-A3B")), st.sampled_from((1, 2, 4, 8)), st.integers(16, 4096))
def test_nothing_exceeds_the_device(name: str, tp: int, length: int) -> None:
    memory = one(name, tp=tp)
    if not memory.fits[0]:
        return
    held = np.floor(memory.sequences(np.array([float(length)])))
    used = (
        memory.weights_bytes
        + memory.activations_bytes
        + memory.reserve_bytes
        + held * memory.sequence_bytes(np.array([float(length)]))
    )
    assert used[0] <= H100.device.memory_bytes * 0.9 * (1 + 1e-9)


class TestLlamacpp:
    """What llama.cpp's files hold, and where the cache of layers on the CPU lies."""

    @staticmethod
    def account_of(model: str, **deployment: object) -> rl.Scenario:
        asked = {"engine": "llamacpp", **deployment}
        one = {"isl": 512, "osl": 128, "concurrency": 1}
        return rl.load({"model": model, "hardware": "1 x rtx-4090", "workload": one, "deployment": asked})

    def test_formats_that_its_files_have_not_are_those_that_they_are_converted_to(self) -> None:
        of = {f: rl.estimate(self.account_of("Qwen/Qwen3-8B", weights=f)).metrics for f in ("fp8", "int8", "q8_0")}
        assert of["fp8"]["weights_bytes"] == of["int8"]["weights_bytes"] == of["q8_0"]["weights_bytes"]
        kv = {f: rl.estimate(self.account_of("Qwen/Qwen3-8B", weights="q8_0", kv=f)).metrics for f in ("fp8", "q8_0")}
        assert kv["fp8"]["kv_bytes"] == kv["q8_0"]["kv_bytes"]

    def test_the_cache_follows_the_layers(self) -> None:
        def held(layers: int) -> float:
            split = {"gpu_layers": layers}
            asked = self.account_of("meta-llama/Llama-3.1-8B-Instruct", weights="q4_k_m", offload=split)
            return float(rl.estimate(asked).metrics["kv_bytes"])

        whole = held(32)
        assert held(16) == pytest.approx(whole / 2)
        assert held(0) == pytest.approx(whole)  # all of it on the host, where it is what is counted

    def test_a_host_without_room_for_its_layers_cache_bounds_the_sequences(self) -> None:
        def most(host: float) -> float:
            asked = self.account_of("meta-llama/Llama-3.1-8B-Instruct", weights="q4_k_m", max_num_seqs=4096,
                                    offload={"gpu_layers": 8})  # fmt: skip
            tiers = tuple(replace(t, bytes=host) if t.name == "dram" else t for t in asked.hardware.tiers)
            smaller = replace(asked, hardware=replace(asked.hardware, tiers=tiers))
            return float(rl.estimate(smaller).metrics["max_running"])

        assert most(6e9) < most(16e9) < most(64e9)
