"""`POST /v1/seal` and `POST /v1/open`: for services whose messages do not pass the proxy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, cast

from aiohttp.web_request import Request
from aiohttp.web_response import Response

from ...core.crypto.context import Context, Scope
from ...core.crypto.token import FORMS, Form
from ...core.errors import (
    OpenFailed,
    SealyardError,
    UnfitValue,
)
from ...core.formats import json as json_format
from ...keys.operations.values import ValueBinding, ValueCall, ValueResult, sealed_bytes
from .. import problem, schemas, strict_reader
from ..operation import Endpoint, Operation, Success, json_answer
from ..problem import RefusedCall
from ..service import AdminService
from ..strict_reader import Malformed

MOST_VALUES: Final = 100
MOST_BYTES: Final = 1024 * 1024
_TEXT: Final = {"type": "string"}
_BOOLEAN: Final = {"type": "boolean"}
_NAMED: Final = ("tenant", "conversation", "message")
_PARTS: Final = {
    **{one: schemas.nullable(schemas.ANY_NAME) for one in _NAMED},
    **{one: schemas.nullable(schemas.NAME) for one in ("field", "purpose")},
}
_TO_SEAL: Final = {**_PARTS, "value": _TEXT, "json": _BOOLEAN, "form": {"enum": list(FORMS)}}
_TO_OPEN: Final = {**_PARTS, "token": _TEXT}
_OPENED: Final = schemas.record({"value": _TEXT, "json": _BOOLEAN}, ("value", "json"))
_NAMES: Final = " Name exactly the parts of the context that the rule binds."


def _some(one: Mapping[str, Any], needed: str) -> dict[str, Any]:
    elements = schemas.many(schemas.record(one, (needed,)))
    return elements | {"minItems": 1, "maxItems": MOST_VALUES}


SEAL: Final = Operation(
    "seal",
    "POST",
    "/v1/seal",
    "seal",
    "Seal values. With `json`, `value` is JSON text; with the form `base64` it is base64." + _NAMES,
    (
        Success(
            "The tokens, in the order of the values.",
            schemas.record({"tokens": schemas.many(_TEXT)}, ("tokens",)),
        ),
    ),
    body=schemas.record({"values": _some(_TO_SEAL, "value")}, ("values",)),
    errors=(problem.KEY_UNAVAILABLE, problem.NO_COMMON_STORE),
)
OPEN: Final = Operation(
    "open",
    "POST",
    "/v1/open",
    "open",
    "Open tokens: all of them or none." + _NAMES,
    (
        Success(
            "The values, in the order of the tokens. With `json`, `value` is JSON text.",
            schemas.record({"values": schemas.many(_OPENED)}, ("values",)),
        ),
    ),
    body=schemas.record({"tokens": _some(_TO_OPEN, "token")}, ("tokens",)),
    errors=(problem.OPEN_FAILED, problem.KEY_UNAVAILABLE, problem.NO_COMMON_STORE),
)


class ValueRoutes:
    """Serves one service."""

    def __init__(self, service: AdminService) -> None:
        self._service = service

    def all(self) -> list[Endpoint]:
        """Return the operations."""
        return [Endpoint(SEAL, self._seal), Endpoint(OPEN, self._open)]

    async def _seal(self, request: Request) -> Response:
        members = await strict_reader.body(request, ("values",), most_bytes=MOST_BYTES)
        call = ValueCall("seal", tuple(map(_to_seal, _each(members, "values", _TO_SEAL))))
        done = await self._done(call)
        return json_answer({"tokens": [one.text for one in done]})

    async def _open(self, request: Request) -> Response:
        members = await strict_reader.body(request, ("tokens",), most_bytes=MOST_BYTES)
        asked = tuple(
            ValueBinding(ValueResult(strict_reader.required(one, "token")), _context(one))
            for one in _each(members, "tokens", _TO_OPEN)
        )
        done = await self._done(ValueCall("open", asked, strict_reader.request_id(request)))
        values = [{"value": one.text, "json": one.json_value} for one in done]
        return json_answer({"values": values})

    async def _done(self, call: ValueCall) -> list[ValueResult]:
        try:
            return await self._service.values(call)
        except OpenFailed:
            raise RefusedCall(problem.OPEN_FAILED) from None


def _each(
    members: Mapping[str, Any], name: str, known: Collection[str]
) -> Iterable[Mapping[str, Any]]:
    elements = members.get(name)
    if not isinstance(elements, list) or not 1 <= len(elements) <= MOST_VALUES:
        raise Malformed(f"`{name}` is no list that fits; send 1 to {MOST_VALUES} elements.")
    for one in elements:
        if not isinstance(one, dict):
            raise Malformed(f"An element of `{name}` is not an object; send objects.")
        yield strict_reader.only(one, known)


def _context(one: Mapping[str, Any]) -> Context:
    tenant, conversation, message = (strict_reader.name(one, part) for part in _NAMED)
    field, purpose = (strict_reader.text(one, part, nullable=True) for part in ("field", "purpose"))
    return Context(Scope(tenant, conversation), field, message, purpose)


def _to_seal(one: Mapping[str, Any]) -> ValueBinding:
    text, json_value = strict_reader.required(one, "value"), strict_reader.boolean(one, "json")
    if json_value:
        try:
            json_format.validate(text.encode())
        except SealyardError:
            raise Malformed("A `value` is not JSON text; send text, or `json` as false.") from None
    form = cast("Form", strict_reader.choice(one, "form", FORMS, "jwe"))
    try:
        sealed_bytes(text.encode(), form, json_value=json_value)
    except UnfitValue as error:
        raise Malformed(error.detail) from None
    return ValueBinding(ValueResult(text, json_value), _context(one), form)
