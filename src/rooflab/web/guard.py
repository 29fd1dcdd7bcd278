"""What stands before every page: who may ask, how much may be sent, and what a browser may do with the answer.

A page of another site can make a reader's browser ask this server.  It can neither read the answers (no CORS) nor
change anything: what changes something is a POST with a token from a page of ours, from our own origin.  A server on
loopback answers to the names of loopback only, so that no foreign name can be pointed at it (DNS rebinding).
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote

from starlette.requests import cookie_parser

__all__ = ["COOKIE", "Guard", "Sent"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COOKIE: Final = "rooflab-csrf"
_ACCESS: Final = "rooflab-token"
_OURS: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_LARGEST_BODY: Final = 512_000
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]", "testserver")
HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src-elem 'self'; style-src-attr "
    "'unsafe-inline'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Sent(Exception):
    """A body beyond what is read."""


class Guard:
    """An ASGI application around another one. `token`: what a reader must have, by ``?token=`` once and a cookie from
    then on, or as a bearer; empty: anybody on this machine."""

    def __init__(self, inner: Any, *, token: str = "", hosts: tuple[str, ...] = ()):
        self.inner, self.token, self.hosts = inner, token, hosts or _LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        # as forms read them: one that another program of this host set, whatever it holds, hides no other
        cookies = cookie_parser(headers.get("cookie", ""))
        no = self._refused(scope, headers, cookies)
        if no is not None:
            await _plain(send, *no)
            return
        fresh = cookies.get(COOKIE, "")
        made = "" if _OURS.fullmatch(fresh) else secrets.token_urlsafe(32)
        scope["csrf"] = made or fresh
        given = bool(self.token) and _is(_asked(scope), self.token)

        async def sent(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                if made:
                    own.append((b"set-cookie", f"{COOKIE}={made}; Path=/; SameSite=Strict; HttpOnly".encode()))
                if given:
                    own.append(
                        (
                            b"set-cookie",
                            f"{_ACCESS}={quote(self.token, safe='')}; Path=/; SameSite=Strict; HttpOnly".encode(),
                        )
                    )
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        await self.inner(scope, _bounded(receive), sent)

    def _refused(self, scope: Scope, headers: dict[str, str], cookies: dict[str, str]) -> tuple[int, str] | None:
        """Status and reason for a request that is not passed on."""
        host = headers.get("host", "")
        if _name(host) not in self.hosts:
            return 421, f"this server does not answer to {host[:60]!a}"
        if self.token:
            scheme, _, bearer = headers.get("authorization", "").partition(" ")
            bearer = bearer.strip() if scheme.lower() == "bearer" else ""
            if not any(_is(t, self.token) for t in (_asked(scope), bearer, unquote(cookies.get(_ACCESS, "")))):
                return 401, "this server wants its token: the address that it printed when it started"
        if not headers.get("content-length", "0").isdigit() or int(headers.get("content-length", "0")) > _LARGEST_BODY:
            return 413, f"more than {_LARGEST_BODY:,} bytes"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, f"{scope['method'][:12]} is not answered"
        origin = headers.get("origin", "")
        foreign = bool(origin) and origin.partition("://")[2] != host
        if scope["method"] == "POST" and (
            foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
        ):
            return 403, "a page of another site asked for this"
        return None


def _name(host: str) -> str:
    return host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host


def _asked(scope: Scope) -> str:
    """The token in the address, empty where there is none."""
    query: str = scope["query_string"].decode("latin-1")
    return parse_qs(query).get("token", [""])[0]


def _is(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _bounded(receive: Receive) -> Receive:
    read = 0

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > _LARGEST_BODY:
            raise Sent
        return message

    return bounded


async def _plain(send: Send, status: int, text: str) -> None:
    own = {**HEADERS, "content-type": "text/plain; charset=utf-8"} | (
        {"allow": "GET, HEAD, POST"} if status == 405 else {}
    )
    headers = [(k.encode(), v.encode()) for k, v in own.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
