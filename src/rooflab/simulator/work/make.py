"""The requests of any workload: a trace replayed, or drawn from its distributions."""

from __future__ import annotations

from typing import Final

from rooflab.scenario.slo import SLO
from rooflab.scenario.workload import Workload
from rooflab.simulator.work.draw import drawn_work
from rooflab.simulator.work.replay import trace_work
from rooflab.simulator.work.requests import Requests

__all__ = ["make_work"]

_NO_SLO: Final = SLO()


def make_work(workload: Workload, *, slo: SLO = _NO_SLO, block_tokens: int = 16) -> Requests:
    """The requests of `workload` (resolved: no `like` left open). `slo` gives deadlines to classes without their own.

    Prompts are cut into blocks of `block_tokens`, or 2, 4, ... times as many where there would be too many.
    Same workload, same bytes; a larger `requests` begins with the same draws.
    """
    if workload.trace is not None:
        return trace_work(workload, slo=slo)
    return drawn_work(workload, slo=slo, block_tokens=block_tokens)
