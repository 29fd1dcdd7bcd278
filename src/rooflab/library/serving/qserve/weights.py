"""QServe's weights on a reader's own network: quantised on two levels, laid out in tiles, unpacked as threads do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rooflab.errors import InputError
from rooflab.inputs.arrays import npz_bytes
from rooflab.inputs.row_files import csv_bytes
from rooflab.inputs.weights import Weights
from rooflab.library.serving.qserve.channels import INPUTS, inputs_of, key_scale, ordered, score_error, smoothing
from rooflab.library.serving.qserve.levels import INT8, clipped, quantised, rounded
from rooflab.library.serving.qserve.tiles import (
    TILE,
    Registers,
    by_thread,
    interleaved,
    one_by_one,
    plain,
    scales_of,
    unpack,
    unpack_subtracting_first,
)
from rooflab.papers.lab import Lab
from rooflab.papers.method import Method
from rooflab.papers.outcome import Figure, Outcome
from rooflab.papers.parameters import Count, Fraction, PositiveInt
from rooflab.papers.technique import require

__all__ = ["PackWeights"]

F64 = npt.NDArray[np.float64]

_KEY: Final = "k_proj"
_QUERY: Final = "q_proj"
_SIXTEEN: Final = 2
"""Bytes of a weight before."""
_ASKED: Final = 64
"""Tokens whose queries meet all keys when scores are compared."""
_WITHOUT: Final = (
    "without: 16 bits; round to nearest at the same bits; one weight at a time; the zero point subtracted first; the "
    "whole of int8 in place of the protective range; keys as they are"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Matrix:
    """What packing one matrix gave. Errors are sums of squares; `outputs` pairs where its inputs are known."""

    name: str
    size: int
    packed_bytes: int
    total: float
    lost: float
    lost_rounded: float
    lost_unclipped: float
    operations: int
    operations_one: int
    wrong: int
    wrong_first: int
    outside: int
    outside_full: int
    largest: int
    outputs: tuple[float, float, float] | None = None
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


def _fitting_inputs(given: Weights) -> None:
    """Raises InputError where inputs are of no matrix, or not as wide as theirs: they would be passed over."""
    for name in (n for n in given.arrays if n.endswith(INPUTS)):
        of, held = name.removesuffix(INPUTS), given[name]
        if of not in given.matrices:
            near = next((m for m in given.matrices if m.startswith(f"{of}.")), "")
            hint = f"; are they {near}{INPUTS}?" if near else ""
            raise InputError(f"there is no matrix {of!r} whose inputs these are{hint}", name)
        width = given[of].shape[1]
        if held.ndim != 2 or held.shape[1] != width:
            shape = " × ".join(map(str, held.shape))
            raise InputError(f"holds {shape} numbers; samples × {width} inputs of {of!r} are expected", name)


class PackWeights(Method[Weights]):
    """Quantise the matrices of a network to 4 bits on two levels and pack them for int8 tensor cores (sections 4, 5.2).

    Matrices need inputs in whole groups and outputs in tiles of 32; others, and those whose name holds a word of
    `leave`, stay in 16 bits. Where the file has an array NAME.inputs (samples × inputs of a matrix), channels are
    smoothed by `smooth` (the share of outliers that moves into the weights) and reordered, clips are chosen by the
    error of the outputs, and keys are smoothed in pairs of channels where `head_dim` is given.
    """

    key = "pack_weights"
    group: PositiveInt = 128
    protective: PositiveInt = 119
    clip: bool = True
    smooth: Fraction = 0.05
    head_dim: Count = 0
    leave: str = "embed,lm_head"

    def ablated(self, seed: int) -> PackWeights:
        """Without the protective range: the whole of int8."""
        return replace(self, protective=INT8)

    def run(self, lab: Lab, given: Weights) -> Outcome:
        """Pack every matrix that fits, unpack it again, and count."""
        require(self.group % TILE == 0, f"groups of {self.group} are not whole tiles of {TILE} inputs")
        require(self.protective <= INT8, f"a protective range of {self.protective} is not within int8 ({INT8})")
        _fitting_inputs(given)
        names, left = self._chosen(given)
        require(bool(names), f"no matrix can be packed: {'; '.join(left)}")
        smoothed, keys = self._keys(given, names)
        done = [self._packed(name, smoothed[name].astype(np.float64), inputs_of(given, name)) for name in names]
        figures = (*_figures(done), *keys)
        notes = (_WITHOUT, *([f"left in 16 bits: {'; '.join(left)}"] if left else []))
        if not any(m.outputs for m in done):
            notes += (f"no array NAME{INPUTS}: no channels are smoothed or reordered, clips go by the weights alone",)
        return Outcome(figures, self._because(done), files=_files(done), notes=notes)

    def _chosen(self, given: Weights) -> tuple[list[str], list[str]]:
        """Names of matrices that are packed, and why others are not."""
        names, left = [], []
        words = [w.strip() for w in self.leave.split(",") if w.strip()]
        for name, values in given.matrices.items():
            if name.endswith(INPUTS):
                continue
            outputs, inputs = values.shape
            word = next((w for w in words if w in name), "")
            if word:
                left.append(f"{name} ({word})")
            elif inputs % self.group or outputs % TILE:
                left.append(f"{name} ({outputs} × {inputs})")
            else:
                names.append(name)
        if not given.matrices:
            whole = [name for name, v in given.arrays.items() if v.ndim == 2]
            left.append(
                f"{', '.join(whole[:3])} holds {given[whole[0]].dtype}, and weights are packed from floating point"
                if whole else "the file holds none"
            )  # fmt: skip
        elif not names:
            left.append(f"outputs in tiles of {TILE} and inputs in groups of {self.group} are needed (--set group=…)")
        return names, left

    def _keys(self, given: Weights, names: Iterable[str]) -> tuple[dict[str, F64], tuple[Figure, ...]]:
        """Weights with keys smoothed against queries where both and their inputs are there, and what that gains."""
        held = {name: given[name].astype(np.float64) for name in names}
        before, after = [], []
        for name in [n for n in held if self.head_dim and _KEY in n]:
            query, inputs = name.replace(_KEY, _QUERY), inputs_of(given, name)
            if inputs is None or query not in held or self.head_dim % 2 or len(held[name]) % self.head_dim:
                continue
            if len(held[query]) % len(held[name]):
                continue
            keys, queries = inputs @ held[name].T, (inputs @ held[query].T)[:_ASKED]
            scale = key_scale(keys, self.head_dim)
            share = len(held[query]) // len(held[name])
            of_queries = np.repeat(scale.reshape(-1, self.head_dim), share, axis=0).reshape(-1)
            before.append(score_error(queries, keys, self.head_dim))
            after.append(score_error(queries * of_queries, keys / scale, self.head_dim))
            held[name], held[query] = held[name] / scale[:, None], held[query] * of_queries[:, None]
        if not before:
            return held, ()
        return held, (
            _error("error of attention scores, keys in 4 bits", float(np.mean(after)), float(np.mean(before))),
        )

    def _packed(self, name: str, weights: F64, inputs: F64 | None) -> _Matrix:
        work, scale, order = weights, np.ones(weights.shape[1]), np.arange(weights.shape[1])
        if inputs is not None:
            scale, order = smoothing(weights, inputs, self.smooth), ordered(inputs)
            work = (weights * scale)[:, order]
        seen = None if inputs is None else (inputs / scale)[:, order]
        cut = clipped(work, self.group, self.protective, _loss(seen)) if self.clip else work
        two, uncut = quantised(cut, self.group, self.protective), quantised(work, self.group, self.protective)
        held, (s1, offset) = interleaved(two.codes), scales_of(two)
        zero = by_thread(two.zero)
        fast, first, slow = Registers(), Registers(), Registers()
        eight = unpack(held, s1, offset, fast)
        wrong_first = unpack_subtracting_first(held, s1, zero, first)
        one_by_one(held, s1, zero, slow)
        back = np.argsort(order)
        lost, unclipped = (weights - v[:, back] / scale for v in (eight * two.channel, uncut.values))
        full = quantised(cut, self.group, INT8).eight
        nearest = weights - rounded(weights, self.group)
        arrays: dict[str, npt.NDArray[Any]] = {
            "qweight": held.view(np.int8), "s1_scales": two.channel[:, 0].astype(np.float16),
            "s2_scales": s1.view(np.int8), "s2_zeros": offset.view(np.int8),
        }  # fmt: skip
        size = sum(a.nbytes for a in arrays.values())
        if inputs is not None:
            arrays |= {"input_scales": scale.astype(np.float32), "input_order": order}
        return _Matrix(
            name=name, size=weights.size, packed_bytes=size, total=_square(weights), lost=_square(lost),
            lost_rounded=_square(nearest), lost_unclipped=_square(unclipped),
            operations=fast.operations, operations_one=slow.operations,
            wrong=int((eight != two.eight).sum() + (plain(held) != two.codes).sum()),
            wrong_first=int((wrong_first != two.eight).sum()), outside=_outside(two.eight), outside_full=_outside(full),
            largest=int(np.abs(two.eight).max()),
            outputs=None if inputs is None else (
                _square(inputs @ weights.T), _square(inputs @ lost.T), _square(inputs @ nearest.T)
            ),
            arrays=arrays,
        )  # fmt: skip

    def _because(self, done: list[_Matrix]) -> str:
        size = sum(m.size for m in done)
        saved = _SIXTEEN * size / sum(m.packed_bytes for m in done)
        return (
            f"{size:,} weights of {len(done)} {'matrix' if len(done) == 1 else 'matrices'} take 4 bits each, and the "
            f"scale and zero point of a group of {self.group} two bytes: {saved:.2f} times less than 16 bits; whole "
            f"scales keep products in bytes, so that one multiplication unpacks four weights"
        )


def _loss(inputs: F64 | None) -> Callable[[F64], F64]:
    """Error of each output: of what it gives on `inputs`, else of its weights."""

    def loss(lost: F64) -> F64:
        seen = lost if inputs is None else lost @ inputs.T
        out: F64 = (seen**2).sum(axis=1)
        return out

    return loss


def _figures(done: list[_Matrix]) -> tuple[Figure, ...]:
    def total(name: str) -> float:
        return float(sum(getattr(m, name) for m in done))

    def error(name: str) -> float:
        return _relative(total(name), total("total"))

    size = total("size")
    figures = [
        Figure(
            name="bytes", value=total("packed_bytes"), unit="bytes", how="executed", baseline=_SIXTEEN * size,
            better="lower",
        ),
        _error("error of the weights", error("lost"), error("lost_rounded")),
        _error("error of the weights, nothing clipped", error("lost_unclipped"), error("lost_rounded")),
        Figure(
            name="register operations a weight", value=total("operations") / size, how="executed",
            baseline=total("operations_one") / size, better="lower",
        ),
        Figure(
            name="weights unpacked wrong", value=total("wrong"), unit="weights", how="executed",
            baseline=total("wrong_first"), better="lower",
        ),
        Figure(
            name="weights beyond int8", value=total("outside"), unit="weights", how="executed",
            baseline=total("outside_full"), better="lower",
        ),
        Figure(name="largest unpacked weight", value=float(max(m.largest for m in done)), how="executed"),
    ]  # fmt: skip
    known = [m.outputs for m in done if m.outputs]
    if known:
        whole, lost, nearest = (sum(column) for column in zip(*known, strict=True))
        figures.append(_error("error of the outputs", _relative(lost, whole), _relative(nearest, whole)))
    return tuple(figures)


def _error(name: str, value: float, baseline: float) -> Figure:
    return Figure(name=name, value=100 * value, unit="percent", how="executed", baseline=100 * baseline, better="lower")


def _relative(lost: float, whole: float) -> float:
    return math.sqrt(lost / whole) if whole else 0.0


def _square(values: F64) -> float:
    return float((values**2).sum())


def _outside(eight: npt.NDArray[np.int64]) -> int:
    return int(((eight < -INT8 - 1) | (eight > INT8)).sum())


def _files(done: list[_Matrix]) -> dict[str, bytes]:
    arrays = {f"{m.name}.{part}": values for m in done for part, values in m.arrays.items()}
    rows: dict[str, list[Any]] = {
        "matrix": [m.name for m in done], "weights": [m.size for m in done],
        "packed_bytes": [m.packed_bytes for m in done],
        "error": [_relative(m.lost, m.total) for m in done],
        "error_rounded": [_relative(m.lost_rounded, m.total) for m in done],
    }  # fmt: skip
    return {"packed.npz": npz_bytes(arrays), "matrices.csv": csv_bytes(rows)}
