"""The verbs of services whose messages do not pass the proxy: seal values, and open tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...core.crypto.token import FORMS
from ...core.errors import (
    CallerKeysAway,
    CallerMayNotOpen,
    CallerMayNotSeal,
    CallerOpensLimited,
    CallersThrottled,
    CallerUnverified,
    OpenFailed,
    PurposeMissing,
    UnfitValue,
)
from ..policy import MOST_CREDENTIAL_CHARS, MOST_VALUE_BYTES, MOST_VALUES
from . import schemas
from .schemas import FLAG, TEXT, Schema
from .verb import Argument, Route, Verb, late

_UNVERIFIED: Final = (CallerUnverified, CallersThrottled, CallerKeysAway)
_CONTEXT: Final = (
    *(
        Argument(one, "name", schema=schemas.nullable(schemas.ANY_NAME))
        for one in ("tenant", "conversation", "message")
    ),
    *(Argument(one, "text", schema=schemas.nullable(schemas.NAME)) for one in ("field", "purpose")),
)
_TO_SEAL: Final = (
    *_CONTEXT,
    Argument("value", "text", required=True),
    Argument("json", "flag", schema=FLAG, default=False),
    Argument("form", "choice", schema={"enum": list(FORMS)}, default="jwe"),
)
_TO_OPEN: Final = (*_CONTEXT, Argument("token", "text", required=True))
_OPENED: Final = schemas.record({"value": TEXT, "json": FLAG})
_CALLER: Final = Argument("caller", "text", schema={**TEXT, "maxLength": MOST_CREDENTIAL_CHARS})
_PURPOSE: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"}
_FOR: Final = (
    " Where a listener has `callers`, send the JWT of the caller that it is for as `caller`: it"
    " counts what the rules let that caller do with the field."
)
_NAMES: Final = " Name exactly the parts of the context that the rule binds."


def _list(name: str, parts: Sequence[Argument]) -> Argument:
    optional = [one.name for one in parts if not one.required]
    element = schemas.record({one.name: one.schema for one in parts}, optional)
    bounds: Schema = {**schemas.many(element), "minItems": 1, "maxItems": MOST_VALUES}
    return Argument(name, "records", schema=bounds, required=True, parts=tuple(parts))


SEAL: Final = Verb(
    "values.seal",
    "Seal values. With `json`, `value` is JSON text; with the form `base64` it is base64."
    + _NAMES
    + _FOR,
    late("value_operations", "seal"),
    (_list("values", _TO_SEAL), _CALLER),
    Route(
        "seal",
        "POST",
        "/v1/seal",
        "seal",
        "The tokens, in the order of the values.",
        schemas.record({"tokens": schemas.many(TEXT)}),
        most_bytes=MOST_VALUE_BYTES,
    ),
    shared="ephemeral",
    raises=(UnfitValue, *_UNVERIFIED, CallerMayNotSeal),
    touches=frozenset({"values"}),
)
OPEN: Final = Verb(
    "values.open",
    "Open tokens: all of them or none." + _NAMES + _FOR,
    late("value_operations", "open_tokens"),
    (_list("tokens", _TO_OPEN), _CALLER, Argument("purpose_of_use", "text", schema=_PURPOSE)),
    Route(
        "open",
        "POST",
        "/v1/open",
        "open",
        "The values, in the order of the tokens. With `json`, `value` is JSON text.",
        schemas.record({"values": schemas.many(_OPENED)}),
        most_bytes=MOST_VALUE_BYTES,
    ),
    shared="ephemeral",
    raises=(
        OpenFailed,
        *_UNVERIFIED,
        CallerMayNotOpen,
        PurposeMissing,
        CallerOpensLimited,
    ),
    touches=frozenset({"values"}),
)

VALUES: Final = (SEAL, OPEN)
"""The family `values`."""
