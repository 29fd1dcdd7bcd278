"""Clusters of mixed and of split machines, and whether they keep the slow-downs: what the provisioning searches ask."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from rooflab.deploy.engine import engines_of
from rooflab.library.serving.splitwise.rates import LIMITS, Alone, slow_downs
from rooflab.library.serving.splitwise.search import best_split, cheapest, highest_rate
from rooflab.library.serving.splitwise.technique import Splitwise
from rooflab.papers.lab import Lab
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario

__all__ = ["Design", "Fleet", "Pools", "work_s"]

Pools = tuple[int, int]
"""Prompt and token machines."""
_TOGETHER: Final = 16
"""Sequences of a token machine at which the searches begin."""


@dataclass(frozen=True, slots=True)
class Design:
    """Prompt and token machines by device; GPUs of the latter are capped at the share `token_power` of their limit."""

    prompt: str
    token: str
    token_power: float = 1.0

    def technique(self, pools: Pools) -> Technique:
        """The pools of this design."""
        other = "" if self.token == self.prompt else self.token
        return Splitwise(prefill=pools[0], decode=pools[1], decode_hardware=other, decode_power=self.token_power)

    def machines(self, pools: Pools) -> int:
        """Machines of the first kind."""
        return pools[0] + pools[1] if self.token == self.prompt else pools[0]


class Fleet:
    """Clusters of any size under one load, each question asked of the lab once.

    `cluster` makes a cluster of so many mixed machines of a device, `at` puts a load of so many requests a second on
    it; `reference` is one machine on which a request is alone. Rates are multiples of `step` up to `most`.
    """

    def __init__(
        self,
        lab: Lab,
        cluster: Callable[[str, int], Scenario],
        at: Callable[[Scenario, float], Scenario],
        *,
        reference: Scenario,
        step: float,
        most: float,
        limits: Mapping[str, Sequence[float]] = LIMITS,
    ) -> None:
        self._lab, self._cluster, self._at, self._reference = lab, cluster, at, reference
        self._step, self._most, self._limits = step, most, limits
        self._works: dict[str, tuple[float, float]] = {}

    def holds(self, cluster: Scenario, technique: Technique | None, rate: float) -> bool:
        """Whether a rate keeps all nine slow-downs."""
        lab = self._lab
        made = lab.cached(("cluster as priced", cluster, technique), lambda: lab.priced_as(cluster, technique))
        engines = lab.cached(("engines", cluster, technique), lambda: engines_of(made))
        result = lab.simulate(self._at(made, rate), engines=engines)
        if result.metrics["pending"]:
            return False
        alone = lab.cached(("alone", self._reference), lambda: Alone(lab.step_cost(self._reference)))
        got = slow_downs(result, alone)
        return all((got[name] <= np.asarray(self._limits[name])).all() for name in got)

    def mixed(self, device: str, machines: int) -> float:
        """Highest rate of a cluster of mixed machines."""
        cluster = self._cluster(device, machines)
        prompt_s, token_s = self._work_s(device)
        return highest_rate(
            lambda rate: self.holds(cluster, None, rate), self._step, self._most,
            guess=0.4 * machines / (prompt_s + token_s),
        )  # fmt: skip

    def split(self, design: Design, pools: Pools, above: float = 0.0) -> float:
        """Highest rate of a split, `above` where it is no higher."""
        cluster, technique = self._cluster(design.prompt, design.machines(pools)), design.technique(pools)
        work_s = self._work_s(design.prompt)[0], self._work_s(design.token)[1]
        guess = 0.7 * min(n / s for n, s in zip(pools, work_s, strict=True))
        return highest_rate(
            lambda rate: self.holds(cluster, technique, rate), self._step, self._most, above=above, guess=guess
        )

    def best(self, design: Design, splits: Sequence[Pools]) -> tuple[float, Pools]:
        """Highest rate over `splits`, and the one that has it."""
        by_prompts = {pools[0]: pools for pools in splits}
        prompt_s, token_s = self._work_s(design.prompt)[0], self._work_s(design.token)[1]
        start = min(splits, key=lambda pools: abs(pools[0] / prompt_s - pools[1] / token_s))[0]
        rate, prompts = best_split(lambda p, above: self.split(design, by_prompts[p], above), sorted(by_prompts), start)
        return rate, by_prompts[prompts]

    def cheapest(self, design: Design, rate: float, most: Pools, price: tuple[float, float]) -> Pools | None:
        """Pools that sustain `rate` at the lowest price (one of a prompt and of a token machine), at most `most`."""

        def holds(p: int, t: int) -> bool:
            cluster = self._cluster(design.prompt, design.machines((p, t)))
            return self.holds(cluster, design.technique((p, t)), rate)

        prompt_s, token_s = self._work_s(design.prompt)[0], self._work_s(design.token)[1]
        start = math.ceil(1.2 * rate * prompt_s), math.ceil(1.2 * rate * token_s)
        return cheapest(holds, most, price, start=start)

    def fewest(self, device: str, rate: float, most: int) -> int | None:
        """The fewest mixed machines that sustain `rate`, at most `most`."""
        start = math.ceil(2.0 * rate * sum(self._work_s(device)))
        found = cheapest(
            lambda p, t: self.holds(self._cluster(device, p), None, rate), (most, 1), (1.0, 1.0), start=(start, 1)
        )
        return None if found is None else found[0]

    def _work_s(self, device: str) -> tuple[float, float]:
        if device not in self._works:
            self._works[device] = work_s(self._lab, self._cluster(device, 1))
        return self._works[device]


def work_s(lab: Lab, machine: Scenario) -> tuple[float, float]:
    """Seconds of a machine that a mean request takes in its prompt and, beside fifteen others, in its tokens."""
    w, cost = machine.workload, lab.step_cost(machine)
    isl, osl, n = w.mean_prompt_tokens, w.mean_output_tokens, _TOGETHER
    read = cost.step(n_prefill=1, prefill_tokens=isl, area=isl**2 / 2)
    made = cost.step(n_decode=n, context=n * (isl + osl / 2))
    return float(read.seconds[0]), osl * float(made.seconds[0]) / n
