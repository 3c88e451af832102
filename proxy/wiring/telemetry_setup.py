"""Setup of tracing from the environment, and of log sampling from the rules."""

from __future__ import annotations

from collections.abc import Mapping

from ..config.settings import Address, RuleLog, Settings, TcpAddress
from ..telemetry.logs import code_location
from ..telemetry.logs.access_line import Sampling
from ..telemetry.logs.logger import Logs
from ..telemetry.reporter import CountingReporter, Reporter
from ..telemetry.traces import End, Traces, wanted


def begin(environ: Mapping[str, str], reporter: Reporter) -> Traces | None:
    """Return the tracer, None where tracing is not configured or not available.

    A failure is reported and never stops the traffic: spans matter less than messages.
    """
    if not wanted(environ):
        return None
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
    scheme = "https" if secure else "http"
    if isinstance(address, TcpAddress):
        return End(scheme, address.host, address.port)
    return End(scheme, str(address.path), None)


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
