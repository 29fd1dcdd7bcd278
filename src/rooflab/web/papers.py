"""A paper's page: what it does, what it claims and what came out, and running it on a scenario of the reader's."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from rooflab.errors import InputError
from rooflab.evidence.claims.check import known
from rooflab.evidence.claims.row import Row
from rooflab.evidence.claims.words import tally
from rooflab.feed.listing import entry
from rooflab.papers.cards import Card
from rooflab.papers.execute import Chosen, kind_read
from rooflab.papers.parameters import described
from rooflab.papers.registry import paper
from rooflab.report.pages.parts import Cell, Column, Table, table
from rooflab.report.text.claims import got_words, published_words
from rooflab.source.text import parse_json
from rooflab.source.yaml_file import parse_yaml
from rooflab.web.answers import show
from rooflab.web.computed import client_of, jobs_of, waited
from rooflab.web.forms import form
from rooflab.web.given import fields_of, packed, unpacked
from rooflab.web.seal import inline

__all__ = ["found", "go", "page", "run"]

_BUDGET_S: Final = 60.0
_MOST_SETTINGS: Final = 50
_LONGEST_SETTINGS: Final = 4_000
"""Characters of the settings in an address; what aliases repeat may make it twice as many."""
_TONES: Final = {"reproduced": "good", "failing": "bad"}


def found(key: str) -> Card:
    """The card of a key. Raises HTTPException 404 with the nearest keys."""
    try:
        return entry(key[:100])
    except InputError as error:
        raise HTTPException(404, str(error)) from None


async def page(request: Request) -> Response:
    """The paper of a key."""
    card = found(request.path_params["key"])
    text = unpacked(request.query_params["s"]) if request.query_params.get("s") else ""
    values = await run_in_threadpool(_values, card)
    return show(request, "card.html.j2", card=card, scenario=text, **values)


def _values(card: Card) -> dict[str, Any]:
    if not card.runnable:
        return {"said": [], "methods": [], "claims": None, "tally": ""}
    p, rows = paper(card.key), known(card.key)
    said = [
        (name, text)
        for name, text in (("Executed", p.executed), ("Modelled", p.modelled), ("Assumed", p.assumed))
        if text
    ]
    chosen: dict[str, Chosen] = {**p.techniques, **p.methods}
    methods = []
    for key, cls in chosen.items():
        kind = kind_read(cls)
        methods.append(
            {
                "key": key,
                "does": " ".join((cls.__doc__ or "").split("\n\n", maxsplit=1)[0].replace("`", "").split()),
                "reads": "a scenario" if kind is None else kind.name,
                "scenario": kind is None,
                "parameters": [(d.name, d.usual, d.allowed) for d in described(cls)],
            }
        )
    return {"said": said, "methods": methods, "claims": _claims(rows) if rows else None, "tally": tally(rows)}


def _claims(rows: list[Row]) -> Table:
    columns: list[Column | str] = [
        Column("what it says"),
        Column("role", text=True),
        Column("kind", text=True),
        "published",
        "first",
        "now",
        Column("status", text=True),
    ]
    return table(
        columns,
        [
            [
                Cell(r.text, hover=r.source),
                r.role,
                r.kind,
                published_words(r.expected, r.unit),
                got_words(r.first, r.unit),
                got_words(r.got, r.unit),
                Cell(r.status, hover=r.reason, tone=_TONES.get(r.status, "")),
            ]
            for r in rows
        ],
    )


async def go(request: Request) -> Response:
    """A form's choice as an address."""
    fields = await form(request)
    asked = {"method": fields.get("method", "")}
    if fields.get("yaml", "").strip():
        fields_of(fields["yaml"])
        asked["s"] = packed(fields["yaml"])
    settings = {n.removeprefix("set."): v for n, v in fields.items() if n.startswith("set.") and v.strip()}
    if settings:
        asked["set"] = json.dumps(settings)
        _settings(asked["set"])
    return RedirectResponse(f"/papers/{entry(request.path_params['key']).key}/run?{urlencode(asked)}", status_code=303)


async def run(request: Request) -> Response:
    """A paper on the scenario in the address, or on samples of its own."""
    card, asked = found(request.path_params["key"]), request.query_params
    given: dict[str, Any] = {
        "key": card.key,
        "method": asked.get("method", ""),
        "budget_s": _BUDGET_S,
        "settings": _settings(asked.get("set", "")),
    }
    if asked.get("s"):
        given["yaml"] = unpacked(asked["s"])
        given["s"] = packed(given["yaml"])
        fields_of(given["yaml"])
    return await waited(request, jobs_of(request).ask("paper", given, client_of(request)))


def _settings(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        held = parse_json(text, "set")
    except InputError:
        raise InputError("holds no settings", "set") from None
    if not isinstance(held, dict) or not all(isinstance(v, (str, int, float)) for v in held.values()):
        raise InputError("holds no settings", "set")
    if len(text) > _LONGEST_SETTINGS or len(held) > _MOST_SETTINGS:
        raise InputError(f"is too much: {_MOST_SETTINGS} settings and {_LONGEST_SETTINGS:,} characters are read", "set")
    settings = {name: parse_yaml(str(value), f"set.{name[:40]}") for name, value in held.items()}
    inline(settings, "set")
    if len(json.dumps(settings)) > 2 * _LONGEST_SETTINGS:
        raise InputError("repeats itself", "set")
    return settings
