"""Metrics of training."""

from __future__ import annotations

from typing import Final

from rooflab.metrics.metric import TRAINED, rows

__all__ = ["TRAINING_METRICS"]

TRAINING_METRICS: Final = (
    *rows(
        "training", TRAINED,
        ("step_s", "s", "lower", "time of an optimiser step"),
        ("tokens_per_s_per_gpu", "tokens/s/device", "higher", "tokens of a global batch / step_s / devices"),
        ("tflops_per_gpu", "TFLOP/s", "higher", "FLOPs of the model (no recomputation) / step_s / devices / 1e12"),
        ("peak_memory_bytes", "B", "lower", "largest memory in use on a device during a step"),
        ("train_s", "s", "lower", "time of the whole run, failures and checkpoints included"),
    ),
    *rows(
        "training", TRAINED,
        ("usd", "USD", "lower", "train_s · devices · price of a device hour"),
        needs=("price",),
    ),
)  # fmt: skip
"""In the order in which they are listed."""
