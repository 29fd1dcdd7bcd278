"""What differs between two runs that were kept: in what was asked, in the code, in what came out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.store.runs import Run

__all__ = ["Change", "Difference", "differ", "figures", "headline", "leaves"]

_SAME: Final = 1e-9
"""Relative distance up to which two figures are one: floats that were added in another order."""


@dataclass(frozen=True, slots=True)
class Change:
    """A value at a dotted place, before and after; None where there is none."""

    place: str
    before: Any
    after: Any

    @property
    def ratio(self) -> float | None:
        """After over before; None where that says nothing."""
        a, b = self.before, self.after
        numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
        return b / a if numbers and a and b and (a > 0) == (b > 0) else None

    @property
    def size(self) -> float:
        """How much it is: the logarithm of the ratio, infinity where there is none."""
        return math.inf if self.ratio is None else abs(math.log(self.ratio))

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self) | {"ratio": self.ratio}


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs: `inputs` in what was asked, `code` in what answered; `results`, the greatest changes first, beside
    figures that are the `same`."""

    before: Run
    after: Run
    inputs: tuple[Change, ...]
    code: tuple[Change, ...]
    results: tuple[Change, ...]
    same: int

    @property
    def why(self) -> str:
        """What the results can differ by, in a sentence."""
        causes = []
        if self.inputs:
            n = len(self.inputs)
            causes.append("one input differs" if n == 1 else f"{n} inputs differ")
        if self.code:
            causes.append("the code or the libraries under it differ")
        if not causes:
            if not self.results:
                return "the same question, the same code, the same answer"
            return "question and code are the same: the answer depends on something that is not kept (time, machine)"
        if not self.results:
            return f"{' and '.join(causes)}; no figure follows"
        told = " and ".join(causes)
        return f"{told}: {'nothing else can have moved the figures' if len(causes) == 1 else 'either may move figures'}"

    def record(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "before": self.before.name,
            "after": self.after.name,
            "why": self.why,
            "inputs": [c.record() for c in self.inputs],
            "code": [c.record() for c in self.code],
            "results": [c.record() for c in self.results],
            "same": self.same,
        }


def differ(before: Run, after: Run) -> Difference:
    """What differs. Raises InputError for runs of different kinds, which share no figure."""
    a, b = before.asked, after.asked
    if a.kind != b.kind:
        raise InputError(
            f"{before.name} is a run of the kind {a.kind}, {after.name} one of the kind {b.kind}: they share no figure"
        )
    inputs = [*_changes(a.inputs, b.inputs)]
    if a.scenario_hash != b.scenario_hash:
        own = [*_changes(a.scenario or {}, b.scenario or {})]
        # the spelling is the same: a trace of other content, a name that means something else by now
        inputs += own or [Change("scenario", a.scenario_hash[:12], b.scenario_hash[:12])]
    inputs += [*_changes({"seed": a.seed}, {"seed": b.seed})]
    code = [*_changes({"version": a.version, "code": a.code}, {"version": b.version, "code": b.code})]
    ours, theirs = figures(before), figures(after)
    found = [
        Change(name, ours.get(name), theirs.get(name))
        for name in [*ours, *(n for n in theirs if n not in ours)]
        if not _equal(ours.get(name), theirs.get(name))
    ]
    found.sort(key=lambda c: -c.size)
    same = sum(name in theirs and _equal(value, theirs[name]) for name, value in ours.items())
    return Difference(before, after, tuple(inputs), tuple(code), tuple(found), same)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, (int, float)) and not isinstance(b, bool):
        return math.isclose(a, b, rel_tol=_SAME)
    return bool(a == b)


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Change]:
    ours, theirs = dict(leaves(a)), dict(leaves(b))
    for place in [*ours, *(p for p in theirs if p not in ours)]:
        if not _equal(ours.get(place), theirs.get(place)):
            yield Change(place, ours.get(place), theirs.get(place))


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The values inside nested mappings by dotted place; lists as JSON."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{place}.{key}" if place else str(key))
    elif place:
        yield place, json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) and value else value


def figures(run: Run) -> dict[str, Any]:
    """The figures of a result by name: metrics, the first choice of a plan, figures of a paper, values of claims."""
    kind, result = run.asked.kind, run.result
    if kind == "plan":
        if not result.get("choices"):
            return {"choices": 0}
        best = result["choices"][0]
        of = {"deployment": best["label"], "devices": best["devices"]}
        return of | _plain(best["metrics"] | (best["proof"] or {}).get("metrics", {}))
    if kind == "paper":
        return {
            f"{one['setup']}: {f['name']}" if len(result) > 1 else f["name"]: f["value"]
            for one in result
            for f in one.get("figures", ())
        } | {one["setup"]: one["refused"] for one in result if "refused" in one}
    if kind == "check":
        got = {f"{row['paper']}.{row['claim']}": row["got"] for row in result}
        return got | {f"{row['paper']}.{row['claim']} status": row["status"] for row in result}
    missed = {f"{one['target']} missed": True for one in result.get("missed", ())}
    highest = {"rate": result["rate"]} if kind == "saturation" else {}
    return highest | _plain(result.get("metrics") or {}) | missed


def _plain(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in metrics.items() if v is None or isinstance(v, (bool, int, float, str))}


_HEADLINES: Final = ("usd_per_mtok", "output_tokens_per_s", "ttft_s_p99", "rate", "images_per_s")


def headline(run: Run) -> dict[str, Any]:
    """One or two figures that say what came out."""
    kind, found = run.asked.kind, figures(run)
    if kind == "check":
        held = sum(row["status"] == "reproduced" for row in run.result)
        return {"reproduced": f"{held} of {len(run.result)}"}
    if kind == "paper":
        return dict(list(found.items())[:1])
    told = ("deployment", *_HEADLINES) if kind == "plan" else _HEADLINES
    return dict([(name, found[name]) for name in told if found.get(name) is not None][:2]) or dict([*found.items()][:1])
