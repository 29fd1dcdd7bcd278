"""QServe's weights: tiles by their formula, exact unpacking, the protective range, and what its steps gain."""

from __future__ import annotations

import io
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooflab import api
from rooflab.errors import Infeasible, InputError
from rooflab.inputs.kinds import kind_of
from rooflab.inputs.weights import Weights
from rooflab.library.serving.qserve.channels import key_scale, score_error
from rooflab.library.serving.qserve.levels import INT8, clipped, quantised, rounded
from rooflab.library.serving.qserve.tiles import (
    Registers,
    by_thread,
    interleaved,
    one_by_one,
    plain,
    scales_of,
    unpack,
    unpack_subtracting_first,
)
from rooflab.library.serving.qserve.weights import PackWeights
from rooflab.papers.condition import Condition
from rooflab.papers.lab import Lab
from rooflab.papers.outcome import Outcome
from rooflab.papers.reader import run as run_on
from rooflab.papers.registry import paper
from rooflab.testing.methods import MethodConformance
from rooflab.testing.readers import ReaderConformance


def lab(seed: int = 0) -> Lab:
    return Lab(api.engines(), Condition(seed=seed))


def run(arrays: dict[str, np.ndarray], **settings: object) -> Outcome:
    return PackWeights(**settings).run(lab(), Weights(arrays))  # type: ignore[arg-type]


def matrices(seed: int, outputs: int, inputs: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    tails = rng.standard_t(3, size=(outputs, inputs))
    return tails * rng.lognormal(0, 1, size=(outputs, 1))


def test_a_weight_lies_where_its_thread_finds_it() -> None:
    codes = np.random.default_rng(1).integers(0, 16, size=(64, 96))
    held = interleaved(codes).reshape(-1)
    for o, i in itertools.product(range(64), range(96)):
        (t, u), (h, e, r) = (o // 32, i // 32), (o % 32 // 16, o // 8 % 2, o % 8)
        k, c, b = i % 32 // 16, i // 4 % 4, i % 4
        byte = held[512 * (3 * t + u) + 16 * (4 * r + c) + 4 * (2 * k + e) + b]
        assert (byte >> 4 * h) & 15 == codes[o, i]
    assert (plain(interleaved(codes)) == codes).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([32, 64, 128]), st.integers(1, 119))
def test_unpacking_is_exact_within_the_protective_range(seed: int, group: int, protective: int) -> None:
    two = quantised(matrices(seed, 32, 256), group, protective)
    held, (scales, offsets) = interleaved(two.codes), scales_of(two)
    fast, slow = Registers(), Registers()
    assert (unpack(held, scales, offsets, fast) == two.eight).all()
    assert (one_by_one(held, scales, by_thread(two.zero), slow) == two.eight).all()
    assert np.abs(two.eight).max() <= INT8
    assert slow.operations > 3 * fast.operations


def test_operations_are_those_of_the_kernel() -> None:
    """For 32 weights a thread: 12 to part them, 11 for scales and offsets, 8 products, 8 additions."""
    two = quantised(matrices(0, 32, 128), 128, 119)
    registers = Registers()
    unpack(interleaved(two.codes), *scales_of(two), registers)
    assert registers.operations * 32 == (12 + 11 + 8 + 8) * two.codes.size
    assert registers.done["multiply"] * 4 == two.codes.size


def test_the_wrong_order_and_the_whole_of_int8_go_wrong() -> None:
    weights = matrices(0, 64, 512)
    two = quantised(weights, 128, 119)
    held, (scales, _) = interleaved(two.codes), scales_of(two)
    first = unpack_subtracting_first(held, scales, by_thread(two.zero), Registers())
    assert (first != two.eight).mean() > 0.1
    bare = quantised(weights, 128, INT8)
    assert np.abs(bare.eight).max() > INT8
    assert (unpack(interleaved(bare.codes), *scales_of(bare), Registers()) != bare.eight).any()


def test_two_levels_cost_little_over_rounding_and_clipping_gains() -> None:
    weights = matrices(3, 64, 512)

    def error(values: np.ndarray) -> float:
        return float(((weights - values) ** 2).sum())

    def loss(lost: np.ndarray) -> np.ndarray:
        return (lost**2).sum(axis=1)

    two = error(quantised(weights, 128, 119).values)
    assert two < 1.1 * error(rounded(weights, 128))
    assert error(quantised(clipped(weights, 128, 119, loss), 128, 119).values) < two


def test_known_inputs_lower_the_error_of_the_outputs() -> None:
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(256, 256)) * np.where(rng.random(256) < 0.04, 30.0, 1.0)
    weights = rng.normal(size=(64, 256))
    known = run({"w": weights, "w.inputs": inputs}).figure("error of the outputs")
    assert known.baseline is not None
    assert known.value < 0.9 * known.baseline
    blind = run({"w": weights})
    assert not [f for f in blind.figures if f.name == "error of the outputs"]
    assert any("NAME.inputs" in note for note in blind.notes)


@pytest.mark.parametrize(
    ("name", "width", "said"),
    [("a.inputs", 256, "are they a.weight.inputs?"), ("b.inputs", 256, "no matrix 'b'"),
     ("a.weight.inputs", 255, "holds 64 × 255 numbers; samples × 256 inputs")],
)  # fmt: skip
def test_inputs_of_no_matrix_are_not_passed_over(name: str, width: int, said: str) -> None:
    rng = np.random.default_rng(5)
    with pytest.raises(InputError, match=re.escape(said)):
        run({"a.weight": rng.normal(size=(64, 256)), name: rng.normal(size=(64, width))})


def test_keys_are_smoothed_in_pairs_that_a_rotary_embedding_turns() -> None:
    rng = np.random.default_rng(6)
    keys = rng.normal(size=(512, 128)) * np.where(np.arange(128) % 64 == 7, 20.0, 1.0)
    scale = key_scale(keys, 64)
    assert (scale.reshape(2, 2, 32)[:, 0] == scale.reshape(2, 2, 32)[:, 1]).all()
    queries = rng.normal(size=(32, 256))
    smoothed = queries * np.repeat(scale.reshape(2, 64), 2, axis=0).reshape(-1)
    assert score_error(smoothed, keys / scale, 64) < 0.6 * score_error(queries, keys, 64)


def test_smoothed_keys_and_queries_give_the_same_attention() -> None:
    """Two query heads a key head: what is packed of both, multiplied, is near the product of the weights before."""
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(128, 128))
    wide = np.where(np.arange(64) % 32 == 3, 15.0, 1.0)
    key, query = rng.normal(size=(64, 128)) * wide[:, None], rng.normal(size=(128, 128))
    arrays = {"a.k_proj": key, "a.q_proj": query, "a.k_proj.inputs": inputs, "a.q_proj.inputs": inputs}
    done = run(arrays, head_dim=32)
    found = done.figure("error of attention scores, keys in 4 bits")
    assert found.baseline is not None
    assert found.value < 0.8 * found.baseline

    held = np.load(io.BytesIO(done.files["packed.npz"]))

    def back(name: str) -> np.ndarray:
        codes = plain(held[f"{name}.qweight"].view(np.uint8)).astype(int)
        groups = codes.shape[1] // 128
        shape = (groups, codes.shape[0] // 32, 8, 4)

        def rows(part: str) -> np.ndarray:
            by_output = held[f"{name}.{part}"].reshape(shape).transpose(0, 1, 3, 2).reshape(groups, -1)
            return by_output.astype(int).T.repeat(128, axis=1)

        eight = codes * (rows("s2_scales") & 255) + rows("s2_zeros")
        order = np.argsort(held[f"{name}.input_order"])
        wrapped = (eight + 128) % 256 - 128
        return (wrapped * held[f"{name}.s1_scales"][:, None])[:, order] / held[f"{name}.input_scales"]

    keys, queries = inputs @ back("a.k_proj").T, inputs @ back("a.q_proj").T
    for head in range(4):
        mine = queries[:, 32 * head : 32 * head + 32] @ keys[:, 32 * (head // 2) : 32 * (head // 2) + 32].T
        was = (inputs @ query.T)[:, 32 * head : 32 * head + 32] @ (inputs @ key.T)[:, 32 * (head // 2) :][:, :32].T
        assert np.abs(mine - was).mean() < 0.2 * np.abs(was).mean()


def test_a_file_of_a_reader_runs_and_what_it_makes_is_weights_again(tmp_path: Path) -> None:
    kind = kind_of(Weights)
    path = tmp_path / "mine.safetensors"
    kind.write(Weights({"layer.weight": matrices(0, 96, 256), "embed.weight": matrices(1, 64, 256)}), path)
    done = run_on("qserve", path, method="pack_weights")
    assert done["weights unpacked wrong"] == 0
    assert done["bytes"] < done.figure("bytes").baseline / 3.5  # type: ignore[operator]
    assert any("embed.weight" in note for note in done.notes)
    made = tmp_path / "packed.npz"
    made.write_bytes(done.files["packed.npz"])
    assert kind.read(made)["layer.weight.qweight"].shape == (96, 128)
    assert {f.how for f in done.figures} == {"executed"}


def test_without_the_protective_range_weights_leave_int8() -> None:
    method = PackWeights()
    without = method.ablated(0)
    assert without is not None
    arrays = Weights({"w": matrices(0, 64, 512)})
    assert method.run(lab(), arrays)["weights beyond int8"] == 0
    assert without.run(lab(), arrays)["weights beyond int8"] > 0
    assert without.run(lab(), arrays)["weights unpacked wrong"] > 0


@pytest.mark.parametrize(
    ("arrays", "settings", "said"),
    [
        ({"w": np.ones((32, 100))}, {}, r"w \(32 × 100\).*groups of 128"),
        ({"b": np.ones(8)}, {}, "holds none"),
        ({"lm_head": np.ones((32, 128))}, {}, "lm_head"),
        ({"w": np.ones((32, 128))}, {"group": 48}, "not whole tiles"),
        ({"w": np.ones((32, 128))}, {"protective": 200}, "not within int8"),
    ],
)
def test_what_cannot_be_packed_is_refused(arrays: dict, settings: dict, said: str) -> None:
    with pytest.raises(Infeasible, match=said):
        run(arrays, **settings)


def test_odd_weights_are_packed_too() -> None:
    """Zeros, one value, and values beyond and below what a 16-bit scale can say."""
    for values in (np.zeros((32, 128)), np.full((32, 128), -3.0), np.full((32, 128), 1e-9), np.full((32, 128), 1e9)):
        done = run({"w": values})
        assert done["weights unpacked wrong"] == 0
        assert np.isfinite(done["error of the weights"])
    with pytest.raises(InputError, match="whole tiles"):
        interleaved(np.zeros((32, 48), dtype=int))


class TestReaders(ReaderConformance):
    paper = paper("qserve")


class TestPackWeights(MethodConformance):
    method = PackWeights(group=64)
