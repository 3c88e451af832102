"""The start while no root opens the keyring: the process waits, says why, and tries again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from ..core.errors import ConfigurationError, RootUnavailable
from ..telemetry.reporter import Reporter
from .admin.listeners import AdminListeners
from .admin.waiting import WaitingView
from .reload import config_files
from .reload.config_files import Source
from .sidecar.root_lease import LONGEST_PAUSE, pause

if TYPE_CHECKING:
    from .unlock import UnlockSocket

_Result = TypeVar("_Result")

_REPORT_SECONDS: Final = 60.0
"""How often a reason that stays the same is reported."""


async def until_open(
    source: Source,
    make: Callable[[Source], Awaitable[_Result]],
    stop: asyncio.Future[str],
    reporter: Reporter,
    environ: Mapping[str, str],
) -> tuple[Source, _Result] | None:
    """Return what `make` returns once a root opens the keyring; None where `stop` comes first.

    Each attempt reads the configuration anew, so that one that names a wrong key can be mended. All
    the while `/livez` is good, and `/readyz?verbose` says why it is not ready. Any other error than
    RootUnavailable is raised: it would not end by waiting.
    """
    view, listeners = WaitingView(), AdminListeners(source.loaded.settings, reporter, environ)
    unlocking = _unlocking(source, reporter)
    said, said_at = "", 0.0
    try:
        while True:
            try:
                return source, await make(source)
            except RootUnavailable as error:
                view.reason = error.reason
            if not said:
                await listeners.start_waiting(view)
                if unlocking is not None:
                    await unlocking.start()
            if view.reason != said or time.monotonic() - said_at > _REPORT_SECONDS:
                said, said_at = view.reason, time.monotonic()
                reporter.report("root.unavailable", reason=said, retry_in_s=LONGEST_PAUSE)
            await asyncio.wait((stop,), timeout=pause(LONGEST_PAUSE))
            if stop.done():
                return None
            source = await asyncio.to_thread(_latest, source, environ)
    finally:
        await listeners.close()
        if unlocking is not None:
            await unlocking.close()


def _unlocking(source: Source, reporter: Reporter) -> UnlockSocket | None:
    """Return the socket for shares, if there are any among the roots."""
    if all(one.kind != "shares" for one in source.loaded.settings.keys.roots):
        return None
    from .unlock import unlock_socket  # noqa: PLC0415 - few have shares

    return unlock_socket(source.loaded.settings, reporter)


def _latest(source: Source, environ: Mapping[str, str]) -> Source:
    """Return the configuration as its file is now; the known one where it has errors."""
    try:
        return config_files.read(source.loaded.file, environ)
    except ConfigurationError:
        return source
