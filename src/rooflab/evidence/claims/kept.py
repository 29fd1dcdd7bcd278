"""Rows of papers that were checked before, kept by the content that they depend on.

One JSON file a paper and digest, in the user's cache folder, of rows that Rooflab's own engines computed with the
calibration that ships. A file that cannot be read, or does not hold what was written, is as good as none; one that
cannot be written is not missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rooflab.errors import RooflabError
from rooflab.evidence.claims.reach import digest
from rooflab.evidence.claims.row import Row
from rooflab.files import keep, kept, user_cache

__all__ = ["Kept"]

_STATES: Final = 8
"""Files kept of a paper: as many states of its sources can be switched between without computing again."""
_UNUSABLE: Final = (OSError, ValueError, TypeError, LookupError, RecursionError, SyntaxError, RooflabError)
"""What reading or writing may run into: no rights, no room, no JSON, other fields, sources that cannot be read."""


class Kept:
    """Rows by paper in `folder` (default: ``claims`` in the user's cache folder)."""

    def __init__(self, folder: str | Path | None = None) -> None:
        self._folder = Path(folder) if folder is not None else user_cache("claims")

    def get(self, paper: str) -> list[Row] | None:
        """Rows of `paper` as they were computed from the present sources; None when there are none."""
        try:
            return [Row.of(record) for record in kept(self._path(paper))]
        except _UNUSABLE:
            return None

    def put(self, paper: str, rows: Sequence[Row]) -> None:
        """Keep `rows` of `paper`, whole or not at all."""
        try:
            keep(self._path(paper), [row.record() for row in rows])
            for old in self._files(paper)[_STATES:]:
                old.unlink(missing_ok=True)
        except _UNUSABLE:
            return

    def seconds(self, paper: str) -> float:
        """Seconds that the last check of `paper` took, whatever its sources were; infinity when it is not known."""
        try:
            return float(sum(row["seconds"] for row in kept(self._files(paper)[0])))
        except _UNUSABLE:
            return float("inf")

    def _files(self, paper: str) -> list[Path]:
        """Files of `paper`, the newest first."""
        return sorted(self._folder.glob(f"{paper}-*.json"), key=lambda path: -path.stat().st_mtime)

    def _path(self, paper: str) -> Path:
        return self._folder / f"{paper}-{digest(paper)[:32]}.json"
