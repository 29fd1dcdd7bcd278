"""Engines as rows: what distinguishes the schedulers of real serving engines, in six choices.

    name                        mixed  chunked  reserve  gated   victim           other
    static (FasterTransformer)  no     no       whole    yes     none             a batch ends when its longest ends
    orca                        yes    no       whole    no      none             no token budget
    turbomind (LMDeploy)        yes    no       prompt   no      last admitted    no token budget
    vllm-v0                     no     no       prompt   no      last admitted    prefill first, 1 % of blocks kept free
    vllm (v1)                   yes    yes      chunk    no      last admitted    running before waiting
    sglang                      no     yes      chunk    no      least progress   admits by estimated need
    trtllm-guaranteed-no-evict  yes    yes      whole    no      none
    trtllm-max-utilization      yes    yes      prompt   no      last admitted

*mixed*: prompts and decodes share a step; otherwise a step with prompts stops the decodes.  *chunked*: a
prompt may take several steps.  *reserve*: the blocks that admission must find (and, but for `chunk`, takes).
*gated*: none is admitted while a batch runs.  *victim*: who loses its blocks when decoding needs more.

Sources: FasterTransformer and Orca: Yu et al., OSDI 2022, sections 2 and 4; LMDeploy 0.6
`turbomind/models/llama/SequenceManager.cc` (blocks are handed out as sequences grow, later ones give theirs up);
vLLM 0.6 `core/scheduler.py` and 0.10 `v1/core/sched/scheduler.py`; SGLang 0.4 `schedule_policy.py` (new-token ratio
0.7 falling to 0.098 over 600 steps, retraction keeps 20 tokens a sequence); TensorRT-LLM 1.0 capacity scheduler
documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from rooflab.errors import unknown
from rooflab.scenario.deployment import Deployment

__all__ = ["ENGINE_RULES", "ENGINE_SCHEDULERS", "EngineRules", "engine_rules", "scheduler_of"]


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
    "turbomind": EngineRules(mixed=True, chunked=False, reserve="prompt", budgeted=False),
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

ENGINE_SCHEDULERS: Final = {
    "vllm": "vllm", "sglang": "sglang", "trtllm": "trtllm-guaranteed-no-evict", "tgi": "orca", "lmdeploy": "turbomind",
    "deepspeed": "vllm",
    "fastertransformer": "static", "transformers": "static", "pytorch": "static", "onnxruntime": "static",
    "neuron": "vllm-v0",
    "llamacpp": "vllm", "mlx": "vllm", "ideal": "vllm",
}  # fmt: skip
"""The scheduler whose rules stand for an engine, unless the deployment names another."""


def engine_rules(name: str, where: str = "deployment.scheduler") -> EngineRules:
    """Rules of the engine called `name`."""
    if name not in ENGINE_RULES:
        raise unknown("engine scheduler", name, ENGINE_RULES, where)
    return ENGINE_RULES[name]


def scheduler_of(deployment: Deployment) -> str:
    """The scheduler that a completed deployment names, or that of its engine."""
    return deployment.limits.scheduler or ENGINE_SCHEDULERS[deployment.runtime.engine]
