"""Every engine and device constant fitted to published serving rows.

In this order, each stage with the constants of the stages before it:

1. engines, by generation and kind of model, on devices whose kernels are fitted to tables (their own or a relative's);
   mixtures with block-scaled experts are too few on fast hosts, so those of vLLM are fitted together with its rows on
   slow hosts;
2. the slow host, on the other rows of sources that drive vLLM from a slow process; a processor shared with others;
3. factors of devices that borrow a relative's tables and have rows of their own;
4. factors of device families without tables, together with the engines that run on nothing else;
5. first-token terms (frontend, convoy) of closed loops, an engine's dense and mixture entries drawn towards each other;
6. the handoff between pools.

Rows whose deployment was the submitter's choice (MLPerf) serve as the best deployment at the constants of the stages
before, with less weight than rows that state theirs; a server's rate under limits is foretold with its group left out,
never fitted. Time per token, throughput, static prefill and end-to-end rows serve stages 1 to 4; p99 and closed-loop
first tokens do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rooflab.costs.engine_constants import ServingCalibration, active
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.refit.energy_left_out import Without
from rooflab.evidence.refit.serving.devices import families, relatives
from rooflab.evidence.refit.serving.engines import contended_host, engines, slow_host
from rooflab.evidence.refit.serving.first_tokens import first_tokens, handoffs
from rooflab.evidence.refit.serving.fitting import Fitting

__all__ = ["Trained", "train"]

_ORDER: Final = (engines, slow_host, contended_host, relatives, families, first_tokens, handoffs)


@dataclass(frozen=True, slots=True)
class Trained:
    """The calibration fitted to rows, held-out predictions by row id, and the calibration without a group's rows."""

    table: ServingCalibration
    held: Mapping[str, float]
    without: Without


def train(
    rows: Sequence[FitRow],
    date: str,
    *,
    near: ServingCalibration | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Trained:
    """Fit every stage to `rows`, each with the constants of the stages before it; `tell` hears a line of each fit.

    `near`: a calibration near which the constants are looked for, quickly and without held-out errors.
    """
    fitting, table = Fitting(rows, date, near, tell), active()
    for stage in _ORDER:
        table = stage(fitting, table)
    return Trained(table, fitting.held, fitting.without)
