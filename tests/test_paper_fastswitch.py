"""FastSwitch: its allocator, its effect under turns, and when it refuses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import rooflab as rl
from rooflab.errors import Infeasible
from rooflab.library.serving.fastswitch.blocks import BlockGroups, Pages, churn
from rooflab.library.serving.fastswitch.paper import FastSwitch, mean_run, tails

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


def test_groups_make_longer_copies_and_move_as_many_blocks() -> None:
    pages, groups = churn(Pages(700), 700, list(LENGTHS), 25), churn(BlockGroups(700, 16), 700, list(LENGTHS), 25)
    assert groups.blocks == pages.blocks
    assert groups.used == pytest.approx(pages.used)
    assert groups.mean_run > 3 * pages.mean_run
    assert mean_run(LENGTHS, 700, 25, 16) == groups.mean_run


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
