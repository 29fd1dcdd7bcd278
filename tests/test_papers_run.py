"""`rooflab papers run`: inputs, seeds, budgets, interruptions, files and the page; what is refused and how."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from shelf import computed

from rooflab.charts.palette import BAD, GOOD, GREY, Colour
from rooflab.cli.main import run
from rooflab.papers.outcome import Figure
from rooflab.report.pages.paper import bar

ROOT = Path(__file__).parents[1]
CHAT = str(ROOT / "examples" / "chat-70b.yaml")


@pytest.fixture
def cli(shelf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(shelf.parent)

    def call(*words: str) -> tuple[int, str, str]:
        status = run(["papers", "run", *words])
        out = capsys.readouterr()
        return status, out.out, out.err

    return call


def test_figures_say_how_they_came_about_and_how_far_they_spread(cli) -> None:
    status, out, err = cli("cellular", "--seeds", "3")
    assert (status, err) == (0, "")
    line = next(line for line in out.splitlines() if line.startswith("mean sum"))
    assert "executed" in line
    assert re.search(r"\d – \d.*3 seeds", line)
    assert "Assumed share of rows 0.5 (could be 0.1 to 1: nobody says)" in out
    (record,) = json.loads(cli("cellular", "--seeds", "3", "--json")[1])
    (figure,) = record["figures"]
    assert (figure["how"], figure["runs"], figure["over"], figure["partial"]) == ("executed", 3, "seeds", False)
    assert figure["spread"][0] < figure["value"] < figure["spread"][1]
    assert record["seeds"] == [0, 1, 2]
    assert record["cells"] == [{"name": "rows", "wanted": 24, "kept": 24, "computed": 0}]
    assert record["assumptions"][0]["low"] == 0.1
    assert "24 rows, 24 of them from an earlier run" in cli("cellular", "--seeds", "3")[1]


def test_a_method_that_never_draws_is_said_to_be_deterministic(cli) -> None:
    out = cli("cellular", "--set", "draws=false", "--seeds", "5")[1]
    assert "nothing in it is drawn: every seed gives the same figures" in out


def test_a_scenarios_seed_counts_where_requests_are_drawn(cli) -> None:
    words = ("fastswitch", "--model", "Qwen3-8B", "--hardware", "l40s", "--isl", "{lognormal: {mean: 300, cv: 1}}",
             "--osl", "60", "--rate", "6/s", "--requests", "120", "--seed", "4", "--seeds", "3", "--json")  # fmt: skip
    (record,) = json.loads(cli(*words)[1])
    assert record["seeds"] == [4, 5, 6]
    spread = {f["name"]: f["spread"] for f in record["figures"]}
    assert spread["ttft_s_p99"][0] < spread["ttft_s_p99"][1]
    steady = json.loads(cli("flover", "--seeds", "3", "--json")[1])[0]
    assert steady["seeds"] == [0]
    assert "nothing in it is drawn: every seed gives the same figures" in steady["notes"]


def test_interrupted_runs_show_what_they_have_and_go_on(cli, shelf: Path) -> None:
    (shelf / "stop").write_text("5")
    status, out, err = cli("cellular")
    assert status == 130
    assert "executed, partial" in out
    assert "Partial interrupted before it was through: figures are of what is finished" in out
    assert err.strip() == "interrupted: 5 of 8 rows are finished and kept; the same command goes on there"
    (record,) = json.loads(cli("cellular", "--json")[1])
    assert record["partial"]
    assert record["figures"][0]["partial"]
    (shelf / "stop").unlink()
    computed(shelf)
    status, out, _ = cli("cellular")
    assert status == 0
    assert "Done    8 rows, 5 of them from an earlier run" in out
    assert computed(shelf) == [5, 6, 7]
    cli("cellular", "--no-cache")
    assert computed(shelf) == list(range(8))


def test_an_interruption_before_any_figure_is_a_line(cli, shelf: Path) -> None:
    (shelf / "stop").write_text("0")
    assert cli("cellular") == (130, "", "interrupted\n")
    (shelf / "stop").write_text("1")
    status, out, err = cli("cellular", "--json")
    assert (status, out) == (130, "")
    assert err.startswith("interrupted: 1 of 8 rows are finished and kept")


def test_ctrl_c_in_a_simulation_is_no_answer(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulation that stops half-way would look like one that is through."""
    from rooflab.simulator.serving.run import Simulation

    def stopped(self: Simulation, events: int = 0) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Simulation, "advance", stopped)
    assert cli("flover") == (130, "", "interrupted\n")


def test_a_budget_shrinks_and_says_so(cli) -> None:
    status, out, _ = cli("cellular", "--budget", "1ms", "--set", "rows=5000")
    assert status == 0
    assert re.search(r"cut to [\d,]+ of 5,000 rows by the budget of 1.00 ms", out)
    words = ("fastswitch", "--model", "Qwen3-8B", "--hardware", "l40s", "--isl", "300", "--osl", "60", "--rate", "6/s",
             "--requests", "50000", "--budget", "0.5s", "--json")  # fmt: skip
    (record,) = json.loads(cli(*words)[1])
    assert any("requests by the budget of 500 ms" in note for note in record["notes"])


@pytest.mark.parametrize(
    ("budget", "said"),
    [("0s", "leaves no time"), ("soon", "not a time"), ("-3 min", "leaves no time"), ("3 apples", "not a time")],
)
def test_budgets_that_are_none(cli, budget: str, said: str) -> None:
    status, _, err = cli("cellular", f"--budget={budget}")
    assert status == 2
    assert said in err
    assert "--budget" in err


def test_minutes_may_be_short(cli) -> None:
    assert cli("cellular", "--budget", "3m")[0] == 0
    assert cli("cellular", "--budget", "1.5 m")[0] == 0


def test_several_inputs_each_have_their_own_part(cli) -> None:
    from rooflab.inputs.kinds import find

    vectors = find("vectors")
    vectors.write(vectors.sample(), "mine.npz")
    records = json.loads(cli("cellular", "mine.npz", "digits", "mine.npz", "--json")[1])
    assert [r["setup"] for r in records] == ["mine.npz", "digits"]
    bert = Path("bert.yaml")
    bert.write_text("model: bert-large-uncased\nhardware: a100\nworkload: {isl: 128, osl: 1, batch: 1}\n")
    status, out, _ = cli("cellular", "--method", "small", CHAT, str(bert))
    assert status == 1
    assert CHAT in out
    assert "bert.yaml\nNo      only decoders have a cache" in out
    records = json.loads(cli("cellular", "--method", "small", CHAT, str(bert), "--json")[1])
    assert [r["setup"] for r in records] == [CHAT, "bert.yaml"]
    assert records[1] == {"setup": "bert.yaml", "refused": "only decoders have a cache"}
    assert cli("cellular", "--method", "small", str(bert))[::2] == (1, f"{bert}: only decoders have a cache\n")


def test_flags_of_a_scenario_are_refused_by_name_where_none_is_read(cli) -> None:
    status, _, err = cli("cellular", "--method", "sums", "--isl", "512")
    assert status == 2
    assert err == "--isl: belongs to a scenario; cellular.sums reads vectors (rooflab inputs vectors)\n"
    assert cli("cellular", "--seed", "3")[0] == 0
    assert cli("cellular", "--seed", "x")[::2] == (2, "--seed: 'x' is not a whole number from 0 on\n")
    assert cli("cellular", "--seed", "-1")[::2] == (2, "--seed: '-1' is not a whole number from 0 on\n")
    assert cli("cellular", "--set", "rows=[")[0] == 2
    assert "Did you mean rows" in cli("cellular", "--set", "row=3")[2]
    assert cli("cellular", "--seeds", "0")[0] == 2


def test_files_are_written_whole_into_a_new_folder(cli) -> None:
    status, out, err = cli("cellular", "--out", "made/here")
    assert status == 0
    assert "File    sums.csv, 6 bytes" in out
    assert err == "--out made/here: 2 files\n"
    assert {str(p.relative_to("made/here")) for p in Path("made/here").rglob("*.*")} == {"sums.csv", "more/notes.txt"}
    status, out, err = cli("cellular", "--out", "made/here")
    assert (status, out) == (2, "")
    assert err == "--out made/here: is there already and not empty; files go to a new folder\n"
    assert cli("cellular", "--out", "none", "--set", "files=false")[2] == "--out none: this method makes no files\n"
    assert not Path("none").exists()
    Path("empty").mkdir()
    assert cli("cellular", "--out", "empty")[0] == 0
    assert sorted(p.name for p in Path("empty").iterdir()) == ["more", "sums.csv"]
    Path("file").touch()
    assert cli("cellular", "--out", "file")[0] == 2
    assert not list(Path().rglob(".rooflab.*"))


def test_nothing_is_written_of_a_partial_run(cli, shelf: Path) -> None:
    (shelf / "stop").write_text("4")
    status, _, err = cli("cellular", "--out", "part")
    assert status == 130
    assert "nothing is written of a run that is not through" in err
    assert not Path("part").exists()


def test_the_page_stands_alone(cli) -> None:
    assert cli("cellular", "--seeds", "2", "--html", "page.html")[0] == 0
    text = Path("page.html").read_text("utf-8")
    for said in ("A paper of cells", "mean sum", "executed", "2 seeds", "8 rows were summed", "share of rows"):
        assert said in text, said
    assert not re.search(r'(src|href)="', text), "nothing is fetched"
    assert cli("cellular", "--html", "no/such/page.html")[0] == 2
    assert cli("cellular", "--html", ".")[0] == 2


def test_the_page_of_a_technique_has_gains(cli) -> None:
    assert cli("cellular", "--method", "small", CHAT, "--html", "page.html")[0] == 0
    text = Path("page.html").read_text("utf-8")
    assert "How many times better" in text
    assert "without" in text


def test_names_of_a_stranger_stay_names(cli) -> None:
    name = "<script>alert(1)</script> [bold]x.yaml"
    Path("[bold]x.yaml").write_text(Path(CHAT).read_text())
    assert cli("cellular", "--method", "small", "[bold]x.yaml", "--html", "page.html")[1].count("[bold]x.yaml") >= 1
    assert name not in Path("page.html").read_text("utf-8")


def test_every_width_of_screen_is_kept_to(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for width in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        for words in (("cellular", "--seeds", "2"), ("cellular", "--method", "small", CHAT)):
            out = cli(*words)[1]
            text, _, commands = out.partition("\nNext ")
            assert max(map(len, text.splitlines())) <= width, out
            assert all("rooflab papers" in line for line in commands.splitlines())


def test_what_a_paper_cannot_read_is_said_with_what_it_reads(cli) -> None:
    Path("mine.txt").write_text("a,b\n1,2\n")
    assert cli("cellular", "mine.txt")[::2] == (
        2, "mine.txt: cellular reads scenario from .yaml, .yml, .json; vectors from .npz, .csv, .fvecs\n"
    )  # fmt: skip
    status, _, err = cli("cellular", "questons")
    assert (status, err) == (
        2,
        "cellular: no file or sample called 'questons'. Did you mean questions?\n",
    )
    assert cli("cellular", "")[::2] == (2, "INPUT: is empty: a file or a name belongs there\n")
    assert cli("cellular", "--method", "small", "chat")[0] == 0, "a sample of scenarios is one, too"


@pytest.mark.parametrize(("value", "colours"), [(99.7, [GREY]), (100.3, [GREY]), (90.0, [BAD]), (110.0, [GREY, GOOD])])
def test_a_bar_says_what_its_label_says(value: float, colours: list[Colour]) -> None:
    """A gain that is called the same is neither lost nor gained on the chart."""
    parts = bar(Figure(name="x", value=value, how="modelled", baseline=100.0, better="higher"))
    assert [p.colour for p in parts] == colours
