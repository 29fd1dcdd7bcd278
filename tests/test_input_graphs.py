"""Graphs written node by node: trees of rows that name their parents, JSON of nodes and edges, columns of nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rooflab.errors import InputError
from rooflab.inputs import graph
from rooflab.inputs.content import same
from rooflab.inputs.convert import convert
from rooflab.inputs.graph import Graph
from rooflab.inputs.kinds import find, guess
from rooflab.inputs.programs import Program, Programs
from rooflab.inputs.runs import Runs
from rooflab.inputs.trees import words

TREE = """[{"id": "q", "parent": null, "tokens": 9, "text": "how?"},
 {"id": "a", "parent": "q", "tokens": 4, "score": 0.5, "embedding": [1.0, 0.0], "text": "so"},
 {"id": "b", "parent": "q", "tokens": 5, "score": 0.25, "embedding": [0.0, 1.0], "text": "or so"}]"""


def read(tmp_path: Path, name: str, held: str) -> Graph:
    path = tmp_path / name
    path.write_text(held)
    return graph.KIND.read(path)


def test_a_tree_is_read_from_nodes_that_name_their_parents(tmp_path: Path) -> None:
    rows = "id,parent,tokens,score\nq,,9,\na,q,4,0.5\nb,q,5,0.25\n"
    lines = '{"id": "q", "parent": null, "tokens": 9}\n{"id": "a", "parent": "q", "tokens": 4}\n'
    g = read(tmp_path, "x.csv", rows)
    assert (g.nodes, g.names, g.source.tolist(), g.target.tolist()) == (3, ("q", "a", "b"), [0, 0], [1, 2])
    assert np.asarray(g.extra["tokens"]).tolist() == [9, 4, 5]
    assert np.isnan(g.extra["score"][0])
    assert read(tmp_path, "x.jsonl", lines).extra["tokens"][1] == 4
    for name in ("x.csv", "x.jsonl"):
        assert guess(tmp_path / name) is graph.KIND


def test_embeddings_make_features(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nodes:0: embedding is missing, not a list of numbers"):
        read(tmp_path, "x.json", TREE)
    g = read(tmp_path, "x.json", TREE.replace('"tokens": 9,', '"tokens": 9, "embedding": [0.5, 0.5],'))
    assert g.features is not None
    assert g.features.shape == (3, 2)
    assert g.extra["text"] == ("how?", "so", "or so")
    assert guess(tmp_path / "x.json") is graph.KIND


def test_json_of_nodes_and_edges(tmp_path: Path) -> None:
    held = """{"nodes": [{"id": 0, "label": 1}, {"id": 1, "label": 0}],
    "links": [{"source": 1, "target": 0, "weight": 2.5, "kind": "calls"}]}"""
    g = read(tmp_path, "x.json", held)
    assert g.names is None
    assert g.labels is not None
    assert g.labels.tolist() == [1, 0]
    assert g.weight is not None
    assert (g.source.tolist(), g.target.tolist(), g.weight.tolist(), g.kind) == ([1], [0], [2.5], ("calls",))


@pytest.mark.parametrize(
    ("name", "held", "said"),
    [
        ("x.csv", "id,parent\na,\nb,c\n", r"x\.csv:3: parent is 'c', not the id of a node"),
        ("x.csv", "id,parent\na,b\nb,a\n", "parents go round in a circle"),
        ("x.csv", "id,parent\na,\na,a\n", r"x\.csv:3: id is 'a', not an id of its own"),
        ("x.csv", "id,parent\na,\nb,\n", "no node has a parent"),
        ("x.json", '[{"id": 1}, {"id": 2}]', "no node says its parent, and there are no edges"),
        ("x.json", '{"nodes": [{"id": 1}], "edges": [{"source": 1, "target": 2}]}', "edges:0: target is '2', not the"),
        ("x.json", '{"nodes": [{"id": 1}], "edge": []}', "no field called 'edge'. Did you mean edges"),
        ("x.json", '{"nodes": [{"id": 1}], "edges": [{"source": 1, "to": 1}]}', "no field called 'to'"),
        ("x.json", '{"nodes": 3}', "expected a list of objects"),
        ("x.json", '{"nodes": [], "edges": []}', "there is no node"),
        ("x.json", '[{"id": 0, "tokens": [1]}, {"id": 1, "parent": 0}]', "tokens is"),
        ("x.json", '[{"id": 0, "nodes": 1}, {"id": 1, "parent": 0, "nodes": 2}]', "'nodes' stands twice"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path: Path, name: str, held: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path, name, held)
    assert "\n" not in str(caught.value)


def test_columns_of_nodes_are_kept_taken_and_disturbed(tmp_path: Path) -> None:
    g = graph.KIND.sample("game-of-24")
    assert set(g.extra) == {"tokens", "score", "text"}
    for suffix in (".npz", ".json"):
        graph.KIND.write(g, tmp_path / f"again{suffix}")
        assert same(graph.KIND.read(tmp_path / f"again{suffix}"), g)
    few = g.take(np.array([0, 2, 1]))
    assert few.extra["text"][1] == g.extra["text"][2]
    double = graph.KIND.disturb(g, "scale tokens", np.random.default_rng(0))
    assert np.array_equal(np.asarray(double.extra["tokens"]), 2 * np.asarray(g.extra["tokens"]))
    mixed = graph.KIND.disturb(g, "shuffle score", np.random.default_rng(0))
    assert sorted(mixed.extra["score"]) == sorted(g.extra["score"])
    assert list(mixed.extra["score"]) != list(g.extra["score"])


def test_programs_are_trees_of_shared_first_lines() -> None:
    head = "def f(x):\n    y = x + 1\n"
    sources = {
        "a": head + "    return y\n",
        "b": head + "    return y * 1\n",
        "c": head,
        "d": "def f(x): return x + 1\n",
    }
    g = convert(Programs((Program(name="f", entry="f", variants=sources, statement="Add one."),)), Graph)
    assert g.names == ("f", "f#1", "f/d", "f/a", "f/b", "f/c")
    assert list(zip(g.source.tolist(), g.target.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 3), (1, 4), (1, 5)]
    assert g.extra["text"][1] == head.rstrip("\n")
    assert g.extra["text"][5] == ""
    assert np.asarray(g.extra["tokens"]).tolist() == [words(text) for text in g.extra["text"]]
    held = sum(words(source) for source in sources.values())
    assert np.asarray(g.extra["tokens"])[1:].sum() < held, "what is shared counts once"


def test_every_variant_of_the_sample_is_a_leaf() -> None:
    given: Programs = find("programs").sample()
    g = convert(given, Graph)
    leaves = set(range(g.nodes)) - set(g.source.tolist())
    assert g.names is not None
    assert {g.names[i] for i in leaves} == {f"{p.name}/{v}" for p in given.programs for v in p.variants}


def test_steps_of_a_session_are_a_chain_or_a_tree() -> None:
    tokens = np.array([5, 6, 7])
    chain = convert(Runs(session=("q", "q", "p"), output_tokens=tokens, input_tokens=np.array([90, 95, 80])), Graph)
    assert chain.names == ("q", "p", "q:0", "q:1", "p:2")
    assert list(zip(chain.source.tolist(), chain.target.tolist(), strict=True)) == [(0, 2), (2, 3), (1, 4)]
    assert np.asarray(chain.extra["tokens"]).tolist() == [90, 80, 5, 6, 7]
    more = {"id": ("a", "b", "c"), "parent": ("", "a", "a"), "score": np.array([0.5, 0.2, 0.3])}
    tree = convert(Runs(session=("q",) * 3, output_tokens=tokens, extra=more), Graph)
    assert list(zip(tree.source.tolist(), tree.target.tolist(), strict=True)) == [(0, 1), (1, 2), (1, 3)]
    assert np.isnan(np.asarray(tree.extra["score"])[0])
    with pytest.raises(InputError, match="no step of session 'q' is called 'z'"):
        convert(Runs(session=("q",), extra={"id": ("a",), "parent": ("z",), "score": np.array([0.5])}), Graph)
