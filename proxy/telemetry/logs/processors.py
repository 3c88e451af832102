"""The structlog processors that every event passes, in this order.

1. `declared` drops the keys that the table of events does not have, leaves scalars alone, and hides
   what looks like a secret.
2. The operator's processors (`--log-processor`), if any. They get what would be written, and what
   they return passes 1 once more, so that nothing of theirs is written unchecked.
3. The renderer of the format makes one line of printable ASCII.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from json.encoder import encode_basestring_ascii
from typing import Final, Literal

from structlog.dev import ConsoleRenderer
from structlog.typing import EventDict, Processor

from ..policy import CACHED_TEXTS, LOG_CHARS
from .event_keys import ECS, OTEL, OWN_KEYS, KeyNames
from .events import EVENTS
from .scrub import scrubbed

Format = Literal["json", "console", "ecs"]
Clock = Callable[[], float]
"""Returns seconds since 1970."""
Scalar = str | int | float | None

quoted: Final = encode_basestring_ascii
"""Returns a text as JSON, in ASCII."""
_KEYS: Final = {name: {key: key for key in event.keys} for name, event in EVENTS.items()}
_LINE_KEYS: Final = frozenset({"event", "level", "dropped"})
"""What a line has beside the keys of its event."""
_THOUSANDTHS: Final = tuple(f"{number:03d}Z" for number in range(1000))


def chain(
    log_format: Format, *, clock: Clock, colors: bool, extra: Sequence[Processor] = ()
) -> list[Processor]:
    """Return the processors of a format; `extra` are the operator's, each guarded already."""
    checked: list[Processor] = [declared, *extra, declared] if extra else [declared]
    if log_format == "console":
        return [*checked, _for_people(clock), _console(colors=colors)]
    return [*checked, _one_line(ECS if log_format == "ecs" else OTEL, clock)]


def declared(_logger: object, level: str, entry: EventDict) -> EventDict:
    """Keep what the table declares for the event, as a line may show it; `dropped` counts the rest.

    Raise KeyError for an event that is not declared. Keys without a value are left out.
    """
    event = EVENTS[entry["event"]]
    # Names are taken from the table: those of a processor may be of a subclass of str.
    kept: EventDict = {"level": level, "event": event.name}
    keys = _KEYS[event.name]
    dropped = entry.get("dropped")
    unknown = dropped if type(dropped) is int else 0
    for key, value in entry.items():
        own = keys.get(key)
        if own is None:
            unknown += value is not None and key not in _LINE_KEYS
        elif value is not None:
            kept[own] = shown(own, value)
    if unknown:
        kept["dropped"] = unknown
    return kept


def shown(key: str, value: object) -> Scalar:
    """Return what a line may show of a value, as one of Python's own scalars.

    Text is scrubbed and cut, a number that is not finite becomes None, and of anything but a scalar
    only its class is named: bytes and objects might show a key or a message in their text.
    """
    # The methods are those of the plain types: a subclass could return anything from its own.
    if isinstance(value, str):
        text = str.__str__(value)
        if key not in OWN_KEYS:
            text = _cached(text) if len(text) <= LOG_CHARS else scrubbed(text)
        return text if len(text) <= LOG_CHARS else text[: LOG_CHARS - 1] + "…"
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value) if math.isfinite(value) else None
    return f"<{type(value).__name__}>"


# Names of listeners and rules, codes and reasons: the same texts come again and again.
_cached = lru_cache(maxsize=CACHED_TEXTS)(scrubbed)


def utc(now: float) -> str:
    """Return a time of the log: UTC in ISO 8601, with milliseconds."""
    second, thousandth = divmod(int(now * 1000), 1000)
    return _second(second) + _THOUSANDTHS[thousandth]


@lru_cache(maxsize=1)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))


def spelled(value: Scalar) -> str:
    """Return a scalar as JSON, a number with at most three decimals."""
    if type(value) is str:
        return quoted(value)
    if type(value) is int:
        return str(value)
    return f"{value:.3f}" if type(value) is float else json.dumps(value)


def _one_line(names: KeyNames, clock: Clock) -> Processor:
    """Return a processor that makes a line of JSON, in ASCII: the time first, then keys by name."""

    @cache
    def head(event: str, level: str) -> str:
        opening = names.head(event, level).items()
        return ",".join([f"{quoted(key)}:{quoted(text)}" for key, text in opening])

    @cache
    def named(key: str) -> str:
        return quoted(names.key(key))

    def line(_logger: object, level: str, entry: EventDict) -> str:
        made = [f"{{{quoted(names.time)}:{quoted(utc(clock()))}", head(entry["event"], level)]
        for key, value in entry.items():
            if key == names.nanoseconds and isinstance(value, int | float):
                made.append(f"{named(key)}:{round(value * 1_000_000)}")
            elif key == "dropped" or key not in _LINE_KEYS:
                made.append(f"{named(key)}:{spelled(value)}")
        return ",".join(made) + "}"

    return line


def _for_people(clock: Clock) -> Processor:
    """Return a processor that makes ready for structlog's renderer, which writes text as it is."""

    def readable(_logger: object, _level: str, entry: EventDict) -> EventDict:
        line: EventDict = {"timestamp": time.strftime("%H:%M:%S", time.localtime(clock()))}
        for key, value in entry.items():
            if value is not None:
                # The renderer takes `exception` for a traceback, on lines of its own.
                line[OTEL.key(key) if key == "exception" else key] = _readable(value)
        return line

    return readable


def _readable(value: Scalar) -> Scalar:
    if isinstance(value, str):
        return quoted(value)[1:-1]  # what JSON escapes must not reach a terminal as it is
    return round(value, 3) if isinstance(value, float) else value


def _console(*, colors: bool) -> Processor:
    # Its own formatter of exceptions shows local variables. None comes so far; if one did, nothing
    # of it would be written.
    return ConsoleRenderer(colors=colors, pad_event_to=20, exception_formatter=_nothing)


def _nothing(_out: object, _error: object) -> None:
    """Write nothing of an exception."""
