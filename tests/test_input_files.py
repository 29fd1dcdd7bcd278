"""Reading inputs of all kinds: errors that say where, bounds, conversions, digests, what samples are."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_inputs import png_bytes

from rooflab.errors import InputError
from rooflab.inputs import (
    graph,
    images,
    network,
    programs,
    runs,
    scenario,
    table,
    vectors,
    weights,
)
from rooflab.inputs.content import digest, same
from rooflab.inputs.convert import CONVERSIONS, convert
from rooflab.inputs.expression import check, holds
from rooflab.inputs.kinds import KINDS, find, guess, kind_of
from rooflab.inputs.row_files import read_csv, read_jsonl
from rooflab.inputs.table import Table
from rooflab.inputs.vectors import Vectors
from rooflab.source.text import parse_json
from rooflab.source.yaml_file import yaml_value

BOMB = "a: &a [1, 2]\n" + "".join(
    f"{n}: &{n} [{', '.join(['*' + p] * 9)}]\n" for p, n in zip("abcdefg", "bcdefgh", strict=True)
)


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
        ("1" * 5000, "too large"),
        ("1" * 301, "too large"),
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
        ("a: " + "9" * 400, "too large"),
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


def test_conversions_keep_what_they_say() -> None:
    for way in CONVERSIONS:
        for sample in kind_of(way.source).samples:
            made = convert(kind_of(way.source).sample(sample.name), way.target)
            assert isinstance(made, way.target)
            assert kind_of(way.target).describe(made).counts
    steps = runs.KIND.sample()
    assert len(convert(steps, Table)) == len(steps)
    assert convert(steps, type(steps)) is steps
    assert same(convert(images.KIND.sample("digits"), Vectors).labels, images.KIND.sample("digits").labels)
    with pytest.raises(InputError) as refused:
        convert(graph.KIND.sample(), Vectors)
    assert str(refused.value) == (
        "graph cannot be made into vectors; it takes vectors or what becomes one: table, images"
    )


def test_a_scenario_has_a_network() -> None:
    """A token of a dense model passes each weight once, the embedding aside; attention comes on top."""
    given = scenario.KIND.sample()
    layers = convert(given, network.KIND.data)
    tokens = given.workload.isl.mean
    assert 68.5e9 < layers.params < 70.6e9
    products = sum(layer.macs for layer in layers.layers if layer.kind == "linear")
    # logits are those of the last token alone
    assert products == pytest.approx((layers.params - 128_256 * 8192) * tokens + 128_256 * 8192, rel=1e-3)


def test_constraints_are_arithmetic_and_nothing_else() -> None:
    numeric = {"a": True, "b": True, "policy": False}
    for right in ("a * b <= 64", "a + 2 * b < 10 < 20", "policy == 'fifo'", "-a // 2 != b % 3"):
        check(right, numeric, "constraints[0]")
    for wrong, message in (
        ("a * b", "compares nothing"), ("__import__('os').system('ls') == 0", "more than arithmetic"),
        ("a ** 9 < 1", "more than arithmetic"), ("c < 1", "no parameter called 'c'"), ("policy < 'x'", "by size"),
        ("a == 'x'", "a text with a number"), ("a in b", "by other than"), ("(" * 300, "is no constraint"),
        ("a < 1" + " " * 600, "is no constraint"), (3, "is no constraint"), ("a.b < 1", "more than arithmetic"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            check(wrong, numeric, "constraints[0]")
    points = {"a": np.array([1, 8, 0]), "b": np.array([2, 9, 0]), "policy": ("fifo", "x", "fifo")}
    assert holds("a * b <= 64", points).tolist() == [True, False, True]
    assert holds("policy == 'fifo'", points).tolist() == [True, False, True]
    assert holds("a / b < 1", points).tolist() == [True, True, False]  # 0 / 0 is no number, and no error


def test_images_of_a_folder_must_be_of_one_size(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.pgm").write_bytes(b"P2 # grey\n2 1 9\n0 9")
    found = images.KIND.read(tmp_path)
    assert found.pixels.tolist() == [[[[0], [9]]]]
    assert found.classes == ("cat",)
    (tmp_path / "b.ppm").write_bytes(b"P6 1 1 255\n\x01\x02\x03")
    with pytest.raises(InputError, match=r"a\.pgm: is 1 × 2 × 1; b\.ppm is 1 × 1 × 3"):
        images.KIND.read(tmp_path)
    (tmp_path / "b.ppm").write_bytes(b"P6 999999 999999 255\n\x01")
    with pytest.raises(InputError, match="8-bit images are read"):
        images.KIND.read(tmp_path)


def test_png_is_read_where_pillow_is(tmp_path: Path) -> None:
    if not png_bytes():
        pytest.skip("no Pillow here")
    path = tmp_path / "x.png"
    path.write_bytes(png_bytes())
    assert same(images.KIND.read(path).pixels[0], images.KIND.sample("photographs").pixels[0, :20, :30])


def test_safetensors_hold_other_widths(tmp_path: Path) -> None:
    """Sixteen-bit floats of both kinds become 32 bits; other metadata are passed over."""
    path = tmp_path / "x.safetensors"
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
            "b": {"dtype": "F16", "shape": [1, 1], "data_offsets": [4, 6]},
        }
    ).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\x80\x3f\x00\xc0" + np.float16(1.5).tobytes())
    found = weights.KIND.read(path)
    assert found["a"].tolist() == [1.0, -2.0]
    assert found["b"].tolist() == [[1.5]]
    path.write_bytes(header[:0] + (1 << 40).to_bytes(8, "little") + header)
    with pytest.raises(InputError, match="says a header of 1,099,511,627,776 bytes"):
        weights.KIND.read(path)


def test_logs_of_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(
        '{"conversation_id": "c", "timestamp": 5.0, "prompt_tokens": 7, "completion_tokens": 2, "correct": true}\n'
        '{"conversation_id": "c", "timestamp": 6.5, "prompt_tokens": 9, "mood": "good"}\n'
    )
    found = runs.KIND.read(path)
    assert found.session == ("c", "c")
    assert found.time_s.tolist() == [0.0, 1.5]
    assert found.output_tokens.tolist() == [2, runs.UNKNOWN]
    assert found.success.tolist() == [1, runs.UNKNOWN]
    assert found.extra["mood"] == ("", "good")


def test_the_twelve_functions_do_what_their_tests_say() -> None:
    """Every variant passes every test, and agrees with the others on inputs of some sizes."""
    for program in programs.KIND.sample().programs:
        scopes = {name: _ran(source) for name, source in program.variants.items()}
        for test in program.tests:
            for scope in scopes.values():
                args, expected = test.values()
                assert scope[program.entry](*args) == expected, program.name
        make = _ran(program.inputs)["inputs"]
        for size in (1, 5, 30):
            results = [scope[program.entry](*make(size)) for scope in scopes.values()]
            assert all(result == results[0] for result in results), program.name


def _ran(source: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(compile(source, "sample", "exec"), scope)
    return scope


def test_samples_are_those_that_were_made() -> None:
    """The sample of programs is the folder that people edit."""
    folder = Path(__file__).resolve().parents[1] / "benchmarks" / "sample_programs"
    assert same(programs.KIND.read(folder), programs.KIND.sample())


def test_notices_name_every_source() -> None:
    notice = (Path(__file__).resolve().parents[1] / "NOTICE").read_text("utf-8")
    for kind in KINDS.values():
        for sample in kind.samples:
            if sample.url:
                words = re.findall(r"[\w-]{5,}", sample.source)
                assert any(word in notice for word in words), sample.name


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
