"""Fetching papers from a server on loopback that misbehaves: what is kept, what is told, and where a fetch goes on."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from feed_server import Answer, Server, atom, daily, entry, rss, serving

from rooflab.cli.main import run
from rooflab.errors import InputError
from rooflab.feed.download import Downloader, Patience
from rooflab.feed.entries import arxiv_id, read_entries
from rooflab.feed.fetch import Fetched, fetch_all
from rooflab.feed.sources import read_sources
from rooflab.store.opening import Store
from rooflab.store.papers import Paper, Wanted, list_papers

QUICK = Patience(base_s=0.01, connect_s=2.0, read_s=0.4, whole_s=1.0, between_s=0.0, most_bytes=2**20, longest_s=5.0)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as held:
        yield held


def fetch(store: Store, *words: str, patience: Patience = QUICK, limit: int = 500) -> list[Fetched]:
    with Downloader(patience=patience) as downloader:
        return fetch_all(store, read_sources(words), downloader, list, limit=limit)


def kept(store: Store) -> list[Paper]:
    return list_papers(store, Wanted(limit=1000))


def test_papers_of_an_atom_feed(server: Server, store: Store) -> None:
    server.answers["/feed"] = [Answer(atom(entry(1), entry(2, 3, title="A &lt;b&gt;bold&lt;/b&gt; one")))]
    (found,) = fetch(store, f"{server.address}/feed")
    assert (found.kept.new, found.broken, found.error) == (2, (), "")
    by = {p.identity: p for p in kept(store)}
    one = by["arxiv:2611.00001"]
    assert (one.title, one.day, one.authors, one.categories) == (
        "Paper 1 on caches", "2026-11-20", ("Ann Example",), ("cs.DC",),
    )  # fmt: skip
    assert by["arxiv:2611.00002"].version == 3
    assert by["arxiv:2611.00002"].title == "A bold one"


def test_duplicates_merge_and_later_versions_update(server: Server, store: Store) -> None:
    server.answers["/api"] = [Answer(atom(entry(1))), Answer(atom(entry(1, 2, title="Renamed", day="2026-11-25")))]
    server.answers["/daily"] = [Answer(daily({"id": "2611.00001", "title": "Old words", "summary": "s"}))]
    api, day = f"{server.address}/api", f"{server.address}/daily"
    assert [f.kept.new for f in fetch(store, api, day)] == [1, 0]
    assert fetch(store, api)[0].kept.updated == 1
    assert fetch(store, day)[0].kept.same == 1
    (paper,) = kept(store)
    assert (paper.title, paper.version, paper.day, paper.updated) == ("Renamed", 2, "2026-11-20", "2026-11-25")
    assert len(store.rows("SELECT * FROM paper_sources")) == 2


def test_validators_are_asked_and_304_is_unchanged(server: Server, store: Store) -> None:
    given = {"ETag": '"a"', "Last-Modified": "Fri, 20 Nov 2026 10:00:00 GMT"}
    server.answers["/feed"] = lambda _, headers: (
        Answer(status=304) if headers.get("if-none-match") == '"a"' else Answer(atom(entry(1)), headers=given)
    )
    assert not fetch(store, f"{server.address}/feed")[0].unchanged
    for _ in range(2):
        assert fetch(store, f"{server.address}/feed")[0].unchanged
    assert server.asked[1][1]["if-modified-since"] == given["Last-Modified"]


def test_a_broken_document_gives_what_can_be_read_and_no_validator(server: Server, store: Store) -> None:
    whole = atom(entry(1), entry(2))
    server.answers["/feed"] = [Answer(whole[: whole.index(b"</entry>") + 60], headers={"ETag": '"cut"'})]
    (found,) = fetch(store, f"{server.address}/feed")
    assert found.kept.new >= 1
    assert "the document is broken" in found.broken[-1]
    fetch(store, f"{server.address}/feed")
    assert "if-none-match" not in server.asked[-1][1]


def test_broken_entries_are_named_and_left_out(server: Server, store: Store) -> None:
    papers = [
        {"id": "2611.00001", "title": "Fine", "summary": "s"}, {"id": "nope", "title": "t"}, {"id": "2611.00003"},
        {"id": "2611.00004", "title": ["x"]}, {"id": "2611.00005", "title": "t", "publishedAt": "yesterday"},
    ]  # fmt: skip
    body = json.dumps([*({"paper": p} for p in papers), 7, None, {"paper": 5}]).encode()
    server.answers["/daily"] = [Answer(body)]
    server.answers["/rss"] = [
        Answer(rss("<item><title>no link</title></item>", "<item><link>https://e.org/1</link></item>",
                   "<item><title>bad</title><link>javascript:alert(1)</link></item>",
                   "<item><title>Good</title><link>https://e.org/2</link></item>"))
    ]  # fmt: skip
    day, other = fetch(store, f"{server.address}/daily", f"{server.address}/rss")
    assert (day.kept.new, len(day.broken)) == (1, 7)
    assert day.broken[0].startswith("entry 2: has no id of arXiv ('nope')")
    assert (other.kept.new, len(other.broken)) == (1, 3)
    assert {p.identity for p in kept(store)} == {"arxiv:2611.00001", "url:https://e.org/2"}


@pytest.mark.parametrize(
    ("answers", "new", "told", "asked"),
    [
        ([Answer(status=500), Answer(status=503), Answer(atom(entry(1)))], 1, "", 3),
        ([Answer(status=429, headers={"Retry-After": "0"}), Answer(atom(entry(1)))], 1, "", 2),
        ([Answer(status=500)], 0, "answers 500", 4),
        ([Answer(status=429, headers={"Retry-After": "900"})], 0, "asks to come back in 900 s", 1),
        ([Answer(status=404)], 0, "answers 404 Not Found", 1),
        ([Answer(atom(entry(1)), cut=40), Answer(atom(entry(1)))], 1, "", 2),
        ([Answer(atom(entry(1)), cut=40)], 0, "breaks off", 4),
        ([Answer(b"")], 0, "is empty", 1),
        ([Answer(b"<html><body>Hello</body></html>")], 0, "is no feed", 1),
        ([Answer(b"\x00\x01\xff" * 50)], 0, "is no feed", 1),
        ([Answer(b'{"papers": 5}')], 0, "no list of daily papers", 1),
        ([Answer(b"[" * 100_000)], 0, "not valid JSON", 1),
        ([Answer(b"x" * (2**20 + 1))], 0, "is larger than 1 MiB", 1),
        ([Answer(gzip.compress(bytes(200 * 2**20)), headers={"Content-Encoding": "gzip"})], 0, "larger than 1 MiB", 1),
        ([Answer(gzip.compress(atom(entry(1))), headers={"Content-Encoding": "gzip"})], 1, "", 1),
        ([Answer(gzip.compress(atom(entry(1)))[:-20], headers={"Content-Encoding": "gzip"})], 0, "not whole", 4),
        ([Answer(b"not packed", headers={"Content-Encoding": "gzip"})], 0, "breaks off", 4),
        ([Answer(b"x", headers={"Content-Encoding": "br"})], 0, "not asked for (br)", 1),
        ([Answer(status=302, headers={"Location": "/feed"})], 0, "redirects more than 5 times", 6),
        ([Answer(status=302, headers={"Location": "file:///etc/passwd"})], 0, "not HTTP", 1),
    ],
)  # fmt: skip
def test_a_server_that_misbehaves(
    *, server: Server, store: Store, answers: Sequence[Answer], new: int, told: str, asked: int
) -> None:
    server.answers["/feed"] = list(answers)
    (found,) = fetch(store, f"{server.address}/feed")
    assert (found.kept.new, len(server.asked)) == (new, asked), found.error
    assert told in found.error
    assert (found.error == "") == (told == "")
    assert "\n" not in found.error


def test_redirects_are_followed(server: Server, store: Store) -> None:
    server.answers["/old"] = [Answer(status=301, headers={"Location": "/new"})]
    server.answers["/new"] = [Answer(atom(entry(1)))]
    assert fetch(store, f"{server.address}/old")[0].kept.new == 1


def test_slow_servers_are_given_up(server: Server, store: Store) -> None:
    over = threading.Event()
    server.answers["/feed"] = [Answer(atom(entry(1)), hold=lambda: over.wait(3) and None)]
    start = time.monotonic()
    (found,) = fetch(store, f"{server.address}/feed", patience=Patience(tries=2, base_s=0.01, read_s=0.3))
    over.set()
    assert "does not answer in time" in found.error
    assert time.monotonic() - start < 3


def test_waits_grow_with_jitter_and_follow_retry_after() -> None:
    waits: list[float] = []
    with serving() as server:
        server.answers["/feed"] = [Answer(status=500), Answer(status=429, headers={"Retry-After": "7"}), Answer(b"x")]
        with Downloader(sleep=waits.append, jitter=lambda: 0.25) as downloader:
            assert downloader.get(f"{server.address}/feed").content == b"x"
    assert waits == [0.75, 7.0]


def arxiv(papers: int) -> object:
    """The API of arXiv with so many papers."""

    def answer(query: dict[str, str], _: object) -> Answer:
        start, size = int(query["start"]), int(query["max_results"])
        return Answer(atom(*(entry(n) for n in range(papers - start, max(papers - start - size, 0), -1))))

    return answer


def test_arxiv_is_read_page_by_page_with_waits(server: Server, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOFLAB_ARXIV_API", f"{server.address}/api")
    server.answers["/api"] = arxiv(230)
    waits: list[float] = []
    with Downloader(sleep=waits.append) as downloader:
        (found,) = fetch_all(store, read_sources(["arxiv:cs.DC,cs.LG/KV cache"]), downloader, list, limit=1000)
    assert found.kept.new == 230
    assert "cat%3Acs.DC%20OR%20cat%3Acs.LG" in server.asked[0][0]
    assert "all%3A%22KV%20cache%22" in server.asked[0][0]
    assert len(waits) == len(server.asked) - 1
    assert all(2.5 < w <= 3.0 for w in waits)
    asked = len(server.asked)
    assert fetch(store, "arxiv:cs.DC,cs.LG/KV cache")[0].kept.same == 100
    assert len(server.asked) == asked + 1, "a page without news is the last"


def test_arxiv_that_refuses_a_question_says_so(server: Server, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOFLAB_ARXIV_API", f"{server.address}/api")
    error = (
        "<entry><id>http://arxiv.org/api/errors#incorrect_id_format</id><title>Error</title>"
        "<summary>incorrect id format</summary><link href='http://arxiv.org/api/errors'/></entry>"
    )
    server.answers["/api"] = [Answer(atom(error))]
    assert "refuses the question (incorrect id format)" in fetch(store, "arxiv:cs.DC")[0].error


def test_a_fetch_that_failed_goes_on_where_it_was(
    server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOFLAB_ARXIV_API", f"{server.address}/api")
    full = arxiv(250)
    server.answers["/api"] = lambda q, h: full(q, h) if int(q["start"]) < 200 else Answer(status=500)
    (found,) = fetch(store, "arxiv:cs.DC", limit=1000)
    assert (found.kept.new, found.error) == (200, "answers 500")
    server.answers["/api"] = full
    server.asked.clear()
    (found,) = fetch(store, "arxiv:cs.DC", limit=1000)
    assert (found.kept.new, found.error) == (50, "")
    assert "start=200" in server.asked[0][0]


def test_a_killed_fetch_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    full, stop = arxiv(300), threading.Event()

    def answer(query: dict[str, str], headers: object) -> Answer:
        if int(query["start"]) >= 200:
            stop.set()
            time.sleep(3)
        return full(query, headers)

    server.answers["/api"] = answer
    code = (
        "import sys\nfrom rooflab.feed.download import Downloader, Patience\nfrom rooflab.feed.fetch import fetch_all\n"
        "from rooflab.feed.sources import read_sources\nfrom rooflab.store.opening import Store\n"
        "with Store.open(sys.argv[1]) as s, Downloader(patience=Patience(between_s=0.0)) as d:\n"
        "    fetch_all(s, read_sources(['arxiv:cs.DC']), d, list, limit=1000)\n"
    )
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[1] / "src"), "ROOFLAB_ARXIV_API": f"{server.address}/api"
    }  # fmt: skip
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "store")], env=environment)
    assert stop.wait(30)
    child.send_signal(signal.SIGKILL)
    child.wait()
    server.answers["/api"] = full
    server.asked.clear()
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "store")], env=environment, check=False)
    assert done.returncode == 0
    assert [a.rpartition("start=")[2] for a, _ in server.asked] == ["200&max_results=100", "300&max_results=100"]
    with Store.open(tmp_path / "store") as store:
        assert len(kept(store)) == 300


def test_files_are_sources_and_lists_of_them(server: Server, store: Store, tmp_path: Path) -> None:
    (tmp_path / "saved.xml").write_bytes(atom(entry(1)))
    (tmp_path / "saved.json").write_bytes(daily({"id": "2611.00002", "title": "t", "summary": "s"}))
    (tmp_path / "list.txt").write_text(f"# feeds\n{server.address}/feed  # mine\n\narxiv:cs.DC\n")
    names = [s.name for s in read_sources([str(tmp_path / "list.txt")])]
    assert names == [f"{server.address}/feed", "arxiv:cs.DC"]
    found = fetch(store, str(tmp_path / "saved.xml"), str(tmp_path / "saved.json"))
    assert [f.kept.new for f in found] == [1, 1]


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("arxiv:", "names neither a category nor words"), ("arxiv:cs.DC,4", "'4' is no category"),
        ("huggingface:today", "no day such as"), ("nope", "no such file"), ("http://", "no such file|is no address"),
        ("ftp://x/y", "no such file"), (".", "is no plain file"), ("", "no such file"), ("http://a b", "is no address"),
    ],
)  # fmt: skip
def test_words_that_name_no_source(word: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        read_sources([word])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://arxiv.org/abs/2408.12757v2", ("2408.12757", 2)), ("oai:arXiv.org:2408.12757v1", ("2408.12757", 1)),
        ("https://arxiv.org/pdf/cs/0112017", ("cs/0112017", 1)), ("https://e.org/2408.12757", None),
        ("arXiv:2408.12757", ("2408.12757", 1)), ("https://arxiv.org/abs/2408.12757v0", ("2408.12757", 1)),
    ],
)  # fmt: skip
def test_ids_of_arxiv(text: str, found: tuple[str, int] | None) -> None:
    assert arxiv_id(text) == found


def test_the_rss_of_arxiv_loses_its_preamble() -> None:
    item = (
        "<item><title>T</title><link>https://arxiv.org/abs/2611.00001</link><guid>oai:arXiv.org:2611.00001v1</guid>"
        "<description>arXiv:2611.00001v1 Announce Type: new \nAbstract: We save memory.</description></item>"
    )
    (paper,) = read_entries(rss(item), "2026-11-30").papers
    assert (paper.abstract, paper.day) == ("We save memory.", "2026-11-30")


def test_offline_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROOFLAB_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("time.sleep", lambda _: None)
    assert run(["feed", "fetch", "-q", "http://127.0.0.1:9/feed", "http://127.0.0.1:9/other"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "no source can be reached" in err
    assert "offline?" in err


def test_the_command_says_what_came_of_each(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.answers["/feed"] = [Answer(atom(entry(1), entry(2)))]
    words = ["--store", str(tmp_path / "store")]
    assert run(["feed", "fetch", f"{server.address}/feed", f"{server.address}/none", *words]) == 1
    out, err = capsys.readouterr()
    assert f"{server.address}/feed: 2 new, 0 updated, 0 known" in out
    assert "2 papers are kept" in out
    assert err == f"{server.address}/none: answers 404 Not Found\n"
    assert run(["feed", "fetch", f"{server.address}/feed", "--json", *words]) == 0
    assert json.loads(capsys.readouterr().out)[0]["same"] == 2
