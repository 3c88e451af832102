"""Sidecars of several versions over one store and one keyring, before one backend, under load."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import Any, Final

import aiohttp
from aiohttp import web

from proxy.core.crypto import base64url
from tests.servers import child, free_port, serving
from tests.upgrade.earlier import NOW, Code

CONFIGURATION: Final = """\
version: 1
keys:
  keyring: {{file: {keyring}, key: {{file: root.key}}}}
  store: '{store}'
  sessions: {{mode: {mode}, revocation_max_age: 3s}}
  identities:
    - {{participant: alice}}
    - {{participant: bob}}
admin: {{listen: "127.0.0.1:{admin}", token: {{file: admin.token}}}}
health: {{listen: "127.0.0.1:{health}"}}
audit: {{file: audit-{name}.log}}
fields:
  content: {{form: jwe}}
  note: {{form: short}}
listeners:
  - name: api
    listen: 127.0.0.1:{port}
    upstream: http://127.0.0.1:{upstream}
    unmatched: reject
    defaults: {{tenant: "const:clinic"}}
    rules:
      - name: write
        match: POST /rooms/{{room}}/{{id}}
        conversation: path:room
        request: {{encrypt: [$.content, $.note]}}
      - name: read
        match: GET /rooms/{{room}}/{{id}}
        conversation: path:room
        response: {{decrypt: [$.content, $.note]}}
      - name: write to a pair
        match: POST /pairs/{{a}}/{{b}}/{{id}}
        conversation: ["path:a", "path:b"]
        request: {{encrypt: [$.content, $.note]}}
      - name: read of a pair
        match: GET /pairs/{{a}}/{{b}}/{{id}}
        conversation: ["path:a", "path:b"]
        response: {{decrypt: [$.content, $.note]}}
      - name: upload
        match: POST /files/{{id}}
        conversation: path:id
        request: {{encrypt: body as file}}
      - name: download
        match: GET /files/{{id}}
        conversation: path:id
        response: {{decrypt: body as file}}
      - name: send
        match: POST /private/{{id}}
        conversation: path:id
        sender: jwt:sub
        recipients: $.to.*
        request: {{encrypt: $.content}}
      - name: receive
        match: GET /private/{{id}}
        conversation: path:id
        reader: jwt:sub
        response: {{decrypt: $.content}}
"""
_TRIES: Final = 40
_START_SECONDS: Final = 90.0
"""On a machine that is very busy; a second or two elsewhere."""
TOKEN: Final = "token-of-the-tests-0123456789"


@dataclass
class Sidecar:
    """One place of the fleet: its ports, and the process that runs there now."""

    name: str
    port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    health: int = field(default_factory=free_port)
    keyring: str = "keyring.jwe"
    process: Popen[bytes] | None = None
    logs: list[Path] = field(default_factory=list)
    running: ExitStack = field(default_factory=ExitStack)


@dataclass
class Message:
    """What a client sent and had acknowledged."""

    path: str
    body: bytes
    type: str
    by: str


@dataclass
class Fleet:
    """Sidecars in one folder, which holds keyring, root key and SQLite file."""

    folder: Path
    store: str
    mode: str
    client: aiohttp.ClientSession
    upstream: int = 0
    stored: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    sidecars: list[Sidecar] = field(default_factory=list)
    acknowledged: list[Message] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    canary: str = field(default_factory=lambda: f"canary-{secrets.token_hex(12)}")
    _number: int = 0

    def configure(self, sidecar: Sidecar) -> str:
        """Write the configuration of a place; return the name of its file."""
        file = f"{sidecar.name}.yaml"
        text = CONFIGURATION.format(
            name=sidecar.name,
            keyring=sidecar.keyring,
            store=self.store,
            mode=self.mode,
            port=sidecar.port,
            admin=sidecar.admin,
            health=sidecar.health,
            upstream=self.upstream,
        )
        (self.folder / file).write_text(text)
        return file

    async def run(self, sidecar: Sidecar, code: Code) -> None:
        """Replace what runs at a place by another version; return once that is ready."""
        await self.stop(sidecar)
        file = self.configure(sidecar)
        log = self.folder / f"{sidecar.name}-{len(sidecar.logs)}-{code.name}.log"
        sidecar.logs.append(log)
        running = ExitStack()
        command = code.command("serve", "--config", file)
        sidecar.process = running.enter_context(
            child(command, log, code.environment, cwd=self.folder)
        )
        sidecar.running = running
        await self.ready(sidecar)

    async def stop(self, sidecar: Sidecar) -> None:
        """Let what runs at a place drain and end, as a roll-out does."""
        await asyncio.to_thread(sidecar.running.close)

    async def ready(self, sidecar: Sidecar) -> float:
        """Wait until a place is ready; return how many seconds that took."""
        began = time.monotonic()
        url = f"http://127.0.0.1:{sidecar.health}/readyz"
        while time.monotonic() - began < _START_SECONDS:
            assert sidecar.process is not None
            assert sidecar.process.poll() is None, sidecar.logs[-1].read_text()[-3000:]
            with suppress(aiohttp.ClientError):
                async with self.client.get(url) as response:
                    if response.status == 200:
                        return time.monotonic() - began
            await asyncio.sleep(0.05)
        raise AssertionError(sidecar.logs[-1].read_text()[-3000:])

    async def loaded(self, *behind: Sidecar) -> None:
        """Have all sidecars but those that stay behind take their files again."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for sidecar in self.sidecars:
            if sidecar in behind:
                continue
            url = f"http://127.0.0.1:{sidecar.admin}/-/reload"
            async with self.client.post(url, headers=headers) as response:
                assert response.status == 200, await response.text()

    async def promote(self, kek: str) -> None:
        """Promote a KEK once all processes of this version have reported that they have it."""
        for _ in range(_TRIES):
            with suppress(AssertionError):
                NOW.run(self.folder, "keys", "promote", kek, "--config", "one.yaml")
                return await self.loaded()
            await asyncio.sleep(0.5)
        raise AssertionError(NOW.run(self.folder, "keys", "promote", kek, "--config", "one.yaml"))

    async def verbose(self, sidecar: Sidecar) -> str:
        """Return what a place tells of its checks now; it is ready."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"http://127.0.0.1:{sidecar.admin}/readyz?verbose"
        async with self.client.get(url, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.text()

    async def logged(self, sidecar: Sidecar, event: str) -> dict[str, Any]:
        """Return the first line of an event, once the process that runs now has written it."""
        async with asyncio.timeout(20):
            while True:
                for line in self.lines(sidecar):
                    if line["event"] == event:
                        return line
                await asyncio.sleep(0.1)

    def lines(self, sidecar: Sidecar) -> list[dict[str, Any]]:
        """Return the log of the process that runs now."""
        whole = sidecar.logs[-1].read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in whole if line.startswith("{")]

    def a_message(self) -> Message:
        """Return the next message: mostly to a room, sometimes to a pair, private, or a file."""
        self._number += 1
        number, room = self._number, self._number % 7
        kind = number % 10
        text = f"{self.canary} {number} Grüße 🌍"
        body = {"content": text, "note": text[:80]}
        if kind == 9:
            large = (text.encode() + b" ") * 3000
            return Message(f"/files/f{number}", large, "application/octet-stream", "alice")
        if kind == 8:
            body = {"content": text, "to": ["bob"]}  # type: ignore[dict-item]  # JSON
            return Message(f"/private/p{room}x{number}", _json(body), "application/json", "alice")
        if kind in {6, 7}:
            path = f"/pairs/alice/bob{room}/{number}"
            return Message(path, _json(body), "application/json", "alice")
        return Message(f"/rooms/c{room}/{number}", _json(body), "application/json", "alice")

    async def send(self, sidecar: Sidecar, message: Message) -> bool:
        """Send a message; return whether it was acknowledged."""
        url = f"http://127.0.0.1:{sidecar.port}{message.path}"
        headers = {"Content-Type": message.type, "Authorization": f"Bearer {a_jwt(message.by)}"}
        try:
            async with self.client.post(url, data=message.body, headers=headers) as response:
                told = await response.text()
        except aiohttp.ClientError as error:
            self.refused[type(error).__name__] += 1  # the process is gone, or going
            return False
        if response.status == 200:
            self.acknowledged.append(message)
            return True
        self.refused[f"{response.status} {told[:200]}"] += 1
        return False

    async def opened(self, sidecar: Sidecar, message: Message, reader: str = "bob") -> str:
        """Return an empty text if a message opens as it was sent, else what came instead."""
        url = f"http://127.0.0.1:{sidecar.port}{message.path}"
        headers = {"Authorization": f"Bearer {a_jwt(reader)}"}
        for _ in range(_TRIES):
            async with self.client.get(url, headers=headers) as response:
                body = await response.read()
            if response.status == 200 and body == message.body:
                return ""
            if response.status != 503:  # a store that is slow, on a machine that is busy
                break
            await asyncio.sleep(0.5)
        return f"{sidecar.name} {message.path}: {response.status} {body[:200]!r}"

    async def lost(self, messages: list[Message], *sidecars: Sidecar) -> list[str]:
        """Return what does not open, of these messages, at the sidecars, or all of them."""
        limit = asyncio.Semaphore(8)

        async def one(sidecar: Sidecar, message: Message) -> str:
            async with limit:
                return await self.opened(sidecar, message)

        asked = [one(at, message) for at in sidecars or self.sidecars for message in messages]
        return [found for found in await asyncio.gather(*asked) if found]

    @asynccontextmanager
    async def load(self, clients: int = 2, pause: float = 0.05) -> AsyncIterator[None]:
        """Send messages through all sidecars, by turns, for as long as the block runs."""
        stop = asyncio.Event()

        async def run() -> None:
            while not stop.is_set():
                await self.send(secrets.choice(self.sidecars), self.a_message())
                await asyncio.sleep(pause)

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(run())
            try:
                yield
            finally:
                stop.set()

    def leaks(self) -> list[str]:
        """Return where the canary is that it must not be: backend, logs, and files of the store."""
        canary = self.canary.encode()
        found = [path for path, (body, _) in self.stored.items() if canary in body]
        files = (one for one in self.folder.iterdir() if one.is_file())
        return found + [one.name for one in files if canary in one.read_bytes()]


async def sent(fleet: Fleet, path: str, place: int = 0) -> Message:
    """Send a message that both versions take; return it."""
    body = {"content": f"{fleet.canary} by name", "note": fleet.canary}
    text = json.dumps(body, ensure_ascii=False).encode()
    message = Message(path, text, "application/json", "alice")
    assert await fleet.send(fleet.sidecars[place], message), fleet.refused
    return message


def a_jwt(who: str) -> str:
    """Return a JWT without a signature, whose subject is that participant."""
    claims = base64url.encode(json.dumps({"sub": who}).encode()).decode()
    return f"e30.{claims}.x"


def _json(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


@asynccontextmanager
async def a_fleet(
    folder: Path,
    store: str,
    mode: str,
    code: Code,
    names: tuple[str, ...] = ("one", "two", "three"),
) -> AsyncIterator[Fleet]:
    """Make keyring and participants by the code of a version, and run sidecars of it."""
    code.run(folder, "keys", "init", "--root-file", "root.key")
    token = folder / "admin.token"
    token.write_text(TOKEN + "\n")
    token.chmod(0o600)
    timeout = aiohttp.ClientTimeout(total=30)
    # A drain waits for idle connections: without this, three seconds at every stop.
    connector = aiohttp.TCPConnector(keepalive_timeout=0.5)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as client:
        fleet = Fleet(folder, store, mode, client)
        async with _backend(fleet) as fleet.upstream:
            fleet.sidecars = [Sidecar(name) for name in names]
            config = ("--config", fleet.configure(fleet.sidecars[0]))
            for who, use in (("alice", "enc"), ("alice", "sig"), ("bob", "enc")):
                words = ("participants", "add", who, "--use", use, "--under", "keyring")
                code.run(folder, *words, *config)
            try:
                for sidecar in fleet.sidecars:
                    await fleet.run(sidecar, code)
                yield fleet
            finally:
                for sidecar in fleet.sidecars:
                    await fleet.stop(sidecar)


@asynccontextmanager
async def _backend(fleet: Fleet) -> AsyncIterator[int]:
    async def put(request: web.Request) -> web.Response:
        fleet.stored[request.path] = await request.read(), request.content_type
        return web.Response()

    async def get(request: web.Request) -> web.Response:
        body, media_type = fleet.stored[request.path]
        return web.Response(body=body, content_type=media_type)

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/{path:.*}", put)
    app.router.add_get("/{path:.*}", get)
    async with serving(app) as port:
        yield port
