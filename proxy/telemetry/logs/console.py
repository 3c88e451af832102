"""Turn one declared event into one line for people, by structlog's console renderer."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from structlog.dev import ConsoleRenderer

from .access_line import MessageLine
from .events import Event, Level
from .json_lines import message_by_fields, shown


class ConsoleLines:
    """Renders events as aligned text, in colours where asked."""

    __slots__ = ("_render",)

    def __init__(self, *, colors: bool) -> None:
        self._render = ConsoleRenderer(colors=colors, pad_event_to=20)

    def __call__(
        self, now: float, event: Event, level: Level, fields: Mapping[str, object]
    ) -> bytes:
        """Return the line, with its line feed."""
        entry: dict[str, object] = {
            "timestamp": time.strftime("%H:%M:%S", time.localtime(now)),
            "level": level,
            "event": event.name,
        }
        for key in event.keys:
            value = shown(key, fields[key]) if fields.get(key) is not None else None
            if value is not None:
                entry[key] = _escaped(value) if isinstance(value, str) else value
        return (self._render(None, level, entry) + "\n").encode("ascii", "backslashreplace")

    def message(self, now: float, line: MessageLine, share: float) -> bytes:
        """Return the line of a message."""
        return message_by_fields(self, now, line, share)


def _escaped(text: str) -> str:
    # The renderer writes plain text as it is: what JSON escapes must not reach a terminal raw.
    return json.dumps(text)[1:-1]
