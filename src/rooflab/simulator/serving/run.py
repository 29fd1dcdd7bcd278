"""Run the simulator: build the state from requests and a cluster, advance it in slices, hand back flat arrays."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Final

from rooflab.simulator.serving import pointer  # noqa: F401  tells the compiler about Sim
from rooflab.simulator.serving.build import Options, build, lanes_of
from rooflab.simulator.serving.compiled import interpreted, kept
from rooflab.simulator.serving.features import IN_WORDS, needed
from rooflab.simulator.serving.loop import advance
from rooflab.simulator.serving.outcome import outcome
from rooflab.simulator.serving.specs import Cluster, Replica
from rooflab.simulator.serving.state import FEATURES
from rooflab.simulator.work.requests import Requests, Result

__all__ = ["Progress", "Simulation", "Tell", "run"]

SLICE: Final = 250_000
"""Events between two looks at the clock: a few tenths of a second of work."""
WHOLE: Final = "ROOFLAB_WHOLE_SIMULATOR"
"""Environment variable: set, the loop is compiled once with all features instead of once for each set that runs use."""

Progress = Callable[[float, float], None]
"""Called between slices with the share of requests that are over and the simulated time."""
Tell = Callable[[str], None]
"""Called with a line to show when the loop must be compiled first."""


def run(
    requests: Requests,
    cluster: Cluster | Sequence[Replica] | Replica,
    *,
    seed: int = 0,
    until_s: float = math.inf,
    log_steps: int = 0,
    progress: Progress | None = None,
    tell: Tell | None = None,
    partial: bool = True,
) -> Result:
    """Simulate `requests` on `cluster` until all are over (or `until_s`); Ctrl-C keeps what is done and marks it
    incomplete, unless a `partial` run would be of no use.

    `seed` drives the router's random choices. The first `log_steps` engine steps are logged.
    Raises InputError when the pieces do not fit together.
    """
    simulation = Simulation(requests, cluster, seed=seed, until_s=until_s, log_steps=log_steps)
    if tell is not None and simulation.compiles:
        tell(f"compiling the simulator for {simulation.words}, once on this machine: some 10 s")
    try:
        while not simulation.advance():
            if progress is not None:
                progress(simulation.done, simulation.now_s)
    except KeyboardInterrupt:
        if not partial:
            raise
    return simulation.result()


class Simulation:
    """A run that can be watched: `advance` does a slice, `result` settles the accounts at any time after."""

    def __init__(
        self,
        requests: Requests,
        cluster: Cluster | Sequence[Replica] | Replica,
        *,
        seed: int = 0,
        until_s: float = math.inf,
        log_steps: int = 0,
    ) -> None:
        if isinstance(cluster, Replica):
            cluster = (cluster,)
        cluster = cluster if isinstance(cluster, Cluster) else Cluster(replicas=tuple(cluster))
        self._lanes = lanes_of(cluster.replicas)
        options = Options(seed=seed, until_s=until_s, log_steps=log_steps)
        self._sim = build(requests, cluster, self._lanes, options)
        self._uses = needed(self._sim)
        loop = _loop_for(self._uses)
        for name in FEATURES:
            setattr(self._sim, f"has_{name}", name in loop)

    @property
    def compiles(self) -> bool:
        """Whether the loop that this run needs must be compiled first."""
        return not interpreted() and self._sim.features() not in kept(advance)

    @property
    def words(self) -> str:
        """What this run uses beside the plain loop, in words."""
        return ", ".join(words for name, words in IN_WORDS.items() if name in self._uses) or "plain runs"

    @property
    def now_s(self) -> float:
        """Simulated time."""
        return float(self._sim.g[0].now_s)

    @property
    def done(self) -> float:
        """Share of requests that are over."""
        g = self._sim.g[0]
        return float(g.ended / max(g.n_jobs, 1))

    def advance(self, events: int = SLICE) -> bool:
        """Do up to `events` events; True when nothing is left to do."""
        return bool(advance(self._sim, events, False))

    def result(self) -> Result:
        """What has happened so far."""
        advance(self._sim, 0, True)
        return outcome(self._sim, self._lanes.replica_of)


def _loop_for(uses: frozenset[str]) -> frozenset[str]:
    """Features of the loop to run: the smallest one kept that has all that are used, else one with just these."""
    if interpreted():
        return uses
    enough = [loop for loop in kept(advance) if uses <= loop]
    if enough:
        return min(enough, key=lambda loop: (len(loop), sorted(loop)))
    return frozenset(FEATURES) if WHOLE in os.environ else uses
