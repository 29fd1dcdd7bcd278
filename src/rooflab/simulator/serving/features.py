"""What a run uses beside the plain loop.

Each feature is a part of the loop that is compiled only where it is asked for (compiled.py); a loop with more than a
run needs gives the same answers.
"""

from __future__ import annotations

import math
from typing import Any, Final

from rooflab.simulator.serving import router, rules
from rooflab.simulator.serving.state import BOTH, FAIL, UP, Sim

__all__ = ["IN_WORDS", "needed"]

IN_WORDS: Final = {
    "replicas": "several engines",
    "clients": "fairness among clients",
    "prefixes": "prefix caches",
    "tiers": "cache tiers",
    "adapters": "adapters",
    "turns": "turns",
    "swap": "swapping",
    "pools": "pools",
    "transfers": "transfers beside steps",
    "pacing": "paced admission",
    "buffers": "contiguous caches",
    "events": "failures and changes of speed",
    "outages": "engines that come and go",
    "autoscale": "autoscaling",
    "own_policy": "a policy of your own",
    "own_router": "a router of your own",
}
"""Each feature of `Sim` as people call it."""


def needed(sim: Sim) -> frozenset[str]:
    """The features that a run from this state uses."""
    reps: Any = sim.reps
    events: Any = sim.events
    g = sim.g[0]
    pools = bool((reps.role != BOTH).any())
    swap = bool((reps.swap_tokens > 0).any())
    fails = bool((events.kind == FAIL).any())
    autoscale = g.next_tick_s < math.inf
    uses = {
        "replicas": len(reps) > 1,
        "clients": g.n_clients > 1,
        "prefixes": bool((reps.unit_blocks > 0).any()),
        "tiers": bool((reps.host_units + reps.ssd_units > 0).any()),
        "adapters": sim.adapters.shape[1] > 0 and bool((reps.max_adapters > 0).any()),
        "turns": bool((reps.rotate_steps > 0).any()),
        "swap": swap,
        "pools": pools,
        "transfers": pools or (swap and bool(reps.swap_async.any())),
        "pacing": bool(((reps.admit_every > 1) | (reps.batch_wait_steps > 0)).any()),
        "buffers": bool((reps.buffers > 0).any()),
        "events": len(events) > 0,
        "outages": fails or autoscale or bool((reps.state != UP).any()),
        "autoscale": autoscale,
        "own_policy": bool((reps.policy == rules.OWN).any()),
        "own_router": g.router == router.OWN,
    }
    return frozenset(name for name, used in uses.items() if used)
