"""Whether this process sends spans, as the environment asks for it."""

from __future__ import annotations

from collections.abc import Mapping

from ..config.settings import Address, RuleLog, Settings, TcpAddress
from ..telemetry.logs import code_location
from ..telemetry.logs.access_line import Sampling
from ..telemetry.logs.logger import Logs
from ..telemetry.reporter import CountingReporter, Reporter
from ..telemetry.traces import End, Traces, wanted


def begin(environ: Mapping[str, str], reporter: Reporter) -> Traces | None:
    """Return what sends spans, None where nobody asks for them or they cannot be made.

    Messages are worth more than spans: without the packages, they are carried all the same.
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
    """Return one end of a message's way, for its spans."""
    scheme = "https" if secure else "http"
    if isinstance(address, TcpAddress):
        return End(scheme, address.host, address.port)
    return End(scheme, str(address.path), None)


def follow(reporter: Reporter, settings: Settings) -> None:
    """Let the log that `reporter` writes to go by what the rules say."""
    logs = reporter.inner if isinstance(reporter, CountingReporter) else reporter
    shares = {
        (listener.name, rule): _share(said)
        for listener in settings.listeners
        for rule, said in listener.log.items()
        if said != RuleLog()
    }
    if isinstance(logs, Logs):
        logs.sampling = Sampling(shares) if shares else None


def _share(said: RuleLog) -> float:
    return 0.0 if said.errors_only else said.sample
