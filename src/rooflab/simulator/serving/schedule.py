"""What the next step of an engine holds: decode tokens of the batch, chunks of prompts, or both, as the engine's rules
say (rules.py)."""

from __future__ import annotations

from rooflab.simulator.serving.admission import add_chunk, admit
from rooflab.simulator.serving.compiled import compiled
from rooflab.simulator.serving.disaggregation import join_ready
from rooflab.simulator.serving.kv import available, blocks_for, growth, length_after, take
from rooflab.simulator.serving.lines import sort_by_prefix
from rooflab.simulator.serving.preempt import preempt, victim
from rooflab.simulator.serving.rules import LONGEST_PREFIX
from rooflab.simulator.serving.state import Sim
from rooflab.simulator.serving.turns import rotate

__all__ = ["schedule"]


@compiled
def schedule(sim: Sim, r: int, now: float) -> bool:
    """Choose the next step's work: chunks are listed on the replica, the result says whether the decode batch takes
    part."""
    rep = sim.reps[r]
    if sim.has_pacing and rep.n_chunks > 0:  # a step with prompts is followed by a look at the line
        rep.look_at = int(sim.totals[r].steps)
    rep.chunk_head = -1
    rep.chunk_tail = -1
    rep.n_chunks = 0
    rep.chunk_tokens = 0
    rep.area = 0
    if sim.has_transfers:
        join_ready(sim, r)
    if sim.has_turns and rep.rotate_steps > 0 and sim.totals[r].steps >= rep.rotate_at:
        rotate(sim, r, now)
    before = sim.totals[r].preemptions
    fits = True
    rep.budget = rep.max_num_batched_tokens
    if rep.mixed:
        fits = make_room(sim, r, now)
        rep.budget -= int(rep.n_decode * sim.constants[rep.cost].tokens_per_decode)
    rep.budget -= continue_prompt(sim, r, now)
    if fits and sim.totals[r].preemptions == before:
        if sim.has_prefixes and _sorts(sim, r):
            sort_by_prefix(sim, r)
        admit(sim, r, now)
    if not rep.mixed and rep.n_chunks == 0:
        fits = make_room(sim, r, now)
    rep.held_back = 1 if sim.totals[r].preemptions > before else 0
    return fits and rep.n_decode > 0 and (rep.mixed > 0 or rep.n_chunks == 0)


@compiled
def _sorts(sim: Sim, r: int) -> bool:
    """Whether those who wait are sorted by what the cache holds before the next is admitted."""
    rep = sim.reps[r]
    return (
        rep.policy == LONGEST_PREFIX
        and rep.rotate_steps == 0
        and rep.waiting > 1
        and rep.partial < 0
        and rep.running < rep.max_num_seqs
    )


@compiled
def make_room(sim: Sim, r: int, now: float) -> bool:
    """Preempt until every decoding sequence finds the blocks of its next token; False: only KV in transfer is in the
    way."""
    rep = sim.reps[r]
    if rep.n_decode == 0 or growth(sim, r, length_after(rep, 1)) <= available(rep):
        return True
    gained = max(int(rep.retract), length_after(rep, 1) - rep.tokens)
    while rep.running - rep.receiving > 1 and growth(sim, r, rep.tokens + gained) > available(rep):
        if rep.n_decode > 0 and rep.reserve_ratio > 0.0:
            made = rep.output_sum - rep.finish_sum + rep.n_decode * rep.tokens
            rep.reserve_now = min(1.0, (made + rep.retract * rep.n_decode) / (rep.output_sum + 1.0))
        preempt(sim, r, victim(sim, r), now)
    return growth(sim, r, length_after(rep, 1)) <= available(rep)


@compiled
def continue_prompt(sim: Sim, r: int, now: float) -> int:
    """The prompt that was cut short goes on before anyone is admitted; tokens that it takes."""
    rep = sim.reps[r]
    i = rep.partial
    if i < 0 or rep.budget <= 0:
        return 0
    job = sim.jobs[i]
    n = min(job.goal - job.done, rep.budget)
    while True:
        need = blocks_for(rep, job.done + n) - job.private - job.shared * rep.unit_blocks
        decodes = growth(sim, r, length_after(rep, 1)) if rep.mixed else 0
        if need <= 0 or need + decodes <= available(rep):
            break
        if not rep.mixed and rep.n_decode > 0:
            return 0
        loser = victim(sim, r)
        preempt(sim, r, loser, now)
        if loser == i:
            return 0
    if need > 0:
        take(sim, r, need)
        job.private += need
    add_chunk(sim, r, i, n)
    return n
