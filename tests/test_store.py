"""The store: nothing committed is lost, whatever happens to the process, the disk or the file; one clear line else."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rooflab.cli.main import run as rooflab
from rooflab.errors import InputError
from rooflab.store import migrations, opening
from rooflab.store.migrations import MIGRATIONS
from rooflab.store.opening import Store
from rooflab.store.runs import Asked, keep_run, remove_runs, run, runs

SOURCE = Path(__file__).parents[1] / "src"


def asked(rate: float = 4.0, **more: object) -> Asked:
    given = {"kind": "estimate", "inputs": {}, "version": "1", "code": "c", "seed": 0} | more
    return Asked(scenario={"workload": {"rate": rate}}, scenario_hash=f"hash {rate}", **given)


def process(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
    )  # fmt: skip


WRITER = """
import sys
from rooflab.store.opening import Store
from rooflab.store.runs import Asked, keep_run
path, who, n, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Store.open(path) as store:
    for i in range(n):
        asked = Asked(kind="check", inputs={"i": i, "who": who}, version="1", code="c")
        keep_run(store, f"{who}-{i}", asked, ["x" * size], status=0, seconds=0.0)
        print(i, flush=True)
"""


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store.open(path) as store:
        keep_run(store, "a", asked(seed=2**64 - 1), {"metrics": {"x": 1.5}}, status=1, seconds=0.25)
    with Store.open(path) as store:
        kept = run(store, "a")
        assert kept.asked == asked(seed=2**64 - 1)
        assert (kept.result, kept.status, kept.seconds) == ({"metrics": {"x": 1.5}}, 1, 0.25)
        assert store.rows("PRAGMA journal_mode")[0][0] == "wal"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_name_stands_for_one_key(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        keep_run(store, "a", asked(), {"n": 1}, status=0, seconds=1.0)
        keep_run(store, "a", asked(), {"n": 1}, status=0, seconds=2.0)
        assert run(store, "a").seconds == 2.0
        with pytest.raises(InputError, match=r"--save: 'a' is kept already, of other inputs or code .* rm a"):
            keep_run(store, "a", asked(rate=5.0), {"n": 2}, status=0, seconds=1.0)
        with pytest.raises(InputError, match="is no name of a run"):
            keep_run(store, "-rf", asked(), {}, status=0, seconds=1.0)


def test_scenarios_go_with_the_last_run_of_them(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        for name in ("a", "b"):
            keep_run(store, name, asked(), {}, status=0, seconds=0.0)
        with pytest.raises(InputError, match=r"no run called 'c'"):
            remove_runs(store, ["a", "c"])
        assert len(runs(store)) == 2
        remove_runs(store, ["a"])
        assert store.rows("SELECT count(*) FROM scenarios")[0][0] == 1
        remove_runs(store, ["b"])
        assert store.rows("SELECT count(*) FROM scenarios")[0][0] == 0


def test_two_processes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "store"
    both = [process(WRITER, path, who, 40, 2_000) for who in ("ann", "ben")]
    assert [p.communicate(timeout=60)[1] for p in both] == ["", ""]
    with Store.open(path) as store:
        assert len(runs(store)) == 80


def test_a_kill_in_the_middle_of_writing_loses_nothing_committed(tmp_path: Path) -> None:
    path = tmp_path / "store"
    for round_, size in enumerate((500, 400_000, 400_000)):
        writer = process(WRITER, path, f"r{round_}", 10_000, size)
        assert writer.stdout is not None
        for _ in range(5):
            writer.stdout.readline()
        time.sleep(0.013 * round_)
        writer.send_signal(signal.SIGKILL)
        told = 5 + len(writer.communicate()[0].splitlines())
        with Store.open(path) as store:
            kept = {r.name for r in runs(store) if r.name.startswith(f"r{round_}-")}
            assert {f"r{round_}-{i}" for i in range(told)} <= kept
            assert len(kept) <= told + 1


def test_a_full_disk_is_one_line_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store.open(path) as store:
        keep_run(store, "before", asked(), {}, status=0, seconds=0.0)
    limited = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))\n"
    )
    wrapped = f"{limited}from rooflab.errors import InputError\ntry:\n" + "".join(
        f"    {line}\n" for line in WRITER.strip().splitlines()
    )
    writer = process(f"{wrapped}except InputError as e:\n    sys.exit(str(e))", path, "big", 100, 50_000)
    out, err = writer.communicate(timeout=60)
    assert writer.returncode == 1
    assert err.count("\n") == 1
    assert "nothing of this was kept" in err
    with Store.open(path) as store:
        assert {r.name for r in runs(store)} == {"before", *(f"big-{i}" for i in out.split())}


def newer(path: Path) -> None:
    Store.open(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 3}")
    db.close()


def of_another_program(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.close()


def damaged(path: Path) -> None:
    with Store.open(path) as store:
        for i in range(30):
            keep_run(store, f"r{i}", asked(), {"x": "y" * 3000}, status=0, seconds=0.0)
        store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[8192:60_000] = bytes(60_000 - 8192)
    path.write_bytes(content)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda p: p.write_text("name,day\n" * 100), "is no store: not a SQLite file"),
    "folder": (lambda p: p.mkdir(), "is a folder; a store is one file"),
    "pipe": (os.mkfifo, "is no plain file; a store is one file"),
    "another program's": (of_another_program, "is another program's SQLite file"),
    "newer": (newer, "was written by a newer Rooflab"),
    "damaged": (damaged, "is damaged"),
    "loop": (lambda p: p.symlink_to(p), "cannot be opened"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_store_is_one_line_and_stays_as_it_is(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, told = BAD[name]
    path = tmp_path / "store"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    for words in (["runs", "list"], ["runs", "rm", "x"]):
        assert rooflab([*words, "--store", str(path)]) == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1
        assert err.startswith(f"{path}: {told}"), err
    assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize(("path", "told"), [("no/such/store", "no folder"), ("", "is empty"), ("a\0b", "cannot be")])
def test_places_that_are_none(path: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=told):
        Store.open(path)


def test_a_read_only_folder_is_one_line() -> None:
    """Root may write anywhere, so that it becomes somebody else first."""
    code = (
        "import os, sys\nfrom rooflab.cli.main import run\nimport rooflab.cli.commands.runs, rooflab.store.opening\n"
        "import rooflab.store.differ, rooflab.store.runs\nos.geteuid() or os.setuid(65534)\n"
        "sys.exit(run(['runs', 'list', '--store', sys.argv[1]]))"
    )
    with tempfile.TemporaryDirectory() as folder:
        for mode, told in ((0o555, "cannot be written (Permission denied)"), (0o000, "cannot be opened (Permission")):
            Path(folder).chmod(mode)
            reader = process(code, Path(folder) / "store")
            _, err = reader.communicate(timeout=60)
            assert (reader.returncode, err.count("\n")) == (2, 1), err
            assert told in err
        Path(folder).chmod(0o755)
        with Store.open(Path(folder) / "store"):
            pass
        Path(folder).chmod(0o555)
        (Path(folder) / "store").chmod(0o444)
        reader = process(code, Path(folder) / "store")
        _, err = reader.communicate(timeout=60)
        Path(folder).chmod(0o755)
        assert (reader.returncode, err.count("\n")) == (2, 1), err


def test_where_the_store_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROOFLAB_STORE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with Store.open() as store:
        assert store.path == tmp_path / "data" / "rooflab" / "store.sqlite3"
    monkeypatch.setenv("ROOFLAB_STORE", str(tmp_path / "mine"))
    with Store.open() as store:
        assert store.path == tmp_path / "mine"


def test_a_migration_is_whole_or_not_at_all_after_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store"
    with Store.open(path) as store:
        keep_run(store, "before", asked(), {}, status=0, seconds=0.0)

    def notes(db: sqlite3.Connection) -> None:
        db.execute("CREATE TABLE notes (x TEXT) STRICT")

    def wrong(db: sqlite3.Connection) -> None:
        db.execute("DELETE FROM runs")
        raise sqlite3.OperationalError("by mistake")

    old = len(MIGRATIONS)
    monkeypatch.setattr(opening, "MIGRATIONS", (*MIGRATIONS, notes, wrong))
    with pytest.raises(sqlite3.OperationalError, match="by mistake"):
        Store.open(path)
    monkeypatch.setattr(opening, "MIGRATIONS", (*MIGRATIONS, notes))
    with Store.open(path) as store:
        assert [r.name for r in runs(store)] == ["before"]
        assert store.rows("PRAGMA user_version")[0][0] == old + 1
        assert store.rows("SELECT * FROM notes") == []
    monkeypatch.setattr(opening, "MIGRATIONS", MIGRATIONS)
    with Store.open(tmp_path / f"store.format-{old}") as copy:
        assert [r.name for r in runs(copy)] == ["before"]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_every_table_is_strict(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        tables = store.rows("SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND schema = 'main'")
        assert {t["name"] for t in tables if not t["strict"]} == {"sqlite_schema"}
        assert store.rows("PRAGMA foreign_keys")[0][0] == 1
    assert len({step.__name__ for step in migrations.MIGRATIONS}) == len(MIGRATIONS)


def test_digests_are_one_a_day_and_never_hold_a_paper_twice(tmp_path: Path) -> None:
    """What the tables hold to by themselves, so that no kill between sending and recording undoes it."""
    with Store.open(tmp_path / "store") as store, store.change() as db:
        db.execute("INSERT INTO scenarios VALUES (1, 'h', 'n', '{}', 't')")
        db.execute("INSERT INTO subscriptions (id, address, scenario_id, asked_at) VALUES (1, 'a@b', 1, 't')")
        db.execute(
            "INSERT INTO papers (id, identity, title, abstract, link, day, updated, seen_at) "
            "VALUES (1, 'i', 't', 'a', 'l', 'd', 'd', 't')"
        )
        digest = "INSERT INTO digests (id, subscription_id, day, message_id, content) VALUES (?, 1, ?, ?, '{}')"
        db.execute(digest, (1, "2026-01-01", "m1"))
        db.execute(digest, (2, "2026-01-02", "m2"))
        db.execute("INSERT INTO digest_papers VALUES (1, 1, 1)")
        for wrong in (
            "INSERT INTO digest_papers VALUES (1, 1, 2)",
            "INSERT INTO digests (subscription_id, day, message_id, content) VALUES (1, '2026-01-01', 'm3', '{}')",
            "UPDATE digests SET state = 'sent'",
            "UPDATE subscriptions SET state = 'confirmed'",
            "DELETE FROM scenarios",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                db.execute(wrong)
