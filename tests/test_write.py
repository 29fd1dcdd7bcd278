"""Scenarios written and read again: equal ones, techniques once, and a hash that knows what was asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import rooflab as rl
from rooflab.api import read
from rooflab.cli.scenario_options import Given
from rooflab.errors import InputError
from rooflab.scenario.lengths import Lengths
from rooflab.scenario.scenario import Scenario
from rooflab.scenario.traffic import Sessions
from rooflab.scenario.write import asked, asked_hash, write_scenario, written

TINY = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512, "intermediate_size": 1408,
        "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 32000,
        "name": "tiny"}  # fmt: skip
OWN = {"name": "card", "memory": "48 GB", "bandwidth": "1.2 TB/s",
       "peak": {"bf16": "300 TFLOP/s", "fp8": "0.6 PFLOP/s"},
       "tdp": "300 W", "kind": "gpu", "family": "ada"}  # fmt: skip

models = st.sampled_from(
    ("Llama-3.1-8B", "meta-llama/Llama-3.1-70B-Instruct", "Qwen3-30B-A3B", "DeepSeek-V3", "gemma-2-9b-FP8",
     "nvidia/Nemotron-H-56B-Base-8K", TINY, {"like": "Llama-3.1-8B", "num_hidden_layers": 2}, "t5-v1_1-xl")
)  # fmt: skip
machines = st.sampled_from(
    ("8 x h100-sxm", "16xH200", "2 x dgx-h100", {"device": "a100-sxm-80gb", "count": 4, "power_limit": "300 W"},
     {"device": OWN, "count": 2, "devices_per_host": 2, "scale_up": "64 GB/s"},
     {"device": {"like": "l40s", "memory": "64 GB"}},
     {"device": "h100", "count": 8, "network": "25 GB/s", "price": 2.5, "grid": "FRA", "pue": 1.3, "clock": 0.9,
      "tiers": ["dram"]})
)  # fmt: skip
lengths = st.one_of(
    st.integers(1, 9000), st.sampled_from(("100..2000", "1 ktok")), st.floats(1.0, 5000.0),
    st.builds(lambda a, b: {"uniform": {"low": a, "high": a + b}}, st.integers(1, 500), st.integers(1, 500)),
    st.builds(lambda m, c: {"lognormal": {"mean": m, "cv": c, "high": 30000}}, st.floats(100, 2000), st.floats(0.1, 2)),
    st.builds(lambda m: {"exponential": {"mean": m}}, st.floats(2.0, 1000.0)),
    st.builds(lambda t: {"quantiles": sorted(t)}, st.lists(st.integers(1, 5000), min_size=2, max_size=9)),
)  # fmt: skip
times = st.one_of(
    st.sampled_from(("10 s", "70 ms", {"fixed": "2 s"}, {"lognormal": {"mean": "8 s", "cv": 2}},
                     {"quantiles": [0, 1, 9]})),
    st.floats(0.001, 100.0),
)  # fmt: skip
loads = st.sampled_from(
    ({"rate": "4/s"}, {"rate": 0.37}, {"concurrency": 64}, {"batch": 8}, {"scenario": "max-throughput"}, {},
     {"scenario": "batch1"}, {"like": "azure-conv"}, {"like": "sharegpt", "concurrency": 9})
)  # fmt: skip
traffic = st.fixed_dictionaries({}, optional={
    "isl": lengths, "osl": lengths, "arrivals": st.sampled_from(("gamma", "uniform", "burst", "diurnal")),
    "arrivals_cv": st.floats(0.1, 4.0), "requests": st.integers(1, 10**6), "rounds": st.integers(1, 20),
    "length_jitter": st.floats(0, 0.9), "start": st.just("staggered"), "seed": st.integers(0, 2**40),
    "correlation": st.floats(-1, 1), "burst_size": st.integers(1, 99), "predict_cv": st.floats(0, 2),
    "diurnal": st.just({"period": "1 h", "swing": 0.5}), "beams": st.integers(1, 4),
    "sessions": st.fixed_dictionaries({}, optional={
        "turns": lengths, "think": times, "tool": times, "tool_share": st.floats(0, 1), "prompt": st.just("whole"),
        "clock": st.just("arrival"), "alike": st.floats(0, 1), "context": st.integers(1, 10**5)}),
    "classes": st.just([{"name": "chat", "share": 0.8, "slo": {"ttft": "1 s"}, "isl": "10..20"},
                        {"name": "batch", "share": "20 %", "osl": 8000, "priority": 1}]),
    "prefixes": st.sampled_from((2000, {"tokens": 2000, "count": 20, "skew": 1, "share": 0.8})),
    "clients": st.sampled_from((8, {"count": 8, "skew": 1}, {"shares": [4, 1, 1]})),
    "adapters": st.sampled_from((16, {"count": 16, "rank": 32})),
})  # fmt: skip
deployments = st.fixed_dictionaries({}, optional={
    "engine": st.sampled_from(("vLLM", "trt-llm", "sglang", "ideal")), "engine_version": st.just("0.6.1"),
    "tp": st.sampled_from((1, 2, 4)), "pp": st.sampled_from((1, 2)), "ep": st.just(2), "dp": st.just(2),
    "replicas": st.integers(1, 4), "weights": st.sampled_from(("fp8", "awq")), "activations": st.just("fp8"),
    "experts": st.just("mxfp4"), "kv": st.just("e4m3"), "max_num_seqs": st.integers(1, 999), "host": st.just("slow"),
    "max_model_len": st.integers(1, 10**6), "gpu_memory_utilization": st.floats(0.1, 1.0), "cuda_graphs": st.booleans(),
    "chunked_prefill": st.booleans(), "prefix_caching": st.booleans(), "admit_every": st.integers(1, 50),
    "speculation": st.just({"tokens": 3, "acceptance": "70 %"}), "overlap": st.just({"comm": 0.5}),
    "offload": st.just({"weights": "dram", "kv": "dram", "attention": "cpu"}), "batching": st.just("separate"),
    "policy": st.just("priority"), "preemption": st.just("swap"),
    "rotation": st.sampled_from((25, {"steps": 9, "sticky": 0.1})),
    "swap": st.just({"call": "5 us", "run_blocks": 8, "asynchronous": True}), "router": st.just("least-loaded"),
    "pools": st.just([{"role": "prefill", "replicas": 2, "tp": 1, "hardware": "2 x h100"},
                      {"role": "decode", "replicas": 1}]),
    "transfer": st.just({"bandwidth": "50 GB/s", "latency": "5 us", "layerwise": False}), "spill_tokens": st.just(4000),
    "kv_tiers": st.just({"host": "200 GB", "swap": "50 GB"}), "max_waiting": st.integers(0, 99),
    "autoscale": st.just({"load": 8, "most": 4, "every": "5 s", "startup": "10 s"}),
    "failures": st.just([{"replica": 0, "at": "100 s"}, {"replica": 1, "at": 5, "until": "1 min"}]),
    "speed": st.just([{"at": "60 s", "power_limit": "400 W"}, {"at": 70, "clock": 0.5, "replica": 1}]),
})  # fmt: skip
targets = st.sampled_from(({}, {"ttft": "70 ms"}, {"ttft_p99": 0.1, "tpot_mean": "7 ms", "e2e_p50": "2 min"}))


@st.composite
def fields(draw: st.DrawFn) -> dict[str, Any]:
    """A scenario file with some of everything; it need not fit."""
    load, more = draw(loads), draw(traffic)
    if "prefixes" in more and load.get("like"):
        del more["prefixes"]
    return {
        "name": draw(st.sampled_from(("", "a name: of its own"))), "model": draw(models), "hardware": draw(machines),
        "workload": load | more, "deployment": draw(deployments), "slo": draw(targets),
    }  # fmt: skip


def again(scenario: Scenario) -> Scenario:
    return read(yaml.safe_load(yaml.safe_dump(written(scenario), sort_keys=False)))


def assert_same(scenario: Scenario) -> Scenario:
    found = again(scenario)
    assert found == scenario
    assert asked_hash(found) == asked_hash(scenario)
    assert json.loads(json.dumps(written(found), allow_nan=False)) == written(scenario)
    return found


@settings(max_examples=150, deadline=None)
@given(fields())
def test_what_was_written_reads_as_the_same_scenario(given: dict[str, Any]) -> None:
    assert_same(read(given))


@settings(max_examples=40, deadline=None)
@given(fields(), st.sampled_from(("model", "hardware", "workload")))
def test_nouns_that_python_changed_are_written_with_all_their_figures(given: dict[str, Any], which: str) -> None:
    s = read(given)
    if which == "model":
        s = replace(s, model=replace(s.model, dtype="int4", name="mine"))
    elif which == "hardware":
        s = replace(s, hardware=replace(s.hardware, count=64, device=replace(s.hardware.device, memory_bytes=1e12 / 3)))
    else:
        odd = Lengths("lognormal", 100.25, 0.3, 3.0, 1e5)
        s = s.with_workload(osl=odd, sessions=Sessions(turns=odd, think=odd, tool=odd, tool_share=0.0))
    assert_same(s)


CHAT: dict[str, Any] = {
    "model": "Llama-3.1-8B", "hardware": "8 x h100-sxm",
    "workload": {"isl": 6000, "osl": 300, "rate": "4/s", "requests": 100}, "deployment": {"engine": "vllm", "tp": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    "calls",
    [
        ["splitwise"], [{"splitwise": {"prefill": 2, "decode": 3}}], [{"sparse_attention": {"budget": 512}}],
        ["nanoflow"], [{"weight_bits": {"bits": 4, "cache_bits": 8}}], [{"weight_bits": {"bits": 8}}, "splitwise"],
        ["fastswitch"], ["qserve"],
        [{"polca": {"clock": 0.8}}, {"sparse_attention": {"block": 32}}],
    ],
)  # fmt: skip
def test_techniques_are_asked_for_once(calls: list[Any]) -> None:
    plain = read(CHAT)
    s = read({**CHAT, "techniques": calls})
    assert s != plain
    assert replace(asked(s), techniques=()) == plain
    assert written(s)["deployment"] == CHAT["deployment"]
    assert assert_same(s).techniques == s.techniques
    assert len(s.techniques) == len(calls)
    assert asked_hash(s) != asked_hash(plain)


def test_what_is_changed_after_a_technique_is_asked_for_before_it() -> None:
    s = read(CHAT) | rl.papers.splitwise(prefill=1)
    changed = s.with_deployment(max_num_seqs=17).with_workload(rate=3.0)
    both = changed | rl.papers.weight_bits(bits=8)
    assert_same(both)
    own = {**CHAT["deployment"], "max_num_seqs": 17, "gpu_memory_utilization": 0.8}
    assert written(both.with_deployment(gpu_memory_utilization=0.8))["deployment"] == own
    with pytest.raises(InputError, match="changed after splitwise"):
        written(s.with_deployment(pools=()))


def test_rewrites_of_no_technique_cannot_be_written() -> None:
    with pytest.raises(InputError, match="rewrites"):
        written(replace(read(CHAT), rewrites=(lambda operators: operators,)))


SPELLINGS: list[dict[str, Any]] = [
    {"deployment": {"tp": 1, "engine": "vLLM"}, "hardware": {"device": "h100", "count": 8}},
    {"workload": {"requests": 100.0, "rate": 4.0, "osl": "300", "isl": "6_000 tokens"}},
    {"model": "meta-llama/Llama-3.1-8B", "name": "another"},
    {
        "workload": {**CHAT["workload"], "arrivals": "poisson"},
        "deployment": {**CHAT["deployment"], "block_size": 16},
    },
]


@pytest.mark.parametrize("other", SPELLINGS)
def test_the_hash_does_not_depend_on_spelling(other: dict[str, Any]) -> None:
    assert asked_hash(read({**CHAT, **other})) == asked_hash(read(CHAT))
    for spelled in ({"ttft": "70 ms"}, {"ttft_p99": 0.07}):
        assert asked_hash(read({**CHAT, "slo": spelled})) == asked_hash(read({**CHAT, "slo": {"ttft": "0.07 s"}}))


def test_flags_and_file_hash_the_same(tmp_path: Path) -> None:
    path = tmp_path / "chat.yaml"
    path.write_text("model: Llama-3.1-8B\nhardware: 8 x h100-sxm\nworkload: {isl: 6000, osl: 300, rate: 1/s}\n")
    flags = {"workload.rate": "4/s", "workload.requests": "100", "deployment.engine": "vllm", "deployment.tp": "1"}
    assert asked_hash(Given(str(path), flags).scenario()) == asked_hash(read(CHAT))


@settings(max_examples=80, deadline=None)
@given(fields(), fields(), st.sampled_from(("model", "hardware", "workload", "deployment", "slo")))
def test_the_hash_differs_where_a_field_does(one: dict[str, Any], other: dict[str, Any], noun: str) -> None:
    a, b = read(one), read({**one, noun: other[noun]})
    assert (asked_hash(a) == asked_hash(b)) == (replace(a, workload=replace(a.workload, like=None)) ==
                                                replace(b, workload=replace(b.workload, like=None)))  # fmt: skip


def test_a_hash_stays() -> None:
    """What a store keyed by it holds must be found again: a change here needs a reason, and makes old runs anew."""
    own = {"device": OWN, "count": 2, "devices_per_host": 2, "scale_up": "64 GB/s", "price": 1, "grid": 300, "pue": 1}
    s = read({**CHAT, "model": TINY, "hardware": own})
    assert asked_hash(s)[:16] == "33583fd6768b8fda"


def test_files(tmp_path: Path) -> None:
    config = tmp_path / "mine" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({k: v for k, v in TINY.items() if k != "name"}))
    (tmp_path / "trace.csv").write_text("arrival_s,input_tokens,output_tokens\n0,100,10\n1,200,20\n3,50,5\n")
    (tmp_path / "s.yaml").write_text("model: mine\nhardware: h100\nworkload: {trace: trace.csv}\nname: own\n")
    s = rl.load(tmp_path / "s.yaml")
    (tmp_path / "elsewhere").mkdir()
    for name in ("a.yaml", "b.json"):
        write_scenario(s, tmp_path / "elsewhere" / name)
        found = rl.load(tmp_path / "elsewhere" / name)
        assert found == s
        assert asked_hash(found) == asked_hash(s)
    assert "exact" not in (tmp_path / "elsewhere" / "a.yaml").read_text()
    before = asked_hash(s)
    (tmp_path / "trace.csv").write_text("arrival_s,input_tokens,output_tokens\n0,100,10\n1,200,20\n2,50,5\n")
    assert asked_hash(s) != before


def test_errors_of_exact_nouns_say_where() -> None:
    good = written(replace(read(CHAT), model=replace(read(CHAT).model, dtype="fp8")))
    for change, message in (
        (("hidden", "x"), "model.exact.hidden: 'x' is not a whole number"),
        (("hiden", 1), "model.exact: no field called 'hiden'"),
        (("kind", "coder"), "model.exact.kind: no choice called 'coder'"),
        (("runs", [{"count": 1, "block": {"mixers": [{"Attentio": {}}], "ffn": None}}]), "mixers[0]: no kind called"),
    ):
        with pytest.raises(InputError) as raised:
            read({**good, "model": {"exact": {**good["model"]["exact"], change[0]: change[1]}}})
        assert message in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tp": "two"}, "deployment.tp: 'two' is not a count"),
        ({"isl": 100}, "workload.isl: 100 are no Lengths"),
        ({"rate": float("nan")}, "workload.rate: nan must be above zero"),
        ({"concurrency": 3}, "workload: rate and concurrency exclude each other"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    s = read(CHAT)
    changed = s.with_deployment(**changes) if "tp" in changes else s.with_workload(**changes)
    with pytest.raises(InputError) as raised:
        write_scenario(changed, tmp_path / "s.yaml")
    assert message in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    plain = read(CHAT).with_workload(rate=3.5).with_deployment(tp=2)
    s = plain.with_workload(rate=np.float64(3.5)).with_deployment(tp=np.int64(2))
    assert asked_hash(s) == asked_hash(plain)
    write_scenario(s, tmp_path / "s.yaml")
    assert rl.load(tmp_path / "s.yaml") == plain


def test_json_is_read_as_json(tmp_path: Path) -> None:
    """YAML takes 1e-06 for a text and folds odd line ends."""
    h = read(CHAT).hardware
    h = replace(h, device=replace(h.device, scale_up=replace(h.device.scale_up, latency_s=1e-6)))
    s = replace(read(CHAT), hardware=h, name="a\u2028b")
    write_scenario(s, tmp_path / "s.json")
    assert "1e-06" in (tmp_path / "s.json").read_text()
    assert rl.load(tmp_path / "s.json") == s


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"techniques": [{"splitwise": [1]}]}, "techniques[0].splitwise: expected parameters by name, got [1]"),
        ({"techniques": [{"splitwise": {1: 2, "a": 3}}]}, "techniques[0].splitwise: expected parameters by name"),
        ({"slo": {"ttft": 1, "ttft_p99": 2}}, "slo: ttft_p99 is given twice"),
        ({"name": [1]}, "name: expected text, got [1]"),
        ({"deployment": {"tp": float("inf")}}, "deployment.tp: inf is not a whole number"),
        ({"deployment": {"block_size": 10**7}}, "deployment.block_size: 10000000 is too large; at most 1,000,000"),
        ({"deployment": {"max_waiting": 10**30}}, "is too large; at most 1,000,000,000,000,000"),
        ({"workload": {"requests": "1e12"}}, "workload.requests: '1e12' is too large; at most 1,000,000,000"),
        ({"workload": {"clients": 10**9}}, "is too large; at most 10,000,000"),
        ({"workload": {"predict_cv": 1e300}}, "workload.predict_cv: 1e+300 is out of range"),
    ],
)  # fmt: skip
def test_wrong_fields_are_told_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as raised:
        read({**CHAT, **fields})
    assert message in str(raised.value)
