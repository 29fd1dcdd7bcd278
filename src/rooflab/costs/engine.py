"""What an engine adds to a step beyond its kernels: host time, launches outside graphs, skew of collectives.

    step += fixed + layer · layers + sequence · sequences;  all-reduces take `skew` times the kernel's time
    TTFT += frontend;  in a closed loop a prompt meets `convoy` others that arrive with it

Constants by engine, in `fits/engines.json`, each with its provenance. Without evidence an engine gets the
prior: 0.5 ms, 5 µs a layer, 10 µs a sequence.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from rooflab.scenario.deployment import Deployment

__all__ = ["EngineOverhead", "engine_overhead"]


@dataclass(frozen=True, slots=True)
class EngineOverhead:
    """Seconds per step, per layer, per sequence; factor on all-reduce time; request handling before the first step (`frontend_s`);
    prompts that arrive together in a closed loop (`convoy`); where the numbers come from.
    """

    fixed_s: float
    layer_s: float
    sequence_s: float
    skew: float
    frontend_s: float
    convoy: float
    provenance: str
    source: str


@cache
def _table() -> Mapping[str, Any]:
    text = resources.files("rooflab.costs").joinpath("fits/engines.json").read_text(encoding="utf-8")
    table: Mapping[str, Any] = json.loads(text)
    return table


@lru_cache(maxsize=1024)
def _overhead(engine: str, host: str, cuda_graphs: bool, moe: bool) -> EngineOverhead:
    table = _table()
    entry = table["engines"].get(f"{engine}/moe" if moe else engine) or table["engines"].get(engine) or table["prior"]
    slow = table["slow_host"] if host == "slow" else {"fixed_s": 0.0, "sequence_s": 0.0}
    eager_s = 0.0 if cuda_graphs or entry.get("eager") else table["eager"]["layer_s"]
    return EngineOverhead(
        fixed_s=entry["fixed_s"] + slow["fixed_s"],
        layer_s=entry["layer_s"] + eager_s,
        sequence_s=entry["sequence_s"] + slow["sequence_s"],
        skew=entry.get("skew", 1.0),
        frontend_s=entry.get("frontend_s", table["prior"]["frontend_s"]),
        convoy=entry.get("convoy", table["prior"]["convoy"]),
        provenance=entry["provenance"],
        source=entry["source"],
    )


def engine_overhead(deployment: Deployment, *, moe: bool) -> EngineOverhead:
    """The overhead of a deployment's engine on its kind of host."""
    return _overhead(deployment.engine, deployment.host, deployment.cuda_graphs, moe)
