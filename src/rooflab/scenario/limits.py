"""What the scheduler of an engine may do: how much it holds and computes at once, whom it takes up and gives up.

A new setting is typed in here (field and reader), in `cli/scenario_flags.py` (its flag), and where the simulator obeys
it: in `simulator/serving/specs.py` (`Replica`) and in the rule itself, where it is ``rep.NAME``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from rooflab.errors import InputError
from rooflab.scenario import fields

__all__ = ["LIMITS_READERS", "Limits", "Rotation", "Swap"]


@dataclass(frozen=True, slots=True)
class Swap:
    """How a preempted sequence's cache goes to the host and back.

    Each copy of `run_blocks` adjacent blocks (of keys or values, in one layer) costs `call_s` to issue. `asynchronous`:
    beside the steps of the others, instead of between them. `reuse`: the host keeps its copy, and only what is new
    since goes out again.
    """

    call_s: float = 0.0
    run_blocks: float = 1.0
    asynchronous: bool = False
    reuse: bool = False


@dataclass(frozen=True, slots=True)
class Rotation:
    """Fairness by turns: every `steps` engine steps all requests draw new priorities, and who has a bad one gives way.

    "random": anew; "markov": those that run draw nearer the front by `sticky` (0 to 1).
    """

    steps: int
    pattern: Literal["random", "markov"] = "random"
    sticky: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits and rules of a scheduler; they carry vLLM's names.

    `max_num_seqs`, `max_num_batched_tokens` and `gpu_memory_utilization` are the engine's own where they are 0
    (`rooflab.deploy.defaults`).
    `admit_every`: decode steps between two looks at the waiting line (SGLang's scheduler-recv-interval);
    `batch_wait_steps`: decode steps that a prompt waits for others to share its step (TensorRT-LLM's
    batch_wait_timeout_iters).
    `buffers`: how the caches of a batch lie in memory: in blocks ("paged"), or one behind the other in a window that
    each step computes whole. When an answer in its middle ends, the window's last cache is copied into the hole
    ("compacted"), or the hole stays in memory and in the batch until the window's edge reaches it ("held").
    """

    max_num_seqs: int = 0
    max_num_batched_tokens: int = 0
    max_model_len: int | None = None
    block_size: int = 16
    gpu_memory_utilization: float = 0.0
    chunked_prefill: bool = True
    admit_every: int = 1
    batch_wait_steps: int = 0
    prefix_caching: bool = True
    scheduler: str | None = None
    policy: str = "fcfs"
    preemption: Literal["recompute", "swap"] = "recompute"
    swap: Swap | None = None
    rotation: Rotation | None = None
    buffers: Literal["paged", "compacted", "held"] = "paged"
    max_waiting: int | None = None


def _swap(value: Any, where: str) -> Swap:
    """Swapping from ``{call: 5 us, run_blocks: 20, asynchronous: true, reuse: true}``."""
    if isinstance(value, Swap):
        return value
    readers: Mapping[str, fields.Reader] = {
        "call": fields.quantity("time"), "run_blocks": fields.number(1), "asynchronous": fields.flag,
        "reuse": fields.flag,
    }  # fmt: skip
    read = fields.read(dict, value, where, readers)
    return Swap(**{{"call": "call_s"}.get(str(k), str(k)): v for k, v in read.items()})


def _rotation(value: Any, where: str) -> Rotation:
    """A rotation from ``25`` (steps) or ``{steps: 25, pattern: markov, sticky: 0.5}``."""
    if isinstance(value, Rotation):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"steps": value}
    readers: Mapping[str, fields.Reader] = {
        "steps": fields.at_least(1), "pattern": fields.choice("random", "markov"), "sticky": fields.number(0, 1),
    }  # fmt: skip
    read = fields.read(dict, value, where, readers)
    if "steps" not in read:
        raise InputError("a rotation needs steps, for example {steps: 25}", where)
    return Rotation(**{str(k): v for k, v in read.items()})


LIMITS_READERS: Final[dict[str, fields.Reader]] = {
    "max_num_seqs": fields.at_least(1),
    "max_num_batched_tokens": fields.at_least(1),
    "max_model_len": fields.at_least(1),
    "block_size": fields.at_least(1, 10**6),
    "gpu_memory_utilization": fields.number(0, 1, exclusive=True),
    "chunked_prefill": fields.flag,
    "admit_every": fields.at_least(1),
    "batch_wait_steps": fields.integer,
    "prefix_caching": fields.flag,
    "scheduler": fields.text,
    "policy": fields.text,
    "preemption": fields.choice("recompute", "swap"),
    "swap": _swap,
    "rotation": _rotation,
    "buffers": fields.choice("paged", "compacted", "held"),
    "max_waiting": fields.integer,
}
