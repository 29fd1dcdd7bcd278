"""What a reader runs is what a claim computed: a paper's tests inherit these.

    class TestMine(ReaderConformance):
        paper = paper

KEY.yaml says for a claim how a reader gets its figure (``run: {method: ..., setup: ..., figure: ..., set: {...}}``).
The suite runs the paper in that way, as `rooflab papers run` does, and holds what comes out against the claim's code.
`undeclared` lists claims that rest on a method or technique of the paper and do not say how.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from rooflab.api import engines, load
from rooflab.errors import RooflabError, unknown
from rooflab.inputs.kinds import kind_of
from rooflab.papers.claim import Claim, Reading
from rooflab.papers.execute import YOURS, choose, own_inputs, reads
from rooflab.papers.expectation import Got
from rooflab.papers.lab import Lab
from rooflab.papers.outcome import Outcome
from rooflab.papers.paper import Paper
from rooflab.papers.reader import Terms, run_input

__all__ = ["ReaderConformance", "read_by_a_reader", "undeclared"]

_SAME: Final = 1e-6
"""Share by which a reader's figure may differ from the claim's."""


class ReaderConformance:
    """Tests of one paper; set `paper`."""

    paper: ClassVar[Paper]

    def test_a_reader_gets_what_the_claim_says(self) -> None:
        """Every claim with a `run` in KEY.yaml: the same figure by both ways."""
        lab, done = Lab(engines()), dict[str, Outcome]()
        for claim in self.paper.claims:
            if claim.reading is not None:
                own, read = _by_name(claim.function(lab)), read_by_a_reader(self.paper, claim, done)
                assert len(own) == len(read), f"{claim.id}: {len(read)} figures stand for {len(own)}"
                pairs = [(own[name], read[name]) for name in read] if set(own) == set(read) else zip(
                    sorted(own.values()), sorted(read.values()), strict=True
                )  # fmt: skip
                for mine, readers in pairs:
                    assert abs(readers - mine) <= _SAME * abs(mine), (
                        f"{claim.id}: a reader gets {readers:.6g}, the claim's code {mine:.6g}"
                    )

    def test_what_a_reader_runs_is_there(self) -> None:
        """Methods, setups, samples and parameters that are named exist."""
        for claim in self.paper.claims:
            if claim.reading is not None:
                chosen = choose(self.paper, claim.reading.method)
                chosen(**claim.reading.settings)
                _input(self.paper, claim.reading)


def read_by_a_reader(paper: Paper, claim: Claim, done: dict[str, Outcome] | None = None) -> dict[str, float]:
    """The figures of a claim as `papers run` gives them to a reader, by the names that the claim has for them; what is
    run is kept in `done`, for other claims that the same run is for."""
    reading, done = claim.reading, {} if done is None else done
    assert reading is not None, f"{claim.id} does not say how a reader gets its figure"
    command = repr((reading.method, reading.setup, reading.sample, reading.scenario, sorted(reading.settings.items())))
    if command not in done:
        name, data = _input(paper, reading)
        done[command] = run_input(
            paper, name, data, reading.settings, Terms(keep=False), engines=engines(), method=reading.method
        ).outcome  # fmt: skip
    return {own: _taken(done[command], figure, reading.of) for own, figure in reading.figures.items()}


def undeclared(paper: Paper) -> Iterator[str]:
    """Claims that a method or technique of the paper had a part in, and that do not say what a reader runs for them."""
    for claim in paper.claims:
        lab = Lab(engines())
        try:
            claim.function(lab)
        except RooflabError:
            continue
        ran = "technique" in lab.asked or any(name.startswith("method: ") for name in lab.asked)
        if ran and claim.reading is None:
            yield claim.id


def _input(paper: Paper, reading: Reading) -> tuple[str, Any]:
    lab, chosen = Lab(engines()), choose(paper, reading.method)
    if reading.setup:
        if reading.setup not in paper.setups:
            raise unknown("setup", reading.setup, paper.setups, paper.key)
        return reading.setup, paper.setups[reading.setup](lab)
    if reading.scenario:
        return YOURS, load(dict(reading.scenario))
    if reading.sample:
        return f"sample {reading.sample}", kind_of(reads(chosen)).sample(reading.sample)
    return next(iter(own_inputs(paper, chosen, lab).items()))


def _taken(outcome: Outcome, name: str, of: str) -> float:
    value = getattr(outcome.figure(name), of)
    assert value is not None, f"{name} has no {of}"
    return float(value)


def _by_name(got: Got) -> dict[str, float]:
    if isinstance(got, Mapping):
        return {str(name): float(value) for name, value in got.items()}
    members = got if isinstance(got, (tuple, list)) else (got,)
    return {str(i): float(value) for i, value in enumerate(members)}
