"""The code of a paper as the audit sees it: its modules, what they spell, and the same with numbers changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.evidence.claims.literals import STRUCTURE, Literal, Place, literals, reached
from rooflab.evidence.claims.made import Made, made_in
from rooflab.evidence.claims.opened import watching
from rooflab.evidence.claims.printed import sources_of
from rooflab.evidence.claims.reloaded import Around, Changes, reloaded
from rooflab.papers.claim import Claim
from rooflab.papers.paper import Paper

__all__ = ["Code", "scaled"]

_NAMED: Final = "named: "
_KNOWN: Final = ("structure", "index", "digits", "handed over", "set-up", "plot", "setting", "stated")


class Code:
    """The modules of `paper`, without those of a domain; changed ones are loaded once each. `fragile` are numbers
    that break what is changed with them."""

    def __init__(self, paper: Paper) -> None:
        self.paper = paper
        every = () if paper.file is None else sources_of(paper.file)
        self.files: tuple[Path, ...] = tuple(p for p in every if "domains" not in p.parts and p.name != "__init__.py")
        self.literals = literals(self.files, paper.constants, paper.numbers)
        self.made = made_in(self.files, paper.constants)
        self.fragile: set[Literal | Made] = set()
        self._loaded: dict[Any, Paper | None] = {}
        self._opened: list[str] = []

    def claim(self, id: str, changes: Changes, *, documented: bool = True) -> Claim | None:
        """The claim `id` of the changed code; None where that cannot be loaded."""
        key = frozenset(changes.items()), documented
        if key not in self._loaded:
            try:
                with watching(self.files) as opened:
                    self._loaded[key] = reloaded(self.paper, self.files, changes, documented=documented)
            except (InputError, SyntaxError):
                self._loaded[key] = None
            self._opened.extend(opened)
        found = self._loaded[key]
        return next((c for c in found.claims if c.id == id), None) if found else None

    def opens(self, claim: Claim) -> Sequence[str]:
        """Files that the code opens by itself when it is loaded."""
        self.claim(claim.id, {})
        return self._opened

    def used(self, claim: Claim) -> list[Literal]:
        """What the code of a claim may come to."""
        names = self._reached(claim)
        return [x for x in self.literals if x.top in names]

    def made_by(self, claim: Claim) -> list[Made]:
        """Numbers that the code of a claim may make."""
        names = self._reached(claim)
        return [x for x in self.made if x.top in names]

    def _reached(self, claim: Claim) -> set[str]:
        inner: Any = claim.function
        while isinstance(inner, partial):
            inner = inner.func
        return reached(self.files, [inner.__qualname__.partition(".")[0]])

    def constants_of(self, claim: Claim) -> list[str]:
        """Names of the constants of KEY.yaml that the code of a claim may come to."""
        return list(dict.fromkeys(x.role.removeprefix(_NAMED) for x in self.used(claim) if x.role.startswith(_NAMED)))

    def constant(self, name: str) -> Sequence[Literal]:
        """The numbers of a constant."""
        return [x for x in self.literals if x.role == f"{_NAMED}{name}"]

    def unsourced(self) -> list[Literal]:
        """Numbers that are no structure, are not handed over by the lab, and have no source in KEY.yaml."""
        return [x for x in self.literals if x.is_number and x.role not in _KNOWN and not x.role.startswith(_NAMED)]

    def misstated(self, data: Mapping[str, Any]) -> str:
        """A constant whose number in KEY.yaml is another than in the code, or in the `data` that a lab was handed;
        empty if there is none."""
        for name, stated in self.paper.constants.items():
            own = [data[name]] if name in data else [x.value for x in self.constant(name)]
            telling = [x for x in own if not (isinstance(x, (int, float)) and abs(x) in STRUCTURE)] or own
            if stated.value is not None and any(x != stated.value for x in telling):
                return f"KEY.yaml says that {name} is {stated.value:g}, the code {', '.join(map(str, own))}"
        return ""

    def source_of(self, name: str) -> str:
        """A constant or datum with its source in words."""
        short = name.partition(": ")[2]
        stated = self.paper.constants.get(short)
        return name if stated is None else f"{short}: {stated.source}"


def scaled(numbers: Sequence[Literal | Made], factor: float) -> Changes:
    """Numbers times a factor; whole ones stay whole, and change by one at least."""
    changes: dict[tuple[Path, Place], Any] = {}
    for x in numbers:
        if isinstance(x, Made):
            changes[x.file, x.place] = Around(x, factor)
            continue
        assert isinstance(x.value, (int, float))
        value = x.value * factor
        if isinstance(x.value, int):
            value = round(value) if round(value) != x.value else x.value + (1 if factor > 1 else -1)
        changes[x.file, x.place] = value
    return changes
