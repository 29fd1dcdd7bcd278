"""A scenario as a file again: what was asked, apart from what its techniques made of it, and a hash of it.

Reading what was written gives an equal scenario.  Models and hardware are written as they were given (a catalogue
name, or fields); one that was changed since, or made in Python, with all its figures (`rooflab.scenario.exact`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError, RooflabError
from rooflab.files import write_text
from rooflab.scenario.cluster import Pool
from rooflab.scenario.deployment import Deployment, read_deployment
from rooflab.scenario.exact import plain, tidy
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.lengths import Lengths, written_lengths, written_times
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Applied, Scenario
from rooflab.scenario.slo import SLO, read_slo
from rooflab.scenario.traffic import Sessions
from rooflab.scenario.workload import Workload, read_workload

__all__ = ["asked", "asked_hash", "write_scenario", "written", "written_deployment"]

_DIGITS: Final = 12
"""Significant digits of a number in a hash: 70 ms and 0.07 s differ in the seventeenth."""


def asked(scenario: Scenario) -> Scenario:
    """The scenario before its techniques, which it names.

    What was changed after a technique is taken to have been changed before it, where the technique makes the same
    scenario of that.  Raises InputError where it does not, and for rewrites that no technique made.
    """
    step = scenario.applied
    if step is None:
        if scenario.rewrites:
            raise InputError("rewrites that no technique made cannot be written")
        return scenario
    before = step.before if scenario == step.made else _changed_before(scenario, step)
    return replace(asked(before), techniques=scenario.techniques)


def _changed_before(scenario: Scenario, step: Applied) -> Scenario:
    """What `step.technique` was applied to, with the fields in which `scenario` differs from what it made."""
    made, before = step.made, step.before
    ours, theirs = scenario.deployment.flat(), made.deployment.flat()
    before = before.with_deployment(**{k: v for k, v in ours.items() if v != theirs[k]})
    load = _changes(scenario.workload, made.workload, [f.name for f in fields(Workload) if f.init])
    if load:
        before = before.with_workload(**load)
    before = replace(before, **_changes(scenario, made, ["model", "hardware", "slo", "name"]))
    try:
        if before | step.technique == scenario:
            return before
    except RooflabError:
        pass
    key = scenario.techniques[-1][0]
    raise InputError(f"was changed after {key} in a way that {key} does not keep; change it before", "techniques")


def _changes(ours: Any, theirs: Any, names: list[str]) -> dict[str, Any]:
    return {name: getattr(ours, name) for name in names if getattr(ours, name) != getattr(theirs, name)}


def written(scenario: Scenario) -> dict[str, Any]:
    """What was asked, as a scenario file holds it: mappings, lists, texts and numbers (SI). Raises InputError; see
    `asked`."""
    given = asked(scenario)
    out = {
        "name": given.name,
        "model": _noun(given.model),
        "hardware": _noun(given.hardware),
        "workload": _workload(given.workload),
        "deployment": written_deployment(given.deployment),
        "techniques": [{key: dict(parameters)} if parameters else key for key, parameters in given.techniques],
        "slo": _value(given.slo),
    }
    return {key: value for key, value in out.items() if value not in ("", {}, [])}


def write_scenario(scenario: Scenario, path: str | Path) -> None:
    """Write what was asked to a YAML file (a JSON file where the name ends so), whole or not at all."""
    content = written(scenario)
    _check(content)
    if Path(path).suffix == ".json":
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        return
    import yaml

    write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None))


def _check(content: Mapping[str, Any]) -> None:
    """Raises InputError for values set in Python that no reader takes: the file could not be read again."""
    read_deployment(content.get("deployment", {}))
    load = content["workload"]
    read_workload(load["exact"] if load.keys() == {"exact"} else load)
    read_slo(content.get("slo", {}))


def asked_hash(scenario: Scenario) -> str:
    """SHA-256 (hexadecimal) of what was asked: all that an answer depends on, and nothing of how it was spelled.

    Files, flags and Python, names and their aliases, "50 ms" and 0.05 count the same; the scenario's own `name` does
    not count; a trace counts by its content.  Raises InputError; see `asked`.
    """
    given = asked(scenario)
    parts = {
        "model": _digest(given.model),
        "hardware": _digest(given.hardware),
        "workload": _canonical(plain(given.workload, compared=True)) | _trace(given.workload),
        "deployment": _canonical(plain(given.deployment, compared=True)),
        "techniques": [[key, _canonical(dict(parameters))] for key, parameters in given.techniques],
        "slo": _canonical(dict(given.slo)),
    }
    return _sha256(parts)


@lru_cache(maxsize=256)
def _digest(noun: Model | Hardware) -> str:
    return _sha256(_canonical(plain(noun, compared=True)))


def _sha256(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    return tidy(float(f"{value:.{_DIGITS}g}")) if isinstance(value, float) else value


def _trace(workload: Workload) -> dict[str, Any]:
    """What stands for the names of other places: a trace's content, and nothing for `like`, whose figures are in the
    workload."""
    if workload.trace is None:
        return {"like": None}
    path = Path(workload.trace)
    content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else workload.trace
    return {"like": None, "trace": content}


def _noun(noun: Model | Hardware) -> Any:
    """A name, the fields that were given, or all figures; fields are copied, so that no file has references inside."""
    return {"exact": plain(noun)} if noun.given is None else json.loads(json.dumps(noun.given))


def _workload(workload: Workload) -> Any:
    asked_for = workload.given or workload
    for name in ("isl", "osl"):
        if not isinstance(getattr(asked_for, name), Lengths):
            raise InputError(f"{getattr(asked_for, name)!r} are no Lengths", f"workload.{name}")
    if asked_for.like is None and asked_for.trace is None:
        lengths = {name: written_lengths(getattr(asked_for, name)) for name in ("isl", "osl")}
        return lengths | _fields(asked_for)
    return _fields(asked_for) if workload.given is not None else {"exact": _fields(workload)}


def written_deployment(deployment: Deployment) -> dict[str, Any]:
    """The fields of a deployment that differ from the defaults, as a scenario file holds them."""
    usual = Deployment().flat()
    return {name: _value(value) for name, value in deployment.flat().items() if value != usual[name]}


def _value(value: Any) -> Any:
    """One value as its reader takes it."""
    if isinstance(value, Lengths):
        return written_lengths(value)
    if isinstance(value, SLO):
        return {key: tidy(limit) for key, limit in value}
    if isinstance(value, Sessions):
        # a share that is left out is chosen by the times that are given
        times = {name: written_times(getattr(value, name)) for name in ("think", "tool")}
        return _fields(value) | times | {"tool_share": tidy(value.tool_share)}
    if isinstance(value, Pool):
        hardware = _noun(value.hardware) if value.hardware is not None else value.spec
        return _fields(replace(value, hardware=None, spec=None)) | ({"hardware": hardware} if hardware else {})
    if is_dataclass(value):
        return _fields(value)
    if isinstance(value, (tuple, list)):
        return [_value(item) for item in value]
    return tidy(value) if isinstance(value, Real) else value


def _fields(noun: Any) -> dict[str, Any]:
    """The fields of a noun that differ from their defaults, by the keys of a file, which carry no units."""
    out = {}
    for f in fields(noun):
        value = getattr(noun, f.name)
        usual = f.default if f.default_factory is MISSING else f.default_factory()
        if f.init and (value != usual or usual is MISSING):
            out[_key(f.name)] = _value(value)
    return out


def _key(name: str) -> str:
    if name == "bytes_per_s":
        return "bandwidth"
    return name.removesuffix("_s").removesuffix("_w").removesuffix("_bytes")
