"""The closed form against the simulator: random scenarios of every way of arriving, and where the two part.

    python benchmarks/estimate_vs_simulate.py [--scenarios 400] [--bursts 80] [--seed 1] [--rows FILE.csv]
        [--worst 10] [--check]

Both price the same steps, so what differs is queueing. Scenarios are drawn over models, devices, engines, splits, five
distributions of lengths, loads of 1 to 120 % of what the deployment can do (of a closed loop: users to places), and
batches. Runs are long, and the simulator counts from when the load is steady until it ends, so that ends of a run do
not count. Bursts (1 to 2,000 requests, all at once or so many at a time) are whole runs, the mean of several streams.
Prints median and 90th percentile of |estimate / simulate − 1| by metric and way of arriving, then by engine, load and
lengths, and the scenarios that are furthest off. `--check` exits 1 where a median is above its aim.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import rooflab as rl
from rooflab.errors import RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.simulator.results.serving import ServingResult
from rooflab.simulator.serving.scenario import simulate

PAIRS = (
    ("Llama-3.1-8B", "h100-sxm", 1), ("Llama-3.1-8B", "l40s", 1), ("Llama-3.1-8B", "a100-sxm-80gb", 1),
    ("Llama-3.1-70B", "h100-sxm", 4), ("Qwen3-30B-A3B", "h200-sxm", 1), ("gpt-oss-20b", "h100-sxm", 1),
    ("Qwen2.5-32B", "a100-sxm-80gb", 2), ("DeepSeek-V3", "h200-sxm", 8), ("Mistral-7B", "rtx-4090", 1),
    ("gpt-oss-120b", "b200-sxm", 2), ("Llama-3.1-8B", "mi300x", 1),
)  # fmt: skip
ENGINES = ("vllm", "sglang", "trtllm", "tgi", "lmdeploy", "deepspeed", "llamacpp", "ideal")
STATIC_ENGINES = ("fastertransformer", "transformers")
AIMS = {
    "output_tokens_per_s": 0.02, "tpot_s_mean": 0.03, "ttft_s_p50": 0.10, "ttft_s_p99": 0.20, "tpot_s_p99": 0.20,
}  # fmt: skip
"""Median errors aimed at."""
WILD = 3.0
WILD_RUNS = 6
"""Runs of gaps whose coefficient of variation is beyond `WILD`: one of 2,000 requests has a few dozen clumps."""
BURST_AIMS = {
    "output_tokens_per_s": 0.05, "duration_s": 0.05, "ttft_s_p50": 0.10, "ttft_s_p99": 0.20, "tpot_s_mean": 0.05,
}  # fmt: skip
"""The same of bursts."""


@dataclass(frozen=True, slots=True)
class Row:
    """A scenario, what it was drawn from, and estimate / simulate − 1 by metric (NaN: one of them has none)."""

    asked: dict[str, Any]
    mode: str
    engine: str
    load: str
    lengths: str
    errors: dict[str, float]


def lengths(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    """A distribution of lengths: its name and the fields of the workload that give it."""
    kind = str(rng.choice(["fixed", "uniform", "lognormal", "sharegpt", "azure-code"]))
    if kind in ("sharegpt", "azure-code"):
        return kind, {"like": kind}
    isl, osl = int(2 ** rng.uniform(6, 12)), int(2 ** rng.uniform(4, 10))
    if kind == "fixed":
        return kind, {"isl": isl, "osl": osl}
    if kind == "uniform":
        return kind, {"isl": f"{isl // 2}..{isl * 3 // 2}", "osl": f"{osl // 2}..{osl * 3 // 2}"}
    return kind, {
        name: {"lognormal": {"mean": mean, "cv": 1.0, "high": 8 * mean}} for name, mean in (("isl", isl), ("osl", osl))
    }


def draw(rng: np.random.Generator) -> tuple[dict[str, Any], str, str, str]:
    """A scenario as a file has it, with its mode, its load (a bin) and its lengths by name."""
    model, device, tp = PAIRS[rng.integers(len(PAIRS))]
    mode = str(rng.choice(["open", "closed", "batch"], p=[0.45, 0.4, 0.15]))
    engines = ENGINES + STATIC_ENGINES if mode == "batch" else ENGINES
    replicas = int(rng.choice([1, 1, 1, 2, 4]))
    name, how = lengths(rng) if mode != "batch" else ("fixed", {"isl": int(2 ** rng.uniform(6, 12)), "osl": 128})
    deployment = {
        "engine": str(rng.choice(engines)), "tp": tp, "replicas": replicas, "prefix_caching": False,
        "max_num_seqs": int(rng.choice([64, 256])), "max_num_batched_tokens": int(rng.choice([2048, 8192])),
    }  # fmt: skip
    scenario = {
        "model": model, "hardware": f"{tp * replicas} x {device}", "workload": dict(how), "deployment": deployment,
    }  # fmt: skip
    if mode == "batch":
        scenario["workload"]["batch"] = int(2 ** rng.uniform(0, 6))
        return scenario, mode, "batch", name
    share = float(np.exp(rng.uniform(np.log(0.01), np.log(1.2))))
    most = rl.estimate(scenario)  # as many as fit
    if mode == "open":
        rate = share * most.requests_per_s
        scenario["workload"] |= {"rate": rate, "requests": int(np.clip(200 * rate, 2000, 6000))}
    else:
        users = max(round(share * float(most.metrics["max_running"])), 1)
        start = str(rng.choice(["staggered", "burst"], p=[0.7, 0.3]))
        rounds = int(np.clip(3000 // users, 10, 400))
        scenario["workload"] |= {"concurrency": users, "rounds": rounds, "start": start}
    bins = ((0.1, "below 10 %"), (0.5, "10 to 50 %"), (0.8, "50 to 80 %"), (1.0, "80 to 100 %"))
    return scenario, mode, next((label for top, label in bins if share < top), "over 100 %"), name


def draw_burst(rng: np.random.Generator) -> tuple[dict[str, Any], str, str]:
    """A burst as a file has it, with how it is sent and its lengths by name."""
    model, device, tp = PAIRS[rng.integers(len(PAIRS))]
    replicas = int(rng.choice([1, 1, 1, 2, 4]))
    name, how = lengths(rng)
    count = int(2 ** rng.uniform(0, 11))
    deployment = {
        "engine": str(rng.choice(ENGINES)), "tp": tp, "replicas": replicas, "prefix_caching": False,
        "max_num_seqs": int(rng.choice([64, 256])), "max_num_batched_tokens": int(rng.choice([2048, 8192])),
    }  # fmt: skip
    workload = {**how, "burst": count}
    held = bool(rng.random() < 0.2) and count > 1
    if held:
        workload["concurrency"] = int(2 ** rng.uniform(0, np.log2(count)))
    scenario = {
        "model": model, "hardware": f"{tp * replicas} x {device}", "workload": workload, "deployment": deployment,
    }  # fmt: skip
    return scenario, "held back" if held else "all at once", name


def burst_rows(count: int, seed: int) -> Iterator[Row]:
    """`count` bursts that fit, each answered by both; runs of few requests are simulated more often, since what they
    draw decides more."""
    rng = np.random.default_rng(seed)
    done = 0
    while done < count:
        try:
            asked, sent, name = draw_burst(rng)
            scenario = rl.load(asked)
            closed_form = rl.estimate(scenario)
        except RooflabError:
            continue
        runs = [simulate(scenario, seed=k) for k in range(int(np.clip(1000 // asked["workload"]["burst"], 3, 40)))]
        out = {}
        for metric in BURST_AIMS:
            got = float(closed_form.metrics[metric])
            other = float(np.mean([run.metrics[metric] for run in runs]))
            out[metric] = got / other - 1 if np.isfinite(got) and np.isfinite(other) and other > 0 else float("nan")
        done += 1
        size = asked["workload"]["burst"]
        load = "to 10" if size < 10 else "to 100" if size < 100 else "to 2,000"
        yield Row(asked, sent, asked["deployment"]["engine"], load, name, out)


def steady(result: ServingResult) -> ServingResult:
    """An open loop counted from a tenth of its arrivals to its last one."""
    arrival = result.requests.arrival_s
    return replace(result, window_s=(float(arrival[len(arrival) // 10]), float(arrival[-1])))


def errors(closed_form: Estimate, results: list[ServingResult], mode: str) -> dict[str, float]:
    """estimate / simulate − 1 of each metric, over the mean of some runs."""
    runs = [_offered(closed_form, result) if mode == "open" else dict(result.metrics) for result in results]
    out = {}
    for name in AIMS:
        got, other = float(closed_form.metrics[name]), float(np.mean([run[name] for run in runs]))
        known = np.isfinite(got) and np.isfinite(other) and other > 0
        out[name] = got / other - 1 if known else float("nan")
    return out


def _offered(closed_form: Estimate, result: ServingResult) -> dict[str, float]:
    """Metrics of an open loop, its throughput set right for the lengths and gaps drawn."""
    run = dict(result.metrics)
    counted = slice(len(result.requests) // 10, None)
    arrival, drawn = result.requests.arrival_s[counted], result.requests.output_tokens[counted]
    workload = closed_form.scenario.workload
    drawn_rate = (len(arrival) - 1) / (arrival[-1] - arrival[0])
    offered = workload.rate * workload.mean_output_tokens / (drawn_rate * drawn.mean())
    run["output_tokens_per_s"] *= 1.0 if closed_form.saturated else offered
    return run


def rows(count: int, seed: int) -> Iterator[Row]:
    """`count` scenarios that fit, each answered by both."""
    rng = np.random.default_rng(seed)
    done = 0
    while done < count:
        try:
            asked, mode, load, name = draw(rng)
            scenario = rl.load(asked)
            closed_form = rl.estimate(scenario)
        except RooflabError:
            continue
        runs = [simulate(scenario, seed=k) for k in range(WILD_RUNS if scenario.workload.arrivals_cv > WILD else 1)]
        runs = [steady(run) for run in runs] if mode == "open" else runs
        done += 1
        engine = asked["deployment"]["engine"]
        yield Row(asked, mode, engine, load, name, errors(closed_form, runs, mode))


def table(found: list[Row], title: str, key: Callable[[Row], str], aims: dict[str, float] = AIMS) -> None:
    """Median and 90th percentile of the errors of each group, a line a group."""
    print(f"\n{title:14s} {'n':>4s}  " + "  ".join(f"{name:>19s}" for name in aims))
    for group in sorted({key(row) for row in found}):
        mine = [row for row in found if key(row) == group]
        cells = []
        for name in aims:
            values = np.abs([row.errors[name] for row in mine])
            values = values[np.isfinite(values)]
            cells.append(
                f"{np.median(values):8.1%} / {np.quantile(values, 0.9):7.0%}" if len(values) else f"{'–':>19s}"
            )
        print(f"{group:14s} {len(mine):4d}  " + "  ".join(f"{cell:>19s}" for cell in cells))


def report(found: list[Row], aims: dict[str, float], worst: int) -> None:
    """Tables of the errors by what scenarios were drawn from, and those that are furthest off."""
    if not found:
        return
    for title, key in (
        ("all", lambda row: "all"),
        ("way of arriving", lambda row: row.mode),
        ("engine", lambda row: f"{row.mode} {row.engine}"),
        ("load", lambda row: f"{row.mode} {row.load}"),
        ("lengths", lambda row: f"{row.mode} {row.lengths}"),
    ):
        table(found, title, key, aims)
    for name in aims:
        print(f"\nfurthest off in {name}")
        known = [row for row in found if np.isfinite(row.errors[name])]
        for row in sorted(known, key=lambda row: -abs(row.errors[name]))[:worst]:
            print(f"  {row.errors[name]:+8.0%}  {row.asked}")


def main() -> int:
    """Command line of the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenarios", type=int, default=400)
    parser.add_argument("--bursts", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=Path, help="write a line a scenario")
    parser.add_argument("--worst", type=int, default=10)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    print("|estimate / simulate − 1|: median / 90th percentile")
    found = list(rows(options.scenarios, options.seed))
    bursts = list(burst_rows(options.bursts, options.seed))
    for some, aims in ((found, AIMS), (bursts, BURST_AIMS)):
        report(some, aims, options.worst)
    if options.rows:
        with options.rows.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["mode", "engine", "load", "lengths", *AIMS, "scenario"])
            out.writerows(
                [row.mode, row.engine, row.load, row.lengths, *row.errors.values(), row.asked] for row in found
            )
    missed = [
        name for some, aims in ((found, AIMS), (bursts, BURST_AIMS)) for name, aim in aims.items()
        if some and np.nanmedian(np.abs([row.errors[name] for row in some])) > aim
    ]  # fmt: skip
    return int(options.check and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
