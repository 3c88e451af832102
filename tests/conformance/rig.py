"""The suite, an echo behind Sealyard and an echo in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.scenarios.rig import ROOT
from tests.servers import serving

MOST_BYTES = 32 * 1024 * 1024
SUITE = Path(os.environ.get("SEALYARD_WEBSOCKET_SUITE", ROOT / ".venv-websocket")) / "bin/python"
CONFIGURATION = """\
version: 1
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
admin: {{listen: "127.0.0.1:0", token: {{file: admin.token}}}}
listeners:
  - name: sockets
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: reject
    limits: {{body: 32MiB}}
    defaults: {{others: pass, tenant: const:t, bind: [tenant]}}
    rules:
      - name: socket
        match: WS /**
        response: {{decrypt: tokens, on_error: keep}}
"""


@contextlib.asynccontextmanager
async def echo(port: int) -> AsyncIterator[None]:
    """Serve a backend that sends back what it gets."""

    async def answer(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=MOST_BYTES)
        await socket.prepare(request)
        await send_back(socket)
        return socket

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with serving(app, port=port, shutdown=0.1):
        yield


async def send_back(socket: web.WebSocketResponse | aiohttp.ClientWebSocketResponse) -> None:
    """Echo until the peer closes."""
    with contextlib.suppress(ConnectionError):
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)


async def suite(*arguments: str) -> dict[str, str]:
    """Run a module of the suite's environment; return how each case behaved.

    It ends with whoever waits for it.
    """
    process = await asyncio.create_subprocess_exec(
        str(SUITE),
        str(Path(__file__).with_name("cases.py")),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=sys.stderr,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    found: dict[str, str] = json.loads(output)
    return found
