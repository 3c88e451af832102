"""Setup of tracing from the environment, and of log sampling from the rules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from ..config.settings import Address, RuleLog, Settings, TcpAddress
from ..telemetry.logs import code_location
from ..telemetry.logs.access_line import Sampling
from ..telemetry.logs.logger import Logs
from ..telemetry.reporter import CountingReporter, Reporter
from ..traffic.exchange.steps import Watches

if TYPE_CHECKING:  # only where traces are wanted: it takes memory
    from ..telemetry.traces import End, Traces

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def wanted(environ: Mapping[str, str]) -> bool:
    """Return whether the environment enables tracing."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() not in {"", "otlp"}:
        return False
    return any(environ.get(name, "").strip() for name in _ENDPOINTS)


def begin(environ: Mapping[str, str], reporter: Reporter) -> Traces | None:
    """Return the tracer, None where tracing is not configured or not available.

    A failure is reported and never stops the traffic: spans matter less than messages.
    """
    if not wanted(environ):
        return None
    from ..telemetry.traces import Traces  # noqa: PLC0415 - see above
    from ..traffic.exchange import message_spans  # noqa: F401, PLC0415 - before the first message

    try:
        traces = Traces(environ)
    except ImportError:
        reporter.report("tracing.unavailable", reason="no-packages")
        return None
    except Exception as error:  # noqa: BLE001 - whatever a variable of the environment led to
        reporter.report("tracing.unavailable", reason=code_location.name(error))
        return None
    reporter.report("tracing.started")
    return traces


def end(address: Address, *, secure: bool) -> End:
    """Return an address as the attributes of spans need it."""
    from ..telemetry.traces import End  # noqa: PLC0415 - where there are traces

    scheme = "https" if secure else "http"
    if isinstance(address, TcpAddress):
        return End(scheme, address.host, address.port)
    return End(scheme, str(address.path), None)


def spans(traces: Traces, server: End, upstream: End) -> Watches:
    """Return what gathers the spans of messages between two ends."""
    from ..traffic.exchange.message_spans import MessageSpans  # noqa: PLC0415 - as above

    return partial(MessageSpans, traces.between(server, upstream))


def follow(reporter: Reporter, settings: Settings) -> None:
    """Apply the log sampling of the rules to the log that `reporter` writes to."""
    logs = reporter.inner if isinstance(reporter, CountingReporter) else reporter
    shares = {
        (listener.name, rule): _share(log)
        for listener in settings.listeners
        for rule, log in listener.log.items()
        if log != RuleLog()
    }
    if isinstance(logs, Logs):
        logs.sampling = Sampling(shares) if shares else None


def _share(log: RuleLog) -> float:
    return 0.0 if log.errors_only else log.sample
