"""What a paper's code asks for beside its lab: what KEY.yaml states, what it says of itself, its machine, the audit,
and ways to change what is not its own.

Only names are looked at, which code can come by in other ways; `untouched` looks at what they would be good for.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from rooflab.evidence.claims.folded import folded

__all__ = ["asks_for"]

_STATED: Final = ("stated", "expect", "claims", "left_out", "read_facts", "constants")
_ITSELF: Final = (
    "hash", "eval", "exec", "compile", "globals", "locals", "vars", "dir", "inspect", "getattr_static", "_getframe",
    "__doc__", "__name__", "__qualname__", "__code__", "__annotations__", "__defaults__", "__kwdefaults__", "__dict__",
    "__globals__", "__builtins__", "__closure__", "__wrapped__", "__subclasses__", "__traceback__", "tb_frame",
    "f_back", "f_locals", "f_globals", "gi_frame", "cr_frame", "currentframe", "extract_stack", "settrace",
    "setprofile", "__import__", "import_module", "__made__", "__reads__",
)  # fmt: skip
"""What code learns of itself by: names, documentation, digests of them, who called it."""
_AROUND: Final = (
    "environ", "getenv", "argv", "condition", "time_ns", "gmtime", "localtime", "strftime", "utcnow", "today",
    "urandom",
)  # fmt: skip
"""What code learns of its machine and the day by, and of the audit: none of it is handed over by a lab."""
_DECODERS: Final = (
    "fromhex", "literal_eval", "b64decode", "b85decode", "a85decode", "unhexlify", "fromisoformat", "strptime",
)  # fmt: skip
"""What turns a text into numbers, and breaks when the text is respelled."""
_WHY: Final = {
    **dict.fromkeys(_STATED, "where published figures stand"),
    **dict.fromkeys(_ITSELF, "numbers can be read out of what code says of itself"),
    **dict.fromkeys(_AROUND, "what a claim follows is handed over by its lab"),
    **dict.fromkeys(_DECODERS, "numbers are handed over as numbers, not as texts"),
    **dict.fromkeys(("setattr", "delattr", "utime", "touch"), "it changes nothing but what is its own"),
}
_OF_LAB: Final = (
    "forget", "asked", "assumed", "answers", "priced", "given_data", "drew", "engines", "work",
)  # fmt: skip
"""What a lab has for those who run a claim."""
_OUTSIDE: Final = (
    "random", "secrets", "uuid", "inspect", "traceback", "gc", "ctypes", "importlib", "builtins", "unittest",
    "platform", "socket", "subprocess", "multiprocessing", "threading", "urllib", "http", "requests", "httpx",
    "sqlite3", "marshal", "pkgutil", "ast", "dis", "types", "atexit", "signal",
    ".".join(__name__.split(".")[:2]),
)  # fmt: skip
"""Modules by which code gets around its lab: draws, machines, the interpreter, and the audit itself."""
_FACE: Final = __name__.partition(".")[0]
_FACES: Final = (f"{_FACE}.api", f"{_FACE}.cli", f"{_FACE}.papers.registry", f"{_FACE}.papers.cards")
"""What loads scenarios and papers for those who use Rooflab: by it code comes by inputs that no lab changed."""
_BY_TEXT: Final = ("getattr", "attrgetter", "methodcaller")
_REGISTERS: Final = ("technique", "method", "claim", "setup", "draws")
"""What code does with its paper."""


def asks_for(module: ast.Module, file: str) -> str:
    """Where the code of a module asks for what it is not handed, or changes what is not its own; empty if nowhere."""
    told = {id(inner) for text in ast.walk(module) if isinstance(text, ast.JoinedStr) for inner in ast.walk(text)}
    registers = {id(n.value) for n in ast.walk(module) if isinstance(n, ast.Attribute) and n.attr in _REGISTERS}
    imported = set(_imported(module))
    for node in ast.walk(module):
        name, where = _asked_for(node), f"{file}:{getattr(node, 'lineno', 0)}"
        if name in _WHY and not (name == "__name__" and id(node) in told):
            return f"{where} asks for {name!r}: {_WHY[name]}"
        if _is_paper(node) and id(node) not in registers:
            return f"{where} asks for 'paper', which is there to register with: it holds what KEY.yaml states"
        outside = next(filter(_is_outside, _modules(node)), "")
        if outside:
            return f"{where} imports {outside!r}: what a claim follows is handed over by its lab"
        if isinstance(node, ast.Attribute) and (getattr(node.value, "id", ""), node.attr) == ("sys", "modules"):
            return f"{where} asks for the modules of others, which are not its own to change"
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "lab" and _is_inner(node.attr):
            return f"{where} asks its lab for {node.attr!r}, which is there for those who run the claim"
        changed = _changed(node, imported)
        if changed:
            return f"{where} changes {changed!r}, which is not its own"
    return ""


def _asked_for(node: ast.AST) -> str:
    """The name that an expression asks for: of a variable, of an attribute, or the text that `getattr` is given."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in _BY_TEXT:
        texts = (x.partition(".")[0] for x in map(folded, node.args) if isinstance(x, str))
        return next((x for x in texts if x in _WHY), "")
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _is_paper(node: ast.AST) -> bool:
    """Whether an expression reads the module's `paper`."""
    return isinstance(node, ast.Name) and node.id == "paper" and isinstance(node.ctx, ast.Load)


def _is_inner(name: str) -> bool:
    return name.startswith("_") or name in _OF_LAB


def _is_outside(module: str) -> bool:
    return module == _FACE or any(module == o or module.startswith(f"{o}.") for o in (*_OUTSIDE, *_FACES))


def _modules(node: ast.AST) -> list[str]:
    """What a statement imports; a module of Rooflab without a name of its own is its face, too."""
    if isinstance(node, ast.Import):
        faces = [_FACE for a in node.names if a.name.startswith(f"{_FACE}.") and not a.asname]
        return [*(a.name for a in node.names), *faces]
    if isinstance(node, ast.ImportFrom) and node.module == _FACE:
        return [f"{_FACE}.{a.name}" if a.name in _rooms() else _FACE for a in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [str(node.module), *(f"{node.module}.{a.name}" for a in node.names)]
    return []


@cache
def _rooms() -> frozenset[str]:
    """Rooms and modules beside Rooflab's face."""
    return frozenset(path.stem for path in Path(__file__).parents[2].iterdir())


def _imported(module: ast.Module) -> Iterator[str]:
    """Names that imports give a module."""
    for node in ast.walk(module):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((a.asname or a.name).partition(".")[0] for a in node.names)


def _changed(node: ast.AST, imported: set[str]) -> str:
    """The attribute or entry of something imported, or of a lab, that a statement sets or takes away."""
    if isinstance(node, ast.Assign):
        targets: list[ast.expr] = node.targets
    elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        targets = [node.target]
    else:
        targets = node.targets if isinstance(node, ast.Delete) else []
    for target in targets:
        root: ast.expr = target
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        if root is not target and isinstance(root, ast.Name) and root.id in (*imported, "lab"):
            return ast.unparse(target)
    return ""
