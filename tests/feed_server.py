"""A server on loopback that replays documents of feeds, and misbehaves when it is told to; and such documents."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Answer:
    """What a path answers: status, headers, body; `cut`: fewer bytes than it promises; `hold`: called before the
    body."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = 0
    hold: Callable[[], None] | None = None


@dataclass
class Server:
    """Answers by path, each a list of which the last is repeated, or a function of the query and headers; and what was
    asked."""

    address: str
    answers: dict[str, list[Answer] | Callable[[Mapping[str, str], Mapping[str, str]], Answer]] = field(
        default_factory=dict
    )
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def next(self, path: str, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(path)
        found = self.answers.get(parts.path)
        if found is None:
            return Answer(status=404)
        if callable(found):
            return found({k: v[0] for k, v in parse_qs(parts.query).items()}, headers)
        return found.pop(0) if len(found) > 1 else found[0]


@contextmanager
def serving() -> Iterator[Server]:
    """A server until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            answer = server.next(self.path, {k.lower(): v for k, v in self.headers.items()})
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.hold is not None:
                answer.hold()
            with suppress(OSError):
                self.wfile.write(answer.body[: len(answer.body) - answer.cut])
            if answer.cut:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()


def atom(*entries: str) -> bytes:
    """An Atom feed as arXiv's API gives them."""
    body = "".join(entries)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom" '
        f'xmlns:arxiv="http://arxiv.org/schemas/atom"><title>results</title><id>x</id>{body}</feed>'
    ).encode()


def entry(number: int, version: int = 1, *, title: str = "", day: str = "2026-11-20", abstract: str = "") -> str:
    """An entry of it."""
    title = title or f"Paper {number} on\n  caches"
    return (
        f"<entry><id>http://arxiv.org/abs/2611.{number:05d}v{version}</id>"
        f"<updated>{day}T10:00:00Z</updated><published>2026-11-20T10:00:00Z</published>"
        f"<title>{title}</title>"
        f"<summary>{abstract or f'We make serving {number} times faster.'}</summary>"
        f"<author><name>Ann Example</name></author><category term='cs.DC'/></entry>"
    )


def rss(*items: str) -> bytes:
    """An RSS feed."""
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>{"".join(items)}</channel></rss>'.encode()


def daily(*papers: Mapping[str, object]) -> bytes:
    """Daily papers as JSON."""
    return json.dumps([{"paper": dict(p), "publishedAt": "2026-11-20T00:00:00.000Z"} for p in papers]).encode()
