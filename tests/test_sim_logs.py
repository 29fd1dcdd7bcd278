"""Exact event logs, worked by hand: one step takes one second whatever it holds, a block holds four tokens.

Rows are (start, end, steps, decoding, context, prompts, prompt tokens, blocks held at the end).
"""

from __future__ import annotations

import numpy as np
import pytest

from rooflab.costs.step import SCALARS, StepCost, fixed_step
from rooflab.simulator.serving.run import run
from rooflab.simulator.serving.specs import Cluster, Failure, Replica, SpeedChange
from rooflab.simulator.work.requests import Requests, Result, Status, make_requests

SECOND = fixed_step(1.0)


def replica(**limits: object) -> Replica:
    return Replica(step_cost=SECOND, **({"block_size": 4, "kv_blocks": 100} | limits))  # type: ignore[arg-type]


def go(requests: Requests, *replicas: Replica, **options: object) -> Result:
    result = run(requests, Cluster(replicas=replicas, **options), log_steps=100)  # type: ignore[arg-type]
    assert result.complete
    return result


def rows(result: Result) -> list[tuple[float, ...]]:
    s = result.steps
    columns = (s.start_s, s.end_s, s.steps, s.n_decode, s.context, s.n_prefill, s.prefill_tokens, s.kv_blocks)
    return [tuple(row) for row in zip(*(c.tolist() for c in columns), strict=True)]


TWO = make_requests([0.0, 0.5], [10, 5], [3, 2])
TIGHT = make_requests([0.0, 0.0], [8, 4], [5, 2])


def test_vllm_chunks_the_prompt_and_mixes() -> None:
    result = go(TWO, replica(engine="vllm", max_num_batched_tokens=8, max_num_seqs=4))
    assert rows(result) == [
        (0, 1, 1, 0, 0, 1, 8, 2),
        (1, 2, 1, 0, 0, 2, 7, 5),
        (2, 3, 1, 2, 17, 0, 0, 5),
        (3, 4, 1, 1, 12, 0, 0, 3),
    ]
    assert result.records.first_token_s.tolist() == [2, 2]
    assert result.records.last_token_s.tolist() == [4, 3]


def test_vllm_v0_prefills_first() -> None:
    result = go(TWO, replica(engine="vllm-v0"))
    assert rows(result) == [
        (0, 1, 1, 0, 0, 1, 10, 3),
        (1, 2, 1, 0, 0, 1, 5, 5),
        (2, 3, 1, 2, 17, 0, 0, 5),
        (3, 4, 1, 1, 12, 0, 0, 3),
    ]


def test_orca_mixes_whole_prompts_and_reserves_the_whole_sequence() -> None:
    result = go(TWO, replica(engine="orca"))
    assert rows(result) == [
        (0, 1, 1, 0, 0, 1, 10, 3),
        (1, 2, 1, 1, 11, 1, 5, 5),
        (2, 3, 1, 2, 18, 0, 0, 5),
    ]
    assert result.records.last_token_s.tolist() == [3, 3]


def test_static_batches_end_with_their_longest() -> None:
    result = go(make_requests([0.0, 0.5, 0.5], [10, 5, 4], [3, 2, 1]), replica(engine="static", max_num_seqs=2))
    assert rows(result) == [
        (0, 1, 1, 0, 0, 1, 10, 3),
        (1, 3, 2, 1, 11, 0, 0, 3),
        (3, 4, 1, 0, 0, 2, 9, 3),
        (4, 5, 1, 2, 11, 0, 0, 3),
    ]
    assert result.records.first_token_s.tolist() == [1, 4, 4]
    assert result.records.last_token_s.tolist() == [3, 5, 5]


def test_sglang_stops_decoding_for_a_prompt() -> None:
    result = go(
        make_requests([0.0, 2.5], [10, 5], [4, 2]), replica(engine="sglang", max_num_batched_tokens=8, max_num_seqs=8)
    )
    assert rows(result) == [
        (0, 1, 1, 0, 0, 1, 8, 2),
        (1, 2, 1, 0, 0, 1, 2, 3),
        (2, 3, 1, 1, 11, 0, 0, 3),
        (3, 4, 1, 0, 0, 1, 5, 5),
        (4, 5, 1, 2, 18, 0, 0, 5),
        (5, 6, 1, 1, 13, 0, 0, 4),
    ]


def test_sglang_admits_by_estimate() -> None:
    # 32 tokens of cache: after the first prompt 24 are free, less 0.7 of the 19 to come leaves 10.7; the second wants
    # 20
    result = go(make_requests([0.0, 0.0], [8, 8], [20, 12]), replica(engine="sglang", kv_blocks=8))
    assert result.records.first_scheduled_s.tolist() == [0, 20]


def test_trtllm_without_eviction_waits_for_whole_sequences() -> None:
    result = go(TIGHT, replica(engine="trtllm-guaranteed-no-evict", kv_blocks=4))
    assert rows(result) == [
        (0, 1, 1, 0, 0, 1, 8, 3),
        (1, 5, 4, 1, 9, 0, 0, 3),
        (5, 6, 1, 0, 0, 1, 4, 2),
        (6, 7, 1, 1, 5, 0, 0, 2),
    ]
    assert result.totals.preemptions.tolist() == [0]


@pytest.mark.parametrize("engine", ["trtllm-max-utilization", "vllm"])
def test_the_last_admitted_is_recomputed(engine: str) -> None:
    result = go(TIGHT, replica(engine=engine, kv_blocks=4))
    assert rows(result) == [
        (0, 1, 1, 0, 0, 2, 12, 3),
        (1, 2, 1, 1, 9, 0, 0, 3),
        (2, 5, 3, 1, 10, 0, 0, 3),
        (5, 6, 1, 0, 0, 1, 5, 2),
    ]
    assert result.records.preemptions.tolist() == [0, 1]
    assert result.totals.recomputed_tokens.tolist() == [4]


def test_swapping_costs_the_link_both_ways() -> None:
    swap = {"kv_bytes_per_token": 1.0, "host_bytes_per_s": 4.0, "swap_bytes": 100.0, "overlap": 0.0}
    result = go(TIGHT, replica(engine="vllm-v0", kv_blocks=4, **swap))
    assert rows(result) == [
        (0, 1, 1, 0, 0, 2, 12, 3),
        (1, 3, 1, 1, 9, 0, 0, 3),
        (3, 6, 3, 1, 10, 0, 0, 3),
        (6, 8, 1, 1, 5, 0, 0, 2),
    ]
    hidden = go(TIGHT, replica(engine="vllm-v0", kv_blocks=4, **(swap | {"overlap": 1.0})))
    assert hidden.records.last_token_s.tolist() == [5, 6]


@pytest.mark.parametrize(
    ("policy", "columns", "finish"),
    [
        ("fcfs", {}, [3, 4, 9, 10]),
        ("priority", {"priority": [5, 5, 5, 1]}, [3, 5, 10, 4]),
        ("shortest", {}, [3, 4, 10, 5]),
        ("shortest-predicted", {"predicted_tokens": [3, 9, 1, 2]}, [3, 10, 8, 9]),
        ("deadline", {"deadline_s": [100, 100, 50, 10]}, [3, 10, 9, 4]),
        ("fair", {"client": [0, 0, 0, 1]}, [3, 5, 10, 4]),
    ],
)
def test_policies_choose_who_goes_next(policy: str, columns: dict[str, list[int]], finish: list[float]) -> None:
    # one at a time; service takes 3, 1, 5 and 1 steps
    requests = make_requests([0.0, 0.1, 0.2, 0.3], [4, 4, 4, 4], [3, 1, 5, 1], **columns)
    assert go(requests, replica(policy=policy, max_num_seqs=1)).records.last_token_s.tolist() == finish


@pytest.mark.parametrize(
    ("policy", "finish", "cached"), [("fcfs", [2, 4, 6], [0, 0, 0]), ("longest-prefix", [2, 6, 4], [0, 0, 8])]
)
def test_longest_prefix_takes_who_shares_what_is_cached_first(
    policy: str, finish: list[float], cached: list[int]
) -> None:
    # three blocks of cache, one at a time: the second request drops the prefix that the third one shares with the
    # first, unless it waits
    blocks = {"prefix_start": [0, 2, 4, 6], "prefix_block": [0, 1, 2, 3, 0, 1], "prefix_block_tokens": 4}
    requests = make_requests([0.0, 0.1, 0.2], [9, 9, 9], [2, 2, 2], **blocks)
    records = go(requests, replica(prefix_caching=True, kv_blocks=3, policy=policy, max_num_seqs=1)).records
    assert records.last_token_s.tolist() == finish
    assert records.cached_tokens.tolist() == cached


def test_a_cached_prefix_is_not_computed() -> None:
    requests = make_requests(
        [0.0, 2.0], [9, 9], [1, 1], prefix_start=[0, 2, 4], prefix_block=[0, 1, 0, 1], prefix_block_tokens=4
    )
    result = go(requests, replica(prefix_caching=True))
    assert rows(result) == [(0, 1, 1, 0, 0, 1, 9, 3), (2, 3, 1, 0, 0, 1, 1, 3)]
    assert result.records.cached_tokens.tolist() == [0, 8]
    assert result.totals.looked_up_tokens.tolist() == [18]


def test_a_prefix_below_the_gpu_comes_over_the_link() -> None:
    # three blocks of cache: the second request pushes the first one's prefix to the host, the third loads it: 8 tokens
    # at 4 a second
    blocks = {"prefix_start": [0, 2, 4, 6], "prefix_block": [0, 1, 2, 3, 0, 1], "prefix_block_tokens": 4}
    requests = make_requests([0.0, 2.0, 4.0], [9, 9, 9], [1, 1, 1], **blocks)
    tiers = {"kv_bytes_per_token": 1.0, "host_bytes_per_s": 4.0, "host_cache_bytes": 1000.0, "overlap": 0.0}
    result = go(requests, replica(prefix_caching=True, kv_blocks=3, **tiers))
    assert result.records.cached_tokens.tolist() == [0, 0, 8]
    assert result.records.last_token_s.tolist() == [1, 3, 7]
    assert result.totals.host_tokens.tolist() == [8]


@pytest.mark.parametrize(("layers", "finish"), [(1, 4.5), (4, 3.75)])
def test_disaggregation_ships_the_cache(layers: int, finish: float) -> None:
    link = {"kv_bytes_per_token": 1.0, "link_bytes_per_s": 8.0, "link_latency_s": 0.5, "layers": layers}
    result = go(make_requests([0.0], [8], [3]), replica(role="prefill", **link), replica(role="decode"))
    assert result.records.first_token_s.tolist() == [1]
    assert result.records.last_token_s.tolist() == [finish]
    assert (result.records.replica.tolist(), result.records.decode_replica.tolist()) == ([0], [1])
    assert result.totals.transferred_tokens.tolist() == [8, 0]


@pytest.mark.parametrize(("spill_tokens", "at"), [(0, [0, 0, 0]), (10, [0, 0, 1])])
def test_a_loaded_pool_borrows_from_the_other(spill_tokens: int, at: list[int]) -> None:
    pools = (replica(role="prefill", max_num_batched_tokens=8, max_num_seqs=1), replica(role="decode"))
    result = go(make_requests([0.0, 0.1, 0.2], [8, 8, 8], [2, 2, 2]), *pools, spill_tokens=spill_tokens)
    assert result.records.replica.tolist() == at
    assert result.totals.transferred_tokens[0] == 8 * at.count(0)


def test_lending_under_overload_loses_nothing() -> None:
    n = 200
    pools = (
        *[replica(role="prefill", max_num_batched_tokens=8, max_num_seqs=8) for _ in range(2)],
        *[replica(role="decode")] * 2,
    )
    result = go(make_requests([0.01 * i for i in range(n)], [30] * n, [40] * n), *pools, spill_tokens=60)
    assert result.records.tokens_out.tolist() == [40] * n
    assert len(set(result.records.replica.tolist())) == 4


def test_a_failure_loses_the_step_and_the_cache_but_no_request() -> None:
    result = go(make_requests([0.0], [4], [5]), replica(), failures=(Failure(0, 2.5, 4.0),))
    assert rows(result) == [
        (0, 1, 1, 0, 0, 1, 4, 1),
        (1, 2, 1, 1, 5, 0, 0, 2),
        (4, 5, 1, 0, 0, 1, 6, 2),
        (5, 7, 2, 1, 7, 0, 0, 2),
    ]
    assert result.records.requeues.tolist() == [1]
    assert result.records.last_token_s.tolist() == [7]


def test_requests_wait_for_each_other() -> None:
    chain = make_requests([0.0, 0.0, 0.0], [4, 4, 4], [2, 2, 2], after=[-1, 0, 1], think_s=[0.0, 0.25, 0.5])
    assert go(chain, replica()).records.arrival_s.tolist() == [0, 2.25, 4.75]
    shared = make_requests([0.0, 0.0, 0.0], [4, 4, 4], [2, 3, 1], after=[-1, -1, -2])
    assert go(shared, replica()).records.arrival_s.tolist() == [0, 0, 2]


def test_a_lower_clock_starts_with_the_next_step() -> None:
    scalars = np.where(
        np.array(SCALARS) == "stream_s", 1.0, np.where(np.array(SCALARS) == "host_fixed_s", 0.0, SECOND.scalars)
    )
    device = Replica(step_cost=StepCost(SECOND.tables, SECOND.attention, scalars), kv_blocks=100)
    result = go(make_requests([0.0], [4], [5]), device, speed=(SpeedChange(2.5, 2.0),))
    assert result.steps.end_s.tolist() == [1, 3, 7]


def test_speculation_gains_tokens() -> None:
    result = go(make_requests([0.0], [4], [6]), replica(tokens_per_step=2.0))
    assert rows(result) == [(0, 1, 1, 0, 0, 1, 4, 1), (1, 4, 3, 1, 5, 0, 0, 3)]


def test_a_full_line_turns_away_and_what_fits_nowhere_is_refused() -> None:
    result = go(
        make_requests([0.0, 0.1, 0.2, 0.3], [4, 4, 4, 900], [9, 9, 9, 9]), replica(max_num_seqs=1, max_waiting=1)
    )
    assert result.records.status.tolist() == [Status.FINISHED, Status.FINISHED, Status.REJECTED, Status.IMPOSSIBLE]


def test_adapters_beyond_the_limit_wait_and_loading_costs_the_link() -> None:
    requests = make_requests([0.0, 0.0, 0.0], [4, 4, 4], [2, 2, 2], adapter=[0, 1, 0])
    result = go(requests, replica(max_adapters=1, adapter_bytes=2.0, host_bytes_per_s=1.0, overlap=0.0))
    assert result.records.first_scheduled_s.tolist() == [0, 4, 0]
    assert result.records.last_token_s.tolist() == [4, 8, 4]
