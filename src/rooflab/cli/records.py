"""Nouns as JSON: what the user may write in a scenario file, and nothing that was left at its default."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from rooflab.scenario.deployment import Deployment

__all__ = ["deployment_record"]

_ALWAYS = frozenset({"engine", "tp", "pp", "replicas"})


def deployment_record(deployment: Deployment) -> dict[str, Any]:
    """The fields of a deployment that were given or chosen; it can be read back as the deployment of a scenario file."""
    plain = Deployment()
    values = asdict(deployment)
    return {
        f.name: values[f.name] for f in fields(Deployment) if f.name in _ALWAYS or getattr(deployment, f.name) != getattr(plain, f.name)
    }
