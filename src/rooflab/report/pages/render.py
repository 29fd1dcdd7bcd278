"""Pages from templates: every text is escaped, a name that a template does not get is an error.

Templates lie in ``templates/``; ``base.html.j2`` holds what all pages share: the style sheet, the colours of the chart
kit, light, dark and print, and the script that sorts tables. A page lets its reader's browser run that one script and
fetch nothing (its Content-Security-Policy), so that a name from a stranger's file stays a name.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rooflab.charts.palette import EVERY
from rooflab.charts.tree import clean

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["dressed", "render", "script", "style"]

_TEMPLATES: Final = Path(__file__).parent / "templates"
_SCRIPT: Final = "sort.js"


_dress: ContextVar[tuple[Path, ...]] = ContextVar("_dress", default=())


def render(template: str, **values: object) -> str:
    """The page of `template` with `values`, as text."""
    return f"{_environment(_dress.get()).get_template(template).render(values)}\n"


@contextmanager
def dressed(folder: Path) -> Iterator[None]:
    """Pages that are rendered in this block take templates of `folder` before those of this one: another
    ``base.html.j2`` puts the same page into a site."""
    before = _dress.set((folder,))
    try:
        yield
    finally:
        _dress.reset(before)


def style() -> str:
    """The style sheet of all pages, with the colours of the chart kit."""
    return _environment(()).get_template("house.css.j2").render()


def script() -> str:
    """The script that sorts tables."""
    return _environment(()).get_template(_SCRIPT).render()


@cache
def _environment(first: tuple[Path, ...]) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader([*first, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_storable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["colours"] = EVERY
    sorts = made.get_template(_SCRIPT).render().encode()
    made.globals["script_digest"] = base64.b64encode(hashlib.sha256(sorts).digest()).decode()
    return made


def _storable(value: Any) -> Any:
    """Text without what a file cannot hold; charts, and what templates made, as they are."""
    return clean(value) if type(value) is str else value
