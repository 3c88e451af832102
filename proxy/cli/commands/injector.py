"""`sealyard injector`: the webhook that adds the sidecar to pods."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import click

from ... import __version__
from ...config.settings import ListenerTls, TcpAddress
from ...core.errors import UnfitEnvironment
from ...injector.annotations import InjectorSettings
from ...injector.webhook import Webhook
from ...process.hardening import harden
from ...telemetry.logs import library_logs
from ...telemetry.logs.logger import Logs, to_stderr
from ...telemetry.logs.processors import Format
from ...traffic.downstream import sockets
from ...traffic.downstream.sockets import Sockets
from ...traffic.tls import listener_context
from ...wiring.reload.config_files import Watch, tls_files
from ..support import run_until_stopped
from ..support.run_until_stopped import Signals
from .inject import injector_options, settings_of

_GRACE_SECONDS = 10.0
_PORTS = 65536


class _AddressType(click.ParamType[TcpAddress]):
    """An address and a port; `*` means every address."""

    name = "address"

    def convert(self, value: Any, param: Any, ctx: Any) -> TcpAddress:  # noqa: ANN401 - click's own
        """Return the address."""
        if isinstance(value, TcpAddress):
            return value
        host, colon, port = str(value).rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) >= _PORTS:
            self.fail(f"{value} is not HOST:PORT", param, ctx)
        return TcpAddress(host.removeprefix("[").removesuffix("]"), int(port))


@click.command()
@click.option(
    "--listen",
    type=_AddressType(),
    default="*:10250",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to listen for the API server; * means every address.",
)
@click.option(
    "--cert",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The certificate, with its intermediate certificates.",
)
@click.option(
    "--key",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The private key of the certificate.",
)
@run_until_stopped.log_format_option
@run_until_stopped.log_processor_option
@injector_options
def injector(
    *,
    listen: TcpAddress,
    cert: Path,
    key: Path,
    log_format: Format,
    log_processors: tuple[run_until_stopped.LogProcessor, ...],
    **given: Any,  # noqa: ANN401 - options by name
) -> None:
    """Run the webhook that adds the sidecar to pods as they are created.

    \b
    sealyard injector --image registry.example/sealyard:1.0 --cert tls.crt --key tls.key
    SEALYARD_IMAGE=... sealyard injector --cert tls.crt --key tls.key --interception port-env

    The chart in helm/sealyard runs it. It reloads a changed certificate. If the new one cannot be
    used, it says so in the log and keeps the old one.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    settings = settings_of(given)
    logs = to_stderr(log_format, processors=dict(log_processors))
    logs.report("process.hardened", **harden().fields())
    library_logs.route(logs)
    run_until_stopped.run(logs, _run(listen, ListenerTls(cert, key), settings, logs))


async def _run(
    listen: TcpAddress, tls: ListenerTls, settings: InjectorSettings, logs: Logs
) -> None:
    signals = Signals(asyncio.get_running_loop())
    # The files as they are before they are read: a change in between is read again.
    watch = Watch(lambda: tls_files(tls), lambda: _renew(webhook, opened, tls, logs))
    context = listener_context(tls)
    webhook = Webhook(settings, logs)
    opened = await asyncio.to_thread(sockets.open_sockets, listen)
    try:
        await webhook.start(opened, context)
        logs.report("injector.started", version=__version__, address=str(listen))
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            reason = await signals.stop
            watching.cancel()
        logs.report("server.stopping", signal=reason, grace_s=_GRACE_SECONDS)
    finally:
        await webhook.close()
        sockets.close(opened)


async def _renew(webhook: Webhook, opened: Sockets, tls: ListenerTls, logs: Logs) -> None:
    try:
        context: ssl.SSLContext = await asyncio.to_thread(listener_context, tls)
    except UnfitEnvironment as error:
        logs.report("injector.certificate_changed", renewed=False, reason=error.detail)
        return
    await webhook.renew(opened, context)
    logs.report("injector.certificate_changed", renewed=True)
