"""How sure a prediction is: a 90 % interval from left-out rows of its kind, its provenance, and whether it lies inside
the evidence.

The table `data/intervals.json` is made from rows by ``python -m rooflab.evidence.refit intervals``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import Any, Final

from rooflab.costs.engine_constants import active
from rooflab.costs.provenance import kind_of
from rooflab.estimator.serving.answer import Estimate
from rooflab.evidence.intervals.conformal import Spread, by_name
from rooflab.evidence.intervals.likeness import (
    ENERGY_FAMILIES,
    VERDICTS,
    Domain,
    Key,
    Nearness,
    Neighbours,
    domain_of,
    entry_of,
    family_of,
    key_of,
    near_of,
)
from rooflab.evidence.intervals.support import FLOORS, stretch_for
from rooflab.metrics.value import Kind, Value
from rooflab.units import significant

__all__ = ["HEADLINE", "Interval", "IntervalTable", "coherent", "interval", "intervals", "shipped_table", "value_of"]

HEADLINE: Final = (
    "output_tokens_per_s", "output_tokens_per_s_per_gpu", "total_tokens_per_s", "total_tokens_per_s_per_gpu",
    "requests_per_s",
    "requests_per_s_per_gpu", "ttft_s_mean", "ttft_s_p50", "ttft_s_p90", "ttft_s_p99", "tpot_s_mean", "tpot_s_p50",
    "tpot_s_p90",
    "tpot_s_p99", "itl_s_mean", "itl_s_p50", "itl_s_p99", "e2e_s_mean", "e2e_s_p50", "e2e_s_p90", "e2e_s_p99",
    "j_per_token", "power_w",
    "usd_per_mtok", "gco2e_per_mtok",
)  # fmt: skip
"""Serving metrics that carry an interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A metric's value with its 90 % interval [low, high] in the metric's unit.

    `provenance` of the number: measured, fitted, datasheet, roofline or assumed.  `verdict`: inside, near or outside
    the evidence; `evidence_rows` of the same model, device and engine generation and their median error when left out
    (0 and NaN where there are none); `domain_rows` and `domain_error` of the rows whose errors made the interval; `own`
    where a calibration to the user's own rows of this device prices the engine.
    """

    value: float
    low: float
    high: float
    provenance: Kind
    verdict: str
    evidence_rows: int
    evidence_error: float
    domain: str
    domain_rows: int
    domain_error: float
    own: bool = False

    @property
    def words(self) -> str:
        """The verdict and what it rests on."""
        return f"{self._evidence}; {self.provenance}{' to your own rows' if self.own else ''}"

    @property
    def _evidence(self) -> str:
        if self.evidence_rows:
            error = self.evidence_error
            median = f", median error {_percent(error)} when left out" if math.isfinite(error) else ""
            load = "" if self.verdict == VERDICTS["inside"] else " under other loads"
            return (
                f"{self.verdict}: {self.evidence_rows:,} measured rows of this model, device and engine "
                f"generation{load}{median}"
            )
        what = (
            "this model or this device was measured, not both together"
            if self.verdict.startswith("near")
            else "neither was measured like this"
        )
        return (
            f"{self.verdict}: {what}; errors of its kind ({self.domain_rows:,} rows): median "
            f"{_percent(self.domain_error)}"
        )

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        error = self.evidence_error
        return {
            "low": self.low if math.isfinite(self.low) else None,
            "high": self.high if math.isfinite(self.high) else None,
            "provenance": self.provenance,
            "verdict": self.verdict,
            "evidence_rows": self.evidence_rows,
            "evidence_median_error": error if math.isfinite(error) else None,
        }


def _percent(share: float) -> str:
    return f"{significant(100 * share, 2)} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalTable:
    """Spreads by domain, levels by pool, stretches by support, and the evidence by key: rows, their median held-out
    error and the kinds of load that they were measured under.

    Every interval is as wide (in logarithms) as its level times the stretch of its support makes it (`support`).
    """

    date: str
    rows: int
    spreads: Mapping[str, Spread]
    evidence: Mapping[Key, tuple[int, float, tuple[str, ...]]]
    neighbours: Neighbours
    coverage: Mapping[str, float]
    stretches: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)

    def nearness(self, key: Key, domain: Domain) -> Nearness:
        """How near the evidence a prediction is."""
        return near_of(self.neighbours, key, domain)

    def unstretched(self, domain: Domain) -> tuple[str, Spread]:
        """The spread of rows like those of a domain, and the name of the domain that it comes from."""
        found = by_name(self.spreads, domain.wider())
        assert found is not None, "the widest domain is always there"
        name, spread = found
        level = by_name(self.levels, domain.pools())
        return name, _wider(spread, level[1] if level else 1.0)

    def factors(self, domain: Domain, *, own: bool = False) -> tuple[str, Spread]:
        """The spread of a prediction for a server that no row came from, and the name of the domain of its rows; with
        `own`, for the server whose own rows fitted the constants."""
        outside = domain.near == "outside"
        name, spread = self.unstretched(domain)
        if own:
            return name, spread
        spread = _wider(spread, stretch_for(self.stretches, domain.support, outside))
        floor = FLOORS.get(domain.support, 0.0) if outside else 0.0
        return name, replace(spread, low=min(spread.low, -floor), high=max(spread.high, floor))

    def record(self) -> dict[str, Any]:
        """As the file holds it."""
        return {
            "date": self.date,
            "rows": self.rows,
            "level": 0.9,
            "stretches": {k: round(v, 3) for k, v in self.stretches.items()},
            "levels": {k: round(v, 4) for k, v in self.levels.items()},
            "coverage": {k: round(v, 4) for k, v in self.coverage.items()},
            "domains": {
                k: [round(s.low, 4), round(s.high, 4), round(s.median_error, 4), s.rows, s.groups]
                for k, s in self.spreads.items()
            },
            "evidence": [
                [k.shape, k.device, k.engine, k.family, k.kind, n, round(e, 4), list(loads)]
                for k, (n, e, loads) in self.evidence.items()
            ],
        }

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> IntervalTable:
        """The table that `record` wrote."""
        evidence = {Key(*row[:5]): (int(row[5]), float(row[6]), tuple(row[7])) for row in content["evidence"]}
        known = ((str(k), k, load) for k, (_, _, loads) in evidence.items() for load in loads)
        spreads = {k: Spread(*row) for k, row in content["domains"].items()}
        return cls(
            date=content["date"],
            rows=content["rows"],
            spreads=spreads,
            evidence=evidence,
            neighbours=Neighbours.of(known),
            coverage=content["coverage"],
            stretches=content["stretches"],
            levels=content["levels"],
        )


def _wider(spread: Spread, by: float) -> Spread:
    return replace(spread, low=spread.low * by, high=spread.high * by)


@cache
def shipped_table() -> IntervalTable:
    """The table that ships."""
    text = resources.files("rooflab.evidence").joinpath("data/intervals.json").read_text(encoding="utf-8")
    return IntervalTable.parse(json.loads(text))


def interval(estimate: Estimate, metric: str) -> Interval:
    """The interval of one metric of an estimate. KeyError for a metric that carries none (see HEADLINE)."""
    return intervals(estimate, (metric,))[metric]


def intervals(
    estimate: Estimate, metrics: tuple[str, ...] = HEADLINE, simulated: Mapping[str, float] | None = None
) -> dict[str, Interval]:
    """Intervals of the metrics that an estimate has a finite number for, around `simulated` values where given."""
    table, s = shipped_table(), estimate.scenario
    key = key_of(s.model, s.hardware.device, s.deployment)
    rows, error, _ = table.evidence.get(key, (0, math.nan, ()))
    own = key.device in active().measured.get(entry_of(key), ())
    provenance = kind_of(s.model, s.hardware, s.deployment.runtime)
    for metric in metrics:
        if metric not in HEADLINE:
            raise KeyError(metric)
    values = {m: float((simulated or {}).get(m, estimate.metrics.get(m, math.nan))) for m in HEADLINE}
    values = {m: v for m, v in values.items() if math.isfinite(v) and v > 0}
    asked = {m: _domain(estimate, _like(estimate, m)) for m in values}
    near = {m: table.nearness(key, domain) for m, domain in asked.items()}
    found = {m: table.factors(replace(domain, near=near[m]), own=own) for m, domain in asked.items()}
    raw = {m: _unless_slower(estimate, m, *_spread(m, values[m], s)) for m, (_, s) in found.items()}
    ends = coherent(values, {m: _within_physics(estimate, m, values[m], *pair) for m, pair in raw.items()})
    ends = {m: _within_physics(estimate, m, values[m], *pair) for m, pair in ends.items()}
    return {
        m: Interval(
            value=values[m], low=ends[m][0], high=ends[m][1], provenance=provenance, verdict=VERDICTS[near[m]],
            evidence_rows=rows, evidence_error=error, domain=found[m][0], domain_rows=found[m][1].rows,
            domain_error=found[m][1].median_error, own=own,
        )
        for m in metrics
        if m in values
    }  # fmt: skip


def _spread(metric: str, value: float, spread: Spread) -> tuple[float, float]:
    if metric == "usd_per_mtok":  # a price an hour over a throughput: the throughput's interval turned over
        return value * math.exp(-spread.high), value * math.exp(-spread.low)
    return value * math.exp(spread.low), value * math.exp(spread.high)


def _unless_slower(estimate: Estimate, metric: str, low: float, high: float) -> tuple[float, float]:
    """In an open loop an engine that is busy a share of the time serves all that arrives unless it is slower by more
    than that."""
    if not metric.startswith(_RATES) or estimate.scenario.workload.mode not in ("open", "trace"):
        return low, high
    busy = min(float(estimate.metrics.get("utilisation", 1.0)), 1.0)
    return low / max(busy, 1e-9), high


def _like(estimate: Estimate, metric: str) -> str:
    """The metric whose errors speak for `metric`: of users that never meet every percentile is the mean."""
    w, replicas = estimate.scenario.workload, estimate.scenario.deployment.cluster.replicas or 1
    alone = (w.mode == "static" and (w.batch or 1) == 1) or (w.mode == "closed" and (w.concurrency or 1) <= replicas)
    same = all(x.low == x.high for x in (w.isl, w.osl))
    name, _, stat = metric.rpartition("_")
    return f"{name}_mean" if alone and same and stat in ("p50", "p90", "p99") else metric


def coherent(values: Mapping[str, float], ends: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Intervals that agree with each other, each around its value.

    A mean and a median of one thing are as sure as the less sure of the two; a percentile is nowhere below a lower one,
    an answer's time nowhere below its first token's, and on average no longer than its first token and its others at
    their longest; what a token costs is a price over the tokens made.
    """
    out = dict(ends)
    for name in ("ttft_s", "tpot_s", "itl_s", "e2e_s"):
        mean, median = f"{name}_mean", f"{name}_p50"
        if mean in out and median in out:
            low = min(out[m][0] / values[m] for m in (mean, median))
            high = max(out[m][1] / values[m] for m in (mean, median))
            if name == "e2e_s" and {"ttft_s_mean", "tpot_s_mean"} <= out.keys():
                shortest, longest = _together(values, out)
                low, high = min(max(low, shortest), 1.0), max(min(high, longest), 1.0)
            out |= {m: (low * values[m], high * values[m]) for m in (mean, median)}
        ranks = [m for m in (f"{name}_p50", f"{name}_p90", f"{name}_p99") if m in out]
        for lower, upper in pairwise(ranks):
            out[upper] = (min(max(out[upper][0], out[lower][0]), values[upper]), out[upper][1])
        for lower, upper in reversed([*pairwise(ranks)]):
            out[lower] = (out[lower][0], max(min(out[lower][1], out[upper][1]), values[lower]))
    for stat in ("mean", "p50", "p90", "p99"):
        first, whole = f"ttft_s_{stat}", f"e2e_s_{stat}"
        if first in out and whole in out:
            out[whole] = (min(max(out[whole][0], out[first][0]), values[whole]), out[whole][1])
    if "usd_per_mtok" in out and "output_tokens_per_s" in out:
        low, high = out["output_tokens_per_s"]
        rate, usd = values["output_tokens_per_s"], values["usd_per_mtok"]
        out["usd_per_mtok"] = (usd * rate / high, usd * rate / low)
    return out


def _together(values: Mapping[str, float], ends: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    """The shortest and the longest mean answer over its value that first tokens and times per token allow."""
    first, token, whole = (values[f"{name}_mean"] for name in ("ttft_s", "tpot_s", "e2e_s"))
    rest = max(whole - first, 0.0) / token
    low, high = (ends["ttft_s_mean"][i] + rest * ends["tpot_s_mean"][i] for i in (0, 1))
    return low / whole, high / whole


_WIDEST: Final = 1.9
"""No interval of a pace reaches farther (a logarithm): 0.9 quantile of |log(measured / predicted)| of desktop engines
on devices without kernel tables when their whole backend is left out, the least known there is."""
_RATES: Final = ("output_tokens_per_s", "total_tokens_per_s", "requests_per_s")


def _within_physics(estimate: Estimate, metric: str, value: float, low: float, high: float) -> tuple[float, float]:
    """An interval cut where nothing can be: rates at what is offered and at the physical bound of the same work, times
    a token at that bound."""
    m = estimate.metrics
    ratio = float(m.get("limit_ratio", math.nan))
    bound = ratio if math.isfinite(ratio) and 0.0 < ratio <= 1.0 else 0.0
    rate, token = metric.startswith(_RATES), metric.startswith(("tpot_s", "itl_s"))
    if rate or token:
        low, high = max(low, value * math.exp(-_WIDEST)), min(high, value * math.exp(_WIDEST))
    if rate:
        offered = estimate.scenario.workload.mode in ("open", "trace") and not estimate.saturated
        high = value if offered else min(high, value / bound) if bound else high
    elif token and bound:
        low = max(low, float(m["tpot_s_mean"]) * bound) if float(m["tpot_s_mean"]) * bound <= value else low
    return min(low, value), max(high, value)


def value_of(estimate: Estimate, metric: str) -> Value:
    """A metric of an estimate with its interval and what that rests on. InputError for one that it has not."""
    plain = replace(estimate, value_of=None).value(metric)
    i = intervals(estimate, (metric,)).get(metric) if metric in HEADLINE else None
    return plain if i is None else replace(plain, kind=i.provenance, low=i.low, high=i.high, source=i.words)


def _domain(estimate: Estimate, metric: str) -> Domain:
    """The domain of a metric, before it is said how near the evidence it is."""
    if metric in ENERGY_FAMILIES:
        return Domain(ENERGY_FAMILIES[metric], "", "", "", "near")
    name = "output_tokens_per_s" if metric == "usd_per_mtok" else metric
    return domain_of(
        estimate.scenario,
        family_of(name, estimate.scenario.workload, estimate.scenario.deployment.runtime.engine),
        "near",
    )
