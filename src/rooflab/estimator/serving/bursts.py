"""A burst: N requests that are all there at once, priced as a run from the first prompt to the last token.

How it unfolds over steps is that of `burst_steps`; here each stretch of steps is priced and the clock put to it:

    fill    prompts in steps of the whole budget, as many sequences as places and memory allow
    full    a place that becomes free is taken by the next in line
    drain   a batch that shrinks as its longest answers end:  P(anything left) = 1 − Π over sequences of P(it has ended)

so that throughput is N · O over the whole of it, and a first token waits for those in line before it.  Of a line of
many rounds the middle ones are alike: some are looked at for all of them.  Engines without a queue of their own
(`gated`) run one batch after the other, each as long as its longest answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts
from rooflab.estimator.serving.burst_batches import batches
from rooflab.estimator.serving.burst_latencies import after_first, first_by_rank, gaps
from rooflab.estimator.serving.burst_line import Line, line_of, thought_span
from rooflab.estimator.serving.burst_prices import Clock, Priced, priced
from rooflab.estimator.serving.burst_sent import Sent
from rooflab.estimator.serving.burst_steps import unfold
from rooflab.estimator.serving.load import Case, all_lanes
from rooflab.estimator.serving.outcome import Outcome, joined

__all__ = ["burst"]

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def burst(costs: StepCosts, case: Case, sent: Sent) -> Outcome:
    """What engines do with a burst, as a run: rates over the whole of it, latencies of all requests."""
    parts = [
        (mask, how(costs, case.take(mask), _take(sent, mask)))
        for mask, how in ((~sent.gated, _run), (sent.gated, batches))
        if mask.any()
    ]
    return joined(parts, len(sent.count))


def _take(sent: Sent, rows: Flags) -> Sent:
    def of(value: Any) -> Any:
        return tuple(x[rows] for x in value) if isinstance(value, tuple) else value[rows]

    return Sent(**{name: of(getattr(sent, name)) for name in Sent.__dataclass_fields__})


def _run(costs: StepCosts, case: Case, sent: Sent) -> Outcome:
    """Bursts before engines that take the next in line when there is room."""
    line = line_of(costs, case, sent)
    u = unfold(line.queue, thought_span(line))
    p = priced(line, u)
    clock = Clock.of(p, line.full, line.skipped)
    total_s = clock.total_s + sent.frontend_s
    ttft, waited_s, begin = first_by_rank(line, p, clock)
    tpot, e2e = after_first(line, p, clock, begin, waited_s)
    busy_s = p.open_s + (p.cell_s * u.going * p.times).sum(axis=1)
    idle_w = costs.scalar("idle_w", case.which)
    parts = all_lanes(p.work, line.lanes, idle_w, costs.scalar("dynamic_limit_w", case.which))
    return Outcome(
        running=_present(line, p) / total_s * line.lanes,
        requests_per_s=sent.mean / total_s,
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=e2e,
        itl_s=gaps(case, p, tpot),
        power_w=(parts.joules + idle_w * np.maximum(total_s - busy_s, 0.0)) / total_s,
        parts=parts,
        step_s=busy_s,
        bound_s=p.bound_s * line.lanes,
        utilisation=np.minimum(busy_s / total_s, 1.0),
        saturated=np.zeros(len(total_s), dtype=bool),
        waves=np.maximum(sent.count / (line.queue.places * line.lanes), 1.0),
    )


def _present(line: Line, p: Priced) -> Array:
    """Seconds that all sequences of a lane spend in its batch."""
    u = p.u
    without_s = u.decoding * np.maximum(p.cell_s - p.with_prompts_s, 0.0)
    with_s = np.minimum(u.decoding + p.prompts, line.queue.places[:, None]) * p.with_prompts_s
    out: Array = ((without_s + with_s) * p.times).sum(axis=1) + u.opened[0] * p.open_s
    return out
