"""Hardware: a device, how many, and how they are joined. Facts only; what they achieve is `costs`' business."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Device", "DeviceKind", "Hardware", "Link", "Tier"]

DeviceKind = Literal["gpu", "npu", "tpu", "cpu", "apple", "soc", "fpga", "mcu"]


@dataclass(frozen=True, slots=True)
class Link:
    """A connection: `bytes_per_s` each way for one device over all its lanes, `latency_s` one way.

    `topology`: "switch" (any pair at full rate), "mesh" (fully connected, the rate is shared among peers),
    "ring", "torus", "bus" (PCIe behind switches), "bridge" (PCIe through the host's own bridge, which peers share),
    "none" (devices are not joined).
    """

    key: str
    bytes_per_s: float
    latency_s: float
    topology: str = "switch"


@dataclass(frozen=True, slots=True)
class Tier:
    """A memory beyond the device's own: host DRAM, CXL, NVMe; `bytes_per_s` is the path from the device to it, each
    way.

    Both are one device's share: a host's memory divided by its devices, its path limited by the device's host link.
    """

    name: str
    bytes: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator or processor.

    `peak_flops`: dense peak by arithmetic format (bf16, fp16, fp8, fp4, int8, int4, fp32, tf32), FLOP/s or OP/s.
    `family` chooses the calibration (ampere, hopper, blackwell, cdna3, ...).  `sources` gives the
    source of a figure by field name.  A card that software sees as several devices (MI250X) is one device here,
    with the sum of their figures, and `dies` says how many they are.  `sm_count` (SMs, compute units, Xe cores),
    `l2_bytes` and `boost_hz` (the clock at which the peaks are stated) are 0 where unknown.
    """

    key: str
    name: str
    vendor: str
    kind: DeviceKind
    family: str
    memory_bytes: float
    memory_bytes_per_s: float
    peak_flops: Mapping[str, float] = field(hash=False)
    tdp_w: float
    idle_w: float
    scale_up: Link
    host_link: Link
    year: int = 0
    dies: int = 1
    sm_count: int = 0
    l2_bytes: float = 0.0
    boost_hz: float = 0.0
    usd_per_hour: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)

    def peak(self, compute: str) -> float:
        """Dense peak (FLOP/s) of an arithmetic format, or of the nearest wider one that the device has.

        A format that the units lack is computed in the next wider format (fp8 on A100 runs in bf16),
        which is what kernels do: operands are widened in registers.
        """
        for name in _WIDENS[compute]:
            if self.peak_flops.get(name):
                return self.peak_flops[name]
        return max(self.peak_flops.values())

    def computes_in(self, compute: str) -> str:
        """The format that arithmetic asked for in `compute` really runs in on this device."""
        for name in _WIDENS[compute]:
            if self.peak_flops.get(name):
                return name
        return max(self.peak_flops, key=lambda k: self.peak_flops[k])


# a format and what stands in for it, nearest first
_WIDENS: dict[str, tuple[str, ...]] = {
    "fp4": ("fp4", "fp8", "bf16", "fp16", "fp32"),
    "int4": ("int4", "int8", "fp8", "bf16", "fp16", "fp32"),
    "fp8": ("fp8", "bf16", "fp16", "fp32"),
    "int8": ("int8", "fp8", "bf16", "fp16", "fp32"),
    "bf16": ("bf16", "fp16", "fp32"),
    "fp16": ("fp16", "bf16", "fp32"),
    "tf32": ("tf32", "fp32"),
    "fp32": ("fp32",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """`count` devices of one kind in hosts of `devices_per_host`.

    Inside a host (a scale-up domain: 8 GPUs of an HGX board, 72 of an NVL72 rack) devices talk over
    `device.scale_up`; between hosts over `network` (bytes/s per device).  `host_power_w` is what a host draws
    beyond its devices, `tiers` the memories behind the device's own.  `sources` says where defaults come from,
    `given` is what the hardware was read from, until it is changed.
    """

    device: Device
    count: int
    devices_per_host: int
    network: Link
    host: str = ""
    host_power_w: float = 0.0
    host_memory_bytes: float = 0.0
    host_memory_bytes_per_s: float = 0.0
    tiers: tuple[Tier, ...] = ()
    pue: float = 1.0
    gco2e_per_kwh: float = 0.0
    usd_per_device_hour: float | None = None
    power_limit_w: float | None = None
    clock: float = 1.0
    sources: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)
    given: str | Mapping[str, Any] | None = field(default=None, init=False, compare=False, repr=False)

    @property
    def hosts(self) -> int:
        """Hosts that hold the devices, the last one perhaps in part."""
        return -(-self.count // self.devices_per_host)

    @property
    def memory_bytes(self) -> float:
        """Device memory of all devices together."""
        return self.count * self.device.memory_bytes
