"""What an engine refuses at its start: widths that its kernels cannot cut, contexts that its cache cannot hold,
requests that are longer than the model; and the cache as it logs it."""

from __future__ import annotations

from typing import Any

import pytest

import rooflab as rl
from rooflab.errors import InputError
from rooflab.memory.account import account
from rooflab.planner.space import candidates


def estimate(model: Any, hardware: str, workload: dict[str, Any] | None = None, **deployment: Any) -> Any:
    load = workload or {"isl": 1024, "osl": 512, "concurrency": 8}
    return rl.estimate({"model": model, "hardware": hardware, "workload": load, "deployment": deployment})


def test_blocks_of_fp8_divide_every_cut_width() -> None:
    # sgl-project/sglang 3345: 18,432 / 32 = 576 is no multiple of 128
    with pytest.raises(InputError, match=r"18,432 / 32 = 576 is no multiple of fp8-block's blocks of 128; tp 4, 8, 16"):
        estimate("deepseek-ai/DeepSeek-R1", "32 x h100-sxm", engine="sglang", tp=32)
    estimate("deepseek-ai/DeepSeek-R1", "16 x h200-sxm", engine="sglang", tp=16)
    estimate("deepseek-ai/DeepSeek-R1", "32 x h200-sxm", engine="sglang", tp=32, weights="bf16")


def test_groups_of_four_bit_weights_divide_them_too() -> None:
    # vllm-project/vllm 13640: 29,568 / 2 = 14,784 is no multiple of 128
    with pytest.raises(InputError, match=r"29,568 / 2 = 14,784 is no multiple of int4's blocks of 128"):
        estimate("Qwen/Qwen2-72B", "2 x a800-sxm-80gb", engine="vllm", tp=2, weights="int4")
    estimate("Qwen/Qwen2-72B", "2 x a800-sxm-80gb", engine="vllm", tp=2, weights="int8")


def test_experts_that_cannot_be_cut_are_spread_instead() -> None:
    # vllm-project/vllm 25292: 768 / 4 = 192
    with pytest.raises(InputError, match=r"experts' width .* tp 1, 2, or ep 4"):
        estimate("Qwen/Qwen3-30B-A3B-FP8", "4 x h100-sxm", engine="vllm", tp=4)
    estimate("Qwen/Qwen3-30B-A3B-FP8", "4 x h100-sxm", engine="vllm", tp=4, ep=4)
    load = {"isl": 1024, "osl": 512, "batch": 1}
    s = rl.load({"model": "Qwen/Qwen3-30B-A3B-FP8", "hardware": "4 x h100-sxm", "workload": load})
    tried = {(d.split.tp, d.split.ep) for d in candidates(s) if d.split.dp == 1 and d.split.pp == 1}
    assert (4, 4) in tried
    assert (4, 1) not in tried


def test_formats_that_a_plan_adds_are_cut_in_whole_blocks_too() -> None:
    load = {"isl": 512, "osl": 64, "concurrency": 4}
    s = rl.load({"model": "Qwen/Qwen2-72B", "hardware": "8 x a100-sxm-80gb", "workload": load})
    tried = candidates(s, quantise=True)
    assert {d.split.tp for d in tried if d.formats.weights == "int4"} == {1}
    assert {1, 2, 4, 8} <= {d.split.tp or 1 for d in tried if d.formats.weights != "int4"}


def test_vllm_does_not_start_with_a_context_that_its_cache_cannot_hold() -> None:
    load = {"isl": 1000, "osl": 100, "concurrency": 4}
    with pytest.raises(rl.Infeasible, match=r"max_model_len 131,072 wants 17\.2 GB .* at most [34]\d,\d\d\d tokens do"):
        estimate("meta-llama/Llama-3.1-8B-Instruct", "rtx-3090", load, engine="vllm", max_model_len=131072)
    estimate("meta-llama/Llama-3.1-8B-Instruct", "rtx-3090", load, engine="vllm", max_model_len=32768)
    # SGLang warns and starts
    estimate("meta-llama/Llama-3.1-8B-Instruct", "rtx-3090", load, engine="sglang", max_model_len=131072)


def test_a_plan_gives_no_engine_a_context_that_it_cannot_hold() -> None:
    given = {
        "model": "meta-llama/Llama-3.1-8B-Instruct", "hardware": "rtx-3090",
        "workload": {"isl": 1000, "osl": 100, "concurrency": 4}, "deployment": {"engine": "vllm"},
    }  # fmt: skip
    assert rl.plan({**given, "deployment": {"engine": "vllm", "max_model_len": 16384}}).best is not None
    assert not rl.plan({**given, "deployment": {"engine": "vllm", "max_model_len": 131072}}).choices


def test_requests_longer_than_the_model_are_refused_in_a_line() -> None:
    given = {
        "model": "microsoft/Phi-3-mini-4k-instruct", "hardware": "rtx-4090",
        "workload": {"isl": 12000, "osl": 1000, "concurrency": 2},
    }  # fmt: skip
    with pytest.raises(rl.Infeasible, match=r"12,000 and answers of 1,000 tokens exceed the context .*4,096 tokens"):
        rl.plan(given)
    assert rl.plan({**given, "deployment": {"engine": "vllm", "max_model_len": 16384}}).best is not None


@pytest.mark.parametrize(("kv", "bytes_a_token"), [("fp8", 61 * (656 + 132)), ("bf16", 61 * (1152 + 132))])
def test_cache_of_latent_attention_that_chooses_its_tokens(kv: str, bytes_a_token: int) -> None:
    # sgl-project/sglang 11309: 43.67 GiB for 975,424 tokens
    found = estimate(
        "deepseek-ai/DeepSeek-V3.2", "8 x b200-sxm", {"isl": 4096, "osl": 2, "batch": 8},
        engine="sglang", tp=1, dp=8, ep=8, kv=kv,
    )  # fmt: skip
    of = found.scenario
    assert account(of.model, of.hardware, [of.deployment]).kv_bytes_per_token[0] == pytest.approx(bytes_a_token)
    if kv == "fp8":
        assert bytes_a_token == pytest.approx(43.67 * 2**30 / 975_424, rel=0.001)


def test_llamacpp_takes_all_free_memory_for_the_users_there_are() -> None:
    # Q4_K_M files of both run on cards of 20 GB (llmfit, rx-7900-xt)
    for name, osl in (("google/gemma-2-27b", 183), ("Qwen/Qwen3-30B-A3B-Instruct-2507", 144)):
        found = estimate(name, "rx-7900-xt", {"isl": 64, "osl": osl, "batch": 1}, engine="llamacpp", weights="q4_k_m")
        limits = found.scenario.deployment.limits
        assert (limits.max_num_seqs, limits.max_num_batched_tokens) == (1, 512)
        assert found.free_bytes > 0
    eight = estimate("Llama-3.1-8B", "rtx-4090", {"isl": 64, "osl": 64, "concurrency": 8}, engine="llamacpp")
    assert eight.scenario.deployment.limits.max_num_seqs == 8


@pytest.mark.parametrize(
    ("hardware", "engine", "sequences"),
    [("h100-sxm", "vllm", 1024), ("mi300x", "vllm", 1024), ("a100-sxm-80gb", "vllm", 256), ("l40s", "vllm", 256),
     ("h100-sxm", "sglang", 256)],
)  # fmt: skip
def test_servers_hold_as_many_sequences_as_they_do_by_themselves(hardware: str, engine: str, sequences: int) -> None:
    found = estimate("Llama-3.1-8B", hardware, engine=engine)
    assert found.scenario.deployment.limits.max_num_seqs == sequences
    given = estimate("Llama-3.1-8B", hardware, engine=engine, max_num_seqs=77)
    assert given.scenario.deployment.limits.max_num_seqs == 77
