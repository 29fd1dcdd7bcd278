"""Who goes next: the policies of a waiting line, by name, and a user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rooflab.errors import unknown

__all__ = [
    "FAIR",
    "LONGEST_PREFIX",
    "POLICIES",
    "KeyFunction",
    "key_signature",
    "policy_number",
]


POLICIES: Final = ("fcfs", "priority", "shortest", "shortest-predicted", "deadline", "fair", "longest-prefix")
"""Who goes next: arrival; lowest priority number; fewest tokens left (known, predicted); earliest deadline; least
served client; most tokens of the prompt in the prefix cache.

"fair" is the virtual token counter of Sheng et al. (OSDI 2024): a client's service is its prompt tokens computed plus
twice its tokens generated, and one that returns from idleness starts at the least of those waiting.  "longest-prefix"
is SGLang's "lpm" (its default in 2024): whoever waits is sorted by what the cache holds whenever requests are admitted,
so it does nothing without prefix caching."""
FCFS: Final = POLICIES.index("fcfs")
PRIORITY: Final = POLICIES.index("priority")
SHORTEST: Final = POLICIES.index("shortest")
SHORTEST_PREDICTED: Final = POLICIES.index("shortest-predicted")
DEADLINE: Final = POLICIES.index("deadline")
FAIR: Final = POLICIES.index("fair")
LONGEST_PREFIX: Final = POLICIES.index("longest-prefix")
OWN: Final = len(POLICIES)

KeyFunction = Callable[[float, float, float, float, float, float, float, float, float], float]
"""A user's policy: (arrival_s, input_tokens, tokens_left, predicted_left, priority, deadline_at_s, service,
preemptions, now_s) -> key.

Least key first, ties by arrival. Asked when a request joins the line and when it comes back to it."""


def key_signature() -> Any:
    """numba's signature of a KeyFunction."""
    from numba import types

    return types.float64(*[types.float64] * 9)


def policy_number(policy: str | KeyFunction, where: str = "deployment.policy") -> int:
    """How the loop knows a policy: its place in POLICIES, or OWN."""
    if not isinstance(policy, str):
        return OWN
    if policy not in POLICIES:
        raise unknown("policy", policy, POLICIES, where)
    return POLICIES.index(policy)
