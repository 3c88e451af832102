"""The stage of the demo: a backend and a sidecar in front of it, in a temporary folder."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from .. import wiring
from ..admin.auth.guard import Guard
from ..admin.routes.page import page
from ..admin.routes.table import Routes
from ..admin.routes.tap import TapRoutes
from ..admin.server import AdminServer
from ..config.settings import SecretReference, TcpAddress
from ..keys.keyring.file import create_keyring
from ..keys.keyring.keyring import create
from ..keys.keyring.roots import FileRoot, create_root_file
from ..telemetry.logs.logger import DescriptorSink, Logs
from ..telemetry.reporter import CountingReporter, Reporter
from ..telemetry.tap import Tap
from ..traffic.downstream import sockets
from ..wiring import Sidecar
from ..wiring.admin.service_view import ServiceView
from ..wiring.reload import config_files
from ..wiring.reload.config_files import Source
from ..wiring.reload.reload import Reloader


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


_READ_ONLY: Final = frozenset({"/v1/status", "/v1/ladder", "/v1/explain"})


@asynccontextmanager
async def status_page(sidecar: Sidecar, read: Source, reporter: Reporter) -> AsyncIterator[int]:
    """Serve the page for a sidecar and yield its port; it ends with the block.

    Nothing can be changed here: only what reads is served.
    """
    reloader = Reloader(read, (), reporter, environ=os.environ, clock=time.time)
    subject = ServiceView(sidecar, reloader, lambda: reloader.reload("admin"), reporter)
    tap = TapRoutes(subject)
    routes = [one for one in Routes(subject).admin() if one.operation.path in _READ_ONLY]
    listen = TcpAddress("127.0.0.1", 0)
    served = [one.route() for one in (*routes, *tap.all(), *page())]
    server = AdminServer(Guard("admin", listen, reporter, gate=None), served)
    opened = sockets.open_sockets(listen)
    try:
        await server.start(opened)
        yield sockets.port_of(opened)
    finally:
        tap.close()
        await server.close()
        sockets.close(opened)


RULES = """\
    defaults:
      tenant: const:clinic
    rules:
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        request:  {encrypt: $.content}
        response: {decrypt: $.content}
      - name: list
        match: GET /api/conversations/{id}/messages
        conversation: path:id
        response: {decrypt: $.messages.*.content}
"""

_CONFIGURATION = """\
version: 2
keys:
  keyring: {{file: keyring.jwe, key: {{file: root.key}}}}
  store: memory
  sessions: {{mode: durable, ttl: 1h, grace: 1h, accept_loss: true}}
listeners:
  - name: chat
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: pass
{rules}"""


@dataclass(frozen=True, slots=True)
class DemoAnswer:
    """What a client got."""

    status: int
    body: bytes
    code: str | None

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the JSON holds
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Stage:
    """A backend with a sidecar in front of it, and a client of the sidecar."""

    folder: Path
    backend: ChatBackend
    sidecar: Sidecar
    log: Path
    port: int
    page: int
    client: aiohttp.ClientSession

    async def send(self, conversation: str, content: str, *, by: str = "ada") -> DemoAnswer:
        """Send a message as any client would."""
        message = {"conversationId": conversation, "from": by, "content": content}
        return await self.post(json.dumps(message, ensure_ascii=False).encode())

    async def post(self, body: bytes) -> DemoAnswer:
        """Post a body to the chat."""
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.port}/api/messages"
        async with self.client.post(url, data=body, headers=headers) as response:
            return await _answer(response)

    async def read(self, conversation: str, **query: str) -> DemoAnswer:
        """Read a conversation as any client would."""
        url = f"http://127.0.0.1:{self.port}/api/conversations/{conversation}/messages"
        async with self.client.get(url, params=query) as response:
            return await _answer(response)

    async def places(self) -> dict[str, bytes]:
        """Return everything that an outsider could obtain."""
        records = await self.sidecar.keys.store.dump()
        return {
            "the backend's data": await asyncio.to_thread(self.backend.file.read_bytes),
            "the log": await asyncio.to_thread(self.log.read_bytes),
            "the store": b"\n".join(name.encode() + b" " + one for name, one in records.items()),
        }


@asynccontextmanager
async def stage(folder: Path, *, rules: str = RULES) -> AsyncIterator[Stage]:
    """Set up backend and sidecar in `folder`; end them with the block."""
    _make_keys(folder)
    async with AsyncExitStack() as stack:
        backend = ChatBackend(folder / "backend.json")
        await backend.start()
        stack.push_async_callback(backend.stop)
        port = _free_port()
        read = _configuration(folder, port, backend.port, rules)
        log = folder / "sealyard.log"
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        stack.callback(os.close, descriptor)
        # The chat is fictitious: only here does the status page show values.
        tally = CountingReporter(Logs(DescriptorSink(descriptor)), Tap(time.time, values=True))
        sidecar = await wiring.build(read.loaded, tally, environ=os.environ)
        await sidecar.start()
        stack.push_async_callback(sidecar.drain, 2.0)
        page = await stack.enter_async_context(status_page(sidecar, read, tally))
        client = await stack.enter_async_context(aiohttp.ClientSession())
        yield Stage(folder, backend, sidecar, log, port, page, client)


def _configuration(folder: Path, port: int, upstream: int, rules: str) -> Source:
    path = folder / "sealyard.yaml"
    path.write_text(_CONFIGURATION.format(port=port, upstream=upstream, rules=rules))
    return config_files.read(path, os.environ)


def _make_keys(folder: Path) -> None:
    folder.mkdir(parents=True)
    root_file = folder / "root.key"
    create_root_file(root_file, random=os.urandom)
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    create_keyring(folder / "keyring.jwe", keyring, FileRoot(SecretReference(file=root_file)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _answer(response: aiohttp.ClientResponse) -> DemoAnswer:
    body = await response.read()
    return DemoAnswer(response.status, body, response.headers.get("Sealyard-Error"))
