"""Flover: fusion in the simulator, instances that contend, and the memory shuffle executed on a toy decoder."""

from __future__ import annotations

import numpy as np
import pytest

import rooflab as rl
from rooflab import api
from rooflab.errors import Infeasible
from rooflab.library.serving.flover.paper import paper
from rooflab.library.serving.flover.technique import Flover, moves
from rooflab.papers.execute import run_paper
from rooflab.papers.lab import Lab
from rooflab.scenario.lengths import read_lengths
from rooflab.scenario.scenario import Scenario
from rooflab.testing.readers import ReaderConformance


def served(**deployment: object) -> Scenario:
    fields = {
        "model": "EleutherAI/gpt-j-6b",
        "hardware": "a100-80gb-sxm",
        "workload": {"isl": 64, "osl": 128, "rate": "1/s", "arrivals": "uniform", "requests": 12},
        "deployment": {"engine": "fastertransformer", "tp": 1, **deployment},
    }
    return rl.load(fields)


def test_it_helps_static_batches_and_instances() -> None:
    for deployment in ({}, {"scheduler": "orca", "batching": "separate"}):
        (ran,) = run_paper(paper, served(**deployment), {}, Lab(api.engines()))
        assert ran.outcome.figure("e2e_s_p99").gain > 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"engine": "vllm"}, "every step already"), ({"scheduler": "vllm"}, "every step already"), ({"pp": 2}, "stages")],
)
def test_it_refuses(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(Infeasible, match=reason):
        served(**changes) | Flover()
    with pytest.raises(Infeasible, match="arrives whole"):
        served().with_workload(rate=None, batch=8) | Flover()


def test_instances_take_the_sum_of_their_times() -> None:
    def step_s(n: int, batching: str) -> float:
        from rooflab.costs.compile import compile_steps

        s = served(batching=batching)
        cost = compile_steps(s.model, s.hardware, [s.deployment])[0]
        result = cost.step(n_decode=n, context=n * 256)
        return float((result.seconds - result.host_s)[0])

    assert step_s(1, "separate") == pytest.approx(step_s(1, "shared"), rel=1e-6)
    assert step_s(8, "separate") == pytest.approx(8 * step_s(1, "separate"), rel=0.05)
    assert step_s(8, "shared") < 1.3 * step_s(1, "shared")


def test_estimate_sees_instances_too() -> None:
    shared, own = (rl.estimate(served(batching=b).with_workload(rate=None, batch=8)) for b in ("shared", "separate"))
    assert own.metrics["tpot_s_mean"] > 4 * shared.metrics["tpot_s_mean"]


def test_the_shuffle_keeps_the_batch_dense_with_the_fewest_moves() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        finished = rng.random(rng.integers(1, 20)) < rng.random()
        plan = moves(finished)
        buffer = np.where(finished, -1, np.arange(len(finished)))
        for source, target in plan:
            buffer[target], buffer[source] = buffer[source], -1
        active = int((~finished).sum())
        assert (buffer[:active] >= 0).all()
        assert (buffer[active:] == -1).all()
        assert len(plan) == int(finished[:active].sum())


def test_fused_and_separate_decoding_give_the_same_tokens() -> None:
    """A toy decoder on real buffers: requests of different lengths in one shuffled batch, and each alone."""
    rng = np.random.default_rng(2)
    vocab, width = 17, 8
    embedding, head = rng.standard_normal((vocab, width)), rng.standard_normal((width, vocab))

    def tokens(state: np.ndarray) -> list[int]:
        return [int(i) for i in np.argmax(np.tanh(state) @ head, axis=1)]

    lengths, starts = [3, 9, 5, 1, 7], [0, 2, 2, 4, 5]
    alone = []
    for length, first in zip(lengths, (1, 2, 3, 4, 5), strict=True):
        state, made = embedding[[first]], []
        for _ in range(length):
            made.append(tokens(state)[0])
            state = 0.5 * state + embedding[made[-1:]]
        alone.append(made)

    fused: list[list[int]] = [[] for _ in lengths]
    buffer, owner, active, step, steps = np.zeros((5, width)), np.full(5, -1), 0, 0, 0
    while step <= max(starts) or active:
        for i, start in enumerate(starts):
            if start == step:
                buffer[active], owner[active] = embedding[i + 1], i
                active += 1
        if active:
            got = tokens(buffer[:active])
            buffer[:active] = 0.5 * buffer[:active] + embedding[got]
            for row, token in zip(owner[:active], got, strict=True):
                fused[row].append(token)
            done = np.array([len(fused[row]) == lengths[row] for row in owner[:active]])
            for source, target in moves(done):
                buffer[target], owner[target] = buffer[source], owner[source]
            active -= int(done.sum())
            steps += 1
        step += 1
    assert fused == alone
    assert steps < sum(lengths)


def test_the_shuffle_frees_time_and_memory_where_lengths_vary() -> None:
    lab = Lab(api.engines())
    varied = served(scheduler="orca", batching="separate").with_workload(
        osl=read_lengths("1..400", "osl"), requests=60, rate=4.0
    )
    (ran,) = run_paper(paper, varied, {}, lab, "shuffle")
    assert ran.outcome.figure("overall latency").gain >= 1.0
    assert ran.outcome.figure("memory held").gain > 1.1
    assert ran.outcome["caches moved"] > 0
    alike = varied.with_workload(osl=read_lengths(100, "osl"))
    assert run_paper(paper, alike, {}, lab, "shuffle")[0].outcome["caches moved"] == 0


class TestReaders(ReaderConformance):
    paper = paper
