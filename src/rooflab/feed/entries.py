"""Documents of feeds as papers: Atom and RSS, and the JSON of daily papers; a broken entry is named and left out."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from rooflab.extras import needed
from rooflab.feed.download import Failed
from rooflab.store.papers import Paper

__all__ = ["Entries", "arxiv_id", "read_entries"]

_MOST_TITLE: Final = 600
_MOST_ABSTRACT: Final = 20_000
_MOST_AUTHORS: Final = 500
"""Longer than any paper's; what is longer is cut."""
_ARXIV: Final = re.compile(
    r"(?:arxiv\.org/(?:abs|pdf|html)/|^(?:oai:)?arxiv(?:\.org)?:)(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v(\d+))?",
    re.IGNORECASE,
)
_PLAIN_ID: Final = re.compile(r"(\d{4}\.\d{4,5})(?:v(\d+))?")


@dataclass(frozen=True, slots=True)
class Entries:
    """What a document holds: papers, a line for each broken entry, the number of entries (of a page of a long answer:
    of the page), and whether the document is whole."""

    papers: tuple[Paper, ...]
    broken: tuple[str, ...]
    entries: int
    whole: bool = True


def read_entries(content: bytes, today: str) -> Entries:
    """The papers of a document. An entry without a day has `today`. Raises Failed for what is no feed at all."""
    head = content.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if not head:
        raise Failed("is empty")
    return _of_json(content, today) if head in (b"[", b"{") else _of_feed(content, today)


def arxiv_id(*texts: str) -> tuple[str, int] | None:
    """The id on arXiv and the version (1 where none is told) that the first of these texts names; None without."""
    for text in texts:
        found = _ARXIV.search(text)
        if found:
            return found[1].lower(), max(int(found[2] or 1), 1)
    return None


def _collect(items: Sequence[Any], read: Any) -> tuple[list[Paper], list[str]]:
    papers, broken = list[Paper](), list[str]()
    for number, item in enumerate(items, 1):
        try:
            papers.append(read(item))
        except (_Broken, TypeError, AttributeError, LookupError, ValueError, OverflowError) as error:
            reason = str(error) if isinstance(error, _Broken) else f"has fields of another kind ({error})"
            broken.append(f"entry {number}: {reason}")
    return papers, broken


class _Broken(Exception):
    """An entry that is no paper, and why."""


def _of_json(content: bytes, today: str) -> Entries:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Failed(f"is not valid JSON ({error})") from None
    items = value.get("papers") if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise Failed("is JSON, but no list of daily papers")
    papers, broken = _collect(items, lambda item: _daily(item, today))
    return Entries(tuple(papers), tuple(broken), len(items))


def _daily(item: Any, today: str) -> Paper:
    if not isinstance(item, Mapping):
        raise _Broken("is no record")
    of = item.get("paper", item)
    if not isinstance(of, Mapping):
        raise _Broken("has no paper")
    found = _PLAIN_ID.fullmatch(str(of.get("id", "")))
    if found is None:
        raise _Broken(f"has no id of arXiv ({str(of.get('id'))[:40]!r})")
    title, abstract = _text(of.get("title") or item.get("title")), _text(of.get("summary") or item.get("summary"))
    day = _day(of.get("publishedAt") or item.get("publishedAt"), today)
    authors = [_text(a.get("name")) for a in of.get("authors") or () if isinstance(a, Mapping)]
    return Paper(
        identity=f"arxiv:{found[1]}", title=_named(title), abstract=abstract[:_MOST_ABSTRACT],
        link=f"https://arxiv.org/abs/{found[1]}", day=day, updated=day, version=max(int(found[2] or 1), 1),
        authors=tuple(a for a in authors[:_MOST_AUTHORS] if a),
    )  # fmt: skip


def _of_feed(content: bytes, today: str) -> Entries:
    with needed("feedparser", "reading feeds"):
        import feedparser
    # a stream: given text or bytes that look like an address, feedparser would fetch it
    read = feedparser.parse(io.BytesIO(content))
    items = read.entries
    if not items and not read.version:
        raise Failed(f"is no feed ({_reason(read)})")
    _complaint(items)
    papers, broken = _collect(items, lambda item: _entry(item, today))
    whole = not read.bozo or isinstance(read.get("bozo_exception"), feedparser.CharacterEncodingOverride)
    if not whole:
        broken.append(f"the document is broken ({_reason(read)}); what could be read of it is taken")
    return Entries(tuple(papers), tuple(broken), len(items), whole)


def _reason(read: Any) -> str:
    return " ".join(str(read.get("bozo_exception", "nothing in it is XML")).split())[:160]


def _complaint(items: Sequence[Any]) -> None:
    """arXiv answers a question that it cannot read with a feed of one entry that says so."""
    if len(items) == 1 and "/api/errors" in str(items[0].get("id", "")):
        raise Failed(f"refuses the question ({_text(items[0].get('summary'))[:160]})")


def _entry(item: Any, today: str) -> Paper:
    link = str(item.get("link") or item.get("id") or "")
    found = arxiv_id(str(item.get("id", "")), link)
    if found is not None:
        identity, version, link = f"arxiv:{found[0]}", found[1], f"https://arxiv.org/abs/{found[0]}"
    elif urlsplit(link).scheme in ("http", "https") and urlsplit(link).hostname:
        identity, version = f"url:{link}", 1
    else:
        raise _Broken(f"has no address ({link[:60]!r})")
    first = item.get("published_parsed") or item.get("updated_parsed")
    last = item.get("updated_parsed") or first
    day = _of_time(first) or today
    bodies = item.get("content") or ()
    abstract = _text(item.get("summary") or (bodies[0].get("value") if bodies else ""))
    # the RSS of arXiv puts a line of its own before the abstract
    abstract = re.sub(r"^arXiv:\S+ Announce Type: \S+ (?:Abstract: )?", "", abstract)
    return Paper(
        identity=identity, title=_named(_text(item.get("title"))), abstract=abstract[:_MOST_ABSTRACT], link=link,
        day=day, updated=max(_of_time(last) or day, day), version=version,
        authors=tuple(_authors(item))[:_MOST_AUTHORS],
        categories=tuple(str(tag.get("term")) for tag in item.get("tags") or () if tag.get("term"))[:50],
    )  # fmt: skip


def _authors(item: Any) -> Iterator[str]:
    for author in item.get("authors") or ():
        name = _text(author.get("name"))
        if name:
            yield name


def _of_time(parsed: Any) -> str:
    if not parsed:
        return ""
    year, month, day = parsed[:3]
    return f"{datetime(year, month, day, tzinfo=UTC):%Y-%m-%d}"


def _day(text: Any, today: str) -> str:
    if not text:
        return today
    try:
        return f"{datetime.fromisoformat(str(text)).astimezone(UTC):%Y-%m-%d}"
    except (ValueError, OverflowError):
        raise _Broken(f"has no day that can be read ({str(text)[:40]!r})") from None


def _named(title: str) -> str:
    if not title:
        raise _Broken("has no title")
    return title[:_MOST_TITLE]


_TAG: Final = re.compile(r"<[^<>]{0,500}>")


def _text(value: Any) -> str:
    """Text as it is read: no markup, no control characters, one space between words."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Broken(f"has a text that is none ({type(value).__name__})")
    plain = html.unescape(_TAG.sub(" ", value))
    return " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in plain).split())
