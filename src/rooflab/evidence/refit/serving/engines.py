"""Stages of serving: constants of engines, and what a slow host adds to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from rooflab.costs.engine_constants import ServingCalibration, using
from rooflab.evidence.fit.priors import CONTENDED_PRIORS, SLOW_HOST_PRIORS, Prior
from rooflab.evidence.fit.serving import FitRow, starting, with_engine
from rooflab.evidence.refit.serving.constants import before, engine_priors, newest_first
from rooflab.evidence.refit.serving.fitting import FEWEST, Fitting
from rooflab.evidence.refit.serving.rows import (
    block_scaled,
    contended,
    engine_key,
    fits_speed,
    grouped,
    has_tables,
    pool_alone,
    settled,
    slow_vllm,
)

__all__ = ["contended_host", "engines", "slow_host"]


def engines(f: Fitting, table: ServingCalibration) -> ServingCalibration:
    """Constants of engines by generation and kind of model."""
    with using(table):
        fast = [r for r in f.rows if fits_speed(r) and has_tables(r) and not slow_vllm(r) and not contended(r)]
        usable = [pool_alone(r) for r in fast]
    slow = grouped([r for r in f.rows if fits_speed(r) and slow_vllm(r) and has_tables(r)], engine_key)
    told = grouped(usable, engine_key)
    for key in newest_first(told):
        rows = told[key]
        beside = slow.get(key, [])
        together = any(block_scaled(r) for r in beside)
        table = _with_slow_host(f, table, key, rows + beside) if together else _engine(f, table, key, rows)
    return table


def _engine(f: Fitting, table: ServingCalibration, key: str, rows: list[FitRow]) -> ServingCalibration:
    with using(table):
        rows = settled(rows)
    if sum(r.fitted for r in rows) < FEWEST:
        return table
    general = before(key, table)
    priors = engine_priors(key, rows, general, table)
    table = replace(table, engines={**table.engines, key: general})
    with using(table):
        start = starting(f.begin(key, general), priors)
        fit = f.fit(rows, priors, start, lambda v: with_engine(key, v), rounds=5)
    f.done(key, rows, fit, partial(with_engine, key))
    return with_engine(key, {**fit.values, **f.note(fit, rows)}, table)


def _with_slow_host(f: Fitting, table: ServingCalibration, key: str, rows: list[FitRow]) -> ServingCalibration:
    """Constants of an engine and what a slow host adds to them, from rows of both; the slow host gets an entry of
    its own."""
    with using(table):
        rows = settled(rows)
    general = before(key, table)
    own = engine_priors(key, rows, general, table)
    priors = {**own, **{f"slow {c}": p for c, p in SLOW_HOST_PRIORS.items()}}
    start = {
        **starting(f.begin(key, general), own),
        **{f"slow {c}": v for c, v in starting(table.slow_host, SLOW_HOST_PRIORS).items()},
    }

    def apply(values: Mapping[str, float], base: ServingCalibration | None = None) -> ServingCalibration:
        fast = {c: values[c] for c in own}
        slow = fast | {c: values[c] + values[f"slow {c}"] for c in SLOW_HOST_PRIORS}
        return with_engine(f"{key}:slow host", slow, with_engine(key, fast, base))

    start_table = replace(table, engines={**table.engines, key: general, f"{key}:slow host": general})
    with using(start_table):
        fit = f.fit(rows, priors, start, apply, rounds=4)
    f.done(key, rows, fit, apply)
    note, out = f.note(fit, rows), apply(fit.values, start_table)
    return with_engine(f"{key}:slow host", note, with_engine(key, note, out))


def slow_host(f: Fitting, table: ServingCalibration) -> ServingCalibration:
    """What a slow host adds, from rows of engines without an entry of their own there."""
    rows = [r for r in f.rows if fits_speed(r) and slow_vllm(r) and f"{engine_key(r)}:slow host" not in table.engines]
    return _host(f, table, "slow_host", rows, SLOW_HOST_PRIORS)


def contended_host(f: Fitting, table: ServingCalibration) -> ServingCalibration:
    """What a processor shared with others adds, from the rows of runs that had one."""
    return _host(f, table, "contended_host", [r for r in f.rows if fits_speed(r) and contended(r)], CONTENDED_PRIORS)


def _host(
    f: Fitting, table: ServingCalibration, name: str, rows: list[FitRow], priors: Mapping[str, Prior]
) -> ServingCalibration:
    """The table with what the host `name` adds to engines, if enough rows tell."""
    if len(rows) < FEWEST:
        return table

    def changed(at: ServingCalibration, values: Mapping[str, Any]) -> ServingCalibration:
        fields: dict[str, Any] = {name: replace(getattr(at, name), **values)}
        return replace(at, **fields)

    def apply(v: Mapping[str, float], base: ServingCalibration | None = None) -> ServingCalibration:
        return changed(base or table, v)

    with using(table):
        fit = f.fit(rows, priors, starting(getattr(table, name), priors), apply)
    f.done(name.replace("_", " "), rows, fit, apply)
    return changed(table, {**fit.values, **f.note(fit, rows)})
