"""What papers' techniques have in common: typed parameters, composition, a record of what was applied.

    @paper.technique
    class Splitwise(Technique):
        prefill: PositiveInt = 1
        decode: PositiveInt = 1

        def apply(self, scenario: Scenario) -> Scenario: ...

A subclass becomes a frozen dataclass. Its parameters are checked against their annotations when one is made, so that a
scenario file and Python code get the same errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from types import NoneType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from rooflab.errors import Infeasible, InputError, unknown
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.scenario import Technique as TechniqueProtocol

__all__ = [
    "Count",
    "Fraction",
    "PositiveFloat",
    "PositiveInt",
    "Range",
    "Technique",
    "Techniques",
    "require",
    "snake_case",
]


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a parameter; `above` shuts the lower one."""

    low: float
    high: float = float("inf")
    above: bool = False

    def holds(self, value: float) -> bool:
        """Whether `value` lies inside."""
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        start = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        return start if self.high == float("inf") else f"{start} and at most {self.high:g}"


PositiveInt = Annotated[int, Range(1)]
Count = Annotated[int, Range(0)]
PositiveFloat = Annotated[float, Range(0, above=True)]
Fraction = Annotated[float, Range(0, 1)]


@dataclass_transform(frozen_default=True)
class Technique:
    """A function from scenario to scenario with parameters.

    `key` is its name in scenario files and ``rooflab.papers.KEY`` (default: the class in snake case), `paper` that of
    its paper. `changes_outputs`: whether the model computes something else than before, so that quality has a price.
    `engine`: what sees its effect, "estimate" (closed form) or "simulate" (scheduling, queues, placement).
    """

    key: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    changes_outputs: ClassVar[bool] = False
    engine: ClassVar[Literal["estimate", "simulate"]] = "estimate"

    def __init_subclass__(cls) -> None:
        if "key" not in cls.__dict__:
            cls.key = snake_case(cls.__name__)
        # __init_subclass__ runs before @dataclass could, and annotations are complete by then
        dataclass(frozen=True)(cls)
        cls.__init__ = _checked(cls)  # type: ignore[method-assign]
        if "apply" in cls.__dict__:
            cls.apply = _recorded(cls.apply)  # type: ignore[method-assign]

    def apply(self, scenario: Scenario) -> Scenario:
        """The scenario with the technique in it. Raises Infeasible, with the reason, where it does not apply."""
        raise NotImplementedError

    @classmethod
    def variants(cls, scenario: Scenario) -> Sequence[Technique]:
        """Settings worth trying on `scenario`: what a ranking and a plan search over. Default: the defaults, if all
        have one."""
        needed = [f for f in fields(cast(Any, cls)) if f.default is MISSING and f.default_factory is MISSING]
        return () if needed else (cls(),)

    def because(self, before: Any, after: Any) -> str:
        """Why the result changed, in a sentence, from results before and after; empty: the general explanation
        serves."""
        return ""

    def parameters(self) -> dict[str, Any]:
        """Parameters by name."""
        return {f.name: getattr(self, f.name) for f in fields(cast(Any, self))}

    def __or__(self, other: TechniqueProtocol) -> Techniques:
        return Techniques((self, other))

    def __str__(self) -> str:
        return f"{self.key}({', '.join(f'{k}={v}' for k, v in self.parameters().items())})"


@dataclass(frozen=True, slots=True)
class Techniques:
    """Techniques applied one after the other."""

    members: tuple[TechniqueProtocol, ...]

    def apply(self, scenario: Scenario) -> Scenario:
        """The scenario with all of them in it, the first one first."""
        for member in self.members:
            scenario = member.apply(scenario)
        return scenario

    def __iter__(self) -> Iterator[TechniqueProtocol]:
        return iter(self.members)

    def __or__(self, other: TechniqueProtocol) -> Techniques:
        return Techniques((*self.members, other))

    def __str__(self) -> str:
        return " | ".join(str(m) for m in self.members)


def require(condition: bool, reason: str) -> None:
    """Raise Infeasible with `reason` unless `condition`: how a technique refuses."""
    if not condition:
        raise Infeasible(reason)


def snake_case(name: str) -> str:
    """SplitWise → split_wise."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _recorded(apply: Any) -> Any:
    """`apply` that notes its call in the scenario, and what was before; calls inside it are part of it."""

    @wraps(apply)
    def applied(self: Technique, scenario: Scenario) -> Scenario:
        changed: Scenario = apply(self, scenario)
        return scenario.with_technique(self, (self.key, tuple(sorted(self.parameters().items()))), changed)

    return applied


def _checked(cls: type[Technique]) -> Any:
    """The constructor of a technique with errors for users: unknown, missing and unfit parameters by name."""
    make = cls.__init__
    parameters = [f for f in fields(cast(Any, cls)) if f.init]

    @wraps(make)
    def init(self: Technique, *args: Any, **kwargs: Any) -> None:
        names = [f.name for f in parameters]
        for name in kwargs:
            if name not in names:
                raise unknown("parameter", name, names, cls.key)
        if len(args) > len(names):
            raise InputError(f"takes {len(names)} parameters ({', '.join(names)}), got {len(args)}", cls.key)
        given = dict(zip(names, args, strict=False)) | kwargs
        for f in parameters:
            if f.name not in given and f.default is MISSING and f.default_factory is MISSING:
                raise InputError(f"needs {f.name}", cls.key)
        hints = get_type_hints(cls, include_extras=True)
        make(self, **{name: _read(hints[name], value, f"{cls.key}.{name}") for name, value in given.items()})

    return init


def _read(kind: Any, value: Any, where: str) -> Any:
    """`value` as an annotation asks for it: int, float, bool, str, Literal, Annotated with a Range, optional ones."""
    origin = get_origin(kind)
    if origin is Annotated:
        inner, *checks = get_args(kind)
        value = _read(inner, value, where)
        for check in checks:
            if isinstance(check, Range) and not check.holds(value):
                raise InputError(f"{value!r} is out of range; {check}", where)
        return value
    if origin is Literal:
        if value not in get_args(kind):
            raise unknown("choice", str(value), [str(a) for a in get_args(kind)], where)
        return value
    if origin is Union or str(type(kind)) == "<class 'types.UnionType'>":
        members = get_args(kind)
        if value is None and NoneType in members:
            return None
        return _read(next(m for m in members if m is not NoneType), value, where)
    if kind is int and (isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value)):
        raise InputError(f"{value!r} is not a whole number", where)
    if kind is float and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise InputError(f"{value!r} is not a number", where)
    if kind is bool and not isinstance(value, bool):
        raise InputError(f"{value!r} is not true or false", where)
    return kind(value) if kind in (int, float, str) else value
