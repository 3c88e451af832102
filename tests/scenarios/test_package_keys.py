"""How many keys a package takes, and of which kinds, against a live end-to-end rule."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from proxy.keys.participants import private_key
from proxy.keys.participants.participant import ParticipantKey
from tests.keys.end_to_end.builders import KEYRING
from tests.keys.participants.builders import a_private_jwk
from tests.scenarios.end_to_end import World, a_world

MOST: Final = 16


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


async def test_one_key_more_than_a_package_takes_is_refused_and_nothing_goes_on(
    world: World,
) -> None:
    names = [f"reader-{number}" for number in range(MOST + 1)]
    for name in names:
        public, _ = private_key.generate("X25519", private_key.keyring_opener(KEYRING))
        key = ParticipantKey(public, "phone", int(time.time()))
        await world.change(name, lambda one, key=key: one.add(key))  # type: ignore[misc]  # mypy cannot infer lambdas with defaults
    canary = secrets.token_hex(16)
    status, told = await world.post("/send/c1", "alice", {"to": names, "content": canary})
    assert status == 503
    assert told["type"].endswith("key-unavailable")
    assert world.behind.bodies == []
    refused = await world.ours.event("message.refused")
    assert refused["reason"] == "too-many-recipients"
    assert world.issued() == 0
    assert canary.encode() not in world.ours.log.read_bytes()
    await world.send(canary, *names[:MOST])
    issued = await world.ours.event("package.issued")
    assert issued["keys"] == MOST


async def test_a_reader_with_an_x_wing_key_alone_opens_and_nothing_leaks(world: World) -> None:
    await world.add("carol", "bob-xw")
    canary = secrets.token_hex(16)
    token = await world.send(canary, "carol", "bob")
    assert [await world.read(token, who) for who in ("carol", "bob")] == [canary] * 2
    assert await world.read(token, "eve") == token
    (package,) = await asyncio.to_thread(world.packages, "carol")
    algs = sorted(one["header"]["alg"] for one in package["package"]["recipients"])
    assert algs == ["RSA-OAEP-256", "x-sealyard-HPKE-X-Wing"]
    await world.ours.event("message.handled", 4)
    records = b"".join((await world.records()).values())
    everything = (world.ours.log.read_bytes(), records, *world.behind.bodies)
    seed = a_private_jwk("bob-xw")["priv"]
    assert not any(one.encode() in each for one in (canary, seed) for each in everything)
