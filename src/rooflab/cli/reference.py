"""The reference pages under docs/reference, written from the code: ``python -m rooflab.cli.reference [--check]
[FOLDER]``."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import click

from rooflab.cli.main import cli
from rooflab.cli.scenario_flags import FLAGS
from rooflab.files import write_text
from rooflab.report.listings import LISTINGS

__all__ = ["main", "pages", "stale", "write"]

_NOTE: Final = "<!-- Written by `python -m rooflab.cli.reference`; changes here are lost. -->\n\n"
_FLAG_PARAMETERS: Final = frozenset({flag.parameter for flag in FLAGS} | {"s_slo", "s_technique"})


def pages() -> dict[str, str]:
    """Every page by file name."""
    return {
        "commands.md": _NOTE + _commands(),
        "scenario.md": _NOTE + _scenario(),
        "metrics.md": _NOTE + _metrics(),
        "catalogue.md": _NOTE + _catalogue(),
        "inputs.md": _NOTE + _inputs(),
    }


def write(folder: str | Path) -> list[Path]:
    """Write the pages into `folder`; their paths."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in pages().items():
        paths.append(Path(folder) / name)
        write_text(paths[-1], text)
    return paths


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _commands() -> str:
    out = [
        "# Commands\n",
        "Exit status: 0 done, 1 the answer is no (does not fit, a service level missed, a check failed), 2 bad input, "
        "130 interrupted.\n",
        "A SCENARIO is a YAML or JSON file, or the [fields as flags](scenario.md), which win over the file.\n",
    ]
    context = click.Context(cli, info_name="rooflab")
    out += _walk(cli, context, "rooflab")
    return "\n".join(out)


def _walk(group: click.Group, context: click.Context, path: str) -> Iterator[str]:
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        inner = click.Context(found, info_name=name, parent=context)
        yield from _command(found, inner, f"{path} {name}")
        if isinstance(found, click.Group):
            yield from _walk(found, inner, f"{path} {name}")


def _command(command: click.Command, context: click.Context, path: str) -> Iterator[str]:
    parameters = command.get_params(context)
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece)
    yield f"## `{path}`\n"
    yield f"```text\n{path} {usage}\n```\n"
    yield _paragraphs(command.help or "") + "\n"
    rows = []
    shared = False
    for parameter in parameters:
        if parameter.name in _FLAG_PARAMETERS:
            shared = True
            continue
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and "--help" not in record[0]:
            rows.append((f"`{record[0]}`", record[1]))
    if rows:
        yield _table(("option", "what"), rows)
    if shared:
        yield "Takes every [flag of a scenario](scenario.md).\n"


_AS_IT_IS: Final = "\b"
"""What click marks a paragraph with that it must not wrap."""


def _paragraphs(text: str) -> str:
    """Help as Markdown: paragraphs on a line each; one that click leaves as it is, as a block."""
    out = []
    for part in text.split("\n\n"):
        out.append(
            f"```text\n{dedent(part.replace(_AS_IT_IS, '')).strip()}\n```"
            if _AS_IT_IS in part
            else " ".join(part.split())
        )
    return "\n\n".join(out)


def _scenario() -> str:
    from rooflab.catalogue.custom import FIELDS
    from rooflab.scenario.deployment import DEPLOYMENT_READERS, Deployment
    from rooflab.scenario.slo import SLO_KEYS
    from rooflab.scenario.workload import WORKLOAD_READERS, Workload

    out = [
        "# Scenario fields\n",
        "A scenario file holds `model`, `hardware`, `workload`, `deployment`, `techniques`, `slo` and `name`. Every "
        "field below is also",
        "a flag of `plan`, `estimate` and `simulate`; a flag wins over the file. Quantities carry units (`4/s`, `50 "
        "ms`, `700 W`); bare",
        "numbers are SI.\n",
        "## model\n",
        "A catalogue name, the path of a Hugging Face `config.json` (or of its folder), or its fields inline; `{like: "
        "NAME, ...}` changes",
        "fields of a catalogue model; `{exact: {...}}` gives the shapes themselves, as `rooflab.write` writes a model "
        "that was changed. Flag: `--model`.\n",
        "## hardware\n",
        "`[N x] NAME` of a device or host (`--hardware`), or a mapping of `device` and these:\n",
        _table(
            ("field", "flag", "what"),
            [_row("hardware", f.field.split(".")[1]) for f in FLAGS if f.field.startswith("hardware.")],
        ),
        "`device` may be spelled out with "
        + ", ".join(f"`{name}`" for name in FIELDS)
        + "; `tiers` lists memories behind the",
        "device's own (`dram`, `nvme`, or `{name, size, bandwidth}`). `{exact: {...}}` gives all figures themselves, "
        "as `rooflab.write` does.\n",
        "## workload\n",
        _fields(
            "workload", WORKLOAD_READERS, {f.name: f.default for f in fields(Workload) if f.default is not MISSING}
        ),
        "## deployment\n",
        _fields("deployment", DEPLOYMENT_READERS, Deployment().flat()),
        "## slo\n",
        "Upper limits on latency, `--slo KEY=TIME`; a bare `ttft`, `tpot` or `e2e` means its 99th percentile:",
        ", ".join(f"`{key}`" for key in SLO_KEYS) + ".\n",
        "## techniques\n",
        "A list of names, or of `{name: {parameter: value}}`; `rooflab papers list` names them. Flag: `--technique`.\n",
    ]
    return "\n".join(out)


def _row(noun: str, name: str) -> tuple[str, str, str]:
    flag = next((f for f in FLAGS if f.field == f"{noun}.{name}"), None)
    if flag is None:
        return f"`{name}`", "", ""
    shown = f"`--{flag.name}`" + (f" / `--no-{flag.name}`" if flag.switch else f" {flag.placeholder}")
    return f"`{name}`", shown, flag.help


def _fields(name: str, readers: Iterable[str], defaults: Mapping[str, Any]) -> str:
    rows = []
    for field in readers:
        shown, flag, what = _row(name, field)
        rows.append((shown, flag, _default(defaults.get(field)), what))
    return _table(("field", "flag", "default", "what"), rows)


def _default(value: Any) -> str:
    """A default as a scenario file would write it; nothing for none and for nouns of their own."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, str)):
        return str(value)
    mean = getattr(value, "mean", None)
    return f"{mean:g}" if isinstance(mean, float) else ""


def _metrics() -> str:
    from rooflab.metrics.registry import METRICS

    out = ["# Metrics\n", "All in SI units. `rooflab catalogue metrics` prints the same list.\n"]
    for kind in dict.fromkeys(m.kind for m in METRICS.values()):
        rows = [
            (
                f"`{m.name}`",
                m.unit,
                m.better,
                ", ".join(m.of),
                m.formula + (f" (needs {', '.join(m.needs)})" if m.needs else ""),
            )
            for m in METRICS.values()
            if m.kind == kind
        ]
        out += [f"## {kind.capitalize()}\n", _table(("metric", "unit", "better", "from", "formula"), rows)]
    return "\n".join(out)


def _catalogue() -> str:
    out = [
        "# Catalogue\n",
        "What ships, with a source for every figure: `rooflab catalogue KIND [WORD]... [--sources] [--json]`.\n",
    ]
    rows = [(f"`{kind}`", str(len(listing.rows())), listing.summary) for kind, listing in LISTINGS.items()]
    out.append(_table(("kind", "entries", "what"), rows))
    devices = LISTINGS["hardware"].rows()
    for title, key in (("Devices by vendor", "vendor"), ("Devices by family", "family")):
        counts = Counter(row[key] for row in devices)
        out += [f"## {title}\n", _table((key, "devices"), [(name, str(n)) for name, n in sorted(counts.items())])]
    return "\n".join(out)


def _inputs() -> str:
    from rooflab.inputs.kinds import KINDS
    from rooflab.inputs.records import kind_record

    out = [
        "# Kinds of input\n",
        "What papers run on: `rooflab inputs [KIND] [FILE]`. N, D and other capitals are lengths of axes. "
        "[How to bring your own data](../how-to/bring-your-own-data.md) starts from an example.\n",
    ]
    for record in map(kind_record, KINDS.values()):
        ways = [(f"`{way['name']}`", way["what"]) for way in record["disturbances"]]
        made = ", ".join(f"[{way['kind']}](#{way['kind']}) ({way['what']})" for way in record["becomes"])
        samples = [
            (f"`{s['name']}`", s["what"], f"[{s['source']}]({s['url'].split()[0]})" if s["url"] else s["source"],
             s["licence"])
            for s in record["samples"]
        ]  # fmt: skip
        out += [
            f"## {record['kind']}\n",
            record["does"] + "\n",
            _table(("field", "what"), [(f"`{name}`", what) for name, what in record["fields"].items()]),
            _table(
                ("read from", "what"),
                [("a folder" if f["suffix"] == "/" else f"`{f['suffix']}`", f["what"]) for f in record["formats"]],
            ),
            _table(("sample", "what", "source", "licence"), samples),
            f"Disturbances of `{record['samples'][0]['name']}`"
            + (f" (the first 12 of {len(ways)})" * (len(ways) > 12))
            + ":\n",
            _table(("disturbance", "what"), ways[:12]),
            *([f"Becomes: {made}.\n"] if made else []),
        ]
    return "\n".join(out)


def stale(folder: str | Path) -> list[str]:
    """Names of pages in `folder` that differ from what the code says."""
    return [
        name
        for name, text in pages().items()
        if not (path := Path(folder) / name).is_file() or path.read_text("utf-8") != text
    ]


def main(arguments: Sequence[str]) -> int:
    """``[--check] [FOLDER]``: write the pages, or say which are stale (exit status 1)."""
    check = "--check" in arguments
    folder = next((a for a in arguments if not a.startswith("-")), "docs/reference")
    if not check:
        for path in write(folder):
            print(path)
        return 0
    names = stale(folder)
    if names:
        print(
            f"{folder}: {', '.join(names)} differ from the code; run python -m rooflab.cli.reference", file=sys.stderr
        )
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
