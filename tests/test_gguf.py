"""A ``.gguf`` file's own header as a model: shapes, bytes by tensor, and one clear line for what is none."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rooflab as rl
from rooflab.catalogue.models import model
from rooflab.errors import InputError
from rooflab.source.gguf import TYPES, read_header

NUMBERS = {name: (number, block, size) for number, (name, block, size) in TYPES.items()}
Tensors = Sequence[tuple[str, tuple[int, ...], str]]


def text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key: str, value: Any) -> bytes:
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, bool):
        return text(key) + struct.pack("<IB", 7, value)
    if isinstance(value, int):
        return text(key) + struct.pack("<II", 4, value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", 6, value)
    kind = 8 if isinstance(value[0], str) else 4
    items = b"".join(text(v) if kind == 8 else struct.pack("<I", v) for v in value)
    return text(key) + struct.pack("<IIQ", 9, kind, len(value)) + items


def header(metadata: Mapping[str, Any], tensors: Tensors) -> tuple[bytes, int]:
    """The header of a file, and the length of the whole."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    out += b"".join(entry(k, v) for k, v in metadata.items())
    offset = 0
    for name, shape, kind in tensors:
        number, block, size = NUMBERS[kind]
        out += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        out += struct.pack("<IQ", number, offset)
        elements = 1
        for n in shape:
            elements *= n
        offset += -(-(elements // block * size) // 32) * 32
    return out, -(-len(out) // 32) * 32 + offset


def write(path: Path, metadata: Mapping[str, Any], tensors: Tensors) -> Path:
    """A file whose tensors are holes: only its header is ever read."""
    raw, size = header(metadata, tensors)
    with path.open("wb") as out:
        out.write(raw)
        out.truncate(size)
    return path


def llama(layers: int = 16, hidden: int = 2048, width: int = 8192) -> tuple[dict[str, Any], list[Any]]:
    """Llama-3.2-1B in Q4_K_M: embedding and half of the values and down projections in more bits."""
    metadata = {
        "general.architecture": "llama", "general.name": "Llama 3.2 1B", "llama.block_count": layers,
        "llama.embedding_length": hidden, "llama.feed_forward_length": width, "llama.attention.head_count": 32,
        "llama.attention.head_count_kv": 8, "llama.context_length": 131072, "llama.vocab_size": 128256,
        "llama.attention.key_length": 64, "llama.rope.freq_base": 500000.0, "general.quantized": True,
        "tokenizer.ggml.tokens": [f"t{i}" for i in range(5000)],
    }  # fmt: skip
    tensors: list[Any] = [("token_embd.weight", (hidden, 128256), "q6_k"), ("output_norm.weight", (hidden,), "f32")]
    for i in range(layers):
        more = "q6_k" if i % 2 else "q4_k"
        tensors += [
            (f"blk.{i}.attn_q.weight", (hidden, hidden), "q4_k"), (f"blk.{i}.attn_k.weight", (hidden, 512), "q4_k"),
            (f"blk.{i}.attn_v.weight", (hidden, 512), more), (f"blk.{i}.attn_output.weight", (hidden, hidden), "q4_k"),
            (f"blk.{i}.ffn_gate.weight", (hidden, width), "q4_k"), (f"blk.{i}.ffn_up.weight", (hidden, width), "q4_k"),
            (f"blk.{i}.ffn_down.weight", (width, hidden), more), (f"blk.{i}.attn_norm.weight", (hidden,), "f32"),
            (f"blk.{i}.ffn_norm.weight", (hidden,), "f32"),
        ]  # fmt: skip
    return metadata, [*tensors, ("rope_freqs.weight", (32,), "f32")]


def mixture(layers: int = 48) -> tuple[dict[str, Any], list[Any]]:
    """Qwen3-30B-A3B with experts in 4 bits and the rest in 8."""
    a = "qwen3moe"
    metadata = {
        "general.architecture": a, f"{a}.block_count": layers, f"{a}.embedding_length": 2048,
        f"{a}.feed_forward_length": 6144, f"{a}.attention.head_count": 32, f"{a}.attention.head_count_kv": 4,
        f"{a}.attention.key_length": 128, f"{a}.attention.value_length": 128, f"{a}.context_length": 262144,
        f"{a}.expert_count": 128, f"{a}.expert_used_count": 8, f"{a}.expert_feed_forward_length": 768,
    }  # fmt: skip
    tensors: list[Any] = [
        ("token_embd.weight", (2048, 151936), "q8_0"), ("output.weight", (2048, 151936), "q8_0"),
        ("output_norm.weight", (2048,), "f32"),
    ]  # fmt: skip
    for i in range(layers):
        tensors += [
            (f"blk.{i}.attn_q.weight", (2048, 4096), "q8_0"), (f"blk.{i}.attn_k.weight", (2048, 512), "q8_0"),
            (f"blk.{i}.attn_v.weight", (2048, 512), "q8_0"), (f"blk.{i}.attn_output.weight", (4096, 2048), "q8_0"),
            (f"blk.{i}.ffn_gate_inp.weight", (2048, 128), "f32"),
            (f"blk.{i}.ffn_gate_exps.weight", (2048, 768, 128), "q4_k"),
            (f"blk.{i}.ffn_up_exps.weight", (2048, 768, 128), "q4_k"),
            (f"blk.{i}.ffn_down_exps.weight", (768, 2048, 128), "q4_k"),
        ]  # fmt: skip
    return metadata, tensors


def bytes_of(path: Path) -> int:
    return sum(t.bytes for t in read_header(path).tensors)


def test_shapes_and_bytes_are_the_files_own(tmp_path: Path) -> None:
    path = write(tmp_path / "Llama-3.2-1B-Q4_K_M.gguf", *llama())
    found, named = model(str(path)), model("Llama-3.2-1B")
    assert found.parameters == named.parameters
    assert found.kv_elements_per_token == named.kv_elements_per_token
    assert found.max_context == 131072
    assert found.tied
    load = {"isl": 64, "osl": 64, "batch": 1}
    s = {"model": str(path), "hardware": "m4-pro", "workload": load, "deployment": {"engine": "llamacpp"}}
    estimate = rl.estimate(s)
    assert estimate.weights_bytes == pytest.approx(bytes_of(path), rel=0.01)
    by_name = rl.estimate({**s, "model": "Llama-3.2-1B", "deployment": {"engine": "llamacpp", "weights": "q4_k_m"}})
    assert estimate.output_tokens_per_s == pytest.approx(by_name.output_tokens_per_s, rel=0.1)


def test_experts_have_bytes_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path / "mix.gguf", *mixture())
    found = model(str(path))
    assert found.is_moe
    assert (found.dtype, found.expert_dtype) != (found.dtype, None)
    assert found.parameters == pytest.approx(30.53e9, rel=0.001)
    load = {"isl": 64, "osl": 64, "batch": 1}
    estimate = rl.estimate(
        {"model": str(path), "hardware": "rtx-5090", "workload": load, "deployment": {"engine": "llamacpp"}}
    )
    assert estimate.weights_bytes == pytest.approx(bytes_of(path), rel=0.01)


def test_a_file_in_parts_is_read_from_the_first(tmp_path: Path) -> None:
    metadata, tensors = llama()
    split = {**metadata, "split.count": 2}
    write(tmp_path / "m-00002-of-00002.gguf", {"split.count": 2}, tensors[40:])
    first = write(tmp_path / "m-00001-of-00002.gguf", split, tensors[:40])
    assert model(str(first)).parameters == model("Llama-3.2-1B").parameters
    with pytest.raises(InputError, match="is part 2 of 2"):
        model(str(tmp_path / "m-00002-of-00002.gguf"))
    (tmp_path / "m-00002-of-00002.gguf").unlink()
    with pytest.raises(InputError, match=r"00002-of-00002\.gguf: is missing"):
        model(str(first))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"general.architecture": "rwkv7"}, "general.architecture: no architecture of llama.cpp called 'rwkv7'"),
        ({"general.architecture": None}, "general.architecture: missing"),
        ({"llama.block_count": None}, "its metadata make no model: num_hidden_layers: missing"),
        ({"llama.block_count": 15}, r"its tensors have 1,235,814,400 weights, and the shapes .* make 1,1\d\d,"),
        ({"llama.feed_forward_length": [8192] * 15 + [4096]}, "feed_forward_length: differs from layer to layer"),
        ({"general.alignment": 24}, "general.alignment: 24 is no power of two"),
        ({"split.count": 3}, "is one of 3 parts, and not called NAME-00001-of-00003.gguf"),
    ],
)
def test_what_contradicts_itself_is_refused_in_a_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    metadata, tensors = llama()
    changed = {k: v for k, v in {**metadata, **change}.items() if v is not None}
    path = write(tmp_path / "m.gguf", changed, tensors)
    with pytest.raises(InputError, match=message) as error:
        model(str(path))
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_file_that_is_cut_off_or_none_at_all(tmp_path: Path) -> None:
    raw, size = header(*llama())
    path = tmp_path / "m.gguf"
    for content, message in (
        (b"", "is no GGUF file"),
        (b"PK\3\4" + raw[4:], "is no GGUF file"),
        (b"GGUF" + struct.pack(">I", 3) + raw[8:], "big-endian"),
        (b"GGUF" + struct.pack("<I", 1) + raw[8:], "GGUF 1 is not read"),
        (raw[:4000], "beyond the end of the file|inside its header"),
        (raw, rf"ends at byte [\d,]+, the file has {len(raw):,}"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1) + raw[24:], "more than any model has"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            model(str(path))
    assert size > len(raw)
    with pytest.raises(InputError, match="no such file"):
        model(str(tmp_path / "other.gguf"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mangled_header_is_one_line_or_a_model(tmp_path: Path, data: st.DataObject) -> None:
    metadata, tensors = llama(layers=2)
    metadata["tokenizer.ggml.tokens"] = ["a", "b"]
    raw, size = header(metadata, tensors)
    mangled = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mangled) - 1))
        patch = data.draw(st.binary(min_size=1, max_size=8))
        mangled[at : at + len(patch)] = patch
    path = tmp_path / "m.gguf"
    with path.open("wb") as out:
        out.write(mangled)
        out.truncate(data.draw(st.sampled_from([size, len(mangled), len(mangled) // 2])))
    assert_one_line_or_a_model(path)


def assert_one_line_or_a_model(path: Path) -> None:
    message = ""
    try:
        assert model(str(path)).layers > 0
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 600


def test_a_file_is_served_by_llamacpp_and_started_by_its_own_name(tmp_path: Path) -> None:
    path = write(tmp_path / "m.gguf", *llama())
    load = {"isl": 128, "osl": 64, "concurrency": 2}
    plan = rl.plan({"model": str(path), "hardware": "rtx-4090", "workload": load})
    assert plan.best.estimate.scenario.deployment.runtime.engine == "llamacpp"
    assert f"-m {path}" in plan.best.launch_command().replace("\\\n", " ").replace("  ", " ")


@pytest.mark.parametrize(("bits", "group", "gigabytes"), [(4, 64, 4.61), (3, 64, 3.58), (8, 64, 8.70), (4, 32, 5.12)])
def test_a_folder_of_mlx_is_quantised_throughout(tmp_path: Path, bits: int, group: int, gigabytes: float) -> None:
    # mlx-community's Qwen3-8B-4bit has 4.61 GB: embedding and head are in its bits, too
    config = {
        "model_type": "qwen3", "hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936,
        "quantization": {"group_size": group, "bits": bits},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    load = {"isl": 64, "osl": 64, "batch": 1}
    found = rl.estimate({"model": str(tmp_path), "hardware": "m4-pro", "workload": load})
    assert found.scenario.deployment.runtime.engine == "mlx"
    assert found.weights_bytes / 1e9 == pytest.approx(gigabytes, rel=0.01)


def test_modules_of_an_mlx_folder_may_have_bits_of_their_own(tmp_path: Path) -> None:
    few = {"group_size": 64, "bits": 4}
    config = {
        "model_type": "llama", "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 4,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 1000,
        "quantization": {**few, "model.layers.0.mlp": {"group_size": 64, "bits": 6}, "model.layers.1.mlp": False},
    }  # fmt: skip
    stored = [r.block.stored.ffn if r.block.stored else None for r in model(config).runs]
    assert sorted(map(str, stored)) == ["None", "bf16", "mlx-6-g64"]
