"""The batch step by step, and requests as bars of waiting, prefill and decode: the busiest stretch of a run."""

from __future__ import annotations

from typing import Final

import numpy as np

from rooflab.charts.svg import Bar, chart, legend
from rooflab.simulator.results.serving import ServingResult
from rooflab.units import format_seconds

__all__ = ["batch_cards"]

_ROWS_SHOWN: Final = 220
_REPLICAS_SHOWN: Final = 3
_REQUESTS_SHOWN: Final = 48


def batch_cards(result: ServingResult) -> str:
    """The section "Batch": a step chart a replica where steps were logged, and the requests that arrived before the
    longest queue."""
    steps = result.run.steps
    cards = [_step_card(result, int(r)) for r in np.unique(steps.replica)[:_REPLICAS_SHOWN]] if len(steps) else []
    cards.append(_request_card(result))
    shown = "".join(c for c in cards if c)
    return f'<h2>Batch</h2><div class="row">{shown}</div>' if shown else ""


def _step_card(result: ServingResult, replica: int) -> str:
    """Decoding sequences upwards, prompt tokens in a lane below, over the steps around the longest queue."""
    steps = result.run.steps
    mine = np.flatnonzero(steps.replica == replica)
    peak = int(np.argmax(steps.waiting[mine]))
    first = max(min(peak - _ROWS_SHOWN // 3, len(mine) - _ROWS_SHOWN), 0)
    rows = mine[first : first + _ROWS_SHOWN]
    begin, end = float(steps.start_s[rows[0]]), float(steps.end_s[rows[-1]])
    most_sequences = max(int(steps.n_decode[rows].max()), 1)
    most_tokens = max(int(steps.prefill_tokens[rows].max()), 1)
    sequences, prompts = [], []
    for i in rows.tolist():
        start_s, end_s, count = float(steps.start_s[i]), float(steps.end_s[i]), int(steps.steps[i])
        took = format_seconds((end_s - start_s) / count)
        title = (
            f"{count} step{'s' if count > 1 else ''} of {took}: {steps.n_decode[i]} sequences decode, "
            f"{steps.n_prefill[i]} prompts advance by {steps.prefill_tokens[i]} tokens; {steps.waiting[i]} wait"
        )
        if steps.n_decode[i]:
            sequences.append(Bar(start_s - begin, end_s - begin, 0, float(steps.n_decode[i]), 0, title))
        if steps.prefill_tokens[i]:
            prompts.append(Bar(start_s - begin, end_s - begin, 0, float(steps.prefill_tokens[i]), 1, title))
    zero = f"time from {format_seconds(begin)}"

    def lane(bars: list[Bar], top: float, label: str, height: float) -> str:
        return chart(
            bars=bars, x=(0, end - begin), y=(0, top * 1.05), x_label=zero if label == "prompt tokens" else "",
            label=label,
            x_text=lambda v: f"+{v:.4g} s", y_text=lambda v: f"{v:,.0f}", width=1000, height=height,
        )  # fmt: skip

    names = legend([("sequences that decode", 0), ("prompt tokens", 1)])
    lanes = lane(sequences, most_sequences, "decoding sequences", 150) + lane(
        prompts, most_tokens, "prompt tokens", 120
    )
    return f'<div class="card wide"><h3>Steps of replica {replica} around its longest queue</h3>{names}{lanes}</div>'


def _request_card(result: ServingResult) -> str:
    """Requests in order of arrival, ending with the one that waited longest: waiting, prefill, decode."""
    r = result.run.records
    done = np.flatnonzero(result.counted)
    if len(done) == 0:
        return ""
    done = done[np.argsort(r.arrival_s[done], kind="stable")]
    worst = int(np.argmax((r.first_token_s - r.arrival_s)[done]))
    rows = done[max(worst - _REQUESTS_SHOWN + 8, 0) :][:_REQUESTS_SHOWN]
    begin, end = float(r.arrival_s[rows[0]]), float(r.last_token_s[rows].max())
    bars = []
    for k, i in enumerate(rows.tolist()):
        times = [float(x[i]) - begin for x in (r.arrival_s, r.first_scheduled_s, r.first_token_s, r.last_token_s)]
        spans = ", ".join(
            f"{n} {format_seconds(b - a)}"
            for n, a, b in zip(("waits", "prefill", "decode"), times[:-1], times[1:], strict=True)
        )
        title = f"request {i}: {result.requests.input_tokens[i]} in, {r.tokens_out[i]} out; {spans}"
        y = len(rows) - 1 - k
        bars += [
            Bar(a, b, y + 0.12, y + 0.88, colour, title)
            for colour, a, b in zip((5, 1, 0), times[:-1], times[1:], strict=True)
            if b > a
        ]
    drawn = chart(
        bars=bars, x=(0, end - begin), y=(0, len(rows)), x_label=f"time from {format_seconds(begin)}",
        label="requests one by one",
        x_text=lambda v: f"+{v:.4g} s", y_text=lambda v: "", width=1000, height=56 + 7.5 * len(rows), y_axis=False,
    )  # fmt: skip
    names = legend([("waiting", 5), ("prefill", 1), ("decode", 0)])
    return f'<div class="card wide"><h3>Requests around the longest wait, one a line</h3>{names}{drawn}</div>'
