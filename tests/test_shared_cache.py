"""Layers that attend to the cache of an earlier one: Gemma 4 E2B and E4B by the counts of their card."""

from __future__ import annotations

from typing import Any

import pytest

from rooflab.errors import InputError
from rooflab.scenario.hf.model import model_from_config
from rooflab.scenario.model import Attention, Model


def gemma(*, every: int, **more: Any) -> dict[str, Any]:
    layers = more["num_hidden_layers"]
    kinds = ["full_attention" if (i + 1) % every == 0 else "sliding_attention" for i in range(layers)]
    return {
        "model_type": "gemma4_text", "num_attention_heads": 8, "head_dim": 256, "global_head_dim": 512,
        "vocab_size": 262144, "vocab_size_per_layer_input": 262144, "hidden_size_per_layer_input": 256,
        "sliding_window": 512, "layer_types": kinds, **more,
    }  # fmt: skip


E2B = gemma(
    every=5, hidden_size=1536, num_hidden_layers=35, num_key_value_heads=1, intermediate_size=6144,
    num_kv_shared_layers=20, use_double_wide_mlp=True,
)  # fmt: skip
E4B = gemma(
    every=6, hidden_size=2560, num_hidden_layers=42, num_key_value_heads=2, intermediate_size=10240,
    num_kv_shared_layers=18, use_double_wide_mlp=False,
)  # fmt: skip


def read(config: dict[str, Any]) -> Model:
    return model_from_config(config, "test", "config")


@pytest.mark.parametrize(("config", "effective"), [(E2B, 2.3e9), (E4B, 4.5e9)])
def test_parameters_beside_the_tables_of_the_layers(config: dict[str, Any], effective: float) -> None:
    m = read(config)
    assert m.parameters - m.vocab * m.layer_embedding == pytest.approx(effective, rel=0.04)


def test_only_layers_with_a_cache_of_their_own_count() -> None:
    # E2B: 12 sliding and 3 full layers of one head; E4B: 20 and 4 of two
    assert read(E2B).kv_elements_per_token == 12 * 2 * 256 + 3 * 2 * 512
    assert read(E4B).kv_elements_per_token == 2 * (20 * 2 * 256 + 4 * 2 * 512)
    assert read(E2B).cached_elements(10_000) == 12 * 2 * 256 * 512 + 3 * 2 * 512 * 10_000


def test_the_last_layers_have_no_keys_of_their_own_and_are_twice_as_wide() -> None:
    own, shared = (
        [r for r in read(E2B).runs if any(isinstance(m, Attention) and m.shared == s for m in r.block.mixers)]
        for s in (False, True)
    )
    assert [sum(r.count for r in part) for part in (own, shared)] == [15, 20]
    assert {getattr(r.block.ffn, "width", 0) for r in own} == {6144}
    assert {getattr(r.block.ffn, "width", 0) for r in shared} == {12288}
    assert all(m.kv_width == 0 for r in shared for m in r.block.mixers if isinstance(m, Attention))


@pytest.mark.parametrize("count", [34, 35, 99, -1, 1.5, "x"])
def test_a_count_that_leaves_nothing_to_share_is_an_error(count: object) -> None:
    with pytest.raises(InputError, match="num_kv_shared_layers"):
        read({**E2B, "num_kv_shared_layers": count})
