"""A landscape: throughput over numbers of GPUs and batch sizes; its best setting, peaks and cliffs, and what keeping
another landscape's best setting costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from rooflab.errors import Infeasible

__all__ = ["Cliff", "Key", "Landscape", "kept_setting", "retuning_gain", "trials_to_come_near"]

Key = tuple[int, int]
"""(GPUs, batch)."""


@dataclass(frozen=True, slots=True)
class Cliff:
    """Throughput falls from one setting to the next by a share."""

    before: Key
    after: Key
    share: float


@dataclass(frozen=True, slots=True)
class Landscape:
    """Throughput (generated tokens/s of all its GPUs together) by (GPUs, batch); settings that do not fit are absent.

    `noise`: by how much two measured settings may differ by chance, tokens/s by pair of settings (absent: not at all).
    """

    throughput: Mapping[Key, float]
    noise: Mapping[Key, float] = field(default_factory=dict)

    @property
    def best(self) -> Key:
        """The setting with the highest throughput. Raises Infeasible when nothing fits."""
        if not self.throughput:
            raise Infeasible("the model fits no number of these GPUs at any batch")
        return max(self.throughput, key=lambda k: (self.throughput[k], -k[0], -k[1]))

    @property
    def highest(self) -> float:
        """The highest throughput."""
        return self.throughput[self.best]

    def lines(self) -> Iterator[list[Key]]:
        """Settings in a row: batches of each number of GPUs, then numbers of GPUs at each batch."""
        for axis in (0, 1):
            for value in sorted({key[axis] for key in self.throughput}):
                yield sorted(key for key in self.throughput if key[axis] == value)

    def peaks(self, *, beyond_noise: bool = False) -> list[Key]:
        """Settings that beat each neighbour, of the next smaller and larger batch, and of fewer and more GPUs."""
        beaten: set[Key] = set()
        for line in self.lines():
            for a, b in pairwise(line):
                margin = self.noise.get(a, 0.0) + self.noise.get(b, 0.0) if beyond_noise else 0.0
                beaten |= {a} if self.throughput[a] <= self.throughput[b] + margin else set()
                beaten |= {b} if self.throughput[b] <= self.throughput[a] + margin else set()
        return sorted(key for key in self.throughput if key not in beaten)

    def cliffs(self, share: float) -> list[Cliff]:
        """Where one step to a larger batch, or to more GPUs, loses more than a share of the throughput."""
        found = [
            Cliff(a, b, 1 - self.throughput[b] / self.throughput[a])
            for line in self.lines() for a, b in pairwise(line) if self.throughput[b] < (1 - share) * self.throughput[a]
        ]  # fmt: skip
        return sorted(found, key=lambda cliff: -cliff.share)


def kept_setting(old: Landscape, new: Landscape) -> Key:
    """The old best setting on the new GPUs, as nearly as it goes: the next smaller batch until it fits, then the next
    more GPUs. Raises Infeasible where it fits in no form."""
    gpus, batch = old.best
    for n in sorted({key[0] for key in new.throughput if key[0] >= gpus}):
        smaller = [b for m, b in new.throughput if m == n and b <= batch]
        if smaller:
            return n, max(smaller)
    raise Infeasible("the old setting fits the new GPUs in no form")


def retuning_gain(old: Landscape, new: Landscape) -> float:
    """Percent gained on the new GPU by searching again instead of keeping the old one's best setting."""
    return 100 * (new.highest / new.throughput[kept_setting(old, new)] - 1)


def trials_to_come_near(landscape: Landscape, share: float) -> float:
    """Settings that a random search without repetition tries on average until one comes within a share of the best."""
    near = sum(t >= (1 - share) * landscape.highest for t in landscape.throughput.values())
    return (len(landscape.throughput) + 1) / (near + 1)
