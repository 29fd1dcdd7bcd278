"""Splitwise: its search, and its technique on scenarios that are not the paper's."""

from __future__ import annotations

import numpy as np
import pytest

from rooflab import api
from rooflab.errors import Infeasible
from rooflab.inputs.runs import Runs
from rooflab.library.serving.splitwise.search import best_split, cheapest, highest_rate
from rooflab.library.serving.splitwise.technique import Splitwise
from rooflab.papers.execute import run_paper
from rooflab.papers.lab import Lab
from rooflab.papers.outcome import Outcome
from rooflab.papers.registry import paper
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


@pytest.mark.parametrize("start", [None, (1, 1), (20, 9), (50, 50)])
@pytest.mark.parametrize("price", [(1.0, 1.0), (1.0, 0.3), (0.3, 1.0)])
def test_the_cheapest_pools_are_those_of_all_that_hold(
    price: tuple[float, float], start: tuple[int, int] | None
) -> None:
    """Pools that help each other a little: a token machine takes a tenth of a prompt machine's work, too."""

    def holds(p: int, t: int) -> bool:
        return p + 0.1 * t >= 17 and t + 0.05 * p >= 5

    every = [(p, t) for p in range(1, 31) for t in range(1, 31) if holds(p, t)]
    least = min(p * price[0] + t * price[1] for p, t in every)
    found = cheapest(holds, (30, 30), price, start=start)
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


def log_of(requests: int, *, per_s: float = 4.0, prompt: int = 1500, answer: int = 60, timed: bool = True) -> Runs:
    rng = np.random.default_rng(0)
    return Runs(
        session=tuple(map(str, range(requests))),
        time_s=np.cumsum(rng.exponential(1 / per_s, requests)) if timed else None,
        input_tokens=rng.integers(prompt // 2, 2 * prompt, requests),
        output_tokens=rng.integers(answer // 2, 2 * answer, requests),
    )


def sized(log: Runs, **settings: object) -> Outcome:
    small = {"model": "meta-llama/Llama-3.1-8B", "prompt": "h100-sxm", "machines": 3, "seconds": 20}
    return run_paper(paper("splitwise"), log, {**small, **settings}, Lab(api.engines()), "size_pools")[0].outcome


def test_a_readers_log_is_sized_against_the_mixed_pool() -> None:
    found = sized(log_of(200), rate=12.0)
    assert found["median prompt"] == pytest.approx(1875, rel=0.1)
    assert found["rate to be carried"] == 12.0
    pools = [found[f"{side} machines that carry it"] for side in ("prompt", "token")]
    machines = found.figure("machines that carry the rate")
    assert machines.value == sum(pools) >= 2
    assert machines.baseline is not None
    assert found["power of them"] == pytest.approx(machines.value * (700 + 4600 / 8))
    split = found.figure("highest rate of 3 machines")
    assert split.baseline is not None
    best = [found[f"{side} machines of that split"] for side in ("prompt", "token")]
    assert sum(best) == 3
    # what three machines carry is carried by three, and half as much again by more
    assert sized(log_of(200), rate=0.9 * split.value)["machines that carry the rate"] <= 3
    assert sized(log_of(200), rate=1.5 * split.value)["machines that carry the rate"] > 3


def test_cheaper_token_machines_are_priced_as_such() -> None:
    found = sized(log_of(200), rate=8.0, token="a100-80gb-sxm", minimise="cost")
    assert "keep the slow-downs at no rate" not in found.because
    p, t = (found[f"{side} machines that carry it"] for side in ("prompt", "token"))
    assert found["power of them"] == pytest.approx(p * (700 + 4600 / 8) + t * (400 + 3300 / 8))


def test_a_log_of_lengths_needs_a_rate_and_what_says_nothing_is_left_out() -> None:
    lengths = log_of(50, timed=False)
    with pytest.raises(Infeasible, match="give a rate"):
        sized(lengths)
    holes = lengths.with_column("output_tokens", np.where(np.arange(50) < 5, -1, lengths.output_tokens))
    assert sized(holes, rate=2.0).notes[0].endswith("5 of the log")
    with pytest.raises(Infeasible, match="columns input_tokens"):
        sized(Runs(session=("a", "b"), time_s=np.array([0.0, 1.0])))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"machines": 1}, "cannot be split"),
        ({"prompt": "16 x h100-sxm"}, "at most 8"),
        ({"token": "2 x a100-80gb-sxm"}, "as wide in both"),
        ({"token_power": 0.0}, "without power"),
        ({"prompt": "l40s", "model": "meta-llama/Llama-3.1-70B"}, "does not fit"),
    ],
)
def test_sizes_that_cannot_be_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(Infeasible, match=why):
        sized(log_of(50), **settings)


def test_a_second_token_waits_for_its_cache() -> None:
    def later(**settings: object) -> dict[str, float]:
        found = run_paper(paper("splitwise"), chat(rate=1.0), settings, Lab(api.engines()), "handover")[0].outcome
        return {figure.name: figure.value for figure in found.figures}

    short, long = later(prompt=200), later(prompt=8000)
    for found in (short, long):
        assert 0 < found["second token later, layer by layer"] <= found["second token later, after the prompt"]
    assert long["second token later, after the prompt"] > 5 * short["second token later, after the prompt"]
    slow = later(prompt=8000, machine="4 x a100-80gb-sxm")
    assert slow["second token on one machine"] > long["second token on one machine"]


def test_budgets_of_a_reader_say_where_their_rates_end() -> None:
    def ran(**settings: object) -> Outcome:
        own = {"hosts": 2, **settings}
        return run_paper(paper("splitwise"), chat(rate=1.0), own, Lab(api.engines()), "budgets")[0].outcome

    low, high = ran(step=0.25), ran(step=2.5)
    assert low.figure("2 mixed H100: highest rate").value == 16.0
    assert "no rate above 16 requests/s is tried" in low.notes[0]
    assert "mixed H100" in low.notes[0]
    assert high["2 mixed H100: highest rate"] > 16.0
    split = high.figure("2 split H100: highest rate")
    assert split.baseline == high["2 mixed H100: highest rate"]
    with pytest.raises(Infeasible, match="up to 160 requests/s, not 500"):
        ran(target=500.0)
