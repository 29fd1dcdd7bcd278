"""Rooflab predicts, simulates and plans AI serving: a model, on hardware, under a workload, in a deployment.

    import rooflab as rl

    chat = rl.load("examples/chat-70b.yaml")
    rl.estimate(chat).output_tokens_per_s

Everything is imported when it is first used, so that the import itself costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rooflab import papers
    from rooflab.api import ceiling, estimate, estimate_many, load, plan, simulate, write
    from rooflab.errors import Infeasible, InputError, RooflabError
    from rooflab.scenario.scenario import Scenario

__all__ = [
    "Infeasible",
    "InputError",
    "RooflabError",
    "Scenario",
    "__version__",
    "ceiling",
    "estimate",
    "estimate_many",
    "load",
    "papers",
    "plan",
    "simulate",
    "write",
]

__version__ = "0.1.0"

_HOMES: Final = {
    "Infeasible": "rooflab.errors",
    "InputError": "rooflab.errors",
    "RooflabError": "rooflab.errors",
    "Scenario": "rooflab.scenario.scenario",
    "ceiling": "rooflab.api",
    "estimate": "rooflab.api",
    "estimate_many": "rooflab.api",
    "load": "rooflab.api",
    "plan": "rooflab.api",
    "simulate": "rooflab.api",
    "write": "rooflab.api",
}


def __getattr__(name: str) -> Any:
    if name == "papers":
        return import_module("rooflab.papers")
    if name not in _HOMES:
        raise AttributeError(f"module 'rooflab' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
