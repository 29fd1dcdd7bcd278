"""Results: hand-worked metrics, goodput, fairness, files that can be read back, and the page."""

from __future__ import annotations

import csv
import json
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from rooflab.catalogue.trace_files import read_trace
from rooflab.deploy.bill import Upkeep
from rooflab.errors import InputError
from rooflab.files import replaced
from rooflab.report.pages.simulation import simulation_page, write_simulation_page
from rooflab.scenario.slo import read_slo
from rooflab.scenario.workload import read_workload
from rooflab.simulator.results.fairness import fairness, service_over_time
from rooflab.simulator.results.perfetto import trace_events, write_perfetto
from rooflab.simulator.results.records import record_columns, write_records
from rooflab.simulator.results.serving import ServingResult, statistics
from rooflab.simulator.work.make import make_work
from rooflab.simulator.work.requests import (
    ITL_EDGES_S,
    TOTAL_FIELDS,
    Records,
    Result,
    Status,
    Steps,
    Timeline,
    Totals,
    make_requests,
)
from tests.toy_engine import toy_run

CLASSES = [
    {"name": "chat", "share": 3, "slo": {"ttft": "400 ms"}},
    {"name": "bulk", "share": 1, "isl": 900, "slo": {"e2e": "60 s"}},
]


@pytest.fixture(scope="module")
def result() -> ServingResult:
    workload = read_workload(
        {"isl": "50..400", "osl": "20..120", "rate": 12, "requests": 400, "clients": 3, "classes": CLASSES}
    )
    requests = make_work(workload)
    run = toy_run(requests)
    return ServingResult(
        requests=requests,
        run=run,
        slo=read_slo({"ttft_p99": "1 s"}),
        classes=workload.classes,
        devices=2,
        kv_blocks=5000,
        upkeep=Upkeep(usd_per_hour=4.0, host_w=300.0, pue=1.2, gco2e_per_kwh=400.0),
    )


def _by_hand(slo=None, window_s=None, **changes) -> ServingResult:
    """Three requests of 100 in: 11 out, 1 out, and one turned away."""
    requests = make_requests([0.0, 2.0, 3.0], 100, [11, 1, 5], client=[0, 1, 0])
    nan = np.nan
    small = np.zeros(3, dtype=np.int32)
    records = Records(
        arrival_s=np.array([0.0, 2.0, 3.0]), first_scheduled_s=np.array([0.5, 2.0, nan]),
        first_token_s=np.array([1.0, 4.0, nan]), last_token_s=np.array([6.0, 4.0, nan]),
        replica=small, decode_replica=small, preemptions=small, requeues=small,
        cached_tokens=np.zeros(3, dtype=np.int64), tokens_out=np.array([11, 1, 0]),
        status=np.array([Status.FINISHED, Status.FINISHED, Status.REJECTED], dtype=np.int8),
    )  # fmt: skip
    totals = {name: np.zeros(1) for name in TOTAL_FIELDS}
    totals |= {"energy_j": np.array([240.0]), "up_s": np.array([6.0]), "busy_s": np.array([4.5]),
    "looked_up_tokens": np.array([200]),
               "cached_tokens": np.array([50])}  # fmt: skip
    ones = np.ones(2)
    timeline = Timeline(
        interval_s=3.0,
        time_s=np.array([0.0, 3.0]),
        running=ones,
        waiting=np.array([0.0, 2.0]),
        kv_blocks=np.array([10.0, 30.0]),
        prefill_tokens_per_s=ones,
        decode_tokens_per_s=ones,
        step_tokens=ones,
        power_w=40 * ones,
        replicas_up=ones,
    )
    itl = np.zeros(len(ITL_EDGES_S))
    itl[np.searchsorted(ITL_EDGES_S, 0.5) - 1] = 10
    run = Result(
        records=records,
        totals=Totals(**totals),
        timeline=timeline,
        itl_counts=itl,
        steps=Steps(**{name: np.zeros(0) for name in Steps.__slots__}),
        end_s=6.0,
        complete=True,
    )
    return ServingResult(
        requests=requests, run=run, slo=read_slo(slo or {}), kv_blocks=40, window_s=window_s, **changes
    )


def test_metrics_by_hand():
    m = _by_hand().metrics
    assert m["duration_s"] == 6
    assert m["output_tokens_per_s"] == 12 / 6
    assert m["total_tokens_per_s"] == 212 / 6
    assert m["requests_per_s"] == 2 / 6
    assert m["ttft_s_mean"] == 1.5
    assert m["ttft_s_p90"] == pytest.approx(1.9)
    assert m["tpot_s_mean"] == 0.5  # only the answer of eleven tokens has one
    assert m["e2e_s_mean"] == 4.0
    assert m["queue_s_mean"] == 0.25
    assert m["itl_s_mean"] == 0.5
    assert m["itl_s_p50"] == pytest.approx(0.5, rel=0.012)
    assert (m["finished"], m["rejected"], m["pending"], m["requests"]) == (2, 1, 0, 3)
    assert (m["kv_occupancy_mean"], m["kv_occupancy_max"], m["waiting_max"]) == (0.5, 0.75, 2)
    assert m["utilisation"] == 0.75
    assert (m["energy_j"], m["power_w"], m["j_per_token"]) == (240, 40, 20)
    assert m["cached_fraction"] == 0.25


def test_goodput_counts_requests_within_every_limit():
    m = _by_hand(slo={"ttft": "1.5 s", "tpot": "600 ms"})
    assert m.good.tolist() == [True, False, False]
    assert m.goodput_requests_per_s == 1 / 6
    assert m.slo_attainment == 1 / 3  # the rejected one counts as broken
    assert [key for key, _, _ in m.broken()] == ["ttft_p99"]
    assert _by_hand(slo={"tpot": "400 ms"}).good.tolist() == [False, True, False]  # one token has no TPOT to break


def test_a_window_counts_what_happened_in_it():
    m = _by_hand(window_s=(1.0, 5.0)).metrics
    assert m["duration_s"] == 4
    assert m["output_tokens_per_s"] == pytest.approx(
        (1 + 10 * 4 / 5 + 1) / 4
    )  # first token, four fifths of the rest, the single token
    assert m["total_tokens_per_s"] == pytest.approx((10 + 200) / 4)
    assert m["requests_per_s"] == 1 / 4
    assert m["ttft_s_mean"] == 2.0  # of the request that arrived in it
    assert m["energy_j"] == 160


def test_what_is_known_and_what_is_paid_is_reported():
    cost = Upkeep(usd_per_hour=7.2, host_w=10.0, pue=1.5, gco2e_per_kwh=200.0)
    m = _by_hand(weights_bytes=5.0, room_bytes=8.0, upkeep=cost, devices=4).metrics
    assert (m["weights_bytes"], m["kv_bytes"], m["free_bytes"]) == (5.0, 4.0, 4.0)  # half of the blocks on average
    assert m["usd_per_mtok"] == pytest.approx(7.2 / 3600 / 2 * 1e6)
    assert m["gco2e_per_mtok"] == pytest.approx((40 + 10) * 1.5 / 2 / 3.6e6 * 200 * 1e6)
    unpriced = _by_hand(upkeep=Upkeep(host_w=10.0, pue=1.5, gco2e_per_kwh=200.0)).metrics
    assert "usd_per_mtok" not in unpriced
    assert unpriced["gco2e_per_mtok"] == m["gco2e_per_mtok"]
    assert m["output_tokens_per_s_per_gpu"] == 0.5


def test_metrics_are_attributes_too():
    result = _by_hand()
    assert result.ttft_s_mean == result.metrics["ttft_s_mean"]
    with pytest.raises(AttributeError, match="no metric called 'ttft_s_p42'"):
        _ = result.ttft_s_p42


def test_no_finished_request_gives_no_number_and_no_warning():
    empty = statistics("ttft_s", np.array([np.nan]))
    assert all(np.isnan(v) for v in empty.values())
    result = _by_hand()
    records = result.run.records
    never, none = np.full(3, np.nan), np.zeros(3, dtype=np.int64)
    columns = (never,) * 4 + (records.replica,) * 4 + (none, none, np.zeros(3, dtype=np.int8))
    pending = Records(**dict(zip(Records.__slots__, columns, strict=True)))
    run = Result(
        records=pending,
        totals=result.run.totals,
        timeline=result.run.timeline,
        itl_counts=np.zeros(len(ITL_EDGES_S)),
        steps=result.run.steps,
        end_s=0.0,
        complete=False,
    )
    nothing = ServingResult(requests=result.requests, run=run)
    assert nothing.metrics["pending"] == 3
    assert nothing.record()["ttft_s_p99"] is None
    assert "stopped early" in simulation_page(nothing, title="x")


def test_classes_and_clients_add_up(result):
    for parts in (result.by_class(), result.by_client()):
        for name in ("finished", "output_tokens_per_s", "requests_per_s", "goodput_requests_per_s"):
            assert sum(m[name] for m in parts.values()) == pytest.approx(result.metrics[name])
    assert set(result.by_class()) == {"chat", "bulk"}


def test_a_class_is_judged_by_its_own_levels(result):
    chat = result.requests.klass == 0
    assert np.array_equal(result.good[chat], (result.latencies["ttft_s"][chat] <= 0.4))
    assert result.good[~chat].all()
    assert [key for key, _, _ in result.broken() if key.startswith("bulk")] == []


def test_littles_law_of_records(result):
    """Mean requests in the system over time = arrival rate x mean time in it, here as sums."""
    records = result.run.records
    assert np.nansum(records.last_token_s - records.arrival_s) == pytest.approx(result.run.totals.request_s.sum())


def _served(client, first, last, tokens, waits_until):
    n = len(client)
    requests = make_requests(np.zeros(n), 1, tokens, client=client)
    small, zero = np.zeros(n, dtype=np.int32), np.zeros(n, dtype=np.int64)
    at = [np.array(x, dtype=float) for x in (waits_until, first, last)]
    columns = (np.zeros(n), *at, small, small, small, small, zero, np.array(tokens), np.ones(n, dtype=np.int8))
    records = Records(**dict(zip(Records.__slots__, columns, strict=True)))
    return requests, records


def test_equal_service_is_fair_and_a_share_of_three_to_one_is_not():
    """Both clients always have a request waiting; each gets its tokens evenly from 0 to 100 s."""
    client, wait = [0, 1, 0, 1], [0, 0, 99, 99]
    first, last = [0.001, 0.001, 99.5, 99.5], [100, 100, 100, 100]
    even = fairness(*_served(client, first, last, [500, 500, 1, 1], wait))
    assert even["fairness_jain"] == pytest.approx(1)
    assert even["max_service_difference"] == pytest.approx(0, abs=1)
    uneven = fairness(*_served(client, first, last, [750, 250, 1, 1], wait))
    assert uneven["fairness_jain"] == pytest.approx((3 + 1) ** 2 / (2 * (9 + 1)), rel=0.01)
    assert uneven["max_service_difference"] == pytest.approx(2 * 500 * 0.99, rel=0.01)  # while both wait: 99 of 100 s


def test_service_over_time_ends_at_what_was_served(result):
    clients = np.unique(result.requests.client)
    _, service, _ = service_over_time(result.requests, result.run.records, clients)
    for row, c in enumerate(clients):
        mine = result.requests.client == c
        assert service[row, 0] == pytest.approx(0, abs=1e-6)
        assert service[row, -1] == pytest.approx(
            (result.requests.input_tokens + 2 * result.run.records.tokens_out)[mine].sum()
        )
        assert (np.diff(service[row]) >= -1e-6).all()


def test_one_client_is_served_fairly():
    assert fairness(*_served([0, 0], [1, 2], [3, 4], [5, 5], [0, 0])) == {
        "fairness_jain": 1.0,
        "max_service_difference": 0.0,
    }


def test_records_replay_as_a_trace(result, tmp_path):
    for name in ("records.csv", "records.jsonl"):
        write_records(result, tmp_path / name)
        trace = read_trace(tmp_path / name, extra=("ttft_s", "e2e_s"))
        assert trace.time_s == pytest.approx(result.requests.arrival_s - result.requests.arrival_s[0], abs=2e-6)
        assert np.array_equal(trace.input_tokens, result.requests.input_tokens)
        assert trace.extra["ttft_s"] == pytest.approx(result.latencies["ttft_s"], abs=1e-6)


def test_records_leave_empty_what_did_not_happen(tmp_path):
    write_records(_by_hand(), tmp_path / "r.csv")
    write_records(_by_hand(), tmp_path / "r.jsonl")
    rows = list(csv.DictReader((tmp_path / "r.csv").read_text().splitlines()))
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [r["status"] for r in rows] == [r["status"] for r in lines] == ["finished", "finished", "rejected"]
    assert rows[2]["ttft_s"] == ""
    assert lines[2]["ttft_s"] is None
    assert rows[1]["tpot_s"] == ""
    assert rows[0]["tpot_s"] == "0.500000"
    assert list(rows[0]) == list(lines[0]) == list(record_columns(_by_hand()))


def test_records_as_parquet(result, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    write_records(result, tmp_path / "r.parquet")
    table = pq.read_table(tmp_path / "r.parquet")
    assert table.column_names == list(record_columns(result))
    assert table["ttft_s"].to_numpy() == pytest.approx(result.latencies["ttft_s"])


def test_parquet_without_pyarrow_says_what_to_install(result, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'pyarrow>=15,<27'"):
        write_records(result, tmp_path / "r.parquet")
    with pytest.raises(InputError, match=r"\.csv, \.jsonl or \.parquet"):
        write_records(result, tmp_path / "r.xlsx")


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "kept.txt"
    path.write_text("before")

    def interrupted():
        with replaced(path) as file:
            file.write("half of")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]
    with pytest.raises(InputError, match="cannot be written"), replaced(tmp_path / "none" / "x.txt"):
        pass


def test_the_perfetto_trace_has_steps_counters_and_balanced_spans(result, tmp_path):
    write_perfetto(result, tmp_path / "t.json", requests=50)
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert events == list(trace_events(result, requests=50))
    steps = [e for e in events if e["ph"] == "X"]
    assert len(steps) == len(result.run.steps)
    assert sum(e["args"]["prefill_tokens"] for e in steps) == result.requests.input_tokens.sum()
    assert {e["name"] for e in events if e["ph"] == "C"} >= {"running", "waiting", "kv_blocks", "power_w"}
    begins, ends = ([(e["id"], e["name"]) for e in events if e["ph"] == ph] for ph in "be")
    assert sorted(begins) == sorted(ends)
    assert len(begins) == 50 * 4


def test_the_page_stands_alone_and_is_well_formed(result, tmp_path):
    write_simulation_page(result, tmp_path / "page.html", title="A & B <model>", subtitle="12/s", notes=["Toy engine."])
    page = (tmp_path / "page.html").read_text()
    assert "A &amp; B &lt;model&gt;" in page
    assert not re.search(r"<link|https?://|@import|url\(", page.replace("http://www.w3.org/2000/svg", ""))
    assert page.count("<script>") == 1
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page
    charts = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(charts) >= 10
    for chart in charts:
        numbers = [
            float(x)
            for e in ElementTree.fromstring(chart).iter()
            for k, x in e.attrib.items()
            if k in ("x", "y", "width", "height")
        ]
        assert np.isfinite(numbers).all()
    for words in (
        "The service levels",
        "Time to first token",
        "Requests in the system",
        "Steps of replica 0",
        "By client",
        "Toy engine.",
    ):
        assert words in page
