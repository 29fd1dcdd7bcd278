"""Laws that hold in any run: nothing is lost, blocks come back, time in the system is accounted for, results do not
depend on slices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rooflab.costs.step import ATTENTION_FIELDS, GRID, QUANTITIES, SCALARS, StepCost, fixed_step
from rooflab.deploy.rules import ENGINE_RULES
from rooflab.simulator.serving import rows, state, tables
from rooflab.simulator.serving.record import dtype_of
from rooflab.simulator.serving.router import ROUTERS
from rooflab.simulator.serving.rules import POLICIES
from rooflab.simulator.serving.run import Simulation
from rooflab.simulator.serving.specs import Autoscale, Cluster, Failure, Replica, Role, SpeedChange
from rooflab.simulator.work.requests import (
    STEP_FIELDS,
    TOTAL_FIELDS,
    Requests,
    Result,
    Status,
    make_requests,
)


def linear_cost(window: float = np.inf) -> StepCost:
    """Seconds and joules that grow with tokens and context; attention clipped at `window`."""
    base = fixed_step(0.002)
    tables, kinds, scalars = base.tables.copy(), base.attention.copy(), base.scalars.copy()
    tables[QUANTITIES.index("linear_s")] = 1e-3 + GRID * 2e-5
    tables[QUANTITIES.index("linear_j")] = 0.5 + GRID * 0.01
    for field, value in (
        ("window", window),
        ("dec_ctx_s", 1e-6),
        ("dec_ctx_j", 1e-3),
        ("pre_area_s", 1e-8),
        ("pre_token_j", 1e-3),
    ):
        kinds[0, ATTENTION_FIELDS.index(field)] = value
    scalars[SCALARS.index("idle_w")] = 100.0
    return StepCost(tables, kinds, scalars)


COST = linear_cost()


def random_requests(rng: np.random.Generator) -> Requests:
    """Up to 40 short requests, open, in chains or with three in flight; a few prefixes shared among them."""
    n = int(rng.integers(1, 40))
    after = np.full(n, -1)
    kind = rng.integers(3)
    if kind == 1:
        after[3:] = np.arange(max(n - 3, 0))
    elif kind == 2:
        after[3:] = -2
    lengths = rng.integers(1, 60, n)
    blocks = [rng.integers(0, 3) * 100 + np.arange(k // 4) for k in lengths]
    return make_requests(
        np.sort(rng.exponential(rng.choice([0.01, 1.0]), n)),
        lengths,
        rng.integers(1, 40, n),
        predicted_tokens=rng.integers(1, 40, n),
        client=rng.integers(0, 3, n),
        priority=rng.integers(0, 3, n),
        deadline_s=rng.exponential(1.0, n),
        session=rng.integers(0, 4, n),
        adapter=rng.integers(-1, 3, n),
        after=after,
        think_s=rng.exponential(0.01, n),
        prefix_start=np.concatenate([[0], np.cumsum([len(b) for b in blocks])]),
        prefix_block=np.concatenate(blocks),
        prefix_block_tokens=4,
    )


ROLES: tuple[tuple[Role, ...], ...] = (
    ("both",),
    ("both",) * 3,
    ("prefill", "decode"),
    ("prefill", "decode", "decode", "both"),
)


def random_cluster(rng: np.random.Generator) -> Cluster:
    """One to four replicas of any engines, short of memory, that fail and change speed."""
    common: dict[str, Any] = {
        "block_size": int(rng.choice([2, 4])),
        "max_num_seqs": int(rng.integers(1, 9)),
        "max_num_batched_tokens": int(rng.choice([8, 16, 64])),
        "policy": str(rng.choice(POLICIES)),
        "prefix_caching": bool(rng.integers(2)),
        "chunked_prefill": bool(rng.integers(2)),
        "max_adapters": int(rng.integers(3)),
        "tokens_per_step": float(rng.choice([1.0, 1.0, 1.7, 3.0])),
        "kv_bytes_per_token": 1.0,
        "swap_bytes": float(rng.choice([0.0, 50.0, 1e6])),
        "host_bytes_per_s": 1e4,
        "host_cache_bytes": float(rng.choice([0.0, 40.0])),
        "ssd_cache_bytes": float(rng.choice([0.0, 40.0])),
        "ssd_bytes_per_s": 1e3,
        "link_bytes_per_s": 1e4,
        "layers": 4,
    }
    common["kv_blocks"] = int(rng.integers(110, 200)) // common["block_size"]
    roles = ROLES[rng.integers(len(ROLES))]
    engines = sorted(ENGINE_RULES)
    replicas = tuple(
        Replica(step_cost=COST, engine=engines[rng.integers(len(engines))], role=role, **common) for role in roles
    )
    failures = [(int(rng.integers(len(roles))), *np.cumsum(rng.random(2)).tolist()) for _ in range(rng.integers(3))]
    return Cluster(
        replicas=replicas,
        router=str(rng.choice(ROUTERS)),
        failures=tuple(Failure(*f) for f in failures),
        speed=tuple(SpeedChange(*rng.uniform(0.5, 2, 2)) for _ in range(rng.integers(3))),
        autoscale=Autoscale(load=4, every_s=0.1) if roles[0] == "both" and rng.integers(2) else None,
        balance_gap=2,
    )


SEEDS = st.integers(0, 10**9)


def bytes_of(result: Result) -> bytes:
    parts = [*(getattr(result.records, f) for f in result.records.__slots__), result.itl_counts]
    return b"".join(np.ascontiguousarray(p).tobytes() for p in parts)


@given(SEEDS)
@settings(max_examples=150, deadline=None, phases=[Phase.generate])
def test_nothing_is_lost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    requests, cluster = random_requests(rng), random_cluster(rng)
    simulation = Simulation(requests, cluster)
    assert simulation.advance(100_000)
    result = simulation.result()
    records, sim = result.records, simulation._sim
    assert result.complete
    over = records.status == Status.FINISHED
    np.testing.assert_array_equal(records.tokens_out[over], requests.output_tokens[over])
    assert (records.status != Status.PENDING).all()
    assert (records.arrival_s[over] <= records.first_scheduled_s[over]).all()
    assert (records.first_scheduled_s[over] <= records.first_token_s[over]).all()
    assert (records.first_token_s[over] <= records.last_token_s[over]).all()

    reps = sim.reps
    assert (reps.running == 0).all()
    assert (reps.waiting == 0).all()
    assert (reps.present == 0).all()
    assert (reps.load_tokens == 0).all()
    assert (reps.anchor_sum == 0).all()
    assert (reps.finish_sum == 0).all()
    assert not sim.phases.any()
    np.testing.assert_array_equal(reps.free_blocks + reps.idle_units * reps.unit_blocks, reps.kv_blocks)
    assert (reps.swap_used == 0).all()
    if len(sim.units):
        cached = sim.units[sim.table[sim.table >= 0]]
        assert not cached.refs.any()
        gpu = np.bincount(cached.replica[cached.tier == state.GPU], minlength=len(reps))
        np.testing.assert_array_equal(gpu, reps.idle_units)
        assert (reps.host_used <= reps.host_units).all()

    totals = result.totals
    assert totals.finished.sum() == over.sum()
    assert (totals.energy_j >= 100.0 * totals.up_s * (1 - 1e-12)).all()
    assert totals.preemptions.sum() == records.preemptions.sum()
    in_system_s = float((records.last_token_s - records.arrival_s)[over].sum())
    if not cluster.failures:
        assert totals.total("request_s") == pytest.approx(in_system_s, rel=1e-9, abs=1e-9)
        if not records.preemptions.any():
            kept = totals.prefill_tokens.sum() + totals.cached_tokens.sum()
            assert kept == requests.input_tokens[over].sum()
    timeline = result.timeline
    length_s = np.minimum(timeline.time_s + timeline.interval_s, result.end_s) - timeline.time_s
    assert float((timeline.waiting * length_s).sum()) == pytest.approx(totals.total("waiting_s"), rel=1e-6, abs=1e-9)
    assert float((timeline.power_w * length_s).sum()) == pytest.approx(totals.total("energy_j"), rel=1e-6)


@given(SEEDS)
@settings(max_examples=25, deadline=None, phases=[Phase.generate])
def test_slices_do_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    requests, cluster = random_requests(rng), random_cluster(rng)
    whole, sliced = Simulation(requests, cluster), Simulation(requests, cluster)
    whole.advance()
    while not sliced.advance(1):
        pass
    assert bytes_of(whole.result()) == bytes_of(sliced.result())


@pytest.mark.parametrize("window", [np.inf, 40.0])
def test_a_jump_is_the_sum_of_its_steps(window: float) -> None:
    """A run of decode steps, skipped in closed form, takes what StepCost.step says step by step, across a window's
    clip."""
    cost = linear_cost(window)
    simulation = Simulation(make_requests([0.0], [10], [101]), Replica(step_cost=cost), log_steps=1000)
    simulation.advance()
    result = simulation.result()
    steps = [cost.step(n_decode=1, context=11 + i) for i in range(100)]
    prefill = cost.step(n_prefill=1, prefill_tokens=10, area=55)
    assert result.end_s == pytest.approx(float(prefill.seconds[0]) + sum(float(s.seconds[0]) for s in steps), rel=1e-12)
    assert result.totals.total("energy_j") == pytest.approx(
        float(prefill.joules[0]) + sum(float(s.joules[0]) for s in steps), rel=1e-12
    )
    assert len(result.steps) == (2 if window == np.inf else 3)


def test_columns_bear_the_names_of_what_they_are_read_from_and_written_to() -> None:
    def columns(row: type) -> set[str]:
        names = dtype_of(row).names
        assert names is not None
        return set(names)

    assert columns(rows.Sums) == set(TOTAL_FIELDS)
    assert columns(rows.StepRow) == set(STEP_FIELDS)
    assert columns(tables.Attention) <= set(ATTENTION_FIELDS)
    assert columns(tables.Constants) <= set(SCALARS)
    assert set(state.SETTINGS) <= columns(rows.Rep) & set(Replica.__slots__)
