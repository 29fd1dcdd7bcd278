"""A table of numbers that lies beside a paper: .csv (columns), .json or .yaml (as they nest), .npz (arrays)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rooflab.errors import InputError

__all__ = ["read_table"]


def read_table(path: Path) -> Any:
    """The numbers in `path`; texts that spell a number are numbers. Raises InputError with the suffixes that are read,
    and where the file cannot be."""
    try:
        if path.suffix == ".npz":
            from rooflab.inputs.arrays import read_npz

            return dict(read_npz(path))
        if path.suffix == ".csv":
            return _columns(path)
        text = path.read_text("utf-8")
        if path.suffix == ".json":
            return _numbers(json.loads(text))
        if path.suffix in (".yaml", ".yml"):
            import yaml

            return _numbers(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", str(path)) from None
    except ValueError as error:
        raise InputError(f"is no {path.suffix[1:]} ({' '.join(str(error).split())})", str(path)) from None
    raise InputError("a table beside a paper is .csv, .json, .yaml or .npz", str(path))


def _columns(path: Path) -> dict[str, list[Any]]:
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = [row for row in csv.reader(file) if row]
    return {name: [_numbers(row[i]) for row in rows] for i, name in enumerate(head)}


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
