"""FastSwitch: its allocator, its effect under turns, and when it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import rooflab as rl
from rooflab import api
from rooflab.errors import Infeasible, InputError
from rooflab.inputs.runs import KIND
from rooflab.library.serving.fastswitch.blocks import BlockGroups, Pages
from rooflab.library.serving.fastswitch.paper import _turns
from rooflab.library.serving.fastswitch.replay import Copies, Replay, Tally, Turn
from rooflab.library.serving.fastswitch.swapping import Swapping, mean_run
from rooflab.library.serving.fastswitch.technique import FastSwitch
from rooflab.library.serving.fastswitch.turns import Turns, tails
from rooflab.papers.execute import run_paper
from rooflab.papers.lab import Lab
from rooflab.papers.registry import paper
from rooflab.testing.readers import ReaderConformance

LENGTHS = tuple((int(p), int(o)) for p, o in np.random.default_rng(3).integers(20, 600, (80, 2)))


@pytest.mark.parametrize("make", [lambda: Pages(200), lambda: BlockGroups(200, 16)])
def test_no_block_is_lost_or_held_twice(make: Callable[[], Pages | BlockGroups]) -> None:
    allocator, rng = make(), np.random.default_rng(1)
    held: dict[int, int] = {}
    for turn in range(800):
        blocks = int(rng.integers(1, 20))
        if blocks <= allocator.free_blocks():
            allocator.grow(turn % 23, blocks)
            held[turn % 23] = held.get(turn % 23, 0) + blocks
        if held and rng.random() < 0.3:
            gone = int(rng.choice(list(held)))
            given = allocator.release(gone)
            assert len(given) == len(set(given)) == held.pop(gone)
        assert allocator.free_blocks() == 200 - sum(held.values())
    everything = [b for s in list(held) for b in allocator.release(s)]
    assert len(everything) == len(set(everything))
    assert allocator.free_blocks() == 200


def test_free_runs_merge() -> None:
    groups = BlockGroups(100, 10)
    for sequence in range(10):
        groups.grow(sequence, 10)
    for sequence in (3, 5, 4):
        groups.release(sequence)
    groups.grow(99, 30)
    assert groups.release(99) == list(range(30, 60))


def test_unused_tails_are_taken_back_when_memory_is_short() -> None:
    groups = BlockGroups(32, 16)
    groups.grow(0, 2)
    groups.grow(1, 2)
    groups.grow(2, 28)
    assert groups.free_blocks() == 0


def replayed(group: int, **switches: bool) -> Tally:
    copies = Copies(pieces=64, call_s=5e-6, block_bytes=2e6, bytes_per_s=2e10, step_s=0.03, whole_runs=group > 0)
    allocator = BlockGroups(700, group) if group else Pages(700)
    draw = np.random.default_rng(5)
    replay = Replay(allocator=allocator, pool=700, every=25, copies=copies, draw=draw, **switches)
    tally = replay.run([[Turn(0.0, p, o)] for p, o in LENGTHS])
    assert allocator.free_blocks() == 700, "everything is given back"
    return tally


def test_groups_make_longer_copies_and_move_as_many_blocks() -> None:
    pages, groups = replayed(0), replayed(16)
    assert groups.blocks == pages.blocks
    assert groups.used == pytest.approx(pages.used)
    assert groups.swaps == pages.swaps
    assert groups.mean_run > 3 * pages.mean_run
    assert groups.calls * 3 < pages.calls
    assert pages.calls == 64 * sum(pages.blocks.values()), "vLLM issues a copy for every block, adjacent or not"
    assert mean_run(LENGTHS, 700, 25, 16) > 3


def test_what_leaves_comes_back_and_a_kept_copy_leaves_once() -> None:
    plain, kept = replayed(16), replayed(16, reuse=True)
    assert plain.blocks["out"] == plain.blocks["in"]
    assert kept.blocks["in"] == plain.blocks["in"]
    grown = sum(-(-(p + o) // 16) for p, o in LENGTHS)
    assert kept.blocks["out"] <= grown + kept.swaps, "each block once, and the unfinished one of each swap again"
    assert kept.blocks["out"] < 0.5 * plain.blocks["out"]


def test_steps_wait_less_for_copies_beside_them() -> None:
    waits, beside = replayed(16, reuse=True), replayed(16, reuse=True, asynchronous=True)
    assert waits.waited_s == pytest.approx(waits.copy_s)
    assert beside.waited_s < 0.5 * waits.waited_s


def test_a_conversations_cache_waits_for_its_next_turn() -> None:
    copies = Copies(pieces=1, call_s=0.0, block_bytes=1.0, bytes_per_s=1e12, step_s=1.0)
    turns = [Turn(0.0, 32, 32), Turn(500.0, 96, 16), Turn(900.0, 8, 8)]
    draw = np.random.default_rng(0)
    replay = Replay(allocator=BlockGroups(50, 4), pool=50, every=1000, copies=copies, draw=draw, reuse=True)
    tally = replay.run([turns])
    assert tally.swaps == 2
    assert tally.blocks == {"out": 4 + 3, "in": 4}, "four blocks after 64 tokens, three more after 112; then it is anew"
    assert tally.steps == 32 + 16 + 8


def test_a_pool_that_is_too_small_is_said() -> None:
    with pytest.raises(Infeasible, match="does not hold the longest"):
        Replay(
            allocator=Pages(3), pool=3, every=1, draw=np.random.default_rng(0),
            copies=Copies(pieces=1, call_s=0.0, block_bytes=1.0, bytes_per_s=1.0, step_s=1.0),
        ).run([[Turn(0.0, 100, 10)]])  # fmt: skip


def test_a_readers_trace_and_the_control() -> None:
    lab, log = Lab(api.engines()), KIND.sample("vllm-measured")
    ours = Swapping(requests=80).run(lab, log)
    for name in ("adjacent blocks", "copies a swap", "copied out", "seconds of copies"):
        assert ours.figure(name).gain > 1.5, name
    waited = ours.figure("steps wait for copies")
    assert waited.baseline is not None
    assert waited.value < 0.1 * waited.baseline
    assert ours.figure("adjacent blocks").how == "executed"
    assert ours.figure("steps wait for copies").how == "modelled"
    control = Swapping(requests=80).ablated(0).run(lab, log)
    assert all(f.gain == pytest.approx(1.0) for f in control.figures if f.better)
    assert "first 80 of 300" in ours.notes[0]


def test_a_trace_that_fits_is_said_and_columns_are_asked_for() -> None:
    lab, log = Lab(api.engines()), KIND.sample("azure-code")
    idle = Swapping(requests=50, hardware="h100-sxm").run(lab, log)
    assert "nothing gives way" in idle.because
    assert idle["swaps"] == 0
    with pytest.raises(InputError, match="input_tokens"):
        Swapping().run(lab, KIND.sample("two-models"))
    with pytest.raises(InputError, match="no request of known lengths"):
        Swapping().run(lab, log.with_column("output_tokens", np.full(len(log), -1)))


def test_tails_of_groups_that_are_kept_waste_memory() -> None:
    lab, log = Lab(api.engines()), KIND.sample("vllm-measured")
    kept = Swapping(requests=100, takes_back=False, reuse=False, asynchronous=False).run(lab, log).figure("pool in use")
    assert kept.baseline is not None
    assert kept.value < 0.97 * kept.baseline


def test_turns_on_a_scenario_say_whether_there_is_a_steady_state() -> None:
    lab = Lab(api.engines())
    workload = {"isl": 700, "osl": 300, "rate": "1/s"}
    fields = {"model": "meta-llama/Llama-3.1-8B", "hardware": "a10", "workload": workload}
    busy = rl.load(fields | {"deployment": {"scheduler": "vllm-v0"}})
    over = Turns(requests=400).run(lab, busy.with_workload(rate=3.0))
    assert "does not keep up" in over.because
    assert over.plot is not None
    assert len(over.plot.series[0].x) == 4
    quiet = Turns(requests=100, curve=False).run(lab, busy.with_workload(rate=0.1))
    assert "turns change nothing" in quiet.because
    assert quiet.figure("TTFT p99").gain == pytest.approx(1.0)
    assert quiet.plot is None


def test_a_reader_gets_what_the_claim_gets() -> None:
    lab = Lab(api.engines())
    ran = run_paper(paper("fastswitch"), None, {"curve": False}, lab, "turns")
    (own,) = [one.outcome for one in ran]
    assert own.figure("TTFT p99").gain == _turns(lab, "llama", "random").figure("TTFT p99").gain


def test_it_shortens_the_tails_of_a_loaded_engine_with_turns() -> None:
    loaded = rl.load(
        {
            "model": "meta-llama/Llama-3.1-8B", "hardware": "a10",
            "workload": {"isl": 700, "osl": 300, "rate": "2/s", "requests": 300},
            "deployment": {"scheduler": "vllm-v0", "preemption": "swap", "swap": {"call": "5 us"}, "rotation": 25},
        }
    )  # fmt: skip
    before, after = tails(rl.simulate(loaded)), tails(rl.simulate(loaded | FastSwitch()))
    assert after["ttft_p99"] < before["ttft_p99"]
    assert after["throughput"] > before["throughput"]


def test_refusals() -> None:
    chat = rl.load("examples/chat-70b.yaml")
    with pytest.raises(Infeasible, match="already"):
        _ = chat | FastSwitch() | FastSwitch()
    with pytest.raises(Infeasible, match="static batch"):
        _ = chat.with_workload(rate=None, batch=8) | FastSwitch()
    with pytest.raises(Infeasible, match="no decoder"):
        _ = rl.load("examples/bert.yaml") | FastSwitch()


class TestReaders(ReaderConformance):
    paper = paper("fastswitch")
