"""A file of config/examples, run by `sealyard serve` before a backend of its shape.

Only addresses are made ours (the listener's, the admin API's, the store's and the backend's), and,
unless it is to run as it stands, what opens the keyring.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.config.settings import SecretReference
from proxy.demo.screen import search
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import create
from proxy.keys.keyring.roots.passphrase import PassphraseRoot
from tests.scenarios.pool import POOL, Place
from tests.scenarios.rig import ROOT, TOKEN, Served, running, write_keys, write_token
from tests.servers import free_port, serving

EXAMPLES: Final = ROOT / "config" / "examples"
PASSPHRASE: Final = {"SEALYARD_PASSPHRASE": "passphrase of the examples"}
SEALED: Final = re.compile(rb"eyJ0eXAiOiJzeTEi[\w.-]+|sy1\.[\w.-]+")
JSON: Final = {"Content-Type": "application/json"}


@dataclass
class Kept:
    """What a backend was sent: every head and every body, in the order of their coming."""

    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @web.middleware
    async def keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        lines = [f"{request.method} {request.raw_path}".encode()]
        lines += [b"%b: %b" % pair for pair in request.raw_headers]
        self.heads.append(b"\n".join(lines))
        self.bodies.append(await request.read())
        return await handler(request)

    def has(self, text: str) -> bool:
        return bool(search(text, {"backend": b"\n".join((*self.heads, *self.bodies))}))


@asynccontextmanager
async def keeping(routes: Iterable[web.RouteDef]) -> AsyncIterator[Kept]:
    """Run a backend that keeps what it gets, and answers at `routes` as they say."""
    kept = Kept()
    app = web.Application(middlewares=[kept.keep])
    app.router.add_routes(routes)
    async with serving(app) as kept.port:
        yield kept


@asynccontextmanager
async def sealyard(folder: Path, name: str, upstream: int) -> AsyncIterator[Served]:
    """Give a sidecar with an example, before a backend at port `upstream`.

    The keyring in `folder` and what opens it are of the test, not what the example names.
    """
    text = _text(name, upstream)
    text, keyrings = re.subn(
        r"passphrase: \{env: SEALYARD_PASSPHRASE\}", "key: {file: root.key}", text
    )
    assert keyrings == 1

    def at(place: Place) -> str:
        return _placed(text, place.port, place.admin)

    async with POOL.taken(folder, name, at) as ours:
        yield ours


@asynccontextmanager
async def as_it_stands(folder: Path, name: str, upstream: int) -> AsyncIterator[Served]:
    """Run `sealyard serve` with an example, its passphrase in the environment."""
    root = PassphraseRoot(SecretReference(env="SEALYARD_PASSPHRASE"), PASSPHRASE)
    keyring = create("k1", now=int(time.time()), random=os.urandom)
    create_keyring(folder / "keyring.jwe", keyring, root)
    write_token(folder, TOKEN)
    port, admin = free_port(), free_port()
    text = _placed(_text(name, upstream), port, admin)
    with running(folder, text, variables=PASSPHRASE, port=port, admin=admin, health=0) as ours:
        await ours.event("server.ready")
        yield ours


def _text(name: str, upstream: int) -> str:
    text = (EXAMPLES / name).read_text()
    text, upstreams = re.subn(r"upstream: \S+", f"upstream: http://127.0.0.1:{upstream}", text)
    assert upstreams == 1
    return re.sub("redis://[^ \n]+", "memory", text)


def _placed(text: str, port: int, admin: int) -> str:
    text, listeners = re.subn(r"127\.0\.0\.1:808\d", f"127.0.0.1:{port}", text)
    assert listeners == 1
    return text.replace("127.0.0.1:9901", f"127.0.0.1:{admin}")


@dataclass
class Scene:
    """An example at work. `client` goes through Sealyard, `direct` to the backend itself."""

    ours: Served
    kept: Kept
    client: aiohttp.ClientSession
    direct: aiohttp.ClientSession
    canary: str = field(default_factory=lambda: f"canary-{secrets.token_hex(8)}")

    async def ask(self, method: str, path: str, body: object = None, **more: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return the JSON that clients get, in an answer that must be a good one."""
        return await asked(self.client, method, path, body, **more)

    async def stored(self, path: str, **more: Any) -> Any:  # noqa: ANN401 - any JSON
        """Return the JSON that the backend itself answers."""
        return await asked(self.direct, "GET", path, None, **more)

    async def status(self, method: str, path: str, **more: Any) -> tuple[int, int]:  # noqa: ANN401 - what aiohttp takes
        """Return what clients are told, and how many requests came to the backend."""
        before = len(self.kept.bodies)
        async with self.client.request(method, path, **more) as response:
            await response.read()
            return response.status, len(self.kept.bodies) - before

    def opened(self, body: bytes | None = None) -> bytes:
        """Return a body that the backend was sent, the last one, its tokens replaced by the canary.

        What is sealed must be the canary alone, and all other bytes as they were sent.
        """
        return SEALED.sub(self.canary.encode(), self.kept.bodies[-1] if body is None else body)

    async def told(self) -> dict[str, bytes]:
        """Return what Sealyard says of what it did: its log and its metrics."""
        metrics = (await self.ours.metrics()).encode()
        return {"metrics": metrics, "log": self.ours.log.read_bytes()}


async def asked(
    session: aiohttp.ClientSession,
    method: str,
    path: str,
    body: object,
    **more: Any,  # noqa: ANN401 - what aiohttp takes
) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(body, bytes):
        more = {"data": body, **more, "headers": {**JSON, **more.get("headers", {})}}
    elif body is not None:
        more["json"] = body
    async with session.request(method, path, **more) as response:
        assert response.status < 300, (response.status, await response.text())
        return await response.json(content_type=None)


@asynccontextmanager
async def example(folder: Path, name: str, routes: Iterable[web.RouteDef]) -> AsyncIterator[Scene]:
    """Run an example; at the end see that its canary has come nowhere that it must not be."""
    write_keys(folder)
    async with (
        keeping(routes) as kept,
        sealyard(folder, name, kept.port) as ours,
        aiohttp.ClientSession(f"http://127.0.0.1:{ours.port}") as client,
        aiohttp.ClientSession(f"http://127.0.0.1:{kept.port}") as direct,
    ):
        scene = Scene(ours, kept, client, direct)
        yield scene
        assert not kept.has(scene.canary)
        assert not search(scene.canary, await scene.told())
