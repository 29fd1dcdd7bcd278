"""How long a plan takes: the usual one, the default budget of candidates, and 20,000 of them; CPU seconds of one core.

Run ``python benchmarks/bench_plan.py``; limits: 1 s for the usual plan, 3 s for 20,000 candidates.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.planner.judge import judge
from rooflab.planner.search import plan
from rooflab.planner.space import candidates, space_of
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import read_slo
from rooflab.scenario.workload import read_workload

SLO = read_slo({"ttft_p99": 1.0, "tpot_p99": 0.05})


def scenario(name: str, on: str, **load: float) -> Scenario:
    return Scenario(
        model=model(name),
        hardware=hardware(on),
        workload=read_workload({"isl": 1024, "osl": 512} | load),
        deployment=Deployment.of(engine="vllm"),
        slo=SLO,
    )


def cpu_seconds(work: Callable[[], object], times: int = 3) -> tuple[float, float]:
    """CPU seconds of the first run and the least of `times` further ones."""
    spent = []
    for _ in range(times + 1):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return spent[0], min(spent[1:])


def main() -> None:
    chat = scenario("Llama-3.1-70B", "8 x h100-sxm", rate=4.0)
    open_ended = scenario("Llama-3.1-70B", "8 x h100-sxm")
    experts = scenario("DeepSeek-V3", "16 x h200", rate=10.0)
    wide = scenario("Llama-3.1-70B", "64 x h100-sxm", rate=40.0)
    rows = candidates(wide, limit=60_000)[:20_000]
    chosen = space_of(wide).base
    assert chosen.runtime.engine == "vllm"
    for name, work in (
        ("plan Llama-3.1-70B, 8 x H100, 4 requests/s", lambda: plan(chat)),
        ("plan Llama-3.1-70B, 8 x H100, max-throughput", lambda: plan(open_ended)),
        ("plan DeepSeek-V3, 16 x H200, 10 requests/s", lambda: plan(experts)),
        (f"plan Llama-3.1-70B, 64 x H100, {len(space_of(wide)):,} candidates", lambda: plan(wide)),
        (f"price and judge {len(rows):,} candidates", lambda: judge(wide, rows)),
    ):
        first, least = cpu_seconds(work)
        print(f"{name:<60} first {first:6.2f} s   again {least:6.2f} s")


if __name__ == "__main__":
    main()
