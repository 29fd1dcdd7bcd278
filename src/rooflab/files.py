"""Writing a file whole or not at all, where a user's caches are, and plain values that are kept there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from rooflab.errors import InputError

__all__ = ["is_file", "keep", "kept", "replaced", "user_cache", "write_folder", "write_text"]

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk that takes no more."""
_UNUSABLE: Final = (OSError, ValueError, TypeError, LookupError, RecursionError, InputError)
"""What keeping may run into: no rights, no room, no JSON, other fields, a file that was damaged."""


@contextmanager
def replaced(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file to write into that takes the place of `path` when the block ends; after an error `path` is as it was.

    A file that is there keeps its permissions and the links to it; a pipe or a device (/dev/stdout) is written into.
    Raises InputError when the folder does not exist, or when `path` cannot be written.
    """
    text = "b" not in mode
    with _said(path):
        there = _there(path)
        target = Path(os.path.realpath(path) if os.path.islink(path) else path)
        beside = there is None or stat.S_ISREG(there.st_mode)
        handle, temporary = (
            tempfile.mkstemp(dir=target.parent, prefix=".rooflab.") if beside else (os.open(path, os.O_WRONLY), None)
        )
    try:
        with os.fdopen(handle, mode, encoding="utf-8" if text else None, newline="" if text else None) as file:
            yield file
        if temporary is not None:
            with _said(path):
                # mkstemp makes files that only their owner can read
                os.chmod(temporary, _usual_mode() if there is None else stat.S_IMODE(there.st_mode))
                os.replace(temporary, target)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL:
            raise InputError(f"cannot be written ({error.strerror})", str(path)) from None
        raise


@contextmanager
def _said(path: str | Path) -> Iterator[None]:
    """Errors inside mean that `path` cannot be written; a ValueError comes of what no path can hold."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot be written ({reason})", str(path).replace("\0", "\\0") or "''") from None


def _there(path: str | Path) -> os.stat_result | None:
    """What is at `path`, None where there is nothing. Raises OSError for a folder and for a file that is read-only."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if not str(path):
            raise
        return None
    for code, wrong in ((errno.EISDIR, stat.S_ISDIR(found.st_mode)), (errno.EACCES, not os.access(path, os.W_OK))):
        if wrong:
            raise OSError(code, os.strerror(code))
    return found


def _usual_mode() -> int:
    """The permissions that a new file gets."""
    return 0o666 & ~_umask()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with replaced(path) as file:
        file.write(text)


def write_folder(path: str | Path, files: Mapping[str, bytes]) -> None:
    """Write files by relative name into a folder that is new or empty, all of them or none.

    Raises InputError for a folder that holds anything, and for names that lead out of it.
    """
    path = Path(path)
    for name in files:
        inner = PurePosixPath(name)
        if not name or inner.is_absolute() or ".." in inner.parts or "\0" in name or "\\" in name:
            raise InputError(f"{name!r} is no name of a file in a folder", str(path))
    with _said(path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError("is there already; a folder is written anew", str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=path.parent, prefix=".rooflab."))
        try:
            for name, content in files.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_bytes(content)
            made.chmod(0o777 & ~_umask())
            if path.exists():
                path.rmdir()
            made.rename(path)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise


def user_cache(name: str) -> Path:
    """The folder called `name` for what can be made or downloaded again: in $ROOFLAB_CACHE, else in ``rooflab`` in the
    user's cache folder ($XDG_CACHE_HOME, else ``~/.cache``)."""
    own, shared = os.environ.get("ROOFLAB_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return (Path(own) if own else Path(shared or os.path.expanduser("~/.cache")) / "rooflab") / name


def keep(path: str | Path, value: Any) -> bool:
    """Keep plain JSON values at `path` with their checksum, whole or not at all, in a folder that is made; whether
    that could be done: what is kept can be made again, so that nobody need miss it."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"value": value, "sum": _sum(value)}))
    except _UNUSABLE:
        return False
    return True


def kept(path: str | Path) -> Any:
    """The values that were kept at `path`; None where there are none, or not those that were written."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return content["value"] if content["sum"] == _sum(content["value"]) else None
    except _UNUSABLE:
        return None


def _sum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def is_file(path: str | Path) -> bool:
    """Whether there is a plain file at a path: no for folders, for devices, and for what cannot be a path at all."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False
