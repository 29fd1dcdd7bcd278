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

from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from typing import Any, ClassVar, Literal, cast, dataclass_transform

from rooflab.errors import Infeasible
from rooflab.metrics.registry import metric
from rooflab.papers.parameters import checked, parameters_of, snake_case
from rooflab.papers.reasons import Reason
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.scenario import Technique as TechniqueProtocol

__all__ = ["Technique", "Techniques", "require"]


@dataclass_transform(frozen_default=True)
class Technique:
    """A function from scenario to scenario with parameters.

    `key` is its name in scenario files and ``rooflab.papers.KEY`` (default: the class in snake case), `paper` that of
    its paper. `changes_outputs`: whether the model computes something else than before, so that quality has a price.
    `engine`: what sees its effect, "estimate" (closed form) or "simulate" (scheduling, queues, placement). `saves`: the
    metric that it is about, which is what it is ranked by (under the scenario's load; tokens a second and device of an
    engine kept full, where the closed form knows). `takes_s`: seconds of one comparison, where that is known to be long
    (0: not stated); a ranking learns it otherwise.
    """

    key: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    changes_outputs: ClassVar[bool] = False
    engine: ClassVar[Literal["estimate", "simulate"]] = "estimate"
    saves: ClassVar[str] = "output_tokens_per_s_per_gpu"
    takes_s: ClassVar[float] = 0.0

    def __init_subclass__(cls) -> None:
        metric(cls.saves, f"{cls.__name__}.saves")
        if "key" not in cls.__dict__:
            cls.key = snake_case(cls.__name__)
        # __init_subclass__ runs before @dataclass could, and annotations are complete by then
        dataclass(frozen=True)(cls)
        cls.__init__ = checked(cls)  # type: ignore[method-assign]
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

    def because(self, before: Any, after: Any) -> Sequence[Reason]:
        """What only the technique knows of why the result changed, from what was measured before (None: it did not fit)
        and after (`rooflab.papers.reasons`); the general reasons follow by themselves."""
        return ()

    def parameters(self) -> dict[str, Any]:
        """Parameters by name."""
        return parameters_of(self)

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


def _recorded(apply: Any) -> Any:
    """`apply` that notes its call in the scenario, and what was before; calls inside it are part of it."""

    @wraps(apply)
    def applied(self: Technique, scenario: Scenario) -> Scenario:
        changed: Scenario = apply(self, scenario)
        return scenario.with_technique(self, (self.key, tuple(sorted(self.parameters().items()))), changed)

    return applied
