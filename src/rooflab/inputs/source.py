"""Bytes, text, JSON and YAML of files that somebody else made: bounded, and wrong only in one line that says where.

Nothing is executed and nothing grows: sizes are checked before they are read, nesting and YAML aliases are counted,
and a key that stands twice is an error rather than a choice.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError

__all__ = [
    "LARGEST_FILE_BYTES",
    "content",
    "files_in",
    "in_line",
    "json_value",
    "parse_json",
    "shown",
    "text",
    "yaml_value",
]

LARGEST_FILE_BYTES: Final = 1 << 30
"""A file of more is not read: it would not fit beside what is made of it."""
LARGEST_YAML_BYTES: Final = 8 << 20
DEEPEST: Final = 40
"""Levels of lists and mappings within each other."""
MOST_VALUES: Final = 200_000
"""Values of a YAML file, those that aliases repeat counted again."""
MOST_FILES: Final = 100_000


def content(path: Path, largest: int = LARGEST_FILE_BYTES) -> bytes:
    """The bytes of a file. Raises InputError when it is missing, is no file, is too large or cannot be read."""
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise InputError("is a folder, not a file", str(path))
        if not stat.S_ISREG(found.st_mode):
            raise InputError("is not a plain file", str(path))
        if found.st_size > largest:
            raise InputError(f"holds {found.st_size:,} bytes; at most {largest:,} are read", str(path))
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError("no such file", shown(path)) from None
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(
            f"cannot be read ({getattr(error, 'strerror', None) or type(error).__name__})", shown(path)
        ) from None


def shown(held: Any, longest: int = 400) -> str:
    """A path or a message in one line that can be printed, cut in the middle where it is long."""
    text = str(held)
    if len(text) > longest:
        text = f"{text[: longest * 3 // 4]} … {text[-longest // 4 :]}"
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def text(path: Path, largest: int = LARGEST_FILE_BYTES) -> str:
    """The text of a UTF-8 file, line ends as they are. Raises InputError with the line of the first other byte."""
    held = content(path, largest)
    try:
        return held.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = held.count(b"\n", 0, error.start) + 1
        raise InputError(f"is not UTF-8 text (byte {error.start:,})", f"{path}:{line}") from None


def files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files below `folder` with one of `suffixes`, in the order of their names; hidden ones are left out."""
    found: list[Path] = []
    try:
        for path in sorted(folder.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.suffix.lower() in suffixes and not hidden and path.is_file():
                found.append(path)
            if len(found) > MOST_FILES:
                raise InputError(f"holds more than {MOST_FILES:,} files", str(folder))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})", shown(folder)) from None
    if not found:
        raise InputError(f"holds no {' or '.join(suffixes)} file", str(folder))
    return found


def json_value(path: Path) -> Any:
    """The value of a JSON file."""
    return parse_json(text(path), str(path))


def parse_json(held: str, where: str, line: int | None = None) -> Any:
    """`held` as JSON of finite numbers, printable text and keys that stand once.

    `line`: the line that it is of the file `where`; else the line of an error is counted here.
    """
    try:
        value = json.loads(held, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON ({error.msg}, column {error.colno})", f"{where}:{line or error.lineno}"
        ) from None
    except RecursionError:
        raise InputError("nests too deeply", f"{where}:{line or 1}") from None
    except ValueError as error:
        raise InputError(f"not usable JSON ({error})", f"{where}:{line or 1}") from None
    _check_depth(value, f"{where}:{line or 1}")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(n for n in names if names.count(n) > 1)!a} stands twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:30]} is too large")
    return value


def _check_depth(value: Any, where: str) -> None:
    level = [value]
    for _ in range(DEEPEST):
        for item in level:
            if isinstance(item, str) and not item.isascii() and any("\ud800" <= c <= "\udfff" for c in item):
                raise InputError("holds half of a character (a lone surrogate)", where)
        level = [child for item in level for child in _children(item)]
        if not level:
            return
    raise InputError(f"nests deeper than {DEEPEST} levels", where)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def yaml_value(path: Path) -> Any:
    """The value of a YAML (or JSON) file: mappings, lists, texts, numbers and truth values; aliases are followed.

    Raises InputError for other tags, a key that stands twice, deep nesting, and aliases that make it large.
    """
    import yaml

    held = text(path, LARGEST_YAML_BYTES)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_nesting(yaml.parse(held, Loader=loader), str(path))
        node = yaml.compose(held, Loader=loader)
        return None if node is None else _Yaml(path).value(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(error.problem or error.context).split())
        raise InputError(f"not valid YAML ({problem})", f"{path}:{mark.line + 1}" if mark else str(path)) from None
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML ({' '.join(str(error).split())})", str(path)) from None


def _check_nesting(events: Any, where: str) -> None:
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise InputError(f"nests deeper than {DEEPEST} levels", f"{where}:{event.start_mark.line + 1}")


class _Yaml:
    """Values of nodes, counted: aliases may repeat a node, and may even stand inside what they name."""

    def __init__(self, path: Path) -> None:
        import yaml

        self.path = path
        self.count = 0
        self.scalars = yaml.constructor.SafeConstructor()
        self.readers = self.scalars.yaml_constructors
        self.tags = {yaml.MappingNode: {_MAPPING}, yaml.SequenceNode: {_LIST}, yaml.ScalarNode: _SCALARS}

    def value(self, node: Any, depth: int = 0) -> Any:
        import yaml

        self.count += 1
        if depth > DEEPEST:
            raise self.wrong(node, f"nests deeper than {DEEPEST} levels")
        if self.count > MOST_VALUES:
            raise self.wrong(node, f"holds more than {MOST_VALUES:,} values, aliases followed")
        if node.tag not in self.tags[type(node)]:
            raise self.wrong(node, f"values tagged {node.tag[:60]!a} are not read")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, depth + 1) for child in node.value]
        if node.tag == _TIME:
            return str(node.value)
        try:
            value = self.readers[node.tag](self.scalars, node)
        except ValueError as error:
            raise self.wrong(node, f"{node.value[:40]!a} cannot be read ({error})") from None
        if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
            raise self.wrong(node, "holds half of a character (a lone surrogate)")
        return value

    def mapping(self, node: Any, depth: int) -> dict[Any, Any]:
        import yaml

        merged: dict[Any, Any] = {}
        own: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for part in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    if not isinstance(part, yaml.MappingNode):
                        raise self.wrong(part, "<< takes a mapping")
                    merged = self.value(part, depth + 1) | merged
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.wrong(key_node, "a key is a text or a number, not a list or a mapping")
            key = self.value(key_node, depth + 1)
            if key in own:
                raise self.wrong(key_node, f"key {str(key)[:40]!a} stands twice")
            own[key] = self.value(value_node, depth + 1)
        return merged | own

    def wrong(self, node: Any, message: str) -> InputError:
        return InputError(message, f"{self.path}:{node.start_mark.line + 1}")


def in_line(value: Any) -> str:
    """A value as YAML in one line of ASCII: JSON, with floats that YAML takes for floats (a point, a sign)."""
    if isinstance(value, float):
        mantissa, e, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d}" if e else mantissa
    if isinstance(value, dict):
        return "{" + ", ".join(f"{in_line(k)}: {in_line(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(in_line(v) for v in value) + "]"
    return json.dumps(value)


_MAPPING: Final = "tag:yaml.org,2002:map"
_LIST: Final = "tag:yaml.org,2002:seq"
_TIME: Final = "tag:yaml.org,2002:timestamp"
_MERGE: Final = "tag:yaml.org,2002:merge"
_SCALARS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")) | {_TIME}
