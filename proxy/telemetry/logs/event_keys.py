"""What an event is, and what its keys are called in a line: by OpenTelemetry or by Elastic.

Only keys that a convention has a name for are renamed. Sealyard's own keys keep their names in
`json`; in `ecs` they are under `sealyard.`, since an index holds the lines of other programs too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

Level = Literal["debug", "info", "warning", "error"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
"""From the least to the most important."""


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of log line.

    Under the keys in `lasts`, lines of one lasting state have the same values.
    """

    name: str
    level: Level
    keys: tuple[str, ...]
    meaning: str
    lasts: tuple[str, ...] = ()


OWN_KEYS: Final = frozenset(
    {"kid", "mac", "participant", "previous", "request_id", "scope", "sha256", "sid", "trace_id"}
)
"""Keys of what Sealyard makes itself, or takes only in a form without secrets. It looks random, and
is not scrubbed."""


@dataclass(frozen=True, slots=True)
class KeyNames:
    """The names of one convention.

    `time` is the name of the first key. `opening` are the keys that follow it in every line, as
    templates with `{level}` and `{event}`. A key that is not in `names` gets `prefix`.
    `nanoseconds` is the key, in milliseconds here, that the convention has in nanoseconds.
    """

    time: str
    opening: Mapping[str, str]
    names: Mapping[str, str]
    prefix: str = ""
    nanoseconds: str | None = None

    def key(self, key: str) -> str:
        """Return the name of a declared key."""
        return self.names.get(key, self.prefix + key)

    def head(self, event: str, level: str) -> dict[str, str]:
        """Return what comes between the time and the event's own keys."""
        return {key: text.format(level=level, event=event) for key, text in self.opening.items()}


OTEL: Final = KeyNames(
    time="at",
    opening={"level": "{level}", "event": "{event}"},
    # OpenTelemetry's semantic conventions 1.37: http, error, exception, process, service, client.
    names={
        "method": "http.request.method",
        "status": "http.response.status_code",
        "route": "http.route",
        "request_bytes": "http.request.body.size",
        "response_bytes": "http.response.body.size",
        "error": "error.type",
        "exception": "exception.type",
        "peer": "client.address",
        "pid": "process.pid",
        "exit_code": "process.exit.code",
        "version": "service.version",
        "python": "process.runtime.version",
    },
)

ECS: Final = KeyNames(
    time="@timestamp",
    opening={
        "log.level": "{level}",
        "message": "{event}",
        "ecs.version": "8.11.0",
        "service.name": "sealyard",
        "event.dataset": "sealyard.log",
        "event.action": "{event}",
    },
    names={
        "method": "http.request.method",
        "status": "http.response.status_code",
        "request_id": "http.request.id",
        "trace_id": "trace.id",
        "request_bytes": "http.request.body.bytes",
        "response_bytes": "http.response.body.bytes",
        "duration_ms": "event.duration",
        "rule": "rule.name",
        "error": "error.code",
        "exception": "error.type",
        "peer": "client.address",
        "pid": "process.pid",
        "exit_code": "process.exit_code",
        "version": "service.version",
        "file": "file.path",
        "logger": "log.logger",
    },
    prefix="sealyard.",
    nanoseconds="duration_ms",
)
