"""Papers in the store: lists and searches with filters give what a plain look through all of them gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rooflab.store.opening import Store
from rooflab.store.papers import Paper, Wanted, count_papers, list_papers, put_papers, search_papers

KINDS, SAVES = ("serving", "training", "survey"), ("memory", "energy", "network")


def paper(n: int) -> Paper:
    return Paper(
        identity=f"arxiv:{n}", title=f"Paper {n} of caches", abstract=f"word{n % 7} common thing{n % 3}", link=f"l{n}",
        day=f"2026-{1 + n % 12:02d}-{1 + n % 28:02d}", updated="2026-12-31", kind=KINDS[n % 3],
        saves=(SAVES[n % 2], SAVES[2]), relevance=n % 10 / 10,
    )  # fmt: skip


PAPERS = [paper(n) for n in range(400)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path: Path = tmp_path_factory.mktemp("papers") / "store"
    with Store.open(path) as held:
        with held.change() as db:
            put_papers(db, PAPERS, "made", "t")
        yield held


def passes(p: Paper, w: Wanted) -> bool:
    return (
        (not w.kind or p.kind == w.kind)
        and (not w.saves or w.saves in p.saves)
        and p.day.startswith(w.day)
        and p.relevance >= w.relevance
    )


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(limit=1000), Wanted(kind="serving", limit=1000), Wanted(saves="energy", limit=1000),
        Wanted(day="2026-03", limit=1000), Wanted(relevance=0.55, limit=1000), Wanted(day="2026-03-15", limit=1000),
        Wanted(kind="survey", saves="memory", day="2026-0", relevance=0.2, limit=1000), Wanted(kind="no", limit=9),
    ],
)  # fmt: skip
def test_filters_are_what_they_say(store: Store, wanted: Wanted) -> None:
    listed = list_papers(store, wanted)
    assert {p.identity for p in listed} == {p.identity for p in PAPERS if passes(p, wanted)}
    assert [p.day for p in listed] == sorted((p.day for p in listed), reverse=True)
    found = {p.identity for _, p in search_papers(store, "word3", wanted)}
    assert found == {p.identity for p in PAPERS if "word3" in p.abstract and passes(p, wanted)}


def test_pages_make_the_whole(store: Store) -> None:
    pages = [list_papers(store, Wanted(limit=90, offset=at)) for at in range(0, 450, 90)]
    assert [p for page in pages for p in page] == list_papers(store, Wanted(limit=1000))
    assert count_papers(store) == 400


def test_all_words_come_before_some(store: Store) -> None:
    found = [p for _, p in search_papers(store, "word3 thing1", Wanted(limit=1000))]
    both = ["word3" in p.abstract and "thing1" in p.abstract for p in found]
    assert both == sorted(both, reverse=True)
    assert any(both)
    assert not all(both)
    assert [p.identity for _, p in search_papers(store, "cache", Wanted(limit=1000))], "endings are stripped"
