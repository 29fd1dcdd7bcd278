"""Scenarios → closed-form serving metrics, one or a hundred thousand at a time.

Scenarios are grouped by model and hardware; each group's distinct deployments are priced once and every
scenario is then a row of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.compile import compile_steps
from rooflab.costs.engine_constants import engine_overhead
from rooflab.costs.step import StepCosts
from rooflab.deploy.bill import bill
from rooflab.deploy.complete import resident_tokens
from rooflab.errors import Infeasible, RooflabError
from rooflab.estimator.serving.answer import Estimate, metrics_of
from rooflab.estimator.serving.first_token import Admission, Client
from rooflab.estimator.serving.groups import groups_of
from rooflab.estimator.serving.load import Case
from rooflab.estimator.serving.modes import Outcome, closed_loop, open_loop, static_batch
from rooflab.memory.account import MemoryAccount, account
from rooflab.memory.explain import Misfit
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.hardware import Hardware
from rooflab.scenario.model import Model
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload

__all__ = ["Columns", "estimate", "estimate_many", "evaluate", "evaluate_columns"]

Array = npt.NDArray[np.float64]

_MODES: Final = ("static", "closed", "open")
_UNCHUNKED: Final = ("fastertransformer", "transformers", "pytorch", "onnxruntime")
"""Engines that always prefill whole prompts."""


def estimate(scenario: Scenario) -> Estimate:
    """Closed-form metrics of one scenario. Raises InputError for an impossible split, Infeasible when it does not
    fit."""
    result = estimate_many([scenario])[0]
    if isinstance(result, RooflabError):
        raise result
    return result


def estimate_many(scenarios: Sequence[Scenario]) -> list[Estimate | RooflabError]:
    """Metrics of each scenario, in order; a scenario that cannot be done yields the error that `estimate` would
    raise."""
    results: list[Estimate | RooflabError | None] = [_pooled(s) if s.deployment.pools else None for s in scenarios]
    together = [i for i, s in enumerate(scenarios) if not s.deployment.pools]
    groups, errors = groups_of([scenarios[i] for i in together])
    for row, error in errors.items():
        results[together[row]] = error
    for group in groups:
        for i, result in zip(
            (together[row] for row in group.rows), evaluate(group.scenarios, group.deployments), strict=True
        ):
            results[i] = result
    return [r for r in results if r is not None]


def _pooled(scenario: Scenario) -> Estimate | RooflabError:
    from rooflab.estimator.serving.pools import estimate_pools

    try:
        return estimate_pools(scenario)
    except RooflabError as error:
        return error


@dataclass(frozen=True, slots=True)
class Columns:
    """Metrics of many rows as arrays, without an object a row.

    `capacity`: whole sequences of full length that an engine holds; a row whose capacity is below 1 does not fit and
    its metrics mean nothing. `saturated`: more is asked for than the deployment serves.
    """

    metrics: dict[str, Array]
    saturated: npt.NDArray[np.bool_]
    capacity: Array
    length: Array

    @property
    def fits(self) -> npt.NDArray[np.bool_]:
        """Whether a row's weights leave room for one sequence."""
        return self.capacity >= 1.0


def evaluate(scenarios: Sequence[Scenario], deployments: Sequence[Deployment]) -> list[Estimate | RooflabError]:
    """Metrics of scenarios that share model, hardware and rewrites, under completed `deployments`."""
    model, hardware = scenarios[0].model, scenarios[0].hardware
    columns = evaluate_columns(scenarios, deployments)
    out: list[Estimate | RooflabError] = []
    names = list(columns.metrics)
    rows = np.array([columns.metrics[name] for name in names]).T.tolist()
    misfits: dict[Deployment, Misfit] = {}
    for i, scenario in enumerate(scenarios):
        if not columns.capacity[i] >= 1.0:
            misfit = misfits.setdefault(deployments[i], Misfit(model, hardware, deployments[i]))
            out.append(Infeasible(misfit.why(float(columns.length[i]))))
            continue
        final = replace(scenario, deployment=deployments[i])
        out.append(Estimate(final, dict(zip(names, rows[i], strict=True)), columns.saturated[i].item()))
    return out


def evaluate_columns(scenarios: Sequence[Scenario], deployments: Sequence[Deployment]) -> Columns:
    """What `evaluate` computes, as columns: a search over thousands of deployments reads these."""
    model, hardware = scenarios[0].model, scenarios[0].hardware
    place: dict[Deployment, int] = {}
    seen = {id(d): place.setdefault(d, len(place)) for d in {id(d): d for d in deployments}.values()}
    which = np.array([seen[id(d)] for d in deployments], dtype=np.intp)
    distinct = list(place)
    priced, priced_row = _representatives(distinct, _PRICED)
    held, held_row = _representatives(distinct, _HELD)
    _, cross = resident_tokens(model, scenarios[0].workload)
    costs = compile_steps(model, hardware, [_priced(d) for d in priced], scenarios[0].rewrites, cross)
    encoder = _encoder_costs(model, hardware, [_priced(d) for d in priced], scenarios[0])
    memory = account(model, hardware, held)
    table = _Table(scenarios, distinct, which, model, _memory_rows(memory, held_row[which]))
    outcome = _solve(table, costs, encoder, priced_row[which])
    metrics = metrics_of(table, outcome, costs, priced_row[which], bill(hardware))
    return Columns(metrics, outcome.saturated, table.capacity, table.length)


_PRICED: Final = attrgetter(
    "engine",
    "engine_version",
    "tp",
    "pp",
    "ep",
    "dp",
    "cp",
    "weights",
    "activations",
    "experts",
    "kv",
    "cuda_graphs",
    "host",
    "speculation",
    "overlap",
    "batching",
    "offload",
)
"""What the price of a step depends on."""
_HELD: Final = attrgetter(
    "engine", "engine_version", "tp", "pp", "ep", "dp", "cp", "weights", "activations", "experts", "kv",
    "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization", "offload",
)  # fmt: skip
"""What the memory account depends on."""


def _representatives(
    distinct: list[Deployment], key: Callable[[Deployment], Any]
) -> tuple[list[Deployment], npt.NDArray[np.intp]]:
    """One deployment for each value of `key`, and which of them stands for each of `distinct`."""
    place: dict[Any, int] = {}
    first: list[Deployment] = []
    rows = np.empty(len(distinct), dtype=np.intp)
    for i, d in enumerate(distinct):
        k = key(d)
        row = place.get(k)
        if row is None:
            row = place[k] = len(first)
            first.append(d)
        rows[i] = row
    return first, rows


def _priced(d: Deployment) -> Deployment:
    """The part of a deployment that its step price depends on."""
    return Deployment(
        engine=d.engine, engine_version=d.engine_version, tp=d.tp, pp=d.pp, ep=d.ep, dp=d.dp, cp=d.cp,
        weights=d.weights,
        activations=d.activations, experts=d.experts, kv=d.kv, cuda_graphs=d.cuda_graphs, host=d.host,
        speculation=d.speculation,
        overlap=d.overlap, batching=d.batching, offload=d.offload,
    )  # fmt: skip


def _encoder_costs(model: Model, hardware: Hardware, priced: list[Deployment], scenario: Scenario) -> StepCosts | None:
    """Step prices of the encoder of an encoder-decoder, as a model of its own."""
    if model.kind != "encoder-decoder":
        return None
    tower = replace(model, kind="encoder", runs=model.encoder, encoder=(), head=False)
    return compile_steps(tower, hardware, priced, scenario.rewrites)


_RESERVING: Final = ("trtllm", "fastertransformer", "trtllm-guaranteed-no-evict")
"""Engines, and schedulers by name, that admit a request only when its longest answer fits."""
_RELAYING: Final = ("llamacpp",)
"""Engines whose layer split works on several micro-batches of one prompt at once, a stage each."""


class _Table:
    """Workload and limits of each scenario as columns."""

    def __init__(
        self,
        scenarios: Sequence[Scenario],
        distinct: list[Deployment],
        which: npt.NDArray[np.intp],
        model: Model,
        memory: MemoryAccount,
    ):
        seen: dict[int, int] = {}
        of = np.array([seen.setdefault(id(s.workload), len(seen)) for s in scenarios], dtype=np.intp)
        by_id = {id(s.workload): s.workload for s in scenarios}
        w = [by_id[key] for key in seen]
        self.scenarios, self.model, self.memory_rows = scenarios, model, memory

        def column(values: Sequence[Any]) -> Array:
            out: Array = np.array(values, dtype=np.float64)[of]
            return out

        def by_deployment(values: Sequence[Any]) -> Array:
            out: Array = np.array(values, dtype=np.float64)[which]
            return out

        prompt = column([x.mean_prompt_tokens for x in w])
        reused = column([x.mean_reused_tokens for x in w]) * by_deployment([d.prefix_caching for d in distinct])
        self.isl = np.maximum(prompt - reused, 1.0)
        # what an encoder reads never enters the decoder's own cache
        self.prompt = prompt if model.kind == "decoder" else np.zeros_like(prompt)
        self.osl = column([x.mean_output_tokens for x in w]) * (model.kind not in ("encoder", "vision"))
        if model.vision:
            self.isl = np.full_like(self.isl, model.vision.patches + 1.0)
        self._loads(w, column)
        self._limits(distinct, which, by_deployment)
        cross = prompt if model.kind == "encoder-decoder" else np.zeros_like(prompt)
        self.length = self.prompt + self.osl * self.beams
        self.capacity = np.where(memory.fits, np.minimum(memory.sequences(self.length, cross), 1e9), 0.0)
        # a running engine holds sequences at all stages of their growth: on average half the output is there
        # ... unless admission reserves room for the whole answer (TensorRT-LLM's guaranteed-no-evict, static engines)
        held = np.where(np.array([(d.scheduler or d.engine) in _RESERVING for d in distinct])[which], 1.0, 0.5)
        self.capacity_steady = np.where(
            memory.fits, np.minimum(memory.sequences(self.prompt + self.osl * self.beams * held, cross), 1e9), 0.0
        )
        self.causal = np.full(len(scenarios), model.kind == "decoder")

    def _loads(self, w: list[Workload], column: Callable[[Sequence[Any]], Array]) -> None:
        """Columns of what arrives."""
        self.isl_cv, self.osl_cv = column([x.spread("isl") for x in w]), column([x.spread("osl") for x in w])
        self.beams = column([x.beams for x in w])
        self.arrivals_cv = column(
            [x.arrivals_cv if x.arrivals == "gamma" else {"uniform": 0.0}.get(x.arrivals, 1.0) for x in w]
        )
        self.rounds = column([x.rounds for x in w])
        self.burst = column([x.start == "burst" for x in w]) > 0
        modes = ["static" if x.mode == "static" else "open" if x.mode in ("open", "trace") else "closed" for x in w]
        self.mode = column([_MODES.index(m) for m in modes])
        wanted = [x.concurrency or 0 for x in w]
        self.users = column(wanted)
        self.rate = column([x.rate or 0.0 for x in w])
        self.batch = column([x.batch or (1 if x.scenario == "batch1" else 0) for x in w])

    def _limits(
        self, distinct: list[Deployment], which: npt.NDArray[np.intp], by_deployment: Callable[[Sequence[Any]], Array]
    ) -> None:
        """Columns of what engines are set to and add."""
        self.replicas = by_deployment([d.replicas for d in distinct])
        self.devices = by_deployment([d.devices for d in distinct])
        self.max_seqs = by_deployment([d.max_num_seqs * d.dp for d in distinct])
        engines = [d.engine for d in distinct]
        engines_used, engine_row = _representatives(
            distinct, attrgetter("engine", "engine_version", "host", "cuda_graphs")
        )
        family = self.scenarios[0].hardware.device.family
        overheads = [engine_overhead(d, moe=self.model.is_moe, family=family) for d in engines_used]
        self.frontend_s = np.array([o.frontend_s for o in overheads])[engine_row][which]
        self.frontend_user_s = np.array([o.frontend_user_s for o in overheads])[engine_row][which]
        self.convoy = np.array([o.convoy for o in overheads])[engine_row][which]
        # engines without a scheduler take the whole batch in one step
        whole = np.array([e in _UNCHUNKED or self.model.kind != "decoder" for e in engines])[which]
        self.chunk = np.where(whole, 1e9, by_deployment([d.max_num_batched_tokens * d.dp for d in distinct]))
        self.chunked = ~whole & (by_deployment([d.chunked_prefill for d in distinct]) > 0)
        self._admission = [
            by_deployment(values)
            for values in zip(*((d.admit_every, d.batch_wait_steps) for d in distinct), strict=True)
        ]
        self.lanes = by_deployment([d.pp for d in distinct])
        layers = self.model.layers
        self.balance = by_deployment([layers / (-(-layers // d.pp) * d.pp) for d in distinct])
        self.relay = np.where(
            by_deployment([d.engine in _RELAYING for d in distinct]), np.maximum(self.lanes * self.balance, 1.0), 1.0
        )
        self.yields = by_deployment([d.speculation.tokens_per_step if d.speculation else 1.0 for d in distinct])

    def admission(self, rows: npt.NDArray[np.bool_]) -> Admission:
        """The scheduler's settings for taking up prompts, of `rows`."""
        return Admission(*(column[rows] for column in self._admission))


def _memory_rows(memory: MemoryAccount, which: npt.NDArray[np.intp]) -> MemoryAccount:
    """The account of each row."""

    def rows(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple((b[which], window) for b, window in value)
        return value[which]

    return MemoryAccount(**{f: rows(getattr(memory, f)) for f in MemoryAccount.__dataclass_fields__})


def _solve(t: _Table, costs: StepCosts, encoder: StepCosts | None, which: npt.NDArray[np.intp]) -> Outcome:
    """Outcomes of all rows, each by its mode."""
    osl = np.maximum(t.osl, 1.0)
    case = Case(
        which=which, isl=t.isl, prompt=t.prompt, osl=osl, chunk=t.chunk, chunked=t.chunked, lanes=t.lanes,
        stage_balance=t.balance, yields=t.yields, causal=t.causal, beams=t.beams, isl_cv=t.isl_cv, relay=t.relay,
        encoder=encoder,
    )  # fmt: skip
    limit = np.maximum(np.minimum(t.capacity_steady, t.max_seqs), 1.0)
    parts: list[tuple[npt.NDArray[np.bool_], Outcome]] = []
    static, closed, opened = (t.mode == i for i in range(3))
    if static.any():
        c = case.take(static)
        batch = t.batch[static] / t.replicas[static]
        capacity = np.maximum(np.floor(t.capacity[static]), 1.0)
        parts.append((static, static_batch(costs, c, np.maximum(batch, 1.0), capacity)))
    if closed.any():
        c = case.take(closed)
        users = np.where(t.users[closed] > 0, t.users[closed] / t.replicas[closed], limit[closed])
        parts.append(
            (
                closed,
                closed_loop(
                    costs, c, users, limit[closed], client=Client(t.rounds[closed], t.burst[closed], t.osl_cv[closed]),
                    frontend_s=t.frontend_s[closed] + t.frontend_user_s[closed] * users,
                    convoy=t.convoy[closed], admission=t.admission(closed), endless=t.users[closed] == 0,
                ),
            )
        )  # fmt: skip
    if opened.any():
        c = case.take(opened)
        parts.append(
            (
                opened,
                open_loop(
                    costs, c, t.rate[opened] / t.replicas[opened], limit[opened], frontend_s=t.frontend_s[opened],
                    arrivals_cv=t.arrivals_cv[opened], isl_cv=t.isl_cv[opened], osl_cv=t.osl_cv[opened],
                    admission=t.admission(opened),
                ),
            )
        )  # fmt: skip
    return _join(parts, len(t.isl))


def _join(parts: list[tuple[npt.NDArray[np.bool_], Outcome]], n: int) -> Outcome:
    """One outcome from those of disjoint masks."""
    if len(parts) == 1:
        return parts[0][1]

    def join(values: list[Any]) -> Any:
        first = values[0]
        if isinstance(first, dict):
            return {k: join([v[k] for v in values]) for k in first}
        if isinstance(first, tuple):
            return type(first)(*(join(list(column)) for column in zip(*values, strict=True)))
        out = np.empty(n, dtype=first.dtype)
        for (mask, _), v in zip(parts, values, strict=True):
            out[mask] = v
        return out

    return Outcome(**{f: join([getattr(o, f) for _, o in parts]) for f in Outcome.__dataclass_fields__})
