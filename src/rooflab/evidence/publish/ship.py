"""Measurements whose licence allows it, restated as the compact tables that ship.

Rows that their table doubts, and rows with ship = 0, stay behind.  Of the notes only what tells the configuration is
kept.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Final

from rooflab.evidence.rows.shipped import DITTO, FACTORED, Source
from rooflab.evidence.rows.tables import COLUMNS, KINDS, Kind, Row, Table

__all__ = ["compact", "licence_of", "shipped_tables"]

_LICENCES: Final = (
    ("Argonne", "BSD-3-Clause"),
    ("AWS Neuron", "CC-BY-SA-4.0 (documentation); figures restated"),
    ("Splitwise", "MIT"),
    ("LLMServingSim", "MIT"),
    ("InferenceX", "Apache-2.0"),
    ("NVIDIA AIC", "Apache-2.0"),
    ("MLPerf", "Apache-2.0"),
    ("LMDeploy", "Apache-2.0"),
    ("QServe", "Apache-2.0"),
    ("TRT-LLM", "Apache-2.0"),
    ("Zeus", "Apache-2.0"),
    ("Perseus", "Apache-2.0"),
    ("timm", "Apache-2.0"),
)
"""Licences of the repositories that published the figures, by the beginning of the source's name."""

_TELLING: Final = re.compile(
    r"moe_tp=|attention_dp|DISAGG|decode tp=|image=|software=|parallelism=|UsedModel=|layer split|max_num_seqs=|source "
    r"flags|DEP=|"
    r"MaxQ|static batching|per-group|stage |partition=|microbatch=|optimizer|target|token_time|prompt_time|Real "
    r"Time|Batch$"
)
"""Parts of a note that tell how something was run, rather than where it was read."""


def licence_of(source: str) -> str:
    """The licence of a source, "" for one that has none in the list: its rows do not ship."""
    return next((licence for name, licence in _LICENCES if source.startswith(name)), "")


def _ships(row: Row, kind: Kind) -> bool:
    if row["notes"].startswith("SUSPECT") or not licence_of(row["source"]):
        return False
    return row["ship"] == "1" if kind in ("serving", "training") else True


def _addressed(row: Row, kind: Kind) -> Row:
    """The row with an address, which vision rows have as a file of their repository."""
    return (
        {**row, "source_url_or_path": f"huggingface/pytorch-image-models results/{row['file']}"}
        if kind == "vision"
        else row
    )


def _notes(text: str, kind: Kind) -> str:
    parts = [p.strip() for p in text.split(";")]
    if kind == "energy":
        return "; ".join(parts)  # series are told apart by their notes
    return "; ".join(p.split(" (")[0] for p in parts if _TELLING.search(p))


def _sources(rows: Sequence[Row], first: int) -> dict[str, Source]:
    """Sources by name, each with what the ids and addresses of its rows share."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["source"], []).append(row)
    out = {}
    for i, (name, mine) in enumerate(sorted(found.items()), start=first):
        prefix = re.sub(r"\d+$", "", mine[0]["id"])
        address = os.path.commonprefix([r["source_url_or_path"] for r in mine])  # noqa: RUF071 - letters, not folders
        out[name] = Source(f"s{i}", name, prefix, address, licence_of(name))
    return out


def compact(rows: Sequence[Row], known: Mapping[str, Source], kind: Kind) -> list[dict[str, str]]:
    """Rows as lines, one a configuration, in the order in which configurations first appear."""
    kept = [c for c in COLUMNS[kind] if c not in FACTORED and c != "notes"]
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        source = known[row["source"]]
        line = {
            "source": source.key,
            "path": row["source_url_or_path"][len(source.address) :],
            **{c: row[c] for c in kept},
        }
        if kind != "vision":
            line["notes"] = _notes(row["notes"], kind)
        metric = (
            "samples_per_sec"
            if kind == "vision"
            else f"{row['metric']}/gpu"
            if row.get("per_gpu") == "1"
            else row["metric"]
        )
        figure = f"{metric}={row['value']}#{row['id'].removeprefix(source.prefix)}"
        there = lines.setdefault(tuple(line.values()), line | {"figures": ""})
        there["figures"] = f"{there['figures']} {figure}".strip()
    return list(lines.values())


def shipped_tables(tables: Mapping[Kind, Table]) -> dict[str, str]:
    """The text of each file that ships (``serving_rows.csv``, ..., ``sources.csv``), from measured tables by kind."""
    everywhere: list[Source] = []
    texts = {}
    for kind in KINDS:
        if kind not in tables:
            continue
        rows = [_addressed(r, kind) for r in tables[kind].rows if _ships(r, kind)]
        known = _sources(rows, len(everywhere) + 1)
        everywhere += known.values()
        lines = compact(rows, known, kind)
        texts[f"{kind}_rows.csv"] = _csv([*lines[0]], _dittoed(lines))
    columns = [*Source.__dataclass_fields__]
    texts["sources.csv"] = _csv(columns, [[s.key, s.name, s.prefix, s.address, s.licence] for s in everywhere])
    return texts


def _dittoed(lines: Sequence[Mapping[str, str]]) -> Iterator[list[str]]:
    """Cells of each line, those that repeat the line above as the ditto mark."""
    above: Mapping[str, str] = {}
    for line in lines:
        yield [DITTO if cell and above.get(column) == cell else cell for column, cell in line.items()]
        above = line


def _csv(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    return file.getvalue()
