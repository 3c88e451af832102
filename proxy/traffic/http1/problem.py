"""The one place that turns an error into a response (RFC 9457)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, Literal

from ...core.errors import InternalError, MessageError, MethodNotAllowed, OpenFailed, TrafficError
from ...core.http.message import Direction, Headers, header_values

Form = Literal["application/problem+json", "application/graphql-response+json", "application/json"]
"""How a refusal is written: the last two as a response of GraphQL."""

_REASONS: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


_OF_OPERATIONS: Final = frozenset({400, 415, 422})
"""What says that an operation is wrong, or that no block takes it."""
_ACCEPTED: Final = re.compile(
    rb"(?:^|,)[ \t]*application/graphql-response\+json[ \t]*"
    rb"(?:;(?![ \t]*q=0(?:\.0*)?[ \t]*(?:,|$))[^,;]*)*(?=,|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A response of Sealyard's own."""

    status: int
    headers: Headers
    body: bytes

    def render(self, *, connection: bytes | None, head_only: bool) -> bytes:
        """Return the response as it goes out."""
        lines = [b"HTTP/1.1 %d %b" % (self.status, _REASONS[self.status])]
        lines += [b"%b: %b" % pair for pair in self.headers]
        if connection is not None:
            lines.append(b"Connection: " + connection)
        lines += (b"Content-Length: %d" % len(self.body), b"", b"")
        head = b"\r\n".join(lines)
        return head if head_only else head + self.body


def deliberate(error: BaseException) -> TrafficError:
    """Return the error as clients may see it: an unexpected exception shows only its class."""
    if isinstance(error, TrafficError):
        return error
    return InternalError(type(error).__name__)


def status_of(error: TrafficError, direction: Direction) -> int:
    """Return the status of an error: in a response, a bad message is the upstream's fault."""
    if direction == "response" and isinstance(error, MessageError):
        return error.response_status
    return error.status


def form_for(headers: Headers, *, operations: bool) -> Form:
    """Return how the refusal of a request is written; `operations`: its rule reads GraphQL.

    https://graphql.github.io/graphql-over-http/draft/
    """
    if _ACCEPTED.search(b",".join(header_values(headers, b"accept"))):
        return "application/graphql-response+json"
    return "application/json" if operations else "application/problem+json"


def problem(  # noqa: PLR0913 - what one response consists of, most by name
    error: TrafficError,
    request_id: str,
    *,
    direction: Direction = "request",
    now: float | None = None,
    trace_id: str = "",
    named: bool = False,
    form: Form = "application/problem+json",
) -> Problem:
    """Return the response for `error`; `now`, in seconds since 1970, is its Date.

    `trace_id` is empty where the request belongs to no trace. `named`: the request id is that of
    the client, which finds it in the header that it came in.
    """
    status = status_of(error, direction)
    members: dict[str, object] = {
        "type": f"urn:sealyard:error:{error.code}",
        "title": error.title,
        "status": status,
    }
    if request_id:  # empty before a request was read
        members["instance"] = request_id
    if trace_id:
        members["trace_id"] = trace_id
    # A failed open looks the same for every cause: a detail would be an oracle.
    if error.detail and not isinstance(error, OpenFailed):
        members["detail"] = error.detail
    headers = [
        (b"Content-Type", form.encode("ascii")),
        (b"Cache-Control", b"no-store"),
        (b"Sealyard-Error", error.code.encode("ascii")),
    ]
    if named:
        headers.append((b"X-Request-Id", request_id.encode("ascii")))
    if now is not None:
        headers.append((b"Date", formatdate(now, usegmt=True).encode("ascii")))
    headers += _of_status(error, status)
    if form != "application/problem+json":
        message = members.get("detail", error.title)
        members = {"errors": [{"message": message, "extensions": {"code": error.code} | members}]}
        # As JSON alone, only a response of 200 is one of GraphQL to its clients.
        if form == "application/json" and status in _OF_OPERATIONS:
            status = HTTPStatus.OK.value
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
    return Problem(status, tuple(headers), body)


def _of_status(error: TrafficError, status: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the headers that a status has (RFC 9110 section 15)."""
    if isinstance(error, MethodNotAllowed):
        yield b"Allow", error.allow.encode("ascii")
    if status == HTTPStatus.UNAUTHORIZED:
        yield b"WWW-Authenticate", b'Bearer error="invalid_token"'  # RFC 6750 section 3
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        yield b"Retry-After", b"%d" % error.retry_after


def readable(refusal: Problem, asked: Headers, origins: frozenset[str]) -> Problem:
    """Return a refusal as pages of these origins may read it (`*`: of any).

    `asked` are the headers of the request. It tells nothing that the client has not sent.
    """
    found = [one.decode("latin-1") for one in header_values(asked, b"origin")]
    if not found or not origins & {"*", found[0]}:
        return refusal
    allowed = [
        (b"Access-Control-Allow-Origin", found[0].encode("latin-1")),
        (b"Access-Control-Allow-Credentials", b"true"),
        (b"Access-Control-Expose-Headers", b"Sealyard-Error, Retry-After, X-Request-Id"),
        (b"Vary", b"Origin"),
    ]
    if "*" in origins:
        allowed[:2] = [(b"Access-Control-Allow-Origin", b"*")]
    return replace(refusal, headers=(*refusal.headers, *allowed))
