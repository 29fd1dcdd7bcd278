"""Programs: functions with tests, in several variants. Nothing here runs them."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError, unknown
from rooflab.inputs.checks import plain_name, put, texts
from rooflab.inputs.content import taken
from rooflab.inputs.disturb import exchanging, halving, shuffled, shuffling
from rooflab.inputs.kind import FOLDER, Disturbance, Format, Kind
from rooflab.inputs.row_files import jsonl_bytes
from rooflab.inputs.summary import Summary, summary
from rooflab.source.text import files_in, parse_json, text

__all__ = ["KIND", "Program", "Programs", "Test"]

_FIELDS: Final = ("name", "entry", "statement", "variants", "tests", "inputs", "check")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
LONGEST: Final = 200_000
"""Characters of a source text; Python's own parser needs much memory beyond."""


@dataclass(frozen=True, slots=True)
class Test:
    """A call and what it returns, as JSON texts: `args` is a list."""

    args: str
    expected: str

    def __post_init__(self) -> None:
        if not isinstance(parse_json(self.args, "args"), list):
            raise InputError("is not a list of arguments", "args")
        parse_json(self.expected, "expected")

    def values(self) -> tuple[list[Any], Any]:
        """Arguments and result as Python values, new ones at each call."""
        return json.loads(self.args), json.loads(self.expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One task: function `entry`, in variants by name (source texts), what it has to do in words, and tests.

    `inputs` is source of ``inputs(n)``, which returns arguments of size n; `check` is source of ``check(function)``,
    which raises AssertionError. Either may be empty.
    """

    name: str
    entry: str
    variants: Mapping[str, str]
    statement: str = ""
    tests: tuple[Test, ...] = ()
    inputs: str = ""
    check: str = ""

    def __post_init__(self) -> None:
        plain_name(self.name, "name")
        if not isinstance(self.entry, str) or not _WORD.fullmatch(self.entry):
            raise InputError(f"{str(self.entry)[:40]!a} is no name of a function", f"{self.name}.entry")
        if not isinstance(self.variants, Mapping) or not self.variants:
            raise InputError("holds no variant (name: source)", f"{self.name}.variants")
        for name in self.variants:
            plain_name(name, f"{self.name}.variants")
        sources = texts((*self.variants.values(), self.statement, self.inputs, self.check), self.name)
        if max(len(source) for source in sources) > LONGEST:
            raise InputError(f"holds a text of more than {LONGEST:,} characters", self.name)
        put(self, variants=dict(self.variants), tests=tuple(self.tests))


@dataclass(frozen=True, slots=True)
class Programs:
    """Functions with tests and variants.

    programs: P programs, each with name, entry (the function), statement (what it has to do), variants (name → source
        text), tests (arguments → result, as JSON), inputs (source of ``inputs(n)``), check (source of ``check(f)``).
    """

    programs: tuple[Program, ...]

    def __post_init__(self) -> None:
        put(self, programs=tuple(self.programs))
        known = [p.name for p in self.programs]
        if not known:
            raise InputError("holds no program", "programs")
        if len(set(known)) != len(known):
            raise InputError(f"{next(n for n in known if known.count(n) > 1)} stands twice", "programs")

    def __len__(self) -> int:
        return len(self.programs)

    def __getitem__(self, name: str) -> Program:
        found = next((p for p in self.programs if p.name == name), None)
        if found is None:
            raise unknown("program", name, [p.name for p in self.programs])
        return found

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of variants that every program has."""
        shared = set.intersection(*(set(p.variants) for p in self.programs))
        return tuple(name for name in self.programs[0].variants if name in shared)

    def take(self, rows: npt.NDArray[np.int64]) -> Programs:
        """These programs, in this order."""
        return Programs(taken(self.programs, rows))


def _from_jsonl(path: Path) -> Programs:
    found = []
    for number, held in enumerate(text(path).split("\n"), start=1):
        if held.strip():
            where = f"{path}:{number}"
            try:
                found.append(_program(parse_json(held, str(path), number)))
            except InputError as error:
                raise InputError(error.message, error.where if error.where.startswith(where) else
                                 f"{where}: {error.where}".removesuffix(": ")) from None  # fmt: skip
    return Programs(tuple(found))


def _program(row: Any) -> Program:
    if not isinstance(row, dict):
        raise InputError(f"expected one object a line, with {', '.join(_FIELDS)}")
    for key in row:
        if key not in _FIELDS:
            raise unknown("field", key, _FIELDS)
    for key in ("name", "variants"):
        if key not in row:
            raise InputError(f"no {key} given")
    tests = row.get("tests", [])
    if not isinstance(tests, list) or not all(isinstance(t, list) and len(t) == 2 for t in tests):
        raise InputError("expected a list of [arguments, result]", "tests")
    held = {"entry": str(row["name"]).replace("-", "_"), **row}
    made = tuple(Test(_json(args), _json(expected)) for args, expected in tests)
    return Program(**{**held, "tests": made})


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _to_jsonl(given: Programs) -> bytes:
    rows = []
    for p in given.programs:
        row: dict[str, Any] = {name: getattr(p, name) for name in _FIELDS if getattr(p, name)}
        rows.append({**row, "tests": [list(test.values()) for test in p.tests]})
    return jsonl_bytes(rows)


_RESERVED: Final = ("inputs", "check")


def _from_folder(folder: Path) -> Programs:
    """A folder a program: NAME/VARIANT.py, and tests.jsonl, statement.txt, inputs.py, check.py where there are."""
    sources: dict[str, dict[str, str]] = {}
    for path in files_in(folder, (".py",)):
        parts = path.relative_to(folder).parts
        if len(parts) != 2:
            raise InputError("stands where no variant is: NAME/VARIANT.py is read", str(path))
        sources.setdefault(parts[0], {})[path.stem] = text(path)
    return Programs(tuple(_of_folder(folder / name, parts) for name, parts in sources.items()))


def _of_folder(folder: Path, sources: dict[str, str]) -> Program:
    tests = []
    path = folder / "tests.jsonl"
    for number, held in enumerate(text(path).split("\n") if path.exists() else (), start=1):
        if held.strip():
            row = parse_json(held, str(path), number)
            if not isinstance(row, list) or len(row) != 2:
                raise InputError("expected [arguments, result]", f"{path}:{number}")
            if not isinstance(row[0], list):
                raise InputError("arguments are not a list", f"{path}:{number}")
            tests.append(Test(_json(row[0]), _json(row[1])))
    statement = folder / "statement.txt"
    return Program(
        name=folder.name, entry=folder.name.replace("-", "_"), tests=tuple(tests),
        statement=text(statement).strip() if statement.exists() else "",
        variants={name: source for name, source in sources.items() if name not in _RESERVED},
        **{name: sources.get(name, "") for name in _RESERVED},
    )  # fmt: skip


def _to_folder(given: Programs) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for p in given.programs:
        if p.entry != p.name.replace("-", "_") or set(p.variants) & set(_RESERVED):
            raise InputError("a folder is named as its function, and no variant inputs or check; write .jsonl", p.name)
        parts = {f"{name}.py": source for name, source in p.variants.items()}
        parts |= {f"{name}.py": getattr(p, name) for name in _RESERVED if getattr(p, name)}
        parts["statement.txt"] = p.statement + "\n"
        parts["tests.jsonl"] = "".join(f"[{t.args}, {t.expected}]\n" for t in p.tests)
        files |= {f"{p.name}/{name}": held.encode() for name, held in parts.items() if held.strip()}
    return files


def _describe(given: Programs) -> Summary:
    odd = []
    for p in given.programs:
        broken = [name for name, source in p.variants.items() if not _defines(source, p.entry)]
        odd += [f"{p.name}: variant {name} does not define {p.entry}" for name in broken]
        odd += [f"{p.name}: no test and no check"] if not p.tests and not p.check else []
    counts = {
        "programs": len(given), "variants": sum(len(p.variants) for p in given.programs),
        "tests": sum(len(p.tests) for p in given.programs),
    }  # fmt: skip
    lengths = np.array([source.count("\n") + 1 for p in given.programs for source in p.variants.values()])
    arrays: dict[str, Any] = {
        "programs": tuple(p.name for p in given.programs),
        "variants": tuple(name for p in given.programs for name in p.variants),
        "lines of a variant": lengths,
    }
    return summary(counts, arrays, odd)


def _defines(source: str, entry: str) -> bool:
    """Whether source text is Python that defines a function at its top; it is parsed, never run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == entry for node in tree.body)


def _disturbances(given: Programs) -> tuple[Disturbance[Programs], ...]:
    found = [
        halving(len, Programs.take, "half of the programs"),
        shuffling("variants", "the sources of each program under other names of variants", _shuffle),
    ]
    if len(given.variants) > 1:
        a, b = given.variants[0], given.variants[-1]
        found.append(exchanging(f"{a} and {b}", "the sources of two variants", lambda g: _exchange(g, a, b)))
    return tuple(found)


def _shuffle(given: Programs, rng: np.random.Generator) -> Programs:
    def change(p: Program) -> Program:
        sources = shuffled(tuple(p.variants.values()), rng)
        return replace(p, variants=dict(zip(p.variants, sources, strict=True)))

    return Programs(tuple(change(p) for p in given.programs))


def _exchange(given: Programs, a: str, b: str) -> Programs:
    return Programs(tuple(
        replace(p, variants={**p.variants, a: p.variants[b], b: p.variants[a]}) for p in given.programs
    ))  # fmt: skip


KIND: Final[Kind[Programs]] = Kind(
    name="programs",
    does="Python functions with tests, in several variants.",
    data=Programs,
    formats=(
        Format(suffix=".jsonl", what="one object a program: name, entry, statement, variants, tests, inputs, check",
               text=True, load=_from_jsonl, dump=_to_jsonl),
        Format(suffix=FOLDER, what="NAME/VARIANT.py, with tests.jsonl, statement.txt, inputs.py and check.py",
               load=_from_folder, dump=_to_folder),
    ),
    describe=_describe,
    disturbances=_disturbances,
    example=lambda: KIND.sample().take(np.arange(1)),
    lacks={"scale": "how large its inputs are is chosen by who runs a program: inputs(n)"},
    signs=(frozenset({"variants"}), frozenset({".py"})),
)  # fmt: skip
