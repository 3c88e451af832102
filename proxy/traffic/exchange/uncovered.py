"""What is reported of messages that no rule covers: the shape of the path and kinds of bodies.

A shape lacks what distinguishes one conversation or person from another, so it may be reported.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Final

from ...core.errors import UnsupportedBody
from ...core.formats.table import kind_of
from ...core.http.message import HeadFacts, media_type
from ..interfaces import Reporter
from ..message_record import MessageRecord
from ..policy import MOST_LEVELS, MOST_PLACES, MOST_SIBLINGS, UNREAD_REPORT_SECONDS

NO_BODY: Final = "none"
WEBSOCKET: Final = "websocket"

ANY: Final = "*"
REST: Final = "**"

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z_.-]{0,23}|v[0-9]{1,2}")


@dataclass(slots=True)
class _Place:
    names: dict[str, _Place] = field(default_factory=dict)


class PathShapes:
    """Distinguishes the words of an API from values, by how many occur in one place.

    A segment with digits, escapes or many characters is a value at once.
    """

    def __init__(self) -> None:
        self._root = _Place()
        self._places = 1

    def shape(self, path: str) -> str:
        """Return a canonical path with `*` for every segment that is taken for a value."""
        segments = path.split("/")[1:]
        place, shown = self._root, [""]
        for segment in segments[:MOST_LEVELS]:
            name = segment if not segment or _WORD.fullmatch(segment) else ANY
            if name not in place.names and len(place.names) >= MOST_SIBLINGS:
                name = ANY
            if name not in place.names:
                if self._places >= MOST_PLACES:
                    shown.append(REST)
                    break
                place.names[name] = _Place()
                self._places += 1
            place = place.names[name]
            shown.append(name)
        else:
            if len(segments) > MOST_LEVELS:
                shown.append(REST)
        return "/".join(shown)


def kind_of_body(facts: HeadFacts) -> str:
    """Return the kind of a message's body by its headers, as one of a few words."""
    try:
        media = media_type(facts)
    except UnsupportedBody:
        return "other"
    if media is None:
        return NO_BODY
    return kind_of(media) or ("text" if media.essence.startswith("text/") else "other")


class Unread:
    """Reports responses of one listener that pass with something sealed in them, by rule."""

    __slots__ = ("_listener", "_reported", "_reporter")

    def __init__(self, reporter: Reporter, listener: str) -> None:
        self._reporter = reporter
        self._listener = listener
        self._reported: dict[str, float] = {}

    def note(self, record: MessageRecord) -> None:
        """Count a response, and report its rule unless it was reported within the hour."""
        record.count({"unread": 1})
        rule, now = record.rule or "", time.monotonic()
        if now - self._reported.get(rule, -UNREAD_REPORT_SECONDS) >= UNREAD_REPORT_SECONDS:
            self._reported[rule] = now
            who = {"request_id": record.request_id, "listener": self._listener, "rule": rule}
            self._reporter.report("response.unread", **who)
