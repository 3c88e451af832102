"""`sealyard injector`: the webhook that adds the sidecar to pods."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import click

from ... import __version__
from ...config.settings import ListenerTls, TcpAddress
from ...config.values import files_in
from ...core.errors import UnfitEnvironment
from ...injector.certificate_keeper import CertificateKeeper, CertificatePlaces
from ...injector.owner_events import OwnerEvents
from ...injector.webhook import Webhook
from ...process.hardening import harden
from ...process.kubernetes_api import in_cluster
from ...telemetry.logs import library_logs
from ...telemetry.logs.logger import Logs, to_stderr
from ...telemetry.logs.processors import Format
from ...traffic.downstream import sockets
from ...traffic.downstream.sockets import Sockets
from ...traffic.tls import listener_context
from ...wiring.reload.config_files import Watch
from ..policy import INJECTOR_GRACE_SECONDS
from ..support import run_until_stopped
from ..support.console import FILE
from ..support.run_until_stopped import Signals
from ..support.service_account import account_option
from .inject import injector_options, settings_of

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""A name of an object (RFC 1123); it becomes part of a path."""
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


class _NamespacedType(click.ParamType[tuple[str, str]]):
    """The namespace and the name of an object of the cluster."""

    name = "object"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:  # noqa: ANN401 - click's own
        """Return both."""
        namespace, slash, name = str(value).partition("/")
        if not slash or not all(map(_NAME.fullmatch, (namespace, name))):
            self.fail(f"{value} is not NAMESPACE/NAME", param, ctx)
        return namespace, name


_NAMESPACED: Final = _NamespacedType()


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
    type=FILE,
    metavar="FILE",
    help="The certificate, with its intermediate certificates.",
)
@click.option(
    "--key",
    type=FILE,
    metavar="FILE",
    help="The private key of the certificate; unless given, it is in the file of the certificate.",
)
@click.option(
    "--certificate-secret",
    "secret",
    type=_NAMESPACED,
    metavar="NAMESPACE/NAME",
    help="Make and renew the certificate: keep it in this Secret, and write it to --cert.",
)
@click.option(
    "--webhook-configuration",
    "webhook",
    metavar="NAME",
    help="The MutatingWebhookConfiguration that gets the authority of that certificate.",
)
@account_option
@click.option(
    "--exceptions",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="More of --allow: a file for each namespace, which lists permissions; read each time.",
)
@click.option(
    "--events",
    is_flag=True,
    help="Write Events `Injected` and `Denied` on the owners of pods, such as their ReplicaSet.",
)
@run_until_stopped.log_format_option
@run_until_stopped.log_processor_option
@injector_options
def injector(  # noqa: PLR0913 - one for each option
    *,
    listen: TcpAddress,
    cert: Path,
    key: Path | None,
    secret: tuple[str, str] | None,
    webhook: str | None,
    account: Path,
    exceptions: Path | None,
    events: bool,
    log_format: Format,
    log_processors: tuple[run_until_stopped.LogProcessor, ...],
    **given: Any,  # noqa: ANN401 - options by name
) -> None:
    """Run the webhook that adds the sidecar to pods as they are created.

    \b
    sealyard injector --image registry.example/sealyard:1.0 --cert tls.crt --key tls.key
    SEALYARD_IMAGE=... sealyard injector --cert tls.crt --key tls.key --interception port-env

    The chart in helm/sealyard runs it. It reloads a changed certificate. If the new one cannot be
    used, it says so in the log and keeps the old one. With --certificate-secret it makes and renews
    the certificate itself, which needs a service account that may read and write that Secret.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    settings = settings_of(given)
    if (secret is None) != (webhook is None) or (secret and key):
        raise click.UsageError(
            "--certificate-secret and --webhook-configuration go together, and without --key"
        )
    if webhook is not None and not _NAME.fullmatch(webhook):
        raise click.UsageError(f"--webhook-configuration: {webhook} is not a name")
    logs = to_stderr(log_format, processors=dict(log_processors))
    logs.report("process.hardened", **harden().fields())
    library_logs.route(logs)
    places = CertificatePlaces(*secret, webhook, cert) if secret and webhook else None
    api = in_cluster(os.environ, account) if places or events else None
    keeper = CertificateKeeper(api, places, logs) if api and places else None
    teller = OwnerEvents(api, logs, socket.gethostname()) if api and events else None
    run_until_stopped.run(
        logs,
        _run(
            listen,
            ListenerTls(cert, key or cert),
            Webhook(settings, logs, exceptions, teller),
            logs,
            keeper,
        ),
    )


async def _run(
    listen: TcpAddress,
    tls: ListenerTls,
    webhook: Webhook,
    logs: Logs,
    keeper: CertificateKeeper | None,
) -> None:
    signals = Signals(asyncio.get_running_loop())
    if keeper is not None and not await _or_stopped(keeper.first(), signals):
        return
    # The files as they are before they are read: a change in between is read again.
    watch = Watch(lambda: files_in(tls), lambda: _renew(webhook, opened, tls, logs))
    context = listener_context(tls)
    opened = await asyncio.to_thread(sockets.open_sockets, listen)
    try:
        await webhook.start(opened, context)
        logs.report("injector.started", version=__version__, address=str(listen))
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(watch.run())]
            tasks = [one for one in (keeper, webhook.events) if one is not None]
            beside += [group.create_task(one.run()) for one in tasks]
            reason = await signals.stop
            for task in beside:
                task.cancel()
        logs.report("server.stopping", signal=reason, grace_s=INJECTOR_GRACE_SECONDS)
    finally:
        await webhook.close()
        sockets.close(opened)


async def _or_stopped(waiting: Coroutine[object, object, None], signals: Signals) -> bool:
    """Return whether `waiting` ended before a signal that requests a stop."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(waiting)
        await asyncio.wait((task, signals.stop), return_when=asyncio.FIRST_COMPLETED)
        done = task.done()
        task.cancel()
    return done


async def _renew(webhook: Webhook, opened: Sockets, tls: ListenerTls, logs: Logs) -> None:
    try:
        context: ssl.SSLContext = await asyncio.to_thread(listener_context, tls)
    except UnfitEnvironment as error:
        logs.report("injector.certificate_changed", renewed=False, reason=error.detail)
        return
    await webhook.renew(opened, context)
    logs.report("injector.certificate_changed", renewed=True)
