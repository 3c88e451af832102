"""The stage of the demo: a backend and a sidecar in front of it, in a temporary folder."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from .. import wiring
from ..config.settings import SecretReference
from ..keys.keyring.file import create_keyring
from ..keys.keyring.keyring import create
from ..keys.keyring.roots import FileRoot, create_root_file
from ..telemetry.logs.logger import DescriptorSink, Logs
from ..telemetry.reporter import Tally
from ..telemetry.tap import Tap
from ..wiring import Sidecar
from ..wiring.reload import config_files
from ..wiring.reload.config_files import Source
from .backend import ChatBackend
from .page import status_page

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
class Answer:
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

    async def send(self, conversation: str, content: str, *, by: str = "ada") -> Answer:
        """Send a message as any client would."""
        message = {"conversationId": conversation, "from": by, "content": content}
        return await self.post(json.dumps(message, ensure_ascii=False).encode())

    async def post(self, body: bytes) -> Answer:
        """Post a body to the chat."""
        headers = {"Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.port}/api/messages"
        async with self.client.post(url, data=body, headers=headers) as response:
            return await _answer(response)

    async def read(self, conversation: str, **query: str) -> Answer:
        """Read a conversation as any client would."""
        url = f"http://127.0.0.1:{self.port}/api/conversations/{conversation}/messages"
        async with self.client.get(url, params=query) as response:
            return await _answer(response)

    async def places(self) -> dict[str, bytes]:
        """Return everything that an outsider could obtain."""
        records = await self.sidecar.store.dump()
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
        tally = Tally(Logs(DescriptorSink(descriptor)), Tap(time.time, values=True))
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


async def _answer(response: aiohttp.ClientResponse) -> Answer:
    body = await response.read()
    return Answer(response.status, body, response.headers.get("Sealyard-Error"))
