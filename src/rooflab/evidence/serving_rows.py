"""A published serving measurement → the scenario that it measured, or the reason why it cannot be modelled.

Columns are those of the truth tables: source, engine, engine_version, model, precision_*, gpu, num_gpus, tp, pp, ep,
batch_or_concurrency, isl, osl, scenario, metric, value, per_gpu, notes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.errors import InputError
from rooflab.scenario.cluster import Pool
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO
from rooflab.scenario.workload import Workload, read_lengths

__all__ = ["METRICS", "TASKS", "Prompts", "Question", "Unsupported", "question"]

_ENGINES: Final = {
    "vllm": "vllm", "vllm (splitwise)": "vllm", "tensorrt-llm": "trtllm", "tensorrt": "trtllm", "tensorrt-llm+triton": "trtllm",
    "nim/tensorrt-llm": "trtllm", "sglang": "sglang", "llama.cpp": "llamacpp", "ollama / llama.cpp": "llamacpp", "deepspeed": "deepspeed",
    "deepspeed-mii": "deepspeed", "transformers neuronx": "neuron", "lmdeploy turbomind": "lmdeploy", "transformers": "transformers",
    "pytorch": "pytorch", "qserve": "trtllm", "quarot": "trtllm", "atom": "trtllm", "sambaflow": "pytorch",
}  # fmt: skip
_WEIGHTS: Final = {
    **dict.fromkeys(("fp16", "f16"), "fp16"),
    **dict.fromkeys(("bf16", "bfloat16"), "bf16"),
    **dict.fromkeys(("int4", "uint4", "awq", "gptq-int4"), "int4"),
    **dict.fromkeys(("int8", "gptq-int8"), "int8"),
    **dict.fromkeys(("q4_k_m", "q4_k_m (default tag)", "q4_k_m/q4_0 (default tag)"), "q4_k_m"),
    **dict.fromkeys(("mxfp4", "mxfp4 (default tag)"), "mxfp4"),
    **dict.fromkeys(("nvfp4", "fp4"), "nvfp4"),
    "fp32": "fp32",
    "fp8": "fp8",
    "fp8-block": "fp8-block",
}
_ACTIVATIONS: Final = {"fp8": "fp8", "nvfp4": "nvfp4", "int8": "int8", "int4": "int4"}
_KV: Final = {"fp8": "fp8", "fp8?": "fp8", "int8": "int8", "int4": "int4"}

METRICS: Final[Mapping[str, tuple[str, float]]] = {
    "ttft_ms": ("ttft_s_mean", 1e3),
    "ttft_p50_ms": ("ttft_s_p50", 1e3),
    "ttft_p99_ms": ("ttft_s_p99", 1e3),
    "itl_ms": ("tpot_s_mean", 1e3),
    "itl_p50_ms": ("itl_s_p50", 1e3),
    "itl_p99_ms": ("itl_s_p99", 1e3),
    "e2e_latency_ms": ("e2e_s_mean", 1e3),
    "output_tok_s": ("output_tokens_per_s", 1.0),
    "total_tok_s": ("total_tokens_per_s", 1.0),
    "req_s": ("requests_per_s", 1.0),
    "decode_tok_s": ("tpot_s_mean", -1.0),
    "prefill_tok_s": ("ttft_s_mean", -1.0),
}
"""Truth metric → (our metric, factor); a factor of −1 marks tokens per second that are derived from a time."""

_INFERENCEX_LENGTHS: Final = 0.9
"""InferenceX draws lengths uniformly from 0.8 to 1.0 of the nominal (its documentation)."""
_LLAMA_BENCH_CONTEXT: Final = 128.0
"""Prompt assumed where a single-stream decode rate states no lengths (llama-bench: 128 tokens from an empty cache)."""


class Unsupported(Exception):
    """Why a row cannot be modelled; the text is the reason that is counted."""


@dataclass(frozen=True, slots=True)
class Question:
    """A row as a question to the engine: the scenarios that may be meant (the best one answers), metric, factor and what was measured."""

    id: str
    scenarios: tuple[Scenario, ...]
    metric: str
    factor: float
    measured: float


def question(row: Mapping[str, str]) -> Question:
    """The question that `row` answers. Raises Unsupported with the reason."""
    if row["notes"].startswith("SUSPECT"):
        raise Unsupported("suspect: listed, not scored")
    if row["metric"] not in METRICS:
        raise Unsupported(f"metric {row['metric']}")
    if row["scenario"] == "max-throughput" and row["metric"].startswith("ttft"):
        raise Unsupported("queueing time of a saturated engine")
    metric, factor = METRICS[row["metric"]]
    gpus = _integer(row["num_gpus"], 1)
    value = float(row["value"]) * (gpus if row["per_gpu"] == "1" else 1)
    try:
        shape, machine = _model(row["model"]), _hardware(row["gpu"], gpus)
    except InputError as error:
        raise Unsupported(f"{error.where or 'catalogue'}: {error.message}") from None
    engine = _engine(row, machine)
    workload = _workload(row)
    base = Deployment(
        engine=engine,
        # months tell generations apart where sources write versions of their own packaging
        engine_version=row["date"] or row["engine_version"],
        **_limits(row, engine),
        prefix_caching=False,
        host="slow" if (row["source"], engine) in _SLOW_HOSTS else "fast",
        **_formats(row, machine),
    )
    if "disagg" in row["scenario"]:
        pooled = _pooled(row, shape, base)
        machine = replace(machine, count=sum(_devices(p) for p in pooled.pools))
        return Question(row["id"], (Scenario(shape, machine, workload, pooled),), metric, factor, value)
    splits = _splits(row, gpus, shape)
    scenarios = tuple(Scenario(shape, machine, workload, replace(base, **split)) for split in splits)
    rules = _mlperf_rules(row)
    if rules and not _NUMBER.match(row["batch_or_concurrency"]):
        scenarios = tuple(
            replace(
                s.with_deployment(max_num_batched_tokens=_SERVER_CHUNK), workload=replace(workload, rate=rate * machine.count), slo=rules
            )
            for s in scenarios
            for rate in _OFFERED_RATES
        )
    return Question(row["id"], scenarios, metric, factor, value)


@lru_cache(maxsize=1024)
def _model(label: str) -> Model:
    return model(label)


@lru_cache(maxsize=1024)
def _hardware(label: str, count: int) -> Hardware:
    return hardware({"device": label, "count": count}) if count > 1 else hardware({"device": label})


def _integer(text: str, default: int) -> int:
    return int(float(text)) if text.strip() else default


def _limits(row: Mapping[str, str], engine: str) -> dict[str, Any]:
    """Scheduler limits and memory shares as published runs set them: the batch limit never binds before memory does."""
    load = row["batch_or_concurrency"]
    seqs = max(int(load), 16) if load.isdigit() else _MAX_NUM_SEQS
    if engine == "llamacpp":  # micro-batches of 512 tokens, logits of one position, all of the memory
        return {"max_num_seqs": min(seqs, 512), "max_num_batched_tokens": 512, "gpu_memory_utilization": 0.98}
    return {"max_num_seqs": seqs, "gpu_memory_utilization": 0.95 if engine == "trtllm" else 0.9}


def _engine(row: Mapping[str, str], machine: Hardware) -> str:
    """The engine of a row; vendors' MLPerf submissions name their stack by compiler or by nothing."""
    name = row["engine"].lower()
    if name in _ENGINES:
        return _ENGINES[name]
    return "trtllm" if machine.device.vendor == "NVIDIA" else "vllm"


_BLOCK_SCALED: Final = re.compile(r"deepseek-(v3|r1)|qwen3.*-fp8$", re.IGNORECASE)
"""Releases whose FP8 weights carry a scale a block of 128 x 128 (quantization_config of their config.json)."""


def _formats(row: Mapping[str, str], machine: Hardware) -> dict[str, Any]:
    out: dict[str, Any] = {}
    weights = _WEIGHTS.get(row["precision_weights"].lower())
    if row["source"].startswith("MLPerf") and not weights:
        # the narrowest format that the rules' accuracy targets allowed on this device, which is what vendors submit
        peaks = machine.device.peak_flops
        weights = "fp8" if peaks.get("fp8") else "int8" if machine.device.kind == "gpu" else "bf16"
    if row["source"].startswith("MLPerf") and weights in ("fp8", "nvfp4"):
        out["kv"] = "fp8"
    if weights == "fp8" and _BLOCK_SCALED.search(row["model"]):
        weights = "fp8-block"
    if weights:
        out["weights"] = weights
    activations = _ACTIVATIONS.get(row["precision_activations"].lower())
    if activations and weights and weights not in ("fp16", "bf16", "fp32"):
        out["activations"] = activations
    kv = _KV.get(row["precision_kv"].lower())
    if kv:
        out["kv"] = kv
    return out


def _splits(row: Mapping[str, str], gpus: int, shape: Model) -> list[dict[str, Any]]:
    """The split of a row; where none is stated (MLPerf), every one that the devices allow."""
    if not row["tp"].strip():
        sizes = [t for t in (1, 2, 4, 8) if t <= gpus]
        return [{"tp": t, "replicas": max(gpus // t, 1)} for t in sizes]
    tp, pp, ep = _integer(row["tp"], 1), _integer(row["pp"], 1), _integer(row["ep"], 1)
    if row["engine"] == "Transformers NeuronX":
        tp = max(min(tp // 2, gpus), 1)  # the source counts NeuronCores, two a chip
    if "layer split" in row["notes"] and gpus > 1:
        return [{"tp": 1, "pp": gpus, "replicas": 1}]
    dp = 1
    if ep > tp and ep * pp <= gpus:
        if row["source"] in _WHOLE_ENGINES:
            tp = ep
        else:
            dp = ep // tp  # experts over more devices than attention's tensor parallelism: attention is data parallel
    if not shape.is_moe:
        ep = 1
    stated = {"tp": tp, "pp": pp, "ep": ep, "dp": dp, "replicas": max(gpus // (tp * pp * dp), 1)}
    if row["scenario"] == "max-throughput" and shape.is_moe and tp > 1 and dp == 1:
        # "TP" of a tuned mixture run is a number of devices: attention may be data parallel, experts spread
        return [stated, {**stated, "ep": tp}, {**stated, "tp": 1, "dp": tp, "ep": tp}]
    return [stated]


_WHOLE_ENGINES: Final = ("ML.ENERGY leaderboard",)
"""Sources whose "tp" of a mixture counts what is cut of an expert: they state one data-parallel rank, so all devices share attention."""

_SLOW_HOSTS: Final = {("ML.ENERGY leaderboard", "vllm"), ("Argonne LLM-Inference-Bench", "llamacpp")}
"""Sources that drive an engine from a slow process: their steps take milliseconds longer than other sources' on the same GPUs."""

_POOLS: Final = re.compile(r"prefill tp=(\d+) adp=(\d+) ep=(\d+) workers=(\d+|\?); decode tp=(\d+) adp=(\d+) ep=(\d+) workers=(\d+|\?)")


def _pooled(row: Mapping[str, str], shape: Model, base: Deployment) -> Deployment:
    """The pools that a disaggregated row's notes describe: tensor, attention-data and expert parallelism and workers of each."""
    found = _POOLS.search(row["notes"])
    if found is None or "?" in found.groups():
        raise Unsupported("disaggregated, workers not stated")
    numbers = [int(x) for x in found.groups()]
    pools: list[Pool] = []
    roles: tuple[Literal["prefill", "decode"], ...] = ("prefill", "decode")
    for role, (tp, dp, ep, workers) in zip(roles, (numbers[:4], numbers[4:]), strict=True):
        # a worker's attention runs over tp devices for each of its dp ranks; sources write tp = 1 or tp = all of them
        ranks = tp // dp if dp > 1 and tp >= dp else tp
        spread = shape.is_moe and ep <= ranks * dp and (ranks * dp) % ep == 0
        pools.append(Pool(role, workers, tp=ranks, dp=dp, ep=ep if spread else 1))
    return replace(base, tp=pools[0].tp, pools=tuple(pools), prefix_caching=True)


def _devices(pool: Pool) -> int:
    return pool.replicas * (pool.tp or 1) * (pool.pp or 1) * (pool.dp or 1)


_MAX_NUM_SEQS: Final = 2048
"""Published rows are tuned: the batch limit never binds before memory does, unless a row says so."""


class Prompts(NamedTuple):
    """Mean prompt tokens of a task and how much they differ (standard deviation over mean)."""

    mean: float
    cv: float


TASKS: Final[Mapping[str, Prompts]] = {
    "lm-arena-chat": Prompts(400.0, 3.0), "gpqa": Prompts(300.0, 0.5), "sourcegraph-fim": Prompts(1500.0, 1.0),
    "image-chat": Prompts(1000.0, 0.5), "video-chat": Prompts(2000.0, 1.5),
    "llm_text_generation/chat": Prompts(100.0, 2.0), "llm_text_generation/code": Prompts(150.0, 0.5),
}  # fmt: skip
"""Prompts of ML.ENERGY's tasks, which no row states: assumed.  Means of tasks with images, clips or repository context were set to a
round number at which throughput is least biased, spreads to one at which the worst gaps between tokens are; the encoder's own
time is not counted."""
_TASK: Final = re.compile(r"task=([\w/-]+)")


def _task(row: Mapping[str, str]) -> Prompts | None:
    """The prompts of a row of ML.ENERGY, whose notes name its task."""
    found = _TASK.search(row["notes"])
    return TASKS.get(found[1]) if found and row["source"].startswith("ML.ENERGY") else None


_QPS: Final = re.compile(r"^qps=([\d.]+)$")


def _workload(row: Mapping[str, str]) -> Workload:
    scale = _INFERENCEX_LENGTHS if row["source"] == "InferenceX" else 1.0
    isl = float(row["isl"]) * scale if row["isl"].strip() else 0.0
    task = None if isl else _task(row)
    isl = task.mean if task else isl
    osl = float(row["osl"]) * scale if row["osl"].strip() else 0.0
    if not isl and row["metric"] == "decode_tok_s":
        isl, osl = _LLAMA_BENCH_CONTEXT, osl or 128.0
    if not isl and row["source"].startswith("MLPerf"):
        isl = _MLPERF_PROMPT.get(row["model"].split("-99")[0].lower(), 0.0)
        osl = osl or 128.0
    if not isl:
        raise Unsupported("prompt length not stated")
    if not osl and row["metric"] not in ("ttft_ms", "prefill_tok_s"):
        raise Unsupported("output length not stated")
    load = row["batch_or_concurrency"].strip()
    prompt, output = read_lengths(isl, "isl"), read_lengths(max(osl, 1.0), "osl")
    if task:
        prompt = replace(prompt, kind="lognormal", cv=task.cv)
    kind = row["scenario"]
    if kind in ("batch1", "fixed-batch"):
        return Workload(batch=_integer(load, 1), isl=prompt, osl=output)
    if kind in ("fixed-concurrency", "fixed-concurrency-disagg"):
        return Workload(concurrency=_integer(load, 1), isl=prompt, osl=output)
    qps = _QPS.match(load)
    if qps:
        return Workload(rate=float(qps[1]), isl=prompt, osl=output)
    if kind in ("max-throughput", "offline", "server", "interactive"):
        if load.isdigit() and kind == "max-throughput":
            return Workload(batch=int(load), isl=prompt, osl=output)
        return Workload(isl=prompt, osl=output)
    raise Unsupported(f"load {load!r}")


_MLPERF_LIMITS: Final = {
    ("llama2-70b", "server"): (2.0, 0.2),
    ("llama2-70b", "interactive"): (0.45, 0.04),
    ("mixtral-8x7b", "server"): (2.0, 0.2),
    ("llama3.1-405b", "server"): (6.0, 0.175),
    ("llama3.1-8b", "server"): (2.0, 0.1),
    ("llama3.1-8b", "interactive"): (0.5, 0.03),
    ("deepseek-r1", "server"): (2.0, 0.08),
}
"""99th percentiles that MLPerf Inference allows, seconds: time to first token and per output token (rules of v4.1 to v5.1)."""
_OFFERED_RATES: Final = tuple(0.02 * 1.06**k for k in range(147))
"""Requests a second and device that are offered to find the most that the rules allow: 0.02 to about 100, 6 % apart."""
_SERVER_CHUNK: Final = 2048
"""Tokens a step of a submitter under latency limits: small enough for the time per token, large enough for the throughput; assumed."""
_NUMBER: Final = re.compile(r"^\d+$")


def _mlperf_rules(row: Mapping[str, str]) -> SLO | None:
    """The latency limits under which an MLPerf server row was measured; None for other rows, and for GPT-J, which has another kind."""
    if not row["source"].startswith("MLPerf"):
        return None
    found = _MLPERF_LIMITS.get((row["model"].split("-99")[0].lower(), row["scenario"]))
    return SLO((("tpot_p99", found[1]), ("ttft_p99", found[0]))) if found else None


_MLPERF_PROMPT: Final = {
    "llama2-70b": 294.0,
    "llama3.1-405b": 9428.0,
    "mixtral-8x7b": 350.0,
    "gptj": 924.0,
    "llama3.1-8b": 778.0,
    "deepseek-r1": 800.0,
}
"""Mean prompt tokens of the MLPerf data sets: OpenOrca, long-context mix, OpenOrca + GSM8K + MBXP, CNN/DailyMail."""
