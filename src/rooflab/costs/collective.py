"""Collectives over n ranks joined by links of L bytes/s one way; S is bytes a rank holds before (all-reduce) or after
(all-gather) or before (reduce-scatter, all-to-all).

All-reduce has two regimes: one shot (everyone sends everything, few hops) for small messages, and two shots or a
ring (2(n−1)/n of the message) for large ones; the faster is used:

    t = min( a + r(n−1) + (n−1)·S/(b1·L),  a + x + r(n−1) + 2(n−1)/n·S/(b2·L) )

The others move (n−1)/n of S once: t = a + r(n−1) + (n−1)/n·S/(b·L).  Ranks behind one host bridge share it: there
the rate of a link falls as (2/n)^share.  An expert-parallel exchange (dispatch or combine) sends each token once to
every other rank that holds one of its experts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rooflab.costs.quantity import Real, only_if

__all__ = [
    "AllReduceCurve",
    "CollectiveCurves",
    "LinkCurve",
    "all_gather_s",
    "all_reduce_s",
    "all_to_all_s",
    "exchange_bytes",
    "hierarchical_all_reduce_s",
    "moe_exchange_s",
    "reduce_scatter_s",
    "send_s",
]


@dataclass(frozen=True, slots=True)
class AllReduceCurve:
    """`a_s` launch, `r_s` a further rank, `b1` and `b2` shares of link rate in one and two shots, `x_s` extra of two
    shots.

    `share`: how the rate falls with ranks on a shared bus, 0 on a switch.
    """

    a_s: float
    r_s: float
    b1: float
    b2: float
    x_s: float
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class LinkCurve:
    """`a_s` launch, `r_s` a further rank, `b` share of the link rate; `share` as in AllReduceCurve."""

    a_s: float
    r_s: float
    b: float
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class CollectiveCurves:
    """What one kind of link gives: the curves of the five operations."""

    all_reduce: AllReduceCurve
    all_gather: LinkCurve
    reduce_scatter: LinkCurve
    all_to_all: LinkCurve
    send: LinkCurve


def all_reduce_s(message_bytes: Real, ranks: Real, *, link_bytes_per_s: Real, curve: AllReduceCurve) -> Real:
    """Seconds to sum `message_bytes` over `ranks`; 0 for one rank or an empty message."""
    others = np.maximum(ranks - 1.0, 0.0)
    start_s = curve.a_s + curve.r_s * others
    wire_s = message_bytes / link_bytes_per_s * _crowding(ranks, curve.share)
    one_shot = start_s + others * wire_s / curve.b1
    two_shot = start_s + curve.x_s + 2.0 * others / np.maximum(ranks, 1.0) * wire_s / curve.b2
    return only_if(others * message_bytes, np.minimum(one_shot, two_shot))


def all_gather_s(gathered_bytes: Real, ranks: Real, *, link_bytes_per_s: Real, curve: LinkCurve) -> Real:
    """Seconds until every rank holds all `gathered_bytes` (each had its n-th part)."""
    return _once(gathered_bytes, ranks, link_bytes_per_s, curve)


def reduce_scatter_s(message_bytes: Real, ranks: Real, *, link_bytes_per_s: Real, curve: LinkCurve) -> Real:
    """Seconds until every rank holds the sum of its n-th part of `message_bytes`."""
    return _once(message_bytes, ranks, link_bytes_per_s, curve)


def all_to_all_s(sent_bytes: Real, ranks: Real, *, link_bytes_per_s: Real, curve: LinkCurve) -> Real:
    """Seconds for every rank to spread `sent_bytes` evenly over all ranks, itself included."""
    return _once(sent_bytes, ranks, link_bytes_per_s, curve)


def send_s(message_bytes: Real, *, link_bytes_per_s: Real, curve: LinkCurve) -> Real:
    """Seconds to send `message_bytes` from one device to another."""
    return only_if(message_bytes, curve.a_s + message_bytes / (curve.b * link_bytes_per_s))


def hierarchical_all_reduce_s(
    message_bytes: Real,
    ranks_per_host: Real,
    hosts: Real,
    *,
    inside_bytes_per_s: Real,
    across_bytes_per_s: Real,
    inside: CollectiveCurves,
    across: CollectiveCurves,
) -> Real:
    """Seconds of an all-reduce in three legs: reduce-scatter in the host, all-reduce of each part across hosts,
    all-gather.

    Both rates are bytes/s one way for one device.  With one host it is the plain all-reduce of that host.
    """
    local_s = all_reduce_s(message_bytes, ranks_per_host, link_bytes_per_s=inside_bytes_per_s, curve=inside.all_reduce)
    part = message_bytes / np.maximum(ranks_per_host, 1.0)
    legs_s = (
        reduce_scatter_s(
            message_bytes, ranks_per_host, link_bytes_per_s=inside_bytes_per_s, curve=inside.reduce_scatter
        )
        + all_reduce_s(part, hosts, link_bytes_per_s=across_bytes_per_s, curve=across.all_reduce)
        + all_gather_s(message_bytes, ranks_per_host, link_bytes_per_s=inside_bytes_per_s, curve=inside.all_gather)
    )
    return np.where(np.asarray(hosts) > 1, legs_s, local_s)[()]


def exchange_bytes(tokens: Real, *, hidden: Real, element_bytes: Real, top_k: Real, ranks: Real) -> Real:
    """Bytes a rank sends to others in one phase of an expert-parallel exchange of its `tokens`.

    A token goes once to each of the other ranks that hold one of its `top_k` experts, (n−1)·(1 − (1 − 1/n)^K) of them.
    """
    reached = (ranks - 1.0) * -np.expm1(top_k * np.log1p(-1.0 / np.maximum(ranks, 1.0 + 1e-12)))
    return tokens * hidden * element_bytes * np.maximum(reached, 0.0)


def moe_exchange_s(sent_bytes: Real, ranks: Real, *, link_bytes_per_s: Real, curve: LinkCurve) -> Real:
    """Seconds of one phase (dispatch or combine) in which a rank sends `sent_bytes` to others, see `exchange_bytes`."""
    others = np.maximum(ranks - 1.0, 0.0)
    wire_s = sent_bytes / (curve.b * link_bytes_per_s) * _crowding(ranks, curve.share)
    return only_if(others * sent_bytes, curve.a_s + curve.r_s * others + wire_s)


def _once(message_bytes: Real, ranks: Real, link_bytes_per_s: Real, curve: LinkCurve) -> Real:
    others = np.maximum(ranks - 1.0, 0.0)
    wire_s = (
        others / np.maximum(ranks, 1.0) * message_bytes / (curve.b * link_bytes_per_s) * _crowding(ranks, curve.share)
    )
    return only_if(others * message_bytes, curve.a_s + curve.r_s * others + wire_s)


def _crowding(ranks: Real, share: float) -> Real:
    return np.maximum(ranks / 2.0, 1.0) ** share
