"""NanoFlow: profiles as readers write them, pipelines that obey physics, and a search that finds what can be found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooflab import api
from rooflab.errors import Infeasible, InputError
from rooflab.inputs.kinds import kind_of
from rooflab.inputs.table import Table
from rooflab.library.serving.nanoflow.method import NanoBatches
from rooflab.library.serving.nanoflow.pipeline import Order, Pipeline
from rooflab.library.serving.nanoflow.prices import layer_profile
from rooflab.library.serving.nanoflow.profile import MAPS, Operation, Profile, profile_of, table_of
from rooflab.library.serving.nanoflow.search import _searched, cuts, search, whole_s
from rooflab.library.serving.nanoflow.technique import NanoFlow
from rooflab.papers.lab import Lab
from rooflab.papers.reader import run as run_on
from rooflab.papers.registry import paper
from rooflab.search.program import Program
from rooflab.testing.methods import MethodConformance
from rooflab.testing.readers import ReaderConformance

CHAIN = ("compute", "memory", "compute", "network", "compute", "network")


def layer(seconds: list[float], resources: tuple[str, ...] = CHAIN, floor: float = 0.0) -> Profile:
    """A chain of operations that take so long in one piece, and `floor` however small the piece is."""
    sizes = tuple(float(s) for s in range(32, 1025, 32))
    operations = tuple(
        Operation(
            name=f"o{i}", resource=r, sizes=sizes, after=(i - 1,) if i else (), rates=MAPS[r],  # type: ignore[arg-type]
            seconds=tuple(floor + (s - floor) * x / 1024 for x in sizes),
        )
        for i, (s, r) in enumerate(zip(seconds, resources, strict=True))
    )  # fmt: skip
    return Profile(operations, 1024.0)


times = st.lists(st.floats(0.05, 2.0), min_size=6, max_size=6)


@settings(max_examples=25, deadline=None)
@given(times, st.sampled_from(cuts(2)), st.integers(0, 10**6))
def test_a_pipeline_obeys_physics(seconds: list[float], parts: tuple[float, ...], seed: int) -> None:
    """No faster than products and what they lose, nor than any resource at its rate; what it hides adds up."""
    profile = layer(seconds)
    rng = np.random.default_rng(seed)
    share = tuple(
        0.0 if op.resource == "compute" else float(rng.choice([r for r, _ in op.rates if r < 0.5] + [1.0]))
        for op in profile.operations
    )
    phase = np.cumsum(np.full((6, 2), 0.15), axis=0) + np.array([0.0, 0.5])
    each = profile.seconds(parts)
    found = Pipeline(profile, each).run(Order(phase, share))
    assert found is not None
    rates = [1.0 if r == 0 else dict(op.rates)[r] for op, r in zip(profile.operations, share, strict=True)]
    spent = each.sum(axis=1)
    products = sum(spent[i] for i in profile.of("compute"))
    lost = sum(s * r / p for s, r, p in zip(spent, share, rates, strict=True))
    assert found.period_s >= (products + lost) * (1 - 1e-9)
    for resource in ("memory", "network"):
        assert found.period_s >= sum(spent[i] / rates[i] for i in profile.of(resource)) * (1 - 1e-9)
    assert found.period_s <= sum(s / p for s, p in zip(spent, rates, strict=True)) + lost + 1e-9
    assert sum(found.hidden_s.values()) == pytest.approx(each.sum() - found.period_s)


def test_a_pipeline_worked_by_hand() -> None:
    """One product of 4 s and one read of 2 s in halves; the read takes 0.4 of the units and runs at 0.8 of its rate, so
    each half of it lasts 1.25 s and costs the product beside it 0.5 s: 2.5 s a half, 5 s a layer."""
    profile = layer([4.0, 2.0], ("compute", "memory"))
    order = Order(np.array([[0.0, 0.5], [0.5, 1.0]]), (0.0, 0.4))
    found = Pipeline(profile, profile.seconds((0.5, 0.5))).run(order)
    assert found is not None
    assert found.period_s == pytest.approx(5.0)
    assert found.hidden_s["memory"] == pytest.approx(1.0)
    alone = Pipeline(profile, profile.seconds((0.5, 0.5))).run(Order(order.phase, (0.0, 1.0)))
    assert alone is not None
    assert alone.period_s == pytest.approx(6.0), "with all units a read leaves the product nothing"


def test_an_order_that_waits_for_itself_is_none() -> None:
    """The second product before the first of the same nano-batch, with a read between them."""
    profile = layer([1.0, 1.0, 1.0], ("compute", "memory", "compute"))
    backwards = Order(np.array([[0.9], [0.5], [0.1]]), (0.0, 0.4, 0.0))
    assert Pipeline(profile, profile.seconds((1.0,))).run(backwards) is None


@settings(max_examples=8, deadline=None)
@given(times)
def test_a_search_never_loses_to_running_in_a_row_but_for_the_cut(seconds: list[float]) -> None:
    profile = layer(seconds)
    found = search(profile, 3)
    assert found.period_s <= profile.seconds(found.parts).sum() * (1 + 1e-9)
    assert sum(found.parts) == pytest.approx(1.0)
    assert 2 <= len(found.parts) <= 3


def test_a_search_reaches_the_bound_where_nothing_has_to_wait() -> None:
    """Products of 6 s beside a read of 1 s: 6 + 0.5 is the bound, and the pipeline is there."""
    profile = layer([3.0, 1.0, 3.0], ("compute", "memory", "compute"))
    assert search(profile, 3).period_s == pytest.approx(6.5, rel=1e-3)
    assert whole_s(profile) == pytest.approx(7.0)


def test_more_nano_batches_wait_less_and_cost_more() -> None:
    """Halves leave each other's products nothing to do; thirds fill the gap until kernels have a floor."""
    seconds = [0.3, 0.31, 0.15, 0.32, 1.63, 0.32]
    free, floored = layer(seconds), layer(seconds, floor=0.08)
    assert search(free, fixed=3).period_s < search(free, fixed=2).period_s
    assert len(search(free, 3).parts) == 3
    assert search(floored, 3).period_s > search(free, 3).period_s
    assert search(floored, fixed=3).period_s > whole_s(floored)


def test_the_same_profile_gives_the_same_pipeline() -> None:
    profile = layer([0.3, 0.3, 0.2, 0.3, 1.6, 0.3])
    first = search(profile, 3)
    _searched.cache_clear()
    again = search(profile, 3)
    assert (first.parts, first.order.share, first.run) == (again.parts, again.order.share, again.run)


def test_cuts_are_whole_pieces_smallest_first() -> None:
    assert len(cuts(2)) == 8
    assert all(sum(c) == pytest.approx(1.0) and list(c) == sorted(c) for n in (2, 3, 4) for c in cuts(n))


def test_a_program_is_solved_in_silence(capfd: pytest.CaptureFixture[str]) -> None:
    p = Program("test")
    x, y = p.variable(gain=1.0, most=3.5, whole=True), p.variable(gain=0.5, most=2.0)
    p.row({x: 1.0, y: 1.0}, high=4.0)
    assert p.solved()[[x, y]].tolist() == [3.0, 1.0]
    p.row({x: 1.0}, low=9.0)
    with pytest.raises(Infeasible, match="2 rows"):
        p.solved()
    for seed in range(4):
        search(layer(list(np.random.default_rng(seed).uniform(0.1, 2, 6))), fixed=3)
    assert capfd.readouterr().out == ""


ROWS = {
    "operation": ("up", "read", "read", "down", "sum"),
    "resource": ("compute", "memory", "memory", "compute", "network"),
    "tokens": np.array([512, 512, 512, 512, 512]), "time_us": np.array([300.0, 100.0, 125.0, 300.0, 80.0]),
    "share": np.array([1, 1, 0.4, 1, 1.0]),
}  # fmt: skip


def test_a_table_becomes_a_profile_with_its_own_rates() -> None:
    profile = profile_of(Table(ROWS))
    assert [op.name for op in profile.operations] == ["up", "read", "down", "sum"]
    assert profile.operations[1].rates == ((0.4, pytest.approx(0.8)), (1.0, 1.0))
    assert [op.timed_beside for op in profile.operations] == [True, True, True, False]
    assert profile.operations[3].after == (2,)
    assert profile.batch == 512
    assert profile.seconds((1.0,))[0, 0] == pytest.approx(300e-6)
    assert profile.seconds((0.25,))[0, 0] == pytest.approx(300e-6), "smaller than the smallest size: no less"


def test_a_profile_goes_to_a_table_and_back() -> None:
    profile = layer([0.3, 0.3, 0.2, 0.3, 1.6, 0.3])
    again = profile_of(table_of(profile))
    assert [replace(op, rates=()) for op in again.operations] == [replace(op, rates=()) for op in profile.operations]
    for a, b in zip(again.operations, profile.operations, strict=True):
        assert np.array(a.rates) == pytest.approx(np.array(b.rates))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"resource": ("compute", "disk", "memory", "compute", "network")}, "row 2, column resource.*disk"),
        ({"time_us": np.array([300.0, 0.0, 1.0, 1.0, 1.0])}, "row 2.*above 0"),
        ({"share": np.array([1, 1, 1.4, 1, 1.0])}, "row 3.*share 1.4"),
        ({"share": np.array([0.5, 1, 0.4, 1, 1.0])}, "up was never timed with all units"),
        ({"after": ("", "", "", "reed", "")}, "down, column after.*reed"),
        ({"resource": ("memory", "memory", "memory", "memory", "network")}, "bound by compute"),
        ({"resource": ("compute", "memory", "network", "compute", "network")}, "read is bound by memory and network"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(changed: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        profile_of(Table({**ROWS, **changed}))


def test_a_table_without_times_or_with_too_few_tokens_is_refused() -> None:
    with pytest.raises(InputError, match="time_s, time_ms, time_us"):
        profile_of(Table({k: v for k, v in ROWS.items() if k != "time_us"}))
    with pytest.raises(InputError, match="timed up to 512"):
        profile_of(Table(ROWS), 1024)


def test_a_file_of_a_reader_runs_and_without_overlap_the_gain_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "layer.csv"
    kind_of(Table).write(table_of(layer([0.3, 0.31, 0.15, 0.32, 1.63, 0.32], floor=0.01)), path)
    done = run_on("nanoflow", path, method="nano_batches")
    time = done.figure("time of a layer")
    assert time.gain > 1.1
    assert done["products alone, in one piece"] < time.value
    rows = done.files["pipeline.csv"].decode().splitlines()
    assert rows[0] == "operation,resource,nano_batch,tokens,share,start_s,end_s"
    assert len(rows) == 1 + 6 * done["nano-batches"]
    for seed in (0, 1):
        without = NanoBatches().ablated(seed).run(Lab(api.engines()), kind_of(Table).read(path))
        assert without.figure("time of a layer").gain < 1


SERVED = {
    "model": "meta-llama/Llama-2-70b-hf", "hardware": "8 x a100-80gb-sxm",
    "workload": {"isl": 512, "osl": 512, "scenario": "max-throughput"},
    "deployment": {"engine": "ideal", "tp": 8, "weights": "fp16", "max_num_seqs": 1024, "max_num_batched_tokens": 2048},
}  # fmt: skip


def test_a_layer_by_prices_is_a_layer_of_the_step() -> None:
    s = api.read(SERVED)
    profile = layer_profile(s, 2048)
    cost = Lab(api.engines()).step_cost(s)
    step = cost.step(n_decode=1024, context=1024 * 768.0, n_prefill=1, prefill_tokens=1024, area=1024 * 513 / 2)
    head = cost.step(n_decode=1024, context=0.0).linear_s[0] - cost.step(n_decode=1024, context=0.0, rows=0).linear_s[0]
    whole = float((step.linear_s + step.attention_s + step.comm_s)[0] - head)
    assert whole_s(profile) * 80 == pytest.approx(whole, rel=0.01)


def test_what_the_search_hides_is_what_the_engine_then_hides() -> None:
    """The step of the changed scenario takes as long as the pipeline says, head and embedding aside."""
    s = api.read(SERVED)
    found = search(layer_profile(s, 2048), 3)
    cost = Lab(api.engines()).step_cost(s | NanoFlow())
    step = cost.step(n_decode=1024, context=1024 * 768.0, n_prefill=1, prefill_tokens=1024, area=1024 * 513 / 2)
    assert float(step.seconds[0]) == pytest.approx(found.period_s * 80, rel=0.03)


def test_nanoflow_refuses_where_a_pipeline_is_no_shorter() -> None:
    mixture = SERVED | {"model": "mistralai/Mixtral-8x7B-v0.1"}
    with pytest.raises(Infeasible, match=r"takes .* ms in \d nano-batches that overlap and .* in one piece"):
        api.read(mixture) | NanoFlow()
    with pytest.raises(Infeasible, match="static batch"):
        api.read(SERVED | {"workload": {"isl": 512, "osl": 512, "batch": 64}}) | NanoFlow()


class TestReaders(ReaderConformance):
    paper = paper("nanoflow")


class TestNanoBatches(MethodConformance):
    method = NanoBatches(most=2)
    given = table_of(layer([0.3, 0.31, 0.15, 0.32, 1.63, 0.32], floor=0.01))
