"""What a form of ours sends back, once it is sure that it is one of ours."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

from rooflab.errors import InputError
from rooflab.web.guard import COOKIE

__all__ = ["form"]

_MOST_FIELDS = 100


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a form, last values winning. Raises HTTPException 403 without the token that our pages hold, and
    InputError for what is no form."""
    body = await request.body()
    try:
        fields = dict(
            parse_qsl(
                body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, encoding="utf-8", errors="strict"
            )
        )
    except (ValueError, UnicodeDecodeError):
        raise InputError("is no form", "body") from None
    held = request.cookies.get(COOKIE, "")
    if not held or not hmac.compare_digest(held.encode(), fields.get("csrf", "").encode()):
        raise HTTPException(403, "this form is not from a page that this server made; load the page again")
    return fields
