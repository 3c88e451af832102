"""Spans of messages, for OpenTelemetry: made once a message is over, from the times that it took.

OpenTelemetry is an extra (`sealyard[otel]`), imported only where the environment asks for traces by
the variables that all of its programs read (OTEL_EXPORTER_OTLP_ENDPOINT and others). Spans hold
names of the configuration, codes, sizes and times. Of the client's headers nothing is taken but the
ids and the flag in `traceparent`; not the path, since it holds names: where the conventions ask for
one, the pattern of the rule stands.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .. import __version__
from .logs.access_line import OTHER_METHOD

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_CLOSE_SECONDS: Final = 3.0
_REDACTED: Final = "/REDACTED"
"""In place of a path that no pattern of the configuration stands for: paths hold names."""
_FIRST_ERROR: Final = 500
"""What semantic conventions call an error of a server; 4xx is the client's."""


@dataclass(frozen=True, slots=True)
class TracedPart:
    """One part of a message's way, between two readings of `perf_counter`; `error` is a code."""

    name: str
    began: float
    ended: float
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""
    outward: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """One end of a message's way, as the configuration says it: a listener, or its upstream.

    `address` is a host's name or address, or the path of a Unix socket; that has no port.
    """

    scheme: str
    address: str
    port: int | None

    @property
    def attributes(self) -> dict[str, AttributeValue]:
        """What the conventions call it."""
        told: dict[str, AttributeValue] = {
            "url.scheme": self.scheme,
            "server.address": self.address,
        }
        return (
            {**told, "network.transport": "unix"}
            if self.port is None
            else {**told, "server.port": self.port}
        )

    def url(self, path: str) -> str:
        """Return what stands for an address at this end; the path of a socket is no part of it."""
        host = "localhost" if self.port is None else f"{_bracketed(self.address)}:{self.port}"
        return f"{self.scheme}://{host}{path}"


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """A message that is over. `parent` is its `traceparent` as it came, empty without one."""

    method: str
    route: str
    status: int
    began: float
    ended: float
    attributes: Mapping[str, str | int]
    error: str
    parent: str
    parts: tuple[TracedPart, ...]


def wanted(environ: Mapping[str, str]) -> bool:
    """Tell whether the environment asks for traces."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in {"", "otlp"}:
        return False
    return any(environ.get(name, "").strip() for name in _ENDPOINTS)


class Traces:
    """Sends spans to the collector that the environment names. One object serves one process.

    They are sent by a thread, in batches; what it cannot keep up with is dropped, never waited for.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Begin; raise ImportError where the packages are missing."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - see above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - see above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - see above

        told = {"service.version": __version__}
        if "OTEL_SERVICE_NAME" not in environ and "service.name=" not in environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        ):
            told["service.name"] = "sealyard"
        self._provider: TracerProvider = TracerProvider(
            resource=Resource.create(told), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer: Tracer = self._provider.get_tracer("sealyard", __version__)

    def between(self, server: End, upstream: End) -> LaneTraces:
        """Return what tells of messages that come to `server` and go on to `upstream`."""
        return LaneTraces(self, server, upstream)

    def tell(self, trip: TracedMessage, server: End, upstream: End) -> str:
        """Make the spans of a message that is over; return its trace id where it is sampled."""
        from opentelemetry.trace import (  # noqa: PLC0415 - see above
            SpanKind,
            StatusCode,
            format_trace_id,
            set_span_in_context,
        )

        # Durations are measured by a clock that never goes back; only here are they put in time.
        base = time.time_ns() - int(time.perf_counter() * 1e9)

        def at(moment: float) -> int:
            return base + int(moment * 1e9)

        method = "HTTP" if trip.method in {"", OTHER_METHOD} else trip.method
        attributes: dict[str, AttributeValue] = {
            "http.request.method": trip.method or OTHER_METHOD,
            "url.path": trip.route or _REDACTED,
            **({"http.route": trip.route} if trip.route else {}),
            **server.attributes,
            "http.response.status_code": trip.status,
            "network.protocol.version": "1.1",
            **trip.attributes,
        }
        failed = trip.error or (str(trip.status) if trip.status >= _FIRST_ERROR else "")
        if failed:
            attributes["error.type"] = failed
        span = self._tracer.start_span(
            f"{method} {trip.route}".rstrip(),
            _parent(trip.parent),
            SpanKind.SERVER,
            attributes,
            start_time=at(trip.began),
        )
        if trip.status >= _FIRST_ERROR:
            span.set_status(StatusCode.ERROR)
        inside = set_span_in_context(span)
        for part in trip.parts if span.is_recording() else ():
            more: dict[str, AttributeValue] = dict(part.attributes)
            if part.outward:
                more |= upstream.attributes | _targets(upstream, trip.route)
            if part.error:
                more["error.type"] = part.error
            kind = SpanKind.CLIENT if part.outward else SpanKind.INTERNAL
            child = self._tracer.start_span(
                part.name, inside, kind, more, start_time=at(part.began)
            )
            if part.error:
                child.set_status(StatusCode.ERROR)
            child.end(at(part.ended))
        span.end(at(trip.ended))
        context = span.get_span_context()
        return format_trace_id(context.trace_id) if context.trace_flags.sampled else ""

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        # Its own thread: a collector that does not answer must not keep the process from ending.
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(_CLOSE_SECONDS)


@dataclass(frozen=True, slots=True)
class LaneTraces:
    """Tells of the messages of one listener and one upstream."""

    traces: Traces
    server: End
    upstream: End

    def tell(self, trip: TracedMessage) -> str:
        """Make the spans of a message that is over; return its trace id where it is sampled."""
        return self.traces.tell(trip, self.server, self.upstream)


def _targets(upstream: End, route: str) -> dict[str, AttributeValue]:
    """Return what was asked of the upstream, with the rule's pattern for the path."""
    told: dict[str, AttributeValue] = {"url.full": upstream.url(route or _REDACTED)}
    return {**told, "url.template": route} if route else told


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _parent(traceparent: str) -> Context:
    """Return the context that a `traceparent` names, an empty one where it names none.

    Its `tracestate` goes on to the backend untouched, and into no span: it is the client's text.
    """
    from opentelemetry.context import Context  # noqa: PLC0415 - an extra
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - an extra
        TraceContextTextMapPropagator,
    )

    carrier = {"traceparent": traceparent}
    return TraceContextTextMapPropagator().extract(carrier, Context())
