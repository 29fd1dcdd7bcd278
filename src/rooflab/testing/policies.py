"""What every scheduling policy must hold: a new one inherits these tests.

    class TestShortestPrompt(PolicyConformance):
        policy = staticmethod(shortest_prompt)

A policy is a name of `simulate.rules.POLICIES` or a function of nine numbers (`simulate.rules.KeyFunction`).
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rooflab.costs.step import fixed_step
from rooflab.simulator.serving.rules import KeyFunction
from rooflab.simulator.serving.run import run
from rooflab.simulator.serving.specs import Replica
from rooflab.simulator.work.requests import Requests, Result, Status, make_requests

__all__ = ["PolicyConformance"]


def _requests(n: int = 60, burst: bool = False) -> Requests:
    rng = np.random.default_rng(3)
    return make_requests(
        np.zeros(n) if burst else np.cumsum(rng.exponential(2.0, n)),
        rng.integers(1, 40, n),
        rng.integers(1, 20, n),
        predicted_tokens=rng.integers(1, 20, n),
        client=rng.integers(0, 3, n),
        priority=rng.integers(0, 3, n),
        deadline_s=rng.exponential(50.0, n),
    )


class PolicyConformance:
    """Tests of one policy; `requests` may be replaced by work that suits it."""

    policy: ClassVar[str | KeyFunction]

    @property
    def requests(self) -> Requests:
        """Work that queues: more than the engine can run at once."""
        return _requests()

    def simulate(self, requests: Requests, **limits: int) -> Result:
        """A run on one replica with a step of a second."""
        shape: dict[str, Any] = {"block_size": 4, "kv_blocks": 40, "max_num_seqs": 3, **limits}
        return run(requests, Replica(step_cost=fixed_step(1.0), policy=type(self).policy, **shape))

    def test_everyone_is_served(self) -> None:
        """No request is lost or starved for good."""
        result = self.simulate(self.requests)
        assert result.complete
        assert (result.records.status == Status.FINISHED).all()
        assert (result.records.tokens_out == self.requests.output_tokens).all()

    def test_the_engine_is_not_left_idle(self) -> None:
        """A policy orders work, it does not hold it back: with one sequence at a time the work done ends when it would
        under any order."""
        burst = _requests(30, burst=True)
        assert self.simulate(burst, max_num_seqs=1).end_s == float(burst.output_tokens.sum())

    def test_the_same_work_gives_the_same_bytes(self) -> None:
        """Decisions depend on what a policy is told alone."""
        first, second = self.simulate(self.requests).records, self.simulate(self.requests).records
        assert first.last_token_s.tobytes() == second.last_token_s.tobytes()

    def test_memory_pressure_loses_nobody(self) -> None:
        """Preempted requests come back and finish."""
        result = self.simulate(self.requests, kv_blocks=16, max_num_seqs=8)
        assert (result.records.status == Status.FINISHED).all()
