"""One document over HTTP, or why not: bounded in time and size, tried again where that can help.

A server's answer is not trusted: it is read in pieces and unpacked in pieces, so that neither an endless body nor a
small one that unpacks to gigabytes takes memory; a body that drips is given up.
"""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from rooflab.errors import RooflabError
from rooflab.extras import needed

if TYPE_CHECKING:
    import httpx

__all__ = ["Document", "Downloader", "Failed", "Patience", "Unreachable"]

_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be others in a moment."""
_REDIRECTS: Final = 5


class Failed(RooflabError):
    """A document that cannot be had; the message says why in a line."""


class Unreachable(Failed):
    """Nobody answers: no network, no such host, nothing listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited and how much is read: times in seconds, size in bytes.

    `tries` of a document, the wait after the k-th about `base_s` 2^k with jitter; a server that asks for more than
    `longest_s` is left alone. `between_s` lies between two questions to one host that asks for it.
    """

    tries: int = 4
    base_s: float = 1.0
    longest_s: float = 120.0
    connect_s: float = 10.0
    read_s: float = 20.0
    whole_s: float = 120.0
    between_s: float = 3.0
    most_bytes: int = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Document:
    """What an address holds: its bytes, unpacked, and what a later question may name (ETag, Last-Modified; "" where
    the server gives none). `unchanged`: the server says that it is what was asked before, and sends nothing."""

    content: bytes
    etag: str = ""
    last_modified: str = ""
    unchanged: bool = False


@dataclass(slots=True, kw_only=True)
class Downloader:
    """What asks; use as a context. `sleep`, `jitter` (0 to 1) and `told` (a line about a wait) may be replaced."""

    patience: Patience = field(default_factory=Patience)
    agent: str = "rooflab"
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default_factory=lambda: random.Random().random)
    told: Callable[[str], None] = lambda _: None
    _client: httpx.Client | None = None
    _asked_at: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Downloader:
        with needed("httpx", "fetching papers"):
            import httpx
        p = self.patience
        self._client = httpx.Client(
            timeout=httpx.Timeout(p.read_s, connect=p.connect_s),
            follow_redirects=True,
            max_redirects=_REDIRECTS,
            headers={"User-Agent": self.agent, "Accept-Encoding": "gzip"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    def get(self, address: str, *, etag: str = "", last_modified: str = "", polite: bool = False) -> Document:
        """The document at `address`, or that it is unchanged since it had these validators; `polite`: at a distance
        from the last question to the same host. Raises Failed."""
        headers = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        given = {name: value for name, value in headers.items() if value}
        for attempt in range(self.patience.tries):
            if polite:
                self._keep_distance(address)
            try:
                return self._once(address, given)
            except _TryAgain as again:
                error = again
            wait_s = self._wait_s(attempt, error)
            if attempt + 1 < error.most_tries(self.patience.tries):
                self.told(f"{address}: {error}; again in {wait_s:.0f} s")
                self.sleep(wait_s)
            else:
                break
        raise (Unreachable if error.unreachable else Failed)(f"{error}")

    def _wait_s(self, attempt: int, error: _TryAgain) -> float:
        wait_s = self.patience.base_s * float(2**attempt) * (0.5 + self.jitter())
        if error.wait_s > self.patience.longest_s:
            raise Failed(f"{error}; it asks to come back in {error.wait_s:,.0f} s")
        return max(wait_s, error.wait_s)

    def _keep_distance(self, address: str) -> None:
        host = address.split("/")[2]
        since_s = time.monotonic() - self._asked_at.get(host, float("-inf"))
        if since_s < self.patience.between_s:
            self.sleep(self.patience.between_s - since_s)
        self._asked_at[host] = time.monotonic()

    def _once(self, address: str, headers: Mapping[str, str]) -> Document:
        import httpx

        assert self._client is not None, "use it as a context"
        try:
            with self._client.stream("GET", address, headers=dict(headers)) as answer:
                if answer.status_code == 304:
                    return Document(b"", unchanged=True)
                if answer.status_code in _AGAIN:
                    raise _TryAgain(f"answers {answer.status_code}", wait_s=_retry_after_s(answer.headers))
                if answer.status_code != 200:
                    raise Failed(f"answers {answer.status_code} {answer.reason_phrase}".strip())
                content = b"".join(self._pieces(answer))
                found = answer.headers
                return Document(content, found.get("etag", ""), found.get("last-modified", ""))
        except httpx.TooManyRedirects:
            raise Failed(f"redirects more than {_REDIRECTS} times") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise _TryAgain(f"cannot be reached ({_reason(error)})", unreachable=True) from None
        except httpx.TimeoutException:
            raise _TryAgain("does not answer in time") from None
        except httpx.TransportError as error:
            if isinstance(error, httpx.UnsupportedProtocol):
                raise Failed(f"leads to an address that is not HTTP ({_reason(error)})") from None
            raise _TryAgain(f"breaks off ({_reason(error)})") from None
        except (httpx.InvalidURL, UnicodeError, ValueError) as error:
            raise Failed(f"is no address ({_reason(error)})") from None

    def _pieces(self, answer: httpx.Response) -> Iterator[bytes]:
        """The body, unpacked, in pieces of bounded size."""
        packing = answer.headers.get("content-encoding", "identity").lower()
        if packing not in ("identity", "", "gzip", "x-gzip"):
            raise Failed(f"answers in a packing that was not asked for ({packing})")
        unpack = zlib.decompressobj(wbits=31) if "gzip" in packing else None
        most, size, start = self.patience.most_bytes, 0, time.monotonic()
        for piece in answer.iter_raw():
            if time.monotonic() - start > self.patience.whole_s:
                raise Failed(f"takes more than {self.patience.whole_s:g} s")
            try:
                plain = piece if unpack is None else unpack.decompress(piece, most - size + 1)
            except zlib.error as error:
                raise _TryAgain(f"breaks off ({error})") from None
            size += len(plain)
            if size > most:
                raise Failed(f"is larger than {most / 2**20:,.3g} MiB")
            yield plain
        if unpack is not None and not unpack.eof:
            raise _TryAgain("breaks off (its packed body is not whole)")


class _TryAgain(Exception):
    """A failure that may pass; the server asks to wait `wait_s`."""

    def __init__(self, reason: str, *, wait_s: float = 0.0, unreachable: bool = False) -> None:
        self.wait_s = wait_s
        self.unreachable = unreachable
        super().__init__(reason)

    def most_tries(self, usual: int) -> int:
        """Tries that are worth it: who cannot be reached twice is not there."""
        return min(usual, 2) if self.unreachable else usual


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait: a number, or a date."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
