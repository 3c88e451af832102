"""Responses that pass unread with something sealed in them: counted, and told of now and then."""

from __future__ import annotations

import time
from typing import Final

from .interfaces import Reporter
from .record import Record

SECONDS: Final = 3600.0
"""So often at most is it told of one rule."""


class Unread:
    """Takes note of such responses of one listener, for each rule by itself."""

    __slots__ = ("_listener", "_reporter", "_told")

    def __init__(self, reporter: Reporter, listener: str) -> None:
        self._reporter = reporter
        self._listener = listener
        self._told: dict[str, float] = {}

    def note(self, record: Record) -> None:
        """Count a response, and tell of its rule unless that was told of within the hour."""
        record.count({"unread": 1})
        rule, now = record.rule or "", time.monotonic()
        if now - self._told.get(rule, -SECONDS) >= SECONDS:
            self._told[rule] = now
            who = {"request_id": record.request_id, "listener": self._listener, "rule": rule}
            self._reporter.report("response.unread", **who)
