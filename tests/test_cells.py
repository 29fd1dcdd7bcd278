"""Cells of a run: kept, taken up again, ended by Ctrl-C or a budget, and the same values whichever way they came."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelf import FACTS, computed

import rooflab as rl
from rooflab import api
from rooflab.errors import InputError
from rooflab.papers.budget import Budget
from rooflab.papers.coded import decode, encode
from rooflab.papers.condition import Condition
from rooflab.papers.lab import Lab
from rooflab.papers.reader import Terms
from rooflab.papers.work import Step, Work


def test_an_interrupted_run_goes_on_where_it_stopped(shelf: Path) -> None:
    (shelf / "stop").write_text("5")
    part = rl.papers.run("cellular")
    assert computed(shelf) == [0, 1, 2, 3, 4, 5]
    assert part.account.partial
    assert part.figures[0].partial
    assert part.notes == ("interrupted after 5 of 8 rows",)
    assert part.because == "5 rows were summed"
    (shelf / "stop").unlink()
    whole = rl.papers.run("cellular")
    assert computed(shelf) == [5, 6, 7]
    assert not whole.account.partial
    assert [(c.name, c.wanted, c.kept, c.computed) for c in whole.account.cells] == [("rows", 8, 5, 3)]
    assert [(a.name, a.low, a.high) for a in whole.account.assumed] == [("share of rows", 0.1, 1.0)]
    anew = rl.papers.run("cellular", terms=Terms(keep=False))
    assert computed(shelf) == list(range(8))
    assert (anew.figures, anew.account.assumed) == (whole.figures, whole.account.assumed)


def test_too_little_for_a_figure_is_no_figure(shelf: Path) -> None:
    (shelf / "stop").write_text("1")
    with pytest.raises(KeyboardInterrupt):
        rl.papers.run("cellular")
    (shelf / "stop").unlink()
    rl.papers.run("cellular")
    assert computed(shelf) == [0, 1, 1, 2, 3, 4, 5, 6, 7]


def test_cells_are_those_of_input_parameters_seed_and_code(shelf: Path) -> None:
    from rooflab.inputs.kinds import find

    vectors = find("vectors")
    given = vectors.sample()
    other = vectors.disturb(given, "halve", np.random.default_rng(0))
    runs = [
        lambda: rl.papers.run("cellular", given),
        lambda: rl.papers.run("cellular", given, draws=False),
        lambda: rl.papers.run("cellular", other),
        lambda: rl.papers.run("cellular", given, terms=Terms(seed=1)),
    ]
    for run in runs:
        run()
        assert computed(shelf) == list(range(8))
    for run in runs:
        run()
        assert computed(shelf) == []
    (shelf / "cellular.yaml").write_text(FACTS.replace("Sums rows", "Adds rows"))
    runs[0]()
    assert computed(shelf) == list(range(8)), "another version of the paper"


def test_a_damaged_cell_is_computed_again(shelf: Path) -> None:
    first = rl.papers.run("cellular")
    files = sorted((shelf.parent / "cache" / "runs").rglob("*.json"))
    assert len(files) == 8
    files[0].write_text("{")
    files[1].write_text(files[1].read_text().replace("0.", "1."))
    computed(shelf)
    assert rl.papers.run("cellular").figures == first.figures
    assert len(computed(shelf)) == 2


def test_runs_of_long_ago_are_forgotten(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rooflab.papers.reader._RUNS", 3)
    for seed in range(6):
        rl.papers.run("cellular", terms=Terms(seed=seed))
    assert len(list((shelf.parent / "cache" / "runs").iterdir())) == 4


def test_a_budget_cuts_cells_widens_the_interval_and_says_so(shelf: Path) -> None:
    whole = rl.papers.run("cellular", rows=64, terms=Terms(keep=False)).figures[0]
    cut = rl.papers.run("cellular", rows=64, terms=Terms(budget_s=1e-9))
    assert [c.done for c in cut.account.cells] == [2], "the least that serves"
    assert cut.notes[0].startswith("cut to 2 of 64 rows by the budget of 1.00 ns")
    assert "the least that it needs is that long" in cut.notes[1]
    assert not cut.account.partial
    (low, high), (lowest, highest) = whole.spread, cut.figures[0].spread
    assert highest - lowest > high - low
    again = rl.papers.run("cellular", rows=64)
    assert (again.account.cells[0].kept, again.notes) == (2, ())


def test_seeds_give_a_spread_where_something_is_drawn(shelf: Path) -> None:
    whole = rl.papers.run("cellular", terms=Terms(seeds=4))
    each = [rl.papers.run("cellular", terms=Terms(seed=i)).figures[0].value for i in range(4)]
    (figure,) = whole.figures
    assert figure.value == pytest.approx(sum(each) / 4)
    assert (figure.spread, figure.runs, figure.over) == ((min(each), max(each)), 4, "seeds")
    assert whole.account.cells[0].wanted == 32
    assert "means over 4 seeds" in whole.notes[-1]
    computed(shelf)
    fixed = rl.papers.run("cellular", draws=False, terms=Terms(seeds=4))
    assert computed(shelf) == list(range(8))
    assert fixed.notes == ("nothing in it is drawn: every seed gives the same figures",)
    assert fixed.figures[0].over == "rows"
    rl.papers.run("cellular", terms=Terms(seeds=4))
    assert computed(shelf) == [], "that something is drawn is kept, too"


def test_ctrl_c_among_seeds_keeps_the_whole_ones(shelf: Path) -> None:
    rl.papers.run("cellular")
    (shelf / "stop").write_text("3")
    part = rl.papers.run("cellular", terms=Terms(seeds=3))
    assert part.account.partial
    assert "interrupted after 1 of 3 seeds" in part.notes
    assert part.account.cells[0].kept == 8


def test_progress_is_told(shelf: Path) -> None:
    told: list[tuple[str, Step]] = []
    rl.papers.run("cellular", terms=Terms(told=lambda name, step: told.append((name, step))))
    assert told[0][0].startswith("sample ")
    assert (told[0][1].cells.done, told[0][1].left_s) == (0, None)
    assert told[-1][1].cells.done == 8
    assert told[-1][1].left_s == 0


def test_a_claim_keeps_nothing_and_ctrl_c_is_its_own(tmp_path: Path) -> None:
    lab = Lab(api.engines())

    def stop(item: int) -> int:
        raise KeyboardInterrupt

    assert lab.cells("things", (1, 2), lambda i: (i, [i])) == {1: (1, [1]), 2: (2, [2])}
    assert lab.cell("thing", lambda: 3) == 3
    with pytest.raises(KeyboardInterrupt):
        lab.cells("others", (1, 2), stop, least=0)
    with pytest.raises(InputError, match="cell 1 of sets: a cell gives plain values and arrays, not set"):
        lab.cells("sets", (1,), lambda i: {i})


def test_cells_that_cannot_be_kept_are_not_said_to_be(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Step] = []
    (shelf / "nowhere").touch()
    monkeypatch.setenv("ROOFLAB_CACHE", str(shelf / "nowhere"))
    figures = rl.papers.run("cellular", terms=Terms(told=lambda _, step: told.append(step))).figures
    assert not told[-1].safe
    assert figures == rl.papers.run("cellular", terms=Terms(keep=False)).figures


def test_what_was_drawn_inside_a_cached_step_is_known() -> None:
    lab = Lab(api.engines(), Condition(seed=3))
    assert not lab.drew
    lab.cached("a", lambda: lab.rng("a").random())
    lab.forget()
    assert not lab.drew
    lab.cached("a", lambda: 0.0)
    assert lab.drew


def test_cells_of_a_method_inside_a_method_are_its_own(tmp_path: Path) -> None:
    work = Work(place=tmp_path)
    with work.inside("inner", 1):
        work.through("rows", [0], lambda i: (1, _nothing()), None)
    assert work.through("rows", [0], lambda i: (2, _nothing()), None)[0][0] == 2
    with work.inside("inner", 1):
        assert work.through("rows", [0], lambda i: (3, _nothing()), None)[0][0] == 1


def _nothing():
    from rooflab.papers.heard import Heard

    return Heard()


def test_a_trial_says_how_many_fit() -> None:
    asked: list[int] = []
    assert Budget().fits("rows", 500, least=10, trial=asked.append) == 500
    assert asked == []
    assert Budget(1e6).fits("rows", 500, least=10, trial=asked.append) == 500
    assert asked == [10]
    spent = Budget(1e-9)
    assert spent.fits("rows", 500, least=10, trial=asked.append) == 10
    assert spent.notes == ["cut to 10 of 500 rows by the budget of 1.00 ns"]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers(), st.text()), inner)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_values_come_back_as_they_were(value: object) -> None:
    import json

    again = decode(json.loads(json.dumps(encode(value, "here"))))
    assert repr(again) == repr(value)


@pytest.mark.parametrize(
    "values",
    [np.arange(6.0).reshape(2, 3).T, np.array([], dtype=np.int8), np.array([math.nan, math.inf]), np.array(True),
     np.array(["ä", "b"])],
)  # fmt: skip
def test_arrays_come_back_as_they_were(values: np.ndarray) -> None:
    import json

    again = decode(json.loads(json.dumps(encode(values, "here"))))
    assert again.dtype == values.dtype
    assert again.tobytes() == values.tobytes()
    assert again.shape == values.shape
    again.flags.writeable = True


def test_what_is_not_plain_is_refused() -> None:
    for value in ({1}, object(), np.array([object()]), [lambda: 0]):
        with pytest.raises(InputError, match="here: a cell gives plain values"):
            encode(value, "here")
