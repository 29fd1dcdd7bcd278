"""What a paper's figures depend on beside its input, as one digest: its own files and Rooflab's.

It covers the paper's own files (its module, what that imports from its own package or folder, and the data beside
them), the sources and data of Rooflab that a paper can reach, and the versions of what both are computed with.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from importlib.util import resolve_name
from pathlib import Path
from typing import Final

from rooflab.papers.registry import module_of, source_of

__all__ = ["folder_of", "own_files", "sources"]

_PACKAGE: Final = Path(__file__).parents[1]
_ROOT: Final = _PACKAGE.name
_SHELVES: Final = f"{_ROOT}.library"
_OUT_OF_REACH: Final = ("library", "report", "testing", "web", "cli")
"""Rooms above a check, and the papers, each of which counts for itself."""
_COMPUTED_WITH: Final = ("numpy", "numba", "scipy")
_CODE: Final = (".py", ".pyc")


def sources(paper: str) -> str:
    """The digest of the files that the figures of `paper` are computed with, in hexadecimal."""
    module = module_of(paper)
    files = own_files(module)
    found = hashlib.sha256(f"{paper} {module} {_engine()}".encode())
    for path in files:
        _add(found, path, files[0].parent)
    return found.hexdigest()


def folder_of(paper: str) -> Path:
    """The folder that the code of `paper` lies in."""
    return own_files(module_of(paper))[0].parent


def own_files(module: str) -> list[Path]:
    """Files of the paper in `module`: the module first, then its own modules and data, in order of path."""
    pending, found = [module], dict[Path, None]()
    while pending:
        name = pending.pop()
        path = source_of(name)
        if path is None or path in found:
            continue
        found[path] = None
        pending += [other for other in _imported(path, name) if _is_own(other, module)]
    first, *others = found
    whole = [p for p in _tree(first.parent) if p.suffix not in _CODE] if first.stem == "paper" else []
    beside = [p for own in found for p in own.parent.glob(f"{own.stem}.*") if p.suffix not in _CODE]
    return [first, *sorted({*others, *whole, *beside})]


def _is_own(name: str, module: str) -> bool:
    """Whether a module that a paper's imports belongs to it rather than to Rooflab or to a library."""
    top = name.partition(".")[0]
    if top == _ROOT:
        return name.startswith(f"{_SHELVES}.")
    if "." in module:
        return top == module.partition(".")[0]
    mine, other = source_of(module), source_of(top)
    return mine is not None and other is not None and mine.parent == other.parent


def _imported(path: Path, module: str) -> Iterator[str]:
    """Names of modules that a file imports; what is imported from one may be a module, too."""
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package) if node.level else str(node.module)
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


@cache
def _engine() -> str:
    """The digest of Rooflab itself and of what it is computed with."""
    found = hashlib.sha256(sys.version.encode())
    for name in _COMPUTED_WITH:
        found.update(f" {name} {_version(name)}".encode())
    for path in _tree(_PACKAGE):
        if path.relative_to(_PACKAGE).parts[0] not in _OUT_OF_REACH:
            _add(found, path, _PACKAGE)
    return found.hexdigest()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


def _tree(folder: Path) -> list[Path]:
    """Files under `folder`, compiled ones left out, in order of path."""
    return sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _add(found: hashlib._Hash, path: Path, folder: Path) -> None:
    """Add a file's place and content, each closed by its length."""
    content = path.read_bytes()
    name = path.relative_to(folder) if path.is_relative_to(folder) else path.name
    found.update(f"{name} {len(content)} ".encode() + content)
