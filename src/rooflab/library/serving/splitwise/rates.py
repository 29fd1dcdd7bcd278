"""How much slower requests are than alone on an idle machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCost

__all__ = ["LEVELS", "LIMITS", "Alone", "slow_downs"]

F64 = npt.NDArray[np.float64]

Limits = Mapping[str, Sequence[float]]
LEVELS: Final = (0.5, 0.9, 0.99)
LIMITS: Final[Limits] = {"ttft": (2.0, 3.0, 6.0), "tbt": (1.25, 1.5, 5.0), "e2e": (1.25, 1.5, 5.0)}
"""Slow-downs allowed at P50, P90 and P99 (section 6, table 6)."""


class Alone:
    """What requests take alone on the machine of `cost`; where runs begin with the same requests, each is priced
    once."""

    def __init__(self, cost: StepCost) -> None:
        self._cost = cost.stack()
        self._prompt = self._output = self._first_s = self._token_s = np.zeros(0)

    def seconds(self, prompt: F64, output: F64) -> tuple[F64, F64]:
        """Seconds to the first token, and of each further one in the mean."""
        n = min(len(prompt), len(self._prompt))
        if not (np.array_equal(self._prompt[:n], prompt[:n]) and np.array_equal(self._output[:n], output[:n])):
            n = 0
        if n < len(prompt):
            first_s, token_s = self._price(prompt[n:], output[n:])
            self._first_s = np.concatenate([self._first_s[:n], first_s])
            self._token_s = np.concatenate([self._token_s[:n], token_s])
            self._prompt, self._output = prompt, output
        return self._first_s[: len(prompt)], self._token_s[: len(prompt)]

    def _price(self, prompt: F64, output: F64) -> tuple[F64, F64]:
        none, which = np.zeros(len(prompt)), np.zeros(len(prompt), dtype=np.intp)
        first = self._cost.step(
            which, n_decode=none, context=none, n_prefill=none + 1, prefill_tokens=prompt,
            area=prompt * (prompt + 1) / 2,
        )  # fmt: skip
        token = self._cost.step(
            which, n_decode=none + 1, context=prompt + output / 2, n_prefill=none, prefill_tokens=none, area=none
        )
        return first.seconds, token.seconds


def slow_downs(result: Any, alone: Alone) -> dict[str, F64]:
    """TTFT, TBT and E2E of a simulation over those of the same request alone, at `LEVELS`.

    TBT is (E2E − TTFT) / tokens, and every request counts, those too that meet an empty cluster, as the authors compute
    it.
    """
    prompt, output = (
        np.asarray(x, dtype=np.float64) for x in (result.requests.input_tokens, result.requests.output_tokens)
    )
    first_s, token_s = alone.seconds(prompt, output)
    ttft_s, e2e_s = result.latencies["ttft_s"], result.latencies["e2e_s"]
    took = {
        "ttft": ttft_s / first_s,
        "tbt": (e2e_s - ttft_s) / output / token_s,
        "e2e": e2e_s / (first_s + (output - 1) * token_s),
    }
    return {name: np.nanquantile(values, LEVELS) for name, values in took.items()}
