"""Rows that cannot be true as they are read: listed with the reason, neither fitted nor scored.

A row cannot be true where its sequences do not fit the model's context and the engine stops there, where it is more
than twice as fast as the physical limit of its work, where runs of other lengths beside it show that start-up was
timed, or where another row of the same configuration is more than three times as fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from rooflab.costs.engine_constants import era
from rooflab.errors import RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.front import estimate_many
from rooflab.evidence.rows.serving import Question
from rooflab.evidence.rows.tables import Row
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import read_lengths

__all__ = ["CANNOT", "beside_others", "beyond_context", "beyond_limit"]

CANNOT: Final = "cannot be true"
"""How the reasons begin."""
_BEYOND: Final = 2.0
"""Times its limit that a row may be fast: 2,148 rows of static batches that nobody doubts reach 1.35 at most (routing
and rounding)."""
_START_UP: Final = 0.25
"""Least share of the ratio of lengths that the ratio of latencies must be: the least in 301 series is 0.68."""
_APART: Final = 3.0
"""Times that two rows of one configuration may differ; first tokens may by more, since they wait."""
_CONFIGURATION: Final = (
    "source", "engine", "engine_version", "model", "precision_weights", "precision_activations", "precision_kv", "gpu",
    "num_gpus", "tp", "pp", "ep", "batch_or_concurrency", "scenario", "metric", "per_gpu",
)  # fmt: skip
_RATES: Final = ("output_tok_s", "total_tok_s", "req_s")


_STOPS: Final = ("vllm", "sglang")
"""Engines that end a sequence at the model's context by default (max_model_len, context_length from config.json), vLLM
since 2024; TensorRT-LLM, Neuron and Transformers go on, and published rows of theirs do."""


def beyond_context(q: Question) -> str:
    """The reason of a row of whole runs whose prompt and answer exceed what the model has positions for; "" for others.

    Such a run ends early, so what was done in it is less than what is counted; times of single tokens stay true.
    """
    s = q.scenarios[0]
    runtime = s.deployment.runtime
    stops = runtime.engine in _STOPS and era(runtime.engine, runtime.engine_version) != "2023"
    if not stops or q.metric.startswith(("ttft", "tpot", "itl")):
        return ""
    lengths = (s.workload.isl, s.workload.osl)
    if not s.model.max_context or any(length.cv for length in lengths if length is not None):
        return ""
    tokens = s.workload.mean_prompt_tokens + s.workload.mean_output_tokens
    if tokens <= s.model.max_context:
        return ""
    return f"{CANNOT}: {tokens:,.0f} tokens do not fit the model's context of {s.model.max_context:,}"


def beside_others(rows: Sequence[Row]) -> dict[str, str]:
    """Reasons by id of rows that others of their table contradict: start-up inside, or another run far faster."""
    return {**_start_up_inside(rows), **_slower_twins(rows)}


def _start_up_inside(rows: Iterable[Row]) -> dict[str, str]:
    """Series of static batches whose latency hardly grows with the length: what starts an engine was timed, too."""
    series: dict[tuple[str, ...], dict[float, list[Row]]] = {}
    for row in rows:
        length, osl = _number(row["isl"]), _number(row["osl"])
        if row["metric"] not in (*_RATES, "e2e_latency_ms") or row["scenario"] not in ("batch1", "fixed-batch"):
            continue
        if length > 0 and osl > 0:
            # lengths that grow together: prompts of one length would add the same to short and long answers
            key = (*(row[c] for c in _CONFIGURATION), f"{osl / length:.6g}")
            series.setdefault(key, {}).setdefault(length, []).append(row)
    out: dict[str, str] = {}
    for found in series.values():
        short, long = min(found), max(found)
        grown = min(map(_latency, found[long])) / max(map(_latency, found[short]))
        if long > short and grown < _START_UP * long / short:
            reason = f"{CANNOT}: {long / short:.3g} times the length in {grown:.2g} times the time, start-up is inside"
            out |= {row["id"]: reason for members in found.values() for row in members}
    return out


def _slower_twins(rows: Iterable[Row]) -> dict[str, str]:
    """Of rows of one configuration those that are more than `_APART` times slower than the next faster one."""
    twins: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if not row["metric"].startswith("ttft") and _number(row["value"]) > 0:
            told = row["notes"] if not row["isl"].strip() or "disagg" in row["scenario"] else ""
            twins.setdefault((*(row[c] for c in (*_CONFIGURATION, "isl", "osl")), told), []).append(row)
    out: dict[str, str] = {}
    for found in twins.values():
        ordered = sorted(found, key=_pace)
        for faster, slower in pairwise(ordered):
            if _pace(slower) > _APART * _pace(faster) or faster["id"] in out:
                apart = _pace(slower) / _pace(ordered[0])
                out[slower["id"]] = f"{CANNOT}: another row of this configuration is {apart:.2g} times as fast"
    return out


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _pace(row: Row) -> float:
    """A time that grows as the row gets slower."""
    value = _number(row["value"])
    return 1.0 / value if "tok_s" in row["metric"] or row["metric"] == "req_s" else value


def _latency(row: Row) -> float:
    """Time of a series' run in units of its own: a rate's is what was done over it."""
    value, tokens = _number(row["value"]), _number(row["isl"]) + _number(row["osl"])
    return value if row["metric"] == "e2e_latency_ms" else (tokens if row["metric"] != "req_s" else 1.0) / value


def beyond_limit(asked: Sequence[tuple[Question, float]]) -> dict[str, str]:
    """Reasons by id of static batches more than twice as fast as physics allows; with each question its prediction."""
    out: dict[str, str] = {}
    for q, predicted in asked:
        s = q.scenarios[0]
        if len(q.scenarios) > 1 or s.workload.mode != "static" or s.deployment.split.pp > 1:
            continue
        faster = q.measured / predicted if _is_rate(q) else predicted / q.measured
        # a prediction never beats the limit, so what is no faster than twice it need not be asked
        if faster > _BEYOND and (beyond := faster * _limit_share(q, s)) > _BEYOND:
            out[q.id] = f"{CANNOT}: {beyond:.2g} times as fast as the limit of its work"
    return out


def _is_rate(q: Question) -> bool:
    return q.factor < 0 or "per_s" in q.metric


def _limit_share(q: Question, s: Scenario) -> float:
    """The limit's time over the predicted one, of the part of the run that the metric tells of."""
    first, whole = estimate_many([s.with_workload(osl=read_lengths(1.0, "osl")), s])
    if isinstance(first, RooflabError) or isinstance(whole, RooflabError):
        return 0.0
    if q.metric.startswith("ttft"):
        return float(first.metrics["limit_ratio"])
    ratio, both = whole.metrics["limit_ratio"], _run_s(whole)
    if not q.metric.startswith("tpot"):
        return float(ratio)
    decoding = both - _run_s(first)
    return float((ratio * both - first.metrics["limit_ratio"] * _run_s(first)) / decoding) if decoding > 0 else 0.0


def _run_s(found: Estimate) -> float:
    """Seconds of one wave: its prompts, then its steps."""
    steps = found.scenario.workload.mean_output_tokens - 1
    return float(found.metrics["ttft_s_mean"] + (steps * found.metrics["tpot_s_mean"] if steps > 0 else 0.0))
