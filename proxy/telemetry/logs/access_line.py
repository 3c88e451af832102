"""The line of one message: what it holds, whether it is written, and how.

This line is on the hot path, so JSON and ECS have it from prepared pieces. A test holds it, byte
for byte, to what structlog's processors make of the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from .event_keys import KeyNames
from .events import EVENTS
from .processors import quoted, shown, spelled, utc

_HTTP: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"})
_WEBDAV: Final = frozenset(
    {"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"}
)
METHODS: Final = _HTTP | _WEBDAV
OTHER_METHOD: Final = "_OTHER"
"""In place of an unknown method, as in OpenTelemetry: its text is chosen by the client."""
ALL: Final = 1.0
MOST_CACHED: Final = 1024
"""Texts of a kind that are remembered."""
_MILLIONTHS: Final = 1_000_000
_FIRST_FAILURE: Final = 499
"""The status of a client that went away; statuses above are failures of the backend."""


class Refusal(NamedTuple):
    """Why Sealyard refused a message: the code that the client got, the cause, the direction."""

    error: str
    reason: str
    direction: str


@dataclass(slots=True)
class MessageLine:
    """Names, codes, sizes (bytes) and times (milliseconds) of one message: never a value.

    `counts` says by name how many values met which outcome, of both directions and of the response
    alone. `observations` are of few messages: what a rule in mode `observe` would have done, and
    the shape of a message that no rule covers. `upstream_ms` is None where nothing was sent.
    `trace_id` is hexadecimal, and empty where the message is not traced; it is not in the line.

    It is filled in while the message is on its way, and reported once, when the message is over.
    """

    request_id: str
    listener: str
    method: str
    rule: str | None
    status: int
    request_bytes: int
    response_bytes: int
    duration_ms: float
    counts: dict[str, int]
    observations: dict[str, str]
    upstream_ms: float | None = None
    refusal: Refusal | None = None
    trace_id: str = ""

    @property
    def event(self) -> str:
        """The event in the table."""
        return "message.handled" if self.refusal is None else "message.refused"

    def fields(self) -> dict[str, object]:
        """Return the fields of the event, in the order in which the line has them."""
        fields: dict[str, object] = {
            "request_id": self.request_id,
            "listener": self.listener,
            "method": self.method,
            "rule": self.rule,
            "status": self.status,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "duration_ms": self.duration_ms,
            **self.counts,
            **self.observations,
        }
        if self.upstream_ms is not None:
            fields["upstream_ms"] = self.upstream_ms
        return fields if self.refusal is None else {**fields, **self.refusal._asdict()}


class AccessLines:
    """Renders lines of messages with the names of one convention, from prepared pieces."""

    __slots__ = (
        "_after",
        "_counts",
        "_handled",
        "_in_nanoseconds",
        "_keys",
        "_names",
        "_opening",
        "_refused",
        "_tick",
        "_time",
    )

    def __init__(self, names: KeyNames) -> None:
        """Prepare what all lines have in common."""
        event = EVENTS["message.handled"]
        keys = self._keys = {key: f",{quoted(names.key(key))}:" for key in event.keys}
        self._opening = f'{{{quoted(names.time)}:"'
        self._handled, self._refused = (
            "".join(f",{quoted(key)}:{quoted(text)}" for key, text in head.items())
            + keys["request_id"]
            for name in ("message.handled", "message.refused")
            for head in [names.head(name, EVENTS[name].level)]
        )
        self._tick, self._time = -1, ""
        self._in_nanoseconds = names.nanoseconds == "duration_ms"
        # Listener, method, rule and status, with the key of the first number that follows.
        self._names: dict[tuple[str, str, str | None, int], str] = {}
        # How many values met which outcome: the same few, message after message.
        self._counts: dict[tuple[object, ...], str] = {}
        self._after = keys["response_bytes"], keys["duration_ms"], keys["upstream_ms"]

    def __call__(self, now: float, line: MessageLine, share: float) -> bytes:
        """Return the line of a message that represents a `share` of its kind, with its line feed.

        `now` is in seconds since 1970.
        """
        tick = int(now * 1000)
        if tick != self._tick:  # under load, lines share a millisecond
            self._tick, self._time = tick, f'{self._opening}{utc(now)}"'
        who = line.listener, line.method, line.rule, line.status
        names = self._names.get(who) or self._name(who)
        response_bytes, duration, upstream = self._after
        counts = self._count(line.counts) if line.counts else ""
        observed = self._texts(line.observations) if line.observations else ""
        took = line.duration_ms
        taken = f"{round(took * 1_000_000)}" if self._in_nanoseconds else f"{took:.3f}"
        waited = "" if line.upstream_ms is None else f"{upstream}{line.upstream_ms:.3f}"
        head, end = self._handled, "}\n"
        if line.refusal is not None:
            head, end = self._refused, f"{self._texts(line.refusal._asdict())}}}\n"
        elif share != ALL:
            end = f"{self._keys['sample']}{share:.3f}}}\n"
        return (
            f"{self._time}{head}{quoted(line.request_id)}{names}{line.request_bytes}"
            f"{response_bytes}{line.response_bytes}{duration}{taken}{counts}{observed}{waited}{end}"
        ).encode("ascii")

    def _count(self, counts: Mapping[str, int]) -> str:
        """Return the counts of outcomes as the line has them."""
        given = (*counts, *counts.values())
        text = self._counts.get(given)
        if text is None:
            text = "".join([f"{self._keys[name]}{number}" for name, number in counts.items()])
            if len(self._counts) >= MOST_CACHED:
                self._counts.clear()
            self._counts[given] = text
        return text

    def _name(self, who: tuple[str, str, str | None, int]) -> str:
        """Return the names of a message as the line has them, and remember them."""
        pairs = zip(("listener", "method", "rule", "status"), who, strict=True)
        names = self._texts({key: value for key, value in pairs if value is not None})
        names += self._keys["request_bytes"]
        if len(self._names) >= MOST_CACHED:
            self._names.clear()
        self._names[who] = names
        return names

    def _texts(self, fields: Mapping[str, object]) -> str:
        """Return further fields as the line has them."""
        keys = self._keys
        return "".join([keys[key] + spelled(shown(key, value)) for key, value in fields.items()])


class _Share:
    """Selects every n-th line and carries fractions over, so that a share is exact over time."""

    __slots__ = ("_due", "_parts", "share")

    def __init__(self, share: float) -> None:
        self.share = share
        self._parts = round(share * _MILLIONTHS)
        self._due = _MILLIONTHS - self._parts  # the very first is taken

    def take(self) -> bool:
        self._due += self._parts
        if self._due < _MILLIONTHS:
            return False
        self._due -= _MILLIONTHS
        return True


class Sampling:
    """The shares of forwarded messages that are logged, by listener and rule.

    Refused messages have another event and are always written; so is what failed or was cut off.
    """

    def __init__(self, shares: Mapping[tuple[str, str], float]) -> None:
        """Log all lines of rules that are not in `shares`; 0 logs only failures."""
        self._shares = {key: _Share(share) for key, share in shares.items()}

    def share(self, line: MessageLine) -> float | None:
        """Return the share that this line represents, or None where it is not logged."""
        one = self._shares.get((line.listener, line.rule or ""))
        if one is None or line.status >= _FIRST_FAILURE:
            return ALL
        return one.share if one.share and one.take() else None
