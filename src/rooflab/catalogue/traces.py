"""Public request traces by name: where they are, what they are checked against, and how to get one.

Addresses are pinned to a commit of the repository that published the trace, so that the bytes cannot change under
the checksum: SHA-256 where the file was read, else the SHA-1 that git itself gives the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rooflab.catalogue._data import load, squash
from rooflab.errors import InputError, unknown
from rooflab.files import is_file, replaced, user_cache

__all__ = ["PublicTrace", "get", "list_traces", "locate", "public_trace"]

_CHUNK_BYTES: Final = 1 << 18
_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicTrace:
    """A trace that others publish; `sha256` or `git_sha1` (of git's blob) is known, rows and bytes where the file was
    read."""

    key: str
    title: str
    url: str
    licence: str
    rows: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None

    @property
    def file_name(self) -> str:
        """Name of the file in the cache folder."""
        return self.key + Path(self.url).suffix

    def matches(self, content: bytes) -> bool:
        """Whether `content` is the published file."""
        if self.sha256 is not None:
            return hashlib.sha256(content).hexdigest() == self.sha256
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest() == self.git_sha1


def list_traces() -> list[PublicTrace]:
    """Every public trace that can be fetched by name."""
    return [PublicTrace(key=key, **row) for key, row in load("traces").items()]


def public_trace(name: str, where: str = "trace") -> PublicTrace:
    """The public trace called `name`. Raises InputError with the nearest names."""
    found = {squash(t.key): t for t in list_traces()}
    if squash(name) not in found:
        raise unknown("trace", name, [t.key for t in found.values()], where)
    return found[squash(name)]


def get(name: str, folder: str | Path | None = None, progress: Callable[[int, int | None], None] | None = None) -> Path:
    """The path of the public trace `name`, downloaded into `folder` (default: ``traces`` in the user's cache folder)
    unless it is there already.

    `progress` is called with bytes so far and in all. The file appears whole and checked or not at all.
    Raises InputError when there is no network (and says how to go on without), or when the bytes are not those
    published.
    """
    trace = public_trace(name)
    path = (user_cache("traces") if folder is None else Path(folder)) / trace.file_name
    if path.exists() and trace.matches(path.read_bytes()):
        return path
    content = _download(trace, path, progress)
    if not trace.matches(content):
        raise InputError(f"{len(content)} bytes came that are not the published file (its checksum differs)", trace.url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made ({error.strerror})", str(path.parent)) from None
    with replaced(path, "wb") as file:
        file.write(content)
    return path


def locate(trace: str, where: str = "workload.trace") -> Path:
    """The file that `trace` means: a path, or the name of a public trace that was fetched before."""
    path = Path(trace)
    if is_file(path):
        return path
    if path.suffix in (".csv", ".jsonl") or path.name != trace:
        raise InputError("no such file", f"{where}: {trace}")
    public = public_trace(trace, where)
    kept = user_cache("traces") / public.file_name
    if not kept.exists():
        raise InputError(f"{public.key} has not been fetched yet; run: rooflab traces get {public.key}", where)
    return kept


def _download(trace: PublicTrace, path: Path, progress: Callable[[int, int | None], None] | None) -> bytes:
    import urllib.error
    import urllib.request

    parts, so_far = [], 0
    try:
        with urllib.request.urlopen(trace.url, timeout=_TIMEOUT_S) as response:
            length = response.headers.get("Content-Length")
            total = int(length) if length else trace.size_bytes
            while chunk := response.read(_CHUNK_BYTES):
                parts.append(chunk)
                so_far += len(chunk)
                if progress is not None:
                    progress(so_far, total)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"cannot be downloaded ({reason}); fetch it elsewhere and put it at {path}", trace.url
        ) from None
    return b"".join(parts)
