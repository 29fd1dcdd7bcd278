"""What can go wrong, as users see it.

    RooflabError
    ├── InputError        a field, a name or a file is wrong             exit 2
    ├── Fault             the code of a paper fails by mistake           exit 2
    └── Infeasible        the question is fine and the answer is no      exit 1

Every message is one line that says where (``file: field``), what, and the nearest valid value.
``assert`` is kept for our own mistakes.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

__all__ = ["Fault", "Infeasible", "InputError", "RooflabError", "nearest", "no_column", "unknown"]


_FEW: Final = 16
"""Names that a line lists."""


class RooflabError(Exception):
    """Base of every error that Rooflab raises on purpose."""

    exit_code = 2


class InputError(RooflabError):
    """A field has a value that cannot be used; `where` is the path of the field (``deployment.tp``)."""

    def __init__(self, message: str, where: str = "") -> None:
        self.message = message
        self.where = where
        super().__init__(f"{where}: {message}" if where else message)

    def inside(self, prefix: str) -> InputError:
        """The same error seen from one level further out: `prefix` is put before the field."""
        separator = ": " if prefix.endswith((".yaml", ".yml", ".json", ".jsonl")) or not self.where else "."
        return InputError(self.message, f"{prefix}{separator}{self.where}" if self.where else prefix)


class Fault(RooflabError):
    """Code of a paper fails by mistake; `where` names what was run (``key.method``)."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(f"{where} {message}" if where else message)


class Infeasible(RooflabError):
    """The scenario is valid and cannot be done: it does not fit, or no deployment meets the SLO."""

    exit_code = 1


def nearest(name: str, known: Iterable[str], n: int = 3, *, alike: float = 0.4) -> list[str]:
    """Up to `n` of `known` most like `name`, best first, by the share of letters that agree; case is ignored."""
    by_lower = {k.lower(): k for k in known}
    return [by_lower[m] for m in get_close_matches(name.lower(), by_lower, n=n, cutoff=alike)]


def unknown(what: str, name: str, known: Iterable[str], where: str = "") -> InputError:
    """The error for a name that is not in a closed list: the nearest ones, or a few of all where none is near."""
    options = list(known)
    close = nearest(name, options, alike=0.6 if len(options) <= _FEW else 0.4)
    if close:
        hint = f" Did you mean {', '.join(close)}?"
    else:
        more = f" and {len(options) - _FEW} more" if len(options) > _FEW else ""
        hint = f" Known: {', '.join(options[:_FEW])}{more}." if options else ""
    return InputError(f"no {what} called {name!r}.{hint}", where)


def no_column(name: str, columns: Iterable[str], where: str = "") -> InputError:
    """The error for a column that a reader's file does not have, with those that it has."""
    own = list(columns)
    more = f" and {len(own) - _FEW} more" if len(own) > _FEW else ""
    return InputError(f"no column called {name!r} among {', '.join(own[:_FEW])}{more}", where)
