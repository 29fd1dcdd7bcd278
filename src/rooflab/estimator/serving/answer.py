"""The answer of `estimate`: a flat record with the names of DESIGN.md, and how it was arrived at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rooflab.scenario.scenario import Scenario

__all__ = ["BOTTLENECKS", "Estimate"]

BOTTLENECKS: Final = ("weights bandwidth", "arithmetic", "attention", "communication", "host", "offload")
"""What a mean step spends most of its time on; attention is cache bandwidth in decode, arithmetic in prefill."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Metrics of one scenario by name; also as attributes (``result.output_tokens_per_s``).

    `scenario` is the completed one, so its deployment says what was chosen where the user left it open.
    """

    scenario: Scenario
    metrics: dict[str, Any]
    saturated: bool

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
