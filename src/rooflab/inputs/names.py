"""The names that a file starts with (columns, keys, arrays), by which its kind is known before it is read."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Final

from rooflab.errors import InputError
from rooflab.inputs.rows import squash
from rooflab.source.text import content, json_value
from rooflab.source.yaml_file import yaml_value

__all__ = ["names_in"]

_HEAD_BYTES: Final = 1 << 20


def names_in(path: Path) -> frozenset[str]:
    """Names in a file, lower case, letters and digits only; the suffixes of the files of a folder.

    Of columns such as ``small:cat`` also ":" and ":cat".  Empty where there are none to be found.
    Raises InputError for a file that cannot be read.
    """
    if path.is_dir():
        return frozenset(p.suffix.lower() for p in path.rglob("*") if p.is_file())
    suffix = path.suffix.lower()
    if suffix == ".npz":
        content(path)
        try:
            with zipfile.ZipFile(path) as packed:
                return frozenset(squash(name.removesuffix(".npy")) for name in packed.namelist())
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            return frozenset()
    if suffix in (".yaml", ".yml", ".json"):
        value = json_value(path) if suffix == ".json" else yaml_value(path)
        head = value[0] if isinstance(value, list) and value else value
        return frozenset(squash(str(key)) for key in head) if isinstance(head, dict) else frozenset()
    first = _first_line(path)
    if suffix == ".csv":
        try:
            header = next(csv.reader([first]), [])
        except csv.Error:
            return frozenset()
        behind = {f":{name.rpartition(':')[2]}" for name in header if ":" in name}
        return frozenset(squash(name) for name in header) | behind | ({":"} if behind else set())
    if suffix == ".jsonl":
        try:
            row = json.loads(first)
        except (ValueError, RecursionError):
            return frozenset()
        return frozenset(squash(key) for key in row) if isinstance(row, dict) else frozenset()
    return frozenset()


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.readline(_HEAD_BYTES).decode("utf-8-sig", "replace")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({getattr(error, 'strerror', None) or error})", str(path)) from None
