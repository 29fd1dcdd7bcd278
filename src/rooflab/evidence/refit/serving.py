"""Fit every engine and device constant to published serving rows and write `fits/serving.json`.

    python -m rooflab.evidence.refit.serving ROWS.csv --out serving.json --held-out held.csv [--energy ENERGY.csv]

With a table of energy rows, those of ML.ENERGY join the held-out predictions: joules a token, watts and pace by
constants that saw no row of the same model and accelerator in either table (`rooflab.evidence.refit.energy_left_out`).

In this order, each stage with the constants of the stages before it:

1. engines, by generation and kind of model, on devices whose kernels are fitted to tables (their own or a relative's);
   mixtures with block-scaled experts are too few on fast hosts, so those of vLLM are fitted together with its rows on
   slow hosts;
2. the slow host, on the other rows of sources that drive vLLM from a slow process;
3. factors of devices that borrow a relative's tables and have rows of their own;
4. factors of device families without tables, together with the engines that run on nothing else;
5. first-token terms (frontend, convoy) of closed loops, an engine's dense and mixture entries drawn towards each other;
6. the handoff between pools.

Rows whose deployment was the submitter's choice (MLPerf) serve as the best deployment at the constants of the stages
before, with less weight than rows that state theirs; a server's rate under limits is foretold with its group left out,
never fitted. Time per token, throughput, static prefill and end-to-end rows serve stages 1 to 4; p99 and closed-loop
first tokens do not.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from rooflab.costs.engine_constants import DeviceFactors, EngineOverhead, ServingCalibration, active, using
from rooflab.evidence.fit import serving as sf
from rooflab.evidence.refit.energy_left_out import Without, energy_left_out
from rooflab.evidence.refit.rows import (
    block_scaled,
    engine_key,
    fits_speed,
    grouped,
    has_tables,
    is_first_token,
    own_tables,
    pool_alone,
    read_rows,
    scenario,
    settled,
    slow_vllm,
)
from rooflab.evidence.rows.tables import read_table

__all__ = ["Trained", "train"]

Group = tuple[str, str, str]
Apply = Callable[[Mapping[str, float], ServingCalibration], ServingCalibration]
"""(constants, table) → the table with these constants."""

_FEWEST: Final = 8
"""A group of fewer rows keeps the constants of the next more general entry."""
_FEWEST_OF_DEVICE: Final = 4
"""A device of fewer rows keeps the shares of its relative or family."""
_ROUNDS_NEAR: Final = 2
"""Times that slopes are drawn where constants start near others that were fitted."""
_OWN_BACKEND: Final = 12
"""An engine with at least this many rows on a family without tables gets constants of its own there."""


_ATTENTION: Final = ("decode_attention", "regroup")
_OWN_KERNELS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("llamacpp@2025", "lmdeploy@2025", "deepspeed@2025"), tuple(KERNEL_PRIORS)),
    "trtllm@2023": ("memory", *_ATTENTION),
    **dict.fromkeys(("vllm@2023", "vllm@2024"), _ATTENTION),
}
"""Engines and generations with kernels that the tables do not time, and what of them is fitted: all of llama.cpp's,
TurboMind's and DeepSpeed's, the products and decode attention of the first TensorRT-LLM, the paged attention of vLLM
before v1."""
_FEW_READS: Final = ("llamacpp@2025",)
"""Engines that run none of the tables' kernels: their rows say nothing of how a device's clocks differ from its
relative's."""


def _engine_priors(name: str, kind: str, rows: Sequence[sf.FitRow]) -> dict[str, Prior]:
    """Constants that are fitted for an engine and generation: host terms, factors on kernels of its own, block-scaled
    experts."""
    if kind.startswith("moe"):
        return {**ENGINE_PRIORS, **(EXPERT_PRIORS if any(block_scaled(r) for r in rows) else {})}
    own = {k: KERNEL_PRIORS[k] for k in _OWN_KERNELS.get(name, ())}
    return {**ENGINE_PRIORS, **own, **(READ_PRIORS if name in _FEW_READS else {})}


_BACKEND: Final = (
    "fixed_s",
    "layer_s",
    "sequence_s",
    "skew",
    "prefill_attention",
    "decode_attention",
    "regroup",
    "prompt_s",
)
_UNFUSED: Final = Prior(1.0, 6.0, 0.7, 200.0, 5.0)
"""Prefill attention where nobody tables it: a kernel that is not fused sends its scores through memory, tens of times
the arithmetic."""


def _backend_priors(name: str) -> dict[str, Prior]:
    """Constants of an engine's backend for a family without tables; the family's own factors stand for its products."""
    every = {**ENGINE_PRIORS, **KERNEL_PRIORS}
    return {
        **{k: every[k] for k in _BACKEND},
        "prefill_attention": _UNFUSED,
        **(READ_PRIORS if name in _FEW_READS else {}),
    }


def _few_reads(row: sf.FitRow) -> bool:
    return engine_key(row).partition("/")[0] in _FEW_READS


def _holds_out(rows: Sequence[sf.FitRow], fit: sf.Fit, without: ServingCalibration) -> bool:
    """Whether factors fitted to other rows of a device foretell its rows better than no factors do (they need two
    groups for that)."""
    questions = [r.question for r in rows]
    measured = times(questions, np.array([q.measured for q in questions]))
    with using(without):
        plain = times(questions, predict(questions))
    told = np.array([r.fitted for r in rows])
    return float(np.nanmean(np.abs(fit.held_out / measured - 1)[told])) < float(
        np.nanmean(np.abs(plain / measured - 1)[told])
    )


def _without_device(key: str, table: ServingCalibration) -> ServingCalibration:
    return replace(table, devices={k: v for k, v in table.devices.items() if k != key})


def _note(fit: sf.Fit, rows: Sequence[sf.FitRow], date: str) -> dict[str, Any]:
    sources = sorted({r.source for r in rows if r.fitted})
    text = (
        f"{fit.rows} rows of {', '.join(sources)}: {fit.median:.0%} median, {fit.held_out_median:.0%} held out; "
        f"fitted {date}"
    )
    return {"provenance": "fitted", "source": text}


class _Trainer:
    """The stages of a fit. With `near`, constants start from that calibration's and are drawn up to twice, without
    held-out errors."""

    def __init__(self, rows: list[sf.FitRow], date: str, near: ServingCalibration | None = None) -> None:
        self.rows, self.date, self.near = rows, date, near
        self.held: dict[str, float] = {}
        self.report: list[tuple[str, sf.Fit]] = []
        self.left_out: list[tuple[Mapping[Group, Mapping[str, float]], Apply]] = []

    def without(self, group: Group, *, table: ServingCalibration) -> ServingCalibration:
        """A trained table with the constants of engines and hosts as they come out without a group's rows."""
        for values, apply in self.left_out:
            if group in values:
                table = apply(values[group], table)
        return table

    def _done(self, name: str, rows: Sequence[sf.FitRow], fit: sf.Fit, apply: Apply | None = None) -> None:
        self.report.append((name, fit))
        if apply is not None:
            self.left_out.append((fit.without, apply))
        for row, held in zip(rows, fit.held_out, strict=True):
            value = 1.0 / held if is_rate(row.question) else held
            self.held[row.question.id] = float(value)
        values = {k: float(f"{v:.3g}") for k, v in fit.values.items()}
        print(
            f"{name}: {fit.rows} rows, {fit.median:.3f} in sample, {fit.held_out_median:.3f} / {fit.held_out_p90:.3f} "
            f"held out {values}",
            flush=True,
        )

    def _fit(
        self,
        rows: Sequence[sf.FitRow],
        priors: Mapping[str, Prior],
        start: Mapping[str, float],
        apply: Callable[[Mapping[str, float]], ServingCalibration],
        *,
        rounds: int = 3,
        outliers: bool = False,
        held_out: bool = False,
    ) -> sf.Fit:
        """A stage's fit; `held_out`: what follows needs its held-out errors in any case."""
        if self.near is not None:
            rounds = min(rounds, _ROUNDS_NEAR)
        return sf.fit_group(
            rows, priors, start, apply, rounds=rounds, outliers=outliers, held_out=held_out or self.near is None
        )

    def _begin(self, key: str, found: EngineOverhead) -> EngineOverhead:
        """Where an entry's constants start: from `near`, or from the entry that priced it so far."""
        return found if self.near is None else self.near.engines.get(key, found)

    def engines(self, table: ServingCalibration) -> ServingCalibration:
        with using(table):
            usable = [pool_alone(r) for r in self.rows if fits_speed(r) and has_tables(r) and not slow_vllm(r)]
        slow = grouped([r for r in self.rows if fits_speed(r) and slow_vllm(r) and has_tables(r)], engine_key)
        for key, rows in grouped(usable, engine_key).items():
            beside = slow.get(key, [])
            together = any(block_scaled(r) for r in beside)
            table = self._with_slow_host(table, key, rows + beside) if together else self._engine(table, key, rows)
        return table

    def _engine(self, table: ServingCalibration, key: str, rows: list[sf.FitRow]) -> ServingCalibration:
        with using(table):
            rows = settled(rows)
        if sum(r.fitted for r in rows) < _FEWEST:
            return table
        name, _, kind = key.partition("/")
        general = table.engines.get(key) or table.engine(name.split("@")[0], name.split("@")[1], kind)
        table = replace(table, engines={**table.engines, key: general})
        priors = _engine_priors(name, kind, rows)
        with using(table):
            start = sf.starting(self._begin(key, general), priors)
            fit = self._fit(rows, priors, start, lambda v: sf.with_engine(key, v), rounds=5)
        self._done(key, rows, fit, partial(sf.with_engine, key))
        return sf.with_engine(key, {**fit.values, **_note(fit, rows, self.date)}, table)

    def _with_slow_host(self, table: ServingCalibration, key: str, rows: list[sf.FitRow]) -> ServingCalibration:
        """Constants of an engine and what a slow host adds to them, from rows of both; the slow host gets an entry of
        its own."""
        with using(table):
            rows = settled(rows)
        name, _, kind = key.partition("/")
        general = table.engines.get(key) or table.engine(name.split("@")[0], name.split("@")[1], kind)
        own = _engine_priors(name, kind, rows)
        priors = {**own, **{f"slow {c}": p for c, p in SLOW_HOST_PRIORS.items()}}
        start = {
            **sf.starting(self._begin(key, general), own),
            **{f"slow {c}": v for c, v in sf.starting(table.slow_host, SLOW_HOST_PRIORS).items()},
        }

        def apply(values: Mapping[str, float], base: ServingCalibration | None = None) -> ServingCalibration:
            fast = {c: values[c] for c in own}
            slow = fast | {c: values[c] + values[f"slow {c}"] for c in SLOW_HOST_PRIORS}
            return sf.with_engine(f"{key}:slow host", slow, sf.with_engine(key, fast, base))

        start_table = replace(table, engines={**table.engines, key: general, f"{key}:slow host": general})
        with using(start_table):
            fit = self._fit(rows, priors, start, apply, rounds=4)
        self._done(key, rows, fit, apply)
        note, out = _note(fit, rows, self.date), apply(fit.values, start_table)
        return sf.with_engine(f"{key}:slow host", note, sf.with_engine(key, note, out))

    def slow_host(self, table: ServingCalibration) -> ServingCalibration:
        rows = [
            r for r in self.rows if fits_speed(r) and slow_vllm(r) and f"{engine_key(r)}:slow host" not in table.engines
        ]
        if len(rows) < _FEWEST:
            return table

        def apply(v: Mapping[str, float], base: ServingCalibration | None = None) -> ServingCalibration:
            at = base or table
            return replace(at, slow_host=replace(at.slow_host, **dict[str, Any](v)))

        with using(table):
            fit = self._fit(rows, SLOW_HOST_PRIORS, sf.starting(table.slow_host, SLOW_HOST_PRIORS), apply)
        self._done("slow host", rows, fit, apply)
        return replace(
            table, slow_host=replace(table.slow_host, **dict[str, Any]({**fit.values, **_note(fit, rows, self.date)}))
        )

    def relatives(self, table: ServingCalibration) -> ServingCalibration:
        """Factors of devices whose kernels are a relative's: clocks and power limits differ inside a generation."""
        rows = [r for r in self.rows if fits_speed(r) and has_tables(r) and not own_tables(r) and not _few_reads(r)]
        for key, own in grouped(rows, lambda r: scenario(r).hardware.device.key).items():
            start = sf.starting(table.devices.get(key, DeviceFactors()), RELATIVE_PRIORS)
            with using(table):
                mine = settled(own)
            if sum(r.fitted for r in mine) < _FEWEST_OF_DEVICE:
                continue

            def apply(
                values: Mapping[str, float], name: str = key, base: ServingCalibration = table
            ) -> ServingCalibration:
                return sf.with_device(name, values, base)

            with using(table):
                fit = self._fit(mine, RELATIVE_PRIORS, start, apply, rounds=5, held_out=True)
            if not _holds_out(mine, fit, apply({k: p.mean for k, p in RELATIVE_PRIORS.items()})):
                table = _without_device(key, table)
                continue
            self._done(f"device {key}", mine, fit)
            table = sf.with_device(key, {**fit.values, **_note(fit, mine, self.date)}, table)
        return table

    def families(self, table: ServingCalibration) -> ServingCalibration:
        rows = [r for r in self.rows if fits_speed(r) and not has_tables(r)]
        for family, own in grouped(rows, lambda r: scenario(r).hardware.device.family).items():
            with using(table):
                mine = settled(own)
            if sum(r.fitted for r in mine) < _FEWEST_OF_DEVICE:
                continue
            table = self._family(table, family, mine)
        return table

    def _family(self, table: ServingCalibration, family: str, rows: list[sf.FitRow]) -> ServingCalibration:
        """Factors of a family; an engine that is only seen here is fitted with them (the two explain different sizes of
        step)."""
        keys = sorted({engine_key(r) for r in rows})
        often = [k for k in keys if sum(engine_key(r) == k for r in rows) >= _OWN_BACKEND]
        # the same engine on another vendor's stack is another backend, with host and launch times of its own
        fresh = [f"{k}:{family}" for k in often]
        for key in fresh:
            name, _, kind = key.partition("/")
            found = table.engine(name.split("@")[0], name.split("@")[1], kind.split(":")[0], family)
            table = replace(table, engines={**table.engines, key: found})
        own = {key: _backend_priors(key.partition("/")[0]) for key in fresh}
        priors = {**DEVICE_PRIORS, **{f"{key}:{c}": p for key in fresh for c, p in own[key].items()}}
        start = sf.starting(table.devices.get(family, DeviceFactors()), DEVICE_PRIORS)
        for key in fresh:
            start |= {f"{key}:{c}": v for c, v in sf.starting(self._begin(key, table.engines[key]), own[key]).items()}

        def apply(values: Mapping[str, float]) -> ServingCalibration:
            out = sf.with_device(family, {k: values[k] for k in DEVICE_PRIORS}, table)
            for key in fresh:
                out = sf.with_engine(key, {c: values[f"{key}:{c}"] for c in own[key]}, out)
            return out

        with using(table):
            fit = self._fit(rows, priors, start, apply, rounds=5, held_out=not fresh)
        if not fresh and not _holds_out(rows, fit, apply({k: p.mean for k, p in priors.items()})):
            return _without_device(family, table)
        self._done(f"family {family}", rows, fit)
        note = _note(fit, rows, self.date)
        out = sf.with_device(family, {**{k: fit.values[k] for k in DEVICE_PRIORS}, **note}, table)
        for key in fresh:
            out = sf.with_engine(key, {**{c: fit.values[f"{key}:{c}"] for c in own[key]}, **note}, out)
        return out

    def first_tokens(self, table: ServingCalibration) -> ServingCalibration:
        """First-token terms of a generation of an engine; its dense and mixture entries may differ from them a
        little."""
        rows = [r for r in self.rows if is_first_token(r) and engine_key(r) in table.engines]
        for general, mine in grouped(rows, lambda r: engine_key(r).partition("/")[0]).items():
            if len(mine) >= _FEWEST:
                table = self._first_token(table, general, mine)
        return table

    def _first_token(self, table: ServingCalibration, general: str, rows: list[sf.FitRow]) -> ServingCalibration:
        keys = sorted({engine_key(r) for r in rows})
        apart = keys if len(keys) > 1 else []
        shared, own = FIRST_TOKEN_PRIORS, FIRST_TOKEN_DEVIATIONS
        priors = {**shared, **{f"{key} {name}": p for key in apart for name, p in own.items()}}

        def terms(values: Mapping[str, float], key: str) -> dict[str, float]:
            return {n: min(max(values[n] + values.get(f"{key} {n}", 0.0), p.low), p.high) for n, p in shared.items()}

        def apply(values: Mapping[str, float]) -> ServingCalibration:
            out = table
            for key in keys:
                for name in (key, f"{key}:slow host"):
                    out = sf.with_engine(name, terms(values, key), out) if name in out.engines else out
            return out

        with using(table):
            begin = {name: p.mean for name, p in priors.items()}
            if self.near is not None and general in self.near.engines:
                begin |= sf.starting(self.near.engines[general], shared)
            fit = self._fit(rows, priors, begin, apply, rounds=8, outliers=True)
        self._done(f"first token {general}", rows, fit)
        out = apply(fit.values)
        engine, _, generation = general.partition("@")
        note = f"first-token terms of {len(rows)} rows of {engine} {generation}, the rest {table.prior.provenance}"
        entry = {**asdict(table.prior), **terms(fit.values, ""), "source": note}
        return sf.with_engine(general, entry, out)

    def handoffs(self, table: ServingCalibration) -> ServingCalibration:
        """Seconds between pools, from first tokens of disaggregated deployments."""
        rows = [r for r in self.rows if is_first_token(r, pools=True) and engine_key(r) in table.engines]
        for key, mine in grouped(rows, engine_key).items():
            if len(mine) < _FEWEST:
                continue

            def apply(
                values: Mapping[str, float], name: str = key, base: ServingCalibration = table
            ) -> ServingCalibration:
                return sf.with_engine(name, values, base)

            start = {name: p.mean for name, p in HANDOFF_PRIORS.items()}
            with using(table):
                fit = self._fit(mine, HANDOFF_PRIORS, start, apply, rounds=4, outliers=True)
            self._done(f"handoff {key}", mine, fit)
            table = apply(fit.values)
        return table


@dataclass(frozen=True, slots=True)
class Trained:
    """The calibration fitted to rows, held-out predictions by row id, each stage's fit, and the calibration without a
    group's rows."""

    table: ServingCalibration
    held: dict[str, float]
    report: list[tuple[str, sf.Fit]]
    without: Without


def train(rows: list[sf.FitRow], date: str, near: ServingCalibration | None = None) -> Trained:
    """Fit every stage to `rows`, each with the constants of the stages before it.

    `near`: a calibration near which the constants are looked for, quickly and without held-out errors.
    """
    trainer = _Trainer(rows, date, near)
    table = active()
    for stage in (
        trainer.engines,
        trainer.slow_host,
        trainer.relatives,
        trainer.families,
        trainer.first_tokens,
        trainer.handoffs,
    ):
        table = stage(table)
    return Trained(table, trainer.held, trainer.report, trainer.without)


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
        return (
            "{\n"
            + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in held.items())
            + "\n }"
        )

    return "{\n" + ",\n".join(f" {json.dumps(k)}: {value(k, v)}" for k, v in content.items()) + "\n}\n"


def main(arguments: list[str] | None = None) -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", type=Path)
    parser.add_argument("--date", required=True, help="date of the fit, kept with every constant")
    parser.add_argument(
        "--energy", type=Path, help="table of energy rows whose held-out predictions join those of --held-out"
    )
    options = parser.parse_args(arguments)
    rows = read_rows(options.rows)
    trained = train(rows, options.date)
    options.out.write_text(_text(as_json(trained.table)), encoding="utf-8")
    if options.held_out:
        held = dict(trained.held)
        if options.energy:
            held |= energy_left_out(read_table(options.energy).rows, rows, trained.table, trained.without)
        with options.held_out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "held_out"])
            writer.writerows(sorted((k, f"{v:.6g}") for k, v in held.items() if np.isfinite(v)))


if __name__ == "__main__":
    main(sys.argv[1:])
