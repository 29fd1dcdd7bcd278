"""The answer of `estimate`: a flat record with the names of DESIGN.md, and how it was arrived at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from rooflab.costs.provenance import kind_of
from rooflab.errors import unknown
from rooflab.metrics.value import Kind, Value
from rooflab.scenario.scenario import Scenario

__all__ = ["BOTTLENECKS", "Estimate", "ValueOf"]

BOTTLENECKS: Final = ("weights bandwidth", "arithmetic", "attention", "communication", "host", "offload")
"""What a mean step spends most of its time on; attention is cache bandwidth in decode, arithmetic in prefill."""

_KINDS: Final[dict[str, Kind]] = {
    "limit_output_tokens_per_s_per_gpu": "roofline", "weights_bytes": "datasheet", "devices": "datasheet",
    "usd_per_hour": "datasheet",
}  # fmt: skip
"""Metrics that rest on no price of a step."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Metrics of one scenario by name; also as attributes (``result.output_tokens_per_s``).

    `scenario` is the completed one, so its deployment says what was chosen where the user left it open. `value_of`:
    who knows the intervals (`value` asks it); None: no interval is known.
    """

    scenario: Scenario
    metrics: dict[str, Any]
    saturated: bool
    value_of: ValueOf | None = field(default=None, repr=False, compare=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "metrics":
            raise AttributeError(name)
        try:
            return self.metrics[name]
        except KeyError:
            raise AttributeError(f"no metric called {name!r}") from None

    @property
    def bottleneck(self) -> str:
        """What a mean step spends most of its time on."""
        return BOTTLENECKS[int(self.metrics["bottleneck_index"])]

    def value(self, name: str) -> Value:
        """The metric `name` with what it rests on, and its interval where measured rows of its kind give one.

        Raises InputError for a metric that an estimate has no number for.
        """
        if self.value_of is not None:
            return self.value_of(self, name)
        numbers = [known for known in self.metrics if known != "bottleneck_index"]
        if name not in numbers:
            raise unknown("metric with a number", name, numbers)
        s = self.scenario
        kind = _KINDS.get(name) or kind_of(s.model, s.hardware, s.deployment.runtime)
        return Value(metric=name, number=float(self.metrics[name]), kind=kind)

    @property
    def values(self) -> dict[str, Value]:
        """All metrics that are numbers, as `value` gives them."""
        return {name: self.value(name) for name in self.metrics if name != "bottleneck_index"}

    def record(self) -> dict[str, Any]:
        """Metrics as plain JSON values: NaN and infinity become None, the bottleneck is named."""
        out = {k: (v if np.isfinite(v) else None) for k, v in self.metrics.items() if k != "bottleneck_index"}
        out["bottleneck"] = self.bottleneck
        out["saturated"] = self.saturated
        return out

    def meets(self) -> list[tuple[str, float, float]]:
        """The service levels that are broken: (metric, got, limit); empty when all hold."""
        broken = []
        for key, limit in self.scenario.slo:
            got = self.metrics[self.scenario.slo.metric(key)]
            if not got <= limit:
                broken.append((key, got, limit))
        return broken


ValueOf = Callable[[Estimate, str], Value]
"""A metric of an estimate with its interval."""
