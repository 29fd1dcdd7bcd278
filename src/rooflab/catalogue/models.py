"""Models by name, path or inline config; facts in ``data/models.json``, read by `rooflab.scenario.hf.model`.

An entry holds the config keys that matter for cost (or ``like``: another entry whose keys it takes over), the formats
of the checkpoint where they are not bf16 (weights, routed experts, cache), the published count and where it stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from reprlib import repr as shown
from typing import Any, Final

from rooflab.catalogue._data import load
from rooflab.catalogue.names import NameIndex, spellings, without_owner
from rooflab.errors import InputError
from rooflab.files import is_file
from rooflab.scenario.dtype import DTYPES
from rooflab.scenario.exact import given_as, read_exact
from rooflab.scenario.gguf.model import model_from_gguf
from rooflab.scenario.hf.model import model_from_config
from rooflab.scenario.model import Model, Run

__all__ = ["entry", "list_file", "list_models", "model", "resolve"]

# a format at the end of a name, and what it is here
_GGUF: Final = sorted((name for name, one in DTYPES.items() if one.everywhere), key=len, reverse=True)
_PRECISION: Final = re.compile(
    r"[-_ .:](?P<name>nvfp4|mxfp4|fp4|fp8[-_]block|fp8|int8|int4|awq|gptq|w4a16|w8a8|bf16|fp16|"
    + "|".join(_GGUF)
    + r")(?:[-_ ]?(?:kv|dynamic|static|v\d))*$",
    re.IGNORECASE,
)
_FORMATS: Final = {
    "nvfp4": "nvfp4", "fp4": "nvfp4", "mxfp4": "mxfp4", "fp8-block": "fp8-block", "fp8": "fp8", "int8": "int8",
    "w8a8": "int8",
    "int4": "int4", "awq": "int4", "gptq": "int4", "w4a16": "int4", "bf16": "bf16", "fp16": "fp16",
    **{name.replace("_", "-"): name for name in _GGUF},
}  # fmt: skip
# what a name says of the training or of the benchmark and not of the shapes
_REMARK: Final = re.compile(
    r"[-_ ](?:instruct|chat|hf|it|base|sft|thinking|preview|edge|99(?:\.9)?|\d{4}|lora|q-?lora|adapter|full(?:[- "
    r"](?:finetune|parameter))?"
    r"|weights only|rlhf step \d|\+? ?deepspeed zero\d|gguf|quantized|ft|rl)$",
    re.IGNORECASE,
)
_INSIDE: Final = re.compile(r"[-_ ](?:instruct|chat)(?=[-_ ])", re.IGNORECASE)
_BRACKET: Final = re.compile(r"\s*\([^)]*\)\s*$")
_MAKER: Final = re.compile(r"^(?:meta|nvidia|openbuddy)[-_ ]", re.IGNORECASE)
_REPOSITORY: Final = re.compile(r"^[\w.-]+/[\w.-]+$")
_TRUNCATED: Final = re.compile(r"\s+truncated to (\d+) layers$", re.IGNORECASE)


@cache
def _index() -> NameIndex:
    index = NameIndex("model")
    entries = load("models")
    for key, facts in entries.items():
        index.add(key, key)
        for alias in facts.get("aliases", ()):
            index.add(alias, key)
    for key in entries:
        for spelling in _readings(without_owner(key), precision=False):
            for form in spellings(spelling):
                index.keys.setdefault(form, key)
    return index


def _readings(label: str, *, precision: bool = True) -> Iterator[str]:
    """`label`, then with one remark after another taken off its end, then without a maker's name or words inside."""
    seen = [label]
    text = label.strip()
    while True:
        shorter = _BRACKET.sub("", _REMARK.sub("", text))
        if precision and shorter == text:
            shorter = _PRECISION.sub("", text)
        if shorter == text or not shorter:
            break
        text = shorter
        seen.append(text)
    for reading in list(seen):
        seen.append(_INSIDE.sub("", reading))
    yield from seen
    for reading in seen:
        bare = without_owner(reading)
        if _MAKER.match(bare):
            yield _MAKER.sub("", bare)


@cache
def resolve(label: str, where: str = "model") -> str:
    """The catalogue key of the model called `label`; InputError with the nearest names.

    Exact names and aliases first; then without remarks (instruct, chat, fp8, -99.9, ...); then a beginning that only
    one architecture has (``qwen3-235b``).
    """
    index = _index()
    readings = list(_readings(_TRUNCATED.sub("", label)))
    key = index.find(readings)
    if key is None:
        for reading in readings:
            roots = {_root(k) for k in index.starting(reading)}
            if len(roots) == 1:
                return roots.pop()
        raise index.unknown(label, where)
    return key


def _root(key: str) -> str:
    facts = load("models")[key]
    return _root(facts["like"]) if "like" in facts and "config" not in facts else key


def entry(key: str) -> dict[str, Any]:
    """The facts of a catalogue key as they stand in the data file: published count, source, aliases; `key` must
    exist."""
    facts: dict[str, Any] = load("models")[key]
    return facts


def _config(key: str) -> dict[str, Any]:
    facts = entry(key)
    own = {name: _unfold(value) for name, value in facts.get("config", {}).items()}
    return {**_config(facts["like"]), **own} if "like" in facts else own


def _unfold(value: Any) -> Any:
    """A list written as a repeated cycle or as runs of equal values."""
    if isinstance(value, dict) and "cycle" in value:
        cycle = value["cycle"]
        return [cycle[i % len(cycle)] for i in range(value["length"])]
    if isinstance(value, dict) and "runs" in value:
        return [item for item, count in value["runs"] for _ in range(count)]
    return value


def model(value: object, where: str = "model") -> Model:
    """A model from a name, the path of a config.json, of a folder with one or of a ``.gguf`` file, or an inline config.

    An inline config may start from a catalogue model: ``{like: NAME, num_hidden_layers: 2}``; ``{exact: {...}}`` gives
    the shapes themselves (`rooflab.scenario.exact`).  A format at the end of a name (``-FP8``, ``-NVFP4``) sets the
    model's formats.  Raises InputError.
    """
    if isinstance(value, Model):
        return value
    if isinstance(value, Mapping):
        if value.keys() == {"exact"}:
            return read_exact(Model, value["exact"], f"{where}.exact")
        return given_as(_inline(value, where), deepcopy(dict(value)))
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{shown(value)} is not a model: give a name, a path to a config.json, or its fields", where)
    path = _path(value)
    if path is None:
        return _named(value, where)
    return given_as(model_from_gguf(path), value) if path.suffix == ".gguf" else _from_file(path)


def _path(label: str) -> Path | None:
    try:
        path = Path(label).expanduser()
    except RuntimeError:  # the home of a user whom this machine does not know
        raise InputError("no such file", label) from None
    if is_file(path / "config.json"):
        return path / "config.json"
    if path.suffix in (".json", ".gguf") or label.startswith(("./", "../", "/", "~")):
        if not is_file(path):
            raise InputError("no such file", str(path))
        return path
    return None


def _from_file(path: Path) -> Model:
    config = _read_json(path)
    config = _with_quantisation(config, path.parent / "hf_quant_config.json")
    name = str(config.get("_name_or_path") or "") or path.parent.name or path.stem
    try:
        found = model_from_config(config, name, "")
    except InputError as error:
        raise error.inside(str(path)) from None
    return given_as(replace(found, sources=(str(path), *found.sources)), {**config, "name": name})


def _read_json(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be read as JSON ({error})", str(path)) from error
    if not isinstance(config, dict):
        raise InputError("is not a config.json: a group of fields is expected", str(path))
    return config


def _with_quantisation(config: dict[str, Any], beside: Path) -> dict[str, Any]:
    """`config` with what ModelOpt wrote into a file of its own beside it, where the config itself says nothing."""
    if config.get("quantization_config") or not is_file(beside):
        return config
    stated = _read_json(beside).get("quantization")
    return {**config, "quantization_config": stated} if isinstance(stated, dict) and stated else config


_FORMAT_KEYS: Final = ("quantization_config", "compression_config", "quantization", "torch_dtype", "dtype")
"""Keys of a config.json that say what weights are stored in."""


def _inline(config: Mapping[str, Any], where: str) -> Model:
    fields = dict(config)
    name = str(fields.pop("name", "") or fields.get("_name_or_path") or fields.get("like") or "inline")
    like = fields.pop("like", None)
    if like is None:
        found = model_from_config(fields, name, where)
        return replace(found, sources=("given inline", *found.sources))
    key = resolve(str(like), f"{where}.like")
    found = model_from_config({**_config(key), **fields}, name, where)
    own = any(n in fields for n in _FORMAT_KEYS)
    return replace(
        found if own else _formats(found, _entry_formats(key)),
        sources=(f"{key} with {', '.join(fields) or 'no'} changed", *found.sources),
    )


@cache
def _named(label: str, where: str) -> Model:
    key = resolve(label, where)
    found = model_from_config(_config(key), key, where)
    checkpoint = label if _REPOSITORY.match(label) and label != key else ""
    found = replace(
        _formats(found, _entry_formats(key)), sources=(entry(key)["source"], *found.sources), checkpoint=checkpoint
    )
    precision = _PRECISION.search(_BRACKET.sub("", label))
    if precision and not _PRECISION.search(key):
        found = _requantised(found, _FORMATS[precision["name"].lower().replace("_", "-")])
    truncated = _TRUNCATED.search(label)
    return given_as(_truncate(found, int(truncated[1]), label) if truncated else replace(found), label)


def _entry_formats(key: str) -> list[str | None]:
    """Formats of weights, routed experts and cache of a catalogue key."""
    facts = entry(key)
    if "formats" in facts:
        return list(facts["formats"])
    return ["bf16"]


def _formats(found: Model, formats: list[str | None]) -> Model:
    weights, experts, kv = [*formats, None, None][:3]
    return replace(found, dtype=weights or "bf16", expert_dtype=experts, kv_dtype=kv)


def _requantised(found: Model, name: str) -> Model:
    """The model in the format its name ends in; four-bit float of a mixture is for its experts, as such checkpoints are
    made."""
    if name == "fp8" and found.dtype.startswith("fp8"):
        return found
    if name in ("nvfp4", "mxfp4") and found.is_moe:
        return replace(found, dtype="bf16", expert_dtype=name)
    return replace(found, dtype=name, expert_dtype=None)


def _truncate(found: Model, layers: int, label: str) -> Model:
    left, kept = layers, []
    for run in found.runs:
        take = min(run.count, left)
        left -= take
        if take:
            kept.append(Run(take, run.block))
    return replace(found, name=label, runs=tuple(kept))


def list_models() -> list[dict[str, Any]]:
    """Every model of the catalogue: key, params, active, layers, hidden, heads, kv, dtype, source; in the order of the
    data file."""
    return [_row(key, _named(key, "model"), entry(key)["source"]) for key in load("models")]


def list_file(label: str) -> list[dict[str, Any]] | None:
    """The model in the file or folder `label` as `list_models` lists one; None where `label` names no path.

    Raises InputError where it cannot be read.
    """
    if _path(label) is None:
        return None
    found = model(label)
    return [_row(found.name, found, "; ".join(found.sources))]


def _row(key: str, found: Model, source: str) -> dict[str, Any]:
    mixers = [m for run in found.runs for m in run.block.mixers]
    return {
        "key": key,
        "params": found.parameters,
        "active": found.active_parameters,
        "layers": found.layers,
        "hidden": found.hidden,
        "heads": max((getattr(m, "heads", 0) for m in mixers), default=0),
        "kv": found.kv_elements_per_token,
        "dtype": found.dtype if found.expert_dtype is None else f"{found.dtype}/{found.expert_dtype}",
        "source": source,
    }
