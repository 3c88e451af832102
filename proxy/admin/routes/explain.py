"""`POST /v1/explain`: what would happen to a message, told without a key and without sending it."""

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
from ..operation import Answered, Endpoint, Operation
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
    "Tell which rule would take a message, which values it would change, and what would go out,"
    " values masked. `response` is the body of an answer with that `status`. Without a Content-Type"
    " among `headers`, a body is application/json.",
    (Answered("What would happen to the `request`, and to the `response`.", schemas.anything()),),
    body=schemas.record(_MEMBERS, ("method", "path")),
    errors=(problem.MALFORMED,),
)


class ExplainRoutes:
    """Explains messages by the rules in force."""

    def __init__(self, subject: AdminService) -> None:
        self._subject = subject

    def all(self) -> list[Endpoint]:
        """Return what there is."""
        return [Endpoint(EXPLAIN, self._explain)]

    async def _explain(self, request: web.Request) -> web.Response:
        said = await strict_reader.body(request, _MEMBERS)
        listener = _listener(
            self._subject.settings, strict_reader.text(said, "listener", nullable=True)
        )
        # Ten thousand rules take a while to be made ready, which traffic must not wait for.
        told = await asyncio.to_thread(_explained, listener, said)
        return web.Response(body=json.dumps(told).encode(), content_type="application/json")


def _explained(listener: ListenerSettings, said: Mapping[str, Any]) -> dict[str, object]:
    method, target = strict_reader.needed(said, "method"), strict_reader.needed(said, "path")
    body, response = (
        strict_reader.text(said, name, nullable=True) for name in ("body", "response")
    )
    status = strict_reader.whole(said, "status", low=_LOWEST_STATUS, high=_HIGHEST_STATUS)
    headers = _headers(said)
    if body and not any(name.lower() == b"content-type" for name, _ in headers):
        headers = (*headers, _JSON_TYPE)
    rule_table = RuleTable(listener.rules, pass_unmatched=listener.pass_unmatched)
    one, exchange = explain_target(rule_table, method, target, headers, (body or "").encode())
    told: dict[str, object] = {"listener": listener.name, "request": document(one)}
    if response is not None and exchange is not None:
        head = ResponseHead(status or _LOWEST_STATUS, b"", (_JSON_TYPE,))
        told["response"] = document(explain_response(exchange, head, response.encode()))
    return told


def _listener(settings: Settings, name: str | None) -> ListenerSettings:
    for one in settings.listeners:
        if name == one.name or (name is None and len(settings.listeners) == 1):
            return one
    raise Malformed("`listener` names none that there is.")


def _headers(said: Mapping[str, Any]) -> Headers:
    pairs = said.get("headers", [])
    if not isinstance(pairs, list):
        raise Malformed("`headers` is not a list of pairs.")
    made: list[tuple[bytes, bytes]] = []
    for pair in pairs:
        if not (isinstance(pair, list) and list(map(type, pair)) == [str, str]):
            raise Malformed("`headers` is not a list of pairs.")
        try:
            name, value = (one.encode("latin-1") for one in pair)
        except UnicodeEncodeError:
            raise Malformed("A header is not Latin-1.") from None
        made.append((name, value))
    return tuple(made)
