"""OpenTelemetry spans of messages, made once a message has ended, from the times it took.

OpenTelemetry is an extra (`sealyard[otel]`), imported only where its standard environment variables
(OTEL_EXPORTER_OTLP_ENDPOINT and others) enable tracing. Spans hold names of the configuration,
codes, sizes and times. Of the client's headers, only the ids and the flag in `traceparent` are
used. The path is not, since it holds names: spans have the pattern of the rule in its place.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .. import __version__
from .logs.access_line import OTHER_METHOD
from .policy import TRACES_CLOSE_SECONDS

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer
    from opentelemetry.util.types import AttributeValue

_REDACTED: Final = "/REDACTED"
"""In place of a path without a pattern in the configuration: paths hold names."""
_FIRST_ERROR: Final = 500
"""The lowest status that the semantic conventions call a server error."""


@dataclass(frozen=True, slots=True)
class TracedPart:
    """One step of a message, between two readings of `perf_counter`; `error` is a code."""

    name: str
    began: float
    ended: float
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""
    outward: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """A listener or its upstream, as configured.

    `address` is a host name, an IP address, or the path of a Unix socket, which has no port.
    """

    scheme: str
    address: str
    port: int | None

    @property
    def attributes(self) -> dict[str, AttributeValue]:
        """Its attributes in the semantic conventions."""
        return {
            "url.scheme": self.scheme,
            "server.address": self.address,
            **({"network.transport": "unix"} if self.port is None else {"server.port": self.port}),
        }

    def url(self, path: str) -> str:
        """Return a URL for `url.full`; it does not contain the path of a Unix socket."""
        host = "localhost" if self.port is None else f"{_bracketed(self.address)}:{self.port}"
        return f"{self.scheme}://{host}{path}"


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """A message that has ended. `parent` is its `traceparent` as received, empty without one."""

    method: str
    route: str
    status: int
    began: float
    ended: float
    attributes: Mapping[str, str | int]
    error: str
    parent: str
    parts: tuple[TracedPart, ...]


class Traces:
    """Exports spans to the collector in the environment. One object serves one process.

    A thread sends them in batches; spans that it cannot keep up with are dropped.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Start the exporter; raise ImportError where the packages are missing."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - see above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - see above
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - see above

        resource = {"service.version": __version__}
        if "OTEL_SERVICE_NAME" not in environ and "service.name=" not in environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        ):
            resource["service.name"] = "sealyard"
        self._provider: TracerProvider = TracerProvider(
            resource=Resource.create(resource), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer: Tracer = self._provider.get_tracer("sealyard", __version__)

    def between(self, server: End, upstream: End) -> LaneTraces:
        """Return the exporter for messages from `server` to `upstream`."""
        return LaneTraces(self, server, upstream)

    def export(self, message: TracedMessage, server: End, upstream: End) -> str:
        """Export the spans of a message that has ended; return its trace id if it is sampled."""
        from opentelemetry.trace import (  # noqa: PLC0415 - see above
            SpanKind,
            StatusCode,
            format_trace_id,
            set_span_in_context,
        )

        # Durations are measured with a monotonic clock; only here are they placed in time.
        base = time.time_ns() - int(time.perf_counter() * 1e9)

        def at(moment: float) -> int:
            return base + int(moment * 1e9)

        method = "HTTP" if message.method in {"", OTHER_METHOD} else message.method
        attributes: dict[str, AttributeValue] = {
            "http.request.method": message.method or OTHER_METHOD,
            "url.path": message.route or _REDACTED,
            **({"http.route": message.route} if message.route else {}),
            **server.attributes,
            "http.response.status_code": message.status,
            "network.protocol.version": "1.1",
            **message.attributes,
        }
        failed = message.error or (str(message.status) if message.status >= _FIRST_ERROR else "")
        if failed:
            attributes["error.type"] = failed
        span = self._tracer.start_span(
            f"{method} {message.route}".rstrip(),
            _parent(message.parent),
            SpanKind.SERVER,
            attributes,
            start_time=at(message.began),
        )
        if message.status >= _FIRST_ERROR:
            span.set_status(StatusCode.ERROR)
        inside = set_span_in_context(span)
        for part in message.parts if span.is_recording() else ():
            more: dict[str, AttributeValue] = dict(part.attributes)
            if part.outward:
                more |= upstream.attributes | _targets(upstream, message.route)
            if part.error:
                more["error.type"] = part.error
            kind = SpanKind.CLIENT if part.outward else SpanKind.INTERNAL
            child = self._tracer.start_span(
                part.name, inside, kind, more, start_time=at(part.began)
            )
            if part.error:
                child.set_status(StatusCode.ERROR)
            child.end(at(part.ended))
        span.end(at(message.ended))
        context = span.get_span_context()
        return format_trace_id(context.trace_id) if context.trace_flags.sampled else ""

    def close(self) -> None:
        """Export what is left, within TRACES_CLOSE_SECONDS."""
        # In a thread: a collector that does not answer must not delay the end of the process.
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(TRACES_CLOSE_SECONDS)


@dataclass(frozen=True, slots=True)
class LaneTraces:
    """Exports the spans of messages of one listener and one upstream."""

    traces: Traces
    server: End
    upstream: End

    def export(self, message: TracedMessage) -> str:
        """Export the spans of a message that has ended; return its trace id if it is sampled."""
        return self.traces.export(message, self.server, self.upstream)


def _targets(upstream: End, route: str) -> dict[str, AttributeValue]:
    """Return the attributes of the upstream request, with the pattern of the rule as its path."""
    attributes: dict[str, AttributeValue] = {"url.full": upstream.url(route or _REDACTED)}
    return {**attributes, "url.template": route} if route else attributes


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _parent(traceparent: str) -> Context:
    """Return the context of a `traceparent`, an empty one where it is invalid.

    `tracestate` is forwarded unchanged and copied to no span: it is text of the client.
    """
    from opentelemetry.context import Context  # noqa: PLC0415 - an extra
    from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - an extra
        TraceContextTextMapPropagator,
    )

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent}, Context())
