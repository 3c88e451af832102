"""Pins in a live Sealyard: a key that somebody entered gets nothing before it is accepted."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any, Final

import pytest

from tests.keys.participants.builders import a_public_key
from tests.scenarios.end_to_end import World, a_world

ENFORCE: Final = "  sessions: {revocation_max_age: 1s}\n  pins: {mode: enforce}\n"
BOB, OTHER = a_public_key("bob-enc").kid, a_public_key("bob-x").kid


async def kids(world: World) -> set[str]:
    """Return for which keys of bob the newest package is."""
    newest = (await asyncio.to_thread(world.packages, "bob"))[0]
    return {one["header"]["kid"] for one in newest["package"]["recipients"]}


def audited(world: World) -> list[dict[str, Any]]:
    lines = (world.folder / "keyring.jwe.audit").read_text().splitlines()
    return [json.loads(one) for one in lines]


async def test_a_key_gets_no_session_key_before_it_is_accepted(tmp_path: Path) -> None:
    canary = secrets.token_hex(16)
    async with a_world(tmp_path, keys=ENFORCE) as world:
        await world.send(canary, "bob")
        assert await kids(world) == {BOB}
        pinned = await world.ours.event("participant.pinned")

        # As a stolen credential would, with the participant's own device name.
        await asyncio.sleep(1.1)
        await world.add("bob", "bob-x")
        await asyncio.sleep(1.1)  # SQLite tells nothing: within `revocation_max_age`
        await world.send(canary, "bob")
        assert await kids(world) == {BOB}
        told = await world.ours.event("participant.unaccepted")
        assert (told["kid"], told["refused"], told["level"]) == (OTHER, True, "error")
        (line,) = [one for one in audited(world) if one["event"] == "participants.unaccepted"]
        assert (line["kid"], line["participant"]) == (OTHER, told["participant"])

        await asyncio.to_thread(world.command, "participants", "accept", "--", "bob", OTHER)
        await asyncio.sleep(1.1)
        token = await world.send(canary, "bob")
        assert await kids(world) == {BOB, OTHER}
        assert await world.read(token, "bob") == canary
        assert await world.read(token, "eve") == token
        await world.ours.event("message.handled", 5)
        everything = (world.ours.log.read_bytes(), *(await world.records()).values())
        assert pinned["participant"] != "bob"
        assert not any(canary.encode() in one for one in (*everything, *world.behind.bodies))


@pytest.mark.slow
async def test_packages_are_erased_by_the_command_where_sessions_are_durable(
    tmp_path: Path,
) -> None:
    canary = secrets.token_hex(16)
    keys = "  sessions: {revocation_max_age: 1s}\n"
    where = ("--tenant", "alpha", "--conversation", "c1")
    async with a_world(tmp_path, keys=keys) as world:
        await asyncio.to_thread(world.command, "sessions", "erase", "--yes", *where, status=1)
        token = await world.send(canary, "bob")
        assert await world.read(token, "bob") == canary

        signed = await asyncio.to_thread(world.command, "sessions", "erase", "--yes", *where)
        (tmp_path / "c1.jws").write_text(signed)
        receipt = ("audit", "verify-receipt", str(tmp_path / "c1.jws"), *where)
        assert "session" in await asyncio.to_thread(world.command, *receipt)
        await asyncio.to_thread(world.packages, "bob", 1)
        await asyncio.sleep(1.1)
        assert await world.read(token, "bob") == token
        again = await world.send(canary, "bob")
        assert await world.read(again, "bob") == canary
        events = [one["event"] for one in audited(world)]
        assert events.count("sessions.erase") == events.count("sessions.erased") == 1


async def test_keys_that_the_configuration_lists_count_from_the_reload_on(tmp_path: Path) -> None:
    async with a_world(tmp_path, keys=ENFORCE) as world:
        await world.send("one", "bob")
        file = tmp_path / "sealyard.yaml"
        listed = f"{{participants: [{{participant: bob, keys: [{OTHER}]}}]}}"
        file.write_text(file.read_text().replace("{mode: enforce}", listed))
        await world.ours.event("config.loaded", 2)
        status, _ = await world.post("/send/c1", "alice", {"to": ["bob"], "content": "two"})
        assert status == 503
        refused = await world.ours.event("message.refused")
        assert refused["reason"] == "recipient-key-not-accepted"
        told = await world.ours.event("participant.unaccepted")
        assert (told["kid"], told["refused"]) == (BOB, True)
        file.write_text(file.read_text().replace(OTHER, BOB))
        await world.ours.event("config.loaded", 3)
        assert await world.read(await world.send("three", "bob"), "bob") == "three"
