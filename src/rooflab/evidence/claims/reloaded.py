"""A paper whose code is changed: its modules are loaded again with other numbers and texts in the place of some.

The modules that are loaded already stay as they are; what is loaded here is seen by nobody else.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.evidence.claims.folded import tree
from rooflab.evidence.claims.literals import Place
from rooflab.evidence.claims.made import MAKE, READ, Made, made, reads
from rooflab.papers.paper import Paper

__all__ = ["Around", "Changes", "reloaded"]

Changes = Mapping[tuple[Path, Place], Any]
"""Values by the file and the place of the expression that they replace, or go around (`Around`)."""


@dataclass(frozen=True, slots=True)
class Around:
    """Not another value in the place of an expression, but what the expression makes, times a factor."""

    made: Made
    factor: float


def reloaded(paper: Paper, files: Sequence[Path], changes: Changes, *, documented: bool = True) -> Paper:
    """`paper`, loaded again from its `files` with `changes` made (and without docstrings where not `documented`).

    Raises InputError where the changed code cannot be loaded.
    """
    assert paper.file is not None
    names = {name: path for name, path in _names(files).items() if path != paper.file}
    code = {path: _compiled(path, changes, documented=documented) for path in files}
    own = next((name for name, path in _names([paper.file]).items()), paper.key)
    with _replaced(own, paper.file, names, code):
        spec = spec_from_file_location(own, paper.file, loader=_Changed(code[paper.file]))
        assert spec is not None
        module = module_from_spec(spec)
        sys.modules[own] = module
        vars(module).update(_MAKERS)
        try:
            exec(code[paper.file], module.__dict__)
        except Exception as problem:
            raise InputError(f"cannot be loaded when it is changed ({problem!r})", paper.key) from problem
    found = getattr(module, "paper", None)
    if not isinstance(found, Paper):
        raise InputError("has no paper when it is changed", paper.key)
    return found


_MAKERS: Final = {MAKE: made, READ: reads}


class _Changed(Loader):
    """Loads a module from code that is at hand."""

    def __init__(self, code: CodeType) -> None:
        self._code = code

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """A module as usual."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the code."""
        vars(module).update(_MAKERS)
        exec(self._code, module.__dict__)


class _Finder(MetaPathFinder):
    """Finds the changed modules by name."""

    def __init__(self, names: Mapping[str, Path], code: Mapping[Path, CodeType]) -> None:
        self._names, self._code = names, code

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The changed module called so, if it is one of them."""
        file = self._names.get(fullname)
        if file is None:
            return None
        inside = [str(file.parent)] if file.name == "__init__.py" else None
        return spec_from_file_location(
            fullname, file, loader=_Changed(self._code[file]), submodule_search_locations=inside
        )


@contextmanager
def _replaced(own: str, file: Path, names: Mapping[str, Path], code: Mapping[Path, CodeType]) -> Iterator[None]:
    """A paper's modules are not loaded, and found as they are changed; afterwards all is as before."""
    gone = {name: sys.modules.pop(name) for name in (own, *names) if name in sys.modules}
    held = [(sys.modules[name.rpartition(".")[0]], name.rpartition(".")[2], module) for name, module in gone.items()
            if name.rpartition(".")[0] in sys.modules]  # fmt: skip
    for package, short, module in held:
        if getattr(package, short, None) is module:
            delattr(package, short)
    finder = _Finder(names, code)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in (own, *names):
            sys.modules.pop(name, None)
        sys.modules.update(gone)
        for package, short, module in held:
            setattr(package, short, module)


def _names(files: Sequence[Path]) -> dict[str, Path]:
    """Loaded modules by name whose source is one of `files`."""
    wanted = {str(path): path for path in files}
    return {
        name: wanted[file]
        for name, module in list(sys.modules.items())
        if isinstance(file := getattr(module, "__file__", None), str) and file in wanted
    }


def _compiled(path: Path, changes: Changes, *, documented: bool) -> CodeType:
    places = _places(path)
    values = [(places[place], value) for (file, place), value in changes.items() if file == path]
    if not values and documented:
        return _as_it_is(path)
    docs = [] if documented else [(at, "") for at in places.docs]
    held = [(at, at.put(value)) for at, value in [*values, *docs]]
    try:
        return compile(tree(path), str(path), "exec", dont_inherit=True)
    finally:
        for at, node in reversed(held):
            at.put_back(node)


@cache
def _as_it_is(path: Path) -> CodeType:
    return compile(tree(path), str(path), "exec", dont_inherit=True)


@dataclass(frozen=True, slots=True)
class _At:
    """Where an expression hangs in a tree: a field of its parent, and its number there if that is a list."""

    parent: ast.AST
    field: str
    index: int | None

    def put(self, value: Any) -> ast.AST:
        """Put a value there; what was there."""
        old = getattr(self.parent, self.field)
        node: ast.AST = old if self.index is None else old[self.index]
        if isinstance(value, Around):
            assert isinstance(node, ast.expr)
            self.put_back(value.made.around(node, value.factor))
        else:
            self.put_back(ast.copy_location(ast.Constant(value), node))
        return node

    def put_back(self, node: ast.AST) -> None:
        """Put a node there."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


@dataclass(frozen=True, slots=True)
class _Places:
    """Expressions of a module by their place, and its docstrings; of two at one place the inner one counts less."""

    every: dict[Place, _At]
    docs: list[_At]

    def __getitem__(self, place: Place) -> _At:
        return self.every[place]


@cache
def _places(path: Path) -> _Places:
    found = _Places({}, [])
    for parent in ast.walk(tree(path)):
        for field, value in ast.iter_fields(parent):
            for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(node, ast.expr):
                    at = _At(parent, field, index)
                    place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
                    found.every.setdefault(place, at)
                    if isinstance(parent, ast.Expr) and isinstance(node, ast.Constant):
                        found.docs.append(at)
    return found
