"""Files that are written: whole or not at all, where they may be, and as they were otherwise."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from rooflab.errors import InputError
from rooflab.files import replaced, write_text


@pytest.mark.parametrize(
    "name", ["", "folder", "folder/.", "a\0b", "no/such/file", "n" * 400, "file/below", "no/../such"]
)
def test_targets_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written") as raised:
        write_text(name, "text")
    assert "\0" not in str(raised.value)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


def test_long_names_that_a_file_may_have(tmp_path: Path) -> None:
    write_text(tmp_path / ("n" * 255), "text")
    assert (tmp_path / ("n" * 255)).read_text() == "text"


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    own, link = tmp_path / "own", tmp_path / "link"
    own.touch()
    own.chmod(0o600)
    link.symlink_to("own")
    write_text(link, "text")
    assert link.is_symlink()
    assert own.read_text() == "text"
    assert stat.S_IMODE(own.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_read_only_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    path.chmod(0o400)
    with pytest.raises(InputError, match="cannot be written"):
        write_text(path, "after")
    assert path.read_text() == "before"


def test_pipes_are_written_into(tmp_path: Path) -> None:
    path, came = tmp_path / "pipe", list[str]()
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: came.append(path.read_text()))
    reader.start()
    write_text(path, "text")
    reader.join(10)
    assert came == ["text"]
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
def test_a_full_disk_is_told() -> None:
    with pytest.raises(InputError, match="/dev/full: cannot be written"):
        write_text("/dev/full", "text" * 100_000)


def test_after_an_error_a_file_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(TypeError), replaced(path) as file:
        file.writelines(["after", 5])
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
