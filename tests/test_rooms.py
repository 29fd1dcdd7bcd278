"""The rooms: what may import what, down to single files, imports by string and imports for type checking included."""

from __future__ import annotations

import ast
from collections import defaultdict

import pytest
from imports_graph import Import, circles, imports, modules

ROOMS = (
    ("errors",),
    ("units",),
    ("files", "extras", "source"),
    ("search", "statistics", "numerics"),
    ("metrics",),
    ("charts", "scenario"),
    ("store",),
    ("measure", "nets", "operators"),
    ("sweep", "catalogue", "costs", "memory"),
    ("deploy", "inputs", "launch"),
    ("estimator", "simulator", "domains"),
    ("papers",),
    ("library", "planner", "evidence"),
    ("feed",),
    ("api", "report"),
    ("testing", "web"),
    ("cli",),
)
"""From the ground up: a room imports those above it in this list; rooms of one line do not import each other."""
BY_STRING = {"rooflab", "rooflab.papers.registry", "rooflab.cli.main"}
"""Files that may import by string, and by string upwards: the package face, the registry of papers (which names the
built-in shelf, as an entry point would), the table of commands."""
LABELS = {("rooflab.evidence.rows.labels", "qserve")}
"""Strings that are a paper's key and mean something else: the engine that rows of published tables name."""
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def told(found: Import) -> str:
    return f"{found.importer}:{found.line} imports {found.imported} {found.name}".strip()


def test_every_module_stands_in_a_room() -> None:
    assert {room(m) for m in modules()} - {"", "__main__", *LEVEL} == set()


def test_rooms_import_only_downwards() -> None:
    wrong = [
        told(i)
        for i in imports()
        if room(i.importer) in LEVEL
        and room(i.imported) != room(i.importer)
        and not (room(i.imported) in LEVEL and LEVEL[room(i.imported)] < LEVEL[room(i.importer)])
        and i.imported != "rooflab"
        and not (i.how == "string" and i.importer in BY_STRING)
    ]
    assert wrong == []


def test_nothing_but_the_face_imports_the_face() -> None:
    wrong = [told(i) for i in imports() if i.imported == "rooflab" and i.name != "__version__"]
    assert wrong == []


def test_no_circles() -> None:
    edges: dict[str, set[str]] = defaultdict(set)
    for i in imports():
        # a package that only names where its parts live does not depend on them
        if i.how != "string" and i.importer != i.imported:
            edges[i.importer].add(i.imported)
    assert circles(edges) == []


def test_imports_by_string_stand_in_three_files() -> None:
    assert [told(i) for i in imports() if i.how == "string" and i.importer not in BY_STRING] == []
    users = {
        m
        for m, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.Name, ast.Attribute))
        and (getattr(node, "id", "") or getattr(node, "attr", "")) in ("import_module", "__import__", "find_spec")
    }
    assert users <= BY_STRING


def test_private_names_stay_in_their_file() -> None:
    wrong = [told(i) for i in imports() if i.name.startswith("_") and not i.name.startswith("__")]
    wrong += [
        told(i)
        for i in imports()
        if i.imported.rpartition(".")[2].startswith("_") and room(i.imported) != room(i.importer)
    ]
    assert wrong == []


def test_no_room_is_empty_of_words() -> None:
    """A package's docstring says in three lines what it is for, what it knows, and where to start."""
    for module, path in modules().items():
        if path.name == "__init__.py" and module.count(".") == 1:
            doc = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            assert len(doc.split("\n")) >= 3, module


def test_nobody_imports_the_library() -> None:
    assert [
        told(i)
        for i in imports()
        if room(i.imported) == "library" and room(i.importer) != "library" and i.how != "string"
    ] == []


def test_no_file_names_a_paper() -> None:
    keys = {m.split(".")[3] for m in modules() if m.startswith("rooflab.library.") and m.count(".") >= 3}
    wrong = []
    for module, path in modules().items():
        if room(module) == "library":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and node.value in keys and (module, node.value) not in LABELS:
                wrong.append(f"{module}:{node.lineno} names {node.value}")
    assert wrong == []


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [["a", "b", "c"]]),
    ],
)
def test_circles_are_found(edges: dict[str, set[str]], found: list[list[str]]) -> None:
    assert circles(edges) == found


def test_the_drawing_shows_the_rooms_as_they_are() -> None:
    import draw_rooms

    again = "run python tests/draw_rooms.py"
    assert draw_rooms.page() == draw_rooms.PAGE.read_text("utf-8"), again
    assert draw_rooms.drawing() == draw_rooms.DRAWING.read_text("utf-8"), again
