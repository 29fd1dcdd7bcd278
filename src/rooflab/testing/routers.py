"""What every router must hold: a new one inherits these tests.

    class TestSpread(RouterConformance):
        router = staticmethod(spread)

A router is a name of `simulate.router.ROUTERS` or a function (`simulate.router.RouteFunction`).
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from rooflab.costs.step import fixed_step
from rooflab.simulator.serving.router import RouteFunction
from rooflab.simulator.serving.run import run
from rooflab.simulator.serving.specs import Cluster, Failure, Replica
from rooflab.simulator.work.requests import Requests, Result, Status, make_requests

__all__ = ["RouterConformance"]


class RouterConformance:
    """Tests of one router over three replicas; `requests` may be replaced by work that suits it."""

    router: ClassVar[str | RouteFunction]

    @property
    def requests(self) -> Requests:
        """Work of many sessions whose prompts share prefixes."""
        rng = np.random.default_rng(5)
        n = 120
        session = rng.integers(0, 12, n)
        return make_requests(
            np.cumsum(rng.exponential(1.0, n)), 16, rng.integers(1, 12, n), session=session, client=session % 3,
            prefix_start=np.arange(0, 3 * n + 1, 3), prefix_block=(session[:, None] * 3 + np.arange(3)).ravel(),
            prefix_block_tokens=4,
        )  # fmt: skip

    def simulate(self, *failures: Failure, seed: int = 0) -> Result:
        """A run on three replicas with a step of a second."""
        replica = Replica(step_cost=fixed_step(1.0), block_size=4, kv_blocks=60, max_num_seqs=4, prefix_caching=True)
        return run(
            self.requests, Cluster(replicas=(replica,) * 3, router=type(self).router, failures=failures), seed=seed
        )

    def test_everyone_is_served(self) -> None:
        """Every request goes to a replica and finishes there."""
        records = self.simulate().records
        assert (records.status == Status.FINISHED).all()
        assert ((records.replica >= 0) & (records.replica < 3)).all()

    def test_no_replica_is_forgotten(self) -> None:
        """Under work for more than one replica, each gets some."""
        assert len(np.unique(self.simulate().records.replica)) == 3

    def test_a_dead_replica_gets_nothing(self) -> None:
        """While a replica is down nothing is sent there, and what it had is served elsewhere."""
        records = self.simulate(Failure(1, 20.0)).records
        assert (records.status == Status.FINISHED).all()
        assert not (records.replica[records.first_token_s > 20.0] == 1).any()

    def test_the_same_seed_gives_the_same_bytes(self) -> None:
        """Chance comes from the seed alone."""
        first, second = self.simulate(seed=9).records, self.simulate(seed=9).records
        assert first.last_token_s.tobytes() == second.last_token_s.tobytes()
        assert first.replica.tobytes() == second.replica.tobytes()
