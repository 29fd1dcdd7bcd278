"""What a check computes once: prices of engines, and what engines said of the same scenario."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from rooflab.api import engines, load
from rooflab.costs import power
from rooflab.costs.once import pricing_once
from rooflab.deploy.engine import engine_of, engines_of
from rooflab.evidence.claims.remembered import remembering

_CHAT: dict[str, Any] = {
    "model": "meta-llama/Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"isl": 512, "osl": 64, "rate": 1.0},
}  # fmt: skip


def _tables(**workload: Any) -> Any:
    return engine_of(load(_CHAT).with_workload(**workload)).step_cost.tables


def test_prices_are_the_same_once_and_again() -> None:
    plain = _tables()
    with pricing_once():
        first, again = _tables(), _tables(rate=2.0)
        assert np.shares_memory(first, again), "the load has no part in the price of a step"
        with power.assumed(law=replace(power.clock_law(load(_CHAT).hardware.device), floor=0.5)):
            assert not np.shares_memory(first, _tables()), "other constants are in force"
        other = engine_of(load(_CHAT).with_deployment(weights="fp8")).step_cost.tables
        assert not np.array_equal(first, other)
    assert np.array_equal(plain, first)
    assert not np.shares_memory(first, _tables()), "nothing is kept outside"


def test_engines_that_are_handed_over_are_told_apart_by_what_they_are() -> None:
    asked: list[Any] = []
    plain = engines()

    def simulated(scenario: Any, **options: Any) -> int:
        asked.append(options)
        return len(asked)

    once = remembering(replace(plain, simulate=simulated))
    s = load(_CHAT)
    assert once.simulate(s, engines=engines_of(s)) == once.simulate(s, engines=engines_of(s)) == 1
    slower = s.with_deployment(weights="fp8")
    assert once.simulate(s, engines=engines_of(slower)) == 2, "other engines for the same scenario"
    assert once.simulate(s) == 3
    assert once.simulate(s, seed=1) == once.simulate(s, seed=1) == 4
    assert once.simulate(s, seed=True) == 5, "a truth value is no number"
    assert once.simulate(s, progress=print) != once.simulate(s, progress=print), "what cannot be told is asked anew"
