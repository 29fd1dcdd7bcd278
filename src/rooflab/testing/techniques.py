"""What every technique must hold: a new one inherits these tests.

    class TestSplitwise(TechniqueConformance):
        technique = Splitwise(prefill=1, decode=1)

`applies` and `refuses` may be replaced by scenarios of one's own; the shipped ones are a dense and a sparse model on
GPUs, an
engine of static batches, and a model larger than its device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from rooflab import api
from rooflab.errors import Infeasible, InputError, RooflabError
from rooflab.papers.compare import Comparison, attempt, with_requests
from rooflab.papers.technique import Technique, Techniques
from rooflab.scenario.scenario import Scenario
from rooflab.testing.explanations import untrue
from rooflab.testing.values import is_a_value, names_a_wrong_parameter

__all__ = ["SCENARIOS", "TechniqueConformance", "scenarios"]

SCENARIOS: dict[str, dict[str, Any]] = {
    "dense": {
        "model": "meta-llama/Llama-3.1-8B", "hardware": "2 x a100-80gb-sxm",
        "workload": {"isl": 1024, "osl": 256, "concurrency": 32},
    },
    "large": {
        "model": "meta-llama/Llama-3.1-70B", "hardware": "8 x h100-sxm",
        "workload": {"isl": 1024, "osl": 512, "rate": "2/s"},
    },
    "sparse": {
        "model": "mistralai/Mixtral-8x7B-v0.1", "hardware": "4 x h100-sxm",
        "workload": {"isl": 512, "osl": 512, "scenario": "max-throughput"},
    },
    "single": {
        "model": "meta-llama/Llama-3.1-8B", "hardware": "l40s", "workload": {"isl": 512, "osl": 128, "batch": 1},
    },
    "too large": {
        "model": "mistralai/Mixtral-8x7B-v0.1", "hardware": "l40s",
        "workload": {"isl": 512, "osl": 128, "scenario": "max-throughput"},
    },
    "batches": {
        "model": "EleutherAI/gpt-j-6b", "hardware": "a100-80gb-sxm", "workload": {"isl": 128, "osl": 64, "rate": "1/s"},
        "deployment": {"engine": "fastertransformer", "tp": 1},
    },
}  # fmt: skip
"""Scenarios of several shapes by name, as files have them."""


_REQUESTS = 60
"""Requests of a simulation whose explanation is read."""


def scenarios() -> Iterator[tuple[str, Scenario]]:
    """The scenarios of SCENARIOS by name."""
    return ((name, api.read(fields)) for name, fields in SCENARIOS.items())


class TechniqueConformance:
    """Tests of one technique; set `technique` to an instance."""

    technique: ClassVar[Technique]

    def outcomes(self) -> Iterator[tuple[str, Scenario, Scenario | RooflabError]]:
        """Each scenario with what the technique makes of it."""
        for name, s in scenarios():
            try:
                yield name, s, s | self.technique
            except RooflabError as error:
                yield name, s, error

    def test_applies_somewhere(self) -> None:
        """At least one scenario takes it."""
        assert any(isinstance(after, Scenario) for _, _, after in self.outcomes()), "refused by every scenario"

    def test_refuses_politely(self) -> None:
        """A refusal is Infeasible, or an InputError that names a field, in one line of words."""
        for name, _, after in self.outcomes():
            if isinstance(after, RooflabError):
                assert isinstance(after, (Infeasible, InputError)), name
                assert len(str(after).split()) >= 4, f"{name}: {after}"
                assert "\n" not in str(after), name

    def test_leaves_its_argument_alone(self) -> None:
        """Scenarios are values: the one given is as it was."""
        for name, s, after in self.outcomes():
            assert s == dict(scenarios())[name]
            if isinstance(after, Scenario):
                assert after is not s

    def test_is_noted_once(self) -> None:
        """The scenario says what was applied, with its parameters."""
        for _, _, after in self.outcomes():
            if isinstance(after, Scenario):
                assert [key for key, _ in after.techniques].count(self.technique.key) == 1

    def test_is_a_value(self) -> None:
        """Frozen, equal to another with the same parameters, hashable."""
        is_a_value(self.technique)

    def test_names_a_wrong_parameter(self) -> None:
        """An unknown parameter is an error for users."""
        names_a_wrong_parameter(self.technique)

    def test_composes(self) -> None:
        """``scenario | (a | b)`` is ``(scenario | a) | b``."""
        unchanged = _Unchanged()
        for _, s, after in self.outcomes():
            if isinstance(after, Scenario):
                assert s | Techniques((unchanged, self.technique)) == after
                assert s | (self.technique | unchanged) == after

    def test_obeys_physics(self) -> None:
        """The result beats no bound of its own work, and more bandwidth never makes it slower."""
        if self.technique.engine != "estimate":
            return
        for name, s, after in self.outcomes():
            if not isinstance(after, Scenario):
                continue
            try:
                got = api.estimate(after)
            except Infeasible:
                continue
            assert got.metrics["limit_ratio"] <= 1.0 + 1e-6, f"{name}: faster than its physical limit"
            device = replace(s.hardware.device, memory_bytes_per_s=2 * s.hardware.device.memory_bytes_per_s)
            better = api.estimate(replace(s, hardware=replace(s.hardware, device=device)) | self.technique)
            before, now = got.metrics["tpot_s_mean"], better.metrics["tpot_s_mean"]
            assert not math.isfinite(before) or now <= before * (1 + 1e-9), f"{name}: slower with twice the bandwidth"

    def test_explains_truly(self) -> None:
        """Figures in the reasons are those of the comparison; words of gain and loss go with what got better and
        worse."""
        for name, s, after in self.outcomes():
            if isinstance(after, Scenario):
                found = attempt(with_requests(s, _REQUESTS), self.technique)
                if isinstance(found, Comparison):
                    assert not untrue(found), f"{name}: {'; '.join(untrue(found))}"


class _Unchanged:
    """The technique that changes nothing."""

    def apply(self, scenario: Scenario) -> Scenario:
        """The scenario itself."""
        return scenario
