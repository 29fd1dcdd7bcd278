"""FasterTransformer's constants against the latencies that NVIDIA published for it (its GPT guide, "Performance", A100
80 GB, fp16).

Rows: batch, prompt tokens, answer tokens, and the latency of the whole static batch (ms) on as many GPUs as the column
says.
"""

from __future__ import annotations

import numpy as np
import pytest

from rooflab import api
from rooflab.papers.lab import Lab

ONE_GPU = {
    "facebook/opt-1.3b": """
        1 128 8 36.76 | 2 128 8 39.16 | 4 128 8 43.32 | 8 128 8 52.92 | 16 128 8 74.44 | 32 128 8 116.74 | 64 128 8 201.71
        1 512 32 135.85""",
    "gpt3-6.7b": """
        1 128 8 98.29 | 2 128 8 106.74 | 4 128 8 123.47 | 8 128 8 162.51 | 16 128 8 241.16 | 32 128 8 400.35 | 64 128 8 718.07
        1 512 32 384.70 | 2 512 32 425.88 | 4 512 32 514.93 | 8 512 32 699.62 | 16 512 32 1068.88 | 32 512 32 1814.03
        64 512 32 3306.41""",
}  # fmt: skip
EIGHT_GPUS = {
    "gpt3-175b": """
        1 128 8 488.86 | 2 128 8 509.47 | 4 128 8 629.64 | 8 128 8 749.86 | 12 128 8 886.24 | 16 128 8 1037.47 | 20 128 8 1135.72
        32 128 8 1547.44 | 1 512 32 1719.96 | 2 512 32 1830.56 | 4 512 32 2092.56 | 8 512 32 2629.97 | 16 512 32 3706.23""",
}  # fmt: skip
ONE_TO_EIGHT = {
    "EleutherAI/gpt-neox-20b": """
        1 20 8 225 147 102 89 | 4 20 8 228 158 113 100 | 16 20 8 268 191 133 113 | 64 20 8 452 314 200 169
        1 60 20 560 358 248 212 | 8 60 20 635 429 299 247 | 32 60 20 933 620 418 325
        1 128 20 566 362 254 217 | 8 128 20 740 487 333 267 | 32 128 20 1335 862 547 418
        1 80 200 5609 3532 2438 2053 | 4 80 200 5661 3797 2646 2206 | 16 80 200 6167 4356 2964 2307 | 64 80 200 8290 6003 3815 3173
        1 200 200 5648 3544 2481 2080 | 8 200 200 6146 4123 2851 2338 | 32 200 200 8111 5488 3634 2811""",
}  # fmt: skip


def errors(lab: Lab, model: str, gpus: int, column: int, table: str) -> list[float]:
    """Signed relative error of every row of a table."""
    deployment = {"engine": "fastertransformer", "tp": gpus, "weights": "fp16"}
    workload = {"isl": 128, "osl": 8, "batch": 1}
    cost = lab.step_cost(
        lab.scenario(model=model, hardware=f"{gpus} x a100-80gb-sxm", workload=workload, deployment=deployment)
    )
    out = []
    for row in (r for line in table.strip().splitlines() for r in line.split("|")):
        batch, prompt, answer, *latency_ms = (float(x) for x in row.split())
        first = cost.step(n_prefill=batch, prefill_tokens=batch * prompt, area=batch * prompt * (prompt + 1) / 2)
        token = cost.step(n_decode=batch, context=batch * (prompt + answer / 2))
        seconds = float(first.seconds[0]) + (answer - 1) * float(token.seconds[0])
        out.append(seconds / (latency_ms[column] / 1e3) - 1)
    return out


@pytest.fixture(scope="module")
def signed() -> np.ndarray:
    lab = Lab(api.engines())
    all_rows: list[float] = []
    for model, table in ONE_GPU.items():
        all_rows += errors(lab, model, 1, 0, table)
    for model, table in EIGHT_GPUS.items():
        all_rows += errors(lab, model, 8, 0, table)
    for model, table in ONE_TO_EIGHT.items():
        for column, gpus in enumerate((1, 2, 4, 8)):
            all_rows += errors(lab, model, gpus, column, table)
    return np.array(all_rows)


def test_published_latencies_are_met(signed: np.ndarray) -> None:
    assert len(signed) == 103
    assert np.median(np.abs(signed)) < 0.09
    assert np.quantile(np.abs(signed), 0.9) < 0.18


def test_neither_fast_nor_slow_on_the_whole(signed: np.ndarray) -> None:
    assert abs(np.median(signed)) < 0.05
