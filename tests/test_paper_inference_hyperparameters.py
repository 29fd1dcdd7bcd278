"""Inference hyper-parameters: static batches by hand, landscapes of an engine on its GPUs alone, a reader's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rooflab import api
from rooflab.costs.step import StepCosts, fixed_step
from rooflab.errors import Infeasible, InputError
from rooflab.inputs import table
from rooflab.inputs.table import Table
from rooflab.library.serving.inference_hyperparameters.engines import (
    continuous_landscape,
    static_landscape,
    static_seconds,
)
from rooflab.library.serving.inference_hyperparameters.landscape import (
    Landscape,
    kept_setting,
    retuning_gain,
    trials_to_come_near,
)
from rooflab.library.serving.inference_hyperparameters.measured import MeasuredLandscape
from rooflab.library.serving.inference_hyperparameters.paper import Retuned, Tune, setup
from rooflab.papers.execute import run_paper
from rooflab.papers.lab import Lab
from rooflab.papers.registry import paper
from rooflab.scenario.scenario import Scenario


@pytest.fixture
def lab() -> Lab:
    return Lab(api.engines())


def small(count: int = 2) -> Scenario:
    fields = {
        "model": "meta-llama/Llama-3.1-8B",
        "hardware": f"{count} x l40s",
        "workload": {"isl": 1000, "osl": 100, "concurrency": 64},
    }
    return api.load(fields)


def test_a_static_batch_lasts_as_long_as_its_longest_answer() -> None:
    one = fixed_step(1.0)
    costs = StepCosts(one.tables[None], one.attention[None], one.scalars[None])
    ((seconds, reached),) = static_seconds(costs, np.array([4, 9, 2]), np.array([5, 1, 3]), (2,))
    assert seconds.tolist() == [5.0, 3.0]
    assert reached.tolist() == [9 + 5, 2 + 3]


def test_peaks_cliffs_and_gains_by_hand() -> None:
    new = Landscape({(1, 1): 1.0, (1, 2): 3.0, (1, 4): 2.0, (2, 1): 4.0, (2, 2): 2.0, (2, 4): 5.0})
    assert new.peaks() == [(1, 2), (2, 1), (2, 4)]
    assert new.best == (2, 4)
    assert [(c.before, c.after, round(c.share, 3)) for c in new.cliffs(0.3)] == [
        ((2, 1), (2, 2), 0.5), ((1, 2), (1, 4), 0.333), ((1, 2), (2, 2), 0.333)
    ]  # fmt: skip
    assert retuning_gain(Landscape({(1, 2): 1.0}), new) == pytest.approx(100 * (5 / 3 - 1))
    assert kept_setting(Landscape({(1, 8): 1.0}), new) == (1, 4), "the next smaller batch fits"
    assert kept_setting(Landscape({(1, 1): 1.0}), Landscape({(2, 4): 1.0, (4, 1): 2.0})) == (4, 1)
    assert trials_to_come_near(new, 0.2) == 7 / 3, "two of six are near"
    with pytest.raises(Infeasible, match="in no form"):
        kept_setting(Landscape({(4, 1): 1.0}), new)
    with pytest.raises(Infeasible, match="fits no number"):
        _ = Landscape({}).best


def test_noise_takes_small_peaks_away() -> None:
    land = Landscape({(1, 1): 10.0, (1, 2): 9.9, (1, 4): 12.0}, {(1, 1): 0.2, (1, 2): 0.2, (1, 4): 0.2})
    assert land.peaks() == [(1, 1), (1, 4)]
    assert land.peaks(beyond_noise=True) == [(1, 4)]


def test_memory_bounds_the_batch_and_more_gpus_hold_more() -> None:
    s = api.load(
        {"model": "codellama/CodeLlama-7b-hf", "hardware": "2 x v100-32gb-sxm", "deployment": {"weights": "fp16"}}
    )
    found = static_landscape(s, np.full(512, 400), np.full(512, 20)).throughput
    most = {n: max(b for g, b in found if g == n) for n in (1, 2)}
    assert most[1] < most[2] < 512


def test_one_engine_runs_on_its_own_gpus_and_no_others() -> None:
    """On two devices an engine of one gives what it gives on one device, and throughput a GPU is that of its own."""
    two = continuous_landscape(small(2).with_workload(requests=60), (16,)).throughput
    one = continuous_landscape(small(1).with_workload(requests=60), (16,)).throughput
    assert two[1, 16] == pytest.approx(one[1, 16], rel=1e-9)
    assert two[2, 16] < 2 * one[1, 16]


def test_figures_of_a_readers_scenario(lab: Lab) -> None:
    found = Tune(requests=80).run(lab, small())
    for engine in ("static pipeline", "continuous batching"):
        best, gpus = found[f"{engine}: best throughput"], found[f"{engine}: GPUs of the best"]
        assert found[f"{engine}: best a GPU"] == pytest.approx(best / gpus)
        assert found[f"{engine}: with the setting of h100-sxm"] <= best
    assert all(f.how == "modelled" for f in found.figures)
    kept = Tune(requests=80, engine="static").ablated(0).run(lab, small())
    assert {f.value for f in kept.figures if f.unit == "percent"} == {0.0}
    with pytest.raises(Infeasible, match="is the GPU of the scenario"):
        Tune(old="l40s").run(lab, small())
    with pytest.raises(InputError, match="a100"):
        Tune(old="a1000").run(lab, small())


def test_a_family_is_the_mean_of_its_members(lab: Lab) -> None:
    found = Tune(engine="static", old="h100-sxm", requests=40, family=True).run(lab, small())
    first = found.figure("static pipeline: local maxima")
    assert (first.over, first.runs) == ("models", 11)
    assert found.because.startswith("means over 11 models")


def test_a_readers_run_is_a_member_of_the_claim(lab: Lab) -> None:
    p = paper("inference_hyperparameters")
    settings = {"engine": "static", "old": "v100-32gb-sxm", "problems": 164}
    (ran,) = run_paper(p, setup(lab), settings, lab, "tune")
    assert ran.outcome["static pipeline: re-tuned after v100-32gb-sxm"] >= 0
    again = run_paper(p, setup(lab), settings, Lab(api.engines()), "tune")[0].outcome
    assert again.figures == ran.outcome.figures


def test_the_technique_and_its_refusals(lab: Lab) -> None:
    p, s = paper("inference_hyperparameters"), small()
    (ran,) = run_paper(p, s, {}, lab)
    assert ran.comparison is not None
    assert ran.comparison.capacity.gain >= 1.0
    with pytest.raises(Infeasible, match="more than 2"):
        s | Retuned(tp=4)
    with pytest.raises(Infeasible, match="no running batch"):
        api.load({"model": "bert-base-uncased", "hardware": "l40s", "workload": {"batch": 8}}) | Retuned()


LONG = """gpu,tp,batch_size,tokens_per_s
v100,1,8,100
v100,1,16,180
v100,1,32,90
v100,2,16,150
a100,1,8,200
a100,1,16,300
a100,1,32,420
a100,2,16,310
a100,2,32,
"""
WIDE = "batch,gpus,v100,a100\n8,1,100,200\n16,1,180,300\n32,1,90,420\n16,2,150,310\n"


def read(tmp_path: Path, held: str) -> Table:
    path = tmp_path / "mine.csv"
    path.write_text(held)
    return table.KIND.read(path)


@pytest.mark.parametrize("held", [LONG, WIDE])
def test_a_readers_measurements(lab: Lab, tmp_path: Path, held: str) -> None:
    found = MeasuredLandscape().run(lab, read(tmp_path, held))
    assert found["v100: best throughput"] == 180
    assert (found["a100: batch of the best"], found["a100: GPUs of the best"]) == (32, 1)
    assert found["v100: cliffs"] == 1
    assert found["v100: deepest cliff"] == 50
    assert found["searching again after v100 became a100"] == pytest.approx(100 * (420 / 300 - 1))
    assert found["searching again after a100 became v100"] == pytest.approx(100 * (180 / 90 - 1))
    assert "one measurement a setting" in found.notes[0]
    assert len(found.files["landscape.csv"].decode().splitlines()) == 1 + 8
    assert len(found.files["landscapes.csv"].decode().splitlines()) == 1 + 2
    assert "True" in found.files["moves.csv"].decode() or "true" in found.files["moves.csv"].decode()
    kept = MeasuredLandscape().ablated(0).run(lab, read(tmp_path, held))
    assert kept["searching again after v100 became a100"] == 0


def test_repeated_measurements_say_what_is_noise(lab: Lab, tmp_path: Path) -> None:
    rows = [(b, run) for b in (8, 16, 32) for run in (0.95, 1.0, 1.05)]
    base = {8: 100.0, 16: 98.0, 32: 130.0}
    held = "batch,throughput\n" + "".join(f"{b},{base[b] * x}\n" for b, x in rows)
    found = MeasuredLandscape().run(lab, read(tmp_path, held))
    assert found["local maxima"] == 2
    assert found["local maxima beyond the noise"] == 1
    assert not found.notes
    assert "no second kind" in found.because


def test_groups_are_averaged(lab: Lab, tmp_path: Path) -> None:
    held = "model,gpu,batch,throughput\n" + "".join(
        f"{model},{gpu},{batch},{value}\n"
        for model, gpu, batch, value in (
            ("x", "a", 1, 10), ("x", "a", 2, 20), ("x", "b", 1, 30), ("x", "b", 2, 20),
            ("y", "a", 1, 10), ("y", "a", 2, 20), ("y", "b", 1, 10), ("y", "b", 2, 20),
        )
    )  # fmt: skip
    found = MeasuredLandscape().run(lab, read(tmp_path, held))
    assert found["searching again after a became b"] == pytest.approx((50 + 0) / 2)
    assert found.figure("searching again after a became b").spread == (0.0, pytest.approx(50.0))


def test_many_landscapes_are_summed_up(lab: Lab) -> None:
    found = MeasuredLandscape().run(lab, table.KIND.sample("serving-landscape"))
    assert found["landscapes"] == 12
    assert found.figure("local maxima").over == "landscapes"
    assert {f.how for f in found.figures} == {"executed"}


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("gpus,throughput\n1,2\n", "no column of batch sizes .such as batch. among gpus, throughput"),
        ("batch,gpu,speed\n1,a,2\n", "no column of throughput"),
        ("batch,throughput\n0,2\n", "row 1 holds 0, not a whole number of at least 1"),
        ("batch,throughput\n1.5,2\n", "row 1 holds 1.5"),
        ("batch,throughput\n1,0\n", "no row has a throughput above 0"),
        ("batch,throughput\n1,fast\n", "holds texts, not numbers"),
    ],
)
def test_what_is_no_landscape_is_refused_in_a_line(lab: Lab, tmp_path: Path, held: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        MeasuredLandscape().run(lab, read(tmp_path, held))
