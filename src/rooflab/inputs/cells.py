"""One cell of a row: a text of a CSV file or a JSON value, as a number, a truth value or a text; None where it is none.

Nothing and an empty text both mean that a value is missing.
"""

from __future__ import annotations

import re
from math import isnan
from typing import Any, Final

__all__ = ["LARGEST", "as_number", "as_text", "as_truth", "as_whole", "is_missing", "is_name", "is_nan", "is_whole"]

LARGEST: Final = 1e150
"""A number beyond this is refused: its square would be infinite."""
_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})", re.ASCII)
_PADDED: Final = re.compile(r"\s*[+-]?0\d", re.ASCII)
_TRUTH: Final = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


def is_nan(cell: Any) -> bool:
    """Whether a cell is the float that is no number."""
    return isinstance(cell, float) and isnan(cell)


def is_missing(cell: Any) -> bool:
    """Whether there is nothing in a cell."""
    return cell is None or (cell.strip() == "" if isinstance(cell, str) else is_nan(cell))


def as_number(cell: Any) -> float | None:
    """The number in a cell, None if there is none."""
    if isinstance(cell, bool):
        return None
    if isinstance(cell, (int, float)):
        return float(cell) if abs(cell) <= LARGEST else None
    if isinstance(cell, str) and len(cell) < 400 and _NUMBER.fullmatch(cell.strip()):
        value = float(cell.strip())
        return value if abs(value) <= LARGEST else None
    return None


def as_whole(cell: Any) -> int | None:
    """The whole number in a cell (3 or 3.0), None if there is none."""
    if isinstance(cell, str) and _WHOLE.fullmatch(cell.strip()):
        return int(cell.strip())
    value = as_number(cell)
    if value is None or abs(value) > 2**53 or value != int(value):
        return cell if isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) <= 10**18 else None
    return int(value)


def as_truth(cell: Any) -> bool | None:
    """The yes or no in a cell, None if there is none."""
    if isinstance(cell, bool):
        return cell
    return _TRUTH.get(str(cell).strip().lower()) if isinstance(cell, (str, int, float)) else None


def as_text(cell: Any) -> str | None:
    """The text of a cell: numbers and truth values are written out, lists and mappings are none."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return str(cell) if isinstance(cell, (int, float)) else None


def is_whole(cell: Any) -> bool:
    """Whether a cell is a whole number by its spelling: 3, not 3.0."""
    if isinstance(cell, str):
        return _WHOLE.fullmatch(cell.strip()) is not None
    return isinstance(cell, int) and not isinstance(cell, bool) and abs(cell) <= 10**18


def is_name(cell: Any) -> bool:
    """Whether the digits of a cell name something: those with a zero in front are no number."""
    return isinstance(cell, str) and _PADDED.match(cell) is not None
