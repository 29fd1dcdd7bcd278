"""The answer of a plan: ranked deployments with their reasons, what was rejected and by how much, and how firm the
choice is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from rooflab.deploy.pools import pool_parts
from rooflab.estimator.serving.answer import Estimate
from rooflab.launch.label import SEARCHED, deployment_label
from rooflab.planner.objective import Objective
from rooflab.planner.proof import Proof
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.write import written, written_deployment

__all__ = ["Assumed", "Beside", "Choice", "Limit", "Plan", "Point", "Proposed", "Rejected", "Shift", "Violation"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A bound that is broken: `bound` is an SLO key, "rate" (requests/s) or "memory".

    `over` is got over limit (limit over got for rates).
    """

    bound: str
    got: float
    limit: float
    over: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What a choice rests on that nobody has measured here: a value with its range and source, the same deployment at
    both ends of the range, and what simulations say there (NaN: not tried)."""

    name: str
    value: float
    low: float
    high: float
    source: str
    low_deployment: Deployment
    high_deployment: Deployment
    objective_low: float = math.nan
    objective_high: float = math.nan
    holds_low: bool = False

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name, "value": self.value, "low": self.low, "high": self.high, "source": self.source,
            "objective_low": _plain(self.objective_low), "objective_high": _plain(self.objective_high),
            "holds_low": self.holds_low,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proposed:
    """A deployment of another space in closed form, with what it assumes; of each `kind` the best one that holds is
    kept (empty: the best few of all such)."""

    estimate: Estimate
    assumed: Assumed | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Beside:
    """Why a choice stands behind a plan's own: the `space` that it is of, the `gain` in the objective over the first
    choice (above 1: better; NaN without one), and what it assumes."""

    space: str
    gain: float
    assumed: Assumed | None = None

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "space": self.space,
            "gain": _plain(self.gain),
            "assumed": None if self.assumed is None else self.assumed.record(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A deployment that meets the targets, with its metrics.

    `rank` from 1; `quality` says whether the model's answers are the checkpoint's; `why` holds computed comparisons,
    `change` what would have to change for it to break or to win; `proof` what simulations of it say (None: none were
    run); `beside` the other space that it is of (None: the plan's own).
    """

    rank: int
    estimate: Estimate
    quality: str
    why: tuple[str, ...] = ()
    change: tuple[str, ...] = ()
    proof: Proof | None = None
    beside: Beside | None = None

    @property
    def scenario(self) -> Scenario:
        """The scenario with this deployment."""
        return self.estimate.scenario

    @property
    def deployment(self) -> Deployment:
        """The deployment, every field chosen."""
        return self.estimate.scenario.deployment

    @property
    def metrics(self) -> dict[str, Any]:
        """Metrics by name, as `estimate` gives them."""
        return self.estimate.metrics

    @property
    def seen(self) -> dict[str, Any]:
        """Metrics by name, those of the simulations where they were proven."""
        return self.metrics | ({} if self.proof is None else dict(self.proof.metrics))

    @property
    def tightest(self) -> tuple[str, float, float] | None:
        """The target nearest to its limit, as simulated where it was: key, value and limit (s); None without
        targets."""
        s, seen = self.scenario, self.seen
        got = {key: float(seen[s.slo.metric(key)]) for key, _ in s.slo}
        return max(((key, got[key], limit) for key, limit in s.slo), key=lambda x: x[1] / x[2], default=None)

    @property
    def devices(self) -> int:
        """Devices in use, those of all pools."""
        if self.deployment.cluster.pools:
            return sum(d.devices for _, _, d in pool_parts(self.scenario))
        return self.deployment.devices

    @property
    def label(self) -> str:
        """The deployment in a few words: ``vLLM fp8 TP4 × 2  256 seqs  chunk 2k``."""
        return deployment_label(self.scenario)

    def launch_command(self, engine: str | None = None) -> str:
        """The command that starts one replica, or every engine of pools (see `rooflab.launch.command`)."""
        from rooflab.launch.command import launch_command

        return launch_command(self.scenario, engine, pool_parts(self.scenario))

    def kubernetes(self) -> str:
        """A manifest that runs all replicas (see `rooflab.launch.kubernetes`)."""
        from rooflab.launch.kubernetes import kubernetes

        return kubernetes(self.scenario, pool_parts(self.scenario))

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        own = self.deployment.flat()
        searched = () if self.deployment.cluster.pools else SEARCHED
        chosen = {name: own[name] for name in searched if own[name] is not None}
        return {
            "rank": self.rank,
            "label": self.label,
            "deployment": chosen | written_deployment(self.deployment),
            "devices": self.devices,
            "quality": self.quality,
            "why": list(self.why),
            "change": list(self.change),
            "metrics": self.estimate.record(),
            "proof": None if self.proof is None else self.proof.record(),
        } | ({} if self.beside is None else self.beside.record())


@dataclass(frozen=True, slots=True)
class Rejected:
    """A deployment that was left out and why: the bound that it breaks (None: see `reason`)."""

    deployment: Deployment
    label: str
    reason: str
    violation: Violation | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate on the chart: its cost (USD per million tokens, NaN without a price), rate per device, latency
    (s)."""

    label: str
    devices: int
    usd_per_mtok: float
    tokens_per_s_per_gpu: float
    latency_s: float
    meets: bool


@dataclass(frozen=True, slots=True)
class Limit:
    """The physical limit of the best choice's work: tokens/s/GPU at datasheet peaks, and the share of it that is
    reached."""

    tokens_per_s_per_gpu: float
    ratio: float
    text: str


@dataclass(frozen=True, slots=True)
class Shift:
    """How the best choice answers when one thing about the traffic changes: `factor` on `name`, the objective, broken
    targets."""

    name: str
    factor: float
    value: float
    change: float
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Ranked `choices` (best first; empty when nothing meets the targets), and everything that explains them.

    `by_devices`: the best choice for each number of devices; `front`: choices that no other beats in both cost and
    latency; `latency_metric` is the latency of front and `points`; `message` is the answer in a sentence. `beside`:
    what holds of the other `spaces` that were asked for, numbered behind the choices.
    """

    scenario: Scenario
    objective: Objective
    choices: tuple[Choice, ...]
    by_devices: tuple[Choice, ...]
    front: tuple[Choice, ...]
    rejected: tuple[Rejected, ...]
    points: tuple[Point, ...]
    latency_metric: str
    limit: Limit | None
    sensitivity: tuple[Shift, ...]
    considered: int
    feasible: int
    message: str
    price_source: str
    beside: tuple[Choice, ...] = ()
    spaces: tuple[str, ...] = ()

    @property
    def ranked(self) -> tuple[Choice, ...]:
        """The choices and what stands beside them, by number."""
        return self.choices + self.beside

    @property
    def best(self) -> Choice | None:
        """The first choice, None when nothing meets the targets."""
        return self.choices[0] if self.choices else None

    def record(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "message": self.message,
            "objective": self.objective.metric,
            "considered": self.considered,
            "feasible": self.feasible,
            "choices": [c.record() for c in self.ranked],
            "by_devices": [c.record() for c in self.by_devices],
            "front": [c.record() for c in self.front],
            "rejected": [_rejected(r) for r in self.rejected],
            "limit": {"tokens_per_s_per_gpu": self.limit.tokens_per_s_per_gpu, "ratio": self.limit.ratio}
            if self.limit
            else None,
            "sensitivity": [_shift(s) for s in self.sensitivity],
            "price_source": self.price_source,
        }

    def file(self, asked: Scenario) -> dict[str, Any]:
        """The record with the scenario that was planned, its deployment as `asked`: what a plan's file holds, of which
        `rooflab.load` and every command take a choice. Raises InputError for what no file can say."""
        return {"scenario": written(replace(self.scenario, deployment=asked.deployment))} | self.record()


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _shift(s: Shift) -> dict[str, Any]:
    broken = [v.bound for v in s.violations]
    return {"name": s.name, "factor": s.factor, "value": _plain(s.value), "change": _plain(s.change), "breaks": broken}


def _rejected(r: Rejected) -> dict[str, Any]:
    out: dict[str, Any] = {"label": r.label, "reason": r.reason}
    if r.violation is not None:
        v = r.violation
        out["violation"] = {"bound": v.bound, "got": _plain(v.got), "limit": v.limit, "over": _plain(v.over)}
    return out
