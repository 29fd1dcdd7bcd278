"""Serving rows as a fit sees them: which say something of what, under which entry they stand, and in which form they
are asked."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from rooflab.costs.calibration import calibration_for
from rooflab.costs.engine_constants import era
from rooflab.errors import RooflabError
from rooflab.estimator.serving.pools import decode_pool
from rooflab.evidence.fit.serving import FitRow
from rooflab.evidence.rows.best import Choice, best_of
from rooflab.evidence.rows.labels import stands_for
from rooflab.evidence.rows.mlperf import benchmark, is_mlperf
from rooflab.evidence.rows.serving import Question, Unsupported, question
from rooflab.evidence.rows.untrue import beside_others, beyond_context
from rooflab.scenario.scenario import Scenario

__all__ = [
    "block_scaled",
    "contended",
    "engine_key",
    "fits_speed",
    "grouped",
    "has_tables",
    "is_first_token",
    "own_tables",
    "pool_alone",
    "read_rows",
    "scenario",
    "settled",
    "slow_vllm",
    "weight",
]

_ON_A_BOARD: Final = re.compile(r"^(Pi|HiFive|Radxa)\b.*\((AMD|Intel)\b")
"""Labels of geerlingguy/ai-benchmarks: an R9700 makes 196 tokens a second in a desktop and 78 behind a Pi; NVIDIA's
cards are as fast on both."""
_INFERRED: Final = 0.25
"""Weight of a row whose deployment is inferred, beside one whose deployment is stated; assumed."""
_ONE_PROMPT: Final = (("Argonne LLM-Inference-Bench", "deepspeed"), ("Argonne LLM-Inference-Bench", "trtllm"))
"""Source and engine of clients that repeat one prompt and decode greedily: "France France ..." under DeepSpeed, as its
code says (github.com/argonne-lcf/LLM-Inference-Bench, Deepspeed-MII/A100/pipeline.py). Under TensorRT-LLM it is
inferred: its run.py has one sentence unless told otherwise, and a batch of 16 takes 11 ms a token where reading all
experts of Mixtral over 4 A100 takes 15.  Its vLLM client draws tokens at random and samples."""


def read_rows(path: Path) -> list[FitRow]:
    """Rows of a truth table that can be asked; suspect and unsupported ones and those that cannot be true are left
    out."""
    asked: list[tuple[dict[str, str], Question]] = []
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            with suppress(Unsupported):
                asked.append((row, question(row)))
    asked = [(row, q) for row, q in asked if not beyond_context(q)]
    untrue = beside_others([row for row, _ in asked])
    return [
        FitRow(
            q,
            row["source"],
            benchmark(row) if is_mlperf(row) else row["model"],
            row["gpu"],
            weight=weight(row, q),
        )
        for row, q in asked
        if row["id"] not in untrue
    ]


def weight(row: Mapping[str, str], q: Question) -> float:
    """What a row weighs in a fit.

    How fast a server may be within its limits tells of the load model too, and a stack that stands for another one has
    kernels of its own: both are foretold and never fitted, and so are AMD's and Intel's cards behind a single-board
    computer, which wait for its processor, and batches of one prompt over and over, whose tokens all go to the same
    experts of a mixture.  A batch that is only said to be the most that fits is inferred.
    """
    if q.scenarios[0].slo or stands_for(row["engine"]) or _ON_A_BOARD.search(row["gpu"]) or _one_prompt(row, q):
        return 0.0
    return _INFERRED if row["batch_or_concurrency"] == "max that fits" else 1.0


def _one_prompt(row: Mapping[str, str], q: Question) -> bool:
    """Whether a batch of a mixture repeats one prompt, decoded greedily."""
    s = q.scenarios[0]
    asked = (row["source"], s.deployment.runtime.engine) in _ONE_PROMPT
    return asked and s.model.is_moe and (s.workload.batch or 1) > 1


def scenario(row: FitRow) -> Scenario:
    """The (first) scenario that a row asks for."""
    return row.question.scenarios[0]


def engine_key(row: FitRow) -> str:
    """The calibration entry that a row tells of: engine@generation/kind, with the host where an engine has an entry of
    its own there."""
    s = scenario(row)
    generation = era(s.deployment.runtime.engine, s.deployment.runtime.engine_version)
    key = f"{s.deployment.runtime.engine}@{generation}/{'moe' if s.model.is_moe else 'dense'}"
    return f"{key}:slow host" if s.deployment.runtime.host == "slow" and s.deployment.runtime.engine != "vllm" else key


def contended(row: FitRow) -> bool:
    """Whether the row's engine shared its processor, which adds to the constants of any engine."""
    return scenario(row).deployment.runtime.host == "contended"


def slow_vllm(row: FitRow) -> bool:
    """vLLM on a slow host adds to the constants of vLLM; other engines get an entry of their own there."""
    d = scenario(row).deployment
    return bool(d.runtime.host == "slow" and d.runtime.engine == "vllm")


def block_scaled(row: FitRow) -> bool:
    """Whether the row's experts are fp8 with a scale a block."""
    s = scenario(row)
    return bool(s.model.is_moe and (s.deployment.formats.experts or s.deployment.formats.weights) == "fp8-block")


def has_tables(row: FitRow) -> bool:
    """Whether kernels of the row's device are fitted to tables, its own or a relative's."""
    s = scenario(row)
    return calibration_for(s.hardware.device, s.deployment.runtime.engine).provenance == "fitted"


def own_tables(row: FitRow) -> bool:
    """Whether the row's device has tables of its own."""
    s = scenario(row)
    return calibration_for(s.hardware.device, s.deployment.runtime.engine).in_table


def fits_speed(row: FitRow) -> bool:
    """Whether the row tells of steps: not of waiting, not of the worst step."""
    metric, mode = row.question.metric, scenario(row).workload.mode
    if metric.endswith("p99") or (len(row.question.scenarios) > 1 and not _free(row)):
        return False
    if scenario(row).deployment.cluster.pools:  # a decode pool's pace tells of its steps; throughput waits for prompts
        return metric.startswith("tpot")
    return not metric.startswith("ttft") or mode == "static"


def pool_alone(row: FitRow) -> FitRow:
    """A row of separate pools as one of its decode pool under the sequences that it holds, which hardly depend on the
    constants."""
    if not scenario(row).deployment.cluster.pools:
        return row
    try:
        alone = decode_pool(scenario(row))
    except RooflabError:
        return row
    return replace(row, question=replace(row.question, scenarios=(alone,)))


def _free(row: FitRow) -> bool:
    """Whether a submitter chose the deployment, for throughput (MLPerf)."""
    return is_mlperf({"source": row.source}) and "per_s" in row.question.metric


def settled(rows: Sequence[FitRow]) -> list[FitRow]:
    """Rows whose deployment was free, as the deployment that is best at the present constants.

    At the best of several deployments the others do not move the answer, so the slopes are those of the best alone.
    A server's load is found anew at other constants.  Experts over several devices can be split in more ways than are
    tried, so such rows are foretold only.
    """
    free = [i for i, r in enumerate(rows) if len(r.question.scenarios) > 1]
    out = list(rows)
    for i, best in zip(free, best_of([Choice(rows[i].question.scenarios) for i in free]), strict=True):
        if best is not None:
            settled = best.scenario.with_workload(scenario=None, rate=None) if best.scenario.slo else best.scenario
            sure = not settled.model.is_moe or settled.deployment.split.devices_per_replica == 1
            asked = replace(rows[i].question, scenarios=(settled,))
            out[i] = replace(rows[i], question=asked, weight=rows[i].weight * _INFERRED if sure else 0.0)
    return out


def is_first_token(row: FitRow, *, pools: bool = False) -> bool:
    """Whether the row is a first token of a closed loop, of one engine or of separate pools."""
    s = scenario(row)
    told = row.question.metric in ("ttft_s_mean", "ttft_s_p50") and s.workload.mode == "closed"
    return told and bool(s.deployment.cluster.pools) == pools


def grouped(rows: Iterable[FitRow], key: Callable[[FitRow], str]) -> dict[str, list[FitRow]]:
    """Rows by key, keys in order."""
    groups: dict[str, list[FitRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return {k: groups[k] for k in sorted(groups)}
