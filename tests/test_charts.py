"""The chart kit: colours that everyone can tell apart, ticks at round numbers, names that do not cover each other,
nothing outside the drawing, and text that stays text."""

from __future__ import annotations

import itertools
import math
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooflab.charts.bars import Part, Stack, Step, stacks, waterfall
from rooflab.charts.chart import chart
from rooflab.charts.heat import Heat, heat_map
from rooflab.charts.marks import Bar, Dot, Key, Mark, Series
from rooflab.charts.palette import BLUE, CARD, EVERY, GREY, SERIES, Colour
from rooflab.charts.plot import Plot
from rooflab.charts.scale import Axis, Scale, spread, tick_texts
from rooflab.charts.tree import Svg, clean

F64 = npt.NDArray[np.float64]

_VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
"""Linear RGB as readers see it: Machado, Oliveira and Fernandes 2009, severity 1."""
_DRAWN = {"svg", "g", "path", "rect", "circle", "text", "title"}
_PAPERS = {"light": ["#ffffff"], "dark": [CARD.dark], "alone": ["#ffffff", CARD.dark]}


def linear(code: str) -> F64:
    c = np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def oklab(rgb: F64) -> F64:
    lms = np.cbrt(
        np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                  [0.0883024619, 0.2817188376, 0.6299787005]]) @ np.clip(rgb, 0, 1)
    )  # fmt: skip
    return np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
                     [0.0259040371, 0.7827717662, -0.8086757660]]) @ lms  # fmt: skip


def contrast(a: str, b: str) -> float:
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("where", ["light", "dark", "alone"])
def test_series_stand_out_from_their_paper_and_from_each_other(where: str) -> None:
    codes = [getattr(c, where) for c in SERIES]
    for code, paper in itertools.product(codes, _PAPERS[where]):
        assert contrast(code, paper) >= 3, (code, paper)
    for name, seen in _VISIONS.items():
        for a, b in itertools.combinations(codes, 2):
            distance = float(np.linalg.norm(oklab(seen @ linear(a)) - oklab(seen @ linear(b))))
            assert distance >= 0.07, (name, a, b)


@pytest.mark.parametrize("name", ["ink", "soft", "good", "bad"])
def test_text_is_readable(name: str) -> None:
    colour = next(c for c in EVERY if c.name == name)
    assert contrast(colour.light, CARD.light) >= 4.5
    assert contrast(colour.dark, CARD.dark) >= 4.5


def test_a_colour_is_the_page_s_or_its_own() -> None:
    assert Colour("x", "#000000", "#ffffff", "#808080").paint == "var(--x,#808080)"
    assert len({c.name for c in EVERY}) == len(EVERY)


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0, 1, False), (0, 7300, False), (0.003, 88, True), (1e-5, 9e3, True), (3, 3, False)]
)
def test_ticks_are_few_and_inside(low: float, high: float, log: bool) -> None:
    ticks = Scale(low, high, 0, 400, log).ticks(5)
    assert 1 <= len(ticks) <= 8
    assert all(low <= t <= high * 1.0001 for t in ticks)


@given(
    low=st.floats(1e-9, 1e12), factor=st.floats(1.001, 1e9), most=st.integers(3, 12), log=st.booleans(),
    unit=st.sampled_from(["", "s", "B", "$"]),
)  # fmt: skip
def test_any_axis_has_ticks_that_read_apart(low: float, factor: float, most: int, log: bool, unit: str) -> None:
    axis = Axis(low, low * factor, unit=unit, log=log)
    ticks = axis.ticks(most)
    assert 1 <= len(ticks) <= 2 * most + 2
    assert ticks == sorted(set(ticks))
    assert all(low * 0.999 <= t <= low * factor * 1.001 for t in ticks)
    assert len(set(tick_texts(ticks, unit, log=log))) == len(ticks) or factor < 1.01


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (Axis(0, 2472, unit="s"), ["0 min", "10 min", "20 min", "30 min", "40 min"]),
        (Axis(0, 0.027, unit="s"), ["0 ms", "10 ms", "20 ms"]),
        (Axis(0, 100, unit="s"), ["0 s", "20 s", "40 s", "60 s", "80 s", "100 s"]),
        (Axis(0, 30000, unit="s"), ["0 h", "2 h", "4 h", "6 h", "8 h"]),
        (Axis(0, 85e9, unit="B"), ["0 GB", "20 GB", "40 GB", "60 GB", "80 GB"]),
        (Axis(0, 6000), ["0", "2,000", "4,000", "6,000"]),
        (Axis(0, 29000), ["0", "10k", "20k"]),
        (Axis(0, 100, unit="%"), ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]),
        (Axis(0.9, 5.5, unit="$", log=True), ["$1", "$2", "$5"]),
        (Axis(1, 1e6, log=True), ["1", "100", "10k", "1M"]),
        (Axis(0.012, 0.018, unit="s", log=True), ["12 ms", "14 ms", "16 ms", "18 ms"]),
    ],
)
def test_ticks_as_people_say_them(axis: Axis, texts: list[str]) -> None:
    most = 3 if texts[-1] in ("20 ms", "6,000", "20k") else 5
    assert tick_texts(axis.ticks(most), axis.unit, log=axis.log) == texts


def test_spread_leaves_room() -> None:
    assert spread([2.0, 8.0]) == (1.6, 10.0)
    low, high = spread([5.0, math.nan, -1.0])
    assert low < 5 / 2
    assert high > 10
    assert spread([])[0] > 0


def numbers(svg: str) -> list[float]:
    """All lengths in a drawing."""
    found = []
    for e in ElementTree.fromstring(svg).iter():
        found += [float(e.attrib[k]) for k in ("x", "y", "width", "height", "cx", "cy", "r") if k in e.attrib]
        for part in e.attrib.get("d", "").translate(str.maketrans("MLHVZhv", "       ")).split():
            found.append(float(part))
    return found


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=8),
    st.booleans(),
    st.sampled_from(["line", "marked", "area", "stairs", "dashed", "guide", "dotted", "points"]),
)
def test_a_drawing_stays_on_its_sheet(points: list[tuple[float, float]], log: bool, look: str) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    svg = chart(
        Axis(min(xs), max(xs), "x", log=log), Axis(min(ys), max(ys), "y"), label="l", title="t",
        series=[Series("a", xs, ys, look=look)], dots=[Dot(x=xs[0], y=ys[0], title="d", name="n", kind="chosen")],
        bars=[Bar(xs[0], xs[0], 0, ys[0], BLUE, "b")], marks=[Mark(ys[0], "m", horizontal=True), Mark(xs[0], "m")],
        keys=[Key("a", BLUE, "line"), Key("b")],
    )  # fmt: skip
    assert all(-1 <= v <= 641 for v in numbers(svg))


def test_names_do_not_cover_each_other() -> None:
    dots = [Dot(x=1.0 + i / 100, y=1.0, title=f"dot {i}", name=f"name {i}") for i in range(40)]
    svg = chart(Axis(0.5, 2.0, "x", log=True), Axis(0.1, 10.0, "y", log=True), dots=dots, label="l")
    names = [t for t in ElementTree.fromstring(svg).findall(".//{*}text") if (t.text or "").startswith("name")]
    assert 1 <= len(names) < 40
    spots = [(float(t.attrib["x"]), float(t.attrib["y"])) for t in names]
    assert len(set(spots)) == len(spots)


def test_stairs_hold_their_level_until_the_next_point() -> None:
    svg = chart(
        Axis(0, 2, shown=False), Axis(0, 1, shown=False), series=[Series("s", [0, 1, 2], [0, 1, 1], look="stairs")],
        label="", size=(116, 116),
    )  # fmt: skip
    path = next(
        e.attrib["d"] for e in ElementTree.fromstring(svg).findall(".//{*}path") if e.find("{*}title") is not None
    )
    ys = [float(p.split()[1]) for p in path[1:].split("L")]
    assert ys[:3] == [ys[0], ys[0], ys[2]]
    assert ys[2] < ys[0]


def test_a_series_without_finite_points_is_left_out() -> None:
    nan = math.nan
    empty, one = (
        chart(Axis(0, 1), Axis(0, 1), series=[Series("s", [0.5, 0.6], ys)], label="") for ys in ([nan, nan], [nan, 0.5])
    )
    assert "<title>s</title>" not in empty
    assert "<title>s</title>" in one


def test_parts_of_a_stack_lie_end_to_end() -> None:
    parts = [Part(3.0, "three", BLUE), Part(1.0, "one", GREY), Part(6.0, "rest")]
    svg = stacks([Stack("row", parts)], total=10.0, unit="", label="l", width=400)
    boxes = list(ElementTree.fromstring(svg).findall(".//{*}rect"))
    wide = [float(b.attrib["width"]) for b in boxes]
    assert wide[0] / wide[1] == pytest.approx(3, abs=0.02)
    for a, b in itertools.pairwise(boxes):
        assert float(a.attrib["x"]) + float(a.attrib["width"]) == pytest.approx(float(b.attrib["x"]), abs=0.11)


def test_a_waterfall_starts_each_bar_where_the_last_one_ended() -> None:
    steps = [Step("a", 1.0, BLUE, "", 0.5), Step("b", 3.0, GREY, "", 9.0)]
    svg = waterfall(steps, unit="s", label="l", texts=["1", "3"])
    pale_a, solid_a, pale_b, solid_b = list(ElementTree.fromstring(svg).findall(".//{*}rect"))
    assert float(solid_a.attrib["width"]) == pytest.approx(float(pale_a.attrib["width"]) / 2, abs=0.1)
    assert solid_b.attrib["width"] == pale_b.attrib["width"]
    assert float(pale_b.attrib["x"]) == pytest.approx(
        float(pale_a.attrib["x"]) + float(pale_a.attrib["width"]), abs=0.11
    )


def test_a_heat_map_is_deeper_where_figures_are_larger() -> None:
    fields = {("a", "x"): Heat(0.1, "10"), ("b", "x"): Heat(0.5, "50", "fifty"), ("b", "y"): Heat(9.0, "900")}
    svg = heat_map(["a", "b"], ["x", "y"], fields, top=1.0, label="l", width=300)
    boxes = ElementTree.fromstring(svg).findall(".//{*}rect")
    low, middle, high = (float(b.attrib["fill-opacity"]) for b in boxes)
    assert low < middle < high < 0.7
    first, second, third = (float(b.attrib["x"]) for b in boxes)
    assert first == second < third
    assert all(-1 <= v <= 301 for v in numbers(svg))


def test_a_plot_tells_more_series_apart_than_there_are_colours() -> None:
    lines = tuple(Series(f"line {i}", (1.0, 2.0), (1.0, i + 1.0)) for i in range(9))
    svg = Plot("many", "x", "y", lines).svg()
    drawn = [
        (e.attrib["stroke"], e.attrib.get("stroke-dasharray", ""))
        for e in ElementTree.fromstring(svg).findall(".//{*}path")
        if e.find("{*}title") is not None
    ]
    assert len(set(drawn)) == 9
    assert svg == Plot("many", "x", "y", lines).svg()


def test_a_plot_is_one_block_of_markdown() -> None:
    svg = Plot("a\n\nb", "x", "y", (Series("c\r\nd", (1.0, 2.0), (1.0, 2.0)),)).svg()
    first, *rest = svg.split("\n")
    assert first.startswith("<svg ")
    assert first.endswith(">")
    assert "<" not in first[1:]
    assert all(line.strip() for line in rest)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_stays_text(text: str) -> None:
    everywhere = chart(
        Axis(0, 1, text), Axis(0, 1, text), label=text, title=text, keys=[Key(text, BLUE)],
        series=[Series(text, [0, 1], [0, 1], named="end")], bars=[Bar(0, 1, 0, 1, BLUE, text)],
        dots=[Dot(x=0.5, y=0.5, title=text, name=text)], marks=[Mark(0.5, text)],
    )  # fmt: skip
    others = (
        stacks([Stack(text, [Part(1.0, text)])], total=1.0, unit="", label=text),
        waterfall([Step(text, 1.0, BLUE, text)], unit="", label=text, texts=[text]),
        heat_map([text], [text], {(text, text): Heat(1.0, text, text)}, top=1.0, label=text),
        Plot(text, text, text, (Series(text, (0.0, 1.0), (0.0, 1.0)),)).svg(),
    )
    for svg in (everywhere, *others):
        assert isinstance(svg, Svg)
        tree = ElementTree.fromstring(svg.encode())
        assert {e.tag.rpartition("}")[2] for e in tree.iter()} <= _DRAWN
        assert not any(k.startswith("on") for e in tree.iter() for k in e.attrib)
    hovers = {e.text for e in ElementTree.fromstring(everywhere.encode()).findall(".//{*}title")}
    said = clean(text)
    if said.strip() and not any(c in said for c in "\t\n\r"):
        assert said in hovers
