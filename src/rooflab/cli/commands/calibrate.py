"""`rooflab calibrate`: fit the constants of the cost model to measured rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rooflab.cli.scenario_options import output_options

if TYPE_CHECKING:
    from rooflab.evidence.calibrate.data import CalibrationData
    from rooflab.evidence.fit.serving import FitRow

__all__ = ["command"]

_FLAGS: Final = (
    ("model", "NAME", "model, where the report does not name it"),
    ("gpu", "NAME", "accelerator, for example h100-sxm"),
    ("num-gpus", "N", "accelerators in use"),
    ("tp", "N", "tensor parallel; the accelerators in use unless said"),
    ("pp", "N", "pipeline parallel"),
    ("ep", "N", "expert parallel"),
    ("engine", "NAME", "vLLM unless said; SGLang, TensorRT-LLM, llama.cpp"),
    ("engine-version", "TEXT", "for example 0.10.1: generations of engines differ"),
    ("weights", "FORMAT", "weights, where they are not the checkpoint's"),
    ("kv", "FORMAT", "KV cache"),
    ("load", "LOAD", "load, where the report does not say it: 64 (requests in flight), qps=4 or inf"),
)


def _report_options(function: Any) -> Any:
    for name, placeholder, text in reversed(_FLAGS):
        function = click.option(
            f"--{name}", f"g_{name.replace('-', '_')}", metavar=placeholder, default="", help=f"Reports: {text}."
        )(function)
    return function


@click.command("calibrate")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--out", default="calibration.json", show_default=True, metavar="FILE", help="Where the calibration is written."
)
@click.option("--rows-out", metavar="FILE.csv", help="Also write the rows that were read from reports.")
@click.option(
    "--date", metavar="DATE", default="", help="Date of the fit, kept with every constant; today unless said."
)
@click.option(
    "--calibration",
    "base",
    metavar="FILE",
    help="Start from this calibration instead of the shipped one, and keep what it has.",
)
@_report_options
@output_options
def command(
    *,
    files: tuple[str, ...],
    out: str,
    rows_out: str | None,
    date: str,
    base: str | None,
    as_json: bool,
    quiet: bool,
    **given: str,
) -> int:
    """Fit the cost model to FILE...: measurements of your own cluster, in any mix of three kinds.

    \b
    measurements (CSV)    columns of rooflab validate (serving or energy): times and throughputs tell engine
                          constants and device factors; watts or joules a token beside them tell power
    kernel timings (CSV)  columns kernel, dtype, device, ms and the shape: kernel curves, attention, collectives
    reports (JSON, CSV)   of guidellm, aiperf, inference-perf and vllm bench serve; they do not say what they
                          ran on, so give --gpu, --num-gpus and --tp with them

    Each constant that the rows cannot identify stays as shipped, with the reason. Exit status 1 when they tell none,
    and nothing is written.

    \b
    rooflab calibrate examples/cluster-rows.csv --out my-cluster.json
    rooflab plan examples/chat-70b.yaml --calibration my-cluster.json
    """
    from datetime import UTC, datetime

    from rooflab.cli.calibration_option import calibrated
    from rooflab.evidence.calibrate.calibrate import calibrate
    from rooflab.evidence.calibrate.file import record
    from rooflab.files import write_text

    data, asked, reasons = _read(files, given, rows_out)
    day = date or datetime.now(UTC).strftime("%Y-%m-%d")
    with calibrated(base):
        found = calibrate(asked, day, data.kernels)
        content = record(found, asked, date=day, name=Path(out).stem, sources=data.sources, not_modelled=reasons)
    if found.changed:
        write_text(out, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    if as_json:
        click.echo(json.dumps(content, allow_nan=False))
    else:
        from rooflab.report.text.calibrate import show_calibration
        from rooflab.report.text.console import console

        show_calibration(found, console(), not_modelled=reasons, quiet=quiet)
        if found.changed and not quiet:
            click.echo(
                f"wrote {out}\nNext    rooflab plan SCENARIO --calibration {out}     rooflab validate FILE.csv "
                f"--calibration {out}"
            )
    if not found.changed:
        click.echo("the rows tell no constant better than the shipped ones: nothing written", err=True)
    return 0 if found.changed else 1


def _read(
    files: tuple[str, ...], given: Mapping[str, str], rows_out: str | None
) -> tuple[CalibrationData, Sequence[FitRow], dict[str, str]]:
    """What is in the files, the rows that can be modelled, and the reason for each that cannot.

    Raises InputError when there is nothing to fit to.
    """
    from rooflab.errors import InputError
    from rooflab.evidence.calibrate.calibrate import fit_rows
    from rooflab.evidence.calibrate.data import read_data, write_rows
    from rooflab.evidence.calibrate.reports import Given

    data = read_data(files, Given(**{k.removeprefix("g_"): v for k, v in given.items() if v}))
    if rows_out:
        write_rows(rows_out, data.rows)
    asked, reasons = fit_rows(data.rows)
    reasons = {**data.left_out, **reasons}
    if not asked and not data.kernels:
        first = next(iter(reasons.values()), "no rows")
        raise InputError(f"none of the {len(data.rows) + len(data.left_out)} rows can be modelled: {first}", files[0])
    return data, asked, reasons
