"""The site as an ASGI application: which address answers with what.

    application(Settings())          # for uvicorn, or for a test

Pages of reading need no JavaScript; what takes long shows a page of progress that becomes the answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from rooflab.errors import RooflabError
from rooflab.web import answers, computed, interface, papers, scenarios, shelf, static, today
from rooflab.web.guard import Guard, Sent
from rooflab.web.jobs import Busy, Jobs

__all__ = ["Settings", "application"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a server runs: `workers` processes of at most `memory_bytes` of address space and `seconds` a job; the
    `token` that readers need (empty: none) and the `hosts` that it answers to (empty: the names of loopback)."""

    workers: int = 2
    memory_bytes: int = 6_000_000_000
    seconds: float = 120.0
    token: str = ""
    hosts: tuple[str, ...] = ()


def application(settings: Settings) -> Guard:
    """The site. Workers start with it and end with it."""
    jobs = Jobs(workers=settings.workers, memory_bytes=settings.memory_bytes, seconds=settings.seconds)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        jobs.start()
        try:
            yield
        finally:
            jobs.stop()

    get, post = ["GET", "HEAD"], ["POST"]
    routes = [
        Route("/", today.page, methods=get),
        Route("/papers/{key}", papers.page, methods=get),
        Route("/papers/{key}/go", papers.go, methods=post),
        Route("/papers/{key}/run", papers.run, methods=get),
        Route("/scenario", scenarios.page, methods=get),
        Route("/scenario/yaml", scenarios.written, methods=post),
        Route("/scenario/check", scenarios.check, methods=post),
        Route("/go/{work}", computed.go, methods=post),
        *(Route(f"/{work}", computed.page, methods=get, name=work) for work in computed.WORKS),
        Route("/jobs/{key}/events", computed.events, methods=["GET"]),
        Route("/jobs/{key}/cancel", computed.cancel, methods=post),
        Route("/catalogue", shelf.catalogue, methods=get),
        Route("/catalogue/{kind}", shelf.catalogue, methods=get),
        Route("/static/{name}", static.file, methods=get),
        *interface.routes(),
    ]
    inner = Starlette(
        routes=routes,
        lifespan=life,
        exception_handlers={RooflabError: _wrong, Busy: _busy, Sent: _too_much, HTTPException: _none},
    )
    inner.state.jobs = jobs
    return Guard(inner, token=settings.token, hosts=settings.hosts)


async def _wrong(request: Request, error: Exception) -> Response:
    assert isinstance(error, RooflabError)
    return answers.refused(request, error)


async def _busy(request: Request, _: Exception) -> Response:
    return _plainly(request, 503, "the server is busy; try again in a few seconds", {"retry-after": "5"})


async def _too_much(request: Request, _: Exception) -> Response:
    return _plainly(request, 413, "more was sent than is read")


async def _none(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _plainly(request, error.status_code, error.detail)


def _plainly(request: Request, status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    if request.url.path.startswith("/api/") or request.query_params.get("as") == "json":
        return JSONResponse({"error": message, "where": ""}, status_code=status, headers=headers)
    if request.url.path.startswith("/static/") or request.headers.get("hx-request") or request.query_params.get("as"):
        return PlainTextResponse(f"{message}\n", status_code=status, headers=headers)
    out = answers.show(request, "wrong.html.j2", status, message=message)
    out.headers.update(headers or {})
    return out
