"""The store with many papers: how fast they go in, and how long lists, filters and searches take.

    python benchmarks/bench_store.py [--papers 100000] [--folder DIR]

Papers are made: words drawn from the abstracts' usual ones with frequencies that fall as 1/rank, 120 to 220 of them, so
that a common word stands in most papers and a rare one in a few. Prints papers a second (into the store; with their
Atom documents read before; with classification, too), the time to open the store (which checks it), and the median,
95th percentile and worst of 300 questions of each sort, in one open store, each with other words, days and filters.
"""

from __future__ import annotations

import argparse
import html
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from rooflab.feed.classify import Classifier, rules_digest
from rooflab.feed.entries import read_entries
from rooflab.papers.cards import KINDS, RESOURCES, cards
from rooflab.papers.registry import keys
from rooflab.store.opening import Store
from rooflab.store.papers import Paper, Wanted, list_papers, put_papers, search_papers

LOT = 100
"""Papers of a page, each page a transaction, as a fetch does."""
WORDS = 20_000
USUAL = [
    "model", "inference", "serving", "memory", "latency", "training", "language", "throughput", "cache", "attention",
    "quantization", "gpu", "energy", "agents", "efficient", "speedup", "decoding", "batch", "scheduling", "kernel",
    "tokens", "parallel", "communication", "accelerator", "retrieval", "benchmark",
]  # fmt: skip


class Maker:
    """Makes papers, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.words = [*USUAL, *(f"w{self.rng.integers(1 << 40):x}" for _ in range(WORDS - len(USUAL)))]
        ranks = 1 / np.arange(1, WORDS + 1)
        self.chance = np.cumsum(ranks / ranks.sum())

    def text(self, n: int) -> str:
        drawn = np.searchsorted(self.chance, self.rng.random(n))
        return " ".join(self.words[min(i, WORDS - 1)] for i in drawn)

    def paper(self, number: int) -> Paper:
        rng = self.rng
        day = f"{2016 + number // 10_000}-{1 + number // 834 % 12:02d}-{1 + int(rng.integers(28)):02d}"
        factor = 1 + int(rng.integers(90)) / 10
        abstract = f"{self.text(int(rng.integers(120, 220)))}. We run {factor}x faster than before."
        return Paper(
            identity=f"arxiv:{number // 10_000:02d}{number % 12 + 1:02d}.{number:05d}", title=self.text(9).capitalize(),
            abstract=abstract, link=f"https://arxiv.org/abs/{number}", day=day, updated=day,
            authors=("Ann Example", "Ben Example"), categories=("cs.DC",), kind=str(rng.choice(KINDS)),
            saves=tuple(str(r) for r in rng.choice(RESOURCES, 2, replace=False)), relevance=float(rng.random()),
            figures=({"low": factor, "high": factor, "unit": "x", "text": f"{factor}x faster"},),
            classified=rules_digest(),
        )  # fmt: skip


def atom(papers: list[Paper]) -> bytes:
    entries = "".join(
        f"<entry><id>http://arxiv.org/abs/{p.identity[6:]}v1</id><published>{p.day}T00:00:00Z</published>"
        f"<updated>{p.day}T00:00:00Z</updated><title>{html.escape(p.title)}</title>"
        f"<summary>{html.escape(p.abstract)}</summary><author><name>Ann Example</name></author></entry>"
        for p in papers
    )
    return f'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>t</title>{entries}</feed>'.encode()


def lots(papers: list[Paper]) -> Iterator[list[Paper]]:
    return (papers[i : i + LOT] for i in range(0, len(papers), LOT))


def ingest(store: Store, papers: list[Paper], prepare: Callable[[list[Paper]], list[Paper]]) -> float:
    start = time.perf_counter()
    for lot in lots(papers):
        ready = prepare(lot)
        with store.change() as db:
            put_papers(db, ready, "made", "2026-01-01T00:00:00+00:00")
    return len(papers) / (time.perf_counter() - start)


def rates(folder: Path, maker: Maker, n: int) -> None:
    """Papers a second of the other ways in, over a part of them in stores of their own."""
    papers = [maker.paper(i) for i in range(n)]
    documents = {lot[0].identity: atom(lot) for lot in lots(papers)}

    def read(lot: list[Paper]) -> list[Paper]:
        return list(read_entries(documents[lot[0].identity], "2026-01-01").papers)

    rules = Classifier(cards(), keys())
    with Store.open(folder / "read") as store:
        print(f"read from Atom and kept                {ingest(store, papers, read):8,.0f} papers/s")
    with Store.open(folder / "classified") as store:
        print(f"classified and kept                    {ingest(store, papers, rules.prepared):8,.0f} papers/s")
    with Store.open(folder / "all") as store:
        rate = ingest(store, papers, lambda lot: rules.prepared(read(lot)))
        print(f"read, classified and kept              {rate:8,.0f} papers/s")


def ask(name: str, question: Callable[[int], list[object]], times: int = 300) -> None:
    took, found = [], 0
    for i in range(times):
        start = time.perf_counter()
        found += len(question(i))
        took.append(1e3 * (time.perf_counter() - start))
    mid, high = np.percentile(took, [50, 95])
    told = f"median {mid:6.2f}   p95 {high:6.2f}   worst {max(took):6.2f} ms"
    print(f"{name:<38} {told}   ({found / times:.0f} found)")


def questions(store: Store, maker: Maker) -> None:
    rng = np.random.default_rng(1)

    def rare(i: int) -> str:
        return maker.words[int(rng.integers(200, WORDS))]

    def wanted(i: int, **more: object) -> Wanted:
        given = {"kind": KINDS[i % len(KINDS)], "saves": RESOURCES[i % len(RESOURCES)], "limit": 50}
        return Wanted(**(given | more))

    def day(i: int) -> str:
        return f"{2016 + i % 10}-{1 + i % 12:02d}"

    ask("list, the newest 50", lambda i: list_papers(store, Wanted(relevance=0.5)))
    ask("list, pages up to the 5,000th", lambda i: list_papers(store, Wanted(offset=int(rng.integers(5000)))))
    ask("filter by kind and resource", lambda i: list_papers(store, wanted(i)))
    ask(
        "filter by resource, month, relevance",
        lambda i: list_papers(store, wanted(i, kind="", day=day(i), relevance=0.9)),
    )
    ask("filter with few or none", lambda i: list_papers(store, wanted(i, saves="nothing")))
    ask("search, a common word", lambda i: search_papers(store, USUAL[i % len(USUAL)], Wanted(relevance=0.5)))
    ask("search, a rare word", lambda i: search_papers(store, rare(i), Wanted()))
    ask("search, three words", lambda i: search_papers(store, f"{USUAL[i % 26]} {rare(i)} {rare(i)}", Wanted()))
    ask(
        "search, two common, filtered",
        lambda i: search_papers(store, f"{USUAL[i % 26]} {USUAL[(i + 7) % 26]}", wanted(i)),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--papers", type=int, default=100_000)
    parser.add_argument("--folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder, maker = Path(name), Maker(0)
        papers = [maker.paper(i) for i in range(given.papers)]
        with Store.open(folder / "store") as store:
            print(f"kept                                   {ingest(store, papers, list):8,.0f} papers/s")
            store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        start = time.perf_counter()
        with Store.open(folder / "store") as store:
            size = (folder / "store").stat().st_size / 1e6
            print(f"opened and checked in                  {time.perf_counter() - start:8.2f} s ({size:,.0f} MB)")
            questions(store, maker)
        rates(folder, Maker(1), min(given.papers, 4_000))


if __name__ == "__main__":
    main()
