"""A live end-to-end rule: a real Sealyard with participants in its store, before a backend."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import aiohttp

from proxy.config.settings import SecretReference
from proxy.core.crypto import base64url
from proxy.keys.keyring.file import create_keyring
from proxy.keys.keyring.keyring import Keyring, create
from proxy.keys.keyring.roots import FileRoot, create_root_file
from proxy.keys.participants import private_key
from proxy.keys.participants.participant import ParticipantKey
from proxy.keys.participants.registry import Change, Participants
from proxy.keys.stores import open_store
from proxy.keys.stores.guarded import GuardedStore
from tests.keys.participants.builders import a_private_jwk, a_public_key
from tests.scenarios.rig import Backend, Served, backend, command, environment, served

RULES: Final = """\
      - name: send
        match: POST /send/{id}
        conversation: path:id
        sender: jwt-unverified:sub
        recipients: $.to.*
        request: {encrypt: $.content}
      - name: read, beside a recipient
        match: POST /read/{id}
        conversation: path:id
        reader: jwt-unverified:sub
        response: {decrypt: $.content, on_error: keep}
"""


@dataclass
class World:
    """A running Sealyard, the backend behind it, and the participants in its store."""

    folder: Path
    ours: Served
    behind: Backend
    client: aiohttp.ClientSession
    participants: Participants

    async def change(self, participant: str, change: Change) -> None:
        await self.participants.change(participant, change)

    async def add(self, participant: str, name: str) -> None:
        sealed = _sealed(name, self.participants.keyring)
        key = ParticipantKey(a_public_key(name), "phone", int(time.time()), private=sealed)
        await self.change(participant, lambda one: one.add(key))

    async def post(
        self, path: str, who: str, body: object, *, close: bool = False
    ) -> tuple[int, Any]:
        """Return the answer; with `close` on a connection of its own, which any worker may take."""
        url = f"http://127.0.0.1:{self.ours.port}{path}"
        headers = {"Authorization": f"Bearer {a_jwt(who)}"}
        if close:
            headers["Connection"] = "close"
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
        async with self.client.post(url, data=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def send(self, content: str, *to: str, who: str = "alice") -> str:
        """Send a message and return the token that the backend has."""
        status, _ = await self.post("/send/c1", who, {"to": list(to), "content": content})
        assert status == 200
        token: str = json.loads(self.behind.bodies[-1])["content"]
        return token

    async def read(self, token: str, who: str) -> str:
        """Return what the proxy beside a reader makes of the token that the backend answers."""
        status, answer = await self.post("/read/c1", who, {"content": token})
        assert status == 200
        content: str = answer["content"]
        return content

    def issued(self) -> int:
        """Return how many packages the log tells of."""
        return sum(one["event"] == "package.issued" for one in self.ours.events)

    async def records(self) -> dict[str, bytes]:
        """Return everything that stands in the store."""
        return await self.participants.store._store.dump()  # the store behind its guard

    def packages(self, recipient: str, status: int = 0) -> list[dict[str, Any]]:
        """Return the packages that the command prints."""
        words = ["--tenant", "alpha", "--conversation", "c1", "--recipient", recipient]
        printed = self.command("sessions", "package", *words, status=status)
        found: list[dict[str, Any]] = json.loads(printed)["packages"]
        return found

    def command(self, *words: str, status: int = 0) -> str:
        """Return what a command of Sealyard prints."""
        serve = command(self.folder)
        config = serve[serve.index("--config") :][:2]
        group, name, *rest = words
        ran = subprocess.run(  # noqa: S603 - Sealyard itself
            [*serve[: serve.index("serve")], group, name, *config, *rest],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert ran.returncode == status, ran.stderr
        return ran.stdout


PEOPLE: Final = (
    ("alice", "alice-sig"),
    ("alice", "alice-enc"),
    ("bob", "bob-enc"),
    ("eve", "outsider-enc"),
)


@dataclass(frozen=True)
class LeasedKeyring:
    """A keyring that is in the folder, its root in a configuration, and what that is found by."""

    keyring: Keyring
    root: str
    variables: Mapping[str, str]


@cache
def _keyring() -> Keyring:
    """Return the keyring of all worlds: each has a store of its own."""
    return create("k1", now=int(time.time()), random=os.urandom)


_SEALED: Final[dict[tuple[str, str], str]] = {}


def _sealed(name: str, keyring: Keyring) -> str:
    """Return a private key under a keyring: to check its primes takes a quarter of a second."""
    at = name, keyring.id
    if at not in _SEALED:
        opener = private_key.keyring_opener(keyring)
        _SEALED[at] = private_key.seal(a_private_jwk(name), opener)[1]
    return _SEALED[at]


def _kept(folder: Path) -> LeasedKeyring:
    """Write the keyring of all worlds into a folder, under a root key there."""
    create_root_file(folder / "root.key", random=os.urandom)
    root = FileRoot(SecretReference(file=folder / "root.key"))
    create_keyring(folder / "keyring.jwe", _keyring(), root)
    return LeasedKeyring(_keyring(), "key: {file: root.key}", {})


@asynccontextmanager
async def participants(folder: Path, keyring: Keyring) -> AsyncIterator[Participants]:
    store = open_store(f"sqlite:{folder / 'keys.db'}", time.monotonic)
    guarded = GuardedStore(store, 5.0, clock=time.monotonic, notice=lambda _: None)
    yield Participants(guarded, keyring)
    await store.close()


def a_jwt(who: str) -> str:
    claims = base64url.encode(json.dumps({"sub": who}).encode()).decode()
    return f"e30.{claims}.x"


@asynccontextmanager
async def a_world(
    folder: Path,
    rules: str = RULES,
    *,
    trusted: bool = False,
    keys: str = "",
    options: tuple[str, ...] = (),
    leased: LeasedKeyring | None = None,
) -> AsyncIterator[World]:
    """Run one, with alice, bob and the outsider eve in its store."""
    more = f"  store: 'sqlite:{folder / 'keys.db'}'\n{keys}"
    held = leased or _kept(folder)
    async with backend() as behind, aiohttp.ClientSession() as client:
        with served(
            folder,
            behind.port,
            *options,
            rules=rules,
            keys_more=more,
            trusted=trusted,
            keyring_more=held.root,
            variables=held.variables,
        ) as ours:
            await ours.event("server.ready")
            async with participants(folder, held.keyring) as people:
                world = World(folder, ours, behind, client, people)
                for who, name in PEOPLE:
                    await world.add(who, name)
                yield world
