"""``--calibration FILE``: price with constants of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["calibrated"]


@contextmanager
def calibrated(path: str | None) -> Iterator[None]:
    """Price with the calibration file at `path` inside the block; with the shipped constants when it is None."""
    if path is None:
        yield
        return
    from rooflab.costs.engine_constants import read_calibration, using

    with using(read_calibration(path)):
        yield
