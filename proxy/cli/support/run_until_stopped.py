"""What servers share: signals, options of the log, and the event loop."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from ...process.policy import MOST_GRACE_SECONDS
from ...telemetry.logs import code_location, library_logs
from ...telemetry.logs.logger import Logs
from ..policy import LEAVING_SECONDS, RELOAD_SIGNAL, STOP_SIGNALS
from .console import Number


class Signals:
    """The first SIGTERM or SIGINT requests a stop, the second an immediate stop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Handle the signals of this process from now on."""
        self._loop = loop
        self.stop: asyncio.Future[str] = loop.create_future()
        self._hurry = asyncio.Event()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_stop, number.name)

    def on_hangup(self, act: Callable[[], None]) -> None:
        """Call `act` at each SIGHUP until a stop is requested, also for one that waits, blocked."""
        self._loop.add_signal_handler(RELOAD_SIGNAL, self._unless_stopping, act)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {RELOAD_SIGNAL})

    async def sleep(self, seconds: float) -> None:
        """Wait; return early for an immediate stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            return

    async def unless_hurried(
        self, ending: Coroutine[object, object, bool], at_once: Callable[[], Awaitable[None]]
    ) -> bool:
        """Return what `ending` returns; for an immediate stop, cancel it and return False."""
        async with asyncio.TaskGroup() as group:
            end = group.create_task(ending)
            hurry = group.create_task(self._hurry.wait())
            await asyncio.wait((end, hurry), return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            if end.done():
                return end.result()
            end.cancel()
        await at_once()
        return False

    def _on_stop(self, name: str) -> None:
        if self.stop.done():
            self._hurry.set()
        else:
            self.stop.set_result(name)

    def _unless_stopping(self, act: Callable[[], None]) -> None:
        if not self.stop.done():
            act()


if TYPE_CHECKING:
    from structlog.typing import Processor

_T = TypeVar("_T")


class LogProcessor(NamedTuple):
    """A structlog processor of the operator, and the name that it was given as."""

    name: str
    call: Processor


class _LogProcessorType(click.ParamType[LogProcessor]):
    """MODULE:FUNCTION, imported at once."""

    name = "processor"

    def convert(self, value: Any, param: Any, ctx: Any) -> LogProcessor:  # noqa: ANN401 - click's own
        """Return the processor."""
        if isinstance(value, LogProcessor):
            return value
        module, _, function = str(value).partition(":")
        try:
            found = attrgetter(function)(importlib.import_module(module))
        except Exception as error:  # noqa: BLE001 - whatever an import of foreign code raises
            kind = code_location.name(error)
            self.fail(
                f"`{value}` is not a MODULE:FUNCTION that can be imported ({kind})", param, ctx
            )
        if not callable(found):
            self.fail(f"`{value}` is not a function", param, ctx)
        return LogProcessor(str(value), found)


log_processor_option: Final = click.option(
    "--log-processor",
    "log_processors",
    type=_LogProcessorType(),
    multiple=True,
    metavar="MODULE:FUNCTION",
    help="A structlog processor that every event passes before it is written; may be repeated.",
)
log_format_option: Final = click.option(
    "--log-format",
    type=click.Choice(["json", "console", "ecs"]),
    default="json",
    show_default=True,
    help="Log lines on stderr: JSON, JSON in the Elastic Common Schema (ecs), or text (console).",
)
log_level_option: Final = click.option(
    "--log-level",
    type=click.Choice(["info", "debug"]),
    default="info",
    show_default=True,
    help="The lowest level written: at debug, also each message that one step up would refuse.",
)


def seconds_option(name: str, default: float, meaning: str) -> Callable[..., Any]:
    """Return an option for seconds, at most an hour."""
    return click.option(
        name,
        type=Number(0, MOST_GRACE_SECONDS),
        default=default,
        show_default=True,
        metavar="SECONDS",
        help=meaning,
    )


def run(logs: Logs, running: Coroutine[object, object, _T]) -> _T:
    """Run it on an event loop of uvloop; uncaught errors there go to the log."""
    import uvloop  # noqa: PLC0415 - the other commands do without an event loop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(library_logs.asyncio_handler(logs))
        return runner.run(running)


async def leaving(status: Coroutine[object, object, int]) -> int:
    """Return the status of a process that ends with it; it is ended some seconds later at the most.

    Python waits for all threads, and one may hang: it reads from a volume that has gone away.
    """
    found = await status
    ending = threading.Timer(LEAVING_SECONDS, os._exit, (found,))
    ending.daemon = True
    with suppress(RuntimeError):  # at the limit of threads
        ending.start()
    return found
