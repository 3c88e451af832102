"""The fields of a head (RFC 9112 section 5), read strictly."""

from __future__ import annotations

import re
from typing import Final

NAME: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
"""A character of a token (RFC 9110 section 5.6.2), as a pattern."""
TEXT: Final = rb"[\t\x20-\x7e\x80-\xff]"
"""A byte that a value may have, as a pattern."""
FIELD: Final = rb"%b++:%b*+\r\n" % (NAME, TEXT)
"""A line of a head behind the first one, as a pattern."""

_BLOCK: Final = re.compile(rb"(?:%b)*+\r\n" % FIELD)
_PAIRS: Final = re.compile(rb"([^:\r]++):[\t ]*+([^\r]*+)\r\n")

Fields = tuple[tuple[tuple[bytes, bytes], ...], bytes]


def fields(data: bytes, start: int, end: int, /) -> Fields | None:
    """Return the fields that lie in a part of `data`, with the empty line behind them.

    That is names and values in their order and spelling, without spaces around a value, and the
    names in lower case, each behind a colon. None where a line is malformed.
    """
    if _BLOCK.fullmatch(data, start, end) is None:
        return None
    pairs = _PAIRS.findall(data, start, end)
    if data.find(b" \r", start, end) >= 0 or data.find(b"\t\r", start, end) >= 0:
        pairs = [(name, value.rstrip(b" \t")) for name, value in pairs]
    return tuple(pairs), b"".join([b":" + name.lower() for name, _ in pairs])
