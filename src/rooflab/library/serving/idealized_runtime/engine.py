"""Timings that the engine gives of the authors' protocol: one request at a time, prompts and answers of their lengths.

Their build, Megatron-LM of 2022, launches kernels one by one, keeps the scores of attention in memory and computes
logits at every position of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rooflab.costs.step import StepCost
from rooflab.library.serving.idealized_runtime.cost import OUTPUTS, PROMPTS, grid
from rooflab.library.serving.idealized_runtime.fit import F64, Timings
from rooflab.operators.ops import AttentionOp, Collective, Elementwise, Operator
from rooflab.papers.lab import Lab
from rooflab.scenario.scenario import Scenario

__all__ = ["ScoresInMemory", "launch_s", "profile"]


@dataclass(frozen=True, slots=True)
class ScoresInMemory:
    """A rewrite: unfused kernels write and read the scores of prompts (product, softmax in and out, product) and copy
    the logits."""

    prompt: int

    def __call__(self, operators: Sequence[Operator]) -> tuple[Operator, ...]:
        """Each attention is followed by four passes over heads · prompt² 16-bit scores; gathered logits are joined,
        transposed and turned into 32 bits (14 bytes each: 2 + 2, 2 + 2, 2 + 4)."""
        out: list[Operator] = []
        for op in operators:
            out.append(op)
            if isinstance(op, AttentionOp):
                out.append(Elementwise("scores", "attention", op.count, op.heads * float(self.prompt) ** 2 * 2.0 * 4.0))
            elif isinstance(op, Collective) and op.name == "logits gather":
                out.append(Elementwise("copies of logits", "head", 1.0, op.message_bytes * 7.0, 3.0))
        return tuple(out)


def launch_s(lab: Lab, scenario: Scenario) -> float:
    """Seconds in which the host launches a layer's kernels; 0 where they are captured in graphs."""
    runtime = scenario.deployment.runtime
    if runtime.engine != "pytorch" or runtime.cuda_graphs:
        return 0.0
    source = "single-GPU models of the authors' build, 24 to 50 layers, show 0.73 to 0.77 ms; the middle of these"
    return lab.assume("launch of a layer, s", 0.75e-3, low=0.73e-3, high=0.77e-3, source=source)


def profile(lab: Lab, scenario: Scenario, *, unfused: bool = False, launches: bool = True) -> Timings:
    """Runtimes of one request at a time on `scenario` (completed), at the authors' prompts and answers.

    `unfused`: attention and logits as in Megatron-LM. `launches`: steps wait for the host's launches, else kernels are
    timed alone. Prompts go on, each twice the one before, until that of the workload is reached.
    """
    prompts = list(PROMPTS)
    while prompts[-1] < scenario.workload.mean_prompt_tokens:
        prompts.append(2 * prompts[-1])
    floor_s = launch_s(lab, scenario) * scenario.model.layers if launches else 0.0
    cost = lab.step_cost(scenario)
    rows = []
    for p in prompts:
        changed = replace(scenario, rewrites=(*scenario.rewrites, ScoresInMemory(p))) if unfused else scenario
        prompt_s = _prompt_s(lab.step_cost(changed) if unfused else cost, p, p if unfused else 1)
        further_s = np.concatenate([[0.0], np.cumsum(_token_s(cost, p, floor_s))])
        rows.append(max(prompt_s, floor_s) + further_s[np.array(OUTPUTS) - 1])
    p_all, o_all = grid(np.array(prompts, dtype=np.float64), np.array(OUTPUTS, dtype=np.float64))
    return Timings(p_all, o_all, np.concatenate(rows))


def _prompt_s(cost: StepCost, prompt: int, rows: int) -> float:
    """A prompt alone, with logits at `rows` of its positions."""
    step = cost.step(n_prefill=1, prefill_tokens=prompt, area=prompt * (prompt + 1) / 2, rows=rows)
    return float(step.seconds[0])


def _token_s(cost: StepCost, prompt: int, floor_s: float) -> F64:
    """Seconds of each token after the first; kernels that are launched slower than they run wait."""
    context = prompt + np.arange(1.0, max(OUTPUTS))
    zero = np.zeros_like(context)
    step = cost.stack().step(
        np.zeros(len(context), dtype=np.intp), n_decode=zero + 1.0, context=context, n_prefill=zero,
        prefill_tokens=zero, area=zero,
    )  # fmt: skip
    return np.maximum(step.seconds, floor_s + step.comm_s)
