"""The health listener: it answers on an event loop of its own, in a thread of its own.

Probes and scrapes are answered while the traffic holds up the loop that carries it. What they ask
for is looked up there. If that takes too long, the answer is what the last look has found.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

import uvloop

from ...admin.server import AdminServer
from ...telemetry.metrics import table
from ...telemetry.metrics.samples import Check, Samples
from ..policy import JOIN_SECONDS, LOOK_SECONDS, WORKERS_SECONDS
from .service_view import ServiceView

_Found = TypeVar("_Found")


class Latest(Generic[_Found]):
    """What a look on another loop finds: now, or, if it takes too long, what the last one found."""

    def __init__(
        self,
        look: Callable[[], Awaitable[_Found]],
        loop: asyncio.AbstractEventLoop,
        found: _Found,
    ) -> None:
        """`look` runs on `loop`; `found` is the result of the first look."""
        self._look = look
        self._loop = loop
        self._found = found
        self._looking: Future[None] | None = None

    async def get(self) -> _Found:
        """Return the result; raise what the look raises."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.run_coroutine_threadsafe(self._refresh(), self._loop)
        looking = asyncio.wrap_future(self._looking)
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await asyncio.shield(looking)
        except TimeoutError:
            looking.add_done_callback(_retrieved)
        return self._found

    async def _refresh(self) -> None:
        self._found = await self._look()


def _retrieved(looking: asyncio.Future[None]) -> None:
    """Take note of an error that nobody waits for any more: the next look will meet it again."""
    if not looking.cancelled():
        looking.exception()


class HealthView:
    """The service as the health listener sees it."""

    def __init__(
        self,
        view: ServiceView,
        loop: asyncio.AbstractEventLoop,
        checks: tuple[Check, ...],
        samples: Samples,
    ) -> None:
        """`view` is that of the traffic's `loop`; `checks` and `samples` are the first ones."""
        self._view = view
        self._checks = Latest(lambda: view.checks(WORKERS_SECONDS), loop, checks)
        self._samples = Latest(lambda: view.samples(WORKERS_SECONDS), loop, samples)

    def stalled(self) -> float:
        """Return for how many seconds the traffic has shown no sign of life, 0 while it does."""
        return self._view.stalled()

    async def checks(self) -> tuple[Check, ...]:
        """Return the readiness checks. A loop that is only late changes none of them."""
        checks = await self._checks.get()
        if silent := self.stalled():
            return (*checks, Check("heartbeat", ok=False, detail=f"none for {silent:.0f} s"))
        return checks

    async def samples(self) -> Samples:
        """Return the samples of all metrics."""
        samples = Samples()
        samples.merge(await self._samples.get())
        samples.add(table.HEARTBEAT_AGE, self._view.silent())
        if self.stalled():
            # What the last look has found does not count any more.
            samples.add(table.READY, -samples.value(table.READY))
        return samples


class HealthThread:
    """Runs the health listener."""

    def __init__(self, make: Callable[[], AdminServer], sockets: Sequence[socket.socket]) -> None:
        """`make` is called in the thread. `sockets` listen already and remain the caller's."""
        self._make = make
        self._sockets = sockets
        self._started: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    async def start(self) -> None:
        """Return once it serves; raise what prevents it."""
        self._handler = asyncio.get_running_loop().get_exception_handler()
        self._thread.start()
        await asyncio.wrap_future(self._started)

    async def close(self) -> None:
        """Finish the requests in progress and stop."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            await asyncio.to_thread(self._thread.join, JOIN_SECONDS)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().set_exception_handler(self._handler)
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = self._make()
        try:
            await server.start(self._sockets)
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            self._started.set_exception(error)
            return
        self._loop = asyncio.get_running_loop()
        self._started.set_result(None)
        await self._stop.wait()
        await server.close()
