"""`python -m tools.soak.backend`: a backend that stores what it acknowledges.

Arguments: port, SQLite file, and the canary that all plaintext holds. A message is stored before it
is acknowledged, so that a backend that is killed keeps all that it has acknowledged. A message that
arrives twice, or holds the canary in any form, is noted in the tables `again` and `plain`. SIGUSR1
makes it slow, SIGUSR2 lets it answer before it has read, SIGHUP ends both.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from typing import Final, Literal
from urllib.parse import parse_qs

from aiohttp import WSMsgType, web

from tools.chaos.traces import forms

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS message
    (number INTEGER PRIMARY KEY, room TEXT, kind TEXT, media TEXT, body BLOB);
CREATE TABLE IF NOT EXISTS again (number INTEGER);
CREATE TABLE IF NOT EXISTS plain (number INTEGER, kind TEXT);
"""
_MOST_BYTES: Final = 64 * 1024 * 1024
_EVENT_GAP_SECONDS: Final = 0.02
_LATE_SECONDS: Final = 1.5
EARLY: Final = 507
"""The status of an answer that comes before the request is read; no other answer has it."""


def opened(path: str) -> sqlite3.Connection:
    """Open the store; what it acknowledges survives the end of the process, not of the machine."""
    store = sqlite3.connect(path, isolation_level=None)
    store.execute("PRAGMA journal_mode=WAL")
    store.execute("PRAGMA synchronous=OFF")
    store.executescript(_SCHEMA)
    return store


class Backend:
    """Routes of a message service. `number` names a message; a room is a conversation."""

    def __init__(self, store: sqlite3.Connection, canary: bytes) -> None:
        self._store = store
        self._forms = forms(canary)
        self._how: Literal["usual", "late", "early"] = "usual"

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application(client_max_size=_MOST_BYTES, middlewares=[self.as_told])
        for kind in ("messages", "forms", "files", "streams"):
            app.router.add_post(f"/{kind}/{{room}}/{{number}}", self.take)
        for kind in ("files", "streams"):
            app.router.add_get(f"/{kind}/{{room}}/{{number}}", self.give)
        app.router.add_get("/messages/{room}/{number}", self.give_json)
        app.router.add_get("/lists/{room}", self.give_list)
        app.router.add_get("/events/{room}", self.give_events)
        app.router.add_get("/sockets/{room}", self.talk)
        app.router.add_route("*", "/plain/{path:.*}", self.echo)
        return app

    def be(self, how: Literal["usual", "late", "early"]) -> None:
        """Answer late, or early: with an error, before the body of the request is read."""
        self._how = how

    @web.middleware
    async def as_told(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Handle a request as `be` says."""
        if self._how == "late":
            await asyncio.sleep(_LATE_SECONDS)
        if self._how == "early":
            return web.Response(status=EARLY, headers={"Connection": "close"})
        return await handler(request)

    async def take(self, request: web.Request) -> web.Response:
        """Store a message; answer with it, or with the size of what is no JSON."""
        number, kind = int(request.match_info["number"]), request.path.split("/")[1]
        body = await request.read()
        media = request.headers.get("Content-Type", "")
        self._keep(number, request.match_info["room"], kind, media, body)
        if kind in {"files", "streams"}:
            return web.json_response({"stored": len(body)})
        return web.json_response({"number": number, "content": _content(kind, body)})

    def _keep(self, number: int, room: str, kind: str, media: str, body: bytes) -> None:
        if any(form in body for form in self._forms):
            self._store.execute("INSERT INTO plain VALUES (?, ?)", (number, kind))
        row = (number, room, kind, media, body)
        insert = "INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?, ?)"
        if not self._store.execute(insert, row).rowcount:
            self._store.execute("INSERT INTO again VALUES (?)", (number,))

    def _kept(self, number: int, room: str) -> tuple[str, str, bytes]:
        query = "SELECT kind, media, body FROM message WHERE number = ? AND room = ?"
        found = self._store.execute(query, (number, room)).fetchone()
        if found is None:
            raise web.HTTPNotFound
        kind, media, body = found
        return kind, media, body

    def _as_json(self, number: int, room: str) -> dict[str, object]:
        kind, _, body = self._kept(number, room)
        return {"number": number, "content": _content(kind, body)}

    async def give(self, request: web.Request) -> web.Response:
        """Return a message as it came."""
        number, room = int(request.match_info["number"]), request.match_info["room"]
        _, media, body = self._kept(number, room)
        return web.Response(body=body, headers={"Content-Type": media})

    async def give_json(self, request: web.Request) -> web.Response:
        """Return one message, whatever it came as."""
        number, room = int(request.match_info["number"]), request.match_info["room"]
        return web.json_response(self._as_json(number, room))

    async def give_list(self, request: web.Request) -> web.Response:
        """Return the messages that `numbers` names."""
        room = request.match_info["room"]
        items = [self._as_json(number, room) for number in _numbers(request)]
        return web.json_response({"items": items})

    async def give_events(self, request: web.Request) -> web.StreamResponse:
        """Send the messages that `numbers` names as events, one after the other, and end."""
        room = request.match_info["room"]
        items = [self._as_json(number, room) for number in _numbers(request)]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for item in items:
            await response.write(b"data: " + json.dumps(item).encode() + b"\n\n")
            await asyncio.sleep(_EVENT_GAP_SECONDS)
        return response

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        """Store each message of a WebSocket and send it back."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                body = message.data.encode()
                number = int(json.loads(body)["number"])
                self._keep(number, request.match_info["room"], "sockets", "", body)
                await socket.send_str(message.data)
        return socket

    async def echo(self, request: web.Request) -> web.Response:
        """Return the body, of which nothing is sealed."""
        return web.Response(body=await request.read(), content_type="application/octet-stream")


def _content(kind: str, body: bytes) -> str:
    if kind == "forms":
        return parse_qs(body.decode())["content"][0]
    return str(json.loads(body)["content"])


def _numbers(request: web.Request) -> list[int]:
    return [int(one) for one in request.query["numbers"].split(",")]


def main(port: str, file: str, canary: str) -> None:
    """Serve until ended."""
    made = Backend(opened(file), canary.encode())
    app = made.app()

    async def listen_to_signals(_: web.Application) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, made.be, "late")
        loop.add_signal_handler(signal.SIGUSR2, made.be, "early")
        loop.add_signal_handler(signal.SIGHUP, made.be, "usual")

    app.on_startup.append(listen_to_signals)
    web.run_app(app, host="127.0.0.1", port=int(port), print=None, access_log=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
