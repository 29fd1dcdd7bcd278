"""Work that takes longer than a request: in processes of its own, watched, cancelled, and answered once for all who ask
the same.

A job is known by what it computes: whoever asks for the same scenario while it runs waits for the same job, and finds
its answer afterwards.  Cancelling ends the process; another one takes its place.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import multiprocessing
import threading
import time
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

from rooflab.web.worker import serve

__all__ = ["Busy", "Job", "Jobs"]

_KEPT_BYTES: Final = 64_000_000
_WAITING: Final = 32
_MOST_STILLBORN: Final = 5
"""Processes that end before they could answer, one after the other, until no more are started."""
_TOLD_S: Final = 30.0
"""Seconds after which what took too long or too much is tried again for who asks."""
_EACH_WAITING: Final = 6
"""Jobs of one client that wait or run at a time."""


class Busy(Exception):
    """Too much waits already; come again later."""


@dataclass(eq=False, kw_only=True)
class Job:
    """A piece of work: `state` is waiting, running, done, failed or cancelled; `done` its answer, `error` why not."""

    key: str
    work: str
    given: dict[str, Any]
    client: str = ""
    state: str = "waiting"
    share: float = 0.0
    said: str = ""
    done: dict[str, Any] = field(default_factory=dict)
    error: dict[str, str] = field(default_factory=dict)
    failed_at: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("done", "failed", "cancelled")

    def may_pass(self) -> bool:
        """Whether it failed for want of time or memory, long enough ago that who waited has been told."""
        return self.error.get("kind") in ("time", "memory") and time.monotonic() - self.failed_at > _TOLD_S

    def tell(self) -> None:
        """Wake all who wait for news."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def settled(self, within_s: float) -> bool:
        """Wait until it is over, at most so long; whether it is."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while not self.over and (left := until - loop.time()) > 0:
            try:
                await asyncio.wait_for(self.changed.wait(), left)
            except TimeoutError:
                break
        return self.over


class _Process:
    """A worker and the thread that hears it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, memory_bytes: int, heard: Any):
        context = multiprocessing.get_context("spawn")
        self.pipe: Connection
        self.pipe, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=serve, args=(other, memory_bytes), daemon=True)
        self.process.start()
        other.close()
        self.job: Job | None = None
        self.ready = False
        self.timer: asyncio.TimerHandle | None = None

        def listen() -> None:
            while True:
                try:
                    said = json.loads(self.pipe.recv_bytes())
                except (EOFError, OSError):
                    said = None
                try:
                    loop.call_soon_threadsafe(heard, self, said)
                except RuntimeError:  # the server is closed
                    return
                if said is None:
                    return

        threading.Thread(target=listen, daemon=True).start()

    def end(self) -> None:
        """End the process at once."""
        self.process.kill()


class Jobs:
    """Workers, what waits for them, and answers that are kept while there is room."""

    def __init__(self, *, workers: int, memory_bytes: int, seconds: float):
        self.workers, self.memory_bytes, self.seconds = workers, memory_bytes, seconds
        self._processes: list[_Process] = []
        self._waiting: deque[Job] = deque()
        self._known: OrderedDict[str, Job] = OrderedDict()
        self._open = False
        self._stillborn = 0

    def start(self) -> None:
        """Start the workers, in the loop that is running."""
        self._open = True
        for _ in range(self.workers):
            self._hire()

    def stop(self) -> None:
        """End all workers."""
        self._open = False
        for p in self._processes:
            p.end()

    @staticmethod
    def key(work: str, given: dict[str, Any]) -> str:
        """By what a job is known."""
        return hashlib.sha256(json.dumps([work, given], sort_keys=True).encode()).hexdigest()[:32]

    def find(self, key: str) -> Job | None:
        """The job of a key, while it is known."""
        return self._known.get(key)

    def ask(self, work: str, given: dict[str, Any], client: str = "") -> Job:
        """The job that computes this: a known one, or a new one. Raises Busy."""
        key = self.key(work, given)
        job = self._known.get(key)
        if job is not None and job.state != "cancelled" and not job.may_pass():
            self._known.move_to_end(key)
            return job
        mine = sum(j.client == client for j in self._known.values() if not j.over)
        if self._open and not self._processes:
            raise Busy
        if len(self._waiting) >= _WAITING or (client and mine >= _EACH_WAITING):
            raise Busy
        job = Job(key=key, work=work, given=given, client=client)
        self._known[key] = job
        self._waiting.append(job)
        self._next()
        return job

    def cancel(self, job: Job) -> None:
        """End a job that waits or runs."""
        if job.over:
            return
        job.state = "cancelled"
        if job in self._waiting:
            self._waiting.remove(job)
        for p in self._processes:
            if p.job is job:
                p.end()
        job.tell()

    def _hire(self) -> None:
        self._processes.append(_Process(asyncio.get_running_loop(), self.memory_bytes, self._heard))

    def _next(self) -> None:
        """Give what waits to who is free."""
        for p in self._processes:
            if not self._waiting:
                return
            if p.ready and p.job is None:
                p.job = self._waiting.popleft()
                p.job.state = "running"
                p.timer = asyncio.get_running_loop().call_later(self.seconds, self._too_long, p, p.job)
                with suppress(OSError):  # it has just ended, which is heard next and told to the job
                    p.pipe.send_bytes(json.dumps({"work": p.job.work, "given": p.job.given}).encode())
                p.job.tell()

    def _too_long(self, p: _Process, job: Job) -> None:
        if p.job is job and not job.over:
            self._fail(job, f"takes longer than the {self.seconds:g} s that this server allows", "time")
            p.end()

    @staticmethod
    def _fail(job: Job, error: str, kind: str, where: str = "") -> None:
        job.failed_at = time.monotonic()
        job.state, job.error = "failed", {"error": error, "kind": kind, "where": where}
        job.tell()

    def _heard(self, p: _Process, said: dict[str, Any] | None) -> None:
        """What a worker says; None: it is gone."""
        job = p.job
        if said is None:
            self._processes.remove(p)
            if p.timer is not None:
                p.timer.cancel()
            if job is not None and not job.over:
                self._fail(
                    job,
                    "the process that computed this ended; it may have wanted more memory than it may have",
                    "memory",
                )
            self._stillborn = 0 if p.ready else self._stillborn + 1
            if self._open and self._stillborn < _MOST_STILLBORN:
                self._hire()
            elif self._open and not self._processes:
                for waiting in self._waiting:
                    self._fail(waiting, "no process that computes could be started; the server's log says why", "fault")
                self._waiting.clear()
        elif "ready" in said:
            p.ready = True
        elif job is not None and "share" in said:
            job.share, job.said = said["share"], said["said"]
            job.tell()
        elif job is not None:
            p.job = None
            if p.timer is not None:
                p.timer.cancel()
            if "done" in said:
                job.state, job.share, job.done = "done", 1.0, said["done"]
                job.tell()
            elif not job.over:
                self._fail(job, said["error"], said["kind"], said["where"])
            self._forget()
        if self._open:
            self._next()

    def _forget(self) -> None:
        """Answers beyond the room that they have, oldest first."""
        sizes = {key: len(j.done.get("html", "")) * 2 for key, j in self._known.items() if j.over}
        total = sum(sizes.values())
        for key, size in sizes.items():
            if total <= _KEPT_BYTES and len(self._known) <= 512:
                return
            total -= size
            del self._known[key]
