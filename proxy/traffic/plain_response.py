"""Responses that came whole and can be read in one way only, read by one regular expression.

What `plain_head` is for requests. Anything else goes to llhttp, with the judgement of
ResponseReader: a response in pieces, in chunks, without a body, that closes its connection.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..core.message import Headers
from .plain_head import FIELD, FIELDS

_HEAD: Final = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([!-~ ]*+)\r\n((?:%b)++)\r\n" % FIELD)
_LENGTH: Final = re.compile(rb"[0-9]{1,9}")
_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"upgrade"})
_BODILESS: Final = frozenset({b"204", b"304"})


class PlainResponse(NamedTuple):
    """A response that was read; `size` is that of its head in bytes, the rest is its body."""

    status: int
    reason: bytes
    headers: Headers
    size: int


def read_plain_response(data: bytes) -> PlainResponse | None:
    """Return the one response that `data` is, or None where that is not a plain one."""
    match = _HEAD.match(data)
    if match is None or match[1] in _BODILESS:
        return None
    headers: Headers = tuple(FIELDS.findall(data, match.start(3), match.end(3)))
    lows = [name.lower() for name, _ in headers]
    if lows.count(b"content-length") != 1 or not _NOT_PLAIN.isdisjoint(lows):
        return None
    length = headers[lows.index(b"content-length")][1]
    if not _LENGTH.fullmatch(length) or len(data) - match.end() != int(length):
        return None
    if b"connection" in lows and not _stays(headers, lows):
        return None
    return PlainResponse(int(match[1]), match[2], headers, match.end())


def _stays(headers: Headers, lows: list[bytes]) -> bool:
    value = headers[lows.index(b"connection")][1]
    return value.lower() == b"keep-alive" and lows.count(b"connection") == 1
