"""What an evaluation costs: every query timed by itself, or a profile once and the fit for all of them.

every query alone:   queries · trials                 a profile:   points of its grid · trials
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.library.serving.idealized_runtime.fit import Runtime

__all__ = ["OUTPUTS", "PROMPTS", "api_usd", "grid", "seconds_of"]

F64 = npt.NDArray[np.float64]

PROMPTS: Final = (
    1, 16, 32, 64, 128, 192, 256, 320, 384, 428, 472, 512, 576, 640, 704, 768, 832, 896, 960, 1024, 1152, 1280, 1408,
    1536, 1664, 1792, 1920,
)  # fmt: skip
"""Prompt lengths of the authors' profiles."""
OUTPUTS: Final = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
"""Answer lengths of the authors' profiles."""


def grid(prompts: F64, outputs: F64) -> tuple[F64, F64]:
    """Prompt and output tokens of every pair, one array each."""
    p, o = np.meshgrid(prompts, outputs, indexing="ij")
    return p.ravel(), o.ravel()


def seconds_of(runtime: Runtime, prompt: F64, output: F64) -> float:
    """Seconds of these requests, one after the other."""
    return float(np.sum(runtime.seconds(prompt, output)))


def api_usd(prompt: F64, output: F64, usd_per_prompt_token: float, usd_per_output_token: float) -> float:
    """What an API asks for these requests."""
    return float(np.sum(prompt) * usd_per_prompt_token + np.sum(output) * usd_per_output_token)
