"""An engine is completed, accounted and priced once, and handed on."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from rooflab import api
from rooflab.costs import compile as compiling
from rooflab.deploy.engine import engine_of, engines_of
from rooflab.errors import Infeasible
from rooflab.memory import account as accounting
from rooflab.scenario.scenario import Scenario
from rooflab.simulator.serving.scenario import simulate


def scenario(**deployment: Any) -> Scenario:
    return api.load(
        {
            "model": "meta-llama/Llama-3.1-8B",
            "hardware": "4 x h100-sxm",
            "workload": {"isl": 500, "osl": 50, "rate": 2, "requests": 20},
            "deployment": {"engine": "vllm", **deployment},
        }
    )


POOLS = [{"role": "prefill", "replicas": 1, "tp": 1}, {"role": "decode", "replicas": 3, "tp": 1}]


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a deployment is accounted and priced."""
    found: Counter[str] = Counter()
    account, price = accounting._one, compiling._compile_group

    def accounted(*arguments: Any) -> Any:
        found["account"] += 1
        return account(*arguments)

    def priced(*arguments: Any) -> Any:
        found["price"] += 1
        return price(*arguments)

    monkeypatch.setattr(accounting, "_one", accounted)
    monkeypatch.setattr(compiling, "_compile_group", priced)
    return found


@pytest.mark.parametrize("run", [simulate, api.estimate, engine_of])
@pytest.mark.parametrize("deployment", [{"tp": 1}, {"tp": 2, "replicas": 2}])
def test_once_a_kind(count: Counter[str], run: Any, deployment: dict[str, Any]) -> None:
    run(scenario(**deployment))
    assert count == {"account": 1, "price": 1}


def test_an_open_split_costs_the_accounts_of_its_trials(count: Counter[str]) -> None:
    simulate(scenario())
    assert count == {"account": 1, "price": 1}  # one device is enough: the first trial is the choice


@pytest.mark.parametrize("run", [simulate, api.estimate, engines_of])
def test_once_a_pool(count: Counter[str], run: Any) -> None:
    run(scenario(pools=POOLS))
    assert count == {"account": 2, "price": 2}


def test_another_clock_prices_again_and_keeps_the_account(count: Counter[str]) -> None:
    from dataclasses import replace

    engine = engine_of(scenario(tp=1))
    slower = engine.on(replace(engine.hardware, clock=0.5))
    assert count == {"account": 1, "price": 2}
    load = {"n_decode": 8, "context": 8000}
    assert slower.step_cost.step(**load).seconds[0] > engine.step_cost.step(**load).seconds[0]
    assert slower.memory is engine.memory


def test_one_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Infeasible, match="does not fit"):
        engine_of(scenario(tp=1, gpu_memory_utilization=0.1))
