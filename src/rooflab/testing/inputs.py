"""What every kind of input must hold: a new one inherits these tests, which run over all of its samples.

    class TestVectors(InputConformance):
        kind = vectors.KIND

Needs the extra `test` (hypothesis makes the wrong files).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rooflab.errors import InputError
from rooflab.inputs.content import digest, same
from rooflab.inputs.kind import FOLDER, SORTS, Format, Kind
from rooflab.inputs.records import summary_record
from rooflab.testing.hostile import Edit, edited

__all__ = ["InputConformance", "hostile_reads"]

LARGEST_SAMPLE_BYTES = 300_000

edits = st.lists(
    st.tuples(st.integers(0, 47), st.floats(0, 1, exclude_max=True), st.integers(0, 1 << 20)), min_size=1, max_size=3
)


class InputConformance:
    """Tests of one kind; set `kind`. `mutations` is how many wrong files are read."""

    kind: ClassVar[Kind[Any]]
    mutations: ClassVar[int] = 100

    def more_files(self) -> Iterator[dict[str, bytes]]:
        """Further good files to spoil (relative path: bytes), of formats that are only read."""
        yield from ()

    def samples(self) -> Iterator[tuple[str, Any]]:
        """Each sample by name."""
        for sample in self.kind.samples:
            yield sample.name, self.kind.sample(sample.name)

    def test_says_what_it_holds(self) -> None:
        """A name, a line, and a word on every field."""
        assert self.kind.name.islower()
        assert self.kind.does.endswith(".")
        assert "\n" not in self.kind.does
        if is_dataclass(self.kind.data) and not self.kind.parts:
            assert set(self.kind.fields) == {f.name for f in fields(self.kind.data)}

    def test_gives_an_example_to_start_from(self, tmp_path: Path) -> None:
        """A small file in a format that people can edit, or the first that is a file; it reads back."""
        form, held = self.kind.example_file()
        path = tmp_path / f"mine{form.suffix}"
        path.write_bytes(held)
        assert isinstance(self.kind.read(path), self.kind.data)
        assert len(held) < 20_000

    def test_samples_are_real_and_small(self) -> None:
        """At least one, with source and licence, readable, of the right class."""
        assert self.kind.samples
        for sample in self.kind.samples:
            path = sample.path()
            size = sum(f.stat().st_size for f in ([path] if path.is_file() else path.rglob("*")) if f.is_file())
            assert size < LARGEST_SAMPLE_BYTES, sample.name
            assert sample.source, sample.name
            assert sample.licence, sample.name
            assert isinstance(self.kind.sample(sample.name), self.kind.data)

    def test_describes_its_samples(self) -> None:
        """Counts, columns, and text that JSON can carry."""
        for sample in self.kind.samples:
            record = summary_record(self.kind, sample.name)
            assert any(record["counts"].values()), sample.name
            json.dumps(record, allow_nan=False)

    def test_keeps_what_it_writes(self, tmp_path: Path) -> None:
        """Written and read again it is the same; a format that holds less keeps what it holds."""
        for name, given_ in [("example", self.kind.example()), *self.samples()]:
            for i, form in enumerate(self.kind.formats):
                if form.dump is None or not _installed(self.kind, form):
                    continue
                try:
                    once = self._through(given_, form, tmp_path / f"{name}-{i}-1")
                except InputError:  # a format for less than this: one image, functions named as their folders
                    assert i > 0
                    assert name != "example"
                    continue
                again = self._through(once, form, tmp_path / f"{name}-{i}-2")
                assert same(once, again), f"{name} as {form.suffix}"
                if i == 0 or form.suffix == ".npz":
                    assert same(once, given_), f"{name} as {form.suffix}"

    def _through(self, data: Any, form: Format[Any], path: Path) -> Any:
        target = path if form.suffix == FOLDER else path.with_suffix(form.suffix)
        self.kind.write(data, target)
        return self.kind.read(target)

    def test_disturbances_are_pure(self) -> None:
        """The data given stay as they are; the same seed gives the same; every sort is there or its lack explained."""
        sorts = set(self.kind.lacks)
        for name, given_ in self.samples():
            before = digest(given_)
            for way in self.kind.disturbances(given_):
                sorts.add(way.sort)
                got = [way.change(given_, np.random.default_rng(7), 2.0) for _ in range(2)]
                assert same(*got), f"{name}: {way.name} differs at the same seed"
                assert isinstance(got[0], self.kind.data)
                assert digest(given_) == before, f"{name}: {way.name} changed its argument"
        assert sorts == set(SORTS)

    def test_disturbances_do_what_they_say(self) -> None:
        """Halve halves, shuffle keeps every value, exchange undoes itself, scale follows its factor."""
        for name, given_ in self.samples():
            counts = dict(self.kind.describe(given_).counts)
            for way in self.kind.disturbances(given_):
                rng = np.random.default_rng(3)
                got = way.change(given_, rng, 2.0)
                if way.sort == "halve":
                    now = dict(self.kind.describe(got).counts)
                    assert any(now[k] == (n + 1) // 2 for k, n in counts.items() if n > 1), f"{name}: {now}"
                elif way.sort == "shuffle":
                    assert Counter(leaves(got)) == Counter(leaves(given_)), f"{name}: {way.name}"
                elif way.sort == "exchange":
                    twice = way.change(got, rng, 2.0)
                    assert same(way.change(twice, rng, 2.0), got), f"{name}: {way.name}"
                else:
                    assert same(way.change(given_, rng, 1.0), given_), f"{name}: {way.name} by 1"

    def test_unknown_names_are_answered(self) -> None:
        """Disturbances, samples and suffixes that there are not: one line each."""
        first = self.kind.sample()
        for ask in (
            lambda: self.kind.disturb(first, "scale nothing at all", np.random.default_rng(0)),
            lambda: self.kind.sample("no-such-sample"),
            lambda: self.kind.open("mine.nosuchsuffix"),
            lambda: self.kind.read("no/such/file" + self.kind.formats[0].suffix),
        ):
            one_line(ask)

    def test_refuses_what_is_no_such_file(self, tmp_path: Path) -> None:
        """Nothing, noise and folders, by every suffix."""
        for form in self.kind.formats:
            if form.suffix == FOLDER:
                (tmp_path / "empty").mkdir(exist_ok=True)
                one_line(lambda: self.kind.read(tmp_path / "empty"))
                continue
            for name, held in (("empty", b""), ("noise", bytes(range(256)) * 40), ("zeros", bytes(4096))):
                path = (tmp_path / name).with_suffix(form.suffix)
                path.write_bytes(held)
                hostile_read(self.kind, path)
            folder = tmp_path / f"folder{form.suffix}"
            folder.mkdir()
            one_line(partial(self.kind.read, folder))

    def test_wrong_files_are_refused_in_a_line(self) -> None:
        """Bytes flipped, cut, lines swapped, fields replaced: it is read, or an InputError of one line says why not."""
        hostile_reads(self.kind, self.mutations, list(self.more_files()))


def one_line(ask: Callable[[], object]) -> None:
    """The call must raise InputError of one line."""
    message = ""
    try:
        ask()
    except InputError as error:
        message = str(error)
    assert message, "nothing was refused"
    assert "\n" not in message, repr(message)
    assert len(message.split()) >= 3, message


def hostile_read(kind: Kind[Any], path: Path) -> None:
    """Read and describe a file; InputError of one printable line is the only error."""
    message = ""
    try:
        json.dumps(summary_record(kind, str(path)), allow_nan=False).encode()
    except InputError as error:
        message = str(error)
    assert "\n" not in message, repr(message)
    assert len(message) < 1200, repr(message)
    message.encode()


def hostile_reads(kind: Kind[Any], count: int, more: Sequence[dict[str, bytes]] = ()) -> None:
    """Read `count` wrong files of a kind, made from its examples in every format, from its samples, and from `more`."""
    good = [*_good_files(kind), *more]

    @settings(
        max_examples=count, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, len(good) - 1), edits)
    def run(which: int, changes: list[Edit]) -> None:
        files = good[which]
        with TemporaryDirectory() as folder:
            name = sorted(files)[changes[0][2] % len(files)]
            for relative, held in files.items():
                path = Path(folder) / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(edited(held, changes) if relative == name else held)
            first = Path(next(iter(files)))
            hostile_read(kind, Path(folder) / (first.parts[0] if len(first.parts) > 1 else first))

    run()


def _good_files(kind: Kind[Any]) -> list[dict[str, bytes]]:
    """Files of the kind as relative path → bytes, a folder's together."""
    found = []
    for form in kind.formats:
        if form.dump is None or not _installed(kind, form):
            continue
        held = kind.dumped(kind.example(), form)
        if isinstance(held, bytes):
            found.append({f"x{form.suffix}": held})
        else:
            found.append({f"x/{name}": part for name, part in held.items()})
    for sample in kind.samples:
        path = sample.path()
        if path.is_file():
            found.append({f"x{path.suffix}": path.read_bytes()})
    return found


def _installed(kind: Kind[Any], form: Format[Any]) -> bool:
    if not form.needs or form.dump is None:
        return True
    try:
        form.dump(kind.example())
    except InputError:
        return False
    return True


def leaves(value: Any) -> Iterator[Any]:
    """Every number, truth value and character of an input, however it is nested."""
    if isinstance(value, np.ndarray):
        yield from (repr(x) for x in value.ravel().tolist())
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from leaves(getattr(value, field.name))
    elif isinstance(value, str):
        yield from value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from key
            yield from leaves(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from leaves(item)
    else:
        yield repr(value)
