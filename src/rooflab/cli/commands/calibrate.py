"""`rooflab calibrate`: fit the constants of the cost model to measured rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rooflab.cli.scenario_options import output_options

if TYPE_CHECKING:
    from rooflab.evidence.reports import Given
    from rooflab.evidence.tables import Row

__all__ = ["command"]

_FLAGS: Final = (
    ("model", "NAME", "model, where the report does not name it"),
    ("gpu", "NAME", "accelerator, for example h100-sxm"),
    ("num-gpus", "N", "accelerators in use"),
    ("tp", "N", "tensor parallel; the accelerators in use unless said"),
    ("pp", "N", "pipeline parallel"),
    ("ep", "N", "expert parallel"),
    ("engine", "NAME", "vLLM unless said; SGLang, TensorRT-LLM, llama.cpp, ..."),
    ("engine-version", "TEXT", "for example 0.10.1: generations of engines differ"),
    ("weights", "FORMAT", "weights, where they are not the checkpoint's"),
    ("kv", "FORMAT", "KV cache"),
)


def _report_options(function: Any) -> Any:
    for name, placeholder, text in reversed(_FLAGS):
        function = click.option(f"--{name}", f"g_{name.replace('-', '_')}", metavar=placeholder, default="", help=f"Reports: {text}.")(
            function
        )
    return function


@click.command("calibrate")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--out", default="calibration.json", show_default=True, metavar="FILE", help="Where the calibration is written.")
@click.option("--rows-out", metavar="FILE.csv", help="Also write the rows that were read from reports.")
@click.option("--date", metavar="DATE", default="", help="Date of the fit, kept with every constant; today unless said.")
@click.option("--calibration", "base", metavar="FILE", help="Start from this calibration instead of the shipped one.")
@_report_options
@output_options
def command(
    files: tuple[str, ...], out: str, rows_out: str | None, date: str, base: str | None, as_json: bool, quiet: bool, **given: str
) -> int:
    """Fit engine and device constants to FILE...: tables of measurements (CSV), or reports of load generators (JSON).

    Tables have the columns of `rooflab validate`. Reports are those of guidellm, aiperf, inference-perf and vllm bench serve;
    they do not say what they ran on, so give --gpu, --num-gpus and --tp with them. Exit status 1 when the rows tell no constant,
    and nothing is written.
    """
    from datetime import UTC, datetime

    from rooflab.cli.calibration_option import calibrated
    from rooflab.errors import InputError
    from rooflab.evidence.calibrate import calibrate, fit_rows
    from rooflab.evidence.calibration_file import record
    from rooflab.evidence.reports import Given

    said = Given(**{k.removeprefix("g_"): v for k, v in given.items() if v})
    rows = _rows(files, said)
    if rows_out:
        _write_rows(rows_out, rows)
    asked, reasons = fit_rows(rows)
    if not asked:
        first = next(iter(reasons.values()), "no rows")
        raise InputError(f"none of the {len(rows)} rows can be modelled: {first}", files[0])
    day = date or datetime.now(UTC).strftime("%Y-%m-%d")
    with calibrated(base):
        found = calibrate(asked, day)
    content = record(found, asked, day, Path(out).stem) | {"not_modelled": reasons}
    if found.changed:
        try:
            Path(out).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", out) from None
    if as_json:
        click.echo(json.dumps(content, allow_nan=False))
    else:
        from rooflab.report.calibrate_text import show_calibration
        from rooflab.report.console import console

        show_calibration(found, console())
        for row, reason in reasons.items():
            click.echo(f"{row}: not modelled: {reason}")
        if found.changed and not quiet:
            click.echo(f"wrote {out}; use it with: rooflab plan SCENARIO --calibration {out}")
    if not found.changed:
        click.echo("the rows tell no constant better than the shipped ones: nothing written", err=True)
    return 0 if found.changed else 1


def _rows(files: Sequence[str], given: Given) -> list[Row]:
    from rooflab.errors import InputError
    from rooflab.evidence.reports import is_report, read_report, rows_of
    from rooflab.evidence.tables import read_table

    rows: list[Row] = []
    for name in files:
        if is_report(Path(name)):
            rows += rows_of(read_report(Path(name)), given, name)
            continue
        table = read_table(name)
        if table.kind != "serving":
            raise InputError(f"{table.kind} rows tell no engine constants; calibrate takes serving rows", name)
        rows += table.rows
    return rows


def _write_rows(path: str, rows: Sequence[Row]) -> None:
    import csv

    from rooflab.errors import InputError

    try:
        with Path(path).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror})", path) from None
