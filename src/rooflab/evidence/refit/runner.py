"""Stages run one after the other, and again only where something that they rest on has changed.

A finished stage leaves a record under ``WORK/done``: a hash of its inputs (files, the code of its rooms, the date) and
of each file that it wrote.  While both still hold, it is not run again.  What an unfinished stage had done of its
pieces lies under ``WORK/pieces`` until the stage ends or its inputs change.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rooflab.errors import InputError
from rooflab.evidence.refit.stage import Job, Places, Stage, elapsed
from rooflab.files import write_text

__all__ = ["finished", "run", "run_all"]

_CODE = (".py", ".yaml")
"""What counts as code: modules, and what papers state beside them."""


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files themselves, and all files in folders."""
    for path in paths:
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else (path,)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inputs(stage: Stage, places: Places, date: str) -> str:
    """A hash of all that decides what the stage writes. Raises InputError for a file that is not there."""
    found = hashlib.sha256(f"{stage.name} {date}".encode())
    code = (p for room in stage.code for p in (places.package / room).rglob("*") if p.suffix in _CODE)
    for path in [*_files(stage.inputs(places)), *sorted(code)]:
        if not path.is_file():
            raise InputError(f"{stage.name} reads it, and it is not there (--list says what writes it)", str(path))
        found.update(f"{places.shown(path)} {_hash(path)}".encode())
    return found.hexdigest()


def _record(stage: Stage, places: Places) -> Path:
    return places.work / "done" / f"{stage.name}.json"


def finished(stage: Stage, places: Places, date: str) -> bool:
    """Whether the stage has been run on these inputs and what it wrote is still there, unchanged."""
    path = _record(stage, places)
    if not path.is_file():
        return False
    done: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    same = all(Path(name).is_file() and _hash(Path(name)) == found for name, found in done["wrote"].items())
    return bool(same and done["inputs"] == _inputs(stage, places, date))


def run(
    stage: Stage, places: Places, date: str, *, only: Sequence[str] = (), say: Callable[[str], None] = print
) -> None:
    """Run one stage, whatever was run before, and put what it gives in place: all files, or after an error none.

    With `only` some of its pieces are done; then it does not count as finished. Raises InputError for missing inputs,
    or pieces of a stage that has none.
    """
    if only and not stage.pieces:
        raise InputError(f"{stage.name} is not cut into pieces", "--only")
    inputs = _inputs(stage, places, date)
    pieces = places.work / "pieces" / stage.name
    kept = pieces / inputs[:16]
    for old in pieces.iterdir() if pieces.is_dir() else ():
        if old != kept:
            shutil.rmtree(old)
    job = Job(places=places, date=date, only=tuple(only), say=say, kept=kept)
    texts = stage.run(job)
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    job.tell(f"{stage.name}: {', '.join(places.shown(p) for p in texts) or 'nothing'} written")
    if not only:
        wrote = {str(p): _hash(p) for p in texts}
        path = _record(stage, places)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps({"inputs": inputs, "wrote": wrote}, indent=1) + "\n")
        shutil.rmtree(pieces, ignore_errors=True)


def run_all(
    stages: Sequence[Stage],
    places: Places,
    date: str,
    *,
    each: Callable[[Stage], None],
    say: Callable[[str], None] = print,
) -> list[str]:
    """Run the stages in order by `each`, but those that are finished; the names of those that were run."""
    began, ran = time.monotonic(), []
    for i, stage in enumerate(stages, 1):
        since = elapsed(time.monotonic() - began)
        if finished(stage, places, date):
            say(f"{since}  {i} of {len(stages)}: {stage.name} is finished")
            continue
        say(f"{since}  {i} of {len(stages)}: {stage.name}, {stage.takes}")
        each(stage)
        ran.append(stage.name)
    say(f"{elapsed(time.monotonic() - began)}  done: {', '.join(ran) or 'nothing was left to do'}")
    return ran
