"""What the rows of a paper's check depend on, as one digest: its sources, and what the ledger says of its claims."""

from __future__ import annotations

import hashlib

from rooflab.evidence.claims.ledger import ledger_near
from rooflab.papers.reach import folder_of, sources

__all__ = ["digest"]


def digest(paper: str) -> str:
    """The digest of everything that the rows of `paper` depend on, in hexadecimal."""
    found = hashlib.sha256(sources(paper).encode())
    ledger = ledger_near(folder_of(paper))
    if ledger is not None:
        found.update(repr([e for e in ledger.entries if e.paper == paper]).encode())
    return found.hexdigest()
