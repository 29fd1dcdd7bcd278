"""Engines as rows: what distinguishes the schedulers of real serving engines, in six choices.

    name                        mixed  chunked  reserve  gated   victim           other
    static (FasterTransformer)  no     no       whole    yes     none             a batch ends when its longest ends
    orca                        yes    no       whole    no      none             no token budget
    vllm-v0                     no     no       prompt   no      last admitted    prefill first, 1 % of blocks kept free
    vllm (v1)                   yes    yes      chunk    no      last admitted    running before waiting
    sglang                      no     yes      chunk    no      least progress   admits by estimated need
    trtllm-guaranteed-no-evict  yes    yes      whole    no      none
    trtllm-max-utilization      yes    yes      prompt   no      last admitted

*mixed*: prompts and decodes share a step; otherwise a step with prompts stops the decodes.  *chunked*: a
prompt may take several steps.  *reserve*: the blocks that admission must find (and, but for `chunk`, takes).
*gated*: none is admitted while a batch runs.  *victim*: who loses its blocks when decoding needs more.

Sources: FasterTransformer and Orca: Yu et al., OSDI 2022, sections 2 and 4; vLLM 0.6 `core/scheduler.py` and 0.10
`v1/core/sched/scheduler.py`; SGLang 0.4 `schedule_policy.py` (new-token ratio 0.7 falling to 0.098 over 600
steps, retraction keeps 20 tokens a sequence); TensorRT-LLM 1.0 capacity scheduler documentation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from rooflab.errors import unknown

__all__ = [
    "ENGINE_RULES",
    "FAIR",
    "LONGEST_PREFIX",
    "POLICIES",
    "EngineRules",
    "KeyFunction",
    "engine_rules",
    "key_signature",
    "policy_number",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRules:
    """How an engine forms a step; see the module. `watermark` is the share of blocks that admission leaves free,
    `budgeted` False lifts the token budget, `estimate` (start, least, fall a step) is SGLang's new-token ratio (start
    0: off) and `retract_tokens` the room for each sequence that a retraction makes."""

    mixed: bool
    chunked: bool
    reserve: Literal["chunk", "prompt", "whole"]
    gated: bool = False
    by_progress: bool = False
    budgeted: bool = True
    watermark: float = 0.0
    estimate: tuple[float, float, float] = (0.0, 0.0, 0.0)
    retract_tokens: int = 1


ENGINE_RULES: Final = {
    "static": EngineRules(mixed=False, chunked=False, reserve="whole", gated=True, budgeted=False),
    "orca": EngineRules(mixed=True, chunked=False, reserve="whole", budgeted=False),
    "vllm-v0": EngineRules(mixed=False, chunked=False, reserve="prompt", watermark=0.01),
    "vllm": EngineRules(mixed=True, chunked=True, reserve="chunk"),
    "sglang": EngineRules(
        mixed=False,
        chunked=True,
        reserve="chunk",
        by_progress=True,
        estimate=(0.7, 0.098, 0.602 / 600),
        retract_tokens=20,
    ),
    "trtllm-guaranteed-no-evict": EngineRules(mixed=True, chunked=True, reserve="whole"),
    "trtllm-max-utilization": EngineRules(mixed=True, chunked=True, reserve="prompt"),
}

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


def engine_rules(name: str, where: str = "deployment.scheduler") -> EngineRules:
    """Rules of the engine called `name`."""
    if name not in ENGINE_RULES:
        raise unknown("engine scheduler", name, ENGINE_RULES, where)
    return ENGINE_RULES[name]


def policy_number(policy: str | KeyFunction, where: str = "deployment.policy") -> int:
    """How the loop knows a policy: its place in POLICIES, or OWN."""
    if not isinstance(policy, str):
        return OWN
    if policy not in POLICIES:
        raise unknown("policy", policy, POLICIES, where)
    return POLICIES.index(policy)
