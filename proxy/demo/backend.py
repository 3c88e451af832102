"""A small chat backend without encryption, which writes what it receives to a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web


@dataclass(slots=True)
class ChatBackend:
    """Keeps messages in `file`, as a database would. Owns its server."""

    file: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to serve on a port that the system chooses."""
        app = web.Application()
        app.router.add_post("/api/messages", self._send)
        app.router.add_get("/api/conversations/{id}/messages", self._list)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])
        self.save()

    async def stop(self) -> None:
        """End the server; the file stays."""
        if self._runner is not None:
            await self._runner.cleanup()

    def save(self) -> None:
        """Write all rows to the file."""
        self.file.write_text(json.dumps(self.rows, indent=2))

    async def _send(self, request: web.Request) -> web.Response:
        message = await request.json()
        row = {
            "id": len(self.rows) + 1,
            "conversationId": message["conversationId"],
            "from": message.get("from", "unknown"),
            "content": message["content"],
        }
        self.rows.append(row)
        self.save()
        return web.json_response(row, status=201)

    async def _list(self, request: web.Request) -> web.Response:
        wanted = request.match_info["id"]
        found = [row for row in self.rows if row["conversationId"] == wanted]
        return web.json_response({"messages": found})
