"""Figures that an abstract claims, as it writes them: number, unit, bound, what they are of, and against what.

    "up to 3.1x over vLLM"       3.1 x, up to, of speed, against vLLM
    "reduces memory by 55%"      55 %, of memory
    "59% to 72% of optimal"      59 and 72 %

A factor or a share counts wherever it stands beside a word of a gain; a quantity (13 W, 12 GB, 17.1 ms) where something
is achieved with it. Sizes of models, counts of GPUs and numbers of formats (8-bit, 70B, 8xA100) do not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Final

__all__ = ["Claimed", "figures", "sentences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A figure of an abstract: from `low` to `high` (the same where one number stands), in `unit` (x, %, W, ms, ...).

    `bound` is "up to", "more than", "about" or ""; `of` the measure ("" where none is near), `saves` its resource;
    `baseline` what it is compared with ("" where that is not said); `text` the words.
    """

    low: float
    high: float
    unit: str
    text: str
    bound: str = ""
    of: str = ""
    saves: str = ""
    baseline: str = ""

    def record(self) -> dict[str, Any]:
        """As plain JSON values, without what is not told."""
        return {name: value for name, value in asdict(self).items() if value != ""}


_NUMBER: Final = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_UNITS: Final = (
    r"[PTG]?FLOPS|(?:peta|tera|giga)flops|tokens?/s(?:ec(?:ond)?)?|tokens per second|samples/kJ|MAC/clk|"
    r"[kmμ]?W(?:atts?)?|watts?|[kmμu]?J|ms|milliseconds?|seconds?|minutes?|hours?|[KMGT]i?B|points?|[GM]Hz|fps"
)
_FIGURE: Final = re.compile(
    rf"(?<![\w.-])(?P<low>{_NUMBER})\s?(?P<unit1>\\?%|x|×)?(?:\s?(?:-|–|~|to|and)\s?(?P<high>{_NUMBER}))?"
    rf"(?:\s?(?P<times>x|×|\\times|times|-?fold)(?![\w])|\s?(?P<share>\\?%|percent)|\s?-?(?P<unit>{_UNITS})(?![\w/]))",
    re.IGNORECASE,
)
_GLUED: Final = re.compile(rf"(?<![\w.-])({_NUMBER})times(?=[a-z ])")
_PAIR: Final = re.compile(r"\sand\s", re.IGNORECASE)
_FACTOR: Final = re.compile(rf"factor (?:of |up to |of up to )?(?P<low>{_NUMBER})", re.IGNORECASE)
_MAGNITUDE: Final = re.compile(r"(?P<n>an|one|two|three|\d) orders? of magnitude", re.IGNORECASE)
_MAGNITUDES: Final = {"an": 1, "one": 1, "two": 2, "three": 3}
_BOUND: Final = re.compile(
    r"(?P<most>up to|as much as|at most|under|less than|below|within|fewer than|<)\s*(?:an? )?(?:average of )?$|"
    r"(?P<least>more than|over|at least|above|exceeding|higher than|beyond|>|\+)\s*$|"
    r"(?P<about>about|around|roughly|nearly|approximately|almost|~|≈)\s*$",
    re.IGNORECASE,
)
_GAIN: Final = re.compile(
    r"\b(?:reduc|sav|improv|increas|decreas|cut|lower|faster|speed|slower|less|fewer|more|higher|better|smaller|larger|"
    r"boost|gain|outperform|achiev|efficien|accelerat|enhanc|retain|preserv|only|of optimal|utili[sz]ation|accura|"
    r"success|drop|loss|consum|overhead|throughput|MFU|detection rate|deliver|RMSE|error|bring|than|scal|attain|reach|"
    r"forecast|rise|grow|shrink|compress|latency|resol|provid|beat|match|deploy|take|using|demonstrate|accomplish|rate|fall|compar)",
    re.IGNORECASE,
)
_ACHIEVED: Final = re.compile(
    r"\b(?:achiev|reduc|only|less than|within|at|under|using|with|reach|deliver|attain|power|gain|latency|improv|from|"
    r"takes?|need|efficien|measured)",
    re.IGNORECASE,
)
_BASELINE: Final = re.compile(
    r"(?:\bover|\bthan|compared (?:to|with)|\bagainst|\brelative to|\bversus|\bvs\.?|in comparison (?:to|with)|"
    r"outperform(?:s|ing)?)\s+"
    r"(?P<name>(?:(?!(?:for|on|in|across|while|when|with|by|at|using|during|under|that|which|and|via|without|"
    r"to|up|is|are)\b)[\w+./'’()-]+\s?){1,8})",
    re.IGNORECASE,
)
_NO_NAME: Final = re.compile(rf"(?:{_NUMBER}|the$|it$|ever|others?$)", re.IGNORECASE)
_MEASURES: Final = {
    "latency": r"latency|ttft|tbt|response time|time[- ]to[- ]first|cycle time|\bdelay",
    "memory": r"memory|vram|kv cache|footprint|model size|parameters",
    "energy": r"energy|power|watts?|\bjoules?|electricity|carbon",
    "money": r"\bcosts?\b|expense|dollar|price|servers",
    "tokens": r"token use|token consumption|tokens? usage",
    "network": r"communication",
    "storage": r"storage|disk",
    "bandwidth": r"bandwidth",
    "compute": r"throughput|speed-?ups?|faster|acceleration|speed|utili[sz]ation|mfu|flops|runtime|execution time|"
    r"computation|operations|macs|training time|simulation time",
    "labour": r"annotation|manual|human effort",
    "": r"accuracy|pass@1|success|perplexity|detection rate|performance",
}
_MEASURE: Final = re.compile(
    "|".join(f"(?P<{name or 'quality'}>{words})" for name, words in _MEASURES.items()), re.IGNORECASE
)
_REST_OF_LIST: Final = re.compile(r"^(?:\s*(?:,|and\b|\d[\d.]*\s?(?:x|%|times)?))+", re.IGNORECASE)
"""What follows a figure before the measure that it shares with others: 1.5x, 2x and 3x higher throughput."""
_NEAR: Final = 60
"""Letters after a figure in which its measure is looked for first; before it, as many."""
_MOST: Final = 30
_LONGEST: Final = 1_000
"""Figures of one abstract, and letters of a sentence, that are read."""
_TELLING: Final = re.compile(r"\d|magnitude")
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+(?=[A-Z(])")


def sentences(text: str) -> list[str]:
    """Sentences of a text; what ends with ``e.g.`` or a number goes on."""
    return [part for part in _SENTENCE.split(" ".join(text.split())) if part]


def figures(abstract: str) -> tuple[Claimed, ...]:
    """Figures that an abstract claims, in their order, each once."""
    found = dict[tuple[float, float, str, str], Claimed]()
    for sentence in sentences(_GLUED.sub(r"\1 times ", abstract)):
        if _TELLING.search(sentence):
            for one in islice(_of(sentence[:_LONGEST]), _MOST):
                found.setdefault((one.low, one.high, one.unit, one.of), one)
        if len(found) >= _MOST:
            break
    return tuple(found.values())[:_MOST]


def _of(sentence: str) -> Iterator[Claimed]:
    gain = bool(_GAIN.search(sentence))
    for match in _FIGURE.finditer(sentence):
        unit = _unit(match)
        if unit in ("x", "%"):
            if not gain or (unit == "x" and re.match(r"\s?[A-Z]+\d", sentence[match.end() : match.end() + 6])):
                continue
        elif not _ACHIEVED.search(sentence[: match.start()]):
            continue
        low = _number(match["low"])
        for first in _listed(sentence, match.start()) if unit in ("x", "%") else ():
            yield _told(sentence, match, first, first, unit)
        high = _number(match["high"]) if match["high"] else low
        if _PAIR.search(sentence[match.start() : match.end()]):
            yield _told(sentence, match, low, low, unit)
            low = high
        yield _told(sentence, match, low, high, unit)
    if gain:
        for match in _FACTOR.finditer(sentence):
            low = _number(match["low"])
            yield _told(sentence, match, low, low, "x")
        for match in _MAGNITUDE.finditer(sentence):
            n = match["n"].lower()
            factor = 10.0 ** (_MAGNITUDES.get(n) or int(n))
            yield _told(sentence, match, factor, factor, "x")


def _listed(sentence: str, end: int) -> list[float]:
    """Numbers of a list whose last one is a figure: 1.75x, 2.61x, 1.29x and 1.03x; 18%, 20 and 25%."""
    before = re.search(rf"((?:(?:{_NUMBER}),\s?)+)(?:and\s)?$", sentence[:end])
    return [_number(text) for text in re.findall(_NUMBER, before[1])] if before else []


def _unit(match: re.Match[str]) -> str:
    if match["times"]:
        return "x"
    return "%" if match["share"] else match["unit"]


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def _told(sentence: str, match: re.Match[str], low: float, high: float, unit: str) -> Claimed:
    before, after = sentence[: match.start()], sentence[match.end() :]
    bound = _BOUND.search(before)
    kind = next((name for name in ("most", "least", "about") if bound and bound[name]), "")
    if re.match(r"factor (?:of )?up to", match[0], re.IGNORECASE):
        kind = "most"
    measure, saves = _measure(before, after)
    baseline, end = _baseline(before, after)
    start = bound.start() if bound else match.start()
    words = after[:end] if end else "".join(re.findall(r"\s*\S+", re.split(r"[,;)(]|\.(?!\d)", after)[0])[:5])
    text = f"{sentence[start : match.end()]}{words}".strip(" ,;.")
    return Claimed(
        low=min(low, high), high=max(low, high), unit=unit, text=text[:160],
        bound={"most": "up to", "least": "more than", "about": "about", "": ""}[kind],
        of=measure, saves=saves, baseline=baseline,
    )  # fmt: skip


def _measure(before: str, after: str) -> tuple[str, str]:
    """The word of what is measured and the resource that it is; the nearest after the figure, else before it."""
    found = _MEASURE.search(re.split(r"[,\d]", _REST_OF_LIST.sub("", after[:_NEAR]))[0])
    if found is None:
        found = next(reversed(list(_MEASURE.finditer(before[-_NEAR:]))), None)
    if found is None:
        return "", ""
    kind = found.lastgroup or ""
    return found[0].lower(), "" if kind == "quality" else kind


def _baseline(before: str, after: str) -> tuple[str, int]:
    """What a figure is compared with, and where it ends after the figure (0: it stands before, or nowhere)."""
    for place, text in (("after", after), ("before", before)):
        for found in _BASELINE.finditer(text):
            if place == "before" and not re.match("outperform|compared", found[0], re.IGNORECASE):
                continue
            name = re.sub(r"^(?:the|an?|existing)\s+", "", found["name"].strip(" ,.)("), flags=re.IGNORECASE)
            if name and not _NO_NAME.match(name):
                return name[:80], found.end("name") if place == "after" and found.start() < 90 else 0
    return "", 0
