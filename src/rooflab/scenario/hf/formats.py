"""Number formats of a checkpoint: `torch_dtype` and the many forms of `quantization_config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rooflab.errors import InputError, unknown
from rooflab.scenario.dtype import dtype
from rooflab.scenario.hf.config import Config
from rooflab.scenario.hf.packings import MORE, integers, packed
from rooflab.scenario.hf.stored import KEPT, Listing, Modules, root_of

__all__ = ["Formats", "quantisation", "read_formats"]

_BASE: Final = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "half": "fp16",
    "auto": "bf16",
    "float8_e4m3fn": "fp8",
}
_MODELOPT: Final = {
    "FP8": "fp8", "FP8_PER_CHANNEL_PER_TOKEN": "fp8", "FP8_PB_WO": "fp8-block", "FP8_PB_REAL": "fp8-block",
    "NVFP4": "nvfp4", "W4A16_NVFP4": "nvfp4-a16", "MXFP8": "mxfp8",
    "NVFP4_AWQ": "nvfp4", "MXFP4": "mxfp4", "W4A16_AWQ": "int4", "W4A8_AWQ": "int4", "W4A16": "int4", "W8A16": "int8",
    "INT8_SQ": "int8",
}  # fmt: skip
_METHODS: Final = (
    "fp8",
    "fbgemm_fp8",
    "mxfp4",
    "modelopt",
    "compressed-tensors",
    "awq",
    "gptq",
    "bitsandbytes",
    "quark",
    "nvfp4",
    "auto-round",
    "torchao",
    "hqq",
    "bitnet",
    "aqlm",
    "exl2",
    "exl3",
)
_KEPT_LISTS: Final = (
    "modules_to_not_convert", "exclude_modules", "ignore", "exclude", "ignored_layers", "llm_int8_skip_modules",
    "skip_modules", "linear_weights_not_to_quantize",
)  # fmt: skip
_QUARK: Final = {"fp8_e4m3": "fp8", "fp4": "mxfp4", "int8": "int8", "int4": "int4", "uint4": "int4"}


@dataclass(frozen=True, slots=True)
class Formats:
    """What a checkpoint is stored in: `base` where nothing is quantised, `listing` by module (None: all in `base`), the
    output projection and the cache (None: 16 bits, as the engine chooses)."""

    base: str
    listing: Listing | None = None
    head: str | None = None
    kv: str | None = None


def read_formats(outer: Config, text: Config) -> Formats:
    """Formats of the checkpoint that `outer` (and its text part) describes.

    Raises InputError for a method that is not known.
    """
    base = _base(text) or _base(outer) or "bf16"
    quantised = quantisation(outer, text)
    if quantised is None:
        return Formats(base)
    kv, listing = _kv(quantised), _listing(quantised, text.text("expert_dtype") or outer.text("expert_dtype"))
    if listing is None:
        return Formats(base, kv=kv)
    if quantised.has("head_bits"):  # ExLlama
        return Formats(base, listing, packed(quantised.number("head_bits", 16.0), quantised.at("head_bits")), kv)
    head = next((name for modules, name in listing.named if "lm_head" in modules), None)
    if head is None and quantised.data.get("lm_head") is True:
        head = listing.rest
    return Formats(base, listing, head, kv)


def quantisation(outer: Config, text: Config) -> Config | None:
    """The part of a config.json that says what is quantised, under any of its names."""
    return (
        outer.sub("quantization_config")
        or text.sub("quantization_config")
        or outer.sub("compression_config")
        or outer.sub("quantization")
    )


def _listing(q: Config, expert_dtype: str) -> Listing | None:
    """Formats by module; None where the checkpoint leaves weights as they are."""
    kept = [str(n) for key in _KEPT_LISTS for n in _names(q, key)]
    named, apart = _named(q), _apart(q)
    kept += [path for path, name in apart if name == KEPT]
    named += [(Modules.of([path]), name) for path, name in apart if name != KEPT]
    if (sparse := q.sub("sparsity_config")) and sparse.text("format", "dense") != "dense":
        raise InputError(f"{sparse.text('format')!r} weights are not read", sparse.at("format"))
    if q.text("quant_algo").upper() == "MIXED_PRECISION":
        # a checkpoint that was in fp8 before some modules went to fewer bits: the list of kept ones is of the second
        again = q.text("quant_method").lower() == "fp8"
        rest, kept = (_format(q, "fp8") or KEPT, []) if again else (KEPT, kept)
        if not named:
            raise InputError("missing; MIXED_PRECISION says nothing without it", q.at("quantized_layers"))
    else:
        name = None if named and not apart and not q.has("bits") else _format(q)
        if name is None and not named:
            return None
        rest = name or KEPT
    experts = {"fp4": "mxfp4"}.get(expert_dtype, expert_dtype)
    if rest == "mxfp4" and q.text("quant_method") == "mxfp4":
        experts, rest = "mxfp4", KEPT  # gpt-oss: nothing else is
    if experts:
        named = [*named, (Modules.of(["experts"]), experts)]
    paths = [*kept, *(str(n) for n in q.data.get("quantized_layers") or ())]
    return Listing(rest, Modules.of(kept), tuple(named), root_of(paths))


def _names(q: Config, key: str) -> list[str]:
    names = q.data.get(key)
    return [str(n) for n in names] if isinstance(names, (list, tuple)) else []


def _named(q: Config) -> list[tuple[Modules, str]]:
    """Modules that a checkpoint names with a format each: ModelOpt's list, or groups with targets of their own."""
    layers = q.data.get("quantized_layers")
    by_format: dict[str, list[str]] = {}
    if isinstance(layers, Mapping):
        for path, facts in layers.items():
            algorithm = str(facts.get("quant_algo", "") if isinstance(facts, Mapping) else facts)[:60].upper()
            if algorithm not in _MODELOPT:
                raise unknown("quantisation", algorithm, _MODELOPT, f"{q.at('quantized_layers')}.{path}")
            by_format.setdefault(_MODELOPT[algorithm], []).append(str(path))
        return [(Modules.of(paths), name) for name, paths in by_format.items()]
    if not q.text("quant_method") and q.has("bits"):
        return _mlx_modules(q)
    groups = q.sub("config_groups")
    if groups is None or (len(groups.data) < 2 and _of_all(groups)):
        return []
    found = []
    for key in groups.data:
        group = groups.sub(key)
        name = _group(group) if group is not None else None
        if group is not None and name is not None:
            found.append((Modules.of("re:.*" if t == "Linear" else t for t in _names(group, "targets")), name))
    # a group of all linear layers takes what no other names
    return sorted(found, key=lambda one: any(p.pattern == ".*" for p in one[0].patterns))


def _of_all(groups: Config) -> bool:
    """Whether the only group of `groups` is of all linear layers."""
    only = groups.sub(next(iter(groups.data))) if groups.data else None
    return only is None or set(_names(only, "targets")) <= {"Linear"}


def _apart(q: Config) -> list[tuple[str, str]]:
    """Paths with a format of their own: GPTQModel's `dynamic` (``-:`` leaves one as it is, ``+:`` changes it),
    AutoRound's `extra_config`, Quark's `layer_quant_config`; later ones of a list have had their turn."""
    found: list[tuple[str, str]] = []
    for key in ("dynamic", "extra_config", "layer_quant_config"):
        if not isinstance(q.data.get(key), Mapping):
            continue
        listed = Config(q.data[key], q.at(key))
        for path in listed.data:
            facts = listed.sub(path)
            if path.startswith("-:"):
                found.append((f"re:{path[2:]}", KEPT))
            elif facts is None:
                continue
            elif key == "layer_quant_config":
                found.append((path, _quark_format(facts) or KEPT))
            elif facts.has("bits"):
                bits, expression = facts.count("bits"), path.startswith("+:") or any(s in path for s in "*\\^$|[(")
                name = KEPT if bits >= 16 else integers(bits, _group_size(facts, q), facts.at("bits"))
                found.append((f"re:{path.removeprefix('+:')}" if expression else path, name))
    return found


def _group_size(*parts: Config) -> int:
    """The first group that one of `parts` states; 0 for -1, the whole row."""
    for q in parts:
        for key in ("group_size", "q_group_size"):
            if (size := q.data.get(key)) is not None:
                return 0 if size == -1 else q.count(key)
    return 128


def _mlx_modules(q: Config) -> list[tuple[Modules, str]]:
    """Modules to which MLX gives bits of their own; ``false`` leaves one as it is, and the rest has the file's bits."""
    by_format: dict[str, list[str]] = {}
    for path, facts in q.data.items():
        if isinstance(facts, Mapping):
            by_format.setdefault(_mlx(Config(facts, f"{q.where}.{path}" if q.where else str(path))), []).append(
                str(path)
            )
        elif facts is False:
            by_format.setdefault(KEPT, []).append(str(path))
    return [(Modules.of(paths), name) for name, paths in by_format.items()] if by_format else []


def _mlx(q: Config) -> str:
    """The format of a group of MLX: a scale and a bias of 16 bits for 32, 64 or 128 weights, or a block format."""
    if (mode := q.text("mode")) in ("mxfp4", "mxfp8", "nvfp4"):
        return "nvfp4-a16" if mode == "nvfp4" else mode
    return dtype(f"mlx-{q.count('bits')}-g{q.count('group_size', default=64)}", q.at("bits")).name


def _base(config: Config) -> str | None:
    name = config.text("torch_dtype") or config.text("dtype")
    if not name:
        return None
    name = name.removeprefix("torch.")
    if name not in _BASE:
        raise unknown("number format", name, _BASE, config.at("torch_dtype" if config.has("torch_dtype") else "dtype"))
    return _BASE[name]


def _format(q: Config, method: str = "") -> str | None:
    """The name of the weight format, by `method` if given; None where the checkpoint leaves weights as they are."""
    algorithm = "" if method else q.text("quant_algo").upper()
    if algorithm:
        if algorithm not in _MODELOPT:
            raise unknown("quantisation", algorithm, _MODELOPT, q.at("quant_algo"))
        return _MODELOPT[algorithm]
    method = method or q.text("quant_method").lower()
    if not method and q.has("bits"):
        return _mlx(q)
    if not method and q.has("load_in_4bit", "load_in_8bit"):
        method = "bitsandbytes"  # before transformers wrote which method it was
    if method in ("fp8", "fbgemm_fp8"):
        if q.numbers("weight_block_size") == [1, 32]:
            return "mxfp8"
        return "fp8-block" if q.has("weight_block_size") else "fp8"
    if method in ("mxfp4", "nvfp4"):
        return method
    if method in ("awq", "gptq", "auto-round", "intel/auto-round"):
        return integers(q.count("bits", "w_bit", default=4), _group_size(q), q.at("bits"))
    if method == "bitsandbytes":
        return "int4" if q.flag("load_in_4bit") else "int8" if q.flag("load_in_8bit") else None
    if method in ("compressed-tensors", "modelopt"):
        return _groups(q)
    if method == "quark":
        return _quark(q)
    if method in MORE:
        return MORE[method](q)
    raise unknown("quantisation method", method, _METHODS, q.at("quant_method"))


def _groups(q: Config) -> str | None:
    groups = q.sub("config_groups")
    if groups is None or not groups.data:
        known = {
            "float-quantized": "fp8", "int-quantized": "int8", "pack-quantized": "int4",
            "nvfp4-pack-quantized": "nvfp4", "mxfp4-pack-quantized": "mxfp4",
        }  # fmt: skip
        form = q.text("format", "dense")
        if form not in known and form != "dense":
            raise unknown("format without config_groups", form, known, q.at("format"))
        return known.get(form)
    first = groups.sub(next(iter(groups.data)))
    return _group(first) if first else None


def _group(group: Config) -> str | None:
    weights = group.sub("weights")
    if weights is None:
        return None
    bits, kind, size = weights.count("num_bits", default=8), weights.text("type", "int"), weights.maybe("group_size")
    if kind == "float" and bits == 8:
        return "fp8-block" if weights.text("strategy") == "block" else "mxfp8" if size == 32 else "fp8"
    if kind == "float" and bits == 4:
        return "mxfp4" if size == 32 else "nvfp4" if group.data.get("input_activations") else "nvfp4-a16"
    # one scale for a row or a tensor, unless groups are stated
    return integers(bits, size or 0, weights.at("num_bits"))


def _quark(q: Config) -> str | None:
    outer = q.sub("global_quant_config")
    return _quark_format(outer) if outer else None


def _quark_format(group: Config) -> str | None:
    """The format of a group of Quark; of weights quantised in two steps the last one is stored."""
    stated = group.data.get("weight")
    steps = Config({"weight": stated[-1]}, group.where) if isinstance(stated, list) and stated else group
    weight = steps.sub("weight")
    name = weight.text("dtype") if weight else ""
    if weight is None or name in ("", "bfloat16", "float16"):
        return None
    if name not in _QUARK:
        raise unknown("number format", name, _QUARK, weight.at("dtype"))
    return _QUARK[name]


def _kv(q: Config) -> str | None:
    algorithm = q.text("kv_cache_quant_algo").lower()
    if algorithm in ("fp8", "nvfp4", "int8"):
        return algorithm
    scheme: Any = q.data.get("kv_cache_scheme")
    if isinstance(scheme, Mapping) and scheme.get("num_bits") == 8:
        return "fp8" if scheme.get("type") == "float" else "int8"
    return None
