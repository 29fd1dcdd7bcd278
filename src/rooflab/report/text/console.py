"""The console that all text goes through."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "progress_console"]

_PIPED_WIDTH = 120
"""Columns where there is no terminal to ask: wide enough for every table."""


def console() -> Console:
    """A console on stdout; piped text is 120 columns wide and has no colour."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    return Console(width=width, highlight=False, soft_wrap=False)


def progress_console() -> Console:
    """A console on stderr, for what is not part of the answer."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)
