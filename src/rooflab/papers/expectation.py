"""What a published figure says: a value, both ends of a range, a bound, an order, a crossing, no difference, a
curve."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal, get_args

from rooflab.errors import InputError, unknown

__all__ = ["Expectation", "Got", "Sort", "read_expectation"]

Got = float | tuple[float, ...] | Mapping[str, float]
"""What a claim computes: a number; members of a range; values by name (an order, a curve, two sides)."""
Sort = Literal["value", "range", "at least", "at most", "order", "crossing", "no difference", "curve"]
_SORTS: Final[tuple[str, ...]] = get_args(Sort)


@dataclass(frozen=True, slots=True)
class Expectation:
    """A published statement about a figure.

    `sort` "value" and "crossing" (the point where two curves meet) have one number; "range" its lowest and highest: the
    least member that was computed stands against the one, the greatest against the other, and a mean against neither;
    "at least" and "at most" a bound without slack; "order" names from lowest to highest; "no difference" the largest
    share by which two sides may differ; "curve" numbers by point.
    """

    sort: Sort
    numbers: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    def error(self, got: Got) -> float:
        """Signed distance of `got` as a share of what is expected: 0 beyond a bound, in order, or without difference.

        Raises InputError where `got` is not of the form that the statement needs.
        """
        if self.sort in ("value", "crossing"):
            return _share(_number(got), self.numbers[0])
        if self.sort == "range":
            members = _members(got)
            return max((_share(end(members), n) for end, n in zip((min, max), self.numbers, strict=True)), key=abs)
        if self.sort in ("at least", "at most"):
            distance = _share(_number(got), self.numbers[0])
            inside = distance >= 0 if self.sort == "at least" else distance <= 0
            return 0.0 if inside else distance
        values = _named(got, self.names)
        if self.sort == "order":
            steps = [b - a for a, b in pairwise(values)]
            worst = min(steps)
            return 0.0 if worst > 0 else -1.0 if worst == 0 else worst / (max(map(abs, values)) or 1.0)
        if self.sort == "no difference":
            apart = abs(values[0] - values[1]) / (max(map(abs, values)) or 1.0)
            return 0.0 if apart <= self.numbers[0] else apart - self.numbers[0]
        return max((_share(v, n) for v, n in zip(values, self.numbers, strict=True)), key=abs)

    def holds(self, got: Got, tolerance: float) -> bool:
        """Whether `got` agrees; bounds, orders and the lack of a difference have no tolerance beside their own."""
        error = self.error(got)
        if math.isnan(error):
            return False
        return (
            error == 0.0 if self.sort in ("at least", "at most", "order", "no difference") else abs(error) <= tolerance
        )

    def telling(self) -> Iterator[float]:
        """The numbers of the statement: what a claim's code may not contain."""
        yield from self.numbers

    def record(self) -> Any:
        """As plain JSON values: a number, two ends, or a mapping."""
        if self.sort == "value":
            return self.numbers[0]
        if self.sort == "range":
            return list(self.numbers)
        if self.sort == "order":
            return {self.sort: list(self.names)}
        if self.sort == "curve":
            return {self.sort: dict(zip(self.names, self.numbers, strict=True))}
        return {self.sort: self.numbers[0]} | ({"of": list(self.names)} if self.names else {})


def read_expectation(value: Any, where: str) -> Expectation:
    """A statement from YAML: ``1.4``; ``[59, 72]``; ``{at least: 1}``; ``{order: [a, b]}``; ``{crossing: 64}``;
    ``{no difference: 0.02, of: [a, b]}``; ``{curve: {1: 2.0, 2: 3.1}}``. Raises InputError."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Expectation("value", (_finite(value, where),))
    if isinstance(value, list):
        if len(value) != 2:
            raise InputError(f"a range has two ends, got {len(value)}", where)
        low, high = (_finite(x, where) for x in value)
        if not low < high:
            raise InputError("the lower end of a range comes first", where)
        return Expectation("range", (low, high))
    if not isinstance(value, Mapping) or not value:
        raise InputError("expected a number, two ends of a range, or one of " + ", ".join(_SORTS[2:]), where)
    sort = next(iter(value))
    if sort not in _SORTS[2:]:
        raise unknown("statement", str(sort), _SORTS[2:], where)
    extra = set(value) - {sort, "of"}
    if extra:
        raise unknown("field", str(sorted(map(str, extra))[0]), (sort, "of"), where)
    return _stated(sort, value[sort], value.get("of"), where)


def _stated(sort: Any, said: Any, of: Any, where: str) -> Expectation:
    if sort == "order":
        if not isinstance(said, list) or len(said) < 2 or len(set(map(str, said))) < len(said):
            raise InputError("an order has two names or more, each once", where)
        return Expectation(sort, (), tuple(map(str, said)))
    if sort == "curve":
        if not isinstance(said, Mapping) or len(said) < 2:
            raise InputError("a curve has two points or more", where)
        return Expectation(sort, tuple(_finite(x, where) for x in said.values()), tuple(map(str, said)))
    if sort == "no difference":
        if not isinstance(of, list) or len(of) != 2:
            raise InputError("says of which two sides: {no difference: 0.02, of: [a, b]}", where)
        return Expectation(sort, (_finite(said, where),), tuple(map(str, of)))
    return Expectation(sort, (_finite(said, where),), () if of is None else (str(of),))


def _finite(x: Any, where: str) -> float:
    if isinstance(x, bool) or not isinstance(x, (int, float)) or not math.isfinite(x):
        raise InputError(f"{x!r} is not a number", where)
    return float(x)


def _share(got: float, expected: float) -> float:
    return 0.0 if got == expected else (got - expected) / abs(expected or 1.0)


def _number(got: Got) -> float:
    if isinstance(got, (tuple, list, Mapping)):
        raise InputError("one number is stated, several were computed")
    return float(got)


def _members(got: Got) -> tuple[float, ...]:
    values = tuple(got.values()) if isinstance(got, Mapping) else tuple(got) if isinstance(got, Sequence) else ()
    if len(values) < 2:
        raise InputError("a range is met by its members: two or more have to be computed")
    return tuple(map(float, values))


def _named(got: Got, names: tuple[str, ...]) -> list[float]:
    if not isinstance(got, Mapping):
        raise InputError(f"values of {', '.join(names)} have to be computed")
    found = {str(name): float(value) for name, value in got.items()}
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(f"no value of {missing[0]} was computed")
    return [found[name] for name in names]
