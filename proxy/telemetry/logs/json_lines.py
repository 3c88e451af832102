"""Turn one declared event into one line: JSON for machines, built by hand because it is hot.

Nothing in a value can break a line or a terminal: the JSON is pure ASCII, with every control
character, U+2028 and U+2029 escaped. Every text has passed the scrubber.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as _quote
from typing import Final, Protocol

from .access_line import MessageLine
from .events import EVENTS, OWN_KEYS, Event, Level
from .key_names import ECS, OTEL, Naming
from .sampling import ALL
from .scrub import scrubbed

VALUE_CHARS: Final = 256
LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error")
MOST_WORDS: Final = 1024
"""How many texts are remembered with what the scrubber made of them."""

_THOUSANDTHS: Final = tuple(f"{number:03d}" for number in range(1000))


class Renderer(Protocol):
    """Makes lines, each with its line feed; `now` is in seconds since 1970."""

    def __call__(
        self, now: float, event: Event, level: Level, fields: Mapping[str, object]
    ) -> bytes:
        """Return the line of an event."""

    def message(self, now: float, line: MessageLine, share: float) -> bytes:
        """Return the line of a message that went well and stands for a `share` of such."""


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


def message_by_fields(render: Renderer, now: float, line: MessageLine, share: float) -> bytes:
    """Return the line of a message as that of any other event."""
    fields, event = line.fields(), EVENTS["message.handled"]
    if share != ALL:
        fields["sample"] = share
    return render(now, event, event.level, fields)


class JsonLines:
    """Renders events as JSON lines: time, level, event, then the declared fields in turn.

    Fields that are None are left out. Fields that are not declared are left out and counted in
    `dropped`.
    """

    __slots__ = (
        "_after",
        "_at",
        "_dropped",
        "_keys",
        "_message_keys",
        "_message_opening",
        "_names",
        "_openings",
        "_stamp",
        "_stamp_form",
        "_tick",
        "_values",
        "_words",
    )

    def __init__(self, naming: Naming = OTEL) -> None:
        """Call things as `naming` does."""
        self._tick = -1
        self._at = ""
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
        keys = self._message_keys = self._keys["message.handled"]
        self._message_opening = self._openings["message.handled", "info"] + keys["request_id"]
        # How the names of a message are written, up to its first number: listener, method, rule,
        # status. What stands between the numbers is `_after` each of them.
        self._names: dict[tuple[str, str, str | None, int], str] = {}
        # How many values met which fate: the same few, message after message.
        self._values: dict[tuple[object, ...], str] = {}
        self._after = keys["response_bytes"], keys["duration_ms"], keys["upstream_ms"]

    def __call__(
        self, now: float, event: Event, level: Level, fields: Mapping[str, object]
    ) -> bytes:
        """Return the line, with its line feed."""
        keys = self._keys[event.name]
        parts = [self._time(int(now * 1000)), self._openings[event.name, level]]
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
                parts.append(opening + self._word(key, value))
            elif type(value) is float and math.isfinite(value):
                parts.append(f"{opening}{value:.3f}")
            else:
                parts.append(opening + json.dumps(shown(key, value)))
        parts.append(f"{self._dropped}{dropped}}}\n" if dropped else "}\n")
        return "".join(parts).encode("ascii")

    def message(self, now: float, line: MessageLine, share: float) -> bytes:
        """Return the line of a message, the same as by its fields and in half the time."""
        if line.told or share != ALL:
            return message_by_fields(self, now, line, share)
        tick = int(now * 1000)
        at = self._at if tick == self._tick else self._time(tick)
        who = line.listener, line.method, line.rule, line.status
        names = self._names.get(who) or self._name(who)
        response_bytes, duration, upstream = self._after
        values = self._fates(line.counts) if line.counts else ""
        if line.upstream_ms is None:
            upstream, took = "", ""
        else:
            took = f"{line.upstream_ms:.3f}"
        return (
            f"{at}{self._message_opening}{_quote(line.request_id)}{names}{line.request_bytes}"
            f"{response_bytes}{line.response_bytes}{duration}{line.duration_ms:.3f}{values}"
            f"{upstream}{took}}}\n"
        ).encode("ascii")

    def _fates(self, counts: Mapping[str, int]) -> str:
        """Return how the numbers of values are written, by what became of them."""
        told = (*counts, *counts.values())
        values = self._values.get(told)
        if values is None:
            keys = self._message_keys
            values = "".join([f"{keys[name]}{number}" for name, number in counts.items()])
            if len(self._values) >= MOST_WORDS:
                self._values.clear()
            self._values[told] = values
        return values

    def _name(self, who: tuple[str, str, str | None, int]) -> str:
        """Return how the names of a message are written, and remember it."""
        told = zip(("listener", "method", "rule", "status"), who, strict=True)
        names = "".join(
            self._message_keys[key] + json.dumps(shown(key, value))
            for key, value in told
            if value is not None
        )
        names += self._message_keys["request_bytes"]
        if len(self._names) >= MOST_WORDS:
            self._names.clear()
        self._names[who] = names
        return names

    def _word(self, key: str, value: str) -> str:
        """Return a text as it is written, and remember what may come again."""
        if key in OWN_KEYS:
            return _quote(value) if len(value) <= VALUE_CHARS else json.dumps(shown(key, value))
        quoted = self._words.get(value)
        if quoted is None:
            quoted = json.dumps(shown(key, value))
            if len(value) <= VALUE_CHARS:
                if len(self._words) >= MOST_WORDS:
                    self._words.clear()
                self._words[value] = quoted
        return quoted

    def _time(self, tick: int) -> str:
        """Return the time of a line, in thousandths of a second since 1970."""
        # Under load many lines share a thousandth of a second, and all that come soon its second.
        if tick != self._tick:
            second, thousandth = divmod(tick, 1000)
            if second != self._tick // 1000:
                self._stamp = time.strftime(self._stamp_form, time.gmtime(second))
            self._tick, self._at = tick, self._stamp + _THOUSANDTHS[thousandth]
        return self._at


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

    def message(self, now: float, line: MessageLine, share: float) -> bytes:
        """Return the line of a message."""
        return message_by_fields(self, now, line, share)
