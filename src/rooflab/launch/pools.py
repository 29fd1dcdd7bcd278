"""Launch commands of pools: an engine a line, each on devices of its own, and the router in front.

Flags: vLLM "NixlConnector usage guide" (``--kv-transfer-config``, side channel ports, the proxy of its repository);
SGLang "PD disaggregation" (``--disaggregation-mode``, transfer backend, ``sglang_router``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rooflab.errors import InputError
from rooflab.launch.label import split_label
from rooflab.scenario.cluster import Pool
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.runtime import ENGINES
from rooflab.scenario.scenario import Scenario

__all__ = ["BOOTSTRAP", "PROXY", "Member", "Part", "members", "role_flags", "router", "started"]

Part = tuple[Pool, Hardware, Deployment]
"""A pool with its hardware and completed deployment, as `rooflab.deploy.pools` makes them."""
PROXY: Final = "tests/v1/kv_connector/nixl_integration/toy_proxy_server.py"
"""The proxy of vLLM's repository that hands a prompt's cache from one engine to the other."""
BOOTSTRAP: Final = 8998
"""SGLang's port where an engine for prompts is asked for a cache; of others on its host the numbers after it."""
_FIRST_PORT: Final = 8100
_SIDE: Final = 5600
_ROLES: Final = {"prefill": "kv_producer", "decode": "kv_consumer"}


@dataclass(frozen=True, slots=True)
class Member:
    """One engine of a pool: its scenario, where it stands (host, first device) and its number among all, from 0."""

    scenario: Scenario
    role: str
    host: int
    device: int
    number: int

    @property
    def port(self) -> int:
        """Where it listens."""
        return _FIRST_PORT + self.number

    @property
    def address(self) -> str:
        """The name of its host, to be put in place where there are several."""
        return f"HOST{self.host}"

    @property
    def devices(self) -> str:
        """Its devices on that host, as ``CUDA_VISIBLE_DEVICES`` lists them."""
        return ",".join(str(self.device + i) for i in range(self.scenario.deployment.split.devices_per_replica))

    @property
    def environment(self) -> dict[str, str]:
        """Variables that it is started with."""
        out = {"CUDA_VISIBLE_DEVICES": self.devices}
        if self.scenario.deployment.runtime.engine == "vllm":
            out["VLLM_NIXL_SIDE_CHANNEL_PORT"] = str(_SIDE + 16 * self.number)
        return out

    @property
    def words(self) -> str:
        """What it is, in a comment."""
        return f"{self.role} engine {split_label(self.scenario.deployment.changed(replicas=1))}, devices {self.devices}"


def members(scenario: Scenario, parts: Sequence[Part]) -> list[Member]:
    """The engines of all pools (`parts` of the scenario), placed one after the other, none over the end of a host.

    Raises InputError for engines that are wider than a host, on hardware of their own, or without a command for pools.
    """
    engine = scenario.deployment.runtime.engine
    if engine not in ("vllm", "sglang"):
        raise InputError(f"pools of {ENGINES.get(engine, engine)} have no launch command", "deployment.pools")
    return list(_placed(scenario, parts))


def _placed(scenario: Scenario, parts: Sequence[Part]) -> Iterator[Member]:
    at, number, per_host = 0, 0, scenario.hardware.devices_per_host
    for pool, hardware, d in parts:
        if pool.role not in _ROLES:
            raise InputError("pools of mixed engines have no launch command", "deployment.pools")
        if pool.hardware is not None:
            raise InputError("pools on hardware of their own have no launch command", "deployment.pools")
        wide = d.split.devices_per_replica
        if wide > per_host:
            raise InputError("an engine of a pool over several hosts has no launch command", "deployment.pools")
        for _ in range(pool.replicas):
            at += per_host - at % per_host if at % per_host + wide > per_host else 0
            own = replace(scenario, hardware=hardware, deployment=d)
            yield Member(own, pool.role, at // per_host, at % per_host, number)
            at, number = at + wide, number + 1


def role_flags(engine: str, role: str) -> list[str]:
    """What makes an engine one of a pool."""
    if engine == "vllm":
        passes = {"kv_connector": "NixlConnector", "kv_role": _ROLES[role], "kv_load_failure_policy": "fail"}
        return ["--kv-transfer-config", json.dumps(passes)]
    return ["--disaggregation-mode", role, "--disaggregation-transfer-backend", "nixl"]


def router(engine: str, prefill: list[tuple[str, int, int]], decode: list[tuple[str, int]], *, port: int) -> list[str]:
    """The command of what clients talk to: hosts, ports (and for prompts bootstrap ports) of all engines."""
    if engine == "vllm":
        words = ["python", PROXY, "--host", "0.0.0.0", "--port", str(port)]
        words += ["--prefiller-hosts", *(h for h, _, _ in prefill), "--prefiller-ports"]
        words += [*(str(p) for _, p, _ in prefill), "--decoder-hosts", *(h for h, _ in decode)]
        return [*words, "--decoder-ports", *(str(p) for _, p in decode)]
    words = ["python", "-m", "sglang_router.launch_router", "--pd-disaggregation", "--host", "0.0.0.0"]
    words += ["--port", str(port)]
    words += [word for h, p, b in prefill for word in ("--prefill", f"http://{h}:{p}", str(b))]
    return words + [word for h, p in decode for word in ("--decode", f"http://{h}:{p}")]


def started(member: Member, words: list[str], *, alone: bool) -> tuple[dict[str, str], list[str]]:
    """Environment and words of one engine, from those of its kind; `alone`: all engines stand on one host."""
    engine = member.scenario.deployment.runtime.engine
    at = words.index("--port") + 1
    out = [*words[:at], str(member.port), *words[at + 1 :], *role_flags(engine, member.role)]
    environment = dict(member.environment)
    if engine == "sglang":
        out += ["--disaggregation-bootstrap-port", str(BOOTSTRAP + member.number)] if member.role == "prefill" else []
        out += [] if alone else ["--host", "0.0.0.0"]
    elif not alone:
        environment["VLLM_NIXL_SIDE_CHANNEL_HOST"] = member.address
    return environment, out
