"""Where a server-sent event ends, and which responses last; bytes in, positions out, no I/O."""

from __future__ import annotations

import re
from typing import Final

from ...core.formats.table import RECORDS, kind_of
from ...core.http.message import Headers, header_values, parse_media_type

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
