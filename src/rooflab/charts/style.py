"""The style sheet of pages: light and dark by the reader's setting, plain when printed."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root{color-scheme:light dark;--bg:#fbfbf9;--card:#fff;--ink:#1c1e21;--soft:#5b6068;--rule:#e3e3de;--grid:#ecece7;
--good:#0f7a55;--bad:#b3261e;--s0:#2563b8;--s1:#d2611c;--s2:#0f8a72;--s3:#8a4fbf;--s4:#b08a00;--s5:#8b929c}
@media (prefers-color-scheme:dark){:root{--bg:#15171a;--card:#1d2024;--ink:#e9eaec;--soft:#a0a6b0;--rule:#33373d;--grid:#2a2e33;
--good:#4cc38a;--bad:#ff8a80;--s0:#74a9f5;--s1:#f0935a;--s2:#43c1a4;--s3:#bd92ea;--s4:#dcbb4a;--s5:#7d8590}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 24px 56px}
h1{font-size:24px;line-height:1.25;margin:0 0 4px;text-wrap:balance}
h2{font-size:16px;margin:36px 0 10px}h3{font-size:13px;font-weight:600;margin:0 0 6px}
p{margin:0 0 8px;max-width:85ch}.soft,small{color:var(--soft)}
.answer{font-size:17px;margin:14px 0 0}.good{color:var(--good)}.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));background:var(--card);border:1px solid var(--rule);
border-radius:8px;overflow:hidden;margin-top:20px}
.tile{padding:12px 14px;box-shadow:1px 1px 0 0 var(--rule)}.tile span{color:var(--soft);font-size:12.5px}
.tile b{display:block;font-size:20px;font-weight:600;font-variant-numeric:tabular-nums;white-space:nowrap}
.row{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:14px}
.two{grid-template-columns:repeat(auto-fit,minmax(min(420px,100%),1fr))}
.card{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:12px 14px 8px;min-width:0}
.wide{grid-column:1/-1}svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font:11px system-ui,sans-serif;fill:var(--soft);font-variant-numeric:tabular-nums}svg .marktext{fill:var(--ink);
paint-order:stroke;stroke:var(--card);stroke-width:3px}
.grid{stroke:var(--grid)}.axis,.tickmark{stroke:var(--soft);stroke-opacity:.6}
.mark{stroke:var(--ink);stroke-dasharray:3 3;stroke-opacity:.7}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.area{fill-opacity:.16;stroke:none}.bar{shape-rendering:crispEdges}
.line.s0{stroke:var(--s0)}.line.s1{stroke:var(--s1)}.line.s2{stroke:var(--s2)}
.line.s3{stroke:var(--s3)}.line.s4{stroke:var(--s4)}.line.s5{stroke:var(--s5)}
.area.s0,.bar.s0{fill:var(--s0)}.area.s1,.bar.s1{fill:var(--s1)}.area.s2,.bar.s2{fill:var(--s2)}
.area.s3,.bar.s3{fill:var(--s3)}.area.s4,.bar.s4{fill:var(--s4)}.area.s5,.bar.s5{fill:var(--s5)}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:12.5px;color:var(--soft);margin:0 0 4px}
.legend i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px;vertical-align:-1px}
i.s0{background:var(--s0)}i.s1{background:var(--s1)}i.s2{background:var(--s2)}
i.s3{background:var(--s3)}i.s4{background:var(--s4)}i.s5{background:var(--s5)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:5px 10px;border-bottom:1px solid var(--rule);white-space:nowrap}
th{font-weight:600;color:var(--soft);font-size:12.5px}th:first-child,td:first-child{text-align:left;padding-left:0}
tr:last-child td{border-bottom:0}td.text{text-align:left;white-space:normal;color:var(--soft)}
details{margin:28px 0 14px}summary{cursor:pointer;font-weight:600;margin-bottom:8px}
@media print{:root{color-scheme:light;--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#ccc;--grid:#e6e6e6;
--good:#0f7a55;--bad:#b3261e;--s0:#2563b8;--s1:#d2611c;--s2:#0f8a72;--s3:#8a4fbf;--s4:#b08a00;--s5:#8b929c}
main{padding:0;max-width:none}.card,.tiles,tr{break-inside:avoid}body{font-size:11pt}h2{break-after:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
