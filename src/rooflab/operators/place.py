"""Where layers run: what every operator of a layer has in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rooflab.operators.formats import StepFormats
from rooflab.operators.ops import Collective, Gemm, Group, Real
from rooflab.operators.split import Degrees
from rooflab.scenario.dtype import DType

__all__ = ["Place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`count` equal layers of width `hidden` on one rank of `split`, in `formats`.

    A step gives the engine `tokens`, of which this rank sees `here`.
    """

    count: float
    hidden: float
    formats: StepFormats
    split: Degrees
    tokens: Real
    here: Real

    @property
    def sequence_share(self) -> npt.NDArray[np.float64]:
        """Share of the engine's sequences that this rank attends to."""
        return 1.0 / np.asarray(self.split.dp, dtype=np.float64)

    @property
    def context_share(self) -> npt.NDArray[np.float64]:
        """Share of a sequence's cached tokens that this rank holds."""
        return 1.0 / np.asarray(self.split.cp, dtype=np.float64)

    @property
    def hidden_bytes(self) -> Real:
        """Bytes of this rank's hidden states, two each."""
        return self.here * self.hidden * 2.0

    def product(
        self,
        group: Group,
        name: str,
        *,
        n: Real,
        k: Real,
        weight: DType | None = None,
        act: DType | None = None,
        batch: Real = 1.0,
    ) -> Gemm:
        """Products of this rank's tokens with `batch` weights of k × n, in the layers' formats unless told
        otherwise."""
        return Gemm(
            name=name,
            group=group,
            count=self.count,
            m=self.here,
            n=n,
            k=k,
            weight=weight or self.formats.weights,
            act=act or self.formats.activations,
            batch=batch,
        )

    def all_reduce(self, name: str) -> Collective:
        """The sum of this rank's hidden states over the ranks that share its products."""
        return Collective(name, "comm", self.count, "all_reduce", self.hidden_bytes, self.split.tp)
