"""How long things take on this machine, learned as they are done and kept in the user's cache folder."""

from __future__ import annotations

import math
from pathlib import Path

from rooflab.files import keep, kept, user_cache

__all__ = ["Took"]


class Took:
    """Costs by name: seconds, or how many times those of something else, as whoever learns them says."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or user_cache("rank") / "took.json"
        value = kept(self._path)
        held = value.items() if isinstance(value, dict) else ()
        self._known = {str(name): float(cost) for name, cost in held if isinstance(cost, (int, float)) and cost > 0}
        self._new: set[str] = set()

    def expected(self, name: str, otherwise: float) -> float:
        """What `name` cost before; `otherwise` where nobody knows."""
        return self._known.get(name, otherwise)

    def known(self, name: str) -> float:
        """What `name` cost before; NaN where nobody knows."""
        return self._known.get(name, math.nan)

    def learn(self, name: str, cost: float) -> None:
        """Note what `name` cost: half of what was known of it goes."""
        if cost > 0 and math.isfinite(cost):
            self._known[name] = (self._known[name] + cost) / 2 if name in self._known else cost
            self._new.add(name)

    def keep(self) -> None:
        """Write down what was learned."""
        if self._new:
            keep(self._path, self._known)
