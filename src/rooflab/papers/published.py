"""Published figures that stand as data beside a paper's module: KEY.yaml beside KEY.py, paper.yaml beside paper.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rooflab.errors import InputError

__all__ = ["published"]


def published(module_file: str) -> Mapping[str, Any]:
    """The tables beside a module (its ``__file__``) by name; see `Paper.claims_of` for what a table of claims holds.

    Raises InputError where there is no such file, or it holds something else.
    """
    import yaml

    path = Path(module_file).with_suffix(".yaml")
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot be read ({' '.join(str(error).split())})", str(path)) from None
    if not isinstance(found, dict) or not all(isinstance(table, dict) for table in found.values()):
        raise InputError("expected tables by name", str(path))
    return found
