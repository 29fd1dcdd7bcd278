"""What keeps the code readable: short files and functions, words for every public name, keywords for wide records."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from imports_graph import modules

FILE_LINES = 400
FUNCTION_LINES = 60
WIDE = 6
"""Fields from which on a record takes keywords only."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    for module, path in modules().items():
        yield module, ast.parse(path.read_text("utf-8"))


def test_files_are_short() -> None:
    lines = {m: path.read_text("utf-8").count("\n") for m, path in modules().items()}
    assert {m: n for m, n in lines.items() if n > FILE_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    long = {
        f"{module}.{node.name}": node.end_lineno - node.lineno + 1
        for module, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }
    assert long == {}


def test_wide_records_take_keywords_only() -> None:
    wrong = [
        f"{module}.{node.name}"
        for module, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and _fields(node) > WIDE
        and _dataclass(node)
        and "kw_only=True" not in _dataclass(node)
    ]
    assert wrong == []


def test_public_names_have_words() -> None:
    """At least 95 of 100 public functions, classes and methods say what they are."""
    with_words, without = 0, []
    for module, tree in trees():
        for name, node in _public(tree):
            if ast.get_docstring(node):
                with_words += 1
            else:
                without.append(f"{module}.{name}")
    assert with_words / (with_words + len(without)) >= 0.95, without


@pytest.mark.parametrize("module", sorted(m for m, path in modules().items() if path.name != "__init__.py"))
def test_modules_say_what_they_are(module: str) -> None:
    assert ast.get_docstring(ast.parse(modules()[module].read_text("utf-8")))


def _dataclass(node: ast.ClassDef) -> str:
    return next((text for text in map(ast.unparse, node.decorator_list) if text.startswith("dataclass")), "")


def _fields(node: ast.ClassDef) -> int:
    return sum(isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item.annotation) for item in node.body)


def _public(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for item in node.body:
                    if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
                        yield f"{node.name}.{item.name}", item
