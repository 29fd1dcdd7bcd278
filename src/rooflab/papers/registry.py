"""Which papers there are: the entry points of the group ``rooflab.papers``, built-in and third-party alike.

An entry point is either one paper (its name is the paper's key, its value the module) or a package, a shelf, in which
every module is a paper and is named as its key; a paper of several modules is a package on the shelf, with its paper in
the module `paper`.  Keys are known without importing any paper; a paper's module is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

from rooflab.errors import InputError, RooflabError, unknown

if TYPE_CHECKING:
    from rooflab.papers.paper import Paper
    from rooflab.papers.technique import Technique

__all__ = ["GROUP", "excluded", "keys", "module_of", "normal", "paper", "papers", "refresh", "source_of", "techniques"]

GROUP: Final = "rooflab.papers"
_BUILT_IN: Final = "rooflab.library.serving"
_excluded: Final[dict[str, str]] = {}


@cache
def _modules() -> Mapping[str, str]:
    """Module by paper key."""
    found: dict[str, str] = {}
    points = sorted((p.name, p.value) for p in metadata.entry_points(group=GROUP))
    if not any(value == _BUILT_IN for _, value in points):
        # a source tree that was never installed has no metadata to read its own entry point from
        points.insert(0, ("serving", _BUILT_IN))
    points.sort(key=lambda point: point[1] != _BUILT_IN)
    for name, value in points:
        for key, module in _of(name, value):
            if found.setdefault(key, module) != module:
                _excluded[module] = f"there is a paper called {key!r} already ({found[key]})"
    return found


def excluded() -> Mapping[str, str]:
    """Modules of papers that cannot be run beside the others, and why."""
    _modules()
    return _excluded


def _of(name: str, value: str) -> Iterator[tuple[str, str]]:
    module = value.partition(":")[0]
    found = _located(module)
    if found is None or isinstance(found, Path):  # what is not there is told when it is asked for, by its name
        yield name, module
        return
    for info in iter_modules(found):
        if not info.name.startswith("_"):
            yield info.name, f"{module}.{info.name}.paper" if info.ispkg else f"{module}.{info.name}"


def _located(module: str) -> Path | list[str] | None:
    """The file of a module, or the folders of a package; found without importing either where they are plain files."""
    source = source_of(module)
    if source is not None:
        return [str(source.parent)] if source.stem == "__init__" else source
    try:
        spec = find_spec(module)
    except ImportError:
        spec = None
    if spec is None:
        return None
    return (
        Path(spec.origin or module) if spec.submodule_search_locations is None else [*spec.submodule_search_locations]
    )


def refresh() -> None:
    """Forget what was found, after packages were installed in this process."""
    _modules.cache_clear()
    _excluded.clear()
    paper.cache_clear()
    _technique_keys.cache_clear()


def keys() -> tuple[str, ...]:
    """Keys of the papers that can be run, in alphabetical order."""
    return tuple(sorted(_modules()))


def normal(key: str) -> str:
    """A key as people write it (``MoE-Lens``) as it is registered (``moe_lens``)."""
    return key.strip().lower().replace("-", "_")


def module_of(key: str) -> str:
    """The module that holds the paper called `key`. Raises InputError with the nearest keys."""
    name = normal(key)
    if name not in _modules():
        raise unknown("runnable paper", key, keys())
    return _modules()[name]


def source_of(module: str) -> Path | None:
    """The source of a module, found without importing it or its packages."""
    top, *inner = module.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not inner and spec.submodule_search_locations is None:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    tried = [Path(folder, *inner) for folder in spec.submodule_search_locations or ()]
    return next((p for t in tried for p in (t.with_name(f"{t.name}.py"), t / "__init__.py") if p.is_file()), None)


@cache
def paper(key: str) -> Paper:
    """The paper called `key`, imported. Raises InputError with the nearest keys."""
    from rooflab.papers.paper import Paper  # a listing needs no paper, and what one is made of takes a while to import

    name, module = normal(key), module_of(key)
    try:
        found = getattr(import_module(module), "paper", None)
    except RooflabError as error:
        raise InputError(f"cannot be loaded ({error})", module) from error
    except (
        Exception,
        SystemExit,
    ) as fault:  # what is wrong with the code of others is told as what is wrong with their files
        raise InputError(f"cannot be loaded ({type(fault).__name__}: {fault})", module) from fault
    if not isinstance(found, Paper):
        raise InputError("has no `paper = Paper.beside(__file__)`", module)
    if found.key != name:
        raise InputError(f"calls its paper {found.key!r}; its entry point or file says {name!r}", module)
    return found


def papers() -> Iterator[Paper]:
    """All runnable papers, imported, in alphabetical order."""
    return (paper(key) for key in keys())


@cache
def _technique_keys() -> Mapping[str, type[Technique]]:
    return {key: cls for p in papers() for key, cls in p.techniques.items()}


def _may_have(key: str, technique: str) -> bool:
    """Whether the code of a paper spells the name of a technique (`weight_bits`, `WeightBits`); also where it cannot be
    read."""
    file = source_of(module_of(key))
    if file is None:
        return True
    wanted = technique.replace("_", "")
    for path in sorted(file.parent.glob("*.py")) if file.stem == "paper" else (file,):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return True
        if wanted in text.lower().replace("_", ""):
            return True
    return False


class _Techniques(Mapping[str, "type[Technique]"]):
    """Techniques by key. One costs the import of papers whose code spells its name, and of no others."""

    def __getitem__(self, key: str) -> type[Technique]:
        name = normal(key)
        if name in _modules():
            own = paper(name).techniques
            if name in own:
                return own[name]
        for other in keys():
            if _may_have(other, name) and name in (own := paper(other).techniques):
                return own[name]
        return _technique_keys()[name]

    def __contains__(self, key: object) -> bool:
        try:
            self[str(key)]
        except KeyError:
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(_technique_keys())

    def __len__(self) -> int:
        return len(_technique_keys())


def techniques() -> Mapping[str, type[Technique]]:
    """Techniques of all papers by key, imported on use."""
    return _Techniques()
