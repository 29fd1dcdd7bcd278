"""Code that is read: the tree of a file, and the values of literals and of arithmetic over them."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = ["folded", "spelled", "tree"]

_ARITHMETIC: Final[dict[type[ast.AST], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip


@cache
def tree(path: Path) -> ast.Module:
    """The code of a file, parsed."""
    return ast.parse(path.read_text("utf-8"))


def folded(node: ast.expr) -> Any:
    """The value of literals and of arithmetic over them; None where something else takes part."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, (int, float, str, bytes)) else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        inner = folded(node.operand)
        return None if not isinstance(inner, (int, float)) else -inner if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = folded(node.left), folded(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Pow) and isinstance(right, (int, float)) and abs(right) > 64:
            return None
        try:
            return _ARITHMETIC[type(node.op)](left, right)
        except (ArithmeticError, TypeError, ValueError):
            return None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("float", "int"):
        inner = folded(node.args[0]) if len(node.args) == 1 else None
        return inner if isinstance(inner, (int, float)) else spelled(inner) if isinstance(inner, str) else None
    return None


def spelled(text: str) -> float | None:
    """The number that a text spells; None where it spells none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
