"""Every kind of input: samples, summaries, files written and read again, disturbances, files gone wrong."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rooflab.errors import InputError
from rooflab.inputs import (
    design,
    graph,
    images,
    network,
    portfolio,
    predictions,
    programs,
    runs,
    scenario,
    series,
    table,
    text,
    vectors,
    weights,
)
from rooflab.inputs.content import digest, same
from rooflab.inputs.kinds import KINDS, find, guess, kind_of
from rooflab.inputs.rows import read_csv, read_jsonl
from rooflab.inputs.source import parse_json, yaml_value
from rooflab.inputs.table import Table
from rooflab.inputs.vectors import Vectors
from rooflab.testing.inputs import InputConformance, hostile_reads

BOMB = "a: &a [1, 2]\n" + "".join(
    f"{n}: &{n} [{', '.join(['*' + p] * 9)}]\n" for p, n in zip("abcdefg", "bcdefgh", strict=True)
)


def onnx_bytes() -> bytes:
    """A graph of a convolution and a product; nothing where `onnx` is not installed."""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        return b""
    weights = [
        helper.make_tensor("w", TensorProto.FLOAT, [4, 3, 3, 3], [0.1] * 108),
        helper.make_tensor("m", TensorProto.FLOAT, [36, 10], [0.1] * 360),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["y"]),
    ]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in (("x", [1, 3, 5, 5]), ("y", [1, 10]))
    ]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], weights)
    held: bytes = helper.make_model(graph).SerializeToString()
    return held


def png_bytes() -> bytes:
    """A small picture; nothing where Pillow is not installed."""
    try:
        from PIL import Image
    except ImportError:
        return b""
    out = io.BytesIO()
    Image.fromarray(images.KIND.sample("photographs").pixels[0, :20, :30]).save(out, "PNG")
    return out.getvalue()


class TestScenario(InputConformance):
    kind = scenario.KIND


class TestNetwork(InputConformance):
    kind = network.KIND

    def more_files(self) -> Iterator[dict[str, bytes]]:
        if held := onnx_bytes():
            yield {"x.onnx": held}


class TestWeights(InputConformance):
    kind = weights.KIND


class TestText(InputConformance):
    kind = text.KIND


class TestImages(InputConformance):
    kind = images.KIND

    def more_files(self) -> Iterator[dict[str, bytes]]:
        if held := png_bytes():
            yield {"x.png": held}
            yield {"x/cat/a.png": held, "x/dog/b.png": held}


class TestPredictions(InputConformance):
    kind = predictions.KIND


class TestTable(InputConformance):
    kind = table.KIND


class TestVectors(InputConformance):
    kind = vectors.KIND


class TestPrograms(InputConformance):
    kind = programs.KIND


class TestRuns(InputConformance):
    kind = runs.KIND


class TestGraph(InputConformance):
    kind = graph.KIND


class TestSeries(InputConformance):
    kind = series.KIND


class TestDesign(InputConformance):
    kind = design.KIND


class TestPortfolio(InputConformance):
    kind = portfolio.KIND


def test_every_kind_has_its_conformance_tests() -> None:
    tested = {cls.kind.name for cls in InputConformance.__subclasses__()}
    assert tested == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("tests", InputConformance.__subclasses__(), ids=lambda cls: cls.kind.name)
def test_two_thousand_wrong_files(tests: type[InputConformance]) -> None:
    hostile_reads(tests.kind, 2000, list(tests().more_files()))


def test_kinds_are_found_by_name_class_and_file(tmp_path: Path) -> None:
    assert find("vectors") is vectors.KIND
    with pytest.raises(InputError, match="Did you mean vectors"):
        find("vector")
    assert kind_of(Table) is table.KIND
    for kind in KINDS.values():
        for sample in kind.samples:
            assert guess(sample.path()) is kind, sample.name
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    assert guess(path) is table.KIND
    with pytest.raises(InputError, match=r"no kind of input is read from '\.xyz'"):
        guess(tmp_path / "x.xyz")


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ("a,b\n1,2\n3\n", "x.csv:3: 1 values in a row of 2 columns, b is the first without one"),
        ("a,b\n1,2\n3,4,5\n", "x.csv:3: 3 values in a row of 2 columns, '5' is the first too many"),
        ("a,a\n1,2\n", "x.csv:1: column a stands twice"),
        ("a,\n1,2\n", "x.csv:1: column 2 has no name that can be printed ('')"),
        ("a,b\n", "x.csv: has no rows"),
        ('a\n"1\n', "x.csv:2: not valid CSV (unexpected end of data)"),
    ],
)
def test_csv_errors_name_line_and_column(held: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(held)
    with pytest.raises(InputError) as caught:
        read_csv(path)
    assert str(caught.value) == f"{tmp_path}/{message}"


def test_a_wrong_cell_is_named_by_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('id,x,y\n"a\nb",1,2\nc,3,1e200\n')
    with pytest.raises(InputError, match=r"x\.csv:4: y is '1e200', not a number"):
        read_csv(path).numbers("y")
    with pytest.raises(InputError, match=r"no column of time \(such as time_s\) among id, x, y"):
        read_csv(path).need("time", "time_s")
    path.write_text("a;b\n1;2\n")
    with pytest.raises(InputError, match="separated by commas, not by ';'"):
        read_csv(path).need("time", "time_s")
    lines = tmp_path / "x.jsonl"
    lines.write_text('{"a": 1}\n{"b": [1]}\n')
    with pytest.raises(InputError, match=r"x\.jsonl:2: b is '\[1\]', not a text"):
        table.KIND.read(lines)
    path.write_bytes(b"a\n" + "é".encode("latin-1") + b"\n")
    with pytest.raises(InputError, match=r"x\.csv:2: is not UTF-8 text"):
        read_csv(path)


def test_types_of_columns_are_found(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("whole,number,missing,yes,text,code\n1,1.5,,true,a,007\n-2,2,3,False,,010\n")
    found = table.KIND.read(path)
    kinds = {n: "text" if isinstance(v, tuple) else v.dtype.kind for n, v in found.columns.items()}
    assert kinds == {"whole": "i", "number": "f", "missing": "f", "yes": "b", "text": "text", "code": "text"}
    assert found.quantities == ("whole", "number", "missing")
    assert np.isnan(found.numbers("missing")[0])


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ("[" * 100_000, "deep"),
        ("1" * 5000, "digits"),
        ("NaN", "NaN is not a number of JSON"),
        ("1e999", "too large"),
        ('{"a": 1, "a": 2}', "stands twice"),
        (r'"\ud800"', "half of a character"),
        ("{", "column 2"),
    ],
)
def test_json_is_bounded(held: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_json(held, "x.json")


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ("a: [" * 1000, "deeper"),
        (BOMB, "more than 200,000 values"),
        ("a: &a [*a]", "deeper"),
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3: key 'a' stands twice"),
        ("!!python/object/apply:os.system [ls]", "x.yaml"),
        ("a: 1\nb: [1\n", "x.yaml:3: not valid YAML"),
        ("? [1]\n: 2", "a key is a text"),
        ("a: " + "9" * 5000, "cannot be read"),
    ],
)  # fmt: skip
def test_yaml_is_bounded(held: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(held)
    with pytest.raises(InputError, match=message):
        yaml_value(path)


def test_yaml_follows_aliases_and_merges(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("base: &b {x: 1, y: 2.5}\nnext: {<<: *b, y: true}\nday: 2001-99-99\nnone: ~\n")
    assert yaml_value(path) == {
        "base": {"x": 1, "y": 2.5}, "next": {"x": 1, "y": True}, "day": "2001-99-99", "none": None,
    }  # fmt: skip


def test_arrays_are_read_without_trust(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    for values, message in (
        (np.array([{"a": 1}, None], dtype=object), "Python objects, which are not unpickled"),
        (np.array([[1 + 2j]]), "holds complex128"),
        (np.array([[1.0, np.nan]]), r"base: \[0, 1\] is nan"),
        (np.array([[1e30]]), r"base: \[0, 0\] is"),
        (np.zeros((3, 0)), "expected numbers, N × D"),
        (np.zeros(3), "expected numbers, N × D"),
    ):
        np.savez(path, base=values)
        with pytest.raises(InputError, match=message):
            vectors.KIND.read(path)
    np.savez(path, base=np.zeros((2, 2)), quieres=np.zeros((2, 2)))
    with pytest.raises(InputError, match=r"no array called 'quieres'\. Did you mean queries"):
        vectors.KIND.read(path)


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rooflab.inputs.arrays.LARGEST_UNPACKED_BYTES", 10_000_000)
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("base.npy", bytes(11_000_000))
    assert path.stat().st_size < 20_000
    with pytest.raises(InputError, match="unpacks to 11,000,000 bytes; at most 10,000,000 are read"):
        vectors.KIND.read(path)
    # a header that claims more than the file has
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000), }\n"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("base.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match=r"says shape \(1000000000, 1000\) of float32 and holds 0 bytes"):
        vectors.KIND.read(path)


def test_paths_that_are_no_plain_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a plain file"):
        table.KIND.read(_link(tmp_path / "z.csv", "/dev/zero"))
    with pytest.raises(InputError):
        table.KIND.read("a\0b.csv")
    with pytest.raises(InputError, match="no such file"):
        table.KIND.read(_link(tmp_path / "gone.csv", "nowhere"))
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="is not a plain file"):
        table.KIND.read(tmp_path / "pipe.csv")


def _link(path: Path, target: str) -> Path:
    path.symlink_to(target)
    return path


def test_data_check_themselves() -> None:
    with pytest.raises(InputError, match="columns are of"):
        Table({"a": np.arange(3), "b": np.arange(2)})
    with pytest.raises(InputError, match="mixes texts"):
        Table({"a": ("x", 1)})
    with pytest.raises(InputError, match="neighbours: expected whole numbers, 0 × k; got int64, 1 × 1"):
        Vectors(base=np.ones((2, 2), np.float32), neighbours=np.array([[0]]))
    given = np.ones((2, 2), np.float32)
    held = Vectors(base=given)
    with pytest.raises(ValueError, match="read-only"):
        held.base[0, 0] = 2
    given[0, 0] = 1  # the caller's own array stays the caller's
    with pytest.raises(KeyError):
        kind_of(int)


def test_digests_see_what_differs() -> None:
    assert same(Table({"a": np.array([1.0, np.nan])}), Table({"a": np.array([1.0, np.nan])}))
    assert len({digest(x) for x in (1, 1.0, True, "1", (1,), {"1": 1}, np.array([1]), np.array([1.0]), None)}) == 9


def test_neighbours_follow_the_half_that_is_kept() -> None:
    found = vectors.KIND.disturb(vectors.KIND.sample("digits"), "halve", np.random.default_rng(0))
    whole = vectors.KIND.sample("digits")
    assert len(found) == 799
    row = {tuple(v): i for i, v in enumerate(map(tuple, found.base))}
    for q in range(5):
        want = [row.get(tuple(whole.base[b]), -1) for b in whole.neighbours[q]]
        assert [w for w in want if w >= 0] == [n for n in found.neighbours[q] if n >= 0]


def test_fvecs_lines_must_agree(tmp_path: Path) -> None:
    path = tmp_path / "x.fvecs"
    path.write_bytes(np.array([2, 0, 0, 2, 0, 0], "<i4").tobytes())
    assert vectors.KIND.read(path).base.shape == (2, 2)
    path.write_bytes(np.array([2, 0, 0, 3, 0, 0], "<i4").tobytes())
    with pytest.raises(InputError, match="vector 1 says 3 numbers; the first has 2"):
        vectors.KIND.read(path)


def test_jsonl_rows_may_lack_keys(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2, "b": "x"}\n')
    found = read_jsonl(path)
    assert found.columns == {"a": [1, 2], "b": [None, "x"]}
    assert found.lines == [1, 3]
