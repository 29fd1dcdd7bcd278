"""A fault in the code of a paper, told in a line: what it is, and where."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rooflab.errors import Fault, RooflabError

__all__ = ["faults_told", "in_words"]


def in_words(problem: BaseException) -> str:
    """A problem; of one that is not told for users also what it is, and where."""
    return str(problem) if isinstance(problem, (RooflabError, ArithmeticError)) else _mistake(problem)


def _mistake(problem: BaseException) -> str:
    said = f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
    frames = traceback.extract_tb(problem.__traceback__)
    return f"{said} (in {Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else said


@contextmanager
def faults_told(where: str) -> Iterator[None]:
    """In this block whatever fails by mistake is raised as a Fault of `where`; an end of the process is one, too."""
    try:
        yield
    except (RooflabError, MemoryError):
        raise
    except (Exception, SystemExit) as problem:
        raise Fault(f"fails: {_mistake(problem)}", where) from problem
