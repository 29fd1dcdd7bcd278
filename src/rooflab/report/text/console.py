"""The console that all text goes through, and what every screen is made of.

Rich reads markup in what it prints ("[bold]"): names and other text from outside go through `literal`.
"""

from __future__ import annotations

import os
import sys
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from rooflab.charts.tree import clean

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["INDENT", "console", "labelled", "literal", "progress_console"]

INDENT: Final = 8
"""Columns that the name of a labelled line takes."""
_NARROWEST: Final = 30
"""Columns of text beside a name, however narrow the screen."""
_PIPED_WIDTH = 120
"""Columns where there is no terminal to ask: wide enough for every table."""


def console() -> Console:
    """A console on stdout; piped text is 120 columns wide and has no colour."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPED_WIDTH
    return Console(width=width, highlight=False, soft_wrap=False)


def progress_console() -> Console:
    """A console on stderr, for what is not part of the answer."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def literal(text: str) -> str:
    """`text` as it is: nothing in it is markup, and nothing commands the terminal."""
    from rich.markup import escape

    return escape(clean(text))


def labelled(name: str, text: str, width: int, style: str = "bold") -> str:
    """A name in `style` and its text, wrapped beside it; a number keeps its percent sign, a factor its cross."""
    lines = wrap(text.replace(" %", "\u00a0%").replace(" ×", "\u00a0×"), max(width - INDENT, _NARROWEST)) or [""]
    return f"[{style}]{literal(f'{name:<{INDENT}}')}[/]" + ("\n" + " " * INDENT).join(map(literal, lines))
