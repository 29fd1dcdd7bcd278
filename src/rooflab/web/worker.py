"""A process that computes one thing at a time: asked over a pipe in JSON, answering in JSON, sealed before it listens.

Bounded in memory by the system, in time by who asks: a process that takes too long is ended from outside.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from rooflab.errors import Infeasible, RooflabError

__all__ = ["serve"]

_LOOKS_EVERY_S: Final = 2.0
_TOLD_EVERY_S: Final = 0.2


def serve(pipe: Connection, memory_bytes: int) -> None:
    """Answer what comes over `pipe` until it closes.

    A question is ``{"work": NAME, "given": {...}}``; answers are ``{"share": x, "said": text}`` while it goes on, then
    ``{"done": {...}}`` or ``{"error": text, "where": field, "kind": input | infeasible | fault | memory}``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _ends_with(os.getppid())
    _bounded(memory_bytes)
    from rooflab.web.seal import seal
    from rooflab.web.work import WORK, warm

    warm()
    seal(Path(tempfile.mkdtemp(prefix="rooflab-web-")))
    _send(pipe, {"ready": True})
    while True:
        try:
            asked = json.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        told = _Told(pipe)
        try:
            _send(pipe, {"done": WORK[asked["work"]](asked["given"], told)})
        except Infeasible as error:
            _send(pipe, {"error": str(error), "where": "", "kind": "infeasible"})
        except RooflabError as error:
            where = str(getattr(error, "where", ""))
            _send(pipe, {"error": str(getattr(error, "message", error)), "where": where, "kind": "input"})
        except MemoryError:
            _send(pipe, {"error": "this takes more memory than the server allows", "where": "", "kind": "memory"})
        except Exception:  # a fault of ours is told to the log, and must not take the process down
            sys.excepthook(*sys.exc_info())
            _send(pipe, {"error": "a fault of Rooflab; the server's log has it", "where": "", "kind": "fault"})


class _Told:
    """Tells how far the work is, a few times a second at most."""

    def __init__(self, pipe: Connection):
        self.pipe, self.at = pipe, 0.0

    def __call__(self, share: float, said: str = "") -> None:
        now = time.monotonic()
        if now - self.at >= _TOLD_EVERY_S:
            self.at = now
            _send(self.pipe, {"share": min(max(share, 0.0), 1.0), "said": said})


def _send(pipe: Connection, value: dict[str, Any]) -> None:
    pipe.send_bytes(json.dumps(value, allow_nan=False).encode())


def _bounded(memory_bytes: int) -> None:
    """Address space of this process, where the system knows such a bound."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def _ends_with(parent: int) -> None:
    """End when the server is gone, however it went."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOKS_EVERY_S)
        os._exit(0)

    threading.Thread(target=look, daemon=True).start()
