"""A plan as text and as a page: the answer stands first, the page is one file, and a "no" is shown as one."""

from __future__ import annotations

from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.planner.result import Plan
from rooflab.planner.search import plan
from rooflab.report.pages.plan import plan_page, write_plan_page
from rooflab.report.text.plan import show_plan
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import read_slo
from rooflab.scenario.workload import read_workload


def planned(name: str, on: str, slo: Any, **load: Any) -> Plan:
    return plan(Scenario(model=model(name), hardware=hardware(on), workload=read_workload(load), slo=read_slo(slo)))


@pytest.fixture(scope="module")
def chat() -> Plan:
    return planned("Llama-3.1-70B", "8 x h100-sxm", {"ttft_p99": 1.0, "tpot_p99": 0.05}, isl=1024, osl=512, rate=8.0)


@pytest.fixture(scope="module")
def impossible() -> Plan:
    return planned("Llama-3.1-70B", "2 x h100-sxm", {"tpot_p99": 0.002}, isl=1024, osl=512, rate=1.0)


def text_of(p: Plan, width: int = 120) -> str:
    out = StringIO()
    show_plan(p, Console(file=out, width=width, highlight=False))
    return out.getvalue()


class _Page(HTMLParser):
    """Open tags, links to elsewhere, and SVG elements."""

    void = ("meta", "br", "link", "img", "hr", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.titles = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [value for name, value in attrs if name in ("src", "href") and value]
        self.titles += tag == "title"
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag


def test_text_answers_first(chat: Plan) -> None:
    text = text_of(chat)
    lines = text.splitlines()
    assert lines[0].startswith("Llama-3.1-70B on 8 × NVIDIA H100")
    assert "wanted:" in lines[1]
    best = chat.best
    assert best is not None
    row = next(line for line in lines if line.lstrip().startswith("1 "))
    assert best.label in row
    for name in ("Why 1", "Change", "If", "Limit", "Quality", "Price", "Trust"):
        assert any(line.startswith(name) for line in lines), name
    assert max(len(line) for line in lines) <= 120


def test_text_of_a_no(impossible: Plan) -> None:
    text = " ".join(text_of(impossible).split())
    assert "✗ No deployment on 2 ×" in text
    assert "TPOT p99" in text


def test_page_is_one_well_formed_file(chat: Plan, tmp_path: Path) -> None:
    write_plan_page(chat, tmp_path / "plan.html")
    html = (tmp_path / "plan.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(html)
    assert not page.open
    assert not page.outside
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert page.titles > 50
    assert "prefers-color-scheme:dark" in html
    assert "@media print" in html
    for svg in html.split("<svg")[1:]:
        ElementTree.fromstring("<svg" + svg.split("</svg>")[0] + "</svg>")
    best = chat.best
    assert best is not None
    assert html.index(best.deployment.formats.weights or "bf16") < html.index("<h2>")
    assert best.launch_command().splitlines()[-1].strip() in html
    assert "apps/v1" in html


def test_page_of_a_no(impossible: Plan) -> None:
    html = plan_page(impossible)
    assert "Nothing will do." in html
    assert "vllm serve" not in html


@pytest.mark.parametrize(
    ("name", "on", "load"),
    [
        ("bert-large", "2 x a100", {"isl": 384, "osl": 1, "rate": 50.0}),
        ("ViT-L", "1 x a100", {"batch": 32}),
        ("Nemotron-H-56B-Base-8K", "8 x h100-sxm", {"isl": 1024, "osl": 256}),
        ("Llama-3.1-8B", "M3 Max", {"isl": 512, "osl": 128, "batch": 1}),
    ],
)
def test_pages_of_other_kinds(name: str, on: str, load: dict[str, Any]) -> None:
    p = planned(name, on, {}, **load)
    assert p.best is not None
    page = _Page()
    page.feed(plan_page(p))
    assert not page.open
    assert text_of(p)
