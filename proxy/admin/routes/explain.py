"""`POST /v1/explain`: what would happen to a message, without using a key or sending it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp.web_request import Request
from aiohttp.web_response import Response

from ...config.settings import ListenerSettings, Settings
from ...core.http.message import DIRECTIONS, Headers, header_values
from .. import problem, schemas, strict_reader
from ..operation import Endpoint, Operation, Success
from ..service import AdminService
from ..strict_reader import Malformed

if TYPE_CHECKING:  # for those who ask: it takes memory
    from ...core.explain.explanation import Explained, SocketMessage, Wanted

_TEXT: Final = {"type": "string"}
_LOWEST_STATUS: Final = 200
_HIGHEST_STATUS: Final = 599
_HEADERS: Final = {
    "type": "array",
    "items": {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2},
}
_MOST_MESSAGES: Final = 100
_MESSAGE: Final[dict[str, dict[str, Any]]] = {
    "direction": {"type": "string", "enum": list(DIRECTIONS)},
    "text": _TEXT,
}
_MEMBERS: Final = {
    "method": _TEXT,
    "path": _TEXT,
    "listener": schemas.nullable(_TEXT),
    "headers": _HEADERS,
    "body": schemas.nullable(_TEXT),
    "response": schemas.nullable(_TEXT),
    "status": {"type": "integer", "minimum": _LOWEST_STATUS, "maximum": _HIGHEST_STATUS},
    "response_headers": _HEADERS,
    "messages": {
        "type": "array",
        "items": schemas.record(_MESSAGE, ("direction", "text")),
        "maxItems": _MOST_MESSAGES,
    },
}

EXPLAIN: Final = Operation(
    "explain",
    "POST",
    "/v1/explain",
    "read",
    "Explain which rule matches a message, what becomes of each value, and what is sent, with"
    " values masked. The message takes the code path of messages, to a backend that is played;"
    " tokens are assumed to open. `response` is the body of a response with that `status` and"
    " `response_headers`. Without a Content-Type, a body is application/json. The method `WS` opens"
    " a WebSocket for the `messages`.",
    (
        Success(
            "What happens to the `request` and, if given, to the `response` and the `messages`.",
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

    async def _explain(self, request: Request) -> Response:
        members = await strict_reader.body(request, _MEMBERS)
        listener = _listener(
            self._service.settings, strict_reader.text(members, "listener", nullable=True)
        )
        wanted = await asyncio.to_thread(_wanted, members)
        if "\r" in (text := wanted.method + wanted.target) or "\n" in text or not wanted.method:
            raise Malformed("`method` or `path` is empty or holds a line break.")
        if wanted.messages and not wanted.websocket:
            raise Malformed("`messages` are for the method WS.")
        try:
            explained = await self._service.explain(listener, wanted)
        except TimeoutError:
            raise Malformed("The message does not end, or takes too long to explain.") from None
        if explained is None:
            return problem.answer(problem.TOO_MANY, headers={"Retry-After": "5"})
        return Response(body=_told(listener.name, explained), content_type="application/json")


def _wanted(members: Mapping[str, Any]) -> Wanted:
    """Return what is asked; it belongs into a thread, since it imports what explains."""
    from ...core.explain.endings import unended  # noqa: PLC0415 - as it says
    from ...core.explain.explanation import PlayedAnswer, Wanted  # noqa: PLC0415 - as it says

    method, target = (
        strict_reader.required(members, "method"),
        strict_reader.required(members, "path"),
    )
    body, response = (
        strict_reader.text(members, name, nullable=True) for name in ("body", "response")
    )
    status = strict_reader.integer(members, "status", low=_LOWEST_STATUS, high=_HIGHEST_STATUS)
    sent, answer = (body or "").encode(), None
    if response is not None:
        headers = _with_type(_headers(members, "response_headers"), response.encode())
        answer = PlayedAnswer(status or _LOWEST_STATUS, headers, response.encode())
    headers = _with_type(_headers(members, "headers"), sent)
    wanted = Wanted(method, target, headers, sent, answer, _messages(members))
    if why := unended(wanted):
        raise Malformed(f"The message never ends: {why}.")
    return wanted


def _told(listener: str, explained: Explained) -> bytes:
    from ...core.explain.explanation import explained_document  # noqa: PLC0415 - see _wanted

    return json.dumps({"listener": listener, **explained_document(explained)}).encode()


def _with_type(headers: Headers, body: bytes) -> Headers:
    if not body or header_values(headers, b"content-type"):
        return headers
    return (*headers, (b"Content-Type", b"application/json"))


def _messages(members: Mapping[str, Any]) -> tuple[SocketMessage, ...]:
    from ...core.explain.explanation import SocketMessage  # noqa: PLC0415 - see _wanted

    given = members.get("messages", [])
    if not isinstance(given, list) or len(given) > _MOST_MESSAGES:
        raise Malformed(f"`messages` is not a list of at most {_MOST_MESSAGES}.")
    made: list[SocketMessage] = []
    for one in given:
        if not (isinstance(one, dict) and set(one) == set(_MESSAGE)):
            raise Malformed("A message has `direction` and `text`.")
        if one["direction"] not in DIRECTIONS:
            raise Malformed("The `direction` is request or response.")
        made.append(SocketMessage(one["direction"], strict_reader.required(one, "text").encode()))
    return tuple(made)


def _listener(settings: Settings, name: str | None) -> ListenerSettings:
    for one in settings.listeners:
        if name == one.name or (name is None and len(settings.listeners) == 1):
            return one
    raise Malformed("There is no such `listener`; with several listeners, it is required.")


def _headers(members: Mapping[str, Any], member: str) -> Headers:
    pairs = members.get(member, [])
    if not isinstance(pairs, list):
        raise Malformed(f"`{member}` is not a list of [name, value] pairs.")
    made: list[tuple[bytes, bytes]] = []
    for pair in pairs:
        if not (isinstance(pair, list) and list(map(type, pair)) == [str, str]):
            raise Malformed(f"`{member}` is not a list of [name, value] pairs.")
        try:
            name, value = (one.encode("latin-1") for one in pair)
        except UnicodeEncodeError:
            raise Malformed("A header is not Latin-1 text.") from None
        if b"\r" in name + value or b"\n" in name + value:
            raise Malformed("A header holds a line break.")
        made.append((name, value))
    return tuple(made)
