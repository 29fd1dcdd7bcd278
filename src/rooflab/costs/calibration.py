"""Which constants price a device: its own table, else the nearest generation's, else a documented assumption.

Constants are shares of datasheet peak, bandwidth and link rate plus launch times, so a device without measurements
takes those of its nearest relative and scales with its own datasheet.  Every curve keeps a `Fit` that says where it
comes from, and the whole says by which rule it was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeVar, cast

from rooflab.costs.attention import DecodeCurve, PrefillCurve
from rooflab.costs.collective import AllReduceCurve, CollectiveCurves, LinkCurve
from rooflab.costs.elementwise import ElementwiseCurve
from rooflab.costs.fit_file import Curve, Fit, FitFile, Provenance, load_fit_file
from rooflab.costs.gemm import GemmCurve
from rooflab.costs.moe import MoeCurve
from rooflab.costs.recurrent import RecurrentCurve
from rooflab.costs.user_kernels import UserKernels, user_kernels
from rooflab.scenario.hardware import Device, Link

__all__ = ["GEMM_COMPUTE", "TABLED_FAMILIES", "KernelCalibration", "calibration_for", "engine_key", "link_curves"]

# gemm and moe formats, and the arithmetic whose datasheet peak they are priced against
GEMM_COMPUTE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bf16": "bf16",
        "fp8": "fp8",
        "fp8_block": "fp8",
        "int8": "bf16",  # weights only
        "int8_w8a8": "int8",
        "int4": "bf16",  # weights only
        "mxfp4": "bf16",  # weights only
        "mxfp4_fp8": "fp8",  # 4-bit weights, 8-bit activations (gpt-oss on Blackwell)
        "nvfp4": "fp4",
    }
)

# measured devices of a family: one whose chip appears in the key ("h200" in "gh200-144gb") stands for a device without
# a table, else the first.  Not the nearest in bandwidth: a little more bandwidth must not switch constants.
_FAMILY_TABLES: Final[Mapping[str, tuple[str, ...]]] = {
    "volta": ("a100-sxm-80gb",),
    "turing": ("a100-sxm-80gb",),
    "ampere": ("a100-sxm-80gb",),
    "ada": ("l40s",),
    "hopper": ("h100-sxm", "h200-sxm"),
    "blackwell": ("b200-sxm", "b300-sxm", "gb200", "gb300"),
    "blackwell-rtx": ("rtx-pro-6000-server",),
    "intel-gpu": ("arc-pro-b60",),
}
TABLED_FAMILIES: Final = frozenset(_FAMILY_TABLES)
"""Families of which at least one device has kernel tables."""
_TABLES: Final = frozenset(name for names in _FAMILY_TABLES.values() for name in names)
_NVIDIA_TABLES: Final = _TABLES - {"arc-pro-b60"}
# over PCIe it is the host that decides, not the card: peers behind switches, or through the host bridge, which they
# share (the L40S table fell to 1.8 GB/s a device at 8 ranks; 8 x RTX 5090 on another board reach 28: NVIDIA/nccl 1639)
_PCIE_TABLES: Final[Mapping[str, str]] = {"bus": "rtx-pro-6000-server", "bridge": "l40s"}
_ASSUMED_FAMILIES: Final = frozenset(
    {
        "cdna2",
        "cdna3",
        "cdna4",
        "rdna",
        "xe-hpc",
        "gaudi",
        "tpu",
        "neuron",
        "ascend",
        "apple",
        "x86",
        "arm",
        "edge-arm",
        "fpga",
        "mcu",
    }
)
_KIND_DEFAULT: Final[Mapping[str, str]] = {
    "gpu": "cdna3", "npu": "neuron", "tpu": "tpu", "cpu": "x86", "apple": "apple", "soc": "edge-arm", "fpga": "fpga",
    "mcu": "mcu",
}  # fmt: skip

_HELD_BACK: Final[Mapping[str, tuple[float, float]]] = {"l40s": (350.0, 362e12)}
"""Tables of cards whose power keeps them from their peak: watts and peak of products in 16 bits. The L40S reaches 0.59
of it; an L20 has half the rate on nearly as many watts."""
_UNHINDERED: Final = "rtx-pro-6000-server"
"""The table of like units whose power suffices: no share is taken to be above its own."""

# formats that stand in for one without a curve, nearest first
_STAND_INS: Final[Mapping[str, tuple[str, ...]]] = {
    "bf16": (),
    "fp8": ("fp8_block", "int8_w8a8", "bf16"),
    "fp8_block": ("fp8", "int8_w8a8", "bf16"),
    "int8_w8a8": ("fp8", "fp8_block", "bf16"),
    "int8": ("int4", "bf16"),
    "int4": ("int8", "mxfp4", "bf16"),
    "mxfp4": ("int4", "bf16"),
    "mxfp4_fp8": ("nvfp4", "mxfp4", "fp8", "fp8_block", "int4", "bf16"),
    "nvfp4": ("mxfp4_fp8", "fp8", "fp8_block", "bf16"),
}
# kernels shared by a whole vendor stack: where to look when the device's own file has none
_BORROW: Final[Mapping[str, str]] = {
    "gemm/int8": "a100-sxm-80gb",
    "gemm/int4": "a100-sxm-80gb",
    "gemm/int8_w8a8": "a100-sxm-80gb",
}

# TensorRT-LLM's tables time a stand-alone quantisation kernel (13 to 15 µs a product) that its served engines fuse
# away: on published rows the curve of all frameworks together is nearer (time per token 8.1 % held out, against 8.7 %)
_POOLED: Final = frozenset({("trtllm", "gemm")})

_ENGINES: Final[Mapping[str, str]] = {
    "tensorrt-llm": "trtllm",
    "trt-llm": "trtllm",
    "nim": "trtllm",
    "dynamo": "trtllm",
}


_Shared = TypeVar("_Shared", GemmCurve, MoeCurve)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelCalibration:
    """All kernel constants of one device under one engine.

    `gemm` and `moe` by format (keys of GEMM_COMPUTE), attention by cache format ("bf16", "fp8").  `scale_up` holds the
    collectives of the device's own link; `collectives(link)` gives those of any other.  `mla_layer_s` is what an MLA
    layer's module takes beyond its parts, in decode.  `fits` by kernel key ("gemm/bf16"); `source` and `provenance`
    speak for the whole, `rule` says in words how it was chosen, `in_table` whether the device itself was measured.
    """

    device: str
    engine: str
    rule: str
    source: str
    provenance: Provenance
    in_table: bool
    gemm: Mapping[str, GemmCurve]
    moe: Mapping[str, MoeCurve]
    prefill: Mapping[str, PrefillCurve]
    decode: Mapping[str, DecodeCurve]
    mla_prefill: Mapping[str, PrefillCurve]
    mla_decode: Mapping[str, DecodeCurve]
    mla_layer_s: float
    gdn_decode: RecurrentCurve
    gdn_prefill: RecurrentCurve
    mamba2_decode: RecurrentCurve
    mamba2_prefill: RecurrentCurve
    elementwise: ElementwiseCurve
    scale_up: CollectiveCurves
    moe_all_to_all: LinkCurve
    scale_up_link: str
    fits: Mapping[str, Fit] = field(compare=False)

    def collectives(self, link: Link) -> CollectiveCurves:
        """Curves of a link: the fitted ones for the device's own, else latency and bandwidth of the datasheet."""
        return self.scale_up if link.key == self.scale_up_link else link_curves(link)


def engine_key(engine: str) -> str:
    """The name under which an engine's constants are filed: "tensorrt-llm" and "nim" are "trtllm"."""
    name = engine.strip().lower()
    return _ENGINES.get(name, name)


def link_curves(link: Link) -> CollectiveCurves:
    """Collectives of a link without measurements: datasheet latency a hop, 80 % of the rate (70 % in a reduction), 5 µs
    a launch.

    5 µs is the floor of library collectives in every table; a ring of n ranks makes 2(n−1) hops.
    """
    share = 0.5 if link.topology in ("bus", "bridge") else 0.8  # peers on a bus share it
    launch_s, hop_s = 5e-6, link.latency_s
    once = LinkCurve(a_s=launch_s, r_s=hop_s, b=share)
    return CollectiveCurves(
        all_reduce=AllReduceCurve(a_s=launch_s, r_s=2 * hop_s, b1=share, b2=share * 0.875, x_s=launch_s),
        all_gather=once,
        reduce_scatter=once,
        all_to_all=once,
        send=LinkCurve(a_s=launch_s + hop_s, r_s=0.0, b=share),
    )


def _choose(device: Device) -> tuple[str, str]:
    """The file for a device, and the rule that chose it, in words."""
    if device.key in _TABLES:
        return device.key, "its own kernel tables"
    relatives = _FAMILY_TABLES.get(device.family)
    if relatives:
        chips = [name for name in relatives if _chip(name) in device.key]
        near = max(chips, key=lambda name: len(_chip(name)), default=relatives[0])
        return (
            near,
            f"shares of peak and launch times of {near}, the nearest measured relative, on the datasheet of "
            f"{device.key}",
        )
    if device.family in _ASSUMED_FAMILIES:
        return device.family, f"documented assumptions for {device.family}; no kernel tables"
    name = _KIND_DEFAULT[device.kind]
    return (
        name,
        f"documented assumptions for {name}, the default of kind {device.kind!r}; family {device.family!r} is not "
        f"known",
    )


def _chip(table: str) -> str:
    """The chip that a table's name begins with: "h200" of "h200-sxm"."""
    return table.split("-", maxsplit=1)[0]


def _link_file(device: Device, file: FitFile) -> FitFile | None:
    """The file whose collectives suit the device's own link: its own or one of the same kind of link; over PCIe, for
    NVIDIA, the table of a host with switches, or of one whose peers cross the host bridge, whatever device it holds."""
    topology = device.scale_up.topology
    if file.device not in _TABLES:
        return None
    if file.device in _NVIDIA_TABLES and topology in _PCIE_TABLES:
        return load_fit_file(_PCIE_TABLES[topology])
    return file if device.key == file.device or topology == file.link_topology else None


def calibration_for(device: Device, engine: str = "") -> KernelCalibration:
    """The constants of `device` under `engine` ("" or an engine without tables of its own: all engines together).

    What the calibration in force has of the device's kernels lies over the shipped curves.
    """
    return _calibration_for(device, engine, user_kernels(device.key))


@lru_cache(maxsize=256)
def _calibration_for(device: Device, engine: str, own: UserKernels | None) -> KernelCalibration:
    name, rule = _choose(device)
    file, engine = load_fit_file(name), engine_key(engine)
    look = _Lookup(file, engine, own)
    gemm = {
        fmt: _relieved(cast(GemmCurve, look.format("gemm", fmt)), "gemm", fmt, device, name) for fmt in GEMM_COMPUTE
    }
    moe = {fmt: _relieved(cast(MoeCurve, look.format("moe", fmt)), "moe", fmt, device, name) for fmt in GEMM_COMPUTE}
    links = _link_file(device, file)
    names = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "send")
    if links is None:
        timed = {name: curve for name in names if (curve := look.user_curve(name)) is not None}
        scale_up = replace(link_curves(device.scale_up), **timed)
    else:
        timed = {name: look.one(name, links) for name in names}
        if device.scale_up.topology == "bus":  # behind switches peers do not share a way
            timed = {n: replace(c, share=0.0) if hasattr(c, "share") else c for n, c in timed.items()}
        scale_up = CollectiveCurves(**timed)
    covered = own is not None and own.covers
    return KernelCalibration(
        device=device.key,
        engine=engine,
        rule=rule if own is None else f"{rule}, under {len(own.curves)} curves of its own ({own.source})",
        source=file.source,
        provenance="fitted" if name in _TABLES or covered else "assumed",
        in_table=device.key in _TABLES or covered,
        gemm=MappingProxyType(gemm),
        moe=MappingProxyType(moe),
        prefill=look.caches("prefill"),
        decode=look.caches("decode"),
        mla_prefill=look.caches("mla_prefill"),
        mla_decode=look.caches("mla_decode"),
        mla_layer_s=cast(ElementwiseCurve, look.one("mla_layer")).t0_s,
        gdn_decode=look.one("gdn_decode"),
        gdn_prefill=look.one("gdn_prefill"),
        mamba2_decode=look.one("mamba2_decode"),
        mamba2_prefill=look.one("mamba2_prefill"),
        elementwise=look.one("elementwise"),
        scale_up=scale_up,
        moe_all_to_all=look.one("moe_all_to_all"),
        scale_up_link=device.scale_up.key,
        fits=MappingProxyType(look.fits),
    )


def _relieved(curve: _Shared, kernel: str, name: str, device: Device, table: str) -> _Shared:
    """`curve`, whose share of peak is that of a table whose card was short of power, for a card with more watts to a
    FLOP: as much arithmetic for a watt, up to the share of a card that is not short of it."""
    if table not in _HELD_BACK or device.key == table:
        return curve
    watts, flops = _HELD_BACK[table]
    free = load_fit_file(_UNHINDERED).find("", f"{kernel}/{name}")
    relief = device.tdp_w / device.peak("bf16") / (watts / flops)
    if free is None or relief <= 1.0:
        return curve
    return replace(curve, ec=max(curve.ec, min(curve.ec * relief, cast(_Shared, free[0]).ec)))


class _Lookup:
    """Finds curves among the user's own, in a file, then in the general assumptions, and notes where each came from."""

    def __init__(self, file: FitFile, engine: str, own: UserKernels | None = None) -> None:
        self.file, self.engine, self.own = file, engine, own
        self.fits: dict[str, Fit] = {}

    def _take(self, key: str, found: tuple[Curve, Fit]) -> Any:
        self.fits[key] = found[1]
        return found[0]

    def _mine(self, key: str) -> tuple[Curve, Fit] | None:
        return self.own.find(self.engine, key) if self.own else None

    def user_curve(self, key: str) -> Any:
        """The user's own curve of `key`, or None."""
        found = self._mine(key)
        return self._take(key, found) if found else None

    def one(self, key: str, file: FitFile | None = None) -> Any:
        """The curve of `key`, from this file (or `file`) or from the general one."""
        found = self._mine(key) or (file or self.file).find(self.engine, key) or load_fit_file("general").find("", key)
        if found is None:
            raise AssertionError(f"no constants for {key} in {self.file.device}")
        return self._take(key, found)

    def format(self, kernel: str, name: str) -> Any:
        """The curve of a number format, or of the nearest format with one."""
        key = f"{kernel}/{name}"
        found = self._mine(key) or self.file.find("" if (self.engine, kernel) in _POOLED else self.engine, key)
        if found is None and key in _BORROW and self.file.device in _NVIDIA_TABLES:
            found = load_fit_file(_BORROW[key]).find("", key)
        for other in _STAND_INS[name]:
            found = found or self._mine(f"{kernel}/{other}") or self.file.find(self.engine, f"{kernel}/{other}")
        if found is None:
            raise AssertionError(f"no constants for {key} in {self.file.device}")
        return self._take(key, found)

    def caches(self, kernel: str) -> Mapping[str, Any]:
        """The curves of a kernel by cache format; a file without fp8 uses those of bf16."""
        curves = {}
        for name in ("bf16", "fp8"):
            found = self._mine(f"{kernel}/{name}") or self.file.find(self.engine, f"{kernel}/{name}")
            found = found or self._mine(f"{kernel}/bf16") or self.file.find(self.engine, f"{kernel}/bf16")
            found = found or load_fit_file("general").find("", f"{kernel}/{name}")
            if found is None:
                raise AssertionError(f"no constants for {kernel}/{name} in {self.file.device}")
            curves[name] = self._take(f"{kernel}/{name}", found)
        return MappingProxyType(curves)
