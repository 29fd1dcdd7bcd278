"""The workload: how long requests are and how they come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

from rooflab import units
from rooflab.errors import InputError, unknown
from rooflab.scenario import fields

__all__ = ["Lengths", "Mode", "Workload", "quantiles", "read_lengths", "read_workload"]

Mode = Literal["open", "closed", "static", "max-throughput", "trace"]


@dataclass(frozen=True, slots=True)
class Lengths:
    """A distribution of token counts.

    kind "fixed" (mean), "uniform" (low to high), "lognormal" (mean, cv, cut to low..high),
    "exponential" (mean, cut), "quantiles" (`table`: values at evenly spaced probabilities from 0 to 1).
    `mean` and `cv` (standard deviation over mean) hold for every kind.
    """

    kind: Literal["fixed", "uniform", "lognormal", "exponential", "quantiles"]
    mean: float
    cv: float = 0.0
    low: float = 1.0
    high: float = float("inf")
    table: tuple[float, ...] = ()


_RANGE: Final = re.compile(r"^\s*(\d[\d_]*)\s*(?:\.\.|-|to)\s*(\d[\d_]*)\s*$")


def read_lengths(value: Any, where: str) -> Lengths:
    """Lengths from ``1024``, ``"100..2000"`` (uniform) or ``{lognormal: {mean: 1155, cv: 1.1, high: 8192}}``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _fixed(float(value), where)
    if isinstance(value, str):
        match = _RANGE.match(value)
        if match is None:
            return _fixed(units.parse(value, "tokens", where), where)
        return _uniform(float(match[1].replace("_", "")), float(match[2].replace("_", "")), where)
    if isinstance(value, Mapping) and len(value) == 1:
        ((kind, spec),) = value.items()
        if kind == "quantiles" and isinstance(spec, (list, tuple)):
            return quantiles([float(x) for x in spec], where)
        if kind in ("uniform", "lognormal", "exponential") and isinstance(spec, Mapping):
            readers: dict[str, fields.Reader] = {
                "mean": fields.quantity("tokens"),
                "cv": fields.number(0),
                "low": fields.quantity("tokens"),
                "high": fields.quantity("tokens"),
            }
            for key in spec:
                if key not in readers:
                    raise unknown("field", str(key), readers, f"{where}.{kind}")
            got = {key: readers[key](v, f"{where}.{kind}.{key}") for key, v in spec.items()}
            if kind == "uniform":
                if not {"low", "high"} <= got.keys():
                    raise InputError("uniform lengths need low and high", where)
                return _uniform(got["low"], got["high"], where)
            if "mean" not in got:
                raise InputError(f"{kind} lengths need a mean", where)
            return Lengths(kind, got["mean"], got.get("cv", 1.0), got.get("low", 1.0), got.get("high", float("inf")))
        raise unknown("length distribution", str(kind), ("uniform", "lognormal", "exponential", "quantiles"), where)
    raise InputError(f"{value!r} is not a token count, a range such as 100..2000, or a distribution", where)


def quantiles(table: list[float], where: str = "") -> Lengths:
    """Lengths whose quantile function runs in straight lines through `table`, at evenly spaced probabilities."""
    if len(table) < 2 or any(b < a for a, b in pairwise(table)) or table[0] < 0:
        raise InputError("quantiles must be at least two non-decreasing token counts", where)
    pieces = list(pairwise(table))
    mean = sum(a + b for a, b in pieces) / 2 / len(pieces)
    square = sum(a * a + a * b + b * b for a, b in pieces) / 3 / len(pieces)
    return Lengths("quantiles", mean, max(square / mean**2 - 1, 0.0) ** 0.5 if mean else 0.0, table[0], table[-1], tuple(table))


def _fixed(mean: float, where: str) -> Lengths:
    if not 0 <= mean < float("inf"):
        raise InputError(f"{mean:g} is not a token count", where)
    return Lengths("fixed", mean, 0.0, mean, mean)


def _uniform(low: float, high: float, where: str) -> Lengths:
    if high < low:
        raise InputError(f"the range {low:g}..{high:g} runs backwards", where)
    mean = (low + high) / 2
    return Lengths("uniform", mean, (high - low) / 12**0.5 / mean if mean else 0.0, low, high)


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests of `isl` prompt and `osl` generated tokens, arriving in one of five ways.

    `rate` (requests/s, open loop), `concurrency` (closed loop: a finished request is replaced at once),
    `batch` (all start together, none joins), `scenario` "max-throughput" (as many as fit) or "batch1",
    `trace` (a file).  `like` names a shipped workload whose lengths and burstiness are used.
    `rounds`, `length_jitter` and `start` describe a closed-loop client: requests per user, spread of
    lengths below the nominal, and whether all users start at once.
    """

    isl: Lengths = Lengths("fixed", 1024.0, 0.0, 1024.0, 1024.0)
    osl: Lengths = Lengths("fixed", 512.0, 0.0, 512.0, 512.0)
    rate: float | None = None
    concurrency: int | None = None
    batch: int | None = None
    scenario: Literal["max-throughput", "batch1"] | None = None
    trace: str | None = None
    like: str | None = None
    arrivals: Literal["poisson", "gamma", "uniform", "burst", "diurnal"] = "poisson"
    arrivals_cv: float = 1.0
    requests: int | None = None
    rounds: int = 10
    length_jitter: float = 0.0
    start: Literal["burst", "staggered"] = "burst"
    shared_prefix: int = 0
    seed: int = 0

    @property
    def mode(self) -> Mode:
        """How requests arrive."""
        if self.trace is not None:
            return "trace"
        if self.rate is not None:
            return "open"
        if self.concurrency is not None:
            return "closed"
        if self.batch is not None or self.scenario == "batch1":
            return "static"
        return "max-throughput"


WORKLOAD_READERS: Final[dict[str, fields.Reader]] = {
    "isl": read_lengths,
    "osl": read_lengths,
    "rate": fields.quantity("rate"),
    "concurrency": fields.at_least(1),
    "batch": fields.at_least(1),
    "scenario": fields.choice("max-throughput", "batch1"),
    "trace": fields.text,
    "like": fields.text,
    "arrivals": fields.choice("poisson", "gamma", "uniform", "burst", "diurnal"),
    "arrivals_cv": fields.number(0, exclusive=True),
    "requests": fields.at_least(1),
    "rounds": fields.at_least(1),
    "length_jitter": fields.number(0, 0.99),
    "start": fields.choice("burst", "staggered"),
    "shared_prefix": fields.integer,
    "seed": fields.integer,
}


def read_workload(value: Any, where: str = "workload") -> Workload:
    """A workload from its mapping; exactly one way of arriving may be given (none: max-throughput)."""
    if isinstance(value, Workload):
        return value
    workload = fields.read(Workload, value, where, WORKLOAD_READERS)
    given = [k for k in ("rate", "concurrency", "batch", "scenario") if getattr(workload, k) is not None]
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)} exclude each other; keep one", where)
    if workload.isl.mean <= 0:
        raise InputError("a prompt has at least one token", f"{where}.isl")
    return workload
