"""The start while no root opens the keyring: the process waits, says why, and tries again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import TypeVar

from ..core.errors import RootUnavailable, SealyardError, UnfitEnvironment
from ..telemetry.reporter import Reporter
from .admin.listeners import AdminListeners, Bound, WaitingView
from .policy import ROOT_PAUSE_SECONDS, ROOT_REPORT_SECONDS
from .reload import config_files
from .reload.config_files import Source
from .sidecar.root_lease import pause
from .unlocking import Unlocking

_Result = TypeVar("_Result")


async def until_open(
    source: Source,
    make: Callable[[Source], Coroutine[object, object, _Result]],
    stop: asyncio.Future[str],
    reporter: Reporter,
    environ: Mapping[str, str],
) -> tuple[Source, _Result, Bound] | None:
    """Return what `make` returns once a root opens the keyring; None where `stop` comes first.

    With it come the configuration of that attempt, and what is bound for probes: the caller's now.

    Each attempt reads the configuration anew, so that one that names a wrong key can be mended, or
    one that waits for a key service can have operators hand in shares instead. All the while
    `/livez` is good, and `/readyz?verbose` says why it is not ready. Any other error than
    RootUnavailable is raised: it would not end by waiting.
    """
    view, listeners = WaitingView(), AdminListeners(source.loaded.settings, reporter, environ)
    unlocking = Unlocking(reporter)
    said, said_at = "", 0.0
    try:
        while True:
            making = asyncio.get_running_loop().create_task(make(source))
            try:
                await asyncio.wait((making, stop), return_when=asyncio.FIRST_COMPLETED)
                if not making.done():
                    return None
                made = making.result()
                return source, made, await listeners.hand_over()
            except RootUnavailable as error:
                reason = error.reason
            finally:
                making.cancel()
            if said and (problem := await _follow(unlocking, source)):
                reason = f"{reason}; {problem}"
            view.reason = reason
            if not said:
                await listeners.start_waiting(view)
                await unlocking.start(source.loaded.settings)
            if reason != said or time.monotonic() - said_at > ROOT_REPORT_SECONDS:
                said, said_at = reason, time.monotonic()
                reporter.report("root.unavailable", reason=said, retry_in_s=ROOT_PAUSE_SECONDS)
            await asyncio.wait((stop,), timeout=pause(ROOT_PAUSE_SECONDS))
            if stop.done():
                return None
            source = await asyncio.to_thread(_latest, source, environ)
    finally:
        await listeners.close()
        await unlocking.close()


async def _follow(unlocking: Unlocking, source: Source) -> str:
    """Take shares where the configuration says now; return why that is impossible, if it is."""
    try:
        change = await unlocking.prepare(source)
    except UnfitEnvironment as error:
        return error.detail
    await change.apply()
    return ""


def _latest(source: Source, environ: Mapping[str, str]) -> Source:
    """Return the configuration as its file is now; the known one where that cannot be read.

    A file that is as it was is not read again: that starts a process.
    """
    if source.seen[:1] == config_files.fingerprint((source.loaded.file,)):
        return source
    try:
        return config_files.read(source.loaded.file, environ)
    except SealyardError:
        return source
