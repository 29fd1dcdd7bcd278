"""A scenario as a file has it: names looked up in the catalogue, and the techniques that it names applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rooflab.errors import InputError, unknown
from rooflab.scenario.planned import taken
from rooflab.scenario.scenario import Resolvers, Scenario, beside, read_file, read_scenario

__all__ = ["apply_techniques", "inside", "load", "read"]


def load(source: str | Path | Mapping[str, Any] | Scenario, *, choice: int | None = None) -> Scenario:
    """A scenario from a YAML or JSON file, or from a mapping with the same fields; its techniques are applied.

    Of a plan's file (``rooflab plan --out``) the ranked deployment number `choice`, the first by default.
    A relative path inside a file (a model's config, a trace) is looked for beside that file first.
    Raises InputError that names the file, the field, the value and the nearest valid ones.
    """
    if isinstance(source, Scenario):
        return source
    if isinstance(source, Mapping):
        return read(taken(source, choice))
    path = Path(source)
    fields = read_file(path)
    with inside(path):
        return read(beside(taken(fields, choice), path.parent))


def read(fields: Mapping[str, Any]) -> Scenario:
    """A scenario from its fields: names looked up in the catalogue, techniques applied in their order."""
    from rooflab.catalogue.hardware import hardware
    from rooflab.catalogue.models import model
    from rooflab.catalogue.workloads import resolve

    return apply_techniques(read_scenario(fields, Resolvers(model, hardware, resolve)))


def apply_techniques(scenario: Scenario) -> Scenario:
    """The scenario with the techniques that its file names applied, in their order.

    Raises InputError for a technique that no paper offers.
    """
    if not scenario.techniques:
        return scenario
    from rooflab.papers.registry import techniques

    registry = techniques()
    calls, scenario = scenario.techniques, replace(scenario, techniques=())
    for i, (key, parameters) in enumerate(calls):
        if key not in registry:
            raise unknown("technique", key, registry, f"techniques[{i}]")
        scenario = scenario | registry[key](**dict(parameters))
    return scenario


@contextmanager
def inside(path: str | Path) -> Iterator[None]:
    """Errors of a field that are raised in this block get the file's name in front."""
    try:
        yield
    except InputError as error:
        raise InputError(error.message, f"{path}: {error.where}" if error.where else str(path)) from None
