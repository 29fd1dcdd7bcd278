"""`rooflab papers`: what it prints, its JSON, its exit statuses, and that pages are what the code says."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from rooflab.cli.main import run
from rooflab.evidence.claims.pages import page
from rooflab.papers.registry import keys, paper

ROOT = Path(__file__).parents[1]
CHAT = str(ROOT / "examples" / "chat-70b.yaml")
PAGES = ROOT / "docs" / "papers"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ROOFLAB_CACHE", str(tmp_path))

    def call(*words: str) -> tuple[int, str, str]:
        status = run(["papers", *words])
        out = capsys.readouterr()
        return status, out.out, out.err

    return call


def test_list_as_json_has_what_others_rely_on(cli) -> None:
    status, out, _ = cli("list", "--json")
    listed = json.loads(out)
    assert status == 0
    assert len({e["seed"] for e in listed}) == 94
    assert {"key", "seed", "title", "date", "status"} <= set(listed[0])
    assert {e["status"] for e in listed} == {"runnable", "not runnable yet"}
    assert [e["date"] for e in listed] == sorted((e["date"] for e in listed), reverse=True)


def test_list_and_search_as_text(cli) -> None:
    assert "nanoflow" in cli("list", "--kind", "serving")[1]
    assert cli("search", "power", "capping")[1].splitlines()[0].startswith("polca")
    assert cli("search", "zebra")[0] == 1


def test_show_says_what_is_executed_and_what_no_audit_backs(cli) -> None:
    status, out, _ = cli("show", "llm-viewer")
    assert status == 0
    for said in ("Executed", "Modelled", "Assumed", "0 of 8 figures reproduced, 8 unaudited", "audits these figures"):
        assert said in out
    assert {r["status"] for r in json.loads(cli("show", "llm-viewer", "--json")[1])["claims"]} == {"unaudited"}
    assert cli("check", "llm-viewer")[0] == 0
    assert "8 of 8 figures reproduced" in cli("show", "llm-viewer")[1]
    assert "Not runnable yet" in cli("show", "osworld")[1]


def test_run_shows_before_after_and_why(cli) -> None:
    status, out, _ = cli("run", "nanoflow", CHAT)
    assert status == 0
    for said in ("tok/s/GPU when full", "TTFT p99", "Because", "Quality unchanged", "Next"):
        assert said in out


def test_run_refuses_with_a_reason(cli) -> None:
    status, _, err = cli("run", "qserve", CHAT, "--model", "mistralai/Mixtral-8x7B-v0.1")
    assert status == 1
    assert "experts" in err
    status, _, err = cli("run", "osworld", CHAT)
    assert (status, err.strip()) == (1, "osworld: not runnable yet (rooflab papers list --runnable)")


def test_unknown_papers_and_settings_are_bad_input(cli) -> None:
    assert cli("show", "splitwize")[0] == 2
    assert "Did you mean" in cli("run", "nanoflow", CHAT, "--set", "batches=3")[2]


def test_methods_run_on_a_readers_scenario(cli) -> None:
    status, out, _ = cli(
        "run", "idealized_runtime", "--model", "Qwen3-8B", "--hardware", "l40s", "--isl", "512", "--osl", "64", "--json"
    )
    figures = {f["name"]: f["value"] for f in json.loads(out)[0]["figures"]}
    assert status == 0
    assert figures["R² of the fit"] > 0.99
    assert figures["idealized runtime"] == pytest.approx(
        figures["prompt of 512"] + 63 * figures["an output token"], rel=1e-6
    )


def test_rank_is_fast_sorted_and_explained(cli) -> None:
    started = time.process_time()
    status, out, _ = cli("rank", CHAT, "--json")
    found = json.loads(out)
    assert time.process_time() - started < 20, "10 s, and the compiler where its cache is empty"
    assert status == 0
    for section in ("ranked", "pays_when_full", "if_quality_allows", "no_gain"):
        about = [r["of"] for r in found[section]]
        assert about == sorted(about, key=about.index), "those that are about the same stand together"
        for of in set(about):
            gains = [r["gain"] for r in found[section] if r["of"] == of]
            assert gains == sorted(gains, reverse=True)
    assert all(r["gain"] > 1 and r["known"] for r in found["ranked"])
    assert not any(r["known"] for r in found["if_quality_allows"])
    assert all(r["because"] and r["quality"] and r["verdict"] for r in [*found["ranked"], *found["if_quality_allows"]])
    assert {r["of"] for r in found["ranked"] if r["paper"] == "polca"} == {"power"}
    tried = {a["paper"] for a in found["advice"]} | {r["paper"] for r in found["not_tried"]}
    assert {"ets", "inference_hyperparameters"} <= tried | {r["paper"] for r in found["refused"]}
    assert all(r["reason"] for r in found["refused"])


def test_rank_shows_its_sections(cli) -> None:
    out = cli("rank", CHAT)[1]
    for said in ("If quality allows", "Advice", "Does not apply", "TPOT p99", "Next    rooflab papers run"):
        assert said in out
    assert cli("rank", CHAT, "--budget", "0s")[0] == 2


def test_check_reports_failures_by_its_status(cli) -> None:
    status, out, _ = cli("check", "llm_viewer", "--json")
    rows = json.loads(out)
    assert status == 0
    assert {r["paper"] for r in rows} == {"llm_viewer"}
    fields = {"paper", "seed", "claim", "expected", "unit", "got", "error", "tolerance", "status", "kind", "audited"}
    assert all(fields <= set(r) for r in rows)
    assert cli("check", "llm_viewer", "--json")[1] == out, "taken from the cache"
    assert json.loads(cli("check", "llm_viewer", "--json", "--no-cache")[1])[0]["got"] == rows[0]["got"]
    assert cli("check", "inference_hyperparameters", "--quiet")[0] == 1, "one of its claims fails"


def test_every_runnable_paper_has_a_page() -> None:
    assert {p.stem for p in PAGES.glob("*.md")} == {*keys(), "index"}


@pytest.mark.parametrize("key", ["llm_viewer", "kinetics"])
def test_pages_are_what_the_code_says(key: str, checked) -> None:
    assert (PAGES / f"{key}.md").read_text(encoding="utf-8") == page(paper(key), checked(key)), (
        f"python -m rooflab.evidence.claims.pages {key}"
    )


def test_plots_are_svg() -> None:
    import xml.etree.ElementTree as ET

    for path in PAGES.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        if "<svg" in text:
            root = ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
            assert root.attrib["viewBox"] == "0 0 640 320"
