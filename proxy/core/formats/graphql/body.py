"""Requests of GraphQL as a format: over HTTP (one, or a batch), and messages of a WebSocket.

https://graphql.github.io/graphql-over-http/draft/ and the subprotocols `graphql-transport-ws` and
`graphql-ws` (of subscriptions-transport-ws). Responses are JSON, event streams and messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from ...errors import ForbiddenValue, InvalidBody, UnsupportedBody
from ...expressions.name_readings import FieldNames
from ...expressions.selectors import parse_json_selector
from ...http.message import Head, RequestHead, SocketHead, media_type
from .. import json as json_format
from ..body_format import Place, Record, RecordFormat
from ..parameters import fields_of_query
from . import BLANK, MEMBERS

_ELEMENTS: Final = json_format.Selection((parse_json_selector("$[*]"),))
_MESSAGE: Final = json_format.Selection(
    tuple(map(parse_json_selector, ("$.type", "$.payload", "$.id")))
)
_RESERVED: Final = FieldNames(dict(enumerate(MEMBERS)))
_STARTING: Final = frozenset({b'"subscribe"', b'"start"'})
_OTHERS: Final = {
    b'"connection_init"': frozenset({"type", "payload"}),
    b'"connection_terminate"': frozenset({"type"}),
    b'"ping"': frozenset({"type"}),
    b'"pong"': frozenset({"type"}),
    b'"complete"': frozenset({"type", "id"}),
    b'"stop"': frozenset({"type", "id"}),
}
"""What clients say beside operations, and with which members; only to connect with any payload."""


class GraphqlFormat(RecordFormat):
    """Operations of GraphQL, each a record."""

    own = ("type", "name", "field", "literals", "persisted")

    kind = "graphql"
    example = b'{"query":"mutation A($n:Note!){send(note:$n)}","variables":{"n":"secret"}}'
    example_type = "application/json"
    places: ClassVar[frozenset[Place]] = frozenset({"$"})
    typed_requests = False
    requests_only = True
    has_controls = True
    has_names = True

    def load(self) -> None:
        """Import what reads operations, 0.2 MiB: before the first message, where a rule has any."""
        from . import operations  # noqa: F401, PLC0415 - as it says

    def check_query(self, query: str) -> None:
        """Raise ForbiddenValue where the address has a member of the request as well."""
        for name, _ in fields_of_query(query):
            if _RESERVED.readings(name):
                raise ForbiddenValue(
                    "name-in-query", detail="The address has a part of an operation as well."
                )

    def check_head(self, head: Head, body: bytes) -> None:
        """Refuse what servers may read as another request.

        Raises:
            UnsupportedBody: It is not said to be JSON.
            InvalidBody: It is a message of a WebSocket and none, or the other way round.
        """
        if isinstance(head, RequestHead):
            media = media_type(head.facts)
            if media is None or not media.is_json:
                raise UnsupportedBody("graphql-not-json")
        if isinstance(head, SocketHead) is not _is_message(body):
            raise InvalidBody("no-operation", detail="This is no request of GraphQL.")

    def records(self, body: bytes, *, strict: bool, awaited: int) -> Iterator[Record]:
        """Yield the operations of a body or message; raise as they do."""
        from .operations import OperationRecord  # noqa: PLC0415 - see load

        if body.lstrip(BLANK).startswith(b"["):
            for _, start, end, _ in _ELEMENTS.find(body).found[0]:
                yield OperationRecord(body[start:end], start)
        elif _is_message(body):
            yield from _of_message(body)
        else:
            yield OperationRecord(body, 0)


def _is_message(body: bytes) -> bool:
    return bool(_MESSAGE.find(body).found[0])


def _of_message(body: bytes) -> Iterator[Record]:
    from .operations import OperationRecord  # noqa: PLC0415 - see load

    findings = _MESSAGE.find(body)
    (kind,), payload, _ = findings.found
    said = kind.raw(body)
    members = json_format.member_names(body.strip(BLANK)) or frozenset[str]()
    allowed = _OTHERS.get(said)
    if said in _STARTING and payload and members == {"id", "type", "payload"}:
        yield OperationRecord(payload[0].raw(body), payload[0].start)
    elif allowed is None or not members <= allowed:
        raise InvalidBody("not-a-message", detail="This is no message of graphql-ws.")


GRAPHQL: Final = GraphqlFormat()
