"""Files gone wrong: edits of a good file as accidents and malice make them, for readers to refuse in one line.

An edit is three numbers (what, where, which), so that a failing one is found again and made smaller by hypothesis.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from typing import Final

__all__ = ["HOSTILE", "Edit", "edited"]

Edit = tuple[int, float, int]

HOSTILE: Final[tuple[str, ...]] = (
    "", " ", "0", "-1", "1e999", "-1e308", "9" * 30, "9" * 5000, "nan", "NaN", "inf", "-Infinity", "null", "None",
    "true", "0x10", "1_000", "١٢", "1,5", '"', "'", "\\", "\0", "\x1b[31m", "\u202e", "\ufeff", "\\ud800", "é" * 50,
    "[" * 200, "{" * 60, "[]", "{}", "[1, 2]", '{"a": 1}', "*a", "&a [*a]", "!!python/object:os.system x", "<<: 1",
    "2001-99-99", "..", "/dev/zero", "-", "1:2:3", "!!binary x", "1e-400", "0.1", "3.7", "%", "5 GB",
    "a\nb", "=1+1", "on", "~", '"a": 1, "a": 2', "x" * 20_000, "1e18", "123456789012345678",
)  # fmt: skip
"""Values that a field may hold instead of its own."""

_FIELDS: Final = re.compile(rb"[^\s,:{}\[\]][^,:\n{}\[\]]*")


def edited(held: bytes, edits: Sequence[Edit]) -> bytes:
    """A file after the edits; of a .npz file, half of them are made inside one of its arrays."""
    for what, where, which in edits:
        if held[:2] == b"PK" and which % 2:
            held = _inside_zip(held, what, where, which)
        else:
            held = _EDITS[what % len(_EDITS)](held, where, which)
    return held


def _place(length: int, where: float) -> int:
    return min(int(where * length), max(length - 1, 0))


def _flip(held: bytes, where: float, which: int) -> bytes:
    at = _place(len(held), where)
    return held[:at] + bytes([held[at] ^ (1 << which % 8)]) + held[at + 1 :] if held else held


def _byte(held: bytes, where: float, which: int) -> bytes:
    at = _place(len(held), where)
    return held[:at] + bytes([which % 256]) + held[at + 1 :]


def _cut(held: bytes, where: float, which: int) -> bytes:
    return held[: _place(len(held), where)]


def _drop(held: bytes, where: float, which: int) -> bytes:
    at = _place(len(held), where)
    return held[:at] + held[at + 1 + which % 64 :]


def _repeat(held: bytes, where: float, which: int) -> bytes:
    at = _place(len(held), where)
    return held[:at] + held[at : at + 1 + which % 64] * 2 + held[at + 1 + which % 64 :]


def _swap_lines(held: bytes, where: float, which: int) -> bytes:
    lines = held.split(b"\n")
    a, b = _place(len(lines), where), which % len(lines)
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def _double_line(held: bytes, where: float, which: int) -> bytes:
    lines = held.split(b"\n")
    return b"\n".join([*lines[: which % len(lines)], lines[_place(len(lines), where)], *lines[which % len(lines) :]])


def _field(held: bytes, where: float, which: int) -> bytes:
    fields = list(_FIELDS.finditer(held))
    if not fields:
        return HOSTILE[which % len(HOSTILE)].encode()
    found = fields[_place(len(fields), where)]
    return held[: found.start()] + HOSTILE[which % len(HOSTILE)].encode() + held[found.end() :]


def _insert(held: bytes, where: float, which: int) -> bytes:
    at = _place(len(held), where)
    return held[:at] + HOSTILE[which % len(HOSTILE)].encode() + held[at:]


def _encode(held: bytes, where: float, which: int) -> bytes:
    return held.decode("utf-8", "replace").encode(("utf-16", "utf-32", "latin-1")[which % 3], "replace")


_EDITS: Final[tuple[Callable[[bytes, float, int], bytes], ...]] = (
    _flip, _byte, _cut, _drop, _repeat, _swap_lines, _double_line, _field, _field, _field, _insert, _encode,
)  # fmt: skip


def _inside_zip(held: bytes, what: int, where: float, which: int) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(held)) as packed:
            members = {name: packed.read(name) for name in packed.namelist()}
    except Exception:  # an earlier edit broke it, in one of many ways
        return held
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for i, (name, part) in enumerate(members.items()):
            chosen = i == which // 2 % len(members)
            # the first bytes say type and shape: edits there find more than edits among numbers
            head = where / 10 if what % 3 else where
            packed.writestr(name, _EDITS[what % len(_EDITS)](part, head, which // 2) if chosen else part)
    return out.getvalue()
