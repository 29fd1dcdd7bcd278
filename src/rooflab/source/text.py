"""Bytes, text and JSON of files that somebody else made: bounded, and wrong only in one line that says where.

Sizes are checked before they are read, nesting is counted, and a key that stands twice is an error rather than a
choice.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError

__all__ = [
    "DEEPEST",
    "LARGEST_FILE_BYTES",
    "MOST_DIGITS",
    "content",
    "files_in",
    "json_value",
    "parse_json",
    "shown",
    "text",
]

LARGEST_FILE_BYTES: Final = 1 << 30
"""A file of more is not read: it would not fit beside what is made of it."""
DEEPEST: Final = 40
"""Levels of lists and mappings within each other."""
MOST_DIGITS: Final = 300
"""Of a whole number: more do not fit a float."""
MOST_FILES: Final = 100_000
_HANDED_OVER: Final = ("/dev/stdin", "/dev/fd/")


def content(path: Path, largest: int = LARGEST_FILE_BYTES) -> bytes:
    """The bytes of a file, or of a pipe that the shell hands over (``/dev/stdin``, ``<(command)``).

    Raises InputError when it is missing, is no file, is too large or cannot be read.
    """
    try:
        found = path.stat()
        mode = found.st_mode
        if stat.S_ISDIR(mode):
            raise InputError("is a folder, not a file", shown(path))
        if not stat.S_ISREG(mode) and not str(path).startswith(_HANDED_OVER):
            raise InputError("is not a plain file", shown(path))
        with path.open("rb") as file:
            held = file.read((found.st_size if stat.S_ISREG(mode) and found.st_size <= largest else largest) + 1)
        if len(held) > largest:
            raise InputError(f"holds more than the {largest:,} bytes that are read", shown(path))
        return held
    except FileNotFoundError:
        raise InputError("no such file", shown(path)) from None
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(
            f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})", shown(path)
        ) from None


def shown(held: Any, longest: int = 400) -> str:
    """A path or a message in one line that can be printed, cut in the middle where it is long."""
    text = str(held)
    if len(text) > longest:
        text = f"{text[: longest * 3 // 4]} … {text[-longest // 4 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def text(path: Path, largest: int = LARGEST_FILE_BYTES) -> str:
    """The text of a UTF-8 file, line ends as they are. Raises InputError with the line of the first other byte."""
    held = content(path, largest)
    try:
        return held.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = held.count(b"\n", 0, error.start) + 1
        raise InputError(f"is not UTF-8 text (byte {error.start:,})", f"{path}:{line}") from None


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files below `folder` with one of `suffixes`, in the order of their names; hidden ones are left out."""
    found: list[Path] = []
    try:
        for path in sorted(folder.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.suffix.lower() in suffixes and not hidden and path.is_file():
                found.append(path)
            if len(found) > MOST_FILES:
                raise InputError(f"holds more than {MOST_FILES:,} files", str(folder))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", shown(folder)) from None
    if not found:
        raise InputError(f"holds no {' or '.join(suffixes)} file", str(folder))
    return found


def json_value(path: Path) -> Any:
    """The value of a JSON file."""
    return parse_json(text(path), str(path))


def parse_json(held: str, where: str, line: int | None = None) -> Any:
    """`held` as JSON of finite numbers, printable text and keys that stand once.

    `line`: the line that it is of the file `where`; else the line of an error is counted here.
    """
    try:
        value = json.loads(
            held, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
        )
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON ({error.msg}, column {error.colno})", f"{where}:{line or error.lineno}"
        ) from None
    except RecursionError:
        raise InputError("nests too deeply", f"{where}:{line or 1}") from None
    except ValueError as error:
        raise InputError(f"not usable JSON ({error})", f"{where}:{line or 1}") from None
    _check_depth(value, f"{where}:{line or 1}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(n for n in names if names.count(n) > 1)!a} stands twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:30]} is too large")
    return value


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"{digits[:30]}… is too large")
    return int(digits)


def _check_depth(value: Any, where: str) -> None:
    level = [value]
    for _ in range(DEEPEST):
        for item in level:
            if isinstance(item, str) and not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
                raise InputError("holds half of a character (a lone surrogate)", where)
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise InputError(f"nests deeper than {DEEPEST} levels", where)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value
