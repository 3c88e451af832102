"""The one place that turns an error into a response (RFC 9457)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from json.encoder import encode_basestring
from typing import Final, Literal

from ...core.errors import InternalError, MessageError, MethodNotAllowed, OpenFailed, TrafficError
from ...core.http.message import Direction, Headers, header_values
from .gate import RawRequest

Form = Literal["application/problem+json", "application/graphql-response+json", "application/json"]
"""How a refusal is written: the last two as a response of GraphQL."""

_REASONS: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


_IDS: Final = "ids"
"""What stands for the ids in a body: no text inside a member has quotes that are not escaped."""
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
        option = b"" if connection is None else b"Connection: %b\r\n" % connection
        head = _head(self.status, self.headers), option, len(self.body)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (*head, b"" if head_only else self.body)


@lru_cache(maxsize=64)
def _head(status: int, headers: Headers) -> bytes:
    """Return a head up to what one connection needs: in an overload, all of a second are alike."""
    lines = [b"%b: %b\r\n" % pair for pair in headers]
    return b"HTTP/1.1 %d %b\r\n%b" % (status, _REASONS[status], b"".join(lines))


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


def form_for(raw: RawRequest | None, *, operations: bool) -> Form:
    """Return how the refusal of a request is written; `operations`: its rule reads GraphQL.

    None: its head was not read. https://graphql.github.io/graphql-over-http/draft/
    """
    if raw is not None and _ACCEPTED.search(b",".join(raw.values(b"accept"))):
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
    # A failed open looks the same for every cause: a detail would be an oracle.
    detail = "" if isinstance(error, OpenFailed) else error.detail
    allow = error.allow if isinstance(error, MethodNotAllowed) else ""
    # Texts that are not of a message are few, and kept.
    written = _written.__wrapped__ if detail else _written
    status, headers, before, behind = written(
        error.code, error.title, status, error.retry_after, detail, allow, form
    )
    # The request id is empty before a request was read.
    ids = f',"instance":{encode_basestring(request_id)}' if request_id else ""
    if trace_id:
        ids += f',"trace_id":{encode_basestring(trace_id)}'
    own: Headers = ((b"X-Request-Id", request_id.encode("ascii")),) if named else ()
    if now is not None:
        own += ((b"Date", _date(int(now))),)
    body = b"%b%b%b" % (before, ids.encode(), behind)
    return Problem(status, (*headers[:3], *own, *headers[3:]), body)


@lru_cache(maxsize=256)
def _written(  # noqa: PLR0913, PLR0917 - the one caller has them all
    code: str, title: str, status: int, retry_after: int, detail: str, allow: str, form: Form
) -> tuple[int, Headers, bytes, bytes]:
    """Return what an error says of itself: status, headers, and what stands around its ids."""
    members: dict[str, object] = {
        "type": f"urn:sealyard:error:{code}",
        "title": title,
        "status": status,
        "instance": _IDS,
    }
    if detail:
        members["detail"] = detail
    headers = [
        (b"Content-Type", form.encode("ascii")),
        (b"Cache-Control", b"no-store"),
        (b"Sealyard-Error", code.encode("ascii")),
    ]
    # What a status has (RFC 9110 section 15):
    if allow:
        headers.append((b"Allow", allow.encode("ascii")))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"WWW-Authenticate", b'Bearer error="invalid_token"'))  # RFC 6750 section 3
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        headers.append((b"Retry-After", b"%d" % retry_after))
    if form != "application/problem+json":
        extensions = {"code": code} | members
        members = {"errors": [{"message": detail or title, "extensions": extensions}]}
        # As JSON alone, only a response of 200 is one of GraphQL to its clients.
        if form == "application/json" and status in _OF_OPERATIONS:
            status = HTTPStatus.OK.value
    body = json.dumps(members, ensure_ascii=False, separators=(",", ":"))
    before, _, behind = body.partition(f',"instance":"{_IDS}"')
    return status, tuple(headers), before.encode(), behind.encode()


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    """Return a Date, of which many are the same in an overload."""
    return formatdate(second, usegmt=True).encode("ascii")


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
