"""One page, several forms: HTML for reading, its tables as CSV, its record as JSON."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from rooflab.errors import InputError, RooflabError
from rooflab.report.pages.render import dressed, render
from rooflab.web.work import TEMPLATES

__all__ = ["answer", "refused", "show"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def show(request: Request, template: str, status: int = 200, /, **values: Any) -> Response:
    """A page of this site from a template."""
    with dressed(TEMPLATES):
        html = render(template, csrf=request.scope.get("csrf", ""), **values)
    return answer(request, html, status=status)


def answer(request: Request, html: str, record: Any = None, *, status: int = 200) -> Response:
    """A page, or what ``?as=csv&table=N`` and ``?as=json`` ask of it."""
    form = request.query_params.get("as", "")
    if form == "csv":
        return _csv(html, request.query_params.get("table", "1"))
    if form == "json" and record is not None:
        return JSONResponse(record, status_code=status)
    if form:
        return PlainTextResponse(f"as={form[:20]!a}: csv, or json where a page has a record\n", status_code=404)
    return HTMLResponse(html, status_code=status)


def refused(request: Request, error: RooflabError, status: int = 422) -> Response:
    """What is wrong, in the words of the command line."""
    if request.url.path.startswith("/api/") or request.query_params.get("as") == "json":
        message, where = (error.message, error.where) if isinstance(error, InputError) else (str(error), "")
        return JSONResponse({"error": message, "where": where}, status_code=status)
    if request.query_params.get("as"):
        return PlainTextResponse(f"{error}\n", status_code=status)
    return show(request, "wrong.html.j2", status, message=str(error))


def _csv(html: str, number: str) -> Response:
    reader = _Tables()
    reader.feed(html)
    if number not in map(str, range(1, len(reader.tables) + 1)):
        return PlainTextResponse(f"this page has {len(reader.tables)} tables\n", status_code=404)
    out = io.StringIO()
    writer = csv.writer(out)
    for row in reader.tables[int(number) - 1]:
        writer.writerow([f"'{cell}" if cell.startswith(_FORMULA) and not _is_number(cell) else cell for cell in row])
    return Response(
        out.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="table-{number}.csv"'},
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Tables(HTMLParser):
    """The tables of a page of ours, as rows of text."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th", "table"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.tables[-1][-1][-1] += data.strip()
