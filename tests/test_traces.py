"""Traces: every published form reads alike, errors name the line, replays keep what the trace says, downloads are
checked."""

from __future__ import annotations

import hashlib
import io
import json
import urllib.error

import numpy as np
import pytest

from rooflab.catalogue import traces
from rooflab.catalogue.trace_files import read_trace
from rooflab.catalogue.trace_prefixes import continuations, prompt_blocks
from rooflab.catalogue.workloads import resolve
from rooflab.errors import InputError
from rooflab.scenario.workload import read_workload
from rooflab.simulator.work.make import make_work
from rooflab.simulator.work.replay import repeat, trace_requests
from rooflab.simulator.work.requests import OPEN, SHARED

AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
)
MOONCAKE = [
    {"timestamp": 0, "input_length": 1100, "output_length": 50, "hash_ids": [0, 1, 2]},
    {"timestamp": 3000, "input_length": 700, "output_length": 9, "hash_ids": [0, 3]},
    {"timestamp": 9000, "input_length": 2100, "output_length": 7, "hash_ids": [0, 1, 4, 5, 6]},
    {"timestamp": 9000, "input_length": 600, "output_length": 7, "hash_ids": [0, 8]},
]


def _file(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    return path


def _lines(rows):
    return "\n".join(json.dumps(row) for row in rows) + "\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("azure.csv", AZURE),
        ("trimmed.csv", "timestamp,input_tokens,output_tokens\n0.0,374,44\n4.314579,396,109\n"),
        ("zoned.csv", AZURE.replace("800", "800+00:00").replace("690,", "690+00:00,")),
        ("vidur.csv", "arrived_at,num_prefill_tokens,num_decode_tokens\n0,374,44\n4.314579,396,109\n"),
        ("burstgpt.csv", "Timestamp,Model,Request tokens,Response tokens,Log "
                         "Type\n5,GPT,374,44,x\n9.314579,GPT,396,109,x\n"),
        ("shuffled.csv", "timestamp,isl,osl\n4.314579,396,109\n0,374,44\n"),
        ("client.jsonl", _lines([{"arrival_s": 1.0, "prompt_tokens": 374, "output_tokens": 44, "ttft": 0.1},
                                 {"arrival_s": 5.314579, "prompt_tokens": 396, "output_tokens": 109, "ttft": 0.2}])),
        ("mooncake.jsonl", _lines([{"timestamp": 0, "input_length": 374, "output_length": 44},
                                   {"timestamp": 4314.579, "input_length": 396, "output_length": 109}])),
    ],
)  # fmt: skip
def test_every_form_reads_alike(tmp_path, name, text):
    trace = read_trace(_file(tmp_path, name, text))
    assert trace.time_s == pytest.approx([0, 4.314579])
    assert trace.input_tokens.tolist() == [374, 396]
    assert trace.output_tokens.tolist() == [44, 109]
    assert trace.rate_per_s == pytest.approx(1 / 4.314579)


def test_lengths_only_have_no_times(tmp_path):
    for text in (
        "input_tokens,output_tokens\n3,4\n5,6\n",
        "timestamp,input_tokens,output_tokens\n,3,4\n,5,6\n",
        "TIMESTAMP,ISL,OSL\nXXX,3,4\nXXX,5,6\n",
    ):
        trace = read_trace(_file(tmp_path, "lengths.csv", text))
        assert trace.time_s is None
        assert trace.rate_per_s is None
        assert trace.input_tokens.tolist() == [3, 5]


def test_failed_requests_are_counted(tmp_path):
    trace = read_trace(_file(tmp_path, "t.csv", "timestamp,input_tokens,output_tokens\n0,5,0\n1,5,2\n2,0,3\n"))
    assert (len(trace), trace.skipped) == (1, 2)


def test_further_columns_can_be_kept(tmp_path):
    path = _file(tmp_path, "t.csv", "timestamp,input_tokens,output_tokens,first_token_s\n1,5,3,1.5\n0,6,2,0.5\n")
    assert read_trace(path, extra=("first_token_s",)).extra["first_token_s"].tolist() == [0.5, 1.5]
    with pytest.raises(InputError, match="no column queued_s among"):
        read_trace(path, extra=("queued_s",))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            "timestamp,input_tokens,output_tokens\n0,3,4\n1,many,4\n",
            "a.csv:3: input_tokens 'many' is not a token count",
        ),
        (
            "a.csv",
            "timestamp,input_tokens,output_tokens\n0,3,4\n1,3,2.5\n",
            "a.csv:3: output_tokens '2.5' is not a token count",
        ),
        ("a.csv", "timestamp,input_tokens,output_tokens\n0,3,-4\n", "a.csv:2: output_tokens '-4' is not a token count"),
        (
            "a.csv",
            "timestamp,input_tokens,output_tokens\n0,3,4\nsoon,3,4\n2,3,4\n",
            "a.csv:3: timestamp 'soon' is not a time",
        ),
        (
            "a.csv",
            "TIMESTAMP,ISL,OSL\n2023-11-16 18:15:46,3,4\nyesterday,3,4\n",
            "a.csv:3: TIMESTAMP 'yesterday' is not a time",
        ),
        ("a.csv", "timestamp,input_tokens,output_tokens\n0,3\n", "a.csv:2: 2 values in a row of 3 columns"),
        ("a.csv", "timestamp,prompt,output_tokens\n0,3,4\n", "a.csv:1: no column of input tokens"),
        ("a.csv", "", "a.csv: is empty"),
        ("a.csv", "timestamp,input_tokens,output_tokens\n", "a.csv: has no rows"),
        ("a.jsonl", '{"input_length": 3, "output_length": 4}\n{"input_length": 3}\n', "a.jsonl:2: no output_length"),
        ("a.jsonl", '{"input_length": 3, "output_length": 4}\n{"input_length": 3,\n', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", '{"input_length": 3, "output_length": 4, "hash_ids": 7}\n', "a.jsonl:1: hash_ids 7 is not a list"),
    ],
)
def test_errors_name_the_line(tmp_path, name, text, message):
    with pytest.raises(InputError) as caught:
        read_trace(_file(tmp_path, name, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_trace(tmp_path / "none.csv")


def test_hashes_become_whole_blocks(tmp_path):
    requests = trace_requests(read_trace(_file(tmp_path, "m.jsonl", _lines(MOONCAKE))))
    assert requests.arrival_s.tolist() == [0, 3, 9, 9]
    assert requests.prefix_block_tokens == 512
    assert np.diff(requests.prefix_start).tolist() == [
        2,
        1,
        4,
        1,
    ]  # 1100, 700, 2100 and 600 tokens hold so many whole blocks
    assert requests.prefix_block.tolist() == [0, 1, 0, 0, 1, 4, 5, 0]


def test_who_continues_whom(tmp_path):
    trace = read_trace(_file(tmp_path, "m.jsonl", _lines(MOONCAKE)))
    found = continuations(*prompt_blocks(trace))
    assert found.common_blocks == 1
    assert found.shared.tolist() == [0, 1, 2, 1]
    assert found.parent.tolist() == [-1, -1, 0, -1]
    assert found.sessions().tolist() == [0, 1, 0, 3]


def test_blocks_rebuilt_from_hit_counts_give_the_same_hits(tmp_path):
    rows = ["0,1100,5,0", "1,700,5,512", "2,2100,5,1024", "3,2100,5,512", "4,3000,5,2048"]
    trace = read_trace(
        _file(
            tmp_path,
            "m.csv",
            "timestamp,input_tokens,output_tokens,cached_prefix_tokens_infinite_cache\n" + "\n".join(rows),
        )
    )
    start, block = prompt_blocks(trace)
    found = continuations(start, block)
    assert (found.shared * 512).tolist() == [0, 512, 1024, 512, 2048]
    assert found.parent[4] in (2, 3)
    assert found.parent[2] == 0


def test_a_trace_replays_on_its_clock_or_at_another_rate(tmp_path):
    path = str(_file(tmp_path, "t.csv", "timestamp,input_tokens,output_tokens\n0,5,3\n1,6,2\n4,7,1\n"))
    assert make_work(read_workload({"trace": path})).arrival_s.tolist() == [0, 1, 4]
    resolved = resolve(read_workload({"trace": path}))
    assert make_work(resolved).arrival_s.tolist() == [0, 1, 4]
    assert (resolved.rate, resolved.isl.mean) == (0.5, pytest.approx(6, rel=1e-3))
    assert make_work(read_workload({"trace": path, "rate": 5})).arrival_s == pytest.approx([0, 0.1, 0.4])
    closed = make_work(read_workload({"trace": path, "concurrency": 2}))
    assert closed.after.tolist() == [OPEN, OPEN, SHARED]
    assert closed.input_tokens.tolist() == [5, 6, 7]


def test_lengths_only_need_a_way_of_arriving(tmp_path):
    path = str(_file(tmp_path, "t.csv", "input_tokens,output_tokens\n5,3\n6,2\n"))
    with pytest.raises(InputError, match="has lengths only; give a rate or a concurrency"):
        make_work(read_workload({"trace": path}))
    work = make_work(read_workload({"trace": path, "rate": 3, "requests": 6000}))
    assert 6000 / work.arrival_s[-1] == pytest.approx(3, rel=0.05)
    assert work.input_tokens[:4].tolist() == [5, 6, 5, 6]


def test_a_trace_repeats_with_prompts_of_its_own(tmp_path):
    once = trace_requests(read_trace(_file(tmp_path, "m.jsonl", _lines(MOONCAKE))))
    thrice = repeat(once, 10)
    assert len(thrice) == 10
    assert thrice.arrival_s.tolist() == [0, 3, 9, 9, 12, 15, 21, 21, 24, 27]  # one mean gap of 3 s between rounds
    assert thrice.prefix_block[:8].tolist() == once.prefix_block.tolist()
    assert not set(thrice.prefix_block[8:16]) & set(once.prefix_block)
    same = repeat(once, 8, fresh_prefixes=False)
    assert same.prefix_block[8:].tolist() == once.prefix_block.tolist()


@pytest.mark.parametrize(
    ("file", "rows", "rate"),
    [("azure_2023_conv.csv", 19366, 5.53), ("azure_2023_code.csv", 8819, 2.566),
    ("mooncake_conversation.csv", 12031, 3.401),
     ("mooncake_synthetic.csv", 3993, 3.906), ("nanoflow_sharegpt_lengths.csv", 58787, None),
     ("nanoflow_lmsys_lengths.csv", 100000, None),
     ("vidur_arxiv_summarization_lengths.csv", 28257, None),
     ("measured_vllm_sharegpt_rtx4090_llama3.1-8b_tp1.csv", 300, 10.27)],
)  # fmt: skip
def test_the_shared_traces_read_whole(file, rows, rate, shared):
    trace = read_trace(shared / "data" / "traces" / file)
    assert (len(trace), trace.skipped) == (rows, 0)
    assert trace.rate_per_s == (None if rate is None else pytest.approx(rate, rel=1e-3))


def test_rebuilt_mooncake_blocks_hit_as_often_as_the_trace_says(shared):
    trace = read_trace(shared / "data" / "traces" / "mooncake_conversation.csv")
    found = continuations(*prompt_blocks(trace))
    assert np.array_equal(np.minimum(found.shared * 512, trace.cached_tokens), trace.cached_tokens)


def test_public_traces_are_pinned_and_checkable():
    found = traces.list_traces()
    assert {"azure-conv-2023", "mooncake-conversation", "mooncake-toolagent", "burstgpt-1"} <= {t.key for t in found}
    for trace in found:
        assert trace.url.startswith("https://raw.githubusercontent.com/")
        assert any(len(part) == 40 for part in trace.url.split("/")), trace.url  # a commit, not a branch
        assert (trace.sha256 is None) != (trace.git_sha1 is None)
        assert trace.licence


@pytest.fixture
def published(monkeypatch):
    """One public trace whose bytes come from here instead of from the network."""
    content = AZURE.encode()
    trace = traces.PublicTrace(
        key="tiny",
        title="a trace",
        url="https://example.org/tiny.csv",
        licence="MIT",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setattr(traces, "list_traces", lambda: [trace])

    def serve(body):
        def urlopen(url, timeout):
            response = io.BytesIO(body)
            response.headers = {"Content-Length": str(len(body))}
            return response

        monkeypatch.setattr("urllib.request.urlopen", urlopen)

    serve(content)
    return serve


def test_a_download_is_checked_kept_and_reported(published, tmp_path):
    seen = []
    path = traces.get("tiny", tmp_path / "new", progress=lambda done, total: seen.append((done, total)))
    assert path.read_text() == AZURE
    assert seen == [(len(AZURE), len(AZURE))]
    published(b"never asked for again")
    assert traces.get("tiny", tmp_path / "new") == path


def test_other_bytes_are_refused_and_leave_nothing(published, tmp_path):
    published(b"not the trace")
    with pytest.raises(InputError, match="checksum differs"):
        traces.get("tiny", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_error_says_how_to_go_on(published, tmp_path, monkeypatch):
    def urlopen(url, timeout):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with pytest.raises(
        InputError,
        match=r"tiny.csv: cannot be downloaded \(Name or service not known\); fetch it elsewhere and put it at",
    ):
        traces.get("tiny", tmp_path)


def test_a_git_checksum_is_that_of_the_blob():
    trace = traces.PublicTrace(
        key="t",
        title="t",
        url="https://example.org/t.csv",
        licence="MIT",
        git_sha1="ce013625030ba8dba906f756967f9e9ca394464a",
    )
    assert trace.matches(b"hello\n")  # git hash-object of "hello\n"
    assert not trace.matches(b"hello")


def test_a_trace_is_a_path_or_the_name_of_one_that_was_fetched(published, tmp_path, monkeypatch):
    monkeypatch.setenv("ROOFLAB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="tiny has not been fetched yet; run: rooflab traces get tiny"):
        resolve(read_workload({"trace": "tiny"}))
    path = traces.get("tiny")
    assert resolve(read_workload({"trace": "tiny"})).trace == str(path)
    with pytest.raises(InputError, match="Did you mean tiny"):
        resolve(read_workload({"trace": "tinny"}))
    with pytest.raises(InputError, match="no such file"):
        resolve(read_workload({"trace": "tiny.csv"}))
