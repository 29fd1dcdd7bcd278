"""The contract of a kind of input: what its data are, which files it reads and writes, its samples, how to disturb it.

A kind is one file here: a frozen dataclass of plain data, whose docstring says shapes and units field by field, and a
constant ``KIND`` that describes it.

    given = KIND.open("mine.csv")                     a file, or the name of a sample
    half = KIND.disturb(given, "halve", rng)          the same data, changed on purpose
    KIND.write(half, "half.npz")

The dataclass checks itself when it is made, whoever makes it; what cannot be used is an InputError of one line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeVar, get_args

from rooflab.errors import InputError, unknown
from rooflab.files import replaced, write_folder
from rooflab.inputs.samples import Sample, samples_of
from rooflab.source.text import shown

if TYPE_CHECKING:
    import numpy as np

    from rooflab.inputs.summary import Summary

__all__ = ["FOLDER", "SORTS", "Disturbance", "Format", "Kind", "Sort"]

T = TypeVar("T")
Sort = Literal["scale", "halve", "shuffle", "exchange"]

SORTS: Final[tuple[str, ...]] = get_args(Sort)
FOLDER: Final = "/"
"""The suffix of a format that is a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format(Generic[T]):
    """A way to keep data of a kind: `load` reads a path; `dump` gives a file's bytes, or a folder's by relative path.

    `needs`: the extra that has to be installed.  `text`: whether people can write it in an editor.
    """

    suffix: str
    what: str
    load: Callable[[Path], T]
    dump: Callable[[T], bytes | Mapping[str, bytes]] | None = None
    needs: str = ""
    text: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance(Generic[T]):
    """A named way to change data of a kind: `change` is a pure function of data, generator and factor.

    Only *scale* uses the factor; *scale* and *exchange* draw nothing.
    """

    sort: Sort
    target: str = ""
    what: str
    change: Callable[[T, np.random.Generator, float], T]

    @property
    def name(self) -> str:
        """``scale tokens``, ``halve``: how claims and people call it."""
        return f"{self.sort} {self.target}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """A kind of input, whose data are instances of `data`.

    `describe` is called to show a reader what a file holds.  `disturbances` is called with data and lists what can be
    done to them; a sort that it never lists stands in `lacks` with the reason.  `example` makes a few rows to start
    from.  `signs` are sets of names (columns, keys, arrays) by which a file of this kind is known, an empty one for a
    kind that takes what no other does.  `named` is asked for names that are neither files nor samples (networks of the
    catalogue).  `parts` says what each field holds where the docstring of `data` does not.
    """

    name: str
    does: str
    data: type[T]
    formats: tuple[Format[T], ...]
    describe: Callable[[T], Summary]
    disturbances: Callable[[T], tuple[Disturbance[T], ...]]
    example: Callable[[], T]
    lacks: Mapping[Sort, str] = field(default_factory=dict)
    signs: tuple[frozenset[str], ...] = ()
    named: Callable[[str], T] | None = None
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, str]:
        """What each field of the data holds: shape, unit, meaning."""
        return dict(self.parts) or documented(self.data)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Data of this kind that ship."""
        return samples_of(self.name)

    def format(self, path: str | Path) -> Format[T]:
        """The format of a path by its suffix. Raises InputError with the suffixes that are read."""
        path = Path(path)
        suffix = FOLDER if _is_folder(path) else path.suffix.lower()
        found = next((f for f in self.formats if f.suffix == suffix), None)
        if found is None:
            kept = ", ".join("a folder" if f.suffix == FOLDER else f.suffix for f in self.formats)
            what = "a folder" if suffix == FOLDER else f"{suffix!a}" if suffix else "no suffix"
            raise InputError(f"{self.name} is read from {kept}; this is {what}", shown(path))
        return found

    def read(self, path: str | Path) -> T:
        """The data in a file or folder.

        Raises InputError that names the file and, where there is one, line and column, whatever the file holds.
        """
        path = Path(path)
        reader = self.format(path)
        try:
            return reader.load(path)
        except InputError as error:
            raise _placed(error, path) from None

    def write(self, data: T, path: str | Path) -> None:
        """Write data to a file or a new folder, whole or not at all."""
        path = Path(path)
        held = self.dumped(data, self.format(path) if path.suffix else self._of_suffix(FOLDER))
        if isinstance(held, bytes):
            with replaced(path, "wb") as file:
                file.write(held)
            return
        write_folder(path, held)

    def dumped(self, data: T, form: Format[T]) -> bytes | Mapping[str, bytes]:
        """Data as the bytes of a file, or of a folder's files by relative path."""
        if form.dump is None:
            raise InputError(f"{self.name} is read from {form.suffix} and not written to it")
        return form.dump(data)

    def example_file(self, suffix: str | None = None) -> tuple[Format[T], bytes]:
        """A small file to start from: of a suffix, else of the first format that people can edit, else the first."""
        written = [f for f in self.formats if f.dump is not None and f.suffix != FOLDER]
        found = next((f for f in written if f.text), written[0])
        if suffix is not None:
            wanted = f".{suffix.lower().lstrip('.')}"
            if wanted not in [f.suffix for f in written]:
                raise unknown("format", suffix, [f.suffix for f in written], self.name)
            found = next(f for f in written if f.suffix == wanted)
        held = self.dumped(self.example(), found)
        assert isinstance(held, bytes)
        return found, held

    def sample(self, name: str = "") -> T:
        """The sample of a name, the first one without; its checksum is checked. Raises InputError with the nearest."""
        found = next((s for s in self.samples if not name or s.name == name), None)
        if found is None:
            raise unknown(f"sample of {self.name}", name, [s.name for s in self.samples])
        return self.read(found.path())

    def open(self, what: str | Path) -> T:
        """The data that a reader means: a file, a folder, the name of a sample, or another name that the kind knows."""
        text = str(what)
        if text in [s.name for s in self.samples]:
            return self.sample(text)
        if _exists(Path(text)) or _looks_like_a_path(text):
            return self.read(text)
        if self.named is None:
            raise unknown(f"file or sample of {self.name}", text, [s.name for s in self.samples])
        return self.named(text)

    def disturb(self, data: T, name: str, rng: np.random.Generator, factor: float = 2.0) -> T:
        """The data after the disturbance `name`. Raises InputError with the nearest names."""
        ways = {way.name: way for way in self.disturbances(data)}
        if name not in ways:
            raise unknown(f"disturbance of {self.name}", name, ways)
        return ways[name].change(data, rng, factor)

    def _of_suffix(self, suffix: str) -> Format[T]:
        found = next((f for f in self.formats if f.suffix == suffix), None)
        if found is None:
            raise InputError(f"{self.name} is written to {', '.join(f.suffix for f in self.formats if f.dump)}")
        return found


_FIELD: Final = re.compile(r"^ {4}(\w+(?:, \w+)*): (.*)$")


def documented(cls: type[Any]) -> dict[str, str]:
    """Fields of a dataclass as its docstring says them: lines ``name: text``, which indented lines go on."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in (cls.__doc__ or "").splitlines():
        match = _FIELD.match(line)
        if match:
            names = match[1].split(", ")
            found |= dict.fromkeys(names, match[2])
        elif line.startswith("     ") and names:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            names = []
    return found


def _placed(error: InputError, path: Path) -> InputError:
    """The error in one line that can be printed, with the path in front unless it names it."""
    where = shown(path)
    if not error.where.startswith((where, str(path))):
        where = f"{where}: {error.where}" if error.where else where
    else:
        where = error.where
    return InputError(shown(error.message), shown(where))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _looks_like_a_path(text: str) -> bool:
    return "/" in text or "\\" in text or bool(Path(text).suffix)
