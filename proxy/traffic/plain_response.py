"""Heads of responses that can be read in one way only, read by one regular expression.

What `plain_head` is for requests. Anything else goes to llhttp, with the judgement of
ResponseReader: a response in pieces, in chunks, without a body, that closes its connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from ..core.http.message import Headers, ResponseHead
from .framing import Framing
from .plain_head import FIELD, FIELDS
from .precedent import Precedent
from .repeats import Repeats, with_length

_HEAD: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([!-~ ]*+)\r\n((?:%b)++)\r\n" % FIELD)
_LENGTH: Final = re.compile(rb"[0-9]{1,9}")
_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"upgrade"})
_BODILESS: Final = frozenset({b"204", b"304"})


@dataclass(slots=True)
class PlainResponse:
    """The head of a response that was read; `framing` is that of the body behind it.

    `precedent` is shared by all heads that differ in the length alone.
    """

    head: Final[ResponseHead]
    framing: Final[Framing]
    precedent: Final[Precedent] = field(compare=False)


def read_plain_response(data: bytes) -> tuple[PlainResponse, int] | None:
    """Return the head that `data` begins with, and its bytes, or None where it is not plain."""
    match = _HEAD.match(data)
    if match is None or match[1] in _BODILESS:
        return None
    headers: Headers = tuple(FIELDS.findall(data, match.start(3), match.end(3)))
    lows = [name.lower() for name, _ in headers]
    if lows.count(b"content-length") != 1 or not _NOT_PLAIN.isdisjoint(lows):
        return None
    length = headers[lows.index(b"content-length")][1]
    if not _LENGTH.fullmatch(length):
        return None
    if b"connection" in lows and not _stays(headers, lows):
        return None
    head = ResponseHead(int(match[1]), match[2], headers)
    return PlainResponse(head, Framing(int(length)), Precedent()), match.end()


def repeats() -> Repeats[PlainResponse]:
    """Return the memory of one connection for its plain heads."""
    return Repeats(read_plain_response, _resized)


def _resized(plain: PlainResponse, digits: bytes) -> PlainResponse:
    resized = plain.head.with_headers(with_length(plain.head.headers, digits))
    return PlainResponse(resized, Framing(int(digits)), plain.precedent)


def _stays(headers: Headers, lows: list[bytes]) -> bool:
    value = headers[lows.index(b"connection")][1]
    return value.lower() == b"keep-alive" and lows.count(b"connection") == 1
