"""Where the events of a text/event-stream end; bytes in, positions out, no I/O.

A stream that must end before its backend does ends there: the client has whole events and asks
again from the last of them.
"""

from __future__ import annotations

import re
from typing import Final

from ..core.formats.kinds import RECORDS, kind_of
from ..core.http.message import Headers, header_values, parse_media_type

_BORDER: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r(?!\n)|\n\r\n")
_OVERLAP: Final = 3


def streams_events(headers: Headers) -> bool:
    """Return whether a response is a stream of events, and so never ends by itself."""
    types = header_values(headers, b"content-type")
    return bool(types) and types[0].lower().startswith(b"text/event-stream")


def streams_records(headers: Headers) -> bool:
    """Return whether a response is one record behind the other, maybe with long rests between."""
    types = header_values(headers, b"content-type")
    return bool(types) and kind_of(parse_media_type(types[0])) in RECORDS


class EventBorders:
    """Follows one stream; `at_border` says that no event has begun."""

    __slots__ = ("_tail", "at_border")

    def __init__(self) -> None:
        self._tail = b""
        self.at_border = True

    def pass_by(self, data: bytes) -> None:
        """Follow bytes, at least one, that were passed on."""
        self.at_border = self.last_border(data) == len(data)
        self._tail = (self._tail + data)[-_OVERLAP:]

    def last_border(self, data: bytes) -> int:
        """Return up to where `data`, which comes next, ends with a whole event; 0 for nowhere."""
        known = len(self._tail)
        ends = [match.end() - known for match in _BORDER.finditer(self._tail + data)]
        return max([end for end in ends if end > 0], default=0)
