"""One line on stderr that is written over, for what takes a while; and the time that a command may take."""

from __future__ import annotations

import math
import re
import shutil
import sys
import time
from dataclasses import dataclass
from typing import Final

from rooflab.errors import InputError

__all__ = ["StatusLine", "budget_seconds"]

_SHOWN_AFTER_S: Final = 2.0
"""Seconds after which progress is shown: what is done sooner needs none."""
_EVERY_S: Final = 0.2


@dataclass(slots=True)
class StatusLine:
    """The line; where it is not `shown` (no terminal, --quiet) nothing is written."""

    shown: bool
    drawn: bool = False
    at: float = 0.0

    def say(self, text: str, elapsed_s: float) -> None:
        """Write `text` over what was said before, once `elapsed_s` is long, a few times a second at most."""
        if not self.shown or elapsed_s < _SHOWN_AFTER_S or time.monotonic() - self.at < _EVERY_S:
            return
        self.at = time.monotonic()
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{text[:width]}\x1b[K", end="", file=sys.stderr, flush=True)
        self.drawn = True

    def clear(self) -> None:
        """Take the line away."""
        if self.drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self.drawn = False


def budget_seconds(text: str) -> float:
    """Seconds of ``3m``, ``90 s``, ``1h``; infinity without. Raises InputError that names --budget."""
    from rooflab.units import parse

    if not text:
        return math.inf
    seconds = parse(f"{text}in" if re.fullmatch(r"\s*[\d.]+\s*m", text) else text, "time", "--budget")
    if not 0 < seconds < math.inf:
        raise InputError(f"{text!r} leaves no time (for example 3m)", "--budget")
    return seconds
