"""Scenarios in groups that are solved together: the same model, hardware and rewrites, each with its deployment
completed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rooflab.deploy.complete import complete_deployment, resident_tokens
from rooflab.deploy.defaults import users_at_once
from rooflab.errors import RooflabError
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario

__all__ = ["Group", "groups_of"]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows (indices into what was asked), their scenarios, and their deployments with every field chosen."""

    rows: list[int]
    scenarios: list[Scenario]
    deployments: list[Deployment]


def groups_of(scenarios: Sequence[Scenario]) -> tuple[list[Group], dict[int, RooflabError]]:
    """The groups, and the errors of scenarios whose deployment cannot be completed, by row.

    Model and hardware are compared by identity: reading the same name twice gives the same object.
    """
    groups: dict[Any, Group] = {}
    errors: dict[int, RooflabError] = {}
    completed: dict[Any, Deployment | RooflabError] = {}
    for i, s in enumerate(scenarios):
        model, hardware = id(s.model), id(s.hardware)
        length, cross = (
            (0.0, 0.0)
            if s.deployment.split.tp is not None and s.model.kind == "decoder"
            else resident_tokens(s.model, s.workload)
        )
        users = 0 if s.deployment.limits.max_num_seqs else users_at_once(s.workload)
        rest = (length, cross, users) if s.deployment.split.tp is None else users
        # by identity first: hashing a deployment of thirty fields costs more than the rest of a row
        same = (model, hardware, id(s.deployment), rest)
        done = completed.get(same)
        if done is None:
            key = (model, hardware, s.deployment, rest)
            done = completed.get(key) or _attempt(s, length, cross, users)
            completed[same] = completed[key] = done
        if isinstance(done, RooflabError):
            errors[i] = done
            continue
        place = (model, hardware, s.rewrites, cross if s.model.kind == "encoder-decoder" else 0.0)
        group = groups.get(place)
        if group is None:
            group = groups[place] = Group([], [], [])
        group.rows.append(i)
        group.scenarios.append(s)
        group.deployments.append(done)
    return list(groups.values()), errors


def _attempt(s: Scenario, length: float, cross: float, users: int) -> Deployment | RooflabError:
    try:
        return complete_deployment(s.model, s.hardware, s.deployment, length, cross, users=users)
    except RooflabError as error:
        return error
