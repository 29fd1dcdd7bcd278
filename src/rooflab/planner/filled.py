"""What tokens cost under service levels where requests come at a rate: engines filled to the highest rate that they
carry within the targets, as many of them as the load needs.

    cost = devices of an engine · price of a device-hour / (3600 · rate within the targets · tokens of an answer)

at its least over engines, splits, formats and chunks.  Whole devices are told beside it: ⌈load / rate⌉ engines at their
fewest.  The rate at which a target breaks lies between two that were asked; it is read off a straight line of
logarithms, rate against the worst ratio to a target.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.deploy.bill import bill
from rooflab.deploy.complete import resident_tokens
from rooflab.deploy.stack import stack
from rooflab.errors import RooflabError
from rooflab.estimator.serving.engines import evaluate_stack
from rooflab.operators.formats import formats_of
from rooflab.planner.engines import engines_for
from rooflab.planner.judge import judge_columns
from rooflab.planner.search import check
from rooflab.planner.space import space_of
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.paid import paying
from rooflab.scenario.scenario import Scenario

__all__ = ["NOTHING", "Filled", "Found"]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

_CHUNKS: Final = (2048, 8192)
"""Tokens a step: a short one for times per token, a long one for first tokens."""
_STEP: Final = 2.0
_COARSE: Final = 4.0
"""Factors between rates: of engines that are asked for their cost, and of all of them before."""
_PARTS: Final = 6
"""Rates asked between the last that is carried and the first that is not."""
_RUNGS: Final = 3
"""Rates asked at once on the way up."""
_FAR: Final = 2.0**40
"""How far beyond the lowest rate is looked."""
_OVER: Final = 1.0 + 1e-9
"""Ratio to a target of a load that is more than what is served, at the least."""
_LOWEST: Final = 1 / 256
"""Lowest rate asked, over that of the scenario."""


@dataclass(frozen=True, slots=True)
class Found:
    """The cheapest of the engines: USD a million tokens (infinite: none meets the targets), the engine, the rate
    (requests/s) that it carries, and the fewest devices for the scenario's load; `costs` of each engine that was
    asked."""

    cost: float
    engine: Deployment | None
    rate: float
    devices: float
    costs: Array = field(compare=False)


NOTHING: Final = Found(math.inf, None, math.nan, math.inf, np.zeros(0))
"""No engine meets the targets."""


@dataclass(frozen=True, slots=True)
class Filled:
    """Engines of a scenario, one replica each, and the rates that they carry as they are."""

    base: Scenario
    engines: tuple[Deployment, ...]
    rates: Array
    usd_per_device_hour: float

    @staticmethod
    def of(scenario: Scenario) -> Filled:
        """The engines that a plan would take. Raises what a plan does."""
        check(scenario)
        engines = _engines(scenario)
        base = replace(scenario, deployment=engines[0])
        usd = bill(scenario.hardware).usd_per_device_hour
        every = Filled(base, engines, np.zeros(len(engines)), usd)
        rates = every._carried(every._start, _COARSE)
        kept = every._worth_asking(rates)
        some = Filled(base, tuple(engines[i] for i in kept), rates[kept] / _COARSE, usd)
        return replace(some, rates=some._carried(some._start, _STEP))

    @property
    def _lowest(self) -> float:
        return (self.base.workload.rate or 1.0) * _LOWEST

    @property
    def _start(self) -> Array:
        """A rate that each engine carries, among those that are always asked: what was read between two of them is the
        same whenever it is read."""
        return self._lowest * _STEP ** np.floor(np.log2(np.maximum(self.rates / self._lowest, 1.0)))

    def found(self, shares: Mapping[str, float], among: Index | None = None) -> Found:
        """What tokens cost while work counts in `shares`, of the engines `among` (all)."""
        if not shares:
            return self._best(self.rates)
        some = self if among is None else Filled(
            self.base, tuple(self.engines[i] for i in among), self.rates[among], self.usd_per_device_hour
        )  # fmt: skip
        with paying(**shares):
            return some._best(np.maximum(some._carried(some._start, _STEP), some.rates))

    def _best(self, rates: Array) -> Found:
        if not len(rates):
            return NOTHING
        devices = np.array([d.devices for d in self.engines], dtype=float)
        osl = max(self.base.workload.mean_output_tokens, 1.0)
        with np.errstate(divide="ignore"):
            costs = devices * self.usd_per_device_hour / 3600.0 / (rates * osl) * 1e6
            whole = devices * np.ceil((self.base.workload.rate or 0.0) / rates - 1e-9)
        i = int(np.argmin(costs))
        if not np.isfinite(costs[i]):
            return replace(NOTHING, costs=costs)
        return Found(float(costs[i]), self.engines[i], float(rates[i]), float(np.min(whole)), costs)

    def _carried(self, start: Array, step: float) -> Array:
        """The highest rate of each engine within the targets, from `start` up in factors of `step`; 0 where it does not
        carry that."""
        base = self.base
        _, cross = resident_tokens(base.model, base.workload)
        priced = stack(base.model, base.hardware, self.engines, base.rewrites, cross)

        def worst(which: Index, rates: Array) -> Array:
            # rates are asked of several engines: what a load is made of is read once
            loads = {r: base.with_workload(rate=r) for r in set(rates.ravel().tolist())}
            scenarios = [loads[r] for r in rates.ravel().tolist()]
            of = np.repeat(which, rates.shape[1])
            columns = evaluate_stack(scenarios, priced, of)
            judged = judge_columns(scenarios, [self.engines[i] for i in of], columns)
            over = np.where(judged.overloaded, np.maximum(judged.worst, _OVER), judged.worst)
            return np.where(judged.fits, over, math.inf).reshape(rates.shape)

        low, rows, ladder = start.copy(), np.arange(len(start)), step ** np.arange(_RUNGS)
        held = np.zeros(len(start), dtype=bool)
        while len(rows):
            climbed = np.logical_and.accumulate(worst(rows, low[rows, None] * ladder) <= 1.0, axis=1).sum(axis=1)
            held[rows] |= climbed > 0
            low[rows] *= step ** np.maximum(climbed - 1, 0)
            rows = rows[(climbed == _RUNGS) & (low[rows] < self._lowest * _FAR)]
        out, which = np.zeros(len(start)), np.flatnonzero(held)
        if len(which):
            asked = low[which, None] * step ** (np.arange(_PARTS + 2) / (_PARTS + 1))
            out[which] = [_crossing(r, w) for r, w in zip(asked, worst(which, asked), strict=True)]
        return out

    def _worth_asking(self, rates: Array) -> list[int]:
        """The engine of the lowest cost in every split and with every chunk, and of each maker the best for each number
        of devices: what work costs less may move the plan to any of them."""
        devices = np.array([d.devices for d in self.engines], dtype=float)
        with np.errstate(divide="ignore"):
            cost = np.where(rates > 0, devices / rates, 1e30 * _bits(self.base, self.engines))
        order = np.argsort(cost, kind="stable")
        first: dict[Any, int] = {}
        for i in order.tolist():
            first.setdefault((self.engines[i].runtime.engine, self.engines[i].devices), i)
        best = self.engines[int(order[0])]
        alike = [
            i for i, d in enumerate(self.engines) if (d.runtime, d.formats) == (best.runtime, best.formats)
        ]  # fmt: skip
        return sorted({*first.values(), *alike})


def _bits(base: Scenario, engines: Sequence[Deployment]) -> Array:
    """Bits of weights and cache: what does not fit comes nearest to it with the fewest."""
    used = [formats_of(base.model, base.hardware.device, d) for d in engines]
    return np.array([f.weights.bits + f.kv.bits for f in used], dtype=float)


def _crossing(rates: Array, worst: Array) -> float:
    """The rate at which `worst` passes 1."""
    over = np.flatnonzero(worst > 1.0)
    if not len(over):
        return float(rates[-1])
    i = int(over[0])
    if i == 0:
        return float(rates[0])
    low, high = math.log(max(worst[i - 1], 1e-12)), math.log(worst[i]) if math.isfinite(worst[i]) else math.inf
    share = 0.0 if math.isinf(high) or high <= low else -low / (high - low)
    return float(rates[i - 1] * (rates[i] / rates[i - 1]) ** min(max(share, 0.0), 1.0))


def _engines(scenario: Scenario) -> tuple[Deployment, ...]:
    """One replica of each engine, split and format, with the most sequences that are searched and two chunks. Raises
    the first error where no engine has any."""
    named = scenario.deployment.runtime.engine
    found: list[Deployment] = []
    errors: list[RooflabError] = []
    for engine in (named,) if named else engines_for(scenario.model, scenario.hardware):
        try:
            space = space_of(scenario.with_deployment(engine=engine))
        except RooflabError as error:
            errors.append(error)
            continue
        most = max(seqs for seqs, _, _ in space.limits)
        wide = [x for x in space.limits if x[0] == most]
        limits = tuple(x for x in wide if x[1] in _CHUNKS and x[2]) or (wide[0],)
        splits = tuple((s, counts[:1]) for s, counts in space.splits)
        found += list(replace(space, limits=limits, splits=splits))
    if not found:
        raise errors[0]
    return tuple(found)
