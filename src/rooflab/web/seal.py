"""A process that computes for strangers: it reads nothing but Rooflab's own files, and reaches no network.

The interpreter's audit events stand before every opened file, connection and started program, whoever asks for it
(PEP 578).  A scenario that names a path is refused before that, by `inline`, since even "no such file" would say what
lies on this machine; the events are for what nobody thought of.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.files import user_cache

__all__ = ["inline", "seal"]

_READ: Final = "reads no files and opens no connections; paste what is in the file instead"
_REFUSED: Final = (
    "socket.connect",
    "socket.getaddrinfo",
    "socket.bind",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.fork",
    "os.remove",
    "os.rename",
    "shutil.rmtree",
    "ctypes.dlopen",
)
_FILE: Final = re.compile(
    r"(?:^[~./\\])|\\|://|(?:^|/)\.\.?(?:/|$)|\.(?:json|jsonl|ya?ml|csv|tsv|gguf|npz|npy|parquet|onnx|txt|pkl|gz|zip)$",
    re.IGNORECASE,
)
_DEEPEST: Final = 24


def inline(value: Any, where: str = "") -> None:
    """Refuse what could be the name of a file or an address: a server takes names of its catalogue and values.

    Raises InputError that names the field.
    """
    _walk(value, where, 0)


def _walk(value: Any, where: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise InputError(f"is nested deeper than {_DEEPEST} levels", where)
    if isinstance(value, str):
        if _FILE.search(value.strip()) or (value.count("/") > 1 and " " not in value):
            raise InputError(f"{value[:80]!r} looks like a file; this server {_READ}", where)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _walk(inner, f"{where}.{key}" if where else str(key)[:80], depth + 1)
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            _walk(inner, f"{where}[{i}]", depth + 1)


def seal(folder: Path) -> None:
    """Close this process: from here on it opens files of Python, of Rooflab and of its cache only. There is no way
    back. `folder` (empty) becomes the working directory, so that a relative name finds nothing."""
    os.chdir(folder)
    readable = tuple(os.path.realpath(p) + os.sep for p in _own_folders())
    writable = tuple(os.path.realpath(p) + os.sep for p in (user_cache(""), Path(__file__).parents[1]))
    devices = {os.devnull, "/dev/urandom"}

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or path is None:
                return
            real = os.path.realpath(os.fsdecode(path))
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if isinstance(flags, int) else False
            if real in devices or real.startswith(writable if writes else readable + writable):
                return
            if not writes and real.startswith(("/proc/self/", "/sys/devices/system/", f"/proc/{os.getpid()}/")):
                return
            raise InputError(f"this server {_READ}")
        if event in _REFUSED and not _own(event, arguments, writable):
            raise InputError(f"this server {_READ}")

    sys.addaudithook(heard)


def _own(event: str, arguments: tuple[Any, ...], writable: tuple[str, ...]) -> bool:
    """Whether a file that is moved or taken away lies in a cache, or a library that is loaded in a folder of Python."""
    if event in ("os.remove", "os.rename", "shutil.rmtree"):
        return os.path.realpath(os.fsdecode(arguments[0])).startswith(writable)
    return event == "ctypes.dlopen"


def _own_folders() -> set[str]:
    """Folders of the interpreter, of installed packages and of Rooflab."""
    found = {
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        *sysconfig.get_paths().values(),
        str(Path(__file__).parents[1]),
    }
    found |= {p for p in sys.path if p and os.path.isdir(p)}
    return {f for f in found if os.path.realpath(f) != os.sep}
