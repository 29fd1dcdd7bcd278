"""The OpenAPI document of the interface."""

from __future__ import annotations

from typing import Any, Final

from rooflab import __version__
from rooflab.papers.cards import KINDS, RESOURCES
from rooflab.web.computed import WORKS

__all__ = ["openapi"]

_TEXT: Final = {"type": "string"}
_FIELD: Final = {"type": ["string", "object"]}
_SUMMARIES: Final = {
    "plan": "The best deployments for a scenario.",
    "estimate": "Closed-form metrics of a scenario.",
    "simulate": "Event-by-event metrics of a scenario.",
    "ceiling": "What any paper could give a scenario at the most.",
    "gains": "The papers of the feed by what they could give a scenario.",
}
_SCHEMAS: Final[dict[str, Any]] = {
    "Error": {"type": "object", "required": ["error", "where"], "properties": {"error": _TEXT, "where": _TEXT}},
    "Job": {
        "type": "object", "required": ["job", "state", "share", "at"],
        "properties": {
            "job": _TEXT, "state": {"enum": ["waiting", "running"]}, "share": {"type": "number"}, "at": _TEXT,
        },
    },
    "Scenario": {
        "type": "object", "required": ["model", "hardware"],
        "properties": {
            "model": _FIELD, "hardware": _FIELD, "workload": {"type": "object"}, "deployment": {"type": "object"},
            "slo": {"type": "object"}, "techniques": {"type": "array"},
        },
    },
    "Card": {
        "type": "object", "required": ["key", "title", "kind", "saves"],
        "properties": {
            "key": _TEXT, "title": _TEXT, "kind": _TEXT, "saves": {"type": "array", "items": _TEXT}, "date": _TEXT,
            "url": _TEXT,
        },
    },
}  # fmt: skip


def openapi() -> dict[str, Any]:
    """The document: every address of the interface, what it takes and what it answers."""
    described = "Records are those that the commands print with --json."
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rooflab", "version": __version__, "description": described},
        "paths": _reading() | {f"/api/{work}": {"post": _computing(work)} for work in WORKS},
        "components": {"schemas": _SCHEMAS},
    }


def _reading() -> dict[str, Any]:
    cards = {"type": "array", "items": _named("Card")}
    asked = [
        _query("q", _TEXT), _query("kind", {"type": "string", "enum": list(KINDS)}),
        _query("saves", {"type": "string", "enum": list(RESOURCES)}), _query("day", _TEXT),
    ]  # fmt: skip
    return {
        "/api/papers": {"get": {
            "summary": "Papers of the feed, newest first.", "parameters": asked,
            "responses": {"200": _told(cards, "papers")} | _wrong(422),
        }},
        "/api/papers/{key}": {"get": {
            "summary": "A paper with its claims.", "parameters": [_key("a paper's key")],
            "responses": {"200": _told(_named("Card"), "the paper")} | _wrong(404),
        }},
        "/api/jobs/{key}": {"get": {
            "summary": "What became of a job.", "parameters": [_key("as the 202 said")],
            "responses": {
                "200": _told({"type": "object"}, "its record"), "202": _told(_named("Job"), "not done yet"),
            } | _wrong(404, 410, 422, 500, 503),
        }},
    }  # fmt: skip


def _computing(work: str) -> dict[str, Any]:
    wait = {"type": "number", "minimum": 0, "maximum": 120, "default": 30}
    return {
        "summary": _SUMMARIES[work],
        "parameters": [_query("wait", wait)],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _named("Scenario")}}},
        "responses": {
            "200": _told({"type": "object"}, "the record that the command prints with --json"),
            "202": _told(_named("Job"), "not done yet"),
        }
        | _wrong(413, 415, 422, 500, 503),
    }


def _named(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _told(schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


def _wrong(*statuses: int) -> dict[str, Any]:
    return {str(status): _told(_named("Error"), "what is wrong, and where") for status in statuses}


def _query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _key(words: str) -> dict[str, Any]:
    return {"name": "key", "in": "path", "required": True, "description": words, "schema": _TEXT}
