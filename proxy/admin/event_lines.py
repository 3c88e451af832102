"""A response that goes on: one line of JSON after the other, for as long as the caller listens."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from aiohttp import web

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
