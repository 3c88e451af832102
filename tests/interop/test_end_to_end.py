"""A live end-to-end rule: what its recipients read with stock JOSE libraries, and nobody else."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.test_packages import PAGE, in_python, lines, whole
from tests.keys.participants.builders import a_public_key
from tests.scenarios.end_to_end import World, a_world

from .conftest import needs_jose, node

pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


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
    ask = """
let text = ""; for await (const chunk of process.stdin) text += chunk;
const [c, token] = JSON.parse(text);
const key = await sessionKey(c.package, c.mine, c.sender, c.tenant, c.conversation);
process.stdout.write(JSON.stringify([new TextDecoder().decode(await opened(token, key))]));
"""
    page = lines("js") + opening_lines("js") + ask
    text: str = node("--input-type=module", "-e", page, asked=[call, token])[0]
    return text


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

    records = b"".join((await world.records()).values())
    leaks = (world.ours.log.read_bytes(), records, *world.behind.bodies)
    assert not any(canary.encode() in one for one in leaks)


@pytest.mark.interop
@needs_jose
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
