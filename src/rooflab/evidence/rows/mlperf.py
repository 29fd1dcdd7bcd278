"""MLPerf Inference: what its rules fix, and which deployments a submitter may choose among.

The rules fix the model, the data set (and with it the lengths), the accuracy and, for a server, latency limits at the
99th percentile.  Formats, splits and the tokens of a step are the submitter's choice, so a row is predicted as the best
legal deployment: of every split and step size, the one with the greatest throughput, or with the greatest rate of
requests that keeps the limits.  Submissions use all of this room: NVIDIA's of v5.1 pick tensor, pipeline and expert
parallelism and steps of 768 to 5,120 tokens by model, device and scenario; AMD's steps of up to 65,536
(closed/NVIDIA/configs and closed/AMD/code of inference_results_v5.1).

Latencies of a submission (v4.1 prints them) are those of its own load, which `with_stated_loads` puts beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Device, Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO
from rooflab.scenario.workload import Workload

__all__ = [
    "beams",
    "benchmark",
    "candidates",
    "ceiling_s",
    "engine_label",
    "formats",
    "is_mlperf",
    "is_tuned",
    "lengths",
    "limits",
    "reads_tokens",
    "stated_rate",
    "with_stated_loads",
]

STATED_RATE: Final = "stated_rate"
"""Column that `with_stated_loads` adds: requests a second of the submission that a latency belongs to."""

_PROMPT: Final = {
    "llama2-70b": 294.0,
    "llama3.1-405b": 9428.0,
    "mixtral-8x7b": 385.0,
    "gptj": 924.0,
    "llama3.1-8b": 778.0,
    "deepseek-r1": 800.0,
}
"""Mean prompt tokens of the data sets: OpenOrca, long-context mix, OpenOrca + GSM8K + MBXP, CNN/DailyMail, reasoning
mix.  Of the mixture's three parts OpenOrca has 294, GSM8K about the 662 of the example that the reference prints (its
questions come after worked ones: mlcommons/inference, language/mixtral-8x7b/standalone_infer/hf_eval_all.py), MBXP
about 200, assumed: a signature with its description and examples."""
_OUTPUT: Final = {"llama3.1-8b": 129.0, "gptj": 69.0, "gpt-oss-120b": 1278.2}
"""Mean output tokens where tables leave them out: logs of v5.1 count 129.0 tokens a sample (136,752 tokens/s at
1,060.23 samples/s); the `mlperf.conf` of GPT-J turns latencies into those of tokens by 69; TEST09 of gpt-oss-120b
(mlcommons/inference, `compliance/TEST09`) checks a mean of 1,278.20.  Nobody states the mean prompt of the last."""
_LIMITS: Final = {
    ("llama2-70b", "server"): SLO((("tpot_p99", 0.2), ("ttft_p99", 2.0))),
    ("llama2-70b", "interactive"): SLO((("tpot_p99", 0.04), ("ttft_p99", 0.45))),
    ("mixtral-8x7b", "server"): SLO((("tpot_p99", 0.2), ("ttft_p99", 2.0))),
    ("llama3.1-405b", "server"): SLO((("tpot_p99", 0.175), ("ttft_p99", 6.0))),
    ("llama3.1-405b", "interactive"): SLO((("tpot_p99", 0.08), ("ttft_p99", 4.5))),
    ("llama3.1-8b", "server"): SLO((("tpot_p99", 0.1), ("ttft_p99", 2.0))),
    ("llama3.1-8b", "interactive"): SLO((("tpot_p99", 0.03), ("ttft_p99", 0.5))),
    ("deepseek-r1", "server"): SLO((("tpot_p99", 0.08), ("ttft_p99", 2.0))),
    ("deepseek-r1", "interactive"): SLO((("tpot_p99", 0.015), ("ttft_p99", 1.5))),
    ("gpt-oss-120b", "server"): SLO((("tpot_p99", 0.08), ("ttft_p99", 3.0))),
    ("gpt-oss-120b", "interactive"): SLO((("tpot_p99", 0.015), ("ttft_p99", 2.0))),
    ("gptj", "server"): SLO((("e2e_p99", 20.0),)),
}
"""Latency limits in seconds, from the `mlperf.conf` of loadgen v4.1, v5.1 and v6.0 (ttft_latency, tpot_latency,
target_latency)."""
_BEAMS: Final = {"gptj": 4}
"""GPT-J is decoded by beam search of width 4 (reference implementation; `runtime_beam_width` of every submission)."""

_STEP_TOKENS: Final = (1024, 2048, 4096, 8192, 16384)
"""Tokens of a step that are tried."""
_SPLITS: Final = (1, 2, 4, 8)
_STAGES: Final = (1, 2)
_PIPELINES_SINCE: Final = "2025"
"""Pipeline stages: all 183 configurations of large models in v4.1 use one, those of v5.1 one or (Llama-3.1-405B)
two."""
_FREE_SHARE: Final = 0.95
"""Share of what the weights leave free that NVIDIA's submissions give to the cache (`kvcache_free_gpu_mem_frac`, 0.9 to
0.95 in closed/NVIDIA/configs)."""
_MOST_SEQUENCES: Final = 4096
"""Sequences an engine may hold; submissions set up to 4,096, so memory decides."""


_RELEASED: Final = "2025"
"""From when on releases of vLLM for ROCm held what AMD had tuned."""


def engine_label(row: Mapping[str, str], machine: Hardware) -> str:
    """The engine that a submission names; "PyTorch" of AMD's data-centre accelerators is the vendor's tuned vLLM.

    AMD's submissions of v4.1 and v5.1 run vLLM (closed/AMD/code); their partners' tables name its framework.
    """
    device = machine.device
    named = row["engine"].strip().lower()
    return (
        "vLLM" if named == "pytorch" and device.vendor == "AMD" and device.family.startswith("cdna") else row["engine"]
    )


def is_mlperf(row: Mapping[str, str]) -> bool:
    """Whether a row is one of MLPerf Inference."""
    return row["source"].startswith("MLPerf")


def is_tuned(row: Mapping[str, str], machine: Hardware) -> bool:
    """Whether the row is of kernels that nobody else had that year: AMD's of 2024, which it tuned for its submission
    (v4.1 reaches about what releases did in 2025)."""
    return is_mlperf(row) and row["date"] < _RELEASED and machine.device.family.startswith("cdna")


def benchmark(row: Mapping[str, str]) -> str:
    """The benchmark of a row: `llama2-70b-99.9` and `-99` are one at two accuracy targets, `-edge` the same for one
    user."""
    return row["model"].split("-99")[0].removesuffix("-edge").lower()


def lengths(row: Mapping[str, str]) -> tuple[float, float]:
    """Mean prompt and output tokens of the data set that the rules prescribe; 0 where this is not known."""
    name = benchmark(row)
    return _PROMPT.get(name, 0.0), _OUTPUT.get(name, 0.0)


def beams(row: Mapping[str, str]) -> int:
    """Width of the beam search that the rules prescribe."""
    return _BEAMS.get(benchmark(row), 1) if is_mlperf(row) else 1


def stated_rate(row: Mapping[str, str]) -> float | None:
    """Requests a second at which a latency was measured, where `with_stated_loads` found them."""
    return float(row[STATED_RATE]) if row.get(STATED_RATE) else None


def limits(row: Mapping[str, str]) -> SLO | None:
    """The latency limits under which a row was measured; None where there are none."""
    return _LIMITS.get((benchmark(row), row["scenario"])) if is_mlperf(row) else None


def reads_tokens(row: Mapping[str, str]) -> bool:
    """Whether a rate of "queries" counts tokens: summaries of v5.1 list interactive Llama-3.1-8B so.

    The log of the submission that they list with 102,903 queries/s counts 797.8 samples and 102,902.5 tokens a second.
    """
    return is_mlperf(row) and row["metric"] == "req_s" and benchmark(row) == "llama3.1-8b"


_NARROWEST: Final = {"blackwell": "nvfp4", "blackwell-rtx": "nvfp4", "cdna4": "mxfp4", "intel-gpu": "int4"}
"""Weights of every submission of v5.1 on a family of devices, but those of Mixtral, which are fp8 everywhere."""


def _submitted(row: Mapping[str, str], device: Device) -> str:
    """The weights that vendors submit on a device's family (v5.1, the last round that states them): four bits where the
    device multiplies them, else fp8, else int8."""
    if benchmark(row) != "mixtral-8x7b" and device.family in _NARROWEST:
        return _NARROWEST[device.family]
    return "fp8" if device.peak_flops.get("fp8") else "int8"


def ceiling_s(row: Mapping[str, str]) -> float:
    """What a valid submission's 99th percentile cannot exceed, in seconds: its limit; infinite where none is set."""
    name = {"ttft_p99_ms": "ttft_p99", "itl_p99_ms": "tpot_p99"}.get(row["metric"], "")
    found = limits(row)
    return dict(found.limits).get(name, math.inf) if found else math.inf


def formats(row: Mapping[str, str], machine: Hardware, weights: str | None) -> dict[str, Any]:
    """Formats beyond the stated `weights`: the narrowest that the accuracy targets allowed on a device, as vendors
    submit."""
    peaks = machine.device.peak_flops
    weights = weights or _submitted(row, machine.device)
    out: dict[str, Any] = {"weights": weights}
    if weights in ("fp8", "nvfp4", "mxfp4") and peaks.get("fp8"):
        out["kv"] = "fp8"
    if weights == "mxfp4" and peaks.get("fp4"):
        out["activations"] = "mxfp4"  # AMD's checkpoints of v5.1 are WMXFP4-AMXFP4-KVFP8
    return out


def _splits(gpus: int, shape: Model, stages: tuple[int, ...]) -> list[dict[str, Any]]:
    """Every split of engines of up to eight devices; experts with data-parallel attention over as many as there are."""
    most = min(gpus, max(_SPLITS))
    out = [{"tp": t, "pp": p, "replicas": max(gpus // (t * p), 1)} for t in _SPLITS for p in stages if t * p <= most]
    if shape.is_moe:
        out += [{"tp": 1, "dp": n, "ep": n, "replicas": gpus // n} for n in _SPLITS[1:] if n <= gpus]
    return out


def candidates(
    row: Mapping[str, str], shape: Model, machine: Hardware, workload: Workload, base: Deployment
) -> tuple[Scenario, ...]:
    """The scenarios among which a submitter of `row` could choose."""
    slo = limits(row) or SLO()
    scheduler = (
        "trtllm-max-utilization" if base.runtime.engine == "trtllm" else None
    )  # the harness's default, which no configuration changes
    share = _FREE_SHARE if base.runtime.engine == "trtllm" else None
    stages = _STAGES if row["date"] >= _PIPELINES_SINCE else (1,)
    return tuple(
        Scenario(
            model=shape,
            hardware=machine,
            workload=workload,
            deployment=base.changed(
                **split,
                scheduler=scheduler,
                max_num_batched_tokens=tokens,
                max_num_seqs=_MOST_SEQUENCES,
                gpu_memory_utilization=share,
            ),
            slo=slo,
        )
        for split in _splits(machine.count, shape, stages)
        for tokens in _STEP_TOKENS
    )


def _positive(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def with_stated_loads(rows: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Rows, those of MLPerf latencies with the rate of requests at which their submission ran (`stated_rate`).

    A submission's rows are those of one log: its tokens a second over its tokens a sample are the rate.
    """
    rates = {
        row["source_url_or_path"]: float(row["value"]) / float(row["osl"])
        for row in rows
        if row.get("source_url_or_path")
        and is_mlperf(row)
        and row["metric"] == "output_tok_s"
        and _positive(row["osl"])
    }
    out: list[Mapping[str, str]] = []
    for row in rows:
        place = row.get("source_url_or_path", "")
        latency = is_mlperf(row) and row["metric"].startswith(("ttft", "itl", "e2e"))
        out.append({**row, STATED_RATE: f"{rates[place]:.6g}"} if latency and place in rates else row)
    return out
