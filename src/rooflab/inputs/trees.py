"""Trees that other data are: variants of a program share their first lines, steps of a session follow each other.

A tree is a graph whose edges lead from a parent to its children; its nodes have columns `tokens` and `text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any, Final

import numpy as np

from rooflab.errors import InputError
from rooflab.inputs.graph import Graph
from rooflab.inputs.programs import Program, Programs
from rooflab.inputs.runs import UNKNOWN, Runs

__all__ = ["tree_of_programs", "tree_of_runs", "words"]

_WORD: Final = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> int:
    """Words and marks of a text: what tokens are counted by where no tokenizer is known."""
    return sum(1 for _ in _WORD.finditer(text))


@dataclass(slots=True)
class _Grown:
    """Nodes of a tree in the making; a root's parent is −1."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def add(self, name: str, parent: int, text: str) -> int:
        self.names.append(name)
        self.parents.append(parent)
        self.texts.append(text)
        return len(self.names) - 1

    def edges(self) -> dict[str, Any]:
        """Fields of a graph."""
        child = np.flatnonzero(np.array(self.parents) >= 0)
        return {
            "nodes": len(self.names), "source": np.array(self.parents)[child], "target": child,
            "names": tuple(self.names),
        }  # fmt: skip


def tree_of_programs(given: Programs) -> Graph:
    """One tree a program: its statement, then the lines of its variants, those that begin alike in one node.

    Leaves are called PROGRAM/VARIANT; a variant that is the beginning of another, or its equal, ends in a leaf without
    text. `tokens` are words and marks.
    """
    grown = _Grown()
    for program in given.programs:
        _grow(grown, program)
    tokens = np.array([words(text) for text in grown.texts])
    return Graph(**grown.edges(), extra={"tokens": tokens, "text": tuple(grown.texts)})


def _grow(grown: _Grown, program: Program) -> None:
    root = grown.add(program.name, -1, program.statement)
    lines = {name: source.splitlines() for name, source in program.variants.items()}
    pending: list[tuple[int, int, list[str]]] = [(root, 0, list(lines))]
    while pending:
        above, at, variants = pending.pop()
        for same in _alike(lines, variants, at):
            end = _end(lines, same, at)
            text = "\n".join(lines[same[0]][at:end])
            if len(same) == 1:
                grown.add(f"{program.name}/{same[0]}", above, text)
            elif end > at:
                pending.append((grown.add(f"{program.name}#{len(grown.names)}", above, text), end, same))
            else:
                for name in same:
                    grown.add(f"{program.name}/{name}", above, "")


def _alike(lines: Mapping[str, Sequence[str]], variants: Sequence[str], at: int) -> Iterator[list[str]]:
    """Variants by their line `at`; those that have none together."""
    groups: dict[str | None, list[str]] = {}
    for name in variants:
        groups.setdefault(lines[name][at] if at < len(lines[name]) else None, []).append(name)
    yield from groups.values()


def _end(lines: Mapping[str, Sequence[str]], same: Sequence[str], at: int) -> int:
    """The line before which these variants differ, or one of them ends."""
    end = at
    first = lines[same[0]]
    while all(end < len(lines[name]) and lines[name][end] == first[end] for name in same):
        end += 1
    return end


def tree_of_runs(r: Runs) -> Graph:
    """One tree a session: a root of its name, then its steps, each below the one before, or below the step that a
    column parent names (by a column id).

    `tokens` are those of the output (the root's: of the first input), NaN where unknown. The time of a step is that of
    its edge; other columns are kept by their names (behind step_ where a graph uses the name), without value at the
    roots. Raises InputError for a parent that no step of the session has.
    """
    ids, parents = _column(r, "id", "node", "node_id", "step_id"), _column(r, "parent", "parent_id")
    if parents is not None and ids is None:
        raise InputError("parents name steps by their id; there is no column id", "parent")
    grown, place = _Grown(), dict[tuple[str, str], int]()
    roots = {name: grown.add(name, -1, "") for name in r.sessions}
    for i, session in enumerate(r.session):
        name = str(i) if ids is None else ids[i]
        if (session, name) in place:
            raise InputError(f"step {name!a} of session {session!a} stands twice", "id")
        place[session, name] = grown.add(f"{session}:{name}", roots[session], "")
    first = len(roots)
    if parents is not None:
        for i, parent in enumerate(parents):
            if parent:
                if (r.session[i], parent) not in place:
                    raise InputError(f"no step of session {r.session[i]!a} is called {parent!a}", f"parent[{i}]")
                grown.parents[first + i] = place[r.session[i], parent]
    else:
        for session in roots:
            own = [first + i for i, name in enumerate(r.session) if name == session]
            for before, after in pairwise(own):
                grown.parents[after] = before
    edges = grown.edges()
    time_s = None if r.time_s is None else r.time_s[edges["target"] - first]
    return Graph(**edges, time_s=time_s, extra=_columns(r, roots))


def _column(r: Runs, *names: str) -> tuple[str, ...] | None:
    found = next((r.extra[name] for name in names if name in r.extra), None)
    if found is None or isinstance(found, tuple):
        return found
    missing = found.dtype.kind == "f"
    return tuple("" if missing and np.isnan(v) else f"{v:g}" if missing else str(v) for v in found.tolist())


def _columns(r: Runs, roots: Mapping[str, int]) -> dict[str, Any]:
    """Columns of steps with a place for each root in front."""
    taken = {f.name for f in fields(Graph)}
    own = {
        f"step_{name}" if name in taken else name: values for name, values in r.columns.items()
        if name not in ("session", "time_s")
    }  # fmt: skip
    made: dict[str, Any] = {}
    for name, values in own.items():
        if isinstance(values, tuple):
            made[name] = ("",) * len(roots) + values
        elif values.dtype.kind == "b":
            made[name] = np.concatenate([np.zeros(len(roots), dtype=bool), values])
        else:
            known = values.astype(np.float64)
            known[(values == UNKNOWN) & (name in _COUNTS)] = np.nan
            made[name] = np.concatenate([np.full(len(roots), np.nan), known])
    if "output_tokens" in made:
        tokens = made.pop("output_tokens").copy()
        starts = [r.session.index(session) for session in roots]
        asked = made.get("input_tokens")
        tokens[: len(roots)] = 0.0 if asked is None else np.nan_to_num(asked[len(roots) + np.array(starts)])
        made["tokens"] = tokens
    return made


_COUNTS: Final = ("input_tokens", "output_tokens", "cached_tokens", "success")
