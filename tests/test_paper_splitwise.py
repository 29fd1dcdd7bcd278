"""Splitwise: its search, and its technique on scenarios that are not the paper's."""

from __future__ import annotations

import pytest

from rooflab import api
from rooflab.errors import Infeasible
from rooflab.library.serving.splitwise.search import best_split, cheapest, highest_rate
from rooflab.library.serving.splitwise.technique import Splitwise
from rooflab.scenario.scenario import Scenario


def chat(**workload: object) -> Scenario:
    return api.load(
        {
            "model": "meta-llama/Llama-3.1-8B",
            "hardware": "4 x h100-sxm",
            "workload": {"isl": 2000, "osl": 200, **workload},
        }
    )


@pytest.mark.parametrize("guess", [0.0, 0.4, 3.0, 6.6, 50.0])
def test_the_search_finds_the_last_multiple_that_holds(guess: float) -> None:
    for edge in (0.0, 0.9, 3.2, 7.5, 9.9, 10.0):
        assert highest_rate(lambda rate, edge=edge: rate <= edge, 0.5, 10.0, guess=guess) == edge // 0.5 * 0.5
    assert highest_rate(lambda rate: rate < 3, 0.5, 10.0, above=4.0, guess=guess) == 4.0
    assert highest_rate(lambda rate: rate < 7, 0.5, 10.0, above=4.0, guess=guess) == 6.5


@pytest.mark.parametrize("start", [0, 15, 22, 40])
def test_the_best_split_is_found_from_anywhere(start: int) -> None:
    asked = []

    def rate(split: int, above: float) -> float:
        asked.append(split)
        return max(above, min(3.0 * split, 2.0 * (40 - split)))

    assert best_split(rate, range(5, 40, 5), start) == (45.0, 15)
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("price", [(1.0, 1.0), (1.0, 0.3), (0.3, 1.0)])
def test_the_cheapest_pools_are_those_of_all_that_hold(price: tuple[float, float]) -> None:
    """Pools that help each other a little: a token machine takes a tenth of a prompt machine's work, too."""

    def holds(p: int, t: int) -> bool:
        return p + 0.1 * t >= 17 and t + 0.05 * p >= 5

    every = [(p, t) for p in range(1, 31) for t in range(1, 31) if holds(p, t)]
    least = min(p * price[0] + t * price[1] for p, t in every)
    found = cheapest(holds, (30, 30), price)
    assert found is not None
    assert holds(*found)
    assert found[0] * price[0] + found[1] * price[1] <= 1.1 * least
    assert cheapest(lambda p, t: False, (30, 30), price) is None


def test_prompts_stop_interrupting_decodes() -> None:
    mixed = chat(rate="20/s", requests=600).with_deployment(tp=1)
    split = mixed | Splitwise(prefill=2, decode=2)
    before, after = api.simulate(mixed).metrics, api.simulate(split).metrics
    assert after["itl_s_p99"] < before["itl_s_p99"]
    assert after["transferred_tokens"] == pytest.approx(600 * 2000, rel=0.05)


def test_long_caches_travel_behind_the_layers_and_short_ones_at_once() -> None:
    far = api.load(
        {
            "model": "bigscience/bloom",
            "hardware": "16 x a100-80gb-sxm",
            "workload": {"isl": 1500, "osl": 2, "rate": 1, "requests": 1},
        }
    )
    far = far.with_deployment(tp=8)
    hidden, whole = (api.simulate(far | Splitwise(layerwise=x)).metrics["tpot_s_mean"] for x in (True, False))
    plain = api.simulate(far).metrics["tpot_s_mean"]
    assert plain + 0.007 < hidden < plain + 0.010 < plain + 0.025 < whole
    near = (chat(rate="1/s") | Splitwise(1, 1)).deployment.cluster.transfer
    assert not near.layerwise


def test_a_capped_decode_pool_draws_less() -> None:
    base = chat(rate="10/s", requests=400).with_deployment(tp=1)
    full, capped = (api.simulate(base | Splitwise(2, 2, decode_power=p)).metrics for p in (1.0, 0.5))
    assert capped["power_w"] < full["power_w"]


def test_engines_are_sized_to_the_pools_and_other_hardware_may_decode() -> None:
    assert (chat(rate="5/s") | Splitwise(1, 3)).deployment.split.tp == 1
    assert (chat(rate="5/s") | Splitwise(1, 1)).deployment.split.tp == 2
    pool = (chat(rate="5/s") | Splitwise(1, 2, decode_hardware="a100-80gb-sxm")).deployment.cluster.pools[1]
    assert pool.hardware is not None
    assert (pool.hardware.device.key, pool.hardware.count) == ("a100-sxm-80gb", 8)


@pytest.mark.parametrize(
    ("change", "technique", "why"),
    [
        ({"batch": 8}, Splitwise(1, 1), "static batch"),
        ({"rate": "1/s"}, Splitwise(3, 3), "engines"),
        ({"rate": "1/s"}, Splitwise(1, 1, decode_power=0.0), "without power"),
    ],
)
def test_refuses_with_a_reason(change: dict[str, object], technique: Splitwise, why: str) -> None:
    with pytest.raises(Infeasible, match=why):
        chat(**change) | technique
