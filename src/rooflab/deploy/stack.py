"""Many kinds of engines of one model on one hardware, accounted and priced together as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rooflab.costs.compile import Rewrite, compile_steps
from rooflab.costs.once import remembered
from rooflab.costs.step import StepCosts
from rooflab.deploy.bill import Bill, bill
from rooflab.memory.account import MemoryAccount, account
from rooflab.scenario.deployment import Deployment, Priced, held, priced
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model

__all__ = ["EngineStack", "representatives", "stack", "step_prices"]

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStack:
    """Kinds of engines by `deployments` (D of them, every field chosen).

    `memory` and `costs` have a row for each account and each price that differs; `held_row` and `priced_row` (D,) say
    which is whose. `encoder`: step prices of an encoder-decoder's encoder, rows as those of `costs`.
    """

    model: Model
    hardware: Hardware
    deployments: Sequence[Deployment]
    memory: MemoryAccount
    held_row: Index
    costs: StepCosts
    encoder: StepCosts | None
    priced_row: Index

    @property
    def bill(self) -> Bill:
        """What the hardware costs by the hour."""
        return bill(self.hardware)


def stack(
    model: Model,
    hardware: Hardware,
    deployments: Sequence[Deployment],
    rewrites: Sequence[Rewrite] = (),
    cross_tokens: float = 0.0,
) -> EngineStack:
    """Account and price `deployments`, each distinct account and price once."""
    accounts, held_row = representatives(deployments, held)
    prices, priced_row = representatives(deployments, priced)
    costs, encoder = step_prices(model, hardware, prices, rewrites, cross_tokens)
    return EngineStack(
        model=model, hardware=hardware, deployments=deployments, memory=account(model, hardware, accounts),
        held_row=held_row, costs=costs, encoder=encoder, priced_row=priced_row,
    )  # fmt: skip


def step_prices(
    model: Model,
    hardware: Hardware,
    deployments: Sequence[Priced],
    rewrites: Sequence[Rewrite],
    cross_tokens: float,
) -> tuple[StepCosts, StepCosts | None]:
    """Step prices of each deployment, and of the encoder of an encoder-decoder as a model of its own."""
    costs = remembered(
        lambda: compile_steps(model, hardware, deployments, rewrites, cross_tokens),
        model, hardware, deployments, tuple(rewrites), cross_tokens,
    )  # fmt: skip
    if model.kind != "encoder-decoder":
        return costs, None
    tower = replace(model, kind="encoder", runs=model.encoder, encoder=(), head=False)
    return costs, compile_steps(tower, hardware, deployments, rewrites)


def representatives(
    deployments: Sequence[Deployment], key: Callable[[Deployment], Any]
) -> tuple[list[Deployment], Index]:
    """One deployment for each value of `key`, and which of them stands for each of `deployments`."""
    place: dict[Any, int] = {}
    first: list[Deployment] = []
    rows = np.empty(len(deployments), dtype=np.intp)
    for i, d in enumerate(deployments):
        k = key(d)
        row = place.get(k)
        if row is None:
            row = place[k] = len(first)
            first.append(d)
        rows[i] = row
    return first, rows
