"""`GET /v1/tap`: the messages as they pass, by shape and size, and the status beside them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

from aiohttp import web

from .. import problem
from ..operation import Answered, Endpoint, Operation, Parameter
from ..service import AdminService

LINE_TYPE = "application/x-ndjson"


class EventLines(web.StreamResponse):
    """Sends what `events` yields, an empty line for None.

    It begins after the handler has returned, as aiohttp sends any response: so whoever stands
    around the handlers has seen the call before the first byte of its answer.
    """

    def __init__(self, events: AsyncGenerator[Mapping[str, Any] | None]) -> None:
        super().__init__(headers={"Content-Type": LINE_TYPE})
        self._events = events

    async def write_eof(self, data: bytes = b"") -> None:
        """Send all lines, then end."""
        if self._eof_sent:
            return
        async with aclosing(self._events) as events:  # also where the caller is gone
            async for event in events:
                await self.write(b"\n" if event is None else json.dumps(event).encode() + b"\n")
        await super().write_eof(data)


_LOOK_SECONDS: Final = 0.5
_STATUS_LOOKS: Final = 4
"""The status is sent with every fourth look."""
_SILENT_LOOKS: Final = 10
_MOST_STREAMS: Final = 8

TAP: Final = Operation(
    "tap",
    "GET",
    "/v1/tap",
    "read",
    "Messages as they pass, by kind and size and never by value, until the caller goes away.",
    (
        Answered(
            "Lines of JSON, each with `messages` or, where it is asked for, `status`.",
            {"type": "string"},
            media_type=LINE_TYPE,
        ),
    ),
    parameters=(
        Parameter(
            "status",
            "query",
            "Send what `/v1/status` answers every two seconds as well.",
            {"type": "string"},
            required=False,
        ),
    ),
)


class TapRoutes:
    """Streams to those who look on. `seconds` is the time between two looks."""

    def __init__(self, subject: AdminService, *, seconds: float = _LOOK_SECONDS) -> None:
        self._subject = subject
        self._seconds = seconds
        self._streams = 0
        self._closed = asyncio.Event()

    def all(self) -> list[Endpoint]:
        """Return what there is."""
        return [Endpoint(TAP, self._tap)]

    def close(self) -> None:
        """End every stream: nobody waits for those who look on."""
        self._closed.set()

    async def _tap(self, request: web.Request) -> web.StreamResponse:
        if self._streams >= _MOST_STREAMS or self._closed.is_set():
            return problem.answer(problem.TOO_MANY, headers={"Retry-After": "5"})
        return EventLines(self._events(with_status="status" in request.query))

    async def _events(self, *, with_status: bool) -> AsyncGenerator[Mapping[str, Any] | None]:
        self._streams += 1
        try:
            viewer, looks, silent = self._subject.viewer(), 0, 0
            while not self._closed.is_set():
                if with_status and looks % _STATUS_LOOKS == 0:
                    yield {"status": await self._subject.status()}
                seen = await viewer.more()
                if looks == 0 or seen["messages"] or seen["missed"]:
                    yield seen
                    silent = 0
                elif silent >= _SILENT_LOOKS:
                    yield None  # so that a caller who is gone is noticed
                    silent = 0
                looks, silent = looks + 1, silent + 1
                await self._pause()
        finally:
            self._streams -= 1

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._closed.wait()
        except TimeoutError:
            pass
