"""`sealyard serve`: run the sidecar until it is told to stop."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
import signal
import time
from pathlib import Path

import click

from .. import __version__, wiring
from ..config.settings import Loaded
from ..process import fitness
from ..process.hardening import harden
from ..telemetry import libraries
from ..telemetry.logs import Format, Logs, to_stderr
from . import base
from .loading import load_configuration


@click.command()
@base.config_option
@click.option(
    "--log-format",
    type=click.Choice(["json", "console"]),
    default="json",
    show_default=True,
    help="How log lines are written to stderr.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0, 3600),
    default=25.0,
    show_default=True,
    metavar="SECONDS",
    help="How long messages under way may take after SIGTERM.",
)
def serve(config: Path | None, log_format: Format, grace: float) -> None:
    """Run the sidecar. SIGTERM and SIGINT end it once all messages under way are answered.

    \b
    sealyard serve --config sealyard.yaml
    SEALYARD_PASSPHRASE=... sealyard serve --log-format console

    Ends with 0 when nothing had to be cut, with 1 when the grace ran out, with 3 when it could not
    start: with a configuration that has mistakes, a keyring that does not open, a place to listen
    that is taken, it never begins.
    """  # noqa: D301 - click's own mark for lines that are not to be wrapped
    began = time.monotonic()
    logs = to_stderr(log_format)
    hardening = harden()
    fitness.require()
    loaded = load_configuration(config)
    libraries.route(logs)  # for good: what is said while the process ends must be clean too
    logs.report(
        "server.started", version=__version__, python=platform.python_version(), pid=os.getpid()
    )
    logs.report("process.hardened", **hardening.fields())
    _report_configuration(logs, loaded, began)
    finished = _run(loaded, logs, grace=grace, began=began)
    raise SystemExit(base.OK if finished else base.NEGATIVE)


def _run(loaded: Loaded, logs: Logs, *, grace: float, began: float) -> bool:
    import uvloop  # noqa: PLC0415 - the other commands do without an event loop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(loaded, logs, grace=grace, began=began))


async def _serve(loaded: Loaded, logs: Logs, *, grace: float, began: float) -> bool:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(libraries.asyncio_handler(logs))
    stop: asyncio.Future[str] = loop.create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop, number.name)
    sidecar = await wiring.build(loaded, logs, environ=os.environ)
    await sidecar.start()
    logs.report("server.ready", listeners=len(loaded.settings.listeners), duration_ms=_since(began))
    reason = await stop
    logs.report("server.stopping", signal=reason, grace_s=grace)
    stopping = time.monotonic()
    finished = await sidecar.drain(grace)
    logs.report("server.stopped", duration_ms=_since(stopping), aborted=not finished)
    return finished


def _stop(stop: asyncio.Future[str], reason: str) -> None:
    if not stop.done():
        stop.set_result(reason)


def _report_configuration(logs: Logs, loaded: Loaded, began: float) -> None:
    logs.report(
        "config.loaded",
        file=str(loaded.file),
        sha256=hashlib.sha256(loaded.file.read_bytes()).hexdigest(),
        listeners=len(loaded.settings.listeners),
        rules=sum(len(one.rules) for one in loaded.settings.listeners),
        duration_ms=_since(began),
    )
    for warning in loaded.warnings:
        place, _, rest = warning.partition(" ")
        path, _, text = rest.partition(" ")
        logs.report("config.warning", file=str(loaded.file), line=place, path=path, warning=text)


def _since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)
