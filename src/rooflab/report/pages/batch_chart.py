"""The batch step by step, and requests as bars of waiting, prefill and decode: the busiest stretch of a run."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.charts.chart import chart
from rooflab.charts.marks import Bar, Key
from rooflab.charts.palette import BLUE, GREY, ORANGE
from rooflab.charts.scale import Axis
from rooflab.report.pages.parts import Card
from rooflab.simulator.results.serving import ServingResult
from rooflab.units import format_seconds

__all__ = ["batch_cards"]

_ROWS_SHOWN: Final = 220
_REPLICAS_SHOWN: Final = 3
_REQUESTS_SHOWN: Final = 48
_MARGIN: Final = 60.0
_SPANS: Final = (("waits", GREY), ("prefill", ORANGE), ("decode", BLUE))
"""What a request does one after the other, and its colours."""
_KEYS: Final = (Key("waiting", GREY), Key("prefill", ORANGE), Key("decode", BLUE))


def batch_cards(result: ServingResult) -> list[Card]:
    """A step chart a replica where steps were logged, and the requests that arrived before the longest queue."""
    steps = result.run.steps
    cards = [_step_card(result, int(r)) for r in np.unique(steps.replica)[:_REPLICAS_SHOWN]] if len(steps) else []
    done = np.flatnonzero(result.counted)
    return [*cards, _request_card(result, done)] if len(done) else cards


def _step_card(result: ServingResult, replica: int) -> Card:
    """Decoding sequences upwards, prompt tokens in a lane below, over the steps around the longest queue."""
    steps = result.run.steps
    mine = np.flatnonzero(steps.replica == replica)
    peak = int(np.argmax(steps.waiting[mine]))
    first = max(min(peak - _ROWS_SHOWN // 3, len(mine) - _ROWS_SHOWN), 0)
    rows = mine[first : first + _ROWS_SHOWN]
    begin, end = float(steps.start_s[rows[0]]), float(steps.end_s[rows[-1]])
    sequences, prompts = [], []
    for i in rows.tolist():
        start_s, end_s, count = float(steps.start_s[i]), float(steps.end_s[i]), int(steps.steps[i])
        took = format_seconds((end_s - start_s) / count)
        title = (
            f"{count} step{'s' if count > 1 else ''} of {took}: {steps.n_decode[i]} sequences decode, "
            f"{steps.n_prefill[i]} prompts advance by {steps.prefill_tokens[i]} tokens; {steps.waiting[i]} wait"
        )
        if steps.n_decode[i]:
            sequences.append(Bar(start_s - begin, end_s - begin, 0, float(steps.n_decode[i]), BLUE, title))
        if steps.prefill_tokens[i]:
            prompts.append(Bar(start_s - begin, end_s - begin, 0, float(steps.prefill_tokens[i]), ORANGE, title))
    most_sequences = max(int(steps.n_decode[rows].max()), 1)
    most_tokens = max(int(steps.prefill_tokens[rows].max()), 1)
    lanes = [
        chart(
            Axis(0, end - begin, unit="s"),
            Axis(0, most_sequences * 1.05, "sequences that decode"),
            bars=sequences,
            label="decoding sequences",
            size=(1000, 160),
            margin=_MARGIN,
        ),
        chart(
            Axis(0, end - begin, _after(begin), unit="s"),
            Axis(0, most_tokens * 1.05, "prompt tokens"),
            bars=prompts,
            label="prompt tokens",
            size=(1000, 140),
            margin=_MARGIN,
        ),
    ]
    return Card(heading=f"Steps of replica {replica} around its longest queue", charts=lanes, wide=True)


def _after(begin_s: float) -> str:
    return f"time after {format_seconds(begin_s)}"


def _request_card(result: ServingResult, done: npt.NDArray[np.intp]) -> Card:
    """Of the requests `done`, by arrival, those around the one that waited longest: waiting, prefill, decode."""
    r = result.run.records
    done = done[np.argsort(r.arrival_s[done], kind="stable")]
    worst = int(np.argmax((r.first_token_s - r.arrival_s)[done]))
    rows = done[max(worst - _REQUESTS_SHOWN + 8, 0) :][:_REQUESTS_SHOWN]
    begin, end = float(r.arrival_s[rows[0]]), float(r.last_token_s[rows].max())
    bars = []
    for k, i in enumerate(rows.tolist()):
        times = [float(x[i]) - begin for x in (r.arrival_s, r.first_scheduled_s, r.first_token_s, r.last_token_s)]
        spans = list(zip(_SPANS, times[:-1], times[1:], strict=True))
        said = ", ".join(f"{name} {format_seconds(b - a)}" for (name, _), a, b in spans)
        title = f"request {i}: {result.requests.input_tokens[i]} in, {r.tokens_out[i]} out; {said}"
        y = len(rows) - 1 - k
        bars += [Bar(a, b, y + 0.12, y + 0.88, colour, title) for (_, colour), a, b in spans if b > a]
    drawn = chart(
        Axis(0, end - begin, _after(begin), unit="s"),
        Axis(0, len(rows), shown=False),
        bars=bars,
        label="requests one by one",
        size=(1000, 56 + 7.5 * len(rows)),
    )
    return Card(heading="Requests around the longest wait, one a line", charts=[drawn], keys=_KEYS, wide=True)
