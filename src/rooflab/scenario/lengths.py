"""Distributions of token counts and of times, as a scenario file writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, Literal

from rooflab import units
from rooflab.errors import InputError, unknown
from rooflab.scenario import fields
from rooflab.scenario.exact import plain, read_exact, tidy
from rooflab.search.highest import Bracket, arithmetic, narrow

__all__ = [
    "Lengths",
    "quantiles",
    "read_lengths",
    "read_times",
    "underlying",
    "value_at",
    "written_lengths",
    "written_times",
]

_KINDS: Final = ("uniform", "lognormal", "exponential", "quantiles", "exact")
_RANGE: Final = re.compile(r"^\s*(\d[\d_]*)\s*(?:\.\.|-|to)\s*(\d[\d_]*)\s*$")


@dataclass(frozen=True, slots=True)
class Lengths:
    """A distribution of token counts (or of seconds, where a field says so).

    kind "fixed" (mean), "uniform" (low to high), "lognormal" (mean, cv, cut to low..high),
    "exponential" (mean, cut), "quantiles" (`table`: values at evenly spaced probabilities from 0 to 1).
    `mean` and `cv` (standard deviation over mean) hold for every kind, after the cut.
    """

    kind: Literal["fixed", "uniform", "lognormal", "exponential", "quantiles"]
    mean: float
    cv: float = 0.0
    low: float = 1.0
    high: float = float("inf")
    table: tuple[float, ...] = ()


def read_lengths(value: Any, where: str) -> Lengths:
    """Lengths from ``1024``, ``"100..2000"`` (uniform) or ``{lognormal: {mean: 1155, cv: 1.1, high: 8192}}``."""
    if isinstance(value, Lengths):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _fixed(float(value), where)
    if isinstance(value, str):
        match = _RANGE.match(value)
        if match is None:
            return _fixed(units.parse(value, "tokens", where), where)
        return _uniform(float(match[1].replace("_", "")), float(match[2].replace("_", "")), where)
    if isinstance(value, Mapping) and len(value) == 1:
        return _distribution(value, "tokens", 1.0, where)
    raise InputError(f"{value!r} is not a token count, a range such as 100..2000, or a distribution", where)


def read_times(value: Any, where: str) -> Lengths:
    """Times in seconds: ``10 s`` is the mean of an exponential; ``{fixed: 2 s}`` or ``{lognormal: {mean: 8 s, cv: 2}}``
    say otherwise."""
    if isinstance(value, Lengths):
        return value
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        mean = units.parse(value, "time", where)
        if not 0 <= mean < float("inf"):
            raise InputError(f"{value!r} is not a time", where)
        return Lengths("exponential", mean, 1.0, 0.0) if mean else Lengths("fixed", 0.0, 0.0, 0.0, 0.0)
    if isinstance(value, Mapping) and len(value) == 1:
        if "fixed" in value:
            return _fixed(units.parse(value["fixed"], "time", f"{where}.fixed"), where)
        return _distribution(value, "time", 0.0, where)
    raise InputError(f"{value!r} is not a time such as 10 s, or a distribution of times", where)


def written_lengths(lengths: Lengths) -> Any:
    """Token counts in the shortest form that `read_lengths` reads as the same."""
    short = [tidy(lengths.mean)] if lengths.kind == "fixed" else []
    return _written(lengths, read_lengths, short)


def written_times(lengths: Lengths) -> Any:
    """Times in the shortest form that `read_times` reads as the same."""
    short = {"fixed": {"fixed": tidy(lengths.mean)}, "exponential": tidy(lengths.mean)}.get(lengths.kind)
    return _written(lengths, read_times, [] if short is None else [short])


def _written(lengths: Lengths, read: Callable[[Any, str], Lengths], short: list[Any]) -> Any:
    names = {
        "uniform": ("low", "high"),
        "lognormal": ("mean", "cv", "low", "high"),
        "exponential": ("mean", "low", "high"),
    }
    given = {name: getattr(lengths, name) for name in names.get(lengths.kind, ())}
    spelled = {name: tidy(value) for name, value in given.items() if math.isfinite(value)}
    long = [tidy(value) for value in lengths.table] if lengths.kind == "quantiles" else spelled
    for form in (*short, {lengths.kind: long}):
        try:
            if read(form, "") == lengths:
                return form
        except InputError:  # a distribution made in Python that the short forms cannot say
            continue
    return {"exact": plain(lengths)}


def quantiles(table: list[float], where: str = "") -> Lengths:
    """Lengths whose quantile function runs in straight lines through `table`, at evenly spaced probabilities."""
    if len(table) < 2 or any(b < a for a, b in pairwise(table)) or table[0] < 0:
        raise InputError("quantiles must be at least two non-decreasing counts", where)
    pieces = list(pairwise(table))
    mean = sum(a + b for a, b in pieces) / 2 / len(pieces)
    square = sum(a * a + a * b + b * b for a, b in pieces) / 3 / len(pieces)
    return Lengths(
        "quantiles", mean, max(square / mean**2 - 1, 0.0) ** 0.5 if mean else 0.0, table[0], table[-1], tuple(table)
    )


def _distribution(value: Mapping[Any, Any], dimension: str, lowest: float, where: str) -> Lengths:
    ((kind, spec),) = value.items()
    where = f"{where}.{kind}"
    if kind == "exact":
        return read_exact(Lengths, spec, where)
    if kind == "quantiles" and isinstance(spec, (list, tuple)):
        return quantiles([units.parse(x, dimension, where) for x in spec], where)
    if kind not in ("uniform", "lognormal", "exponential") or not isinstance(spec, Mapping):
        raise unknown("distribution", str(kind), _KINDS, where.rpartition(".")[0])

    def bound(x: Any, at: str) -> float:
        return fields.number(0)(units.parse(x, dimension, at), at)  # type: ignore[no-any-return]

    readers: dict[str, fields.Reader] = {
        "mean": fields.quantity(dimension),
        "cv": fields.number(0),
        "low": bound,
        "high": bound,
    }
    for key in spec:
        if key not in readers:
            raise unknown("field", str(key), readers, where)
    got = {key: readers[key](v, f"{where}.{key}") for key, v in spec.items()}
    needed = ("low", "high") if kind == "uniform" else ("mean",)
    if not set(needed) <= got.keys():
        raise InputError(f"{kind} needs {' and '.join(needed)}", where)
    if kind == "uniform":
        return _uniform(got["low"], got["high"], where)
    low, high = got.get("low", lowest), got.get("high", float("inf"))
    return _cut(kind, got["mean"], got.get("cv", 1.0), low=low, high=high, where=where)


def _fixed(mean: float, where: str) -> Lengths:
    if not 0 <= mean < float("inf"):
        raise InputError(f"{mean:g} is not a count", where)
    return Lengths("fixed", mean, 0.0, mean, mean)


def _uniform(low: float, high: float, where: str) -> Lengths:
    if high < low:
        raise InputError(f"the range {low:g}..{high:g} runs backwards", where)
    mean = (low + high) / 2
    return Lengths("uniform", mean, (high - low) / 12**0.5 / mean if mean else 0.0, low, high)


def _cut(kind: str, mean: float, cv: float, *, low: float, high: float, where: str) -> Lengths:
    """A lognormal or exponential whose mean and cv hold after the cut; no distribution on [low, high] has a larger
    variance than (high − mean)(mean − low) (Bhatia and Davis 2000)."""
    if not low <= mean <= high:
        raise InputError(f"the mean {mean:g} lies outside {low:g}..{high:g}", where)
    if kind == "exponential":
        scale, _ = underlying(Lengths("exponential", mean, 1.0, low, high))
        square = _exponential_moments(scale, low, high)[1]
        return Lengths("exponential", mean, max(square / mean**2 - 1, 0.0) ** 0.5, low, high)
    if (cv * mean) ** 2 >= (high - mean) * (mean - low) and cv > 0:
        most = ((high - mean) * (mean - low)) ** 0.5 / mean
        raise InputError(
            f"cv {cv:g} is too large for a mean of {mean:g} within {low:g}..{high:g}; below {most:.3g}", where
        )
    return Lengths("lognormal", mean, cv, low, high)


def value_at(lengths: Lengths, p: float) -> float:
    """The value below which a fraction `p` (0 < p < 1) of `lengths` lies."""
    if lengths.kind == "fixed":
        return lengths.mean
    if lengths.kind == "quantiles":
        at = p * (len(lengths.table) - 1)
        i = min(int(at), len(lengths.table) - 2)
        return lengths.table[i] + (at - i) * (lengths.table[i + 1] - lengths.table[i])
    if lengths.kind == "uniform":
        return lengths.low + p * (lengths.high - lengths.low)
    from statistics import NormalDist

    a, b = underlying(lengths)
    value = -a * math.log1p(-p) if lengths.kind == "exponential" else math.exp(a + b * NormalDist().inv_cdf(p))
    return min(max(value, lengths.low), lengths.high)


@lru_cache(maxsize=256)
def underlying(lengths: Lengths) -> tuple[float, float]:
    """Parameters before the cut: (scale, 0) of an exponential, (mu, sigma) of a lognormal, such that mean and cv hold
    after it."""
    mean, low, high = lengths.mean, lengths.low, lengths.high
    if lengths.kind == "exponential":
        if low <= 0 and math.isinf(high):
            return mean, 0.0
        most = mean * 1e6 if math.isfinite(high) else mean
        return _zero(lambda s: _exponential_moments(s, low, high)[0] - mean, mean * 1e-6, most), 0.0
    assert lengths.kind == "lognormal"
    sigma = math.log1p(lengths.cv**2) ** 0.5
    if sigma == 0 or (low <= 0 and math.isinf(high)):
        return math.log(mean) - sigma**2 / 2, sigma

    def mu(s: float) -> float:
        return _zero(
            lambda m: _lognormal_moments(m, s, low, high)[0] - mean,
            math.log(mean) - 40 * s - 1,
            math.log(mean) + 40 * s + 1,
        )

    wanted = mean**2 * (1 + lengths.cv**2)
    sigma = _zero(lambda s: _lognormal_moments(mu(s), s, low, high)[1] - wanted, sigma * 0.2, max(6.0, sigma * 3))
    return mu(sigma), sigma


def _exponential_moments(scale: float, low: float, high: float) -> tuple[float, float]:
    """First and second moment of an exponential clipped to [low, high]."""
    at_low, at_high = math.exp(-low / scale), math.exp(-high / scale)
    above = 0.0 if math.isinf(high) else scale * (high + scale) * at_high
    return low + scale * (at_low - at_high), low**2 + 2 * (scale * (low + scale) * at_low - above)


def _lognormal_moments(mu: float, sigma: float, low: float, high: float) -> tuple[float, float]:
    """First and second moment of a lognormal clipped to [low, high]."""
    a = (math.log(low) - mu) / sigma if low > 0 else -math.inf
    b = (math.log(high) - mu) / sigma if math.isfinite(high) else math.inf

    def moment(k: int) -> float:
        inner = _phi(b - k * sigma) - _phi(a - k * sigma)
        middle = math.exp(min(k * mu + (k * sigma) ** 2 / 2, 700.0)) * inner if inner > 0 else 0.0
        return (low**k * _phi(a) if low > 0 else 0.0) + middle + (high**k * _phi(-b) if math.isfinite(high) else 0.0)

    return moment(1), moment(2)


def _phi(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def _zero(f: Callable[[float], float], low: float, high: float) -> float:
    """The zero of a rising function between `low` and `high`."""
    return narrow(lambda x: f(x) < 0, Bracket(low, high, arithmetic), calls=80).middle
