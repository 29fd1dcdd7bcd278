"""Cases from public reports that nothing else tests: memory of engines within a tenth, speeds within a fifth.

The others: formats as stored in test_stored_formats, architectures in test_architectures, splits and contexts in
test_start_up, desktops in test_public_reports, users and engines in test_closed_form_edges and test_plan.
"""

from __future__ import annotations

from typing import Any

import pytest

import rooflab as rl
from rooflab.deploy.complete import complete
from rooflab.memory.account import account

GIB = 2.0**30
SMALL = {"isl": 1024, "osl": 512, "concurrency": 8}


def estimate(model: str, hardware: Any, workload: dict[str, Any], **deployment: Any) -> Any:
    return rl.estimate({"model": model, "hardware": hardware, "workload": workload, "deployment": deployment})


def test_gpt_oss_on_one_hopper_card_in_vllm() -> None:
    # vllm-project/vllm 27508, 33155: 64.38 GiB after loading, 1.71 left for the cache at 0.95 with 1,024 tokens a step
    found = estimate(
        "openai/gpt-oss-120b", "h100-sxm", SMALL, engine="vllm", gpu_memory_utilization=0.95,
        max_num_batched_tokens=1024,
    )  # fmt: skip
    assert found.weights_bytes / GIB == pytest.approx(64.38, rel=0.01)
    assert (found.free_bytes + found.kv_bytes) / GIB == pytest.approx(1.71, abs=0.5)
    # 23278: -2.14 GiB at its default of 0.9
    with pytest.raises(rl.Infeasible, match="0 B remain beside activations and reserve"):
        estimate("openai/gpt-oss-120b", "h100-sxm", SMALL, engine="vllm")


def test_marlin_pads_each_cut_of_an_expert() -> None:
    # 17.2 GiB a device on 4 x A100 (log in dennislee22/vLLM-benchmarking): 2,880 / 4 = 720 becomes 768, 2,880 3,072
    found = estimate("openai/gpt-oss-120b", "4 x a100-sxm-80gb", SMALL, engine="vllm", tp=4)
    assert found.weights_bytes / GIB == pytest.approx(17.2, rel=0.02)
    # vllm-project/vllm 33155's model on the kernels that pad nothing
    plain = estimate("openai/gpt-oss-120b", "4 x a100-sxm-80gb", SMALL, engine="trtllm", tp=4)
    assert plain.weights_bytes < 0.92 * found.weights_bytes


def test_sglang_keeps_the_scales_that_it_loaded_beside_those_for_marlin() -> None:
    # SemiAnalysisAI/InferenceX 2128: 125.65 GiB a device, no start at 0.88, one at 0.9113
    load = {"isl": 8192, "osl": 1024, "concurrency": 1}
    model, hardware, split = "deepseek-ai/DeepSeek-V4-Pro", "8 x h200-sxm", {"engine": "sglang", "tp": 8}
    with pytest.raises(rl.Infeasible, match="does not fit"):
        estimate(model, hardware, load, **split, gpu_memory_utilization=0.88)
    found = estimate(model, hardware, load, **split, gpu_memory_utilization=0.9113)
    assert found.weights_bytes / GIB == pytest.approx(125.65, rel=0.03)
    # with whole experts on a device, or in vLLM, there is one set of scales
    assert estimate(model, hardware, load, engine="vllm", tp=8).weights_bytes < 0.85 * found.weights_bytes


def test_a_step_of_vllm_draws_for_all_the_sequences_that_it_takes() -> None:
    # vllm-project/vllm 10511: 1.26 GiB for Llama-3-8B and 256 sequences, on one device as on each of two
    for tp in (1, 2):
        s = {"model": "Llama-3-8B", "hardware": f"{tp} x h100-sxm", "workload": SMALL}
        own = complete(rl.load({**s, "deployment": {"engine": "vllm", "tp": tp, "max_num_seqs": 256}}))
        held = account(own.model, own.hardware, [own.deployment])
        assert held.activations_bytes[0] / GIB == pytest.approx(1.26, rel=0.02)
    # 10517: a 3090 takes 31 to 35 thousand tokens of Llama-3.1-8B under 0.6.4; a 4090 under 0.19 logs 41,408
    with pytest.raises(rl.Infeasible, match=r"at most (3[1-9]|4[01]),\d\d\d tokens do"):
        estimate("Llama-3.1-8B", "rtx-3090", SMALL, engine="vllm", max_model_len=131072)


def test_a_prompt_over_pcie_on_cards_of_half_the_rate() -> None:
    # vllm-project/vllm 4852: first token after 427 ms, 39.3 ms a token
    found = estimate(
        "Qwen/Qwen1.5-72B", "8 x l20", {"isl": 1024, "osl": 50, "batch": 1}, engine="vllm", tp=8, cuda_graphs=False
    )  # fmt: skip
    assert found.ttft_s_mean == pytest.approx(0.427, rel=0.2)
    assert found.tpot_s_mean == pytest.approx(0.0393, rel=0.2)


TURING = {"device": "rtx-2080", "tiers": [{"name": "dram", "size": "62 GB", "bandwidth": "102 GB/s"}]}


@pytest.mark.xfail(strict=True, reason="mxfp4 on ten cores of 2019 is bound by their arithmetic, which is not known")
def test_experts_of_gpt_oss_on_a_processor() -> None:
    # AlexsJones/llmfit 775: 36.4 tokens/s with --n-cpu-moe 12
    load = {"isl": 64, "osl": 248, "batch": 1}
    found = estimate("openai/gpt-oss-20b", TURING, load, engine="llamacpp", offload={"cpu_experts": 12})
    assert found.output_tokens_per_s == pytest.approx(36.4, rel=0.2)


@pytest.mark.xfail(strict=True, reason="33 ms a token, of which kernels and the engine's known host time explain 14")
def test_sparse_latent_attention_for_one_user_on_hopper() -> None:
    # vllm-project/vllm 30832: 30 tokens/s, vLLM 0.13
    load = {"isl": 1024, "osl": 512, "concurrency": 1}
    found = estimate("deepseek-ai/DeepSeek-V3.2", "8 x h20", load, engine="vllm", tp=8)
    assert found.tpot_s_mean == pytest.approx(0.033, rel=0.2)
