"""A stage of making the shipped constants anew: what it reads, what it writes, and what it is given to work with."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from rooflab.errors import unknown
from rooflab.files import write_text

__all__ = ["PACKAGE", "Job", "Places", "Stage", "elapsed"]

PACKAGE: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where stages read and write.

    `tables` holds measured tables (serving/measurements.csv, energy/..., vision/...), `kernel_tables` measured kernels
    (a folder of parquet files a device), `work` what stages hand on to each other, `package` the code with its data.
    """

    tables: Path
    work: Path
    kernel_tables: Path | None = None
    package: Path = PACKAGE

    def table(self, kind: str) -> Path:
        """The measured rows of a kind."""
        return self.tables / kind / "measurements.csv"

    def fits(self, *names: str) -> list[Path]:
        """Files of constants, which the engine reads."""
        return [self.package / "costs" / "fits" / f"{name}.json" for name in names]

    def data(self, *names: str) -> list[Path]:
        """Files of evidence that ship."""
        return [self.package / "evidence" / "data" / name for name in names]

    @property
    def facts(self) -> Path:
        """The folder of the catalogue's facts."""
        return self.package / "catalogue" / "data"

    @property
    def root(self) -> Path:
        """The repository, with its documentation."""
        return self.package.parents[1]

    def shown(self, path: Path) -> str:
        """A path as a reader knows it: from the repository, from the tables, from the work folder."""
        for base, name in ((self.work, "WORK"), (self.tables, "TABLES"), (self.kernel_tables, "KERNELS")):
            if base is not None and path.is_relative_to(base):
                return str(name / path.relative_to(base))
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def elapsed(seconds: float) -> str:
    """Hours, minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a stage: places, the date that new constants bear, which pieces to do (all where none is named).

    `kept` is the folder of finished pieces of this stage on these inputs; `say` hears lines of progress.
    """

    places: Places
    date: str
    kept: Path
    only: tuple[str, ...] = ()
    say: Callable[[str], None] = print
    began: float = field(default_factory=time.monotonic)

    def tell(self, text: str) -> None:
        """A line of progress, with the time since the stage began."""
        self.say(f"{elapsed(time.monotonic() - self.began)}  {text}")

    def pieces(self, compute: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """What each piece of the stage's work gives (JSON values), in order; what an interrupted run had finished is
        taken from there.

        With `only` just these pieces. Raises InputError where there is no piece of that name.
        """
        for name in self.only:
            if name not in compute:
                raise unknown("piece", name, compute, "--only")
        wanted = [name for name in compute if not self.only or name in self.only]
        self.kept.mkdir(parents=True, exist_ok=True)
        found = {}
        for i, name in enumerate(wanted, 1):
            path = self.kept / f"{quote(name, safe='')}.json"
            before = path.is_file()
            if not before:
                write_text(path, json.dumps(compute[name]()))
            found[name] = json.loads(path.read_text(encoding="utf-8"))
            self.tell(f"{name} ({i} of {len(wanted)}){', from the run before' if before else ''}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A step of the way to the shipped constants, done by a process of its own.

    `reads` and `writes` name files (or folders) at given places, `may_read` such as need not be there; `code` the rooms
    whose code decides the outcome; `pieces` says what its work can be cut into.  `run` is called when all that it reads
    is there, and gives the text of the files that it writes; they are put in place when it has ended, and a stage that
    fails changes nothing.
    """

    name: str
    does: str
    takes: str
    reads: Callable[[Places], Iterable[Path]]
    writes: Callable[[Places], Sequence[Path]]
    run: Callable[[Job], Mapping[Path, str]]
    may_read: Callable[[Places], Iterable[Path]] = lambda _: ()
    code: tuple[str, ...] = ()
    pieces: str = ""

    def inputs(self, places: Places) -> list[Path]:
        """What it reads and does not write itself, of what need not be there only what is."""
        own = set(self.writes(places))
        read = [*self.reads(places), *(path for path in self.may_read(places) if path.exists())]
        return [path for path in read if path not in own]
