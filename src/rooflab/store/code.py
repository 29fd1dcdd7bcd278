"""Which code answers: a digest of the package's own files and of the libraries that numbers come through."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

__all__ = ["code_digest", "file_digest"]

_PACKAGE: Final = Path(__file__).parents[1]
_SUFFIXES: Final = (".py", ".json", ".yaml", ".csv", ".jsonl", ".npz")
_LIBRARIES: Final = ("numpy", "numba", "scipy")
_FACES: Final = ("cli", "report", "store", "feed", "web", "testing")
"""Rooms that no figure comes through."""


@cache
def code_digest() -> str:
    """Sixteen hexadecimal digits of everything that a figure comes through: the same digits, the same answers."""
    found = hashlib.sha256()
    for library in _LIBRARIES:
        try:
            found.update(f"{library} {metadata.version(library)}\n".encode())
        except metadata.PackageNotFoundError:
            found.update(f"{library} none\n".encode())
    for path in sorted(_PACKAGE.rglob("*")):
        inner = path.relative_to(_PACKAGE)
        if path.suffix in _SUFFIXES and inner.parts[0] not in _FACES and path.is_file():
            found.update(f"{inner.as_posix()}\0".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def file_digest(path: str | Path) -> str:
    """Sixteen hexadecimal digits of what a file holds, or of the files of a folder; the text itself where nothing is
    there (a name)."""
    place = Path(path)
    try:
        files = sorted(p for p in place.rglob("*") if p.is_file()) if place.is_dir() else [place]
        found = hashlib.sha256()
        for one in files:
            found.update(f"{one.relative_to(place).as_posix()}\0".encode() if one != place else b"")
            found.update(one.read_bytes())
    except (OSError, ValueError):
        return str(path)
    return found.hexdigest()[:16]
