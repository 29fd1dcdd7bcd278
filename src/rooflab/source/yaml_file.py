"""YAML of files that somebody else made: nothing is executed, nesting and what aliases repeat are counted, and errors
name the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.source.text import DEEPEST, MOST_DIGITS, text

__all__ = ["in_line", "parse_yaml", "yaml_value"]

LARGEST_YAML_BYTES: Final = 8 << 20
MOST_VALUES: Final = 200_000
"""Values of a file, those that aliases repeat counted again."""


def yaml_value(path: Path) -> Any:
    """The value of a YAML (or JSON) file: mappings, lists, texts, numbers and truth values; aliases are followed.

    Raises InputError for other tags, a key that stands twice, deep nesting, and aliases that make it large.
    """
    return parse_yaml(text(path, LARGEST_YAML_BYTES), str(path))


def parse_yaml(held: str, where: str) -> Any:
    """`held` as YAML, as `yaml_value` reads a file; `where` is what errors call it."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_nesting(yaml.parse(held, Loader=loader), where)
        node = yaml.compose(held, Loader=loader)
        return None if node is None else _Yaml(where).value(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(error.problem or error.context).split())
        raise InputError(f"not valid YAML ({problem})", f"{where}:{mark.line + 1}" if mark else where) from None
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML ({' '.join(str(error).split())})", where) from None


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

    def __init__(self, where: str) -> None:
        import yaml

        self.where = where
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
        if isinstance(value, int) and abs(value) >= 10**MOST_DIGITS:
            raise self.wrong(node, f"{node.value[:30]!a} is too large")
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
        return InputError(message, f"{self.where}:{node.start_mark.line + 1}")


def in_line(value: Any) -> str:
    """A value as YAML in one line of ASCII: JSON, with floats that YAML takes for floats (a point, a sign), and
    characters beyond the first 65,536 as YAML escapes them, not as two halves."""
    if isinstance(value, float):
        mantissa, e, exponent = repr(value).partition("e")
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{int(exponent):+d}" if e else mantissa
    if isinstance(value, dict):
        return "{" + ", ".join(f"{in_line(k)}: {in_line(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(in_line(v) for v in value) + "]"
    if isinstance(value, str):
        inside = (json.dumps(c)[1:-1] if c <= "\uffff" else f"\\U{ord(c):08x}" for c in value)
        return f'"{"".join(inside)}"'
    return json.dumps(value)


_MAPPING: Final = "tag:yaml.org,2002:map"
_LIST: Final = "tag:yaml.org,2002:seq"
_TIME: Final = "tag:yaml.org,2002:timestamp"
_MERGE: Final = "tag:yaml.org,2002:merge"
_SCALARS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")) | {_TIME}
