"""Constraints between parameters, such as ``tile * banks <= 1024``: arithmetic and comparisons, nothing that runs."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from rooflab.errors import InputError, unknown
from rooflab.inputs.cells import as_number

__all__ = ["check", "holds"]

LONGEST: Final = 500
_SIGNS: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_SAME: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
_ORDERS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    **_SAME, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
}  # fmt: skip


def check(constraint: Any, numeric: Mapping[str, bool], where: str) -> None:
    """InputError for what is no comparison of numbers (or of two texts for equality).

    `numeric`: for each name that may stand in it whether it is a number.
    """
    tree = _parsed(constraint, where)
    if not isinstance(tree, ast.Compare):
        raise InputError(f"{constraint[:60]!a} compares nothing; write for example 'a * b <= 1024'", where)
    sides = [_is_number(side, numeric, where) for side in (tree.left, *tree.comparators)]
    for i, order in enumerate(tree.ops):
        if type(order) not in _ORDERS:
            raise InputError(f"{constraint[:60]!a} compares by other than < <= > >= == !=", where)
        if sides[i] != sides[i + 1] or not (sides[i] or type(order) in _SAME):
            raise InputError(f"{constraint[:60]!a} compares a text with a number, or two texts by size", where)


def _parsed(constraint: Any, where: str) -> ast.expr:
    try:
        if not isinstance(constraint, str) or len(constraint) > LONGEST:
            raise ValueError
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(constraint.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"{str(constraint)[:60]!a} is no constraint such as 'a * b <= 1024'", where) from None


def _is_number(node: ast.expr, numeric: Mapping[str, bool], where: str) -> bool:
    """Whether a side of a comparison is a number (else it is a text)."""
    if isinstance(node, ast.Name):
        if node.id not in numeric:
            raise unknown("parameter", node.id, numeric, where)
        return numeric[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return False
    if isinstance(node, ast.Constant) and as_number(node.value) is not None:
        return True
    parts: list[ast.expr] = []
    if isinstance(node, ast.BinOp) and type(node.op) in _SIGNS:
        parts = [node.left, node.right]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        parts = [node.operand]
    if not parts or not all(_is_number(part, numeric, where) for part in parts):
        raise InputError(f"{ast.unparse(node)[:60]!a} is more than arithmetic (+ - * / // %) on numbers", where)
    return True


def holds(constraint: str, values: Mapping[str, Any]) -> Any:
    """Whether a checked constraint holds for values by name: numbers, texts, or arrays of one length."""
    tree = ast.parse(constraint.strip(), mode="eval").body
    assert isinstance(tree, ast.Compare)
    with np.errstate(all="ignore"):
        sides = [_value(side, values) for side in (tree.left, *tree.comparators)]
        found = [_ORDERS[type(order)](sides[i], sides[i + 1]) for i, order in enumerate(tree.ops)]
    return np.logical_and.reduce(found)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        held = values[node.id]
        return np.asarray(held) if isinstance(held, (str, tuple)) else np.asarray(held, dtype=np.float64)
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else np.float64(as_number(node.value) or 0.0)
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, values)
    assert isinstance(node, ast.BinOp)
    return _SIGNS[type(node.op)](_value(node.left, values), _value(node.right, values))
