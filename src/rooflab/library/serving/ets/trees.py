"""Search trees of reward-guided reasoning, grown by a documented process, for papers that select in them.

A question has a prompt and, at each step, a few ideas (Zipf popularity). An idea is sound with the question's own
probability (Beta around `sound`): a path is right while all its ideas are. A node's text is a paraphrase of its idea: a
unit vector near the idea's, so that paraphrases lie within a small cosine distance and ideas far apart. The reward
model scores a node as a noisy judge does: sigmoid(judge · (±1) + noise), a part of the noise inherited from the parent.
A path ends after the question's number of steps, give or take one. Lengths of steps are lognormal.  Both sides of a
comparison see the same question; what is drawn depends on the path taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from rooflab.library.serving.ets.selection import Frontier, Select, ancestors
from rooflab.papers.lab import Lab

__all__ = ["Cache", "Grown", "Growth", "grow", "growth"]

I64 = npt.NDArray[np.int64]
_DIRECTIONS = 24
_LEAST_STEPS, _LEAST_PROMPT, _MOST_SOUND = 3, 16, 0.99
_PATH_TOKENS: Final = 1024.0
"""Tokens at which a path stops in the released configurations."""
Cache = Literal["kept", "all"]
"""Which leaves of a step count for its cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The process. `prompt_tokens`, `step_tokens` (both lognormal, σ = their spread) and `steps` (normal) are means;
    `ideas` a step, popular ∝ rank^−skew, sound with probability `sound` (Beta over questions, `agreement` the sum of
    its parameters), told apart by `paraphrase` (the spread of texts of one idea); `judge` and `noise` are the signal
    and the noise of a reward, of which `inherited` is the parent's. A path stops at `most_tokens` and the search at
    `most_steps`, as in the released configurations."""

    prompt_tokens: float
    step_tokens: float
    steps: float
    ideas: float
    skew: float
    sound: float
    judge: float
    noise: float
    inherited: float
    paraphrase: float
    step_spread: float
    steps_spread: float
    prompt_spread: float
    agreement: float
    most_tokens: float
    most_steps: int = 25


_UNKNOWN: Final = "nobody published the trees of Llemma-34B on MATH500: "
_ASSUMED: Final[Mapping[str, tuple[str, float, float, float, str]]] = {
    "step_tokens": ("tokens of a step", 45.0, 25.0, 90.0, "a line or two of a solution; the released limit is 256"),
    "step_spread": ("spread of the lengths of steps", 0.5, 0.25, 0.8, "log of lengths of lines of solutions"),
    "steps_spread": ("spread of the number of steps", 0.25, 0.1, 0.5, "questions of alike and of unlike length"),
    "prompt_spread": ("spread of the lengths of questions", 0.4, 0.1, 0.8, "log of lengths of problems"),
    "agreement": ("agreement of a question's ideas", 10.0, 3.0, 100.0, "questions of unlike and of alike difficulty"),
    "ideas": ("ideas a step", 12.0, 4.0, 48.0, "two continuations say the same in 16 %, 33 % and 8 % of cases"),
    "skew": ("skew of ideas", 1.0, 0.5, 1.5, "Zipf's law and half more or less"),
    "paraphrase": ("spread of paraphrases", 0.1, 0.02, 0.3, "from equal texts to ones that the cut takes apart"),
    "sound": ("sound ideas", 0.84, 0.7, 0.93, "a path of eight steps is right with 25 %, 6 % and 56 %"),
    "judge": ("signal of the reward model", 1.0, 0.5, 2.0, "mean rewards of right steps of 0.73, 0.62 and 0.88"),
    "noise": ("noise of the reward model", 1.0, 0.5, 2.0, "half to double its signal"),
    "inherited": ("noise inherited from the parent", 0.5, 0.0, 0.9, "from a judge of steps to one of whole paths"),
}  # fmt: skip
"""By field: name, value, ends, and why there."""


def growth(lab: Lab, *, prompt_tokens: float, answer_tokens: float) -> Growth:
    """The process for questions and answers of these mean lengths."""
    assumed = {
        name: lab.assume(said, value, low=low, high=high, source=_UNKNOWN + why)
        for name, (said, value, low, high, why) in _ASSUMED.items()
    }  # fmt: skip
    steps = min(max(answer_tokens / assumed["step_tokens"], 4.0), 16.0)
    given = {"prompt_tokens": prompt_tokens, "steps": steps, "most_tokens": max(_PATH_TOKENS, 2 * answer_tokens)}
    made: dict[str, Any] = assumed | given | {"step_tokens": answer_tokens / steps}
    return Growth(**made)


@dataclass(slots=True, kw_only=True)
class Grown:
    """A finished tree: `parent`, `tokens`, `score`, `right` by node (0 is the prompt), `born` its depth, who ended a
    path, and for each step the leaves that were open and how many continuations each got."""

    parent: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    wrong_at: list[int] = field(default_factory=list)
    born: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    opened: list[tuple[I64, I64]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Fields by name as arrays, of which `of` makes the same tree."""
        held = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value if name == "opened" else np.array(value) for name, value in held.items()}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Grown:
        """The tree that a record was made of."""
        return cls(**{name: value if name == "opened" else value.tolist() for name, value in record.items()})

    def kv_tokens(self, cache: Cache = "kept") -> float:
        """Mean over steps of the tokens of leaves and of the union of their ancestors: of the leaves that are continued
        ("kept": what has to stay), or of every leaf that was open ("all": what the released code counts)."""
        parent, tokens = np.array(self.parent), np.array(self.tokens)
        counted = [leaves if cache == "all" else leaves[shares > 0] for leaves, shares in self.opened]
        return float(np.mean([tokens[k].sum() + tokens[ancestors(parent, k)].sum() for k in counted]))

    @property
    def answers_right(self) -> bool:
        """Whether the weighted majority of finished paths is right; wrong ones agree where they went wrong by the same
        idea."""
        votes: dict[int, float] = {}
        for node in self.ended:
            votes[self.wrong_at[node]] = votes.get(self.wrong_at[node], 0.0) + self.score[node]
        return bool(votes) and max(votes, key=lambda k: votes[k]) == 0


class _Question:
    """What both sides of a comparison share: which ideas there are at a step, which are sound, how they read."""

    def __init__(self, growth: Growth, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        self.ideas = max(round(growth.ideas), 1)
        self.steps = max(_LEAST_STEPS, round(rng.normal(growth.steps, growth.steps * growth.steps_spread)))
        sound = min(growth.sound, _MOST_SOUND)
        chance = rng.beta(growth.agreement * sound, growth.agreement * (1 - sound))
        depth = growth.most_steps + 2
        self.sound = rng.random((depth, self.ideas)) < chance
        vectors = rng.standard_normal((depth, self.ideas, _DIRECTIONS))
        self.texts = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
        popular = np.arange(1, self.ideas + 1) ** -growth.skew
        self.popular = popular / popular.sum()
        sigma = growth.prompt_spread
        self.prompt_tokens = max(_LEAST_PROMPT, round(growth.prompt_tokens * rng.lognormal(-(sigma**2) / 2, sigma)))


def grow(growth: Growth, width: int, select: Select, seed: int) -> Grown:
    """Grow one tree: ask `select` for continuations at every depth until all paths have ended."""
    question = _Question(growth, seed)
    rng = np.random.default_rng([seed, 2])
    tree = Grown(parent=[-1], tokens=[question.prompt_tokens], score=[1.0], right=[True], wrong_at=[0], born=[0])
    leaves = np.zeros(1, dtype=np.int64)
    texts = np.zeros((1, _DIRECTIONS))
    grudge, used = np.zeros(1), np.zeros(1)
    left = width
    for depth in range(growth.most_steps):
        shares = np.maximum(
            select(Frontier(depth, leaves, np.array(tree.score)[leaves], texts, np.array(tree.parent)), left), 0
        )
        tree.opened.append((leaves, shares))
        row = np.repeat(np.arange(len(leaves)), shares)
        n = len(row)
        idea = rng.choice(question.ideas, size=n, p=question.popular)
        noise = growth.inherited**0.5 * grudge[row] + (1 - growth.inherited) ** 0.5 * rng.standard_normal(n)
        sigma = growth.step_spread
        tokens = rng.lognormal(math.log(growth.step_tokens) - sigma**2 / 2, sigma, n)
        length = np.maximum(tokens.round().astype(int), 4)
        was_right = np.array(tree.right)[leaves][row]
        right = was_right & question.sound[depth, idea]
        score = 1 / (1 + np.exp(-(growth.judge * np.where(right, 1.0, -1.0) + growth.noise * noise)))
        last = np.full(n, depth + 1) + rng.integers(-1, 2, n) >= question.steps
        first = len(tree.parent)
        origin = np.array(tree.wrong_at)[leaves][row]
        tree.parent += leaves[row].tolist()
        tree.tokens += length.tolist()
        tree.score += score.tolist()
        tree.right += right.tolist()
        tree.wrong_at += np.where(right, 0, np.where(was_right, 1 + depth * question.ideas + idea, origin)).tolist()
        tree.born += [depth + 1] * n
        node = np.arange(first, first + n)
        used = used[row] + length
        ends = last | (used >= growth.most_tokens)
        tree.ended += node[last].tolist()
        left -= int(ends.sum())
        vector = (
            question.texts[depth, idea] + growth.paraphrase * rng.standard_normal((n, _DIRECTIONS)) / _DIRECTIONS**0.5
        )
        leaves, texts, grudge, used = node[~ends], vector[~ends], noise[~ends], used[~ends]
        if len(leaves) == 0 or left <= 0:
            break
    return tree
