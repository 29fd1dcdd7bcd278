"""Number formats that a deployment asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from rooflab.scenario import fields
from rooflab.scenario.dtype import dtype

__all__ = ["FORMATS_READERS", "Formats"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """Formats of weights, activations, routed experts and KV cache; None: the model's own."""

    weights: str | None = None
    activations: str | None = None
    experts: str | None = None
    kv: str | None = None


def _format(value: Any, where: str) -> str:
    return dtype(str(value), where).name


FORMATS_READERS: Final[dict[str, fields.Reader]] = dict.fromkeys(("weights", "activations", "experts", "kv"), _format)
