"""`POST /v1/explain`: what would happen to a message, without using a key or sending it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from ...config.settings import ListenerSettings, Settings
from ...core.compiled.rule_table import RuleTable
from ...core.explain.explanation import document, explain_response, explain_target
from ...core.http.message import Headers, ResponseHead
from .. import problem, schemas, strict_reader
from ..operation import Endpoint, Operation, Success
from ..service import AdminService
from ..strict_reader import Malformed

_TEXT: Final = {"type": "string"}
_LOWEST_STATUS: Final = 200
_HIGHEST_STATUS: Final = 599
_JSON_TYPE: Final = (b"Content-Type", b"application/json")
_MEMBERS: Final = {
    "method": _TEXT,
    "path": _TEXT,
    "listener": schemas.nullable(_TEXT),
    "headers": {
        "type": "array",
        "items": {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2},
    },
    "body": schemas.nullable(_TEXT),
    "response": schemas.nullable(_TEXT),
    "status": {"type": "integer", "minimum": _LOWEST_STATUS, "maximum": _HIGHEST_STATUS},
}

EXPLAIN: Final = Operation(
    "explain",
    "POST",
    "/v1/explain",
    "read",
    "Explain which rule would match a message, which values it would change, and what would be"
    " sent, with values masked. `response` is the body of a response with that `status`. Without a"
    " Content-Type in `headers`, a body is application/json.",
    (
        Success(
            "What would happen to the `request` and, if given, to the `response`.",
            schemas.anything(),
        ),
    ),
    body=schemas.record(_MEMBERS, ("method", "path")),
    errors=(problem.MALFORMED,),
)


class ExplainRoutes:
    """Explains messages by the rules in force."""

    def __init__(self, service: AdminService) -> None:
        self._service = service

    def all(self) -> list[Endpoint]:
        """Return the endpoint."""
        return [Endpoint(EXPLAIN, self._explain)]

    async def _explain(self, request: web.Request) -> web.Response:
        members = await strict_reader.body(request, _MEMBERS)
        listener = _listener(
            self._service.settings, strict_reader.text(members, "listener", nullable=True)
        )
        # Compiling ten thousand rules takes a while, which the traffic must not wait for.
        explained = await asyncio.to_thread(_explained, listener, members)
        return web.Response(body=json.dumps(explained).encode(), content_type="application/json")


def _explained(listener: ListenerSettings, members: Mapping[str, Any]) -> dict[str, object]:
    method, target = (
        strict_reader.required(members, "method"),
        strict_reader.required(members, "path"),
    )
    body, response = (
        strict_reader.text(members, name, nullable=True) for name in ("body", "response")
    )
    status = strict_reader.integer(members, "status", low=_LOWEST_STATUS, high=_HIGHEST_STATUS)
    headers = _headers(members)
    if body and not any(name.lower() == b"content-type" for name, _ in headers):
        headers = (*headers, _JSON_TYPE)
    rule_table = RuleTable(listener.rules, pass_unmatched=listener.pass_unmatched)
    one, exchange = explain_target(rule_table, method, target, headers, (body or "").encode())
    explained: dict[str, object] = {"listener": listener.name, "request": document(one)}
    if response is not None and exchange is not None:
        head = ResponseHead(status or _LOWEST_STATUS, b"", (_JSON_TYPE,))
        explained["response"] = document(explain_response(exchange, head, response.encode()))
    return explained


def _listener(settings: Settings, name: str | None) -> ListenerSettings:
    for one in settings.listeners:
        if name == one.name or (name is None and len(settings.listeners) == 1):
            return one
    raise Malformed("There is no such `listener`; with several listeners, it is required.")


def _headers(members: Mapping[str, Any]) -> Headers:
    pairs = members.get("headers", [])
    if not isinstance(pairs, list):
        raise Malformed("`headers` is not a list of [name, value] pairs.")
    made: list[tuple[bytes, bytes]] = []
    for pair in pairs:
        if not (isinstance(pair, list) and list(map(type, pair)) == [str, str]):
            raise Malformed("`headers` is not a list of [name, value] pairs.")
        try:
            name, value = (one.encode("latin-1") for one in pair)
        except UnicodeEncodeError:
            raise Malformed("A header is not Latin-1 text.") from None
        made.append((name, value))
    return tuple(made)
