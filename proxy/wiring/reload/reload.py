"""Reload: a new state of the configuration file takes effect as a whole, or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from ...admin.service import Reloaded
from ...config.declared.section import restarts
from ...config.settings import ListenerSettings, OriginalPort, Settings
from ...core.errors import ConfigurationError, InternalError, RestartNeeded, SealyardError
from ...keys.audit import Trail
from ...telemetry.logs import code_location
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Samples
from ...telemetry.reporter import Reporter
from ..policy import SHOWN_PROBLEMS
from . import config_files
from .config_files import Source

Cause = Literal["start", "signal", "file", "admin", "shares"]
_OF_THE_FILES: Final = {ConfigurationError.code, RestartNeeded.code}


class Prepared(Protocol):
    """A prepared change: everything that can fail has been done."""

    async def apply(self) -> None:
        """Put it in force."""

    async def discard(self) -> None:
        """Close what was made for it."""


class Target(Protocol):
    """A part of the service to which the configuration applies."""

    async def prepare(self, source: Source) -> Prepared:
        """Return the change, with nothing changed yet; raise SealyardError if impossible."""


class Reloader:
    """Reloads one configuration file for all targets, one reload at a time."""

    def __init__(  # noqa: PLR0913 - what the service hands in, each by name
        self,
        source: Source,
        targets: Sequence[Target],
        reporter: Reporter,
        *,
        environ: Mapping[str, str],
        clock: Callable[[], float],
        lessen: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Start with `source` in force.

        `lessen` is awaited where a reload is refused: it takes from the keyring's file what that
        takes away, which is not to wait for what adds rights.
        """
        self.source = source
        self.loaded_at = clock()
        self.last: Reloaded | None = None
        self._targets = tuple(targets)
        self._reporter = reporter
        self._environ = environ
        self._clock = clock
        self._lessen = lessen
        self._counts = {"accepted": 0, "refused": 0}
        self._one_at_a_time = asyncio.Lock()
        self.trail: Trail | None = None
        """The audit log for reloads, if there is one."""

    @property
    def path(self) -> Path:
        """The configuration file."""
        return self.source.loaded.file

    async def reload(self, cause: Cause) -> Reloaded:
        """Load the file again; if it is refused, the configuration in force stays."""
        async with self._one_at_a_time:
            began = time.monotonic()
            try:
                new = await asyncio.to_thread(config_files.read, self.path, self._environ)
                swap_ms = await self._swap(new, cause)
            except Exception as error:  # noqa: BLE001 - whatever it is, the old one stays in force
                outcome = self._refused(deliberate(error))
                self._report_refusal(outcome, cause, ms_since(began))
                if self.trail is not None:
                    self.trail.note("config.refused", cause=cause, reason=outcome.code)
                if self._lessen is not None:
                    await self._lessen()
            else:
                self.source, self.loaded_at = new, self._clock()
                outcome = Reloaded(accepted=True, sha256=new.sha256, swap_ms=swap_ms)
                report_loaded(self._reporter, new, cause, ms_since(began), swap_ms)
            self._counts["accepted" if outcome.accepted else "refused"] += 1
            self.last = outcome
            return outcome

    def count(self, samples: Samples) -> None:
        """Add the samples of reloads."""
        for result, number in self._counts.items():
            samples.add(table.RELOADS, number, labels=(result,))
        samples.add(table.RELOADED_OK, int(self.last is None or self.last.accepted))
        samples.add(table.RELOADED_AT, self.loaded_at)
        samples.add(table.CONFIG, 1, labels=(self.source.sha256,))

    async def _swap(self, new: Source, cause: Cause) -> float:
        """Prepare all targets, then apply all; return how many milliseconds applying took."""
        prepared: list[Prepared] = []
        try:
            for target in self._targets:
                prepared.append(await target.prepare(new))  # noqa: PERF401 - what was prepared must be discarded
            if self.trail is not None:
                await self.trail.write("config.loaded", cause=cause, sha256=new.sha256)
        except BaseException:
            for change in prepared:
                await change.discard()
            raise
        began = time.monotonic()
        for change in prepared:
            await change.apply()
        return round((time.monotonic() - began) * 1000, 3)

    def _refused(self, error: SealyardError) -> Reloaded:
        problems: tuple[str, ...] = (_line(error),)
        closed = problems
        if isinstance(error, ConfigurationError):
            problems, closed = error.problems, error.closed
        return Reloaded(
            accepted=False,
            sha256=self.source.sha256,
            code=error.code,
            problems=problems,
            closed=closed,
        )

    def _report_refusal(self, outcome: Reloaded, cause: Cause, took: float) -> None:
        self._reporter.report(
            "config.refused",
            file=str(self.path),
            cause=cause,
            reason=outcome.code,
            problems=len(outcome.problems),
            duration_ms=took,
        )
        for problem in outcome.closed[:SHOWN_PROBLEMS]:
            self._reporter.report("config.problem", problem=problem)


def may_pass(outcome: Reloaded) -> bool:
    """Whether the same files may be accepted at another time: not they caused the refusal."""
    return not outcome.accepted and outcome.code not in _OF_THE_FILES


def report_loaded(
    reporter: Reporter, new: Source, cause: Cause, took: float, swap_ms: float | None = None
) -> None:
    """Report that a configuration is in force, and its warnings."""
    file = str(new.loaded.file)
    reporter.report(
        "config.loaded",
        file=file,
        sha256=new.sha256,
        listeners=len(new.loaded.settings.listeners),
        rules=new.rules,
        cause=cause,
        duration_ms=took,
        swap_ms=swap_ms,
    )
    for warning in new.loaded.warnings:
        line, _, rest = warning.partition(" ")
        path, _, text = rest.partition(" ")
        reporter.report("config.warning", file=file, line=line, path=path, warning=text)


def deliberate(error: Exception) -> SealyardError:
    """Return the error to show: of an unexpected one, only the name of its class."""
    return error if isinstance(error, SealyardError) else InternalError(code_location.name(error))


def _line(error: SealyardError) -> str:
    """Return one line for an error that is not in the text of the file."""
    parts = [error.title.removesuffix("."), error.reason, error.detail]
    return ": ".join(part for part in parts if part and part != error.code)


def ms_since(began: float) -> float:
    """Return the milliseconds since a time of the monotonic clock."""
    return round((time.monotonic() - began) * 1000, 1)


def require_none(old: Settings, new: Settings, file: str) -> None:
    """Raise RestartNeeded, naming every difference that a reload cannot apply."""
    found = tuple(f"{file}: {one}" for one in _differences(old, new))
    if found:
        raise RestartNeeded(found)


def _differences(old: Settings, new: Settings) -> Iterator[str]:
    yield from _listeners(old, new)
    for path in restarts(old, new):
        yield f"{path}: changed; restart to apply it"


def _listeners(old: Settings, new: Settings) -> Iterator[str]:
    before = {one.name: one for one in old.listeners}
    after = {one.name: one for one in new.listeners}
    for name in before.keys() | after.keys():
        if name not in after:
            yield f"listeners: `{name}` was removed; restart to close it"
            continue
        if name not in before:
            yield f"listeners: `{name}` is new; restart to open it"
            continue
        for path in restarts(before[name], after[name]):
            yield f"listeners: `{name}` has another `{path}`; restart to apply it"
        if _redirected(before[name]) != _redirected(after[name]):
            change = "begins or ceases to forward to `original-port`"
            yield f"listeners: `{name}` {change}; restart to apply it"


def _redirected(listener: ListenerSettings) -> bool:
    return isinstance(listener.upstream.address, OriginalPort)
