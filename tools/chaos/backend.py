"""A backend that holds what it is sent, counts it, and gives the first message back when asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from tests.servers import serving

OLD: Final = "/api/old"
SENT: Final = "/api/messages"
BARE: Final = "/bare"


@dataclass
class Backend:
    """What arrived: how many requests of each conversation, and those that held `canary`.

    Requests of `BARE` are not counted: they come without Sealyard, to show what the machine takes.
    """

    canary: bytes
    port: int = 0
    arrived: Counter[str] = field(default_factory=Counter)
    leaked: int = 0
    first: dict[str, bytes] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it is without Sealyard."""
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.Response:
        """Keep the first message of a conversation; return it, or the one that was just sent."""
        body = await request.read()
        if request.path == BARE:
            return web.Response(body=body, content_type="application/json")
        if self.canary in body:
            self.leaked += 1
        conversation = str(json.loads(body)["conversationId"])
        self.arrived[conversation] += 1
        if request.path == OLD:
            body = self.first[conversation]
        else:
            self.first.setdefault(conversation, body)
        return web.Response(body=body, content_type="application/json")


@asynccontextmanager
async def backend(canary: bytes) -> AsyncIterator[Backend]:
    """Run a backend on 127.0.0.1."""
    made = Backend(canary)
    app = web.Application()
    app.router.add_post("/{path:.*}", made.answer)
    async with serving(app) as made.port:
        yield made
