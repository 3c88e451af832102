"""`sealyard up`: from nothing to a Sealyard that serves, in one command."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Final

import click

from ...config.load import load
from ...config.settings import Settings, TcpAddress, UnixAddress
from ..support import console, upstream_probe
from .init import CONFIGURATION, Addresses, write
from .serve import serve

_PAGE_IS_OFF: Final = "off; write `status_page: true, tap: true` into `admin`"


@click.command()
@click.argument(
    "folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), required=False
)
@click.option("--listen", metavar="HOST:PORT", help="As of `sealyard init`.")
@click.option("--upstream", metavar="URL", help="As of `sealyard init`: where your backend is.")
@click.option("--admin", metavar="HOST:PORT", help="As of `sealyard init`.")
@click.pass_context
def up(context: click.Context, /, folder: Path, **addresses: str | None) -> None:
    """Serve what FOLDER says, until Ctrl-C; write it first if it has no configuration.

    \b
    sealyard up --upstream http://127.0.0.1:3000
    sealyard up deploy

    The configuration, a keyring and its root key are written as by `sealyard init --page`, and
    nothing is overwritten. The configuration is checked, and the backend is asked whether it is
    there. Then Sealyard serves, with its log on stderr as text.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    file = folder / CONFIGURATION
    chosen = {name: one for name, one in addresses.items() if one is not None}
    if not file.exists():
        write(folder, Addresses(**chosen), page=True)
    elif chosen:
        told = f"{file} is there: change it there, or leave out --{' and --'.join(chosen)}"
        raise click.UsageError(told)
    settings = load(file, os.environ).settings
    for line in _told(settings, folder):
        click.echo(line)
    context.invoke(serve, config=file, log_format="console")


def _told(settings: Settings, folder: Path) -> list[str]:
    """Return where it listens, whether its backends are there, and where its page is."""
    lines = [""]
    for listener in settings.listeners:
        lines.append(f"{listener.name}  {listener.listen} -> {listener.upstream.address}")
        address = listener.upstream.address
        if isinstance(address, TcpAddress | UnixAddress) and (
            fault := upstream_probe.fault(listener, address)
        ):
            lines.append(f"  the backend: {fault}")
    admin = settings.admin
    if admin is not None:
        lines.append(f"page  {f'http://{admin.listen}/' if admin.status_page else _PAGE_IS_OFF}")
        if admin.status_page and admin.tokens and (token := admin.tokens[0].secret.file):
            lines.append(f"  its token: cat {shlex.quote(str(token))}")
    lines.append(f"rules  {folder / CONFIGURATION}; a change of the file is taken at once")
    return [console.printable(one) for one in (*lines, "Ctrl-C ends it.", "")]
