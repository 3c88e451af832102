"""The start while no root opens the keyring: the process waits, says why, and tries again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from ..core.errors import ConfigurationError, RootUnavailable
from ..telemetry.reporter import Reporter
from .admin.listeners import AdminListeners
from .admin.waiting import WaitingView
from .reload import config_files
from .reload.config_files import Source
from .sidecar.root_lease import LONGEST_PAUSE, pause
from .unlocking import Unlocking

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
    unlocking = Unlocking(reporter)
    said, said_at = "", 0.0
    try:
        while True:
            try:
                return source, await make(source)
            except RootUnavailable as error:
                view.reason = error.reason
            if not said:
                await listeners.start_waiting(view)
                await unlocking.start(source.loaded.settings)
            if view.reason != said or time.monotonic() - said_at > _REPORT_SECONDS:
                said, said_at = view.reason, time.monotonic()
                reporter.report("root.unavailable", reason=said, retry_in_s=LONGEST_PAUSE)
            await asyncio.wait((stop,), timeout=pause(LONGEST_PAUSE))
            if stop.done():
                return None
            source = await asyncio.to_thread(_latest, source, environ)
    finally:
        await listeners.close()
        await unlocking.close()


def _latest(source: Source, environ: Mapping[str, str]) -> Source:
    """Return the configuration as its file is now; the known one where it has errors."""
    try:
        return config_files.read(source.loaded.file, environ)
    except ConfigurationError:
        return source
