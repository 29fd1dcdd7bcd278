"""Priced kernels obey physics whatever the constants: monotone, never below the roofline, nothing costs nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rooflab.costs import collective as comm
from rooflab.costs.attention import (
    DecodeCurve,
    PrefillCurve,
    causal_pairs,
    decode_attention_s,
    decode_terms,
    mla_decode_s,
    mla_prefill_s,
    prefill_attention_s,
)
from rooflab.costs.elementwise import ElementwiseCurve, elementwise_s
from rooflab.costs.gemm import GemmCurve, batched_gemm_s, gemm_s
from rooflab.costs.moe import MoeCurve, experts_touched, moe_s
from rooflab.costs.recurrent import RecurrentCurve, recurrent_decode_s, recurrent_prefill_s

share = st.floats(0.02, 1.0)
launch = st.floats(0.0, 1e-4)
size = st.integers(1, 1 << 15)
more = st.floats(1.0, 8.0)
peak = st.floats(1e12, 1e16)
rate = st.floats(1e10, 1e13)
width_bytes = st.sampled_from([0.5, 1.0, 2.0])

gemm_curves = st.builds(GemmCurve, t0_s=launch, ec=share, em=share, q=st.floats(1.2, 6.0), a=st.floats(0.0, 8.0))
decode_curves = st.builds(DecodeCurve, t0_s=launch, em=share, ec=share, s0_tokens=st.floats(1.0, 600.0))
prefill_curves = st.builds(PrefillCurve, t0_s=launch, e=share, narrow=st.floats(0.0, 0.9), io=share)
moe_curves = st.builds(
    MoeCurve, t0_s=launch, ec=share, em=share, a=st.floats(0, 15), pad_tokens=st.floats(1, 500),
    alpha=st.floats(0.3, 3),
    heat=st.floats(0, 1), remote=st.floats(0, 15),
)  # fmt: skip
link_curves = st.builds(comm.LinkCurve, a_s=launch, r_s=launch, b=share, share=st.floats(0, 2))
all_reduce_curves = st.builds(
    comm.AllReduceCurve, a_s=launch, r_s=launch, b1=share, b2=share, x_s=launch, share=st.floats(0, 2)
)

ABOUT = 1 + 1e-9
quick = settings(max_examples=60, deadline=None)


@quick
@given(curve=gemm_curves, m=size, n=size, k=size, wb=width_bytes, ab=width_bytes, flops=peak, bw=rate, factor=more)
def test_gemm_obeys_the_roofline(*, curve, m, n, k, wb, ab, flops, bw, factor):
    def price(m=m, n=n, k=k, flops=flops, bw=bw):
        return gemm_s(m, n, k, weight_bytes=wb, act_bytes=ab, peak_flops=flops, bytes_per_s=bw, curve=curve)

    t = price()
    assert t * ABOUT >= 2.0 * m * n * k / flops
    assert t * ABOUT >= (n * k * wb + m * k * ab + m * n * 2.0) / bw
    for longer in (
        price(m=m * factor),
        price(n=n * factor),
        price(k=k * factor),
        price(flops=flops / factor),
        price(bw=bw / factor),
    ):
        assert longer * ABOUT >= t


def test_gemm_without_work_takes_no_time_and_arrays_broadcast():
    curve = GemmCurve(t0_s=4e-6, ec=0.8, em=0.8)
    rates = {"weight_bytes": 2.0, "act_bytes": 2.0, "peak_flops": 989e12, "bytes_per_s": 3.35e12, "curve": curve}
    assert gemm_s(0, 4096, 4096, **rates) == gemm_s(16, 0, 4096, **rates) == gemm_s(16, 4096, 0, **rates) == 0.0
    grid = gemm_s(np.array([[0.0], [1.0], [64.0]]), np.array([1024.0, 4096.0]), 4096.0, **rates)
    assert grid.shape == (3, 2)
    assert (grid[0] == 0).all()
    assert grid[2, 1] == gemm_s(64, 4096, 4096, **rates)
    assert batched_gemm_s(8, 64, 512, 128, **rates) < 8 * gemm_s(64, 512, 128, **rates)  # one launch


def test_gemm_floor_and_ceiling_are_the_launch_and_the_peak():
    curve = GemmCurve(t0_s=4e-6, ec=0.8, em=0.8)
    rates = {"weight_bytes": 2.0, "act_bytes": 2.0, "peak_flops": 1e15, "bytes_per_s": 3e12, "curve": curve}
    assert gemm_s(1, 128, 128, **rates) == pytest.approx(4e-6, rel=0.01)
    assert gemm_s(16384, 16384, 16384, **rates) == pytest.approx(2 * 16384**3 / 0.8e15, rel=0.01)


@quick
@given(
    curve=decode_curves,
    batch=size,
    context=st.integers(1, 1 << 22),
    kv=st.sampled_from([1, 2, 4, 8]),
    group=st.integers(1, 16),
    kv_bytes=width_bytes,
    flops=peak,
    bw=rate,
    factor=more,
)
def test_decode_attention_obeys_the_roofline(*, curve, batch, context, kv, group, kv_bytes, flops, bw, factor):
    def price(batch=batch, context=context, heads=kv * group, flops=flops, bw=bw):
        return decode_attention_s(
            batch,
            context,
            heads=heads,
            kv_heads=kv,
            head_dim=128,
            kv_bytes=kv_bytes,
            peak_flops=flops,
            bytes_per_s=bw,
            curve=curve,
        )

    t = price()
    assert t * ABOUT >= 2 * kv * context * 128 * kv_bytes / bw
    assert t * ABOUT >= 4.0 * kv * group * context * 128 / flops
    for longer in (
        price(batch=batch * factor),
        price(context=context * factor),
        price(flops=flops / factor),
        price(bw=bw / factor),
    ):
        assert longer * ABOUT >= t
    assert price(batch=0, context=0) == 0.0
    terms = decode_terms(
        heads=kv * group, kv_heads=kv, head_dim=128, kv_bytes=kv_bytes, peak_flops=flops, bytes_per_s=bw, curve=curve
    )
    a_sequence, a_token = terms.straight()
    assert t <= (terms.fixed_s + batch * a_sequence + context * a_token) * ABOUT


def test_decode_price_needs_only_the_sum_of_contexts():
    curve = DecodeCurve(t0_s=1e-5, em=0.9, ec=0.2, s0_tokens=100)
    args = {
        "heads": 32,
        "kv_heads": 8,
        "head_dim": 128,
        "kv_bytes": 2.0,
        "peak_flops": 989e12,
        "bytes_per_s": 3.35e12,
        "curve": curve,
    }
    together = decode_attention_s(3, 100 + 2000 + 30000, **args) - curve.t0_s
    apart = sum(decode_attention_s(1, s, **args) - curve.t0_s for s in (100, 2000, 30000))
    assert together == pytest.approx(apart)


def test_mla_cache_does_not_shrink_with_heads():
    curve = DecodeCurve(t0_s=0.0, em=0.9, ec=0.9, s0_tokens=1)
    args = {"kv_rank": 512, "rope_dim": 64, "kv_bytes": 2.0, "peak_flops": 1e16, "bytes_per_s": 3.35e12, "curve": curve}
    whole, eighth = mla_decode_s(64, 64 * 8192, heads=16, **args), mla_decode_s(64, 64 * 8192, heads=2, **args)
    assert eighth / whole > 0.95
    assert whole * ABOUT >= 64 * 8192 * 576 * 2 / 3.35e12


@quick
@given(
    curve=prefill_curves,
    new=st.integers(1, 1 << 14),
    prior=st.integers(0, 1 << 14),
    dim=st.sampled_from([64, 128, 256]),
    flops=peak,
    bw=rate,
    factor=more,
)
def test_prefill_attention_obeys_the_roofline(*, curve, new, prior, dim, flops, bw, factor):
    def price(new=new, flops=flops, bw=bw):
        pairs = causal_pairs(new, prior)
        return prefill_attention_s(
            pairs, new, new + prior, heads=32, kv_heads=8, head_dim=dim, peak_flops=flops, bytes_per_s=bw, curve=curve
        )

    t = price()
    assert t * ABOUT >= 4.0 * 32 * dim * causal_pairs(new, prior) / flops
    for longer in (price(new=new * factor), price(flops=flops / factor), price(bw=bw / factor)):
        assert longer * ABOUT >= t
    assert price(new=0) == 0.0


@given(st.integers(1, 300), st.integers(0, 300), st.integers(1, 400))
def test_causal_pairs_count_what_each_query_sees(new, prior, window):
    exact = sum(min(window, prior + i + 1) for i in range(new))
    pairs = float(causal_pairs(new, prior, window))
    assert pairs <= exact
    assert pairs >= exact - new  # at most a token a query: the half-token of the diagonal and the edge of the window
    assert causal_pairs(new, prior) == new * prior + new * new / 2


def test_mla_prefill_is_attention_with_its_own_head_sizes():
    curve = PrefillCurve(t0_s=1e-5, e=0.6)
    t = mla_prefill_s(
        causal_pairs(4096),
        4096,
        4096,
        heads=128,
        nope_dim=128,
        rope_dim=64,
        v_dim=128,
        peak_flops=989e12,
        bytes_per_s=3.35e12,
        curve=curve,
    )
    assert t > 2 * 128 * 320 * 4096**2 / 2 / (989e12 * 0.6)


@quick
@given(
    curve=moe_curves,
    tokens=st.integers(1, 1 << 14),
    experts=st.sampled_from([8, 64, 256]),
    top_k=st.integers(1, 8),
    ep=st.sampled_from([1, 2, 8]),
    flops=peak,
    bw=rate,
    factor=more,
)
def test_moe_obeys_the_roofline(*, curve, tokens, experts, top_k, ep, flops, bw, factor):
    def price(tokens=tokens, flops=flops, bw=bw, **other):
        return moe_s(
            tokens, hidden=2048, width=768, experts=experts, top_k=top_k, ep=ep, weight_bytes=2.0, peak_flops=flops,
            bytes_per_s=bw,
            curve=curve, **other,
        )  # fmt: skip

    t = price()
    assignments = tokens * top_k / ep
    touched = experts_touched(assignments, experts / ep, curve.alpha)
    assert t * ABOUT >= 6.0 * 2048 * 768 * assignments / flops
    assert t * ABOUT >= touched * 3 * 2048 * 768 * 2.0 / bw
    for longer in (price(tokens=tokens * factor), price(flops=flops / factor), price(bw=bw / factor)):
        assert longer * ABOUT >= t
    assert price(tokens=0) == 0.0
    assert price(matrices=2.0) <= t
    assert price(gathered=0.0) <= t


@given(st.floats(0.0, 1e5), st.integers(1, 512), st.floats(0.3, 3.0))
def test_touched_experts_never_exceed_experts_or_assignments(assignments, experts, alpha):
    touched = experts_touched(assignments, experts, alpha)
    assert 0 <= touched <= min(assignments, experts) * ABOUT
    assert experts_touched(assignments, experts, np.inf) == pytest.approx(min(assignments, experts))


@quick
@given(all_reduce_curves, st.integers(2, 64), st.floats(1.0, 1e10), rate, more)
def test_all_reduce_is_never_faster_than_its_wire(curve, ranks, message, link, factor):
    t = comm.all_reduce_s(message, ranks, link_bytes_per_s=link, curve=curve)
    assert t * ABOUT >= 2.0 * (ranks - 1) / ranks * message / link
    assert comm.all_reduce_s(message * factor, ranks, link_bytes_per_s=link, curve=curve) * ABOUT >= t
    assert comm.all_reduce_s(message, ranks + 1, link_bytes_per_s=link, curve=curve) * ABOUT >= t
    assert comm.all_reduce_s(message, ranks, link_bytes_per_s=link / factor, curve=curve) * ABOUT >= t


@quick
@given(link_curves, st.integers(2, 64), st.floats(1.0, 1e10), rate, more)
def test_other_collectives_are_never_faster_than_their_wire(curve, ranks, message, link, factor):
    for one in (comm.all_gather_s, comm.reduce_scatter_s, comm.all_to_all_s):
        t = one(message, ranks, link_bytes_per_s=link, curve=curve)
        assert t * ABOUT >= (ranks - 1) / ranks * message / link
        assert one(message * factor, ranks, link_bytes_per_s=link, curve=curve) * ABOUT >= t
        assert one(message, ranks, link_bytes_per_s=link / factor, curve=curve) * ABOUT >= t
        assert (
            one(message, 1, link_bytes_per_s=link, curve=curve)
            == one(0.0, ranks, link_bytes_per_s=link, curve=curve)
            == 0.0
        )
    assert comm.send_s(message, link_bytes_per_s=link, curve=curve) * ABOUT >= message / link
    assert comm.moe_exchange_s(message, ranks, link_bytes_per_s=link, curve=curve) * ABOUT >= message / link


@quick
@given(all_reduce_curves, link_curves, st.floats(1.0, 1e9), st.integers(1, 8), st.integers(1, 16))
def test_hierarchical_all_reduce(reduce, once, message, ranks, hosts):
    curves = comm.CollectiveCurves(all_reduce=reduce, all_gather=once, reduce_scatter=once, all_to_all=once, send=once)

    def price(ranks=ranks, hosts=hosts, across=5e10):
        return comm.hierarchical_all_reduce_s(
            message, ranks, hosts, inside_bytes_per_s=4.5e11, across_bytes_per_s=across, inside=curves, across=curves
        )

    if hosts == 1:
        assert price() == comm.all_reduce_s(message, ranks, link_bytes_per_s=4.5e11, curve=reduce)
    else:
        assert price() * ABOUT >= 2 * (hosts - 1) / hosts * message / ranks / 5e10
        assert price(across=2.5e10) * ABOUT >= price()
        assert price(hosts=hosts + 1) * ABOUT >= price()


@given(st.integers(1, 4096), st.integers(1, 16), st.integers(1, 64))
def test_exchange_sends_a_token_at_most_once_to_a_rank(tokens, top_k, ranks):
    sent = comm.exchange_bytes(tokens, hidden=7168, element_bytes=1.0, top_k=top_k, ranks=ranks)
    assert 0 <= sent <= tokens * 7168 * min(top_k, ranks - 1) * ABOUT
    if ranks == 1:
        assert sent == 0


def test_small_kernels_stream():
    curve = ElementwiseCurve(t0_s=2e-6, em=0.75)
    assert elementwise_s(0.0, bytes_per_s=3e12, curve=curve) == 0.0
    assert elementwise_s(3e9, bytes_per_s=3e12, curve=curve, kernels=2) == pytest.approx(4e-6 + 1e-3 / 0.75)


@quick
@given(st.builds(RecurrentCurve, t0_s=launch, em=share, ec=share), st.integers(1, 4096), peak, rate, more)
def test_recurrent_mixers_obey_the_roofline(curve, count, flops, bw, factor):
    def decode(count=count, bw=bw):
        return recurrent_decode_s(count, state_elements=524288, token_bytes=32768, bytes_per_s=bw, curve=curve)

    def prefill(count=count, flops=flops, bw=bw):
        return recurrent_prefill_s(
            count, flops_per_token=4e6, token_bytes=65536, peak_flops=flops, bytes_per_s=bw, curve=curve
        )

    assert decode() * ABOUT >= count * 2 * 524288 * 4 / bw
    assert decode(count=count * factor) * ABOUT >= decode()
    assert prefill() * ABOUT >= max(count * 4e6 / flops, count * 65536 / bw)
    assert prefill(flops=flops / factor, bw=bw / factor) * ABOUT >= prefill()
    assert decode(count=0) == prefill(count=0) == 0.0
