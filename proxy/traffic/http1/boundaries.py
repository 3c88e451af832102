"""Where a head, a body or a server-sent event ends; bytes in, positions out, no I/O.

aiohttp's parser loses the requests before a malformed one in the same packet, and reads `RTSP/1.0`
as HTTP/1.0. So it gets one head or one body at a time, and the first line of each head is checked
as it came.
"""

from __future__ import annotations

import re
from typing import Final

from ...core.formats.table import RECORDS, kind_of
from ...core.http.message import Headers, header_values, parse_media_type
from .framing import Framing

_END: Final = b"\r\n\r\n"
_OVERLAP: Final = len(_END) - 1


class MessageBoundaries:
    """Follows the messages on one connection.

    `line` is the first line of the present head, once all of it has come.
    """

    __slots__ = ("_in_body", "_left", "_line", "_tail", "line")

    def __init__(self) -> None:
        self.line: bytes | None = None
        self._line = b""
        self._in_body = False
        self._left: int | None = None
        self._tail = b""

    def take(self, data: bytes) -> int:
        """Return how many bytes of `data`, which is not empty, belong to the present head or body.

        All of them may: then its end is still to come. Of a chunked body, less than the whole may
        be taken, since only the parser of chunks knows which empty line is the last.
        """
        if self._in_body and self._left is not None:
            size = min(self._left, len(data))
            self._left -= size
            return size
        if not self._in_body and self.line is None:
            # RFC 9112 section 2.2: empty lines before a request are skipped.
            if not self._line and (blank := len(data) - len(data.lstrip(b"\r\n"))):
                return blank
            self._read_line(data)
        return self._to_empty_line(data)

    @property
    def in_chunks(self) -> bool:
        """Whether the present message is a chunked body."""
        return self._in_body and self._left is None

    def begin_body(self, framing: Framing) -> None:
        """Note that a head has ended and that a body follows."""
        self._in_body = True
        self._left = framing.length
        self._tail = b""
        self.line = None

    def begin_head(self) -> None:
        """Note that a message has ended."""
        self._in_body = False
        self._tail = b""
        self._line = b""
        self.line = None

    def _read_line(self, data: bytes) -> None:
        line, end, _ = (self._line + data).partition(b"\n")
        if end:
            self.line = line.removesuffix(b"\r")
        else:
            self._line = line

    def _to_empty_line(self, data: bytes) -> int:
        at = (self._tail + data).find(_END)
        if at < 0:
            self._tail = (self._tail + data)[-_OVERLAP:]
            return len(data)
        size = at + len(_END) - len(self._tail)
        self._tail = b""
        return size


_BOUNDARY: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r(?!\n)|\n\r\n")
_EVENT_OVERLAP: Final = 3


def streams_events(headers: Headers) -> bool:
    """Return whether a response is a stream of server-sent events, which need not end."""
    types = header_values(headers, b"content-type")
    return bool(types) and types[0].lower().startswith(b"text/event-stream")


def streams_records(headers: Headers) -> bool:
    """Return whether a response is a stream of records, perhaps with long silences."""
    types = header_values(headers, b"content-type")
    return bool(types) and kind_of(parse_media_type(types[0])) in RECORDS


class EventBoundaries:
    """Follows one stream; `at_boundary` says that no event has begun."""

    __slots__ = ("_tail", "at_boundary")

    def __init__(self) -> None:
        self._tail = b""
        self.at_boundary = True

    def pass_by(self, data: bytes) -> None:
        """Follow bytes, at least one, that were sent."""
        self.at_boundary = self.last_boundary(data) == len(data)
        self._tail = (self._tail + data)[-_EVENT_OVERLAP:]

    def last_boundary(self, data: bytes) -> int:
        """Return the end of the last complete event in `data`, which comes next; 0 for none."""
        if data.endswith(b"\n\n"):  # as most events do
            return len(data)
        known = len(self._tail)
        ends = [match.end() - known for match in _BOUNDARY.finditer(self._tail + data)]
        return max([end for end in ends if end > 0], default=0)
