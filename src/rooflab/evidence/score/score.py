"""Rows of a table → predicted against measured, or the reason why a row has no prediction. Nothing is dropped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from rooflab.costs.provenance import kind_of
from rooflab.errors import RooflabError
from rooflab.estimator.serving.front import estimate_many
from rooflab.evidence.intervals.likeness import Domain, Key, domain_of, family_of, key_of
from rooflab.evidence.rows.mlperf import with_stated_loads
from rooflab.evidence.rows.predict import predict
from rooflab.evidence.rows.serving import Question, Unsupported, question
from rooflab.evidence.rows.tables import Row, Table
from rooflab.evidence.rows.untrue import CANNOT, beside_others, beyond_context, beyond_limit

__all__ = ["INCOMPLETE", "SUSPECT", "UNFAIR", "Scored", "Scores", "score"]

SUSPECT: Final = "SUSPECT: listed, not scored"
INCOMPLETE: Final = ("not stated", "not a number")
"""What a reason says when the row itself lacks what a prediction needs."""
UNFAIR: Final = ("SUSPECT", CANNOT, "queueing time", "reference of its series")
"""Beginnings of the reasons for which a row is not scored by the rules of its table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One row with its prediction, both in the row's unit (of the whole system).

    `group` is what is left out together (source, model, device); `domain` says what its error is like, `key` which
    evidence it belongs to (None where the row is not about serving), `setup` what the table says of load, lengths,
    split and formats, `ceiling` what a valid measurement cannot exceed.
    """

    id: str
    source: str
    engine: str
    gpu: str
    model: str
    scenario: str
    metric: str
    kind: str
    group: str
    predicted: float
    measured: float
    provenance: str
    domain: Domain
    key: Key | None
    setup: str = ""
    ceiling: float = math.inf

    @property
    def error(self) -> float:
        """|predicted / measured − 1|."""
        return abs(self.predicted / self.measured - 1.0)

    @property
    def ratio(self) -> float:
        """log(measured / predicted)."""
        return math.log(self.measured / self.predicted)


@dataclass(frozen=True, slots=True)
class Scores:
    """Rows scored, and the reason of every other row by id, in the order of the table."""

    scored: tuple[Scored, ...]
    unsupported: dict[str, str]

    @property
    def suspect(self) -> list[str]:
        """Rows that their table doubts."""
        return [row for row, reason in self.unsupported.items() if reason == SUSPECT]


def score(table: Table) -> Scores:
    """Predict every row of a table. The calibration in force (`rooflab.costs.engine_constants.using`) prices the
    rows."""
    usable: list[Row] = []
    unsupported: dict[str, str] = {}
    for row in table.rows:
        reason = _unusable(row)
        if reason:
            unsupported[row["id"]] = reason
        else:
            usable.append(row)
    if table.kind == "serving":
        scored, reasons = _serving(usable)
    else:
        scored, reasons = _other(table.kind, usable)
    unsupported |= reasons
    order = {row["id"]: i for i, row in enumerate(table.rows)}
    return Scores(tuple(scored), dict(sorted(unsupported.items(), key=lambda item: order[item[0]])))


def _unusable(row: Row) -> str:
    if row["notes"].startswith("SUSPECT"):
        return SUSPECT
    try:
        value = float(row["value"])
    except ValueError:
        return f"value {row['value']!r} is not a number"
    return "" if 0.0 < value < math.inf else f"value {row['value']} is not a positive number"


def _serving(rows: Sequence[Row]) -> tuple[list[Scored], dict[str, str]]:
    asked: list[tuple[Row, Question]] = []
    reasons: dict[str, str] = {}
    for row in with_stated_loads(rows):
        try:
            q = question(row)
        except Unsupported as error:
            reasons[row["id"]] = str(error)
        except (RooflabError, ValueError) as error:
            reasons[row["id"]] = f"cannot be read: {error}"
        else:
            if beyond := beyond_context(q):
                reasons[row["id"]] = beyond
            else:
                asked.append((row, q))
    scored = []
    labels = _Labels()
    values = predict([q for _, q in asked]).tolist()
    reasons |= beyond_limit([(q, v) for (_, q), v in zip(asked, values, strict=True) if math.isfinite(v) and v > 0])
    # rows that are themselves impossible contradict no other
    reasons |= beside_others([row for row, _ in asked if row["id"] not in reasons])
    for (row, q), value in zip(asked, values, strict=True):
        if row["id"] in reasons:
            continue
        if not (math.isfinite(value) and value > 0):
            reasons[row["id"]] = _why_not(q, value)
            continue
        scored.append(_scored(row, q, value, labels))
    return scored, reasons


class _Labels:
    """Domains and provenances, which many rows share."""

    def __init__(self) -> None:
        self._seen: dict[Any, tuple[Key, str, Domain]] = {}

    def of(self, q: Question) -> tuple[Key, str, Domain]:
        s = q.scenarios[0]
        d = s.deployment
        place = (
            id(s.model),
            id(s.hardware),
            d.runtime.engine,
            d.runtime.engine_version,
            q.metric,
            s.workload.mode,
            s.workload.batch == 1,
            len(q.scenarios) > 1,
        )
        found = self._seen.get(place)
        if found is None:
            family = family_of(q.metric, s.workload, d.runtime.engine, best_of_many=len(q.scenarios) > 1)
            found = (
                key_of(s.model, s.hardware.device, d),
                kind_of(s.model, s.hardware, d.runtime),
                domain_of(s, family, "inside"),
            )
            self._seen[place] = found
        return found


_SETUP: Final = (
    "engine", "num_gpus", "tp", "pp", "ep", "precision_weights", "precision_activations", "precision_kv",
    "batch_or_concurrency", "isl",
    "osl", "per_gpu",
)  # fmt: skip


def _scored(row: Row, q: Question, value: float, labels: _Labels) -> Scored:
    key, provenance, domain = labels.of(q)
    return Scored(
        id=q.id, source=row["source"], engine=key.engine, gpu=key.device, model=q.scenarios[0].model.name,
        scenario=row["scenario"], metric=row["metric"],
        kind=key.kind,
        group=f"{row['source']}|{key.shape}|{key.device}", predicted=value, measured=q.measured, provenance=provenance,
        domain=domain, key=key,
        setup="|".join(row[c].lower() for c in _SETUP),
        ceiling=q.ceiling_s * q.factor if q.factor > 0 else math.inf,
    )  # fmt: skip


def _why_not(q: Question, value: float) -> str:
    """Why a question that can be asked has no answer."""
    answers = estimate_many(q.scenarios)
    errors = [a for a in answers if isinstance(a, RooflabError)]
    if len(errors) < len(answers):
        return (
            "saturated: more is asked for than is served, and the wait grows without end"
            if value
            else "predicted to be zero"
        )
    if errors[0].exit_code == 1:
        return "does not fit the stated devices in the stated precision"
    where = getattr(errors[0], "where", "")
    return f"impossible deployment{f' ({where})' if where else ''}: {getattr(errors[0], 'message', errors[0])}"


def _other(kind: str, rows: Sequence[Row]) -> tuple[list[Scored], dict[str, str]]:
    """Rows of a kind that has a reader of its own."""
    if kind == "vision":
        return _vision(rows)
    if kind != "energy":
        return [], {row["id"]: f"{kind} rows are not modelled" for row in rows}
    from rooflab.evidence.rows import energy

    answers, reasons = energy.answers(rows)
    by_id = {row["id"]: row for row in rows}
    scored = []
    for a in answers:
        if not (math.isfinite(a.predicted) and a.predicted > 0):
            reasons[a.id] = "no finite prediction"
            continue
        told = {"predicted": a.predicted, "measured": a.measured}
        scored.append(_plain(by_id[a.id], kind, a.group, **told, provenance=a.provenance))
    return scored, reasons


def _vision(rows: Sequence[Row]) -> tuple[list[Scored], dict[str, str]]:
    from rooflab.evidence.rows.vision import question as vision_question

    scored: list[Scored] = []
    reasons: dict[str, str] = {}
    for row in rows:
        try:
            asked = vision_question(row)
            answer = asked.answer()
        except (Unsupported, RooflabError, ValueError) as error:
            reasons[row["id"]] = str(error)
            continue
        told = {"predicted": answer.images_per_s, "measured": asked.measured}
        scored.append(_plain(row, "vision", asked.group, **told, provenance=answer.provenance))
    return scored, reasons


def _plain(row: Row, kind: str, group: str, *, predicted: float, measured: float, provenance: str) -> Scored:
    """A row that is not about serving: its domain is its metric."""
    domain = Domain(f"{kind}: {row['metric']}", "", "", "", "inside")
    gpu = row.get("gpu") or row.get("device", "")
    engine = row.get("framework") or (f"torch {row['torch']}" if row.get("torch") else "")
    return Scored(
        id=row["id"], source=row["source"], engine=engine, gpu=gpu, model=row["model"], scenario=row.get("task", ""),
        metric=row["metric"], kind="",
        group=f"{row['source']}|{group}",
        predicted=predicted, measured=measured, provenance=provenance, domain=domain, key=None,
    )  # fmt: skip
