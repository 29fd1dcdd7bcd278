"""What the client of a run does and sees: requests pass a frontend, and users that have been at it for long are counted
from when the load is steady until it ends.

In a closed loop a user asks again when the answer has come, so what the frontend takes (`EngineOverhead.frontend_s`,
and `frontend_user_s` for each user, since requests are parsed one behind the other) is part of the loop.  In an open
loop it comes on top, and so it does where answers end together: benchmarks of equal lengths show no wait beyond that
for the prompts of one step, so the next requests make it into the step after the last token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rooflab.costs.engine_constants import engine_overhead
from rooflab.deploy.engine import Engine
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload
from rooflab.simulator.work.requests import OPEN, Requests, Result

__all__ = ["Client", "client_of", "steady_window"]


@dataclass(frozen=True, slots=True)
class Client:
    """A client before engines whose frontends take `delay_s` (E,); `loop`: the users that it stands for wait for
    answers."""

    delay_s: npt.NDArray[np.float64]
    loop: bool

    def sent(self, requests: Requests) -> Requests:
        """The requests as they reach the engines."""
        if not self.loop:
            return requests
        late_s = float(self.delay_s.mean())
        opens = requests.after == OPEN
        return replace(
            requests,
            arrival_s=np.where(opens, requests.arrival_s + late_s, requests.arrival_s),
            think_s=np.where(opens, requests.think_s, requests.think_s + late_s),
        )

    def seen(self, result: Result) -> Result:
        """The result with the times that the client sees."""
        records = result.records
        if self.loop:
            return replace(result, records=replace(records, arrival_s=records.arrival_s - float(self.delay_s.mean())))
        late_s = self.delay_s[np.clip(records.replica, 0, len(self.delay_s) - 1)]
        later = replace(
            records, first_token_s=records.first_token_s + late_s, last_token_s=records.last_token_s + late_s
        )
        return replace(result, records=later)


def client_of(scenario: Scenario, owners: list[Engine]) -> Client:
    """The client of a scenario, whose replicas are of the kinds `owners`."""
    overheads = [
        engine_overhead(e.deployment.runtime, moe=e.model.is_moe, family=e.hardware.device.family) for e in owners
    ]
    w = scenario.workload
    users = min(w.concurrency or 0, w.burst or math.inf) / len(owners)
    between = 1.0 if scenario.deployment.cluster.pools else 0.0
    delay_s = np.array([o.frontend_s + between * o.handoff_s + o.frontend_user_s * users for o in overheads])
    if w.mode == "static":  # a batch is handed to the engine itself
        delay_s = np.zeros(len(owners))
    return Client(delay_s, bool(w.concurrency) and not (w.mode == "closed" and w.start == "lockstep"))


def steady_window(workload: Workload, run: Result) -> tuple[float, float] | None:
    """When users that have been at it for long are counted: from as many ends as there are users until as many requests
    are left to come; None for others, and for runs of less than three requests a user."""
    users = workload.concurrency
    if workload.mode != "closed" or workload.start != "staggered" or users is None:
        return None
    ends = np.sort(run.records.last_token_s[np.isfinite(run.records.last_token_s)])
    comes = np.sort(run.records.arrival_s[np.isfinite(run.records.arrival_s)])
    if min(len(ends), len(comes)) < 3 * users:
        return None
    begin, end = float(ends[users - 1]), float(comes[-users])
    return (begin, end) if end > begin else None
