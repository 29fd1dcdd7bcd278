"""Two pools that keep pace with each other: sequences that decode, requests a second, first tokens.

The decode pool finishes `pace(n)` requests a second with n sequences in it; the prefill pool must deliver as many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.deploy.engine import Engine
from rooflab.estimator.serving.prompt_queue import FirstTokens, Servers
from rooflab.search.highest import arithmetic, highest

__all__ = ["Loop", "Prompts", "Settled", "of_users", "of_backlog", "at_rate"]

Array = npt.NDArray[np.float64]
Pace = Callable[[float], float]

_FULL: Final = 0.98
"""Load up to which the line of prompts is taken as that of an open loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The prefill pool: its kinds of engines as `servers`, what a prompt takes alone in it (`service_s` (N,) of equally
    likely prompts), and the power of each kind while it works.

    `seen_s` is what a client sees of a first token beside prompt and wait: frontend, handoff and the tail of the
    cache's way; `user_s` what each further user adds to it.
    """

    kinds: tuple[Engine, ...]
    servers: Servers
    service_s: Array
    seen_s: float
    user_s: float
    power_w: tuple[float, ...]

    def first_tokens(self, load: float) -> FirstTokens:
        """First tokens of an open loop at a load."""
        waiting = self.servers.waiting(load)
        wait_s = self.servers.wait_s(load) / max(waiting, 1e-12)
        return FirstTokens(
            alone_s=self.seen_s + self.service_s, waiting=waiting, wait_s=wait_s, deviation_s=wait_s, first=0.0,
            opening_s=np.zeros(0),
        )  # fmt: skip

    def shared_by(self, load: float, running: float, loop: Loop) -> FirstTokens:
        """First tokens of a closed loop at a load, while `running` of its users decode."""
        queue, plain = self.servers, self.first_tokens(load)
        each = loop.users / queue.count
        prompt_s = queue.step_s / queue.together
        # nobody waits for more than the prompts of all others
        wait_s = min(plain.wait_s, max(each - 1, 0.0) / 2 * prompt_s)
        steps = np.ceil(each / queue.together)
        wave_s = max(each * prompt_s, float(self.service_s.mean()))
        seen_s = self.seen_s + self.user_s * loop.users / loop.engines
        return replace(
            plain,
            alone_s=seen_s + self.service_s,
            wait_s=wait_s,
            deviation_s=min(wait_s, prompt_s / queue.count * np.sqrt(running / 2)),
            first=loop.first,
            opening_s=seen_s + wave_s * np.arange(1, steps + 1) / steps,
        )

    def draw_w(self, load: float) -> float:
        """Power of the pool at a load."""
        return sum(
            e.replicas
            * (e.deployment.split.devices_per_replica * e.hardware.device.idle_w * (1 - load) + load * busy_w)
            for e, busy_w in zip(self.kinds, self.power_w, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """`users` of a closed loop over `engines` frontends; a share `first` of their requests starts together."""

    users: float
    engines: int
    first: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Where prompts and answers keep pace: requests/s, load of the prefill pool, sequences that decode, first tokens.

    `held_s`: wait for a place in a decode pool that is full, after the first token.
    """

    requests_per_s: float
    load: float
    running: float
    first: FirstTokens
    saturated: bool
    held_s: float = 0.0


def at_rate(prompts: Prompts, pace: Pace, capacity: float, rate: float) -> Settled:
    """Requests that come at `rate`; `capacity` sequences fit the decode pool, which finishes `pace(n)` with n of
    them."""
    most = min(prompts.servers.most, pace(capacity))
    return Settled(
        requests_per_s=min(rate, most),
        load=min(rate / prompts.servers.most, 1.0),
        running=_below(lambda n: pace(n) <= rate, capacity),
        first=prompts.first_tokens(min(rate / prompts.servers.most, _FULL)),
        saturated=rate >= most,
    )


def of_users(prompts: Prompts, pace: Pace, capacity: float, loop: Loop) -> Settled:
    """Users that ask again when they are answered: those that do not decode wait for a first token (Little's law)."""
    most = prompts.servers.most

    def tokens(n: float) -> FirstTokens:
        return prompts.shared_by(min(pace(n) / most, _FULL), n, loop)

    running = _below(
        lambda n: pace(n) <= most and n + pace(n) * tokens(n).mean <= loop.users, min(capacity, loop.users)
    )
    served, found = min(pace(running), most), tokens(running)
    missing_s = max((loop.users - running) / served - found.mean, 0.0)
    held_s = 0.0
    if served < 0.999 * most:  # the decode pool is full: the line is behind the first token
        held_s = missing_s
    elif (
        missing_s > 0 and found.first < 1
    ):  # the prefill pool is: everybody waits, in a line that is as long as it has to be
        wait_s = found.waiting * found.wait_s + missing_s / (1 - found.first)
        deviation_s = min(wait_s, np.sqrt(running / 2) / served)
        found = replace(found, waiting=1.0, wait_s=wait_s, deviation_s=deviation_s)
    return Settled(
        requests_per_s=served, load=min(served / most, 1.0), running=running, first=found, held_s=held_s,
        saturated=False,
    )  # fmt: skip


def of_backlog(prompts: Prompts, pace: Pace, capacity: float) -> Settled:
    """As many requests at once as can be served."""
    most = prompts.servers.most
    running = _below(lambda n: pace(n) <= most, capacity)
    load = min(pace(running) / most, 1.0)
    first = prompts.first_tokens(min(load, _FULL))
    return Settled(requests_per_s=load * most, load=load, running=running, first=first, saturated=False)


def _below(holds: Callable[[float], bool], most: float) -> float:
    """The largest number of sequences up to `most` at which something `holds`."""
    if holds(most):
        return most
    return highest(holds, 1e-9, most, halve=arithmetic, tolerance=1e-9) or 1e-9
