"""Workloads: distributions keep their means, arrivals their rates, sessions their structure, shipped fits their
sources."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflab.catalogue.trace_fit import fit_quantiles, fit_trace
from rooflab.catalogue.workloads import list_workloads, resolve, save_entry, workload_entry
from rooflab.errors import InputError
from rooflab.scenario.lengths import Lengths, read_lengths, read_times, value_at
from rooflab.scenario.slo import read_slo
from rooflab.scenario.workload import Workload, read_workload
from rooflab.simulator.work.arrivals import arrival_times
from rooflab.simulator.work.draw import request_count
from rooflab.simulator.work.lengths import correlated, stream, to_counts, to_values
from rooflab.simulator.work.make import make_work
from rooflab.simulator.work.requests import OPEN, SHARED, Requests

MANY = 200_000
DISTRIBUTIONS = (
    {"lognormal": {"mean": 1155, "cv": 1.1, "high": 8192}},
    {"lognormal": {"mean": 30, "cv": 2}},
    {"exponential": {"mean": 155, "high": 300}},
    {"exponential": {"mean": 400}},
    {"uniform": {"low": 10, "high": 90}},
    {"quantiles": [1, 10, 10, 50, 400]},
    "100..2000",
    512,
)


def _spearman(a, b):
    return float(np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1])


def _work(**fields) -> Requests:
    return make_work(resolve(read_workload(fields)))


@pytest.mark.parametrize("given_as", DISTRIBUTIONS, ids=str)
def test_draws_have_the_mean_and_spread_that_the_workload_states(given_as):
    lengths = read_lengths(given_as, "isl")
    values = to_values(lengths, stream(0, "isl").standard_normal(MANY))
    assert values.mean() == pytest.approx(lengths.mean, rel=0.02)
    assert values.std() / values.mean() == pytest.approx(lengths.cv, rel=0.03, abs=1e-9)
    assert values.min() >= lengths.low
    assert values.max() <= lengths.high


@pytest.mark.parametrize("given_as", DISTRIBUTIONS, ids=str)
def test_normals_map_to_the_quantiles_of_the_distribution(given_as):
    lengths = read_lengths(given_as, "isl")
    for p in (0.01, 0.3, 0.5, 0.77, 0.99):
        value = to_values(lengths, np.array([NormalDist().inv_cdf(p)]))[0]
        assert value == pytest.approx(value_at(lengths, p), rel=2e-3)


@given(mean=st.floats(20, 5000), cv=st.floats(0.1, 3), room=st.floats(1.5, 50))
def test_a_cut_lognormal_keeps_mean_and_cv_or_says_that_it_cannot(mean, cv, room):
    spec = {"lognormal": {"mean": mean, "cv": cv, "high": mean * room}}
    if cv**2 >= (room - 1) * (1 - 1 / mean):
        with pytest.raises(InputError, match="too large"):
            read_lengths(spec, "isl")
        return
    lengths = read_lengths(spec, "isl")
    if cv**2 > 0.9 * (room - 1):
        return  # nearly two-valued: the draws below are too few
    p = (np.arange(4000) + 0.5) / 4000
    values = np.array([value_at(lengths, x) for x in p])
    assert values.mean() == pytest.approx(mean, rel=0.02)


def test_one_number_of_seconds_is_the_mean_of_an_exponential():
    assert read_times("10 s", "think") == Lengths("exponential", 10.0, 1.0, 0.0)
    assert read_times({"fixed": "500 ms"}, "think").mean == 0.5
    assert read_times({"lognormal": {"mean": "2 min", "cv": 1}}, "think").mean == 120


@pytest.mark.parametrize("rho", [-0.6, -0.1, 0.3, 0.8])
def test_normals_get_the_rank_correlation_asked_for(rho):
    a, b = stream(0, "a").standard_normal(MANY), stream(0, "b").standard_normal(MANY)
    assert _spearman(a, correlated(a, b, rho)) == pytest.approx(rho, abs=0.01)


@pytest.mark.parametrize(
    ("arrivals", "cv"), [("poisson", 1), ("gamma", 0.5), ("gamma", 3), ("uniform", 0), ("burst", None)]
)
def test_arrivals_have_their_rate_and_burstiness(arrivals, cv):
    workload = Workload(rate=40.0, arrivals=arrivals, arrivals_cv=cv or 1.0, burst_size=8)
    at = arrival_times(workload, MANY, 40.0, stream(0, "arrivals"))
    gaps = np.diff(at)
    assert (gaps >= 0).all()
    assert MANY / at[-1] == pytest.approx(40, rel=0.03)
    expected = (2 * 8 - 1) ** 0.5 if cv is None else cv  # groups of B at Poisson times: cv² = 2B − 1
    assert gaps.std() / gaps.mean() == pytest.approx(expected, rel=0.03, abs=1e-6)


def test_a_diurnal_rate_swings_about_its_mean():
    workload = read_workload({"rate": 50, "arrivals": "diurnal", "diurnal": {"period": "1000 s", "swing": 0.8}})
    at = arrival_times(workload, 500_000, 50.0, stream(0, "arrivals"))
    assert 500_000 / at[-1] == pytest.approx(50, rel=0.02)
    by_phase = np.histogram(np.mod(at, 1000), bins=10)[0] / 500_000 * 10
    middle = (np.arange(10) + 0.5) / 10
    assert by_phase == pytest.approx(1 - 0.8 * np.cos(2 * np.pi * middle), abs=0.05)


def test_same_seed_same_bytes_and_another_seed_others():
    fields = {
        "isl": "10..500",
        "osl": {"lognormal": {"mean": 90, "cv": 1}},
        "rate": 5,
        "requests": 500,
        "clients": 4,
        "adapters": 3,
    }
    a, b, c = _work(**fields), _work(**fields), _work(**fields, seed=1)
    for name in Requests.__slots__:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert not np.array_equal(a.arrival_s, c.arrival_s)


def test_scenarios_share_their_random_numbers():
    """Twice the rate: the same arrivals at twice the speed. Other answers: the same prompts. More requests: the same
    first ones."""
    base = _work(isl="10..500", osl=100, rate=5, requests=400)
    fast = _work(isl="10..500", osl=100, rate=10, requests=400)
    chatty = _work(isl="10..500", osl="50..900", rate=5, requests=400)
    longer = _work(isl="10..500", osl=100, rate=5, requests=900)
    assert fast.arrival_s == pytest.approx(base.arrival_s / 2)
    assert np.array_equal(chatty.input_tokens, base.input_tokens)
    assert np.array_equal(longer.arrival_s[:400], base.arrival_s)
    assert np.array_equal(longer.input_tokens[:400], base.input_tokens)


def test_closed_loop_keeps_so_many_in_flight():
    work = _work(isl=100, osl=10, concurrency=8, rounds=5)
    assert len(work) == request_count(read_workload({"concurrency": 8, "rounds": 5})) == 40
    assert (work.after[:8] == OPEN).all()
    assert (work.after[8:] == SHARED).all()


@pytest.mark.parametrize(("start", "rounds"), [("burst", 3), ("staggered", 5)])
def test_users_out_of_step_begin_in_the_middle_of_an_answer(start: str, rounds: int):
    """Users that have been at it for long have a request before those that count, and one after them."""
    work = _work(isl=100, osl=1000, concurrency=200, rounds=3, start=start)
    assert len(work) == 200 * rounds
    assert work.output_tokens[:200].mean() == pytest.approx(500 if start == "staggered" else 625, rel=0.1)
    assert (work.output_tokens[200:] == 1000).all()


def test_users_in_step_begin_with_whole_answers():
    work = _work(isl=100, osl=1000, concurrency=200, rounds=3, start="lockstep")
    assert len(work) == 600
    assert (work.output_tokens == 1000).all()


def test_length_jitter_spreads_below_the_nominal():
    work = _work(isl=1000, osl=500, concurrency=64, requests=20_000, length_jitter=0.2)
    assert 800 <= work.input_tokens.min() < work.input_tokens.max() <= 1000
    assert work.input_tokens.mean() == pytest.approx(900, rel=0.01)
    assert abs(_spearman(work.input_tokens, work.output_tokens)) < 0.03


def test_turns_carry_the_conversation_and_find_its_blocks():
    work = _work(
        isl=100, osl=60, rate=1, requests=9, sessions={"turns": 3, "think": {"fixed": "10 s"}}, shared_prefix=320
    )
    assert work.session.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert work.input_tokens[:3].tolist() == [420, 580, 740]
    assert work.after.tolist() == [OPEN, 0, 1, OPEN, 3, 4, OPEN, 6, 7]
    assert work.think_s.tolist() == [0, 10, 10] * 3
    blocks = [
        work.prefix_block[a:b].tolist() for a, b in zip(work.prefix_start[:-1], work.prefix_start[1:], strict=True)
    ]
    assert blocks[1][: 480 // 16] == blocks[0]  # the prompt and answer of the turn before
    assert blocks[3][:20] == blocks[0][:20]  # the prefix of 320 tokens is everyone's
    assert not set(blocks[3][20:]) & set(blocks[0])


def test_the_mean_prompt_of_sessions_is_what_the_workload_says():
    workload = read_workload({"isl": 80, "osl": 120, "rate": 3, "requests": 30_000, "shared_prefix": 200,
                              "sessions": {"turns": "1..7", "think": "5 s"}})  # fmt: skip
    work = make_work(workload)
    assert work.input_tokens.mean() == pytest.approx(workload.mean_prompt_tokens, rel=0.02)


def test_a_session_ends_where_its_context_is_full():
    workload = read_workload(
        {"isl": 100, "osl": 100, "rate": 3, "requests": 2000, "sessions": {"turns": 50, "context": 1050}}
    )
    work = make_work(workload)
    assert len(work) == 2000
    assert (work.input_tokens + work.output_tokens).max() <= 1050
    assert np.bincount(work.session)[:-1].tolist() == [5] * (len(np.bincount(work.session)) - 1)
    assert workload.mean_prompt_tokens == pytest.approx(work.input_tokens.mean(), rel=0.01)
    with pytest.raises(InputError, match="hardly any turn fits into 150 tokens"):
        _work(isl=100, osl=100, rate=1, requests=10, sessions={"turns": 3, "context": 150})


def test_closed_loop_users_have_one_session_after_the_other():
    work = _work(isl=10, osl=10, concurrency=2, requests=12, sessions={"turns": 3, "think": "1 s"})
    assert work.after.tolist() == [OPEN, 0, 1, OPEN, 3, 4, 2, 6, 7, 5, 9, 10]


def test_tools_answer_faster_than_people():
    sessions = {"turns": 20, "think": {"fixed": "30 s"}, "tool": {"fixed": "1 s"}, "tool_share": 0.8}
    think = _work(isl=10, osl=10, rate=1, requests=20_000, sessions=sessions).think_s
    later = think[think > 0]
    assert (later == 1).mean() == pytest.approx(0.8, abs=0.01)


def test_classes_have_their_own_lengths_levels_and_priority():
    classes = [
        {"name": "chat", "share": 3, "slo": {"ttft": "1 s"}},
        {"name": "bulk", "share": 1, "isl": 4000, "priority": 2},
    ]
    work = make_work(
        read_workload({"isl": 100, "osl": 10, "rate": 1, "requests": 8000, "classes": classes}),
        slo=read_slo({"e2e": "9 s"}),
    )
    bulk = work.klass == 1
    assert bulk.mean() == pytest.approx(0.25, abs=0.02)
    assert set(work.input_tokens[bulk]) == {4000}
    assert set(work.input_tokens[~bulk]) == {100}
    assert set(work.deadline_s[bulk]) == {9.0}
    assert set(work.deadline_s[~bulk]) == {1.0}
    assert set(work.priority[bulk]) == {2}


def test_clients_adapters_and_prefixes_follow_their_weights():
    work = _work(isl=600, osl=10, rate=1, requests=40_000, clients={"shares": [6, 3, 1]},
    adapters={"count": 2, "skew": 0, "share": 0.5},
                 prefixes={"tokens": 512, "count": 3, "skew": 1, "share": 0.8})  # fmt: skip
    assert np.bincount(work.client) / 40_000 == pytest.approx([0.6, 0.3, 0.1], abs=0.01)
    assert np.bincount(work.adapter + 1) / 40_000 == pytest.approx([0.5, 0.25, 0.25], abs=0.01)
    first = work.prefix_block[work.prefix_start[:-1]]
    _, counts = np.unique(first, return_counts=True)
    popular = np.sort(counts)[::-1][:3] / 40_000
    assert popular == pytest.approx(0.8 * np.array([6, 3, 2]) / 11, abs=0.01)


def test_guesses_of_length_are_right_on_average():
    work = _work(isl=10, osl=1000, rate=1, requests=50_000, predict_cv=0.5)
    assert work.predicted_tokens.mean() == pytest.approx(1000, rel=0.01)
    assert work.predicted_tokens.std() == pytest.approx(500, rel=0.03)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sessions": {"turn": 4}}, "workload.sessions: no field called 'turn'"),
        ({"sessions": {"turns": 0}}, "workload.sessions.turns: a session has at least one turn"),
        ({"classes": [{"share": 1}]}, r"workload.classes\[0\]: a class needs a name"),
        ({"classes": [{"name": "a"}, {"name": "a"}]}, "two classes are called 'a'"),
        ({"clients": {"count": 3, "shares": [1, 2]}}, "2 shares for 3 clients"),
        ({"shared_prefix": 10, "prefixes": 20}, "exclude each other"),
        ({"isl": {"lognormal": {"mean": 100, "cv": 9, "high": 200}}}, "cv 9 is too large"),
        ({"correlation": 2}, "workload.correlation"),
        ({"like": "azure-chat"}, "azure-c"),
    ],
)
def test_errors_say_where_and_what(fields, message):
    with pytest.raises(InputError, match=message):
        resolve(read_workload(fields))


@pytest.mark.parametrize("name", list_workloads())
def test_shipped_workloads_say_where_they_come_from(name):
    entry = workload_entry(name)
    assert entry.source
    assert entry.url.startswith("https://github.com/")
    assert entry.licence
    assert entry.rows > 1000
    assert max(entry.errors["isl_ks"], entry.errors["osl_ks"]) < 0.07
    assert abs(entry.errors["osl_cv"]) < 0.2


def test_like_fills_what_was_not_given():
    entry = workload_entry("azure-conv")
    plain = resolve(read_workload({"like": "azure-conv"}))
    assert (plain.isl, plain.osl, plain.rate) == (entry.isl, entry.osl, entry.rate)
    assert (plain.arrivals, plain.arrivals_cv) == ("gamma", entry.arrivals_cv)
    own = resolve(read_workload({"like": "azure-conv", "osl": 50, "rate": 3, "arrivals": "uniform"}))
    assert (own.isl, own.osl.mean, own.rate, own.arrivals) == (entry.isl, 50, 3, "uniform")
    assert resolve(read_workload({"like": "azure-conv", "concurrency": 4})).rate is None
    assert resolve(read_workload({"like": "sharegpt"})).mode == "max-throughput"


def test_a_mooncake_like_load_shares_prefixes_as_the_trace_does():
    entry = workload_entry("mooncake-conversation")
    workload = resolve(read_workload({"like": "mooncake-conversation", "requests": 40_000}))
    work = make_work(workload, block_tokens=512)
    assert work.input_tokens.mean() == pytest.approx(12035, rel=0.03)
    assert (len(work) - 1) / work.arrival_s[-1] == pytest.approx(entry.rate, rel=0.02)
    seen, hit = set(), 0
    blocks, start = work.prefix_block.tolist(), work.prefix_start.tolist()
    for i, whole in enumerate((work.input_tokens // 512).tolist()):
        mine = blocks[start[i] : start[i + 1]]
        hit += next((k for k, b in enumerate(mine[:whole]) if b not in seen), whole)
        seen.update(mine)
    assert hit * 512 / work.input_tokens.sum() == pytest.approx(entry.reused_fraction, abs=0.02)
    assert workload.mean_reused_tokens / workload.mean_prompt_tokens == pytest.approx(entry.reused_fraction, abs=0.06)


@given(st.lists(st.integers(1, 5000), min_size=3, max_size=400))
def test_fitted_quantiles_never_fall_and_nearly_keep_the_mean(values):
    fit = fit_quantiles(np.array(values))
    assert all(a <= b for a, b in zip(fit.table, fit.table[1:], strict=False))
    assert fit.mean == pytest.approx(np.mean(values), rel=0.03)


def test_a_fit_finds_the_distribution_that_made_a_trace(tmp_path):
    work = _work(isl={"lognormal": {"mean": 900, "cv": 0.8}}, osl={"lognormal": {"mean": 200, "cv": 1}},
    correlation=0.4,
                 rate=7, arrivals="gamma", arrivals_cv=2, requests=30_000)  # fmt: skip
    lines = (
        f"{t},{i},{o}" for t, i, o in zip(work.arrival_s.tolist(), work.input_tokens, work.output_tokens, strict=True)
    )
    path = tmp_path / "mine.csv"
    path.write_text("timestamp,input_tokens,output_tokens\n" + "\n".join(lines) + "\n")
    entry = fit_trace(path)
    assert (entry.key, entry.rows) == ("mine", 30_000)
    assert entry.isl.mean == pytest.approx(work.input_tokens.mean(), rel=1e-4)
    assert entry.correlation == pytest.approx(0.4, abs=0.02)
    assert entry.rate == pytest.approx(7, rel=0.05)
    assert entry.arrivals_cv == pytest.approx(2, rel=0.03)
    assert entry.errors["isl_ks"] < 0.01


def test_like_takes_a_trace_or_a_saved_fit(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(
        "timestamp,input_tokens,output_tokens\n" + "".join(f"{k},{100 + k},{10 + k % 7}\n" for k in range(200))
    )
    save_entry(fit_trace(path), tmp_path / "mine.json")
    from_trace = resolve(read_workload({"like": str(path)}))
    saved = resolve(read_workload({"like": str(tmp_path / "mine.json")}))
    assert replace(saved, like=None) == replace(from_trace, like=None)
    assert saved.isl.mean == pytest.approx(199.5, rel=1e-3)
    assert len(make_work(saved)) == 10_000


@pytest.mark.parametrize(
    ("text", "message"), [(None, "no such file"), ("{", "cannot be read"), ('{"rows": 3}', "is not a saved fit")]
)
def test_a_saved_fit_that_is_none_is_an_input_error(tmp_path, text, message):
    path = tmp_path / "mine.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=f"mine.json: {message}"):
        workload_entry(str(path))


@pytest.mark.parametrize(
    ("name", "file"),
    [("azure-conv", "azure_2023_conv.csv"), ("azure-code", "azure_2023_code.csv"),
    ("sharegpt", "nanoflow_sharegpt_lengths.csv"),
     ("lmsys-chat", "nanoflow_lmsys_lengths.csv"), ("arxiv-summarization", "vidur_arxiv_summarization_lengths.csv")],
)  # fmt: skip
def test_shipped_fits_are_fits_of_their_traces(name, file, shared):
    fit, shipped = fit_trace(shared / "data" / "traces" / file), workload_entry(name)
    assert (fit.isl, fit.osl, fit.correlation, fit.arrivals_cv) == (
        shipped.isl,
        shipped.osl,
        shipped.correlation,
        shipped.arrivals_cv,
    )


@pytest.mark.parametrize("name", ["conversation", "synthetic"])
def test_a_mooncake_fit_without_hashes_is_near_that_with_them(name, shared):
    fit, shipped = fit_trace(shared / "data" / "traces" / f"mooncake_{name}.csv"), workload_entry(f"mooncake-{name}")
    assert (fit.isl, fit.osl, fit.reused_fraction) == (shipped.isl, shipped.osl, shipped.reused_fraction)
    assert fit.sessions.turns.mean == pytest.approx(shipped.sessions.turns.mean, rel=0.05)


def test_a_million_requests_take_a_moment():
    import time

    workload = resolve(read_workload({"like": "azure-conv", "requests": 1_000_000}))
    begin = time.process_time()
    work = make_work(workload)
    assert len(work) == 1_000_000
    assert time.process_time() - begin < 1.5  # 0.15 s alone on the machine


def test_counts_are_whole_and_at_least_one():
    counts = to_counts(read_lengths({"lognormal": {"mean": 2, "cv": 2}}, "osl"), stream(0, "osl").standard_normal(1000))
    assert counts.dtype == np.int64
    assert counts.min() == 1


@st.composite
def _workloads(draw):
    """Workloads of every kind of arrival, with and without sessions, prefixes, classes, clients and adapters."""
    way = draw(st.sampled_from(("rate", "concurrency", "batch", "none")))
    fields = {
        "isl": draw(st.sampled_from((1, 700, "1..900", {"lognormal": {"mean": 300, "cv": 2}}))),
        "osl": draw(st.sampled_from((1, "1..50", {"exponential": {"mean": 40}}))),
        "requests": draw(st.integers(1, 120)),
        "arrivals": draw(st.sampled_from(("poisson", "gamma", "uniform", "burst", "diurnal"))),
        "arrivals_cv": draw(st.sampled_from((0.3, 1.0, 13.0))),
        "correlation": draw(st.sampled_from((0.0, -0.7, 1.0))),
        "clients": draw(st.integers(1, 5)),
        "predict_cv": draw(st.sampled_from((0.0, 1.0))),
        "length_jitter": draw(st.sampled_from((0.0, 0.5))),
        "start": draw(st.sampled_from(("burst", "staggered"))),
        "seed": draw(st.integers(0, 99)),
    }
    if way != "none":
        fields[way] = draw(st.integers(1, 20))
    if draw(st.booleans()):
        fields["prefixes"] = {
            "tokens": draw(st.integers(1, 600)),
            "count": draw(st.integers(1, 4)),
            "share": draw(st.sampled_from((1, 0.5))),
        }
    if draw(st.booleans()):
        fields["sessions"] = {
            "turns": draw(st.sampled_from((1, 5, "1..9"))), "think": "3 s", "tool": "1 s",
            "prompt": draw(st.sampled_from(("new", "whole"))),
            "clock": draw(st.sampled_from(("end", "arrival"))), "alike": draw(st.sampled_from((0.0, 0.9))),
            "longer": draw(st.sampled_from((0.0, 0.8))), "context": draw(st.sampled_from((None, 30_000))),
        }  # fmt: skip
    if draw(st.booleans()):
        fields["classes"] = [{"name": "a", "isl": 50}, {"name": "b", "share": 0.3, "osl": 9, "slo": {"ttft": "1 s"}}]
        fields["adapters"] = 3
    return read_workload(fields)


@given(_workloads())
def test_whatever_the_workload_its_requests_are_sound(workload):
    work = make_work(workload)
    assert len(work) == workload.requests or (workload.mode == "static" and workload.batch is not None)
    assert work.after[0] == OPEN
    assert (np.diff(work.prefix_start) >= 0).all()
    before: dict[int, int] = {}  # a block's number says everything before it, so the block in front is always the same
    blocks, start = work.prefix_block.tolist(), work.prefix_start.tolist()
    for i in range(len(work)):
        mine = blocks[start[i] : start[i + 1]]
        assert len(mine) * work.prefix_block_tokens <= work.input_tokens[i] + work.output_tokens[i]
        for front, block in zip([-1, *mine], mine, strict=False):
            assert before.setdefault(block, front) == front
