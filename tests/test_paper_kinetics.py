"""Kinetics: the cost law against its sums, and block top-k on keys and queries with its controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooflab import api
from rooflab.errors import Infeasible, RooflabError
from rooflab.inputs.kinds import kind_of
from rooflab.inputs.table import Table
from rooflab.inputs.vectors import Vectors
from rooflab.library.serving.kinetics.law import Answers, BlockRead, Shape, answers, coverage, eflops
from rooflab.library.serving.kinetics.paper import paper
from rooflab.library.serving.kinetics.recall import BlockTopK
from rooflab.library.serving.kinetics.scaling import CLAIMED, ScalingLaw
from rooflab.papers.condition import Condition
from rooflab.papers.lab import Lab
from rooflab.papers.outcome import Outcome
from rooflab.papers.reader import run as run_on
from rooflab.testing.methods import MethodConformance
from rooflab.testing.readers import ReaderConformance

SHAPE = Shape(parameters=8e9, q_heads=32, kv_heads=8, depth=128 * 36)


def lab(seed: int = 0) -> Lab:
    return Lab(api.engines(), Condition(seed=seed))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 600), st.integers(1, 3000), st.integers(1, 8), st.sampled_from([64, 256, 1024]))
def test_the_law_is_the_sum_over_tokens(prompt: int, length: int, trials: int, budget: int) -> None:
    """Each trial's token t sees prompt + t tokens (its middle), of which block top-k reads as many as the budget."""
    given_ = Answers(np.array([[float(length)]]), float(prompt))
    seen = prompt + np.arange(length) + 0.5
    read = np.minimum(seen, budget).sum()
    own, head = seen.sum() - prompt * length, SHAPE.depth
    dense = trials * (2 * SHAPE.parameters * length + 4 * seen.sum() * SHAPE.q_heads * head)
    dense += 500.0 * 4 * (prompt * length + trials * own) * SHAPE.kv_heads * head
    assert eflops(SHAPE, given_, trials=trials, intensity=500.0)[0] == pytest.approx(dense)
    sparse = trials * (2 * SHAPE.parameters * length + (4 * read + seen.sum() * 2 / 16) * SHAPE.q_heads * head)
    sparse += 500.0 * (4 * trials * read + 2 * (prompt * length + trials * own) / 16) * SHAPE.kv_heads * head
    found = eflops(SHAPE, given_, trials=trials, intensity=500.0, sparse=BlockRead(budget, 16))[0]
    assert found == pytest.approx(sparse, rel=2e-3)


def test_answers_have_the_mean_that_was_asked_and_end_where_they_are_cut() -> None:
    done, cut = answers(14000.0, 0.6, 200.0, np.array([1e9, 14000.0, 512.0]))
    assert cut.tokens[0] == pytest.approx(14000, rel=0.01)
    assert cut.lengths.max(axis=0)[1:].tolist() == [14000.0, 512.0]
    assert done[0] == 1.0
    assert 0.5 < done[1] < 0.7
    assert done[2] < 0.01


def test_more_trials_cover_more_and_one_covers_the_rate() -> None:
    found = [float(coverage(np.array([0.3]), n, 0.8)[0]) for n in (1, 2, 4, 32)]
    assert found[0] == pytest.approx(0.3)
    assert found == sorted(found)
    assert found[-1] < 1


def coherent(count: int = 2048, width: int = 32, seed: int = 0) -> Vectors:
    """Keys that drift from token to token, and queries near some of them."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(count // 64, width)).repeat(64, axis=0)
    keys = centres + 0.2 * rng.normal(size=(count, width))
    return Vectors(base=keys, queries=3.0 * keys[rng.permutation(count)[:64]])


def run(data: Vectors, **settings: object) -> Outcome:
    return BlockTopK(**settings).run(lab(), data)  # type: ignore[arg-type]


def test_coherent_keys_are_found_by_their_blocks_and_nothing_else_finds_them() -> None:
    done = run(coherent(), budget=256)
    own, exact = done["attention mass recalled"], done["by exact top-k"]
    assert own > 0.9 * exact
    for control in ("by newest tokens", "by random blocks"):
        assert done[control] < 0.5 * own


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([64, 128, 512]), st.sampled_from([8, 16]), st.integers(0, 8))
def test_exact_choice_bounds_every_other(seed: int, budget: int, block: int, sink: int) -> None:
    rng = np.random.default_rng(seed)
    data = Vectors(base=rng.normal(size=(1300, 16)), queries=4 * rng.normal(size=(9, 16)))
    done = run(data, budget=budget, block=block, sink=sink)
    for name in ("attention mass recalled", "by newest tokens", "by random blocks"):
        assert 0 <= done[name] <= done["by exact top-k"] * (1 + 1e-12)


def test_the_search_reads_one_key_a_block_and_the_budget_is_kept() -> None:
    done = run(coherent(2048), budget=256)
    blocks = (2048 - 4 - 16) // 16
    assert done["of which to search"] == blocks
    read = (done["cached vectors read for a token"] - blocks) / 2
    assert 256 - 16 < read <= 256
    assert done.figure("cached vectors read for a token").baseline == 2 * 2048


def test_without_the_idea_blocks_are_random_on_every_seed() -> None:
    for seed in (0, 1):
        without = BlockTopK(budget=256).ablated(seed).run(lab(seed), coherent())
        assert without["attention mass recalled"] < 0.3 * run(coherent(), budget=256)["attention mass recalled"]
        assert without["of which to search"] == 0


def test_queries_of_a_group_share_their_blocks() -> None:
    data = coherent()
    assert data.queries is not None
    twice = Vectors(base=data.base, queries=data.queries.repeat(4, axis=0))
    alone, shared = run(data, budget=256), run(twice, budget=256, group=4)
    assert shared["attention mass recalled"] == pytest.approx(alone["attention mass recalled"])


def test_a_causal_query_sees_what_came_before_it() -> None:
    data = coherent()
    own = Vectors(base=data.base, queries=data.base)
    done = run(own, budget=256, causal=True)
    seen = (513 + 2048) / 2
    assert done.figure("cached vectors read for a token").baseline == pytest.approx(2 * seen)
    with pytest.raises(Infeasible, match="do not follow"):
        run(data, budget=256, causal=True)


def test_a_file_of_a_reader_gives_a_curve_over_budgets(tmp_path: Path) -> None:
    path = tmp_path / "head.npz"
    kind_of(Vectors).write(coherent(), path)
    done = run_on("kinetics", path, method="block_top_k")
    rows = done.files["recall.csv"].decode().splitlines()
    assert rows[0].startswith("budget_tokens,mass_block_top_k,mass_exact_top_k")
    assert [int(r.split(",")[0]) for r in rows[1:]] == [64, 128, 256, 512]
    recalled = [float(r.split(",")[1]) for r in rows[1:]]
    assert recalled == sorted(recalled)
    assert {f.how for f in done.figures} == {"executed"}


@pytest.mark.parametrize(
    ("data", "settings", "said"),
    [
        (Vectors(base=np.ones((500, 4))), {}, "no queries"),
        (Vectors(base=np.ones((90, 4)), queries=np.ones((2, 4))), {}, "90 keys"),
        (coherent(512), {"budget": 256}, "more than half"),
        (coherent(), {"budget": 32}, "32 tokens"),
        (coherent(), {"group": 7}, "whole groups of 7"),
    ],
)
def test_what_cannot_be_read_is_refused(data: Vectors, settings: dict, said: str) -> None:
    with pytest.raises(Infeasible, match=said):
        run(data, **settings)


def test_of_settings_without_a_known_price_the_papers_own_is_taken_and_the_others_are_shown() -> None:
    done = run_on("kinetics")
    assert done.figure("tok/s/GPU when full").gain > 1.5
    also = [note for note in done.notes if note.startswith("also: ")]
    assert [f"budget={b}" in note for b, note in zip((512, 256), also, strict=True)] == [True, True]
    assert all("quality unknown" in note for note in also)


def test_a_reader_gets_what_the_claims_compute() -> None:
    done = run_on("kinetics", method="scaling_law")
    for claim in paper.claims:
        assert claim.function(lab()) == done[CLAIMED[claim.id]]


RATES = Table({"model": ("Qwen3-4B", "Qwen3-32B"), "pass_at_1": np.array([0.5, 0.8])})


def test_a_table_of_a_reader_gives_frontiers_that_rise_with_the_budget(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    kind_of(Table).write(RATES, path)
    done = run_on("kinetics", path, method="scaling_law", accuracy=0.6, top=0.7)
    rows = [line.split(",") for line in done.files["frontier.csv"].decode().splitlines()]
    for name in ("dense_solved", "sparse_solved"):
        at = rows[0].index(name)
        solved = [float(r[at] or 0) for r in rows[1:]]
        assert solved == sorted(solved)
    assert done[CLAIMED["39-3x"]] >= 1, "the law of eFLOPs finds what is cheapest in eFLOPs"
    assert done[CLAIMED["39-cheaper"]] > 1
    assert "Qwen3-" in done.because


def test_shorter_answers_of_one_model_make_it_the_choice() -> None:
    """What differs by model stands in the table: the large one, brief, is cheaper than the small one at length."""
    alike = ScalingLaw(accuracy=0.5).run(lab(), RATES).because
    brief = RATES.with_column("mean_tokens", np.array([20000.0, 800.0])).with_column("spread", np.array([0.5, 0.5]))
    told = ScalingLaw(accuracy=0.5).run(lab(), brief).because
    assert "of eFLOPs: Qwen3-4B" in alike
    assert "of eFLOPs: Qwen3-32B" in told


def test_without_sparse_attention_and_the_price_of_the_cache_the_gains_are_gone() -> None:
    for seed in (0, 1):
        without = ScalingLaw().ablated(seed).run(lab(seed), RATES)
        assert without[CLAIMED["39-low"]] == 0
        assert without[CLAIMED["39-attn"]] < 1


@pytest.mark.parametrize(
    ("table", "settings", "said"),
    [
        ({"model": ("Qwen3-4B",), "pass_at_1": np.array([1.2])}, {}, "row 1, column pass_at_1"),
        ({"model": ("Qwen3-4B",), "pass_at_1": np.array([0.5]), "spread": np.array([0.0])}, {}, "row 1, column spread"),
        ({"model": ("Qwen3-4B",)}, {}, "pass_at_1"),
        ({"model": ("Qwen3-4X",), "pass_at_1": np.array([0.5])}, {}, "Qwen3-4X"),
        ({"model": ("deepseek-ai/DeepSeek-V3",), "pass_at_1": np.array([0.5])}, {}, "one kind of cache"),
        ({"model": ("Qwen3-4B",), "pass_at_1": np.array([0.5])}, {"hardware": "b2000"}, "b2000"),
        ({"model": ("Qwen3-4B",), "pass_at_1": np.array([0.5])}, {"arithmetic": "fp9"}, "fp9"),
        ({"model": ("Qwen3-4B",), "pass_at_1": np.array([0.5])}, {"budget": 8}, "8 tokens holds no block of 16"),
    ],
)
def test_what_the_law_cannot_take_is_said(table: dict, settings: dict, said: str) -> None:
    with pytest.raises(RooflabError, match=said):
        ScalingLaw(**settings).run(lab(), Table(table))


class TestReaders(ReaderConformance):
    paper = paper


class TestBlockTopK(MethodConformance):
    method = BlockTopK(budget=128)


class TestScalingLaw(MethodConformance):
    method = ScalingLaw()
    given = RATES


def test_keys_that_are_alike_leave_nothing_to_choose() -> None:
    alike = Vectors(base=np.zeros((2000, 8), dtype=np.float32), queries=np.zeros((4, 8), dtype=np.float32))
    found = run_on("kinetics", alike, method="block_top_k")
    assert "nothing to choose" in found.because
    assert found["attention mass recalled"] == pytest.approx(found.figure("attention mass recalled").baseline)
