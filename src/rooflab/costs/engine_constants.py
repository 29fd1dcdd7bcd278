"""What served engines add to their kernels, by engine, generation and kind of model.

    step += fixed + layer · layers + sequence · sequences        host: scheduler, launches that no graph hides, sampling
    an eager engine launches beside its kernels: a step takes    layers take `launches_4bit` and `launches_8bit` times
    max(kernels, fixed + layer · layers) + sequences             as long where kernels apart unpack the weights
    experts that no kernel fuses take `expert_s` each            launched one by one, whether they have tokens or not
    all-reduces take `skew` times the kernel's time              ranks arrive apart
    kernel launch floors take `launch` times those of the tables (graphs overlap them)
    stand-alone quantisation passes count by `quantise`          engines fuse them into norms and activations
    grouped products of block-scaled fp8 experts take            tables time tuned tiles, engines run default ones for
    `block_experts` times the kernel's time                      shapes without a tuning file
    kernels of its own take `arithmetic` times the tables' time for products bound by it, and `unpacking` times that for
    weights narrower than 16 bits; they reach `memory` times the tables' share of bandwidth, read no byte of weights
    faster than `read_s_per_byte` (few reads in flight), and attend in `prefill_attention` and `decode_attention` times
    the tables' time; a step with prompts takes `prompt_s` more (programs and buffers of its own), and one that finds
    the engine idle no less than `prompt_layer_s` a layer where the host launches its kernels one by one; `regroup` is
    the share of cache reads that query heads of one group repeat instead of sharing, but in groups of `shared_group`
    heads
    TTFT += frontend;  in a closed loop also `frontend_user` a user (requests are parsed one behind the other),
    and requests that stay in phase come `convoy` at a time (estimate/first_token.py); between pools also
    `handoff` for routing and agreeing on the transfer of the cache

and for devices without kernel tables of their own: shares of bandwidth and arithmetic reached take a factor
(`memory`, `compute`).  The constants live in `fits/serving.json`, each with the rows that it was fitted on and its
error; `using` puts another calibration file in their place (`rooflab calibrate` writes such files), which may also hold
power constants and kernel curves of the user's own devices.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from rooflab.costs.calibration import TABLED_FAMILIES
from rooflab.costs.power import PowerCurve, using_curves
from rooflab.costs.user_kernels import UserKernels, using_kernels
from rooflab.costs.user_kernels_file import check_parts, checked, read_kernels, read_power
from rooflab.errors import InputError
from rooflab.scenario.hardware import Device
from rooflab.scenario.paid import paid
from rooflab.scenario.runtime import Runtime

__all__ = [
    "DeviceFactors",
    "EngineOverhead",
    "ServingCalibration",
    "active",
    "device_factors",
    "engine_overhead",
    "era",
    "later_generations",
    "read_calibration",
    "shipped",
    "using",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOverhead:
    """Seconds a step, a layer and a sequence; factors on all-reduces, launches and quantisation; kernels of its own;
    first-token terms.

    The neutral value of a factor is 1 and of a time or share 0.  `narrow_sums`: fp16 products are summed in fp16, at
    the rate of those units (twice that of fp32 sums on GeForce cards).  `warp_experts`: grouped products of experts use
    the matrix instructions of one warp.  `generation` is
    that of the engine asked for, whichever entry answers ("" where a vendor tuned it).
    """

    fixed_s: float = 0.0005
    layer_s: float = 5e-6
    sequence_s: float = 1e-5
    skew: float = 1.0
    launch: float = 1.0
    quantise: float = 1.0
    block_experts: float = 1.0
    arithmetic: float = 1.0
    unpacking: float = 1.0
    memory: float = 1.0
    read_s_per_byte: float = 0.0
    prefill_attention: float = 1.0
    decode_attention: float = 1.0
    regroup: float = 0.0
    prompt_s: float = 0.0
    prompt_layer_s: float = 0.0
    shared_group: float = 0.0
    narrow_sums: bool = False
    warp_experts: bool = False
    generation: str = ""
    launches_4bit: float = 1.0
    launches_8bit: float = 1.0
    expert_s: float = 0.0
    frontend_s: float = 0.012
    frontend_user_s: float = 0.0
    convoy: float = 1.5
    handoff_s: float = 0.0
    eager: bool = False
    provenance: str = "assumed"
    source: str = "prior"


@dataclass(frozen=True, slots=True)
class DeviceFactors:
    """Factors on the shares of bandwidth and of arithmetic that a device's kernels reach."""

    memory: float = 1.0
    compute: float = 1.0
    provenance: str = "assumed"
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCalibration:
    """Engine and device constants by key; those of hosts and of `eager` are added to any engine that runs so.

    `power` and `kernels` by device key: a user's own, over those that ship with `costs.power` and `costs.calibration`.
    `measured`: by engine entry, the devices whose own rows fitted it.
    """

    name: str
    engines: Mapping[str, EngineOverhead] = field(default_factory=dict)
    devices: Mapping[str, DeviceFactors] = field(default_factory=dict)
    prior: EngineOverhead = EngineOverhead()
    slow_host: EngineOverhead = EngineOverhead(fixed_s=0.0, layer_s=0.0, sequence_s=0.0)
    contended_host: EngineOverhead = EngineOverhead(fixed_s=0.0, layer_s=0.0, sequence_s=0.0)
    eager_layer_s: float = 1e-4
    power: Mapping[str, PowerCurve] = field(default_factory=dict)
    kernels: Mapping[str, UserKernels] = field(default_factory=dict)
    measured: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def engine(self, key: str, generation: str, kind: str, family: str = "", *, borrows: bool = True) -> EngineOverhead:
        """The most particular entry there is: engine@generation/kind:family, that of a family of the same vendor or of
        another generation, engine@generation/kind, ..., engine, prior.

        Mixtures without an entry run on the kernels that the engine's dense models run on, generations without any on
        those of the nearest one. `borrows`: whether another family's backend may stand for this one's.
        """
        near = _nearest(key, generation)
        families = (family, *(_SAME_VENDOR.get(family, ()) if borrows else ()))
        same = near if family not in _SAME_VENDOR else near[:1]
        backends = (f"{key}@{g}/{kind}:{f}" for g in same for f in families if f)
        for name in backends:
            if name in self.engines:
                return self.engines[name]
        own = [f"{key}@{g}{part}" for g in near for part in (f"/{kind}", "/dense", "")]
        like = (f"{g}/{k}" for g in _LIKE.get(key, ()) for k in (kind, "dense"))
        for name in (*own, f"{key}/{kind}", key, *like):
            if name in self.engines:
                found = self.engines[name]
                if (key, generation) in _WITHOUT_GRAPHS and name not in own[:3]:
                    found = replace(found, layer_s=found.layer_s + self.eager_layer_s)
                return self._elsewhere(found, family)
        return self.prior

    def _elsewhere(self, found: EngineOverhead, family: str) -> EngineOverhead:
        """What an engine's entry says of a device family that it was not fitted on."""
        # factors on the tables' shares say nothing of devices that no table times
        out = found if not family or family in TABLED_FAMILIES else replace(found, **_NEUTRAL)
        if family not in _COMPILED or found.eager:
            return out
        return replace(out, **{name: getattr(self.prior, name) for name in _LAUNCHED})

    def device(self, device: Device, generation: str = "") -> DeviceFactors:
        """The factors of a device: its own, its family's, those of another family of its vendor, or none; of each
        first those of the engine's generation (kernels are tuned from year to year)."""
        families = (device.family, *_SAME_VENDOR.get(device.family, ()))
        of_then = tuple(f"{name}@{generation}" for name in families)
        for name in (f"{device.key}@{generation}", device.key, *of_then, *families):
            if name in self.devices:
                return self.devices[name]
        return DeviceFactors()


_SAME_VENDOR: Final[Mapping[str, tuple[str, ...]]] = {
    "cdna2": ("cdna3", "cdna4"), "cdna3": ("cdna2", "cdna4"), "cdna4": ("cdna3", "cdna2"),
}  # fmt: skip
"""Families whose backends stand for each other where one has no rows, of one generation (one vendor's compilers and
libraries, tuned from year to year)."""
_COMPILED: Final = ("gaudi", "neuron", "tpu")
"""Families whose stack compiles a step and replays it whole (HPU graphs of SynapseAI, NEFF files of Neuron, XLA): what
an engine's launches on GPUs take says nothing of them."""
_LAUNCHED: Final = ("fixed_s", "layer_s", "sequence_s", "skew", "launch", "prefill_attention", "decode_attention",
                    "regroup", "prompt_s")  # fmt: skip
_WITHOUT_GRAPHS: Final = (("vllm", "2023"),)
"""Generations that launched the kernels of every step one by one, as an engine without CUDA graphs does (vLLM captures
decoding since 0.2.6): where a later one answers for them, layers take as long as without graphs."""
_LIKE: Final[Mapping[str, tuple[str, ...]]] = {"deepspeed": ("vllm@2023", "vllm@2024")}
"""Engines whose host is of the kind of another's, which answers where they have no rows: DeepSpeed-FastGen schedules in
Python and captures no graph, as vLLM did at its time."""
_NEUTRAL: Final[Mapping[str, Any]] = {"arithmetic": 1.0, "unpacking": 1.0, "memory": 1.0, "read_s_per_byte": 0.0}

_GENERATIONS: Final[Mapping[str, tuple[tuple[str, tuple[int, int], str], ...]]] = {
    # engine: (generation, first version that belongs to a later one, first month that does)
    "vllm": (("2023", (0, 3), "2024-01"), ("2024", (0, 7), "2025-01")),
    "trtllm": (("2023", (0, 8), "2024-02"), ("2024-02", (0, 10), "2024-06"), ("2024", (0, 17), "2025-01")),
    "sglang": (("2024", (0, 5), "2025-08"),),
    "llamacpp": (("2024", (0, 4400), "2025-01"),),
}
_SHARED_GROUP: Final = {("trtllm", "2024-02"): 8.0}
"""Query heads of the one group size whose heads share cache reads: XQA of TensorRT-LLM 0.8 and 0.9 is experimental and
supports LLaMA-2-70B alone (docs/source/gpt_attention.md of that time)."""
_WARP_EXPERTS: Final = (("trtllm", "2023"), ("trtllm", "2024-02"))
"""Generations whose grouped products came before kernels of Hopper's own."""
_PROMPT_LAYER_S: Final = 4.6e-4
"""Seconds in which a host launches a layer of a prompt's step that no graph holds: assumed, 3e-4 to 1.4e-3.

16.6 and 16.4 ms for 129 and 513 tokens through the 36 layers of Qwen3-4B (wejoncy/sfllm pull 46)."""
_CAPTURES_PROMPTS: Final[Mapping[str, tuple[tuple[int, int, int], str]]] = {"sglang": ((0, 5, 10), "2026-04")}
"""By engine that launches the kernels of steps with prompts one by one: the first version and month that holds them in
graphs unless told otherwise (SGLang's release notes); before, only decoding was."""
_LAUNCHES_PROMPTS: Final = (("sglang", "2024"), ("sglang", "2025"), ("trtllm", "2025"))
"""Engines and generations whose graphs hold decoding alone: SGLang, and TensorRT-LLM since PyTorch runs its models (the
default from 1.0 on; `CudaGraphConfig` speaks of batches that generate)."""
_NARROW_SUMS: Final = ("llamacpp",)
"""Engines that sum fp16 products in fp16 (llama.cpp asks cuBLAS for it unless built otherwise)."""


def _nearest(engine: str, generation: str) -> list[str]:
    """The generations of an engine by how near they are to one of them, the later of two first."""
    order = [*(name for name, _, _ in _GENERATIONS.get(engine, ())), "2025"]
    if generation not in order:
        return [generation]
    at = order.index(generation)
    return sorted(order, key=lambda g: (abs(order.index(g) - at), order.index(g) < at))


def later_generations(engine: str, generation: str) -> list[str]:
    """The generations of an engine after one of them, the next one first."""
    order = [*(name for name, _, _ in _GENERATIONS.get(engine, ())), "2025"]
    return order[order.index(generation) + 1 :] if generation in order else []


_NOTHING_S: Final = 1e-9
"""Seconds of a frontend below which it takes none: what a fit leaves of a constant that it puts at zero."""
_TUNED: Final = "tuned "
"""Before a version: a vendor's build with kernels of its own, which borrows no backend that others had that year."""
_DATE: Final = re.compile(r"^(20\d\d)-(\d\d)")
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")
_PATCH: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_BUILD: Final = re.compile(r"\bb(\d{3,5})\b")


@cache
def era(engine: str, version: str) -> str:
    """The generation of an engine, from its version ("0.6.3"), build ("b4123") or a month ("2024-09"), after "tuned "
    or not; unknown ones are taken to be the newest.

    Generations differ up to five times in host time: vLLM before 0.3 and before 0.7 (v0), TensorRT-LLM before 0.8,
    before 0.10 and before 0.17, SGLang before 0.5, llama.cpp before build 4400.
    """
    version = version.removeprefix(_TUNED)
    date, number, build = _DATE.match(version), _VERSION.search(version), _BUILD.search(version)
    stated = (0, int(build[1])) if build else (int(number[1]), int(number[2])) if number else None
    for generation, first, month in _GENERATIONS.get(engine, ()):
        if date:
            if version[:7] < month:
                return generation
        elif stated and stated < first:
            return generation
    return "2025"


@cache
def shipped() -> ServingCalibration:
    """The calibration that ships, whichever is in force."""
    text = resources.files("rooflab.costs").joinpath("fits/serving.json").read_text(encoding="utf-8")
    return _parse(json.loads(text), "shipped")


def read_calibration(path: str | Path) -> ServingCalibration:
    """The calibration in a file, laid over the shipped one: what it does not name stays as shipped."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except (OSError, ValueError) as error:
        raise InputError(f"not a calibration file ({error})", str(path)) from None
    mine, base = _parse(content, str(path)), shipped()
    engines, devices = {**base.engines, **mine.engines}, {**base.devices, **mine.devices}
    return replace(
        base, name=mine.name, engines=engines, devices=devices, power=mine.power, kernels=mine.kernels,
        measured=mine.measured,
    )  # fmt: skip


def _parse(content: Any, where: str) -> ServingCalibration:
    content = check_parts(content, where)

    def entry(kind: type[Any], values: Mapping[str, Any], at: str) -> Any:
        return kind(**checked(kind, values, at))

    return ServingCalibration(
        name=str(content.get("name", where)),
        engines={k: entry(EngineOverhead, v, f"{where}: engines.{k}") for k, v in content.get("engines", {}).items()},
        devices={k: entry(DeviceFactors, v, f"{where}: devices.{k}") for k, v in content.get("devices", {}).items()},
        prior=entry(EngineOverhead, content.get("prior", {}), f"{where}: prior"),
        slow_host=entry(
            EngineOverhead,
            content.get("slow_host", {"fixed_s": 0.0, "layer_s": 0.0, "sequence_s": 0.0}),
            f"{where}: slow_host",
        ),
        contended_host=entry(
            EngineOverhead,
            content.get("contended_host", {"fixed_s": 0.0, "layer_s": 0.0, "sequence_s": 0.0}),
            f"{where}: contended_host",
        ),
        eager_layer_s=float(content.get("eager_layer_s", 1e-4)),
        power=read_power(content, where),
        kernels=read_kernels(content, where),
        measured={k: tuple(v) for k, v in content.get("measured", {}).items()},
    )


_ACTIVE: ContextVar[ServingCalibration | None] = ContextVar("rooflab_calibration", default=None)


def active() -> ServingCalibration:
    """The calibration in force."""
    return _ACTIVE.get() or shipped()


@contextmanager
def using(calibration: ServingCalibration) -> Iterator[ServingCalibration]:
    """Price with `calibration` inside the block."""
    token = _ACTIVE.set(calibration)
    try:
        with using_kernels(calibration.kernels), using_curves(calibration.power):
            yield calibration
    finally:
        _ACTIVE.reset(token)


def engine_overhead(runtime: Runtime, *, moe: bool, family: str = "") -> EngineOverhead:
    """The constants of a deployment's engine: its generation, kind of model, kind of host, and the backend of a device
    family."""
    table = active()
    generation, kind = era(runtime.engine, runtime.engine_version), "moe" if moe else "dense"
    tuned = runtime.engine_version.startswith(_TUNED)
    known: dict[str, Any] = {
        "narrow_sums": runtime.engine in _NARROW_SUMS,
        "shared_group": _SHARED_GROUP.get((runtime.engine, generation), 0.0),
        "warp_experts": (runtime.engine, generation) in _WARP_EXPERTS,
        "prompt_layer_s": 0.0 if _captures_prompts(runtime, generation) else _PROMPT_LAYER_S,
        "generation": "" if tuned else generation,
    }
    if runtime.host == "slow":
        own = f"{runtime.engine}@{generation}/{kind}:slow host"
        slow = table.engines.get(f"{own}:{family}") or table.engines.get(own)
        if slow is not None:
            return _as_paid(replace(slow, **known))
    found = table.engine(runtime.engine, generation, kind, family, borrows=not tuned)
    more = {"slow": table.slow_host, "contended": table.contended_host}.get(runtime.host)
    fixed_s = found.fixed_s + (more.fixed_s if more else 0.0)
    sequence_s = found.sequence_s + (more.sequence_s if more else 0.0)
    layer_s = found.layer_s + (0.0 if runtime.cuda_graphs or found.eager else table.eager_layer_s)
    # a request that comes back a rounding error later is none that comes into the step after
    for name in ("frontend_s", "frontend_user_s"):
        known[name] = seconds if (seconds := getattr(found, name)) >= _NOTHING_S else 0.0
    return _as_paid(replace(found, fixed_s=fixed_s, layer_s=layer_s, sequence_s=sequence_s, **known))


def _as_paid(overhead: EngineOverhead) -> EngineOverhead:
    """The share of all seconds of the host that is paid for."""
    share = paid().host
    if share == 1.0:
        return overhead
    seconds = [f.name for f in fields(EngineOverhead) if f.name.endswith("_s")]
    return replace(overhead, **{name: share * getattr(overhead, name) for name in seconds})


def _captures_prompts(runtime: Runtime, generation: str) -> bool:
    """Whether the engine's graphs hold steps with prompts; a version that is not stated is one of those measured."""
    if (runtime.engine, generation) not in _LAUNCHES_PROMPTS:
        return True
    if runtime.engine not in _CAPTURES_PROMPTS:
        return False
    version, (first, month) = runtime.engine_version.removeprefix(_TUNED), _CAPTURES_PROMPTS[runtime.engine]
    date, number = _DATE.match(version), _PATCH.search(version)
    later = version[:7] >= month if date else number is not None and tuple(map(int, number.groups())) >= first
    return later and runtime.cuda_graphs


def device_factors(device: Device, generation: str = "") -> DeviceFactors:
    """The factors of a device under a generation of an engine: its own, its family's, or none."""
    return active().device(device, generation)
