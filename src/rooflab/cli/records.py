"""Nouns as JSON: what the user may write in a scenario file, and nothing that was left at its default."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from rooflab.scenario.deployment import Deployment

__all__ = ["deployment_record"]

_ALWAYS = frozenset({"engine", "tp", "pp", "replicas"})


def deployment_record(deployment: Deployment) -> dict[str, Any]:
    """The plain fields of a deployment that were given or chosen; they can be read back as the deployment of a scenario
    file."""
    plain = Deployment()
    out: dict[str, Any] = {}
    for f in fields(Deployment):
        value = getattr(deployment, f.name)
        if f.name in ("speculation", "overlap") and value is not None:
            out[f.name] = asdict(value)
        elif isinstance(value, (str, int, float)) and (f.name in _ALWAYS or value != getattr(plain, f.name)):
            out[f.name] = value
    return out
