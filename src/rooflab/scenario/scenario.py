"""The scenario: four nouns and a wish, as plain frozen data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from rooflab.errors import InputError, unknown
from rooflab.files import is_file
from rooflab.scenario.deployment import Deployment, read_deployment
from rooflab.scenario.fields import text
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.slo import SLO, read_slo
from rooflab.scenario.workload import Workload, read_workload
from rooflab.source.text import json_value
from rooflab.source.yaml_file import yaml_value

__all__ = [
    "FIELDS",
    "Applied",
    "Resolvers",
    "Scenario",
    "Technique",
    "TechniqueCall",
    "beside",
    "read_file",
    "read_scenario",
]

FIELDS: Final = ("model", "hardware", "workload", "deployment", "techniques", "slo", "name")

TechniqueCall = tuple[str, tuple[tuple[str, Any], ...]]
"""A technique as a scenario file names it: its key and its parameters."""


@runtime_checkable
class Technique(Protocol):
    """Changes a scenario and nothing else; called when a scenario is composed (``scenario | technique``)."""

    def apply(self, scenario: Scenario) -> Scenario:
        """The scenario with the technique in it. Raises Infeasible, with the reason, where it does not apply."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A model, on hardware, under a workload, in a deployment, with service levels.

    `techniques` are the calls of the techniques in it, the first one first; `applied` says how the last one came in
    (None: there are none, or they were read and wait to be applied). `rewrites` are functions on a step's operators
    (techniques that act at that depth append theirs).
    """

    model: Model
    hardware: Hardware
    workload: Workload = Workload()
    deployment: Deployment = Deployment()
    slo: SLO = SLO()
    techniques: tuple[TechniqueCall, ...] = ()
    rewrites: tuple[Callable[..., Any], ...] = ()
    name: str = ""
    applied: Applied | None = field(default=None, compare=False, repr=False)

    def __or__(self, technique: Technique) -> Scenario:
        if not isinstance(technique, Technique):
            return NotImplemented
        return technique.apply(self)

    def with_technique(self, technique: Technique, call: TechniqueCall, changed: Scenario) -> Scenario:
        """`changed`, which is what `technique` made of this scenario, with a note of its call and of this scenario."""
        made = replace(changed, techniques=(*self.techniques, call), applied=None)
        return replace(made, applied=Applied(self, technique, made))

    def with_deployment(self, **changes: Any) -> Scenario:
        """The same scenario with fields of its deployment replaced."""
        return replace(self, deployment=self.deployment.changed(**changes))

    def with_workload(self, **changes: Any) -> Scenario:
        """The same scenario with fields of its workload replaced."""
        return replace(self, workload=replace(self.workload, **changes))


@dataclass(frozen=True, slots=True)
class Applied:
    """How a technique came into a scenario: the one before it, the technique, and what it made of that one."""

    before: Scenario
    technique: Technique
    made: Scenario


@dataclass(frozen=True, slots=True)
class Resolvers:
    """Functions that turn a name, a path or an inline mapping into a noun: (value, where) -> noun."""

    model: Callable[[Any, str], Model]
    hardware: Callable[[Any, str], Hardware]
    workload: Callable[[Workload, str], Workload]


def read_scenario(value: Any, resolvers: Resolvers, where: str = "") -> Scenario:
    """A scenario from its mapping. Techniques are kept as calls; whoever has the registry applies them."""
    if not isinstance(value, Mapping):
        raise InputError(f"expected the fields {', '.join(FIELDS[:4])}, got {value!r}"[:300], where)
    for key in value:
        if key not in FIELDS:
            raise unknown("field", str(key), FIELDS, where)
    for key in ("model", "hardware"):
        if value.get(key) is None:
            raise InputError(f"no {key} given", where)
    return Scenario(
        model=resolvers.model(value["model"], "model"),
        hardware=resolvers.hardware(value["hardware"], "hardware"),
        workload=_workload(value.get("workload") or {}, resolvers),
        deployment=_with_pools(read_deployment(value.get("deployment") or {}), resolvers),
        slo=read_slo(value.get("slo") or {}),
        techniques=_techniques(value.get("techniques") or (), "techniques"),
        name=text(value.get("name") or "", "name"),
    )


def _workload(value: Any, resolvers: Resolvers) -> Workload:
    """The workload with what it names looked up, unless it is spelled out: ``{exact: {isl: 1000, like: chat}}``."""
    if isinstance(value, Mapping) and value.keys() == {"exact"}:
        return read_workload(value["exact"], "workload.exact")
    given = read_workload(value)
    found = resolvers.workload(given, "workload")
    return found if found is given else found.read_from(given)


def _with_pools(deployment: Deployment, resolvers: Resolvers) -> Deployment:
    """The deployment with the hardware of its pools looked up."""
    if not any(p.spec is not None for p in deployment.cluster.pools):
        return deployment
    pools = tuple(
        p
        if p.spec is None
        else replace(p, hardware=resolvers.hardware(p.spec, f"deployment.pools[{i}].hardware"), spec=None)
        for i, p in enumerate(deployment.cluster.pools)
    )
    return deployment.changed(pools=pools)


def _techniques(value: Any, where: str) -> tuple[TechniqueCall, ...]:
    if not isinstance(value, (list, tuple)):
        raise InputError("expected a list such as [{splitwise: {prefill: 1, decode: 1}}]", where)
    calls = []
    for i, item in enumerate(value):
        if isinstance(item, str):
            calls.append((item, ()))
        elif isinstance(item, Mapping) and len(item) == 1:
            ((key, parameters),) = item.items()
            if not isinstance(parameters or {}, Mapping) or not all(isinstance(name, str) for name in parameters or {}):
                raise InputError(f"expected parameters by name, got {parameters!r}"[:200], f"{where}[{i}].{key}")
            calls.append((str(key), tuple(sorted((parameters or {}).items()))))
        else:
            raise InputError(f"{item!r} is not a technique (a name, or one name with its parameters)", f"{where}[{i}]")
    return tuple(calls)


def read_file(path: str | Path) -> Mapping[str, Any]:
    """The mapping in a YAML or JSON scenario file. Raises InputError when it is missing or is not a mapping."""
    value = _json_or_yaml(Path(path))
    if not isinstance(value, Mapping):
        raise InputError(f"expected the fields {', '.join(FIELDS[:4])}, found {type(value).__name__}", str(path))
    return value


def _json_or_yaml(path: Path) -> Any:
    """The value of a file; JSON is read as such, since YAML takes its 1e-06 for a text."""
    if path.suffix.lower() == ".json":
        try:
            return json_value(path)
        except InputError:  # JSON with comments and the like is YAML
            pass
    return yaml_value(path)


def beside(fields: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """`fields` with relative paths of model and trace pointing into `folder`, where there is such a file."""
    changed = dict(fields)
    if isinstance(fields.get("model"), str) and fields["model"].strip():
        changed["model"] = _near(fields["model"], folder)
    workload = fields.get("workload")
    if isinstance(workload, Mapping) and isinstance(workload.get("trace"), str):
        changed["workload"] = {**workload, "trace": _near(workload["trace"], folder)}
    return changed


def _near(text: str, folder: Path) -> str:
    path = folder / text
    return str(path) if not Path(text).is_absolute() and (is_file(path) or is_file(path / "config.json")) else text
