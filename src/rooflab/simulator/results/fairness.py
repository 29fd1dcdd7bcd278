"""How evenly clients are served while they compete, from the records of a run.

Service is counted as in the virtual token counter (Sheng et al., "Fairness in Serving Large Language Models", 2024,
§3): one for each prompt token and two for each generated one.  A prompt is served evenly from when it is first
scheduled to its first token, an answer from its first token to its last.  A client is backlogged
in an interval if requests of it wait at both ends.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rooflab.simulator.work.requests import Records, Requests

__all__ = ["fairness", "service_over_time"]

F64 = npt.NDArray[np.float64]

PROMPT_WEIGHT: Final = 1.0
OUTPUT_WEIGHT: Final = 2.0
INTERVALS: Final = 256
MOST_CLIENTS: Final = 64
"""Pairs are compared among this many clients, those with the most requests."""


def fairness(requests: Requests, records: Records) -> dict[str, float]:
    """`fairness_jain` and `max_service_difference` (weighted tokens); 1 and 0 while fewer than two clients compete."""
    even = {"fairness_jain": 1.0, "max_service_difference": 0.0}
    clients, counts = np.unique(requests.client, return_counts=True)
    if len(clients) < 2:
        return even
    clients = np.sort(clients[np.argsort(-counts, kind="stable")[:MOST_CLIENTS]])
    edges, service, backlogged = service_over_time(requests, records, clients)
    if len(edges) == 0:
        return even
    gained = np.diff(service, axis=1)
    competing = backlogged & (backlogged.sum(axis=0) > 1)
    waited = competing.sum(axis=1)
    out = dict(even)
    if (waited > 0).sum() > 1:
        speed = (gained * competing).sum(axis=1)[waited > 0] / waited[waited > 0]
        out["fairness_jain"] = float(speed.sum() ** 2 / (len(speed) * (speed**2).sum())) if speed.any() else 1.0
    worst = 0.0
    for a in range(len(clients) - 1):
        both = backlogged[a] & backlogged[a + 1 :]
        worst = max(worst, _largest_swing((gained[a] - gained[a + 1 :]) * both, both))
    out["max_service_difference"] = worst
    return out


def _largest_swing(difference: F64, both: npt.NDArray[np.bool_]) -> float:
    """Largest |sum| of `difference` over a stretch of intervals, inside stretches where `both` holds; rows are pairs.

    Within a stretch that is the spread of the running sum (Kadane's idea, for either sign).
    """
    high, low = np.zeros(len(difference)), np.zeros(len(difference))
    worst = 0.0
    for t in range(difference.shape[1]):
        high = np.where(both[:, t], np.maximum(high, 0) + difference[:, t], 0.0)
        low = np.where(both[:, t], np.minimum(low, 0) + difference[:, t], 0.0)
        worst = max(worst, float(high.max(initial=0.0)), float(-low.min(initial=0.0)))
    return worst


def service_over_time(
    requests: Requests, records: Records, clients: npt.NDArray[np.int32]
) -> tuple[F64, F64, npt.NDArray[np.bool_]]:
    """Edges of INTERVALS intervals (s), service that each client had got by each edge (C, T + 1), and who was
    backlogged (C, T)."""
    done = np.isfinite(records.last_token_s)
    row = np.searchsorted(clients, requests.client)
    row[(row >= len(clients)) | (clients[np.minimum(row, len(clients) - 1)] != requests.client)] = -1
    known = done & (row >= 0)
    if not known.any():
        return np.zeros(0), np.zeros((len(clients), 0)), np.zeros((len(clients), 0), dtype=bool)
    begin, end = float(np.nanmin(records.arrival_s)), float(np.nanmax(records.last_token_s))
    edges = np.linspace(0.0, end - begin, INTERVALS + 1)

    def counted(at: F64, weight: F64, rows: npt.NDArray[np.bool_]) -> F64:
        """Sum of weights of events at or before each edge, by client."""
        cell = np.clip(np.ceil(at[rows] * (INTERVALS / max(edges[-1], 1e-12))).astype(np.int64), 0, INTERVALS + 1)
        flat = row[rows] * (INTERVALS + 2) + cell
        table = np.bincount(flat, weight[rows], len(clients) * (INTERVALS + 2)).reshape(len(clients), -1)
        return np.asarray(np.cumsum(table, axis=1)[:, : INTERVALS + 1], dtype=np.float64)

    def served(since: F64, until: F64, amount: F64) -> F64:
        """Amounts spread evenly from `since` to `until`, summed up to each edge: a ramp is two half-lines."""
        rows = known & np.isfinite(since)
        since = since - begin
        until = np.maximum(until - begin, since + 1e-6)
        rate = amount / (until - since)
        return (
            edges * counted(since, rate, rows) - counted(since, rate * since, rows)
            - edges * counted(until, rate, rows) + counted(until, rate * until, rows)
        )  # fmt: skip

    prompt, output = (
        PROMPT_WEIGHT * requests.input_tokens.astype(np.float64),
        OUTPUT_WEIGHT * records.tokens_out.astype(np.float64),
    )
    service = served(records.first_scheduled_s, records.first_token_s, prompt)
    service += served(records.first_token_s, records.last_token_s, output)
    one = np.ones(len(requests))
    arrived = counted(records.arrival_s - begin, one, (row >= 0) & np.isfinite(records.arrival_s))
    waiting = arrived - counted(
        records.first_scheduled_s - begin, one, (row >= 0) & np.isfinite(records.first_scheduled_s)
    )
    return begin + edges, service, (waiting[:, :-1] > 0.5) & (waiting[:, 1:] > 0.5)
