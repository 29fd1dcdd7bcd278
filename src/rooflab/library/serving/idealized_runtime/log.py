"""Requests of a log as timings, one set a model, and what had to be left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, no_column, unknown
from rooflab.inputs.runs import Runs
from rooflab.library.serving.idealized_runtime.fit import F64, Timings

__all__ = ["by_model", "runtimes"]

FEWEST: Final = 12
"""Requests that a fit of a few prompt times and a slope needs at the least."""


def runtimes(log: Runs, start: str = "", end: str = "") -> F64:
    """Seconds of each request: `duration_s`, or from column `start` to column `end`. Raises InputError."""
    if not start and not end:
        if log.duration_s is None:
            names = "duration_s, duration, latency_s, latency, elapsed_s"
            raise InputError(f"has no runtimes ({names}); start and end name columns of other logs", "duration_s")
        return log.duration_s
    if not start or not end:
        raise InputError("start and end name a column each: both or neither", "start" if end else "end")
    first, last = _seconds(log, start), _seconds(log, end)
    if np.any(last < first):
        row = int(np.flatnonzero(last < first)[0])
        raise InputError(f"{end} lies before {start} (request {row + 1:,})", end)
    return last - first


def by_model(log: Runs, seconds: F64, model: str = "") -> Iterator[tuple[str, Timings, int]]:
    """Each model of the log (or `model` alone), its usable requests, and how many of its requests are not.

    Usable are those with known lengths, an answer of a token or more, and a runtime above zero. Raises InputError where
    columns are missing, or no model has enough of them.
    """
    for name in ("input_tokens", "output_tokens"):
        if getattr(log, name) is None:
            raise InputError("is needed: a runtime is fitted on prompt and output tokens", name)
    assert log.input_tokens is not None
    assert log.output_tokens is not None
    named = log.model if log.model is not None else ("",) * len(log)
    known = tuple(dict.fromkeys(named))
    if model and model not in known:
        raise unknown("model", model, [m for m in known if m], "model")
    fits = (log.input_tokens >= 1) & (log.output_tokens >= 1) & (np.nan_to_num(seconds) > 0)
    found = False
    for one in (model,) if model else known:
        mine = np.array([m == one for m in named])
        usable = mine & fits
        t = Timings(log.input_tokens[usable].astype(float), log.output_tokens[usable].astype(float), seconds[usable])
        if len(t) >= FEWEST and len(np.unique(t.output)) > 1:
            found = True
            yield one, t, int(mine.sum() - usable.sum())
    if not found:
        raise InputError(
            f"holds no model with {FEWEST} requests of known lengths and runtimes, and two lengths of answers",
            "output_tokens",
        )


def _seconds(log: Runs, name: str) -> npt.NDArray[np.float64]:
    columns = log.columns
    if name not in columns:
        raise no_column(name, columns)
    values = columns[name]
    if isinstance(values, tuple):
        raise InputError("holds texts, not seconds", name)
    return np.asarray(values, dtype=np.float64)
