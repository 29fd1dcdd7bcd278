"""A plan's file: the scenario that was asked and the deployments that were ranked, of which a reader takes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rooflab.errors import InputError

__all__ = ["is_plan", "taken"]


def is_plan(fields: Mapping[str, Any]) -> bool:
    """Whether these are the fields of a plan's file, not of a scenario."""
    return "choices" in fields and "scenario" in fields


def taken(fields: Mapping[str, Any], choice: int | None) -> Mapping[str, Any]:
    """The fields of a scenario as they are; of a plan those of what was asked with the deployment of its `choice`.

    `choice` counts from 1 (None: the first); 0 leaves the deployment as it was asked.  Raises InputError for a choice
    that a plan does not have, and for one of a scenario.
    """
    if not is_plan(fields):
        if choice:
            raise InputError("only a plan has choices (rooflab plan SCENARIO --out plan.json writes one)", "--choice")
        return fields
    asked, choices = fields["scenario"], fields["choices"]
    if not isinstance(asked, Mapping) or not isinstance(choices, list):
        raise InputError("expected a mapping, and choices as a list, as rooflab plan --out writes them", "scenario")
    if choice == 0:
        return asked
    if not choices:
        raise InputError("no deployment met the targets of this plan: there is none to take", "choices")
    rank = choice or 1
    if not 1 <= rank <= len(choices):
        raise InputError(f"{rank} is not among the {len(choices)} ranked choices", "--choice")
    chosen = choices[rank - 1]
    if not isinstance(chosen, Mapping) or not isinstance(chosen.get("deployment"), Mapping):
        raise InputError("has no deployment, which rooflab plan --out writes", f"choices[{rank - 1}]")
    return {**asked, "deployment": chosen["deployment"]}
