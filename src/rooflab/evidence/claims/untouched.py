"""Is the code that judges a paper still what stands in its files, and does the paper's own keep nothing between runs?

A paper is Python in the same process: it could put other functions in the place of those of Rooflab, of Python or of
libraries, or another number in the place of a constant. Functions and methods are compared with what their files
compile to, numbers and texts of modules with those that their files spell, and nothing that a paper wrote may stand
under a name of a module that is not its own. Nor may a paper write into containers of its modules: what a first run
leaves there, later ones could give again.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from rooflab.evidence.claims.folded import folded, tree
from rooflab.papers.claim import Claim

__all__ = ["altered", "kept"]

_ROOFLAB: Final = Path(__file__).parents[2]
_LIBRARY: Final = str(_ROOFLAB / "library")
_JUDGE: Final = tuple(name.rpartition(".")[0] for name in (__name__, Claim.__module__))
"""Rooms whose constants are looked at: they say what a claim is, and whether it holds."""
_HOLDS: Final = (list, dict, set, bytearray, int, float, str, tuple, type(None))
_LONG: Final = 10_000
"""Letters of what a name holds that are looked at."""
_BEGAN: Final = time.time()
_SHARED: Final = (
    "builtins", "math", "json", "statistics", "itertools", "functools", "operator", "dataclasses", "time", "numpy",
)  # fmt: skip
"""Modules of others that a verdict is computed with."""


def altered(files: Iterable[Path]) -> str:
    """What code that is not of `files` (a paper's) is no longer as it was written; empty if nothing is."""
    own = frozenset(map(str, files))
    for name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or getattr(module, "__file__", None) in own:
            continue
        ours = name == "rooflab" or (name.startswith("rooflab.") and not str(module.__file__).startswith(_LIBRARY))
        found = _foreign(module, own) if ours or name in _SHARED else ""
        found = found or (_changed(module) if ours else "")
        if found:
            return f"{name}.{found}"
    return ""


def _foreign(module: ModuleType, own: frozenset[str]) -> str:
    """A function of a module, or a method of a class of its own, that a paper wrote."""
    for name, value in _members(vars(module)):
        inner = _function(value)
        if inner is not None and inner.__code__.co_filename in own:
            return name
    return ""


def _changed(module: ModuleType) -> str:
    """A function, method or constant of a module that is not as its file has it."""
    if Path(str(module.__file__)).stat().st_mtime > _BEGAN:
        return ""  # its file was written since, by an editor or an update: it no longer tells what was loaded
    codes = _codes(module.__name__)
    for name, value in _members(vars(module)):
        inner = _function(value)
        if inner is None or inner.__module__ != module.__name__ or inner.__code__.co_filename != module.__file__:
            continue
        if codes and inner.__code__ not in codes.get(inner.__qualname__, ()):
            return name
        if "." not in name and name in codes and inner.__qualname__ != name:
            return name
    for name, expected in _imported_as(module.__name__).items() if module.__name__.startswith(_JUDGE) else ():
        source = getattr(sys.modules.get(expected[0]), expected[1], None)
        if isinstance(source, (FunctionType, type)) and getattr(module, name, source) is not source:
            return name
    for name, stated in _constants(module.__name__).items() if module.__name__.startswith(_JUDGE) else ():
        if getattr(module, name, stated) != stated:
            return name
    return ""


def _members(space: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What a module has by name, and what its classes have."""
    for name, value in list(space.items()):
        yield name, value
        if isinstance(value, type) and value.__module__ == space.get("__name__"):
            yield from ((f"{name}.{inner}", held) for inner, held in list(vars(value).items()))


def _function(value: Any) -> FunctionType | None:
    """The function of Python in a function, method or property; None where there is none."""
    for _ in range(4):
        if isinstance(value, FunctionType):
            return value
        if isinstance(value, property):
            value = value.fget
        elif isinstance(value, partial):
            value = value.func
        else:
            value = getattr(value, "__func__", None) or getattr(value, "__wrapped__", None)
    return None


@cache
def _codes(name: str) -> Mapping[str, tuple[CodeType, ...]]:
    """The code of every function of a module by its qualified name, as its file compiles to."""
    loader: Any = getattr(sys.modules[name], "__loader__", None)
    try:
        whole = loader.get_code(name)
    except (AttributeError, ImportError, OSError):
        return {}
    found: dict[str, tuple[CodeType, ...]] = {}
    pending = [whole] if whole is not None else []
    while pending:
        for inner in pending.pop().co_consts:
            if isinstance(inner, CodeType):
                found[inner.co_qualname] = (*found.get(inner.co_qualname, ()), inner)
                pending.append(inner)
    return found


@cache
def _constants(name: str) -> Mapping[str, Any]:
    """Numbers and texts that the file of a module gives its names, once each."""
    found: dict[str, Any] = {}
    for node in tree(Path(str(sys.modules[name].__file__))).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = folded(node.value) if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None else None
        if isinstance(target, ast.Name) and value is not None:
            found[target.id] = value
    return found


@cache
def _imported_as(name: str) -> Mapping[str, tuple[str, str]]:
    """Names that a module imports from Rooflab, with where they come from."""
    found = {}
    for node in tree(Path(str(sys.modules[name].__file__))).body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("rooflab."):
            found.update({a.asname or a.name: (str(node.module), a.name) for a in node.names})
    return found


def kept(function: Callable[..., Any], files: Iterable[Path]) -> Mapping[str, str]:
    """What the modules of a claim's paper, their classes and functions hold, by name: to compare after a run."""
    own = frozenset(map(str, files))
    while isinstance(function, partial):
        function = function.func
    spaces = [vars(m) for m in list(sys.modules.values()) if getattr(m, "__file__", None) in own]
    if isinstance(function, FunctionType) and all(function.__globals__ is not s for s in spaces):
        spaces.append(function.__globals__)
    found = {}
    for space in spaces:
        file = Path(str(space.get("__file__"))).name
        for name, value in _members(space):
            inner, key = _function(value), f"{name} in {file}"
            if inner is not None:
                found[key] = repr((inner.__defaults__, inner.__kwdefaults__, vars(inner)))[:_LONG]
            elif isinstance(value, _HOLDS) or hasattr(value, "tobytes"):
                found[key] = repr(value)[:_LONG]
    return found
