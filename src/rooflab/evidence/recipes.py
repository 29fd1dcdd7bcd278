"""What published benchmarks set that their tables leave out: the launch scripts of a source, as deployment fields.

InferenceX (github.com/SemiAnalysisAI/InferenceX, `benchmarks/`, October 2025 to April 2026): every fp8 and nvfp4 recipe on
NVIDIA devices asks for an fp8 cache (`kv-cache-dtype: fp8`, `fp8_e4m3`, `kv_cache_config.dtype`), or serves a ModelOpt
checkpoint whose own configuration does, but GLM-5 on H200, where the flag is absent; bf16, int4 and mxfp4 recipes leave the
cache in 16 bits.  The gap analysis of AIConfigurator republishes runs of three of its models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["recipe_cache"]

_NARROW: Final = ("fp8", "fp8-block", "nvfp4", "fp4")
_PLAIN_CACHE: Final = {("GLM-5", "H200")}
"""(model, device) of the recipes that leave the cache in 16 bits in spite of narrow weights."""
_REPUBLISHED: Final = ("Qwen3.5-397B-A17B", "Kimi-K2.5")


def recipe_cache(row: Mapping[str, str]) -> str | None:
    """The cache format of a row whose table states none, where its source's launch scripts do."""
    source, model = row["source"], row["model"]
    ours = source == "InferenceX" or (source == "NVIDIA AIC gap-analysis" and any(name in model for name in _REPUBLISHED))
    if not ours or row["precision_weights"].lower() not in _NARROW:
        return None
    plain = any(name in model and row["gpu"].startswith(device) for name, device in _PLAIN_CACHE)
    return None if plain else "fp8"
