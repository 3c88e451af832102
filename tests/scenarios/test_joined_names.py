"""A token of one conversation opens in no other, however their names are made: a live sidecar."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from proxy.config.settings import SecretReference
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import create
from proxy.keys.keyring.roots import FileRoot, create_root_file
from tests.scenarios.end_to_end import a_world as an_end_to_end_world
from tests.scenarios.rig import (
    TOKEN,
    Served,
    a_configuration,
    backend,
    command,
    environment,
    running,
    write_token,
)
from tests.servers import free_port

RULES: Final = """\
      - name: direct
        match: /dm/{a}/{b}
        conversation: {members: [path:a, path:b]}
        request: {encrypt: optional $.content, nothing: pass}
        response: {decrypt: optional $.content}
      - name: ordered
        match: /list/{a}/{b}
        conversation: [path:a, path:b]
        request: {encrypt: optional $.content, nothing: pass}
        response: {decrypt: optional $.content}
      - name: group
        match: /group/{id}
        conversation: path:id
        request: {encrypt: optional $.content, nothing: pass}
        response: {decrypt: optional $.content}
"""
LOOKS_JOINED: Final = "/group/5:alice3:bob"


@dataclass
class World:
    """A Sealyard before a backend that answers with what it is told."""

    folder: Path
    client: aiohttp.ClientSession
    ours: Served | None = None
    stored: list[str] = field(default_factory=list)
    answer: str = ""
    canaries: list[str] = field(default_factory=list)

    async def keep(self, request: web.Request) -> web.Response:
        self.stored.append((await request.json())["content"])
        return web.json_response({})

    async def tell(self, _: web.Request) -> web.Response:
        return web.json_response({"content": self.answer})

    def url(self, path: str) -> str:
        assert self.ours is not None
        return f"http://127.0.0.1:{self.ours.port}{path}"

    async def post(self, path: str, status: int = 200) -> str:
        """Send a message with a canary of its own; return what the backend has of it."""
        self.canaries.append(secrets.token_hex(16))
        body = {"content": self.canaries[-1]}
        before = len(self.stored)
        async with self.client.post(self.url(path), json=body) as response:
            assert response.status == status, await response.text()
        assert len(self.stored) == before + (status == 200)
        return self.stored[-1] if status == 200 else ""

    async def opens(self, path: str, token: str) -> bool:
        """Whether the answer to a GET opens a token; nobody is told anything else of it."""
        self.answer = token
        async with self.client.get(self.url(path)) as response:
            text = await response.text()
        shown = any(one in text for one in self.canaries)
        assert response.status == (200 if shown else 502), text
        return shown

    def run(self, *words: str) -> str:
        """Run a command of Sealyard."""
        serve = command(self.folder)
        before, config = serve[: serve.index("serve")], serve[serve.index("--config") :][:2]
        ran = subprocess.run(  # noqa: S603 - Sealyard itself
            [*before, *words, *config],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
            timeout=30,
        )
        assert ran.returncode == 0, ran.stderr + ran.stdout
        return ran.stdout


@asynccontextmanager
async def a_world(folder: Path) -> AsyncIterator[World]:
    write_token(folder, TOKEN)
    root, path = folder / "root.key", folder / "keyring.jwe"
    create_root_file(root, random=os.urandom)
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    create_keyring(path, keyring, FileRoot(SecretReference(file=root)))
    async with aiohttp.ClientSession() as client:
        world = World(folder, client)
        routes = web.post("/{path:.*}", world.keep), web.get("/{path:.*}", world.tell)
        async with backend(*routes) as behind:
            port, admin, health = free_port(), free_port(), free_port()
            text = a_configuration(
                behind.port, listen=f"127.0.0.1:{port}", admin=admin, health=health
            )
            text = text.partition("    rules:\n")[0] + f"    rules:\n{RULES}"
            store = f"  store: 'sqlite:{folder / 'keys.db'}'\nadmin:"
            text = text.replace("admin:", store, 1)
            with running(folder, text, port=port, admin=admin, health=health) as world.ours:
                await world.ours.event("server.ready")
                yield world


async def test_a_token_of_two_people_opens_in_no_group_that_is_called_like_them(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        pair, listed = await world.post("/dm/alice/bob"), await world.post("/list/alice/bob")
        group = await world.post(LOOKS_JOINED)
        for token, opening in (
            (pair, {"/dm/alice/bob", "/dm/bob/alice"}),
            (listed, {"/list/alice/bob"}),
            (group, {LOOKS_JOINED}),
        ):
            for path in (
                "/dm/alice/bob",
                "/dm/bob/alice",
                "/list/alice/bob",
                "/list/bob/alice",
                LOOKS_JOINED,
            ):
                assert await world.opens(path, token) == (path in opening), (path, opening)

        named = '{"members": ["bob", "alice"]}'
        words = ("--tenant", "alpha", "--conversation-json", named)
        await asyncio.sleep(1.1)  # a revocation binds what began before its second
        said = await asyncio.to_thread(world.run, "sessions", "revoke", "--yes", *words, "--json")
        assert json.loads(said)["durable"]
        await asyncio.sleep(0.1)
        await reloaded(world)
        assert not await world.opens("/dm/alice/bob", pair)
        assert await world.opens(LOOKS_JOINED, group)
        assert await world.opens("/dm/alice/bob", await world.post("/dm/alice/bob"))
        log = world.ours.log.read_text() if world.ours is not None else ""
        assert not any(one in log for one in world.canaries)


async def reloaded(world: World) -> None:
    assert world.ours is not None
    url = f"http://127.0.0.1:{world.ours.admin}/-/reload"
    async with world.client.post(url, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
        assert response.status == 200


END_TO_END: Final = """\
      - name: send
        match: POST /send/{a}/{b}
        conversation: {members: [path:a, path:b]}
        sender: jwt-unverified:sub
        recipients: $.to.*
        request: {encrypt: $.content}
      - name: read
        match: POST /read/{a}/{b}
        conversation: {members: [path:a, path:b]}
        reader: jwt-unverified:sub
        response: {decrypt: $.content, on_error: keep}
      - name: read a group
        match: POST /group/{id}
        conversation: path:id
        reader: jwt-unverified:sub
        response: {decrypt: $.content, on_error: keep}
"""


async def test_what_is_end_to_end_between_two_opens_in_no_group(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with an_end_to_end_world(tmp_path, END_TO_END) as world:
        status, _ = await world.post("/send/alice/bob", "alice", {"to": ["bob"], "content": canary})
        assert status == 200
        token = json.loads(world.behind.bodies[-1])["content"]
        _, opened = await world.post("/read/bob/alice", "bob", {"content": token})
        assert opened == {"content": canary}
        for path in (LOOKS_JOINED, "/read/alice/eve"):
            _, kept = await world.post(path, "bob", {"content": token})
            assert kept == {"content": token}
        words = ["--tenant", "alpha", "--recipient", "bob"]
        named = ["--conversation-json", '{"members": ["alice", "bob"]}']
        found = json.loads(
            await asyncio.to_thread(world.command, "sessions", "package", *words, *named)
        )
        assert len(found["packages"]) == 1
        text = [*words, "--conversation", "5:alice3:bob"]
        none = await asyncio.to_thread(world.command, "sessions", "package", *text, status=1)
        assert json.loads(none) == {"packages": []}
