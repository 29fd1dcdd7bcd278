"""A page a paper under ``docs/papers/``: what it does, what is executed, modelled and assumed, its claims recomputed,
its plot.

    python -m rooflab.evidence.claims.pages [KEY…] [--to docs/papers]

Pages hold figures to four digits, so that the same code gives the same bytes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

from rooflab.evidence.claims.check import check
from rooflab.evidence.claims.row import Row, counts
from rooflab.files import write_text
from rooflab.papers.engines import engines
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.registry import keys, paper
from rooflab.units import format_quantity, significant

__all__ = ["index", "main", "page", "write"]

_SAYS = {"reproduced": "reproduced", "failing": "**failing**", "calibrated": "fitted", "not-modelled": "not modelled"}


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
            parameters = ", ".join(
                f"{name}={getattr(t, name)}" if hasattr(t, name) else name for name in t.__annotations__
            )
            lines.append(f"- `{t.key}({parameters})`: {_first(t.__doc__)} {_first(t.apply.__doc__)}")
        lines += ["", "```", *_usage(p), "```", ""]
    elif p.analyse is not None:
        lines += [
            "## Method",
            "",
            f"{_first(p.analyse.__doc__)}",
            "",
            "```",
            f"rooflab papers run {p.key} SCENARIO",
            "```",
            "",
        ]
    if p.points:
        lines += ["## Published quality", "", "| model | task | change | source |", "|---|---|--:|---|"]
        lines += [f"| {q.model} | {q.task} | {q.delta:+.3g} {q.unit} | {q.source} |" for q in p.points]
        lines += ["", "Elsewhere the cost is unknown, or interpolated between models of the same family.", ""]
    lines += [*_claims(rows), ""]
    text = escape("\n".join(lines), quote=False)  # Markdown takes tags as tags: there are none but the plot's
    return text if p.plot is None else f"{text}\n{p.plot(Lab(engines())).svg()}\n"


def _first(text: str | None) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((text or "").strip().split("\n\n", maxsplit=1)[0].split())


def _usage(p: Paper) -> list[str]:
    key = next(iter(p.techniques))
    return [f"rooflab papers run {p.key} SCENARIO", f"rooflab estimate SCENARIO --technique {key}"]


def _claims(rows: Sequence[Row]) -> list[str]:
    n = counts(rows)
    lines = [
        "## Claims",
        "",
        f"{n['reproduced']} of {n['claims']} published figures reproduced, {n['audited']} audited.",
        "",
    ]
    lines += [
        "| claim | published | recomputed | error | | kind | moves with | source |",
        "|---|--:|--:|--:|---|---|---|---|",
    ]
    notes = []
    for r in rows:
        mark = ""
        if r.reason:
            notes.append(r.reason)
            mark = f" [{len(notes)}]"
        error = "" if r.error is None else f"{r.error:+.1%}"
        moved = ", ".join(m.removeprefix("data: ") for m in r.moved_by[:1])  # how many more are tried depends on time
        lines.append(
            f"| {r.text} | {_expected(r)} | {_figure(r.got, r.unit)} | {error} | {_SAYS[r.status]}{mark} | {r.kind} | "
            f"{moved} "
            f"| {r.source} |"
        )
    if notes:
        lines += ["", *(f"{i}. {note}" for i, note in enumerate(notes, 1))]
    return lines


def _expected(r: Row) -> str:
    if r.expected is None:
        return "–"
    if isinstance(r.expected, tuple):
        return f"{significant(r.expected[0])} – {_figure(r.expected[1], r.unit)}"
    return {"at least": "≥ ", "at most": "≤ "}.get(r.bound, "") + _figure(r.expected, r.unit)


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    if unit in ("s", "B", "FLOP", "FLOP/s", "B/s", "W", "J"):
        return format_quantity(value, unit, 4)
    return f"{significant(value, 4)} {unit}".strip()


def index(papers: Sequence[Paper], rows: dict[str, Sequence[Row]]) -> str:
    """The overview of all runnable papers as Markdown."""
    lines = ["# Papers that can be run", "", "| paper | does | reproduced |", "|---|---|--:|"]
    for p in papers:
        n = counts(rows[p.key])
        lines.append(f"| [{p.name or p.key}]({p.key}.md) | {p.does} | {n['reproduced']} of {n['claims']} |")
    total = counts([r for group in rows.values() for r in group])
    lines += [
        "",
        f"{total['reproduced']} of {total['claims']} published figures are reproduced; {total['audited']} are audited.",
    ]
    lines[-1] += f" {total['calibrated']} agree but took part in a fit or a choice, {total['failing']} fail."
    lines.append("")
    return "\n".join(lines)


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
