"""The stages that make the shipped constants: what is run again, what an interruption leaves, and real ones."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from rooflab.errors import InputError
from rooflab.evidence.refit.__main__ import main
from rooflab.evidence.refit.runner import finished, run, run_all
from rooflab.evidence.refit.stage import PACKAGE, Job, Places, Stage, elapsed
from rooflab.evidence.refit.stages import STAGES
from rooflab.evidence.rows.shipped import shipped_rows

DATE = "2026-01-02"


def places(root: Path) -> Places:
    """A repository with one room of code, tables and a work folder."""
    found = Places(tables=root / "tables", work=root / "work", package=root / "repository" / "src" / "rooflab")
    for path, text in (
        (found.table("serving"), "3"),
        (found.package / "costs" / "price.py", "TWICE = 2"),
        (found.root / "README.md", "seven"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    found.work.mkdir()
    return found


def number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))


def double(job: Job) -> Mapping[Path, str]:
    return {job.places.work / "double": str(2 * number(job.places.table("serving")))}


def cut(job: Job) -> Mapping[Path, str]:
    found = job.pieces({name: partial(len, name) for name in ("one", "three", "a/b")})
    return {} if job.only else {job.places.work / "pieces.txt": json.dumps(found)}


def both(job: Job) -> Mapping[Path, str]:
    work = job.places.work
    total = number(work / "double") + sum(json.loads((work / "pieces.txt").read_text(encoding="utf-8")).values())
    return {work / "total": str(total), job.places.root / "README.md": f"{total}, {job.date}"}


def stage(name: str, job: Callable[[Job], Mapping[Path, str]], pieces: str = "") -> Stage:
    reads: dict[str, Callable[[Places], list[Path]]] = {
        "double": lambda p: [p.table("serving")],
        "pieces": lambda p: [p.table("vision").parent],
        "both": lambda p: [p.work / "double", p.work / "pieces.txt", p.root / "README.md"],
    }
    writes: dict[str, Callable[[Places], list[Path]]] = {
        "double": lambda p: [p.work / "double"],
        "pieces": lambda p: [p.work / "pieces.txt"],
        "both": lambda p: [p.work / "total", p.root / "README.md"],
    }
    return Stage(
        name=name, does="", takes="no time", reads=reads[name], writes=writes[name], run=job, code=("costs",),
        pieces=pieces,
    )  # fmt: skip


TINY = (stage("double", double), stage("pieces", cut, "words"), stage("both", both))


def all_of(stages: tuple[Stage, ...], p: Places, date: str = DATE) -> list[str]:
    (p.tables / "vision").mkdir(exist_ok=True)
    return run_all(stages, p, date, each=lambda s: run(s, p, date, say=lambda _: None), say=lambda _: None)


def test_stages_run_in_order_and_once(tmp_path: Path) -> None:
    p = places(tmp_path)
    assert all_of(TINY, p) == ["double", "pieces", "both"]
    assert number(p.work / "total") == 6 + 11
    assert (p.root / "README.md").read_text(encoding="utf-8") == "17, 2026-01-02"
    assert all_of(TINY, p) == []


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda p: p.table("serving").write_text("4", encoding="utf-8"), ["double", "both"]),
        (lambda p: (p.tables / "vision" / "new.csv").write_text("x", encoding="utf-8"), ["pieces"]),
        (
            lambda p: (p.package / "costs" / "price.py").write_text("TWICE = 3", encoding="utf-8"),
            ["double", "pieces", "both"],
        ),
        (lambda p: (p.work / "double").unlink(), ["double"]),
        (lambda p: (p.root / "README.md").write_text("by hand", encoding="utf-8"), ["both"]),
        (lambda p: p.table("energy").mkdir(parents=True), []),
    ],
)
def test_what_rests_on_a_change_is_run_again(
    tmp_path: Path, change: Callable[[Places], object], again: list[str]
) -> None:
    p = places(tmp_path)
    all_of(TINY, p)
    change(p)
    assert all_of(TINY, p) == again
    assert all_of(TINY, p) == []


def test_another_date_makes_everything_anew(tmp_path: Path) -> None:
    p = places(tmp_path)
    all_of(TINY, p)
    assert all_of(TINY, p, "2026-01-03") == ["double", "pieces", "both"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, error: type[BaseException]) -> None:
    p = places(tmp_path)

    def stopped(job: Job) -> Mapping[Path, str]:
        both(job)
        raise error

    with pytest.raises(error):
        all_of((*TINY[:2], stage("both", stopped)), p)
    assert not (p.work / "total").exists()
    assert (p.root / "README.md").read_text(encoding="utf-8") == "seven"
    assert not finished(TINY[2], p, DATE)
    assert all_of(TINY, p) == ["both"]


def test_finished_pieces_are_kept_until_the_inputs_change(tmp_path: Path) -> None:
    p = places(tmp_path)
    (p.tables / "vision").mkdir()
    asked: list[str] = []
    kills = ["third"]

    def slow(name: str) -> int:
        asked.append(name)
        if name in kills:
            kills.remove(name)
            raise KeyboardInterrupt
        return len(name)

    def work(job: Job) -> Mapping[Path, str]:
        found = job.pieces({name: partial(slow, name) for name in ("first", "second", "third")})
        return {p.work / "pieces.txt": json.dumps(found)}

    mine = stage("pieces", work, "words")
    with pytest.raises(KeyboardInterrupt):
        run(mine, p, DATE, say=lambda _: None)
    lines: list[str] = []
    run(mine, p, DATE, say=lines.append)
    assert asked == ["first", "second", "third", "third"]
    assert [line.split("  ")[1] for line in lines[:2]] == [
        "first (1 of 3), from the run before",
        "second (2 of 3), from the run before",
    ]
    assert json.loads((p.work / "pieces.txt").read_text(encoding="utf-8")) == {"first": 5, "second": 6, "third": 5}
    assert not (p.work / "pieces" / "pieces").exists()
    asked.clear()
    with pytest.raises(InputError, match=r"no piece called 'thrid'.*third"):
        run(mine, p, DATE, only=["thrid"], say=lambda _: None)
    run(mine, p, DATE, only=["second"], say=lambda _: None)
    (p.tables / "vision" / "new.csv").write_text("x", encoding="utf-8")
    run(mine, p, DATE, say=lambda _: None)
    assert asked == ["second", "first", "second", "third"]


def test_some_pieces_are_not_a_finished_stage(tmp_path: Path) -> None:
    p = places(tmp_path)
    all_of(TINY[:1], p)
    run(TINY[1], p, DATE, only=["a/b"], say=lambda _: None)
    assert not finished(TINY[1], p, DATE)
    with pytest.raises(InputError, match="not cut into pieces"):
        run(TINY[0], p, DATE, only=["x"])


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    p = places(tmp_path)
    with pytest.raises(InputError, match=r"double: both reads it"):
        run(TINY[2], p, DATE)


def test_elapsed_time() -> None:
    assert [elapsed(s) for s in (0.4, 61, 3725)] == ["0:00:00", "0:01:01", "1:02:05"]


# the real stages


def test_what_a_stage_reads_was_written_before_it() -> None:
    p = Places(tables=Path("/t"), work=Path("/w"), kernel_tables=Path("/k"))
    later = {path: s.name for s in STAGES for path in s.writes(p)}
    assert len(later) == sum(len([*s.writes(p)]) for s in STAGES), "two stages write one file"
    for s in STAGES:
        for path in [*s.reads(p), *s.may_read(p)]:
            if later.get(path) not in (None, s.name):
                raise AssertionError(f"{s.name} reads {path}, which {later[path]} writes after it")
            assert not path.is_relative_to(p.work) or path not in later, f"{path} is not yet written"
        for path in s.writes(p):
            del later[path]
    assert later == {}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """The repository's constants beside the tables that ship, all where stages may write."""
    root = tmp_path_factory.mktemp("refit")
    p = Places(tables=root / "tables", work=root / "work", package=root / "src" / "rooflab")
    p.work.mkdir()
    for folder in ("costs/fits", "catalogue/data", "evidence/data"):
        shutil.copytree(PACKAGE / folder, p.package / folder)
    for table in shipped_rows():
        path = p.table(table.kind)
        path.parent.mkdir(parents=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*table.rows[0]])
            writer.writeheader()
            writer.writerows(table.rows)
    return p


def named(name: str) -> Stage:
    return next(s for s in STAGES if s.name == name)


def figures(path: Path) -> list[str]:
    """What was measured, with the rows' ids."""
    with path.open(encoding="utf-8", newline="") as file:
        return [line["figures"] for line in csv.DictReader(file)]


def test_what_ships_restated_is_what_ships(real: Places) -> None:
    files = [path for path in named("rows").writes(real) if path.name != "sources.csv"]
    for path in files:
        path.unlink()
    run(named("rows"), real, DATE, say=lambda _: None)
    for path in files:
        assert figures(path) == figures(PACKAGE / "evidence" / "data" / path.name), path.name
    assert finished(named("rows"), real, DATE)


def test_a_fit_of_one_device_writes_nothing_until_all_are_done(real: Places) -> None:
    before = real.fits("vision")[0].read_bytes()
    lines: list[str] = []
    run(named("vision"), real, DATE, only=["cpu"], say=lines.append)
    assert lines[-1].endswith("vision: nothing written")
    assert real.fits("vision")[0].read_bytes() == before


def test_stages_say_what_they_wait_for(real: Places) -> None:
    for name in ("intervals", "accuracy"):
        with pytest.raises(InputError, match=r"held-out\.csv"):
            run(named(name), real, DATE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["all"], "error: --tables: missing"),
        (["servin", "--tables", ".", "--work", "{}", "--date", DATE], "Did you mean serving"),
        (["kernels", "--tables", ".", "--work", "{}", "--date", DATE], "--kernel-tables"),
        (["rows", "--tables", ".", "--work", "{}", "--date", DATE], "serving/measurements.csv"),
        (["serving", "--tables", ".", "--work", "{}", "--date", DATE, "--only", "x"], "not cut into pieces"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main([o.format(tmp_path) for o in options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_guide_says_what_each_stage_makes() -> None:
    text = (Path(__file__).parents[1] / "docs" / "how-to" / "refit-the-constants.md").read_text(encoding="utf-8")
    for s in STAGES:
        assert f"`{s.name}`" in text
        assert s.name.startswith("leave-out") or f"| `{s.name}` | {s.does} | {s.takes} |" in text


def test_the_listing_names_every_stage() -> None:
    command = [sys.executable, "-m", "rooflab.evidence.refit", "--list"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for s in STAGES:
        assert f"{s.name}: {s.does}" in text
    assert "TABLES/serving/measurements.csv" in text
    assert "WORK/held-out.csv" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "stage: no stage called 'nosuch'"),
        (["all", "--only", "x"], "--only: goes with a single stage"),
        (["rows", "--date", "tomorrow"], "--date: 'tomorrow' is not a date"),
        (["rows", "--work", "file/below"], "file/below: cannot be made"),
        (["kernels", "--kernel-tables", "empty"], "no kernel table of a100-sxm-80gb"),
    ],
)  # fmt: skip
def test_wrong_options_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    others = [
        x for k, v in (("--tables", "t"), ("--work", "w"), ("--date", DATE)) if k not in arguments for x in (k, v)
    ]
    assert main([*arguments[:1], *others, *arguments[1:]]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
