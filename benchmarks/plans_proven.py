"""Do the winners of plans hold? Random plans, each winner simulated anew with streams of random numbers that the plan
did not see.

    python benchmarks/plans_proven.py [--plans 200] [--first 0] [--seed 1]

Scenarios are drawn over models, machines (a laptop to eight H200), open and closed loops from idle to crowded, five
distributions of lengths, and targets from easy to impossible. A winner is short where fewer than nine in ten of thirty
fresh runs meet every target, and misses where that is not chance: where one that holds in nine of ten would have so few
in less than 3 of 100 cases (23 of 30). Prints each plan, then how many winners are short and how many miss, how many
plans have none, and how long a plan took. Exits 1 where a winner misses. `--first` starts at a later scenario of the
same sequence, so that a long run can be cut.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np

import rooflab as rl
from rooflab.errors import RooflabError
from rooflab.planner.result import Choice
from rooflab.scenario.slo import SLO
from rooflab.simulator.serving.scenario import simulate

PAIRS = (
    ("Llama-3.1-8B", "2 x h100-sxm"), ("Llama-3.1-8B", "4 x l40s"), ("Qwen2.5-7B-Instruct", "rtx-4090"),
    ("Llama-3.1-8B", "m3-max"), ("Qwen3-30B-A3B", "2 x h200-sxm"), ("gpt-oss-20b", "4 x a100-sxm-80gb"),
    ("Qwen2.5-32B", "4 x a100-sxm-80gb"), ("Llama-3.1-70B", "8 x h100-sxm"), ("Llama-3.1-8B", "2 x mi300x"),
    ("DeepSeek-V3", "8 x h200-sxm"),
)  # fmt: skip
FRESH = range(1000, 1030)
SHORT, MISSES = 27, 24
"""Runs of thirty below which a winner is short, and below which it misses."""


def lengths(rng: np.random.Generator) -> dict[str, Any]:
    """The lengths of a workload, from five kinds of distribution."""
    kind = int(rng.integers(5))
    isl, osl = int(10 ** rng.uniform(1.8, 3.6)), int(10 ** rng.uniform(1.2, 2.9))
    if kind >= 3:
        return {"like": ("sharegpt", "azure-code")[kind - 3]}
    if kind == 0:
        return {"isl": isl, "osl": osl}
    if kind == 1:
        return {"isl": f"{max(isl // 4, 1)}..{isl}", "osl": f"{max(osl // 4, 2)}..{max(osl, 3)}"}
    return {
        "isl": {"lognormal": {"mean": isl, "cv": float(rng.uniform(0.3, 1.2))}},
        "osl": {"lognormal": {"mean": max(osl, 8), "cv": float(rng.uniform(0.3, 1.0))}},
    }


def drawn(seed: int) -> dict[str, Any]:
    """One random scenario."""
    rng = np.random.default_rng(seed)
    name, on = PAIRS[int(rng.integers(len(PAIRS)))]
    load: dict[str, Any] = lengths(rng) | {"requests": 3000}
    if rng.random() < 0.6:
        load["rate"] = f"{10 ** rng.uniform(-1.5, 1.3):.3f}/s"
    else:
        load["concurrency"] = int(10 ** rng.uniform(0, 2))
        load["requests"] = max(500, 10 * load["concurrency"])
    slo = {"ttft_p99": f"{10 ** rng.uniform(-0.9, 0.9):.3f} s", "tpot_p99": f"{10 ** rng.uniform(0.9, 2.1):.1f} ms"}
    return {"model": name, "hardware": on, "workload": load, "slo": slo}


def fresh(choice: Choice) -> tuple[int, float]:
    """How many fresh runs of a winner meet every target, and the worst median ratio to a target."""
    met, ratios = 0, []
    for seed in FRESH:
        m = simulate(choice.scenario, seed=seed).metrics
        ratio = max(m[SLO.metric(key)] / limit for key, limit in choice.scenario.slo)
        ratios.append(ratio)
        met += ratio <= 1.0
    return met, float(np.median(ratios))


def main() -> int:
    """Draw, plan, simulate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    missed, short, none, refused = 0, 0, 0, 0
    spent: list[float] = []
    for i in range(asked.first, asked.first + asked.plans):
        given = drawn(1000 * asked.seed + i)
        start = time.process_time()
        try:
            plan = rl.plan(given, explain=False, top=3)
        except RooflabError as error:
            refused += 1
            print(f"{i:4} refused: {error}", flush=True)
            continue
        spent.append(time.process_time() - start)
        where = f"{i:4} {given['model']} on {given['hardware']}, {given['workload'].get('rate', 'closed')}"
        if plan.best is None:
            none += 1
            print(f"{where}: none; {plan.message[:150]}", flush=True)
            continue
        met, ratio = fresh(plan.best)
        missed += met < MISSES
        short += met < SHORT
        proof = plan.best.proof
        said = f"{proof.met}/{proof.runs}" if proof else "unproven"
        print(
            f"{where}: {plan.best.label} said {said}, fresh {met}/{len(FRESH)} at {ratio:.2f} of the target"
            f"{'  <<< MISSES' if met < MISSES else '  < short' if met < SHORT else ''}",
            flush=True,
        )
    print(
        f"\n{asked.plans} plans: {missed} winners miss, {short} are short, {none} have none, {refused} refused; "
        f"CPU seconds of a plan {np.median(spent):.2f} median, {max(spent):.2f} at most"
    )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
