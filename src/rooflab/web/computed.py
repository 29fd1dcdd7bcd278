"""Answers that take a worker: the page when it is there, else progress that becomes the page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

from rooflab.errors import InputError
from rooflab.web.answers import answer, show
from rooflab.web.forms import form
from rooflab.web.given import fields_of, packed, unpacked
from rooflab.web.jobs import Job, Jobs

__all__ = ["STATUS", "WORKS", "cancel", "client_of", "events", "go", "jobs_of", "page", "waited"]

WORKS: Final = ("plan", "estimate", "simulate", "ceiling", "gains")
_AT_ONCE_S: Final = 1.5
"""Seconds that a reader waits for the answer before a page of progress is shown."""
STATUS: Final = {"input": 422, "infeasible": 422, "memory": 503, "time": 503, "fault": 500}
_BEAT_S: Final = 10.0


def jobs_of(request: Request) -> Jobs:
    """The jobs of this server."""
    out: Jobs = request.app.state.jobs
    return out


def client_of(request: Request) -> str:
    """Who asks, as far as the number of jobs that one may have is concerned."""
    return request.client.host if request.client else ""


async def go(request: Request) -> Response:
    """A form's scenario as an address."""
    work = request.path_params["work"]
    if work not in WORKS:
        raise HTTPException(404, f"nothing is computed as {work[:40]!a}")
    text = (await form(request)).get("yaml", "")
    fields_of(text)
    return RedirectResponse(f"/{work}?s={packed(text)}", status_code=303)


async def page(request: Request) -> Response:
    """The answer for the scenario in the address."""
    work = request.url.path.strip("/")
    text = unpacked(request.query_params.get("s", ""))
    fields_of(text)
    job = jobs_of(request).ask(work, {"yaml": text, "s": packed(text)}, client_of(request))
    return await waited(request, job)


async def waited(request: Request, job: Job) -> Response:
    """The answer of a job, its error, or the page of its progress."""
    await job.settled(_AT_ONCE_S if "as" not in request.query_params else jobs_of(request).seconds)
    if job.state == "done":
        return answer(request, job.done["html"], job.done["record"])
    if job.state == "failed":
        e = job.error
        message = f"{e['where']}: {e['error']}" if e["where"] else e["error"]
        if request.query_params.get("as") == "json":
            return JSONResponse({"error": e["error"], "where": e["where"]}, status_code=STATUS[e["kind"]])
        if request.query_params.get("as"):
            return PlainTextResponse(f"{message}\n", status_code=STATUS[e["kind"]])
        return show(request, "wrong.html.j2", STATUS[e["kind"]], message=message, scenario=job.given.get("s", ""))
    if job.state == "cancelled":
        return show(request, "wrong.html.j2", 410, message="this was cancelled", scenario=job.given.get("s", ""))
    return show(
        request, "progress.html.j2", 202, key=job.key, said=job.said, share=round(100 * job.share), work=job.work
    )


def _known(request: Request) -> Job:
    job = jobs_of(request).find(request.path_params["key"])
    if job is None:
        raise HTTPException(404, "no such job; it may have been forgotten")
    return job


async def events(request: Request) -> Response:
    """How far a job is, as server-sent events: ``progress`` with a share and words, then ``over``."""
    job = _known(request)

    async def lines() -> AsyncIterator[str]:
        while not await request.is_disconnected():
            changed = job.changed
            told: dict[str, Any] = {"share": job.share, "said": job.said, "state": job.state}
            yield f"event: {'over' if job.over else 'progress'}\ndata: {json.dumps(told)}\n\n"
            if job.over:
                return
            try:
                await asyncio.wait_for(changed.wait(), _BEAT_S)
            except TimeoutError:
                yield ": beat\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"cache-control": "no-store"})


async def cancel(request: Request) -> Response:
    """End a job."""
    fields = await form(request)
    jobs_of(request).cancel(_known(request))
    back = fields.get("back", "/")
    if not back.startswith("/") or back.startswith("//"):
        raise InputError("leads out of this site", "back")
    return RedirectResponse(back, status_code=303)
