"""Turn one declared event into one line: JSON for machines, built by hand because it is hot.

Nothing in a value can break a line or a terminal: the JSON is pure ASCII, with every control
character, U+2028 and U+2029 escaped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii as _quote
from typing import Final

from .events import EVENTS, Event, Level

VALUE_CHARS: Final = 256
LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error")

Renderer = Callable[[float, Event, Level, Mapping[str, object]], bytes]
"""Makes a line of: seconds since 1970, event, level, fields."""


def shown(value: object) -> str | int | float | None:
    """Return what a line may show of a value: text is cut, anything but a scalar is only named."""
    if isinstance(value, str):
        return value if len(value) <= VALUE_CHARS else value[: VALUE_CHARS - 1] + "…"
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if isinstance(value, bool | int):
        return value
    # Bytes and objects might show a key or a message in their text.
    return f"<{type(value).__name__}>"


class JsonLines:
    """Renders events as JSON lines: `at`, `level`, `event`, then the declared fields in turn.

    Fields that are None are left out. Fields that are not declared are left out and counted in
    `dropped`.
    """

    __slots__ = ("_keys", "_openings", "_second", "_stamp")

    def __init__(self) -> None:
        self._second = -1
        self._stamp = ""
        self._keys = {
            event.name: {key: f",{_quote(key)}:" for key in event.keys} for event in EVENTS.values()
        }
        self._openings = {
            (event.name, level): f'Z","level":"{level}","event":{_quote(event.name)}'
            for event in EVENTS.values()
            for level in LEVELS
        }

    def __call__(
        self, now: float, event: Event, level: Level, fields: Mapping[str, object]
    ) -> bytes:
        """Return the line, with its line feed."""
        keys = self._keys[event.name]
        parts = [self._time(now), self._openings[event.name, level]]
        dropped = 0
        for key, value in fields.items():
            if value is None:
                continue
            opening = keys.get(key)
            # The exact types first: nearly all fields of the line of a message are of these.
            if opening is None:
                dropped += 1
            elif type(value) is int:
                parts.append(f"{opening}{value}")
            elif type(value) is str and len(value) <= VALUE_CHARS:
                parts.append(opening + _quote(value))
            elif type(value) is float and math.isfinite(value):
                parts.append(f"{opening}{value:.3f}")
            else:
                parts.append(opening + _json(value))
        parts.append(f',"dropped":{dropped}}}\n' if dropped else "}\n")
        return "".join(parts).encode("ascii")

    def _time(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime('{"at":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second))
        return f"{self._stamp}{int((now - second) * 1000):03d}"


def _json(value: object) -> str:
    return json.dumps(shown(value))
