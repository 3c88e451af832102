"""Whether a message that is to be explained comes to its end: a trial would wait for the rest."""

from __future__ import annotations

import re
from typing import Final

from ..http.message import Headers, header_values
from .explanation import Wanted

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]+)[^\n]*\r\n")
_BEGUN: Final = re.compile(rb"(?:[0-9A-Fa-f]+[^\n]*)?")
_BODILESS: Final = frozenset({204, 304})


def unended(wanted: Wanted) -> str | None:
    """Return why the request or its answer would never end; None where both end.

    What has a framing that cannot be read ends too: it is refused.
    """
    codings = [value.lower() for value in _values(wanted.headers, b"transfer-encoding")]
    if _cut(wanted.body) if codings == [b"chunked"] else _short(wanted.headers, wanted.body):
        return "its Content-Length or Transfer-Encoding does not fit its body"
    answer = wanted.answer
    if answer is None or wanted.method == "HEAD" or answer.status in _BODILESS:
        return None
    if _short(answer.headers, answer.body):
        return "the Content-Length of its response does not fit the response"
    return None


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value.strip() for value in header_values(headers, name)]


def _short(headers: Headers, body: bytes) -> bool:
    """Return whether a body has fewer bytes than its Content-Length says."""
    lengths = _values(headers, b"content-length")
    # Longer ones are refused, and Python converts no more than 4300 digits.
    return any(one.isdigit() and int(one[:20]) > len(body) for one in lengths)


def _cut(body: bytes) -> bool:
    """Return whether chunks end before the end of the last one."""
    at = 0
    while (line := _SIZE.match(body, at)) is not None:
        size, at = int(line[1], 16), line.end()
        if not size:
            return not body.startswith(b"\r\n", at) and body.find(b"\r\n\r\n", at) < 0
        at += size + 2
    return _BEGUN.fullmatch(body, at) is not None
