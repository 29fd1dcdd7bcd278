"""`--save` and `rooflab runs`: answers that are kept, shown, compared and handed on; nothing needs the store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rooflab.cli.main import run
from rooflab.errors import InputError
from rooflab.planner.shares import shares
from rooflab.store.differ import differ
from rooflab.store.opening import Store
from rooflab.store.runs import Asked, Run, runs
from rooflab.store.runs import run as kept_run

ROOT = Path(__file__).parents[1]
CHAT = str(ROOT / "examples" / "chat-70b.yaml")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("ROOFLAB_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        status = run(list(words))
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def test_without_save_there_is_no_store(cli, tmp_path: Path) -> None:
    assert cli("estimate", CHAT, "--tp", "4")[0] == 0
    assert list(tmp_path.iterdir()) == []
    status, _, err = cli("estimate", CHAT, "--store", "x")
    assert (status, err) == (2, "--store: is of no use without --save NAME\n")


def test_answers_are_kept_and_are_what_json_prints(cli, tmp_path: Path) -> None:
    status, out, err = cli("estimate", CHAT, "--tp", "4", "--save", "four", "--json")
    assert (status, err) == (0, "kept as four: rooflab runs show four\n")
    (listed,) = json.loads(cli("runs", "list", "--json")[1])
    assert (listed["name"], listed["kind"], listed["seed"]) == ("four", "estimate", 0)
    shown = json.loads(cli("runs", "show", "four", "--json")[1])
    assert shown["result"] == json.loads(out)
    assert shown["scenario"]["deployment"] == {"tp": 4}
    assert cli("runs", "export", "four", "--what", "scenario", "--out", "four.yaml")[0] == 0
    again = cli("estimate", "four.yaml", "--json")[1]
    assert json.loads(again)["metrics"] == json.loads(out)["metrics"]


def test_a_plan_that_was_kept_is_a_plans_file(cli) -> None:
    assert cli("plan", CHAT, "--no-prove", "--top", "2", "--save", "plan")[0] == 0
    assert cli("runs", "export", "plan", "--what", "result", "--out", "plan.json")[0] == 0
    assert cli("estimate", "plan.json", "--choice", "2")[0] == 0
    assert "deployment" in cli("runs", "show", "plan")[1]
    status, _, err = cli("plan", "plan.json", "--emit", "vllm", "--save", "again")
    assert (status, err.count("\n")) == (2, 1)


def test_diff_says_what_changed_and_why(cli) -> None:
    cli("estimate", CHAT, "--tp", "4", "--weights", "fp8", "--save", "a")
    cli("estimate", CHAT, "--tp", "8", "--weights", "fp8", "--rate", "6/s", "--save", "b")
    status, out, _ = cli("runs", "diff", "a", "b")
    assert status == 1
    assert "workload.rate: 4 → 6" in out
    assert "deployment.tp: 4 → 8" in out
    record = json.loads(cli("runs", "diff", "a", "b", "--json")[1])
    assert record["why"] == "2 inputs differ: nothing else can have moved the figures"
    assert record["code"] == []
    cost = next(c for c in record["results"] if c["place"] == "usd_per_mtok")
    alone = {one["input"]: one["ratios"] for one in record["alone"]}
    assert cost["ratio"] == pytest.approx(alone["workload.rate"]["usd_per_mtok"], rel=1e-6)
    assert "usd_per_mtok" not in alone["deployment.tp"]
    assert cli("runs", "diff", "a", "a")[0] == 0


def test_spelling_is_no_difference(cli) -> None:
    cli("estimate", CHAT, "--tp", "4", "--save", "a")
    status, _, err = cli("estimate", CHAT, "--tp", "4", "--slo", "ttft_p99=1000 ms", "--save", "a")
    assert (status, err) == (0, "kept as a: rooflab runs show a\n")


def test_a_taken_name_is_refused_before_anything_is_computed(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("estimate", CHAT, "--tp", "4", "--save", "a")
    monkeypatch.setattr("rooflab.api.plan", lambda *_, **__: pytest.fail("computed"))
    status, out, err = cli("plan", CHAT, "--save", "a")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "rooflab runs rm a" in err


def test_papers_and_checks_are_kept(cli) -> None:
    words = ("papers", "run", "llm_viewer", CHAT, "--save", "viewed", "--json")
    status, out, _ = cli(*words)
    assert status == 0
    with Store.open() as store:
        found = kept_run(store, "viewed")
    assert found.result == json.loads(out)
    assert found.asked.inputs["paper"] == "llm_viewer"
    assert "viewed" in cli("runs", "list", "--kind", "paper", "-q")[1]
    assert cli("runs", "list", "--kind", "papr")[0] == 2
    assert cli("runs", "list", "--kind", "check")[0] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("runs", "show", "nope"), "no run called 'nope'"),
        (("runs", "rm", "four", "nope"), "no run called 'nope'"),
        (("runs", "diff", "four", "fuor"), "Did you mean four"),
        (("runs", "export", "four", "--what", "half"), "no part of a run called 'half'"),
        (("estimate", CHAT, "--save", ""), "is no name of a run"),
        (("estimate", CHAT, CHAT, "--save", "two"), "takes one scenario"),
        (("estimate", "--batch", "x.jsonl", "--save", "two"), "takes one scenario"),
    ],
)
def test_mistakes_are_one_line(cli, words: tuple[str, ...], told: str) -> None:
    cli("estimate", CHAT, "--tp", "4", "--save", "four")
    status, out, err = cli(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert told in err
    with Store.open() as store:
        assert [r.name for r in runs(store)] == ["four"]


def made(name: str, result: object, **more: object) -> Run:
    given = {"kind": "estimate", "inputs": {}, "version": "1", "code": "c"} | more
    asked = Asked(**given)
    return Run(name=name, asked=asked, result=result, status=0, seconds=0.0, kept_at="2026-01-01T00:00:00+00:00")


def test_differences_of_code_and_of_nothing() -> None:
    a, b = made("a", {"metrics": {"x": 1.0, "y": 2.0}}), made("b", {"metrics": {"x": 3.0, "y": 2.0}}, code="d")
    found = differ(a, b)
    assert [c.place for c in found.results] == ["x"]
    assert found.why == "the code or the libraries under it differ: nothing else can have moved the figures"
    assert found.same == 1
    unexplained = differ(a, made("c", {"metrics": {"x": 3.0}}))
    assert "something that is not kept" in unexplained.why
    assert shares(found) == ()
    with pytest.raises(InputError, match="share no figure"):
        differ(a, made("d", [], kind="check"))
