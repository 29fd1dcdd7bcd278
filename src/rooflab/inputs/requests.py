"""Requests of a log whose lengths are known: what methods that serve a log's requests work on."""

from __future__ import annotations

import numpy as np

from rooflab.errors import InputError
from rooflab.inputs.runs import Runs

__all__ = ["with_lengths"]


def with_lengths(log: Runs, most: int) -> tuple[Runs, tuple[str, ...]]:
    """The first `most` requests with a prompt and an answer of known lengths, in order of time where there is one, and
    what is left out in words. Raises InputError where there are none."""
    for name in ("input_tokens", "output_tokens"):
        if getattr(log, name) is None:
            raise InputError("is needed: the method serves prompts and answers of known lengths", name)
    assert log.input_tokens is not None
    assert log.output_tokens is not None
    known = np.flatnonzero((log.input_tokens >= 1) & (log.output_tokens >= 1))
    if not len(known):
        raise InputError("holds no request of known lengths", "output_tokens")
    if log.time_s is not None:
        known = known[np.argsort(log.time_s[known], kind="stable")]
    notes = []
    if len(known) < len(log):
        notes.append(f"{len(log) - len(known):,} requests without lengths are left out")
    if len(known) > most:
        notes.append(f"the first {most:,} of {len(known):,} requests (requests)")
    return log.take(known[:most]), tuple(notes)
