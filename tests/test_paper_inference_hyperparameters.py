"""Inference hyper-parameters: the static batches worked by hand, and what the search says elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from rooflab import api
from rooflab.costs.step import StepCosts, fixed_step
from rooflab.errors import Infeasible
from rooflab.library.serving.inference_hyperparameters import (
    Landscape,
    Retuned,
    peaks,
    retuning_gain,
    static_landscape,
    static_seconds,
)
from rooflab.papers.execute import run_paper
from rooflab.papers.lab import Lab
from rooflab.papers.registry import paper


def test_a_static_batch_lasts_as_long_as_its_longest_answer() -> None:
    one = fixed_step(1.0)
    costs = StepCosts(one.tables[None], one.attention[None], one.scalars[None])
    seconds, reached = static_seconds(costs, np.array([4, 9, 2]), np.array([5, 1, 3]), 2)
    assert seconds.tolist() == [5.0, 3.0]
    assert reached.tolist() == [9 + 5, 2 + 3]


def test_peaks_and_gains_by_hand() -> None:
    new = Landscape({(1, 1): 1.0, (1, 2): 3.0, (1, 4): 2.0, (2, 1): 4.0, (2, 2): 2.0, (2, 4): 5.0})
    assert peaks(new) == 3  # (1, 2), (2, 1) and (2, 4)
    assert new.best == (2, 4)
    assert retuning_gain(Landscape({(1, 2): 1.0}), new) == pytest.approx(100 * (5 / 3 - 1))
    assert retuning_gain(Landscape({(1, 8): 1.0}), new) == pytest.approx(100 * (5 / 2 - 1))  # half the batch fits
    with pytest.raises(Infeasible, match="fits no number"):
        _ = Landscape({}).best


def test_memory_bounds_the_batch_and_more_gpus_hold_more() -> None:
    s = api.load(
        {"model": "codellama/CodeLlama-7b-hf", "hardware": "2 x v100-32gb-sxm", "deployment": {"weights": "fp16"}}
    )
    found = static_landscape(s, np.full(512, 400), np.full(512, 20)).throughput
    most = {n: max(b for g, b in found if g == n) for n in (1, 2)}
    assert most[1] < most[2] < 512


def test_runs_on_a_readers_scenario_and_refuses_with_a_reason() -> None:
    fields = {
        "model": "meta-llama/Llama-3.1-8B",
        "hardware": "2 x l40s",
        "workload": {"isl": 1000, "osl": 100, "concurrency": 64},
    }
    p, s, lab = paper("inference_hyperparameters"), api.load(fields), Lab(api.engines())
    (ran,) = run_paper(p, s, {}, lab)
    assert ran.comparison is not None
    assert ran.comparison.capacity.gain >= 1.0
    assert run_paper(p, s, {}, lab, "tune")[0].outcome.figures
    with pytest.raises(Infeasible, match="more than 2"):
        api.load(fields) | Retuned(tp=4)
    with pytest.raises(Infeasible, match="no running batch"):
        api.load({"model": "bert-base-uncased", "hardware": "l40s", "workload": {"batch": 8}}) | Retuned()
