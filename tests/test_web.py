"""The site: pages and records against the commands' own, who may ask, what a stranger's input can reach, jobs."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette")
pytest.importorskip("httpx2")

from starlette.testclient import TestClient

import rooflab as rl
from rooflab.errors import InputError
from rooflab.feed.listing import entries
from rooflab.web.app import Settings, application
from rooflab.web.given import fields_of, packed, unpacked
from rooflab.web.seal import inline

SMALL = """\
model: meta-llama/Llama-3.1-8B-Instruct
hardware: 1 x h100-sxm
workload: {isl: 512, osl: 128, rate: 2/s}
deployment: {engine: vllm, tp: 1}
slo: {ttft_p99: 1 s}
"""


@pytest.fixture(scope="module")
def site() -> Iterator[TestClient]:
    with TestClient(application(Settings(workers=1, seconds=60.0)), base_url="http://127.0.0.1") as client:
        yield client


def token(site: TestClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', site.get("/papers/splitwise").text)
    assert found
    return found[1]


def finished(site: TestClient, address: str) -> str:
    for _ in range(240):
        answer = site.get(address)
        if answer.status_code != 202:
            return answer.text
        time.sleep(0.25)
    raise AssertionError(f"{address} never ends")


class TestReading:
    def test_the_front_page_lists_every_paper_newest_first(self, site: TestClient) -> None:
        html = site.get("/").text
        assert html.count('<li class="card">') == len(entries())
        days = re.findall(r"<h2>(\d{4}-\d\d(?:-\d\d)?)</h2>", html)
        assert days == sorted(days, reverse=True)
        assert len(days) > 50

    def test_a_search_finds_what_the_command_finds_and_filters_combine(self, site: TestClient) -> None:
        found = site.get("/", params={"q": "kv cache", "as": "json"}).json()
        assert len(found) > 3
        few = site.get("/", params={"q": "kv cache", "runnable": "1", "as": "json"}).json()
        assert {p["key"] for p in few} < {p["key"] for p in found}

    def test_papers_that_run_and_that_do_not_yet_have_pages(self, site: TestClient) -> None:
        for e in entries():
            page = site.get(f"/papers/{e.key}")
            assert page.status_code == 200, e.key
            assert ("does not run yet" in page.text) == (not e.runnable)
            assert ("What it claims" in page.text) == ("Run it" in page.text) == e.runnable

    def test_the_catalogue_is_the_commands(self, site: TestClient) -> None:
        from rooflab.report.listings import LISTINGS

        for kind, listing in LISTINGS.items():
            assert site.get(f"/catalogue/{kind}", params={"as": "json"}).json() == json.loads(
                json.dumps(listing.rows())
            )
        assert (
            "no kind of facts" in site.get("/catalogue/modles").text.lower()
            or site.get("/catalogue/modles").status_code == 422
        )

    def test_tables_come_as_csv(self, site: TestClient) -> None:
        answer = site.get("/catalogue/hardware", params={"as": "csv", "table": "1", "q": "h100"})
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert answer.headers["content-type"].startswith("text/csv")
        assert len(rows) > 2
        assert {len(r) for r in rows} == {len(rows[0])}
        assert site.get("/catalogue/hardware", params={"as": "csv", "table": "9"}).status_code == 404
        assert site.get("/catalogue/hardware", params={"as": "csv", "table": "9" * 5000}).status_code == 404

    def test_errors_come_in_the_form_that_is_asked_for(self, site: TestClient) -> None:
        wrong = SMALL.replace("h100-sxm", "h100-smx")
        for address in ("/estimate?s=x", f"/estimate?s={packed(wrong)}", "/papers/nothing?", "/catalogue/modles?"):
            told = site.get(f"{address}&as=json").json()["error"]
            assert site.get(f"{address}&as=csv").text.strip().endswith(told), address

    def test_what_is_not_there_is_told_in_words(self, site: TestClient) -> None:
        for address in ("/nothing", "/papers/nothing", "/static/../app.py", "/static/app.py", "/jobs/x/events"):
            answer = site.get(address)
            assert answer.status_code in (404, 422), address
            assert "Traceback" not in answer.text


class TestComputing:
    def test_an_estimate_is_the_commands(self, site: TestClient) -> None:
        record = site.get("/estimate", params={"s": packed(SMALL), "as": "json"}).json()
        assert record["metrics"] == json.loads(json.dumps(rl.estimate(rl.load(fields_of(SMALL))).record()))
        assert "Meets every target" in finished(site, f"/estimate?s={packed(SMALL)}")

    def test_a_simulation_passes_through_progress_to_its_page(self, site: TestClient) -> None:
        text = SMALL.replace("rate: 2/s", "rate: 2/s, requests: 300, seed: 7")
        html = finished(site, f"/simulate?s={packed(text)}")
        assert "Llama-3.1-8B-Instruct" in html
        assert "TTFT" in html

    def test_a_plan_is_a_page_and_a_record(self, site: TestClient) -> None:
        html = finished(site, f"/plan?s={packed(SMALL)}")
        assert "How to launch" in html
        assert "vllm serve" in html
        record = site.get("/plan", params={"s": packed(SMALL), "as": "json"}).json()
        assert record["choices"][0]["devices"] == 1

    @pytest.mark.parametrize("load", ["burst: 64", "batch: 16", "concurrency: 8"])
    def test_every_kind_of_load_has_a_page_of_its_plan(self, site: TestClient, load: str) -> None:
        text = SMALL.replace("rate: 2/s", load).replace("slo: {ttft_p99: 1 s}\n", "")
        assert "How to launch" in finished(site, f"/plan?s={packed(text)}")

    def test_a_paper_runs_on_a_scenario(self, site: TestClient) -> None:
        answer = site.post(
            "/papers/nanoflow/go", data={"csrf": token(site), "yaml": SMALL, "method": ""}, follow_redirects=False
        )
        assert answer.status_code == 303
        assert "Figures" in finished(site, answer.headers["location"])

    def test_a_ceiling_is_the_commands(self, site: TestClient) -> None:
        assert "What could any paper give you?" in finished(site, f"/ceiling?s={packed(SMALL)}")
        record = site.get("/ceiling", params={"s": packed(SMALL), "as": "json"}).json()
        assert record == json.loads(json.dumps(rl.ceiling(rl.load(fields_of(SMALL))).record()))

    def test_the_feed_is_sorted_by_what_it_could_give_a_scenario(self, site: TestClient) -> None:
        html = finished(site, f"/gains?s={packed(SMALL)}")
        assert "What could papers give you?" in html
        found = site.get("/gains", params={"s": packed(SMALL), "as": "json"}).json()
        assert {a["key"] for a in found} == {e.key for e in entries()}

    def test_what_does_not_fit_is_said_as_the_command_says_it(self, site: TestClient) -> None:
        text = SMALL.replace("8B", "405B")
        answer = site.get("/estimate", params={"s": packed(text), "as": "json"})
        assert answer.status_code == 422
        assert "does not fit" in answer.json()["error"]
        assert "does not fit" in finished(site, f"/estimate?s={packed(text)}")

    def test_the_form_writes_what_it_shows_and_keeps_the_rest(self, site: TestClient) -> None:
        text = SMALL.replace("tp: 1", "tp: 1, weights: fp8").replace("isl: 512", "isl: {mean: 512, cv: 1}")
        sent = {"csrf": token(site), "yaml": text, "model": "Qwen/Qwen3-8B", "count": "2", "device": "l40s",
                "load": "concurrency", "amount": "8", "isl": "", "osl": "64", "engine": "sglang", "tp": "2",
                "ttft_p99": "2 s", "tpot_p99": ""}  # fmt: skip
        answer = site.post("/scenario/yaml", data=sent, follow_redirects=False)
        held = fields_of(unpacked(answer.headers["location"].partition("s=")[2]))
        assert held["model"] == "Qwen/Qwen3-8B"
        assert held["hardware"] == "2 x l40s"
        assert held["workload"] == {"isl": {"mean": 512, "cv": 1}, "osl": 64, "concurrency": 8}
        assert held["deployment"] == {"weights": "fp8", "engine": "sglang", "tp": 2}
        assert held["slo"] == {"ttft_p99": "2 s"}

    def test_checks_speak_as_the_command_line_does(self, site: TestClient) -> None:
        wrong = site.post("/scenario/check", data={"csrf": token(site), "yaml": SMALL.replace("h100-sxm", "h100-smx")})
        assert "no accelerator called" in wrong.text
        assert "h100-sxm" in wrong.text
        right = site.post("/scenario/check", data={"csrf": token(site), "yaml": SMALL})
        assert "✓" in right.text

    def test_a_job_is_cancelled_and_the_next_one_is_answered(self, site: TestClient) -> None:
        long = SMALL.replace("rate: 2/s", "rate: 2/s, requests: 4000000")
        page = site.get(f"/simulate?s={packed(long)}")
        assert page.status_code == 202
        key = re.search(r'data-job="(\w+)"', page.text)
        assert key
        begun = time.monotonic()
        site.post(f"/jobs/{key[1]}/cancel", data={"csrf": token(site), "back": "/scenario"})
        assert site.get(f"/api/jobs/{key[1]}").status_code == 410
        assert site.get("/estimate", params={"s": packed(SMALL.replace("512", "640")), "as": "json"}).status_code == 200
        assert time.monotonic() - begun < 60

    def test_a_worker_that_dies_is_replaced_and_its_job_says_so(self, site: TestClient) -> None:
        long = SMALL.replace("rate: 2/s", "rate: 2/s, requests: 4000001")
        page = site.get(f"/simulate?s={packed(long)}")
        key = re.search(r'data-job="(\w+)"', page.text)
        assert key
        site.app.inner.state.jobs._processes[0].process.kill()
        for _ in range(40):
            if (answer := site.get(f"/api/jobs/{key[1]}")).status_code != 202:
                break
            time.sleep(0.1)
        assert answer.status_code == 503
        assert "ended" in answer.json()["error"]
        job = site.app.inner.state.jobs.find(key[1])
        assert site.get(f"/simulate?s={packed(long)}").status_code == 503
        job.failed_at -= 31  # what may pass is tried again, though not at once
        assert site.get(f"/simulate?s={packed(long)}").status_code == 202
        site.post(f"/jobs/{key[1]}/cancel", data={"csrf": token(site), "back": "/scenario"})
        assert site.get("/estimate", params={"s": packed(SMALL.replace("512", "768")), "as": "json"}).status_code == 200

    def test_names_with_markup_stay_names(self, site: TestClient) -> None:
        text = SMALL.replace("meta-llama/Llama-3.1-8B-Instruct", "'<script>alert(1)</script>'")
        for address in (f"/scenario?s={packed(text)}", f"/estimate?s={packed(text)}"):
            html = finished(site, address)
            assert "<script>alert" not in html
            assert "&lt;script&gt;" in html


class TestWhoMayAsk:
    def test_another_host_name_is_not_answered(self, site: TestClient) -> None:
        assert site.get("/", headers={"host": "evil.example"}).status_code == 421

    def test_a_form_needs_the_token_of_our_pages(self, site: TestClient) -> None:
        assert site.post("/go/plan", data={"yaml": SMALL}).status_code == 403
        assert site.post("/go/plan", data={"yaml": SMALL, "csrf": "x" * 43}).status_code == 403

    def test_another_site_may_not_ask(self, site: TestClient) -> None:
        for headers in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
            sent = {"yaml": SMALL, "csrf": token(site)}
            assert site.post("/go/plan", data=sent, headers=headers).status_code == 403
            assert site.post("/api/plan", json={}, headers=headers).status_code == 403

    def test_policies_stand_on_every_answer(self, site: TestClient) -> None:
        for address in ("/", "/nothing", "/static/site.js", "/api/papers"):
            headers = site.get(address).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "unsafe-inline" not in re.findall(r"script-src [^;]+", headers["content-security-policy"])[0]
            assert headers["x-content-type-options"] == "nosniff"

    def test_bodies_are_bounded(self, site: TestClient) -> None:
        assert site.post("/api/plan", content=b"x" * 600_000).status_code == 413

        def parts() -> Iterator[bytes]:
            for _ in range(100):
                yield b"x" * 10_000

        assert site.post("/api/plan", content=parts(), headers={"content-type": "application/json"}).status_code == 413

    def test_an_origin_that_is_none_is_refused_in_a_line(self, site: TestClient) -> None:
        for origin in ("http://[evil", "null", "http://127.0.0.1.evil"):
            assert site.post("/api/plan", json={}, headers={"origin": origin}).status_code == 403

    def test_cookies_of_other_programs_hide_none_of_ours(self) -> None:
        client = TestClient(application(Settings(workers=1, token="s;x ü", hosts=("box",))), base_url="http://box")
        first = client.get("/", params={"token": "s;x ü"})
        held = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        assert first.status_code == 200
        bare = TestClient(client.app, base_url="http://box")
        again = bare.get("/", headers={"cookie": f'json={{"a":1}}; b=c d,e; {held}'})
        assert again.status_code == 200
        assert "set-cookie" not in again.headers

    def test_a_wrong_token_in_an_address_writes_no_cookie(self) -> None:
        client = TestClient(application(Settings(workers=1, token="secret", hosts=("box",))), base_url="http://box")
        for wrong in ("evil", "evil; Domain=x", "evil\r\nx: y"):
            answer = client.get("/", params={"token": wrong}, headers={"authorization": "Bearer secret"})
            assert answer.status_code == 200
            assert "evil" not in str(answer.headers)
        assert client.get("/api/papers", headers={"authorization": "secret"}).status_code == 401

    def test_elsewhere_a_token_is_needed(self) -> None:
        settings = Settings(workers=1, token="secret", hosts=("box",))
        client = TestClient(application(settings), base_url="http://box")
        assert client.get("/").status_code == 401
        assert client.get("/?token=wrong").status_code == 401
        assert client.get("/?token=secret").status_code == 200
        assert client.get("/").status_code == 200  # by the cookie
        bare = TestClient(application(settings), base_url="http://box")
        assert bare.get("/", headers={"authorization": "Bearer secret"}).status_code == 200


class TestSealed:
    @pytest.mark.parametrize(
        "name", ["/etc/passwd", "./config.json", "../x", "~/x", "models/my/config.json", "x.gguf", "C:\\x", "a/b/c",
                 "file:///etc/passwd", "https://example.com/x", "trace.csv", ".", ".."],
    )  # fmt: skip
    def test_names_of_files_are_refused_wherever_they_stand(self, name: str) -> None:
        for value in ({"model": name}, {"workload": {"trace": name}}, {"techniques": [{"x": {"y": [name]}}]}):
            with pytest.raises(InputError, match="reads no files"):
                inline(value)

    def test_names_of_models_and_times_are_not(self) -> None:
        inline({"model": "meta-llama/Llama-3.1-8B-Instruct", "hardware": "8 x h100-sxm", "slo": {"ttft_p99": "1 s"},
                "workload": {"rate": "4/s", "isl": "lognormal(mean 512, cv 1)"}})  # fmt: skip

    def test_a_worker_opens_no_file_whatever_asks_for_it(self, site: TestClient, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("model: x")
        for model in (str(secret), f"{secret}/../secret", {"like": str(secret)}, {"exact": str(secret)}):
            answer = site.post("/api/estimate", json={"model": model, "hardware": "1 x h100-sxm"})
            assert answer.status_code == 422
            assert "reads no files" in answer.json()["error"]

    @pytest.mark.parametrize(
        "value", ["2020-01-01", "&a [*a]", "!!binary aGVsbG8=", "!!set {a}", "/etc/passwd", "[x, {y: ../x}]", "{",
                  "[&a [1,1,1,1,1,1,1,1,1,1], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], &c [*b,*b,*b,*b,*b,*b,*b,*b,*b],"
                  "&d [*c,*c,*c,*c,*c,*c,*c,*c,*c], &e [*d,*d,*d,*d,*d,*d,*d,*d], [*e,*e,*e,*e,*e,*e,*e,*e,*e]]"],
    )  # fmt: skip
    def test_settings_in_an_address_are_values_of_bounded_size(self, site: TestClient, value: str) -> None:
        for settings in ({"batch": value}, {"nothing": value}, [value], {str(n): "1" for n in range(51)}):
            answer = site.get("/papers/nanoflow/run", params={"set": json.dumps(settings), "as": "json"})
            assert answer.status_code == 422, answer.text

    def test_a_sealed_process_opens_reads_and_runs_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("x")
        tries = f"""
import os, pathlib, socket, subprocess, sys
from rooflab.errors import InputError
from rooflab.web.seal import seal
seal(pathlib.Path(sys.argv[1]))
import rooflab.library.serving.qserve
for what in (
    lambda: open({str(tmp_path / "secret")!r}),
    lambda: pathlib.Path({str(tmp_path / "secret")!r}).read_bytes(),
    lambda: open({str(tmp_path / "new")!r}, "w"),
    lambda: os.open({str(tmp_path / "secret")!r}, os.O_RDONLY),
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: subprocess.run(["true"]),
    lambda: os.system("true"),
    lambda: os.remove({str(tmp_path / "secret")!r}),
):
    try:
        what()
    except InputError as error:
        assert "reads no files" in str(error)
    else:
        sys.exit("not refused")
"""
        (tmp_path / "empty").mkdir()
        command = [sys.executable, "-c", tries, str(tmp_path / "empty")]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr

    @given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
    def test_addresses_hold_any_text_and_come_back(self, text: str) -> None:
        address = packed(text)
        assert re.fullmatch(r"[A-Za-z0-9_-]*", address)
        assert unpacked(address) == text

    @given(st.text(max_size=200))
    def test_other_addresses_are_refused_in_a_line(self, text: str) -> None:
        with pytest.raises(InputError, match="this address holds no scenario"):
            unpacked("!" + text)

    def test_a_bomb_in_an_address_is_not_unpacked(self) -> None:
        import base64
        import zlib

        bomb = base64.urlsafe_b64encode(zlib.compress(b"a" * 4_000_000, 9)).decode().rstrip("=")
        assert len(bomb) < 6000
        with pytest.raises(InputError):
            unpacked(bomb)


class TestInterface:
    def test_the_document_names_every_address(self, site: TestClient) -> None:
        paths = site.get("/api/openapi.json").json()["paths"]
        assert set(paths) == {"/api/papers", "/api/papers/{key}", "/api/jobs/{key}", "/api/plan", "/api/estimate",
                              "/api/simulate", "/api/ceiling", "/api/gains"}  # fmt: skip

    def test_records_are_the_commands(self, site: TestClient) -> None:
        answer = site.post("/api/estimate", json=dict(fields_of(SMALL)))
        assert answer.json()["metrics"] == json.loads(json.dumps(rl.estimate(rl.load(fields_of(SMALL))).record()))
        assert len(site.get("/api/papers").json()) == len(entries())
        assert site.get("/api/papers/splitwise").json()["claims"]

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"model": NaN}', b'"x"', b"{}", b'{"model": 1e999}'])
    def test_bad_bodies_are_422_with_where(self, site: TestClient, body: bytes) -> None:
        answer = site.post("/api/estimate", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert set(answer.json()) == {"error", "where"}

    def test_characters_and_numbers_come_as_they_were_sent(self, site: TestClient) -> None:
        sent = dict(fields_of(SMALL)) | {"model": "🤗 \u2028 \x7f"}
        assert "🤗" in site.post("/api/estimate", json=sent).json()["error"]
        sent = dict(fields_of(SMALL)) | {"workload": {"isl": 512, "osl": 128, "rate": 1e22}}
        assert "is not a rate" not in site.post("/api/estimate", json=sent).text

    def test_a_form_is_no_json(self, site: TestClient) -> None:
        assert site.post("/api/estimate", data={"model": "x"}).status_code == 415
