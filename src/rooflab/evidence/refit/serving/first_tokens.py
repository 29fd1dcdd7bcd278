"""Stages of serving: first tokens of closed loops, and the handoff between pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from rooflab.costs.engine_constants import ServingCalibration, using
from rooflab.evidence.fit.priors import FIRST_TOKEN_DEVIATIONS, FIRST_TOKEN_PRIORS, HANDOFF_PRIORS
from rooflab.evidence.fit.serving import FitRow, starting, with_engine
from rooflab.evidence.refit.serving.fitting import FEWEST, Fitting
from rooflab.evidence.refit.serving.rows import engine_key, grouped, is_first_token

__all__ = ["first_tokens", "handoffs"]


def first_tokens(f: Fitting, table: ServingCalibration) -> ServingCalibration:
    """First-token terms of a generation of an engine; its dense and mixture entries may differ from them a
    little."""
    rows = [r for r in f.rows if is_first_token(r) and engine_key(r) in table.engines]
    for general, mine in grouped(rows, lambda r: engine_key(r).partition("/")[0]).items():
        if len(mine) >= FEWEST:
            table = _first_token(f, table, general, mine)
    return table


def _first_token(f: Fitting, table: ServingCalibration, general: str, rows: list[FitRow]) -> ServingCalibration:
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
                out = with_engine(name, terms(values, key), out) if name in out.engines else out
        return out

    with using(table):
        begin = {name: p.mean for name, p in priors.items()}
        if f.near is not None and general in f.near.engines:
            begin |= starting(f.near.engines[general], shared)
        fit = f.fit(rows, priors, begin, apply, rounds=8, outliers=True)
    f.done(f"first token {general}", rows, fit)
    out = apply(fit.values)
    engine, _, generation = general.partition("@")
    note = f"first-token terms of {len(rows)} rows of {engine} {generation}, the rest {table.prior.provenance}"
    entry = {**asdict(table.prior), **terms(fit.values, ""), "source": note}
    return with_engine(general, entry, out)


def handoffs(f: Fitting, table: ServingCalibration) -> ServingCalibration:
    """Seconds between pools, from first tokens of disaggregated deployments."""
    rows = [r for r in f.rows if is_first_token(r, pools=True) and engine_key(r) in table.engines]
    for key, mine in grouped(rows, engine_key).items():
        if len(mine) < FEWEST:
            continue

        def apply(values: Mapping[str, float], name: str = key, base: ServingCalibration = table) -> ServingCalibration:
            return with_engine(name, values, base)

        start = {name: p.mean for name, p in HANDOFF_PRIORS.items()}
        with using(table):
            fit = f.fit(mine, HANDOFF_PRIORS, start, apply, rounds=4, outliers=True)
        f.done(f"handoff {key}", mine, fit)
        table = apply(fit.values)
    return table
