"""Scenarios that share a model as columns: what arrives, what engines are set to, what memory holds, a row each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.costs.engine_constants import engine_overhead
from rooflab.deploy.rules import EngineRules, engine_rules, scheduler_of
from rooflab.deploy.stack import EngineStack, representatives
from rooflab.estimator.serving.burst_sent import Sent, answers
from rooflab.estimator.serving.first_token import Admission
from rooflab.estimator.serving.lengths import decoded, shape
from rooflab.estimator.serving.load import NO_BUDGET
from rooflab.estimator.serving.shared import held, once, shared_tokens
from rooflab.memory.account import MemoryAccount
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.paid import paid
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.workload import Workload

__all__ = ["MODES", "Table"]

Array = npt.NDArray[np.float64]

MODES: Final = ("static", "closed", "open", "burst")
_UNCHUNKED: Final = ("fastertransformer", "transformers", "pytorch", "onnxruntime")
"""Engines that always prefill whole prompts."""


_DIFFER: Final = 0.05
"""Coefficient of variation from which answers differ as far as admission by an estimate goes: read off the simulator,
which throws out many at 0 and few at 0.1."""
_RELAYING: Final = ("llamacpp",)
"""Engines whose layer split works on several micro-batches of one prompt at once, a stage each."""


class Table:
    """Workload and limits of each scenario as columns; `which` of the engines serves each of them."""

    def __init__(self, scenarios: Sequence[Scenario], engines: EngineStack, which: npt.NDArray[np.intp]):
        model, distinct, memory = engines.model, engines.deployments, _rows(engines.memory, engines.held_row[which])
        seen: dict[int, int] = {}
        of = np.array([seen.setdefault(id(s.workload), len(seen)) for s in scenarios], dtype=np.intp)
        by_id = {id(s.workload): s.workload for s in scenarios}
        w = [by_id[key] for key in seen]
        self.scenarios, self.model, self.memory_rows = scenarios, model, memory
        self._distinct, self._which = distinct, which

        def column(values: Sequence[Any]) -> Array:
            out: Array = np.array(values, dtype=np.float64)[of]
            return out

        def by_deployment(values: Sequence[Any]) -> Array:
            out: Array = np.array(values, dtype=np.float64)[which]
            return out

        prompt = column([x.mean_prompt_tokens for x in w])
        kept = by_deployment([max(d.limits.prefix_caching, 1.0 - paid().recomputation) for d in distinct])
        reused = column([x.mean_reused_tokens for x in w]) * kept
        self.isl = np.maximum(prompt - reused, 1.0)
        self.shared = column([shared_tokens(x) for x in w]) * by_deployment([d.limits.prefix_caching for d in distinct])
        self.shared *= model.kind == "decoder"
        # what an encoder reads never enters the decoder's own cache
        self.prompt = prompt if model.kind == "decoder" else np.zeros_like(prompt)
        self.osl = column([x.mean_output_tokens for x in w]) * (model.kind not in ("encoder", "vision"))
        if model.vision:
            self.isl = np.full_like(self.isl, model.vision.patches + 1.0)
        self._loads(w, column)
        self._limits(distinct, which, by_deployment)
        cross = prompt if model.kind == "encoder-decoder" else np.zeros_like(prompt)
        self.length = self.prompt + self.osl * self.beams
        more, written = (column(x) for x in zip(*(decoded(x) for x in w), strict=True))
        self.standing = np.maximum(self.prompt + (more if model.kind == "decoder" else 0.0), 0.0)
        self.written = self.osl / 2 * written
        self._workloads = [s.workload for s in scenarios]

        def fitting(length: Array) -> Array:
            return np.where(memory.fits, held(memory, length, cross, self._workloads, self.shared), 0.0)

        self.capacity = fitting(self.length)
        # a running engine holds sequences at all stages of their growth: on average half the output is there, unless
        # admission reserves room for the whole answer; and those with long answers for longer
        whole = by_deployment([self.rules(d).reserve == "whole" for d in distinct]) > 0
        self.capacity_steady = fitting(self.standing + self.written * self.beams * np.where(whole, 2.0, 1.0))
        # who takes in as many as are thought to grow up throws out few where answers differ; those that are alike come
        # to their end together, and what is thought to be needed has fallen too far by then
        guarded = by_deployment([self.rules(d).estimate[0] for d in distinct]) > 0
        self.growing = ~whole & ~(guarded & (self.osl_cv > _DIFFER)) & (self.capacity_steady < self.max_seqs)
        self.causal = np.full(len(scenarios), model.kind == "decoder")

    def _loads(self, w: list[Workload], column: Callable[[Sequence[Any]], Array]) -> None:
        """Columns of what arrives."""
        self.isl_shape, self.osl_shape = (column([shape(x, name) for x in w]) for name in ("isl", "osl"))
        self.isl_cv, self.osl_cv = column([x.spread("isl") for x in w]), column([x.spread("osl") for x in w])
        self.beams = column([x.beams for x in w])
        self.arrivals_cv = column(
            [x.arrivals_cv if x.arrivals == "gamma" else {"uniform": 0.0}.get(x.arrivals, 1.0) for x in w]
        )
        self.group = column([x.burst_size if x.arrivals == "burst" else 1 for x in w])
        self.rounds = column([x.each_user for x in w])
        self.burst = column([x.start != "staggered" for x in w]) > 0
        # answers that differ by a token and more come out of step, however they began
        alike = [x.spread("osl") * x.mean_output_tokens < 1 for x in w]
        self.lockstep = column([x.start == "lockstep" and same for x, same in zip(w, alike, strict=True)]) > 0
        modes = {"static": "static", "open": "open", "trace": "open", "burst": "burst"}
        self.mode = column([MODES.index(modes.get(x.mode, "closed")) for x in w])
        wanted = [x.concurrency or 0 for x in w]
        self.users = column(wanted)
        self.rate = column([x.rate or 0.0 for x in w])
        self.batch = column([x.batch or (1 if x.scenario == "batch1" else 0) for x in w])
        self.burst_size = column([x.burst or 0 for x in w])

    def _limits(
        self,
        distinct: Sequence[Deployment],
        which: npt.NDArray[np.intp],
        by_deployment: Callable[[Sequence[Any]], Array],
    ) -> None:
        """Columns of what engines are set to and add."""
        # fewer requests than engines leave the rest without any: a request is on one engine, whatever stands beside it
        replicas = by_deployment([d.cluster.replicas for d in distinct])
        sent = np.where(self.users > 0, np.minimum(self.users, self.burst_size), self.burst_size)
        together = np.choose(self.mode.astype(int), (self.batch, self.users, self.users, sent))
        self.in_use = np.where(together > 0, np.minimum(np.maximum(together, 1.0), replicas), replicas)
        self.idle = replicas - self.in_use
        self.devices = by_deployment([d.devices for d in distinct])
        self.max_seqs = by_deployment([d.limits.max_num_seqs * d.split.dp for d in distinct])
        engines = [d.runtime.engine for d in distinct]
        engines_used, engine_row = representatives(distinct, lambda d: d.runtime)
        family = self.scenarios[0].hardware.device.family
        overheads = [engine_overhead(d.runtime, moe=self.model.is_moe, family=family) for d in engines_used]
        self.frontend_s = np.array([o.frontend_s for o in overheads])[engine_row][which]
        self.frontend_user_s = np.array([o.frontend_user_s for o in overheads])[engine_row][which]
        self.convoy = np.array([o.convoy for o in overheads])[engine_row][which]
        # engines without a scheduler take the whole batch in one step
        rules = [self.rules(d) for d in distinct]
        whole = np.array([e in _UNCHUNKED or self.model.kind != "decoder" for e in engines])[which]
        unbounded = whole | (by_deployment([r.budgeted for r in rules]) == 0)
        self.chunk = np.where(
            unbounded, NO_BUDGET, by_deployment([d.limits.max_num_batched_tokens * d.split.dp for d in distinct])
        )
        self.mixed = ~whole & (by_deployment([r.mixed for r in rules]) > 0)
        self._admission = [
            by_deployment(values)
            for values in zip(*((d.limits.admit_every, d.limits.batch_wait_steps) for d in distinct), strict=True)
        ]
        self.lanes = by_deployment([d.split.pp for d in distinct])
        layers = self.model.layers
        self.balance = by_deployment([layers / (-(-layers // d.split.pp) * d.split.pp) for d in distinct])
        self.relay = np.where(
            by_deployment([d.runtime.engine in _RELAYING for d in distinct]),
            np.maximum(self.lanes * self.balance, 1.0),
            1.0,
        )
        self.yields = by_deployment(
            [d.runtime.speculation.tokens_per_step if d.runtime.speculation else 1.0 for d in distinct]
        )

    @property
    def gated(self) -> npt.NDArray[np.bool_]:
        """Whether an engine runs a batch to its end before the next one."""
        rules = np.array([self.rules(d).gated for d in self._distinct])
        return rules[self._which]

    def shared_twice(self, running: Array) -> Array:
        """Tokens of `running` sequences of a rank that lie in its cache once for several of them."""
        return running * self.shared - once(self._workloads, self.shared, running)

    def sent(self, rows: npt.NDArray[np.bool_]) -> Sent:
        """The bursts of `rows`, before each of the engines that are in use; the users of a closed loop are one."""
        rules = [self.rules(self._distinct[i]) for i in self._which[rows]]
        estimate = np.array([r.estimate for r in rules])
        engines, users = self.in_use[rows], self.users[rows]
        held = np.where(users > 0, users, np.inf)
        size = np.where(self.burst_size[rows] > 0, self.burst_size[rows], users)
        flight = np.minimum(held, size)
        return Sent(
            count=np.ceil(size / engines), mean=size / engines, engines=engines,
            flight=np.where(users > 0, np.maximum(np.floor(held / engines), 1.0), np.inf),
            frontend_s=self.frontend_s[rows]
            + self.frontend_user_s[rows] * np.where(users > 0, flight, 0.0) / engines,
            places=self.max_seqs[rows],
            room=np.where(self.length[rows] > 0, self.capacity[rows] * (self.length - self.shared)[rows], np.inf),
            shared=self.shared[rows],
            answers=self._answers(rows), whole=np.array([r.reserve == "whole" for r in rules]),
            gated=np.array([r.gated for r in rules]) | ~self.causal[rows],
            estimate=(estimate[:, 0], estimate[:, 1], estimate[:, 2]),
            spare=np.array([r.watermark for r in rules]),
        )  # fmt: skip

    def _answers(self, rows: npt.NDArray[np.bool_]) -> Array:
        """Tokens of the answers of `rows` by their shares."""
        known: dict[int, Array] = {}
        out = []
        for i in np.flatnonzero(rows).tolist():
            w = self.scenarios[i].workload
            if id(w) not in known:
                known[id(w)] = answers(w)
            out.append(known[id(w)] * (self.osl[i] > 0))
        all_of: Array = np.maximum(np.stack(out), 1.0)
        return all_of

    @staticmethod
    def rules(deployment: Deployment) -> EngineRules:
        """How the engine of a deployment forms its steps."""
        return engine_rules(scheduler_of(deployment))

    def admission(self, rows: npt.NDArray[np.bool_]) -> Admission:
        """The scheduler's settings for taking up prompts, of `rows`."""
        return Admission(*(column[rows] for column in self._admission))


def _rows(memory: MemoryAccount, which: npt.NDArray[np.intp]) -> MemoryAccount:
    """The account of each row."""

    def rows(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple((b[which], window) for b, window in value)
        return value[which]

    return MemoryAccount(**{f: rows(getattr(memory, f)) for f in MemoryAccount.__dataclass_fields__})
