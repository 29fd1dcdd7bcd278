"""What every method must hold: a new one inherits these tests.

    class TestBinaryCodes(MethodConformance):
        method = BinaryCodes(residuals=2)

It is tried on the first sample of the kind that it reads; `given` may be replaced by an input of one's own.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from rooflab.api import engines
from rooflab.errors import RooflabError
from rooflab.inputs.content import digest
from rooflab.inputs.kinds import kind_of
from rooflab.papers.condition import Condition
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Outcome
from rooflab.papers.seeds import same_figures
from rooflab.testing.values import is_a_value, names_a_wrong_parameter

__all__ = ["MethodConformance"]


class MethodConformance:
    """Tests of one method; set `method` to an instance."""

    method: ClassVar[Method[Any]]

    @cached_property
    def given(self) -> Any:
        """What it is tried on."""
        return kind_of(self.method.reads).sample()

    @cached_property
    def outcome(self) -> Outcome:
        """What comes out."""
        return self.method.run(Lab(engines()), self.given)

    def test_is_a_value(self) -> None:
        """Frozen, equal to another with the same parameters, hashable."""
        is_a_value(self.method)

    def test_names_a_wrong_parameter(self) -> None:
        """An unknown parameter is an error for users."""
        names_a_wrong_parameter(self.method)

    def test_gives_figures(self) -> None:
        """Each once, executed, measured or modelled, within its own spread; and a reason in a sentence."""
        names = [f.name for f in self.outcome.figures]
        assert names, "no figures"
        assert len(set(names)) == len(names), "two figures are called the same"
        for f in self.outcome.figures:
            assert f.how in ("executed", "measured", "modelled"), f.name
            assert not math.isinf(f.value), f"{f.name} is infinite"
            if f.spread is not None:
                low, high = f.spread
                assert low <= f.value <= high or math.isclose(low, high), f"{f.name} lies outside its spread"
        assert self.outcome.because.strip(), "gives no reason"
        for name, content in self.outcome.files.items():
            assert isinstance(content, bytes), name
            assert not name.startswith(("/", "..")), name

    def test_leaves_its_input_alone_and_repeats(self) -> None:
        """The input is as it was, and the same seed gives the same figures, those of a clock aside."""
        before = digest(self.given)
        again = self.method.run(Lab(engines()), self.given)
        assert digest(self.given) == before, "the input was changed"
        assert same_figures(self.outcome, again), "the same seed gives other figures"

    def test_another_seed_is_heard(self) -> None:
        """A method that draws nothing is the same with every seed: what is random comes from its lab."""
        lab = Lab(engines(), Condition(seed=1))
        other = self.method.run(lab, self.given)
        if not lab.drew:
            assert same_figures(self.outcome, other), "draws what no lab knows of: lab.rng"

    def test_has_a_control(self) -> None:
        """Without its idea it is another method on the same kind of input, and runs."""
        without = self.method.ablated(1)
        if without is not None:
            assert without != self.method, "its control is itself"
            assert without.reads is self.method.reads
            assert without.run(Lab(engines()), self.given).figures

    def test_refuses_politely(self) -> None:
        """The smallest input of its kind is done, or refused in one line of words."""
        smallest = kind_of(self.method.reads).example()
        for given in (smallest, self._less()):
            said = "it is done as it is"
            try:
                self.method.run(Lab(engines()), given)
            except RooflabError as error:
                said = str(error)
            assert len(said.split()) >= 3, said
            assert "\n" not in said, said

    def _less(self) -> Any:
        """The input without what may be absent from it."""
        held = [name for name in ("queries", "neighbours", "labels") if getattr(self.given, name, None) is not None]
        return replace(self.given, **dict.fromkeys(held)) if held else self.given
