"""The front page: papers by day, a search, and filters."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from rooflab.feed.listing import by_day, entries, select
from rooflab.feed.search import search
from rooflab.papers.cards import KINDS, RESOURCES
from rooflab.web.answers import answer, show

__all__ = ["page"]

_MOST = 200


async def page(request: Request) -> Response:
    """Papers, newest first; with words those about them, best match first."""
    asked = {name: request.query_params.get(name, "")[:200] for name in ("q", "kind", "saves", "day")}
    runnable = bool(request.query_params.get("runnable"))
    found = select(entries(), kind=asked["kind"], saves=asked["saves"], day=asked["day"], runnable=runnable)
    if asked["q"].strip():
        groups = [("", [e for _, e in search(asked["q"], found, _MOST)])]
    else:
        groups = [(day, list(papers)) for day, papers in by_day(found)]
    count = sum(len(papers) for _, papers in groups)
    if request.query_params.get("as") == "json":
        return answer(request, "", [e.record() for _, papers in groups for e in papers])
    return show(
        request,
        "today.html.j2",
        asked=asked,
        runnable=runnable,
        groups=groups,
        count=count,
        kinds=KINDS,
        resources=RESOURCES,
    )
