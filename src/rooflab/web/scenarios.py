"""A scenario as a form and as YAML side by side, checked as it is typed with the messages of the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from rooflab.catalogue.devices import list_devices
from rooflab.catalogue.models import list_models
from rooflab.errors import InputError, RooflabError
from rooflab.inputs.kinds import kind_of
from rooflab.report.pages.render import dressed, render
from rooflab.scenario.runtime import ENGINES
from rooflab.scenario.scenario import Scenario
from rooflab.source.text import parse_json
from rooflab.source.yaml_file import in_line
from rooflab.web.answers import show
from rooflab.web.computed import client_of, jobs_of
from rooflab.web.forms import form
from rooflab.web.given import fields_of, packed, unpacked
from rooflab.web.work import TEMPLATES

__all__ = ["check", "page", "written"]

_LOADS: Final = ("rate", "concurrency", "batch", "burst")
_CHECK_S: Final = 5.0


async def page(request: Request) -> Response:
    """The form, from an address, a sample, or the first sample."""
    asked = request.query_params
    text = unpacked(asked["s"]) if asked.get("s") else _sample(asked.get("example", ""))
    try:
        filled = _filled(fields_of(text))
    except RooflabError:
        filled = _filled({})
    checked = await _checked(request, text)
    return show(
        request,
        "scenario.html.j2",
        text=text,
        filled=filled,
        checked=checked,
        samples=sorted(_samples()),
        models=_models(),
        devices=_devices(),
        engines=sorted(ENGINES),
        loads=_LOADS,
    )


async def written(request: Request) -> Response:
    """The form's fields as YAML: the text alone for the page's script, else an address with it."""
    text = _yaml(await form(request))
    if request.headers.get("hx-request"):
        with dressed(TEMPLATES):
            return HTMLResponse(render("yaml.html.j2", text=text, checked=await _checked(request, text)))
    return RedirectResponse(f"/scenario?s={packed(text)}", status_code=303)


async def check(request: Request) -> Response:
    """What a scenario says, or what is wrong with it, as a piece of a page."""
    text = (await form(request)).get("yaml", "")
    with dressed(TEMPLATES):
        return HTMLResponse(render("checked.html.j2", checked=await _checked(request, text)))


async def _checked(request: Request, text: str) -> Mapping[str, str]:
    try:
        fields_of(text)
    except InputError as error:
        return {"wrong": str(error)}
    job = jobs_of(request).ask("check", {"yaml": text}, client_of(request))
    if not await job.settled(_CHECK_S):
        return {"wrong": "", "title": "not checked yet", "load": "the server is busy", "wanted": ""}
    if job.state == "done":
        return {"wrong": "", **job.done}
    where = job.error.get("where", "")
    return {"wrong": f"{where}: {job.error.get('error', '')}" if where else job.error.get("error", "cancelled")}


@cache
def _samples() -> dict[str, str]:
    return {s.name: s.path().read_text("utf-8") for s in kind_of(Scenario).samples}


def _sample(name: str) -> str:
    samples = _samples()
    if name and name not in samples:
        raise InputError(f"no sample called {name[:60]!r}; there are {', '.join(sorted(samples))}", "example")
    return samples[name or min(samples)]


@cache
def _models() -> list[str]:
    return sorted(str(m["key"]) for m in list_models())


@cache
def _devices() -> list[str]:
    return sorted(str(d["key"]) for d in list_devices())


def _filled(fields: Mapping[str, Any]) -> dict[str, str]:
    """What of a scenario the form has a field for."""
    out = dict.fromkeys(
        ("model", "count", "device", "load", "amount", "isl", "osl", "engine", "tp", "ttft_p99", "tpot_p99"), ""
    )
    workload, deployment, slo = (_part(fields, name) for name in ("workload", "deployment", "slo"))
    hardware = str(fields.get("hardware", "")) if isinstance(fields.get("hardware"), str) else ""
    count, times, device = hardware.partition(" x ")
    out["count"], out["device"] = (count.strip(), device.strip()) if times else ("1", hardware)
    out["model"] = str(fields["model"]) if isinstance(fields.get("model"), str) else ""
    for name in _LOADS:
        if workload and name in workload:
            out["load"], out["amount"] = name, str(workload[name])
    for held, names in ((workload, ("isl", "osl")), (deployment, ("engine", "tp")), (slo, ("ttft_p99", "tpot_p99"))):
        out |= {n: str(held[n]) for n in names if held and isinstance(held.get(n), (str, int, float))}
    return out


def _part(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = fields.get(name)
    return part if isinstance(part, Mapping) else {}


def _yaml(fields: Mapping[str, str]) -> str:
    """The form as a scenario's text: what the text beside it says, with the form's fields put in. `config` is a
    config.json pasted in, instead of a model's name."""
    try:
        parts = {k: dict(v) if isinstance(v, Mapping) else v for k, v in fields_of(fields.get("yaml", "")).items()}
    except InputError:
        parts = {}
    config, device = fields.get("config", "").strip(), fields.get("device", "").strip()
    parts["model"] = parse_json(config, "config.json") if config else fields.get("model", "").strip()
    if device:
        parts["hardware"] = f"{fields.get('count', '').strip() or '1'} x {device}"
    for name, own in (
        ("workload", ("isl", "osl")),
        ("deployment", ("engine", "tp")),
        ("slo", ("ttft_p99", "tpot_p99")),
    ):
        part = parts[name] if isinstance(parts.get(name), dict) else {}
        # what no field of the form can show (lengths with a distribution) stays as it is
        part = {k: v for k, v in part.items() if k not in own or isinstance(v, (Mapping, list))}
        part |= {n: _plain(fields[n]) for n in own if fields.get(n, "").strip()}
        parts[name] = part
    load = fields.get("load", "")
    if load in _LOADS and fields.get("amount", "").strip():
        rest = {k: v for k, v in parts["workload"].items() if k not in _LOADS}
        parts["workload"] = rest | {load: _plain(fields["amount"])}
    first = [n for n in ("model", "hardware", "workload", "deployment", "slo") if n in parts]
    order = [*first, *(n for n in parts if n not in first)]
    return "".join(f"{name}: {in_line(parts[name])}\n" for name in order if parts[name])


def _plain(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text.strip()
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else text.strip()
