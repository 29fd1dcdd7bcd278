"""`rooflab inputs`: the kinds of data that papers run on, an example of each, and a check of a reader's own file."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rooflab.inputs.kind import Kind

__all__ = ["command"]


@click.command("inputs")
@click.argument("kind", metavar="[KIND]", required=False)
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--example", is_flag=True, help="Print a small file of this kind to start from.")
@click.option("--format", "suffix", metavar="SUFFIX", help="The format of --example, such as .npz.")
@click.option("--to", metavar="FILE", help="Write the example here instead; its suffix says the format.")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of text.")
@click.option("-q", "--quiet", is_flag=True, help="Names only; nothing for a file that is in order.")
def command(
    *, kind: str | None, file: str | None, example: bool, suffix: str | None, to: str | None, as_json: bool, quiet: bool
) -> int:
    """List the kinds of input; say what one holds; check a FILE of one (or a sample, by name) and describe it.

    A KIND that is the path of a file is guessed from the file.
    """
    from rooflab.inputs.kinds import KINDS, find, guess
    from rooflab.inputs.records import kind_record, summary_record
    from rooflab.report.text import inputs as text

    if kind is None:
        records = [kind_record(k) for k in KINDS.values()]
        if as_json:
            click.echo(json.dumps(records, indent=1, ensure_ascii=False))
        elif quiet:
            click.echo("\n".join(KINDS))
        else:
            text.show_kinds(records)
        return 0
    if file is None and kind not in KINDS and _is_path(kind):
        file, found = kind, guess(kind)
    else:
        found = find(kind)
    if to is not None:
        found.write(found.example(), to)
        return 0
    if example:
        return _print_example(found, suffix)
    if file is not None:
        record = summary_record(found, file)
        if as_json:
            click.echo(json.dumps(record, indent=1, ensure_ascii=False))
        elif not quiet:
            text.show_summary(record)
    elif as_json:
        click.echo(json.dumps(kind_record(found), indent=1, ensure_ascii=False))
    elif quiet:
        click.echo("\n".join(sample.name for sample in found.samples))
    else:
        text.show_kind(kind_record(found))
    return 0


def _is_path(word: str) -> bool:
    from pathlib import Path

    return "/" in word or bool(Path(word).suffix)


def _print_example(kind: Kind[Any], suffix: str | None) -> int:
    from rooflab.errors import InputError

    form, held = kind.example_file(suffix)
    if form.text:
        click.echo(held.decode(), nl=False)
        return 0
    if sys.stdout.isatty():
        asked = f"rooflab inputs {kind.name} --example --format {form.suffix} > mine{form.suffix}"
        raise InputError(f"is not text; send it to a file: {asked}", form.suffix)
    sys.stdout.buffer.write(held)
    return 0
