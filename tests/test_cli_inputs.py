"""`rooflab inputs`: every kind listed, shown, given as an example and checked, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rooflab.cli.main import run
from rooflab.inputs.kinds import KINDS


def ask(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(("inputs", *arguments))
    out, err = capsys.readouterr()
    return status, out, err


def test_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ask(capsys)
    assert status == 0
    assert all(name in out for name in KINDS)
    records = json.loads(ask(capsys, "--json")[1])
    assert [r["kind"] for r in records] == list(KINDS)
    assert all(r["fields"] and r["formats"] and r["samples"] and r["disturbances"] for r in records)
    assert ask(capsys, "-q")[1].split() == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_shown(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ask(capsys, kind)
    assert status == 0
    record = json.loads(ask(capsys, kind, "--json")[1])
    assert all(field in out for field in record["fields"])
    assert all(sample["source"] in out for sample in record["samples"])


@pytest.mark.parametrize("kind", KINDS)
def test_an_example_reads_back(kind: str, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(("inputs", kind, "--example")) == 0
    held = capfdbinary.readouterr().out
    form, _ = KINDS[kind].example_file()
    path = tmp_path / f"mine{form.suffix}"
    path.write_bytes(held)
    assert run(("inputs", kind, str(path))) == 0
    assert str(path).encode() in capfdbinary.readouterr().out


def test_an_example_is_written_to_a_file_or_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, "series", "--example", "--to", str(tmp_path / "mine.npz")) == (0, "", "")
    assert "4 instants" in ask(capsys, str(tmp_path / "mine.npz"))[1]
    assert ask(capsys, "programs", "--example", "--to", str(tmp_path / "mine")) == (0, "", "")
    assert "3 variants" in ask(capsys, "programs", str(tmp_path / "mine"))[1]
    status, _, err = ask(capsys, "programs", "--example", "--to", str(tmp_path / "mine"))
    assert status == 2
    assert "is there already" in err


def test_a_file_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("name,energy_j\na,1.5\nb,\nb,\n[red]x[/]\x1b[31m,3\n")
    status, out, _ = ask(capsys, "table", str(path))
    assert status == 0
    assert "4 rows" in out
    assert "1.500" in out
    assert "odd: 1 rows stand more than once" in out
    assert "odd: energy_j: 2 of 4 are missing" in out
    assert "\x1b" not in out
    record = json.loads(ask(capsys, "table", str(path), "--json")[1])
    assert record["counts"] == {"rows": 4, "columns": 2}
    assert record["columns"][1]["unit"] == "J"
    assert "scale energy_j" in record["disturbances"]
    assert ask(capsys, "table", str(path), "-q") == (0, "", "")


def test_the_kind_of_a_file_is_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("time_s,power_w\n0,1\n1,2\n")
    assert "series, 2 instants" in ask(capsys, str(path))[1]
    (tmp_path / "mine.json").write_text("{}")
    status, _, err = ask(capsys, str(tmp_path / "mine.json"))
    assert status == 2
    assert "is it scenario or network or graph? say which: rooflab inputs KIND mine.json" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vectros",), "no kind of input called 'vectros'. Did you mean vectors"),
        (("qqqq",), "no kind of input called 'qqqq'. Known: scenario, network, weights, text, images,"),
        (("vectors", "digit"), "no file or sample of vectors called 'digit'. Did you mean digits?"),
        (("vectors", "mine.npz"), "mine.npz: no such file"),
        (("vectors", "mine.txt"), "mine.txt: vectors is read from .npz, .csv, .fvecs; this is '.txt'"),
        (("vectors", "--example", "--format", "yaml"), "vectors: no format called 'yaml'. Known: .npz, .csv, .fvecs."),
        (("network", "resnet8"), "no network called 'resnet8'"),
        (("runs", "azure-code-203"), "no trace called 'azure-code-203'. Did you mean azure-code-2023"),
    ],
)
def test_errors_are_one_line(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = ask(capsys, *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_network_of_the_catalogue_is_an_input(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = ask(capsys, "network", "resnet50")
    assert status == 0
    assert "25,557,032 parameters" in out
