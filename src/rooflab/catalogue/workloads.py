"""Workloads by name: lengths, arrivals and prefix sharing of public traces, as fitted distributions; and the fit of a
user's own."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from rooflab.catalogue._data import load, squash
from rooflab.catalogue.trace_fit import fit_trace
from rooflab.catalogue.traces import locate
from rooflab.catalogue.workload_entry import WorkloadEntry, parse_entry
from rooflab.errors import InputError, unknown
from rooflab.files import write_text
from rooflab.scenario.workload import Workload

__all__ = ["list_workloads", "resolve", "save_entry", "workload_entry"]


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
        return parse_entry(path.stem, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"cannot be read ({error})", str(path)) from None
    except (KeyError, TypeError) as error:
        raise InputError(f"is not a saved fit ({error})", str(path)) from None


@cache
def _shipped(key: str) -> WorkloadEntry:
    return parse_entry(key, load("workloads")[key])


def resolve(workload: Workload, where: str = "workload") -> Workload:
    """The workload with what `like` names, or what its `trace` holds, in place of lengths and arrivals that were left
    at their defaults.

    The rate of the source is used when no way of arriving is given. Used as `Resolvers.workload`.
    """
    if workload.trace is not None:
        path = str(locate(workload.trace, f"{where}.trace"))
        entry = _fit_cached(path, Path(path).stat().st_mtime_ns)
        on_its_clock = all(
            getattr(workload, name) is None for name in ("rate", "concurrency", "batch", "burst", "scenario")
        )
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
        and workload.burst is None
        and workload.prefixes is None
    ):
        changes["sessions"] = entry.sessions
        changes["shared_prefix"] = workload.shared_prefix or entry.shared_prefix
    return replace(workload, **changes)


@lru_cache(maxsize=8)
def _fit_cached(path: str, changed_ns: int) -> WorkloadEntry:
    """The fit of a trace as of its last change."""
    return fit_trace(path)
