"""Proof by simulation: what the closed form puts first is run event by event before it is called an answer.

Candidates are tried in their order with the same streams of random numbers, a few runs first and the rest for those
that stand.  One holds when nine in ten of its runs meet every target.  What the closed form thinks just out of reach is
tried, too, since its tails are the least sure of its figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from rooflab.errors import RooflabError
from rooflab.planner.objective import Objective
from rooflab.planner.space import engine_shape
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import SLO

if TYPE_CHECKING:
    from rooflab.simulator.serving.scenario import Prepared
    from rooflab.simulator.work.requests import Requests

__all__ = ["CONFIRMING", "HOLDS", "Proof", "Proofs", "confirm", "prove"]

HOLDS: Final = 0.9
"""Share of runs that must meet every target."""
CONFIRMING: Final = 30
"""Runs that a first choice must hold in where ten leave a doubt."""
_TOLERANCE: Final = 2.355 / 3.078
"""Of the range of ten normal values: the factor of a one-sided tolerance limit (90 % below, 95 % confidence) times the
standard deviation that the range stands for."""
_FIRST: Final = 2
"""Runs after which a candidate is given up that met the targets in none: of one that holds, one in a hundred is."""
_SHOWN: Final = ("requests_per_s", "ttft_s_p99", "tpot_s_p99", "usd_per_mtok", "j_per_token")
_SHOWN_PER_GPU: Final = ("output_tokens_per_s_per_gpu", "requests_per_s_per_gpu")
"""Metrics of a plan's table; the rate a device is that of what arrives in an open loop."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What `runs` simulations of a deployment say: `met` of them meet every target; the median of each metric, and the
    lowest and highest of those that are bound; `over`: the largest ratio of a median to its target, `reach` that of
    what a run that is not among them may well come to."""

    runs: int
    met: int
    metrics: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    over: float = 0.0
    reach: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether nine in ten runs meet every target; of thirty 29, so that nine in ten is not chance."""
        return self.met >= HOLDS * self.runs + (2 if self.runs >= CONFIRMING else 0)

    @property
    def doubtful(self) -> bool:
        """Whether few runs hold, and another may well miss a target."""
        return self.holds and self.runs < CONFIRMING and (self.met < self.runs or self.reach > 1.0)

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "runs": self.runs, "met": self.met, "holds": self.holds,
            "metrics": {k: v if math.isfinite(v) else None for k, v in self.metrics.items()},
            "ranges": {k: [x if math.isfinite(x) else None for x in pair] for k, pair in self.ranges.items()},
        }  # fmt: skip


@dataclass(slots=True)
class Proofs:
    """What was tried, by deployment; `untried` candidates were left when enough stood or enough had been tried."""

    found: dict[Deployment, Proof] = field(default_factory=dict)
    untried: int = 0

    @property
    def held(self) -> list[Deployment]:
        """Those that hold."""
        return [d for d, proof in self.found.items() if proof.holds]

    @property
    def missed(self) -> list[tuple[Deployment, Proof]]:
        """Those that do not, nearest first: by the share of runs that meet every target, then by the worst miss."""
        out = [(d, proof) for d, proof in self.found.items() if not proof.holds]
        return sorted(out, key=lambda pair: (-pair[1].met / pair[1].runs, pair[1].over))


def prove(
    base: Scenario, deployments: Sequence[Deployment], target: Objective, *, wanted: int, runs: int, most: int
) -> Proofs:
    """Simulate `deployments` in their order until `wanted` of them hold, `most` of them at most: what is tried does not
    depend on the machine.  Other counts of engines that hold are not tried."""
    proofs, work = Proofs(), _Work()
    held: set[tuple[Any, ...]] = set()
    for i, d in enumerate(deployments):
        if engine_shape(d) in held:
            continue
        if len(proofs.found) >= most or len(held) >= wanted:
            proofs.untried = len(deployments) - i
            break
        proof = _proof(replace(base, deployment=d), target, runs, work)
        if proof is not None:
            proofs.found[d] = proof
            held |= {engine_shape(d)} if proof.holds else set()
    return proofs


def confirm(base: Scenario, proofs: Proofs, d: Deployment, target: Objective) -> None:
    """Simulate `d` in as many runs as it takes to be sure that it holds, and keep what they say."""
    proof = _proof(replace(base, deployment=d), target, CONFIRMING, _Work())
    if proof is not None:
        proofs.found[d] = proof


def _proof(scenario: Scenario, target: Objective, runs: int, work: _Work) -> Proof | None:
    """The proof of one deployment; None where it cannot be simulated."""
    from rooflab.simulator.serving.scenario import Prepared

    names = [SLO.metric(key) for key, _ in scenario.slo]
    taken = {*names, target.metric, "output_tokens_per_s", *_SHOWN}
    taken |= set() if scenario.workload.mode in ("open", "trace") else set(_SHOWN_PER_GPU)
    rows: list[dict[str, float]] = []
    met = 0
    try:
        prepared = Prepared.of(scenario)
        for seed in range(runs):
            m = prepared.run(work.of(prepared, seed), seed=seed).some(taken)
            rows.append(m)
            met += all(m[SLO.metric(key)] <= limit for key, limit in scenario.slo)
            if seed + 1 == _FIRST and met == 0:
                break
    except RooflabError:
        return None
    medians = {name: float(np.median([row[name] for row in rows])) for name in sorted(rows[0])}
    spread = {name: [row[name] for row in rows] for name in names if name in rows[0]}
    ranges = {name: (min(values), max(values)) for name, values in spread.items()}
    over = max((medians.get(SLO.metric(key), math.inf) / limit for key, limit in scenario.slo), default=0.0)
    reach = max((_reach(SLO.metric(key), medians, ranges) / limit for key, limit in scenario.slo), default=0.0)
    return Proof(len(rows), met, medians, ranges, over, reach)


def _reach(name: str, medians: Mapping[str, float], ranges: Mapping[str, tuple[float, float]]) -> float:
    """As far again from the median as the farthest run, and at least where nine in ten runs stay below, with 95 %
    confidence, as ten of them are spread."""
    low, high = ranges.get(name, (0.0, math.inf))
    middle = medians.get(name, math.inf)
    return max(2 * high - middle, middle + _TOLERANCE * (high - low))


@dataclass(slots=True)
class _Work:
    """The requests of each stream of random numbers, made once for all deployments that are sent the same."""

    made: dict[tuple[int, int], Requests] = field(default_factory=dict)

    def of(self, prepared: Prepared, seed: int) -> Requests:
        from rooflab.simulator.work.make import make_work

        block = prepared.scenario.deployment.limits.block_size
        if (seed, block) not in self.made:
            load = replace(prepared.workload, seed=seed)
            self.made[seed, block] = make_work(load, slo=prepared.scenario.slo, block_tokens=block)
        return self.made[seed, block]
