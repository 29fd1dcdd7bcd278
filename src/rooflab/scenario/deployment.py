"""The deployment, of five parts: how a step runs, how the model is split and stored, what the scheduler may do, and how
engines stand together.

A scenario file writes the fields of all parts side by side (``deployment: {engine: vllm, tp: 4, max_num_seqs: 64}``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from typing import Any, Final, Protocol

from rooflab.scenario import fields
from rooflab.scenario.cluster import CLUSTER_READERS, Cluster
from rooflab.scenario.formats import FORMATS_READERS, Formats
from rooflab.scenario.limits import LIMITS_READERS, Limits
from rooflab.scenario.runtime import RUNTIME_READERS, Runtime
from rooflab.scenario.split import SPLIT_READERS, Split

__all__ = ["DEPLOYMENT_READERS", "PART_OF", "Deployment", "Held", "Priced", "held", "priced", "read_deployment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """How a model is served."""

    runtime: Runtime = Runtime()
    split: Split = Split()
    formats: Formats = Formats()
    limits: Limits = Limits()
    cluster: Cluster = Cluster()

    @classmethod
    def of(cls, **flat: Any) -> Deployment:
        """A deployment from fields of any part: ``Deployment.of(engine="vllm", tp=4)``."""
        return cls().changed(**flat)

    def changed(self, **flat: Any) -> Deployment:
        """The same deployment with fields of any part replaced: ``deployment.changed(tp=4, weights="fp8")``.

        Raises TypeError for a name that no part has.
        """
        changes: dict[str, dict[str, Any]] = {}
        for name, value in flat.items():
            if name not in PART_OF:
                raise TypeError(f"a deployment has no field {name!r}")
            changes.setdefault(PART_OF[name], {})[name] = value
        return replace(self, **{part: replace(getattr(self, part), **own) for part, own in changes.items()})

    def flat(self) -> dict[str, Any]:
        """The fields of all parts by name, as a scenario file has them."""
        return {name: getattr(getattr(self, part), name) for name, part in PART_OF.items()}

    @property
    def devices(self) -> int:
        """Devices in use; `tp` and `replicas` must have been chosen."""
        assert self.cluster.replicas is not None
        return self.split.devices_per_replica * self.cluster.replicas


PART_OF: Final[Mapping[str, str]] = {
    field.name: part.name for part in fields_of(Deployment) for field in fields_of(getattr(Deployment(), part.name))
}
"""The part that each field lives in."""


class Priced(Protocol):
    """What the price of a step depends on: a deployment, seen without its scheduler and its cluster."""

    @property
    def runtime(self) -> Runtime:
        """How a step runs."""
        ...

    @property
    def split(self) -> Split:
        """How the model is cut."""
        ...

    @property
    def formats(self) -> Formats:
        """How it is stored."""
        ...


class Held(Priced, Protocol):
    """What the memory account depends on: what a step's price does, and the limits of the scheduler."""

    @property
    def limits(self) -> Limits:
        """What the scheduler may do."""
        ...


def priced(deployment: Priced) -> tuple[Runtime, Split, Formats]:
    """The parts that the price of a step depends on; deployments with equal ones have steps of equal price."""
    return deployment.runtime, deployment.split, deployment.formats


def held(deployment: Held) -> tuple[Runtime, Split, Formats, Limits]:
    """The parts that the memory account depends on; deployments with equal ones hold as much."""
    return deployment.runtime, deployment.split, deployment.formats, deployment.limits


DEPLOYMENT_READERS: Final[Mapping[str, fields.Reader]] = {
    **RUNTIME_READERS,
    **SPLIT_READERS,
    **FORMATS_READERS,
    **LIMITS_READERS,
    **CLUSTER_READERS,
}


def read_deployment(value: Any, where: str = "deployment") -> Deployment:
    """A deployment from its mapping; splits are checked against model and hardware later, when both are known."""
    if isinstance(value, Deployment):
        return value
    return Deployment.of(**fields.read(dict, value, where, DEPLOYMENT_READERS))
