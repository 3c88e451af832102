"""`GET /v1/status/follow`: messages as they pass, by shape and size, with the status."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any, Final

from aiohttp.web_request import Request
from aiohttp.web_response import StreamResponse

from .. import problem
from ..operation import Endpoint, Operation, Parameter, Success
from ..policy import MOST_STREAMS, SILENT_LOOKS, STATUS_LOOKS, STREAM_AFTER, STREAM_LOOK_SECONDS
from ..service import AdminService

LINE_TYPE = "application/x-ndjson"


class EventLines(StreamResponse):
    """Sends what `events` yields as NDJSON, an empty line for None.

    It starts once the handler has returned, as aiohttp sends any response, so the middleware has
    recorded the call before the first byte of the response.
    """

    def __init__(self, events: AsyncGenerator[Mapping[str, Any] | None]) -> None:
        super().__init__(headers={"Content-Type": LINE_TYPE})
        self._events = events

    async def write_eof(self, data: bytes = b"") -> None:
        """Send all lines, then end."""
        if self._eof_sent:
            return
        async with aclosing(self._events) as events:  # also where the caller has gone
            async for event in events:
                await self.write(b"\n" if event is None else json.dumps(event).encode() + b"\n")
        await super().write_eof(data)


FOLLOW: Final = Operation(
    "follow",
    "GET",
    "/v1/status/follow",
    "read",
    "Stream messages as they pass, by kind and size, never by value, until the caller closes it.",
    (
        Success(
            "NDJSON. A line has `messages` or, on request, `status`; empty lines keep it alive.",
            {"type": "string"},
            media_type=LINE_TYPE,
        ),
    ),
    parameters=(
        Parameter(
            "status",
            "query",
            "Also send the status, as `/v1/status` returns it, every two seconds.",
            {"type": "string"},
            required=False,
        ),
    ),
)


class FollowRoutes:
    """Streams to viewers."""

    def __init__(self, service: AdminService) -> None:
        self._service = service
        self._streams = 0
        self._closed = asyncio.Event()

    def all(self) -> list[Endpoint]:
        """Return the endpoint."""
        return [Endpoint(FOLLOW, self._follow)]

    def close(self) -> None:
        """End every stream: a shutdown does not wait for viewers."""
        self._closed.set()

    async def _follow(self, request: Request) -> StreamResponse:
        if self._streams >= MOST_STREAMS or self._closed.is_set():
            return problem.answer(problem.TOO_MANY, headers={"Retry-After": STREAM_AFTER})
        return EventLines(self._events(with_status="status" in request.query))

    async def _events(self, *, with_status: bool) -> AsyncGenerator[Mapping[str, Any] | None]:
        self._streams += 1
        try:
            viewer, looks, silent = self._service.viewer(), 0, 0
            while not self._closed.is_set():
                if with_status and looks % STATUS_LOOKS == 0:
                    yield {"status": await self._service.status()}
                seen = await viewer.more()
                if looks == 0 or seen["messages"] or seen["missed"]:
                    yield seen
                    silent = 0
                elif silent >= SILENT_LOOKS:
                    yield None  # detects a caller that has gone
                    silent = 0
                looks, silent = looks + 1, silent + 1
                await self._pause()
        finally:
            self._streams -= 1

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(STREAM_LOOK_SECONDS):
                await self._closed.wait()
