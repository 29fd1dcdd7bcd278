"""The Python face: what `load` reads and says, and what the calls return."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import rooflab as rl
from rooflab.estimator.serving.answer import Estimate
from rooflab.papers.apply import apply_techniques

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def test_every_name_of_the_package_is_there() -> None:
    for name in rl.__all__:
        assert getattr(rl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'estimte'"):
        rl.estimte  # noqa: B018


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_examples_run(path: Path) -> None:
    result = rl.estimate(path)
    assert result.requests_per_s > 0
    assert 0 < result.limit_ratio <= 1


def test_file_mapping_and_scenario_are_the_same_thing(tmp_path: Path) -> None:
    fields = {"model": "Llama-3.1-8B", "hardware": "h100-sxm", "workload": {"isl": 100, "osl": 10, "batch": 2}}
    path = tmp_path / "x.json"
    path.write_text(json.dumps(fields))
    loaded = rl.load(fields)
    assert rl.load(path) == loaded
    assert rl.load(loaded) is loaded
    assert rl.estimate(path).metrics == rl.estimate(loaded).metrics


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "model: Llama-3.1-8B\nhardware: h100-smx\n",
            "x.yaml: hardware: no accelerator called 'h100-smx'. Did you mean h100-sxm",
        ),
        (
            "model: Llama-3.1-8B\nhardware: h100\nworkloads: {}\n",
            "x.yaml: no field called 'workloads'. Did you mean workload",
        ),
        (
            "model: Llama-3.1-8B\nhardware: h100\nworkload: {rat: 4}\n",
            "x.yaml: workload: no field called 'rat'. Did you mean rate",
        ),
        (
            "model: Llama-3.1-8B\nhardware: h100\nworkload: {rate: fast}\n",
            "x.yaml: workload.rate: 'fast' is not a rate (for example 4/s)",
        ),
        ("hardware: h100\n", "x.yaml: no model given"),
        ("model: [\n", "x.yaml:2: not valid YAML"),
        ("just text\n", "x.yaml: expected the fields model, hardware"),
        ("model: ./none/config.json\nhardware: h100\n", "x.yaml: none/config.json: no such file"),
        (
            "model: Llama-3.1-8B\nhardware: h100\ntechniques: [splitwize]\n",
            "x.yaml: techniques[0]: no technique called 'splitwize'",
        ),
    ],
)
def test_errors_name_the_file_and_the_field(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(rl.InputError) as error:
        rl.load(path)
    assert str(error.value).startswith(f"{tmp_path}/{says}")
    assert "\n" not in str(error.value)


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100,
    }  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text(json.dumps(config))
    (tmp_path / "x.yaml").write_text("model: mine\nhardware: h100\n")
    monkeypatch.chdir(tmp_path.parent)
    assert rl.load(tmp_path / "x.yaml").model.hidden == 64


def test_a_missing_file_is_said() -> None:
    with pytest.raises(rl.InputError, match=r"none\.yaml: no such file"):
        rl.load("none.yaml")


def test_what_does_not_fit_is_infeasible_and_the_rest_goes_on() -> None:
    small, large = (
        {"model": m, "hardware": "8 x h100-sxm", "workload": {"concurrency": 8}}
        for m in ("Llama-3.1-8B", "Llama-3.1-405B")
    )
    with pytest.raises(rl.Infeasible, match=r"^does not fit: .*fp8 weights"):
        rl.estimate(large)
    first, second = rl.estimate_many([rl.load(small), rl.load(large)])
    assert isinstance(first, Estimate)
    assert isinstance(second, rl.Infeasible)


def test_plan_takes_a_file_and_options() -> None:
    plan = rl.plan(ROOT / "examples" / "chat-70b.yaml", minimise="usd_per_mtok", top=2, explain=False)
    assert len(plan.choices) == 2
    assert plan.best.metrics["usd_per_mtok"] <= plan.choices[1].metrics["usd_per_mtok"] * 1.000001
    assert plan.best.estimate.meets() == []


def test_without_techniques_a_scenario_stays_itself() -> None:
    chat = rl.load(ROOT / "examples" / "chat-70b.yaml")
    assert apply_techniques(chat) is chat
