"""Layers and experts on the host: priced on its processor, or streamed to the device where that is faster.

llama.cpp computes what lies in the host's memory with the CPU, and copies it to the device for prompts, whose products
are long enough to pay for the copy; here the faster of the two is taken at every number of tokens.  Between a part on
the device and one on the host hidden states cross the link, and both sides wait.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from rooflab.costs.quantity import Real
from rooflab.scenario.hardware import Device, Hardware

__all__ = ["HANDOVER_S", "handover_s", "host_bytes_per_s", "host_hardware"]

HANDOVER_S: Final = 30e-6
"""A change between device and host: one side's queue is drained (about 10 µs), a copy of some kilobytes launched (10),
a thread pool woken (5 to 10). Assumed, 15 to 100 µs: launches of the next part that no graph holds may come on top."""
_FLOPS_PER_BYTE: Final = 12.0
"""fp32 operations a processor does while a byte comes from its memory: 8 cores of two 256-bit units at 4.5 GHz over two
channels of DDR5-5600, and as much on servers, which have more of both. Assumed, 6 to 24."""


def host_bytes_per_s(hardware: Hardware) -> float:
    """Rate of one device's share of the host's memory: the machine's own, or what a tier "dram" was given where that is
    more than its link to the device could carry."""
    given = next((t.bytes_per_s for t in hardware.tiers if t.name == "dram"), 0.0)
    if given > hardware.device.host_link.bytes_per_s:
        return given
    return hardware.host_memory_bytes_per_s / hardware.devices_per_host


def host_hardware(hardware: Hardware) -> Hardware:
    """The processor behind a device, as hardware of its own."""
    rate, device = host_bytes_per_s(hardware), hardware.device
    fp32 = _FLOPS_PER_BYTE * rate
    processor: Device = replace(
        device,
        key="x86-host",
        name="host processor",
        vendor="host",
        kind="cpu",
        family="x86",
        memory_bytes=hardware.host_memory_bytes,
        memory_bytes_per_s=rate,
        peak_flops={"fp32": fp32, "bf16": fp32, "fp16": fp32, "int8": 2.0 * fp32},
    )
    return replace(hardware, device=processor, tiers=())


def handover_s(moved_bytes: Real, link_bytes_per_s: float, times: Real) -> Real:
    """Seconds of `times` changes of side with `moved_bytes` across the link in all."""
    return np.asarray(times) * HANDOVER_S + moved_bytes / link_bytes_per_s
