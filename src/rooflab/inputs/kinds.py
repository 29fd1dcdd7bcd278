"""The kinds by name, and which one a file most likely is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from rooflab.errors import InputError, unknown
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
from rooflab.inputs.kind import FOLDER, Kind
from rooflab.inputs.names import names_in

__all__ = ["KINDS", "find", "guess", "kind_of"]

T = TypeVar("T")

KINDS: Final[Mapping[str, Kind[Any]]] = {
    kind.name: kind
    for kind in (
        scenario.KIND,
        network.KIND,
        weights.KIND,
        text.KIND,
        images.KIND,
        predictions.KIND,
        table.KIND,
        vectors.KIND,
        programs.KIND,
        runs.KIND,
        graph.KIND,
        series.KIND,
        design.KIND,
        portfolio.KIND,
    )
}
"""Every kind, in the order in which they are listed."""


def find(name: str) -> Kind[Any]:
    """The kind of a name. Raises InputError with the nearest names."""
    if name not in KINDS:
        raise unknown("kind of input", name, KINDS)
    return KINDS[name]


def kind_of(data: type[T]) -> Kind[T]:
    """The kind whose data are instances of a class. Raises KeyError for a class of no kind."""
    return cast("Kind[T]", {kind.data: kind for kind in KINDS.values()}[data])


def guess(path: str | Path) -> Kind[Any]:
    """The kind that a file or folder most likely is: by its suffix, then by the names in it.

    Raises InputError with the question when several are as likely.
    """
    path = Path(path)
    suffix = FOLDER if path.is_dir() else path.suffix.lower()
    readers = [kind for kind in KINDS.values() if any(f.suffix == suffix for f in kind.formats)]
    if not readers:
        known = sorted({f.suffix for kind in KINDS.values() for f in kind.formats if f.suffix != FOLDER})
        raise InputError(f"no kind of input is read from {suffix or 'a file without suffix'!a}; known: "
                         f"{', '.join(known)}", str(path))  # fmt: skip
    if len(readers) == 1:
        return readers[0]
    held = names_in(path)
    likely = [kind for kind in readers if any(sign <= held for sign in kind.signs)]
    longest = max((len(sign) for kind in likely for sign in kind.signs if sign <= held), default=0)
    likely = [kind for kind in likely if any(sign <= held and len(sign) == longest for sign in kind.signs)]
    if len(likely) != 1:
        names = " or ".join(kind.name for kind in likely or readers)
        raise InputError(f"is it {names}? say which: rooflab inputs KIND {path.name}", str(path))
    return likely[0]
