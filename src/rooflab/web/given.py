"""What a reader sends: a scenario as text, in an address or a form, and the way back."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any, Final

from rooflab.errors import InputError
from rooflab.source.yaml_file import parse_yaml
from rooflab.web.seal import inline

__all__ = ["LONGEST", "fields_of", "packed", "unpacked"]

LONGEST: Final = 200_000
"""Characters of a scenario, the config of a model among them."""
_LONGEST_ADDRESS: Final = 6_000
_WHERE: Final = "scenario"


def fields_of(text: str) -> Mapping[str, Any]:
    """A scenario's fields from YAML or JSON, without any name of a file in them.

    Raises InputError with the line or the field.
    """
    if len(text) > LONGEST:
        raise InputError(f"a scenario of {len(text):,} characters; {LONGEST:,} are read", _WHERE)
    value = parse_yaml(text, _WHERE)
    if not isinstance(value, Mapping):
        raise InputError("expected the fields model, hardware, workload, deployment", _WHERE)
    inline(value)
    return value


def packed(text: str) -> str:
    """A scenario's text as part of an address. Raises InputError for one that no address holds."""
    out = base64.urlsafe_b64encode(zlib.compress(text.encode(), 9)).decode().rstrip("=")
    if len(out) > _LONGEST_ADDRESS:
        raise InputError(f"is too long for an address ({len(out):,} characters; {_LONGEST_ADDRESS:,} at most)", _WHERE)
    return out


def unpacked(text: str) -> str:
    """The text in an address. Raises InputError for what none of ours holds."""
    try:
        if len(text) > _LONGEST_ADDRESS:
            raise ValueError
        unzip = zlib.decompressobj()
        out = unzip.decompress(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), LONGEST)
        if unzip.unconsumed_tail or not unzip.eof:
            raise ValueError
        return out.decode()
    except (ValueError, zlib.error, binascii.Error):
        raise InputError("this address holds no scenario; it may have been cut", _WHERE) from None
