"""Every metric by name: unit, formula, which way is better, what it needs. Documentation, tables and comparisons read
this."""

from __future__ import annotations

from typing import Final

from rooflab.errors import unknown
from rooflab.metrics.metric import STATISTICS, Metric
from rooflab.metrics.serving import SERVING_METRICS
from rooflab.metrics.training import TRAINING_METRICS

__all__ = ["METRICS", "STATISTICS", "Metric", "metric"]

METRICS: Final[dict[str, Metric]] = {m.name: m for m in (*SERVING_METRICS, *TRAINING_METRICS)}


def metric(name: str, where: str = "") -> Metric:
    """The metric called `name`. Raises InputError with the nearest names."""
    if name not in METRICS:
        raise unknown("metric", name, METRICS, where)
    return METRICS[name]
