"""SCENARIO on the command line: files, the same fields as flags, and errors that point at whichever was used."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rooflab.cli.calibration_option import calibrated
from rooflab.cli.scenario_flags import FLAGS
from rooflab.errors import InputError

if TYPE_CHECKING:
    from rooflab.scenario.scenario import Scenario

__all__ = ["Given", "ScenarioCommand", "output_options", "scenario_options"]

_TITLES: Final = {
    "model": "Model and hardware",
    "hardware": "Model and hardware",
    "workload": "Workload",
    "deployment": "Deployment",
}

_WAYS: Final = {
    "rate": ("concurrency", "batch", "burst", "scenario"),
    "concurrency": ("rate", "batch", "scenario"),
    "batch": ("rate", "concurrency", "burst", "scenario"),
    "burst": ("rate", "batch", "scenario", "requests"),
    "scenario": ("rate", "concurrency", "batch", "burst"),
}
"""Ways of arriving, each with those that cannot stand beside it; a burst may be sent so many at a time."""

_OF_A_SOURCE: Final = frozenset({"isl", "osl", "correlation", "arrivals", "arrivals_cv", "sessions", "like", "trace"})


@dataclass(frozen=True, slots=True)
class Given:
    """What the user gave: one file ("" for none) and fields set by flags (by dotted path), with the flag of each;
    `choice` of the file of a plan (None: the first, 0: as it was asked)."""

    path: str
    fields: Mapping[str, Any]
    flags: Mapping[str, str] = field(default_factory=dict)
    choice: int | None = None

    def mapping(self) -> dict[str, Any]:
        """The fields of the scenario: the file's, with the flags' over them."""
        from rooflab.scenario.planned import taken
        from rooflab.scenario.scenario import beside, read_file

        given = taken(read_file(self.path) if self.path else {}, self.choice)
        return self.over(beside(given, Path(self.path).parent) if self.path else given)

    def over(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """`fields` with the flags' over them."""
        merged = dict(fields)
        workload = merged.get("workload")
        if isinstance(workload, Mapping) and {"workload.like", "workload.trace"} & self.fields.keys():
            # a workload that the flags name brings its own lengths and arrivals
            merged["workload"] = {k: v for k, v in workload.items() if k not in _OF_A_SOURCE}
        for place, value in self.fields.items():
            _set(merged, place, value)
        return merged

    def scenario(self) -> Scenario:
        """The scenario; InputError names the file or the flag at fault."""
        from rooflab.api import read

        with self.located():
            return read(self.mapping())

    @contextmanager
    def located(self) -> Iterator[None]:
        """Errors of a field raised in this block name the flag that set it, or else the file."""
        try:
            yield
        except InputError as error:
            raise self.locate(error) from None

    def locate(self, error: InputError) -> InputError:
        """The error with the flag that set its field, or else the file, in front."""
        for place, flag in self.flags.items():
            if error.where == place or error.where.startswith((f"{place}.", f"{place}[")):
                return InputError(error.message, f"{flag}{error.where[len(place) :]}")
        if not self.path or error.where.startswith(self.path):
            return error
        return InputError(error.message, f"{self.path}: {error.where}" if error.where else self.path)


def _set(merged: dict[str, Any], place: str, value: Any) -> None:
    """Put `value` at a dotted path; a shorthand above it (hardware: 8 x h100) becomes the mapping it stands for."""
    section, _, key = place.partition(".")
    if not key:
        merged[section] = value
        return
    current = merged.get(section)
    if current is None:
        current = {}
    elif section == "hardware" and isinstance(current, str):
        current = _spelled(current)
    if not isinstance(current, Mapping):
        raise InputError(f"cannot be changed by a flag: it is {current!r}, not fields", section)
    if section == "workload" and key in _WAYS:
        # the ways of arriving exclude each other: the flag's replaces the file's
        others = (*_WAYS[key], *(["concurrency"] if key == "burst" and "burst" not in current else []))
        current = {k: v for k, v in current.items() if k not in others}
    merged[section] = {**current, key: value}


def _spelled(text: str) -> dict[str, Any]:
    """``2 x dgx-h100`` as the fields that it stands for."""
    from rooflab.catalogue.hosts import host, host_key

    count, _, name = text.rpartition(" x ")
    key = host_key(name)
    if key is None:
        return {"device": text}
    return {"host": key, "count": host(key).devices * int(count or 1)}


def _value(text: str, place: str, flag: str) -> Any:
    """The value of a flag: YAML where it is a mapping or a list, a number where only one will do, else the text."""
    if text.lstrip()[:1] in ("{", "["):
        import yaml

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"not valid YAML ({' '.join(str(error).split())})", flag) from None
    if place == "workload.correlation" and re.fullmatch(r"[+-]?[\d.]+", text):
        return float(text)
    return text


def _collect(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields and flags from click's parameters, which are taken out of `values`."""
    fields: dict[str, Any] = {}
    flags: dict[str, str] = {}
    for flag in FLAGS:
        value = values.pop(flag.parameter)
        if value is None:
            continue
        option = f"--{flag.name}" if value is not False else f"--no-{flag.name}"
        fields[flag.field] = value if flag.switch else _value(value, flag.field, option)
        flags[flag.field] = option
    targets = {}
    for text in values.pop("s_slo"):
        key, equals, limit = text.partition("=")
        if not equals:
            raise InputError(f"{text!r} is not a target such as ttft_p99=1s", "--slo")
        targets[key.strip()] = limit.strip()
    if targets:
        for key, limit in targets.items():
            fields[f"slo.{key}"] = limit
        flags["slo"] = "--slo"
    techniques = [_value(text, "techniques", "--technique") for text in values.pop("s_technique")]
    if techniques:
        fields["techniques"] = techniques
        flags["techniques"] = "--technique"
    return fields, flags


def scenario_options(
    *, many: bool = False, metavar: str = "SCENARIO", plans: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the argument SCENARIO, or one called `metavar` (`many`: any number), and every field's flag; it
    receives `given` (a list when `many`). A command that `plans` reads what a plan was asked, and has a --choice of its
    own; others take one from a plan's file."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(**values: Any) -> Any:
            paths: Sequence[str] = values.pop("s_scenario") if many else [values.pop("s_scenario") or ""]
            if many and "" in paths:
                raise InputError("is empty: a file or a name belongs there", metavar)
            fields, flags = _collect(values)
            choice = 0 if plans else values.pop("s_choice")
            given = [Given(path, fields, flags, choice) for path in paths] or [Given("", fields, flags, choice)]
            with calibrated(values.pop("s_calibration")):
                return function(given=given if many else given[0], **values)

        wrapped: Callable[..., Any] = wrapper
        wrapped = click.option(
            "--calibration", "s_calibration", metavar="FILE", help="Constants of your own, from rooflab calibrate."
        )(wrapped)
        wrapped = click.option(
            "--technique", "s_technique", multiple=True, metavar="NAME|MAPPING", help="a paper's technique; repeatable"
        )(wrapped)
        wrapped = click.option(
            "--slo", "s_slo", multiple=True, metavar="KEY=TIME", help="ttft_p99=1s, tpot_p99=50ms, ...; repeatable"
        )(wrapped)
        if not plans:
            wrapped = click.option(
                "--choice", "s_choice", metavar="N", type=click.IntRange(1), help="Which deployment of a plan's file."
            )(wrapped)
        for flag in reversed(FLAGS):
            spelling = f"--{flag.name}/--no-{flag.name}" if flag.switch else f"--{flag.name}"
            extra: dict[str, Any] = {"default": None} if flag.switch else {"metavar": flag.placeholder}
            wrapped = click.option(spelling, flag.parameter, help=flag.help, **extra)(wrapped)
        return click.argument(
            "s_scenario", metavar=f"[{metavar}]" + "..." * many, required=False, nargs=-1 if many else 1
        )(wrapped)

    return decorate


def output_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--json`` and ``--quiet``, which every command has."""
    function = click.option("-q", "--quiet", is_flag=True, help="Only the answer: no progress, no hints.")(function)
    return click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")(function)


class ScenarioCommand(click.Command):
    """A command whose help lists its own options first and the scenario's fields by noun."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options in groups."""
        own: list[tuple[str, str]] = []
        groups: dict[str, list[tuple[str, str]]] = {}
        titles = {flag.parameter: _TITLES[flag.section] for flag in FLAGS} | {
            "s_slo": "Workload",
            "s_technique": "Deployment",
        }
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                groups.setdefault(titles[parameter.name or ""], []).append(
                    record
                ) if parameter.name in titles else own.append(record)
        with formatter.section("Options"):
            formatter.write_dl(own)
        for title, records in groups.items():
            with formatter.section(f"{title} (over the file)"):
                formatter.write_dl(records)
