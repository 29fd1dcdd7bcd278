"""Libraries that only some questions need: imported where they are used, and named with how to install them where they
are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rooflab.errors import InputError

__all__ = ["REQUIREMENTS", "MissingExtra", "needed"]

REQUIREMENTS: Final = {
    "feedparser": "feedparser>=6.0.11,<7", "httpx": "httpx>=0.28,<1",
    "onnx": "onnx>=1.16,<2", "pillow": "pillow>=10,<14", "pyarrow": "pyarrow>=15,<27", "scipy": "scipy>=1.13,<2",
    "starlette": "starlette>=1.0,<2", "uvicorn": "uvicorn>=0.34,<1",
}  # fmt: skip
"""Library -> the versions that pip is asked for, as in the extras of the package."""


class MissingExtra(InputError):
    """A library that is not installed; the message says how to install it."""


@contextmanager
def needed(library: str, what: str, where: str = "") -> Iterator[None]:
    """Around a late import of `library`: MissingExtra at `where` that says what to install for `what` if it is missing.

    with needed("scipy", "the integer program", "ets"):
        from scipy import optimize
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtra(f"{what} needs {library}: pip install '{REQUIREMENTS[library]}'", where) from error
