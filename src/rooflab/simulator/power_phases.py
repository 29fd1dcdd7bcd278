"""What a server's job takes and draws while it reads prompts and while it generates, at several clocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rooflab.deploy.engine import Engine
from rooflab.scenario.workload import Workload

__all__ = ["Phases", "phases_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """A server's job at each clock: seconds and watts of its prompt and token phase, watts idle; `rated_w` provisions
    it."""

    prompt_s: tuple[float, ...]
    token_s: tuple[float, ...]
    prompt_w: tuple[float, ...]
    token_w: tuple[float, ...]
    idle_w: tuple[float, ...]
    rated_w: float

    def loss(self, clock: int) -> float:
        """Latency that a job loses at a clock, as a share."""
        return (self.prompt_s[clock] + self.token_s[clock]) / (self.prompt_s[0] + self.token_s[0]) - 1.0


def phases_of(
    engine: Engine, workload: Workload, *, in_flight: float, clocks: Sequence[float], host_share: float = 1.0
) -> Phases:
    """Phases of a host full of engines like `engine`, each with `in_flight` requests of the mean lengths of `workload`.

    `clocks` are shares of the clock that the hardware runs at. Beside its devices the host draws the share `host_share`
    of what it is rated at, at all times; that rating must be known, and an engine fit into one host.
    """
    h = engine.hardware
    host_w = host_share * h.host_power_w
    per = engine.deployment.split.devices_per_replica
    engines, n = h.devices_per_host // per, in_flight
    prompt, output = workload.mean_prompt_tokens, max(workload.mean_output_tokens, 1.0)
    columns: list[tuple[float, ...]] = []
    for clock in clocks:
        cost = engine.on(replace(h, clock=clock * h.clock)).step_cost
        read = cost.step(n_prefill=n, prefill_tokens=n * prompt, area=n * prompt**2 / 2)
        made = cost.step(n_decode=n, context=n * (prompt + output / 2))
        watts = [host_w + engines * float(r.joules[0] / r.seconds[0]) for r in (read, made)]
        seconds = (float(read.seconds[0]), output * float(made.seconds[0]))
        columns.append((*seconds, *watts, host_w + engines * cost.scalar("idle_w")))
    prompt_s, token_s, prompt_w, token_w, idle_w = zip(*columns, strict=True)
    return Phases(
        prompt_s=prompt_s, token_s=token_s, prompt_w=prompt_w, token_w=token_w, idle_w=idle_w,
        rated_w=h.host_power_w + engines * per * h.device.tdp_w,
    )  # fmt: skip
