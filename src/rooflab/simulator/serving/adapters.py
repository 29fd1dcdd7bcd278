"""LoRA adapters on the GPU of a replica: a few run at once, and one that is not there is loaded first."""

from __future__ import annotations

from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.state import Sim

__all__ = ["adapter_fits", "drop_adapter", "use_adapter"]


@compiled
def adapter_fits(sim: Sim, r: int, adapter: int) -> bool:
    """Whether a request of this adapter (−1: none) may run beside the adapters that run now."""
    rep = sim.reps[r]
    return (
        adapter < 0
        or rep.max_adapters == 0
        or sim.adapters[r, adapter].running > 0
        or rep.active_adapters < rep.max_adapters
    )


@compiled
def use_adapter(sim: Sim, r: int, adapter: int, now: float) -> None:
    """One more running request of an adapter; one that is not on the GPU is loaded in place of the one unused for
    longest."""
    rep = sim.reps[r]
    if adapter < 0 or rep.max_adapters == 0:
        return
    table = sim.adapters[r]
    mine = table[adapter]
    if mine.running == 0:
        rep.active_adapters += 1
    mine.running += 1
    if mine.used_s < 0.0:
        rep.extra_s += rep.adapter_load_s
        loaded = 0
        oldest = -1
        for a in range(len(table)):
            if table[a].used_s >= 0.0:
                loaded += 1
                if table[a].running == 0 and (oldest < 0 or table[a].used_s < table[oldest].used_s):
                    oldest = a
        if loaded >= rep.max_adapters:
            table[oldest].used_s = -1.0
    mine.used_s = now


@compiled
def drop_adapter(sim: Sim, r: int, adapter: int) -> None:
    """One running request less of an adapter."""
    rep = sim.reps[r]
    if adapter < 0 or rep.max_adapters == 0:
        return
    sim.adapters[r, adapter].running -= 1
    if sim.adapters[r, adapter].running == 0:
        rep.active_adapters -= 1
