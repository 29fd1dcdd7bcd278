"""Where papers come from: words of the command line, or of a file of them, as addresses.

arxiv:cs.DC,cs.LG                    papers of any of these categories
arxiv:cs.LG/speculative decoding     those that have these words, too
arxiv:/KV cache                      of any category
huggingface, huggingface:2026-11-30  the daily papers of Hugging Face, of today or of a day
https://...                          an RSS or Atom feed, or a JSON of daily papers
FILE                                 such a document that was saved, or a list of sources, one a line
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from rooflab.errors import InputError

__all__ = ["USUAL", "Source", "read_sources"]

USUAL: Final = ("huggingface", "arxiv:cs.DC,cs.AR,cs.PF,cs.LG,cs.CL")
"""What is fetched where nothing is named."""

_CATEGORY: Final = re.compile(r"[a-z][a-z-]+(\.[A-Za-z-]+)?")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_PAGE: Final = 100
"""Papers that arXiv is asked for at a time."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source: the word that names it, and the address of its documents, or the file that is one (`address` "").

    Of `paged` sources (arXiv) the address has ``start`` and ``max_results`` added for each page.
    """

    name: str
    address: str
    paged: bool = False
    file: Path | None = None

    def page(self, start: int) -> str:
        """The address of the page that begins with the paper number `start`."""
        if not self.paged:
            return self.address
        joint = "&" if urlsplit(self.address).query else "?"
        return f"{self.address}{joint}{urlencode({'start': start, 'max_results': _PAGE})}"

    @property
    def host(self) -> str:
        """Whom it asks."""
        return urlsplit(self.address).netloc


def read_sources(words: Sequence[str]) -> list[Source]:
    """The sources that words name, each once; those of files of sources in their place. Raises InputError."""
    found = [one for word in words for one in _read(word.strip(), inside=False)]
    return list({one.name: one for one in found}.values())


def _read(word: str, *, inside: bool) -> list[Source]:
    scheme, colon, rest = word.partition(":")
    if scheme == "arxiv" and colon:
        return [_arxiv(word, rest)]
    if scheme == "huggingface":
        return [_huggingface(word, rest)]
    if scheme in ("http", "https") and rest.startswith("//"):
        if not urlsplit(word).hostname or re.search(r"\s", word):
            raise InputError("is no address", word)
        return [Source(word, word)]
    path = Path(word)
    if inside or not word or not os.path.exists(word):
        raise InputError(
            "no such file, nor a source such as arxiv:cs.DC, arxiv:cs.LG/words, huggingface or https://...",
            word or "''",
        )
    return _of_file(path, word)


def _of_file(path: Path, word: str) -> list[Source]:
    """A document, or the sources that a list names."""
    if not path.is_file():
        raise InputError("is no plain file", word)
    try:
        head = path.read_bytes()[:65_536].lstrip(b"\xef\xbb\xbf \t\r\n")
        if head[:1] in (b"<", b"[", b"{"):
            return [Source(word, "", file=path)]
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is neither text nor a feed"
        raise InputError(f"cannot be read ({reason})", word) from None
    found = []
    for number, line in enumerate(lines, 1):
        text = line.partition(" #")[0].strip()
        if text and not text.startswith("#"):
            try:
                found += _read(text, inside=True)
            except InputError as error:
                raise InputError(str(error), f"{word}:{number}") from None
    if not found:
        raise InputError("names no source", word)
    return found


def _arxiv(word: str, rest: str) -> Source:
    listed, _, text = rest.partition("/")
    categories = [c.strip() for c in listed.split(",") if c.strip()]
    wrong = next((c for c in categories if not _CATEGORY.fullmatch(c)), None)
    if wrong is not None:
        raise InputError(f"{wrong!r} is no category of arXiv (such as cs.DC)", word)
    if not categories and not re.search(r"\w", text):
        raise InputError("names neither a category nor words (arxiv:cs.DC, arxiv:cs.LG/speculative decoding)", word)
    parts = [f"({' OR '.join(f'cat:{c}' for c in categories)})"] if categories else []
    words = " ".join(re.findall(r"[\w.-]+", text))
    parts += [f'all:"{words}"'] if words else []
    base = os.environ.get("ROOFLAB_ARXIV_API", "https://export.arxiv.org/api/query")
    query = urlencode(
        {"search_query": " AND ".join(parts), "sortBy": "submittedDate", "sortOrder": "descending"}, quote_via=quote
    )
    return Source(word, f"{base}?{query}", paged=True)


def _huggingface(word: str, day: str) -> Source:
    if day and not _DAY.fullmatch(day):
        raise InputError(f"{day!r} is no day such as 2026-11-30", word)
    base = os.environ.get("ROOFLAB_HUGGINGFACE_API", "https://huggingface.co/api/daily_papers")
    return Source(word, f"{base}?date={day}" if day else base)
