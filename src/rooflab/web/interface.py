"""The same answers as JSON, under ``/api``, with an OpenAPI document made from the same routes.

Records are those that the commands print with ``--json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rooflab.errors import InputError
from rooflab.evidence.claims.check import known
from rooflab.feed.listing import entries, select
from rooflab.feed.search import search
from rooflab.source.text import parse_json
from rooflab.source.yaml_file import in_line
from rooflab.web.computed import STATUS, WORKS, client_of, jobs_of
from rooflab.web.document import openapi
from rooflab.web.jobs import Job
from rooflab.web.papers import found
from rooflab.web.seal import inline

__all__ = ["routes"]

_MOST: Final = 200


def routes() -> list[Route]:
    """The addresses of the interface."""
    return [
        Route("/api/openapi.json", _document, methods=["GET"]),
        Route("/api/papers", _papers, methods=["GET"]),
        Route("/api/papers/{key}", _paper, methods=["GET"]),
        Route("/api/jobs/{key}", _job, methods=["GET"]),
        *(Route(f"/api/{work}", _compute, methods=["POST"]) for work in WORKS),
    ]


async def _papers(request: Request) -> Response:
    asked = {name: request.query_params.get(name, "") for name in ("q", "kind", "saves", "day")}
    cards = select(entries(), kind=asked["kind"], saves=asked["saves"], day=asked["day"])
    if asked["q"].strip():
        cards = [e for _, e in search(asked["q"][:200], cards, _MOST)]
    return JSONResponse([e.record() for e in cards])


async def _paper(request: Request) -> Response:
    card = found(request.path_params["key"])
    claims = [r.record() for r in known(card.key)] if card.runnable else []
    return JSONResponse(card.record() | {"claims": claims})


async def _compute(request: Request) -> Response:
    """Start work; its record if it is done within the time of ``?wait=``, else where to look for it."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return JSONResponse({"error": "send application/json", "where": "content-type"}, status_code=415)
    held = await request.body()
    try:
        given = parse_json(held.decode(), "body")
    except UnicodeDecodeError:
        raise InputError("is not UTF-8", "body") from None
    if not isinstance(given, Mapping):
        raise InputError("expected an object: the fields of a scenario", "body")
    inline(given)
    wait = _seconds(request.query_params.get("wait", "30"))
    text = in_line(json.loads(json.dumps(given, sort_keys=True)))
    job = jobs_of(request).ask(request.url.path.rpartition("/")[2], {"yaml": text}, client_of(request))
    await job.settled(wait)
    return _answered(job)


async def _job(request: Request) -> Response:
    job = jobs_of(request).find(request.path_params["key"])
    if job is None:
        return JSONResponse({"error": "no such job", "where": "key"}, status_code=404)
    return _answered(job)


def _answered(job: Job) -> Response:
    if job.state == "done":
        return JSONResponse(job.done.get("record", {}))
    if job.state == "failed":
        e = job.error
        return JSONResponse({"error": e["error"], "where": e["where"]}, status_code=STATUS[e["kind"]])
    if job.state == "cancelled":
        return JSONResponse({"error": "cancelled", "where": ""}, status_code=410)
    held = {"job": job.key, "state": job.state, "share": job.share, "at": f"/api/jobs/{job.key}"}
    return JSONResponse(held, status_code=202, headers={"location": f"/api/jobs/{job.key}"})


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 120:
        raise InputError(f"{text[:40]!r} is no time from 0 to 120 s", "wait")
    return value


async def _document(request: Request) -> Response:
    return JSONResponse(openapi())
