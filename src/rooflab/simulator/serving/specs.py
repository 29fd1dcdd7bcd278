"""What is simulated: replicas with their prices, rules and limits, and how they stand together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from rooflab.costs.step import StepCost
from rooflab.deploy.rules import EngineRules
from rooflab.errors import InputError
from rooflab.simulator.serving.router import RouteFunction
from rooflab.simulator.serving.rules import KeyFunction

__all__ = ["Autoscale", "Cluster", "Failure", "Replica", "SpeedChange"]

Role = Literal["both", "prefill", "decode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One engine.

    `step_cost` prices its steps, `kv_blocks` blocks of `block_size` tokens hold its KV cache, `engine` names its
    scheduler's rules and `policy` who goes next. `lanes` pipeline stages run as many batches at once, each with its
    share of blocks and sequences. `tokens_per_step` is what a decoding sequence gains a step (above 1 under
    speculation). Requests beyond `max_waiting` in line are turned away.

    `kv_bytes_per_token` with a bandwidth prices moving KV: to the host when preempted (`swap_bytes` of host memory;
    0: recompute), from the tiers of the prefix cache (`host_cache_bytes`, `ssd_cache_bytes`), to a decode replica
    (`link_bytes_per_s`, `link_latency_s`, sent layer by layer over `layers`; 1: all after the prompt). `overlap` of
    host and SSD traffic hides behind the step. `max_adapters` LoRA adapters run at once (0: no limit), and one not
    on the GPU costs `adapter_bytes` over the host link.
    A token swaps no faster than its copies are issued, `swap_call_s_per_token`; with `swap_async` it runs beside the
    steps of the others, and with `swap_reuse` the host keeps its copy, so that only what is new since goes out again.
    Every `rotate_steps` steps (0: never) requests draw new priorities, those that run `sticky` nearer the front, and
    give way. While it decodes, a replica looks at its line every `admit_every` steps, and a prompt waits
    `batch_wait_steps` for others (until those that wait fill most of the token budget).
    `buffers` other than "paged" keep the caches of a batch one behind the other ("compacted", "held"); a token's cache
    moves in `move_s_per_token` on the device. A replica with `up` False waits for the autoscaler.
    """

    step_cost: StepCost
    kv_blocks: int = 1 << 40
    engine: str | EngineRules = "vllm"
    policy: str | KeyFunction = "fcfs"
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    block_size: int = 16
    max_model_len: int | None = None
    chunked_prefill: bool = True
    prefix_caching: bool = False
    role: Role = "both"
    lanes: int = 1
    tokens_per_step: float = 1.0
    max_waiting: int | None = None
    kv_bytes_per_token: float = 0.0
    swap_bytes: float = 0.0
    host_bytes_per_s: float = float("inf")
    host_cache_bytes: float = 0.0
    ssd_cache_bytes: float = 0.0
    ssd_bytes_per_s: float = float("inf")
    overlap: float = 1.0
    link_bytes_per_s: float = float("inf")
    link_latency_s: float = 0.0
    layers: int = 1
    max_adapters: int = 0
    adapter_bytes: float = 0.0
    up: bool = True
    startup_s: float = 0.0
    swap_call_s_per_token: float = 0.0
    swap_async: bool = False
    swap_reuse: bool = False
    rotate_steps: int = 0
    sticky: float = 0.0
    admit_every: int = 1
    batch_wait_steps: int = 0
    buffers: str = "paged"
    move_s_per_token: float = 0.0

    def __post_init__(self) -> None:
        for name in ("kv_blocks", "max_num_seqs", "max_num_batched_tokens", "block_size", "lanes", "layers"):
            if getattr(self, name) < 1:
                raise InputError(f"must be at least 1, got {getattr(self, name)}", f"replica.{name}")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise InputError(
                f"{self.max_num_batched_tokens} is less than max_num_seqs ({self.max_num_seqs}); every running "
                f"sequence takes a token",
                "replica.max_num_batched_tokens",
            )
        if self.tokens_per_step < 1:
            raise InputError(
                f"a step gains at least one token, got {self.tokens_per_step:g}", "replica.tokens_per_step"
            )
        if self.kv_blocks < self.lanes or self.max_num_seqs < self.lanes:
            raise InputError(f"{self.lanes} lanes need at least one block and one sequence each", "replica.lanes")


@dataclass(frozen=True, slots=True)
class Failure:
    """Replica `replica` dies at `at_s` and is back at `until_s` (inf: never)."""

    replica: int
    at_s: float
    until_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class SpeedChange:
    """From `at_s` on, device time of a step is `time_factor` times its price and its dynamic energy `energy_factor`
    times (a power cap, another clock); `replica` None: all."""

    at_s: float
    time_factor: float
    energy_factor: float = 1.0
    replica: int | None = None


@dataclass(frozen=True, slots=True)
class Autoscale:
    """Every `every_s`: keep as many replicas of each role up as hold `load` requests each, between `least` and `most`;
    idle ones drain."""

    load: float
    least: int = 1
    most: int | None = None
    every_s: float = 10.0

    def __post_init__(self) -> None:
        if self.most is not None and self.most < max(self.least, 1):
            raise InputError(
                f"at least {max(self.least, 1)} engines and at most {self.most} exclude each other",
                "deployment.autoscale",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Replicas behind a router. `balance_gap` and `balance_ratio`: when prefix affinity gives way to load (see
    router.py).

    `spill_tokens` (0: never): when every replica that takes prompts has more than so many tokens, a decode replica
    takes the prompt and answers it, too.
    """

    replicas: tuple[Replica, ...]
    router: str | RouteFunction = "round-robin"
    failures: tuple[Failure, ...] = ()
    speed: tuple[SpeedChange, ...] = ()
    autoscale: Autoscale | None = None
    balance_gap: int = 64
    balance_ratio: float = 1.5
    spill_tokens: int = 0

    def __post_init__(self) -> None:
        if not self.replicas:
            raise InputError("a cluster has at least one replica", "replicas")
        roles = {r.role for r in self.replicas}
        if "both" not in roles and roles != {"prefill", "decode"}:
            raise InputError("a prefill pool needs a decode pool and the other way round", "replicas")
        for failure in self.failures:
            if not 0 <= failure.replica < len(self.replicas):
                raise InputError(f"there is no replica {failure.replica} (0 to {len(self.replicas) - 1})", "failures")


ROLES: Final[tuple[Role, ...]] = ("both", "prefill", "decode")
