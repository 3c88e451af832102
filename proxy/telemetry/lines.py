"""Turn one declared event into one line: JSON for machines, built by hand because it is hot.

Nothing in a value can break a line or a terminal: the JSON is pure ASCII, with every control
character, U+2028 and U+2029 escaped. Every text has passed the scrubber.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii as _quote
from typing import Final

from .events import EVENTS, OWN_KEYS, Event, Level
from .naming import ECS, OTEL, Naming
from .scrub import scrubbed

VALUE_CHARS: Final = 256
LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error")
MOST_WORDS: Final = 1024
"""How many texts are remembered with what the scrubber made of them."""

Renderer = Callable[[float, Event, Level, Mapping[str, object]], bytes]
"""Makes a line of: seconds since 1970, event, level, fields."""


def shown(key: str, value: object) -> str | int | float | None:
    """Return what a line may show of a value: text is cut, anything but a scalar is only named."""
    if isinstance(value, str):
        # Of a subclass, the text itself and not what its __str__ makes of it.
        text = str.__str__(value)
        if key not in OWN_KEYS:
            text = scrubbed(text)
        return text if len(text) <= VALUE_CHARS else text[: VALUE_CHARS - 1] + "…"
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if isinstance(value, bool | int):
        return value
    # Bytes and objects might show a key or a message in their text.
    return f"<{type(value).__name__}>"


class JsonLines:
    """Renders events as JSON lines: time, level, event, then the declared fields in turn.

    Fields that are None are left out. Fields that are not declared are left out and counted in
    `dropped`.
    """

    __slots__ = ("_dropped", "_keys", "_openings", "_second", "_stamp", "_stamp_form", "_words")

    def __init__(self, naming: Naming = OTEL) -> None:
        """Call things as `naming` does."""
        self._second = -1
        self._stamp = ""
        self._stamp_form = naming.stamp
        self._dropped = f",{_quote(naming.key('dropped'))}:"
        self._keys = {
            event.name: {key: f",{_quote(naming.key(key))}:" for key in event.keys}
            for event in EVENTS.values()
        }
        self._openings = {
            (event.name, level): naming.head(event.name, level)
            for event in EVENTS.values()
            for level in LEVELS
        }
        # Names of listeners and rules, codes, reasons: a look-up in place of scrubber and quotes.
        self._words: dict[str, str] = {}

    def __call__(
        self, now: float, event: Event, level: Level, fields: Mapping[str, object]
    ) -> bytes:
        """Return the line, with its line feed."""
        keys, words = self._keys[event.name], self._words
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
            elif type(value) is str:
                parts.append(opening + (words.get(value) or self._word(key, value)))
            elif type(value) is float and math.isfinite(value):
                parts.append(f"{opening}{value:.3f}")
            else:
                parts.append(opening + json.dumps(shown(key, value)))
        parts.append(f"{self._dropped}{dropped}}}\n" if dropped else "}\n")
        return "".join(parts).encode("ascii")

    def _word(self, key: str, value: str) -> str:
        """Return a text as it is written, and remember what may come again."""
        if key in OWN_KEYS and len(value) <= VALUE_CHARS:
            return _quote(value)
        quoted = json.dumps(shown(key, value))
        if key not in OWN_KEYS and len(value) <= VALUE_CHARS:
            if len(self._words) >= MOST_WORDS:
                self._words.clear()
            self._words[value] = quoted
        return quoted

    def _time(self, now: float) -> str:
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime(self._stamp_form, time.gmtime(second))
        return f"{self._stamp}{int((now - second) * 1000):03d}"


class EcsLines(JsonLines):
    """Renders events as the Elastic Common Schema has them; durations are in nanoseconds there."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(ECS)

    def __call__(
        self, now: float, event: Event, level: Level, fields: Mapping[str, object]
    ) -> bytes:
        """Return the line, with its line feed."""
        took = fields.get("duration_ms")
        if isinstance(took, int | float) and math.isfinite(took):
            fields = {**fields, "duration_ms": round(took * 1_000_000)}
        return super().__call__(now, event, level, fields)
