"""The catalogue: facts with their sources."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from rooflab.errors import unknown
from rooflab.report.listings import LISTINGS, matches
from rooflab.report.pages.parts import Cell, Column, Table, table
from rooflab.web.answers import answer, show

__all__ = ["catalogue"]


async def catalogue(request: Request) -> Response:
    """One kind of facts, those with all the words that are asked for."""
    kind, words = request.path_params.get("kind", "models"), request.query_params.get("q", "")[:200]
    if kind not in LISTINGS:
        raise unknown("kind of facts", kind[:60], LISTINGS)
    rows = await run_in_threadpool(_rows, kind, words)
    if request.query_params.get("as") == "json":
        return answer(request, "", rows)
    return show(
        request,
        "catalogue.html.j2",
        kind=kind,
        kinds=list(LISTINGS),
        q=words,
        rows=_table(kind, rows),
        count=len(rows),
        summary=LISTINGS[kind].summary,
    )


def _rows(kind: str, words: str) -> list[dict[str, object]]:
    return [row for row in LISTINGS[kind].rows() if matches(row, words.split())]


def _table(kind: str, rows: list[dict[str, object]]) -> Table:
    listing = LISTINGS[kind]
    columns = [Column(name, text=name not in listing.numeric) for name in listing.columns]
    cells = [listing.cells(row) for row in rows]
    first = next(iter(listing.columns))
    return table(
        columns,
        [
            [Cell(c[name], hover="; ".join(c["sources"]) if name == first else "") for name in listing.columns]
            for c in cells
        ],
    )
