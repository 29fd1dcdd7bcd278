"""ETS: shares, program and search trees, a reader's tree, a reader's scenario."""

from __future__ import annotations

import itertools
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy")

import rooflab as rl
from rooflab import api
from rooflab.errors import Infeasible, InputError
from rooflab.inputs.convert import convert
from rooflab.inputs.graph import KIND, Graph
from rooflab.inputs.kinds import find
from rooflab.library.serving.ets import served
from rooflab.library.serving.ets.paper import PrunedSearch, figure
from rooflab.library.serving.ets.prune import Prune
from rooflab.library.serving.ets.selection import Weights, ancestors, clusters, ets, keep, rebase, released
from rooflab.library.serving.ets.trees import Growth, grow, growth
from rooflab.papers.lab import Lab
from rooflab.scenario.lengths import Lengths
from rooflab.simulator.work.trees import TreeWork


@pytest.fixture
def lab() -> Lab:
    return Lab(api.engines())


@pytest.fixture
def process(lab: Lab) -> Growth:
    return growth(lab, prompt_tokens=120, answer_tokens=360)


def test_rebase_hands_out_the_whole_width_best_first() -> None:
    shares = rebase(np.array([0.2, 0.9, 0.6]), 16)
    assert shares.sum() == 16
    assert shares[1] > shares[2] >= shares[0]
    assert rebase(np.full(5, 0.5), 4).tolist() == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("seed", range(6))
def test_program_finds_what_trying_every_selection_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parent = np.array([-1, 0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 2])
    leaves = np.array([6, 7, 8, 9, 10, 11])
    value = rng.random(6)
    value /= value.sum()
    group = np.unique(rng.integers(0, 3, 6), return_inverse=True)[1]
    weights = Weights(rng.uniform(0.5, 3), rng.uniform(0, 1.5))

    def worth(kept: np.ndarray) -> float:
        above = ancestors(parent, leaves[kept])
        cost = weights.nodes / (6 + len(ancestors(parent, leaves)))
        covered = len(set(group[kept])) / (group.max() + 1)
        return float(value[kept].sum() - cost * (kept.sum() + len(above)) + weights.coverage * covered)

    tried = [np.array(x, dtype=bool) for x in itertools.product((False, True), repeat=6)]
    best = max(worth(x) for x in tried if x.any())
    assert worth(keep(parent, leaves, value, group, weights)) == pytest.approx(best, abs=1e-9)


def test_weights_are_those_of_the_nearest_released_width() -> None:
    assert released(3) == released(16) == Weights(1.0, 1.5)
    assert released(500) == Weights(1.0, 1.45)
    assert released(64).but(2.0, None) == Weights(2.0, 1.4)


def test_paraphrases_share_a_cluster_and_ideas_do_not() -> None:
    rng = np.random.default_rng(0)
    ideas = np.eye(24)[[0, 0, 5, 5, 5, 9]]
    found = clusters(ideas + 0.01 * rng.standard_normal(ideas.shape))
    assert found[0] == found[1] != found[2] == found[3] == found[4] != found[5]


def test_trees_end_where_they_began_to(process: Growth) -> None:
    tree = grow(process, 16, served.by_rebase, 3)
    assert len(tree.parent) == len(tree.tokens) == len(tree.right) == len(tree.born)
    for node, up in enumerate(tree.parent[1:], 1):
        assert tree.born[node] == tree.born[up] + 1
        assert tree.right[up] or not tree.right[node], "a wrong path does not become right"
    assert 0 < len(tree.ended) <= 16 + len(tree.opened)


def test_more_weight_on_nodes_keeps_less(process: Growth) -> None:
    few, many = (grow(process, 32, partial(ets, weights=Weights(w, 1.4)), 0).kv_tokens() for w in (2.0, 0.5))
    assert few < many


def test_all_leaves_hold_at_least_what_the_kept_ones_do(process: Growth) -> None:
    pruned = grow(process, 32, partial(ets, weights=released(32)), 0)
    assert pruned.kv_tokens("all") > pruned.kv_tokens("kept")
    plain = grow(process, 32, served.by_rebase, 0)
    assert plain.kv_tokens("all") >= plain.kv_tokens("kept")


def test_requests_follow_the_tree(process: Growth) -> None:
    tree = grow(process, 8, served.by_rebase, 1)
    requests = TreeWork([[tree], [tree]], block_tokens=served.PAGE_TOKENS).requests()
    assert len(requests) == 2 * (len(tree.parent) - 1)
    assert requests.output_tokens.sum() == 2 * (sum(tree.tokens) - tree.tokens[0])
    assert (requests.after < np.arange(len(requests))).all()
    first = requests.prefix_block[: requests.prefix_start[1]]
    assert len(first) == (tree.tokens[0] + tree.tokens[1]) // served.PAGE_TOKENS


def two_ideas(**changes: object) -> Graph:
    """A question, three parents with two children each; four leaves say one thing, two another."""
    extra = {
        "tokens": np.array([100, 10, 10, 10, 5, 5, 5, 5, 5, 5]),
        "score": np.array([0, 0, 0, 0, 0.9, 0.8, 0.8, 0.8, 0.7, 0.7]),
    }
    held = {
        "nodes": 10, "source": np.array([0, 0, 0, 1, 1, 2, 2, 3, 3]), "target": np.arange(1, 10),
        "features": np.eye(2, dtype=np.float32)[[0, 0, 0, 0, 0, 0, 0, 0, 1, 1]], "extra": extra,
    }  # fmt: skip
    return Graph(**{**held, **changes})  # type: ignore[arg-type]


def test_a_readers_tree_is_pruned(lab: Lab) -> None:
    found = Prune(width=6, nodes=3.0, coverage=1.0).run(lab, two_ideas())
    assert found["leaves kept"] == 2
    assert found["clusters covered"] == found["clusters among open leaves"] == 2
    assert found["nodes kept, questions aside"] == 4
    assert found["cache, kept leaves"] == 100 + 2 * 15
    assert found.figure("cache, kept leaves").baseline == 155
    assert found["cache reduction (kept leaves)"] == pytest.approx(155 / 130)
    assert found["without the diversity term: clusters covered"] == 1
    assert found.figure("as many leaves at random: clusters covered").spread == (1.0, 2.0)


def test_both_definitions_of_cache_and_the_controls(lab: Lab) -> None:
    every = Prune(width=6, nodes=3.0, coverage=1.0, cache="all").run(lab, two_ideas())
    assert every["cache reduction (all leaves)"] == 1.0, "all open leaves are there whichever go on"
    plain = Prune(width=6, nodes=3.0).ablated(0).run(lab, two_ideas())
    assert plain["leaves kept"] == 5, "the last of six gets no continuation"
    assert plain["cache reduction (kept leaves)"] == 1.0
    random = Prune(width=6, nodes=3.0, coverage=1.0, keep="random").run(lab, two_ideas())
    assert random["leaves kept"] == 2


def test_files_say_which_nodes_stay_and_read_back(lab: Lab, tmp_path: Path) -> None:
    found = Prune(width=6, nodes=3.0, coverage=1.0).run(lab, two_ideas())
    rows = found.files["leaves.csv"].decode().splitlines()
    assert len(rows) == 1 + 6
    assert rows[0].startswith("search,node,depth,tokens,score,cluster")
    (tmp_path / "kept.json").write_bytes(found.files["kept.json"])
    kept = KIND.read(tmp_path / "kept.json")
    assert kept.nodes == 5
    assert np.asarray(kept.extra["continuations"]).sum() == 6


def test_finished_leaves_take_their_width_and_old_ones_can_be_left(lab: Lab) -> None:
    tree = two_ideas()
    done = {**tree.extra, "finished": np.array([False] * 9 + [True])}
    found = Prune(width=6).run(lab, two_ideas(extra=done))
    assert found["open leaves"] == 5
    source, target = tree.source[:-2], tree.target[:-2]
    short = Graph(
        nodes=8, source=source, target=target, labels=np.arange(8),
        extra={name: np.asarray(values)[:8] for name, values in tree.extra.items()},
    )  # fmt: skip
    assert Prune(width=6).run(lab, short)["open leaves"] == 5
    assert Prune(width=6, frontier="deepest").run(lab, short)["open leaves"] == 4


def test_several_roots_are_several_searches(lab: Lab) -> None:
    one = two_ideas()
    two = Graph(
        nodes=20, source=np.concatenate([one.source, one.source + 10]),
        target=np.concatenate([one.target, one.target + 10]), features=np.concatenate([one.features, one.features]),  # type: ignore[arg-type]
        extra={name: np.concatenate([values, values]) for name, values in one.extra.items()},
    )  # fmt: skip
    once, twice = (Prune(width=6, nodes=3.0, coverage=1.0).run(lab, g) for g in (one, two))
    for name in ("leaves kept", "nodes kept, questions aside", "cache, kept leaves", "clusters covered"):
        assert twice[name] == 2 * once[name]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"extra": {"score": np.zeros(10)}}, InputError, "nodes have no column tokens .nor text. among score"),
        ({"features": None}, InputError, "no features .embedding., label or text"),
        ({"features": np.zeros((10, 2), dtype=np.float32)}, InputError, "is zero at node 4"),
        ({"source": np.array([0, 0, 0, 1, 1, 2, 2, 3, 2]), "target": np.array([1, 2, 3, 4, 5, 6, 7, 8, 8])},
         Infeasible, "node 8 has 2 parents"),
        ({"source": np.array([0, 1, 2]), "target": np.array([1, 2, 3])}, Infeasible, "no search has two open leaves"),
        ({"source": np.array([0, 1]), "target": np.array([1, 0])}, Infeasible, "circle"),
        ({"extra": {"tokens": np.ones(10), "score": np.full(10, np.nan)}}, InputError, "score: is missing at node 4"),
        ({"extra": {"tokens": -np.ones(10)}}, InputError, "tokens: holds -1; at least 0"),
        ({"extra": {"tokens": np.ones(10), "score": ("high",) * 10}}, InputError, "score: holds texts"),
    ],
)  # fmt: skip
def test_what_is_no_search_tree_is_refused_in_a_line(lab: Lab, changes: dict[str, object], error: type[Exception],
                                                     said: str) -> None:  # fmt: skip
    with pytest.raises(error, match=said):
        Prune(width=6).run(lab, two_ideas(**changes))


def test_texts_programs_and_samples(lab: Lab) -> None:
    found = Prune(width=16).run(lab, KIND.sample("game-of-24"))
    assert found["open leaves"] > found["leaves kept"] > 0
    programs = Prune(width=8).run(lab, convert(find("programs").sample(), Graph))
    assert "all leaves have the same share: no score is given" in programs.notes
    assert programs.figure("cache, kept leaves").baseline >= programs["cache, kept leaves"]  # type: ignore[operator]
    json.dumps(programs.record(), allow_nan=False)


def test_a_readers_programs_and_logs_become_trees(tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[1] / "benchmarks" / "sample_programs"
    found = rl.papers.run("ets", str(folder), width=8, nodes=6)
    assert found["leaves kept"] == found["leaves that the program selects"] < found["open leaves"]
    log = tmp_path / "log.jsonl"
    steps = [{"session": "q", "output_tokens": 30, "input_tokens": 90, "text": "so"}] * 2
    log.write_text("".join(json.dumps(step) + "\n" for step in steps))
    with pytest.raises(Infeasible, match="two open leaves"):
        rl.papers.run("ets", str(log))
    log.write_text('{"session": "q", "input_tokens": 9, "output_tokens": "many"}\n')
    with pytest.raises(InputError, match=r"log\.jsonl:1: output_tokens is 'many'"):
        rl.papers.run("ets", str(log))


def test_a_readers_run_is_the_claims_figure(lab: Lab) -> None:
    found = Prune(width=5).run(lab, figure(lab))
    assert (
        found["nodes kept, questions aside"]
        == rl.papers.run("ets", figure(lab), width=5)["nodes kept, questions aside"]
    )
    assert Prune(width=5, nodes=2.0).run(lab, figure(lab))["nodes kept, questions aside"] == 4


def test_readers_scenario(lab: Lab) -> None:
    chat = rl.load("examples/chat-70b.yaml")
    search = PrunedSearch(width=64)
    found = search.run(lab, chat)
    assert found["cache reduction"] > 1.2
    assert found["throughput gain"] > 0.9
    assert search.ablated(0).run(lab, chat)["throughput gain"] == 1.0
    with pytest.raises(Infeasible, match="too short"):
        search.run(lab, chat.with_workload(osl=Lengths("fixed", 16.0)))
    with pytest.raises(Infeasible, match="no decoder"):
        search.run(lab, rl.load("examples/bert.yaml"))


def test_a_tree_without_tokens_has_no_reduction_and_texts_are_named(tmp_path: Path) -> None:
    rows = "id,parent,tokens,score,text\nq,,0,,x\na,q,0,0.5,y\nb,q,0,0.7,z\n"
    (tmp_path / "zero.csv").write_text(rows)
    assert rl.papers.run("ets", tmp_path / "zero.csv")["cache reduction (kept leaves)"] == 1
    (tmp_path / "text.csv").write_text(rows.replace("a,q,0", "a,q,nan"))
    with pytest.raises(InputError, match="'nan' at node a"):
        rl.papers.run("ets", tmp_path / "text.csv")
