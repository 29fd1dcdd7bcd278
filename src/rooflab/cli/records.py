"""Nouns as JSON: what the user may write in a scenario file, and nothing that was left at its default."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rooflab.scenario.deployment import Deployment

__all__ = ["deployment_record"]

_ALWAYS = frozenset({"engine", "tp", "pp", "replicas"})


def deployment_record(deployment: Deployment) -> dict[str, Any]:
    """The plain fields of a deployment that were given or chosen; they can be read back as the deployment of a scenario
    file."""
    plain = Deployment().flat()
    out: dict[str, Any] = {}
    for name, value in deployment.flat().items():
        if name in ("speculation", "overlap") and value is not None:
            out[name] = asdict(value)
        elif isinstance(value, (str, int, float)) and (name in _ALWAYS or value != plain[name]):
            out[name] = value
    return out
