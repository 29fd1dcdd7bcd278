"""A block of code that ends when its time is up, wherever it is."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["Alarm", "can_end", "deadline"]


@dataclass(slots=True)
class Alarm:
    """Whether the time is up. What was interrupted may raise KeyboardInterrupt anew in place of the alarm's own."""

    up: bool = False


def can_end() -> bool:
    """Whether a block can be ended here: only a process's first thread can be interrupted, and only where the system
    has timers (Windows has none)."""
    return threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")


@contextmanager
def deadline(seconds: float, alarm: Alarm) -> Iterator[None]:
    """Raise KeyboardInterrupt in this block after `seconds`, as Ctrl-C does, which leaves what is finished; `alarm`
    then says that it was the time. Compiled loops end first. Where a block cannot be ended (`can_end`) it takes as long
    as it takes."""
    if math.isinf(seconds) or not can_end():
        yield
        return

    def ring(_signal: int, _frame: FrameType | None) -> None:
        alarm.up = True
        raise KeyboardInterrupt

    began = time.monotonic()
    before = signal.signal(signal.SIGALRM, ring)
    outer_s, _ = signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        left_s = max(outer_s - (time.monotonic() - began), 1e-3) if outer_s else 0.0
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left_s)
