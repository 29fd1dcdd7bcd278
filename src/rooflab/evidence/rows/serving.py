"""A published serving measurement → the scenario that it measured, or the reason why it cannot be modelled.

Columns are those of the truth tables: source, engine, engine_version, model, precision_*, gpu, num_gpus, tp, pp, ep,
batch_or_concurrency, isl, osl, scenario, metric, value, per_gpu, notes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, Final, Literal, NamedTuple

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.errors import InputError
from rooflab.evidence.rows import mlperf
from rooflab.evidence.rows.labels import activations_of, cache_of, engine_of, weights_of
from rooflab.evidence.rows.recipes import (
    LENGTH_JITTER,
    is_inferencex,
    recipe,
    recipe_cache,
    stated_rounds,
    stated_settings,
)
from rooflab.scenario.cluster import Pool
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload, read_lengths

__all__ = ["METRICS", "TASKS", "Prompts", "Question", "Unsupported", "question"]

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
    "power_w": ("power_w", 1.0),
    "j_per_token": ("j_per_token", 1.0),
}
"""Truth metric → (our metric, factor); a factor of −1 marks tokens per second that are derived from a time."""

_LLAMA_BENCH_CONTEXT: Final = 128.0
"""Prompt assumed where a single-stream decode rate states no lengths (llama-bench: 128 tokens from an empty cache)."""


class Unsupported(Exception):
    """Why a row cannot be modelled; the text is the reason that is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A row as a question to the engine: the scenarios that may be meant (the best one answers), metric, factor and
    what was measured.

    Scenarios with limits and no load ask for the greatest rate within them; `stated_rate` is the one at which a latency
    was measured.  `ceiling_s`: what a valid measurement cannot exceed, in seconds.
    """

    id: str
    scenarios: tuple[Scenario, ...]
    metric: str
    factor: float
    measured: float
    stated_rate: float | None = None
    ceiling_s: float = math.inf


def question(row: Mapping[str, str]) -> Question:
    """The question that `row` answers. Raises Unsupported with the reason."""
    if row["notes"].startswith("SUSPECT"):
        raise Unsupported("suspect: listed, not scored")
    if _anomalous(row):
        raise Unsupported("suspect: its own source's notes call the value anomalous")
    if row["metric"] not in METRICS:
        raise Unsupported(f"metric {row['metric']}")
    if row["scenario"] == "max-throughput" and row["metric"].startswith("ttft") and not _all_at_once(row):
        raise Unsupported("queueing time of a saturated engine")
    metric, factor = METRICS["output_tok_s" if mlperf.reads_tokens(row) else row["metric"]]
    if mlperf.is_mlperf(row) and metric == "itl_s_p99":
        metric = "tpot_s_p99"  # loadgen's percentile is over requests, of each one's mean
    gpus = _integer(row["num_gpus"], 1)
    value = float(row["value"]) * (gpus if row["per_gpu"] == "1" else 1)
    try:
        shape, machine = _model(row["model"]), _hardware(row["gpu"], gpus)
        label = mlperf.engine_label(row, machine) if mlperf.is_mlperf(row) else row["engine"]
        engine, formats = engine_of(label, machine.device.vendor), _formats(row, machine)
    except InputError as error:
        raise Unsupported(f"{error.where or 'catalogue'}: {error.message}") from None
    workload = _workload(row)
    base = Deployment.of(
        engine=engine,
        # months tell generations apart where sources write versions of their own packaging
        engine_version=("tuned " if mlperf.is_tuned(row, machine) else "") + (row["date"] or row["engine_version"]),
        prefix_caching=False,
        host=_host(row, engine),
        **{**_limits(row, engine), **recipe(row, engine), **stated_settings(row), **formats},
    )
    ask = partial(Question, id=row["id"], metric=metric, factor=factor, measured=value)
    if "disagg" in row["scenario"]:
        pooled = _pooled(row, shape, base)
        machine = replace(machine, count=sum(_devices(p) for p in pooled.cluster.pools))
        return ask(scenarios=(Scenario(model=shape, hardware=machine, workload=workload, deployment=pooled),))
    if mlperf.is_mlperf(row) and not row["tp"].strip():
        scenarios = mlperf.candidates(row, shape, machine, workload, base)
        return ask(scenarios=scenarios, stated_rate=mlperf.stated_rate(row), ceiling_s=mlperf.ceiling_s(row))
    splits = _splits(row, gpus, shape)
    scenarios = tuple(
        Scenario(model=shape, hardware=machine, workload=workload, deployment=base.changed(**split)) for split in splits
    )
    return ask(scenarios=scenarios)


def _anomalous(row: Mapping[str, str]) -> bool:
    """Whether the notes of the table name this row's accelerator, model and format as anomalous in the source."""
    if "8B-F16 prefill values look anomalous" not in row["notes"] or row["metric"] != "prefill_tok_s":
        return False
    return (
        row["precision_weights"] == "F16"
        and "8B" in row["model"]
        and any(name in row["gpu"] for name in ("A100 SXM", "L40S"))
    )


@lru_cache(maxsize=1024)
def _model(label: str) -> Model:
    return model(label)


@lru_cache(maxsize=1024)
def _hardware(label: str, count: int) -> Hardware:
    return hardware({"device": label, "count": count}) if count > 1 else hardware({"device": label})


def _integer(text: str, default: int) -> int:
    return int(float(text)) if text.strip() else default


def _limits(row: Mapping[str, str], engine: str) -> dict[str, Any]:
    """Scheduler limits as published runs set them: the batch limit never binds before memory does. The rest, and all of
    llama.cpp's, are the engine's defaults."""
    load = row["batch_or_concurrency"]
    # vLLM sets memory aside for all the sequences it may take: where a run states no batch it is the engine's own limit
    seqs = max(int(load), 16) if load.isdigit() else 0 if engine == "vllm" else _MAX_NUM_SEQS
    return {} if engine == "llamacpp" else {"max_num_seqs": seqs}


_BLOCK_SCALED: Final = re.compile(r"deepseek-(v3|r1)|qwen3.*-fp8$", re.IGNORECASE)
"""Releases whose FP8 weights carry a scale a block of 128 x 128 (quantization_config of their config.json)."""


def _formats(row: Mapping[str, str], machine: Hardware) -> dict[str, Any]:
    out: dict[str, Any] = {}
    weights = weights_of(row["precision_weights"])
    if mlperf.is_mlperf(row):
        out |= mlperf.formats(row, machine, weights)
    elif weights == "fp8" and _BLOCK_SCALED.search(row["model"]):
        weights = "fp8-block"
    if weights:
        out["weights"] = weights
    activations = activations_of(row["precision_activations"])
    if activations and weights and weights not in ("fp16", "bf16", "fp32"):
        out["activations"] = activations
    kv = cache_of(row["precision_kv"]) or recipe_cache(row)
    if kv:
        out["kv"] = kv
    return out


def _splits(row: Mapping[str, str], gpus: int, shape: Model) -> list[dict[str, Any]]:
    """The split of a row, or those that it may mean."""
    if (
        row["engine"].lower() == "llama.cpp" and gpus > 1
    ):  # splits by layers unless told otherwise; sources write its cards as tp or pp
        return [{"tp": 1, "pp": gpus, "replicas": 1}]
    if not row["tp"].strip():
        return [{"tp": t, "replicas": max(gpus // t, 1)} for t in (1, 2, 4, 8) if t <= gpus]
    tp, pp, ep = _integer(row["tp"], 1), _integer(row["pp"], 1), _integer(row["ep"], 1)
    if row["engine"] == "Transformers NeuronX":
        tp = max(min(tp // 2, gpus), 1)  # the source counts NeuronCores, two a chip
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
"""Sources whose "tp" of a mixture counts what is cut of an expert: they state one data-parallel rank, so all devices
share attention."""

_SLOW_HOSTS: Final = {("ML.ENERGY leaderboard", "vllm"), ("Argonne LLM-Inference-Bench", "llamacpp")}
"""Sources that drive an engine from a slow process: their steps take milliseconds longer than other sources' on the
same GPUs."""

_CONTENDED: Final = ("ML.ENERGY leaderboard", "vllm", "B200", "gpqa")
"""Source, engine, device and task of runs that shared their processor: one-GPU runs take 20 to 24 ms a step more at any
batch than the same models and devices do on another task, but those of gpt-oss."""


def _host(row: Mapping[str, str], engine: str) -> str:
    """How busy the processor was that drove the engine."""
    source, driven, device, task = _CONTENDED
    found = _TASK.search(row["notes"])
    shared = (row["source"], engine, row["num_gpus"]) == (source, driven, "1") and device in row["gpu"]
    if shared and found and found[1] == task and "gpt-oss" not in row["model"]:
        return "contended"
    return "slow" if (row["source"], engine) in _SLOW_HOSTS else "fast"


_POOLS: Final = re.compile(
    r"prefill tp=(\d+) adp=(\d+) ep=(\d+) workers=(\d+|\?); decode tp=(\d+) adp=(\d+) ep=(\d+) workers=(\d+|\?)"
)


_WIDEST_TENSOR: Final = 8
"""Published decode pools of more devices are data-parallel in attention, whatever their table says (recipes named
dep16, dep32)."""


def _pooled(row: Mapping[str, str], shape: Model, base: Deployment) -> Deployment:
    """The pools that a disaggregated row's notes describe: tensor, attention-data and expert parallelism and workers of
    each."""
    found = _POOLS.search(row["notes"])
    if found is None or "?" in found.groups():
        raise Unsupported("disaggregated, workers not stated")
    numbers = [int(x) for x in found.groups()]
    pools: list[Pool] = []
    roles: tuple[Literal["prefill", "decode"], ...] = ("prefill", "decode")
    for role, (tp, adp, ep, workers) in zip(roles, (numbers[:4], numbers[4:]), strict=True):
        # a worker's attention runs over tp devices for each of its dp ranks; sources write tp = 1 or tp = all of them
        ranks, dp = tp // adp if adp > 1 and tp >= adp else tp, adp
        if adp == 1 and ep == tp > _WIDEST_TENSOR:
            ranks, dp = 1, tp
        spread = shape.is_moe and ep <= ranks * dp and (ranks * dp) % ep == 0
        pools.append(Pool(role=role, replicas=workers, tp=ranks, dp=dp, ep=ep if spread else 1))
    return base.changed(tp=pools[0].tp, pools=tuple(pools), prefix_caching=True)


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
"""Prompts of ML.ENERGY's tasks, which no row states: assumed.  Means of tasks with images, clips or repository context
were set to a round number at which throughput is least biased, spreads to one at which the worst gaps between tokens
are; the encoder's own time is not counted."""
_TASK: Final = re.compile(r"task=([\w/-]+)")


def _task(row: Mapping[str, str]) -> Prompts | None:
    """The prompts of a row of ML.ENERGY, whose notes name its task."""
    found = _TASK.search(row["notes"])
    return TASKS.get(found[1]) if found and row["source"].startswith("ML.ENERGY") else None


_QPS: Final = re.compile(r"^qps=([\d.]+)$")
_SENT: Final = re.compile(r"^(?:ShareGPT )?(\d+) (?:requests|prompts)\b")
"""How the notes of a run begin that say how many requests were sent."""


def _all_at_once(row: Mapping[str, str]) -> int | None:
    """Requests of a run whose client sent all of them at once, where its notes say how many."""
    found = _SENT.match(row["notes"])
    return int(found[1]) if found and row["batch_or_concurrency"].strip() == "qps=INF" else None


def _workload(row: Mapping[str, str]) -> Workload:
    isl = float(row["isl"]) if row["isl"].strip() else 0.0
    osl = float(row["osl"]) if row["osl"].strip() else 0.0
    task = None if isl else _task(row)
    isl = task.mean if task else isl
    if not isl and row["metric"] == "decode_tok_s":
        isl, osl = _LLAMA_BENCH_CONTEXT, osl or 128.0
    if mlperf.is_mlperf(row):
        prompt_tokens, output_tokens = mlperf.lengths(row)
        isl, osl = isl or prompt_tokens, osl or output_tokens
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
        jitter = LENGTH_JITTER if is_inferencex(row) else 0.0
        users = Workload(concurrency=_integer(load, 1), isl=prompt, osl=output, length_jitter=jitter, start="lockstep")
        return replace(users, rounds=stated_rounds(row) or users.rounds)
    qps = _QPS.match(load)
    if qps:
        return Workload(rate=float(qps[1]), isl=prompt, osl=output)
    if (sent := _all_at_once(row)) is not None:
        return Workload(burst=sent, isl=prompt, osl=output)
    if kind in ("max-throughput", "offline", "server", "interactive"):
        if load.isdigit() and kind == "max-throughput" and (found := _SENT.match(row["notes"])):
            return Workload(burst=int(found[1]), concurrency=int(load), isl=prompt, osl=output)
        if load.isdigit() and kind == "max-throughput":
            return Workload(batch=int(load), isl=prompt, osl=output)
        return Workload(isl=prompt, osl=output, beams=mlperf.beams(row))
    raise Unsupported(f"load {load!r}")
