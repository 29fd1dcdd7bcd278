"""Names from strangers' files stay names: on pages, in charts and on screens they are shown as they are, and do
nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from rooflab.catalogue.hardware import hardware
from rooflab.catalogue.models import model
from rooflab.charts.marks import Series
from rooflab.charts.plot import Plot
from rooflab.charts.tree import clean
from rooflab.evidence.claims.pages import page as paper_page
from rooflab.evidence.claims.row import Row
from rooflab.evidence.score.validate import Validation, validate
from rooflab.papers.paper import Paper
from rooflab.planner.result import Choice, Plan, Rejected
from rooflab.planner.search import plan
from rooflab.report.pages.plan import plan_page
from rooflab.report.pages.render import render
from rooflab.report.pages.simulation import simulation_page
from rooflab.report.pages.validate import validation_page, write_validation_page
from rooflab.report.text.estimate import show_estimate
from rooflab.report.text.plan import show_plan
from rooflab.report.text.simulation import show_simulation
from rooflab.report.text.validate import show_validation
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.slo import read_slo
from rooflab.scenario.workload import read_workload
from rooflab.simulator.results.serving import ServingResult
from rooflab.simulator.work.make import make_work
from tests.test_validate import ROW, write
from tests.toy_engine import toy_run

HOSTILE = (
    "<script>alert(1)</script>",
    "</title><x-evil>",
    "\"><x-evil onload='x()'>",
    "' onmouseover='x()' x='",
    "</style></script><x-evil/>",
    "<!-- <x-evil>",
    "<![CDATA[<x-evil>]]>",
    "{{ 7 * 7 }}{% raw %}",
    "a & b &lt; c &amp;lt;",
    "[bold]x[/bold] [/] [link=file:///]y",
    "a\nb\r\n\n<x-evil>",
    "\x00\x08\x1b[31m\ud800\uffff",
    "x" * 400,
    "",
)
names = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=()), max_size=30)
hostile = settings(max_examples=30, deadline=None)

TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "b", "small", "div", "span", "i",
    "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "pre", "script",
    "svg", "g", "path", "rect", "circle", "text",
}  # fmt: skip


class _Page(HTMLParser):
    """Tags, attributes and what a reader sees of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.text += [value for name, value in attrs if name in ("title", "aria-label") and value]

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")


def harmless(html: str, name: str) -> None:
    """`html` holds only what our templates and charts make, and shows `name` as it is."""
    html.encode()
    page = _Page(html)
    assert set(page.tags) <= TAGS
    assert page.tags.count("script") == 1
    assert not any(a.startswith("on") or a in ("href", "src") for a in page.attributes)
    assert _seen(name) in _seen("".join(page.text))


def _seen(text: str) -> str:
    return " ".join(clean(text).split())


def screen() -> tuple[StringIO, Console]:
    out = StringIO()
    return out, Console(file=out, width=2000, highlight=False)


@cache
def planned() -> Plan:
    load = read_workload({"isl": 512, "osl": 64, "rate": 4.0})
    return plan(
        Scenario(
            model=model("Llama-3.1-8B"), hardware=hardware("2 x h100-sxm"), workload=load,
            slo=read_slo({"tpot_p99": 0.03}),
        )
    )  # fmt: skip


@cache
def simulated() -> ServingResult:
    classes = [{"name": "chat", "share": 3, "slo": {"ttft": "1 ms"}}, {"name": "bulk", "share": 1}]
    load = read_workload(
        {"isl": "50..400", "osl": "20..120", "rate": 12, "requests": 60, "clients": 2, "classes": classes}
    )
    requests = make_work(load)
    return ServingResult(requests=requests, run=toy_run(requests), classes=load.classes, devices=2, kv_blocks=5000)


@cache
def judged() -> Validation:
    rows = [{**ROW, "id": f"r{i}", "batch_or_concurrency": str(i)} for i in range(1, 6)]
    with TemporaryDirectory() as folder:
        return validate(write(Path(folder) / "rows.csv", *rows))


def _of_scenario(s: Scenario, name: str) -> Scenario:
    return replace(
        s,
        model=replace(s.model, checkpoint=name),
        hardware=replace(s.hardware, device=replace(s.hardware.device, name=name)),
    )


def _of_plan(p: Plan, name: str) -> Plan:
    def of(c: Choice) -> Choice:
        estimate = replace(c.estimate, scenario=_of_scenario(c.scenario, name))
        return replace(c, estimate=estimate, quality=name, why=(name, *c.why), change=(name,))

    assert p.best is not None
    return replace(
        p,
        scenario=_of_scenario(p.scenario, name),
        choices=tuple(of(c) for c in p.choices),
        front=tuple(of(c) for c in p.front),
        points=tuple(replace(point, label=name) for point in p.points),
        rejected=(Rejected(p.best.deployment, name or "x", name),),
        price_source=f"of {name}",
    )


@hostile
@given(name=names)
def test_on_the_page_of_a_plan(name: str) -> None:
    changed = _of_plan(planned(), name)
    harmless(plan_page(changed), name)
    nothing = replace(changed, choices=(), front=(), by_devices=(), message=f"no: {name}")
    assert nothing.best is None
    harmless(plan_page(nothing), name)


@hostile
@given(name=names)
def test_on_the_page_of_a_simulation(name: str) -> None:
    first, *rest = simulated().classes
    changed = replace(simulated(), classes=(replace(first, name=f"c{name}"), *rest))
    harmless(simulation_page(changed, title=name, subtitle=name, notes=[name]), name)


def _of_validation(v: Validation, name: str) -> Validation:
    fields = dict.fromkeys(("id", "source", "engine", "gpu", "model", "scenario", "metric", "provenance"), name)
    rows = tuple(replace(j, row=replace(j.row, **fields), verdict=name) for j in v.rows)
    return replace(v, name=name, rows=rows, unsupported={name: name})


@hostile
@given(name=names)
def test_on_the_page_of_a_validation(name: str) -> None:
    harmless(validation_page(_of_validation(judged(), name)), name)


def test_in_the_name_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "<script>'\"&.csv", ROW, {**ROW, "id": "<x-evil>", "gpu": "<x-evil>"})
    write_validation_page(validate(path), tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text("utf-8")
    harmless(html, "<script>'\"&.csv")
    harmless(html, "no accelerator called '<x-evil>'")


@hostile
@given(name=names)
def test_on_the_page_of_a_paper(name: str) -> None:
    p = Paper(key="key", title=name, name=name, url=name, kind=name, does=name, executed=name, modelled=name)
    p.plot = lambda lab: Plot(name, name, name, (Series(name, (0.0, 1.0), (0.0, 1.0)),))
    row = Row(
        paper="key", seed=0, claim="c", role="detail", group=name, text=name, expected=1.0, unit=name, first=1.0,
        revised=0, got=1.0, error=0.0, tolerance=0.1, status="reproduced", kind="modelled", audited=True, source=name,
        reason=name,
    )  # fmt: skip
    text, _, svg = paper_page(p, [row]).rpartition("\n<svg ")
    assert "<" not in text
    page = _Page(f"<svg {svg}")
    assert set(page.tags) <= {"svg", "g", "path", "rect", "circle", "text", "title"}
    assert not any(a.startswith("on") for a in page.attributes)
    assert "\n\n" not in svg.rstrip("\n")


@hostile
@given(name=names)
def test_on_a_screen(name: str) -> None:
    shown = _seen(name)
    p = _of_plan(planned(), name)
    assert p.best is not None
    for show in (
        lambda out: show_plan(p, out),
        lambda out: show_estimate(p.best.estimate, out),
        lambda out: show_simulation(p.scenario, simulated(), out),
        lambda out: show_validation(_of_validation(judged(), name), out),
    ):
        out, console = screen()
        show(console)
        if shown.isprintable():
            assert shown in " ".join(out.getvalue().split())


def test_a_template_that_lacks_a_value_says_so() -> None:
    from jinja2 import UndefinedError

    with pytest.raises(UndefinedError):
        render("validate.html.j2", name="x")
