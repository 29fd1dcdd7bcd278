"""How engines stand together: pools for prefill and decode, autoscaling, failures, changes of speed, caches behind the
device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from rooflab.errors import InputError
from rooflab.scenario import fields
from rooflab.scenario.hardware import Hardware

__all__ = [
    "CLUSTER_READERS",
    "Autoscale",
    "Cluster",
    "Failure",
    "KVTier",
    "Pool",
    "SpeedChange",
    "Transfer",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """`replicas` engines of one role. Splits None are the deployment's; `hardware` None is a share of the scenario's.

    "mixed" engines do both phases. `spec` is what the file says of the hardware until it is resolved.
    """

    role: Literal["prefill", "decode", "mixed"]
    replicas: int
    tp: int | None = None
    pp: int | None = None
    ep: int | None = None
    dp: int | None = None
    hardware: Hardware | None = None
    spec: Any = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """How a prompt's cache travels between pools: rate and latency (None: the network of the hardware), layer by layer
    or at the end."""

    bytes_per_s: float | None = None
    latency_s: float | None = None
    layerwise: bool = True


@dataclass(frozen=True, slots=True)
class Autoscale:
    """Keep as many engines up as hold `load` requests each, from `least` to `most` (None: all); a new one takes
    `startup_s`."""

    load: float
    least: int = 1
    most: int | None = None
    every_s: float = 10.0
    startup_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Engine `replica` (from 0) dies at `at_s` and is back at `until_s`."""

    replica: int
    at_s: float
    until_s: float = float("inf")


@dataclass(frozen=True, slots=True)
class SpeedChange:
    """From `at_s` on the devices run at a share `clock` of their clock or under `power_limit_w` (one of them)."""

    at_s: float
    clock: float | None = None
    power_limit_w: float | None = None
    replica: int | None = None


@dataclass(frozen=True, slots=True)
class KVTier:
    """Bytes of host and SSD memory, for each engine, that hold evicted prefixes or swapped sequences."""

    host_bytes: float = 0.0
    ssd_bytes: float = 0.0
    swap_bytes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """`replicas` engines (None: as many as the hardware holds), who sends them requests, and what befalls them.

    With `pools` the engines are those of the pools, prompts and decodes apart; beyond `spill_tokens` on every engine
    for prompts (None: never) a decode engine takes the prompt and answers it.
    """

    replicas: int | None = None
    router: str = "round-robin"
    pools: tuple[Pool, ...] = ()
    transfer: Transfer = Transfer()
    spill_tokens: int | None = None
    kv_tiers: KVTier = KVTier()
    autoscale: Autoscale | None = None
    failures: tuple[Failure, ...] = ()
    speed: tuple[SpeedChange, ...] = ()


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise InputError(f"expected a list, got {value!r}", where)
    return list(value)


def _as_given(value: Any, where: str) -> Any:
    return value


def _pools(value: Any, where: str) -> tuple[Pool, ...]:
    """Pools from ``[{role: prefill, replicas: 2, tp: 4, hardware: 8 x h100}, {role: decode, replicas: 1}]``; both roles
    must appear."""
    readers: Mapping[str, fields.Reader] = {
        "role": fields.choice("prefill", "decode", "mixed"),
        **dict.fromkeys(("replicas", "tp", "pp", "ep", "dp"), fields.at_least(1)),
        "hardware": _as_given,
    }
    pools = []
    for i, item in enumerate(_list(value, where)):
        at = f"{where}[{i}]"
        if isinstance(item, Pool):
            pools.append(item)
            continue
        if not isinstance(item, Mapping) or "role" not in item or "replicas" not in item:
            raise InputError("a pool needs role and replicas, for example {role: prefill, replicas: 1}", at)
        spec = item.get("hardware")
        pool = fields.read(Pool, {k: v for k, v in item.items() if k != "hardware"}, at, readers)
        pools.append(replace(pool, spec=spec))
    roles = {p.role for p in pools}
    if pools and "mixed" not in roles and roles != {"prefill", "decode"}:
        raise InputError("a prefill pool needs a decode pool and the other way round", where)
    return tuple(pools)


def _transfer(value: Any, where: str) -> Transfer:
    """A transfer from ``{bandwidth: 50 GB/s, latency: 5 us, layerwise: true}``."""
    readers: Mapping[str, fields.Reader] = {
        "bandwidth": fields.quantity("bandwidth"),
        "latency": fields.quantity("time"),
        "layerwise": fields.flag,
    }
    read = fields.read(dict, value, where, readers)
    return Transfer(read.get("bandwidth"), read.get("latency"), read.get("layerwise", True))


def _autoscale(value: Any, where: str) -> Autoscale:
    """Autoscaling from ``{load: 8, least: 1, most: 4, every: 10 s, startup: 60 s}``."""
    readers: Mapping[str, fields.Reader] = {
        "load": fields.number(0, exclusive=True),
        "least": fields.integer,
        "most": fields.at_least(1),
        "every": fields.quantity("time"),
        "startup": fields.quantity("time"),
    }
    read = fields.read(dict, value, where, readers)
    if "load" not in read:
        raise InputError("autoscaling needs load, the requests that one engine should hold", where)
    names = {"every": "every_s", "startup": "startup_s"}
    return Autoscale(**{names.get(str(k), str(k)): v for k, v in read.items()})


def _failures(value: Any, where: str) -> tuple[Failure, ...]:
    """Failures from ``[{replica: 0, at: 100 s, until: 400 s}]``."""
    readers: Mapping[str, fields.Reader] = {
        "replica": fields.integer,
        "at": fields.quantity("time"),
        "until": fields.quantity("time"),
    }
    out = []
    for i, item in enumerate(_list(value, where)):
        read = fields.read(dict, item, f"{where}[{i}]", readers)
        if not {"replica", "at"} <= read.keys():
            raise InputError(
                "a failure needs replica and at, for example {replica: 0, at: 100 s, until: 400 s}", f"{where}[{i}]"
            )
        out.append(Failure(read["replica"], read["at"], read.get("until", float("inf"))))
    return tuple(out)


def _speed(value: Any, where: str) -> tuple[SpeedChange, ...]:
    """Changes of speed from ``[{at: 60 s, power_limit: 400 W}, {at: 120 s, clock: 1.0}]``."""
    readers: Mapping[str, fields.Reader] = {
        "at": fields.quantity("time"),
        "clock": fields.number(0, 1, exclusive=True),
        "power_limit": fields.quantity("power"),
        "replica": fields.integer,
    }
    out = []
    for i, item in enumerate(_list(value, where)):
        read = fields.read(dict, item, f"{where}[{i}]", readers)
        if "at" not in read or ("clock" in read) == ("power_limit" in read):
            raise InputError("a change of speed needs at, and clock or power_limit", f"{where}[{i}]")
        out.append(SpeedChange(read["at"], read.get("clock"), read.get("power_limit"), read.get("replica")))
    return tuple(out)


def _tiers(value: Any, where: str) -> KVTier:
    """Memory behind the devices from ``{host: 200 GB, ssd: 2 TB, swap: 50 GB}``."""
    readers: Mapping[str, fields.Reader] = dict.fromkeys(("host", "ssd", "swap"), fields.quantity("bytes"))
    read = fields.read(dict, value, where, readers)
    return KVTier(read.get("host", 0.0), read.get("ssd", 0.0), read.get("swap", 0.0))


CLUSTER_READERS: Final[dict[str, fields.Reader]] = {
    "replicas": fields.at_least(1),
    "router": fields.text,
    "pools": _pools,
    "transfer": _transfer,
    "spill_tokens": fields.at_least(1),
    "kv_tiers": _tiers,
    "autoscale": _autoscale,
    "failures": _failures,
    "speed": _speed,
}
