"""Writing a file whole or not at all, and where a user's caches are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rooflab.errors import InputError

__all__ = ["is_file", "replaced", "user_cache", "write_text"]


@contextmanager
def replaced(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file to write into that takes the place of `path` when the block ends; after an error `path` is as it was.

    Raises InputError when the folder does not exist or cannot be written.
    """
    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error})", str(path)) from None
    try:
        binary = "b" in mode
        with os.fdopen(handle, mode, encoding=None if binary else "utf-8", newline=None if binary else "") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with replaced(path) as file:
        file.write(text)


def user_cache(name: str) -> Path:
    """The folder called `name` for what can be made or downloaded again: in $ROOFLAB_CACHE, else in ``rooflab`` in the
    user's cache folder ($XDG_CACHE_HOME, else ``~/.cache``)."""
    own, shared = os.environ.get("ROOFLAB_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return (Path(own) if own else Path(shared or os.path.expanduser("~/.cache")) / "rooflab") / name


def is_file(path: str | Path) -> bool:
    """Whether there is a plain file at a path: no for folders, for devices, and for what cannot be a path at all."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False
