"""What a technique is: a function from scenario to scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rooflab.scenario.scenario import Scenario

__all__ = ["Technique", "TechniqueCall"]


@runtime_checkable
class Technique(Protocol):
    """Changes a scenario and nothing else; called when a scenario is composed (``scenario | technique``)."""

    def apply(self, scenario: Scenario) -> Scenario:
        """The scenario with the technique in it. Raises Infeasible, with the reason, where it does not apply."""
        ...


TechniqueCall = tuple[str, tuple[tuple[str, Any], ...]]
"""A technique as a scenario file names it: its key and its parameters."""
