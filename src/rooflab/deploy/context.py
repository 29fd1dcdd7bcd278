"""Requests that are longer than the model's context: engines refuse them."""

from __future__ import annotations

from typing import Final

from rooflab.scenario.scenario import Scenario

__all__ = ["beyond_context", "longest_sequence"]

_REFUSING: Final = ("vllm", "sglang", "")
"""Engines that compare lengths with the checkpoint's context; others serve whatever they were built for."""


def longest_sequence(scenario: Scenario) -> int | None:
    """Tokens of the longest sequence that an engine takes: what it was told, or the model's context; None where
    neither says."""
    return scenario.deployment.limits.max_model_len or scenario.model.max_context or None


def beyond_context(scenario: Scenario) -> str:
    """In words, that a mean request is longer than the engine takes; empty where it is not.

    `max_model_len` beyond the context is the user's word that positions are stretched.
    """
    w, most = scenario.workload, longest_sequence(scenario)
    length = w.mean_prompt_tokens + w.mean_output_tokens
    if scenario.model.kind != "decoder" or scenario.deployment.runtime.engine not in _REFUSING:
        return ""
    if most is None or length <= most:
        return ""
    what = f"prompts of {w.mean_prompt_tokens:,.0f} and answers of {w.mean_output_tokens:,.0f} tokens"
    limit = "max_model_len" if scenario.deployment.limits.max_model_len else f"the context of {scenario.model.name}"
    return f"{what} exceed {limit}, {most:,} tokens: the engine refuses such requests"
