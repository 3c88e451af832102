"""The stage of the demo: a backend and a sidecar in front of it, in a temporary folder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from ..config.settings import SecretReference
from ..keys.keyring.file import create_keyring
from ..keys.keyring.keyring import create
from ..keys.keyring.roots import FileRoot, create_root_file
from ..telemetry.logs.logger import DescriptorSink, Logs
from ..telemetry.reporter import CountingReporter
from ..wiring.reload import config_files
from ..wiring.reload.config_files import Source
from ..wiring.sidecar.sidecar import Sidecar, build
from .page import Buttons, StoryTap, status_page
from .screen import Screen


@dataclass(slots=True)
class ChatBackend:
    """Keeps messages in `file`, as a database would. Owns its server.

    `asked` are the texts that were searched for.
    """

    file: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
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
        wanted, text = request.match_info["id"], request.query.get("q", "")
        self.asked += [text] if text else []
        rows = [row for row in self.rows if row["conversationId"] == wanted]
        found = [row for row in rows if text in row["content"]]
        return web.json_response({"messages": found})


_LINE_SECONDS: Final = 1.0
RULES = """\
    defaults:
      tenant: const:clinic
    rules:
      - name: send
        match: POST /api/messages
        conversation: $.conversationId
        request:  {encrypt: $.content, plain: $.from}
        response: {decrypt: $.content}
      - name: list
        match: GET /api/conversations/{id}/messages
        conversation: path:id
        response: {decrypt: $.messages.*.content}
"""

_CONFIGURATION = """\
version: 1
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
    tap: StoryTap

    def begin(self, screen: Screen, title: str, *text: str) -> None:
        """Begin a chapter, on the screen and on the status page."""
        self.tap.chapter = title
        screen.chapter(title, *text)

    async def send(self, conversation: str, content: str, *, by: str = "ada") -> DemoAnswer:
        """Send a message as any client would."""
        message = {"conversationId": conversation, "from": by, "content": content}
        return await self.post(json.dumps(message, ensure_ascii=False).encode())

    async def post(self, body: bytes) -> DemoAnswer:
        """Post a body to the chat."""
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.port}/api/messages"
        lines = self.tap.lines
        async with self.client.post(url, data=body, headers=headers) as response:
            return await self._answer(response, lines)

    async def read(self, conversation: str, *, token: str = "", **query: str) -> DemoAnswer:
        """Read a conversation as any client would, with a bearer token if there is one."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"http://127.0.0.1:{self.port}/api/conversations/{conversation}/messages"
        lines = self.tap.lines
        async with self.client.get(url, params=query, headers=headers) as response:
            return await self._answer(response, lines)

    async def _answer(self, response: aiohttp.ClientResponse, lines: int) -> DemoAnswer:
        """Return an answer, once the tap has more lines: they are written behind answers."""
        body = await response.read()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINE_SECONDS):
                while self.tap.lines == lines:  # noqa: ASYNC110 - the tap has no event to wait for
                    await asyncio.sleep(0.005)
        return DemoAnswer(response.status, body, response.headers.get("Sealyard-Error"))

    async def places(self) -> dict[str, bytes]:
        """Return everything that an outsider could obtain."""
        records = await self.sidecar.keys.store.dump()
        return {
            "the backend's data": await asyncio.to_thread(self.backend.file.read_bytes),
            "the log": await asyncio.to_thread(self.log.read_bytes),
            "the store": b"\n".join(name.encode() + b" " + one for name, one in records.items()),
        }


@asynccontextmanager
async def stage(
    folder: Path, *, rules: str = RULES, buttons: Callable[[Stage], Buttons] | None = None
) -> AsyncIterator[Stage]:
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
        tap = StoryTap()
        tally = CountingReporter(Logs(DescriptorSink(descriptor)), tap)
        sidecar = await build(read.loaded, tally, environ=os.environ)
        await sidecar.start()
        stack.push_async_callback(sidecar.drain, 2.0)
        client = await stack.enter_async_context(aiohttp.ClientSession())
        scene = Stage(folder, backend, sidecar, log, port, 0, client, tap)
        made = None if buttons is None else buttons(scene)
        page = await stack.enter_async_context(status_page(sidecar, read, tally, made))
        yield replace(scene, page=page)


def _configuration(folder: Path, port: int, upstream: int, rules: str) -> Source:
    path = folder / "sealyard.yaml"
    path.write_text(_CONFIGURATION.format(port=port, upstream=upstream, rules=rules))
    return config_files.read(path, os.environ)


def _make_keys(folder: Path) -> None:
    folder.mkdir(parents=True)
    root_file = folder / "root.key"
    create_root_file(root_file, random=os.urandom)
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    keyring = keyring.rotate_index(now=int(time.time()), random=os.urandom)
    create_keyring(folder / "keyring.jwe", keyring, FileRoot(SecretReference(file=root_file)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
