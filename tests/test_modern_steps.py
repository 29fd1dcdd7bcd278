"""What newer engines and models add to a step: ranks that schedule for themselves, small kernels, a rack's exchanges,
memory shares."""

from __future__ import annotations

import numpy as np
import pytest

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.costs.calibration import calibration_for
from rooflab.costs.compile import compile_steps
from rooflab.estimator.serving.front import estimate
from rooflab.estimator.serving.pools import decode_pool, estimate_pools
from rooflab.evidence.rows.recipes import recipe_cache
from rooflab.memory.account import account
from rooflab.operators.formats import formats_of
from rooflab.operators.ops import Elementwise
from rooflab.operators.split import Degrees
from rooflab.operators.step import step_operators
from rooflab.scenario.cluster import Pool
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload, read_lengths


def test_every_data_parallel_rank_schedules_its_own_sequences() -> None:
    shape, machine = model("deepseek-ai/DeepSeek-V3"), hardware("8 x b200-sxm")
    spread = [Deployment.of(engine="trtllm", tp=8 // dp, dp=dp, ep=8) for dp in (1, 8)]
    costs = compile_steps(shape, machine, spread)
    one, eight = costs.scalar("host_seq_s", np.arange(2))
    assert eight == pytest.approx(one / 8)
    assert one > 0


@pytest.mark.parametrize(("name", "launches"), [("Qwen/Qwen3-32B", 2.0), ("meta-llama/Llama-3.1-70B", 0.0)])
def test_norms_of_queries_and_keys_launch_kernels_of_their_own(name: str, launches: float) -> None:
    shape, machine = model(name), hardware("h100-sxm")
    formats = formats_of(shape, machine.device, Deployment.of(engine="vllm", tp=1))
    operators = step_operators(shape, formats, Degrees(1.0, 1.0, 1.0, 1.0, 1.0), np.array([[8.0]]), np.array([[8.0]]))
    assert sum(op.launches * op.count for op in operators if isinstance(op, Elementwise)) == launches * shape.layers


def test_exchanges_are_faster_over_a_rack_than_the_general_kernels_of_a_host() -> None:
    rack, host = (calibration_for(hardware(name).device).moe_all_to_all for name in ("gb200", "b200-sxm"))
    assert rack.a_s < host.a_s
    assert rack.b > host.b


def test_tensorrt_llm_shares_what_weights_leave_and_vllm_shares_memory() -> None:
    shape, machine = model("meta-llama/Llama-3.1-70B"), hardware("h100-sxm")
    limits = {"max_num_seqs": 256, "max_num_batched_tokens": 8192, "gpu_memory_utilization": 0.9}
    ours = {e: Deployment.of(engine=e, tp=1, weights="fp8", kv="fp8", **limits) for e in ("vllm", "trtllm")}
    free = {e: float(account(shape, machine, [d]).free_bytes[0]) for e, d in ours.items()}
    whole = account(shape, machine, [ours["trtllm"].changed(gpu_memory_utilization=1.0)])
    assert free["trtllm"] == pytest.approx(0.9 * float(whole.free_bytes[0]))
    assert free["vllm"] < free["trtllm"]
    assert float(account(shape, machine, [ours["trtllm"]]).capacity_bytes[0]) <= machine.device.memory_bytes


def test_a_decode_pool_alone_keeps_the_pace_of_the_whole() -> None:
    pools = (Pool(role="prefill", replicas=1, tp=4), Pool(role="decode", replicas=1, tp=4))
    load = Workload(concurrency=16, isl=read_lengths(1024, "isl"), osl=read_lengths(512, "osl"))
    whole = Scenario(
        model=model("meta-llama/Llama-3.1-70B"),
        hardware=hardware("8 x h100-sxm"),
        workload=load,
        deployment=Deployment.of(engine="vllm", pools=pools),
    )
    alone = estimate(decode_pool(whole))
    assert alone.metrics["tpot_s_mean"] == pytest.approx(estimate_pools(whole).metrics["tpot_s_mean"], rel=0.02)


@pytest.mark.parametrize(
    ("weights", "gpu", "name", "cache"),
    [
        ("fp8", "B200-SXM", "meta-llama/Llama-3.1-70B", "fp8"),
        ("bf16", "B200-SXM", "Qwen/Qwen3.5-397B-A17B", None),
        ("fp8-block", "H200-SXM-141GB", "zai-org/GLM-5", None),
    ],
)
def test_launch_scripts_tell_the_cache_format(weights: str, gpu: str, name: str, cache: str | None) -> None:
    row = {"source": "InferenceX", "model": name, "gpu": gpu, "precision_weights": weights}
    assert recipe_cache(row) == cache
    assert recipe_cache({**row, "source": "elsewhere"}) is None
