"""The price of one operator on one device: seconds, work and dynamic joules, from its shape and the calibration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rooflab.costs import collective as comm
from rooflab.costs.calibration import GEMM_COMPUTE, KernelCalibration
from rooflab.costs.elementwise import elementwise_s
from rooflab.costs.engine_constants import EngineOverhead, device_factors
from rooflab.costs.engine_kernels import engine_kernels
from rooflab.costs.gemm import batched_gemm_s
from rooflab.costs.host import handover_s, host_bytes_per_s, host_hardware
from rooflab.costs.moe import experts_touched, moe_s
from rooflab.costs.power import CLOCKS, ClockLaw, allowed, clock_law, limit_w, loaded_idle_w, power_curve, throttle
from rooflab.costs.user_kernels import user_kernels
from rooflab.operators.ops import Collective, Elementwise, ExpertGemm, Gemm, Handover, Real, Transfer
from rooflab.scenario.dtype import DType
from rooflab.scenario.hardware import Device, Hardware
from rooflab.scenario.paid import paid

__all__ = ["Bench", "Price", "bench_for", "compute_of", "format_key", "price"]


_SERVED_HEAT = 0.5
"""How much of the tables' skew (power-law 1.2 routing) between ranks served loads show: models are trained and ranks
filled to even it out.  Half of it explains rows of expert-parallel decode pools better than all or none (90th
percentile of TensorRT-LLM's 30 → 24 %)."""


@dataclass(frozen=True, slots=True)
class Price:
    """Per device and step, all occurrences together: seconds, dynamic joules, FLOPs, bytes of weights or cache, bytes
    on links; of the bytes those that any routing of tokens to experts must read, where that is fewer."""

    seconds: Real
    joules: Real
    flops: Real
    bytes: Real
    link_bytes: Real
    routed_bytes: Real | None = None

    @property
    def least_bytes(self) -> Real:
        """Bytes that must be read whatever the routing."""
        return self.bytes if self.routed_bytes is None else self.routed_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A device with everything that prices work on it: hardware, kernel curves, engine overhead, clock, joules a unit
    of work; `host` is the processor behind it, for engines that compute there.

    `active_w` is drawn while a kernel runs; `room_w` what the power limit leaves beyond idle, `full_room_w` what the
    TDP leaves.
    """

    hardware: Hardware
    kernels: KernelCalibration
    overhead: EngineOverhead
    clock: float
    j_per_tdp_flop: float
    j_per_byte: float
    j_per_link_byte: float
    active_w: float
    room_w: float
    full_room_w: float
    law: ClockLaw
    host: Bench | None = None

    @property
    def capped(self) -> bool:
        """Whether a power limit below the TDP may slow work down."""
        return self.room_w < self.full_room_w

    @property
    def slowed(self) -> bool:
        """Whether a power limit or a lower clock may slow work down."""
        return self.capped or self.clock < 1.0

    @property
    def device(self) -> Device:
        """The device."""
        return self.hardware.device

    def datasheet(self, compute: str) -> float:
        """Peak FLOP/s of a format at full clock; fp16 summed in fp16 runs at half the int8 rate of NVIDIA's matrix
        units."""
        peak = self.device.peak(compute)
        if compute == "fp16" and self.overhead.narrow_sums and self.device.vendor == "NVIDIA":
            return max(peak, self.device.peak_flops.get("int8", 0.0) / 2)
        return peak

    def peak(self, compute: str) -> float:
        """Peak FLOP/s of a format at the present clock."""
        return self.datasheet(compute) * self.clock

    def j_per_flop(self, compute: str) -> float:
        """Dynamic joules a FLOP of a format."""
        return self.j_per_tdp_flop / self.datasheet(compute)

    def at_clock(self, share: float) -> Bench:
        """This bench at `share` of its clock: slower arithmetic, fewer joules a FLOP."""
        clock = self.clock * share
        energy = float(self.law.energy(clock) / self.law.energy(self.clock))
        return replace(
            self,
            clock=clock,
            j_per_tdp_flop=self.j_per_tdp_flop * energy,
            active_w=self.active_w * share * energy,
            room_w=self.full_room_w,
        )


def bench_for(hardware: Hardware, engine: str, overhead: EngineOverhead) -> Bench:
    """The bench of `hardware` under `engine`."""
    device, curve, law, clock = hardware.device, power_curve(hardware), clock_law(hardware.device), hardware.clock
    idle_w, energy = loaded_idle_w(hardware), float(law.energy(clock))
    room_w, factors = device.tdp_w - idle_w, device_factors(device, overhead.generation)
    drawn_w = room_w * paid().joules
    behind = engine == "llamacpp" and device.kind == "gpu" and host_bytes_per_s(hardware) > 0
    return Bench(
        hardware=hardware,
        # an engine's factors are of its kernels on devices; on processors its family's curves are llama.cpp's own
        host=bench_for(host_hardware(hardware), engine, EngineOverhead()) if behind else None,
        kernels=engine_kernels(device, engine, overhead, factors, user_kernels(device.key)),
        overhead=overhead,
        clock=clock,
        j_per_tdp_flop=curve.compute * drawn_w * energy,
        j_per_byte=curve.memory * drawn_w / device.memory_bytes_per_s,
        j_per_link_byte=curve.link * drawn_w / max(device.scale_up.bytes_per_s, 1e9),
        active_w=curve.active * drawn_w * clock * energy,
        room_w=limit_w(hardware) - idle_w,
        full_room_w=room_w,
        law=law,
    )


def compute_of(weight: DType, act: DType) -> str:
    """Arithmetic of a product: the wider operand decides."""
    return weight.compute if weight.bits > act.bits else act.compute


def format_key(weight: DType, act: DType) -> str:
    """Which curve prices a product with these operands (keys of `costs.calibration.GEMM_COMPUTE`)."""
    if weight.element_bits >= 16:
        return "bf16"
    quantised = act.element_bits <= 8
    if weight.element_bits == 8:
        if weight.compute == "fp8":
            return {"fp8-block": "fp8_block"}.get(weight.name, "fp8") if quantised else "int8"
        return "int8_w8a8" if quantised and act.compute == "int8" else "int8"
    if weight.element_bits < 8 and act.element_bits == 8 and act.compute == "int8":
        return "int8_w8a8"  # unpacked to int8 in registers, then the int8 units
    if weight.compute == "fp4":
        return "nvfp4" if act.compute == "fp4" else "mxfp4_fp8" if quantised else "mxfp4"
    return "int4"


Timed = Gemm | ExpertGemm | Elementwise | Collective | Transfer | Handover
"""Operators that a number of tokens prices."""


def price(operator: Timed, bench: Bench) -> Price:
    """Seconds and work of every occurrence of `operator` in a step, on one device, at the clock that the power limit
    allows."""
    if not bench.slowed:
        return _at_clock(operator, bench)
    full = _at_clock(operator, bench.at_clock(1.0 / bench.clock))
    share = allowed(np.asarray(full.seconds), np.asarray(full.joules), bench.full_room_w)
    prices = [_at_clock(operator, bench.at_clock(float(clock))) for clock in (CLOCKS if bench.capped else CLOCKS[:1])]
    seconds, joules = throttle(
        np.stack([np.asarray(p.seconds, dtype=np.float64) for p in prices]),
        np.stack(
            [np.broadcast_to(np.asarray(p.joules * share, dtype=np.float64), np.shape(p.seconds)) for p in prices]
        ),
        bench.room_w,
    )
    return replace(prices[0], seconds=seconds, joules=joules)


def _at_clock(operator: Timed, bench: Bench) -> Price:
    if isinstance(operator, Transfer):
        return _transfer(operator, bench)
    if isinstance(operator, Handover):
        seconds = paid().host * handover_s(operator.moved_bytes, bench.device.host_link.bytes_per_s, operator.times)
        zero = operator.moved_bytes * 0.0
        return Price(operator.count * seconds, zero, zero, zero, zero)
    if isinstance(operator, (Gemm, ExpertGemm)) and operator.on_host:
        return _on_host(operator, bench)
    if isinstance(operator, Gemm):
        found = _gemm(operator, bench)
    elif isinstance(operator, ExpertGemm):
        found = _experts(operator, bench)
    elif isinstance(operator, Elementwise):
        found = _elementwise(operator, bench)
    else:
        found = _collective(operator, bench)
    return replace(found, joules=found.joules + bench.active_w * found.seconds)


def _on_host(operator: Gemm | ExpertGemm, bench: Bench) -> Price:
    """What lies in the host's memory: computed by its processor, or copied and computed on the device where that is
    faster. Its bytes count as those that the device would read in the time."""
    assert bench.host is not None, f"no host for {operator.name}"
    here = replace(operator, on_host=False)
    cpu = _at_clock(here, bench.host)
    slower = bench.device.memory_bytes_per_s / bench.host.device.memory_bytes_per_s
    copied = operator.count * paid().weight_reads * operator.weight_bytes / bench.device.host_link.bytes_per_s
    seconds = np.minimum(cpu.seconds, copied + _at_clock(here, bench).seconds)
    # the processor's energy is not the device's to draw
    read, least = cpu.bytes * slower, cpu.least_bytes * slower
    return Price(seconds, cpu.joules * 0.0, cpu.flops, read, cpu.link_bytes, least)


def _transfer(operator: Transfer, bench: Bench) -> Price:
    tier = next((t for t in bench.hardware.tiers if t.name == operator.tier), None)
    assert tier is not None, f"no tier {operator.tier}"
    link = bench.device.host_link.bytes_per_s
    rate = min(tier.bytes_per_s, link) if operator.tier == "dram" and link > 0 else tier.bytes_per_s
    moved = operator.count * paid().weight_reads * operator.bytes
    zero = operator.bytes * 0.0
    return Price(moved / rate, moved * bench.j_per_byte, zero, zero, zero)


def _peak(weight: DType, act: DType, bench: Bench) -> tuple[float, str]:
    """Peak that a product is priced against, and its arithmetic format.

    A curve is fitted as a share of one format's peak (GEMM_COMPUTE); where the arithmetic is wider or narrower
    than that (fp32 on a CPU, int8 activations with int4 weights) the peak is that of the real arithmetic.
    """
    compute = compute_of(weight, act)
    nominal = GEMM_COMPUTE[format_key(weight, act)]
    compute = nominal if compute in ("bf16", "fp16") and nominal == "bf16" else compute
    compute = "fp16" if compute == "bf16" and weight.name == "fp16" else compute
    return bench.peak(compute), compute


def _gemm(op: Gemm, bench: Bench) -> Price:
    peak, compute = _peak(op.weight, op.act, bench)
    share, curve = paid(), bench.kernels.gemm[format_key(op.weight, op.act)]
    seconds = batched_gemm_s(
        op.batch,
        op.m,
        op.n,
        op.k,
        weight_bytes=op.weight.bytes * share.weight_reads,
        act_bytes=op.act.bytes * share.products,
        out_bytes=2.0 * share.products,
        peak_flops=share.rate("products", peak),
        bytes_per_s=bench.device.memory_bytes_per_s,
        curve=replace(curve, t0_s=curve.t0_s * share.host, a=curve.a * share.products),
    )
    flops, weights = op.flops * share.products, op.weight_bytes * share.weight_reads
    moved = weights + (op.memory_bytes - op.weight_bytes) * share.products
    joules = flops * bench.j_per_flop(compute) + moved * bench.j_per_byte
    return Price(op.count * seconds, op.count * joules, op.count * flops, op.count * weights, op.m * 0.0)


def _experts(op: ExpertGemm, bench: Bench) -> Price:
    peak, compute = _peak(op.weight, op.act, bench)
    share, curve = paid(), bench.kernels.moe[format_key(op.weight, op.act)]
    seconds = moe_s(
        op.tokens,
        hidden=op.hidden,
        width=op.width,
        experts=op.experts,
        top_k=op.top_k,
        ep=op.ep,
        matrices=op.matrices,
        weight_bytes=op.weight.bytes * share.weight_reads,
        peak_flops=share.rate("products", peak),
        bytes_per_s=bench.device.memory_bytes_per_s,
        curve=replace(
            curve, t0_s=curve.t0_s * share.host, a=curve.a * share.products, remote=curve.remote * share.products
        ),
        imbalance=np.asarray(op.ep, dtype=np.float64) ** (_SERVED_HEAT * curve.heat),
        gathered=op.gathered,
    )
    touched = experts_touched(op.assignments, op.experts / op.ep, curve.alpha)
    expert_bytes = op.matrices * op.hidden * op.width * op.weight.bytes * share.weight_reads
    weights = touched * expert_bytes
    # equal tokens have the same experts: the fewest that can be read are one token's
    least = np.minimum(touched, np.minimum(op.assignments, op.top_k / op.ep)) * expert_bytes
    moved, flops = weights + op.assignments * 4.0 * op.hidden * share.products, op.flops * share.products
    joules = flops * bench.j_per_flop(compute) + moved * bench.j_per_byte
    return Price(
        op.count * seconds, op.count * joules, op.count * flops, op.count * weights, op.tokens * 0.0,
        op.count * least,
    )  # fmt: skip


def _elementwise(op: Elementwise, bench: Bench) -> Price:
    # launches of small kernels are part of the engine's time a layer, but for those that a plain block does not have
    launches, moved = op.launches * bench.overhead.launch * paid().host, op.moved_bytes * paid().products
    seconds = elementwise_s(
        op.moved_bytes,
        bytes_per_s=paid().rate("products", bench.device.memory_bytes_per_s),
        curve=bench.kernels.elementwise,
        kernels=launches,
    )
    zero = op.moved_bytes * 0.0
    return Price(op.count * seconds, op.count * moved * bench.j_per_byte, zero, zero, zero)


def _collective(op: Collective, bench: Bench) -> Price:
    hardware, device = bench.hardware, bench.device
    here = float(hardware.devices_per_host)
    ranks = np.maximum(np.asarray(op.ranks, dtype=np.float64), 1.0)
    inside_ranks, hosts = np.minimum(ranks, here), np.ceil(ranks / here)
    inside, across = bench.kernels.collectives(device.scale_up), bench.kernels.collectives(hardware.network)
    # devices that are not joined never share a split (the split is refused); 1 B/s keeps their unused prices finite
    local, remote = max(device.scale_up.bytes_per_s, 1.0), max(hardware.network.bytes_per_s, 1.0)
    size = op.message_bytes
    seconds: Real
    if op.kind == "all_reduce":
        seconds = bench.overhead.skew * comm.hierarchical_all_reduce_s(
            size, inside_ranks, hosts, inside_bytes_per_s=local, across_bytes_per_s=remote, inside=inside, across=across
        )
    elif op.kind == "send":
        # stages that fill whole hosts talk over the network, smaller ones over the host's own links
        over_network = np.asarray(hardware.count > hardware.devices_per_host)
        seconds = np.where(
            over_network,
            comm.send_s(size, link_bytes_per_s=remote, curve=across.send),
            comm.send_s(size, link_bytes_per_s=local, curve=inside.send),
        )
    elif op.kind == "all_gather":
        local_s = comm.all_gather_s(
            size * inside_ranks / ranks, inside_ranks, link_bytes_per_s=local, curve=inside.all_gather
        )
        seconds = np.maximum(local_s, comm.all_gather_s(size, hosts, link_bytes_per_s=remote, curve=across.all_gather))
    else:
        near = (inside_ranks - 1.0) / np.maximum(ranks - 1.0, 1.0)  # share of the peers that sit in the same host
        local_s = comm.moe_exchange_s(
            size * near, inside_ranks, link_bytes_per_s=local, curve=bench.kernels.moe_all_to_all
        )
        # what crosses hosts leaves each device over its own port
        remote_s = comm.moe_exchange_s(
            size * (1.0 - near) * (hosts > 1), hosts, link_bytes_per_s=remote, curve=across.all_to_all
        )
        seconds = np.maximum(local_s, remote_s)
    seconds, link = seconds * paid().communication, op.link_bytes * paid().communication
    zero = link * 0.0
    return Price(op.count * seconds, op.count * link * bench.j_per_link_byte, zero, zero, op.count * link)
