"""Scenarios as JSON lines in, metrics as JSON lines out: a hundred thousand in seconds.

Sub-objects that repeat (a model, hardware, a deployment) are read once, which also lets the engine see that rows share
them: it prices by group. Work goes in slices, so that memory stays flat and an interruption keeps what is done.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.catalogue.workloads import resolve
from rooflab.cli.scenario_options import Given
from rooflab.errors import InputError, RooflabError
from rooflab.estimator.serving.answer import BOTTLENECKS
from rooflab.estimator.serving.engines import Columns, evaluate_columns
from rooflab.estimator.serving.groups import Group, groups_of
from rooflab.memory.explain import Misfit
from rooflab.papers.apply import apply_techniques
from rooflab.scenario.deployment import Deployment, read_deployment
from rooflab.scenario.scenario import Resolvers, Scenario, beside, read_scenario
from rooflab.scenario.slo import read_slo

__all__ = ["ScenarioReader", "estimate_file", "estimate_lines"]

SLICE: Final = 100_000
"""Scenarios solved at once. A group's prices are compiled once a slice; a slice takes about 400 MB."""


def estimate_file(path: str, given: Sequence[Given], *, quiet: bool) -> int:
    """Estimate every line of a file ("-": stdin) to stdout; fields given by flags win over each line's. The exit status
    is 0."""
    if any(one.path for one in given):
        raise InputError("excludes a SCENARIO file; put the scenarios into the batch", "--batch")
    gc.disable()  # millions of objects without cycles: collecting would only walk them
    try:
        if path == "-":
            done, failed = _stream(sys.stdin, ScenarioReader(given[0]), quiet=quiet)
        else:
            with Path(path).open(encoding="utf-8") as source:
                done, failed = _stream(source, ScenarioReader(given[0], Path(path).parent), quiet=quiet)
    except (FileNotFoundError, IsADirectoryError, PermissionError, UnicodeDecodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise InputError(reason, path) from None
    finally:
        gc.enable()
    if failed and not quiet:
        print(f"{failed:,} of {done:,} scenarios have no estimate; the line of each says why", file=sys.stderr)
    return 0


def _stream(source: Iterable[str], reader: ScenarioReader, *, quiet: bool) -> tuple[int, int]:
    """Write the answers as they come, with progress on a terminal; lines done and lines failed."""
    done = failed = 0
    shown = not quiet and sys.stderr.isatty()
    for answers, errors in estimate_lines(source, reader):
        sys.stdout.write("".join(answers))
        done, failed = done + len(answers), failed + errors
        if shown:
            print(f"\r{done:,} scenarios", end="", file=sys.stderr, flush=True)
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr)
    return done, failed


def estimate_lines(lines: Iterable[str], reader: ScenarioReader) -> Iterator[tuple[list[str], int]]:
    """Answers to `lines` in order, slice by slice, with the number of errors in each; blank lines are skipped."""
    rest = (line for line in lines if not line.isspace())
    while block := list(islice(rest, SLICE)):
        yield _solve([reader.line(text) for text in block])


def _solve(read: list[Scenario | RooflabError]) -> tuple[list[str], int]:
    rows = [i for i, item in enumerate(read) if isinstance(item, Scenario)]
    groups, failed = groups_of([item for item in read if isinstance(item, Scenario)])
    out = ["" if isinstance(item, Scenario) else _error(item) for item in read]
    errors = len(read) - len(rows) + len(failed)
    for i, error in failed.items():
        out[rows[i]] = _error(error)
    for group in groups:
        columns = evaluate_columns(group.scenarios, group.deployments)
        answers = _answers(columns)
        misfits = np.flatnonzero(~columns.fits).tolist()
        for i, reason in zip(misfits, _reasons(group, columns, misfits), strict=True):
            answers[i] = reason
        errors += len(misfits)
        for i, scenario, answer in zip(group.rows, group.scenarios, answers, strict=True):
            out[rows[i]] = f'{{"name": {json.dumps(scenario.name)}, {answer[1:]}' if scenario.name else answer
    return out, errors


def _error(error: RooflabError) -> str:
    return json.dumps({"error": str(error)}) + "\n"


def _reasons(group: Group, columns: Columns, rows: list[int]) -> Iterator[str]:
    """Why each of `rows` does not fit."""
    known: dict[Deployment, Misfit] = {}
    for i in rows:
        deployment = group.deployments[i]
        if deployment not in known:
            known[deployment] = Misfit(group.scenarios[0].model, group.scenarios[0].hardware, deployment)
        yield json.dumps({"error": known[deployment].why(float(columns.length[i]))}) + "\n"


def _answers(columns: Columns) -> list[str]:
    """The rows as JSON objects with the keys of `Estimate.record`, six significant digits; what is not finite is
    null. Only a burst has a duration."""
    ends_at = columns.metrics["duration_s"]
    left_out = ("bottleneck_index",) if np.isfinite(ends_at).any() else ("bottleneck_index", "duration_s")
    names = [name for name in columns.metrics if name not in left_out]
    table = np.array([columns.metrics[name] for name in names]).T
    plain = np.isfinite(table).all(axis=1).tolist()
    form = "{" + ", ".join(f'"{name}": %.6g' for name in names)
    tails = [f', "bottleneck": "{what}", "saturated": {word}}}\n' for word in ("false", "true") for what in BOTTLENECKS]
    ends = (columns.metrics["bottleneck_index"].astype(int) + len(BOTTLENECKS) * columns.saturated).tolist()
    out = []
    for row, finite, end in zip(table.tolist(), plain, ends, strict=True):
        text = form % tuple(row)
        if not finite:
            text = text.replace('"duration_s": nan, ', "")
            text = text.replace(": nan", ": null").replace(": inf", ": null").replace(": -inf", ": null")
        out.append(text + tails[end])
    return out


@dataclass(slots=True)
class ScenarioReader:
    """Reads scenarios from JSON text; a part that was read before is the same object again.

    `given`: fields that win over each line's. `folder`: where relative paths of models and traces are looked for first.
    """

    given: Given = field(default_factory=lambda: Given("", {}))
    folder: Path = Path()
    _seen: dict[tuple[str, str], Any] = field(default_factory=dict)

    def line(self, text: str) -> Scenario | RooflabError:
        """The scenario of one line, or the error that says what is wrong with it."""
        try:
            return self.scenario(json.loads(text))
        except ValueError as error:
            return InputError(f"not valid JSON ({error})")
        except RooflabError as error:
            return error

    def scenario(self, value: Any) -> Scenario:
        """The scenario of one parsed line. Raises InputError."""
        if isinstance(value, dict):
            if self.given.fields:
                value = self.given.over(value)
            for key, reader in _PARTS.items():
                given = value.get(key)
                if given:
                    place = (key, repr(given))
                    known = self._seen.get(place)
                    if known is None:
                        known = self._seen[place] = reader(beside({key: given}, self.folder)[key], key)
                    value[key] = known
            if isinstance(value.get("workload"), dict) and "trace" in value["workload"]:
                value = beside(value, self.folder)
        return apply_techniques(read_scenario(value, _RESOLVERS))


_PARTS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "model": model,
    "hardware": hardware,
    "deployment": read_deployment,
    "slo": read_slo,
}
_RESOLVERS: Final = Resolvers(model, hardware, resolve)
