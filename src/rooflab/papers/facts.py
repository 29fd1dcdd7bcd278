"""KEY.yaml: what stands in print beside a paper's code.

    title, name, url, date, kind, saves, does, seed      of a paper that the feed has no card of
    executed, modelled, assumed                          sentences for its page
    own_data: [what its authors measured]                sources that calibrate its claims where a fit rests on them
    claims:
      - id: gain
        text: what is said
        expect: 1.4            # or [59, 72], {at least: 1}, {order: [...]}, ...: see `expectation`
        unit: x
        source: abstract
        role: headline         # headline, detail (default), fact
        group: table 2         # one finding (default: the claim alone)
        kind: modelled         # executed, modelled (default), analogue, derived
        tolerance: 0.15        # with `wider: reason` above 0.15
        moves: {memory bandwidth: +1}      # or {memory bandwidth: {sign: 1, power: 0.9}}
        without: {by: technique, value: 1}    # what remains without the idea: the null
        inputs: {published batch: reason}
        chooses: the paper reports the best of its batch sizes (table 4)    # where the best of several set-ups is meant
        run: {method: codes, setup: captions, figure: recall@1, set: {residuals: 2}}    # what a reader runs for it
                                             # (in the place of setup: sample, or scenario: {model: ..., ...})
    not modelled: [{id, text, expect, unit, role, group, reason}]
    numbers: {60: seconds of a minute}       # published numbers that stand in the code for another reason
    constants:                               # numbers of the code and data of its claims, each with its source
      - {name: LAUNCH_S, value: 0.00075, source: table 3}    # or Growth.noise, policy.gap, the name of a datum
    quality: [{model, task, delta, unit, source, when: {parameter: value}}]

No number of this file may stand in the paper's code: the audit looks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError, unknown
from rooflab.papers.claim import KINDS, ROLES, Move, NotModelled, Null, Reading
from rooflab.papers.expectation import read_expectation
from rooflab.papers.quality import QualityPoint

__all__ = ["Constant", "Facts", "read_facts", "read_texts"]

_TOP: Final = (
    "title", "name", "url", "date", "kind", "saves", "does", "seed", "executed", "modelled", "assumed", "own_data",
    "claims", "not modelled", "numbers", "constants", "quality",
)  # fmt: skip
_CLAIM: Final = (
    "id", "text", "expect", "unit", "source", "role", "group", "kind", "tolerance", "wider", "moves", "without",
    "inputs", "run", "chooses", "note",
)  # fmt: skip
_RUN: Final = ("method", "setup", "sample", "scenario", "figure", "of", "set")
_LEFT_OUT: Final = ("id", "text", "expect", "unit", "role", "group", "reason")
_TIGHT: Final = 0.15
"""The tolerance above which a reason is asked for."""
_WIDEST: Final = 0.5
"""The tolerance above which a figure tells nothing: half and half as much again both hold."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A number (or table of them) of a paper's code, or a datum of its claims: its name there, `value` where it is one
    number, and the `source` that it is taken from."""

    name: str
    source: str
    value: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A KEY.yaml, read: texts by name, claims by id (fields of a `Claim` without its function), what is left out."""

    texts: Mapping[str, Any]
    own_data: tuple[str, ...]
    claims: Mapping[str, Mapping[str, Any]]
    left_out: tuple[NotModelled, ...]
    numbers: Mapping[float, str]
    constants: Mapping[str, Constant]
    quality: tuple[QualityPoint, ...] = field(default_factory=tuple)


def read_facts(path: Path) -> Facts:
    """The facts in `path`. Raises InputError that names the file and the entry."""
    return _facts(path, _text(path))


@lru_cache(maxsize=64)
def _facts(path: Path, text: str) -> Facts:
    """The facts in a text, which the audit of a paper's code reads hundreds of times."""
    where = path.name
    raw = _yaml(path, text)
    _known(raw, _TOP, where)
    claims: dict[str, Mapping[str, Any]] = {}
    for i, item in enumerate(_list(raw, "claims", where)):
        read = _claim(item, f"{where}: claims[{i}]")
        if read["id"] in claims:
            raise InputError(f"two claims are called {read['id']!r}", where)
        claims[read["id"]] = read
    left = tuple(
        _left_out(item, f"{where}: not modelled[{i}]") for i, item in enumerate(_list(raw, "not modelled", where))
    )
    both = [item.id for item in left if item.id in claims]
    if both:
        raise InputError(f"{both[0]!r} is both computed and not", where)
    points = tuple(_point(item, f"{where}: quality[{i}]") for i, item in enumerate(_list(raw, "quality", where)))
    return Facts(
        texts=_texts(raw, where), own_data=tuple(map(str, _list(raw, "own_data", where))), claims=claims, left_out=left,
        numbers=_numbers(raw, where), constants=_constants(raw, where), quality=points,
    )  # fmt: skip


def read_texts(path: Path) -> dict[str, Any]:
    """What `path` says of the paper itself: title, address, date, kind and the like. Raises InputError that names the
    file."""
    raw = _yaml(path, _text(path))
    _known(raw, _TOP, path.name)
    return _texts(raw, path.name)


def _texts(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Texts of the paper as texts (YAML takes 2026-01-31 for a day), what it saves as names, its number as one."""
    texts: dict[str, Any] = {name: raw[name] for name in _TOP[:11] if raw.get(name) is not None}
    for name, value in texts.items():
        if isinstance(value, (list, dict)) != (name == "saves"):
            raise InputError(f"{name} is a {'list' if name == 'saves' else 'text'}, not {value!r}"[:200], where)
        texts[name] = tuple(map(str, value)) if name == "saves" else value if name == "seed" else str(value)
    if not isinstance(texts.get("seed", 0), int):
        raise InputError(f"seed is a number, not {texts['seed']!r}", where)
    return texts


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise InputError("a paper's facts stand beside its module; there is no such file", str(path)) from None


def _yaml(path: Path, text: str) -> dict[str, Any]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        raw = yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML ({' '.join(str(error).split())})", str(path)) from None
    if not isinstance(raw, dict):
        raise InputError(f"expected fields such as {', '.join(_TOP[:3])}", str(path))
    return raw


def _known(item: Mapping[str, Any], names: tuple[str, ...], where: str) -> None:
    for name in item:
        if name not in names:
            raise unknown("field", str(name), names, where)


def _list(raw: Mapping[str, Any], name: str, where: str) -> list[Any]:
    value = raw.get(name) or []
    if not isinstance(value, list):
        raise InputError(f"{name} is a list", where)
    return value


def _claim(item: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(item, Mapping) or not {"id", "text", "expect", "source"} <= item.keys():
        raise InputError("a claim has id, text, expect and source", where)
    where = f"{where} ({item['id']})"
    _known(item, _CLAIM, where)
    tolerance = 0.15 if item.get("tolerance") is None else item["tolerance"]
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 <= tolerance <= _WIDEST:
        raise InputError(
            f"{tolerance!r} is not a share up to {_WIDEST:g}; beyond, state a bound", f"{where}: tolerance"
        )
    if tolerance > _TIGHT and not item.get("wider"):
        raise InputError(f"a tolerance of {tolerance:.0%} needs its reason (wider: ...)", where)
    return {
        "id": str(item["id"]), "text": str(item["text"]),
        "expect": read_expectation(item["expect"], f"{where}: expect"),
        "unit": str(item.get("unit") or ""), "tolerance": float(tolerance), "source": str(item["source"]),
        "role": _one(item, "role", ROLES, "detail", where), "kind": _one(item, "kind", KINDS, "modelled", where),
        "group": str(item.get("group") or item["id"]),
        "moves": {str(name): _move(said, f"{where}: moves.{name}") for name, said in (item.get("moves") or {}).items()},
        "null": _null(item.get("without"), f"{where}: without"), "inputs": dict(item.get("inputs") or {}),
        "reading": _reading(item.get("run"), f"{where}: run"),
        "wider": str(item.get("wider") or ""),
        "chooses": str(item.get("chooses") or ""), "note": str(item.get("note") or ""),
    }  # fmt: skip


def _numbers(raw: Mapping[str, Any], where: str) -> dict[float, str]:
    found = {}
    for number, reason in (raw.get("numbers") or {}).items():
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not str(reason or "").strip():
            raise InputError("says why a published number stands in the code: {60: seconds of a minute}", where)
        found[float(number)] = str(reason)
    return found


def _constants(raw: Mapping[str, Any], where: str) -> dict[str, Constant]:
    found: dict[str, Constant] = {}
    for i, item in enumerate(_list(raw, "constants", where)):
        at = f"{where}: constants[{i}]"
        if not isinstance(item, Mapping) or not str(item.get("name") or "").strip():
            raise InputError("a constant has a name, and a source", at)
        name, value = str(item["name"]), item.get("value")
        _known(item, ("name", "value", "source"), at)
        if not str(item.get("source") or "").strip():
            raise InputError("needs its source", f"{at} ({name})")
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise InputError(f"{value!r} is not a number (a table needs none)", f"{at} ({name})")
        if name in found:
            raise InputError(f"two constants are called {name!r}", where)
        found[name] = Constant(name, str(item["source"]), None if value is None else float(value))
    return found


def _one(item: Mapping[str, Any], name: str, among: tuple[str, ...], usual: str, where: str) -> Any:
    value = str(item.get(name) or usual)
    if value not in among:
        raise unknown(name, value, among, where)
    return value


def _move(said: Any, where: str) -> Move:
    fields = said if isinstance(said, Mapping) else {"sign": said}
    _known(fields, ("sign", "power"), where)
    if fields.get("sign") not in (1, -1):
        raise InputError(f"says up (1) or down (-1), not {fields.get('sign')!r}", where)
    power = fields.get("power")
    return Move(int(fields["sign"]), None if power is None else float(power))


def _null(said: Any, where: str) -> Null | None:
    if said is None:
        return None
    if not isinstance(said, Mapping) or "by" not in said:
        raise InputError("says by what the idea is taken away: {by: technique, value: 1}", where)
    _known(said, ("by", "value"), where)
    return Null(str(said["by"]), None if said.get("value") is None else float(said["value"]))


def _reading(said: Any, where: str) -> Reading | None:
    if said is None:
        return None
    if not isinstance(said, Mapping) or not said.get("figure"):
        raise InputError("says which figure: {method: codes, setup: captions, figure: recall@1}", where)
    _known(said, _RUN, where)
    figure, settings = said["figure"], said.get("set") or {}
    figures = (
        figure if isinstance(figure, Mapping) else {x: x for x in (figure if isinstance(figure, list) else [figure])}
    )
    scenario = said.get("scenario") or {}
    if not isinstance(settings, Mapping) or not isinstance(scenario, Mapping):
        raise InputError("set is a mapping of parameters, scenario one of the fields of a scenario file", where)
    if sum(bool(said.get(name)) for name in ("setup", "sample", "scenario")) > 1:
        raise InputError("runs on one input: a setup, a sample or a scenario", where)
    return Reading(
        figures={str(k): str(v) for k, v in figures.items()}, method=str(said.get("method") or ""),
        setup=str(said.get("setup") or ""), sample=str(said.get("sample") or ""),
        of=_one(said, "of", ("value", "baseline", "gain"), "value", where),
        settings={str(k): v for k, v in settings.items()}, scenario=dict(scenario),
    )  # fmt: skip


def _left_out(item: Any, where: str) -> NotModelled:
    if not isinstance(item, Mapping) or not {"id", "text", "reason"} <= item.keys():
        raise InputError("what is not modelled has id, text and reason", where)
    _known(item, _LEFT_OUT, where)
    expect = None if item.get("expect") is None else read_expectation(item["expect"], f"{where}: expect")
    if not str(item["reason"]).strip():
        raise InputError("needs a reason", where)
    return NotModelled(
        id=str(item["id"]), text=str(item["text"]), expect=expect, reason=str(item["reason"]),
        unit=str(item.get("unit") or ""), role=_one(item, "role", ROLES, "detail", where),
        group=str(item.get("group") or item["id"]),
    )  # fmt: skip


def _point(item: Any, where: str) -> QualityPoint:
    names = ("model", "task", "delta", "unit", "source", "when")
    if not isinstance(item, Mapping) or not set(names[:5]) <= item.keys():
        raise InputError(f"a quality cost has {', '.join(names[:5])}", where)
    _known(item, names, where)
    return QualityPoint(
        str(item["model"]), str(item["task"]), float(item["delta"]), str(item["unit"]), str(item["source"]),
        dict(item.get("when") or {}),
    )  # fmt: skip
