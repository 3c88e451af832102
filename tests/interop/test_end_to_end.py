"""A live end-to-end rule: what its recipients read with stock JOSE libraries, and nobody else."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from proxy.config.settings import SecretReference
from proxy.core import base64url
from proxy.keys.guarded import GuardedStore
from proxy.keys.keyring_file import open_keyring
from proxy.keys.participants import private_key
from proxy.keys.participants.participant import ParticipantKey
from proxy.keys.participants.registry import Change, Participants
from proxy.keys.roots import FileRoot
from proxy.keys.stores import open_store
from tests.interop.test_jwe import HERE, NODE
from tests.interop.test_packages import PAGE, in_python, lines, whole
from tests.keys.participants.builders import a_private_jwk, a_public_key
from tests.scenarios.rig import Backend, Served, backend, command, environment, served

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
RULES: Final = """\
      - name: send
        match: POST /send/{id}
        conversation: path:id
        sender: jwt:sub
        recipients: $.to.*
        request: {encrypt: $.content}
      - name: read, beside a recipient
        match: POST /read/{id}
        conversation: path:id
        reader: jwt:sub
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
        opener = private_key.keyring_opener(self.participants._keyring)
        _, sealed = private_key.seal(a_private_jwk(name), opener)
        key = ParticipantKey(a_public_key(name), "phone", int(time.time()), private=sealed)
        await self.change(participant, lambda one: one.add(key))

    async def post(self, path: str, who: str, body: object) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.ours.port}{path}"
        headers = {"Authorization": f"Bearer {a_jwt(who)}"}
        async with self.client.post(url, json=body, headers=headers) as response:
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

    def packages(self, recipient: str, status: int = 0) -> list[dict[str, Any]]:
        """Return the packages that the command prints."""
        words = ["--tenant", "alpha", "--conversation", "c1", "--recipient", recipient]
        serve = command(self.folder)
        config = serve[serve.index("--config") :][:2]
        ran = subprocess.run(  # noqa: S603 - Sealyard itself
            [*serve[: serve.index("serve")], "sessions", "package", *words, *config],
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert ran.returncode == status, ran.stderr
        found: list[dict[str, Any]] = json.loads(ran.stdout)["packages"]
        return found


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    more = f"  store: 'sqlite:{tmp_path / 'keys.db'}'\n"
    async with backend() as behind, aiohttp.ClientSession() as client:
        with served(tmp_path, behind.port, rules=RULES, keys_more=more) as ours:
            await ours.event("server.ready")
            async with participants(tmp_path) as held:
                world = World(tmp_path, ours, behind, client, held)
                for who, name in PEOPLE:
                    await world.add(who, name)
                yield world


PEOPLE: Final = (
    ("alice", "alice-sig"),
    ("alice", "alice-enc"),
    ("bob", "bob-enc"),
    ("eve", "outsider-enc"),
)


@asynccontextmanager
async def participants(folder: Path) -> AsyncIterator[Participants]:
    store = open_store(f"sqlite:{folder / 'keys.db'}", time.monotonic)
    guarded = GuardedStore(store, 5.0, clock=time.monotonic, notice=lambda _: None)
    root = FileRoot(SecretReference(file=folder / "root.key"))
    yield Participants(guarded, open_keyring(folder / "keyring.jwe", root))
    await store.close()


def a_jwt(who: str) -> str:
    claims = base64url.encode(json.dumps({"sub": who}).encode()).decode()
    return f"e30.{claims}.x"


def opening_lines(language: str) -> str:
    found = re.search(rf"```{language} open\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def a_call(package: dict[str, Any], name: str, conversation: str = "c1") -> dict[str, Any]:
    return {
        "package": package["package"],
        "mine": whole(name),
        "sender": a_public_key("alice-sig").to_jwk(),
        "tenant": "alpha",
        "conversation": conversation,
    }


def opened_in_python(call: dict[str, Any], token: str) -> str:
    names: dict[str, Any] = {}
    exec(lines("python") + opening_lines("python"), names)  # noqa: S102 - our own page
    plaintext: bytes = names["opened"](token, in_python(call))
    return plaintext.decode()


def opened_in_node(call: dict[str, Any], token: str) -> str:
    if NODE is None or not (HERE / "node_modules" / "jose").is_dir():
        pytest.skip("node, or npm's jose, is not installed: run `./dev setup`")
    ask = """
let text = ""; for await (const chunk of process.stdin) text += chunk;
const [c, token] = JSON.parse(text);
const key = await sessionKey(c.package, c.mine, c.sender, c.tenant, c.conversation);
process.stdout.write(new TextDecoder().decode(await opened(token, key)));
"""
    ran = subprocess.run(  # noqa: S603 - our own page, by the machine's node
        [NODE, "--input-type=module", "-e", lines("js") + opening_lines("js") + ask],
        input=json.dumps([call, token]),
        cwd=HERE,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout


async def test_a_recipient_reads_with_a_stock_library_and_the_outsider_does_not(
    world: World,
) -> None:
    canary = secrets.token_hex(16)
    token = await world.send(canary, "bob")
    assert canary not in token
    assert await world.read(token, "bob") == canary
    assert await world.read(token, "alice") == token
    assert await world.read(token, "eve") == token

    (package,) = await asyncio.to_thread(world.packages, "bob")
    assert await asyncio.to_thread(world.packages, "eve", 1) == []
    assert opened_in_python(a_call(package, "bob-enc"), token) == canary
    for wrong in (a_call(package, "outsider-enc"), a_call(package, "bob-enc", "c2")):
        with pytest.raises(Exception, match=r"recipient|another conversation|decrypt"):
            opened_in_python(wrong, token)

    records = b"".join((await world.participants._store._store.dump()).values())
    leaks = (world.ours.log.read_bytes(), records, *world.behind.bodies)
    assert not any(canary.encode() in one for one in leaks)


@pytest.mark.interop
async def test_a_recipient_reads_with_node(world: World) -> None:
    token = await world.send("Grüße 🌍", "bob")
    (package,) = await asyncio.to_thread(world.packages, "bob")
    assert opened_in_node(a_call(package, "bob-enc"), token) == "Grüße 🌍"


async def test_who_comes_gets_the_same_key_and_who_goes_gets_no_more(world: World) -> None:
    first = await world.send("one", "bob")
    second = await world.send("two", "bob", "eve")
    third = await world.send("three", "bob")
    readers = [await world.read(one, "bob") for one in (first, second, third)]
    assert readers == ["one", "two", "three"]
    newest, older = await asyncio.to_thread(world.packages, "bob")
    (hers,) = await asyncio.to_thread(world.packages, "eve")
    assert hers == older
    assert hers["issue"] == 2
    assert await world.read(second, "eve") == "two"
    assert await world.read(third, "eve") == third
    assert newest["issue"] == 1


async def test_a_recipient_without_a_key_is_told_and_nothing_goes_on(world: World) -> None:
    status, _ = await world.post("/send/c1", "alice", {"to": ["nobody"], "content": "x"})
    assert status == 503
    status, _ = await world.post("/send/c1", "alice", {"to": [], "content": "x"})
    assert status == 400
    status, _ = await world.post("/send/c1", "bob", {"to": ["alice"], "content": "x"})
    assert status == 503
    assert world.behind.bodies == []
