"""Stages of serving: factors of devices that borrow tables, and of families without any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from rooflab.costs.engine_constants import DeviceFactors, ServingCalibration, engine_overhead, using
from rooflab.evidence.fit.priors import DEVICE_PRIORS, RELATIVE_PRIORS
from rooflab.evidence.fit.serving import FitRow, starting, with_device, with_engine
from rooflab.evidence.refit.serving.constants import backend_priors, few_reads
from rooflab.evidence.refit.serving.fitting import FEWEST_OF_DEVICE, Fitting, holds_out, without_device
from rooflab.evidence.refit.serving.rows import (
    engine_key,
    fits_speed,
    grouped,
    has_tables,
    own_tables,
    scenario,
    settled,
)

__all__ = ["families", "relatives"]

_OWN_BACKEND: Final = 12
"""An engine with at least this many rows on a family without tables gets constants of its own there."""


def relatives(f: Fitting, table: ServingCalibration) -> ServingCalibration:
    """Factors of devices whose kernels are a relative's: clocks and power limits differ inside a generation."""
    rows = [r for r in f.rows if fits_speed(r) and has_tables(r) and not own_tables(r) and not few_reads(r)]
    for key, own in grouped(rows, lambda r: scenario(r).hardware.device.key).items():
        start = starting(table.devices.get(key, DeviceFactors()), RELATIVE_PRIORS)
        with using(table):
            mine = settled(own)
        if sum(r.fitted for r in mine) < FEWEST_OF_DEVICE:
            continue

        def apply(values: Mapping[str, float], name: str = key, base: ServingCalibration = table) -> ServingCalibration:
            return with_device(name, values, base)

        with using(table):
            fit = f.fit(mine, RELATIVE_PRIORS, start, apply, rounds=5, held_out=True)
        if not holds_out(mine, fit, apply({k: p.mean for k, p in RELATIVE_PRIORS.items()})):
            table = without_device(key, table)
            continue
        f.done(f"device {key}", mine, fit)
        table = with_device(key, {**fit.values, **f.note(fit, mine)}, table)
    return table


def families(f: Fitting, table: ServingCalibration) -> ServingCalibration:
    """Factors of device families without tables, together with engines that run on nothing else."""
    rows = [r for r in f.rows if fits_speed(r) and not has_tables(r)]
    for family, own in grouped(rows, _family_of_then).items():
        with using(table):
            mine = settled(own)
        if sum(r.fitted for r in mine) < FEWEST_OF_DEVICE:
            continue
        table = _family(f, table, family, mine)
    return table


_TUNED: Final = ("cdna2", "cdna3", "cdna4")
"""Families whose kernels were tuned from one generation of engines to the next, more than any other's: an engine of
2024 tells nothing of the shares that one of 2025 reaches."""


def _family_of_then(row: FitRow) -> str:
    """The entry of a row's device family, with its engine's generation where that matters and is not the newest."""
    s = scenario(row)
    family = s.hardware.device.family
    generation = engine_overhead(s.deployment.runtime, moe=s.model.is_moe, family=family).generation
    return f"{family}@{generation}" if family in _TUNED and generation not in ("", "2025") else family


def _family(f: Fitting, table: ServingCalibration, family: str, rows: list[FitRow]) -> ServingCalibration:
    """Factors of a family; an engine that is only seen here is fitted with them (the two explain different sizes of
    step)."""
    keys = sorted({engine_key(r) for r in rows})
    often = [k for k in keys if sum(engine_key(r) == k for r in rows) >= _OWN_BACKEND]
    # the same engine on another vendor's stack is another backend, with host and launch times of its own
    plain = family.partition("@")[0]
    fresh = [f"{k}:{plain}" for k in often]
    for key in fresh:
        name, _, kind = key.partition("/")
        found = table.engine(name.split("@")[0], name.split("@")[1], kind.split(":")[0], plain)
        table = replace(table, engines={**table.engines, key: found})
    own = {key: backend_priors(key.partition("/")[0]) for key in fresh}
    priors = {**DEVICE_PRIORS, **{f"{key}:{c}": p for key in fresh for c, p in own[key].items()}}
    start = starting(table.devices.get(family, DeviceFactors()), DEVICE_PRIORS)
    for key in fresh:
        start |= {f"{key}:{c}": v for c, v in starting(f.begin(key, table.engines[key]), own[key]).items()}

    def apply(values: Mapping[str, float]) -> ServingCalibration:
        out = with_device(family, {k: values[k] for k in DEVICE_PRIORS}, table)
        for key in fresh:
            out = with_engine(key, {c: values[f"{key}:{c}"] for c in own[key]}, out)
        return out

    with using(table):
        fit = f.fit(rows, priors, start, apply, rounds=5, held_out=not fresh)
    if not fresh and not holds_out(rows, fit, apply({k: p.mean for k, p in priors.items()})):
        return without_device(family, table)
    f.done(f"family {family}", rows, fit)
    note = f.note(fit, rows)
    out = with_device(family, {**{k: fit.values[k] for k in DEVICE_PRIORS}, **note}, table)
    for key in fresh:
        out = with_engine(key, {**{c: fit.values[f"{key}:{c}"] for c in own[key]}, **note}, out)
    return out
