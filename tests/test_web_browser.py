"""A stranger's five minutes in a real browser; left out where there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
CHAT = Path(__file__).parents[1] / "examples" / "chat-70b.yaml"
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = [sys.executable, "-m", "rooflab", "web", "--port", "0", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as server:
        assert server.stdout is not None
        found = re.match(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert found
        yield found[0]
        server.terminate()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1200, "height": 900})
        shown.set_default_timeout(WAIT_MS)
        faults: list[str] = []
        shown.on("pageerror", lambda error: faults.append(str(error)))
        yield shown
        browser.close()
        assert faults == []


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; the site's policy lets no script of a test wait inside the page."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError("it never holds")


def test_a_search_answers_as_it_is_typed_and_a_paper_opens(page: Any, address: str) -> None:
    page.goto(address)
    before = page.locator("#found li").count()
    page.fill("#q", "KV cache")
    until(lambda: 0 < page.locator("#found li").count() < before)
    page.click("#found li a >> nth=0")
    page.wait_for_selector("h1")
    assert "/papers/" in page.url


def test_a_paper_runs_on_a_scenario_that_is_pasted(page: Any, address: str) -> None:
    page.goto(f"{address}/papers/nanoflow")
    page.fill("details[open] textarea[name=yaml]", CHAT.read_text("utf-8"))
    page.click("details[open] button")
    page.wait_for_selector("text=Figures")
    assert "/papers/nanoflow/run?" in page.url


def test_the_form_and_the_file_follow_each_other_and_a_plan_comes(page: Any, address: str) -> None:
    page.goto(f"{address}/scenario")
    page.fill("textarea[name=yaml]", CHAT.read_text("utf-8").replace("h100-sxm", "h100-smx"))
    page.wait_for_selector("#checked >> text=no accelerator called")
    page.fill("textarea[name=yaml]", CHAT.read_text("utf-8"))
    page.wait_for_selector("#checked >> text=✓")
    page.fill("input[name=isl]", "2048")
    page.press("input[name=isl]", "Tab")
    until(lambda: "2048" in page.input_value("textarea[name=yaml]"))
    page.click("text=Plan")
    page.wait_for_selector("text=How to launch")
    assert "2,048 in" in page.inner_text("main")
    with page.expect_download() as download:
        page.click("a.csv >> nth=0")
    assert Path(download.value.path()).read_text("utf-8").startswith("deployment,")


def test_a_simulation_shows_progress_and_is_cancelled(page: Any, address: str) -> None:
    page.goto(f"{address}/scenario")
    text = CHAT.read_text("utf-8").replace("rate: 4/s", "rate: 4/s, requests: 3000000")
    page.fill("textarea[name=yaml]", text + "deployment: {engine: vllm, tp: 4, weights: fp8}\n")
    page.click("text=Simulate")
    page.wait_for_selector("#job progress")
    until(lambda: float(page.get_attribute("#job progress", "value") or 0) >= 0)
    page.click("text=Cancel")
    page.wait_for_url(re.compile("/scenario$"))
