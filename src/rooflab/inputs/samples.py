"""Small real data that ship: where each comes from, under which licence, and the checksum that its file must have."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["Sample", "samples_of"]

_FOLDER: Final = Path(__file__).with_name("data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A file of the package: `source` says in words whose data it is and what was taken of them."""

    name: str
    kind: str
    file: str
    what: str
    source: str
    url: str
    licence: str
    sha256: str

    def path(self) -> Path:
        """The file, whose checksum was checked. A wrong one means that the installation is damaged."""
        path = _FOLDER / self.file
        assert checksum(path) == self.sha256, f"{path} is not the file that shipped"
        return path


def samples_of(kind: str) -> tuple[Sample, ...]:
    """The samples of a kind, in the order of the list."""
    return tuple(sample for sample in _listed() if sample.kind == kind)


@cache
def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's names and bytes in the order of the names."""
    state = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and "__pycache__" not in file.parts:
            if path.is_dir():
                state.update(str(file.relative_to(path).as_posix()).encode() + b"\0")
            state.update(file.read_bytes())
    return state.hexdigest()


@cache
def _listed() -> tuple[Sample, ...]:
    rows = json.loads((_FOLDER / "samples.json").read_text("utf-8"))
    return tuple(Sample(**row) for row in rows)
