"""Contiguous caches in the simulator: who moves when an answer ends, what it costs, and what holes hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab.costs.step import ATTENTION_FIELDS, StepCost, fixed_step
from rooflab.errors import InputError
from rooflab.simulator.serving.run import run
from rooflab.simulator.serving.specs import Cluster, Failure, Replica
from rooflab.simulator.work.requests import Result, make_requests

STEP_S, MOVE_S, SEQUENCE_S = 0.01, 1e-4, 1e-3


def cost(sequence_s: float = 0.0) -> StepCost:
    """A step of 10 ms, and so much more for each sequence that it computes."""
    base = fixed_step(STEP_S)
    attention = base.attention.copy()
    attention[0, ATTENTION_FIELDS.index("dec_seq_s")] = sequence_s
    return replace(base, attention=attention)


def done(outputs: Any, buffers: str, *, arrive_s: Any = 0.0, **changes: Any) -> Result:
    replica = Replica(
        step_cost=cost(changes.pop("sequence_s", 0.0)), engine="orca", kv_blocks=400, block_size=4, max_num_seqs=8,
        buffers=buffers, move_s_per_token=MOVE_S, **changes,
    )  # fmt: skip
    arrivals = np.broadcast_to(np.asarray(arrive_s, dtype=float), len(outputs)).copy()
    result = run(make_requests(arrivals, [4] * len(outputs), outputs), replica)
    assert (result.records.status == 1).all()
    assert result.records.tokens_out.sum() == sum(outputs)
    return result


def test_who_ends_at_an_edge_leaves_nothing_to_move() -> None:
    for outputs in ([5, 10, 15], [15, 10, 5], [9, 9, 9]):
        assert done(outputs, "compacted").totals.total("moved_tokens") == 0


def test_the_last_moves_into_the_hole_whole_and_steps_wait() -> None:
    plain, compacted = done([20, 5, 20], "paged"), done([20, 5, 20], "compacted")
    assert compacted.totals.total("moved_tokens") == 4 + 20
    late = compacted.records.last_token_s - plain.records.last_token_s
    assert late == pytest.approx([24 * MOVE_S, 0.0, 24 * MOVE_S])


def test_answers_that_end_together_are_no_reason_to_move_each_other() -> None:
    assert done([20, 5, 5, 5], "compacted").totals.total("moved_tokens") == 0
    assert done([20, 5, 5, 20], "compacted").totals.total("moved_tokens") == 24


def test_a_held_hole_is_computed_until_an_edge_reaches_it() -> None:
    held = done([10, 5, 20], "held", sequence_s=SEQUENCE_S)
    dense = done([10, 5, 20], "paged", sequence_s=SEQUENCE_S)
    # the hole of the second costs a place in the five steps until the first ends, too
    late = held.records.last_token_s - dense.records.last_token_s
    assert late == pytest.approx([5 * SEQUENCE_S, 0.0, 5 * SEQUENCE_S])


def test_a_held_hole_keeps_its_memory() -> None:
    held, dense = (done([40, 5, 40], b) for b in ("held", "compacted"))
    assert held.totals.total("kv_block_s") > 1.05 * dense.totals.total("kv_block_s")


def test_a_full_window_takes_its_holes() -> None:
    outputs = [60, 3, 60, 3, 60, 3, 60, 3, 5, 5, 5, 5]
    held = done(outputs, "held", arrive_s=np.arange(12) * 0.02)
    assert held.records.last_token_s[-1] < held.records.last_token_s[0]


@pytest.mark.parametrize("seed", range(12))
def test_laws_under_random_loads(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs = rng.integers(1, 60, 40).tolist()
    arrive_s = np.sort(rng.uniform(0.0, 3.0, 40))
    ends = {}
    for buffers in ("paged", "compacted", "held"):
        result = done(outputs, buffers, arrive_s=arrive_s, sequence_s=SEQUENCE_S)
        ends[buffers] = result.records.last_token_s.max()
        blocks = result.totals.total("kv_block_s")
        assert blocks > 0
    assert ends["paged"] <= ends["held"] + 1e-9
    assert ends["paged"] <= ends["compacted"] + 1e-9


def test_a_dead_engine_leaves_no_holes() -> None:
    replica = Replica(
        step_cost=cost(),
        engine="orca",
        kv_blocks=60,
        block_size=4,
        max_num_seqs=8,
        buffers="held",
        move_s_per_token=0.0,
    )
    requests = make_requests(np.arange(10) * 0.01, [4] * 10, [30, 5] * 5)
    result = run(requests, Cluster(replicas=(replica,), failures=(Failure(0, 0.15, 0.3),)))
    assert (result.records.status == 1).all()
    assert result.records.tokens_out.sum() == 5 * 35


def test_who_cannot_hold_caches_so_is_told() -> None:
    with pytest.raises(InputError, match="orca"):
        run(make_requests([0.0], [4], [4]), Replica(step_cost=cost(), buffers="compacted"))
    with pytest.raises(InputError, match="turns"):
        run(make_requests([0.0], [4], [4]), Replica(step_cost=cost(), engine="orca", buffers="held", rotate_steps=4))
    fields = {"model": "gpt2", "hardware": "a100", "workload": {"isl": 8, "osl": 8}}
    with pytest.raises(InputError, match="compacted"):
        rl.load(fields | {"deployment": {"buffers": "compact"}})


def test_a_scenario_moves_caches_at_the_memorys_rate() -> None:
    deployment = {"engine": "fastertransformer", "scheduler": "orca", "weights": "fp16"}
    fields = {
        "model": "huggyllama/llama-13b", "hardware": "a100-80gb-sxm",
        "workload": {"isl": 8, "osl": "1..500", "rate": "10000/s", "arrivals": "uniform", "requests": 40},
    }  # fmt: skip
    paged, compacted = (
        rl.simulate(rl.load(fields | {"deployment": deployment | {"buffers": b}})) for b in ("paged", "compacted")
    )
    moved = compacted.metrics["moved_tokens"]
    assert moved > 0
    took_s = compacted.run.end_s - paged.run.end_s
    at_peak_s = moved * 2 * 40 * 2 * 5120 * 2 / 2.039e12
    assert at_peak_s < took_s < 2 * at_peak_s
