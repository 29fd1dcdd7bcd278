"""Reading of the data files next to this package: JSON, a table of sources, and rows that name them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["cite", "load", "squash"]


@cache
def load(name: str) -> dict[str, Any]:
    """The data file `name` (without ``.json``) as parsed JSON; read once per process."""
    text = files("rooflab.catalogue").joinpath("data", f"{name}.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def cite(sources: Mapping[str, Mapping[str, Any]], key: str) -> str:
    """The source called `key` in words, with "(assumed)" or "(unchecked)" where it is not a document that was read."""
    source = sources[key]
    if source["kind"] == "assumed":
        return f"{source['cite']} (assumed)"
    return str(source["cite"]) if source["checked"] else f"{source['cite']} (unchecked)"


def squash(text: str) -> str:
    """Lower case, letters and digits only: how names are compared when spelling does not matter."""
    return "".join(c for c in text.lower() if c.isalnum())
