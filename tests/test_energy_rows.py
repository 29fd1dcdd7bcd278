"""Energy rows as questions: hand-made rows give predictions and reasons; the public rows, where present, stay within
their bounds."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rooflab.costs.engine_constants import ServingCalibration, active
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.refit.energy_left_out import energy_left_out
from rooflab.evidence.rows.diffusion import job
from rooflab.evidence.rows.energy import answers, question
from rooflab.evidence.rows.energy_series import series_of
from rooflab.evidence.rows.serving import Question, Unsupported

ROWS = Path(__file__).parents[1].parent / "shared" / "truth" / "energy" / "measurements.csv"
COLUMNS = (
    "id", "source", "date", "task", "model", "precision", "gpu", "num_gpus", "tp", "pp", "dp", "ep", "batch_size",
    "max_num_seqs",
    "power_limit_w", "freq_mhz", "seq_or_output_len", "config_id", "metric", "value", "notes",
)  # fmt: skip


def row(**given: str) -> dict[str, str]:
    return {name: given.get(name, "") for name in COLUMNS}


def zeus(limit: str, metric: str, value: str) -> dict[str, str]:
    return row(
        id=f"{limit}-{metric}", source="Zeus NSDI23 trace", model="resnet50", task="imagenet", gpu="V100", num_gpus="1",
        batch_size="128",
        power_limit_w=limit, config_id=limit, metric=metric, value=value, notes="optimizer=adadelta",
    )  # fmt: skip


def test_a_series_is_predicted_from_its_highest_limit():
    rows = [
        zeus(limit, m, v)
        for limit, t, w in (("250", "3600", "220"), ("150", "4200", "142"))
        for m, v in (("time_per_epoch", t), ("avg_power_gpu", w))
    ]
    done, why = answers(rows)
    by_metric = {a.metric: a for a in done}
    assert set(by_metric) == {"time_per_epoch", "avg_power_gpu"}
    assert 3600.0 < by_metric["time_per_epoch"].predicted < 5400.0
    assert by_metric["avg_power_gpu"].predicted <= 150.0
    assert why == {"250-time_per_epoch": "reference of its series", "250-avg_power_gpu": "reference of its series"}


def test_a_pipeline_is_as_slow_as_its_slowest_stage():
    def merak(config: str, limits: str, time_s: str, joules: str) -> list[dict[str, str]]:
        same = {
            "source": "Perseus SOSP24 Merak runs (zeus repo)", "model": "gpt3-xl", "gpu": "A100", "num_gpus": "4",
            "tp": "1", "pp": "4",
            "dp": "1", "batch_size": "1024", "task": "training iteration (Merak)", "power_limit_w": limits,
            "config_id": config,
            "notes": "zeus_global; microbatch=8 x 128; partition=uniform_transformer",
        }  # fmt: skip
        return [
            row(id=f"{config}-t", metric="iteration_time", value=time_s, **same),
            row(id=f"{config}-e", metric="iteration_energy_all_gpus", value=joules, **same),
        ]

    rows = (
        merak("a", "300/300/300/300", "60", "66900")
        + merak("b", "200/200/200/300", "70", "60000")
        + merak("c", "200/200/200/200", "85", "60000")
    )
    found = {a.id: a.predicted for a in answers(rows)[0]}
    assert 60.0 <= found["b-t"] <= found["c-t"]
    assert found["c-e"] < 66900


def test_rows_that_cannot_be_modelled_say_why():
    image = row(
        id="i",
        source="ML.ENERGY Leaderboard v3",
        task="text-to-image",
        model="x",
        gpu="H100",
        config_id="1",
        metric="energy_per_image",
        value="1",
    )
    train = row(
        id="m",
        source="MLPerf Training v4.0 power",
        task="MLPerf bert",
        gpu="H100-SXM5-80GB",
        num_gpus="8",
        metric="energy_to_train_system",
        value="1",
    )
    done, why = answers([image, train])
    assert not done
    assert why == {"m": "time to train folds in convergence", "i": "denoiser not known (U-Nets are not modelled)"}
    with pytest.raises(Unsupported, match="task text-to-image"):
        question(image)


def image_row(**given: str) -> dict[str, str]:
    same = {
        "source": "ML.ENERGY Leaderboard v3", "task": "text-to-image", "model": "black-forest-labs/FLUX.1-dev",
        "gpu": "B200",
        "num_gpus": "1", "batch_size": "1", "config_id": "1", "metric": "batch_latency", "value": "1",
        "notes": "resolution_h=1024; resolution_w=1024; steps=50; ulysses_degree=1; ring_degree=1",
    }  # fmt: skip
    return row(**(same | given))


def test_diffusion_scales_with_batch_steps_and_devices():
    one = job(image_row())
    eight = job(image_row(batch_size="8"))
    assert one.seconds() * 4 < eight.seconds() < one.seconds() * 8
    half = job(image_row(notes="resolution_h=1024; resolution_w=1024; steps=25; ulysses_degree=1; ring_degree=1"))
    assert half.seconds() < one.seconds()
    split = job(
        image_row(num_gpus="4", notes="resolution_h=1024; resolution_w=1024; steps=50; ulysses_degree=4; ring_degree=1")
    )
    assert one.seconds() / 4 < split.seconds() < one.seconds()
    # nothing beats the peak, and no device draws more than its TDP
    assert one.seconds() > one.terms[0] + one.terms[1]
    assert 195 <= one.value("avg_power_all_gpus") <= 1000
    assert one.value("energy_per_image") == pytest.approx(one.value("avg_power_all_gpus") * one.seconds())


def bounds():
    return [
        ("ML.ENERGY", ("energy_per_output_token",), 0.15, 0.60),
        ("ML.ENERGY", ("avg_power_all_gpus",), 0.15, 0.70),
        ("Zeus", ("time_per_epoch",), 0.05, 0.20),
        ("Zeus", ("avg_power_gpu", "energy_per_epoch"), 0.06, 0.20),
        ("Perseus", ("stage_time", "iteration_time"), 0.06, 0.25),
        ("Perseus", ("stage_energy", "iteration_energy_all_gpus"), 0.12, 0.25),
        ("MLPerf", ("avg_power_system",), 0.10, 0.30),
        ("ML.ENERGY", ("batch_latency",), 0.12, 0.40),
        ("ML.ENERGY", ("energy_per_image", "energy_per_video"), 0.18, 0.55),
    ]


@pytest.fixture(scope="module")
def scored():
    if not ROWS.exists():
        pytest.skip("the measured rows are not here")
    with ROWS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    source = {r["id"]: r["source"] for r in rows}
    done, why = answers(rows)
    assert len(done) + len(why) == len(rows)
    return [(source[a.id], a) for a in done]


@pytest.mark.parametrize(("source", "metrics", "median", "p90"), bounds())
def test_the_public_rows_stay_within_their_bounds(scored, source, metrics, median, p90):
    errors = np.array(
        [abs(a.predicted / a.measured - 1) for s, a in scored if s.startswith(source) and a.metric in metrics]
    )
    assert len(errors) > 10
    assert np.median(errors) < median
    assert np.quantile(errors, 0.9) < p90


def test_every_training_row_belongs_to_one_series():
    if not ROWS.exists():
        pytest.skip("the measured rows are not here")
    with ROWS.open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["source"].startswith(("Zeus", "Perseus"))]
    ids = [i for s in series_of(rows) for p in s.points for i, _ in p.measured.values()]
    assert sorted(ids) == sorted(r["id"] for r in rows)


def leaderboard(**given: str) -> dict[str, str]:
    same = {
        "id": "a", "source": "ML.ENERGY Leaderboard v3", "date": "2026-02", "task": "lm-arena-chat",
        "model": "Qwen/Qwen3-235B-A22B-FP8",
        "precision": "fp8", "gpu": "H100", "num_gpus": "8", "tp": "1", "pp": "", "dp": "1", "ep": "8",
        "batch_size": "32",
        "max_num_seqs": "32", "seq_or_output_len": "800", "config_id": "c", "metric": "energy_per_output_token",
        "value": "1.0",
    }  # fmt: skip
    return row(**(same | given))


def test_a_mixture_of_the_leaderboard_shares_attention_over_all_its_devices():
    s = question(leaderboard())
    assert (s.deployment.split.tp, s.deployment.split.ep, s.deployment.split.dp) == (8, 8, 1)
    # Qwen's FP8 releases are scaled by blocks, and prompts of a chat differ much
    assert s.deployment.formats.weights == "fp8-block"
    assert s.workload.isl.cv > 1


def test_energy_rows_are_predicted_by_constants_without_their_model_and_device():
    """The calibration without the group prices the row; other rows of the model on the device have no part in power
    either."""
    models = ("Qwen/Qwen3-8B", "Qwen/Qwen3-14B", "Qwen/Qwen3-32B")
    rows = [
        leaderboard(
            id=f"{m}-{n}-{metric}", config_id=f"{m}-{n}", model=m, precision="bfloat16", num_gpus="1", ep="1",
            batch_size=n, max_num_seqs=n,
            metric=metric, value=value,
        )
        for m in models
        for n in ("8", "64")
        for metric,
        value in (("energy_per_output_token", "0.5"), ("output_throughput", "1000"), ("avg_power_all_gpus", "500"))
    ]  # fmt: skip
    asked = {m: question(next(r for r in rows if r["model"] == m)) for m in models}
    fitted = [
        FitRow(
            Question(id=m, scenarios=(s,), metric="output_tokens_per_s", factor=1.0, measured=1000.0),
            "ML.ENERGY leaderboard",
            m,
            "H100-SXM-80GB",
        )
        for m, s in asked.items()
    ]
    table = active()
    slower = replace(table, slow_host=replace(table.slow_host, fixed_s=0.5))
    calls: list[tuple[str, str, str]] = []

    def without(group: tuple[str, str, str], *, table: ServingCalibration) -> ServingCalibration:
        calls.append(group)
        return slower if group[1] == models[0] else table

    held = energy_left_out(rows, fitted, table, without)
    assert {c[1] for c in calls} == set(models)
    assert set(held) == {r["id"] for r in rows}
    now = {a.id: a.predicted for a in answers(rows)[0]}
    pace = "8-output_throughput"
    assert held[f"{models[0]}-{pace}"] < 0.1 * now[f"{models[0]}-{pace}"]
    assert held[f"{models[1]}-{pace}"] == pytest.approx(now[f"{models[1]}-{pace}"])
    # a row's own watts do not reach its prediction
    odd = [{**r, "value": "5"} if r["model"] == models[1] and "power" in r["metric"] else r for r in rows]
    name = f"{models[1]}-8-energy_per_output_token"
    assert energy_left_out(odd, fitted, table, without)[name] == pytest.approx(held[name])
