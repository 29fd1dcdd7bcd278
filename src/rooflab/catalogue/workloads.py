"""Workloads by name: lengths, arrivals and prefix sharing of public traces, as fitted distributions; and the fit of a
user's own.

A fit keeps what decides queues and caches and drops the rest: two quantile functions in straight lines between
65 evenly spaced probabilities (the least-squares ones, so that the mean is the trace's), the rank correlation of prompt
and answer, the mean rate, one number for burstiness, and, where block hashes tell, how conversations go on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.catalogue._data import load, squash
from rooflab.catalogue.trace_files import Trace, read_trace
from rooflab.catalogue.trace_prefixes import continuations, prompt_blocks
from rooflab.catalogue.traces import locate
from rooflab.errors import InputError, unknown
from rooflab.files import write_text
from rooflab.scenario.lengths import Lengths, quantiles
from rooflab.scenario.traffic import Sessions
from rooflab.scenario.workload import Workload
from rooflab.search.highest import Bracket, arithmetic, narrow

__all__ = ["WorkloadEntry", "fit_quantiles", "fit_trace", "list_workloads", "resolve", "save_entry", "workload_entry"]

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

KNOTS: Final = 65
_COARSE_CLOCK: Final = 0.2
"""Fraction of simultaneous arrivals above which a trace's clock is too coarse for gaps to mean anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadEntry:
    """A workload as fitted distributions, and where it comes from.

    `rate` (requests/s) and `arrivals_cv` are None where the source has lengths only. `reused_fraction` of prompt tokens
    had been seen before (an unlimited cache); `errors`: of the fit, KS distance and relative error of the cv for isl
    and osl.
    """

    key: str
    title: str
    source: str
    url: str
    licence: str
    rows: int
    isl: Lengths
    osl: Lengths
    correlation: float
    span_s: float | None = None
    rate: float | None = None
    arrivals_cv: float | None = None
    shared_prefix: int = 0
    sessions: Sessions | None = None
    reused_fraction: float | None = None
    note: str = ""
    errors: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The entry as the catalogue's data file holds it."""
        out: dict[str, Any] = {
            name: getattr(self, name)
            for name in (
                "title",
                "source",
                "url",
                "licence",
                "rows",
                "span_s",
                "rate",
                "arrivals_cv",
                "correlation",
                "shared_prefix",
            )
        }
        out["rate"] = None if self.rate is None else round(self.rate, 5)
        out |= {"isl": list(self.isl.table), "osl": list(self.osl.table), "reused_fraction": self.reused_fraction}
        if self.sessions is not None:
            s = self.sessions
            out["sessions"] = {
                "turns": list(s.turns.table),
                "gap_s": list(s.think.table),
                "alike": s.alike,
                "longer": s.longer,
            }
        return out | {"note": self.note, "errors": dict(self.errors)}


def list_workloads() -> list[str]:
    """Names of the shipped workloads."""
    return list(load("workloads"))


def workload_entry(name: str, where: str = "workload.like") -> WorkloadEntry:
    """The shipped workload called `name`, a saved fit (``mine.json``), or the fit of a trace (``mine.csv``,
    ``mine.jsonl``).

    Raises InputError with the nearest names.
    """
    path = Path(name)
    if path.suffix in (".csv", ".jsonl"):
        return _fit_cached(name, path.stat().st_mtime_ns if path.exists() else 0)
    if path.suffix == ".json":
        return _saved(path)
    rows = load("workloads")
    key = {squash(k): k for k in rows}.get(squash(name))
    if key is None:
        raise unknown("workload", name, rows, where)
    return _shipped(key)


def save_entry(entry: WorkloadEntry, path: str | Path) -> None:
    """Write a fit to a JSON file, which `like` then takes by its path; whole or not at all."""
    write_text(path, json.dumps(entry.as_json(), indent=1) + "\n")


def _saved(path: Path) -> WorkloadEntry:
    try:
        return _entry(path.stem, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"cannot be read ({error})", str(path)) from None
    except (KeyError, TypeError) as error:
        raise InputError(f"is not a saved fit ({error})", str(path)) from None


@cache
def _shipped(key: str) -> WorkloadEntry:
    return _entry(key, load("workloads")[key])


def _entry(key: str, saved: Mapping[str, Any]) -> WorkloadEntry:
    row = dict(saved)
    sessions = row.pop("sessions", None)
    if sessions is not None:
        row["sessions"] = _measured_sessions(
            quantiles(sessions["turns"]), quantiles(sessions["gap_s"]), sessions["alike"], sessions["longer"]
        )
    return WorkloadEntry(key=key, **row | {"isl": quantiles(row["isl"]), "osl": quantiles(row["osl"])})


def resolve(workload: Workload, where: str = "workload") -> Workload:
    """The workload with what `like` names, or what its `trace` holds, in place of lengths and arrivals that were left
    at their defaults.

    The rate of the source is used when no way of arriving is given. Used as `Resolvers.workload`.
    """
    if workload.trace is not None:
        path = str(locate(workload.trace, f"{where}.trace"))
        entry = _fit_cached(path, Path(path).stat().st_mtime_ns)
        on_its_clock = all(getattr(workload, name) is None for name in ("rate", "concurrency", "batch", "scenario"))
        rate = entry.rate if on_its_clock else workload.rate
        return replace(workload, trace=path, isl=entry.isl, osl=entry.osl, correlation=entry.correlation, rate=rate)
    if workload.like is None:
        return workload
    entry = workload_entry(workload.like, f"{where}.like")
    plain = Workload()
    changes: dict[str, Any] = {
        name: getattr(entry, name) for name in ("isl", "osl") if getattr(workload, name) == getattr(plain, name)
    }
    if len(changes) == 2:
        changes["correlation"] = (
            entry.correlation if workload.correlation == plain.correlation else workload.correlation
        )
    if workload.mode == "max-throughput" and workload.scenario is None and entry.rate is not None:
        changes["rate"] = entry.rate
    if entry.arrivals_cv is not None and (workload.arrivals, workload.arrivals_cv) == (
        plain.arrivals,
        plain.arrivals_cv,
    ):
        even = entry.arrivals_cv < 1e-3
        changes |= {"arrivals": "uniform"} if even else {"arrivals": "gamma", "arrivals_cv": entry.arrivals_cv}
    if (
        entry.sessions is not None
        and len(changes.keys() & {"isl", "osl"}) == 2
        and workload.sessions is None
        and workload.prefixes is None
    ):
        changes["sessions"] = entry.sessions
        changes["shared_prefix"] = workload.shared_prefix or entry.shared_prefix
    return replace(workload, **changes)


def fit_trace(
    path: str | Path,
    *,
    key: str = "",
    title: str = "",
    source: str = "",
    url: str = "",
    licence: str = "",
    note: str = "",
) -> WorkloadEntry:
    """A workload entry fitted to the trace in `path` (see `rooflab.catalogue.trace_files` for the forms)."""
    trace = read_trace(path)
    isl, osl = fit_quantiles(trace.input_tokens), fit_quantiles(trace.output_tokens)
    shared_prefix, sessions, reused = _sharing(trace)
    return WorkloadEntry(
        key=key or Path(path).stem,
        title=title or Path(path).name,
        source=source or str(path),
        url=url,
        licence=licence,
        rows=len(trace),
        isl=isl,
        osl=osl,
        correlation=round(_spearman(trace.input_tokens, trace.output_tokens), 4),
        span_s=None if trace.time_s is None else round(float(trace.time_s[-1]), 3),
        rate=trace.rate_per_s,
        arrivals_cv=_burstiness(trace),
        shared_prefix=shared_prefix,
        sessions=sessions,
        reused_fraction=reused,
        note=note,
        errors={
            "isl_ks": round(_ks(trace.input_tokens, isl), 4),
            "osl_ks": round(_ks(trace.output_tokens, osl), 4),
            "isl_cv": round(isl.cv / _cv(trace.input_tokens) - 1, 4) if _cv(trace.input_tokens) else 0.0,
            "osl_cv": round(osl.cv / _cv(trace.output_tokens) - 1, 4) if _cv(trace.output_tokens) else 0.0,
        },
    )


@lru_cache(maxsize=8)
def _fit_cached(path: str, changed_ns: int) -> WorkloadEntry:
    """The fit of a trace as of its last change."""
    return fit_trace(path)


def fit_quantiles(values: npt.NDArray[Any], knots: int = KNOTS) -> Lengths:
    """The quantile function in straight lines through `knots` points that is nearest to that of `values` (least
    squares).

    Its mean is the sample's, because constants are among such functions. Where the fit would fall, the knots are tied
    together.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    ordered = np.repeat(ordered, -(-8 * knots // len(ordered)))  # a small sample leaves no cell empty
    at = (np.arange(len(ordered)) + 0.5) / len(ordered) * (knots - 1)
    cell = np.minimum(at.astype(np.int64), knots - 2)
    f = at - cell
    gram, right = np.zeros((knots, knots)), np.zeros(knots)
    for i, a in ((cell, 1 - f), (cell + 1, f)):
        right += np.bincount(i, a * ordered, knots)
        for j, b in ((cell, 1 - f), (cell + 1, f)):
            gram += np.bincount(i * knots + j, a * b, knots * knots).reshape(knots, knots)
    tied = np.arange(knots)
    while True:
        groups = np.equal.outer(tied, np.unique(tied)).astype(np.float64)
        table = groups @ np.linalg.lstsq(groups.T @ gram @ groups, groups.T @ right, rcond=None)[0]
        falls = np.flatnonzero(np.diff(table) < -1e-9 * max(ordered[-1], 1.0))
        if len(falls) == 0:
            break
        for k in falls:
            tied[tied == tied[k + 1]] = tied[k]
    table = np.maximum.accumulate(np.clip(table, ordered[0], None))
    return quantiles([float(f"{x:.6g}") for x in table])


def _sharing(trace: Trace) -> tuple[int, Sessions | None, float | None]:
    """Tokens that all prompts begin with, sessions, and the fraction of prompt tokens that had been seen before."""
    blocks = prompt_blocks(trace)
    if blocks is None:
        return 0, None, None
    found = continuations(*blocks)
    size = trace.block_tokens
    reused = np.minimum(found.shared * size, trace.input_tokens).sum() / trace.input_tokens.sum()
    child = np.flatnonzero(found.parent >= 0)
    if len(child) < 2 or trace.time_s is None:
        return found.common_blocks * size, None, round(float(reused), 4)
    parent = found.parent[child]
    scores = _normal_scores(trace.input_tokens)
    alike = float(np.corrcoef(scores[child], scores[parent])[0, 1])
    turns = fit_quantiles(np.unique(found.sessions(), return_counts=True)[1])
    gaps = fit_quantiles(trace.time_s[child] - trace.time_s[parent])
    alike = round(min(max(alike, 0.0), 1.0), 4)
    longer = _fit_longer(fit_quantiles(trace.input_tokens), turns, alike, found.common_blocks * size, float(reused))
    return found.common_blocks * size, _measured_sessions(turns, gaps, alike, longer), round(float(reused), 4)


def _fit_longer(isl: Lengths, turns: Lengths, alike: float, common_tokens: int, reused: float) -> float:
    """The correlation of a session's lengths with its number of turns for which its turns repeat the fraction `reused`
    of all tokens."""
    rng = np.random.default_rng(0)
    by_turns, shared, own = (rng.standard_normal(n) for n in (40_000, 40_000, int(40_000 * turns.mean * 1.2)))
    counts = np.maximum(np.round(_at_ranks(turns, by_turns)), 1).astype(np.int64)
    session = np.repeat(np.arange(len(counts)), counts)[: len(own)]
    first = np.append(True, session[1:] != session[:-1])

    def repeats(longer: float) -> float:
        of_session = longer * by_turns + (1 - longer**2) ** 0.5 * shared
        tokens = _at_ranks(isl, (1 - alike) ** 0.5 * own[: len(session)] + alike**0.5 * of_session[session])
        tokens = tokens[np.lexsort((tokens, session))]
        return float((tokens[:-1][~first[1:]].sum() + common_tokens * first.sum()) / tokens.sum())

    return round(narrow(lambda longer: repeats(longer) < reused, Bracket(0.0, 1.0, arithmetic), calls=10).middle, 3)


def _at_ranks(lengths: Lengths, scores: F64) -> F64:
    """The quantiles of `lengths` at the ranks of `scores`."""
    out = np.empty(len(scores))
    out[np.argsort(scores)] = np.interp(
        (np.arange(len(scores)) + 0.5) / len(scores), np.linspace(0, 1, KNOTS), lengths.table
    )
    return out


def _measured_sessions(turns: Lengths, gaps_s: Lengths, alike: float, longer: float) -> Sessions:
    return Sessions(turns=turns, think=gaps_s, prompt="whole", clock="arrival", alike=alike, longer=longer)


def _burstiness(trace: Trace) -> float | None:
    """Coefficient of variation of the gaps; where many arrivals share an instant (a coarse clock), the square root of
    the variance over the mean of counts in windows of ten ticks, which is the same number for a renewal process."""
    if trace.time_s is None or trace.rate_per_s is None:
        return None
    gaps = np.diff(trace.time_s)
    if (gaps == 0).mean() <= _COARSE_CLOCK:
        return round(_cv(gaps), 4)
    window_s = 10 * float(np.median(gaps[gaps > 0]))
    windows = max(int(trace.time_s[-1] / window_s), 1)
    counts = np.histogram(trace.time_s, bins=np.arange(windows + 1) * window_s)[0]
    return round(float((counts.var() / counts.mean()) ** 0.5), 4)


def _cv(values: npt.NDArray[Any]) -> float:
    return float(values.std() / values.mean())


def _ranks(values: npt.NDArray[Any]) -> F64:
    """Ranks from 0 to 1 exclusive, ties at their middle."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    out: F64 = (np.cumsum(counts) - counts / 2)[index] / len(values)
    return out


def _spearman(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    if len(np.unique(a)) < 2 or len(np.unique(b)) < 2:
        return 0.0
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _normal_scores(values: npt.NDArray[Any]) -> F64:
    from statistics import NormalDist

    levels, index = np.unique(_ranks(values), return_inverse=True)
    return np.array([NormalDist().inv_cdf(p) for p in levels])[index]


def _ks(values: npt.NDArray[Any], fit: Lengths) -> float:
    """Largest distance of the distribution functions of a sample and of a fit, at the sample's values (counts are
    rounded)."""
    levels, counts = np.unique(values, return_counts=True)
    knots = np.asarray(fit.table)
    below = np.interp(
        levels + 0.5, knots + np.arange(len(knots)) * 1e-9, np.linspace(0, 1, len(knots)), left=0.0, right=1.0
    )
    return float(np.abs(below - np.cumsum(counts) / len(values)).max())
