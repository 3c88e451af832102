"""What the verbs about values do: read what a service asks for, and answer with texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.crypto.context import Context, Scope
from ...core.crypto.joined_names import some_from_json
from ...core.errors import SealyardError, UnfitValue
from ...core.formats import json as json_format
from .values import OnBehalf, ToOpen, ToSeal, sealed_bytes
from .verb import At, Done


async def seal(here: At, values: Sequence[Mapping[str, Any]], caller: str | None = None) -> Done:
    """Return the token of each value."""
    asked = [ToSeal(_fit(one), _context(one), one["json"], one["form"]) for one in values]
    return Done(
        {"tokens": [one.decode() for one in await here.values().seal(asked, OnBehalf(caller))]}
    )


async def open_tokens(
    here: At,
    tokens: Sequence[Mapping[str, Any]],
    caller: str | None = None,
    purpose_of_use: str = "",
) -> Done:
    """Return the values of tokens: of all of them, or of none."""
    # A text that is not ASCII fails as any other text does that is not a token. None is the bytes
    # of one: these are no UTF-8.
    asked = [ToOpen(one["token"].encode(), _context(one)) for one in tokens]
    opened = await here.values().open(asked, here.request_id, OnBehalf(caller, purpose_of_use))
    return Done({"values": [{"value": text, "json": is_json} for text, is_json in opened]})


def _context(one: Mapping[str, Any]) -> Context:
    tenant, conversation, message = (
        some_from_json(one[part]) for part in ("tenant", "conversation", "message")
    )
    return Context(Scope(tenant, conversation), one["field"], message, one["purpose"])


def _fit(one: Mapping[str, Any]) -> bytes:
    """Return the value; raise UnfitValue where it is not what it is said to be."""
    value: bytes = one["value"].encode()
    if one["json"]:
        try:
            json_format.validate(value)
        except SealyardError:
            raise UnfitValue(
                "not-json", detail="A `value` is not JSON text; send text, or `json` as false."
            ) from None
    sealed_bytes(value, one["form"], json_value=one["json"])
    return value
