"""A page a paper under ``docs/papers/``: what it does, what is executed, modelled and assumed, its claims recomputed,
its plot.

    python -m rooflab.evidence.claims.pages [KEY…] [--to docs/papers]

Pages hold figures to four digits, so that the same code gives the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from rooflab.evidence.claims.check import check
from rooflab.evidence.claims.row import Row, counts, findings
from rooflab.evidence.claims.words import expected, figure, shown, tally
from rooflab.files import write_text
from rooflab.papers.claim import ROLES
from rooflab.papers.engines import engines
from rooflab.papers.execute import kind_read
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.paper import Paper
from rooflab.papers.registry import keys, paper

__all__ = ["index", "main", "page", "write"]


def page(p: Paper, rows: Sequence[Row]) -> str:
    """The page of `p` as Markdown, given its recomputed claims."""
    lines = [
        f"# {p.name or p.key}",
        "",
        f"*{p.title}*",
        "",
        f"[{p.url}]({p.url}) · {p.date} · {p.kind} · saves {', '.join(p.saves)}",
        "",
    ]
    lines += [
        p.does,
        "",
        f"- **Executed**: {p.executed}",
        f"- **Modelled**: {p.modelled}",
        f"- **Assumed**: {p.assumed}",
        "",
    ]
    if p.techniques:
        lines += ["## Techniques", ""]
        for t in p.techniques.values():
            lines.append(f"- `{t.key}({_parameters(t)})`: {_first(t.__doc__)} {_first(t.apply.__doc__)}")
        lines += ["", "```", *_usage(p), "```", ""]
    if p.methods:
        lines += ["## Methods", ""]
        for m in p.methods.values():
            lines.append(f"- `{m.key}({_parameters(m)})` on {_kind(m)}: {_first(m.__doc__)}")
        lines += ["", "```", *(f"rooflab papers run {p.key} INPUT --method {m}" for m in p.methods), "```", ""]
    if p.points:
        lines += ["## Published quality", "", "| model | task | change | source |", "|---|---|--:|---|"]
        lines += [f"| {q.model} | {q.task} | {q.delta:+.3g} {q.unit} | {q.source} |" for q in p.points]
        lines += ["", "Elsewhere the cost is unknown, or interpolated between models of the same family.", ""]
    lines += [*_claims(rows), "", *_assumptions(rows), *_readers(p), *_numbers(p, rows)]
    text = escape("\n".join(lines), quote=False)  # Markdown takes tags as tags: there are none but the plot's
    return text if p.plot is None else f"{text}\n{p.plot(Lab(engines())).svg()}\n"


def _first(text: str | None) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((text or "").strip().split("\n\n", maxsplit=1)[0].split())


def _usage(p: Paper) -> list[str]:
    key = next(iter(p.techniques))
    return [f"rooflab papers run {p.key} SCENARIO", f"rooflab estimate SCENARIO --technique {key}"]


def _parameters(cls: type[Any]) -> str:
    return ", ".join(f"{n}={getattr(cls, n)}" if hasattr(cls, n) else n for n in cls.__annotations__)


def _kind(method: type[Method[Any]]) -> str:
    kind = kind_read(method)
    return "a scenario" if kind is None else kind.name


def _claims(rows: Sequence[Row]) -> list[str]:
    lines = [
        "## Claims", "", tally(rows), "",
        "| claim | published | first | now | error | | evidence | moves with | source |",
        "|---|--:|--:|--:|--:|---|---|---|---|",
    ]  # fmt: skip
    notes = []
    for r in rows:
        mark = ""
        if r.reason:
            notes.append(r.reason)
            mark = f" [{len(notes)}]"
        error = "" if r.error is None else f"{r.error:+.1%}"
        moved = ", ".join(m.removeprefix("data: ") for m in r.moved_by[:1])
        revised = f", revised {r.revised} x" if r.revised else ""
        said = f"**{r.status}**" if r.status == "failing" else r.status
        lines.append(
            f"| {r.text} ({r.role}) | {expected(r.expected, r.unit)} | {shown(r.first, r.unit)} | "
            f"{shown(r.got, r.unit)}{_over_seeds(r)} | "
            f"{error} | {said}{revised}{mark} | {r.kind} | {moved} | {r.source} |"
        )
    if notes:
        lines += ["", *(f"{i}. {note}" for i, note in enumerate(notes, 1))]
    return lines


def _over_seeds(r: Row) -> str:
    """The spread of a single figure."""
    if not isinstance(r.spread, list) or not r.spread or isinstance(r.spread[0], list):
        return ""
    low, high = r.spread
    return f" ({figure(low, '', 4)} – {figure(high, '', 4)} over seeds)"


def _assumptions(rows: Sequence[Row]) -> list[str]:
    """What nobody published, with its ends, and the claims that an end turns."""
    every = {a["name"]: a for r in rows for a in r.assumptions}
    if not every:
        return []
    lines = ["## Assumptions", "", "| what | taken | from | to | why | turns |", "|---|--:|--:|--:|---|---|"]
    for name, a in every.items():
        turned = ", ".join(r.claim for r in rows if name in r.flips)
        ends = " | ".join(f"{a[end]:.4g}" for end in ("value", "low", "high"))
        lines.append(f"| {name} | {ends} | {a['source']} | {turned} |")
    return [*lines, ""]


def _readers(p: Paper) -> list[str]:
    """What a reader runs to get a claim's figure."""
    found = [(c, c.reading) for c in p.claims if c.reading is not None]
    if not found:
        return []
    lines = ["## The same for a reader", "", "| claim | figure | of |", "|---|---|---|"]
    for c, reading in found:
        method = f" --method {reading.method}" if reading.method else ""
        settings = "".join(f" --set {name}={value}" for name, value in reading.settings.items())
        sample = f" {reading.sample}" if reading.sample else ""
        setup = f", set-up “{reading.setup}”" if reading.setup else ""
        setup += f", on the scenario `{json.dumps(reading.scenario)}`" if reading.scenario else ""
        taken = "" if reading.of == "value" else f" ({reading.of})"
        figures = ", ".join(reading.figures.values())
        lines.append(f"| {c.id} | {figures}{taken} | `rooflab papers run {p.key}{sample}{method}{settings}`{setup} |")
    return [*lines, ""]


def _numbers(p: Paper, rows: Sequence[Row]) -> list[str]:
    """Constants with their sources, and how many numbers of the code have none."""
    bare = max((r.unsourced for r in rows), default=0)
    lines = ["## Numbers", ""] if p.constants or bare else []
    if p.constants:
        lines += ["| constant | value | source |", "|---|--:|---|"]
        for c in p.constants.values():
            lines.append(f"| {c.name} | {'' if c.value is None else f'{c.value:,.10g}'} | {c.source} |")
        lines.append("")
    if bare:
        lines += [f"{bare} numbers of the code are no structure and have no source yet.", ""]
    return lines


_WORKS = (
    "A paper **works** when it runs on a reader's own input, a published figure of it is reproduced within "
    "tolerance by mechanism and audited, and its page says what is executed, modelled and assumed. A figure is "
    "*reproduced* when its first computed value held, or when a source independent of the claim backs what was "
    "revised; it *depends* when an end of an assumption, another seed, or a revision that nothing backs turns the "
    "verdict; *calibrated* when its authors' own figures are in a fit that priced it; *input* when it restates "
    "what was put in; an *analogue* is the paper's algorithm on other data. A finding is a table or a figure of "
    "the paper, reproduced when all its computed figures are."
)


def index(papers: Sequence[Paper], rows: dict[str, Sequence[Row]]) -> str:
    """The overview of all runnable papers as Markdown: figures and findings by paper, by role, first against
    present."""
    lines = ["# Papers that can be run", "", _WORKS, ""]
    lines += ["| paper | does | figures | findings | headline | detail | set-up |", "|---|---|--:|--:|--:|--:|--:|"]
    for p in papers:
        own = rows[p.key]
        lines.append(f"| [{p.name or p.key}]({p.key}.md) | {p.does} | {' | '.join(_tallies(own))} |")
    every = [r for group in rows.values() for r in group]
    lines += [f"| all |  | {' | '.join(_tallies(every))} |", "", tally(every), "", *_first_and_present(every), ""]
    return "\n".join(lines)


def _tallies(rows: Sequence[Row]) -> list[str]:
    n, whole = counts(rows), findings(rows)
    by_role = [[r for r in rows if r.role == role] for role in ROLES]
    return [
        f"{n['reproduced']} of {n['claims']}", f"{whole['reproduced']} of {whole['findings']}",
        *(f"{counts(own)['reproduced']} of {len(own)}" for own in by_role),
    ]  # fmt: skip


def _first_and_present(rows: Sequence[Row]) -> list[str]:
    """Figures whose value has changed since it was first computed."""
    lines = ["## First value against present", "", "| paper | claim | published | first | now | revised | |"]
    lines.append("|---|---|--:|--:|--:|--:|---|")
    for r in rows:
        if r.revised:
            lines.append(
                f"| {r.paper} | {r.text} | {expected(r.expected, r.unit)} | {shown(r.first, r.unit)} | "
                f"{shown(r.got, r.unit)} | {r.revised} x | {r.status} |"
            )
    return lines


def write(names: Sequence[str], folder: str | Path) -> list[Path]:
    """Write the pages of `names` (all, and the overview) under `folder`; the paths written."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [paper(name) for name in names or keys()]
    checked = check([p.key for p in wanted], engines=engines())
    rows: dict[str, Sequence[Row]] = {p.key: [r for r in checked if r.paper == p.key] for p in wanted}
    written = []
    for p in wanted:
        path = folder / f"{p.key}.md"
        write_text(path, page(p, rows[p.key]))
        written.append(path)
    if not names:
        write_text(folder / "index.md", index(wanted, rows))
        written.append(folder / "index.md")
    return written


def main(arguments: Sequence[str]) -> None:
    """Write pages as the command line asks."""
    names = list(arguments)
    folder = "docs/papers"
    if "--to" in names:
        at = names.index("--to")
        folder = names[at + 1]
        del names[at : at + 2]
    for path in write(names, folder):
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
