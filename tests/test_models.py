"""The model catalogue: published counts, names as people write them, formats, and the speed of a lookup."""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest

from rooflab.catalogue import models
from rooflab.catalogue._data import load
from rooflab.catalogue.names import NameIndex, normalise
from rooflab.errors import InputError
from rooflab.scenario.model import Model

SHARED = Path(__file__).parents[1].parent / "shared" / "data" / "catalogue"
CATALOGUE = load("models")
COUNTED = [key for key, facts in CATALOGUE.items() if "params" in facts]
EXPLAINED = [key for key in COUNTED if "published" in CATALOGUE[key].get("note", "")]


def shape(m: Model) -> tuple[object, ...]:
    return (m.runs, m.encoder, m.hidden, m.vocab, m.tied, m.head, m.mtp, m.positions)


@pytest.mark.parametrize("key", [k for k in COUNTED if k not in EXPLAINED])
def test_parameters_match_the_published_count(key: str) -> None:
    expected = CATALOGUE[key]["params"]
    seen = models.model(key).parameters
    assert seen == pytest.approx(expected, rel=0.005), CATALOGUE[key][
        "counted" if "counted" in CATALOGUE[key] else "source"
    ]


@pytest.mark.parametrize("key", EXPLAINED)
def test_an_exception_is_a_real_one(key: str) -> None:
    seen, expected = models.model(key).parameters, CATALOGUE[key]["params"]
    assert abs(seen / expected - 1) > 0.004
    assert seen == pytest.approx(expected, rel=0.1)


def test_most_published_counts_are_met_to_the_last_million() -> None:
    exact = [k for k in COUNTED if CATALOGUE[k]["exact"]]
    met = [k for k in exact if abs(models.model(k).parameters / CATALOGUE[k]["params"] - 1) < 1e-6]
    assert len(exact) >= 180
    assert len(met) >= 0.95 * len(exact)


@pytest.mark.parametrize(
    ("key", "count"),
    [
        ("meta-llama/Llama-3.1-8B", 8_030_261_248),
        ("meta-llama/Llama-3.1-70B", 70_553_706_496),
        ("meta-llama/Llama-3.1-405B", 405_853_388_800),
        ("openai/gpt-oss-20b", 20_914_757_184),
        ("openai/gpt-oss-120b", 116_829_156_672),
        ("mistralai/Mixtral-8x22B-v0.1", 140_620_634_112),
        ("google/gemma-2-27b", 27_227_128_320),
        ("openai-community/gpt2-xl", 1_557_611_200),
        ("google-t5/t5-11b", 11_307_321_344),
        ("deepseek-ai/DeepSeek-V2", 235_741_434_880),
        ("ai21labs/Jamba-v0.1", 51_570_323_328),
        ("state-spaces/mamba2-2.7b", 2_702_599_680),
        ("openai/whisper-large-v3", 1_543_490_560),
        ("google/vit-huge-patch14-224", 632_045_800),
        ("mosaicml/mpt-70b", 64_862_437_376),
    ],
)
def test_parameters_to_the_last_digit(key: str, count: int) -> None:
    assert models.model(key).parameters == count


def test_tied_embeddings_stored_twice_explain_falcon() -> None:
    for key in ("tiiuae/falcon-7b", "tiiuae/falcon-180B"):
        m = models.model(key)
        assert m.parameters + m.vocab * m.hidden == CATALOGUE[key]["params"]


def test_the_prediction_layer_explains_glm() -> None:
    m = models.model("zai-org/GLM-5.3")
    assert m.mtp_layers == 1
    assert m.parameters + m.mtp_parameters == CATALOGUE["zai-org/GLM-5.3"]["params"]


@pytest.mark.parametrize("key", [k for k, facts in CATALOGUE.items() if "active" in facts])
def test_active_parameters_are_within_the_published_rounding(key: str) -> None:
    """Published figures count both embeddings, one, or none, and are rounded to one or two digits."""
    m, published = models.model(key), CATALOGUE[key]["active"]
    conventions = [m.active_parameters - n * m.vocab * m.hidden for n in range(3)]
    step = 10.0 ** (len(str(published)) - len(str(published).rstrip("0")))
    slack = max(0.05 * published, 0.6 * step)
    assert min(abs(seen - published) for seen in conventions) <= slack


LABELS = {
    "LLaMA v2 70B": "meta-llama/Llama-2-70b-hf",
    "llama2-70b-99.9": "meta-llama/Llama-2-70b-hf",
    "llama2-70b-99": "meta-llama/Llama-2-70b-hf",
    "Llama-2-70b": "meta-llama/Llama-2-70b-hf",
    "Llama-2 70B LoRA (MLPerf)": "meta-llama/Llama-2-70b-hf",
    "Llama 2 7B Chat": "meta-llama/Llama-2-7b-hf",
    "LLAMA3_70B SFT": "meta-llama/Meta-Llama-3-70B",
    "Meta-Llama-3-8B": "meta-llama/Meta-Llama-3-8B",
    "meta-llama3-8b-instruct": "meta-llama/Meta-Llama-3-8B",
    "llama-3-8b qlora": "meta-llama/Meta-Llama-3-8B",
    "meta-llama/Llama-3.1-70B-Instruct": "meta-llama/Llama-3.1-70B",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "meta-llama/Llama-3.1-8B",
    "nvidia/Llama-3.1-70B-Instruct-FP8": "meta-llama/Llama-3.1-70B",
    "LLaMA v3.1 405B": "meta-llama/Llama-3.1-405B",
    "Llama 3.1:70b": "meta-llama/Llama-3.1-70B",
    "llama3.1-8b-edge": "meta-llama/Llama-3.1-8B",
    "Llama 3.1 405B QLoRA": "meta-llama/Llama-3.1-405B",
    "Llama 3.3 70B Instruct": "meta-llama/Llama-3.3-70B-Instruct",
    "Llama 3.2:3b": "meta-llama/Llama-3.2-3B",
    "Llama 4 Maverick 17B-128E": "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
    "Llama-4-Scout 17Bx16E": "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "llama4-scout": "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "LLaMA-65B": "huggyllama/llama-65b",
    "Llama-2-34B": "codellama/CodeLlama-34b-hf",
    "DeepSeek-R1-0528": "deepseek-ai/DeepSeek-R1",
    "DeepSeek R1 671b": "deepseek-ai/DeepSeek-R1",
    "DeepSeek R1 14b": "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
    "deepseek-r1:70b": "deepseek-ai/DeepSeek-R1-Distill-Llama-70B",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-ai/DeepSeek-R1",
    "DeepSeekV3 (w/o MTP)": "deepseek-ai/DeepSeek-V3",
    "deepseek-v3-0324": "deepseek-ai/DeepSeek-V3",
    "DeepSeekV4 Flash": "deepseek-ai/DeepSeek-V4-Flash",
    "gpt-oss-120b": "openai/gpt-oss-120b",
    "GPT OSS 120B": "openai/gpt-oss-120b",
    "gptoss-120b": "openai/gpt-oss-120b",
    "gpt-oss:20b": "openai/gpt-oss-20b",
    "Qwen3-32B-FP8": "Qwen/Qwen3-32B",
    "Qwen3_30B_a3B (tokendrop)": "Qwen/Qwen3-30B-A3B",
    "qwen3-235b": "Qwen/Qwen3-235B-A22B",
    "Qwen/Qwen3-235B-A22B-Thinking-2507-FP8": "Qwen/Qwen3-235B-A22B",
    "Qwen-1.5-72B": "Qwen/Qwen1.5-72B",
    "qwen-1_8b-chat LoRA": "Qwen/Qwen-1_8B",
    "Qwen-72B LoRA + Deepspeed Zero3": "Qwen/Qwen-72B",
    "Qwen2.5-7B-Instruct-AWQ": "Qwen/Qwen2.5-7B",
    "qwq": "Qwen/QwQ-32B",
    "Mistral 7B v0.1 Instruct": "mistralai/Mistral-7B-v0.1",
    "mistralai/Mistral-7B-Instruct-v0.3": "mistralai/Mistral-7B-v0.3",
    "mistral-7b-v0.2 lora": "mistralai/Mistral-7B-Instruct-v0.2",
    "mixtral-8x7b": "mistralai/Mixtral-8x7B-v0.1",
    "mistralai/Mixtral-8x22B-Instruct-v0.1": "mistralai/Mixtral-8x22B-v0.1",
    "gemma-3-4b": "google/gemma-3-4b-it",
    "gemma2:9b": "google/gemma-2-9b",
    "google/gemma-1.1-7b-it": "google/gemma-7b",
    "Nemotron_3_Nano": "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "Nemotron V3 Super 120B": "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-FP8",
    "Kimi_K2": "moonshotai/Kimi-K2-Instruct",
    "zhipuai/GLM-5": "zai-org/GLM-5",
    "gptj-99.9": "EleutherAI/gpt-j-6b",
    "GPT 530B (MT-NLG)": "nvidia/mt-nlg-530b",
    "GPT 1T": "megatron/gpt-1t",
    "OPT-66B RLHF step 3": "facebook/opt-66b",
    "BERT-large weights only": "google-bert/bert-large-uncased",
    "phi-1.5 1.3B LoRA": "microsoft/phi-1_5",
    "T5 3B": "nemo/t5-3b",
    "t5-3b": "google-t5/t5-3b",
    "ViT-B/16": "google/vit-base-patch16-224",
    "Llama4-16E truncated to 2 layers": "meta-llama/Llama-4-Scout-17B-16E-Instruct",
}


@pytest.mark.parametrize("label", LABELS)
def test_labels_as_people_write_them(label: str) -> None:
    assert shape(models.model(models.resolve(label))) == shape(models.model(LABELS[label]))


def test_every_shared_label_reaches_its_architecture() -> None:
    path = SHARED / "model_names.csv"
    if not path.is_file():
        pytest.skip("the shared catalogue is not beside this checkout")
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["config_id"]]
    wrong = [
        r["label"]
        for r in rows
        if shape(models.model(models.resolve(r["label"]))) != shape(models.model(r["config_id"]))
    ]
    assert len(rows) > 400
    assert not wrong


@pytest.mark.parametrize(
    ("label", "dtype", "expert_dtype", "kv_dtype"),
    [
        ("meta-llama/Llama-3.1-70B", "bf16", None, None),
        ("Llama-3.3-70B-Instruct-FP8", "fp8", None, None),
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "fp8", None, "fp8"),
        ("Qwen3-32B-FP8", "fp8-block", None, None),
        ("DeepSeek-R1-0528", "fp8-block", None, None),
        ("DeepSeek-R1-0528-NVFP4", "bf16", "nvfp4", None),
        ("deepseek-v3-bf16", "bf16", None, None),
        ("Llama-3.1-70B-NVFP4", "nvfp4", None, None),
        ("gpt-oss-120b", "bf16", "mxfp4", None),
        ("Kimi-K2.5", "bf16", "int4-g32", None),
        ("Mixtral-8x7B-Instruct-v0.1-AWQ", "int4", None, None),
        ("DeepSeek-V4-Pro", "fp8-block", "mxfp4", None),
        ("Qwen2.5-7B-Instruct-GPTQ-Int4", "int4", None, None),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8", "int8", None, None),
        ("Meta-Llama-3.1-8B-Instruct-FP8-dynamic", "fp8", None, None),
        ("llama3.1:8b-instruct-q4_K_M", "q4_k_m", None, None),
    ],
)
def test_formats_by_name(label: str, dtype: str, expert_dtype: str | None, kv_dtype: str | None) -> None:
    m = models.model(label)
    assert (m.dtype, m.expert_dtype, m.kv_dtype) == (dtype, expert_dtype, kv_dtype)


@pytest.mark.parametrize("label", ["Llama-27B", "Qwen3-17B", "DeepSeek-R2", "llama", "gpt", "", "   "])
def test_a_name_that_is_not_there_is_an_error_and_not_a_guess(label: str) -> None:
    with pytest.raises(InputError) as caught:
        models.model(label, "scenario.model")
    assert str(caught.value).startswith("scenario.model: ")
    assert "\n" not in str(caught.value)


def test_the_error_names_what_is_near() -> None:
    with pytest.raises(InputError, match=r"Did you mean .*Qwen3-14B"):
        models.model("Qwen3-17B")


def test_a_truncated_model_has_fewer_layers() -> None:
    assert models.model("Llama4-16E truncated to 2 layers").layers == 2


def test_from_a_file_a_folder_and_a_mapping(tmp_path: Path) -> None:
    config = {
        "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151936, "tie_word_embeddings": True,
    }  # fmt: skip
    folder = tmp_path / "Qwen3-0.6B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    by_name = models.model("Qwen3-0.6B")
    for given in (str(folder), str(folder / "config.json"), config):
        assert shape(models.model(given)) == shape(by_name)
    assert models.model(str(folder)).name == "Qwen3-0.6B"


def test_inline_from_a_catalogue_model() -> None:
    m = models.model({"like": "Llama-3.1-8B", "num_hidden_layers": 2, "name": "tiny"})
    assert (m.name, m.layers, m.hidden) == ("tiny", 2, 4096)


def test_bad_files_are_input_errors(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for given in (str(broken), str(tmp_path / "absent.json")):
        with pytest.raises(InputError) as caught:
            models.model(given)
        assert caught.value.where == given
    with pytest.raises(InputError, match="is not a model"):
        models.model(7)


def test_listing() -> None:
    rows = models.list_models()
    assert len(rows) == len(CATALOGUE) >= 300
    assert set(rows[0]) == {"key", "params", "active", "layers", "hidden", "heads", "kv", "dtype", "source"}
    assert all(row["source"] and row["params"] > 0 and row["layers"] > 0 for row in rows)


def test_one_spelling_means_one_architecture() -> None:
    """A name or alias reaches the entry that bears it: no other entry has claimed its spelling with another shape."""
    for key, facts in CATALOGUE.items():
        for name in (key, *facts.get("aliases", ())):
            assert shape(models.model(models.resolve(name))) == shape(models.model(key)), name


def test_lookup_is_fast() -> None:
    models.resolve("Llama-3.1-8B")
    start = time.perf_counter()
    models._named.cache_clear()
    models.model("DeepSeek-V3")
    assert time.perf_counter() - start < 0.05  # about 2 ms; the bound leaves room for a busy machine


def test_normalise() -> None:
    assert normalise("LLaMA v2 70B") == normalise("llama2-70b") == "llama-2-70-b"
    assert normalise("Llama-27B") != normalise("Llama-2-7B")
    assert normalise("Qwen-1_8B", decimal_underscore=True) == normalise("qwen-1.8b")
    assert normalise("Qwen3_30B", decimal_underscore=True) == "qwen-3-30-b"


def test_name_index() -> None:
    index = NameIndex("fruit")
    index.add("orchard/Apple-2", "apple")
    assert index.resolve("apple v2") == "apple"
    with pytest.raises(InputError, match=r"here: no fruit called 'aple-2'. Did you mean Apple-2\?"):
        index.resolve("aple-2", "here")
