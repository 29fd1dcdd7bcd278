"""How a workload loads one engine: the mean step of a steady state, in closed form and for arrays of cases.

With N sequences running and prompts of I tokens for outputs of O, a fraction f of steps carries a prompt chunk
of q tokens besides the N decodes:

    N = min(running, chunk / (1 + I/O))         (a full token budget: the rest of those running wait for their prompts)
    q = min(I · max(1, N/O), chunk − N)         (several prompts share a step when they arrive faster than steps)
    f = N·I / (O·q)                             (tokens in = tokens out)
    TPOT = (1 − f)·T(N) + f·T(N + q)

A beam search of width b feeds b tokens a sequence and step, and reads the prompt's cache once for all of them:
b·N decodes, at the mean context (I + b·O/2) / b each.

Without chunking a prompt stops the decodes: TPOT = T(N) + (N/O)·T_prefill(I) (vLLM v0, Orca).
T is the shared step cost at the mean context I + O/2, so the weights that a step reads are shared by prompt and
decodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rooflab.costs.step import StepCosts, StepResult
from rooflab.estimator.serving.lengths import WEIGHTS

__all__ = [
    "NO_BUDGET",
    "Case",
    "Steady",
    "all_lanes",
    "decode_step",
    "lanes_in_use",
    "mixed_step",
    "pairs",
    "prefill_seconds",
    "steady_state",
]

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

NO_BUDGET: Final = 1e9
"""Tokens a step where there is no budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One engine's load per row: index into the step costs, mean prompt and output, chunk (tokens a step), causal or
    not.

    `mixed`: prompts and decodes share a step (otherwise a step with prompts stops the decodes).  `isl`: prompt tokens
    to compute, `prompt`: prompt tokens in the decoder's cache (more with a prefix cache, none behind an encoder).
    `standing`: those of a sequence that a decode step meets, and `written` tokens of its answer (see `lengths`).
    `lanes`: batches in flight at once (pipeline stages), `stage_balance`: mean stage over the longest one; `yields`:
    tokens a sequence gains a step (speculation); `beams`: beams it decodes.  `isl_cv`: how much prompts differ;
    `isl_shape`, `osl_shape` (R, bins): lengths by bin over their mean (see `lengths`).  `relay`: stages that the chunks
    of one prompt pass one behind the other (1: a prompt's next chunk waits for the last stage).  `encoder`: prices of
    the stack that reads prompts, if another one.
    """

    which: Index
    isl: Array
    prompt: Array
    standing: Array
    osl: Array
    written: Array
    chunk: Array
    mixed: npt.NDArray[np.bool_]
    lanes: Array
    stage_balance: Array
    yields: Array
    causal: npt.NDArray[np.bool_]
    beams: Array
    isl_cv: Array
    isl_shape: Array
    osl_shape: Array
    relay: Array | None = None
    encoder: StepCosts | None = None

    def take(self, rows: Index | npt.NDArray[np.bool_]) -> Case:
        """The cases of `rows`."""
        columns = {
            name: getattr(self, name)[rows] for name in Case.__dataclass_fields__ if name not in ("encoder", "relay")
        }
        return Case(**columns, relay=None if self.relay is None else self.relay[rows], encoder=self.encoder)

    @property
    def mean_context(self) -> Array:
        """Cached tokens that a step reads for one sequence: those of all its beams."""
        return self.standing + self.beams * self.written


class Steady(NamedTuple):
    """Per engine: mean time per output token, plain and mixed steps, share of mixed ones, sequences that decode, work
    of a mean step.

    `beginning`: prompts that begin in a step of one lane, on average; `taken`: prompt tokens of a mixed step.
    """

    tpot_s: Array
    plain_s: Array
    mixed_s: Array
    mixed_share: Array
    decoding: Array
    parts: StepResult
    bound_s: Array
    step_s: Array
    beginning: Array
    taken: Array


def lanes_in_use(case: Case, running: Array) -> Array:
    """Pipeline lanes that have a sequence: a lone sequence uses one, whatever the number of stages."""
    out: Array = np.minimum(case.lanes, np.maximum(running, 1.0))
    return out


def all_lanes(parts: StepResult, lanes: Array, idle_w: Array, dynamic_limit_w: Array) -> StepResult:
    """Work of all lanes in the time of one lane's step; what is drawn at rest is drawn once, and the power limit holds
    for all together."""
    at_rest_j = idle_w * parts.seconds
    dynamic_j = np.minimum((parts.joules - at_rest_j) * lanes, dynamic_limit_w * parts.seconds)
    return parts._replace(
        joules=dynamic_j + at_rest_j,
        flops=parts.flops * lanes,
        bytes=parts.bytes * lanes,
        link_bytes=parts.link_bytes * lanes,
        least_bytes=parts.least_bytes * lanes,
    )


def decode_step(costs: StepCosts, case: Case, n: Array, context: Array | None = None) -> StepResult:
    """A step of `n` decoding sequences at the mean context (or `context` tokens each)."""
    zero = np.zeros_like(n)
    each = case.mean_context if context is None else context
    return costs.step(
        case.which, n_decode=n * case.beams, context=n * each, n_prefill=zero, prefill_tokens=zero, area=zero
    )


def pairs(case: Case, tokens: Array, prompts: Array) -> Array:
    """Query-key pairs of `tokens` prompt tokens that belong to `prompts` whole prompts or parts of one."""
    # a token meets half of its own prompt on average, and all of a prefix that was cached before it
    # (long prompts have more tokens, and each of theirs meets more)
    own = np.minimum(tokens, prompts * case.isl) * case.isl * (case.isl_shape**2 @ WEIGHTS)
    cached = tokens * np.maximum(case.prompt - case.isl, 0.0)
    return np.where(case.causal, own / 2 + cached, own)


def prefill_seconds(
    costs: StepCosts, case: Case, prompts: Array, idle: Array | float = 1.0
) -> tuple[Array, StepResult]:
    """Seconds until `prompts` prompts that start together are through, in steps of at most `chunk` tokens; and the mean
    step. `idle`: chance that they find no sequence that decodes.

    k chunks that pass p stages one behind the other take T·(1 + (k − 1)/p), T being one chunk through all stages.
    """
    total = prompts * case.isl
    steps = np.maximum(np.ceil(total / case.chunk), 1.0)
    zero = np.zeros_like(total)
    per_step = np.maximum(prompts / steps, 1e-9)
    result = (case.encoder or costs).step(
        case.which,
        n_decode=zero,
        context=zero,
        n_prefill=np.maximum(per_step, np.minimum(prompts, 1.0)),
        prefill_tokens=total / steps,
        area=pairs(case, total, prompts) / steps,
        rows=np.maximum(per_step, 1.0),
        idle=idle,
    )
    rounds = steps if case.relay is None else 1.0 + (steps - 1.0) / case.relay
    return rounds * result.seconds, result


def mixed_step(costs: StepCosts, case: Case, n: Array, q: Array) -> StepResult:
    """A step of `n` decodes and `q` prompt tokens."""
    prompts = np.maximum(q / case.isl, 1.0)
    return costs.step(
        case.which,
        n_decode=n * case.beams,
        context=n * case.mean_context,
        n_prefill=np.where(q > 0, prompts, 0.0),
        prefill_tokens=q,
        area=pairs(case, q, prompts),
    )


def steady_state(
    costs: StepCosts,
    case: Case,
    running: Array,
    flow: Array | None = None,
    together: Array | None = None,
) -> Steady:
    """The steady state of engines with `running` sequences each (all lanes together).

    `flow`: sequences whose turnover brings prompts, when that is not all of `running` (a request that runs alone sees
    one sequence, itself, and no prompts). `together`: prompts of a step that stops the decodes, where that is not as
    many as come at random.
    """
    lanes = lanes_in_use(case, running)
    n = np.maximum(running / lanes, 1e-9)
    turning = n if flow is None else np.maximum(flow / lanes, 1e-12)
    tokens_out = np.maximum(case.osl / case.yields, 1e-9)  # steps a sequence stays
    # decodes come first in a step's token budget; beyond this many, prompts would not keep up with them
    most = case.chunk / (case.beams + case.isl / tokens_out)
    n = np.where(case.mixed, np.minimum(n, most), n)
    turning = np.where(case.mixed, np.minimum(turning, most), turning)
    at_once = np.maximum(n, 1.0)  # a step that decodes has a sequence
    plain = decode_step(costs, case, at_once)
    begin = np.maximum(turning / tokens_out, 1e-9)
    at_random = begin / -np.expm1(-begin)  # prompts of a step that has any
    together = at_random if together is None else np.where(case.mixed, at_random, np.maximum(together, at_random))
    room = np.where(case.mixed, np.maximum(case.chunk - n * case.beams, 1.0), np.inf)
    q = np.minimum(case.isl * together, room)
    share = np.minimum(turning * case.isl / (tokens_out * q), 1.0)
    mixed = mixed_step(costs, case, at_once, np.minimum(q, case.chunk))
    # prompts that run by themselves stop all decodes
    stop_s, stop = mixed.seconds, mixed
    if not case.mixed.all():
        stop_s, stop = prefill_seconds(costs, case, together, np.exp(-np.maximum(n - 1, 0.0)))
    blended_s = (1 - share) * plain.seconds + share * mixed.seconds
    step_s = np.where(case.mixed, blended_s, plain.seconds + share * stop_s)
    extra = share * np.maximum(np.ceil(together * case.isl / case.chunk), 1.0)
    parts = StepResult(
        *(
            np.where(case.mixed, (1 - share) * a + share * b, a + extra * c)
            for a, b, c in zip(plain, mixed, stop, strict=True)
        )
    )
    parts = all_lanes(parts, lanes, costs.scalar("idle_w", case.which), costs.scalar("dynamic_limit_w", case.which))
    bound_plain, bound_mixed, bound_stop = (costs.bound_s(case.which, r) for r in (plain, mixed, stop))
    bound_s = np.where(case.mixed, (1 - share) * bound_plain + share * bound_mixed, bound_plain + extra * bound_stop)
    return Steady(
        tpot_s=step_s / case.yields / case.stage_balance,
        plain_s=plain.seconds,
        mixed_s=np.where(case.mixed, mixed.seconds, plain.seconds + stop_s),
        mixed_share=share,
        decoding=n * lanes,
        parts=parts,
        bound_s=bound_s * lanes,
        step_s=step_s,
        beginning=turning / tokens_out,
        taken=q,
    )
