"""`sealyard serve`: run the sidecar until a signal stops it."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ... import __version__
from ...config.places import find
from ...core.errors import ConfigurationError, OperatorError
from ...keys.fleet.lineage import Accepted
from ...process import fitness, memory, service_manager
from ...process.hardening import harden
from ...telemetry.logs import library_logs
from ...telemetry.logs.event_keys import Level
from ...telemetry.logs.logger import Logs, to_stderr
from ...telemetry.logs.processors import Format
from ...wiring.admin.service_view import Carrier
from ...wiring.reload import config_files
from ...wiring.reload.config_files import Source
from ...wiring.reload.reload import ms_since, report_loaded
from ...wiring.root_wait import until_open
from ...wiring.service import Service
from ...wiring.sidecar.sidecar import build, counting
from ..policy import MOST_WORKERS, RELOAD_SIGNAL, ExitCode
from ..support import console, run_until_stopped
from ..support.configuration import config_option
from ..support.run_until_stopped import Signals

if TYPE_CHECKING:
    from ...wiring.ipc.worker_process import WorkerCommand


@dataclass(frozen=True, slots=True)
class _Stop:
    """How to stop, and when the process began."""

    delay: float
    grace: float
    began: float


def _accepted(_: click.Context, __: click.Parameter, value: str | None) -> Accepted | None:
    if value is None:
        return None
    found = re.fullmatch(r"([A-Za-z0-9_-]{22}):([0-9]{1,18})", value)
    if found is None:
        raise click.BadParameter(f"`{value}` is not ID:GENERATION; `sealyard keys list` shows both")
    return Accepted(found[1], int(found[2]))


@click.command()
@config_option
@run_until_stopped.log_format_option
@run_until_stopped.log_level_option
@run_until_stopped.log_processor_option
@click.option(
    "--workers",
    type=click.IntRange(1, MOST_WORKERS),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of processes that carry traffic; if several, a supervisor replaces dead ones.",
)
@run_until_stopped.seconds_option(
    "--drain-delay", 0.0, "How long /readyz fails before connections are refused."
)
@run_until_stopped.seconds_option(
    "--grace", 25.0, "How long messages in progress may take after that."
)
@click.option(
    "--accept-older",
    metavar="ID:GENERATION",
    callback=_accepted,
    help="Accept this generation of the keyring, even if the fleet or this process knows a later.",
)
@click.option("--worker-channel", type=int, hidden=True)
@click.option("--worker-secrets", type=int, hidden=True)
def serve(  # noqa: PLR0913 - one parameter for each option
    *,
    config: Path | None,
    log_format: Format,
    log_level: Level,
    log_processors: tuple[run_until_stopped.LogProcessor, ...],
    workers: int,
    drain_delay: float,
    grace: float,
    accept_older: Accepted | None,
    worker_channel: int | None,
    worker_secrets: int | None,
) -> None:
    """Run the sidecar. SIGTERM and SIGINT stop it once all messages in progress have ended.

    \b
    sealyard serve --config sealyard.yaml
    SEALYARD_PASSPHRASE=... sealyard serve --workers 4 --drain-delay 5

    SIGHUP, a call of the admin API or a change of one of its files reloads the configuration. A
    second SIGTERM or SIGINT stops it immediately.

    Exits with 0 if all messages ended in time, with 1 if some were aborted after the grace period,
    and with 3 if it could not start: the configuration has errors, the keyring does not open, or
    an address to listen on is in use.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    began = time.monotonic()
    # It waits until the process has started, which it would end by default.
    signal.pthread_sigmask(signal.SIG_BLOCK, {RELOAD_SIGNAL})
    logs = to_stderr(log_format, level=log_level, processors=dict(log_processors))
    hardening = harden()
    memory.use_one_arena()
    fitness.require()
    if worker_channel is not None:
        from ...wiring.ipc import channel  # noqa: PLC0415 - for workers alone
        from ...wiring.workers.worker import work  # noqa: PLC0415 - as above

        if worker_secrets is not None:
            channel.receive_secrets(worker_secrets)
        library_logs.route(logs)
        run_until_stopped.run(
            logs, work(worker_channel, logs, environ=os.environ, accepted=accept_older)
        )
        return
    read = _read(find(config, os.environ, Path.cwd()))
    library_logs.route(logs)  # for good: the lines of a process that ends must be clean, too
    logs.report(
        "server.started", version=__version__, python=platform.python_version(), pid=os.getpid()
    )
    logs.report("process.hardened", **hardening.fields())
    report_loaded(logs, read, "start", ms_since(began))
    named = tuple(one.name for one in log_processors)
    command = None
    if workers > 1:
        from ...wiring.ipc.worker_process import WorkerCommand  # noqa: PLC0415 - as above

        command = WorkerCommand(log_format, log_level, workers, accept_older, named)
        _warn_of_workers(read, logs)
    serving = _serve(read, logs, command, _Stop(drain_delay, grace, began), accept_older)
    with _pointing_to_doctor(read.loaded.file):
        status = run_until_stopped.run(logs, run_until_stopped.leaving(serving))
    raise SystemExit(status)


@contextmanager
def _pointing_to_doctor(file: Path) -> Iterator[None]:
    """Name the command that tells where the fault of a start is set, and what mends it."""
    try:
        yield
    except ConfigurationError:
        raise
    except OperatorError as error:
        told = f"`{_command('doctor', file)}` says where, and what to do"
        raise console.Failure(
            f"{console.message(error)}\n{told}", console.exit_code(error)
        ) from None


def _command(name: str, file: Path) -> str:
    return f"sealyard {name} --config {shlex.quote(str(file))}"


def _warn_of_workers(read: Source, logs: Logs) -> None:
    from ...config.checks.websockets import warnings_for_workers  # noqa: PLC0415 - several have no use for it

    for listener in read.loaded.settings.listeners:
        for rule, warning in warnings_for_workers(listener.rules):
            path = f"listeners[{listener.name}].rules[{rule}]"
            file = str(read.loaded.file)
            logs.report("config.warning", file=file, line=None, path=path, warning=warning)


def _read(file: Path) -> Source:
    """Return the configuration in the file; raise ConfigurationError with its errors.

    A person at a terminal sees what they quote. In a log it might be a misplaced secret.
    """
    try:
        return config_files.read(file, os.environ)
    except ConfigurationError as error:
        told = error.problems if sys.stderr.isatty() else error.closed
        shows = "shows what is hidden here" if told != error.problems else "checks it again"
        raise ConfigurationError((*told, f"`{_command('validate', file)}` {shows}")) from None


async def _serve(
    read: Source,
    logs: Logs,
    command: WorkerCommand | None,
    stop: _Stop,
    accepted: Accepted | None,
) -> int:
    signals = Signals(asyncio.get_running_loop())

    async def carrier_of(source: Source) -> Carrier:
        return await _carrier(source, logs, command, accepted)

    opened = await until_open(read, carrier_of, signals.stop, logs, os.environ)
    if opened is None:
        return ExitCode.OK
    read, carrier, bound = opened
    service = Service(read, carrier, logs, environ=os.environ, bound=bound)
    await service.start()
    signals.on_hangup(lambda: service.reload_soon("signal"))
    listeners = len(read.loaded.settings.listeners)
    logs.report("server.ready", listeners=listeners, duration_ms=ms_since(stop.began))
    service_manager.notify(service_manager.READY, os.environ)
    reason = await signals.stop
    service_manager.notify(service_manager.STOPPING, os.environ)
    service.announce_drain()
    if stop.delay:
        logs.report("server.draining", signal=reason, delay_s=stop.delay)
        await signals.sleep(stop.delay)
    logs.report("server.stopping", signal=reason, grace_s=stop.grace)
    stopping = time.monotonic()
    finished = await signals.unless_hurried(service.drain(stop.grace), service.close)
    logs.report("server.stopped", duration_ms=ms_since(stopping), aborted=not finished)
    return ExitCode.OK if finished else ExitCode.NEGATIVE


async def _carrier(
    read: Source, logs: Logs, command: WorkerCommand | None, accepted: Accepted | None
) -> Carrier:
    settings = read.loaded.settings
    if command is not None:
        from ...wiring.workers.supervisor import Supervisor  # noqa: PLC0415 - one process needs no supervisor

        supervisor = Supervisor(read, logs, command, environ=os.environ)
        await supervisor.unlock()
        return supervisor
    reporter = counting(settings, logs)
    return await build(read.loaded, reporter, environ=os.environ, accepted=accepted)
