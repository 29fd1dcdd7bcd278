"""A plan as one HTML page: the sentence that answers, cost against latency, the roofline, memory, the step, every
choice, how to launch.

The page is one file without network; a few lines of script sort its table. It follows the reader's light or dark
setting and prints.
"""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rooflab.charts.style import STYLE
from rooflab.costs.calibration import calibration_for
from rooflab.costs.engine_constants import engine_overhead
from rooflab.errors import RooflabError
from rooflab.evidence.intervals.intervals import intervals
from rooflab.files import write_text
from rooflab.launch.label import bound_name, sentence, split_label
from rooflab.metrics.registry import METRICS
from rooflab.planner.result import Choice, Plan
from rooflab.report.pages.plan_figures import memory_card, pareto_card, roofline_card, step_card
from rooflab.report.text.headline import load_words, targets_words, title
from rooflab.report.text.trust import evidence_words, trust_words
from rooflab.scenario.runtime import ENGINES
from rooflab.units import format_quantity, format_seconds, significant

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["plan_page", "write_plan_page"]

_MORE_STYLE: Final = """
.dot{stroke:var(--card);stroke-width:1}.dot.hollow{fill:none;stroke:var(--soft);stroke-opacity:.55;stroke-width:1.2}
.dot.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}.dot.s3{fill:var(--s3)}.dot.s4{fill:var(--s4)}.dot.s5{fill:var(--s5)}
.dot{fill-opacity:.85}.ring{fill:none;stroke:var(--ink);stroke-width:1.6}.roof{fill:none;stroke:var(--soft);stroke-width:1.4}
.dashed{stroke-dasharray:5 4}svg .strong{font-weight:650}.link{stroke:var(--soft);stroke-opacity:.5}
.wideplot{overflow-x:auto}.wideplot svg{min-width:680px}
.bar.pale{fill-opacity:.38}.bar.free{fill:var(--grid)}i.free{background:var(--grid)}.bar.unused{fill:none;stroke:var(--rule)}
i.unused{border:1px solid var(--rule)}i.hollow{border:1.2px solid var(--soft);border-radius:50%!important}
i.round{border-radius:50%!important}
.two{grid-template-columns:repeat(auto-fit,minmax(min(460px,100%),1fr))}
ul.why{margin:0;padding-left:18px}ul.why li{margin:3px 0;max-width:95ch}
table.sortable th{cursor:pointer;user-select:none}table.sortable th[aria-sort]::after{content:" ▾"}
table.sortable th[aria-sort=ascending]::after{content:" ▴"}tr.best td{font-weight:650}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 14px;
font-size:12.5px;line-height:1.45}
td[title],.tile b{cursor:help}table.sortable{font-size:13px}
table.sortable th,table.sortable td{padding:5px 8px}table.sortable td:first-child{white-space:normal;min-width:190px}
svg .marktext,svg .tick{paint-order:stroke;stroke:var(--card);stroke-width:3px;stroke-linejoin:round}
.tiles{grid-template-columns:repeat(auto-fill,minmax(max(150px,24%),1fr))}
@media print{pre{white-space:pre-wrap}table.sortable{font-size:8.5pt}
table.sortable th,table.sortable td{padding:3px 4px}}
"""
_SCRIPT: Final = """
document.querySelectorAll('table.sortable th').forEach(function(th,i){th.addEventListener('click',function(){
var up=th.getAttribute('aria-sort')!=='ascending',body=th.closest('table').tBodies[0];
th.parentNode.querySelectorAll('th').forEach(function(o){o.removeAttribute('aria-sort')});
th.setAttribute('aria-sort',up?'ascending':'descending');
var key=function(r){var v=r.cells[i].dataset.v;return v===undefined?r.cells[i].textContent:parseFloat(v)};
var by=function(a,b){var x=key(a),y=key(b);return(x>y?1:x<y?-1:0)*(up?1:-1)};
Array.from(body.rows).sort(by).forEach(function(r){body.appendChild(r)})})});
"""


def write_plan_page(plan: Plan, path: str | Path) -> None:
    """Write the page to `path`, whole or not at all."""
    write_text(path, plan_page(plan))


def plan_page(plan: Plan) -> str:
    """The page as text."""
    s = plan.scenario
    name = escape(title(s))
    wanted = targets_words(s)
    asked = load_words(s.workload, s.model) + (f" · wanted: {wanted}" if wanted else "")
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Plan: {name}</title>'
        f'<meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><style>{STYLE}{_MORE_STYLE}</style></head><body><main>'
    )
    body = [head, f'<h1>{name}</h1><p class="soft">{escape(asked)}</p>', _answer(plan)]
    if plan.best is not None:
        body += [
            _tiles(plan, plan.best),
            f'<h2>Why</h2><div class="card">{_list([*plan.best.why, *plan.best.change])}</div>',
            f"<h2>Cost against latency</h2>{pareto_card(plan)}",
            f'<h2>Where the time goes</h2><div class="row two">{step_card(plan.best)}{roofline_card(plan.best)}</div>',
            f"<h2>Memory of a device</h2>{memory_card(plan)}",
            f"<h2>Choices</h2>{_table(plan)}",
            _sensitivity(plan),
        ]
    elif plan.points:
        body.append(f"<h2>Cost against latency</h2>{pareto_card(plan)}")
    body += [_rejected(plan), _launch(plan), _trust(plan), f"</main><script>{_SCRIPT}</script></body></html>\n"]
    return "".join(body)


def _answer(plan: Plan) -> str:
    if plan.best is None:
        return f'<p class="answer"><b class="bad">✗ Nothing will do.</b> {escape(plan.message)}</p>'
    c, o = plan.best, plan.objective
    direction = "highest" if o.more_is_better else "lowest"
    met = f" It meets {escape(targets_words(plan.scenario))}." if plan.scenario.slo else ""
    value = _objective_value(plan, c)
    return (
        f'<p class="answer"><b class="good">✓ {escape(sentence(c.label))}</b> on {c.devices} '
        f"{'device' if c.devices == 1 else 'devices'}: {escape(value)}, the {direction} {escape(o.title)} of "
        f"{plan.feasible:,} deployments that will do ({plan.considered:,} considered).{met}</p>"
    )


def _objective_value(plan: Plan, c: Choice) -> str:
    value = float(c.metrics[plan.objective.metric])
    return format_seconds(value) if plan.objective.unit == "s" else f"{significant(value)} {plan.objective.unit}"


def _tiles(plan: Plan, c: Choice) -> str:
    generates = plan.latency_metric == "tpot_s_p99"
    names = [("output_tokens_per_s", "output tokens/s")] if generates else []
    names += [("requests_per_s", "requests/s"), ("ttft_s_p99", "TTFT p99")]
    names += [("tpot_s_p99", "TPOT p99")] if generates else []
    names += [
        ("usd_per_mtok", "per million tokens"),
        ("j_per_token", "per token"),
        ("power_w", "power"),
        ("limit_ratio", "of the physical limit"),
    ]
    found = intervals(c.estimate)
    cells = []
    for name, words in names:
        formula = METRICS[name].formula if name in METRICS else ""
        value, between = escape(_text(name, float(c.metrics[name]))), ""
        if name in found and math.isfinite(found[name].high):
            formula += f". 90 % interval; {evidence_words(found[name])}"
            between = f" · {escape(_text(name, found[name].low))} – {escape(_text(name, found[name].high))}"
        cells.append(f'<div class="tile"><b title="{escape(formula)}">{value}</b><span>{words}{between}</span></div>')
    return f'<div class="tiles">{"".join(cells)}</div>'


def _text(name: str, value: float) -> str:
    if not math.isfinite(value):
        return "–"
    if "_s_" in name and name.split("_", maxsplit=1)[0] in ("ttft", "tpot", "e2e"):
        return format_seconds(value)
    if name.startswith("usd"):
        return f"${significant(value)}"
    if name in ("j_per_token", "power_w"):
        return format_quantity(value, "J" if name == "j_per_token" else "W")
    if name in ("limit_ratio", "mfu", "mbu"):
        return f"{value * 100:.0f} %"
    return significant(value)


def _list(lines: list[str]) -> str:
    return f'<ul class="why">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'


_COLUMNS: Final = (
    ("output_tokens_per_s_per_gpu", "tok/s/GPU"),
    ("requests_per_s_per_gpu", "req/s/GPU"),
    ("ttft_s_p99", "TTFT p99"),
    ("tpot_s_p99", "TPOT p99"),
    ("usd_per_mtok", "$/Mtok"),
    ("j_per_token", "J/token"),
    ("gco2e_per_mtok", "gCO₂e/Mtok"),
    ("limit_ratio", "of limit"),
)


def _table(plan: Plan) -> str:
    """Every choice, the best of each device count and the front, once each; headers sort."""
    generates = plan.latency_metric == "tpot_s_p99"
    hidden = ("requests_per_s_per_gpu",) if generates else ("output_tokens_per_s_per_gpu", "tpot_s_p99")
    columns = [(n, t) for n, t in _COLUMNS if n not in hidden]
    head = "".join(f"<th>{t}</th>" for t in ("deployment", "GPUs", *(t for _, t in columns), "bound by", "quality"))
    seen: dict[object, Choice] = {}
    for c in (*plan.choices, *plan.by_devices, *plan.front):
        seen.setdefault(c.deployment, c)
    source = _sources(plan)
    rows = []
    for c in seen.values():
        cells = [f'<td data-v="{c.devices}">{c.devices}</td>']
        for name, _ in columns:
            value = float(c.metrics[name])
            sort = value if math.isfinite(value) else 1e300
            cells.append(f'<td data-v="{sort:.6g}" title="{escape(source(name))}">{escape(_text(name, value))}</td>')
        kept = "same" if c.quality == "as the checkpoint" else "unknown"
        cells.append(
            f'<td class="text">{escape(c.estimate.bottleneck)}</td><td class="text" '
            f'title="{escape(c.quality)}">{kept}</td>'
        )
        best = ' class="best"' if plan.best is not None and c.deployment == plan.best.deployment else ""
        rows.append(f"<tr{best}><td>{escape(_short(c))}</td>{''.join(cells)}</tr>")
    return (
        f'<div class="card scroll"><table '
        f'class="sortable"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _short(c: Choice) -> str:
    """The label without the engine, which all choices share."""
    engine = ENGINES.get(c.deployment.runtime.engine, c.deployment.runtime.engine)
    return sentence(c.label.removeprefix(engine).strip())


class _Sources:
    """Where a metric comes from, for the hover titles."""

    def __init__(self, plan: Plan) -> None:
        s = plan.scenario
        kernels = calibration_for(s.hardware.device, s.deployment.runtime.engine)
        overhead = engine_overhead(s.deployment.runtime, moe=s.model.is_moe)
        self.time = f"closed form; kernels {kernels.provenance} ({kernels.rule}), engine overhead {overhead.provenance}"
        self.price = f"price: {plan.price_source}"
        self.carbon = f"grid: {s.hardware.sources.get('gco2e_per_kwh', 'given with the hardware')}"

    def __call__(self, name: str) -> str:
        formula = METRICS[name].formula if name in METRICS else name
        extra = {"usd_per_mtok": self.price, "gco2e_per_mtok": self.carbon}.get(name)
        return f"{formula}. From: {self.time}" + (f"; {extra}" if extra else "")


def _sources(plan: Plan) -> _Sources:
    return _Sources(plan)


def _sensitivity(plan: Plan) -> str:
    if not plan.sensitivity:
        return ""
    rows = []
    words = {
        "rate": "request rate",
        "concurrency": "users",
        "batch": "batch",
        "isl": "prompt length",
        "osl": "output length",
    }
    for s in plan.sensitivity:
        broken = ", ".join("the load" if v.bound == "rate" else bound_name(v.bound) for v in s.violations)
        verdict = f'<span class="bad">breaks {escape(broken)}</span>' if broken else '<span class="good">holds</span>'
        value = (
            format_seconds(s.value) if plan.objective.unit == "s" else f"{significant(s.value)} {plan.objective.unit}"
        )
        change = f"{s.change * 100:+.0f} %" if math.isfinite(s.change) else "–"
        rows.append(
            f"<tr><td>{words[s.name]} {(s.factor - 1) * 100:+.0f} %</td><td>{escape(value)}</td><td>{change}</td>"
            f'<td class="text">{verdict}</td></tr>'
        )
    head = (
        f"<tr><th>if</th><th>{escape(plan.objective.title)}</th><th>change</th><th "
        f'style="text-align:left">targets</th></tr>'
    )
    return f'<h2>If the traffic is not as said</h2><div class="card scroll"><table>{head}{"".join(rows)}</table></div>'


def _rejected(plan: Plan) -> str:
    if not plan.rejected:
        return ""
    rows = "".join(
        f'<tr><td>{escape(sentence(r.label))}</td><td class="text">{escape(r.reason)}</td></tr>' for r in plan.rejected
    )
    return f'<h2>Left out</h2><div class="card scroll"><table>{rows}</table></div>'


def _launch(plan: Plan) -> str:
    if plan.best is None:
        return ""
    blocks = "".join(f"<h3>{escape(name)}</h3><pre>{escape(text)}</pre>" for name, text in _commands(plan.best))
    return f"<h2>How to launch {escape(split_label(plan.best.deployment))}</h2>{blocks}" if blocks else ""


def _commands(best: Choice) -> Iterator[tuple[str, str]]:
    """The command of the choice's own engine, then the manifest; what cannot be written is left out with its reason."""
    engine = best.deployment.runtime.engine
    for name, write in ((ENGINES.get(engine, engine), best.launch_command), ("Kubernetes", best.kubernetes)):
        try:
            yield name, write()
        except RooflabError as error:
            yield name, f"# {error}"


def _trust(plan: Plan) -> str:
    s = plan.scenario
    notes = [f"{_sources(plan).time}.", f"Price: {plan.price_source}."]
    if plan.best is not None:
        notes.insert(0, f"{trust_words(plan.best.estimate)}.")
    if plan.limit is not None:
        notes.insert(0, f"Limit: {plan.limit.text}.")
    if s.workload.mode == "max-throughput":
        notes.append("Engines are taken in their steady state: requests replace each other as they finish.")
    return "<h2>Where the numbers come from</h2>" + "".join(
        f'<p class="soft">{escape(n[0].upper() + n[1:])}</p>' for n in notes
    )
