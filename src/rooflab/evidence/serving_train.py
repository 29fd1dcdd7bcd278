"""Fit every engine and device constant to published serving rows and write `fits/serving.json`.

    python -m rooflab.evidence.serving_train ROWS.csv --out serving.json --held-out held.csv

In this order, each stage with the constants of the stages before it:

1. engines, by generation and kind of model, on devices whose kernels are fitted to tables (their own or a relative's);
2. the slow host, on sources that drive vLLM from a slow process;
3. factors of devices that borrow a relative's tables and have rows of their own;
4. factors of device families without tables, together with the engines that run on nothing else;
5. first-token terms (frontend, convoy) of closed loops.

Rows whose deployment was the submitter's choice (MLPerf) serve as the best deployment at the constants of the stages before,
with less weight than rows that state theirs; a server's rate under limits is foretold with its group left out, never fitted.
Time per token, throughput, static prefill and end-to-end rows serve stages 1 to 4; p99 and closed-loop first tokens do not.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from rooflab.costs.calibration import calibration_for
from rooflab.costs.engine import DeviceFactors, EngineOverhead, ServingCalibration, active, era, using
from rooflab.evidence import serving_fit as sf
from rooflab.evidence.best import Choice, best_of
from rooflab.evidence.mlperf import benchmark, is_mlperf
from rooflab.evidence.serving_rows import Unsupported, question

__all__ = ["read_rows", "train"]

_FEWEST: Final = 8
"""A group of fewer rows keeps the constants of the next more general entry."""
_FEWEST_OF_DEVICE: Final = 4
"""A device of fewer rows keeps the shares of its relative or family."""
_INFERRED: Final = 0.25
"""Weight of a row whose deployment is inferred, beside one whose deployment is stated; assumed."""
_OWN_BACKEND: Final = 24
"""An engine with at least this many rows on a family without tables gets constants of its own there."""


def read_rows(path: Path) -> list[sf.FitRow]:
    """Rows of a truth table that can be asked; suspect and unsupported ones are left out."""
    out = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                asked = question(row)
            except Unsupported:
                continue
            model = benchmark(row) if is_mlperf(row) else row["model"]
            # how fast a server may be within its limits tells of the load model too, so it is foretold and never fitted
            out.append(sf.FitRow(asked, row["source"], model, row["gpu"], weight=0.0 if asked.scenarios[0].slo else 1.0))
    return out


def _scenario(row: sf.FitRow) -> Any:
    return row.question.scenarios[0]


def _engine_key(row: sf.FitRow) -> str:
    s = _scenario(row)
    key = f"{s.deployment.engine}@{era(s.deployment.engine, s.deployment.engine_version)}/{'moe' if s.model.is_moe else 'dense'}"
    return f"{key}:slow host" if s.deployment.host == "slow" and s.deployment.engine != "vllm" else key


def _slow_vllm(row: sf.FitRow) -> bool:
    """vLLM on a slow host adds to the constants of vLLM; other engines get an entry of their own there."""
    d = _scenario(row).deployment
    return bool(d.host == "slow" and d.engine == "vllm")


def _has_tables(row: sf.FitRow) -> bool:
    s = _scenario(row)
    return calibration_for(s.hardware.device, s.deployment.engine).provenance == "fitted"


def _own_tables(row: sf.FitRow) -> bool:
    s = _scenario(row)
    return calibration_for(s.hardware.device, s.deployment.engine).in_table


def _fits_speed(row: sf.FitRow) -> bool:
    """Whether the row tells of steps: not of waiting, not of the worst step."""
    metric, mode = row.question.metric, _scenario(row).workload.mode
    if metric.endswith("p99") or _scenario(row).deployment.pools or (len(row.question.scenarios) > 1 and not _free(row)):
        return False
    return not metric.startswith("ttft") or mode == "static"


def _free(row: sf.FitRow) -> bool:
    """Whether a submitter chose the deployment, for throughput (MLPerf)."""
    return is_mlperf({"source": row.source}) and "per_s" in row.question.metric


def _settled(rows: Sequence[sf.FitRow]) -> list[sf.FitRow]:
    """Rows whose deployment was free, as the deployment that is best at the present constants.

    At the best of several deployments the others do not move the answer, so the slopes are those of the best alone.
    A server's load is found anew at other constants.  Experts over several devices can be split in more ways than are tried,
    so such rows are foretold only.
    """
    free = [i for i, r in enumerate(rows) if len(r.question.scenarios) > 1]
    out = list(rows)
    for i, best in zip(free, best_of([Choice(rows[i].question.scenarios) for i in free]), strict=True):
        if best is not None:
            settled = best.scenario.with_workload(scenario=None, rate=None) if best.scenario.slo else best.scenario
            sure = not settled.model.is_moe or settled.deployment.devices_per_replica == 1
            asked = replace(rows[i].question, scenarios=(settled,))
            out[i] = replace(rows[i], question=asked, weight=rows[i].weight * _INFERRED if sure else 0.0)
    return out


def _holds_out(rows: Sequence[sf.FitRow], fit: sf.Fit, without: ServingCalibration) -> bool:
    """Whether factors fitted to other rows of a device foretell its rows better than no factors do (they need two groups for that)."""
    questions = [r.question for r in rows]
    measured = sf.times(questions, np.array([q.measured for q in questions]))
    with using(without):
        plain = sf.times(questions, sf.predict(questions))
    told = np.array([r.fitted for r in rows])
    return float(np.nanmean(np.abs(fit.held_out / measured - 1)[told])) < float(np.nanmean(np.abs(plain / measured - 1)[told]))


def _without_device(key: str, table: ServingCalibration) -> ServingCalibration:
    return replace(table, devices={k: v for k, v in table.devices.items() if k != key})


def _first_token(row: sf.FitRow) -> bool:
    s = _scenario(row)
    return row.question.metric in ("ttft_s_mean", "ttft_s_p50") and s.workload.mode == "closed" and not s.deployment.pools


def _grouped(rows: Iterable[sf.FitRow], key: Any) -> dict[str, list[sf.FitRow]]:
    groups: dict[str, list[sf.FitRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return {k: groups[k] for k in sorted(groups)}


def _note(fit: sf.Fit, rows: Sequence[sf.FitRow], date: str) -> dict[str, Any]:
    sources = sorted({r.source for r in rows if r.fitted})
    text = f"{fit.rows} rows of {', '.join(sources)}: {fit.median:.0%} median, {fit.held_out_median:.0%} held out; fitted {date}"
    return {"provenance": "fitted", "source": text}


class _Trainer:
    def __init__(self, rows: list[sf.FitRow], date: str) -> None:
        self.rows, self.date = rows, date
        self.held: dict[str, float] = {}
        self.report: list[tuple[str, sf.Fit]] = []

    def _done(self, name: str, rows: Sequence[sf.FitRow], fit: sf.Fit) -> None:
        self.report.append((name, fit))
        for row, held in zip(rows, fit.held_out, strict=True):
            value = 1.0 / held if sf.is_rate(row.question) else held
            self.held[row.question.id] = float(value)
        values = {k: float(f"{v:.3g}") for k, v in fit.values.items()}
        print(
            f"{name}: {fit.rows} rows, {fit.median:.3f} in sample, {fit.held_out_median:.3f} / {fit.held_out_p90:.3f} held out {values}",
            flush=True,
        )

    def engines(self, table: ServingCalibration) -> ServingCalibration:
        usable = [r for r in self.rows if _fits_speed(r) and _has_tables(r) and not _slow_vllm(r)]
        for key, rows in _grouped(usable, _engine_key).items():
            table = self._engine(table, key, rows)
        return table

    def _engine(self, table: ServingCalibration, key: str, rows: list[sf.FitRow]) -> ServingCalibration:
        with using(table):
            rows = _settled(rows)
        if sum(r.fitted for r in rows) < _FEWEST:
            return table
        name, _, kind = key.partition("/")
        general = table.engines.get(key) or table.engine(name.split("@")[0], name.split("@")[1], kind)
        table = replace(table, engines={**table.engines, key: general})
        with using(table):
            fit = sf.fit_group(rows, sf.ENGINE_PRIORS, sf.starting(general, sf.ENGINE_PRIORS), lambda v: sf.with_engine(key, v))
        self._done(key, rows, fit)
        return sf.with_engine(key, {**fit.values, **_note(fit, rows, self.date)}, table)

    def slow_host(self, table: ServingCalibration) -> ServingCalibration:
        rows = [r for r in self.rows if _fits_speed(r) and _slow_vllm(r)]
        if len(rows) < _FEWEST:
            return table

        def apply(v: Mapping[str, float]) -> ServingCalibration:
            return replace(table, slow_host=replace(table.slow_host, **dict[str, Any](v)))

        with using(table):
            fit = sf.fit_group(rows, sf.SLOW_HOST_PRIORS, sf.starting(table.slow_host, sf.SLOW_HOST_PRIORS), apply)
        self._done("slow host", rows, fit)
        return replace(table, slow_host=replace(table.slow_host, **dict[str, Any]({**fit.values, **_note(fit, rows, self.date)})))

    def relatives(self, table: ServingCalibration) -> ServingCalibration:
        """Factors of devices whose kernels are a relative's: clocks and power limits differ inside a generation."""
        rows = [r for r in self.rows if _fits_speed(r) and _has_tables(r) and not _own_tables(r)]
        for key, own in _grouped(rows, lambda r: _scenario(r).hardware.device.key).items():
            start = sf.starting(table.devices.get(key, DeviceFactors()), sf.RELATIVE_PRIORS)
            with using(table):
                mine = _settled(own)
            if sum(r.fitted for r in mine) < _FEWEST_OF_DEVICE:
                continue

            def apply(values: Mapping[str, float], name: str = key, base: ServingCalibration = table) -> ServingCalibration:
                return sf.with_device(name, values, base)

            with using(table):
                fit = sf.fit_group(mine, sf.RELATIVE_PRIORS, start, apply, rounds=5)
            if not _holds_out(mine, fit, apply({k: p.mean for k, p in sf.RELATIVE_PRIORS.items()})):
                table = _without_device(key, table)
                continue
            self._done(f"device {key}", mine, fit)
            table = sf.with_device(key, {**fit.values, **_note(fit, mine, self.date)}, table)
        return table

    def families(self, table: ServingCalibration) -> ServingCalibration:
        rows = [r for r in self.rows if _fits_speed(r) and not _has_tables(r)]
        for family, own in _grouped(rows, lambda r: _scenario(r).hardware.device.family).items():
            with using(table):
                mine = _settled(own)
            if sum(r.fitted for r in mine) < _FEWEST_OF_DEVICE:
                continue
            table = self._family(table, family, mine)
        return table

    def _family(self, table: ServingCalibration, family: str, rows: list[sf.FitRow]) -> ServingCalibration:
        """Factors of a family; an engine that is only seen here is fitted with them (the two explain different sizes of step)."""
        keys = sorted({_engine_key(r) for r in rows})
        often = [k for k in keys if sum(_engine_key(r) == k for r in rows) >= _OWN_BACKEND]
        # the same engine on another vendor's stack is another backend, with host and launch times of its own
        fresh = [f"{k}:{family}" for k in often]
        for key in fresh:
            name, _, kind = key.partition("/")
            found = table.engine(name.split("@")[0], name.split("@")[1], kind.split(":")[0])
            table = replace(table, engines={**table.engines, key: found})
        engine_priors = {k: sf.ENGINE_PRIORS[k] for k in ("fixed_s", "layer_s", "sequence_s", "skew")}
        priors = {**sf.DEVICE_PRIORS, **{f"{key}:{c}": p for key in fresh for c, p in engine_priors.items()}}
        start = sf.starting(table.devices.get(family, DeviceFactors()), sf.DEVICE_PRIORS)
        for key in fresh:
            start |= {f"{key}:{c}": v for c, v in sf.starting(table.engines[key], engine_priors).items()}

        def apply(values: Mapping[str, float]) -> ServingCalibration:
            out = sf.with_device(family, {k: values[k] for k in sf.DEVICE_PRIORS}, table)
            for key in fresh:
                out = sf.with_engine(key, {c: values[f"{key}:{c}"] for c in engine_priors}, out)
            return out

        with using(table):
            fit = sf.fit_group(rows, priors, start, apply, rounds=5)
        if not fresh and not _holds_out(rows, fit, apply({k: p.mean for k, p in priors.items()})):
            return _without_device(family, table)
        self._done(f"family {family}", rows, fit)
        note = _note(fit, rows, self.date)
        out = sf.with_device(family, {**{k: fit.values[k] for k in sf.DEVICE_PRIORS}, **note}, table)
        for key in fresh:
            out = sf.with_engine(key, {**{c: fit.values[f"{key}:{c}"] for c in engine_priors}, **note}, out)
        return out

    def first_tokens(self, table: ServingCalibration) -> ServingCalibration:
        for key, rows in _grouped([r for r in self.rows if _first_token(r)], _engine_key).items():
            if len(rows) < _FEWEST or key not in table.engines:
                continue
            start = sf.starting(table.engines[key], sf.FIRST_TOKEN_PRIORS)
            with using(table):
                fit = sf.fit_group(rows, sf.FIRST_TOKEN_PRIORS, start, partial(sf.with_engine, key), rounds=6)
            self._done(f"first token {key}", rows, fit)
            table = sf.with_engine(key, fit.values, table)
        return table


def train(rows: list[sf.FitRow], date: str) -> tuple[ServingCalibration, dict[str, float], list[tuple[str, sf.Fit]]]:
    """The calibration fitted to `rows`, held-out predictions by row id, and each stage's fit."""
    trainer = _Trainer(rows, date)
    table = active()
    for stage in (trainer.engines, trainer.slow_host, trainer.relatives, trainer.families, trainer.first_tokens):
        table = stage(table)
    return table, trainer.held, trainer.report


def as_json(table: ServingCalibration) -> dict[str, Any]:
    """A calibration as its file holds it; constants with three significant digits, defaults left out."""

    def entry(value: EngineOverhead | DeviceFactors, default: EngineOverhead | DeviceFactors) -> dict[str, Any]:
        kept = {k: v for k, v in asdict(value).items() if v != getattr(default, k) or k in ("provenance", "source")}
        return {k: float(f"{v:.3g}") if isinstance(v, float) else v for k, v in kept.items()}

    return {
        "name": "shipped",
        "prior": entry(table.prior, EngineOverhead()),
        "slow_host": {**entry(table.slow_host, EngineOverhead()), "layer_s": 0.0},
        "eager_layer_s": table.eager_layer_s,
        "engines": {k: entry(v, EngineOverhead()) for k, v in sorted(table.engines.items())},
        "devices": {k: entry(v, DeviceFactors()) for k, v in sorted(table.devices.items())},
    }


def _text(content: Mapping[str, Any]) -> str:
    """JSON with one line an entry."""

    def value(key: str, held: Any) -> str:
        if key not in ("engines", "devices"):
            return json.dumps(held, ensure_ascii=False)
        return "{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in held.items()) + "\n }"

    return "{\n" + ",\n".join(f" {json.dumps(k)}: {value(k, v)}" for k, v in content.items()) + "\n}\n"


def main(arguments: list[str] | None = None) -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", type=Path)
    parser.add_argument("--date", required=True, help="date of the fit, kept with every constant")
    options = parser.parse_args(arguments)
    rows = read_rows(options.rows)
    table, held, _ = train(rows, options.date)
    options.out.write_text(_text(as_json(table)), encoding="utf-8")
    if options.held_out:
        with options.held_out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "held_out"])
            writer.writerows(sorted((k, f"{v:.6g}") for k, v in held.items() if np.isfinite(v)))


if __name__ == "__main__":
    main(sys.argv[1:])
