"""Rows predicted: what the engine says of the questions that they ask, in their own units or as times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rooflab.estimator.serving.answer import Estimate
from rooflab.evidence.rows.best import Choice, best_of
from rooflab.evidence.rows.serving import Question

__all__ = ["is_rate", "predict", "times"]

Array = npt.NDArray[np.float64]


def predict(questions: Sequence[Question]) -> Array:
    """Predicted values in the rows' own units, NaN where a question cannot be answered; the best scenario of several
    answers."""
    found = best_of([Choice(q.scenarios, q.stated_rate) for q in questions])
    return np.array([np.nan if best is None else _value(q, best) for q, best in zip(questions, found, strict=True)])


def _value(q: Question, result: Estimate) -> float:
    value = min(float(result.metrics[q.metric]), q.ceiling_s)
    if q.factor > 0:
        return value * q.factor
    workload = result.scenario.workload
    tokens = 1.0 if q.metric.startswith("tpot") else workload.mean_prompt_tokens
    # rates of a batch count all of its sequences (llama-batched-bench: S_PP = B·PP/T_PP, S_TG = B·TG/T_TG)
    return (workload.batch or 1) * tokens / value if value else float("nan")


def is_rate(q: Question) -> bool:
    """Whether the row is a throughput, whose inverse is a time."""
    return q.factor < 0 or "per_s" in q.metric


def times(questions: Sequence[Question], values: Array) -> Array:
    """Rows as times: latencies as they are, throughputs inverted."""
    rate = np.array([is_rate(q) for q in questions])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(rate, 1.0 / values, values)
