"""How one engine's work is cut over devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rooflab.scenario import fields

__all__ = ["SPLIT_READERS", "Split"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Degrees of parallelism: `tp` tensor, `pp` pipeline, `ep` expert, `dp` attention-data, `cp` context.

    One engine uses tp·pp·dp·cp devices (experts are spread over them by `ep`).  `tp` and `ep` None are chosen when
    model and hardware are known.
    """

    tp: int | None = None
    pp: int = 1
    ep: int | None = None
    dp: int = 1
    cp: int = 1

    @property
    def devices_per_replica(self) -> int:
        """Devices that one engine uses; `tp` must have been chosen."""
        assert self.tp is not None
        return self.tp * self.pp * self.dp * self.cp


SPLIT_READERS: Final[dict[str, fields.Reader]] = {k: fields.at_least(1) for k in ("tp", "pp", "ep", "dp", "cp")}
