"""Routers: which replica takes a request, from what a router can see of each.

    round-robin       the next one in turn
    least-loaded      fewest tokens (prompt and predicted answer) of requests present
    jsq               join the shortest queue: fewest requests present
    power-of-two      the shorter of two drawn at random (Mitzenmacher 2001)
    prefix-affinity   the longest cached prefix, unless that replica is much busier than the least busy one
    session           sessions stay where they began (by number); others take turns

Prefill and decode pools take their own part of the work; a cluster that spills lends decode replicas to prompts.
Prefix affinity gives way to balance as SGLang's router does: when the busiest replica has more than `balance_gap`
requests and `balance_ratio` times those of the least busy, the shortest queue is joined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rooflab.errors import unknown

__all__ = ["ROUTERS", "RouteFunction", "route_signature", "router_number"]

ROUTERS: Final = ("round-robin", "least-loaded", "jsq", "power-of-two", "prefix-affinity", "session")
ROUTER_ALIASES: Final = {"join-shortest-queue": "jsq", "po2": "power-of-two", "cache-aware": "prefix-affinity"}
ROUND_ROBIN: Final = ROUTERS.index("round-robin")
LEAST_LOADED: Final = ROUTERS.index("least-loaded")
POWER_OF_TWO: Final = ROUTERS.index("power-of-two")
PREFIX_AFFINITY: Final = ROUTERS.index("prefix-affinity")
SESSION: Final = ROUTERS.index("session")
OWN: Final = len(ROUTERS)

RouteFunction = Callable[..., int]
"""A user's router: (now_s, input_tokens, session, client, eligible, waiting, running, load_tokens, free_blocks,
cached_tokens) -> replica.

The last six are int64 arrays over replicas; `eligible` is 1 where the request may go, and the answer must be one of
those (any other means the first eligible one). Called once for each request."""


def route_signature() -> Any:
    """numba's signature of a RouteFunction."""
    from numba import types

    return types.int64(types.float64, types.int64, types.int64, types.int64, *[types.int64[::1]] * 6)


def router_number(router: str | RouteFunction, where: str = "deployment.router") -> int:
    """How the loop knows a router: its place in ROUTERS, or OWN."""
    if not isinstance(router, str):
        return OWN
    name = ROUTER_ALIASES.get(router, router)
    if name not in ROUTERS:
        raise unknown("router", router, (*ROUTERS, *ROUTER_ALIASES), where)
    return ROUTERS.index(name)
