"""Typed access to a config mapping: several spellings of a key, whole numbers checked, errors that name the field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from reprlib import repr as shown
from typing import Any, Final

from rooflab.errors import InputError

__all__ = ["FFN", "HEADS", "HIDDEN", "KV_HEADS", "LAYERS", "POSITIONS", "VOCAB", "Config"]

# the same fact under the names that model families give it; the first is the one that errors name
HIDDEN: Final = ("hidden_size", "n_embd", "n_embed", "d_model", "dim")
LAYERS: Final = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")
HEADS: Final = ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads")
KV_HEADS: Final = ("num_key_value_heads", "num_kv_heads", "multi_query_group_num", "n_head_kv", "num_attention_groups")
FFN: Final = (
    "intermediate_size",
    "ffn_hidden_size",
    "n_inner",
    "ffn_dim",
    "d_ff",
    "hidden_dim",
    "ff_intermediate_size",
    "block_ff_dim",
    "encoder_ffn_dim",
)
VOCAB: Final = ("vocab_size", "padded_vocab_size")
_MOST: Final = 10**12
"""No count of a model is larger."""
POSITIONS: Final = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_seq_len",
    "seq_length",
    "max_sequence_length",
)


class Read(Mapping[str, Any]):
    """A mapping that remembers which of its keys were asked for."""

    __slots__ = ("_asked", "_data")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        """The value of `key`, which is remembered."""
        self._asked.add(key)
        return self._data[key]

    def __iter__(self) -> Iterator[str]:
        """All keys."""
        return iter(self._data)

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._data)

    def plain(self) -> Mapping[str, Any]:
        """All fields, without asking for any."""
        return self._data

    def unread(self) -> Mapping[str, Any]:
        """What nobody has asked for."""
        return {key: value for key, value in self._data.items() if key not in self._asked}


class Config:
    """A mapping with the path that errors show."""

    __slots__ = ("data", "where")

    def __init__(self, data: Mapping[str, Any], where: str) -> None:
        self.data = Read(data)
        self.where = where

    def changed(self, by: Config) -> Config:
        """These fields with those of `by` in place of their own; what is asked of it is not asked of this one."""
        return Config({**self.data.plain(), **by.data}, by.where)

    def at(self, key: str) -> str:
        """The path of `key`."""
        return f"{self.where}.{key}" if self.where else key

    def value(self, *keys: str) -> tuple[str, Any]:
        """The first of `keys` that has a value, with it; the first key and None otherwise."""
        for key in keys:
            if self.data.get(key) is not None:
                return key, self.data[key]
        return keys[0], None

    def has(self, *keys: str) -> bool:
        """Whether any of `keys` has a value."""
        return self.value(*keys)[1] is not None

    def whole(self, *keys: str, default: int | None = None, least: int = 0) -> int:
        """A whole number of at least `least` under the first of `keys` present; InputError when missing without a
        default."""
        key, value = self.value(*keys)
        if value is None:
            if default is None:
                raise InputError("missing; needed to read this model", self.at(key))
            return default
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            value = value[0]  # one for each layer, all the same
        if isinstance(value, (list, dict)):
            raise InputError("one for each layer, and they differ: not read for this family", self.at(key))
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= least:
            raise InputError(f"{shown(value)} is not a whole number of at least {least}", self.at(key))
        if value > _MOST:
            raise InputError(f"{shown(value)} is more than any model has", self.at(key))
        if value != int(value):
            raise InputError(f"{shown(value)} is not a whole number of at least {least}", self.at(key))
        return int(value)

    def largest(self, *keys: str, default: int | None = None) -> int:
        """A whole number, or the largest of a list with one for each layer."""
        key, value = self.value(*keys)
        if isinstance(value, list) and value:
            return max(Config({key: item}, self.where).whole(key) for item in value)
        return self.whole(*keys, default=default)

    def numbers(self, key: str) -> list[int]:
        """A list of whole numbers, empty when absent; a text of them with commas is read too."""
        value = self.data.get(key)
        items = value.split(",") if isinstance(value, str) else value
        if items is None:
            return []
        if not isinstance(items, (list, tuple)):
            raise InputError(f"{shown(value)} is not a list of numbers", self.at(key))
        try:
            return [int(item) for item in items]
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{shown(value)} is not a list of numbers", self.at(key)) from None

    def count(self, *keys: str, default: int | None = None) -> int:
        """A whole number of at least 1."""
        return self.whole(*keys, default=default, least=1)

    def maybe(self, *keys: str) -> int | None:
        """A whole number, or None when absent or null."""
        return self.whole(*keys) if self.has(*keys) else None

    def number(self, key: str, default: float) -> float:
        """A number above zero."""
        value = self.data.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _MOST:
            raise InputError(f"{shown(value)} is not a number above zero and below {_MOST:.0e}", self.at(key))
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InputError(f"{shown(value)} is not true or false", self.at(key))
        return value

    def text(self, key: str, default: str = "") -> str:
        """Text, or `default`."""
        value = self.data.get(key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise InputError(f"{shown(value)} is not text", self.at(key))
        return value

    def per_layer(self, key: str, layers: int) -> Sequence[Any] | None:
        """A list with an entry for each layer (further ones belong to MTP), or None; InputError when it is too
        short."""
        value = self.data.get(key)
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            return None
        if len(value) < layers:
            raise InputError(f"has {len(value)} entries for {layers} layers", self.at(key))
        return value

    def sub(self, key: str) -> Config | None:
        """A nested mapping, or None when absent; InputError when it is something else."""
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise InputError(f"{shown(value)} is not a group of fields", self.at(key))
        return Config(value, self.at(key))
