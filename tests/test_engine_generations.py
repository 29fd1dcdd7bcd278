"""Generations, hosts and backends of engines: how one stands for another, and what published rows say of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rooflab as rl
from rooflab.costs.engine_constants import (
    DeviceFactors,
    EngineOverhead,
    ServingCalibration,
    active,
    engine_overhead,
    era,
)
from rooflab.evidence.fit.priors import ENGINE_PRIORS
from rooflab.evidence.refit.serving.constants import engine_priors, newest_first
from rooflab.evidence.rows.serving import question
from rooflab.evidence.rows.tables import Row, Table, read_table
from rooflab.evidence.score.score import Scored, score
from rooflab.scenario.runtime import Runtime


def entry(name: str, **constants: float) -> EngineOverhead:
    return EngineOverhead(source=name, **constants)


@pytest.mark.parametrize(
    ("engine", "version", "generation"),
    [
        ("trtllm", "0.7.1", "2023"), ("trtllm", "0.8.0", "2024-02"), ("trtllm", "2024-02", "2024-02"),
        ("trtllm", "0.9.0", "2024-02"), ("trtllm", "0.10", "2024"), ("trtllm", "1.2.0rc6", "2025"),
        ("sglang", "0.4.6", "2024"), ("sglang", "0.5.2", "2025"), ("sglang", "", "2025"), ("llamacpp", "b3000", "2024"),
        ("llamacpp", "b6500", "2025"), ("llamacpp", "2024-05", "2024"), ("vllm", "tuned 2024-08", "2024"),
    ],
)  # fmt: skip
def test_generations(engine: str, version: str, generation: str) -> None:
    assert era(engine, version) == generation


def test_what_stands_for_an_entry_that_is_not_there() -> None:
    dense, backend = entry("dense", arithmetic=2.0), entry("cdna2")
    table = ServingCalibration(
        name="", engines={"trtllm@2023/dense": dense, "vllm@2024/dense:cdna2": backend, "vllm@2024/dense": entry("any")}
    )
    assert table.engine("trtllm", "2023", "moe") is dense, "mixtures run on the engine's own kernels"
    assert table.engine("trtllm", "2024-02", "moe") is dense, "the nearest generation, before the prior"
    assert table.engine("vllm", "2024", "dense", "cdna3") is backend, "another family of the vendor, before CUDA's"
    assert table.engine("vllm", "2024", "dense", "cdna3", borrows=False).source == "any"
    assert table.engine("vllm", "2025", "dense", "cdna3").source == "any", "kernels of another year are others"
    assert table.engine("vllm", "2024", "dense", "gaudi").source == "any"


def test_factors_of_a_vendors_devices_belong_to_a_generation() -> None:
    machine = rl.load({"model": "meta-llama/Llama-3.1-8B", "hardware": "mi300x", "workload": {"batch": 1}}).hardware
    table = ServingCalibration(
        name="", devices={"cdna2@2024": DeviceFactors(memory=0.5), "cdna3": DeviceFactors(memory=0.9)}
    )
    assert table.device(machine.device, "2024").memory == 0.5
    assert table.device(machine.device, "2025").memory == table.device(machine.device).memory == 0.9


def test_a_vendors_tuned_build_is_another_one() -> None:
    tuned, stock = (Runtime(engine="vllm", engine_version=v) for v in ("tuned 2024-08", "2024-08"))
    found = [engine_overhead(r, moe=False, family="cdna3") for r in (tuned, stock)]
    assert found[0].source == active().engines["vllm@2024/dense"].source
    assert found[1].source == active().engines["vllm@2024/dense:cdna2"].source


def tpot_s(**changes: object) -> float:
    told: dict[str, object] = {"engine": "transformers", "tp": 1, "weights": "bf16"} | changes
    model = str(told.pop("model", "Qwen/Qwen2.5-7B-Instruct"))
    batch = told.pop("batch", 1)
    return rl.estimate(
        {"model": model, "hardware": "a100-sxm-80gb", "workload": {"batch": batch, "isl": 64, "osl": 64},
         "deployment": told}
    ).tpot_s_mean  # fmt: skip


def test_an_eager_engines_launches_and_kernels_hide_each_other() -> None:
    # 1.5B and 7B both have 28 layers: as long as launches are longer than kernels, a step is the launches
    small, large = tpot_s(model="Qwen/Qwen2.5-1.5B-Instruct"), tpot_s()
    assert large == pytest.approx(small, rel=0.02)
    layers = {"Qwen/Qwen2.5-0.5B-Instruct": 24, "Qwen/Qwen2.5-3B-Instruct": 36}
    per_layer = [tpot_s(model=m) / n for m, n in layers.items()]
    assert per_layer[0] == pytest.approx(per_layer[1], rel=0.03)
    # kernels that are longer hide the launches
    graphed, eager = (tpot_s(engine=e, batch=256) for e in ("ideal", "transformers"))
    assert eager > graphed


def test_a_simulated_eager_step_is_the_estimated_one() -> None:
    s = rl.load(
        {"model": "Qwen/Qwen2.5-7B-Instruct", "hardware": "a100-sxm-80gb",
         "workload": {"batch": 1, "isl": 512, "osl": 64}, "deployment": {"engine": "transformers", "tp": 1}}
    )  # fmt: skip
    assert rl.simulate(s).metrics["tpot_s_mean"] == pytest.approx(rl.estimate(s).tpot_s_mean, rel=0.02)


def test_parts_of_an_eager_step_add_up() -> None:
    s = {
        "model": "Qwen/Qwen2.5-7B-Instruct",
        "hardware": "a100-sxm-80gb",
        "workload": {"batch": 1, "isl": 64, "osl": 64},
        "deployment": {"engine": "transformers", "tp": 1},
    }
    found = rl.estimate(s)
    assert found.metrics["share_host"] > 0.4
    assert sum(v for k, v in found.metrics.items() if k.startswith("share_")) == pytest.approx(1.0)


def test_hosts_are_ordered() -> None:
    fast, slow, contended = (tpot_s(engine="vllm", host=h) for h in ("fast", "slow", "contended"))
    assert fast < slow < contended
    assert 0.015 < contended - fast < 0.03


def test_experts_that_no_kernel_fuses_are_launched_one_by_one() -> None:
    def step_s(version: str, experts: str) -> float:
        told = {"engine": "sglang", "engine_version": version, "tp": 1, "weights": experts}
        return rl.estimate(
            {"model": "Qwen/Qwen3-30B-A3B", "hardware": "h100-sxm", "workload": {"batch": 1, "isl": 64, "osl": 64},
             "deployment": told}
        ).tpot_s_mean  # fmt: skip

    # 48 layers of 128 experts at 6 µs
    assert step_s("0.4.6", "int4") - step_s("0.5.2", "int4") == pytest.approx(48 * 128 * 6e-6, rel=0.05)
    # generations have host times of their own
    assert step_s("0.4.6", "fp8") == pytest.approx(step_s("0.5.2", "fp8"), rel=0.1)


@pytest.fixture(scope="module")
def truth() -> tuple[Row, ...]:
    path = Path(__file__).resolve().parents[1].parent / "shared" / "truth" / "serving" / "measurements.csv"
    if not path.is_file():
        pytest.skip("no shared data beside this checkout")
    return read_table(path).rows


def scored(rows: list[Row]) -> tuple[Scored, ...]:
    return score(Table("serving", tuple(rows), "rows")).scored


def error(rows: list[Row]) -> float:
    return float(np.median([r.error for r in scored(rows)]))


def bias(rows: list[Row]) -> float:
    return float(np.median([r.predicted / r.measured - 1.0 for r in scored(rows)]))


def static_trtllm(truth: tuple[Row, ...], *versions: str) -> list[Row]:
    rows = [r for r in truth if r["source"] == "TRT-LLM perf-overview (static)" and r["metric"] == "output_tok_s"]
    return [r for r in rows if r["engine_version"] in versions]


def test_tensorrt_llm_of_early_2024(truth: tuple[Row, ...]) -> None:
    dense = [r for r in static_trtllm(truth, "0.8.0", "0.9.0") if "Mixtral" not in r["model"]]
    assert error(dense) < 0.065
    assert abs(bias([r for r in dense if "70B" in r["model"]])) < 0.06


def test_eager_transformers(truth: tuple[Row, ...]) -> None:
    rows = [r for r in truth if r["source"] == "Qwen2.5 speed benchmark" and r["engine"] == "Transformers"]
    assert error(rows) < 0.10


def test_a_processor_that_is_shared(truth: tuple[Row, ...]) -> None:
    rows = [r for r in truth if r["source"] == "ML.ENERGY leaderboard" and "B200" in r["gpu"] and r["num_gpus"] == "1"]
    shared = [r for r in rows if "task=gpqa" in r["notes"] and "gpt-oss" not in r["model"]]
    assert len(shared) > 40
    assert error([r for r in shared if not r["metric"].endswith("p99_ms")]) < 0.15
    chat = [r for r in rows if "lm-arena-chat" in r["notes"] and r["metric"] in ("itl_ms", "output_tok_s")]
    assert all(question(r).scenarios[0].deployment.runtime.host == "slow" for r in chat)


def test_stacks_that_compile_a_step_know_no_launches_of_gpus() -> None:
    on_gpus = entry("gpus", fixed_s=4e-3, layer_s=4e-5, sequence_s=7e-5, skew=2.0)
    table = ServingCalibration(name="", engines={"vllm@2025/dense": on_gpus})
    compiled = table.engine("vllm", "2025", "dense", "gaudi")
    assert (compiled.fixed_s, compiled.layer_s, compiled.skew) == (table.prior.fixed_s, table.prior.layer_s, 1.0)
    assert table.engine("vllm", "2025", "dense", "cdna3").fixed_s == 4e-3, "other vendors' launches are launches"


def test_a_generation_without_graphs_is_not_one_with_them() -> None:
    graphs = entry("graphs", layer_s=2e-5)
    table = ServingCalibration(name="", engines={"vllm@2024/dense": graphs})
    assert table.engine("vllm", "2023", "dense").layer_s == pytest.approx(2e-5 + table.eager_layer_s)
    assert table.engine("vllm", "2025", "dense") is graphs
    own = ServingCalibration(name="", engines={"vllm@2023/dense": graphs})
    assert own.engine("vllm", "2023", "dense") is graphs, "its own rows tell what launches take"


def test_an_engine_without_rows_is_like_another_of_its_kind() -> None:
    table = ServingCalibration(name="", engines={"vllm@2023/dense": entry("alike")})
    assert table.engine("deepspeed", "2025", "moe").source == "alike"
    assert table.engine("sglang", "2025", "moe") is table.prior


def test_hosts_are_expected_to_be_the_next_generations() -> None:
    fitted = replace(entry("later", fixed_s=2e-3, sequence_s=3e-5), provenance="fitted")
    table = ServingCalibration(name="", engines={"trtllm@2025/dense": fitted})
    priors = engine_priors("trtllm@2024/dense", (), EngineOverhead(), table)
    assert (priors["fixed_s"].mean, priors["sequence_s"].mean) == (2e-3, 3e-5)
    assert priors["skew"] == ENGINE_PRIORS["skew"], "kernels and ranks are not the host's"
    assert engine_priors("trtllm@2025/dense", (), EngineOverhead(), table)["fixed_s"] == ENGINE_PRIORS["fixed_s"]
    keys = ["vllm@2023/dense", "llamacpp@2025/dense", "vllm@2025/moe", "vllm@2025/dense", "llamacpp@2024/dense"]
    assert newest_first(keys) == [
        "llamacpp@2024/dense", "llamacpp@2025/dense", "vllm@2025/dense", "vllm@2025/moe", "vllm@2023/dense",
    ]  # fmt: skip
