"""What the keys of events are called in a line: as OpenTelemetry calls them, or as Elastic does.

Only what a standard has a name for is renamed. In `json`, what is Sealyard's own keeps its plain
name; in `ecs` it stands below `sealyard.`, since an index holds the lines of others too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .events import Level

_HTTP: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"})
_WEBDAV: Final = frozenset(
    {"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"}
)
METHODS: Final = _HTTP | _WEBDAV
OTHER_METHOD: Final = "_OTHER"
"""What OpenTelemetry writes in place of a method that is not known: it is the client's own word."""


@dataclass(frozen=True, slots=True)
class Naming:
    """How a line begins, and what its keys are called.

    `stamp` is the beginning up to the full second, for strftime; `opening` what follows the time,
    with `{level}` and `{event}`; what is not in `names` gets `prefix`.
    """

    stamp: str
    opening: str
    names: Mapping[str, str]
    prefix: str = ""

    def key(self, key: str) -> str:
        """Return what a key of the table is called."""
        return self.names.get(key, self.prefix + key)

    def head(self, event: str, level: Level) -> str:
        """Return what stands between the time and the first field."""
        return self.opening.format(level=json.dumps(level), event=json.dumps(event))


OTEL: Final = Naming(
    stamp='{"at":"%Y-%m-%dT%H:%M:%S.',
    opening='Z","level":{level},"event":{event}',
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

ECS: Final = Naming(
    stamp='{"@timestamp":"%Y-%m-%dT%H:%M:%S.',
    opening='Z","log.level":{level},"message":{event},"ecs.version":"8.11.0",'
    '"service.name":"sealyard","event.dataset":"sealyard.log","event.action":{event}',
    names={
        "method": "http.request.method",
        "status": "http.response.status_code",
        "request_id": "http.request.id",
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
)
