"""Energy, money and carbon a token, from power, price and the grid: computed here and nowhere else.

J/token      = P / tokens a second
USD/Mtoken   = USD an hour / 3600 / tokens a second · 10^6
gCO2e/Mtoken = (P + hosts) · PUE / tokens a second / 3.6·10^6 · gCO2e a kWh · 10^6
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["per_token"]

Array = npt.NDArray[np.float64]
Real = Array | float


def per_token(
    tokens_per_s: Real, *, power_w: Real, usd_per_hour: Real, host_w: Real, pue: Real, gco2e_per_kwh: Real
) -> dict[str, Array]:
    """Metrics of devices that draw `power_w` and cost `usd_per_hour` while they make `tokens_per_s`; arguments
    broadcast.

    `host_w`: what their hosts draw beside them. NaN without a token, and of what is not known (a price).
    """
    tokens = np.asarray(tokens_per_s, dtype=np.float64)
    tokens = np.where(tokens > 0, tokens, np.nan)
    node_w = (np.asarray(power_w) + host_w) * pue
    return {
        "j_per_token": power_w / tokens,
        "usd_per_hour": np.asarray(usd_per_hour, dtype=np.float64),
        "usd_per_mtok": usd_per_hour / 3600.0 / tokens * 1e6,
        "gco2e_per_mtok": node_w / tokens / 3.6e6 * gco2e_per_kwh * 1e6,
    }
