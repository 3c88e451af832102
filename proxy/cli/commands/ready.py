"""`sealyard ready`: wait until a Sealyard that starts accepts traffic, or tell why it does not."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from pathlib import Path
from typing import Final

import click

from ...process import run_time
from ..policy import MOST_READY_SECONDS, READY_ANSWER_SECONDS, READY_PAUSE_SECONDS, ExitCode
from ..support import console
from ..support.admin_client import AdminListener, ca_option, token_file_option
from ..support.configuration import config_option

_ZOMBIE: Final = "Z"
_FAILED: Final = "[-] "
"""How `/readyz` begins the line of a check that fails."""


@click.command()
@config_option
@click.option(
    "--timeout",
    type=console.Number(0, MOST_READY_SECONDS),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait.",
)
@click.option(
    "--pid",
    type=console.COUNT,
    help="The process that starts: once it has ended, waiting ends too.",
)
@token_file_option
@ca_option
def ready(
    config: Path | None,
    timeout: float,
    pid: int | None,
    token_file: Path | None,
    ca: Path | None,
) -> None:
    """Wait until a Sealyard that starts is ready, as `/readyz` of its admin listener says.

    \b
    sealyard ready --pid 4711
    sealyard ready --timeout 60 --config sealyard.yaml

    Exits with 0 once it is ready, and with 1 if it is not within the time, with what is missing.
    """  # noqa: D301 - click's own mark for lines that must not be wrapped
    listener = AdminListener(config, token_file, ca)
    ends = time.monotonic() + timeout
    while True:
        missing = _missing(listener)
        if missing is None:
            return
        if pid is not None and not _runs(pid):
            raise console.Failure(f"not ready: process {pid} has ended; its log says why")
        left = ends - time.monotonic()
        if left <= 0:
            raise console.Failure(
                f"not ready after {timeout:g} s: {missing}; the log of `sealyard serve` says why"
            )
        time.sleep(min(READY_PAUSE_SECONDS, left))


def _missing(listener: AdminListener) -> str | None:
    """Return what keeps it from being ready; None if nothing does.

    Raises Failure where the token is not accepted, which no waiting changes.
    """
    try:
        status, text = asyncio.run(_asked(listener))
    except console.Failure as failure:
        if failure.exit_code != ExitCode.ENVIRONMENT:
            raise
        return f"nothing answers at {listener.address}"
    except TimeoutError:
        return f"{listener.address} accepts connections and does not answer"
    if status == HTTPStatus.OK:
        return None
    failed = [one.removeprefix(_FAILED) for one in text.splitlines() if one.startswith(_FAILED)]
    return ", ".join(failed) or "it does not say why"


async def _asked(listener: AdminListener) -> tuple[int, str]:
    both = (HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE)
    async with (
        asyncio.timeout(READY_ANSWER_SECONDS),
        listener.get("/readyz?verbose", accepted=both) as answer,
    ):
        return answer.status, await answer.text()


def _runs(pid: int) -> bool:
    """Return whether the process is there, and no zombie that its parent has not yet looked at."""
    shown = run_time.of(pid)
    return shown is not None and shown.state != _ZOMBIE
