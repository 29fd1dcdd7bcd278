"""An engine before its first step: completed, accounted and priced once, and handed on.

Both engines of Rooflab (closed form and event by event), labs and papers take it from here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rooflab.costs.compile import Rewrite
from rooflab.costs.provenance import kind_of
from rooflab.costs.step import StepCost
from rooflab.deploy.bill import Bill, bill
from rooflab.deploy.complete import completed, resident_tokens
from rooflab.deploy.pools import pool_parts
from rooflab.deploy.stack import EngineStack, step_prices
from rooflab.memory.account import MemoryAccount, account
from rooflab.metrics.value import Kind
from rooflab.scenario.cluster import Pool
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario

__all__ = ["Engine", "engine_of", "engines_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Engine:
    """One kind of engine: `deployment` has every field chosen, `memory` is its account (arrays of one), `step_cost` the
    price of its step.

    `rewrites` are what techniques did to its operators, `cross_tokens` what a decoder's cross-attention reads a
    sequence, `encoder` the price of a step of an encoder-decoder's encoder. `pool`: the pool that it serves in, None
    where a scenario has one kind only.
    """

    model: Model
    hardware: Hardware
    deployment: Deployment
    rewrites: tuple[Rewrite, ...]
    cross_tokens: float
    memory: MemoryAccount
    step_cost: StepCost
    encoder: StepCost | None = None
    pool: Pool | None = None

    @property
    def replicas(self) -> int:
        """Engines of this kind."""
        return self.deployment.cluster.replicas or 1

    @property
    def free_bytes(self) -> float:
        """Bytes of a device that are left for cache and states."""
        return float(self.memory.free_bytes[0])

    @property
    def kind(self) -> Kind:
        """What its prices rest on."""
        return kind_of(self.model, self.hardware, self.deployment.runtime)

    @property
    def bill(self) -> Bill:
        """What its devices cost by the hour."""
        return bill(self.hardware)

    def sequence_bytes(self, length: float) -> float:
        """Bytes of a sequence of `length` tokens on its device."""
        return float(self.memory.sequence_bytes(np.array([length]))[0])

    def on(self, hardware: Hardware) -> Engine:
        """The same engine on the same devices at another clock or power limit: its memory stays, its steps are priced
        again."""
        costs, encoder = step_prices(self.model, hardware, [self.deployment], self.rewrites, self.cross_tokens)
        return replace(self, hardware=hardware, step_cost=costs[0], encoder=None if encoder is None else encoder[0])

    def serving(self, **flat: Any) -> Engine:
        """The same engine with fields of its deployment changed that neither memory nor price depend on (`replicas`,
        `prefix_caching`)."""
        return replace(self, deployment=self.deployment.changed(**flat))

    def stack(self) -> EngineStack:
        """This one as a stack of one."""
        row = np.zeros(1, dtype=np.intp)
        return EngineStack(
            model=self.model, hardware=self.hardware, deployments=(self.deployment,), memory=self.memory, held_row=row,
            costs=self.step_cost.stack(), encoder=None if self.encoder is None else self.encoder.stack(),
            priced_row=row,
        )  # fmt: skip


def engine_of(scenario: Scenario) -> Engine:
    """The engine of a scenario without pools. Raises InputError for an impossible split, Infeasible when not even one
    sequence fits."""
    deployment, memory = completed(scenario)
    return _engine(scenario, scenario.hardware, deployment, memory, None)


def engines_of(scenario: Scenario) -> tuple[Engine, ...]:
    """One engine a pool, in their order, or the scenario's only one; whether a sequence fits is checked for the only
    one."""
    if not scenario.deployment.cluster.pools:
        return (engine_of(scenario),)
    return tuple(
        _engine(scenario, hardware, deployment, account(scenario.model, hardware, [deployment]), pool)
        for pool, hardware, deployment in pool_parts(scenario)
    )


def _engine(
    scenario: Scenario, hardware: Hardware, deployment: Deployment, memory: MemoryAccount, pool: Pool | None
) -> Engine:
    model, rewrites = scenario.model, scenario.rewrites
    _, cross = resident_tokens(model, scenario.workload)
    costs, encoder = step_prices(model, hardware, [deployment], rewrites, cross)
    return Engine(
        model=model, hardware=hardware, deployment=deployment, rewrites=rewrites, cross_tokens=cross, memory=memory,
        step_cost=costs[0], encoder=None if encoder is None else encoder[0], pool=pool,
    )  # fmt: skip
