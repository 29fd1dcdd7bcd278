"""Watts and joules beside throughput tell a device's power constants, which then price every answer."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rooflab as rl
from rooflab.catalogue.hardware import hardware
from rooflab.cli.main import run
from rooflab.costs.engine_constants import active, read_calibration, using
from rooflab.costs.power import PowerCurve, loaded_idle_w, power_curve
from rooflab.evidence.calibrate.calibrate import Calibration, calibrate, fit_rows
from rooflab.evidence.calibrate.power import POWER_PRIORS, fit_power
from rooflab.evidence.rows.predict import predict
from rooflab.evidence.rows.tables import COLUMNS

CHAT = {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "hardware": "h100-sxm",
    "workload": {"isl": 1000, "osl": 200, "concurrency": 32},
}
LOADS = [("qps=0.2", 1000, 200), ("qps=1", 1000, 200)] + [
    (str(c), i, o) for c in (1, 16, 128) for i, o in ((1000, 200), (8000, 20))
]


def runs(*metrics: str) -> list[dict[str, str]]:
    """Runs from nearly idle to heavy prompts, a row a metric, without values."""
    rows = []
    for load, isl, osl in LOADS:
        kind = "server" if load.startswith("qps") else "fixed-concurrency"
        for metric in metrics:
            if kind == "server" and metric == "output_tok_s":
                continue  # an open loop's throughput is its rate
            rows.append(dict.fromkeys(COLUMNS["serving"], "") | {
                "id": f"{metric} {load} {isl}", "source": "rack 7", "engine": "vLLM", "engine_version": "0.11",
                "gpu": "h100-sxm",
                "model": "meta-llama/Llama-3.1-8B-Instruct", "num_gpus": "1", "tp": "1", "batch_or_concurrency": load,
                "isl": str(isl),
                "osl": str(osl), "scenario": kind, "metric": metric, "value": "1",
            })  # fmt: skip
    return rows


def measured(rows: list[dict[str, str]], noise: float = 0.01, **true: float) -> list[dict[str, str]]:
    """The rows with values of a device with other power constants."""
    now = power_curve(hardware("h100-sxm"))
    random = np.random.default_rng(3)
    with using(replace(active(), power={"h100-sxm": replace(now, **true)})):
        values = predict([a.question for a in fit_rows(rows)[0]])
    return [{**r, "value": repr(float(v * np.exp(random.normal(0, noise))))} for r, v in zip(rows, values, strict=True)]


def fitted(rows: list[dict[str, str]]) -> Calibration:
    return calibrate(fit_rows(rows)[0], "2026-11-25")


def power_stage(calibration: Calibration) -> Any:
    return next(s for s in calibration.stages if s.name == "h100-sxm, power")


@pytest.mark.parametrize(
    "true", [{"loaded_idle": 0.3}, {"compute": 0.4}, {"loaded_idle": 0.12, "compute": 1.2}, {"memory": 0.9}]
)
def test_known_constants_are_found_again(true: dict[str, float]) -> None:
    found = fitted(measured(runs("power_w", "output_tok_s"), **true))
    stage = power_stage(found)
    assert stage.kept
    assert stage.after[0] < 0.04
    assert stage.before[1] > 0.04
    assert stage.left_out[0] < 0.06
    curve = asdict(found.table.power["h100-sxm"])
    for constant in stage.constants:
        told = constant.fitted and not constant.stands_for
        if told:
            expected = true.get(constant.name, constant.shipped)
            assert abs(curve[constant.name] - expected) < 3 * constant.deviation + 0.02
    with using(replace(active(), power={"h100-sxm": replace(power_curve(hardware("h100-sxm")), **true)})):
        exact = rl.estimate(CHAT)
    with using(found.table):
        got = rl.estimate(CHAT)
    assert got.power_w == pytest.approx(exact.power_w, rel=0.06)
    assert got.j_per_token == pytest.approx(exact.j_per_token, rel=0.08)


def test_joules_beside_throughput_say_the_same_as_watts() -> None:
    closed = [r for r in runs("power_w", "output_tok_s", "j_per_token") if r["scenario"] == "fixed-concurrency"]
    values = measured(closed, noise=0.0, loaded_idle=0.32)
    watts = fitted([r for r in values if r["metric"] != "j_per_token"])
    joules = fitted([r for r in values if r["metric"] != "power_w"])
    assert asdict(watts.table.power["h100-sxm"])["active"] == pytest.approx(
        asdict(joules.table.power["h100-sxm"])["active"], abs=0.01
    )
    with using(watts.table):
        a = rl.estimate(CHAT).power_w
    with using(joules.table):
        assert rl.estimate(CHAT).power_w == pytest.approx(a, rel=0.01)


def test_an_engine_slower_than_predicted_is_no_power() -> None:
    """Half the tokens a second draw half of what is beyond idle: the constants stay."""
    rows = [r for r in measured(runs("power_w", "output_tok_s"), noise=0.0) if r["scenario"] == "fixed-concurrency"]
    idle_w = loaded_idle_w(hardware("h100-sxm"))
    slow = []
    for r in rows:
        value = float(r["value"])
        slow.append({**r, "value": repr(value / 2 if r["metric"] == "output_tok_s" else idle_w + (value - idle_w) / 2)})
    (stage,), table, _ = fit_power(fit_rows(slow)[0], active(), "2026-11-25")
    assert not stage.kept
    assert stage.before[0] < 0.01
    assert table == active()


def test_what_rows_do_not_tell_is_refused() -> None:
    alone = fitted(measured(runs("j_per_token"), noise=0.0, loaded_idle=0.3))
    assert not alone.changed
    assert set(alone.unused.values()) == {"joules a token without the throughput of the same run: add its output_tok_s"}
    two = fitted(measured(runs("power_w"), noise=0.0, loaded_idle=0.3)[:2])
    assert set(two.unused.values()) == {
        f"2 rows of watts on h100-sxm cannot identify {', '.join(POWER_PRIORS)}: 3 at least"
    }
    one_run = fitted(measured([{**r, "id": str(i)} for i, r in enumerate([runs("power_w")[3]] * 4)], loaded_idle=0.35))
    assert not one_run.changed
    assert any("one configuration" in c.refused for c in power_stage(one_run).constants)
    link = next(
        c for c in power_stage(fitted(measured(runs("power_w"), loaded_idle=0.3))).constants if c.name == "link"
    )
    assert link.refused == "no row depends on it", "one GPU has no link to tell of"


def test_the_right_watts_change_nothing() -> None:
    found = fitted(measured(runs("power_w", "output_tok_s"), noise=0.0))
    assert not found.changed
    assert not found.table.power


@pytest.mark.parametrize("concurrency", [1, 32, 256])
def test_calibrated_power_lies_between_idle_and_tdp(concurrency: int) -> None:
    found = fitted(measured(runs("power_w", "output_tok_s"), loaded_idle=0.3, compute=3.0))
    scenario = {**CHAT, "workload": {"isl": 1000, "osl": 200, "concurrency": concurrency}}
    plain = rl.estimate(scenario)
    with using(found.table):
        result, idle_w = rl.estimate(scenario), loaded_idle_w(hardware("h100-sxm"))
        capped = rl.estimate({**scenario, "hardware": {"device": "h100-sxm", "power_limit": "400 W"}})
    assert idle_w <= result.power_w <= 700.0 + 1e-6
    assert result.tpot_s_mean == pytest.approx(plain.tpot_s_mean), "power prices no time without a limit"
    assert capped.power_w <= 400.0 + 1e-6
    assert capped.output_tokens_per_s <= result.output_tokens_per_s * (1 + 1e-9)


def test_through_the_command_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "watts.csv", tmp_path / "mine.json"
    rows = measured(runs("power_w", "output_tok_s"), loaded_idle=0.4)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert run(["calibrate", str(path), "--out", str(out), "--date", "2026-11-25"]) == 0
    assert "h100-sxm power" in capsys.readouterr().out
    assert set(json.loads(out.read_text())["power"]["h100-sxm"]) == set(PowerCurve.__dataclass_fields__)
    assert "rack 7" in read_calibration(out).power["h100-sxm"].source
    ask = [
        "estimate",
        "--model",
        "meta-llama/Llama-3.1-8B-Instruct",
        "--hardware",
        "h100-sxm",
        "--isl",
        "1000",
        "--osl",
        "200",
    ]
    got = []
    for more in ((), ("--calibration", str(out))):
        assert run([*ask, "--concurrency", "32", "--json", *more]) == 0
        got.append(json.loads(capsys.readouterr().out)["metrics"])
    assert got[1]["power_w"] > 1.02 * got[0]["power_w"]
    assert got[1]["j_per_token"] > 1.02 * got[0]["j_per_token"]
    errors = []
    for more in ((), ("--calibration", str(out))):
        assert run(["validate", str(path), "--json", *more]) == 0
        errors.append(json.loads(capsys.readouterr().out)["by_metric"]["power_w"]["median_ape"])
    assert errors[1] < errors[0] / 2


def test_energy_tables_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns of ML.ENERGY: serving runs are taken, others named."""
    path, out = tmp_path / "energy.csv", tmp_path / "mine.json"
    shared = {
        "phase": "inference", "task": "lm-arena-chat", "model": "Qwen/Qwen3-8B", "precision": "bfloat16", "gpu": "H100",
        "num_gpus": "1",
        "tp": "1", "date": "2026-02", "seq_or_output_len": "640", "source": "ML.ENERGY Leaderboard v3",
    }  # fmt: skip
    measured_w = {8: (961.7, 427.0), 32: (2927.9, 478.1), 96: (5254.7, 543.8), 192: (6932.1, 600.2)}
    rows: list[dict[str, Any]] = []
    for n, (rate, watts) in measured_w.items():
        for metric, value in (("output_throughput", rate), ("avg_power_all_gpus", 0.7 * watts), ("p99_itl", 20.0)):
            rows.append(
                {
                    **shared,
                    "id": f"{metric}-{n}",
                    "batch_size": n,
                    "max_num_seqs": n,
                    "config_id": n,
                    "metric": metric,
                    "value": value,
                }
            )
    rows.append({**rows[1], "id": "image", "task": "text-to-image", "max_num_seqs": ""})
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert run(["calibrate", str(path), "--out", str(out)]) == 0
    capsys.readouterr()
    content = json.loads(out.read_text())
    assert content["power"]["h100-sxm"]["provenance"] == "fitted"
    assert content["left_out"]["image"] == "not a serving run: max_num_seqs is not stated"
    assert "p99_itl" in content["left_out"]["p99_itl-8"]
