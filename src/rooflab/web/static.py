"""Style sheets and scripts: files of this package by name, nothing else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rooflab import __version__
from rooflab.report.pages.render import script, style

__all__ = ["file"]

_FOLDER: Final = Path(__file__).with_name("static")
_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".txt": "text/plain"}


async def file(request: Request) -> Response:
    """A file of the site."""
    held = _files()
    name = request.path_params["name"]
    if name not in held:
        raise HTTPException(404, "no such file")
    tag = f'"{__version__}-{len(held[name])}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    return Response(
        held[name], media_type=_TYPES[Path(name).suffix], headers={"etag": tag, "cache-control": "no-cache"}
    )


@cache
def _files() -> dict[str, bytes]:
    held = {p.name: p.read_bytes() for p in _FOLDER.iterdir() if p.suffix in _TYPES}
    return held | {"house.css": style().encode(), "sort.js": script().encode()}
