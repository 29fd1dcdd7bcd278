"""What every paper must hold: a third party's tests inherit these.

    class TestMine(PaperConformance):
        paper = paper

Each technique is tried on the scenarios of `rooflab.testing.techniques`, every claim runs and is audited, the card is
complete.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import ClassVar

from rooflab.api import engines
from rooflab.errors import InputError
from rooflab.evidence.claims.check import check_claims, plain
from rooflab.evidence.claims.code import Code
from rooflab.evidence.claims.row import Row
from rooflab.papers.cards import KINDS, RESOURCES
from rooflab.papers.execute import own_inputs, run_paper
from rooflab.papers.lab import Lab
from rooflab.papers.paper import Paper
from rooflab.papers.technique import Technique
from rooflab.scenario.scenario import Scenario
from rooflab.testing.methods import MethodConformance
from rooflab.testing.readers import ReaderConformance
from rooflab.testing.techniques import TechniqueConformance, scenarios

__all__ = ["PaperConformance"]

_CHECKS = (
    "test_applies_somewhere", "test_refuses_politely", "test_leaves_its_argument_alone", "test_is_noted_once",
    "test_is_a_value",
    "test_names_a_wrong_parameter", "test_composes", "test_obeys_physics", "test_explains_truly",
)  # fmt: skip


_LONG_S = 5.0
"""Seconds of a core after which a method has to work through cells, on any machine."""


_METHOD_CHECKS = (
    "test_is_a_value", "test_names_a_wrong_parameter", "test_gives_figures", "test_leaves_its_input_alone_and_repeats",
    "test_another_seed_is_heard", "test_has_a_control", "test_refuses_politely",
)  # fmt: skip


class PaperConformance:
    """Tests of one paper; set `paper`."""

    paper: ClassVar[Paper]

    def instances(self) -> Iterator[Technique]:
        """An instance of every technique: the first variant that some scenario suggests."""
        for cls in self.paper.techniques.values():
            found = next((v for _, s in scenarios() for v in cls.variants(s)), None)
            assert found is not None, (
                f"{cls.key} suggests no setting for any scenario: give its parameters defaults, or define variants"
            )
            yield found

    def test_card_is_complete(self) -> None:
        """Title, address, date, kind, resources, one sentence, and what is executed, modelled and assumed."""
        assert not self.paper.missing()
        assert self.paper.url.startswith("https://")
        assert re.fullmatch(r"\d{4}(-\d\d(-\d\d)?)?", self.paper.date), self.paper.date
        assert self.paper.kind in KINDS
        assert set(self.paper.saves) <= set(RESOURCES)
        assert self.paper.does.endswith(".")
        assert self.paper.does.count(".") <= 2, "one sentence"

    def test_does_something(self) -> None:
        """A technique or a method, and at least one claim."""
        assert self.paper.techniques or self.paper.methods
        assert self.paper.claims or self.paper.left_out

    def test_techniques_conform(self) -> None:
        """All tests of `TechniqueConformance`, for every technique."""
        for technique in self.instances():
            suite = type("Suite", (TechniqueConformance,), {"technique": technique})()
            for name in _CHECKS:
                getattr(suite, name)()

    def test_quality_is_stated(self) -> None:
        """A technique that changes outputs has a published cost, or none is known: never nothing."""
        for technique in self.instances():
            for _, s in scenarios():
                cost = self.paper.quality_cost(technique, s.model)
                assert (cost.status == "exact") == (not technique.changes_outputs)
                assert cost.status in ("exact", "unknown") or cost.source

    def test_setups_are_inputs(self) -> None:
        """The paper's own inputs can be made: scenarios, or what one of its methods reads."""
        lab, read = Lab(engines()), {Scenario, *(m.reads for m in self.paper.methods.values())}
        for name, make in self.paper.setups.items():
            assert type(make(lab)) in read, name

    def rows(self) -> list[Row]:
        """The paper's claims, checked."""
        return check_claims(self.paper, engines())

    def test_claims_run_and_are_audited(self) -> None:
        """Every claim gives a figure, and passes the audit or says in its note what speaks against it; in another lab,
        last claim first, it gives the same figure (agreeing is for `papers check` to say). Each constant of KEY.yaml is
        a number of the code, a datum that a claim asks for, or an assumption whose narrow range needs a source."""
        rows = {row.claim: row for row in self.rows() if row.status not in ("not-modelled", "needs-extra")}
        for claim in self.paper.claims:
            if claim.id in rows:
                row = rows[claim.id]
                assert row.got is not None, f"{claim.id}: {row.reason}"
                assert row.audited or row.status == "input" or claim.note, f"{claim.id}: {row.reason}"
        again = Lab(engines())
        for claim in reversed([c for c in self.paper.claims if c.id in rows]):
            assert plain(claim.function(again)) == rows[claim.id].got, f"{claim.id} gives another figure a second time"
        code = Code(self.paper)
        assert code.misstated(again.given_data) == ""
        for name in self.paper.constants if len(rows) == len(self.paper.claims) else ():
            found = code.constant(name) or name in again.given_data or name in again.assumed
            assert found, f"{name} stands nowhere"

    def test_methods_run(self) -> None:
        """Each method runs on a sample of its kind, or on a setup of the paper's own, and says why in a sentence; one
        that takes long works through cells, so that it can be interrupted and go on."""
        for method in self.paper.methods.values():
            lab, began = Lab(engines()), time.process_time()
            for ran in run_paper(self.paper, None, {}, lab, method.key):
                assert ran.outcome.figures, method.key
                assert all(f.how in ("executed", "measured", "modelled") for f in ran.outcome.figures)
                assert all(f.spread for f in ran.outcome.figures if f.how == "measured"), "Figure.timed"
                assert ran.outcome.because.strip(), method.key
            if time.process_time() - began > _LONG_S and not lab.work.cells:
                began = time.process_time()  # the first may have compiled something
                run_paper(self.paper, None, {}, Lab(engines()), method.key)
                assert time.process_time() - began < _LONG_S, f"{method.key} takes long and has no cells (Lab.cells)"

    def test_methods_conform(self) -> None:
        """All tests of `MethodConformance`, for every method that has defaults, on a setup of the paper or a sample."""
        for cls in self.paper.methods.values():
            try:
                method = cls()
            except InputError:
                continue  # a parameter that only a reader can give
            suite = type("Suite", (MethodConformance,), {"method": method})()
            suite.given = next(iter(own_inputs(self.paper, cls, Lab(engines())).values()))
            for name in _METHOD_CHECKS:
                getattr(suite, name)()

    def test_a_reader_gets_what_the_claims_say(self) -> None:
        """All tests of `ReaderConformance`."""
        suite = type("Suite", (ReaderConformance,), {"paper": self.paper})()
        suite.test_what_a_reader_runs_is_there()
        suite.test_a_reader_gets_what_the_claim_says()

    def test_claims_have_sources(self) -> None:
        """Each figure says where it stands; what is left out says why."""
        for claim in self.paper.claims:
            assert claim.source.strip(), claim.id
        for left in self.paper.left_out:
            assert len(left.reason.split()) >= 3, left.id
