"""Published energy measurements → predictions: joules a token and watts of serving, time and energy under limits and
clocks.

Serving rows (ML.ENERGY) become serving scenarios and are priced by the engine, images and videos are priced from their
denoiser (`diffusion_rows`); training rows of Zeus and Perseus are
predicted from the reference of their series (`energy_series`); MLPerf power rows ask for the watts of a busy node.
What cannot be modelled is returned with its reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from math import log2
from typing import Final

from rooflab.catalogue.hardware import hardware
from rooflab.costs.power import clock_law, loaded_idle_w
from rooflab.errors import InputError, RooflabError
from rooflab.estimator.serving.answer import Estimate
from rooflab.estimator.serving.front import estimate_many
from rooflab.evidence.rows import diffusion as diffusion_rows
from rooflab.evidence.rows.energy_series import predict, series_of
from rooflab.evidence.rows.serving import TASKS, Unsupported
from rooflab.evidence.rows.serving import question as serving_question
from rooflab.scenario.scenario import Scenario

__all__ = ["Answer", "OldRuns", "Served", "answers", "question", "served", "serving_answers", "serving_row"]

Row = Mapping[str, str]

METRICS: Final = {
    "energy_per_output_token": "j_per_token", "energy_per_request": "j_per_request", "avg_power_all_gpus": "power_w",
    "output_throughput": "output_tokens_per_s", "median_itl": "itl_ms", "p99_itl": "itl_p99_ms", "avg_tpot": "tpot_s",
}  # fmt: skip

_CHARGED_NODE_SHARE: Final = 0.93
"""Mean power of a GPU in a training run at scale over its TDP (Zeus and Perseus: 0.92 to 1.0 of a limit that binds)."""

_HOST_DRAW_SHARE: Final = 0.38
"""What a training host draws over its nameplate overhead (fitted to the single-node rows of MLPerf Training 4.0 and
5.0)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One row: what was predicted and measured, in the row's unit; `group` is what is left out together; `provenance`
    of the number."""

    id: str
    metric: str
    group: str
    predicted: float
    measured: float
    provenance: str


@dataclass(frozen=True, slots=True)
class OldRuns:
    """What leaderboard v2 (vLLM 0.5, workers driven over Ray) adds to our engine, fitted by `power_fit`.

    Host seconds a step, a step and doubling of devices, a step and sequence; requests of a run: with N in flight a
    share N / requests of the run drains, and its mean throughput falls.
    """

    step_s: float
    doubling_s: float
    sequence_s: float
    requests: float

    def slower(self, tpot_s: float, running: float, devices: int) -> tuple[float, float]:
        """(factor on time per token, factor by which draining lowers throughput)."""
        host_s = self.step_s + self.doubling_s * log2(devices) + self.sequence_s * running
        return 1.0 + host_s / tpot_s, 1.0 + running / self.requests


@cache
def _old_runs() -> OldRuns:
    raw = json.loads(resources.files("rooflab.costs").joinpath("fits/power.json").read_text("utf-8"))["old_runs"]
    return OldRuns(raw["step_s"], raw["doubling_s"], raw["sequence_s"], raw["requests"])


@dataclass(frozen=True, slots=True)
class Served:
    """A serving configuration as predicted: power of all devices (W), tokens/s, times (s), output tokens a request."""

    power_w: float
    output_tokens_per_s: float
    tpot_s: float
    itl_s: float
    itl_p99_s: float
    output_tokens: float

    def value(self, metric: str) -> float:
        """The value of a truth metric in its unit."""
        joules = self.power_w / self.output_tokens_per_s
        return {
            "energy_per_output_token": joules,
            "energy_per_request": joules * self.output_tokens,
            "avg_power_all_gpus": self.power_w,
            "output_throughput": self.output_tokens_per_s,
            "median_itl": self.itl_s * 1e3,
            "p99_itl": self.itl_p99_s * 1e3,
            "avg_tpot": self.tpot_s,
        }[metric]


def serving_row(row: Row) -> dict[str, str]:
    """A serving configuration of ML.ENERGY in the columns of the serving table. Raises Unsupported."""
    task = row["task"]
    if task not in TASKS:
        raise Unsupported(f"task {task}")
    old = row["source"].endswith("v2")
    fp8 = row["precision"] == "fp8"
    return {
        "id": row["id"], "source": "ML.ENERGY leaderboard", "engine": "vLLM", "engine_version": "0.5.4" if old else "",
        "model": row["model"], "precision_weights": row["precision"], "precision_activations": "fp8" if fp8 else "bf16",
        "precision_kv": "", "gpu": row["gpu"], "num_gpus": row["num_gpus"], "tp": row["tp"] or "1",
        "pp": row["pp"] or "1",
        "ep": row["ep"] or "1", "batch_or_concurrency": str(max(round(float(row["batch_size"])), 1)), "isl": "",
        "osl": row["seq_or_output_len"], "scenario": "fixed-concurrency", "metric": "output_tok_s", "value": "1",
        "per_gpu": "0",
        "notes": f"task={task}", "date": row["date"], "ship": "0",
    }  # fmt: skip


def question(row: Row) -> Scenario:
    """The scenario that a serving row of ML.ENERGY measured. Raises Unsupported with the reason."""
    return serving_question(serving_row(row)).scenarios[0]


def served(estimate: Estimate, row: Row, old: OldRuns | None = None) -> Served:
    """What an estimate says of a row, with the host time and the finite runs of the old leaderboard (shipped ones
    unless given)."""
    m, osl = estimate.metrics, float(row["seq_or_output_len"])
    tokens_per_s, power_w, tpot_s = m["output_tokens_per_s"], m["power_w"], m["tpot_s_mean"]
    stretch = drain = 1.0
    if row["source"].endswith("v2"):
        d = estimate.scenario.deployment
        stretch, drain = (old or _old_runs()).slower(
            tpot_s, m["running"] / d.cluster.replicas, (d.split.tp or 1) * d.split.pp
        )
    idle_w = m["devices"] * loaded_idle_w(estimate.scenario.hardware)
    return Served(
        power_w=idle_w + max(power_w - idle_w, 0.0) / stretch / drain,
        output_tokens_per_s=tokens_per_s / stretch / drain,
        tpot_s=tpot_s * stretch,
        itl_s=m["itl_s_p50"] * stretch,
        itl_p99_s=m["itl_s_p99"] * stretch,
        output_tokens=osl,
    )


def answers(rows: Iterable[Row]) -> tuple[list[Answer], dict[str, str]]:
    """Predictions of energy rows, and the reason by id for those that cannot be modelled."""
    rows = list(rows)
    done: list[Answer] = []
    unsupported: dict[str, str] = {}
    for answer, reason in (*serving_answers(rows), *_diffusion(rows), *_series(rows), *_nodes(rows)):
        if reason:
            unsupported[answer.id] = reason
        else:
            done.append(answer)
    seen = {a.id for a in done} | unsupported.keys()
    unsupported |= {row["id"]: f"task {row['task']}" for row in rows if row["id"] not in seen}
    return done, unsupported


def _blank(row: Row) -> Answer:
    return Answer(row["id"], row["metric"], "", float("nan"), float(row["value"]), "")


def serving_answers(rows: Sequence[Row], old: OldRuns | None = None) -> Iterator[tuple[Answer, str]]:
    """Predictions of ML.ENERGY's serving rows, or the reason why there is none."""
    configs: dict[str, list[Row]] = {}
    for row in rows:
        if row["source"].startswith("ML.ENERGY") and row["metric"] in METRICS and row["max_num_seqs"].strip():
            configs.setdefault(row["config_id"], []).append(row)
    asked: list[tuple[list[Row], Scenario]] = []
    for config in configs.values():
        try:
            asked.append((config, question(config[0])))
        except Unsupported as error:
            yield from ((_blank(row), str(error)) for row in config)
    for (config, _), result in zip(asked, estimate_many([s for _, s in asked]), strict=True):
        if isinstance(result, RooflabError):
            yield from ((_blank(row), str(result)[:80]) for row in config)
            continue
        got = served(result, config[0], old)
        for row in config:
            group = f"{row['model']}/{result.scenario.hardware.device.key}/{row['source'][-2:]}"
            yield replace(_blank(row), group=group, predicted=got.value(row["metric"]), provenance="fitted"), ""


def _diffusion(rows: Sequence[Row]) -> Iterator[tuple[Answer, str]]:
    for row in rows:
        if row["metric"] not in diffusion_rows.METRICS or not row["task"].removeprefix("diffusion/").startswith(
            ("text-to-", "image-to-")
        ):
            continue
        try:
            work = diffusion_rows.job(row)
        except Unsupported as error:
            yield _blank(row), str(error)
            continue
        yield replace(_blank(row), group=work.group, predicted=work.value(row["metric"]), provenance="fitted"), ""


def _series(rows: Sequence[Row]) -> Iterator[tuple[Answer, str]]:
    training = [r for r in rows if r["source"].startswith(("Zeus", "Perseus"))]
    by_id = {r["id"]: r for r in training}
    for series in series_of(training):
        provenance = clock_law(series.machine.device).provenance
        for id_, metric, predicted, measured in predict(series):
            yield Answer(id_, metric, series.group, predicted, measured, provenance), ""
            by_id.pop(id_, None)
    yield from ((_blank(row), "reference of its series") for row in by_id.values())


def _nodes(rows: Sequence[Row]) -> Iterator[tuple[Answer, str]]:
    """MLPerf training power: nodes whose devices are busy, and their hosts."""
    for row in rows:
        if not row["source"].startswith("MLPerf"):
            continue
        if row["metric"] == "energy_to_train_system":
            yield _blank(row), "time to train folds in convergence"
            continue
        devices = int(row["num_gpus"])
        try:
            machine = hardware({"device": row["gpu"].removeprefix("NVIDIA "), "count": devices})
        except InputError as error:
            yield _blank(row), error.message
            continue
        watts = (
            devices * _CHARGED_NODE_SHARE * machine.device.tdp_w
            + _HOST_DRAW_SHARE * machine.hosts * machine.host_power_w
        )
        share = devices if row["metric"] == "avg_power_per_gpu_share" else 1
        yield (
            replace(_blank(row), group=f"{row['model']}/{row['gpu']}", predicted=watts / share, provenance="fitted"),
            "",
        )
