"""Files that a paper's code opens by itself seen by the interpreter's audit hook.

Data reach a claim through its lab: samples of a kind, or a table beside the paper (`Lab.table`), which the audit can
change. What is opened otherwise (a file beside the code, KEY.yaml, the code itself), when the code is loaded or
while a claim runs, could hold the answer.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

__all__ = ["watching"]

_ROOFLAB: Final = Path(__file__).parents[2]
_PAPERS: Final = _ROOFLAB / "library"
_ASKED: Final = tuple(str(_ROOFLAB / "papers" / name) for name in ("lab.py", "paper.py"))
"""What reads files for a paper: its lab, and `Paper.beside`."""
_IMPORTING: Final = ("<frozen importlib._bootstrap", "<frozen zipimport")
_MACHINE: Final = ("/dev", "/proc", "/sys", "/etc")
_KNOWN: Final = tuple(
    os.path.join(os.path.abspath(folder), "")
    for folder in {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, tempfile.gettempdir(), str(_ROOFLAB)}
)
"""Folders of the interpreter, its libraries, and what is made for a while; of Rooflab, its papers aside."""
_BUILT: Final = (".pyc", ".so", ".nbi", ".nbc", ".pyd", ".dll")
"""What interpreters and compilers keep."""


class _Watch:
    """The one hook of this process: hooks cannot be taken out, so that it is idle while nobody watches."""

    def __init__(self) -> None:
        self.files: frozenset[str] = frozenset()
        self.folders: tuple[str, ...] = ()
        self.found: list[str] = []
        self.set = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and self.files and isinstance(arguments[0], str) and self._by_the_paper():
            path = os.path.abspath(arguments[0])
            if not path.endswith(_BUILT) and not path.startswith(_MACHINE) and self._of_its_own(path):
                self.found.append(path)

    def _of_its_own(self, path: str) -> bool:
        """Whether a file lies beside the paper, or belongs to nobody who is known."""
        return path.startswith((str(_PAPERS), *self.folders)) or not path.startswith(_KNOWN)

    def _by_the_paper(self) -> bool:
        """Whether the paper's code opens it: not what it asked to, and not an import."""
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            if name in _ASKED or name.startswith(_IMPORTING):
                return False
            if name in self.files:
                return True
            frame = frame.f_back
        return False


_WATCH: Final = _Watch()


@contextmanager
def watching(files: Iterable[Path]) -> Iterator[list[str]]:
    """In this block the paths are listed that the code of `files` opens."""
    if not _WATCH.set:
        sys.addaudithook(_WATCH)
        _WATCH.set = True
    _WATCH.files, _WATCH.found = frozenset(map(str, files)), []
    _WATCH.folders = tuple({os.path.join(os.path.dirname(path), "") for path in _WATCH.files})
    try:
        yield _WATCH.found
    finally:
        _WATCH.files = frozenset()
