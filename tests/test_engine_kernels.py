"""Engines whose kernels no table times: each factor acts on its own part, and never makes more hardware worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rooflab as rl
from rooflab.catalogue.hardware import hardware
from rooflab.costs.engine_constants import EngineOverhead, active, engine_overhead, using
from rooflab.costs.price import bench_for
from rooflab.errors import RooflabError
from rooflab.evidence.rows.serving import Unsupported, question
from rooflab.operators.split import Degrees
from rooflab.scenario.deployment import Deployment


def times(
    changes: Mapping[str, Any], *, isl: int = 4096, device: str = "a100-sxm-80gb", **deployment: Any
) -> tuple[float, float]:
    """Seconds to the first token and per token of one prompt, under llama.cpp constants that are neutral but for
    `changes`."""
    table = active()
    neutral = EngineOverhead(fixed_s=0.0, layer_s=0.0, sequence_s=0.0)
    with using(replace(table, engines={"llamacpp": replace(neutral, **changes)}, devices={})):
        found = rl.estimate(
            {
                "model": "llama-3.1-8b",
                "hardware": {"device": device, "count": deployment.get("pp", 1)},
                "workload": {"batch": 1, "isl": isl, "osl": 64},
                "deployment": {"engine": "llamacpp", "tp": 1, "max_num_batched_tokens": 512, **deployment},
            }
        )
    return found.metrics["ttft_s_mean"], found.metrics["tpot_s_mean"]


@pytest.mark.parametrize(
    ("change", "deployment", "first", "each"),
    [
        ({"arithmetic": 2.0}, {"weights": "fp16"}, True, False),
        ({"unpacking": 2.0}, {"weights": "q4_k_m"}, True, False),
        ({"unpacking": 2.0}, {"weights": "fp16"}, False, False),
        ({"prefill_attention": 5.0}, {"weights": "fp16"}, True, False),
        ({"decode_attention": 5.0}, {"weights": "fp16"}, False, True),
        ({"regroup": 0.5}, {"weights": "fp16"}, False, True),
        ({"prompt_s": 0.01}, {"weights": "fp16"}, True, False),
        ({"read_s_per_byte": 2e-12}, {"weights": "fp16"}, True, True),
    ],
)
def test_a_factor_slows_its_own_part(
    change: dict[str, float], deployment: dict[str, Any], first: bool, each: bool
) -> None:
    plain, slowed = times({}, **deployment), times(change, **deployment)
    assert (slowed[0] > plain[0] * 1.02) == first
    assert (slowed[1] > plain[1] * 1.02) == each
    assert all(b >= a * (1 - 1e-9) for a, b in zip(plain, slowed, strict=True))


def test_reads_in_flight_cap_what_memory_gives() -> None:
    """With 1 ps a byte a device with twice the bandwidth is hardly faster, and never slower."""
    slow, fast = (times({"read_s_per_byte": 1e-12}, device=d, weights="fp16")[1] for d in ("h100-sxm", "h200-sxm"))
    free = [times({}, device=d, weights="fp16")[1] for d in ("h100-sxm", "h200-sxm")]
    assert fast <= slow * 1.001  # their tables differ by as much
    assert slow / fast < 1.1 < free[0] / free[1]
    assert slow > 16e9 * 1e-12 * 0.95


def test_factors_on_tables_say_nothing_of_devices_without() -> None:
    mine = EngineOverhead(arithmetic=3.0, unpacking=3.0, memory=0.5, read_s_per_byte=1e-12, launch=1.2)
    with using(replace(active(), engines={"llamacpp": mine})):
        deployment = Deployment.of(engine="llamacpp")
        here, there = (engine_overhead(deployment.runtime, moe=False, family=f) for f in ("ampere", "apple"))
    assert (here.arithmetic, here.read_s_per_byte) == (3.0, 1e-12)
    assert (there.arithmetic, there.unpacking, there.memory, there.read_s_per_byte, there.launch) == (
        1.0,
        1.0,
        1.0,
        0.0,
        1.2,
    )


def test_micro_batches_of_a_prompt_follow_each_other_through_the_stages() -> None:
    """Two chunks over four stages take (2 + 3)/4 of one chunk through all, against 2; but for the sends between
    stages."""
    one = times({}, isl=1024, weights="fp16")[0]
    four = times({}, isl=1024, weights="fp16", pp=4)[0]
    assert four / one == pytest.approx(5 / 8, rel=0.03)
    assert times({}, isl=512, weights="fp16", pp=4)[0] == pytest.approx(times({}, isl=512, weights="fp16")[0], rel=0.03)


def test_fp16_sums_double_the_rate_of_geforce_cards_only() -> None:
    def peak(device: str, engine: str) -> float:
        d = Deployment.of(engine=engine)
        return bench_for(hardware({"device": device}), engine, engine_overhead(d.runtime, moe=False)).datasheet("fp16")

    assert peak("rtx-4090", "llamacpp") == pytest.approx(330e12, rel=0.01)
    assert peak("rtx-4090", "vllm") == pytest.approx(165e12, rel=0.01)
    assert peak("a100-sxm-80gb", "llamacpp") == peak("a100-sxm-80gb", "vllm")


def test_heads_pad_over_cores() -> None:
    padded = Degrees(16.0, 1.0, 1.0, 1.0, 1.0, padded=2.0)
    assert padded.heads_here(40) == 4.0  # 64 heads over 32 cores
    assert padded.kv_heads_here(8) == 2.0  # one a core
    plain = replace(padded, padded=0.0)
    assert (plain.heads_here(40), plain.kv_heads_here(8)) == (2.5, 1.0)


ROW = {
    "id": "x", "source": "s", "date": "2024-05", "engine": "llama.cpp", "engine_version": "", "model": "Llama 3 8B",
    "precision_weights": "F16", "precision_activations": "", "precision_kv": "", "gpu": "NVIDIA A100 SXM 80GB",
    "num_gpus": "4",
    "tp": "", "pp": "4", "ep": "", "batch_or_concurrency": "1", "isl": "1024", "osl": "1024", "scenario": "batch1",
    "metric": "decode_tok_s", "value": "45", "per_gpu": "0",
    "notes": "A100 SXM and L40S 8B-F16 prefill values look anomalous in source",
}  # fmt: skip


@pytest.mark.parametrize("split", [{"tp": "", "pp": "4"}, {"tp": "4", "pp": "1"}])
def test_cards_of_llama_cpp_are_stages(split: dict[str, str]) -> None:
    scenarios = question({**ROW, **split}).scenarios
    assert [(s.deployment.split.tp, s.deployment.split.pp) for s in scenarios] == [(1, 4)]


def test_values_that_the_table_calls_anomalous_are_not_scored() -> None:
    with pytest.raises(Unsupported, match="anomalous"):
        question({**ROW, "metric": "prefill_tok_s"})
    assert question({**ROW, "metric": "prefill_tok_s", "gpu": "NVIDIA A100 PCIe 80GB"}).measured == 45


def test_llama_cpp_is_split_by_layers_unless_told() -> None:
    scenario: dict[str, Any] = {
        "model": "llama-3.1-70b",
        "hardware": {"device": "rtx-3090", "count": 4},
        "workload": {"batch": 1, "isl": 512, "osl": 64},
        "deployment": {"engine": "llamacpp", "weights": "q4_k_m"},
    }
    chosen = rl.estimate(scenario).scenario.deployment
    assert (chosen.split.tp, chosen.split.pp) == (1, 3)
    told = rl.estimate({**scenario, "deployment": {**scenario["deployment"], "tp": 4}}).scenario.deployment
    assert (told.split.tp, told.split.pp) == (4, 1)


def test_truth_rows_of_several_cards_are_answered() -> None:
    path = Path(__file__).parents[1].parent / "shared" / "truth" / "serving" / "measurements.csv"
    if not path.exists():
        pytest.skip("no truth rows here")
    import csv

    from rooflab.estimator.serving.front import estimate_many

    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            r for r in csv.DictReader(file) if r["source"] == "GPU-Benchmarks-on-LLM-Inference" and r["num_gpus"] == "4"
        ]
    asked = []
    for row in rows:
        try:
            asked.append(question(row))
        except Unsupported:
            continue
    assert asked
    assert not any(isinstance(r, RooflabError) for r in estimate_many([q.scenarios[0] for q in asked]))
