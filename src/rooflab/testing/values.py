"""What techniques and methods have in common: each is a value of named parameters."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any, Protocol

from rooflab.errors import InputError

__all__ = ["Parameterised", "is_a_value", "names_a_wrong_parameter"]


class Parameterised(Protocol):
    """A technique or a method."""

    def parameters(self) -> dict[str, Any]:
        """Parameters by name."""
        ...


def is_a_value(one: Parameterised) -> None:
    """Frozen, equal to another with the same parameters, hashable; AssertionError otherwise."""
    twin = type(one)(**one.parameters())
    assert twin == one
    assert hash(twin) == hash(one)
    for name in one.parameters():
        try:
            setattr(one, name, None)
        except FrozenInstanceError:
            continue
        raise AssertionError(f"{name} can be changed")


def names_a_wrong_parameter(one: Parameterised) -> None:
    """An unknown parameter is an error for users; AssertionError otherwise."""
    message = ""
    try:
        type(one)(**{**one.parameters(), "no_such_parameter": 1})
    except InputError as error:
        message = str(error)
    assert "no_such_parameter" in message, "an unknown parameter was accepted, or its error does not name it"
