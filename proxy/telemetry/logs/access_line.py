"""The line of one message: what it holds, whether it is written, and how.

This line is on the hot path, so JSON and ECS have it from templates. A test holds it, byte
for byte, to what structlog's processors make of the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ..policy import CACHED_TEXTS
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
BACKEND_FAILURES: Final = frozenset({"upstream-failed", "upstream-timeout"})
"""Error codes of messages for which the backend gave no usable response."""
ALL: Final[float] = 1
_MILLIONTHS: Final = 1_000_000
_FIRST_FAILURE: Final = 499
"""The status of a client that went away; statuses above are failures of the backend."""


Outcomes = tuple[tuple[str, int], ...]
"""How many values met which outcome, in one direction."""


class Refusal(NamedTuple):
    """Why Sealyard refused a message: the code that the client got, the cause, the direction."""

    error: str
    reason: str
    direction: str


@dataclass(slots=True)
class MessageLine:
    """Names, codes, sizes (bytes) and times (milliseconds) of one message: never a value.

    `request_outcomes` and `response_outcomes` say how many values met which outcome.
    `observations` are of few messages: what a rule in mode `observe` would have done, and the shape
    of a message that no rule covers. `upstream_ms` is None where nothing was sent. `trace_id` is
    hexadecimal, and empty where the message belongs to no trace; `sampled` says that the trace is
    recorded. `changes` are the directions whose bodies were changed and how long that took in
    seconds, of the messages of which that is measured; None for others. `own_id` is what Sealyard
    would have called the message, where `request_id` is the client's. `switched` says that the
    backend agreed to a WebSocket or another protocol. They are not in the line. `caller` is the
    name of who was verified to send it, in the configuration; empty for anyone.

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
    request_outcomes: Outcomes = ()
    response_outcomes: Outcomes = ()
    observations: Mapping[str, str | int] = field(default_factory=dict)
    upstream_ms: float | None = None
    refusal: Refusal | None = None
    trace_id: str = ""
    own_id: str = ""
    sampled: bool = False
    changes: list[tuple[str, float]] | None = None
    switched: bool = False
    caller: str = ""

    @property
    def key(self) -> str:
        """What no other message is called."""
        return self.own_id or self.request_id

    @property
    def event(self) -> str:
        """The event in the table."""
        if self.refusal is None:
            return "message.handled"
        failed = self.refusal.error in BACKEND_FAILURES
        return "message.failed" if failed else "message.refused"

    @property
    def counts(self) -> dict[str, int]:
        """How many values met which outcome, of both directions and of the response alone."""
        counts = dict(self.request_outcomes)
        for outcome, number in self.response_outcomes:
            counts[outcome] = counts.get(outcome, 0) + number
            counts[f"response_{outcome}"] = number
        return counts

    def fields(self) -> dict[str, object]:
        """Return the fields of the event, in the order in which the line has them."""
        fields: dict[str, object] = {
            "request_id": self.request_id,
            "listener": self.listener,
            "method": self.method,
            "rule": self.rule,
            "caller": self.caller or None,
            "status": self.status,
            "request_bytes": self.request_bytes,
            "response_bytes": self.response_bytes,
            "duration_ms": self.duration_ms,
            **self.counts,
            **self.observations,
        }
        if self.trace_id:
            fields["trace_id"] = self.trace_id
        if self.upstream_ms is not None:
            fields["upstream_ms"] = self.upstream_ms
        return fields if self.refusal is None else {**fields, **self.refusal._asdict()}


class AccessLines:
    """Renders lines of messages with the names of one convention, from templates.

    Messages of one kind differ in five places: request id, two sizes and two durations.
    """

    __slots__ = (
        "_in_nanoseconds",
        "_keys",
        "_names",
        "_opening",
        "_second",
        "_templates",
        "_tick",
        "_time",
        "_until",
    )

    def __init__(self, names: KeyNames) -> None:
        """Prepare what all lines have in common."""
        event = EVENTS["message.handled"]
        self._names = names
        self._keys = {key: f",{quoted(names.key(key))}:" for key in event.keys}
        self._opening = f'{{{quoted(names.time)}:"'
        self._second, self._until = -1, ""
        self._tick, self._time = -1, ""
        self._in_nanoseconds = names.nanoseconds == "duration_ms"
        self._templates: dict[tuple[object, ...], tuple[str, str, str, str]] = {}

    def __call__(self, now: float, line: MessageLine, share: float) -> str:
        """Return the line of a message that represents a `share` of its kind, with its line feed.

        `now` is in seconds since 1970. The line is ASCII.
        """
        tick = int(now * 1000)
        if tick != self._tick:  # under load, lines share a millisecond
            second, thousandth = divmod(tick, 1000)
            if second != self._second:
                self._second, self._until = second, self._opening + utc(second)[: -len("000Z")]
            self._tick, self._time = tick, f'{self._until}{thousandth:03d}Z"'
        kind = (
            line.listener,
            line.method,
            line.rule,
            line.caller,
            line.status,
            line.request_outcomes,
            line.response_outcomes,
            line.refusal,
        )
        usual, traced, start, end = self._templates.get(kind) or self._prepare(kind, line)
        began, name, took, waited = (
            self._time,
            quoted(line.request_id),
            line.duration_ms,
            line.upstream_ms,
        )
        if self._in_nanoseconds:
            took = round(took * 1_000_000)
        facts = began, name, line.request_bytes, line.response_bytes, took
        if waited is None or share != ALL or line.observations:
            return start % facts + self._more(line, share) + end
        if line.trace_id:
            return traced % (*facts, line.trace_id, waited)
        return usual % (*facts, waited)

    def _more(self, line: MessageLine, share: float) -> str:
        """Return what only few lines of a kind have."""
        more = self._texts(line.observations)
        if line.trace_id:
            more += f'{self._keys["trace_id"]}"{line.trace_id}"'
        if line.upstream_ms is not None:
            more += f"{self._keys['upstream_ms']}{line.upstream_ms:.3f}"
        return more if share == ALL else f"{more}{self._keys['sample']}{share:.3f}"

    def _prepare(self, kind: tuple[object, ...], line: MessageLine) -> tuple[str, str, str, str]:
        """Return the templates of a kind's usual lines, without and with a trace.

        The start and the end of others follow.
        """
        keys, event = self._keys, line.event
        head = self._names.head(event, EVENTS[event].level)
        opening = "".join(f",{quoted(key)}:{quoted(text)}" for key, text in head.items())
        names = {
            "listener": line.listener,
            "method": line.method,
            "rule": line.rule,
            "caller": line.caller or None,
        }
        known = {key: text for key, text in names.items() if text is not None}
        who = self._texts({**known, "status": line.status})
        counts = "".join(f"{keys[name]}{number}" for name, number in line.counts.items())
        took = "%d" if self._in_nanoseconds else "%.3f"
        start = (
            f"%s{_literal(opening + keys['request_id'])}%s{_literal(who + keys['request_bytes'])}%d"
            f"{keys['response_bytes']}%d{keys['duration_ms']}{took}{counts}"
        )
        if len(self._templates) >= CACHED_TEXTS:
            self._templates.clear()
        end = f"{'' if line.refusal is None else self._texts(line.refusal._asdict())}}}\n"
        waited = f"{keys['upstream_ms']}%.3f{_literal(end)}"
        traced = f'{start}{keys["trace_id"]}"%s"{waited}'
        made = self._templates[kind] = start + waited, traced, start, end
        return made

    def _texts(self, fields: Mapping[str, object]) -> str:
        """Return further fields as the line has them."""
        keys = self._keys
        return "".join([keys[key] + spelled(shown(key, value)) for key, value in fields.items()])


def _literal(text: str) -> str:
    """Return a text as it stands in a template."""
    return text.replace("%", "%%")


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
