"""The shipped constants made anew, a stage or all of them.

    python -m rooflab.evidence.refit --list
    python -m rooflab.evidence.refit STAGE --tables FOLDER --work FOLDER --date DATE [--only PIECE ...]
    python -m rooflab.evidence.refit all --tables FOLDER --work FOLDER --date DATE [--kernel-tables FOLDER]

After a change of constants, of the engine or of the measured rows: `all`, which runs every stage that rests on
something that has changed since it was last run with this work folder, each in a process of its own.  Interrupted, it
goes on where it stopped.  A single stage is run whatever was run before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

from rooflab.errors import InputError, RooflabError, unknown
from rooflab.evidence.refit.runner import run, run_all
from rooflab.evidence.refit.stage import Places, Stage
from rooflab.evidence.refit.stages import STAGES

__all__ = ["main"]

_NAMED = Places(tables=Path("TABLES"), work=Path("WORK"), kernel_tables=Path("KERNELS"))
"""Places as the listing names them."""
_FEW = 4
"""Files of one folder that the listing names one by one."""


def _named(paths: Iterable[Path]) -> str:
    folders: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = _NAMED.shown(path).rpartition("/")
        folders.setdefault(folder, []).append(name)
    out = []
    for folder, names in folders.items():
        if len(names) > _FEW:
            out.append(f"{folder}/ ({len(names)} files)")
        else:
            out += [f"{folder}/{name}".lstrip("/") for name in names]
    return ", ".join(out)


def listing() -> str:
    """What each stage reads and writes."""
    lines = []
    for stage in STAGES:
        lines += [
            f"{stage.name}: {stage.does}; {stage.takes}",
            f"  reads     {_named(stage.inputs(_NAMED))}",
            *([f"  if there  {found}"] if (found := _named(stage.may_read(_NAMED))) else []),
            f"  writes    {_named(stage.writes(_NAMED))}",
            f"  code      {', '.join(stage.code)}",
            *([f"  pieces    {stage.pieces}"] if stage.pieces else []),
        ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    prog, about = "python -m rooflab.evidence.refit", "make the shipped constants anew"
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("stage", nargs="?", help=f"all, or one of {', '.join(s.name for s in STAGES)}")
    parser.add_argument("--list", action="store_true", help="say what each stage reads and writes")
    parser.add_argument("--tables", type=Path, help="folder of measured tables (serving/measurements.csv, ...)")
    parser.add_argument("--work", type=Path, help="folder for what stages hand on, and for what is done")
    parser.add_argument("--date", help="date that new constants bear; give the same one to go on")
    parser.add_argument("--kernel-tables", type=Path, help="folder with a folder of parquet files a device")
    parser.add_argument("--only", nargs="+", default=[], metavar="PIECE", help="just these pieces of a stage")
    return parser


def _each(places: Places, day: str, stage: Stage) -> None:
    """Run a stage in a process of its own, which reads the constants as they are now."""
    command = [sys.executable, "-m", str(__package__), stage.name, "--date", day]
    command += ["--tables", str(places.tables), "--work", str(places.work)]
    if places.kernel_tables:
        command += ["--kernel-tables", str(places.kernel_tables)]
    if subprocess.run(command, check=False).returncode:
        raise InputError("did not end; `all` with the same options goes on from here", stage.name)


def _run(options: argparse.Namespace) -> None:
    names = ["all", *(stage.name for stage in STAGES)]
    if options.stage and options.stage not in names:
        raise unknown("stage", options.stage, names, "stage")
    for name in ("stage", "tables", "work", "date"):
        if not getattr(options, name):
            raise InputError("missing", name if name == "stage" else f"--{name}")
    places = Places(
        tables=options.tables.resolve(),
        work=options.work.resolve(),
        kernel_tables=options.kernel_tables and options.kernel_tables.resolve(),
    )
    if options.stage == "all" and options.only:
        raise InputError("goes with a single stage", "--only")
    _check_date(options.date)
    try:
        places.work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be made ({error.strerror})", str(places.work)) from None
    wanted = {stage.name: stage for stage in STAGES if places.kernel_tables or stage.name != "kernels"}
    if options.stage == "all":
        if "kernels" not in wanted:
            print("kernels stay as they are: no --kernel-tables")
        run_all([*wanted.values()], places, options.date, each=partial(_each, places, options.date), say=_say)
    elif options.stage in wanted:
        run(wanted[options.stage], places, options.date, only=options.only, say=_say)
    else:
        raise InputError("missing: the folder of kernel tables", "--kernel-tables")


def _check_date(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is not a date such as 2026-01-31", "--date") from None


def _say(text: str) -> None:
    print(text, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line of the room; the exit status."""
    options = _parser().parse_args(arguments)
    if options.list:
        print(listing())
        return 0
    try:
        _run(options)
    except RooflabError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
