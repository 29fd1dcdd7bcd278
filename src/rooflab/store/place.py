"""Where the store is: a path that was given, $ROOFLAB_STORE, or a file in the user's data folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rooflab.errors import InputError

__all__ = ["store_path", "vacant_or_file"]


def store_path(given: str | None = None) -> Path:
    """The file: `given`, else $ROOFLAB_STORE, else ``rooflab/store.sqlite3`` in the user's data folder ($XDG_DATA_HOME,
    else ``~/.local/share``), which is made. Raises InputError for an empty name or a folder that cannot be made."""
    if given is not None and not given.strip():
        raise InputError("is empty: a file belongs there", "--store")
    named = given or os.environ.get("ROOFLAB_STORE")
    if named:
        return Path(named)
    folder = Path(os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")) / "rooflab"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"{folder}: cannot be made ({error.strerror}); --store FILE or ROOFLAB_STORE names another place"
        raise InputError(reason, "the store") from None
    return folder / "store.sqlite3"


def vacant_or_file(path: Path) -> bool:
    """Whether there is a file at `path`; InputError for what is there and is none (a folder, a pipe, a device), and
    where no file can be."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        if not os.path.isdir(path.absolute().parent):
            raise InputError(f"no folder {path.absolute().parent}", str(path)) from None
        return False
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be opened ({getattr(error, 'strerror', None) or error})", _plain(path)) from None
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no plain file"
        raise InputError(f"is {what}; a store is one file", str(path))
    return True


def _plain(path: Path) -> str:
    return str(path).replace("\0", "\\0")
