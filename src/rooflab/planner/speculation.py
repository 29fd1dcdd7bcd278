"""Speculative decoding beside a plan's own choices: who drafts, and how many tokens a step.

Everything that a plan weighs is weighed again with drafts in place: a step then checks several tokens of each sequence,
so memory stays and arithmetic grows.  How many drafts are accepted depends on model, drafter and traffic, and is
assumed, with a range; the weights of a drafter are counted as time, not as memory.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from rooflab.errors import InputError, RooflabError
from rooflab.planner.engines import engines_for
from rooflab.planner.result import Assumed, Plan, Proposed
from rooflab.planner.search import plan as search
from rooflab.scenario.deployment import Deployment
from rooflab.scenario.model import Model
from rooflab.scenario.runtime import Speculation
from rooflab.scenario.scenario import Scenario

__all__ = ["DRAFTING", "check_speculation", "speculations_of"]

DRAFTING: Final = ("vllm", "sglang", "trtllm")
"""Engines with a flag for each drafter that is proposed."""
_TOKENS: Final = (1, 2, 3, 5)
_CANDIDATES: Final = 1000
"""Deployments priced for each drafter and number of tokens: a coarser search than a plan's own."""


@dataclass(frozen=True, slots=True)
class _Drafter:
    """Who drafts: chance that a draft is accepted after accepted ones, its range and where that comes from."""

    name: str
    method: Literal["model", "ngram"]
    acceptance: float
    low: float
    high: float
    source: str


_MTP: Final = _Drafter(
    "the model's own further-token layers", "model", 0.8, 0.6, 0.9,
    "DeepSeek-V3 report (arXiv 2412.19437), section 5.4.3: 85 to 90 % of second tokens; of later ones an assumption",
)  # fmt: skip
_HEAD: Final = _Drafter(
    "a draft head trained for the model (EAGLE)", "model", 0.6, 0.1, 0.8,
    "an assumption: a head trained for the traffic; out of its domain one had 0.2 on code and 0.01 on business "
    "prompts (users of GLM-5.1-eagle3, Hugging Face discussion 3)",
)  # fmt: skip
_NGRAM: Final = _Drafter(
    "n-grams of the prompt and the answer so far", "ngram", 0.3, 0.05, 0.6,
    "an assumption: it is as high as answers repeat their prompts (code edits, summaries), near nothing in chat",
)  # fmt: skip


def check_speculation(scenario: Scenario) -> None:
    """Refuse drafts where they are of no use. Raises InputError with what to do instead."""
    named = scenario.deployment.runtime.engine
    if named and named not in DRAFTING:
        raise InputError(f"no drafts of {named} are planned; those of {', '.join(DRAFTING)} are", "--space")
    if scenario.deployment.runtime.speculation is not None:
        raise InputError("the scenario gives deployment.speculation, which every candidate has", "--space")
    if not _engines(scenario):
        raise InputError("no engine that drafts serves this model on this hardware", "--space")
    if scenario.model.kind != "decoder" or scenario.workload.mode == "trace":
        raise InputError("drafts serve users, rates and batches of a model that generates", "--space")


def speculations_of(scenario: Scenario, plan: Plan) -> list[Proposed]:
    """For each engine and drafter the best deployments that meet the targets of `plan` in closed form."""
    target = plan.objective
    better = {"maximise" if target.more_is_better else "minimise": target.metric}
    # drafts and pipeline stages do not go together in vLLM
    options: dict[str, Any] = {"fixed": ("pp",), "limit": _CANDIDATES, "top": 2, "explain": False} | better
    out: list[Proposed] = []
    for engine in _engines(scenario):
        for drafter in _drafters(scenario.model, engine):
            best: list[Proposed] = []
            for tokens in _TOKENS:
                drafts = Speculation(tokens, drafter.acceptance, _share(scenario.model, drafter), drafter.method)
                asked = scenario.with_deployment(engine=engine, speculation=drafts)
                try:
                    found = search(asked, **options)
                except RooflabError:
                    continue
                best += [
                    Proposed(c.estimate, _assumed(c.deployment, drafter), f"{engine} {drafter.method}")
                    for c in found.choices
                ]
            out += best
    return out


def _engines(scenario: Scenario) -> tuple[str, ...]:
    named = scenario.deployment.runtime.engine
    return tuple(e for e in ((named,) if named else engines_for(scenario.model, scenario.hardware)) if e in DRAFTING)


def _drafters(model: Model, engine: str) -> tuple[_Drafter, ...]:
    """Who can draft for an engine; n-grams of SGLang do not go together with data-parallel attention, which mixtures
    are planned with, and those of TensorRT-LLM need its slower scheduler."""
    own = _MTP if model.mtp_layers else _HEAD
    return (own, _NGRAM) if engine == "vllm" else (own,)


def _share(model: Model, drafter: _Drafter) -> float:
    """Time of a draft over a step: one more layer and the output head over what a token reads; nothing for n-grams."""
    if drafter.method == "ngram":
        return 0.0
    head = model.vocab * model.hidden
    stack = max(model.active_parameters - model.embedding_parameters - model.head_parameters, 1)
    return (stack / model.layers + head) / (stack + head)


def _assumed(d: Deployment, drafter: _Drafter) -> Assumed:
    drafts = d.runtime.speculation
    assert drafts is not None
    low, high = (d.changed(speculation=replace(drafts, acceptance=a)) for a in (drafter.low, drafter.high))
    return Assumed(
        name=f"share of drafts accepted from {drafter.name}", value=drafter.acceptance, low=drafter.low,
        high=drafter.high, source=drafter.source, low_deployment=low, high_deployment=high,
    )  # fmt: skip
