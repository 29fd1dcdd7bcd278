"""How much slower requests are than alone on an idle machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCost

__all__ = ["LEVELS", "LIMITS", "slow_downs"]

Limits = Mapping[str, Sequence[float]]
LEVELS: Final = (0.5, 0.9, 0.99)
LIMITS: Final[Limits] = {"ttft": (2.0, 3.0, 6.0), "tbt": (1.25, 1.5, 5.0), "e2e": (1.25, 1.5, 5.0)}
"""Slow-downs allowed at P50, P90 and P99 (section 6, table 6)."""


def slow_downs(result: Any, alone: StepCost) -> dict[str, npt.NDArray[np.float64]]:
    """TTFT, TBT and E2E of a simulation over those of the same request alone on the machine of `alone`, at `LEVELS`.

    TBT is (E2E − TTFT) / tokens, as the authors compute it. The first tenth of the requests meets an empty cluster and
    is left out.
    """
    prompt, output = (
        np.asarray(x, dtype=np.float64) for x in (result.requests.input_tokens, result.requests.output_tokens)
    )
    cost, none = alone.stack(), np.zeros(len(prompt))
    which = np.zeros(len(prompt), dtype=np.intp)
    area = prompt * (prompt + 1) / 2
    first_s = cost.step(
        which, n_decode=none, context=none, n_prefill=none + 1, prefill_tokens=prompt, area=area
    ).seconds
    token_s = cost.step(
        which, n_decode=none + 1, context=prompt + output / 2, n_prefill=none, prefill_tokens=none, area=none
    ).seconds
    ttft_s, e2e_s = result.latencies["ttft_s"], result.latencies["e2e_s"]
    took = {
        "ttft": ttft_s / first_s,
        "tbt": (e2e_s - ttft_s) / output / token_s,
        "e2e": e2e_s / (first_s + (output - 1) * token_s),
    }
    late = np.arange(len(prompt)) >= len(prompt) // 10
    return {name: np.nanquantile(values[late], LEVELS) for name, values in took.items()}
